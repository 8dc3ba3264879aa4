"""On which side the volume is."""

from typing import Annotated

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Outputs, Period, indicator
from indicators.momentum.oscillators import check_faster
from indicators.ranges import highest, lives, ratio, share
from indicators.smoothing import fade
from indicators.trend.averages import ema, ema_settle, smma
from indicators.volume.cumulative import money_flow_multiplier

Klinger = Annotated[Expr, Outputs("Klinger", "value", "signal")]


@indicator(
    "Chaikin Oscillator",
    warm_up=lambda fast_period, slow_period: slow_period - 1,
    settle=lambda fast_period, slow_period: 2 * ema_settle(slow_period),
)
def chaikin_oscillator(
    high: Expr, low: Expr, close: Expr, volume: Expr, fast_period: Period = 3, slow_period: Period = 10
) -> Expr:
    """Fast EMA less slow EMA of the accumulation/distribution line, in units traded (Chaikin 1982).

    The line's beginning does not matter: it cancels.
    """
    check_faster("chaikinOscillator", fast_period, slow_period)
    line = kept((money_flow_multiplier(high, low, close) * volume).cum_sum())
    return ema(line, fast_period) - ema(line, slow_period)


@indicator("Chaikin Money Flow", warm_up=lambda period: period - 1)
def chaikin_money_flow(high: Expr, low: Expr, close: Expr, volume: Expr, period: Period = 20) -> Expr:
    """Volume by where the bars closed in their ranges, as a share of all volume, -1 to 1 (Chaikin 1982).

    Null where nothing was traded in `period` bars.
    """
    flow = (money_flow_multiplier(high, low, close) * volume).rolling_sum(period)
    return pl.when(highest(volume, period) > 0).then(flow / volume.rolling_sum(period))


@indicator("Money Flow Index", warm_up=lambda period: period)
def money_flow_index(high: Expr, low: Expr, close: Expr, volume: Expr, period: Period = 14) -> Expr:
    """Turnover of bars whose typical price rose as a share of those where it moved, 0 to 100 (Quong 1989).

    Null where it did not move on any volume.
    """
    price = kept((high + low + close) * (1 / 3))
    flow = kept(price.diff().sign() * price * volume)
    moved = kept(flow.abs())
    part = 100 * flow.clip(lower_bound=0).rolling_sum(period) / moved.rolling_sum(period)
    return pl.when(highest(moved, period) > 0).then(part.clip(0, 100))


@indicator("Force Index", warm_up=lambda period: period, settle=lambda period: 1 + 2 * ema_settle(period))
def force_index(close: Expr, volume: Expr, period: Period = 13) -> Expr:
    """EMA of the change of the close times the volume, in price times units traded (Elder 1993)."""
    return ema(close.diff() * volume, period)


@indicator("Ease of Movement", warm_up=lambda period: period)
def ease_of_movement(high: Expr, low: Expr, volume: Expr, period: Period = 14) -> Expr:
    """Mean of the move of the bars' middles times their range per volume, for 100 million units (Arms 1983).

    A bar without volume counts 0.
    """
    move = ((high + low) / 2).diff()
    return ratio(move * (high - low) * 1e8, volume, otherwise=0).rolling_mean(period)


@indicator(
    "Klinger Oscillator",
    warm_up=lambda fast_period, slow_period, signal_period: slow_period + signal_period - 1,
    settle=lambda fast_period, slow_period, signal_period: 1 + 2 * ema_settle(slow_period) + ema_settle(signal_period),
)
def klinger_oscillator(
    high: Expr,
    low: Expr,
    close: Expr,
    volume: Expr,
    fast_period: Period = 34,
    slow_period: Period = 55,
    signal_period: Period = 13,
) -> Klinger:
    """Fast EMA less slow EMA of the signed volume, and its EMA as signal, in units traded (Klinger 1997).

    The volume counts against the price where the typical price has fallen, else with it: the common short form of
    Klinger's volume force.
    """
    check_faster("klingerOscillator", fast_period, slow_period)
    change = kept(((high + low + close) * (1 / 3)).diff())
    force = kept(pl.when(change < 0).then(-volume).when(change >= 0).then(volume))
    value = kept(ema(force, fast_period) - ema(force, slow_period))
    return pl.struct(value=value, signal=ema(value, signal_period))


@indicator("Volume Zone Oscillator", warm_up=lambda period: period, settle=lambda period: 1 + 2 * ema_settle(period))
def volume_zone_oscillator(close: Expr, volume: Expr, period: Period = 14) -> Expr:
    """EMA of the volume, signed by the change of the close, as a share of its EMA, -100 to 100 (Khalil 2011).

    0 where nothing has been traded for so long that the last trade is forgotten.
    """
    side = kept(close.diff().sign())
    traded = kept(volume + side * 0)
    alive = lives(traded, fade(2 / (period + 1)) + 1)
    return 100 * share(ema(side * volume, period), ema(traded, period), alive)


@indicator("Twiggs Money Flow", warm_up=lambda period: period, settle=lambda period: period + 2 * fade(1 / period))
def twiggs_money_flow(high: Expr, low: Expr, close: Expr, volume: Expr, period: Period = 21) -> Expr:
    """Smoothed volume by where the close stands in the true range, as a share of all, -100 to 100 (Twiggs 2002).

    0 where nothing has been traded for so long that the last trade is forgotten.
    """
    before = kept(close.shift(1))
    top, bottom = kept(pl.max_horizontal(high, before)), kept(pl.min_horizontal(low, before))
    place = ratio(2 * close - top - bottom, top - bottom, otherwise=0) + before * 0
    traded = kept(volume + before * 0)
    alive = lives(traded, fade(1 / period) + 1)
    return 100 * share(smma(place * traded, period), smma(traded, period), alive)
