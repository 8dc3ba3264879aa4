"""Archived months answer as before, and nothing is lost or doubled on the way there and back."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from cli import commands
from db.archive import FILE_SCHEMA, Archive, Moved
from db.bars import BarStore, HeldBars
from db.database import Database
from db.importer import import_bars, import_splits
from db.partitions import Partitions
from db.tables import HistoricalData
from errors import StartError, StoreUnavailable
from market import Interval, Window
from tests.bars import at, bar, bars
from tests.conftest import ROOT, SMARTFIN
from tests.fakes.object_store import object_store

D1, M1 = Interval.D1, Interval.M1
STOCKS = Path(str(resources.files("bokeh_sampledata"))) / "_data" / "stocks.csv.gz"
SPLITS = "symbol,date,numerator,denominator\nAAPL,2000-06-21,2,1\nAAPL,2005-02-28,2,1\n"
FIRST, END = at("1999-01-01"), at("2014-01-01")
Rows = list[tuple[Any, ...]]


@pytest.fixture
def archive(database: Database, tmp_path: Path) -> Archive:
    return Archive(database, str(tmp_path / "archive"))


@pytest.fixture
def store(database: Database, partitions: Partitions, archive: Archive) -> BarStore:
    return BarStore(database, partitions, archive)


async def rows_of(database: Database, query: str = "SELECT * FROM historical_data ORDER BY 1, 2, 3") -> Rows:
    async with database.connection(60) as connection:
        return [tuple(row) for row in await connection.fetch(query)]


async def done(moves: AsyncIterator[Moved]) -> list[tuple[str, int]]:
    return [(f"{moved.month:%Y-%m}", moved.bars) async for moved in moves]


async def save(store: BarStore, *rows: dict[str, Any], symbol: str = "AAPL", interval: Interval = D1) -> int:
    return await store.save(symbol, interval, bars(rows), source="test", received_at=END, covered=None)


async def answers(store: BarStore) -> list[Any]:
    """What the store says of windows that lie before, across and after what is archived."""
    found: list[Any] = []
    for symbol in ("AAPL", "GOOG", "NONE"):
        for interval in (D1, M1):
            for count, before, start in [
                (5000, END, FIRST),
                (100, at("2003-02-15"), FIRST),
                (100, at("2002-12-15"), FIRST),
                (10, at("2003-01-06"), FIRST),
                (10, END, FIRST),
                (5000, at("2003-01-01T00:02"), at("2002-12-31T23:58")),
            ]:
                held = await store.newest(symbol, interval, count, before, start)
                found.append((held.frame.to_dicts(), held.missing, held.source, held.quality))
                found.append(held.received_at if held.source != "none" else None)
            found += [await store.has_older(symbol, interval, at(than)) for than in ("2000-03-01", "2000-03-02")]
            found.append(await store.missing(symbol, interval, Window(FIRST, END)))
        found += [
            (await store.actions(symbol, at(since))).rows() for since in ("1999-01-01", "2002-06-01", "2005-03-01")
        ]
    return found


async def test_archived_months_answer_the_same_and_come_back_as_they_were(
    database: Database, partitions: Partitions, store: BarStore, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "splits.csv").write_text(SPLITS)
    await import_bars(database, partitions, STOCKS)
    await import_splits(database, tmp_path / "splits.csv")
    minutes = [
        bar(at("2002-12-31T23:55") + number * timedelta(minutes=1), 1 / 3, trades=number) for number in range(10)
    ]
    await store.save(
        "AAPL", M1, bars(minutes), source="old", quality=40, received_at=FIRST, covered=Window(FIRST, at("2002-12-31"))
    )
    for day, dividend in [("2002-05-03", 0.25), ("2002-12-02", 0.5), ("2003-01-02", 0.75), ("2003-01-03", 1.0)]:
        await save(store, bar(at(day), 20.0, vwap=20.5, dividend=dividend, volume=None))
    before, table = await answers(store), await rows_of(database)
    assert len(table) == 12_164

    moved = await done(archive.move(date(2003, 1, 1)))
    assert (moved[0], moved[-1], len(moved)) == (("2000-03", 69), ("2002-12", 63 + 5), 34)
    left = await rows_of(database)
    assert left == [row for row in table if row[2] >= at("2003-01-01")]
    assert len(list((tmp_path / "archive" / database.schema).glob("*.parquet"))) == 34
    assert await answers(store) == before
    assert await done(archive.move(date(2003, 1, 1))) == []

    assert await done(archive.restore(date(2001, 1, 1))) == moved[:10]
    assert await answers(store) == before
    assert await done(archive.restore()) == moved[10:]
    assert await rows_of(database) == table
    assert await rows_of(database, "SELECT * FROM archived_bars") == []
    assert await done(archive.restore()) == []


def test_a_file_has_every_column_of_the_table() -> None:
    assert list(FILE_SCHEMA) == list(HistoricalData.model_fields)


async def test_the_newest_bar_tells_the_source(store: BarStore, archive: Archive) -> None:
    for day, source, quality in [("2002-12-30", "a", 50), ("2002-12-31", "b", 70), ("2003-01-02", "c", 90)]:
        await store.save(
            "AAPL", D1, bars([bar(at(day))]), source=source, quality=quality, received_at=END, covered=None
        )
    await done(archive.move(date(2003, 1, 1)))

    async def told(count: int, before: str) -> tuple[str, int]:
        held: HeldBars = await store.newest("AAPL", D1, count, at(before), FIRST)
        return held.source, held.quality

    assert [await told(count, "2003-02-01") for count in (1, 2, 3)] == [("c", 90), ("c", 70), ("c", 50)]
    assert [await told(count, "2003-01-01") for count in (1, 2)] == [("b", 70), ("b", 50)]


async def test_what_is_written_to_an_archived_month_meets_its_bars(
    database: Database, partitions: Partitions, store: BarStore, archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "splits.csv").write_text(SPLITS)
    await import_bars(database, partitions, STOCKS)
    table = await rows_of(database)
    await done(archive.move(date(2006, 1, 1)))

    again = await import_bars(database, Partitions(database), STOCKS, archive=archive)
    assert (again.changed, again.unchanged) == (0, 12154)
    assert await rows_of(database) == table

    await done(archive.move(date(2006, 1, 1)))
    assert (await import_splits(database, tmp_path / "splits.csv", archive=archive)).changed == 2
    # Its month, and the month after it where the first bar might be.
    brought = {(row[0], f"{row[2]:%Y-%m}") for row in await rows_of(database) if row[2] < at("2006-01-01")}
    assert brought == {("AAPL", month) for month in ("2000-06", "2000-07", "2005-02", "2005-03")}
    assert (await store.actions("AAPL", FIRST))["split_factor"].to_list() == [2.0, 2.0]

    revised = bar(at("2001-01-02"), 15.0)
    assert await save(store, revised, symbol="IBM") == 1
    assert await save(store, revised, symbol="IBM") == 0
    held = await store.newest("IBM", D1, 5000, END, FIRST)
    assert held.frame.height == 3270
    assert held.frame.filter(pl.col("time") == at("2001-01-02")).to_dicts() == [revised]
    assert await save(store, revised, symbol="NEW") == 1
    assert {row[0] for row in await rows_of(database) if row[2].year == 2001} == {"IBM", "NEW"}

    await done(archive.move(date(2006, 1, 1)))
    assert (await store.newest("IBM", D1, 5000, END, FIRST)).frame.height == 3270
    await done(archive.restore())
    assert len(await rows_of(database)) == 12_155


async def test_reading_and_writing_go_on_while_months_are_moved(store: BarStore, archive: Archive) -> None:
    days = [bar(at("2001-01-01") + timedelta(days=number)) for number in range(365)]
    await save(store, *days)
    moving = True
    seen = set()

    async def read() -> int:
        reads = 0
        while moving or not reads:
            held = await store.newest("AAPL", D1, 1000, END, FIRST)
            seen.add(tuple(held.frame["time"].to_list()))
            reads += 1
        return reads

    async def write() -> None:
        while moving:
            assert await save(store, days[40], days[70]) == 0

    tasks = [asyncio.create_task(run()) for run in (read, read, write)]
    try:
        for _ in range(3):
            for moves in (archive.move(date(2001, 12, 1)), archive.restore()):
                with suppress(StartError):  # the writer has the month
                    await done(moves)
    finally:
        moving = False
        await asyncio.gather(*tasks)
    assert seen == {tuple(day["time"] for day in days)}


async def test_a_month_that_is_written_is_left(database: Database, store: BarStore, archive: Archive) -> None:
    await save(store, bar(at("2001-01-02")), bar(at("2001-02-02")))
    async with database.connection() as connection, connection.transaction():
        await archive.recall(connection, D1, ["AAPL"], [at("2001-02-02")])
        with pytest.raises(StartError, match="bars of 2001-02 are being written; try again"):
            await done(archive.move(date(2002, 1, 1)))
    assert await done(archive.move(date(2002, 1, 1))) == [("2001-02", 1)]


async def test_a_file_that_cannot_be_read_is_told_and_loses_nothing(
    database: Database, partitions: Partitions, store: BarStore, archive: Archive, tmp_path: Path
) -> None:
    await save(store, bar(at("2001-01-02")), bar(at("2001-01-03")))
    with pytest.raises(StartError, match="There is no archive; set SMARTFIN_ARCHIVE_URL"):
        await done(Archive(database).move(date(2002, 1, 1)))
    await done(archive.move(date(2002, 1, 1)))
    [file] = (tmp_path / "archive" / database.schema).iterdir()
    whole = file.read_bytes()

    async def refused(store: BarStore, archive: Archive, message: str) -> None:
        with pytest.raises(StoreUnavailable, match=message):
            await store.newest("AAPL", D1, 10, END, FIRST)
        with pytest.raises(StoreUnavailable, match=message):
            await save(store, bar(at("2001-01-04")))
        with pytest.raises(StoreUnavailable, match=message):
            await done(archive.restore())
        assert await rows_of(database) == []

    unset = Archive(database)
    await refused(BarStore(database, partitions, unset), unset, "SMARTFIN_ARCHIVE_URL is not set")
    file.write_bytes(whole[: len(whole) // 2])
    await refused(store, archive, "Archived bars cannot be read")
    file.unlink()
    await refused(store, archive, "Archived bars cannot be read")
    file.write_bytes(whole)
    pl.read_parquet(file).head(1).write_parquet(file)
    with pytest.raises(StoreUnavailable, match="Archived bars cannot be read"):
        await done(archive.restore())
    file.write_bytes(whole)
    assert await done(archive.restore()) == [("2001-01", 2)]


# Stops for good where the command is given, before or after; the process is then killed.
KILLED = """
import asyncio, datetime, pathlib, sys, time
import asyncpg
import polars as pl
from db.archive import Archive
from db.database import Database

url, schema, folder, do, where, when = sys.argv[1:]

def stop():
    print("here", flush=True)
    time.sleep(3600)

def stopping(owner, name, applies):
    real = getattr(owner, name)
    if asyncio.iscoroutinefunction(real):
        async def call(*given, **named):
            meant = applies(given)
            if meant and when == "before":
                stop()
            result = await real(*given, **named)
            if meant and when == "after":
                stop()
            return result
    else:
        def call(*given, **named):
            meant = applies(given)
            if meant and when == "before":
                stop()
            result = real(*given, **named)
            if meant and when == "after":
                stop()
            return result
    setattr(owner, name, call)

if where in ("sink_parquet", "replace"):
    stopping({"sink_parquet": pl.LazyFrame, "replace": pathlib.Path}[where], where, lambda given: True)
elif where == "COMMIT":
    stopping(asyncpg.transaction.Transaction, "_Transaction__commit", lambda given: True)
elif where == "COPY":
    stopping(asyncpg.Connection, "copy_to_table", lambda given: True)
else:
    stopping(asyncpg.Connection, "execute", lambda given: given[1].strip().startswith(where))
    stopping(asyncpg.Connection, "fetch", lambda given: given[1].strip().startswith(where))

async def main():
    archive = Archive(Database(url, schema), folder)
    moves = archive.move(datetime.date(2002, 1, 1)) if do == "move" else archive.restore()
    async for moved in moves:
        pass

asyncio.run(main())
"""
STEPS = [
    ("move", "sink_parquet", "before"),
    ("move", "sink_parquet", "after"),
    ("move", "replace", "after"),
    ("move", "INSERT", "before"),
    ("move", "INSERT", "after"),
    ("move", "TRUNCATE", "after"),
    ("move", "COMMIT", "before"),
    ("move", "COMMIT", "after"),
    ("restore", "DELETE", "after"),
    ("restore", "COPY", "after"),
    ("restore", "COMMIT", "before"),
    ("restore", "COMMIT", "after"),
]


async def test_nothing_is_lost_or_doubled_when_it_is_killed_anywhere(
    database: Database, store: BarStore, archive: Archive, tmp_path: Path
) -> None:
    await save(store, *(bar(at("2001-01-01") + timedelta(days=number)) for number in range(59)))
    await save(store, bar(at("2001-01-02"), 7.0), symbol="IBM")
    table = await rows_of(database)

    async def whole() -> tuple[int, int]:
        """How many bars are in the table and in the archive, once all are found to be there and once."""
        for symbol, expected in [("AAPL", 59), ("IBM", 1)]:
            held = await store.newest(symbol, D1, 1000, END, FIRST)
            assert (held.frame.height, held.frame["time"].n_unique()) == (expected, expected)
        [(archived,)] = await rows_of(database, "SELECT coalesce(sum(bars), 0)::int FROM archived_bars")
        return len(await rows_of(database)), archived

    for do, where, when in STEPS:
        if do == "restore":
            await done(archive.move(date(2002, 1, 1)))
        start = (60, 0) if do == "move" else (0, 60)
        # Two months: the first is done where the first transaction has ended.
        first = (28, 32) if do == "move" else (32, 28)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            KILLED,
            database.url,
            database.schema,
            str(tmp_path / "archive"),
            do,
            where,
            when,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"here\n", (do, where, when)
        process.kill()
        await process.wait()
        while await rows_of(database, "SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"):
            pass  # PostgreSQL ends the statement, then sees that nobody is there
        assert await whole() == (first if (where, when) == ("COMMIT", "after") else start), (do, where, when)
        await done(archive.move(date(2002, 1, 1)))
        assert await whole() == (0, 60)
        await done(archive.restore())
        assert await rows_of(database) == table


async def test_the_command_moves_and_brings_back(stores: dict[str, str], tmp_path: Path) -> None:
    environment = {**stores, "SMARTFIN_ARCHIVE_URL": str(tmp_path / "archive"), "SMARTFIN_MODE": "live"}

    def run(*arguments: str | Path) -> tuple[int, str]:
        ended = subprocess.run(
            [SMARTFIN, *arguments], check=False, capture_output=True, text=True, env=environment, timeout=120
        )
        return ended.returncode, ended.stdout + ended.stderr

    (tmp_path / "bars.csv").write_text(
        "symbol,date,open,high,low,close\nAAPL,2001-01-02,1,1,1,1\nAAPL,2001-02-02,1,1,1,1\nAAPL,2001-03-02,1,1,1,1\n"
    )
    assert run("import", tmp_path / "bars.csv")[0] == 0
    code, told = run("archive", "--before", "2001-03")
    assert (code, told.splitlines()[-1]) == (0, "Months archived: 2.")
    assert told.startswith("2001-01: 1 bars, 2001-01-")
    assert "3 bars, 0 changed, 3 unchanged, 0 rejected." in run("import", tmp_path / "bars.csv")[1]
    assert run("archive", "--before", "2001-03")[1].endswith("Months archived: 2.\n")
    assert run("archive", "--restore", "--before", "2001-02")[1].endswith("\nMonths brought back: 1.\n")
    assert run("archive", "--restore")[1].endswith("\nMonths brought back: 1.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name the months with --before YYYY-MM, or bring all back with --restore."),
        (["--before", "2001"], "'2001' does not match the format '%Y-%m'."),
        (["--before", f"{datetime.now(UTC).year + 1}-01"], "the months are not over"),
    ],
)
def test_the_command_says_what_it_lacks(arguments: list[str], message: str) -> None:
    told = CliRunner().invoke(commands, ["archive", *arguments])
    assert (told.exit_code, message in told.output) == (2, True), told.output


async def test_months_can_lie_in_an_object_store(
    database: Database, partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [bar(at("2001-01-01") + timedelta(minutes=number), number + 1 / 3) for number in range(40_000)]
    async with object_store() as objects:
        for name, value in {
            "AWS_ENDPOINT_URL": objects.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        archive = Archive(database, "s3://bucket/bars/")
        store = BarStore(database, partitions, archive)
        for start in range(0, len(rows), 10_000):
            await save(store, *rows[start : start + 10_000], interval=M1)
        table = await rows_of(database)
        [moved] = [moved async for moved in archive.move(date(2001, 2, 1))]
        assert await rows_of(database) == []
        assert list(objects.objects) == [f"/bucket/bars/{database.schema}/{moved.files[0]}"]
        held = await store.newest("AAPL", M1, 5000, at("2001-01-10"), FIRST)
        assert held.frame.to_dicts() == [row for row in rows if row["time"] < at("2001-01-10")][-5000:]
        await done(archive.restore())
        assert await rows_of(database) == table
        await done(archive.move(date(2001, 2, 1)))
        objects.objects.clear()
        with pytest.raises(StoreUnavailable, match="Archived bars cannot be read"):
            await store.newest("AAPL", M1, 1, END, FIRST)
