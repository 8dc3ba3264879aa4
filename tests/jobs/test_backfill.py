"""What is missing is fetched, and nothing else; it goes on where it was stopped."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

import jobs.backfill
from db.database import Database
from db.redis import Keys
from errors import SourceCannot, SourceLimited, SourceTimeout
from jobs.backfill import Progress, backfill
from market import Interval, Window
from resolvers.world import World
from tests.bars import at, bar, bars
from tests.sources.scripted import Scripted
from tests.world import made_of

D1, M1 = Interval.D1, Interval.M1
DAY = timedelta(days=1)


@pytest.fixture
def source() -> Scripted:
    scripted = Scripted("scripted", 0, unknown=frozenset({"NOSUCH"}))
    for symbol in ("AAPL", "MSFT"):
        scripted.bars[symbol, D1] = bars(bar(at("2023-01-01") + number * DAY) for number in range(1000))
    return scripted


@pytest.fixture
def world(database: Database, redis: Redis, keys: Keys, source: Scripted) -> World:
    return made_of(database, redis, keys, source)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.backfill, "PAUSES_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(jobs.backfill, "LIMITED_S", 0.05)


def window(start: str, end: str) -> Window:
    return Window(at(start), at(end))


async def fill(
    world: World, symbols: Sequence[str], start: str, end: str, interval: Interval = D1
) -> tuple[Progress, list[Progress]]:
    told: list[Progress] = []

    async def tell(progress: Progress) -> None:
        told.append(replace(progress, failures=progress.failures.copy()))

    return await backfill(world.bars, world.supply, symbols, interval, window(start, end), tell), told


def asked(source: Scripted) -> list[tuple[str, Window]]:
    questions = [(question[0], question[2]) for question in source.asked]  # type: ignore[index]
    source.asked.clear()
    return questions


async def test_only_what_is_missing_is_asked_for_and_a_second_time_nothing(world: World, source: Scripted) -> None:
    await world.supply.fetch("AAPL", D1, window("2024-01-10", "2024-01-20"))
    asked(source)
    done, told = await fill(world, ["AAPL", "MSFT", "AAPL"], "2024-01-01", "2024-02-01")
    assert asked(source) == [
        ("AAPL", window("2024-01-20", "2024-02-01")),
        ("AAPL", window("2024-01-01", "2024-01-10")),
        ("MSFT", window("2024-01-01", "2024-02-01")),
    ]
    assert done == Progress(done=3, total=3, bars=52, changed=52)
    assert [(progress.done, progress.total, progress.bars) for progress in told] == [
        (0, 3, 0),
        (1, 3, 12),
        (2, 3, 21),
        (3, 3, 52),
    ]
    done, _ = await fill(world, ["AAPL", "MSFT"], "2024-01-01", "2024-02-01")
    assert (done, asked(source)) == (Progress(), [])


async def test_a_long_stretch_comes_in_pieces_the_newest_first(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.backfill, "BARS_AT_ONCE", 20)
    await fill(world, ["AAPL"], "2024-01-01", "2024-02-15")
    assert asked(source) == [
        ("AAPL", window("2024-01-26", "2024-02-15")),
        ("AAPL", window("2024-01-06", "2024-01-26")),
        ("AAPL", window("2024-01-01", "2024-01-06")),
    ]


async def test_what_a_source_cannot_give_is_named_and_the_others_go_on(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.backfill, "BARS_AT_ONCE", 10)
    answered = source.history

    async def reaches_back_a_while(symbol: str, interval: Interval, piece: Window) -> object:
        if symbol == "AAPL" and piece.start < at("2024-01-12"):
            source.asked.append((symbol, interval, piece))
            raise SourceCannot("It goes back to 2024-01-12.")
        return await answered(symbol, interval, piece)

    monkeypatch.setattr(source, "history", reaches_back_a_while)
    done, told = await fill(world, ["AAPL", "NOSUCH", "MSFT"], "2024-01-01", "2024-02-01")
    assert (done.done, done.total, done.bars) == (12, 12, 51)
    assert [failure.partition(":")[0] for failure in done.failures] == ["AAPL", "NOSUCH"]
    assert "It goes back to 2024-01-12." in done.failures[0]
    # What lies further back is not asked for.
    assert [piece.start for symbol, piece in asked(source) if symbol == "AAPL"] == [
        at("2024-01-22"),
        at("2024-01-12"),
        at("2024-01-02"),
    ]
    assert told[-1] == done


async def test_what_no_source_goes_back_to_is_named_and_not_counted_as_held(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.backfill, "BARS_AT_ONCE", 10)
    today = D1.floor(datetime.now(UTC))
    source.reach = {D1: 15 * DAY}
    source.bars["AAPL", D1] = bars(bar(today - number * DAY) for number in range(1, 100))
    done, _ = await fill(world, ["AAPL"], f"{today - 40 * DAY:%F}", f"{today:%F}")
    reached = [piece.start for _, piece in asked(source)]
    assert (done.done, done.total) == (4, 4)
    assert [start in (today - 14 * DAY, today - 13 * DAY) for start in reached] == [False, True]  # a day may end
    assert done.failures == [
        f"AAPL: No source has D1 bars of AAPL before {reached[1]:%FT%TZ}; ask from there on.",
    ]
    missing = await world.bars.missing("AAPL", D1, Window(today - 40 * DAY, today))
    assert missing == [Window(today - 40 * DAY, reached[1])]


@pytest.mark.parametrize("error", [SourceLimited("It is enough.", retry_after_s=0.2), SourceTimeout("It rains.")])
async def test_a_source_that_rests_or_fails_for_a_while_is_waited_for(
    world: World, source: Scripted, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = source.history
    failures = iter([error, error])

    async def twice_not(*question: object) -> object:
        for failure in failures:
            raise failure
        return await answered(*question)  # type: ignore[arg-type]

    monkeypatch.setattr(source, "history", twice_not)
    done, _ = await fill(world, ["AAPL"], "2024-01-01", "2024-02-01")
    assert done == Progress(done=1, total=1, bars=31, changed=31)


async def test_a_source_that_fails_for_long_is_given_up(world: World, source: Scripted) -> None:
    source.error = SourceTimeout("It rains.")
    done, _ = await fill(world, ["AAPL"], "2024-01-01", "2024-02-01")
    assert (done.done, done.total, done.bars) == (1, 1, 0)
    assert done.failures[0].endswith("It rains..")
    assert len(asked(source)) == 4


async def test_what_came_before_it_was_stopped_is_kept_and_not_asked_for_again(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.backfill, "BARS_AT_ONCE", 10)
    reached = asyncio.Event()

    async def tell(progress: Progress) -> None:
        if progress.done == 2:
            reached.set()
            await asyncio.Event().wait()

    span = window("2024-01-01", "2024-02-01")
    stopped = asyncio.create_task(backfill(world.bars, world.supply, ["AAPL"], D1, span, tell))
    await asyncio.wait_for(reached.wait(), 20)
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    asked(source)
    done, _ = await fill(world, ["AAPL"], "2024-01-01", "2024-02-01")
    assert asked(source) == [
        ("AAPL", window("2024-01-02", "2024-01-12")),
        ("AAPL", window("2024-01-01", "2024-01-02")),
    ]
    assert (done.bars, done.changed) == (11, 11)


async def test_a_window_that_lies_ahead_is_nothing_to_do(world: World, source: Scripted) -> None:
    ahead = datetime.now(UTC) + 10 * DAY

    async def tell(_: Progress) -> None:
        pass

    assert await backfill(world.bars, world.supply, ["AAPL"], D1, Window(ahead, ahead + DAY), tell) == Progress()
    assert source.asked == []
