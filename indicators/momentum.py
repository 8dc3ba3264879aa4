"""How fast, and how one-sidedly, the price moves."""

from typing import Annotated

import polars as pl
import polars_talib as ta
from polars import Expr

from errors import InvalidParameter
from indicators.indicator import Bounds, Outputs, Period, indicator
from indicators.smoothing import fade
from indicators.trend import ema, ema_settle

Macd = Annotated[Expr, Outputs("Macd", "macd", "signal", "histogram")]


# It settles in twice the fade: the last move may lie one fade back and still make the value, so what came before
# must be forgotten beside that.
@indicator(
    "Relative Strength Index",
    warm_up=lambda period: period,
    settle=lambda period: period + 2 * fade(1 / period),
)
def rsi(of: Expr, period: Annotated[int, Bounds(2, 1000)] = 14) -> Expr:
    """Average rise as a share of average rise plus average fall, 0 to 100 (Wilder 1978).

    Both averages begin with the mean of the first `period` changes; each further change counts 1 / `period`.
    One value per bar; the first `period` are null. Null too where the price has not moved for so long that its
    last move is forgotten (its weight is under 1e-10): 0 / 0 has no value, and 0, 50 or 100 would be made up.
    """
    memory = fade(1 / period) + 1
    moved = of.rolling_max(memory, min_samples=1) > of.rolling_min(memory, min_samples=1)
    return pl.when(moved).then(ta.rsi(of, period))


@indicator(
    "Moving Average Convergence Divergence",
    warm_up=lambda fast_period, slow_period, signal_period: slow_period + signal_period - 2,
    settle=lambda fast_period, slow_period, signal_period: ema_settle(slow_period) + ema_settle(signal_period),
)
def macd(of: Expr, fast_period: Period = 12, slow_period: Period = 26, signal_period: Period = 9) -> Macd:
    """The fast EMA less the slow one, its own EMA as signal, and their difference, in price units (Appel 1979).

    Each EMA begins with the mean of the first values of its own series. (TA-Lib begins the fast one later, so
    that both have their first value at one bar; the difference fades.) One value per bar; of `macd` the first
    `slow_period` - 1 are null, of `signal` and `histogram` the first `slow_period` + `signal_period` - 2.
    """
    if fast_period >= slow_period:
        raise InvalidParameter(
            f"fastPeriod of macd is {fast_period} and slowPeriod {slow_period}; give a fastPeriod below slowPeriod.",
            parameter="fastPeriod",
        )
    # The struct lets the later fields use the earlier ones without computing them again.
    return (
        pl.struct(macd=ema(of, fast_period) - ema(of, slow_period))
        .struct.with_fields(signal=ema(pl.field("macd"), signal_period))
        .struct.with_fields(histogram=pl.field("macd") - pl.field("signal"))
    )
