import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from db import tabular
from db.bars import BarStore
from db.database import Database
from db.importer import ImportedBars, import_bars, import_splits
from db.migrate import migrate
from db.partitions import Partitions
from errors import StartError
from market import BAR_SCHEMA, Interval, Window

ROOT = Path(__file__).parent.parent.parent
HEADER = "symbol,date,open,high,low,close,volume"


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def write(folder: Path, *rows: str, header: str = HEADER, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows, ""]))
    return path


@pytest.fixture
def stocks() -> Path:
    """12 154 real daily bars of five symbols, 2000 to 2013, prices RAW."""
    path = Path(str(resources.files("bokeh_sampledata"))) / "_data" / "stocks.csv.gz"
    assert path.is_file()
    return path


async def fetch(database: Database, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    async with database.connection(60) as connection:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]


async def held_bars(database: Database) -> list[tuple[Any, ...]]:
    return await fetch(
        database,
        "SELECT symbol, interval_type, period_start, open_price, high_price, low_price, close_price, volume, vwap,"
        " trades, split_factor, dividend, source, quality FROM historical_data ORDER BY 1, 2, 3",
    )


async def table_names(database: Database) -> list[str]:
    names = await fetch(database, "SELECT tablename FROM pg_tables WHERE schemaname = $1 ORDER BY 1", database.schema)
    return [name for (name,) in names]


async def coverage(database: Database) -> dict[str, list[tuple[datetime, datetime]]]:
    rows = await fetch(database, "SELECT symbol, held FROM bar_coverage ORDER BY symbol")
    return {symbol: [(piece.lower, piece.upper) for piece in held] for symbol, held in rows}


async def test_real_bars_are_held_as_they_stand(database: Database, partitions: Partitions, stocks: Path) -> None:
    before = datetime.now(UTC)
    reports: list[tuple[int, int | None]] = []
    result = await import_bars(database, partitions, stocks, report=lambda *done: reports.append(done))
    assert result == ImportedBars(
        rows=12154,
        changed=12154,
        unchanged=0,
        rejected=[],
        symbols=["AAPL", "FB", "GOOG", "IBM", "MSFT"],
        first=day("2000-03-01"),
        last=day("2013-03-01"),
    )
    assert reports == [(12154, None)]
    assert await fetch(database, "SELECT symbol, count(*) FROM historical_data GROUP BY symbol ORDER BY symbol") == [
        ("AAPL", 3270),
        ("FB", 196),
        ("GOOG", 2148),
        ("IBM", 3270),
        ("MSFT", 3270),
    ]
    [row] = await fetch(
        database,
        "SELECT open_price, high_price, low_price, close_price, volume, vwap, trades, split_factor, dividend,"
        " source, quality, received_at BETWEEN $1 AND now()"
        " FROM historical_data WHERE symbol = 'AAPL' AND interval_type = 'D1' AND period_start = $2",
        before,
        day("2000-03-01"),
    )
    prices = [Decimal(text) for text in ("118.56", "132.06", "118.5", "130.31", "9616100")]
    assert row == (*prices, None, None, Decimal(1), Decimal(0), "import", 100, True)
    assert await coverage(database) == {
        "AAPL": [(day("2000-03-01"), day("2013-03-02"))],
        "FB": [(day("2012-05-18"), day("2013-03-02"))],
        "GOOG": [(day("2004-08-19"), day("2013-03-02"))],
        "IBM": [(day("2000-03-01"), day("2013-03-02"))],
        "MSFT": [(day("2000-03-01"), day("2013-03-02"))],
    }


async def test_a_second_import_changes_nothing(database: Database, partitions: Partitions, stocks: Path) -> None:
    await import_bars(database, partitions, stocks)
    everything = "SELECT xmin::text, historical_data FROM historical_data ORDER BY historical_data"
    before = await fetch(database, everything)
    result = await import_bars(database, Partitions(database), stocks)
    assert (result.rows, result.changed, result.unchanged, result.rejected) == (12154, 0, 12154, [])
    assert await fetch(database, everything) == before


async def test_what_differs_is_replaced_and_counted(database: Database, partitions: Partitions, tmp_path: Path) -> None:
    await import_bars(database, partitions, write(tmp_path, "AAPL,2000-03-01,1,2,1,2,5", "AAPL,2000-03-02,1,2,1,2,5"))
    path = write(tmp_path, "AAPL,2000-03-01,1,2,1,2,5", "AAPL,2000-03-02,1,2,1,2,", "AAPL,2000-03-03,1,2,1,2,5")
    result = await import_bars(database, partitions, path)
    assert (result.rows, result.changed, result.unchanged) == (3, 2, 1)
    rows = await fetch(database, "SELECT volume FROM historical_data ORDER BY period_start")
    assert rows == [(Decimal(5),), (None,), (Decimal(5),)]


async def test_decimals_are_held_exactly(database: Database, partitions: Partitions, tmp_path: Path) -> None:
    written = ["130.31", "0.1", "0.000000012345678", "123456789012.345", "4.186662803811", "1e-7", "1.5E3", "-37.63"]
    rows = [f"S{place},2000-03-01,{text},{text},{text},{text}," for place, text in enumerate(written)]
    await import_bars(database, partitions, write(tmp_path, *rows))
    held = await fetch(database, "SELECT close_price FROM historical_data ORDER BY symbol")
    assert [price for (price,) in held] == [Decimal(text) for text in written]


async def test_parquet_gives_the_same_bars_as_csv(
    database: Database, partitions: Partitions, stocks: Path, tmp_path: Path
) -> None:
    await import_bars(database, partitions, stocks)
    pl.read_csv(stocks, try_parse_dates=True).write_parquet(tmp_path / "stocks.parquet")
    reports: list[tuple[int, int | None]] = []
    result = await import_bars(
        database, partitions, tmp_path / "stocks.parquet", report=lambda *done: reports.append(done)
    )
    assert (result.rows, result.changed, result.unchanged) == (12154, 0, 12154)
    assert reports == [(12154, 12154)]


async def test_each_rejected_row_is_told_and_stops_no_other(
    database: Database, partitions: Partitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 3)  # so the same bar comes up in two batches
    path = write(
        tmp_path,
        "AAPL,2000-03-01,1,2,1,2,5",
        "AAPL,2000-03-01,1,2,1,2,5",
        "AAPL,2000-03-02,1,2,3,2,5",
        "IBM,2000-03-01,1,2,1,2,5",
        "AAPL,2000-03-03,1,2,1,,5",
        "AAPL,2000-03-01,7,7,7,7,5",
        "AAPL,2000-03-06,1,2,1,2,5",
    )
    result = await import_bars(database, partitions, path)
    assert result == ImportedBars(
        rows=7,
        changed=3,
        unchanged=0,
        rejected=[
            tabular.Rejected(3, "a bar of AAPL at this time is already on line 2"),
            tabular.Rejected(4, "high 2 is below low 3"),
            tabular.Rejected(6, "no close"),
            tabular.Rejected(7, "a bar of AAPL at this time is already on line 2"),
        ],
        symbols=["AAPL", "IBM"],
        first=day("2000-03-01"),
        last=day("2000-03-06"),
    )
    closes = await fetch(database, "SELECT symbol, period_start, close_price FROM historical_data ORDER BY 1, 2")
    assert closes == [
        ("AAPL", day("2000-03-01"), Decimal(2)),
        ("AAPL", day("2000-03-06"), Decimal(2)),
        ("IBM", day("2000-03-01"), Decimal(2)),
    ]


async def test_rejected_bars_stay_missing(database: Database, partitions: Partitions, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "AAPL,2000-02-29,?,1,1,1,",  # before the first bar
        "AAPL,2000-03-01,1,1,1,1,",
        "AAPL,2000-03-02,?,1,1,1,",
        "AAPL,2000-03-03,?,1,1,1,",
        "AAPL,2000-03-06,?,1,1,1,",
        "AAPL,2000-03-06,1,1,1,1,",  # stands in for the line above
        "AAPL,2000-03-07,1,1,1,1,",
        "AAPL,2000-03-07,1,1,1,1,",  # repeated, so nothing is lost
        "AAPL,2000-03-08,1,1,0,2,",
        "AAPL,2000-03-10,1,1,1,1,",
        "AAPL,2000-03-13,?,1,1,1,",  # after the last
        "IBM,2000-03-02,1,1,1,1,",
        "MSFT,2000-03-02,?,1,1,1,",  # a symbol without any bar
    )
    result = await import_bars(database, partitions, path)
    assert [line for line, _ in result.rejected] == [2, 4, 5, 6, 9, 10, 12, 14]
    assert await coverage(database) == {
        "AAPL": [
            (day("2000-03-01"), day("2000-03-02")),
            (day("2000-03-04"), day("2000-03-08")),
            (day("2000-03-09"), day("2000-03-11")),
        ],
        "IBM": [(day("2000-03-02"), day("2000-03-03"))],
    }
    missing = await BarStore(database, partitions).missing(
        "AAPL", Interval.D1, Window(day("2000-03-01"), day("2000-03-11"))
    )
    assert missing == [
        Window(day("2000-03-02"), day("2000-03-04")),
        Window(day("2000-03-08"), day("2000-03-09")),
    ]


@pytest.mark.parametrize(
    ("interval", "first", "lost", "last", "held"),
    [
        (
            Interval.M5,
            "2000-03-01T14:30",
            "2000-03-01T14:37",
            "2000-03-01T14:55",
            [("2000-03-01T14:30", "2000-03-01T14:35"), ("2000-03-01T14:40", "2000-03-01T15:00")],
        ),
        (
            Interval.W1,
            "2000-03-01",
            "2000-03-08",
            "2000-03-15",
            [("2000-02-28", "2000-03-06"), ("2000-03-13", "2000-03-20")],
        ),
        (
            Interval.MN1,
            "2000-01-31",
            "2000-02-29",
            "2000-12-29",
            [("2000-01-01", "2000-02-01"), ("2000-03-01", "2001-01-01")],
        ),
    ],
)
async def test_coverage_follows_the_grid_of_the_interval(
    database: Database,
    partitions: Partitions,
    tmp_path: Path,
    interval: Interval,
    first: str,
    lost: str,
    last: str,
    held: list[tuple[str, str]],
) -> None:
    rows = (f"{first},1,1,1,1", f"{lost},?,1,1,1", f"{last},1,1,1,1")
    path = write(tmp_path, *rows, header="time,open,high,low,close")
    await import_bars(database, partitions, path, interval=interval, symbol="aapl")
    assert await coverage(database) == {"AAPL": [(day(start), day(end)) for start, end in held]}
    starts = await fetch(database, "SELECT symbol, interval_type, period_start FROM historical_data ORDER BY 3")
    assert starts == [("AAPL", interval, interval.floor(day(time))) for time in (first, last)]


async def test_a_symbol_that_was_unknown_becomes_an_asset(
    database: Database, partitions: Partitions, tmp_path: Path
) -> None:
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO assets (symbol, name, asset_type, currency) VALUES ('AAPL', 'Apple Inc.', 'STOCK', 'USD')"
        )
    rows = [f"{symbol},2000-03-01,1,1,1,1," for symbol in ("AAPL", "BTC-USD", "0700.HK")]
    await import_bars(database, partitions, write(tmp_path, *rows, "MSFT,2000-03-01,?,1,1,1,"))
    query = "SELECT symbol, name, market, asset_type, currency, timezone FROM assets ORDER BY symbol"
    assert await fetch(database, query) == [
        ("0700.HK", "0700.HK", "XHKG", "STOCK", "HKD", "Asia/Hong_Kong"),
        ("AAPL", "Apple Inc.", None, "STOCK", "USD", None),
        ("BTC-USD", "BTC-USD", "CRYPTO", "CRYPTO", "USD", "UTC"),
    ]


async def test_imports_of_the_same_bars_at_once_take_each_bar_once(
    database: Database, partitions: Partitions, stocks: Path
) -> None:
    imports = (import_bars(database, Partitions(database), stocks) for _ in range(3))
    assert sorted([result.changed for result in await asyncio.gather(*imports)]) == [0, 0, 12154]


async def test_what_is_held_after_the_first_batches_is_merged(
    database: Database, partitions: Partitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 2)
    await import_bars(database, partitions, write(tmp_path, "AAPL,2000-03-06,1,2,1,2,5"))
    rows = [f"AAPL,2000-03-0{number},1,2,1,2,5" for number in (1, 2, 3, 6)]
    reports: list[int] = []
    result = await import_bars(
        database, partitions, write(tmp_path, *rows), report=lambda done, _total: reports.append(done)
    )
    assert (result.changed, result.unchanged, reports) == (3, 1, [2, 2, 4])  # begun again
    assert len(await held_bars(database)) == 4


def in_a_thread(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Have it done before this returns, while the event loop stands still."""
    with ThreadPoolExecutor() as threads:
        threads.submit(lambda: asyncio.run(work())).result()


@pytest.mark.parametrize("of_the_file", [True, False])
async def test_who_saves_bars_meanwhile_waits_for_no_import_and_loses_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_the_file: bool
) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 2)
    reports: list[int] = []
    month = 3 if of_the_file else 5
    live = datetime(2000, month, 30, tzinfo=UTC)

    async def save() -> None:
        own = Database(database.url, database.schema)
        bar = dict.fromkeys(("open", "high", "low", "close"), 7.0)
        columns = {"volume": 7.0, "vwap": 7.0, "trades": 7, "split_factor": 1.0, "dividend": 0.0, "is_final": True}
        frame = pl.DataFrame([{"time": live, **bar, **columns}], schema=BAR_SCHEMA)
        window = Window(live, live + timedelta(days=1))
        await BarStore(own, Partitions(own)).save(
            "AAPL", Interval.D1, frame, source="live", received_at=live, covered=window
        )
        await own.aclose()

    def report(done: int, _total: int | None) -> None:
        reports.append(done)
        if len(reports) == 2:
            in_a_thread(save)

    path = write(tmp_path, *(f"AAPL,2000-0{at}-01,1,2,1,2,5" for at in (2, 3, 4)), "AAPL,2000-03-30,1,2,1,2,5")
    result = await import_bars(database, Partitions(database), path, report=report)
    assert result.changed == 4
    assert reports == ([2, 4, 2, 4] if of_the_file else [2, 4])  # begun again
    held = await fetch(database, "SELECT period_start, close_price, source FROM historical_data ORDER BY 1")
    imported = [(day(text), Decimal(2), "import") for text in ("2000-02-01", "2000-03-01", "2000-03-30", "2000-04-01")]
    assert held == [*imported, *([] if of_the_file else [(live, Decimal(7), "live")])]
    months = sorted({2, 3, 4, month})
    assert [name for name in await table_names(database) if name.startswith(("historical_data_", "new_"))] == [
        f"historical_data_y2000m0{number}" for number in months
    ]


async def test_a_file_without_rows_changes_nothing(database: Database, partitions: Partitions, tmp_path: Path) -> None:
    result = await import_bars(database, partitions, write(tmp_path))
    assert result == ImportedBars(rows=0, changed=0, unchanged=0, rejected=[], symbols=[], first=None, last=None)


async def test_a_file_that_is_damaged_further_down_changes_nothing(
    database: Database, partitions: Partitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabular, "BATCH_ROWS", 2)
    path = write(tmp_path, *(f"AAPL,2000-03-0{number},1,1,1,1," for number in range(1, 9)), "AAPL,3/9/2000,1,1,1,1,")
    with pytest.raises(StartError, match=r"line 10: .* does not tell the day from the month"):
        await import_bars(database, partitions, path)
    assert await held_bars(database) == []
    assert await coverage(database) == {}


async def test_a_full_disk_of_postgresql_is_told_and_changes_nothing(
    database: Database, partitions: Partitions, tmp_path: Path
) -> None:
    # What PostgreSQL raises when it cannot extend a file, raised where the second bar comes in.
    async with database.connection() as connection:
        await connection.execute("""
            CREATE FUNCTION has_room(symbol text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
                IF symbol = 'FULL' THEN
                    RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100';
                END IF;
                RETURN true;
            END $$;
            ALTER TABLE historical_data ADD CHECK (has_room(symbol))
        """)
    path = write(tmp_path, "AAPL,2000-03-01,1,1,1,1,", "FULL,2000-03-01,1,1,1,1,")
    with pytest.raises(StartError) as raised:
        await import_bars(database, partitions, path)
    assert str(raised.value) == (
        f"{path}: nothing was imported, because the disk of PostgreSQL is full"
        ' (could not extend file "base/1/2": No space left on device); make room and try again.'
    )
    assert await held_bars(database) == []


async def test_splits_are_set_on_the_first_bar_that_trades_split(
    database: Database, partitions: Partitions, stocks: Path, tmp_path: Path
) -> None:
    await import_bars(database, partitions, stocks)
    path = write(
        tmp_path,
        "AAPL,2000-06-21,2,1",
        "aapl,2005-02-27,2,1",  # a Sunday: the bar is Monday's
        "IBM,2001-03-01,3,2",
        "MSFT,2003-02-18,1,8",
        header="Symbol,Date,Numerator,Denominator",
    )
    result = await import_splits(database, path)
    assert (result.rows, result.changed, result.unchanged, result.rejected) == (4, 4, 0, [])
    query = "SELECT symbol, period_start, split_factor FROM historical_data WHERE split_factor <> 1 ORDER BY 1, 2"
    splits = [
        ("AAPL", day("2000-06-21"), Decimal(2)),
        ("AAPL", day("2005-02-28"), Decimal(2)),
        ("IBM", day("2001-03-01"), Decimal("1.5")),
        ("MSFT", day("2003-02-18"), Decimal("0.125")),
    ]
    assert await fetch(database, query) == splits
    again = await import_splits(database, path)
    assert (again.rows, again.changed, again.unchanged, again.rejected) == (4, 0, 4, [])
    assert (await import_bars(database, partitions, stocks)).changed == 0
    assert await fetch(database, query) == splits


@pytest.mark.parametrize(
    ("ratio", "factor"), [("2:1", "2"), ("3/2", "1.5"), ("1:8", "0.125"), ("1.05", "1.05"), ("4", "4")]
)
async def test_a_split_may_be_a_ratio(
    database: Database, partitions: Partitions, tmp_path: Path, ratio: str, factor: str
) -> None:
    await import_bars(database, partitions, write(tmp_path, "AAPL,2000-03-01,1,1,1,1,"))
    path = write(tmp_path, f"2000-03-01,{ratio}", header="Date,Stock Splits", name="splits.csv")
    assert (await import_splits(database, path, symbol="AAPL")).changed == 1
    assert await fetch(database, "SELECT split_factor FROM historical_data") == [(Decimal(factor),)]


async def test_a_row_that_is_no_split_is_rejected_with_its_line(
    database: Database, partitions: Partitions, tmp_path: Path
) -> None:
    await import_bars(database, partitions, write(tmp_path, "AAPL,2000-03-31,1,1,1,1,", "AAPL,2000-06-01,1,1,1,1,"))
    path = write(
        tmp_path,
        "AAPL,2000-02-28,2,1",
        "AAPL,2000-02-29,2,1",
        "AAPL,2000-03-02,3,1",
        "AAPL,2000-06-02,2,1",
        "IBM,2000-06-01,2,1",
        "AAPL,2000-06-01,0,1",
        "AAPL,2000-06-01,2,0",
        "AAPL,2000-06-01,-2,1",
        "AAPL,2000-06-01,nan,1",
        "AAPL,2000-06-01,,1",
        "AAPL,2000-06-01,2,2",
        "A B,2000-06-01,2,1",
        ",2000-06-01,2,1",
        "AAPL,soon,2,1",
        "AAPL,,2,1",
        "AAPL,2000-06-01,2",
        header="symbol,date,numerator,denominator",
    )
    result = await import_splits(database, path)
    assert (result.rows, result.changed, result.unchanged) == (16, 1, 0)
    assert result.rejected == [
        (2, "no D1 bar held of AAPL from 2000-02-28 to 2000-03-30"),
        (4, "the split on line 3 already falls on the bar of 2000-03-31"),
        (5, "no D1 bar held of AAPL from 2000-06-02 to 2000-07-03"),
        (6, "no D1 bar held of IBM from 2000-06-01 to 2000-07-02"),
        (7, 'numerator "0" is not a number above 0'),
        (8, 'denominator "0" is not a number above 0'),
        (9, 'numerator "-2" is not a number above 0'),
        (10, 'numerator "nan" is not a number above 0'),
        (11, 'numerator "" is not a number above 0'),
        (12, "a split of 1 to 1 changes nothing"),
        (13, "a symbol is 1-20 of A-Z 0-9 . _ - = ^"),
        (14, "no symbol"),
        (15, '"soon" is not a date'),
        (16, "no date"),
        (17, "fewer fields than columns"),
    ]
    assert (await import_splits(database, path)).changed == 0


async def test_splits_of_another_symbol_than_the_given_one_are_rejected(
    database: Database, partitions: Partitions, tmp_path: Path
) -> None:
    await import_bars(database, partitions, write(tmp_path, "AAPL,2000-03-01,1,1,1,1,"))
    path = write(tmp_path, "IBM,2000-03-01,2:1", header="symbol,date,ratio", name="splits.csv")
    assert (await import_splits(database, path, symbol="AAPL")).rejected == [(2, "symbol IBM is not AAPL")]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("symbol,date", 'no columns for numerator, denominator; found "symbol", "date".'),
        ("symbol,ratio", 'no column for the date; found "symbol", "ratio".'),
        ("date,ratio", 'no column for the symbol; found "date", "ratio". Or say which symbol the file is of.'),
    ],
)
async def test_a_file_that_has_no_splits_is_refused(
    database: Database, tmp_path: Path, header: str, message: str
) -> None:
    path = write(tmp_path, header=header)
    with pytest.raises(StartError) as raised:
        await import_splits(database, path)
    assert str(raised.value) == f"{path}: {message}"


# At the report of this number it says so and stops for good, or goes on to its end.
IMPORT = """
import asyncio, sys, time
from itertools import count
from pathlib import Path
from db import tabular
from db.database import Database
from db.importer import import_bars
from db.partitions import Partitions
from market import Interval

async def main(url, schema, path, number, stops):
    tabular.BATCH_ROWS = 2_000
    database = Database(url, schema)
    reports = count(1)

    def report(done, total):
        if next(reports) == int(number):
            print("here", flush=True)
            if stops == "stop":
                time.sleep(3600)

    await import_bars(database, Partitions(database), Path(path), interval=Interval.M1, report=report)
    await database.aclose()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def killed(database_url: str) -> AsyncIterator[Database]:
    """A second schema, for imports that are killed."""
    database = Database(database_url, f"t_{secrets.token_hex(6)}")
    await migrate(database)
    yield database
    async with database.connection(60) as connection:
        await connection.execute(f'DROP SCHEMA "{database.schema}" CASCADE')
    await database.aclose()


async def _is_in_use(database: Database) -> bool:
    [(found,)] = await fetch(
        database,
        "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'historical_data'::regclass AND pid <> pg_backend_pid())",
    )
    return bool(found)


# 20 batches go right into the months. Where a last one repeats a bar, all are taken back, and 21 go in by way of one
# table aside, from where they are taken in after the last.
@pytest.mark.parametrize(("repeats", "stops", "last"), [(False, (1, 20), 20), (True, (20, 30, 41), 41)])
async def test_an_import_that_is_killed_leaves_the_table_as_it_was(
    database: Database,
    partitions: Partitions,
    killed: Database,
    tmp_path: Path,
    repeats: bool,
    stops: tuple[int, ...],
    last: int,
) -> None:
    start = datetime(2000, 3, 1, tzinfo=UTC)
    rows = [f"AAPL,{start + timedelta(minutes=number):%Y-%m-%dT%H:%MZ},1,2,1,2,{number}" for number in range(40_000)]
    path = write(tmp_path, *rows, *rows[: 1 if repeats else 0])
    await import_bars(database, partitions, path, interval=Interval.M1)
    clean = await held_bars(database), await coverage(database)
    assert len(clean[0]) == 40_000
    tables = {"historical_data_y2000m03", *await table_names(killed)}

    for number, delay_s in [*((number, None) for number in stops), *((last, step / 10) for step in range(3))]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            IMPORT,
            killed.url,
            killed.schema,
            str(path),
            str(number),
            "stop" if delay_s is None else "go on",
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"here\n"
        if delay_s is not None:
            await asyncio.sleep(delay_s)
        if process.returncode is None:
            process.kill()
        await process.wait()
        while await _is_in_use(killed):  # PostgreSQL ends the statement, then sees that nobody is there
            pass
        found = await held_bars(killed), await coverage(killed)
        assert found == ([], {}) or (delay_s is not None and found == clean), (number, delay_s)
        assert {*await table_names(killed)} <= tables
        async with killed.connection(60) as connection:
            await connection.execute("TRUNCATE historical_data, bar_coverage")

    result = await import_bars(killed, Partitions(killed), path, interval=Interval.M1)
    assert (result.changed, len(result.rejected)) == (40_000, int(repeats))
    assert (await held_bars(killed), await coverage(killed)) == clean
