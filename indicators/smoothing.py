"""Exponential averages, and how fast they forget."""

import math
from typing import Final

import polars as pl
from polars import Expr

_FORGOTTEN: Final = 1e-10


def exponential_mean(of: Expr, alpha: float, period: int) -> Expr:
    """The exponential average that begins with the mean of the first `period` values; null before.

    Each further value counts `alpha`. Nulls may stand only in front of the first value.
    """
    seeded = pl.when(of.cum_count() > period).then(of).otherwise(of.rolling_mean(period))
    return seeded.ewm_mean(alpha=alpha, adjust=False)


def fade(alpha: float) -> int:
    """Bars after which an exponential average gives all that was before them a weight of 1e-10 at most."""
    return 0 if alpha == 1 else math.ceil(math.log(_FORGOTTEN) / math.log1p(-alpha))
