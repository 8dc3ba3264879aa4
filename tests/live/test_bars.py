"""Bars of ticks: how they form, when they close, and that what was told is what is kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import pytest
from redis.asyncio import Redis

from db.bars import BarStore
from db.database import Database
from db.live_bars import BarEvent, LiveBars
from db.partitions import Partitions
from db.redis import Keys
from errors import StoreUnavailable
from live import bars as bars_module
from live.bars import FormingBars
from live.tending import tended
from market import Interval, Provenance, Quote, ServedFrom
from sources import calendar
from tests.bars import at, bar, bars
from tests.sources.scripted import Scripted, router
from tests.waiting import until

OPEN = at("2024-03-01T14:30")


def tick(price: float, after_s: float, volume: float | None = None) -> Quote:
    time = OPEN + timedelta(seconds=after_s)
    provenance = Provenance(source="s", served_from=ServedFrom.LIVE, received_at=time)
    return Quote(symbol="A", price=price, time=time, volume=volume, provenance=provenance)


class Told(LiveBars):
    """A bus that remembers."""

    def __init__(self) -> None:
        self.events: list[BarEvent] = []
        self.closed: list[BarEvent] = []

    async def publish(self, events: list[BarEvent]) -> None:  # type: ignore[override]
        self.events += events

    def finals(self) -> list[BarEvent]:
        return [event for event in self.events if event.is_final]

    @property
    def last(self) -> tuple[float, float, float, float, float | None]:
        """The newest one's open, high, low, close and volume."""
        event = self.events[-1]
        return event.open, event.high, event.low, event.close, event.volume


@dataclass
class Clock:
    """A clock that stands where it is put."""

    now: datetime = OPEN

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def forming(
    store: BarStore, source: Scripted, clock: Clock, *series: tuple[str, Interval], always_open: bool = True
) -> AsyncIterator[tuple[FormingBars, Told]]:
    told = Told()
    building = FormingBars(
        1, router(source), store, told, always_open=always_open, on_final=told.closed.append, clock=clock
    )
    building.want(series)
    async with tended(building.run):
        yield building, told


@pytest.fixture(autouse=True, scope="module")
async def calendars() -> None:
    """In memory, so that the first tick counts."""
    await calendar.load(["CRYPTO"])


@pytest.fixture
def store(database: Database, partitions: Partitions) -> BarStore:
    return BarStore(database, partitions)


@pytest.fixture
def source() -> Scripted:
    return Scripted("source", 1)


async def test_ticks_make_a_bar_and_the_next_bar_closes_it(store: BarStore, source: Scripted) -> None:
    async with forming(store, source, Clock(), ("A", Interval.M1)) as (building, told):
        for price, after_s, volume in [(10, 0, 100), (12, 1, 130), (9, 2, 130), (11, 59.9, 150)]:
            building.take(tick(price, after_s, volume))
        await until(lambda: told.events and told.last == (10, 12, 9, 11, 50))
        assert not told.finals()
        building.take(tick(20, 60, 157))
        await until(lambda: told.events[-1].time > OPEN)
        assert told.last == (20, 20, 20, 20, 7)
        [final] = told.finals()
        assert told.closed == [final]
        assert (final.time, final.open, final.high, final.low, final.close, final.volume) == (OPEN, 10, 12, 9, 11, 50)
        orders = [event.order for event in told.events]
        assert orders == sorted(set(orders))
    held = await store.newest("A", Interval.M1, 5, OPEN + timedelta(days=1), OPEN)
    assert held.frame.rows() == final.frame.rows()
    assert (held.source, held.quality) == ("ticks", 70)


async def test_the_clock_closes_a_bar_that_nothing_follows(store: BarStore, source: Scripted) -> None:
    clock = Clock()
    async with forming(store, source, clock, ("A", Interval.M1)) as (building, told):
        building.take(tick(10, 0))
        await until(lambda: told.events)
        clock.now = OPEN + timedelta(seconds=61)
        await until(told.finals)
        building.take(tick(11, 30))  # late: what is final stays so
        building.take(tick(12, 60))
        await until(lambda: told.events[-1].close == 12)
        assert [(event.time, event.close) for event in told.events if event.is_final] == [(OPEN, 10)]
        assert 11 not in {event.close for event in told.events}


async def test_of_a_closed_bar_the_source_has_the_last_word(store: BarStore, source: Scripted) -> None:
    source.bars["A", Interval.M1] = bars([bar(OPEN, 10.0, high=13.0, low=8.0, volume=99.0)])
    async with forming(store, source, Clock(), ("A", Interval.M1)) as (building, told):
        building.take(tick(10, 5))
        building.take(tick(11, 61))
        await until(told.finals)
    [final] = told.finals()
    assert (final.open, final.high, final.low, final.close, final.volume) == (10, 13, 8, 10, 99)
    held = await store.newest("A", Interval.M1, 5, OPEN + timedelta(days=1), OPEN)
    assert (held.frame.rows(), held.source) == (final.frame.rows(), "source")


async def test_the_first_bar_begins_as_its_source_has_it(store: BarStore, source: Scripted) -> None:
    known = bar(OPEN, 10.0, open=7.0, high=15.0, low=6.0, volume=500.0, is_final=False)
    source.bars["A", Interval.H1] = bars([known | {"time": at("2024-03-01T14:00")}])
    async with forming(store, source, Clock(), ("A", Interval.H1)) as (building, told):
        building.take(tick(10, 0, 1000))
        building.take(tick(11, 1, 1010))
        await until(lambda: told.events and told.last == (7, 15, 6, 11, 510))


@pytest.mark.parametrize(
    ("interval", "opens", "last", "following"),
    [
        (Interval.M1, "2024-03-01T14:30", "2024-03-01T14:30", "2024-03-01T14:31"),
        (Interval.H1, "2024-03-01T14:30", "2024-03-01T15:29", "2024-03-01T15:30"),  # New York opens at half past
        (Interval.H4, "2024-03-01T14:30", "2024-03-01T18:29", "2024-03-01T18:30"),
        (Interval.D1, "2024-03-01", "2024-03-01T20:59", "2024-03-04T14:30"),
        (Interval.W1, "2024-02-26", "2024-03-01T20:59", "2024-03-04T14:30"),
        (Interval.MN1, "2024-03-01", "2024-03-28T19:59", "2024-04-01T13:30"),
    ],
)
async def test_bars_keep_the_hours_of_their_market(
    store: BarStore, source: Scripted, interval: Interval, opens: str, last: str, following: str
) -> None:
    async with forming(store, source, Clock(), ("A", interval), always_open=False) as (building, told):

        def ticked() -> bool:
            building.take(tick(10, 0))
            return bool(told.events)

        await until(ticked)  # the first ones wait for the calendar
        for price, when in [(99, "2024-03-01T14:29"), (11, last), (98, "2024-03-01T21:00"), (12, following)]:
            building.take(tick(price, (at(when) - OPEN).total_seconds()))
        await until(told.finals)
    [final] = told.finals()
    assert (final.time, final.high, final.close) == (at(opens), 11, 11)


async def test_a_final_bar_outlasts_a_store_that_is_away(
    store: BarStore, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        """A store that comes back after some attempts."""

        attempts = 0

        async def save(self, *arguments: object, **options: object) -> None:
            self.attempts += 1
            if self.attempts < 4:
                raise StoreUnavailable("away")
            await store.save(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(bars_module, "RETRY_S", 0.01)
    away = Away()

    async def kept() -> bool:
        held = await store.newest("A", Interval.M1, 5, OPEN + timedelta(days=1), OPEN)
        return held.frame["close"].to_list() == [10.0]

    async with forming(cast(BarStore, away), source, Clock(), ("A", Interval.M1)) as (building, told):
        building.take(tick(10, 0))
        building.take(tick(11, 60))
        await until(told.finals)
        await until(lambda: told.events[-1].time > OPEN)
        await until(kept)


async def test_what_nobody_watches_any_more_is_not_built(store: BarStore, source: Scripted) -> None:
    async with forming(store, source, Clock(), ("A", Interval.M1)) as (building, told):
        building.take(tick(10, 0))
        await until(lambda: told.events)
        building.want([])
        building.take(tick(11, 60))
        building.want([("A", Interval.M5)])
        building.take(tick(12, 61))
        await until(lambda: told.events[-1].interval is Interval.M5)
    assert {event.interval for event in told.events if event.time == OPEN} == {Interval.M1, Interval.M5}
    assert told.finals() == []


async def test_bars_travel_over_redis_as_they_are(redis: Redis, keys: Keys) -> None:
    live = LiveBars(redis, keys)
    event = BarEvent(3, 7, "BRK.B", Interval.H4, OPEN, 1.0, 2.0, 0.5, 1.5, None, is_final=False)
    await live.publish([event])
    assert await live.get([event.topic, "NONE/M1"]) == [event]
