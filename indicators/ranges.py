"""What formulas have in common: extremes, true range, and ratios that know when they have no value."""

import polars as pl
from polars import Expr

from indicators.formula import kept


def highest(of: Expr, period: int) -> Expr:
    """The greatest of the last `period` values."""
    return of.rolling_max(period)


def lowest(of: Expr, period: int) -> Expr:
    """The least of the last `period` values."""
    return of.rolling_min(period)


def middle(high: Expr, low: Expr, period: int) -> Expr:
    """Half way between the greatest high and the least low of the last `period` bars."""
    return (highest(high, period) + lowest(low, period)) / 2


def gap_range(high: Expr, low: Expr, close: Expr) -> Expr:
    """From the higher of high and previous close to the lower of low and previous close; null at the first bar."""
    before = kept(close.shift(1))
    return pl.when(before.is_not_null()).then(pl.max_horizontal(high, before) - pl.min_horizontal(low, before))


def ratio(part: Expr, whole: Expr, otherwise: float | None = None) -> Expr:
    """`part` / `whole`; `otherwise` where `whole` is 0, null where either is null.

    For what is computed further. A quotient that comes out may be plain: evaluate makes null of NaN and infinity.
    """
    whole = kept(whole)
    quotient = pl.when(whole != 0).then(part / whole)
    return quotient if otherwise is None else quotient.otherwise(whole + otherwise)


def share(part: Expr, whole: Expr, alive: Expr) -> Expr:
    """`part` / `whole`, 0 where the whole is 0 or not alive; null where the whole is, as the part is then."""
    whole = kept(whole)
    return pl.when(alive & (whole != 0)).then(part / whole).otherwise(whole * 0)


def moves(of: Expr, bars: int) -> Expr:
    """Whether the value was not one and the same over the last `bars` bars, or as many as there are."""
    return of.rolling_max(bars, min_samples=1) > of.rolling_min(bars, min_samples=1)


def known(of: Expr) -> Expr:
    """The value, null where it is NaN, as what the kernels of TA-Lib give in front of their first value."""
    of = kept(of)
    return pl.when(of.is_not_nan()).then(of)


def lives(of: Expr, bars: int) -> Expr:
    """Whether any of the last `bars` values, or as many as there are, is not 0."""
    return of.abs().rolling_max(bars, min_samples=1) > 0
