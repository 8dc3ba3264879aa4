"""Speed and one-sidedness of the price."""

import math

from tests.indicators.references import loops
from tests.indicators.references.loops import (
    Bars,
    Column,
    changes,
    each,
    highest,
    line,
    lowest,
    mean,
    percent_changes,
    rolling,
    share,
    shift,
    total,
)

Outputs = dict[str, Column]


def _relative_strength(column: Column, period: int) -> Column:
    rises = loops.smma(each(lambda change: max(change, 0.0), changes(column)), period)
    falls = loops.smma(each(lambda change: max(-change, 0.0), changes(column)), period)
    return each(lambda up, down: share(100 * up, up + down), rises, falls)


def rsi(bars: Bars, period: int) -> Column:
    return _relative_strength(list(bars.of), period)


def stochastic_rsi(bars: Bars, period: int, range_period: int, smoothing: int, signal_period: int) -> Outputs:
    strength = rsi(bars, period)
    raw = rolling(
        strength, range_period, lambda w: 100 * (w[-1] - min(w)) / (max(w) - min(w)) if max(w) - min(w) > 1e-6 else 50.0
    )
    k = loops.sma(raw, smoothing)
    return {"k": k, "d": loops.sma(k, signal_period)}


def relative_momentum_index(bars: Bars, period: int, momentum_period: int) -> Column:
    moves = changes(bars.of, momentum_period)
    rises = loops.smma(each(lambda change: max(change, 0.0), moves), period)
    falls = loops.smma(each(lambda change: max(-change, 0.0), moves), period)
    return each(lambda up, down: share(100 * up, up + down), rises, falls)


def connors_rsi(bars: Bars, period: int, streak_period: int, rank_period: int) -> Column:
    streaks, streak = [], 0
    for i, price in enumerate(bars.of):
        side = 0 if i == 0 else (price > bars.of[i - 1]) - (price < bars.of[i - 1])
        streak = 0 if side == 0 else streak + side if streak * side > 0 else side
        streaks.append(float(streak))
    moves = each(lambda now, before: (now - before) / before, bars.of, shift(bars.of, 1))
    rank = rolling(moves, rank_period + 1, lambda w: 100 * sum(move < w[-1] for move in w[:-1]) / rank_period)
    return each(
        lambda a, b, c: (a + b + c) / 3,
        _relative_strength(list(bars.of), period),
        _relative_strength(list(streaks), streak_period),
        rank,
    )


def cmo(bars: Bars, period: int) -> Column:
    return rolling(changes(bars.of), period, lambda w: share(100 * math.fsum(w), math.fsum(map(abs, w))))


def intraday_momentum_index(bars: Bars, period: int) -> Column:
    bodies = each(lambda o, c: c - o, bars.open, bars.close)
    return rolling(bodies, period, lambda w: share(100 * math.fsum(max(b, 0.0) for b in w), math.fsum(map(abs, w))))


def true_strength_index(bars: Bars, long_period: int, short_period: int, signal_period: int) -> Outputs:
    moves = changes(bars.of)
    smooth = loops.ema(loops.ema(moves, long_period), short_period)
    size = loops.ema(loops.ema(each(abs, moves), long_period), short_period)
    value = each(lambda a, b: 100 * a / b, smooth, size)
    return {"value": value, "signal": loops.ema(value, signal_period)}


def psychological_line(bars: Bars, period: int) -> Column:
    return rolling(changes(bars.of), period, lambda w: 100 * sum(change > 0 for change in w) / period)


def efficiency_ratio(bars: Bars, period: int) -> Column:
    return rolling(changes(bars.of), period, lambda w: share(abs(math.fsum(w)), math.fsum(map(abs, w))))


def _signalled(value: Column, signal_period: int, name: str = "value") -> Outputs:
    signal = loops.ema(value, signal_period)
    return {name: value, "signal": signal, "histogram": each(lambda a, b: a - b, value, signal)}


def macd(bars: Bars, fast_period: int, slow_period: int, signal_period: int) -> Outputs:
    value = each(lambda a, b: a - b, loops.ema(bars.of, fast_period), loops.ema(bars.of, slow_period))
    return _signalled(value, signal_period, "macd")


def ppo(bars: Bars, fast_period: int, slow_period: int, signal_period: int) -> Outputs:
    fast, slow = loops.ema(bars.of, fast_period), loops.ema(bars.of, slow_period)
    return _signalled(each(lambda a, b: 100 * (a - b) / b, fast, slow), signal_period)


def _place(bars: Bars, period: int) -> Column:
    """Where the close stands in the range, 0 to 100."""
    return each(
        lambda c, h, l: 100 * (c - l) / (h - l) if h > l else 50.0,
        bars.close,
        highest(bars.high, period),
        lowest(bars.low, period),
    )


def stochastic(bars: Bars, period: int, smoothing: int, signal_period: int) -> Outputs:
    k = loops.sma(_place(bars, period), smoothing)
    return {"k": k, "d": loops.sma(k, signal_period)}


def kdj(bars: Bars, period: int, smoothing: int, signal_period: int) -> Outputs:
    k = loops.smma(_place(bars, period), smoothing)
    d = loops.smma(k, signal_period)
    return {"k": k, "d": d, "j": each(lambda a, b: 3 * a - 2 * b, k, d)}


def williams_r(bars: Bars, period: int) -> Column:
    return each(
        lambda c, h, l: share(-100 * (h - c), h - l), bars.close, highest(bars.high, period), lowest(bars.low, period)
    )


def cci(bars: Bars, period: int) -> Column:
    def formula(window: list[float]) -> float | None:
        centre = mean(window)
        return share(window[-1] - centre, 0.015 * mean([abs(price - centre) for price in window]))

    return rolling(bars.typical, period, formula)


def stochastic_momentum_index(
    bars: Bars, period: int, long_period: int, short_period: int, signal_period: int
) -> Outputs:
    top, bottom = highest(bars.high, period), lowest(bars.low, period)
    distance = each(lambda c, h, l: c - (h + l) / 2, bars.close, top, bottom)
    half = each(lambda h, l: (h - l) / 2, top, bottom)
    smooth, size = (loops.ema(loops.ema(column, long_period), short_period) for column in (distance, half))
    value = each(lambda a, b: 100 * a / b, smooth, size)
    return {"value": value, "signal": loops.ema(value, signal_period)}


def ultimate_oscillator(bars: Bars, short_period: int, middle_period: int, long_period: int) -> Column:
    pressure = each(lambda c, l, before: c - min(l, before), bars.close, bars.low, shift(bars.close, 1))
    averages = [
        each(share, total(pressure, period), total(bars.true_ranges, period))
        for period in (short_period, middle_period, long_period)
    ]
    return each(lambda a, b, c: 100 * (4 * a + 2 * b + c) / 7, *averages)


def balance_of_power(bars: Bars, period: int) -> Column:
    return loops.sma(
        each(lambda o, h, l, c: share(c - o, h - l, 0.0), bars.open, bars.high, bars.low, bars.close), period
    )


def awesome_oscillator(bars: Bars, fast_period: int, slow_period: int) -> Column:
    return each(lambda a, b: a - b, loops.sma(bars.middles, fast_period), loops.sma(bars.middles, slow_period))


def accelerator_oscillator(bars: Bars, fast_period: int, slow_period: int, signal_period: int) -> Column:
    swing = awesome_oscillator(bars, fast_period, slow_period)
    return each(lambda a, b: a - b, swing, loops.sma(swing, signal_period))


def relative_vigor_index(bars: Bars, period: int) -> Outputs:
    bodies = loops.weighted(each(lambda o, c: c - o, bars.open, bars.close), (1, 2, 2, 1))
    spans = loops.weighted(bars.ranges, (1, 2, 2, 1))
    value = each(lambda a, b: share(a, b, 0.0), total(bodies, period), total(spans, period))
    return {"value": value, "signal": loops.weighted(value, (1, 2, 2, 1))}


def fisher_transform(bars: Bars, period: int) -> Outputs:
    out: Column = []
    smooth = fisher = None
    for price, top, bottom in zip(
        bars.middles, highest(bars.middles, period), lowest(bars.middles, period), strict=True
    ):
        if price is None or top is None or bottom is None:
            out.append(None)
            continue
        place = 2 * ((price - bottom) / (top - bottom) - 0.5) if top > bottom else 0.0
        smooth = place if smooth is None else 0.33 * place + 0.67 * smooth
        cut = max(-0.999, min(0.999, smooth))
        turned = math.log((1 + cut) / (1 - cut))
        fisher = turned if fisher is None else 0.5 * turned + 0.5 * fisher
        out.append(fisher)
    return {"value": out, "trigger": shift(out, 1)}


def elder_ray(bars: Bars, period: int) -> Outputs:
    centre = loops.ema(bars.close, period)
    return {
        "bull": each(lambda h, m: h - m, bars.high, centre),
        "bear": each(lambda l, m: l - m, bars.low, centre),
    }


def qstick(bars: Bars, period: int) -> Column:
    return loops.sma(each(lambda o, c: c - o, bars.open, bars.close), period)


def center_of_gravity(bars: Bars, period: int) -> Column:
    return rolling(
        bars.of,
        period,
        lambda w: share(-math.fsum((k + 1) * price for k, price in enumerate(reversed(w))), math.fsum(w)),
    )


def schaff_trend_cycle(bars: Bars, fast_period: int, slow_period: int, cycle_period: int) -> Column:
    value = each(lambda a, b: a - b, loops.ema(bars.of, fast_period), loops.ema(bars.of, slow_period))
    for _ in range(2):
        place = rolling(
            value,
            cycle_period,
            lambda w: 100 * (w[-1] - min(w)) / (max(w) - min(w)) if max(w) - min(w) > 1e-6 else 50.0,
        )
        value = loops.exponential(place, 1, 0.5)
    return value


def momentum(bars: Bars, period: int) -> Column:
    return changes(bars.of, period)


def roc(bars: Bars, period: int) -> Column:
    return percent_changes(bars.of, period)


def trix(bars: Bars, period: int, signal_period: int) -> Outputs:
    smooth = loops.ema(loops.ema(loops.ema(bars.of, period), period), period)
    value = percent_changes(smooth)
    return {"value": value, "signal": loops.ema(value, signal_period)}


def know_sure_thing(bars: Bars, signal_period: int) -> Outputs:
    parts = [
        loops.sma(percent_changes(bars.of, span), period) for span, period in ((10, 10), (15, 10), (20, 10), (30, 15))
    ]
    value = each(lambda a, b, c, d: a + 2 * b + 3 * c + 4 * d, *parts)
    return {"value": value, "signal": loops.sma(value, signal_period)}


def coppock_curve(bars: Bars, period: int, short_period: int, long_period: int) -> Column:
    both = each(lambda a, b: a + b, percent_changes(bars.of, short_period), percent_changes(bars.of, long_period))
    return loops.wma(both, period)


def dpo(bars: Bars, period: int) -> Column:
    return each(lambda before, m: before - m, shift(bars.of, period // 2 + 1), loops.sma(bars.of, period))


def disparity_index(bars: Bars, period: int) -> Column:
    return each(lambda price, m: 100 * (price - m) / m, bars.of, loops.sma(bars.of, period))


def forecast_oscillator(bars: Bars, period: int) -> Column:
    def foretold(window: list[float]) -> float:
        intercept, slope = line(window)
        return intercept + slope * period

    return each(
        lambda price, forecast: 100 * (price - forecast) / price, bars.of, shift(rolling(bars.of, period, foretold), 1)
    )


def price_momentum_oscillator(bars: Bars, long_period: int, short_period: int, signal_period: int) -> Outputs:
    once = loops.exponential(percent_changes(bars.of), long_period, 2 / long_period)
    value = loops.exponential(each(lambda x: 10 * x, once), short_period, 2 / short_period)
    return {"value": value, "signal": loops.ema(value, signal_period)}
