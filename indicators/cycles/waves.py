"""The dominant cycle of the price, measured with the Hilbert transform, and filters.

What is measured is null until the price has moved on for 300 bars after it stood still for 10.
"""

import math
from typing import Annotated

import polars as pl
import polars_talib as ta
from polars import Expr

from indicators.indicator import Bounds, Outputs, indicator
from indicators.recursion import two_poles
from indicators.smoothing import fade

Phasor = Annotated[Expr, Outputs("Phasor", "inPhase", "quadrature")]
Sine = Annotated[Expr, Outputs("SineWave", "sine", "lead")]
Cycle = Annotated[int, Bounds(4, 1000)]

STANDSTILL = 10
RECOVERY = 300
_SETTLE = 700


def has_wave(of: Expr) -> Expr:
    """False until the price has moved on for 300 bars after it stood still for 10.

    In a standstill there is no wave to measure. What is measured when it ends depends on what was before, however long
    ago, until that is forgotten.
    """
    still = of.rolling_max(STANDSTILL) == of.rolling_min(STANDSTILL)
    return ~still.fill_null(False).cast(pl.Int8).rolling_max(RECOVERY, min_samples=1).cast(pl.Boolean)


def _measured(of: Expr, kernel: Expr, warm_up: int) -> Expr:
    # Kernels of whole numbers say 0 where they have no value yet.
    return pl.when(has_wave(of) & (pl.int_range(pl.len()) >= warm_up)).then(kernel)


@indicator("Dominant Cycle Period", warm_up=lambda: 32, settle=lambda: _SETTLE)
def dominant_cycle_period(of: Expr) -> Expr:
    """Length of the dominant cycle, 6 to 50 bars (Ehlers 2001).

    Null after a standstill of 10 bars, until the price has moved on for 300.
    """
    return _measured(of, ta.ht_dcperiod(of), 32)


@indicator("Dominant Cycle Phase", warm_up=lambda: 63, settle=lambda: _SETTLE)
def dominant_cycle_phase(of: Expr) -> Expr:
    """Where in the dominant cycle the price stands, in degrees, -45 to 315 (Ehlers 2001).

    Null after a standstill of 10 bars, until the price has moved on for 300.
    """
    return _measured(of, ta.ht_dcphase(of), 63)


@indicator("Phasor", warm_up=lambda: 32, settle=lambda: _SETTLE)
def phasor(of: Expr) -> Phasor:
    """The two components of the wave, a quarter of a cycle apart, in price units (Ehlers 2001).

    Null after a standstill of 10 bars, until the price has moved on for 300.
    """
    return _measured(of, ta.ht_phasor(of).struct.rename_fields(["inPhase", "quadrature"]), 32)


@indicator("Sine Wave", warm_up=lambda: 63, settle=lambda: _SETTLE)
def sine_wave(of: Expr) -> Sine:
    """Sine of the cycle's phase, and of the phase 45 degrees ahead, -1 to 1 (Ehlers 2001).

    They cross at the turns of a cycle, and run side by side in a trend.
    Null after a standstill of 10 bars, until the price has moved on for 300.
    """
    return _measured(of, ta.ht_sine(of).struct.rename_fields(["sine", "lead"]), 63)


@indicator("Trend Mode", warm_up=lambda: 63, settle=lambda: _SETTLE)
def trend_mode(of: Expr) -> Expr:
    """1 in a trend, 0 in a cycle (Ehlers 2001).

    Null after a standstill of 10 bars, until the price has moved on for 300.
    """
    return _measured(of, ta.ht_trendmode(of), 63)


@indicator("Instantaneous Trendline", overlay=True, warm_up=lambda: 63, settle=lambda: _SETTLE)
def instantaneous_trendline(of: Expr) -> Expr:
    """Mean of the price over the dominant cycle, smoothed, in price units (Ehlers 2001).

    Null after a standstill of 10 bars, until the price has moved on for 300.
    """
    return _measured(of, ta.ht_trendline(of), 63)


@indicator(
    "Super Smoother", overlay=True, warm_up=lambda period: 1, settle=lambda period: 2 * fade(1 - _damping(period))
)
def super_smoother(of: Expr, period: Cycle = 10) -> Expr:
    """The price without the waves shorter than `period` bars, in price units (Ehlers 2013).

    A Butterworth filter of two poles. It begins at the middle of the first two prices.
    """
    damping = _damping(period)
    first, second = 2 * damping * math.cos(math.sqrt(2) * math.pi / period), -(damping**2)
    return two_poles((of + of.shift(1)) / 2, 1 - first - second, first, second)


def _damping(period: int) -> float:
    return math.exp(-math.sqrt(2) * math.pi / period)


def _decycler_weight(period: int) -> float:
    angle = 2 * math.pi / period
    return (math.cos(angle) + math.sin(angle) - 1) / math.cos(angle)


@indicator("Decycler", overlay=True, warm_up=lambda period: 1, settle=lambda period: 1 + fade(_decycler_weight(period)))
def decycler(of: Expr, period: Annotated[int, Bounds(8, 1000)] = 60) -> Expr:
    """The price without the waves shorter than `period` bars, hardly late, in price units (Ehlers 2015).

    What a high-pass filter of one pole takes out. It begins at the middle of the first two prices.
    """
    return ((of + of.shift(1)) / 2).ewm_mean(alpha=_decycler_weight(period), adjust=False)
