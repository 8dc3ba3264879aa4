"""Volume and its side."""

import math
from datetime import date

from tests.indicators.references import loops
from tests.indicators.references.loops import (
    Bars,
    Column,
    added_up,
    changes,
    each,
    mean,
    percent_changes,
    rolling,
    share,
    shift,
    total,
)

Outputs = dict[str, Column]


def year(day: date) -> int:
    """The anchor of daily bars."""
    return day.year


def _closes_before(bars: Bars) -> list[float]:
    """The close of the bar before; of the first bar of a year its own."""
    return [
        bars.close[i - 1] if i and bars.time[i - 1].year == bars.time[i].year else bars.close[i]
        for i in range(len(bars.close))
    ]


def on_balance_volume(bars: Bars) -> Column:
    signed = [
        v * ((close > before) - (close < before))
        for close, before, v in zip(bars.close, _closes_before(bars), bars.volume, strict=True)
    ]
    return list(added_up(signed, bars.time, year))


def _flows(bars: Bars) -> list[float]:
    return [
        v * ((c - l) - (h - c)) / (h - l) if h > l else 0.0
        for h, l, c, v in zip(bars.high, bars.low, bars.close, bars.volume, strict=True)
    ]


def accumulation_distribution(bars: Bars) -> Column:
    return list(added_up(_flows(bars), bars.time, year))


def price_volume_trend(bars: Bars) -> Column:
    parts = [
        v * (c - before) / before for c, before, v in zip(bars.close, _closes_before(bars), bars.volume, strict=True)
    ]
    return list(added_up(parts, bars.time, year))


def williams_accumulation_distribution(bars: Bars) -> Column:
    moves = []
    for high, low, close, before in zip(bars.high, bars.low, bars.close, _closes_before(bars), strict=True):
        rise, fall = close - min(low, before), close - max(high, before)
        moves.append(rise if close > before else fall if close < before else 0.0)
    return list(added_up(moves, bars.time, year))


def _index(bars: Bars, less: bool) -> Column:
    out: Column = []
    for i, before in enumerate(_closes_before(bars)):
        if i == 0 or bars.time[i].year != bars.time[i - 1].year:
            value = 1000.0
        elif bars.volume[i] < bars.volume[i - 1] if less else bars.volume[i] > bars.volume[i - 1]:
            value *= bars.close[i] / before
        out.append(value)
    return out


def negative_volume_index(bars: Bars) -> Column:
    return _index(bars, less=True)


def positive_volume_index(bars: Bars) -> Column:
    return _index(bars, less=False)


def vwap(bars: Bars) -> Column:
    paid = [t * v for t, v in zip(bars.typical, bars.volume, strict=True) if t is not None]
    return each(share, added_up(paid, bars.time, year), added_up(bars.volume, bars.time, year))


def chaikin_oscillator(bars: Bars, fast_period: int, slow_period: int) -> Column:
    line = added_up(_flows(bars), bars.time, lambda day: 0)
    return each(lambda a, b: a - b, loops.ema(line, fast_period), loops.ema(line, slow_period))


def chaikin_money_flow(bars: Bars, period: int) -> Column:
    return each(share, total(_flows(bars), period), total(bars.volume, period))


def money_flow_index(bars: Bars, period: int) -> Column:
    flows = each(
        lambda price, v, change: (price * v if change > 0 else 0.0, price * v if change < 0 else 0.0),  # type: ignore[arg-type, return-value]
        bars.typical,
        bars.volume,
        changes(bars.typical),
    )

    def formula(window: list[tuple[float, float]]) -> float | None:
        up, down = math.fsum(flow[0] for flow in window), math.fsum(flow[1] for flow in window)
        return 100 - 100 / (1 + up / down) if down else (100.0 if up else None)

    return rolling(flows, period, formula)


def force_index(bars: Bars, period: int) -> Column:
    return loops.ema(each(lambda change, v: change * v, changes(bars.close), bars.volume), period)


def ease_of_movement(bars: Bars, period: int) -> Column:
    parts = each(
        lambda move, span, v: move / (v / 1e8 / span) if v and span else 0.0,
        changes(bars.middles),
        bars.ranges,
        bars.volume,
    )
    return loops.sma(parts, period)


def klinger_oscillator(bars: Bars, fast_period: int, slow_period: int, signal_period: int) -> Outputs:
    force = each(lambda change, v: v if change >= 0 else -v, changes(bars.typical), bars.volume)
    value = each(lambda a, b: a - b, loops.ema(force, fast_period), loops.ema(force, slow_period))
    return {"value": value, "signal": loops.ema(value, signal_period)}


def volume_zone_oscillator(bars: Bars, period: int) -> Column:
    moves = changes(bars.close)
    signed = each(lambda change, v: v * ((change > 0) - (change < 0)), moves, bars.volume)
    traded = each(lambda change, v: v, moves, bars.volume)
    return each(lambda a, b: 100 * a / b, loops.ema(signed, period), loops.ema(traded, period))


def twiggs_money_flow(bars: Bars, period: int) -> Column:
    before = shift(bars.close, 1)
    top, bottom = each(max, bars.high, before), each(min, bars.low, before)
    flow = each(
        lambda c, h, l, v: v * (2 * c - h - l) / (h - l) if h > l else 0.0, bars.close, top, bottom, bars.volume
    )
    traded = each(lambda b, v: v, before, bars.volume)
    return each(lambda a, b: 100 * a / b, loops.smma(flow, period), loops.smma(traded, period))


def average_volume(bars: Bars, period: int) -> Column:
    return loops.sma(bars.volume, period)


def relative_volume(bars: Bars, period: int) -> Column:
    return rolling(bars.volume, period + 1, lambda w: share(w[-1], mean(w[:-1])))


def volume_rate_of_change(bars: Bars, period: int) -> Column:
    return percent_changes(bars.volume, period)


def pvo(bars: Bars, fast_period: int, slow_period: int, signal_period: int) -> Outputs:
    fast, slow = loops.ema(bars.volume, fast_period), loops.ema(bars.volume, slow_period)
    value = each(lambda a, b: 100 * (a - b) / b, fast, slow)
    signal = loops.ema(value, signal_period)
    return {"value": value, "signal": signal, "histogram": each(lambda a, b: a - b, value, signal)}


def turnover(bars: Bars) -> Column:
    return each(lambda price, v: price * v, bars.typical, bars.volume)


def market_facilitation_index(bars: Bars) -> Column:
    return each(share, bars.ranges, bars.volume)
