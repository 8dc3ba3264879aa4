"""How much the price has changed, and how such changes change."""

from typing import Annotated

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Outputs, Period, Sample, indicator
from indicators.ranges import ratio
from indicators.smoothing import exponential_mean, fade, weighted_sum
from indicators.trend.averages import ema, ema_settle, sma, wma

Trix = Annotated[Expr, Outputs("Trix", "value", "signal")]
Kst = Annotated[Expr, Outputs("KnowSureThing", "value", "signal")]
Pmo = Annotated[Expr, Outputs("PriceMomentum", "value", "signal")]


@indicator("Momentum", warm_up=lambda period: period)
def momentum(of: Expr, period: Period = 10) -> Expr:
    """Change of the price over `period` bars, in price units (Achelis 2000)."""
    return of - of.shift(period)


@indicator("Rate of Change", warm_up=lambda period: period)
def roc(of: Expr, period: Period = 10) -> Expr:
    """Change of the price over `period` bars, in percent (Achelis 2000). Null where the price was 0."""
    before = kept(of.shift(period))
    return 100 * (of - before) / before


def _change(of: Expr, period: int = 1) -> Expr:
    """In percent; 0 from a price of 0, so that no average over it is lost."""
    before = kept(of.shift(period))
    return 100 * ratio(of - before, before, otherwise=0)


@indicator(
    "TRIX",
    warm_up=lambda period, signal_period: 3 * (period - 1) + signal_period,
    settle=lambda period, signal_period: 3 * ema_settle(period) + 1 + ema_settle(signal_period),
)
def trix(of: Expr, period: Period = 15, signal_period: Period = 9) -> Trix:
    """Change from bar to bar of a triple EMA, in percent, and its EMA as signal (Hutson 1983)."""
    value = kept(_change(kept(ema(ema(ema(of, period), period), period))))
    return pl.struct(value=value, signal=ema(value, signal_period))


@indicator("Know Sure Thing", warm_up=lambda signal_period: 30 + 15 - 1 + signal_period - 1)
def know_sure_thing(of: Expr, signal_period: Period = 9) -> Kst:
    """Rates of change over 10, 15, 20 and 30 bars, averaged over 10, 10, 10 and 15, by 1, 2, 3 and 4 (Pring 1992).

    In percent; `signal` is the SMA of `value`. The change from a price of 0 counts 0.
    """
    parts = [
        weight * sma(_change(of, span), period)
        for weight, span, period in ((1, 10, 10), (2, 15, 10), (3, 20, 10), (4, 30, 15))
    ]
    value = kept(parts[0] + parts[1] + parts[2] + parts[3])
    return pl.struct(value=value, signal=sma(value, signal_period))


@indicator(
    "Coppock Curve",
    warm_up=lambda period, short_period, long_period: max(short_period, long_period) + period - 1,
)
def coppock_curve(of: Expr, period: Period = 10, short_period: Period = 11, long_period: Period = 14) -> Expr:
    """WMA of the sum of two rates of change, in percent (Coppock 1962). The change from a price of 0 counts 0."""
    return wma(_change(of, short_period) + _change(of, long_period), period)


@indicator("Detrended Price Oscillator", warm_up=lambda period: max(period - 1, period // 2 + 1))
def dpo(of: Expr, period: Period = 20) -> Expr:
    """The price `period` / 2 + 1 bars ago less the SMA, in price units (StockCharts ChartSchool, DPO).

    Half of it is rounded down.
    """
    return of.shift(period // 2 + 1) - sma(of, period)


@indicator("Disparity Index", warm_up=lambda period: period - 1)
def disparity_index(of: Expr, period: Period = 14) -> Expr:
    """Distance of the price from its SMA, in percent of that (Nison 1994). Null where that is 0."""
    centre = kept(sma(of, period))
    return 100 * (of - centre) / centre


def line_weights(period: int, at: float) -> list[float]:
    """What each of `period` values, the oldest first, counts in the value of their regression line at `at`.

    The oldest stands at 0, the newest at `period` - 1.
    """
    centre = (period - 1) / 2
    square = period * (period**2 - 1) / 12
    return [1 / period + (at - centre) * (i - centre) / square for i in range(period)]


@indicator("Chande Forecast Oscillator", warm_up=lambda period: period)
def forecast_oscillator(of: Expr, period: Sample = 14) -> Expr:
    """Distance of the price from what the line through the `period` prices before foretold, in percent (Chande 1994).

    Null where the price is 0.
    """
    foretold = weighted_sum(of, line_weights(period, period)).shift(1)
    return 100 * (of - foretold) / of


@indicator(
    "Price Momentum Oscillator",
    warm_up=lambda long_period, short_period, signal_period: long_period + short_period + signal_period - 2,
    settle=lambda long_period, short_period, signal_period: (
        long_period + fade(2 / long_period) + short_period + fade(2 / short_period) + ema_settle(signal_period)
    ),
)
def price_momentum_oscillator(
    of: Expr, long_period: Sample = 35, short_period: Sample = 20, signal_period: Period = 10
) -> Pmo:
    """Ten times the change from bar to bar, in percent, smoothed twice, and its EMA (DecisionPoint, Swenlin).

    Each smoothing begins with a mean; a further value counts 2 / period. The change from a price of 0 counts 0.
    """
    once = exponential_mean(_change(of), 2 / long_period, long_period)
    value = kept(exponential_mean(10 * once, 2 / short_period, short_period))
    return pl.struct(value=value, signal=ema(value, signal_period))
