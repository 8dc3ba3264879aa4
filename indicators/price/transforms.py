"""One number for a bar, bars drawn another way, and extremes."""

from typing import Annotated

import polars as pl
from polars import Expr

from indicators import ranges
from indicators.formula import kept
from indicators.indicator import Bounds, Outputs, Period, indicator
from indicators.smoothing import fade

HeikinAshi = Annotated[Expr, Outputs("HeikinAshi", "open", "high", "low", "close")]
Fractals = Annotated[Expr, Outputs("Fractals", "up", "down")]


@indicator("Average Price", overlay=True, warm_up=lambda: 0)
def average_price(open_: Expr, high: Expr, low: Expr, close: Expr) -> Expr:
    """Mean of open, high, low and close, in price units (Achelis 2000)."""
    return (open_ + high + low + close) / 4


@indicator("Median Price", overlay=True, warm_up=lambda: 0)
def median_price(high: Expr, low: Expr) -> Expr:
    """Middle of the bar, in price units (Achelis 2000)."""
    return (high + low) / 2


@indicator("Typical Price", overlay=True, warm_up=lambda: 0)
def typical_price(high: Expr, low: Expr, close: Expr) -> Expr:
    """Mean of high, low and close, in price units (Achelis 2000)."""
    return (high + low + close) * (1 / 3)


@indicator("Weighted Close", overlay=True, warm_up=lambda: 0)
def weighted_close(high: Expr, low: Expr, close: Expr) -> Expr:
    """Mean of high, low and twice the close, in price units (Achelis 2000)."""
    return (high + low + 2 * close) / 4


@indicator("Midpoint", overlay=True, warm_up=lambda period: period - 1)
def midpoint(of: Expr, period: Period = 14) -> Expr:
    """Middle of the range of the last `period` prices, in price units (TA-Lib, MIDPOINT)."""
    return ranges.middle(of, of, period)


@indicator("Midprice", overlay=True, warm_up=lambda period: period - 1)
def midprice(high: Expr, low: Expr, period: Period = 14) -> Expr:
    """Middle between highest high and lowest low of the last `period` bars, in price units (TA-Lib, MIDPRICE)."""
    return ranges.middle(high, low, period)


@indicator("Highest", overlay=True, warm_up=lambda period: period - 1)
def highest(of: Expr, period: Period = 20) -> Expr:
    """Greatest of the last `period` prices, in price units (TA-Lib, MAX)."""
    return ranges.highest(of, period)


@indicator("Lowest", overlay=True, warm_up=lambda period: period - 1)
def lowest(of: Expr, period: Period = 20) -> Expr:
    """Least of the last `period` prices, in price units (TA-Lib, MIN)."""
    return ranges.lowest(of, period)


@indicator("Drawdown", warm_up=lambda period: period - 1)
def drawdown(of: Expr, period: Period = 252) -> Expr:
    """How far the price is below the highest of the last `period`, in percent, 0 or less (Martin 1987).

    Null where that is 0.
    """
    peak = kept(ranges.highest(of, period))
    return 100 * ranges.ratio(of - peak, peak)


@indicator("Heikin-Ashi", overlay=True, warm_up=lambda: 0, settle=lambda: 2 * fade(0.5))
def heikin_ashi(open_: Expr, high: Expr, low: Expr, close: Expr) -> HeikinAshi:
    """Bars that show the trend: averaged with the bar before, in price units (Valcu 2004).

    `close` is the mean of the bar's four prices, `open` the middle of the body before; the first opens in the middle
    of its own body.
    """
    mean = kept((open_ + high + low + close) / 4)
    began = kept(mean.shift(1).fill_null((open_ + close) / 2).ewm_mean(alpha=0.5, adjust=False))
    return pl.struct(
        open=began, high=pl.max_horizontal(high, began, mean), low=pl.min_horizontal(low, began, mean), close=mean
    )


@indicator("Fractals", overlay=True, warm_up=lambda period: 2 * period)
def fractals(high: Expr, low: Expr, period: Annotated[int, Bounds(1, 50)] = 2) -> Fractals:
    """The high above, and the low below, those of `period` bars on either side, in price units (Williams 1995).

    It stands at the bar that confirms it, `period` bars after its own; elsewhere null.
    """
    top, bottom = high.shift(period), low.shift(period)
    others = [shift for shift in range(2 * period + 1) if shift != period]
    return pl.struct(
        up=pl.when(pl.all_horizontal(top > high.shift(shift) for shift in others)).then(top),
        down=pl.when(pl.all_horizontal(bottom < low.shift(shift) for shift in others)).then(bottom),
    )
