"""Whether there is a trend, which way it goes and how strong it is."""

from typing import Annotated

import polars as pl
import polars_talib as ta
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Outputs, Period, Sample, indicator
from indicators.ranges import gap_range, highest, lives, lowest, ratio, share
from indicators.smoothing import fade
from indicators.trend.averages import smma, smma_settle

Aroon = Annotated[Expr, Outputs("Aroon", "up", "down")]
Vortex = Annotated[Expr, Outputs("Vortex", "plus", "minus")]


def _index_settle(period: int) -> int:
    # As with RSI: what came before must be forgotten beside a last move that is itself nearly forgotten.
    return period + 2 * fade(1 / period)


def _movement(high: Expr, low: Expr) -> Expr:
    """The greater of rise of the high and fall of the low: up above 0, down below it, 0 if they are equal or neither.

    Of plus and minus directional movement one is always 0, so one number holds both.
    """
    rise, fall = kept(high.diff()), kept(low.shift(1) - low)
    return pl.max_horizontal(rise, fall, 0.0) * (rise - fall).sign()


def _share(movement: Expr, span: Expr, period: int) -> Expr:
    span = kept(span)
    return 100 * share(smma(movement, period), smma(span, period), lives(span, fade(1 / period) + 1))


def _dx(high: Expr, low: Expr, period: int) -> Expr:
    # The true range under both indicators cancels, and the average of a difference is the difference of averages.
    move = kept(_movement(high, low))
    return _share(move, move.abs(), period).abs()


@indicator("Plus Directional Indicator", warm_up=lambda period: period, settle=_index_settle)
def plus_di(high: Expr, low: Expr, close: Expr, period: Period = 14) -> Expr:
    """Smoothed rise of the highs beyond the fall of the lows, as a share of the true range, 0 to 100 (Wilder 1978).

    0 where the true range has been 0 for so long that the last move is forgotten (its weight is under 1e-10).
    """
    return _share(_movement(high, low).clip(lower_bound=0), gap_range(high, low, close), period)


@indicator("Minus Directional Indicator", warm_up=lambda period: period, settle=_index_settle)
def minus_di(high: Expr, low: Expr, close: Expr, period: Period = 14) -> Expr:
    """Smoothed fall of the lows beyond the rise of the highs, as a share of the true range, 0 to 100 (Wilder 1978).

    0 where the true range has been 0 for so long that the last move is forgotten (its weight is under 1e-10).
    """
    return _share((-_movement(high, low)).clip(lower_bound=0), gap_range(high, low, close), period)


@indicator("Directional Movement Index", warm_up=lambda period: period, settle=_index_settle)
def dx(high: Expr, low: Expr, period: Period = 14) -> Expr:
    """Difference of the two directional indicators as a share of their sum, 0 to 100 (Wilder 1978).

    0 where neither high nor low has moved on for so long that the last move is forgotten.
    """
    return _dx(high, low, period)


@indicator(
    "Average Directional Index",
    warm_up=lambda period: 2 * period - 1,
    settle=lambda period: _index_settle(period) + smma_settle(period),
)
def adx(high: Expr, low: Expr, period: Period = 14) -> Expr:
    """Strength of the trend, whichever way it goes: the smoothed DX, 0 to 100 (Wilder 1978)."""
    return smma(_dx(high, low, period), period)


@indicator(
    "Average Directional Index Rating",
    warm_up=lambda period: 3 * period - 2,
    settle=lambda period: _index_settle(period) + smma_settle(period) + period,
)
def adxr(high: Expr, low: Expr, period: Period = 14) -> Expr:
    """Mean of the ADX and the one `period` - 1 bars before, 0 to 100 (Wilder 1978)."""
    strength = kept(adx(high, low, period))
    return (strength + strength.shift(period - 1)) / 2


@indicator("Aroon", warm_up=lambda period: period)
def aroon(high: Expr, low: Expr, period: Sample = 14) -> Aroon:
    """How lately the highest high and the lowest low were: 100 at this bar, 0 `period` bars ago (Chande 1995).

    Of equal extremes the latest counts.
    """
    return ta.aroon(high, low, period).struct.rename_fields(["down", "up"])


@indicator("Aroon Oscillator", warm_up=lambda period: period)
def aroon_oscillator(high: Expr, low: Expr, period: Sample = 14) -> Expr:
    """Aroon up less Aroon down, -100 to 100 (Chande 1995)."""
    return ta.aroonosc(high, low, period)


@indicator("Vortex", warm_up=lambda period: period)
def vortex(high: Expr, low: Expr, close: Expr, period: Period = 14) -> Vortex:
    """Ways from low to next high and from high to next low, as multiples of the true range (Botes and Siepman 2010).

    Null where the true range was 0 throughout.
    """
    whole = kept(gap_range(high, low, close).rolling_sum(period))
    return pl.struct(
        plus=ratio((high - low.shift(1)).abs().rolling_sum(period), whole),
        minus=ratio((low - high.shift(1)).abs().rolling_sum(period), whole),
    )


@indicator("Vertical Horizontal Filter", warm_up=lambda period: period)
def vertical_horizontal_filter(of: Expr, period: Sample = 28) -> Expr:
    """Range of the last `period` + 1 prices as a share of the way between them, 0 to 1 (White 1991).

    High in a trend, low in a sideways market. Null where the price did not move.
    """
    span = kept(highest(of, period + 1) - lowest(of, period + 1))
    return pl.when(span > 0).then(span / of.diff().abs().rolling_sum(period))
