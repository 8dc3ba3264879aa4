"""Values that are kept: what is evaluated once, and what has it evaluated anew."""

from collections.abc import Sequence

import polars as pl
import pytest

import indicators.cache
from indicators.cache import ValueCache
from indicators.catalog import CATALOG
from indicators.evaluate import READ, Values, evaluate
from indicators.indicator import Call
from tests.indicators.bars import apple

SMA, RSI, BANDS = (CATALOG[name].call() for name in ("sma", "rsi", "bollingerBands"))
BARS = apple().head(100).select(READ)


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Call]]:
    """What is evaluated, one entry each time."""
    seen: list[Sequence[Call]] = []

    def counted(bars: pl.DataFrame, calls: Sequence[Call], warm_up: int) -> list[Values]:
        seen.append(list(calls))
        return evaluate(bars, calls, warm_up)

    monkeypatch.setattr(indicators.cache, "evaluate", counted)
    return seen


def lists(values: Values) -> list[list[float | None]]:
    return [column.to_list() for column in ([values] if isinstance(values, pl.Series) else values.values())]


def test_the_values_are_those_after_the_warm_up() -> None:
    got = ValueCache().evaluate(BARS, [BANDS, SMA, BANDS], 60)

    whole = [lists(values) for values in evaluate(BARS, [BANDS, SMA, BANDS])]
    assert [lists(values) for values in got] == [[column[60:] for column in columns] for columns in whole]


def test_what_was_evaluated_is_not_evaluated_again(evaluated: list[Sequence[Call]]) -> None:
    cache = ValueCache()

    first = cache.evaluate(BARS, [SMA, BANDS], 60)
    second = cache.evaluate(BARS.clone(), [BANDS, RSI, SMA], 60)

    assert evaluated == [[SMA, BANDS], [RSI]]
    assert lists(second[0]) == lists(first[1])
    assert lists(second[2]) == lists(first[0])


BAR = pl.int_range(pl.len())
ZONED = BARS.with_columns(pl.col("time").dt.convert_time_zone("Asia/Tokyo"))
OTHERS = {
    "the oldest bar": BARS.with_columns(pl.when(BAR > 0).then("low").otherwise(1.0).alias("low")),
    "the newest bar": BARS.with_columns(pl.when(BAR < 99).then("close").otherwise(1.0).alias("close")),
    "unknown volume": BARS.with_columns(volume=pl.lit(None, pl.Float64)),
    "one bar more": apple().head(101).select(READ),
    "another zone": ZONED,
    "other times": BARS.with_columns(pl.col("time").dt.offset_by("1d")),
}


@pytest.mark.parametrize("other", OTHERS)
def test_other_bars_are_evaluated_anew(other: str, evaluated: list[Sequence[Call]]) -> None:
    cache = ValueCache()
    cache.evaluate(BARS, [SMA], 60)

    cache.evaluate(OTHERS[other], [SMA], 60)
    cache.evaluate(BARS, [SMA], 60)

    assert evaluated == [[SMA], [SMA]]


def test_another_cut_is_another_answer() -> None:
    cache = ValueCache()

    assert [len(lists(cache.evaluate(BARS, [SMA], cut)[0])[0]) for cut in (60, 0, 60, 99)] == [40, 100, 40, 1]


def test_it_keeps_no_more_than_it_may_and_drops_what_was_not_asked_for_longest(
    evaluated: list[Sequence[Call]],
) -> None:
    cache = ValueCache(most_bytes=4 * 100 * 8)
    cache.evaluate(BARS, [SMA], 0)
    cache.evaluate(BARS, [BANDS], 0)
    assert cache.size_bytes == 4 * 100 * 8
    cache.evaluate(BARS, [SMA], 0)

    cache.evaluate(BARS, [RSI], 0)

    assert cache.size_bytes == 2 * 100 * 8
    evaluated.clear()
    cache.evaluate(BARS, [SMA, RSI], 0)
    cache.evaluate(BARS, [BANDS], 0)
    assert evaluated == [[BANDS]]


def test_what_is_greater_than_all_of_it_is_answered_and_not_kept() -> None:
    cache = ValueCache(most_bytes=100)

    (values,) = cache.evaluate(BARS, [SMA], 0)

    assert len(lists(values)[0]) == 100
    assert cache.size_bytes == 0
