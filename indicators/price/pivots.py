"""Levels of support and resistance drawn from the stretch before: the last day, week, month, quarter or year.

All are in price units, and null until a stretch has gone before. The stretch before is the last one that has bars.
"""

from typing import Annotated

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Outputs, indicator

Three = Annotated[Expr, Outputs("Pivots", "pivot", "r1", "r2", "r3", "s1", "s2", "s3")]
Four = Annotated[Expr, Outputs("CamarillaPivots", "r1", "r2", "r3", "r4", "s1", "s2", "s3", "s4")]
Two = Annotated[Expr, Outputs("WoodiePivots", "pivot", "r1", "r2", "s1", "s2")]
One = Annotated[Expr, Outputs("DemarkPivots", "pivot", "r1", "s1")]


def _two_stretches(anchor: int) -> int:
    return 2 * anchor


def _one_stretch(anchor: int) -> int:
    return anchor


def _before(of: Expr, anchor: Expr) -> Expr:
    """What the series was at the last bar of the stretch before."""
    begins = kept(anchor != anchor.shift(1))
    return pl.when(begins).then(of.shift(1)).forward_fill()


def _stretch(high: Expr, low: Expr, close: Expr, anchor: Expr) -> tuple[Expr, Expr, Expr]:
    """High, low and close of the stretch before."""
    return (
        kept(_before(high.cum_max().over(anchor), anchor)),
        kept(_before(low.cum_min().over(anchor), anchor)),
        kept(_before(close, anchor)),
    )


@indicator("Pivot Points", overlay=True, warm_up=_one_stretch, settle=_two_stretches)
def pivot_points(high: Expr, low: Expr, close: Expr, anchor: Expr) -> Three:
    """Floor pivots: the mean of high, low and close, and levels about it (StockCharts ChartSchool, Pivot Points).

    P = (H + L + C) / 3, R1 = 2 P - L, R2 = P + (H - L), R3 = H + 2 (P - L), and S1, S2, S3 their mirrors.
    """
    h, l, c = _stretch(high, low, close, anchor)
    p = kept((h + l + c) * (1 / 3))
    return pl.struct(
        pivot=p, r1=2 * p - l, r2=p + (h - l), r3=h + 2 * (p - l), s1=2 * p - h, s2=p - (h - l), s3=l - 2 * (h - p)
    )


@indicator("Fibonacci Pivots", overlay=True, warm_up=_one_stretch, settle=_two_stretches)
def fibonacci_pivots(high: Expr, low: Expr, close: Expr, anchor: Expr) -> Three:
    """The floor pivot, and 0.382, 0.618 and 1 ranges about it (StockCharts ChartSchool, Pivot Points)."""
    h, l, c = _stretch(high, low, close, anchor)
    p, span = kept((h + l + c) * (1 / 3)), kept(h - l)
    steps = {"1": 0.382, "2": 0.618, "3": 1.0}
    return pl.struct(
        p.alias("pivot"),
        *((p + step * span).alias(f"r{level}") for level, step in steps.items()),
        *((p - step * span).alias(f"s{level}") for level, step in steps.items()),
    )


@indicator("Camarilla Pivots", overlay=True, warm_up=_one_stretch, settle=_two_stretches)
def camarilla_pivots(high: Expr, low: Expr, close: Expr, anchor: Expr) -> Four:
    """The close, and 1.1 ranges by 12, 6, 4 and 2 about it (Scott 1989)."""
    h, l, c = _stretch(high, low, close, anchor)
    span = kept(h - l)
    steps = {"1": 1.1 / 12, "2": 1.1 / 6, "3": 1.1 / 4, "4": 1.1 / 2}
    return pl.struct(
        *((c + step * span).alias(f"r{level}") for level, step in steps.items()),
        *((c - step * span).alias(f"s{level}") for level, step in steps.items()),
    )


@indicator("Woodie Pivots", overlay=True, warm_up=_one_stretch, settle=_two_stretches)
def woodie_pivots(high: Expr, low: Expr, close: Expr, anchor: Expr) -> Two:
    """Pivots that weigh the close twice, P = (H + L + 2 C) / 4 (Wood, in Person 2004).

    R1 = 2 P - L, R2 = P + (H - L), S1 = 2 P - H, S2 = P - (H - L).
    """
    h, l, c = _stretch(high, low, close, anchor)
    p = kept((h + l + 2 * c) / 4)
    return pl.struct(pivot=p, r1=2 * p - l, r2=p + (h - l), s1=2 * p - h, s2=p - (h - l))


@indicator("DeMark Pivots", overlay=True, warm_up=_one_stretch, settle=_two_stretches)
def demark_pivots(open_: Expr, high: Expr, low: Expr, close: Expr, anchor: Expr) -> One:
    """Levels that lean to where the stretch before went (DeMark 1994).

    X = H + 2 L + C where it closed below its open, 2 H + L + C above, H + L + 2 C at it. P = X / 4, R1 = X / 2 - L,
    S1 = X / 2 - H.
    """
    h, l, c = _stretch(high, low, close, anchor)
    o = kept(_before(open_.first().over(anchor), anchor))
    x = kept(h + l + c + pl.when(c < o).then(l).when(c > o).then(h).otherwise(c))
    return pl.struct(pivot=x / 4, r1=x / 2 - l, s1=x / 2 - h)
