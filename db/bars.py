"""Bars at rest: what is held, what is missing, and the one upsert that every bar goes through."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl
from asyncpg import Connection, Range

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

_SELECT = """
    SELECT period_start, open_price::float8, high_price::float8, low_price::float8, close_price::float8,
           volume::float8, vwap::float8, trades, split_factor::float8, dividend::float8,
           source, quality, received_at
    FROM historical_data
"""


@dataclass(frozen=True, slots=True)
class HeldBars:
    """Bars from the store, with what their newest row says of its origin and the least quality among them."""

    frame: pl.DataFrame
    source: str
    quality: int
    received_at: datetime


class BarStore:
    """The final bars that are held, by symbol and interval."""

    def __init__(self, database: Database, partitions: Partitions) -> None:
        self._database = database
        self._partitions = partitions

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
        await self._partitions.ensure("historical_data", final["time"].dt.truncate("1mo").unique().to_list())
        async with self._database.connection() as connection, connection.transaction():
            changed = 0
            if not final.is_empty():
                columns = [final[name].to_list() for name in BAR_SCHEMA if name != "is_final"]
                status = await connection.execute(_SAVE, symbol, interval, source, quality, received_at, *columns)
                changed = int(status.rsplit(" ", 1)[1])
            if covered is not None and covered.start < covered.end:
                await add_coverage(connection, symbol, interval, covered)
        return changed

    async def newest(
        self, symbol: str, interval: Interval, count: int, before: datetime, start: datetime
    ) -> HeldBars | None:
        """The newest `count` bars that open before an instant, and not before `start`; None if there are none."""
        return await self._fetch(
            f"{_SELECT} WHERE symbol = $1 AND interval_type = $2 AND period_start >= $3"
            " AND period_start < $4 ORDER BY period_start DESC LIMIT $5",
            symbol,
            interval,
            start,
            before,
            count,
        )

    async def _fetch(self, query: str, *arguments: Any) -> HeldBars | None:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query, *arguments)
        if not rows:
            return None
        newest = rows[0]
        rows.reverse()
        columns = list(zip(*rows, strict=True))
        frame = pl.DataFrame(
            [
                pl.Series(name, columns[index], dtype=dtype, strict=False)
                for index, (name, dtype) in enumerate(BAR_SCHEMA.items())
                if name != "is_final"
            ]
        ).with_columns(is_final=pl.lit(True))
        return HeldBars(frame, newest["source"], min(columns[11]), newest["received_at"])

    async def has_older(self, symbol: str, interval: Interval, than: datetime) -> bool:
        """Whether a bar is held that opens before the instant."""
        async with self._database.connection() as connection:
            found: bool = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM historical_data"
                " WHERE symbol = $1 AND interval_type = $2 AND period_start < $3)",
                symbol,
                interval,
                than,
            )
        return found

    async def actions(self, symbol: str, since: datetime) -> pl.DataFrame:
        """The splits and dividends from an instant on, as daily bars have them.

        Columns: `time`, `split_factor` (new shares per old), `dividend` (cash per share), `previous_close`
        (RAW close of the daily bar before, null if there is none); ascending.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                """
                SELECT period_start, split_factor::float8, dividend::float8,
                       (SELECT before.close_price::float8 FROM historical_data AS before
                        WHERE before.symbol = action.symbol AND before.interval_type = 'D1'
                          AND before.period_start < action.period_start
                        ORDER BY before.period_start DESC LIMIT 1)
                FROM historical_data AS action
                WHERE symbol = $1 AND interval_type = 'D1' AND period_start >= $2
                  AND (split_factor <> 1 OR dividend <> 0)
                ORDER BY period_start
                """,
                symbol,
                since,
            )
        return pl.DataFrame(
            [tuple(row) for row in rows],
            schema={
                "time": INSTANT,
                "split_factor": pl.Float64(),
                "dividend": pl.Float64(),
                "previous_close": pl.Float64(),
            },
            orient="row",
        )


async def add_coverage(connection: Connection, symbol: str, interval: Interval, covered: Window) -> None:
    """Add a stretch to what is held, in the caller's transaction."""
    await connection.execute(ADD_COVERAGE, symbol, interval, [Range(covered.start, covered.end)])


def _window(piece: Range) -> Window:
    return Window(piece.lower.astimezone(UTC), piece.upper.astimezone(UTC))
