"""Ranges, bands and deviations."""

import math

from tests.indicators.references import loops
from tests.indicators.references.loops import (
    Bars,
    Column,
    changes,
    deviation,
    each,
    highest,
    lowest,
    mean,
    rolling,
    share,
    shift,
    total,
)

Outputs = dict[str, Column]


def true_range(bars: Bars) -> Column:
    return bars.true_ranges


def atr(bars: Bars, period: int) -> Column:
    return loops.smma(bars.true_ranges, period)


def natr(bars: Bars, period: int) -> Column:
    return each(lambda a, c: 100 * a / c, atr(bars, period), bars.close)


def average_range(bars: Bars, period: int) -> Column:
    return loops.sma(bars.ranges, period)


def choppiness_index(bars: Bars, period: int) -> Column:
    whole = each(lambda h, l: h - l, highest(bars.high, period), lowest(bars.low, period))
    return each(lambda way, w: 100 * math.log10(way / w) / math.log10(period), total(bars.true_ranges, period), whole)


def chaikin_volatility(bars: Bars, period: int, change_period: int) -> Column:
    average = loops.ema(bars.ranges, period)
    return each(lambda now, before: share(100 * (now - before), before), average, shift(average, change_period))


def mass_index(bars: Bars, period: int, sum_period: int) -> Column:
    once = loops.ema(bars.ranges, period)
    return total(each(lambda a, b: a / b, once, loops.ema(once, period)), sum_period)


def bollinger_bands(bars: Bars, period: int, standard_deviations: float) -> Outputs:
    middle, width = loops.sma(bars.of, period), rolling(bars.of, period, deviation)
    return {
        "upper": each(lambda m, w: m + standard_deviations * w, middle, width),
        "middle": middle,
        "lower": each(lambda m, w: m - standard_deviations * w, middle, width),
    }


def bollinger_percent_b(bars: Bars, period: int, standard_deviations: float) -> Column:
    bands = bollinger_bands(bars, period, standard_deviations)
    return each(lambda price, up, low: share(price - low, up - low), bars.of, bands["upper"], bands["lower"])


def bollinger_band_width(bars: Bars, period: int, standard_deviations: float) -> Column:
    bands = bollinger_bands(bars, period, standard_deviations)
    return each(lambda up, m, low: 100 * (up - low) / m, bands["upper"], bands["middle"], bands["lower"])


def keltner_channels(bars: Bars, period: int, atr_period: int, multiplier: float) -> Outputs:
    middle, width = loops.ema(bars.of, period), atr(bars, atr_period)
    return {
        "upper": each(lambda m, w: m + multiplier * w, middle, width),
        "middle": middle,
        "lower": each(lambda m, w: m - multiplier * w, middle, width),
    }


def donchian_channels(bars: Bars, period: int) -> Outputs:
    top, bottom = highest(bars.high, period), lowest(bars.low, period)
    return {"upper": top, "middle": each(lambda h, l: (h + l) / 2, top, bottom), "lower": bottom}


def acceleration_bands(bars: Bars, period: int) -> Outputs:
    upper = each(lambda h, l: h * (1 + 4 * (h - l) / (h + l)), bars.high, bars.low)
    lower = each(lambda h, l: l * (1 - 4 * (h - l) / (h + l)), bars.high, bars.low)
    return {
        "upper": loops.sma(upper, period),
        "middle": loops.sma(bars.close, period),
        "lower": loops.sma(lower, period),
    }


def _log_returns(bars: Bars) -> Column:
    return each(lambda now, before: math.log(now / before), bars.of, shift(bars.of, 1))


def historical_volatility(bars: Bars, period: int, bars_per_year: int) -> Column:
    return rolling(_log_returns(bars), period, lambda w: 100 * math.sqrt(bars_per_year) * deviation(w, 1))


def _of_squares(squares: Column, period: int, bars_per_year: int) -> Column:
    return rolling(squares, period, lambda w: 100 * math.sqrt(max(0.0, mean(w)) * bars_per_year))


def parkinson_volatility(bars: Bars, period: int, bars_per_year: int) -> Column:
    squares = each(lambda h, l: math.log(h / l) ** 2 / (4 * math.log(2)), bars.high, bars.low)
    return _of_squares(squares, period, bars_per_year)


def garman_klass_volatility(bars: Bars, period: int, bars_per_year: int) -> Column:
    squares = each(
        lambda o, h, l, c: math.log(h / l) ** 2 / 2 - (2 * math.log(2) - 1) * math.log(c / o) ** 2,
        bars.open,
        bars.high,
        bars.low,
        bars.close,
    )
    return _of_squares(squares, period, bars_per_year)


def _rogers_satchell(bars: Bars) -> Column:
    return each(
        lambda o, h, l, c: math.log(h / c) * math.log(h / o) + math.log(l / c) * math.log(l / o),
        bars.open,
        bars.high,
        bars.low,
        bars.close,
    )


def rogers_satchell_volatility(bars: Bars, period: int, bars_per_year: int) -> Column:
    return _of_squares(_rogers_satchell(bars), period, bars_per_year)


def yang_zhang_volatility(bars: Bars, period: int, bars_per_year: int) -> Column:
    k = 0.34 / (1.34 + (period + 1) / (period - 1))
    gaps = each(lambda o, before: math.log(o / before), bars.open, shift(bars.close, 1))
    bodies = each(lambda o, c: math.log(c / o), bars.open, bars.close)
    variances = [rolling(column, period, lambda w: deviation(w, 1) ** 2) for column in (gaps, bodies)]
    within = rolling(_rogers_satchell(bars), period, mean)
    return each(
        lambda gap, body, rs: 100 * math.sqrt((gap + k * body + (1 - k) * rs) * bars_per_year), *variances, within
    )


def ulcer_index(bars: Bars, period: int) -> Column:
    falls = each(lambda price, top: 100 * (price - top) / top, bars.of, highest(bars.of, period))
    return rolling(falls, period, lambda w: math.sqrt(mean([fall**2 for fall in w])))


def relative_volatility_index(bars: Bars, period: int, deviation_period: int) -> Column:
    spread = rolling(bars.of, deviation_period, deviation)
    moves = changes(bars.of)
    rising = loops.smma(each(lambda s, change: s if change > 0 else 0.0, spread, moves), period)
    falling = loops.smma(each(lambda s, change: s if change < 0 else 0.0, spread, moves), period)
    return each(lambda up, down: share(100 * up, up + down), rising, falling)
