"""How far the price ranges within a bar and from bar to bar."""

import math

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Period, Sample, indicator
from indicators.ranges import gap_range, highest, lives, lowest
from indicators.smoothing import fade
from indicators.trend.averages import ema, ema_settle, smma, smma_settle


@indicator("True Range", warm_up=lambda: 1)
def true_range(high: Expr, low: Expr, close: Expr) -> Expr:
    """The bar's range, widened to the close before it, in price units (Wilder 1978)."""
    return gap_range(high, low, close)


@indicator("Average True Range", warm_up=lambda period: period, settle=lambda period: 2 * smma_settle(period) + 1)
def atr(high: Expr, low: Expr, close: Expr, period: Period = 14) -> Expr:
    """Smoothed average of the true range, in price units (Wilder 1978).

    It begins with the mean of the first `period` true ranges; each further one counts 1 / `period`.
    """
    return smma(gap_range(high, low, close), period)


@indicator(
    "Normalized Average True Range", warm_up=lambda period: period, settle=lambda period: 2 * smma_settle(period) + 1
)
def natr(high: Expr, low: Expr, close: Expr, period: Period = 14) -> Expr:
    """The ATR in percent of the close (Forman 2006). Null where the close is 0."""
    return 100 * atr(high, low, close, period) / close


@indicator("Average Bar Range", warm_up=lambda period: period - 1)
def average_range(high: Expr, low: Expr, period: Period = 14) -> Expr:
    """Mean of high less low over the last `period` bars, in price units (Kaufman 2013)."""
    return (high - low).rolling_mean(period)


@indicator("Choppiness Index", warm_up=lambda period: period)
def choppiness_index(high: Expr, low: Expr, close: Expr, period: Sample = 14) -> Expr:
    """How little of its way the price got on, 0 straight to 100 in place (Dreiss 1993).

    The logarithm, to the base `period`, of the sum of the true ranges as a multiple of the whole range. Null where
    there was no range. A gap in front of the window can lift it above 100.
    """
    whole = highest(high, period) - lowest(low, period)
    return (gap_range(high, low, close).rolling_sum(period) / whole).log() * (100 / math.log(period))


@indicator(
    "Chaikin Volatility",
    warm_up=lambda period, change_period: period - 1 + change_period,
    settle=lambda period, change_period: 2 * ema_settle(period) + change_period,
)
def chaikin_volatility(high: Expr, low: Expr, period: Period = 10, change_period: Period = 10) -> Expr:
    """Change, in percent, of the EMA of the bar's range over `change_period` bars (Chaikin, in Achelis 2000).

    Null where the bars of the earlier average had no range, or it is so long ago that it is forgotten.
    """
    span = kept(high - low)
    average = kept(ema(span, period))
    before = kept(pl.when(lives(span, fade(2 / (period + 1)) + 1)).then(average).shift(change_period))
    return 100 * (average - before) / before


@indicator(
    "Mass Index",
    warm_up=lambda period, sum_period: 2 * (period - 1) + sum_period - 1,
    settle=lambda period, sum_period: 2 * (2 * ema_settle(period)) + sum_period,
)
def mass_index(high: Expr, low: Expr, period: Sample = 9, sum_period: Period = 25) -> Expr:
    """Sum over `sum_period` bars of the EMA of the range as a multiple of the EMA of that EMA (Dorsey 1992).

    Above 27 and back under 26.5 foretells a turn. Where the range has been 0 for so long that the last one is
    forgotten, a bar adds 1.
    """
    span = kept(high - low)
    once = kept(ema(span, period))
    twice = kept(ema(once, period))
    alive = lives(span, fade(2 / (period + 1)) + 1)
    part = pl.when(alive & (twice > 0)).then(once / twice).when(twice.is_not_null()).then(1.0)
    return part.rolling_sum(sum_period)
