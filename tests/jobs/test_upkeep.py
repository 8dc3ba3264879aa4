"""Series in use are kept up as their sessions close, and compared with their sources at night."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from errors import SourceTimeout
from jobs.upkeep import Upkeep
from market import Interval, Window
from resolvers.world import World
from tests.bars import at, bar, bars
from tests.sources.scripted import Scripted
from tests.world import made_of

D1 = Interval.D1
# Friday 2026-11-20 closes at 21:00 UTC, and the day before too.
DAYS = [at(f"2026-11-{day:02d}") for day in (9, 10, 11, 12, 13, 16, 17, 18, 19, 20)]
SATURDAY = at("2026-11-21T03:30")


@pytest.fixture
def source() -> Scripted:
    return Scripted("scripted", 0)


@pytest.fixture
def world(database: Database, redis: Redis, keys: Keys, source: Scripted) -> World:
    return made_of(database, redis, keys, source)


@pytest.fixture
def upkeep(world: World) -> Upkeep:
    return Upkeep(world.bars, world.supply, world.assets, always_open=False)


def tell(source: Scripted, rows: Iterable[dict[str, Any]], symbol: str = "AAPL") -> None:
    source.bars[symbol, D1] = bars(rows)


async def hold(world: World, times: list[datetime], origin: str = "scripted", symbol: str = "AAPL") -> None:
    await world.bars.save(
        symbol,
        D1,
        bars(map(bar, times)),
        source=origin,
        received_at=times[-1],
        covered=Window(times[0], times[-1] + timedelta(days=1)),
    )


async def closes(world: World) -> list[tuple[datetime, float]]:
    held = await world.bars.newest("AAPL", D1, 100, at("2027-01-01"), at("2026-01-01"))
    return held.frame.select("time", "close").rows()


async def test_the_bars_of_a_session_come_once_it_has_closed_and_been_published(
    world: World, source: Scripted, upkeep: Upkeep
) -> None:
    await hold(world, DAYS[:-1])
    tell(source, map(bar, DAYS))
    for now in ("2026-11-20T15:00", "2026-11-20T21:29"):
        assert await upkeep.keep_up(at(now)) == 0
    assert source.asked == []
    assert await upkeep.keep_up(at("2026-11-20T21:30")) == 1
    assert (await closes(world))[-1] == (DAYS[-1], 100.0)
    source.asked.clear()
    assert await upkeep.keep_up(SATURDAY) == 0
    assert source.asked == []


async def test_a_source_that_fails_is_asked_again_and_one_that_has_nothing_is_not(
    world: World, source: Scripted, upkeep: Upkeep
) -> None:
    await hold(world, DAYS[:-1])
    source.error = SourceTimeout("It rains.")
    for asked in (1, 2):
        await upkeep.keep_up(SATURDAY)
        assert len(source.asked) == asked
    source.error = None
    tell(source, map(bar, DAYS[:-1]))  # nobody traded on the 20th
    for _ in range(2):
        await upkeep.keep_up(SATURDAY)
        assert len(source.asked) == 3


async def test_what_is_not_in_use_is_left_alone(world: World, source: Scripted, upkeep: Upkeep) -> None:
    await hold(world, [at("2013-03-01")], "import")
    assert await upkeep.keep_up(SATURDAY) == await upkeep.review(SATURDAY) == 0
    assert source.asked == []


async def test_a_revised_bar_replaces_the_old_one_and_the_log_says_so(
    world: World, source: Scripted, upkeep: Upkeep, caplog: pytest.LogCaptureFixture
) -> None:
    await hold(world, DAYS)
    rows = [bar(day) for day in DAYS]
    rows[-2] = bar(DAYS[-2], 99.5, high=100.0, low=99.0, volume=1001.0)
    tell(source, rows)
    with caplog.at_level(logging.WARNING, "jobs.upkeep"):
        assert await upkeep.review(SATURDAY) == 1
    assert (await closes(world))[-2:] == [(DAYS[-2], 99.5), (DAYS[-1], 100.0)]
    [record] = caplog.records
    assert record.getMessage() == (
        "AAPL D1 of 2026-11-19 00:00:00+00:00 is revised by scripted: open 100.0 -> 99.5, low 100.0 -> 99.0,"
        " close 100.0 -> 99.5, volume 1000.0 -> 1001.0"
    )
    caplog.clear()
    assert await upkeep.review(SATURDAY) == 0
    assert caplog.records == []


@pytest.mark.parametrize("origin", ["scripted", "import"])
async def test_a_new_split_or_dividend_is_taken_in_whoever_gave_the_bars(
    world: World, source: Scripted, upkeep: Upkeep, origin: str
) -> None:
    await hold(world, DAYS, origin)
    close = 100.0 if origin == "scripted" else 1.0  # another source's prices are not taken for a file's
    tell(source, (bar(day, close, split_factor=4.0 if day == DAYS[-1] else 1.0, dividend=0.5) for day in DAYS))
    assert await upkeep.review(SATURDAY) == 5
    assert {close for _, close in await closes(world)} == {100.0}
    actions = await world.bars.actions("AAPL", at("2026-01-01"))
    assert actions.select("time", "split_factor", "dividend").rows() == [
        (day, 4.0 if day == DAYS[-1] else 1.0, 0.5) for day in DAYS[-5:]
    ]
    # Only the last days were asked for.
    assert [question[2].start for question in source.asked] == [at("2026-11-14")]  # type: ignore[index]


async def test_only_what_is_held_is_compared(world: World, source: Scripted, upkeep: Upkeep) -> None:
    await hold(world, DAYS[:6])
    await hold(world, DAYS[-1:])
    tell(source, map(bar, DAYS))
    assert await upkeep.review(SATURDAY) == 0
    assert [(question[2].start, question[2].end) for question in source.asked] == [  # type: ignore[index]
        (at("2026-11-14"), at("2026-11-17")),
        (at("2026-11-20"), at("2026-11-21")),
    ]
