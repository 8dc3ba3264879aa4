"""The minutes that a cut stream missed end up in the store."""

from datetime import timedelta

import pytest

from db.bars import BarStore
from db.database import Database
from db.partitions import Partitions
from db.supply import BarSupply
from errors import SourceFault
from jobs import refill
from jobs.refill import Refill
from market import Interval, Window
from tests.bars import bar, bars
from tests.sources.scripted import NOW, Scripted, router

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@pytest.fixture
def store(database: Database, partitions: Partitions) -> BarStore:
    return BarStore(database, partitions)


@pytest.fixture
def source() -> Scripted:
    source = Scripted("s", 1)
    source.bars["AAPL", Interval.M1] = bars(bar(NOW + number * MINUTE) for number in range(10))
    return source


async def test_the_minutes_that_a_gap_touches_are_stored_once_they_are_over(store: BarStore, source: Scripted) -> None:
    filling = Refill(BarSupply(store, router(source)))
    filling.missed("AAPL", Window(NOW + 90 * SECOND, NOW + 150 * SECOND))
    await filling.fetch(NOW + 3 * MINUTE)
    assert source.asked == []
    await filling.fetch(NOW + 3 * MINUTE + 5 * SECOND)
    await filling.fetch(NOW + 4 * MINUTE)
    assert source.asked == [("AAPL", Interval.M1, Window(NOW + MINUTE, NOW + 3 * MINUTE))]
    held = await store.newest("AAPL", Interval.M1, 10, NOW + 10 * MINUTE, NOW)
    assert held is not None
    assert (held.frame["time"].to_list(), held.source) == ([NOW + MINUTE, NOW + 2 * MINUTE], "s")
    assert await store.missing("AAPL", Interval.M1, Window(NOW, NOW + 4 * MINUTE)) == [
        Window(NOW, NOW + MINUTE),
        Window(NOW + 3 * MINUTE, NOW + 4 * MINUTE),
    ]


async def test_gaps_of_a_symbol_are_one_question(store: BarStore, source: Scripted) -> None:
    filling = Refill(BarSupply(store, router(source)))
    filling.missed("AAPL", Window(NOW + 3 * MINUTE, NOW + 4 * MINUTE))
    filling.missed("AAPL", Window(NOW + MINUTE, NOW + 2 * MINUTE))
    await filling.fetch(NOW + 5 * MINUTE)
    assert source.asked == [("AAPL", Interval.M1, Window(NOW + MINUTE, NOW + 4 * MINUTE))]


async def test_what_cannot_be_had_is_told_and_left(
    store: BarStore, source: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    source.error = SourceFault("500")
    filling = Refill(BarSupply(store, router(source)))
    filling.missed("AAPL", Window(NOW, NOW + MINUTE))
    await filling.fetch(NOW + 2 * MINUTE)
    asked = len(source.asked)
    await filling.fetch(NOW + 3 * MINUTE)
    assert len(source.asked) == asked
    assert "the bars of AAPL" in caplog.text
    assert await store.missing("AAPL", Interval.M1, Window(NOW, NOW + MINUTE)) == [Window(NOW, NOW + MINUTE)]


def test_no_more_wait_than_may(
    store: BarStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refill, "MAX_WAITING", 2)
    filling = Refill(BarSupply(store, router()))
    for symbol in ("A", "B", "C", "A"):
        filling.missed(symbol, Window(NOW, NOW + MINUTE))
    assert list(filling._waiting) == ["A", "B"]
    assert "the bars of C" in caplog.text
