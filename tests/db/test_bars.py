"""What is kept of bars, and what is known to be missing."""

import asyncio
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import polars as pl
import pytest

from db.bars import BarStore
from db.database import Database
from db.partitions import Partitions
from market import BAR_SCHEMA, Interval, Window
from tests.bars import at, bar, bars

D1 = Interval.D1
RECEIVED = at("2024-06-01T12:00")


@pytest.fixture
def store(database: Database, partitions: Partitions) -> BarStore:
    return BarStore(database, partitions)


async def save(
    store: BarStore,
    *rows: dict[str, Any],
    covered: tuple[str, str] | None = None,
    symbol: str = "AAPL",
    interval: Interval = D1,
    source: str = "test",
    quality: int = 100,
    received_at: datetime = RECEIVED,
) -> int:
    return await store.save(
        symbol,
        interval,
        bars(rows),
        source=source,
        quality=quality,
        received_at=received_at,
        covered=covered and window(*covered),
    )


def window(start: str, end: str) -> Window:
    return Window(at(start), at(end))


async def held(store: BarStore, symbol: str = "AAPL", interval: Interval = D1) -> list[dict[str, Any]]:
    found = await store.newest(symbol, interval, 1000, at("2100-01-01"), at("1900-01-01"))
    return found.frame.to_dicts()


async def fetched(database: Database, query: str) -> list[Any]:
    async with database.connection() as connection:
        return [row[0] for row in await connection.fetch(query)]


JAN, FEB = ("2024-01-01", "2024-02-01"), ("2024-02-01", "2024-03-01")


MISSING: list[tuple[list[tuple[str, str]], tuple[str, str], list[tuple[str, str]]]] = [
    ([], JAN, [JAN]),
    ([JAN], JAN, []),
    ([JAN], ("2024-01-10", "2024-01-20"), []),
    ([JAN], FEB, [FEB]),
    ([JAN, FEB], ("2024-01-15", "2024-02-15"), []),
    ([FEB, JAN], ("2023-12-31", "2024-03-02"), [("2023-12-31", "2024-01-01"), ("2024-03-01", "2024-03-02")]),
    (
        [("2024-01-05", "2024-01-10"), ("2024-01-08", "2024-01-20")],
        JAN,
        [(JAN[0], "2024-01-05"), ("2024-01-20", JAN[1])],
    ),
    (
        [("2024-01-05", "2024-01-10"), ("2024-01-15", "2024-01-20")],
        JAN,
        [(JAN[0], "2024-01-05"), ("2024-01-10", "2024-01-15"), ("2024-01-20", JAN[1])],
    ),
    ([JAN], ("2024-01-31T23:59:59.999999", "2024-02-01T00:00:00.000001"), [(JAN[1], "2024-02-01T00:00:00.000001")]),
    ([(JAN[0], JAN[0])], JAN, [JAN]),
]  # covered, asked, missing


async def test_what_is_missing_is_what_was_asked_less_what_is_held(store: BarStore) -> None:
    for number, (covered, asked, missing) in enumerate(MISSING):
        for stretch in covered:
            await save(store, covered=stretch, symbol=f"S{number}")
        found = await store.missing(f"S{number}", D1, window(*asked))
        assert found == [window(*piece) for piece in missing], MISSING[number]
        assert await store.missing(f"S{number}", Interval.W1, window(*asked)) == [window(*asked)]
        held = await store.newest(f"S{number}", D1, 1, at(asked[1]), at(asked[0]))
        assert held.missing == found


async def test_a_window_that_holds_nothing_lacks_nothing(store: BarStore) -> None:
    assert await store.missing("AAPL", D1, window(JAN[0], JAN[0])) == []


async def test_bars_come_back_as_they_were(store: BarStore) -> None:
    rows = [
        bar(at("2024-01-02"), 10.5, open=9.25, high=11.0, low=9.0, vwap=10.125, trades=2**40, volume=123456789.0),
        bar(at("2024-01-03"), volume=None, split_factor=4.0, dividend=0.24),
        bar(at("2024-01-04"), -37.63, volume=0.0),
    ]
    assert await save(store, *rows, source="one", quality=80) == 3
    found = await store.newest("AAPL", D1, 10, at("2100-01-01"), at("1900-01-01"))
    assert found.frame.schema == pl.Schema(BAR_SCHEMA)
    assert found.frame.to_dicts() == rows
    assert (found.source, found.quality, found.received_at) == ("one", 80, RECEIVED)


PRICES = [
    0.1,
    0.2,
    0.1 + 0.2,
    130.31,
    1e-8,
    1.1e-7,
    12345678.12345678,
    1 / 3,
    98765.4321,
    2**53 + 2.0,
    1e15,
    64123.456789012345,
]


async def test_prices_survive_exactly(store: BarStore) -> None:
    times = [at("2024-01-01") + timedelta(days=number) for number in range(len(PRICES))]
    rows = [bar(time, price, volume=price, vwap=price) for time, price in zip(times, PRICES, strict=True)]
    assert await save(store, *rows) == len(PRICES)
    assert await held(store) == rows
    assert await save(store, *rows) == 0


async def test_a_bar_that_is_saved_again_changes_only_where_it_differs(store: BarStore) -> None:
    first = [bar(at("2024-01-02")), bar(at("2024-01-03"))]
    assert await save(store, *first, source="one") == 2
    assert await save(store, *first, source="two", quality=1, received_at=RECEIVED + timedelta(1)) == 0
    found = await store.newest("AAPL", D1, 1, at("2100-01-01"), at("1900-01-01"))
    assert (found.source, found.quality, found.received_at) == ("one", 100, RECEIVED)
    changes: list[dict[str, Any]] = [
        {"open": 99.0, "low": 99.0},
        {"high": 101.0},
        {"close": 100.5, "high": 101.0},
        {"volume": None},
        {"vwap": 100.0},
        {"trades": 1},
        {"split_factor": 2.0},
        {"dividend": 0.1},
    ]
    for number, change in enumerate(changes):
        revised = bar(at("2024-01-03"), **change)
        assert await save(store, first[0], revised, source=f"revision {number}") == 1, change
        assert await held(store) == [first[0], revised]
        assert await fetched(store._database, "SELECT source FROM historical_data ORDER BY period_start") == [
            "one",
            f"revision {number}",
        ]


async def test_a_forming_bar_is_not_kept(store: BarStore) -> None:
    final, forming = bar(at("2024-01-02")), bar(at("2024-01-03"), is_final=False)
    assert await save(store, final, forming) == 1
    assert await save(store, forming) == 0
    assert await held(store) == [final]


async def test_what_is_held_can_be_cut(store: BarStore) -> None:
    days = [bar(at(f"2024-01-{day:02d}")) for day in range(1, 11)]
    await save(store, *days)
    await save(store, bar(at("2024-01-05")), symbol="MSFT")
    await save(store, bar(at("2024-01-01")), interval=Interval.W1)
    for count, before, start, expected in [
        (3, "2024-01-11", "2024-01-01", days[7:]),
        (3, "2024-01-10", "2024-01-01", days[6:9]),  # what opens at `before` is left out
        (10, "2024-01-05", "2024-01-03", days[2:4]),  # what opens at `start` is not
        (1, "2024-01-01T00:00:01", "2024-01-01", days[:1]),
    ]:
        found = await store.newest("AAPL", D1, count, at(before), at(start))
        assert found.frame.to_dicts() == expected
    for interval, before in [(D1, "2024-01-01"), (Interval.M1, "2024-01-10")]:
        nothing = await store.newest("AAPL", interval, 10, at(before), at("1900-01-01"))
        assert (nothing.frame.height, nothing.frame.schema) == (0, pl.Schema(BAR_SCHEMA))
        assert (nothing.source, nothing.quality) == ("none", 0)


async def test_the_quality_of_many_bars_is_the_least_and_the_source_that_of_the_newest(store: BarStore) -> None:
    await save(store, bar(at("2024-01-02")), source="old", quality=40)
    await save(store, bar(at("2024-01-03")), source="new", quality=90)
    found = await store.newest("AAPL", D1, 10, at("2100-01-01"), at("1900-01-01"))
    assert (found.source, found.quality) == ("new", 40)


async def test_older_bars_are_known(store: BarStore) -> None:
    await save(store, bar(at("2024-01-02")))
    for symbol, interval, than, known in [
        ("AAPL", D1, "2024-01-03", True),
        ("AAPL", D1, "2024-01-02", False),
        ("AAPL", Interval.W1, "2024-01-03", False),
        ("MSFT", D1, "2024-01-03", False),
    ]:
        assert await store.has_older(symbol, interval, at(than)) is known


async def test_actions_are_those_of_the_daily_bars_with_the_close_before(store: BarStore) -> None:
    await save(store, bar(at("2024-01-01"), dividend=9.0), bar(at("2024-01-02"), 80.0))
    await save(store, bar(at("2024-01-05"), 40.0, split_factor=2.0), bar(at("2024-01-08"), dividend=0.5))
    await save(store, bar(at("2024-01-03"), split_factor=3.0), interval=Interval.H1)
    await save(store, bar(at("2024-01-03"), split_factor=3.0), symbol="MSFT")
    actions = await store.actions("AAPL", at("2024-01-02"))
    assert actions.rows() == [(at("2024-01-05"), 2.0, 0.0, None), (at("2024-01-08"), 1.0, 0.5, 40.0)]
    assert (await store.actions("AAPL", at("2024-01-01"))).row(0) == (at("2024-01-01"), 1.0, 9.0, None)
    nothing = await store.actions("AAPL", at("2024-01-09"))
    assert (nothing.height, nothing.schema) == (0, actions.schema)


async def test_months_get_partitions_of_their_own(store: BarStore) -> None:
    times = [at(text) for text in ("1962-01-02", "1999-12-31T23:59:59", "2000-01-01", "2024-02-29", "2024-12-31")]
    assert await save(store, *map(bar, times)) == len(times)
    where = "SELECT tableoid::regclass::text FROM historical_data ORDER BY period_start"
    months = [f"historical_data_y{time:%Ym%m}" for time in times]
    assert await fetched(store._database, where) == months
    assert [row["time"] for row in await held(store)] == times


async def test_writers_of_one_fresh_month_do_not_disturb_each_other(database: Database) -> None:
    stores = [BarStore(database, Partitions(database)) for _ in range(8)]
    row = bar(at("2031-05-05"))
    shared = await asyncio.gather(*(save(store, row, covered=("2031-05-05", "2031-05-06")) for store in stores))
    assert sorted(shared) == [0, 0, 0, 0, 0, 0, 0, 1]
    days = [at("2031-06-01") + timedelta(days=number) for number in range(len(stores) + 1)]
    apart = [
        store.save("AAPL", D1, bars([bar(day)]), source="test", received_at=RECEIVED, covered=Window(day, end))
        for store, (day, end) in zip(stores, pairwise(days), strict=True)
    ]
    assert await asyncio.gather(*apart) == [1] * 8
    assert await stores[0].missing("AAPL", D1, window("2031-06-01", "2031-06-09")) == []
    assert len(await held(stores[0])) == 9


@pytest.mark.parametrize(
    "wrong",
    [
        {"high": 99.0},
        {"close": float("nan")},
        {"high": float("inf")},
        {"volume": -1.0},
        {"split_factor": 0.0},
        {"open": None},
    ],
)
async def test_one_bad_bar_keeps_all_out_with_their_coverage(store: BarStore, wrong: dict[str, Any]) -> None:
    good, bad = bar(at("2024-01-02")), bar(at("2024-01-03"), **wrong)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await save(store, good, bad, covered=JAN)
    assert await held(store) == []
    assert await store.missing("AAPL", D1, window(*JAN)) == [window(*JAN)]


async def test_bars_and_their_coverage_are_kept_together_or_not_at_all(store: BarStore, database: Database) -> None:
    await fetched(database, "ALTER TABLE bar_coverage RENAME TO elsewhere")
    with pytest.raises(asyncpg.UndefinedTableError):
        await save(store, bar(at("2024-01-02")), covered=JAN)
    await fetched(database, "ALTER TABLE elsewhere RENAME TO bar_coverage")
    assert await held(store) == []


async def test_nothing_to_save_is_still_known_to_be_complete(store: BarStore) -> None:
    assert await save(store, covered=JAN) == 0
    assert await store.missing("AAPL", D1, window(*JAN)) == []
