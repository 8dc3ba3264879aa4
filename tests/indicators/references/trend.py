"""Averages, lines and strengths of a trend."""

import math
from typing import Any

from tests.indicators.references import loops
from tests.indicators.references.cycles import Waves
from tests.indicators.references.loops import Bars, Column, changes, each, highest, lowest, rolling, share, shift, total

Outputs = dict[str, Column]


def sma(bars: Bars, period: int) -> Column:
    return loops.sma(bars.of, period)


def ema(bars: Bars, period: int) -> Column:
    return loops.ema(bars.of, period)


def smma(bars: Bars, period: int) -> Column:
    return loops.smma(bars.of, period)


def wma(bars: Bars, period: int) -> Column:
    return loops.wma(bars.of, period)


def dema(bars: Bars, period: int) -> Column:
    once = loops.ema(bars.of, period)
    return each(lambda a, b: 2 * a - b, once, loops.ema(once, period))


def tema(bars: Bars, period: int) -> Column:
    once = loops.ema(bars.of, period)
    twice = loops.ema(once, period)
    return each(lambda a, b, c: 3 * a - 3 * b + c, once, twice, loops.ema(twice, period))


def trima(bars: Bars, period: int) -> Column:
    """Achelis: an SMA of an SMA over half the bars, or halves of unequal length where they are even."""
    return loops.sma(loops.sma(bars.of, (period + 1) // 2), period // 2 + 1)


def t3(bars: Bars, period: int, volume_factor: float) -> Column:
    """Tillson's code: c1 e6 + c2 e5 + c3 e4 + c4 e3."""
    a, e = volume_factor, [loops.ema(bars.of, period)]
    for _ in range(5):
        e.append(loops.ema(e[-1], period))
    c1, c2 = -(a**3), 3 * a**2 + 3 * a**3
    c3, c4 = -6 * a**2 - 3 * a - 3 * a**3, 1 + 3 * a + a**3 + 3 * a**2
    return each(lambda e3, e4, e5, e6: c1 * e6 + c2 * e5 + c3 * e4 + c4 * e3, *e[2:])


def hma(bars: Bars, period: int) -> Column:
    twice = each(lambda half, whole: 2 * half - whole, loops.wma(bars.of, period // 2), loops.wma(bars.of, period))
    return loops.wma(twice, int(math.sqrt(period)))


def vwma(bars: Bars, period: int) -> Column:
    paid = each(lambda p, v: p * v, bars.of, bars.volume)
    return each(share, total(paid, period), total(bars.volume, period))


def alma(bars: Bars, period: int, offset: float, sigma: float) -> Column:
    m, s = offset * (period - 1), period / sigma
    return loops.weighted(bars.of, [math.exp(-((i - m) ** 2) / (2 * s * s)) for i in range(period)])


def zlema(bars: Bars, period: int) -> Column:
    lag = (period - 1) // 2
    return loops.ema(each(lambda now, before: now + (now - before), bars.of, shift(bars.of, lag)), period)


def kama(bars: Bars, period: int, fast_period: int, slow_period: int) -> Column:
    """Kaufman 1995: AMA = AMA[1] + c (price - AMA[1]), c = (ER (fast - slow) + slow)^2."""
    fast, slow = 2 / (fast_period + 1), 2 / (slow_period + 1)
    out: Column = [None] * min(period, len(bars.of))
    average = bars.of[period - 1] if len(bars.of) >= period else 0.0
    for i in range(period, len(bars.of)):
        way = math.fsum(abs(bars.of[k] - bars.of[k - 1]) for k in range(i + 1 - period, i + 1))
        efficiency = abs(bars.of[i] - bars.of[i - period]) / way if way else 0.0
        average += (efficiency * (fast - slow) + slow) ** 2 * (bars.of[i] - average)
        out.append(average)
    return out


def mama(bars: Bars, fast_limit: float, slow_limit: float) -> Outputs:
    """Ehlers 2001: alpha = fast limit / how far the phase fell, not below the slow limit."""
    waves = Waves(bars.of, first=12)
    out: Outputs = {"mama": [], "fama": []}
    average = following = None
    for i, price in enumerate(bars.of):
        if i < 33:
            out["mama"].append(None)
            out["fama"].append(None)
            continue
        phases = [
            math.degrees(math.atan(waves.quadrature[k] / waves.in_phase[k])) if waves.in_phase[k] else 0.0
            for k in (i - 1, i)
        ]
        fall = max(1.0, phases[0] - phases[1])
        alpha = max(fast_limit / fall, slow_limit)
        before = bars.of[i - 1]
        average = alpha * price + (1 - alpha) * (before if average is None else average)
        following = alpha / 2 * average + (1 - alpha / 2) * (average if following is None else following)
        out["mama"].append(average)
        out["fama"].append(following)
    return out


def _middle(bars: Bars, period: int) -> Column:
    return each(lambda h, l: (h + l) / 2, highest(bars.high, period), lowest(bars.low, period))


def ichimoku(bars: Bars, conversion_period: int, base_period: int, span_period: int) -> Outputs:
    conversion, base = _middle(bars, conversion_period), _middle(bars, base_period)
    return {
        "conversion": conversion,
        "base": base,
        "spanA": shift(each(lambda a, b: (a + b) / 2, conversion, base), base_period),
        "spanB": shift(_middle(bars, span_period), base_period),
        "lagging": list(bars.close),
    }


def parabolic_sar(bars: Bars, acceleration: float, maximum: float) -> Column:
    """Wilder 1978; anew from the last bar of each standstill of a hundred bars or more."""
    still = [max(i - 100, 0) for i in range(len(bars.high))]
    lost = [
        all(bars.high[k] == bars.high[i] and bars.low[k] == bars.low[i] for k in range(begin, i))
        for i, begin in enumerate(still)
    ]
    out: Column = []
    for i, is_lost in enumerate(lost):
        if is_lost:
            begin = i
            out.append(None)
        elif lost[i - 1]:
            end = next((k for k in range(i, len(lost)) if lost[k]), len(lost))
            out += _parabolic_sar(bars.high[begin:end], bars.low[begin:end], acceleration, maximum)[1:]
    return out


def _parabolic_sar(high: list[float], low: list[float], acceleration: float, maximum: float) -> Column:
    """The first trend is short where the low fell by more than the high rose."""
    fall, rise = low[0] - low[1], high[1] - high[0]
    long = not (fall > 0 and fall > rise)
    sar, extreme, factor = (low[0], high[1], acceleration) if long else (high[0], low[1], acceleration)
    out: Column = [None]
    for i in range(1, len(high)):
        recent = range(max(i - 1, 1), i + 1)
        top, bottom = max(high[k] for k in recent), min(low[k] for k in recent)
        if (long and low[i] <= sar) or (not long and high[i] >= sar):
            long = not long
            sar = min(extreme, bottom) if long else max(extreme, top)
            out.append(sar)
            factor, extreme = acceleration, high[i] if long else low[i]
        else:
            out.append(sar)
            if (long and high[i] > extreme) or (not long and low[i] < extreme):
                extreme = high[i] if long else low[i]
                factor = min(factor + acceleration, maximum)
        sar += factor * (extreme - sar)
        sar = min(sar, bottom) if long else max(sar, top)
    return out


def super_trend(bars: Bars, period: int, multiplier: float) -> Outputs:
    """Seban: bands only close in while the close stays behind them; a close beyond one turns the trend."""
    widths = loops.smma(bars.true_ranges, period)
    out: Outputs = {"line": [], "direction": []}
    upper = lower = direction = None
    for i, width in enumerate(widths):
        if width is None:
            out["line"].append(None)
            out["direction"].append(None)
            continue
        centre = (bars.high[i] + bars.low[i]) / 2
        top, bottom = centre + multiplier * width, centre - multiplier * width
        if upper is None or lower is None:
            upper, lower, direction = top, bottom, 1.0
        else:
            upper = top if top < upper or bars.close[i - 1] > upper else upper
            lower = bottom if bottom > lower or bars.close[i - 1] < lower else lower
        if direction == 1 and bars.close[i] < lower:
            direction = -1.0
        elif direction == -1 and bars.close[i] > upper:
            direction = 1.0
        out["line"].append(lower if direction == 1 else upper)
        out["direction"].append(direction)
    return out


def alligator(bars: Bars, jaw_period: int, teeth_period: int, lips_period: int) -> Outputs:
    return {
        "jaw": shift(loops.smma(bars.middles, jaw_period), 8),
        "teeth": shift(loops.smma(bars.middles, teeth_period), 5),
        "lips": shift(loops.smma(bars.middles, lips_period), 3),
    }


def moving_average_envelope(bars: Bars, period: int, percent: float) -> Outputs:
    centre = loops.sma(bars.of, period)
    return {
        "upper": each(lambda m: m + m * percent / 100, centre),
        "middle": centre,
        "lower": each(lambda m: m - m * percent / 100, centre),
    }


def chandelier_exit(bars: Bars, period: int, multiplier: float) -> Outputs:
    width = loops.smma(bars.true_ranges, period)
    return {
        "long": each(lambda h, w: h - multiplier * w, highest(bars.high, period), width),
        "short": each(lambda l, w: l + multiplier * w, lowest(bars.low, period), width),
    }


def chande_kroll_stop(bars: Bars, period: int, multiplier: float, stop_period: int) -> Outputs:
    width = loops.smma(bars.true_ranges, period)
    high_stop = each(lambda h, w: h - multiplier * w, highest(bars.high, period), width)
    low_stop = each(lambda l, w: l + multiplier * w, lowest(bars.low, period), width)
    return {"long": lowest(low_stop, stop_period), "short": highest(high_stop, stop_period)}


def _movements(bars: Bars) -> tuple[Column, Column]:
    rises, falls = changes(bars.high), each(lambda change: -change, changes(bars.low))
    plus = each(lambda rise, fall: rise if rise > fall and rise > 0 else 0.0, rises, falls)
    minus = each(lambda rise, fall: fall if fall > rise and fall > 0 else 0.0, rises, falls)
    return plus, minus


def _indicators(bars: Bars, period: int) -> list[Column]:
    spans = loops.smma(bars.true_ranges, period)
    return [each(lambda move, span: 100 * move / span, loops.smma(moves, period), spans) for moves in _movements(bars)]


def plus_di(bars: Bars, period: int) -> Column:
    return _indicators(bars, period)[0]


def minus_di(bars: Bars, period: int) -> Column:
    return _indicators(bars, period)[1]


def dx(bars: Bars, period: int) -> Column:
    plus, minus = _indicators(bars, period)
    return each(lambda p, m: 100 * abs(p - m) / (p + m), plus, minus)


def adx(bars: Bars, period: int) -> Column:
    return loops.smma(dx(bars, period), period)


def adxr(bars: Bars, period: int) -> Column:
    strength = adx(bars, period)
    return each(lambda now, before: (now + before) / 2, strength, shift(strength, period - 1))


def _since(column: list[float], period: int, pick: Any) -> Column:
    """Bars since the extreme of the last `period` + 1 values, the latest of equal ones."""
    return rolling(column, period + 1, lambda window: window[::-1].index(pick(window)))


def aroon(bars: Bars, period: int) -> Outputs:
    return {
        "up": each(lambda since: 100 * (period - since) / period, _since(bars.high, period, max)),
        "down": each(lambda since: 100 * (period - since) / period, _since(bars.low, period, min)),
    }


def aroon_oscillator(bars: Bars, period: int) -> Column:
    both = aroon(bars, period)
    return each(lambda up, down: up - down, both["up"], both["down"])


def vortex(bars: Bars, period: int) -> Outputs:
    whole = total(bars.true_ranges, period)
    up = each(lambda h, l: abs(h - l), bars.high, shift(bars.low, 1))
    down = each(lambda l, h: abs(l - h), bars.low, shift(bars.high, 1))
    return {"plus": each(share, total(up, period), whole), "minus": each(share, total(down, period), whole)}


def vertical_horizontal_filter(bars: Bars, period: int) -> Column:
    way = total(each(abs, changes(bars.of)), period)
    return each(lambda h, l, w: share(h - l, w), highest(bars.of, period + 1), lowest(bars.of, period + 1), way)
