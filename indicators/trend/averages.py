"""Averages that follow the price."""

import math
from typing import Annotated

import polars as pl
import polars_talib as ta
from polars import Expr

from indicators.cycles.waves import has_wave
from indicators.formula import kept
from indicators.indicator import Bounds, Outputs, Period, Sample, indicator
from indicators.ranges import known, ratio
from indicators.recursion import adaptive_mean
from indicators.smoothing import fade, weighted_mean

Mama = Annotated[Expr, Outputs("Mama", "mama", "fama")]


def ema_settle(period: int) -> int:
    """Bars before a bar that its EMA still hears: the seed and what fades after it."""
    return period - 1 + fade(2 / (period + 1))


def smma_settle(period: int) -> int:
    """Bars before a bar that its smoothed average still hears: the seed and what fades after it."""
    return period - 1 + fade(1 / period)


@indicator("Simple Moving Average", overlay=True, warm_up=lambda period: period - 1)
def sma(of: Expr, period: Period = 20) -> Expr:
    """Mean of the last `period` prices, in price units (StockCharts ChartSchool, Moving Averages)."""
    # Polars adds up with compensation: TA-Lib's running sum keeps the rounding of every price that has left it.
    return of.rolling_mean(period)


@indicator("Exponential Moving Average", overlay=True, warm_up=lambda period: period - 1, settle=ema_settle)
def ema(of: Expr, period: Period = 20) -> Expr:
    """Average in which older prices fade, in price units (StockCharts ChartSchool, Moving Averages).

    It begins with the mean of the first `period` prices; each further price counts 2 / (`period` + 1).
    """
    return of if period == 1 else known(ta.ema(of, period))


@indicator("Smoothed Moving Average", overlay=True, warm_up=lambda period: period - 1, settle=smma_settle)
def smma(of: Expr, period: Period = 14) -> Expr:
    """Average in which older prices fade slowly, in price units (Wilder 1978).

    Wilder's own average, also called RMA. It begins with the mean of the first `period` prices; each further price
    counts 1 / `period`.
    """
    return of if period == 1 else known(ta.rma(of, period))


@indicator("Weighted Moving Average", overlay=True, warm_up=lambda period: period - 1)
def wma(of: Expr, period: Period = 20) -> Expr:
    """Mean of the last `period` prices, in price units (Achelis 2000).

    The newest price counts `period` times, the one before once less, the oldest once.
    """
    return weighted_mean(of, range(1, period + 1))


@indicator(
    "Double Exponential Moving Average",
    overlay=True,
    warm_up=lambda period: 2 * (period - 1),
    settle=lambda period: 2 * ema_settle(period),
)
def dema(of: Expr, period: Period = 20) -> Expr:
    """Twice the EMA less the EMA of the EMA, which lags less, in price units (Mulloy 1994)."""
    once = kept(ema(of, period))
    return 2 * once - ema(once, period)


@indicator(
    "Triple Exponential Moving Average",
    overlay=True,
    warm_up=lambda period: 3 * (period - 1),
    settle=lambda period: 3 * ema_settle(period),
)
def tema(of: Expr, period: Period = 20) -> Expr:
    """3 EMA - 3 EMA of EMA + EMA of EMA of EMA, which lags less still, in price units (Mulloy 1994)."""
    once = kept(ema(of, period))
    twice = kept(ema(once, period))
    return 3 * once - 3 * twice + ema(twice, period)


@indicator("Triangular Moving Average", overlay=True, warm_up=lambda period: period - 1)
def trima(of: Expr, period: Period = 20) -> Expr:
    """Mean that weighs the middle of the last `period` prices most, in price units (Achelis 2000)."""
    return weighted_mean(of, [min(i, period + 1 - i) for i in range(1, period + 1)])


@indicator(
    "T3 Moving Average",
    overlay=True,
    warm_up=lambda period, volume_factor: 6 * (period - 1),
    settle=lambda period, volume_factor: 6 * ema_settle(period),
)
def t3(of: Expr, period: Period = 5, volume_factor: Annotated[float, Bounds(0, 1)] = 0.7) -> Expr:
    """Six EMAs in a row, mixed so that they hardly lag, in price units (Tillson 1998).

    The generalised DEMA, (1 + v) EMA - v EMA of EMA with v = `volume_factor`, applied three times.
    """
    averages = [of]
    for _ in range(6):
        averages.append(kept(ema(averages[-1], period)))
    v = volume_factor
    return (
        (1 + v) ** 3 * averages[3]
        - 3 * v * (1 + v) ** 2 * averages[4]
        + 3 * v**2 * (1 + v) * averages[5]
        - v**3 * averages[6]
    )


@indicator("Hull Moving Average", overlay=True, warm_up=lambda period: period - 1 + math.isqrt(period) - 1)
def hma(of: Expr, period: Sample = 20) -> Expr:
    """WMA of twice a WMA over half the bars less one over all of them, in price units (Hull 2005).

    The outer one is over the root of `period` bars. Half and root are rounded down.
    """
    return wma(2 * wma(of, period // 2) - wma(of, period), math.isqrt(period))


@indicator("Volume Weighted Moving Average", overlay=True, warm_up=lambda period: period - 1)
def vwma(of: Expr, volume: Expr, period: Period = 20) -> Expr:
    """Mean of the last `period` prices by the volume of their bars, in price units (Arms 1983).

    Null where nothing was traded in any of them.
    """
    return ratio((of * volume).rolling_sum(period), volume.rolling_sum(period))


@indicator("Arnaud Legoux Moving Average", overlay=True, warm_up=lambda period, offset, sigma: period - 1)
def alma(
    of: Expr,
    period: Period = 9,
    offset: Annotated[float, Bounds(0, 1)] = 0.85,
    sigma: Annotated[float, Bounds(0.1, 50)] = 6,
) -> Expr:
    """Mean of the last `period` prices under a bell curve, in price units (Legoux and Kouzis-Loukas 2009).

    The bell stands `offset` of the way from the oldest to the newest price, and is `period` / `sigma` bars wide.
    """
    centre, width = offset * (period - 1), period / sigma
    return weighted_mean(of, [math.exp(-(((i - centre) / width) ** 2) / 2) for i in range(period)])


@indicator(
    "Zero Lag Exponential Moving Average",
    overlay=True,
    warm_up=lambda period: (period - 1) // 2 + period - 1,
    settle=lambda period: (period - 1) // 2 + ema_settle(period),
)
def zlema(of: Expr, period: Period = 20) -> Expr:
    """EMA of the price plus what it gained over the EMA's lag, in price units (Ehlers and Way 2010).

    The lag is (`period` - 1) / 2 bars, rounded down.
    """
    return ema(2 * of - of.shift((period - 1) // 2), period)


def _efficiency(of: Expr, period: int) -> Expr:
    return ratio((of - of.shift(period)).abs(), of.diff().abs().rolling_sum(period), otherwise=0)


@indicator(
    "Kaufman Adaptive Moving Average",
    overlay=True,
    warm_up=lambda period, fast_period, slow_period: period,
    settle=lambda period, fast_period, slow_period: (
        period + max(fade((2 / (n + 1)) ** 2) for n in (fast_period, slow_period))
    ),
)
def kama(
    of: Expr,
    period: Period = 10,
    fast_period: Annotated[int, Bounds(1, 100)] = 2,
    slow_period: Annotated[int, Bounds(1, 100)] = 30,
) -> Expr:
    """Average that hurries where the price goes straight and waits where it wavers, in price units (Kaufman 1995).

    The efficiency ratio of the last `period` changes leads from the weight of an EMA over `slow_period` bars to one
    over `fast_period`; its square is what a price counts. It begins at the price of bar `period`.
    """
    fast, slow = 2 / (fast_period + 1), 2 / (slow_period + 1)
    return adaptive_mean(of, (_efficiency(of, period) * (fast - slow) + slow) ** 2)


@indicator(
    "MESA Adaptive Moving Average",
    overlay=True,
    warm_up=lambda fast_limit, slow_limit: 33,
    settle=lambda fast_limit, slow_limit: 700 + 2 * fade(slow_limit / 2),
)
def mama(
    of: Expr,
    fast_limit: Annotated[float, Bounds(0.01, 0.99)] = 0.5,
    slow_limit: Annotated[float, Bounds(0.01, 0.99)] = 0.05,
) -> Mama:
    """Average whose weight follows the phase of the dominant cycle, and a slower one, in price units (Ehlers 2001).

    The weight is `fast_limit` by the degrees that the phase fell, at least `slow_limit`; `fama` takes half of it.
    They cross where the trend turns. Both begin at the price. After a standstill of 10 bars the weight is `slow_limit`
    until the price has moved on for 300.
    """
    # Not the kernel of the whole: its averages begin at 0, and take hundreds of bars to reach the price.
    wave = kept(ta.ht_phasor(of))
    in_phase, quadrature = (wave.struct.field(name).fill_nan(None) for name in ("inphase", "quadrature"))
    phase = kept(ratio(quadrature, in_phase, otherwise=0).arctan() * (180 / math.pi))
    fall = kept((phase.shift(1) - phase).clip(lower_bound=1))
    quick = (fast_limit / fall).clip(lower_bound=slow_limit)
    # Where there is no wave its phase is noise.
    alpha = kept(pl.when(has_wave(of)).then(quick).otherwise(fall * 0 + slow_limit))
    mama = kept(adaptive_mean(of, alpha))
    return pl.struct(mama=mama, fama=adaptive_mean(mama, alpha / 2))
