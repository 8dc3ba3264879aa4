"""What the definitions are written in: lists with one entry per bar, None where there is no value."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

Column = list[float | None]


@dataclass(frozen=True)
class Bars:
    """Bars by column; `of` is the price that was chosen."""

    time: list[datetime]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    of: list[float]

    @property
    def typical(self) -> Column:
        return each(lambda h, l, c: (h + l + c) / 3, self.high, self.low, self.close)

    @property
    def middles(self) -> Column:
        return each(lambda h, l: (h + l) / 2, self.high, self.low)

    @property
    def ranges(self) -> Column:
        return each(lambda h, l: h - l, self.high, self.low)

    @property
    def true_ranges(self) -> Column:
        """Wilder 1978: the greatest of high - low, |high - close before|, |low - close before|."""
        return each(lambda h, l, c: max(h - l, abs(h - c), abs(l - c)), self.high, self.low, shift(self.close, 1))


def bars_of(frame: pl.DataFrame, of: str = "close") -> Bars:
    columns = {name: frame[name].to_list() for name in ("time", "open", "high", "low", "close", "volume")}
    return Bars(**columns, of=columns[of])


def each(formula: Callable[..., float | None], *columns: Sequence[float | None]) -> Column:
    """The formula bar by bar; None where an argument is."""
    return [None if None in row else formula(*row) for row in zip(*columns, strict=True)]


def rolling(column: Sequence[float | None], period: int, formula: Callable[[list[Any]], float | None]) -> Column:
    """The formula of the last `period` values, oldest first; None until there are as many."""
    windows = (list(column[i + 1 - period : i + 1]) if i + 1 >= period else [None] for i in range(len(column)))
    return [None if None in window else formula(window) for window in windows]


def shift(column: Sequence[float | None], bars: int) -> Column:
    return [None] * min(bars, len(column)) + list(column[: max(0, len(column) - bars)])


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def total(column: Sequence[float | None], period: int) -> Column:
    return rolling(column, period, math.fsum)


def highest(column: Sequence[float | None], period: int) -> Column:
    return rolling(column, period, max)


def lowest(column: Sequence[float | None], period: int) -> Column:
    return rolling(column, period, min)


def changes(column: Sequence[float | None], period: int = 1) -> Column:
    return each(lambda now, before: now - before, column, shift(column, period))


def percent_changes(column: Sequence[float | None], period: int = 1) -> Column:
    return each(lambda now, before: 100 * (now / before - 1), column, shift(column, period))


def share(part: float, whole: float, otherwise: float | None = None) -> float | None:
    return part / whole if whole else otherwise


def sma(column: Sequence[float | None], period: int) -> Column:
    return rolling(column, period, mean)


def exponential(column: Sequence[float | None], period: int, alpha: float) -> Column:
    """Begins with the mean of the first `period` values; each further one counts alpha."""
    out: Column = []
    first: list[float] = []
    last: float | None = None
    for value in column:
        if value is not None and last is not None:
            last = alpha * value + (1 - alpha) * last
        elif value is not None:
            first.append(value)
            if len(first) == period:
                last = mean(first)
        out.append(last)
    return out


def ema(column: Sequence[float | None], period: int) -> Column:
    return exponential(column, period, 2 / (period + 1))


def smma(column: Sequence[float | None], period: int) -> Column:
    return exponential(column, period, 1 / period)


def weighted(column: Sequence[float | None], weights: Sequence[float]) -> Column:
    """Oldest first."""
    return rolling(
        column,
        len(weights),
        lambda window: math.fsum(w * x for w, x in zip(weights, window, strict=True)) / math.fsum(weights),
    )


def wma(column: Sequence[float | None], period: int) -> Column:
    return weighted(column, range(1, period + 1))


def deviation(values: Sequence[float], less: int = 0) -> float:
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - less))


def line(values: Sequence[float]) -> tuple[float, float]:
    """Intercept, at the oldest value, and slope of the least squares line."""
    places = range(len(values))
    x, y = mean(places), mean(values)
    slope = math.fsum((i - x) * (v - y) for i, v in zip(places, values, strict=True)) / math.fsum(
        (i - x) ** 2 for i in places
    )
    return y - slope * x, slope


def added_up(column: Sequence[float], times: Sequence[datetime], key: Callable[[date], object]) -> list[float]:
    """Running sums that begin anew where the key of the date changes."""
    out: list[float] = []
    for i, value in enumerate(column):
        anew = i == 0 or key(times[i].date()) != key(times[i - 1].date())
        out.append(value if anew else out[-1] + value)
    return out
