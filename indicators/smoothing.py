"""Averages of any series, weighted or exponential, and how fast they forget."""

import math
from collections.abc import Sequence
from typing import Final

from polars import Expr, when

from indicators.formula import kept
from indicators.ranges import known

_FORGOTTEN: Final = 1e-10


def exponential_mean(of: Expr, alpha: float, period: int) -> Expr:
    """The exponential average that begins with the mean of the first `period` values; null before.

    Each further value counts `alpha`. Nulls may stand only in front of the first value.
    """
    of = kept(of)
    seeded = of if period == 1 else when(of.cum_count() > period).then(of).otherwise(of.rolling_mean(period))
    return seeded.ewm_mean(alpha=alpha, adjust=False)


def fade(alpha: float) -> int:
    """Bars after which an exponential average gives all that was before them a weight of 1e-10 at most."""
    return 0 if alpha == 1 else math.ceil(math.log(_FORGOTTEN) / math.log1p(-alpha))


def weighted_sum(of: Expr, weights: Sequence[float]) -> Expr:
    """The sum of the last values, each times its weight, the oldest first; null before there are as many.

    Each window is added up on its own, so the sum is the same double wherever the series begins. Nulls may stand
    only in front of the first value.
    """
    # Polars takes no weights where there are nulls.
    return known(of.fill_null(math.nan).rolling_sum(len(weights), weights=list(weights)))


def weighted_mean(of: Expr, weights: Sequence[float]) -> Expr:
    """The mean of the last values by weight, the oldest first; null before there are as many."""
    whole = math.fsum(weights)
    return weighted_sum(of, [weight / whole for weight in weights])
