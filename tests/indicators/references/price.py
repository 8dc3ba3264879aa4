"""Prices of a bar, extremes, and levels of the year before."""

import math
from collections.abc import Callable

from tests.indicators.references import loops
from tests.indicators.references.loops import Bars, Column, each, rolling

Outputs = dict[str, Column]


def average_price(bars: Bars) -> Column:
    return each(lambda *prices: loops.mean(prices), bars.open, bars.high, bars.low, bars.close)


def median_price(bars: Bars) -> Column:
    return bars.middles


def typical_price(bars: Bars) -> Column:
    return bars.typical


def weighted_close(bars: Bars) -> Column:
    return each(lambda h, l, c: (h + l + c + c) / 4, bars.high, bars.low, bars.close)


def midpoint(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: (max(w) + min(w)) / 2)


def midprice(bars: Bars, period: int) -> Column:
    return each(lambda h, l: (h + l) / 2, loops.highest(bars.high, period), loops.lowest(bars.low, period))


def highest(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, max)


def lowest(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, min)


def drawdown(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: 100 * (w[-1] / max(w) - 1))


def heikin_ashi(bars: Bars) -> Outputs:
    out: Outputs = {"open": [], "high": [], "low": [], "close": []}
    opened = closed = math.nan
    for i, (o, h, l, c) in enumerate(zip(bars.open, bars.high, bars.low, bars.close, strict=True)):
        opened = (opened + closed) / 2 if i else (o + c) / 2
        closed = (o + h + l + c) / 4
        row = {"open": opened, "high": max(h, opened, closed), "low": min(l, opened, closed), "close": closed}
        for name, value in row.items():
            out[name].append(value)
    return out


def fractals(bars: Bars, period: int) -> Outputs:
    def only(of: list[float], pick: Callable[[list[float]], float]) -> Column:
        """The middle of 2 `period` + 1 values where it alone is the extreme."""

        def formula(window: list[float]) -> float | None:
            centre = window[period]
            return centre if pick(window) == centre and window.count(centre) == 1 else None

        return rolling(of, 2 * period + 1, formula)

    return {"up": only(bars.high, max), "down": only(bars.low, min)}


def _levels(bars: Bars, formula: Callable[[float, float, float, float], dict[str, float]]) -> Outputs:
    """The formula of open, high, low and close of the calendar year before that has bars."""
    out: Outputs = {name: [] for name in formula(1.0, 1.0, 1.0, 1.0)}
    years: dict[int, list[float]] = {}
    for day, o, h, l, c in zip(bars.time, bars.open, bars.high, bars.low, bars.close, strict=True):
        opened, top, bottom, _ = years.get(day.year, [o, h, l, c])
        years[day.year] = [opened, max(h, top), min(l, bottom), c]
        before = [year for year in years if year < day.year]
        levels = formula(*years[max(before)]) if before else dict.fromkeys(out)
        for name, level in levels.items():
            out[name].append(level)
    return out


def pivot_points(bars: Bars) -> Outputs:
    def formula(o: float, h: float, l: float, c: float) -> dict[str, float]:
        p = (h + l + c) / 3
        return {
            "pivot": p,
            "r1": 2 * p - l,
            "r2": p + (h - l),
            "r3": h + 2 * (p - l),
            "s1": 2 * p - h,
            "s2": p - (h - l),
            "s3": l - 2 * (h - p),
        }

    return _levels(bars, formula)


def fibonacci_pivots(bars: Bars) -> Outputs:
    def formula(o: float, h: float, l: float, c: float) -> dict[str, float]:
        p, r = (h + l + c) / 3, h - l
        return {
            "pivot": p,
            "r1": p + 0.382 * r,
            "r2": p + 0.618 * r,
            "r3": p + r,
            "s1": p - 0.382 * r,
            "s2": p - 0.618 * r,
            "s3": p - r,
        }

    return _levels(bars, formula)


def camarilla_pivots(bars: Bars) -> Outputs:
    def formula(o: float, h: float, l: float, c: float) -> dict[str, float]:
        steps = {1: 12, 2: 6, 3: 4, 4: 2}
        up = {f"r{level}": c + (h - l) * 1.1 / part for level, part in steps.items()}
        return up | {f"s{level}": c - (h - l) * 1.1 / part for level, part in steps.items()}

    return _levels(bars, formula)


def woodie_pivots(bars: Bars) -> Outputs:
    def formula(o: float, h: float, l: float, c: float) -> dict[str, float]:
        p = (h + l + 2 * c) / 4
        return {"pivot": p, "r1": 2 * p - l, "r2": p + h - l, "s1": 2 * p - h, "s2": p - h + l}

    return _levels(bars, formula)


def demark_pivots(bars: Bars) -> Outputs:
    def formula(o: float, h: float, l: float, c: float) -> dict[str, float]:
        x = h + 2 * l + c if c < o else 2 * h + l + c if c > o else h + l + 2 * c
        return {"pivot": x / 4, "r1": x / 2 - l, "s1": x / 2 - h}

    return _levels(bars, formula)
