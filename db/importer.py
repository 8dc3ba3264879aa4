"""Takes files of bars and of splits into the store, each in one transaction."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import polars as pl

from db.archive import Archive
from db.barfile import REJECTED_SCHEMA, BarBatch, BarFile, open_bars
from db.bars import ADD_COVERAGE, upsert_bars
from db.copyform import HEAD, TAIL, as_binary, as_text
from db.database import Database
from db.new_months import MonthExistsError, NewMonths
from db.partitions import Partitions
from db.splitfile import read_splits
from db.tabular import Rejected
from errors import StartError
from market import Interval, venue

IMPORT_DEADLINE_S: Final = 3600.0
SPLIT_SLACK: Final = timedelta(days=31)
"""How long after its date a split may find its first bar."""

_COLUMNS: Final = {"time": "period_start"} | {name: f"{name}_price" for name in ("open", "high", "low", "close")}
"""What `historical_data` calls the columns of a bar that it calls otherwise."""
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
    (SELECT *, $1::text AS interval_type, 'import' AS source, 100::smallint AS quality, now() AS received_at
     FROM staging ORDER BY symbol, period_start) AS staging
    """,
    actions=False,
)
# Whether a bar is held in the stretch of one of the symbols.
_MEETS: Final = """
    SELECT EXISTS (
        SELECT FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) AS span (symbol, first, last)
        CROSS JOIN LATERAL (
            SELECT FROM historical_data AS held
            WHERE held.symbol = span.symbol AND interval_type = $1 AND period_start BETWEEN span.first AND span.last
            LIMIT 1
        ) AS held
    )
"""
# Rejected bars that no good row of the file stands in for.
_LOST: Final = """
    SELECT DISTINCT lost.symbol, lost.time FROM unnest($1::text[], $2::timestamptz[]) AS lost (symbol, time)
    WHERE NOT EXISTS (SELECT FROM {rows} AS taken WHERE taken.symbol = lost.symbol AND taken.period_start = lost.time)
    ORDER BY lost.symbol, lost.time
"""
_LOST_OF_STAGED: Final = _LOST.format(rows="staging")
_LOST_OF_COPIED: Final = _LOST.format(
    rows="(SELECT * FROM historical_data WHERE interval_type = $3 AND received_at = now())"
)
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
    file = await asyncio.to_thread(open_bars, path, interval, symbol)
    archive = archive or Archive(database)
    with _no_room(path):
        async with database.connection(IMPORT_DEADLINE_S) as connection, connection.transaction():
            taking = _Taking(connection, partitions, archive, file, interval, report)
            taken = await taking.copied() or await taking.merged()
            await connection.executemany(
                ADD_COVERAGE,
                [
                    (symbol, interval, _pieces(interval, span.first, span.last, taken.lost.get(symbol, ())))
                    for symbol, span in taken.spans.items()
                ],
            )
            venues = [(symbol, venue(symbol)) for symbol in taken.spans]
            await connection.executemany(
                _ADD_ASSET,
                [(symbol, at.market_code, at.asset_type, at.currency, at.timezone) for symbol, at in venues],
            )
    return ImportedBars(
        rows=taken.rows,
        changed=taken.changed,
        unchanged=sum(span.bars for span in taken.spans.values()) - taken.changed,
        rejected=taken.rejected,
        symbols=list(taken.spans),
        first=min((span.first for span in taken.spans.values()), default=None),
        last=max((span.last for span in taken.spans.values()), default=None),
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


class _Span(NamedTuple):
    """The bars of a symbol."""

    first: datetime
    last: datetime
    bars: int


@dataclass(frozen=True, slots=True)
class _Taken:
    """What became of the rows; `spans` by symbol, ascending, and the rejected bars by symbol that stay missing."""

    rows: int
    changed: int
    spans: dict[str, _Span]
    rejected: list[Rejected]
    lost: Mapping[str, Sequence[datetime]]


class _MetError(Exception):
    """A bar is there already."""


@dataclass(frozen=True, slots=True)
class _Taking:
    """Takes in the bars of one file, in the transaction of the connection."""

    connection: asyncpg.Connection
    partitions: Partitions
    archive: Archive
    file: BarFile
    interval: Interval
    report: Report

    async def copied(self) -> _Taken | None:
        """COPY right into the months; None, and nothing taken, if a bar of the file is there already or comes twice.

        The months that the table lacks are made of the file's bars.
        """
        rows = 0
        spans: dict[str, _Span] = {}
        rejected = [pl.DataFrame(schema=REJECTED_SCHEMA)]
        attempt = self.connection.transaction()
        await attempt.start()
        try:
            new_months = NewMonths(self.connection, "historical_data")
            async for batch in self._batches(self._as_held):
                await self._copy(batch, new_months, spans)
                rows += batch.rows
                rejected.append(batch.rejected)
                self.report(rows, self.file.total)
            await new_months.attach()
        except (_MetError, MonthExistsError, asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
            await attempt.rollback()
            return None
        await attempt.commit()
        left_out = pl.concat(rejected)
        return _Taken(
            rows=rows,
            changed=sum(span.bars for span in spans.values()),
            spans=dict(sorted(spans.items())),
            rejected=_rejected(left_out),
            lost=await self._lost(_LOST_OF_COPIED, left_out, self.interval),
        )

    async def _copy(self, batch: "_Batch", new_months: NewMonths, spans: dict[str, _Span]) -> None:
        new = await new_months.prepare(batch.bars)
        for month, table in new.items():
            await self._copy_to(table, batch, [month])
        if there := [month for month in batch.bars if month not in new]:
            await self._make_room(there, list(batch.spans))
            firsts, lasts, _ = zip(*batch.spans.values(), strict=True)
            if await self.connection.fetchval(_MEETS, self.interval, list(batch.spans), firsts, lasts):
                raise _MetError
            await self._copy_to("historical_data", batch, there)
        for symbol, span in batch.spans.items():
            known = spans.get(symbol, span._replace(bars=0))
            spans[symbol] = _Span(min(known.first, span.first), max(known.last, span.last), known.bars + span.bars)

    async def _copy_to(self, table: str, batch: "_Batch", months: Iterable[datetime]) -> None:
        rows = [batch.bars[month] for month in months]
        if batch.is_binary:
            rows = [HEAD, *rows, TAIL]
        # As a memoryview asyncpg sends it; bytes would be the name of a file, and a file is read in threads.
        source = memoryview(b"".join(rows))
        await self.connection.copy_to_table(
            table, source=source, columns=batch.columns, format="binary" if batch.is_binary else "text"
        )

    async def merged(self) -> _Taken:
        """Take in what is new or differs, by way of a table aside."""
        await self.connection.execute(_STAGING)
        rows = 0
        months: set[datetime] = set()
        rejected = [pl.DataFrame(schema=REJECTED_SCHEMA)]
        async for batch in self._batches(lambda bars: bars):
            await self._copy_to("staging", batch, batch.bars)
            rows += batch.rows
            months.update(batch.bars)
            rejected.append(batch.rejected)
            self.report(rows, self.file.total)
        repeated = [
            Rejected(row["line"], f"a bar of {row['symbol']} at this time is already on line {row['first_line']}")
            for row in await self.connection.fetch(_REPEATED)
        ]
        found = await self.connection.fetch(
            "SELECT symbol, min(period_start), max(period_start), count(*) FROM staging GROUP BY symbol ORDER BY symbol"
        )
        spans = {symbol: _Span(*span) for symbol, *span in found}
        await self._make_room(months, list(spans))
        changed = _affected(await self.connection.execute(_UPSERT, self.interval))
        left_out = pl.concat(rejected)
        return _Taken(
            rows=rows,
            changed=changed,
            spans=spans,
            rejected=sorted(_rejected(left_out) + repeated),
            lost=await self._lost(_LOST_OF_STAGED, left_out),
        )

    async def _make_room(self, months: Iterable[datetime], symbols: Sequence[str]) -> None:
        """Have the months in the table. On a connection of its own a partition is made, which waits for no bar."""
        await self.partitions.ensure("historical_data", months)
        await self.archive.recall(self.connection, self.interval, symbols, months)

    async def _lost(self, query: str, rejected: pl.DataFrame, *arguments: object) -> Mapping[str, Sequence[datetime]]:
        known = rejected.drop_nulls(["symbol", "time"])
        lost: defaultdict[str, list[datetime]] = defaultdict(list)
        if not known.is_empty():
            columns = known["symbol"].to_list(), known["time"].to_list()
            for symbol, time in await self.connection.fetch(query, *columns, *arguments):
                lost[symbol].append(time)
        return lost

    def _as_held(self, bars: pl.DataFrame) -> pl.DataFrame:
        return bars.drop("line").with_columns(interval_type=pl.lit(self.interval.value), source=pl.lit("import"))

    async def _batches(self, form: Callable[[pl.DataFrame], pl.DataFrame]) -> AsyncIterator["_Batch"]:
        """The batches of the file, with the bars in this form; while one is taken in, the next is read."""
        batches = (_batch(batch, form) for batch in self.file.batches(datetime.now(UTC)))
        upcoming = asyncio.create_task(asyncio.to_thread(next, batches, None))
        try:
            while (batch := await upcoming) is not None:
                upcoming = asyncio.create_task(asyncio.to_thread(next, batches, None))
                yield batch
        finally:
            await asyncio.gather(upcoming, return_exceptions=True)


class _Batch(NamedTuple):
    """`bars` as rows in a format of COPY by the first instant of their month, with these `columns`."""

    rows: int
    bars: Mapping[datetime, bytes]
    is_binary: bool
    columns: Sequence[str]
    spans: Mapping[str, _Span]
    rejected: pl.DataFrame


def _batch(batch: BarBatch, form: Callable[[pl.DataFrame], pl.DataFrame]) -> _Batch:
    time = pl.col("time")
    found = batch.bars.group_by("symbol").agg(first=time.min(), last=time.max(), bars=pl.len()).sort("symbol")
    bars = form(batch.bars.rename(_COLUMNS))
    # A column without a value would be read for every row all the same.
    bars = bars.select(column for column in bars if column.null_count() < bars.height)
    months = _by_month(bars) if bars.width else {}
    told = {month: as_binary(rows) for month, rows in months.items()}
    binary = {month: rows for month, rows in told.items() if rows is not None}
    is_binary = len(binary) == len(months)
    return _Batch(
        rows=batch.bars.height + batch.rejected.height,
        bars=binary if is_binary else {month: as_text(rows) for month, rows in months.items()},
        is_binary=is_binary,
        columns=bars.columns,
        spans={symbol: _Span(*span) for symbol, *span in found.rows()},
        rejected=batch.rejected,
    )


def _by_month(bars: pl.DataFrame) -> dict[datetime, pl.DataFrame]:
    month = pl.col("period_start").dt.truncate("1mo").alias("month")
    parts = bars.with_columns(month).partition_by("month", include_key=False, as_dict=True)
    return {first: rows for (first,), rows in parts.items()}


def _rejected(rows: pl.DataFrame) -> list[Rejected]:
    return [Rejected(*row) for row in rows.select("line", "reason").iter_rows()]


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
