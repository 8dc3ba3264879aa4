"""How much the price fluctuates, as deviations of its returns."""

import math
from typing import Annotated

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Bounds, Period, Sample, indicator
from indicators.ranges import highest, lives, ratio
from indicators.smoothing import fade
from indicators.trend.averages import smma

Year = Annotated[int, Bounds(1, 525_600)]


def _yearly_percent(variance: Expr, bars_per_year: int) -> Expr:
    # Rounding can leave less than nothing of a variance that is 0.
    return variance.clip(lower_bound=0).sqrt() * (100 * math.sqrt(bars_per_year))


def _mean(of: Expr, period: int) -> Expr:
    """The mean of the last values, exactly 0 where all are: a running sum keeps a rounding of what has left it."""
    return (
        pl.when(of.abs().rolling_max(period) > 0)
        .then(of.rolling_mean(period))
        .when(of.rolling_max(period).is_not_null())
        .then(0.0)
    )


def _log(part: Expr, whole: Expr) -> Expr:
    """Natural logarithm of the ratio; null where either is not above 0."""
    return pl.when((part > 0) & (whole > 0)).then((part / whole).log())


@indicator("Historical Volatility", warm_up=lambda period, bars_per_year: period)
def historical_volatility(of: Expr, period: Sample = 20, bars_per_year: Year = 252) -> Expr:
    """Sample standard deviation of the logarithmic returns, in percent a year (Hull, Options 2018).

    `bars_per_year` makes it yearly: 252 for daily bars of a stock, 365 for crypto. Null while a price of 0 or less is
    among them.
    """
    deviation = _log(of, of.shift(1)).rolling_std(period)
    return deviation * (100 * math.sqrt(bars_per_year))


@indicator("Parkinson Volatility", warm_up=lambda period, bars_per_year: period - 1)
def parkinson_volatility(high: Expr, low: Expr, period: Period = 20, bars_per_year: Year = 252) -> Expr:
    """Volatility from the ranges of the bars, in percent a year (Parkinson 1980)."""
    square = _log(high, low).pow(2)
    return _yearly_percent(_mean(square, period) * (1 / (4 * math.log(2))), bars_per_year)


@indicator("Garman-Klass Volatility", warm_up=lambda period, bars_per_year: period - 1)
def garman_klass_volatility(
    open_: Expr, high: Expr, low: Expr, close: Expr, period: Period = 20, bars_per_year: Year = 252
) -> Expr:
    """Volatility from range and body of the bars, in percent a year (Garman and Klass 1980)."""
    square = _log(high, low).pow(2) * 0.5 - _log(close, open_).pow(2) * (2 * math.log(2) - 1)
    return _yearly_percent(_mean(square, period), bars_per_year)


def _rogers_satchell(open_: Expr, high: Expr, low: Expr, close: Expr, period: int) -> Expr:
    square = _log(high, close) * _log(high, open_) + _log(low, close) * _log(low, open_)
    return _mean(square, period)


@indicator("Rogers-Satchell Volatility", warm_up=lambda period, bars_per_year: period - 1)
def rogers_satchell_volatility(
    open_: Expr, high: Expr, low: Expr, close: Expr, period: Period = 20, bars_per_year: Year = 252
) -> Expr:
    """Volatility from the four prices of the bars, in a trend too, in percent a year (Rogers and Satchell 1991)."""
    return _yearly_percent(_rogers_satchell(open_, high, low, close, period), bars_per_year)


@indicator("Yang-Zhang Volatility", warm_up=lambda period, bars_per_year: period)
def yang_zhang_volatility(
    open_: Expr, high: Expr, low: Expr, close: Expr, period: Sample = 20, bars_per_year: Year = 252
) -> Expr:
    """Volatility from gaps between bars and within them, in percent a year (Yang and Zhang 2000)."""
    weight = 0.34 / (1.34 + (period + 1) / (period - 1))
    overnight = _log(open_, close.shift(1)).rolling_var(period)
    open_to_close = _log(close, open_).rolling_var(period)
    within = _rogers_satchell(open_, high, low, close, period)
    return _yearly_percent(overnight + weight * open_to_close + (1 - weight) * within, bars_per_year)


@indicator("Ulcer Index", warm_up=lambda period: 2 * (period - 1))
def ulcer_index(of: Expr, period: Period = 14) -> Expr:
    """Root mean square of the falls from the highest price of `period` bars, in percent (Martin 1987).

    Null where the highest price is 0.
    """
    peak = kept(highest(of, period))
    fall = 100 * ratio(of - peak, peak)
    return _mean(fall.pow(2), period).sqrt()


@indicator(
    "Relative Volatility Index",
    warm_up=lambda period, deviation_period: period + deviation_period - 2,
    settle=lambda period, deviation_period: period + deviation_period + 2 * fade(1 / period),
)
def relative_volatility_index(of: Expr, period: Sample = 14, deviation_period: Sample = 10) -> Expr:
    """Share of the standard deviation that falls on rising bars, 0 to 100 (Dorsey 1993).

    The population standard deviation of `deviation_period` prices, smoothed as Wilder does on rising and on falling
    bars. Null where the price has not moved for so long that the last move is forgotten.
    """
    spread = kept(of.rolling_max(deviation_period) - of.rolling_min(deviation_period))
    deviation = kept(pl.when(spread > 0).then(of.rolling_std(deviation_period, ddof=0)).when(spread == 0).then(0.0))
    change = kept(of.diff())
    rising = kept(smma(pl.when(change > 0).then(deviation).otherwise(deviation * 0), period))
    falling = kept(smma(pl.when(change < 0).then(deviation).otherwise(deviation * 0), period))
    counted = pl.when(change != 0).then(deviation).otherwise(0.0).fill_null(0.0)
    return pl.when(lives(counted, fade(1 / period) + 1)).then(100 * rising / (rising + falling))
