"""Lines around and behind the price: where a trend would end, and what holds it."""

from typing import Annotated

import polars as pl
import polars_talib as ta
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Bounds, Multiple, Outputs, Period, Sample, indicator
from indicators.ranges import gap_range, highest, lives, lowest, middle
from indicators.smoothing import fade
from indicators.trend.averages import sma, smma, smma_settle
from indicators.volatility.ranges import atr

STANDSTILL = 100
"""Bars without a move after which Parabolic SAR begins anew."""

Ichimoku = Annotated[Expr, Outputs("Ichimoku", "conversion", "base", "spanA", "spanB", "lagging")]
SuperTrend = Annotated[Expr, Outputs("SuperTrend", "line", "direction")]
Alligator = Annotated[Expr, Outputs("Alligator", "jaw", "teeth", "lips")]
Envelope = Annotated[Expr, Outputs("Envelope", "upper", "middle", "lower")]
Exits = Annotated[Expr, Outputs("Exits", "long", "short")]


@indicator(
    "Ichimoku Cloud",
    overlay=True,
    warm_up=lambda conversion_period, base_period, span_period: (
        max(conversion_period, base_period, span_period) - 1 + base_period
    ),
)
def ichimoku(
    high: Expr,
    low: Expr,
    close: Expr,
    conversion_period: Period = 9,
    base_period: Period = 26,
    span_period: Period = 52,
) -> Ichimoku:
    """Middles of the ranges of three periods, two of them drawn ahead as a cloud, in price units (Hosoda 1969).

    `conversion` and `base` are half way between highest high and lowest low of their periods. The cloud at a bar,
    `spanA` to `spanB`, was known `base_period` bars before: the mean of the two lines, and the middle of `span_period`
    bars. `lagging` is the bar's close, to be drawn `base_period` bars to the left; it is not moved here, for no value
    may stand at a bar that came before it was known.
    """
    conversion, base = kept(middle(high, low, conversion_period)), kept(middle(high, low, base_period))
    return pl.struct(
        conversion=conversion,
        base=base,
        spanA=((conversion + base) / 2).shift(base_period),
        spanB=middle(high, low, span_period).shift(base_period),
        lagging=close,
    )


@indicator(
    "Parabolic SAR",
    overlay=True,
    warm_up=lambda acceleration, maximum: 1,
    settle=lambda acceleration, maximum: STANDSTILL + 2 * fade(min(acceleration, maximum)),
)
def parabolic_sar(
    high: Expr,
    low: Expr,
    acceleration: Annotated[float, Bounds(0.005, 1)] = 0.02,
    maximum: Annotated[float, Bounds(0.005, 1)] = 0.2,
) -> Expr:
    """Stop that closes in on a trend and turns when the price touches it, in price units (Wilder 1978).

    Each bar it moves by a factor of its distance from the trend's extreme; the factor grows by `acceleration` with
    each new extreme, to `maximum` at most. It begins long where the low fell by less than the high rose. Null after a
    standstill of 100 bars, in which it loses its way; it begins anew with the bar that moves on.
    """
    move = (high.diff().abs() + low.diff().abs()).fill_null(0.0)
    moving = kept(lives(move, STANDSTILL))
    # From the last bar that stands still on: as at the beginning, where it was going is told by two bars.
    stretch = kept((moving.shift(-1, fill_value=False) > moving).cum_sum())
    return pl.when(moving).then(ta.sar(high, low, acceleration, max(acceleration, maximum)).over(stretch))


@indicator(
    "SuperTrend",
    overlay=True,
    warm_up=lambda period, multiplier: period,
    settle=lambda period, multiplier: 2 * smma_settle(period) + 200,
)
def super_trend(high: Expr, low: Expr, close: Expr, period: Sample = 10, multiplier: Multiple = 3) -> SuperTrend:
    """Stop a few ATRs behind the price that never gives way in its trend, in price units (Seban 2008).

    `direction` is 1 where the line is below the price, -1 above. Its path depends on when it last turned: windows
    agree once both have turned at the same bar. Null where the true range has been 0 for so long that the last move is
    forgotten.
    """
    line = ta.supertrend(high, low, close, period, multiplier)
    # The kernel says 0 where there is no direction yet. In a standstill it would keep one for ever.
    known = (pl.int_range(pl.len()) >= period) & lives(gap_range(high, low, close), fade(1 / period) + 1)
    return pl.when(known).then(line.struct.rename_fields(["line", "direction"]))


@indicator(
    "Alligator",
    overlay=True,
    warm_up=lambda jaw_period, teeth_period, lips_period: max(jaw_period + 7, teeth_period + 4, lips_period + 2),
    settle=lambda jaw_period, teeth_period, lips_period: (
        8 + max(smma_settle(period) for period in (jaw_period, teeth_period, lips_period))
    ),
)
def alligator(
    high: Expr, low: Expr, jaw_period: Period = 13, teeth_period: Period = 8, lips_period: Period = 5
) -> Alligator:
    """Three smoothed averages of the bars' middles, drawn 8, 5 and 3 bars ahead, in price units (Williams 1995).

    What stands at a bar was known that many bars before.
    """
    price = kept((high + low) / 2)
    return pl.struct(
        jaw=smma(price, jaw_period).shift(8),
        teeth=smma(price, teeth_period).shift(5),
        lips=smma(price, lips_period).shift(3),
    )


@indicator("Moving Average Envelope", overlay=True, warm_up=lambda period, percent: period - 1)
def moving_average_envelope(
    of: Expr, period: Period = 20, percent: Annotated[float, Bounds(0.001, 100)] = 2.5
) -> Envelope:
    """The SMA, and lines `percent` of it above and below, in price units (StockCharts ChartSchool, Envelopes)."""
    centre = kept(sma(of, period))
    return pl.struct(middle=centre, upper=centre * (1 + percent * 0.01), lower=centre * (1 - percent * 0.01))


@indicator(
    "Chandelier Exit",
    overlay=True,
    warm_up=lambda period, multiplier: period,
    settle=lambda period, multiplier: 2 * smma_settle(period) + 1,
)
def chandelier_exit(high: Expr, low: Expr, close: Expr, period: Period = 22, multiplier: Multiple = 3) -> Exits:
    """Stops a few ATRs below the highest high and above the lowest low, in price units (Elder 2002, after Le Beau)."""
    width = kept(atr(high, low, close, period) * multiplier)
    return pl.struct(long=highest(high, period) - width, short=lowest(low, period) + width)


@indicator(
    "Chande Kroll Stop",
    overlay=True,
    warm_up=lambda period, multiplier, stop_period: period + stop_period - 1,
    settle=lambda period, multiplier, stop_period: 2 * smma_settle(period) + stop_period + 1,
)
def chande_kroll_stop(
    high: Expr, low: Expr, close: Expr, period: Period = 10, multiplier: Multiple = 1, stop_period: Period = 9
) -> Exits:
    """Stops from the extremes of a few ATRs behind the recent range, in price units (Chande and Kroll 1994).

    The highest high of `period` bars less `multiplier` ATRs, of which `short` is the greatest in `stop_period` bars;
    the lowest low plus as much, of which `long` is the least.
    """
    width = kept(atr(high, low, close, period) * multiplier)
    return pl.struct(
        long=lowest(lowest(low, period) + width, stop_period),
        short=highest(highest(high, period) - width, stop_period),
    )
