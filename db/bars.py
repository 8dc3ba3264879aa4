"""Bars at rest: what is held, what is missing, and the one upsert that every bar goes through."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from asyncpg import Connection, Range

from db.archive import Archive
from db.copyform import EPOCH_2000_US
from db.database import Database
from db.partitions import Partitions
from market import BAR_SCHEMA, INSTANT, Interval, Window

_PRICES = "open_price, high_price, low_price, close_price, volume, vwap, trades"
_ACTIONS = "split_factor, dividend"


def upsert_bars(rows: str, *, actions: bool) -> str:
    """The statement that takes in `rows`: a table expression with the columns of `historical_data`.

    A bar that is new is inserted, one that differs is replaced, one that is the same is left alone, so the
    count of the statement is the count of what changed. Without `actions`, splits and dividends stay as they are.
    """
    columns = f"{_PRICES}, {_ACTIONS}" if actions else _PRICES
    names = columns.split(", ")
    return f"""
        INSERT INTO historical_data AS held
            (symbol, interval_type, period_start, source, quality, received_at, {columns})
        SELECT symbol, interval_type, period_start, source, quality, received_at, {columns} FROM {rows}
        ON CONFLICT (symbol, interval_type, period_start) DO UPDATE SET
            source = EXCLUDED.source, quality = EXCLUDED.quality, received_at = EXCLUDED.received_at,
            {", ".join(f"{name} = EXCLUDED.{name}" for name in names)}
        WHERE ({", ".join(f"held.{name}" for name in names)})
            IS DISTINCT FROM ({", ".join(f"EXCLUDED.{name}" for name in names)})
    """  # noqa: S608 - every part is a constant of this module


ADD_COVERAGE = """
    INSERT INTO bar_coverage AS coverage (symbol, interval_type, held) VALUES ($1, $2, $3::tstzmultirange)
    ON CONFLICT (symbol, interval_type) DO UPDATE SET held = coverage.held + EXCLUDED.held
"""

# Through its text a float8 becomes the shortest decimal that is this very double; a plain cast would keep 15 digits.
_EXACT = ", ".join(
    f"{name}::text::numeric AS {name}" for name in f"{_PRICES}, {_ACTIONS}".replace(" trades,", "").split(", ")
)
_UNNESTED = f"""
    (SELECT $1::text AS symbol, $2::text AS interval_type, $3::text AS source, $4::smallint AS quality,
            $5::timestamptz AS received_at, period_start, trades, {_EXACT}
     FROM unnest($6::timestamptz[], $7::float8[], $8::float8[], $9::float8[], $10::float8[], $11::float8[],
                 $12::float8[], $13::bigint[], $14::float8[], $15::float8[])
          AS bar (period_start, open_price, high_price, low_price, close_price, volume, vwap, trades,
                  split_factor, dividend)) AS bars
"""  # noqa: S608 - every part is a constant of this module
_SAVE = upsert_bars(_UNNESTED, actions=True)


def _sent(column: str, *, optional: bool = False) -> str:
    """The float8 values of a column as the bytes of one buffer; what is null is sent as NaN, which no row holds."""
    value = f"{column}::float8"
    if optional:
        value = f"coalesce({value}, 'NaN')"
    return f"string_agg(float8send({value}), '')"


# Columns travel as buffers: PostgreSQL and Python would spend most of the time on 50 000 objects otherwise. Splits and
# dividends travel alone: hardly any bar has one, and to turn a NUMERIC into a float8 is what takes PostgreSQL longest.
_NEWEST = f"""
    SELECT (SELECT tstzmultirange(tstzrange($3, $4)) - COALESCE(
                (SELECT held FROM bar_coverage WHERE symbol = $1 AND interval_type = $2), '{{}}')),
           (SELECT array_agg((file, last_bar)) FROM archived_bars
            WHERE symbol = $1 AND interval_type = $2 AND last_bar >= $3 AND first_bar < $4),
           (array_agg(source))[1], min(quality), (array_agg(received_at))[1],
           array_agg((period_start, split_factor::float8, dividend::float8))
               FILTER (WHERE split_factor <> 1 OR dividend <> 0),
           string_agg(timestamptz_send(period_start), ''), {_sent("open_price")}, {_sent("high_price")},
           {_sent("low_price")}, {_sent("close_price")}, {_sent("volume", optional=True)},
           {_sent("vwap", optional=True)}, string_agg(int8send(coalesce(trades, -1)), '')
    FROM (SELECT * FROM historical_data
          WHERE symbol = $1 AND interval_type = $2 AND period_start >= $3 AND period_start < $4
          ORDER BY period_start DESC LIMIT $5) AS bars
"""  # noqa: S608 - every part is a constant of this module
_ACTIONS_SINCE = """
    SELECT period_start, split_factor::float8, dividend::float8, NULL AS file FROM historical_data
    WHERE symbol = $1 AND interval_type = 'D1' AND period_start >= $2 AND (split_factor <> 1 OR dividend <> 0)
    UNION ALL
    SELECT NULL, NULL, NULL, file FROM archived_bars
    WHERE symbol = $1 AND interval_type = 'D1' AND last_bar >= $2 AND has_actions
    ORDER BY period_start
"""
_CLOSE_BEFORE = """
    SELECT action.time, before.period_start, before.close_price::float8, archived.files
    FROM unnest($2::timestamptz[]) AS action (time)
    LEFT JOIN LATERAL (
        SELECT period_start, close_price FROM historical_data
        WHERE symbol = $1 AND interval_type = 'D1'
          AND period_start < action.time AND period_start >= action.time - interval '31 days'
        ORDER BY period_start DESC LIMIT 1
    ) AS before ON true
    CROSS JOIN LATERAL (
        SELECT array_agg(file) AS files FROM archived_bars
        WHERE symbol = $1 AND interval_type = 'D1'
          AND first_bar < action.time AND last_bar >= action.time - interval '31 days'
    ) AS archived
"""
_CLOSE_WITHIN = timedelta(days=31)
_FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class HeldBars:
    """Bars from the store, ascending, and the stretches of the window asked for that are `missing`.

    `source` and `received_at` are those of the newest bar, `quality` is the least among them; without a bar they are
    "none", now and 0.
    """

    frame: pl.DataFrame
    missing: Sequence[Window]
    source: str
    quality: int
    received_at: datetime


class BarStore:
    """The final bars that are held, by symbol and interval, in the table or in the archive.

    What is written of an archived month is first brought back for its symbol and interval, so that a bar is never
    in both. Raises StoreUnavailable where PostgreSQL does not answer or a file of the archive cannot be read.
    """

    def __init__(self, database: Database, partitions: Partitions, archive: Archive | None = None) -> None:
        self._database = database
        self._partitions = partitions
        self._archive = archive or Archive(database)
        self.written = 0
        """Bars that were new or other than held, since the start."""

    async def missing(self, symbol: str, interval: Interval, window: Window) -> list[Window]:
        """The stretches of the window that are not held, ascending."""
        async with self._database.connection() as connection:
            ranges = await connection.fetchval(
                """
                SELECT tstzmultirange(tstzrange($3, $4)) - COALESCE(
                    (SELECT held FROM bar_coverage WHERE symbol = $1 AND interval_type = $2), '{}')
                """,
                symbol,
                interval,
                window.start,
                window.end,
            )
        return [_window(piece) for piece in ranges]

    async def save(
        self,
        symbol: str,
        interval: Interval,
        frame: pl.DataFrame,
        *,
        source: str,
        received_at: datetime,
        covered: Window | None,
        quality: int = 100,
    ) -> int:
        """Take in the final bars of the frame and add `covered` to what is held; all or nothing.

        Returns how many bars changed. Forming bars are left out.
        """
        final = frame.filter(pl.col("is_final"))
        months = final["time"].dt.truncate("1mo").unique().to_list()
        await self._partitions.ensure("historical_data", months)
        async with self._database.connection() as connection, connection.transaction():
            changed = 0
            if not final.is_empty():
                await self._archive.recall(connection, interval, [symbol], months)
                columns = [final[name].to_list() for name in BAR_SCHEMA if name != "is_final"]
                status = await connection.execute(_SAVE, symbol, interval, source, quality, received_at, *columns)
                changed = int(status.rsplit(" ", 1)[1])
            if covered is not None and covered.start < covered.end:
                await add_coverage(connection, symbol, interval, covered)
        self.written += changed
        return changed

    async def newest(self, symbol: str, interval: Interval, count: int, before: datetime, start: datetime) -> HeldBars:
        """The newest `count` bars that open in [start, before), and what is missing there."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_NEWEST, symbol, interval, start, before, count)
        missing, archived, source, quality, received_at, acting, *buffers = row
        held = HeldBars(
            frame=_frame(buffers, acting or ()) if source is not None else pl.DataFrame(schema=BAR_SCHEMA),
            missing=[_window(piece) for piece in missing],
            source=source or "none",
            quality=quality or 0,
            received_at=received_at or datetime.now(UTC),
        )
        oldest = held.frame["time"][0] if held.frame.height == count else start
        files = [file for file, last_bar in archived or () if last_bar >= oldest]
        if not files:
            return held
        return _joined(held, await self._archive.bars(files, symbol, interval, Window(start, before)), count)

    async def kept_up(self, since: datetime) -> list[tuple[str, Interval, datetime]]:
        """Each symbol and interval that is held up to some instant after `since`, and that instant."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT symbol, interval_type, upper(held) FROM bar_coverage WHERE upper(held) > $1"
                " ORDER BY symbol, interval_type",
                since,
            )
        return [(symbol, Interval(interval), until.astimezone(UTC)) for symbol, interval, until in rows]

    async def sources(self, symbol: str, interval: Interval, window: Window) -> set[str]:
        """Whose the bars are that are held of the window."""
        async with self._database.connection() as connection:
            names, files = await connection.fetchrow(
                """
                SELECT (SELECT array_agg(DISTINCT source) FROM historical_data
                        WHERE symbol = $1 AND interval_type = $2 AND period_start >= $3 AND period_start < $4),
                       (SELECT array_agg(file) FROM archived_bars
                        WHERE symbol = $1 AND interval_type = $2 AND last_bar >= $3 AND first_bar < $4)
                """,
                symbol,
                interval,
                window.start,
                window.end,
            )
        archived = (await self._archive.bars(files, symbol, interval, window))["source"] if files else ()
        return {*(names or ()), *archived}

    async def has_older(self, symbol: str, interval: Interval, than: datetime) -> bool:
        """Whether a bar is held that opens before the instant."""
        async with self._database.connection() as connection:
            found: bool = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM historical_data"
                " WHERE symbol = $1 AND interval_type = $2 AND period_start < $3)"
                " OR EXISTS (SELECT FROM archived_bars WHERE symbol = $1 AND interval_type = $2 AND first_bar < $3)",
                symbol,
                interval,
                than,
            )
        return found

    async def actions(self, symbol: str, since: datetime) -> pl.DataFrame:
        """The splits and dividends from an instant on, as daily bars have them.

        Columns: `time`, `split_factor` (new shares per old), `dividend` (cash per share), `previous_close` of
        dividends (RAW close of the daily bar before, null if there is none within a month); ascending.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(_ACTIONS_SINCE, symbol, since)
        found = [tuple(row)[:3] for row in rows if row["file"] is None]
        if files := [row["file"] for row in rows if row["file"] is not None]:
            archived = await self._archive.bars(files, symbol, Interval.D1, Window(since, _FOREVER))
            acting = archived.filter((pl.col("split_factor") != 1) | (pl.col("dividend") != 0))
            found = sorted(found + acting.select("time", "split_factor", "dividend").rows())
        # Planned over every partition, so only where there is one.
        paid = [time for time, _, dividend in found if dividend]
        closes = await self._closes_before(symbol, paid) if paid else {}
        return pl.DataFrame(
            [(*row, closes.get(row[0])) for row in found],
            schema={
                "time": INSTANT,
                "split_factor": pl.Float64(),
                "dividend": pl.Float64(),
                "previous_close": pl.Float64(),
            },
            orient="row",
        )

    async def _closes_before(self, symbol: str, times: list[datetime]) -> dict[datetime, float]:
        """The close of the last daily bar before each instant, where there is one within a month."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_CLOSE_BEFORE, symbol, times)
        closes = {time: (before, close) for time, before, close, _ in rows if before is not None}
        if files := sorted({file for row in rows for file in row["files"] or ()}):
            window = Window(min(times) - _CLOSE_WITHIN, max(times))
            archived = await self._archive.bars(files, symbol, Interval.D1, window)
            found = pl.DataFrame({"action": times}, schema={"action": INSTANT}).join_asof(
                archived, left_on="action", right_on="time", tolerance="31d", allow_exact_matches=False
            )
            for time, before, close in found.drop_nulls("time").select("action", "time", "close").rows():
                closes[time] = max(closes.get(time, (before, close)), (before, close))
        return {time: close for time, (_, close) in closes.items()}


def _joined(held: HeldBars, archived: pl.DataFrame, count: int) -> HeldBars:
    """The newest `count` of both."""
    frame = pl.concat([held.frame, archived.select(*BAR_SCHEMA)]).sort("time").tail(count)
    taken = archived.filter(pl.col("time") >= frame["time"].min())
    if taken.is_empty():
        return replace(held, frame=frame)
    qualities: list[int] = taken["quality"].to_list()
    if not held.frame.is_empty():
        qualities.append(held.quality)
    joined = replace(held, frame=frame, quality=min(qualities))
    if not held.frame.is_empty() and held.frame["time"][-1] > taken["time"][-1]:
        return joined
    return replace(joined, source=taken["source"][-1], received_at=taken["received_at"][-1])


async def add_coverage(connection: Connection, symbol: str, interval: Interval, covered: Window) -> None:
    """Add a stretch to what is held, in the caller's transaction."""
    await connection.execute(ADD_COVERAGE, symbol, interval, [Range(covered.start, covered.end)])


def _frame(buffers: Sequence[bytes], acting: Sequence[tuple[datetime, float, float]]) -> pl.DataFrame:
    """The bars, of columns in the order of BAR_SCHEMA that begin with the newest, and of those with an action that."""
    columns = {}
    for (name, dtype), buffer in zip(BAR_SCHEMA.items(), buffers, strict=False):
        numbers = np.frombuffer(buffer, ">f8" if dtype == pl.Float64 else ">i8")[::-1]
        columns[name] = pl.Series(numbers.astype(numbers.dtype.newbyteorder("=")), nan_to_null=True)
    frame = pl.DataFrame(columns).with_columns(
        (pl.col("time") + EPOCH_2000_US).cast(INSTANT),
        pl.col("trades").replace(-1, None),
        split_factor=pl.lit(1.0),
        dividend=pl.lit(0.0),
        is_final=pl.lit(True),
    )
    if not acting:
        return frame
    schema = {name: BAR_SCHEMA[name] for name in ("time", "split_factor", "dividend")}
    return frame.update(pl.DataFrame([tuple(row) for row in acting], schema, orient="row"), on="time")


def _window(piece: Range) -> Window:
    return Window(piece.lower.astimezone(UTC), piece.upper.astimezone(UTC))
