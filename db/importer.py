"""Takes files of bars and of splits into the store, each in one transaction."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import polars as pl

from db.archive import Archive
from db.barfile import REJECTED_SCHEMA, BarFile, open_bars
from db.bars import ADD_COVERAGE, upsert_bars
from db.database import Database
from db.partitions import Partitions
from db.splitfile import read_splits
from db.tabular import Rejected
from errors import StartError
from market import Interval, venue

IMPORT_DEADLINE_S: Final = 3600.0
SPLIT_SLACK: Final = timedelta(days=31)
"""How long after its date a split may find its first bar."""

_STAGING: Final = """
    CREATE TEMPORARY TABLE staging (
        line bigint, symbol text COLLATE "C", period_start timestamptz,
        open_price numeric, high_price numeric, low_price numeric, close_price numeric,
        volume numeric, vwap numeric, trades bigint
    ) ON COMMIT DROP
"""
_REPEATED: Final = """
    DELETE FROM staging
    USING (SELECT line, min(line) OVER (PARTITION BY symbol, period_start) AS first_line FROM staging) AS same
    WHERE same.line > same.first_line AND staging.line = same.line
    RETURNING staging.line, same.first_line, staging.symbol
"""
# In the order of the key, so that two who write at once wait for each other and never lock each other out.
_UPSERT: Final = upsert_bars(
    """
    (SELECT *, $1::text AS interval_type, 'import' AS source, 100::smallint AS quality, $2::timestamptz AS received_at
     FROM staging ORDER BY symbol, period_start) AS staging
    """,
    actions=False,
)
# Rejected bars that no good row of the file stands in for.
_LOST: Final = """
    SELECT DISTINCT lost.symbol, lost.time FROM unnest($1::text[], $2::timestamptz[]) AS lost (symbol, time)
    WHERE NOT EXISTS (SELECT FROM staging WHERE staging.symbol = lost.symbol AND staging.period_start = lost.time)
    ORDER BY lost.symbol, lost.time
"""
_FIRST_BAR: Final = """
    SELECT min(period_start) FROM historical_data
    WHERE symbol = $1 AND interval_type = 'D1' AND period_start BETWEEN $2 AND $3
"""
_SET_SPLIT: Final = """
    UPDATE historical_data SET split_factor = $3
    WHERE symbol = $1 AND interval_type = 'D1' AND period_start = $2 AND split_factor <> $3
"""
_ADD_ASSET: Final = """
    INSERT INTO assets (symbol, name, market, asset_type, currency, timezone) VALUES ($1, $1, $2, $3, $4, $5)
    ON CONFLICT (symbol) DO NOTHING
"""

Report = Callable[[int, int | None], None]
"""Is told how many rows are done, and of how many, None where the file does not say."""


@dataclass(frozen=True, slots=True)
class ImportedBars:
    """What became of a file: `rows` = `changed` + `unchanged` + rejected ones.

    `first` and `last` are the opening instants of the oldest and the newest bar that was taken in.
    """

    rows: int
    changed: int
    unchanged: int
    rejected: Sequence[Rejected]
    symbols: Sequence[str]
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class ImportedSplits:
    """What became of a file: `rows` = `changed` + `unchanged` + rejected ones."""

    rows: int
    changed: int
    unchanged: int
    rejected: Sequence[Rejected]


async def import_bars(
    database: Database,
    partitions: Partitions,
    path: Path,
    *,
    interval: Interval = Interval.D1,
    symbol: str | None = None,
    archive: Archive | None = None,
    report: Report = lambda _done, _total: None,
) -> ImportedBars:
    """Take in the bars of a CSV or Parquet file, all or nothing.

    From a symbol's first bar to the end of its last the store then counts as complete, but for the rejected rows:
    those bars stay missing, so a source will be asked for them. Raises StartError if the file cannot be understood
    or PostgreSQL has no room for it; nothing has changed then.
    """
    received_at = datetime.now(UTC)
    file = await asyncio.to_thread(open_bars, path, interval, symbol)
    with _no_room(path):
        async with database.connection(IMPORT_DEADLINE_S) as connection, connection.transaction():
            await connection.execute(_STAGING)
            staged = await _stage(connection, file, received_at, report)
            repeated = [
                Rejected(row["line"], f"a bar of {row['symbol']} at this time is already on line {row['first_line']}")
                for row in await connection.fetch(_REPEATED)
            ]
            spans = await connection.fetch(
                "SELECT symbol, min(period_start) AS first, max(period_start) AS last, count(*) AS bars"
                " FROM staging GROUP BY symbol ORDER BY symbol"
            )
            # On a connection of their own; this one holds no lock yet that a new partition would wait for.
            await partitions.ensure("historical_data", staged.months)
            await (archive or Archive(database)).recall(
                connection, interval, [span["symbol"] for span in spans], staged.months
            )
            changed = _affected(await connection.execute(_UPSERT, interval, received_at))
            await _cover(connection, interval, spans, staged.rejected)
            venues = [(span["symbol"], venue(span["symbol"])) for span in spans]
            await connection.executemany(
                _ADD_ASSET,
                [(symbol, at.market_code, at.asset_type, at.currency, at.timezone) for symbol, at in venues],
            )
    rejected = [Rejected(*row) for row in staged.rejected.select("line", "reason").iter_rows()]
    return ImportedBars(
        rows=staged.rows,
        changed=changed,
        unchanged=sum(span["bars"] for span in spans) - changed,
        rejected=sorted(rejected + repeated),
        symbols=[span["symbol"] for span in spans],
        first=min((span["first"] for span in spans), default=None),
        last=max((span["last"] for span in spans), default=None),
    )


async def import_splits(
    database: Database, path: Path, *, symbol: str | None = None, archive: Archive | None = None
) -> ImportedSplits:
    """Set each split of a CSV or Parquet file on the first daily bar that trades split, all or nothing.

    That is the first D1 bar on its date or in the 31 days after it. Raises StartError as import_bars does.
    """
    splits, rejected = await asyncio.to_thread(read_splits, path, symbol)
    rows = len(splits) + len(rejected)
    changed = 0
    lines: dict[tuple[str, datetime], int] = {}
    with _no_room(path):
        async with database.connection(IMPORT_DEADLINE_S) as connection, connection.transaction():
            for split in splits:
                until = split.date + SPLIT_SLACK
                await (archive or Archive(database)).recall(
                    connection, Interval.D1, [split.symbol], [split.date, split.date + SPLIT_SLACK / 2, until]
                )
                bar = await connection.fetchval(_FIRST_BAR, split.symbol, split.date, until)
                if bar is None:
                    reason = f"no D1 bar held of {split.symbol} from {split.date:%Y-%m-%d} to {until:%Y-%m-%d}"
                    rejected.append(Rejected(split.line, reason))
                elif (split.symbol, bar) in lines:
                    reason = f"the split on line {lines[split.symbol, bar]} already falls on the bar of {bar:%Y-%m-%d}"
                    rejected.append(Rejected(split.line, reason))
                else:
                    lines[split.symbol, bar] = split.line
                    changed += _affected(await connection.execute(_SET_SPLIT, split.symbol, bar, split.factor))
    return ImportedSplits(rows, changed, len(lines) - changed, sorted(rejected))


@dataclass(frozen=True, slots=True)
class _Staged:
    """What has been read: `rejected` has `line`, `reason`, `symbol` and `time`."""

    rows: int
    months: set[datetime]
    rejected: pl.DataFrame


class _Chunk(NamedTuple):
    rows: int
    bars: bytes
    months: list[datetime]
    rejected: pl.DataFrame


def _chunks(file: BarFile, now: datetime) -> Iterator[_Chunk]:
    for batch in file.batches(now):
        yield _Chunk(
            batch.bars.height + batch.rejected.height,
            batch.bars.write_csv(include_header=False, datetime_format="%Y-%m-%d %H:%M:%SZ").encode(),
            batch.bars["time"].dt.truncate("1mo").unique().to_list(),
            batch.rejected,
        )


async def _stage(connection: asyncpg.Connection, file: BarFile, now: datetime, report: Report) -> _Staged:
    rows = 0
    months: set[datetime] = set()
    rejected = []
    chunks = _chunks(file, now)
    upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
    try:
        while (chunk := await upcoming) is not None:
            # While PostgreSQL takes in one chunk, the next is read.
            upcoming = asyncio.create_task(asyncio.to_thread(next, chunks, None))
            await connection.copy_to_table("staging", source=BytesIO(chunk.bars), format="csv")
            rows += chunk.rows
            months.update(chunk.months)
            rejected.append(chunk.rejected)
            report(rows, file.total)
    finally:
        await asyncio.gather(upcoming, return_exceptions=True)
    return _Staged(rows, months, pl.concat([pl.DataFrame(schema=REJECTED_SCHEMA), *rejected]))


async def _cover(
    connection: asyncpg.Connection, interval: Interval, spans: Sequence[asyncpg.Record], rejected: pl.DataFrame
) -> None:
    """Add to what is held: each symbol from its first bar to the end of its last, without the bars that were lost."""
    known = rejected.drop_nulls(["symbol", "time"])
    lost: defaultdict[str, list[datetime]] = defaultdict(list)
    for symbol, time in await connection.fetch(_LOST, known["symbol"].to_list(), known["time"].to_list()):
        lost[symbol].append(time)
    await connection.executemany(
        ADD_COVERAGE,
        [
            (span["symbol"], interval, _pieces(interval, span["first"], span["last"], lost[span["symbol"]]))
            for span in spans
        ],
    )


def _pieces(interval: Interval, first: datetime, last: datetime, lost: Sequence[datetime]) -> list[asyncpg.Range]:
    """The stretches from `first` to the end of `last` that are left without the bars of `lost`, which ascends."""
    pieces = []
    start = first
    for time in lost:
        if first < time < last:
            if start < time:
                pieces.append(asyncpg.Range(start, time))
            start = interval.end(time)
    return [*pieces, asyncpg.Range(start, interval.end(last))]


def _affected(status: str) -> int:
    """The count in a command's tag, such as `INSERT 0 12`."""
    return int(status.rsplit(" ", 1)[1])


@contextmanager
def _no_room(path: Path) -> Iterator[None]:
    try:
        yield
    except asyncpg.DiskFullError as error:
        raise StartError(
            f"{path}: nothing was imported, because the disk of PostgreSQL is full ({error.message});"
            " make room and try again."
        ) from error
