"""Months of bars in Parquet files: moved there, brought back, and read where they are.

Which series of which month lie in which file stands in `archived_bars`; a series of a month is either there or in
`historical_data`, never in both, as a row of `archived_bars` comes and goes in the transaction that takes the bars
out of the table or puts them back. A file is whole and on disk before that transaction ends, and is never changed.
"""

import asyncio
import logging
import os
import secrets
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import Final

import asyncpg
import polars as pl

from db.database import Database
from errors import StartError, StoreUnavailable
from market import INSTANT, Interval, Window

logger = logging.getLogger(__name__)

MOVE_DEADLINE_S: Final = 3600.0
READER_WAIT: Final = "10s"
"""How long a month that is moved waits for those who read it."""
_ROWS_AT_ONCE: Final = 50_000

_AMOUNT = pl.String()
"""NUMERIC as text, so that what comes back is what went."""
FILE_SCHEMA: Final[dict[str, pl.DataType]] = {
    "symbol": pl.String(),
    "interval_type": pl.String(),
    "period_start": INSTANT,
    "open_price": _AMOUNT,
    "high_price": _AMOUNT,
    "low_price": _AMOUNT,
    "close_price": _AMOUNT,
    "volume": _AMOUNT,
    "vwap": _AMOUNT,
    "trades": pl.Int64(),
    "split_factor": _AMOUNT,
    "dividend": _AMOUNT,
    "source": pl.String(),
    "quality": pl.Int16(),
    "received_at": INSTANT,
}
"""The columns of a file: those of `historical_data`."""
_AS_BARS: Final = (
    pl.col("period_start").alias("time"),
    *(pl.col(f"{name}_price").cast(pl.Float64).alias(name) for name in ("open", "high", "low", "close")),
    pl.col("volume", "vwap").cast(pl.Float64),
    pl.col("trades"),
    pl.col("split_factor", "dividend").cast(pl.Float64),
    pl.lit(value=True).alias("is_final"),
    *(pl.col(name) for name in ("source", "quality", "received_at")),
)

_EXPORTED = ", ".join(
    f"(extract(epoch FROM {name}) * 1000000)::bigint" if dtype == INSTANT else name
    for name, dtype in FILE_SCHEMA.items()
)
_WITH_BARS = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = 'historical_data'::regclass AND inhrelid::regclass::text < $1 ORDER BY 1
"""
_RECORD = """
    INSERT INTO archived_bars (symbol, interval_type, month, file, first_bar, last_bar, bars, has_actions)
    SELECT symbol, interval_type, $1, $2, min(period_start), max(period_start), count(*),
           bool_or(split_factor <> 1 OR dividend <> 0)
    FROM {partition} GROUP BY symbol, interval_type
"""
# Of who writes bars to a month all share its lock; who moves the month wants it alone.
_LOCK = "hashtext('archive of ' || current_schema())"
_SHARE = f"SELECT pg_advisory_xact_lock_shared({_LOCK}, month) FROM unnest($1::int[]) AS month"  # noqa: S608 - constants
_ALONE = f"SELECT pg_try_advisory_xact_lock({_LOCK}, $1)"


@dataclass(frozen=True, slots=True)
class Moved:
    """A month whose bars went to or came from `files`."""

    month: date
    bars: int
    files: Sequence[str]


class Archive:
    """The archived bars of a database; `url` is a folder or the address of an object store."""

    def __init__(self, database: Database, url: str | None = None) -> None:
        self._database = database
        self._folder = f"{url.rstrip('/')}/{database.schema}" if url else None

    async def bars(self, files: Sequence[str], symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The bars of the files that open in the window, ascending: BAR_SCHEMA, `source`, `quality`, `received_at`.

        Raises StoreUnavailable where a file cannot be read.
        """
        wanted = pl.col("period_start").is_between(window.start, window.end, closed="left")
        found = await asyncio.to_thread(_collected, self._scan(files, [symbol], interval).filter(wanted))
        return found.select(_AS_BARS).sort("time")

    async def recall(
        self, connection: asyncpg.Connection, interval: Interval, symbols: Sequence[str], instants: Iterable[datetime]
    ) -> None:
        """Have the bars of the symbols in the table for the months of the instants, until the transaction ends.

        To be called before the transaction reads or writes a bar of them. The partitions must be there. Raises
        StoreUnavailable where a file cannot be read.
        """
        months = sorted({date(at.year, at.month, 1) for at in instants})
        await connection.execute(_SHARE, [_number(month) for month in months])
        records = await connection.fetch(
            "DELETE FROM archived_bars WHERE interval_type = $1 AND symbol = ANY($2) AND month = ANY($3)"
            " RETURNING file, interval_type, symbol, bars",
            interval,
            symbols,
            months,
        )
        await self._bring_back(connection, records)

    async def move(self, before: date) -> AsyncIterator[Moved]:
        """Move each month that lies before the first of a month, and yields it; a transaction for each.

        Raises StartError where no archive is set or a month is in use; what was moved before stays so.
        """
        if self._folder is None:
            raise StartError("There is no archive; set SMARTFIN_ARCHIVE_URL to a folder or an object store's URL.")
        async with self._database.connection() as connection:
            rows = await connection.fetch(_WITH_BARS, f"historical_data_y{before:%Ym%m}")
        for (partition,) in rows:
            year, month = partition.removeprefix("historical_data_y").split("m")
            if moved := await self._move(partition, date(int(year), int(month), 1)):
                yield moved

    async def _move(self, partition: str, month: date) -> Moved | None:
        file = f"{month:%Y-%m}-{secrets.token_hex(8)}.parquet"
        async with self._alone(month) as connection:
            with tempfile.TemporaryDirectory() as folder:
                exported = Path(folder) / "bars.csv"
                status = await connection.copy_from_query(
                    f"SELECT {_EXPORTED} FROM {partition} ORDER BY symbol, interval_type, period_start",  # noqa: S608 - from the catalog
                    output=exported,
                    format="csv",
                )
                bars = int(status.rsplit(" ", 1)[1])
                if not bars:
                    return None
                await asyncio.to_thread(_write, exported, self._path(file))
            found = await asyncio.to_thread(_collected, pl.scan_parquet(self._path(file), glob=False).select(pl.len()))
            if found.item() != bars:
                raise StartError(
                    f"{self._path(file)} holds {found.item()} bars of {bars}; {month:%Y-%m} was not moved."
                )
            await connection.execute(_RECORD.format(partition=partition), month, file)
            await connection.execute(f"SET LOCAL lock_timeout = '{READER_WAIT}'")
            await connection.execute(f"TRUNCATE {partition}")
        return Moved(month, bars, [file])

    async def restore(self, before: date | None = None) -> AsyncIterator[Moved]:
        """Bring back each month, or those before the first of one, and yield it; a transaction for each.

        The files stay where they are. Raises StartError where a month is in use, StoreUnavailable where a file cannot
        be read.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT DISTINCT month FROM archived_bars WHERE month < coalesce($1::date, 'infinity') ORDER BY month",
                before,
            )
        for (month,) in rows:
            async with self._alone(month) as connection:
                records = await connection.fetch(
                    "DELETE FROM archived_bars WHERE month = $1 RETURNING file, interval_type, symbol, bars", month
                )
                await self._bring_back(connection, records)
            yield Moved(month, sum(row["bars"] for row in records), sorted({row["file"] for row in records}))

    @asynccontextmanager
    async def _alone(self, month: date) -> AsyncIterator[asyncpg.Connection]:
        """A transaction during which nobody else writes bars of the month."""
        async with self._database.connection(MOVE_DEADLINE_S) as connection, connection.transaction():
            if not await connection.fetchval(_ALONE, _number(month)):
                raise StartError(f"The bars of {month:%Y-%m} are being written; try again when that is over.")
            try:
                yield connection
            except asyncpg.LockNotAvailableError:
                raise StartError(f"The bars of {month:%Y-%m} are being read; try again.") from None

    async def _bring_back(self, connection: asyncpg.Connection, records: Sequence[asyncpg.Record]) -> None:
        series: defaultdict[tuple[str, str], list[asyncpg.Record]] = defaultdict(list)
        for row in records:
            series[row["file"], row["interval_type"]].append(row)
        for (file, interval), rows in series.items():
            lacking = sum(row["bars"] for row in rows)
            found = self._scan([file], [row["symbol"] for row in rows], Interval(interval))
            batches = found.collect_batches(chunk_size=_ROWS_AT_ONCE)
            while (batch := await asyncio.to_thread(_following, batches)) is not None:
                text = batch.write_csv(include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6fZ").encode()
                await connection.copy_to_table(
                    "historical_data", source=BytesIO(text), columns=list(FILE_SCHEMA), format="csv"
                )
                lacking -= batch.height
            if lacking:
                logger.error("%s lacks %d of the %s bars that it should hold", self._path(file), lacking, interval)
                raise _unreadable()

    def _scan(self, files: Sequence[str], symbols: Sequence[str], interval: Interval) -> pl.LazyFrame:
        paths = [self._path(file) for file in files]
        return pl.scan_parquet(paths, schema=FILE_SCHEMA, glob=False).filter(
            pl.col("interval_type") == interval, pl.col("symbol").is_in(symbols)
        )

    def _path(self, file: str) -> str:
        if self._folder is None:
            raise StoreUnavailable("Bars are asked for that are archived, and SMARTFIN_ARCHIVE_URL is not set.")
        return f"{self._folder}/{file}"


def _number(month: date) -> int:
    return month.year * 12 + month.month


def _write(exported: Path, target: str) -> None:
    """Make the file of the exported rows; it is whole under its name, or not there."""
    types = {name: pl.Int64() if dtype == INSTANT else dtype for name, dtype in FILE_SCHEMA.items()}
    rows = pl.scan_csv(exported, has_header=False, schema=types).cast(pl.Schema(FILE_SCHEMA))
    if "://" in target:  # an object is there once all of it is
        rows.sink_parquet(target, row_group_size=_ROWS_AT_ONCE)
        return
    partial = Path(f"{target}.partial")
    rows.sink_parquet(partial, row_group_size=_ROWS_AT_ONCE, mkdir=True, sync_on_close="all")
    partial.replace(target)
    folder = os.open(partial.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _collected(query: pl.LazyFrame) -> pl.DataFrame:
    with _reading():
        return query.collect()


def _following(batches: Iterator[pl.DataFrame]) -> pl.DataFrame | None:
    with _reading():
        return next(batches, None)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        logger.error("the archive cannot be read: %s", error)
        raise _unreadable() from error


def _unreadable() -> StoreUnavailable:
    return StoreUnavailable("Archived bars cannot be read; the log says why. Try again.")
