"""Bars that nobody has are joined from shorter ones, on the sessions of the market and adjusted before they are."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from errors import NoData, SourceTimeout, SymbolNotFound
from live.ledger import Ledger
from market import Adjustment, Interval, ServedFrom, Window
from resolvers.gaps import Gap, gaps
from resolvers.history import History, has_older, load_history
from resolvers.world import Context, World
from sources.grid import slots
from sources.resample import resampled
from tests.bars import at, bar, bars
from tests.sources.scripted import Scripted
from tests.world import made_of

M1, M5, M30, H1, H4, D1, W1, MN1 = (Interval(name) for name in ("M1", "M5", "M30", "H1", "H4", "D1", "W1", "MN1"))
RAW, SPLITS, ALL = Adjustment.RAW, Adjustment.SPLITS, Adjustment.ALL
LATER = at("2030-01-01")


@pytest.fixture
def source() -> Scripted:
    """As Yahoo: neither H4 nor W1 nor MN1; and no M5, M15 and M30."""
    return Scripted("scripted", 0, reach=dict.fromkeys([M1, H1, D1]), unknown=frozenset({"GONE"}))


@pytest.fixture
def world(database: Database, redis: Redis, keys: Keys, source: Scripted) -> World:
    return made_of(database, redis, keys, source)


def traded(interval: Interval, start: str, end: str, market: str = "XNYS") -> pl.DataFrame:
    """A bar in every slot of the market; each is a little higher than the one before."""
    times = slots(market, interval, Window(at(start), at(end)))["time"]
    return bars(
        bar(time, 100 + number / 8, high=101 + number / 8, open=99.5 + number / 8, low=99 + number / 8)
        for number, time in enumerate(times)
    )


async def load(
    world: World,
    interval: Interval,
    start: str | None = None,
    end: str | datetime | None = None,
    last: int | None = None,
    adjustment: Adjustment = RAW,
    symbol: str = "AAPL",
) -> History:
    until = at(end) if isinstance(end, str) else end
    return await load_history(world, symbol, interval, start and at(start), until, last, adjustment)  # type: ignore[arg-type]


def asking(world: World) -> Any:
    return SimpleNamespace(context=Context(world))


async def hold(world: World, interval: Interval, frame: pl.DataFrame, *covered: str, symbol: str = "AAPL") -> None:
    """Keep the bars; they are complete from one to the other of each pair of instants."""
    start, end = covered
    window = Window(at(start), at(end))
    kept = frame.filter(pl.col("time").is_between(window.start, window.end, closed="left"))
    await world.bars.save(symbol, interval, kept, source="import", received_at=at("2024-06-01"), covered=window)


def times(history: History) -> list[str]:
    return [time.strftime("%m-%dT%H:%M") for time in history.frame["time"]]


async def test_an_interval_that_nobody_has_is_joined_from_the_nearest_that_can_be_had(
    world: World, source: Scripted
) -> None:
    source.bars["AAPL", H1] = traded(H1, "2024-07-01", "2024-07-13")
    history = await load(world, H4, "2024-07-02", "2024-07-06")
    assert times(history) == ["07-02T13:30", "07-02T17:30", "07-03T13:30", "07-05T13:30", "07-05T17:30"]
    assert history.frame.equals(resampled(source.bars["AAPL", H1][7:-35], "XNYS", H1, H4, LATER))
    assert (history.made_of, history.provenance.source, history.interval) == (H1, "scripted", H4)
    assert [question[1] for question in source.asked] == [H1]  # type: ignore[index]
    # From then on it is held.
    assert (await load(world, H4, "2024-07-02", "2024-07-06")).provenance.served_from is ServedFrom.STORE


async def test_a_window_that_begins_or_ends_within_a_bar_gives_whole_bars_only(world: World, source: Scripted) -> None:
    source.bars["AAPL", H1] = traded(H1, "2024-07-01", "2024-07-13")
    # It begins an hour into a bar, and ends an hour into another: the one does not open in it, the other does.
    history = await load(world, H4, "2024-07-02T14:30", "2024-07-05T14:30")
    assert times(history) == ["07-02T17:30", "07-03T13:30", "07-05T13:30"]
    assert history.frame.equals(resampled(source.bars["AAPL", H1][11:-38], "XNYS", H1, H4, LATER))


@pytest.mark.parametrize(
    ("interval", "start", "end", "expected"),
    [
        (W1, "2023-12-20", "2024-01-20", ["12-25T00:00", "01-01T00:00", "01-08T00:00", "01-15T00:00"]),
        (MN1, "2023-11-02", "2024-02-02", ["12-01T00:00", "01-01T00:00", "02-01T00:00"]),
    ],
)
async def test_weeks_and_months_are_joined_from_days(
    world: World, source: Scripted, interval: Interval, start: str, end: str, expected: list[str]
) -> None:
    source.bars["AAPL", D1] = traded(D1, "2023-01-01", "2024-12-31")
    history = await load(world, interval, start, end)
    assert times(history) == expected
    whole = resampled(source.bars["AAPL", D1], "XNYS", D1, interval, LATER)
    first, last = history.frame["time"][0], history.frame["time"][-1]
    assert history.frame.equals(whole.filter(pl.col("time").is_between(first, last)))


PAGES: list[tuple[Interval, Interval, str, str, int, str]] = [
    (D1, D1, "2018-01-01", "2024-01-01", 299, "AAPL"),
    (W1, D1, "2018-01-01", "2024-01-01", 50, "AAPL"),
    (MN1, D1, "2018-01-01", "2024-01-01", 7, "AAPL"),
    (H1, H1, "2023-01-01", "2024-01-01", 250, "7203.T"),
    (H4, H1, "2023-01-01", "2024-01-01", 91, "AAPL"),
    (H4, H1, "2023-01-01", "2024-01-01", 91, "0700.HK"),
    (M30, M1, "2024-02-25", "2024-03-20", 40, "AAPL"),
    (M5, M1, "2024-02-27", "2024-03-05", 411, "BTC-USD"),
]


@pytest.mark.parametrize(("interval", "part", "start", "end", "count", "symbol"), PAGES)
async def test_a_chart_scrolls_back_through_all_that_there_is(
    world: World, source: Scripted, interval: Interval, part: Interval, start: str, end: str, count: int, symbol: str
) -> None:
    market = {"7203.T": "XTKS", "0700.HK": "XHKG", "BTC-USD": "CRYPTO"}.get(symbol, "XNYS")
    parts = source.bars[symbol, part] = traded(part, start, end, market)
    whole = parts if part is interval else resampled(parts, market, part, interval, LATER)
    pages: list[pl.DataFrame] = []
    before, has_more = at(end), True
    while has_more:
        assert len(pages) <= whole.height // count
        history = await load(world, interval, end=before, last=count, symbol=symbol)
        pages.insert(0, history.frame)
        before = history.frame["time"][0]
        has_more = await has_older(history, asking(world))
        assert has_more == (before > whole["time"][0])
    assert len(pages) > 4
    assert {page.height for page in pages[1:]} == {count}
    assert pl.concat(pages).equals(whole)
    with pytest.raises(NoData):
        await load(world, interval, end=before, last=count, symbol=symbol)


SPLIT_ON_WEDNESDAY = [
    bar(at("2024-03-04"), 80.0, volume=10.0),
    bar(at("2024-03-05"), 84.0, volume=10.0),
    bar(at("2024-03-06"), 22.0, volume=40.0, split_factor=4.0),
    bar(at("2024-03-07"), 21.0, volume=40.0, dividend=1.05),
    bar(at("2024-03-08"), 24.0, volume=40.0),
    bar(at("2024-03-11"), 25.0, volume=40.0),
]


@pytest.mark.parametrize(
    ("adjustment", "prices"),
    [
        (RAW, (80.0, 84.0, 21.0, 24.0, 140.0)),
        (SPLITS, (20.0, 24.0, 20.0, 24.0, 200.0)),
        (ALL, (19.045454545454543, 24.0, 19.045454545454543, 24.0, 200.0)),  # 1 - 1.05 / 22 of the dividend
    ],
)
async def test_a_split_within_a_week_does_not_mix_two_prices(
    world: World, source: Scripted, adjustment: Adjustment, prices: tuple[float, ...]
) -> None:
    source.bars["AAPL", D1] = bars(SPLIT_ON_WEDNESDAY)
    history = await load(world, W1, "2024-03-04", "2024-03-12", adjustment=adjustment)
    assert history.frame.select("open", "high", "low", "close", "volume").row(0) == pytest.approx(prices, rel=1e-15)
    assert [(split.time, split.numerator) for split in history.splits] == [(at("2024-03-06"), 4.0)]
    assert [(dividend.time, dividend.amount) for dividend in history.dividends] == [(at("2024-03-07"), 1.05)]


@pytest.mark.parametrize(
    ("symbol", "market", "split_on", "opening"),
    [
        ("AAPL", "XNYS", "2024-03-06", "2024-03-06T14:30"),
        ("7203.T", "XTKS", "2024-03-06", "2024-03-06T00:00"),
        # Its session of the 6th begins on the 5th in UTC.
        ("BHP.AX", "XASX", "2024-03-06", "2024-03-05T23:00"),
    ],
)
async def test_daily_actions_reach_the_intraday_bars_of_their_day_and_no_other(
    world: World, source: Scripted, symbol: str, market: str, split_on: str, opening: str
) -> None:
    hours = slots(market, H1, Window(at("2024-03-04"), at("2024-03-08")))["time"]
    source.bars[symbol, H1] = bars(bar(time, 80.0 if time < at(opening) else 20.0) for time in hours)
    days = slots(market, D1, Window(at("2024-03-04"), at("2024-03-08")))["time"]
    source.bars[symbol, D1] = bars(
        bar(day, 80.0 if day < at(split_on) else 20.0, split_factor=4.0 if day == at(split_on) else 1.0) for day in days
    )
    await load(world, D1, "2024-03-04", "2024-03-08", symbol=symbol)
    for interval in (H1, H4):
        history = await load(world, interval, "2024-03-04", "2024-03-08", adjustment=SPLITS, symbol=symbol)
        assert history.frame["close"].unique().to_list() == [20.0]
        assert [(split.time, split.numerator, split.denominator) for split in history.splits] == [(at(opening), 4, 1)]
        # A window that begins after the split has none; one that ends before is adjusted for it all the same.
        assert (await load(world, interval, "2024-03-06T02:00", "2024-03-08", symbol=symbol)).splits == (
            [] if market != "XNYS" else history.splits
        )
        before = await load(world, interval, "2024-03-04", "2024-03-05T12:00", adjustment=SPLITS, symbol=symbol)
        assert (before.splits, before.frame["close"].unique().to_list()) == ([], [20.0])


async def test_what_is_held_is_joined_where_the_sources_fail(world: World, source: Scripted) -> None:
    minutes = traded(M1, "2024-07-01", "2024-07-03")
    await hold(world, M1, minutes, "2024-07-01", "2024-07-03")
    source.error = SourceTimeout("It rains.")
    history = await load(world, H1, "2024-07-02", "2024-07-03")
    assert history.frame.equals(resampled(minutes[390:], "XNYS", M1, H1, LATER))
    assert (history.made_of, history.provenance.source) == (M1, "import")


async def test_what_was_imported_of_a_symbol_that_nobody_knows_is_joined(world: World) -> None:
    minutes = traded(M1, "2024-07-01", "2024-07-03")
    await hold(world, M1, minutes, "2024-07-01", "2024-07-03", symbol="GONE")
    assert (await load(world, M30, "2024-07-01", "2024-07-03", symbol="GONE")).frame.height == 26
    with pytest.raises(SymbolNotFound):
        await load(world, M30, "2023-07-01", "2023-07-03", symbol="GONE")


async def test_a_bar_that_lacks_a_part_is_a_gap_not_a_wrong_bar(world: World, source: Scripted) -> None:
    days = traded(D1, "2024-01-01", "2024-03-01")
    for covered in (("2024-01-08", "2024-01-27"), ("2024-01-31", "2024-02-24")):
        await hold(world, D1, days, *covered)
    source.error = SourceTimeout("It rains.")
    history = await load(world, W1, "2024-01-08", "2024-02-26")
    # The week of the 29th lacks its Monday and its Tuesday.
    assert [time[:5] for time in times(history)] == ["01-08", "01-15", "01-22", "02-05", "02-12", "02-19"]
    assert history.provenance.served_from is ServedFrom.STALE
    assert await gaps(history, asking(world)) == [Gap(at("2024-01-29"), at("2024-02-05"), "NOT_HELD")]


async def test_hours_by_the_clock_make_no_bars_of_a_session_that_begins_at_half_past(
    world: World, source: Scripted
) -> None:
    hours = [at("2024-07-02T13:00") + timedelta(hours=number) for number in range(7)]
    source.bars["AAPL", H1] = bars(map(bar, hours))
    source.bars["AAPL", M1] = traded(M1, "2024-07-02", "2024-07-03")
    history = await load(world, H4, "2024-07-02", "2024-07-03")
    assert (history.made_of, times(history)) == (M1, ["07-02T13:30", "07-02T17:30"])
    source.bars["MSFT", H1] = source.bars["AAPL", H1]
    with pytest.raises(NoData):
        await load(world, H4, "2024-07-02", "2024-07-03", symbol="MSFT")


async def test_the_bar_that_forms_is_joined_from_what_there_is_of_it(world: World, source: Scripted) -> None:
    now = datetime.now(at("2024-01-01").tzinfo)
    today = D1.floor(now)
    past = [today - timedelta(days=back) for back in range(20, 0, -1)]
    source.bars["BTC-USD", H1] = bars([*map(bar, past), bar(H1.floor(now), 7.0, is_final=False)])
    history = await load(world, H4, last=1, symbol="BTC-USD")
    assert history.frame.select("time", "close", "is_final").rows() == [(H4.floor(now), 7.0, False)]


GAPS: list[tuple[Interval, Sequence[str], list[tuple[str, str]]]] = [
    (D1, [], []),
    (D1, ["2024-07-03"], [("2024-07-03", "2024-07-05")]),  # the 4th is a holiday, so the next is the 5th
    (D1, ["2024-07-05", "2024-07-08"], [("2024-07-05", "2024-07-09")]),
    (H1, ["2024-07-02T14:30"], [("2024-07-02T14:30", "2024-07-02T15:30")]),
    (H1, ["2024-07-03T15:30", "2024-07-03T16:30"], [("2024-07-03T15:30", "2024-07-05T13:30")]),
    (
        H4,
        ["2024-07-02T17:30", "2024-07-05T13:30"],
        [("2024-07-02T17:30", "2024-07-03T13:30"), ("2024-07-05T13:30", "2024-07-05T17:30")],
    ),
]


@pytest.mark.parametrize(("interval", "untraded", "expected"), GAPS)
async def test_where_nothing_was_traded_there_is_a_gap_of_the_sessions_only(
    database: Database,
    redis: Redis,
    keys: Keys,
    interval: Interval,
    untraded: Sequence[str],
    expected: list[tuple[str, str]],
) -> None:
    source = Scripted("scripted", 0)
    world = made_of(database, redis, keys, source)
    source.bars["AAPL", interval] = traded(interval, "2024-06-24", "2024-07-20").filter(
        ~pl.col("time").is_in([at(time) for time in untraded])
    )
    history = await load(world, interval, "2024-07-01", "2024-07-13")
    assert await gaps(history, asking(world)) == [Gap(at(start), at(end), "NO_TRADES") for start, end in expected]


async def test_a_gap_tells_apart_what_is_not_held_from_what_was_not_traded(world: World, source: Scripted) -> None:
    days = traded(D1, "2024-01-01", "2024-03-01").filter(pl.col("time") != at("2024-01-11"))
    for covered in (("2024-01-08", "2024-01-12"), ("2024-01-17", "2024-01-20")):
        await hold(world, D1, days, *covered)
    source.error = SourceTimeout("It rains.")
    history = await load(world, D1, "2024-01-08", "2024-01-20")
    # 13th to 15th: a week-end and a holiday.
    assert await gaps(history, asking(world)) == [
        Gap(at("2024-01-11"), at("2024-01-12"), "NO_TRADES"),
        Gap(at("2024-01-12"), at("2024-01-17"), "NOT_HELD"),
    ]


IMPOSSIBLE = [
    (["2024-07-03"], [("2024-07-03", "2024-07-05", "QUARANTINED")]),
    # The 4th is a holiday, and the 6th and 7th are a week-end.
    (["2024-07-03", "2024-07-05", "2024-07-08"], [("2024-07-03", "2024-07-09", "QUARANTINED")]),
    (
        ["2024-07-02", "2024-07-05"],
        [("2024-07-02", "2024-07-03", "QUARANTINED"), ("2024-07-05", "2024-07-08", "QUARANTINED")],
    ),
    (["2024-07-12"], [("2024-07-12", "2024-07-13", "QUARANTINED")]),
    # The 10th and the 11th were not traded.
    (
        ["2024-07-09", "2024-07-12"],
        [
            ("2024-07-09", "2024-07-10", "QUARANTINED"),
            ("2024-07-10", "2024-07-12", "NO_TRADES"),
            ("2024-07-12", "2024-07-13", "QUARANTINED"),
        ],
    ),
]


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize(("impossible", "expected"), IMPOSSIBLE)
async def test_where_bars_were_set_aside_the_gap_says_so(
    world: World, source: Scripted, impossible: list[str], expected: list[tuple[str, str, str]], is_written: bool
) -> None:
    days = traded(D1, "2024-06-24", "2024-07-20")
    if "2024-07-09" in impossible:
        days = days.filter(~pl.col("time").is_in([at("2024-07-10"), at("2024-07-11")]))
    is_bad = pl.col("time").is_in([at(day) for day in impossible])
    source.bars["AAPL", D1] = days.with_columns(close=pl.when(is_bad).then(-1.0).otherwise("close"))
    history = await load(world, D1, "2024-07-01", "2024-07-13")
    if is_written:
        await Ledger(world.router, world.source_stats).flush()
    assert await gaps(history, asking(world)) == [Gap(at(start), at(end), reason) for start, end, reason in expected]
    # What was set aside of another symbol, or of another interval, is not the reason.
    source.bars["MSFT", D1] = days.filter(~is_bad)
    other = await load(world, D1, "2024-07-01", "2024-07-13", symbol="MSFT")
    assert {gap.reason for gap in await gaps(other, asking(world))} == {"NO_TRADES"}


async def test_a_joined_bar_of_which_all_parts_were_set_aside_is_a_gap_that_says_so(
    world: World, source: Scripted
) -> None:
    hours = traded(H1, "2024-07-01", "2024-07-13")
    is_bad = pl.col("time").is_between(at("2024-07-03"), at("2024-07-04"))
    source.bars["AAPL", H1] = hours.with_columns(close=pl.when(is_bad).then(-1.0).otherwise("close"))
    history = await load(world, H4, "2024-07-02", "2024-07-06")
    assert await gaps(history, asking(world)) == [Gap(at("2024-07-03T13:30"), at("2024-07-05T13:30"), "QUARANTINED")]


async def test_bars_by_the_clock_have_no_gap_at_an_opening_that_they_reach_over(
    database: Database, redis: Redis, keys: Keys
) -> None:
    source = Scripted("scripted", 0)
    world = made_of(database, redis, keys, source)
    source.bars["AAPL", H1] = bars(bar(at(f"2024-07-0{day}T{hour}:00")) for day in (1, 2) for hour in range(13, 20))
    history = await load(world, H1, "2024-07-01", "2024-07-02T20:00")
    assert await gaps(history, asking(world)) == []
