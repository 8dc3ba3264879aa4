"""How much is traded beside what is usual."""

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Period, indicator
from indicators.momentum.oscillators import Ppo, check_faster, difference_settle, difference_warm_up, with_signal
from indicators.ranges import highest, lives, share
from indicators.smoothing import fade
from indicators.trend.averages import ema


@indicator("Average Volume", warm_up=lambda period: period - 1)
def average_volume(volume: Expr, period: Period = 20) -> Expr:
    """Mean volume of the last `period` bars, in units traded (Achelis 2000)."""
    return volume.rolling_mean(period)


@indicator("Relative Volume", warm_up=lambda period: period)
def relative_volume(volume: Expr, period: Period = 20) -> Expr:
    """Volume as a multiple of the mean of the `period` bars before (StockCharts ChartSchool, RVOL).

    Null where nothing was traded in them.
    """
    before = volume.shift(1)
    return pl.when(highest(before, period) > 0).then(volume / before.rolling_mean(period))


@indicator("Volume Rate of Change", warm_up=lambda period: period)
def volume_rate_of_change(volume: Expr, period: Period = 14) -> Expr:
    """Change of the volume over `period` bars, in percent (Achelis 2000). Null where it was 0."""
    before = volume.shift(period)
    return 100 * (volume - before) / before


@indicator(
    "Percentage Volume Oscillator",
    warm_up=difference_warm_up,
    settle=lambda fast_period, slow_period, signal_period: (
        2 * difference_settle(fast_period, slow_period, signal_period)
    ),
)
def pvo(volume: Expr, fast_period: Period = 12, slow_period: Period = 26, signal_period: Period = 9) -> Ppo:
    """Fast EMA less slow EMA of the volume, in percent of the slow one, with signal and histogram (Achelis 2000).

    0 where nothing has been traded for so long that the last trade is forgotten.
    """
    check_faster("pvo", fast_period, slow_period)
    slow = kept(ema(volume, slow_period))
    alive = lives(volume, fade(2 / (slow_period + 1)) + 1)
    return with_signal(100 * share(ema(volume, fast_period) - slow, slow, alive), signal_period)


@indicator("Turnover", warm_up=lambda: 0)
def turnover(high: Expr, low: Expr, close: Expr, volume: Expr) -> Expr:
    """Typical price times volume: about what was paid, in currency units (Achelis 2000)."""
    return (high + low + close) * (1 / 3) * volume


@indicator("Market Facilitation Index", warm_up=lambda: 0)
def market_facilitation_index(high: Expr, low: Expr, volume: Expr) -> Expr:
    """Range per unit traded (Williams 1995). Null where nothing was traded."""
    return (high - low) / volume
