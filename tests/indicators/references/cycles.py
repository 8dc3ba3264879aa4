"""Ehlers' waves, after the code in his Rocket Science for Traders (2001) and Cycle Analytics (2013)."""

import math

from tests.indicators.references.loops import Bars, Column, each, exponential, shift


class Waves:
    """The Hilbert transform of a price, bar by bar; all that is recursive stands at 0 before the bar `first`."""

    def __init__(self, prices: list[float], first: int) -> None:
        size = len(prices)
        self.prices, self.first = prices, first
        self.smooth, detrended, self.in_phase, self.quadrature = ([0.0] * size for _ in range(4))
        self.period, self.smooth_period = [0.0] * size, [0.0] * size
        i2, q2, re, im = ([0.0] * size for _ in range(4))
        for t in range(3, size):
            self.smooth[t] = (4 * prices[t] + 3 * prices[t - 1] + 2 * prices[t - 2] + prices[t - 3]) / 10
        heard = [0.0] * size
        for t in range(first, size):
            heard[t] = self.smooth[t]
            reach = 0.075 * self.period[t - 1] + 0.54

            def transform(wave: list[float], t: int = t, reach: float = reach) -> float:
                lag = [wave[t - k] if t >= k else 0.0 for k in (0, 2, 4, 6)]
                return (0.0962 * lag[0] + 0.5769 * lag[1] - 0.5769 * lag[2] - 0.0962 * lag[3]) * reach

            detrended[t] = transform(heard)
            self.quadrature[t] = transform(detrended)
            self.in_phase[t] = detrended[t - 3]
            ahead_i, ahead_q = transform(self.in_phase), transform(self.quadrature)
            i2[t] = 0.2 * (self.in_phase[t] - ahead_q) + 0.8 * i2[t - 1]
            q2[t] = 0.2 * (self.quadrature[t] + ahead_i) + 0.8 * q2[t - 1]
            re[t] = 0.2 * (i2[t] * i2[t - 1] + q2[t] * q2[t - 1]) + 0.8 * re[t - 1]
            im[t] = 0.2 * (i2[t] * q2[t - 1] - q2[t] * i2[t - 1]) + 0.8 * im[t - 1]
            last = self.period[t - 1]
            period = 360 / math.degrees(math.atan(im[t] / re[t])) if im[t] and re[t] else last
            period = min(max(min(period, 1.5 * last), 0.67 * last, 6), 50)
            self.period[t] = 0.2 * period + 0.8 * last
            self.smooth_period[t] = 0.33 * self.period[t] + 0.67 * self.smooth_period[t - 1]

    def phase(self, t: int) -> float:
        """Of the dominant cycle, in degrees."""
        bars = int(self.smooth_period[t] + 0.5)
        heard = [self.smooth[t - k] if t - k >= self.first else 0.0 for k in range(bars)]
        real = math.fsum(math.sin(math.tau * k / bars) * price for k, price in enumerate(heard))
        imaginary = math.fsum(math.cos(math.tau * k / bars) * price for k, price in enumerate(heard))
        phase = math.degrees(math.atan(real / imaginary)) + 90 + 360 / self.smooth_period[t]
        phase += 180 if imaginary < 0 else 0
        return phase - 360 if phase > 315 else phase

    def trend(self, t: int) -> float:
        """Mean of the price over the dominant cycle."""
        bars = int(self.smooth_period[t] + 0.5)
        return math.fsum(self.prices[t + 1 - bars : t + 1]) / bars if bars else 0.0

    def trendline(self, t: int) -> float:
        """The trend, smoothed over four bars."""
        lag = [self.trend(k) if k >= self.first else 0.0 for k in range(t, t - 4, -1)]
        return (4 * lag[0] + 3 * lag[1] + 2 * lag[2] + lag[3]) / 10


def _known(column: list[float], warm_up: int) -> Column:
    return [None if i < warm_up else value for i, value in enumerate(column)]


def dominant_cycle_period(bars: Bars) -> Column:
    return _known(Waves(bars.of, 12).smooth_period, 32)


def phasor(bars: Bars) -> dict[str, Column]:
    waves = Waves(bars.of, 12)
    return {"inPhase": _known(waves.in_phase, 32), "quadrature": _known(waves.quadrature, 32)}


def dominant_cycle_phase(bars: Bars) -> Column:
    waves = Waves(bars.of, 37)
    return [None if t < 63 else waves.phase(t) for t in range(len(bars.of))]


def sine_wave(bars: Bars) -> dict[str, Column]:
    phases = dominant_cycle_phase(bars)
    return {
        "sine": each(lambda phase: math.sin(math.radians(phase)), phases),
        "lead": each(lambda phase: math.sin(math.radians(phase + 45)), phases),
    }


def instantaneous_trendline(bars: Bars) -> Column:
    waves = Waves(bars.of, 37)
    return [None if t < 63 else waves.trendline(t) for t in range(len(bars.of))]


def trend_mode(bars: Bars) -> Column:
    waves = Waves(bars.of, 37)
    out: Column = [None] * min(63, len(bars.of))
    days, phase, sine, lead = 0, 0.0, 0.0, 0.0
    for t in range(37, len(bars.of)):
        cycle = waves.smooth_period[t]
        if cycle < 0.5:  # it grows from 0: there is no phase yet
            days += 1
            continue
        before, phase = phase, waves.phase(t)
        were, sine, lead = (sine, lead), math.sin(math.radians(phase)), math.sin(math.radians(phase + 45))
        trend = 1.0
        if (sine > lead and were[0] <= were[1]) or (sine < lead and were[0] >= were[1]):
            days, trend = 0, 0.0
        days += 1
        if days < cycle / 2 or 0.67 * 360 / cycle < phase - before < 1.5 * 360 / cycle:
            trend = 0.0
        trendline = waves.trendline(t)
        if trendline and abs((waves.smooth[t] - trendline) / trendline) >= 0.015:
            trend = 1.0
        if t >= 63:
            out.append(trend)
    return out


def super_smoother(bars: Bars, period: int) -> Column:
    a = math.exp(-math.sqrt(2) * math.pi / period)
    c2, c3 = 2 * a * math.cos(math.sqrt(2) * math.pi / period), -a * a
    out: Column = []
    last = before = None
    for i, price in enumerate(bars.of):
        if i:
            pair = (price + bars.of[i - 1]) / 2
            if last is None or before is None:
                last = before = pair
            last, before = (1 - c2 - c3) * pair + c2 * last + c3 * before, last
        out.append(last)
    return out


def decycler(bars: Bars, period: int) -> Column:
    angle = math.tau / period
    alpha = (math.cos(angle) + math.sin(angle) - 1) / math.cos(angle)
    return exponential(each(lambda now, then: (now + then) / 2, bars.of, shift(bars.of, 1)), 1, alpha)
