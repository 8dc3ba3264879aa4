"""How much of the movement goes up: rises against falls."""

from typing import Annotated

import polars as pl
import polars_talib as ta
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Outputs, Period, Sample, indicator
from indicators.ranges import highest, lives, lowest, moves, ratio, share
from indicators.smoothing import fade
from indicators.trend.averages import ema, ema_settle, sma, smma

StochasticRsi = Annotated[Expr, Outputs("StochasticRsi", "k", "d")]
TrueStrength = Annotated[Expr, Outputs("TrueStrength", "value", "signal")]

# RSI is of 0 to 100: a range as small as this is what rounding leaves of none.
_STILL = 1e-6


def rsi_settle(period: int) -> int:
    """Bars before a bar that its RSI still hears.

    Twice the fade: the last move may lie one fade back and still make the value, so what came before must be
    forgotten beside that.
    """
    return period + 2 * fade(1 / period)


@indicator("Relative Strength Index", warm_up=lambda period: period, settle=rsi_settle)
def rsi(of: Expr, period: Sample = 14) -> Expr:
    """Average rise as a share of average rise plus average fall, 0 to 100 (Wilder 1978).

    Both averages begin with the mean of the first `period` changes; each further change counts 1 / `period`.
    Null where the price has not moved for so long that its last move is forgotten (its weight is under 1e-10): 0 / 0
    has no value, and 0, 50 or 100 would be made up.
    """
    return pl.when(moves(of, fade(1 / period) + 1)).then(ta.rsi(of, period))


@indicator(
    "Stochastic RSI",
    warm_up=lambda period, range_period, smoothing, signal_period: (
        period + range_period + smoothing + signal_period - 3
    ),
    settle=lambda period, range_period, smoothing, signal_period: (
        rsi_settle(period) + range_period + smoothing + signal_period
    ),
)
def stochastic_rsi(
    of: Expr, period: Sample = 14, range_period: Sample = 14, smoothing: Period = 3, signal_period: Period = 3
) -> StochasticRsi:
    """Where the RSI stands in its own range of the last `range_period` bars, 0 to 100 (Chande and Kroll 1994).

    `k` is its mean over `smoothing` bars, `d` the mean of `k` over `signal_period`. 50 where the RSI stood still.
    """
    strength = kept(pl.when(of.cum_count() > period).then(rsi(of, period).fill_null(50.0)))
    bottom = kept(lowest(strength, range_period))
    span = kept(highest(strength, range_period) - bottom)
    place = pl.when(span > _STILL).then(100 * (strength - bottom) / span).when(span.is_not_null()).then(50.0)
    k = kept(sma(place, smoothing))
    return pl.struct(k=k, d=sma(k, signal_period))


@indicator(
    "Relative Momentum Index",
    warm_up=lambda period, momentum_period: period + momentum_period - 1,
    settle=lambda period, momentum_period: rsi_settle(period) + momentum_period,
)
def relative_momentum_index(of: Expr, period: Sample = 14, momentum_period: Period = 5) -> Expr:
    """The RSI of changes over `momentum_period` bars, 0 to 100 (Altman 1993).

    Null where there has been no such change for so long that the last is forgotten.
    """
    change = kept(of - of.shift(momentum_period))
    rise, fall = (kept(smma(move.clip(lower_bound=0), period)) for move in (change, -change))
    return pl.when(lives(change, fade(1 / period) + 1)).then(100 * rise / (rise + fall))


@indicator(
    "Connors RSI",
    warm_up=lambda period, streak_period, rank_period: max(period, streak_period, rank_period + 1),
    settle=lambda period, streak_period, rank_period: max(
        rsi_settle(period), rsi_settle(streak_period) + fade(1 / streak_period), rank_period + 1
    ),
)
def connors_rsi(of: Expr, period: Sample = 3, streak_period: Sample = 2, rank_period: Sample = 100) -> Expr:
    """Mean of the RSI, the RSI of the streak, and the rank of the last change, 0 to 100 (Connors and Alvarez 2012).

    The streak counts the bars that the price has risen in a row, or fallen (then below 0). The rank is the share of
    the `rank_period` changes before, in percent of the price, that were smaller. A part without movement counts as 50.
    """
    bar = pl.int_range(pl.len())
    side = kept(of.diff().sign().fill_null(0.0))
    began = pl.when(side != side.shift(1).fill_null(0.0)).then(bar).forward_fill()
    streak = kept(side * (bar - began.fill_null(0) + 1))
    change = ratio(of - of.shift(1), of.shift(1), otherwise=0)
    smaller = change.rolling_rank(rank_period + 1, method="min") - 1
    parts = rsi(of, period).fill_null(50.0) + rsi(streak, streak_period).fill_null(50.0)
    known = bar >= max(period, streak_period)
    return pl.when(known).then((parts + smaller * (100 / rank_period)) * (1 / 3))


@indicator("Chande Momentum Oscillator", warm_up=lambda period: period)
def cmo(of: Expr, period: Period = 14) -> Expr:
    """Rises less falls as a share of their sum, -100 to 100 (Chande 1994). Null where the price did not move."""
    change = kept(of.diff())
    part = 100 * change.rolling_sum(period) / change.abs().rolling_sum(period)
    return pl.when(highest(of, period + 1) > lowest(of, period + 1)).then(part.clip(-100, 100))


@indicator("Intraday Momentum Index", warm_up=lambda period: period - 1)
def intraday_momentum_index(open_: Expr, close: Expr, period: Period = 14) -> Expr:
    """Gains from open to close as a share of gains and losses, 0 to 100 (Chande 1994).

    Null where every bar closed as it opened.
    """
    body = kept(close - open_)
    gains = body.clip(lower_bound=0).rolling_sum(period)
    return pl.when(body.abs().rolling_max(period) > 0).then(100 * gains / body.abs().rolling_sum(period))


@indicator(
    "True Strength Index",
    warm_up=lambda long_period, short_period, signal_period: long_period + short_period + signal_period - 2,
    settle=lambda long_period, short_period, signal_period: (
        1 + 2 * (ema_settle(long_period) + ema_settle(short_period)) + ema_settle(signal_period)
    ),
)
def true_strength_index(
    of: Expr, long_period: Period = 25, short_period: Period = 13, signal_period: Period = 13
) -> TrueStrength:
    """Changes, smoothed twice, as a share of their sizes, smoothed likewise, -100 to 100 (Blau 1991).

    `signal` is the EMA of `value`. 0 where the price has not moved for so long that the last move is forgotten.
    """
    change = kept(of.diff())
    smoothed = ema(ema(change, long_period), short_period)
    size = ema(ema(change.abs(), long_period), short_period)
    alive = lives(change, fade(2 / (max(long_period, short_period) + 1)) + 1)
    value = kept(100 * share(smoothed, size, alive))
    return pl.struct(value=value, signal=ema(value, signal_period))


@indicator("Psychological Line", warm_up=lambda period: period)
def psychological_line(of: Expr, period: Period = 12) -> Expr:
    """Share of rising bars among the last `period`, 0 to 100 (Nippon Technical Analysts Association 1989)."""
    rises = (of.diff() > 0).cast(pl.Float64)
    return rises.rolling_sum(period) * (100 / period)


@indicator("Efficiency Ratio", warm_up=lambda period: period)
def efficiency_ratio(of: Expr, period: Period = 10) -> Expr:
    """How straight the price went: its change as a share of the way, 0 to 1 (Kaufman 1995).

    Null where the price did not move.
    """
    moved = highest(of, period + 1) > lowest(of, period + 1)
    part = (of - of.shift(period)).abs() / of.diff().abs().rolling_sum(period)
    return pl.when(moved).then(part.clip(upper_bound=1))
