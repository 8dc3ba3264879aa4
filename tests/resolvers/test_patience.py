"""How long a history waits for sources that do not answer, and what it gives then."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

import resolvers.bars
from db.database import Database
from db.redis import Keys
from errors import SourceTimeout, SourceUnavailable
from market import Adjustment, Interval, ServedFrom, SkippedSource, Symbol, Window
from resolvers import history as resolving
from resolvers.history import History, load_history
from resolvers.world import Context, World
from sources import health, turns
from sources.flight import Flights
from sources.source import Capability
from tests.bars import bar, bars
from tests.sources.scripted import Scripted
from tests.waiting import until
from tests.world import made_of

DAY = timedelta(days=1)
COUNT = 20
NEW_YEAR = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """It has a bar of each of the last days, the forming one too, and as much time as it likes."""
    monkeypatch.setitem(turns.TIMEOUT_S, Capability.HISTORY, 60.0)
    monkeypatch.setitem(turns.DEADLINE_S, Capability.HISTORY, 60.0)
    source = Scripted("scripted", 0)
    told(source, 100.0)
    return source


@pytest.fixture
def world(database: Database, redis: Redis, keys: Keys, source: Scripted) -> World:
    return made_of(database, redis, keys, source)


def told(source: Scripted, close: float) -> None:
    """The days of which the forming one closes so."""
    today = Interval.D1.floor(datetime.now(UTC))
    finished = [bar(today - number * DAY) for number in range(100, 0, -1)]
    forming = bar(today) | {"open": close, "high": close, "low": close, "close": close, "is_final": False}
    source.bars["BTC-USD", Interval.D1] = bars([*finished, forming])


async def load(world: World, count: int = COUNT, end: datetime | None = None) -> History:
    return await load_history(world, "BTC-USD", Interval.D1, None, end, count, Adjustment.RAW)


async def held(world: World, source: Scripted) -> History:
    """What is held from now on: the finished days, not the forming one. Nobody has been asked for anything else."""
    history = await load(world)
    assert history.provenance.served_from is ServedFrom.LIVE
    source.asked.clear()
    return history


def impatient(monkeypatch: pytest.MonkeyPatch, stale_after_s: float = 0.0, deadline_s: float = 60.0) -> None:
    monkeypatch.setattr(resolvers.bars, "STALE_AFTER_S", stale_after_s)
    monkeypatch.setattr(resolvers.bars, "DEADLINE_S", deadline_s)


async def fail(world: World, source: Scripted) -> None:
    source.error = SourceTimeout("It rains.")
    with pytest.raises(SourceUnavailable):
        await world.router.history("ETH-USD", Interval.D1, NEW_YEAR)
    source.asked.clear()


async def test_while_the_source_is_silent_what_is_held_is_served_and_one_question_goes_on(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await held(world, source)
    impatient(monkeypatch, 0.2)
    source.holds.clear()
    start = time.monotonic()
    for history in await asyncio.gather(*(load(world) for _ in range(5))):
        assert history.provenance.served_from is ServedFrom.STALE
        assert history.frame["time"][-1] == before.frame["time"][-2]
        assert history.count == COUNT
    assert 0.2 <= time.monotonic() - start < 30
    assert (await load(world)).provenance.served_from is ServedFrom.STALE
    assert len(source.asked) == 1
    told(source, 123.0)
    source.holds.set()
    await until(lambda: not world.supply._flights)
    impatient(monkeypatch, 60.0)
    history = await load(world)
    assert (history.provenance.served_from, history.frame["close"][-1]) == (ServedFrom.LIVE, 123.0)


async def test_a_source_that_has_failed_is_not_waited_for_but_asked(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(world, source)
    await fail(world, source)
    source.error = None
    source.holds.clear()
    for _ in range(3):
        provenance = (await load(world)).provenance
        assert provenance.served_from is ServedFrom.STALE
        assert provenance.skipped == (SkippedSource("scripted", "SOURCE_TIMEOUT", "It rains."),)
    assert len(source.asked) == 1
    source.holds.set()
    await until(lambda: not world.supply._flights)
    assert (await load(world)).provenance.served_from is ServedFrom.LIVE


async def test_while_no_source_may_be_asked_what_is_held_says_why(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "COOL_S", 60.0)
    await held(world, source)
    while not world.router.outlook("BTC-USD", Capability.HISTORY).is_hopeless:
        await fail(world, source)
    provenance = (await load(world)).provenance
    assert provenance.served_from is ServedFrom.STALE
    assert [(skip.source, skip.code) for skip in provenance.skipped] == [("scripted", "SOURCE_RESTING")]
    assert source.asked == []


@pytest.mark.parametrize("days_back", [0, 12])
async def test_what_is_more_than_the_newest_bars_is_waited_for(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch, days_back: int
) -> None:
    """Bars before those that are held; and the end of a window that is long over."""
    end = Interval.D1.floor(datetime.now(UTC)) - days_back * DAY
    if days_back:
        await load(world, 5, end - 3 * DAY)
    else:
        await load(world, 5)
    impatient(monkeypatch)
    source.takes_s = 0.2
    history = await load(world, 40, end)
    assert (history.provenance.served_from, history.count) == (ServedFrom.LIVE, 40)
    assert history.bars_found.missing == ()


async def test_when_its_time_is_over_what_is_held_is_given_and_what_lacks_is_named(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await held(world, source)
    impatient(monkeypatch, deadline_s=0.3)
    source.holds.clear()
    start = time.monotonic()
    history = await load(world, 40)
    assert 0.3 <= time.monotonic() - start < 30
    assert history.provenance.served_from is ServedFrom.STALE
    *_, newest, forming = before.frame["time"]
    assert (history.frame["time"][-1], COUNT <= history.count < 40) == (newest, True)
    assert [piece.start for piece in history.bars_found.missing] == [forming]
    source.holds.set()
    await until(lambda: not world.supply._flights)


async def test_where_nothing_is_held_the_end_of_its_time_is_an_error(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch, deadline_s=0.3)
    source.holds.clear()
    with pytest.raises(SourceUnavailable, match="No source has answered for BTC-USD yet; ask again"):
        await load(world)
    source.holds.set()
    await until(lambda: not world.supply._flights)
    impatient(monkeypatch, deadline_s=60.0)
    assert (await load(world)).count == COUNT


async def test_who_asks_for_the_newest_bars_at_once_or_soon_after_is_told_the_same(
    world: World, source: Scripted
) -> None:
    world = replace(world, histories=Flights(keep_s=60.0))
    asking = cast(Any, SimpleNamespace(context=Context(world)))
    end = datetime.now(UTC)
    together = await asyncio.gather(*(resolving.history(asking, Symbol("BTC-USD"), last=5) for _ in range(5)))
    assert await resolving.history(asking, Symbol("BTC-USD"), last=5) is together[0]
    assert all(one is together[0] for one in together)
    assert await resolving.history(asking, Symbol("BTC-USD"), last=6) is not together[0]
    assert await resolving.history(asking, Symbol("BTC-USD"), end=end) is not await resolving.history(
        asking, Symbol("BTC-USD"), end=end
    )
