"""Where bars are taken from: the store, and the sources for what it lacks."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from db.supply import BarSupply
from errors import (
    InvalidLimit,
    InvalidWindow,
    NoData,
    SmartFinError,
    SourceTimeout,
    SourceUnavailable,
    StoreUnavailable,
    SymbolNotFound,
    UnsupportedInterval,
)
from market import Adjustment, Interval, ServedFrom, SkippedSource, Window
from resolvers.gaps import Gap, gaps
from resolvers.history import History, has_older, load_history
from resolvers.world import Context, World
from tests.bars import at, bar, bars
from tests.sources.scripted import Scripted
from tests.world import made_of

D1, H1, M1 = Interval.D1, Interval.H1, Interval.M1
DAY = timedelta(days=1)
RAIN = SkippedSource("scripted", "SOURCE_TIMEOUT", "It rains.")


@pytest.fixture
def source() -> Scripted:
    return Scripted("scripted", 0, unknown=frozenset({"NOSUCH"}))


@pytest.fixture
def world(database: Database, redis: Redis, keys: Keys, source: Scripted) -> World:
    return made_of(database, redis, keys, source)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def today(now: datetime) -> datetime:
    return D1.floor(now)


async def load(
    world: World,
    symbol: str = "AAPL",
    interval: Interval = D1,
    start: datetime | None = None,
    end: datetime | None = None,
    last: int | None = None,
) -> History:
    return await load_history(world, symbol, interval, start, end, last, Adjustment.RAW)


async def load_window(world: World, start: str, end: str, last: int | None = None) -> History:
    return await load(world, start=at(start), end=at(end), last=last)


def days(start: datetime, end: datetime) -> list[datetime]:
    return [start + DAY * number for number in range((end - start) // DAY)]


def weekdays(start: datetime, end: datetime) -> list[datetime]:
    return [day for day in days(start, end) if day.weekday() < 5]


def tell(source: Scripted, rows: Iterable[dict[str, Any]], interval: Interval = D1, symbol: str = "AAPL") -> None:
    source.bars[symbol, interval] = bars(rows)


def tell_days(source: Scripted, times: Iterable[datetime]) -> None:
    tell(source, map(bar, times))


def asked(source: Scripted) -> list[tuple[datetime, datetime]]:
    """The windows that were asked for since the last look, in order."""
    questions = cast(list[tuple[str, Interval, Window]], source.asked.copy())
    source.asked.clear()
    return [(window.start, window.end) for _, _, window in questions]


def asking(world: World) -> Any:
    return SimpleNamespace(context=Context(world))


async def gaps_of(world: World, history: History) -> list[Gap]:
    return await gaps(history, asking(world))


def window(start: str, end: str) -> tuple[datetime, datetime]:
    return at(start), at(end)


def times(history: History) -> list[datetime]:
    return history.frame["time"].to_list()


async def test_only_what_is_missing_is_asked_of_the_source(world: World, source: Scripted) -> None:
    tell_days(source, days(at("2023-12-01"), at("2024-03-01")))
    for start, end, pieces, served_from in [
        ("2024-01-10", "2024-01-20", [("2024-01-10", "2024-01-20")], ServedFrom.LIVE),
        ("2024-01-10", "2024-01-20", [], ServedFrom.STORE),
        ("2024-01-12", "2024-01-15", [], ServedFrom.STORE),
        ("2024-01-18", "2024-01-25", [("2024-01-20", "2024-01-25")], ServedFrom.LIVE),
        ("2024-01-27", "2024-01-29", [("2024-01-27", "2024-01-29")], ServedFrom.LIVE),
        (
            "2024-01-01",
            "2024-02-01",
            [("2024-01-01", "2024-01-10"), ("2024-01-25", "2024-01-27"), ("2024-01-29", "2024-02-01")],
            ServedFrom.LIVE,
        ),
        ("2024-01-01", "2024-02-01", [], ServedFrom.STORE),
    ]:
        history = await load_window(world, start, end)
        assert asked(source) == [window(*piece) for piece in pieces]
        assert times(history) == days(at(start), at(end))
        assert (history.provenance.served_from, history.provenance.source) == (served_from, "scripted")
        assert await gaps_of(world, history) == []


async def test_a_stretch_known_to_be_empty_is_not_asked_for_twice(world: World, source: Scripted) -> None:
    tell_days(source, weekdays(at("2024-01-01"), at("2024-02-01")))
    for pieces in ([window("2024-01-06", "2024-01-08")], []):
        with pytest.raises(NoData, match="AAPL has no D1 bars from 2024-01-06T00:00:00Z to 2024-01-08T00:00:00Z"):
            await load_window(world, "2024-01-06", "2024-01-08")
        assert asked(source) == pieces


async def test_a_forming_bar_is_served_but_never_kept(world: World, source: Scripted, today: datetime) -> None:
    past = days(today - 5 * DAY, today)
    for close, start in [(1.0, today - 4 * DAY), (2.0, today), (3.0, today)]:
        tell(source, [*map(bar, past), bar(today, close, is_final=False)])
        history = await load(world, last=3)
        assert [(row.time, row.close, row.is_final) for row in history.bars] == [
            (today - 2 * DAY, 100.0, True),
            (today - DAY, 100.0, True),
            (today, close, False),
        ]
        assert history.provenance.served_from is ServedFrom.LIVE
        assert asked(source) == [(start, today + DAY)]
    held = await world.bars.newest("AAPL", D1, 10, today + DAY, today - 10 * DAY)
    assert held is not None
    assert held.frame["time"].to_list() == past[1:]


async def test_many_histories_up_to_now_are_one_question_for_a_while(
    database: Database, redis: Redis, keys: Keys, source: Scripted, today: datetime
) -> None:
    world = made_of(database, redis, keys, source)
    world = replace(world, supply=BarSupply(world.bars, world.router, edge_for_s=3600.0))
    past = days(today - 9 * DAY, today)
    tell(source, [*map(bar, past), bar(today, 1.0, is_final=False)])
    first = await load(world, last=3)
    asked(source)
    tell(source, [*map(bar, past), bar(today, 2.0, is_final=False)])
    later = await asyncio.gather(*(load(world, last=count) for count in (1, 2, 3) * 10))
    assert source.asked == []
    assert {history.frame["close"][-1] for history in (first, *later)} == {1.0}
    assert all(history.frame.equals(first.frame.tail(history.count)) for history in later)
    # What it does not hold is asked for all the same.
    assert (await load(world, last=8)).count == 8
    assert asked(source) == [(today - 9 * DAY, today - 4 * DAY)]
    world = replace(world, supply=BarSupply(world.bars, world.router, edge_for_s=0.0))
    for _ in range(2):
        assert (await load(world, last=1)).frame["close"][0] == 2.0
    assert len(source.asked) == 2


async def test_a_bar_that_turns_final_at_the_live_edge_is_kept_at_once(
    world: World, source: Scripted, now: datetime
) -> None:
    hour = H1.floor(now)
    hours = [hour - timedelta(hours=back) for back in range(6, 0, -1)]
    tell(source, map(bar, hours), H1)
    assert times(await load(world, interval=H1, last=3)) == hours[-3:]
    asked(source)
    assert times(await load(world, interval=H1, last=3)) == hours[-3:]
    assert asked(source) == [(hour, hour + timedelta(hours=1))]


async def test_a_bar_that_is_finished_by_another_at_the_same_time_comes_once(
    world: World, source: Scripted, today: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = days(today - 5 * DAY, today)
    tell(source, [*map(bar, past), bar(today, 1.0, is_final=False)])
    answered = source.history

    async def finished_meanwhile(*arguments: Any) -> Any:
        await world.bars.save("AAPL", D1, bars([bar(today, 2.0)]), source="other", received_at=today, covered=None)
        return await answered(*arguments)

    monkeypatch.setattr(source, "history", finished_meanwhile)
    history = await load(world, last=2)
    assert [(row.time, row.close, row.is_final) for row in history.bars] == [
        (today - DAY, 100.0, True),
        (today, 2.0, True),
    ]


@pytest.mark.parametrize(
    ("back", "said"),
    [(1, []), (1, [{"is_final": False}]), (3, [{"is_final": False}])],
    ids=["not yet published", "still forming", "forming for long"],
)
async def test_a_bar_that_the_source_finishes_late_is_not_lost(
    world: World, source: Scripted, today: datetime, back: int, said: list[dict[str, Any]]
) -> None:
    late = today - back * DAY
    others = [bar(day) for day in days(today - 6 * DAY, today) if day != late]
    tell(source, sorted([*others, *(bar(late, 1.0, **change) for change in said)], key=itemgetter("time")))
    await load(world, last=4)
    tell(source, sorted([*others, bar(late, 2.0)], key=itemgetter("time")))
    history = await load(world, last=4)
    assert [(row.time, row.close, row.is_final) for row in history.bars] == [
        (day, 2.0 if day == late else 100.0, True) for day in days(today - 4 * DAY, today)
    ]


async def test_the_newest_of_a_window_are_given(world: World, source: Scripted) -> None:
    tell_days(source, days(at("2024-01-01"), at("2024-02-01")))
    history = await load_window(world, "2024-01-05", "2024-01-20", last=3)
    assert times(history) == days(at("2024-01-17"), at("2024-01-20"))
    assert asked(source) == [window("2024-01-16", "2024-01-20")]
    # More than the window holds: all of it, and nothing from before it.
    history = await load_window(world, "2024-01-05", "2024-01-20", last=100)
    assert times(history) == days(at("2024-01-05"), at("2024-01-20"))
    assert asked(source) == [window("2024-01-05", "2024-01-16")]


async def test_where_bars_are_sparse_more_time_is_asked_for(world: World, source: Scripted, today: datetime) -> None:
    sparse = weekdays(today - 1000 * DAY, today)
    tell_days(source, sparse)
    assert times(await load(world, last=100)) == sparse[-100:]
    assert asked(source) == [(today - 101 * DAY, today + DAY), (today - 404 * DAY, today - 101 * DAY)]


async def test_a_listing_that_begins_late_is_searched_to_the_end_once(
    world: World, source: Scripted, today: datetime
) -> None:
    listed = days(today - 10 * DAY, today)
    tell_days(source, listed)
    assert times(await load(world, last=100)) == listed
    windows = asked(source)
    assert windows[-1][0] == at("1900-01-01")
    assert [end for _, end in windows[1:]] == [start for start, _ in windows[:-1]]
    assert times(await load(world, last=100)) == listed
    assert asked(source) == [(today, today + DAY)]


async def test_bars_held_from_long_ago_do_not_stand_in_for_what_lies_between(
    world: World, source: Scripted, today: datetime
) -> None:
    long_ago = days(at("2013-01-01"), at("2013-06-01"))
    await world.bars.save(
        "AAPL",
        D1,
        bars(map(bar, long_ago)),
        source="import",
        received_at=today,
        covered=Window(long_ago[0], long_ago[-1]),
    )
    sparse = weekdays(today - 1000 * DAY, today)
    tell_days(source, [*long_ago, *sparse])
    assert times(await load(world, last=100)) == sparse[-100:]


async def test_an_interval_that_nobody_has_is_named(database: Database, redis: Redis, keys: Keys) -> None:
    source = Scripted("scripted", 0, reach={H1: timedelta(days=730), D1: None})
    tell_days(source, days(at("2024-01-01"), at("2024-02-01")))
    world = made_of(database, redis, keys, source)
    with pytest.raises(UnsupportedInterval, match=r"^No source has M1 bars of AAPL; ask for one of H1, D1\.$"):
        await load(world, interval=M1)
    assert source.asked == []


@pytest.fixture
async def hours(database: Database, redis: Redis, keys: Keys, today: datetime) -> tuple[World, Scripted]:
    """A source that has an hour every hour, but goes back only ten days."""
    source = Scripted("scripted", 0, reach={H1: 10 * DAY})
    tell(source, (bar(today - number * H1.span) for number in range(1, 24 * 30)), H1, "BTC-USD")
    return made_of(database, redis, keys, source), source


async def test_what_no_source_goes_back_to_is_a_gap_and_the_rest_is_not_stale(
    hours: tuple[World, Scripted], today: datetime
) -> None:
    world, source = hours
    for served_from in (ServedFrom.LIVE, ServedFrom.STORE):
        history = await load(world, "BTC-USD", H1, today - 20 * DAY, today - 3 * DAY)
        first = times(history)[0]
        assert today - 10 * DAY < first <= today - 9 * DAY + 2 * H1.span
        assert times(history)[-1] == today - 3 * DAY - H1.span
        assert (history.provenance.served_from, history.provenance.skipped) == (served_from, ())
        assert await gaps_of(world, history) == [Gap(today - 20 * DAY, first, "NOT_HELD")]
    # The store has the part that there is, and the source was not asked for what it has not.
    assert asked(source) == [(first, today - 3 * DAY)]


async def test_only_what_no_source_goes_back_to_is_no_data(hours: tuple[World, Scripted], today: datetime) -> None:
    world, source = hours
    with pytest.raises(NoData, match=r"^No source has H1 bars of BTC-USD before .*; ask from there on, or for D1\.$"):
        await load(world, "BTC-USD", H1, today - 20 * DAY, today - 12 * DAY)
    assert source.asked == []


async def test_the_newest_end_where_no_source_goes_back_further(hours: tuple[World, Scripted], today: datetime) -> None:
    world, _ = hours
    history = await load(world, "BTC-USD", H1, end=today, last=1000)
    assert 24 * 9 <= history.count <= 24 * 10
    assert history.provenance.served_from is ServedFrom.LIVE
    assert not await has_older(history, asking(world))


async def test_what_was_kept_from_before_a_source_goes_back_is_served_with_the_gap_between(
    hours: tuple[World, Scripted], today: datetime
) -> None:
    world, _ = hours
    old = Window(today - 20 * DAY, today - 19 * DAY)
    kept = bars(bar(old.start + number * H1.span) for number in range(24))
    await world.bars.save("BTC-USD", H1, kept, source="import", received_at=old.end, covered=old)
    history = await load(world, "BTC-USD", H1, old.start, today - 3 * DAY)
    assert times(history)[:24] == kept["time"].to_list()
    assert await gaps_of(world, history) == [Gap(old.end, times(history)[24], "NOT_HELD")]
    assert history.provenance.served_from is ServedFrom.LIVE


async def test_an_unknown_symbol_is_not_found(world: World, source: Scripted) -> None:
    with pytest.raises(SymbolNotFound):
        await load(world, "NOSUCH")


async def test_where_the_source_fails_what_is_held_is_served_stale_with_its_gaps(
    world: World, source: Scripted
) -> None:
    tell_days(source, days(at("2024-01-01"), at("2024-03-01")))
    await load_window(world, "2024-01-10", "2024-01-15")
    await load_window(world, "2024-01-20", "2024-01-25")
    source.error = SourceTimeout("It rains.")
    history = await load_window(world, "2024-01-05", "2024-01-30")
    assert times(history) == [*days(at("2024-01-10"), at("2024-01-15")), *days(at("2024-01-20"), at("2024-01-25"))]
    # The 15th was a holiday.
    assert await gaps_of(world, history) == [
        Gap(*window("2024-01-05", "2024-01-10"), "NOT_HELD"),
        Gap(*window("2024-01-16", "2024-01-20"), "NOT_HELD"),
        Gap(*window("2024-01-25", "2024-01-30"), "NOT_HELD"),
    ]
    assert history.provenance.served_from is ServedFrom.STALE
    assert history.provenance.skipped == (RAIN,)
    # What is held whole does not need the source.
    assert (await load_window(world, "2024-01-20", "2024-01-25")).provenance.served_from is ServedFrom.STORE


async def test_where_the_source_fails_the_newest_that_are_held_are_served_however_old(
    world: World, source: Scripted
) -> None:
    tell_days(source, days(at("2013-01-01"), at("2013-02-01")))
    await load_window(world, "2013-01-01", "2013-02-01")
    source.error = SourceTimeout("It rains.")
    history = await load(world, last=5)
    assert times(history) == days(at("2013-01-27"), at("2013-02-01"))
    assert history.provenance.served_from is ServedFrom.STALE
    assert [gap.start for gap in await gaps_of(world, history)] == [at("2013-02-01")]


async def test_where_the_source_fails_and_nothing_is_held_its_error_is_the_answer(
    world: World, source: Scripted
) -> None:
    source.error = SourceTimeout("It rains.")
    with pytest.raises(SourceUnavailable) as failed:
        await load_window(world, "2024-01-05", "2024-01-30")
    assert tuple(failed.value.skipped) == (RAIN,)


async def test_what_came_before_a_failure_is_kept(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_days(source, days(at("2024-01-01"), at("2024-03-01")))
    await load_window(world, "2024-01-10", "2024-01-15")

    answered = source.history

    async def once(*arguments: Any) -> Any:
        found = await answered(*arguments)
        source.error = SourceTimeout("It rains.")
        return found

    monkeypatch.setattr(source, "history", once)
    history = await load_window(world, "2024-01-08", "2024-01-20")
    assert times(history) == days(at("2024-01-08"), at("2024-01-15"))
    assert await gaps_of(world, history) == [Gap(*window("2024-01-16", "2024-01-20"), "NOT_HELD")]
    assert asked(source)[1:] == [window("2024-01-08", "2024-01-10"), window("2024-01-15", "2024-01-20")]


async def test_a_window_that_reaches_into_the_future_ends_now(world: World, source: Scripted, today: datetime) -> None:
    tell_days(source, days(today - 5 * DAY, today))
    history = await load(world, start=today - 2 * DAY, end=today + 30 * DAY)
    assert times(history) == [today - 2 * DAY, today - DAY]
    assert asked(source) == [(today - 2 * DAY, today + DAY)]


TOMORROW, NEXT_YEAR = datetime.now(UTC) + DAY, datetime.now(UTC) + 365 * DAY


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"start": TOMORROW, "end": NEXT_YEAR}, NoData, "AAPL has no D1 bars from "),
        ({"start": TOMORROW}, InvalidWindow, "is not before to"),
        ({"end": at("1850-01-01")}, NoData, "AAPL has no D1 bars before 1850-01-01T00:00:00Z"),
        ({"start": at("1800-01-01"), "end": at("1850-01-01")}, NoData, "AAPL has no D1 bars from 1800-01-01"),
        ({"start": at("2024-01-02"), "end": at("2024-01-02")}, InvalidWindow, "is not before to"),
        ({"last": 0}, InvalidLimit, "last: 0 is outside 1 to 5000"),
        ({"last": 5001}, InvalidLimit, "last: 5001 is outside 1 to 5000"),
    ],
)
async def test_a_window_without_sense_or_bars_is_the_callers_to_mend(
    world: World, source: Scripted, arguments: dict[str, Any], error: type[SmartFinError], said: str
) -> None:
    tell_days(source, days(at("2024-01-01"), at("2024-02-01")))
    with pytest.raises(error, match=said):
        await load(world, **arguments)
    assert source.asked == []


async def older(world: World, history: History) -> bool:
    return await has_older(history, asking(world))


async def test_whether_there_is_more_is_known_from_the_store_else_asked(world: World, source: Scripted) -> None:
    tell_days(source, days(at("2024-01-01"), at("2024-02-01")))
    await load_window(world, "2024-01-10", "2024-01-15")
    inner = await load_window(world, "2024-01-12", "2024-01-15")
    asked(source)
    assert await older(world, inner) is True
    assert asked(source) == []
    outer = await load_window(world, "2024-01-10", "2024-01-15")
    assert await older(world, outer) is True
    assert asked(source) == [window("2024-01-08", "2024-01-10")]
    first = await load_window(world, "2024-01-01", "2024-01-15")
    assert await older(world, first) is False
    source.error = SourceTimeout("It rains.")
    assert await older(world, first) is False


async def test_without_postgresql_there_is_no_history_and_that_is_said_in_time(
    redis: Redis, keys: Keys, source: Scripted, tmp_path: Path
) -> None:
    nowhere = Database(f"postgresql://smartfin@/smartfin?host={tmp_path}", "public")
    start = time.monotonic()
    with pytest.raises(StoreUnavailable) as failed:
        await load(made_of(nowhere, redis, keys, source), last=5)
    assert time.monotonic() - start < 2.5
    assert failed.value.extensions == {"code": "STORE_UNAVAILABLE"}
    await nowhere.aclose()
