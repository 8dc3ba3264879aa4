"""History from PostgreSQL (S7) and imports into it (S6), each beside plain asyncpg in the same run.

    python -m bench.history [S6|S7]

S7: `load_history` of 5 000 bars that are held, nothing cached; peer: one fetch of the same rows as float8.
S6: `import_bars` of a CSV of 1 000 000 bars into a store that has none of their months, of another symbol into the same
months, and of the same file again; peer: COPY of the same rows into a table of the same columns and types without
constraints, and into one with its constraints and its key. All have their turn in each round.
"""

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg
import numpy as np
import polars as pl

from db.database import Database
from db.embedded import embedded
from db.importer import import_bars
from db.migrate import migrate
from db.partitions import Partitions
from db.redis import Keys, connect
from market import Adjustment, Interval, Window
from resolvers.history import load_history
from tests.world import made_of

BARS = 5_000
ROWS = 1_000_000
ROUNDS = 30
IMPORTS = 3
"""Rounds of S6."""
START = datetime(2000, 1, 3, tzinfo=UTC)
RAW = """
    SELECT period_start, open_price::float8, high_price::float8, low_price::float8, close_price::float8,
           volume::float8, vwap::float8, trades, split_factor::float8, dividend::float8
    FROM historical_data
    WHERE symbol = $1 AND interval_type = $2 AND period_start >= $3 AND period_start < $4
    ORDER BY period_start
"""


def bars(count: int, step: timedelta) -> pl.DataFrame:
    """A walk of prices with two decimals, one bar each `step`."""
    rng = np.random.default_rng(1)
    close = np.round(100 + np.cumsum(rng.normal(0, 0.05, count)) % 50, 2)
    opening = np.round(np.roll(close, 1), 2)
    return pl.DataFrame(
        {
            "time": pl.datetime_range(START, START + step * (count - 1), step, eager=True, time_unit="us"),
            "open": opening,
            "high": np.round(np.maximum(opening, close) + 0.05, 2),
            "low": np.round(np.minimum(opening, close) - 0.05, 2),
            "close": close,
            "volume": rng.integers(1_000, 1_000_000, count).astype(float),
        }
    )


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    """Seconds that it took."""
    start = time.perf_counter()
    await ask()
    return time.perf_counter() - start


def tell(name: str, ours_s: float, peer_s: float, ratio: float, goal: str) -> None:
    """Print a line of the table."""
    print(f"{name:44} {ours_s * 1000:9.1f} ms   peer {peer_s * 1000:9.1f} ms   ratio {ratio:5.2f}   goal {goal}")


async def s7(url: str, redis_url: str) -> None:
    """The time to have 5 000 bars."""
    async with AsyncExitStack() as stack:
        database = Database(url, "s7")
        stack.push_async_callback(database.aclose)
        await migrate(database)
        redis = connect(redis_url)
        stack.push_async_callback(redis.aclose)
        world = made_of(database, redis, Keys("bench"))
        for interval in (Interval.M1, Interval.D1):
            frame = bars(BARS * 2, interval.span).with_columns(
                vwap=pl.col("close"),
                trades=pl.lit(10, pl.Int64),
                split_factor=pl.lit(1.0),
                dividend=pl.lit(0.0),
                is_final=pl.lit(value=True),
            )
            end = START + interval.span * frame.height
            for piece in frame.iter_slices(1000):
                await world.bars.save(
                    "AAPL", interval, piece, source="bench", received_at=START, covered=Window(START, end)
                )
            async with database.connection(60) as connection:
                await connection.execute("ANALYZE")
            peer = await asyncpg.connect(url, server_settings={"search_path": "s7", "timezone": "UTC"})
            start = end - interval.span * BARS

            async def ours(interval: Interval = interval, end: datetime = end) -> None:
                found = await load_history(world, "AAPL", interval, None, end, BARS, Adjustment.SPLITS)
                assert found.count == BARS

            async def raw(
                interval: Interval = interval, start: datetime = start, end: datetime = end, peer: object = peer
            ) -> None:
                assert len(await peer.fetch(RAW, "AAPL", interval, start, end)) == BARS  # type: ignore[attr-defined]

            for ask in (ours, raw) * 3:
                await ask()
            times = [(await timed(ours), await timed(raw)) for _ in range(ROUNDS)]
            ours_s, raw_s = (median(column) for column in zip(*times, strict=True))
            tell(f"S7 {BARS} bars of {interval}", ours_s, raw_s, ours_s / raw_s, "<= 2")
            await peer.close()


def as_copied(frame: pl.DataFrame) -> pl.DataFrame:
    """The bars as the peer of S6 copies them."""
    return frame.select(
        pl.lit("AAPL").alias("symbol"),
        pl.lit("M1").alias("interval_type"),
        pl.col("time").alias("period_start"),
        *(pl.col(name).alias(f"{name}_price") for name in ("open", "high", "low", "close")),
        "volume",
        pl.lit("peer").alias("source"),
    )


async def s6(url: str, folder: Path) -> None:
    """The rows a second of an import."""
    path, copied = folder / "bars.csv", folder / "copy.csv"
    frame = bars(ROWS, timedelta(minutes=1))
    frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    rows = as_copied(frame)
    rows.write_csv(copied, include_header=False, datetime_format="%Y-%m-%d %H:%M:%SZ")
    taken: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(IMPORTS):
        database = Database(url, f"s6_{number}")
        await migrate(database)
        peer = await asyncpg.connect(url, server_settings={"search_path": database.schema, "timezone": "UTC"})
        await peer.execute("CREATE TABLE plain (LIKE historical_data INCLUDING DEFAULTS)")
        await peer.execute("CREATE TABLE checked (LIKE historical_data INCLUDING ALL)")

        async def ours(symbol: str, database: Database = database) -> None:
            result = await import_bars(database, Partitions(database), path, interval=Interval.M1, symbol=symbol)
            assert result.rows == ROWS

        async def copy(table: str, peer: asyncpg.Connection = peer) -> None:
            await peer.copy_to_table(table, source=copied, columns=rows.columns, format="csv")

        taken["plain"].append(await timed(lambda: copy("plain")))
        taken["new"].append(await timed(lambda: ours("AAPL")))
        taken["checked"].append(await timed(lambda: copy("checked")))
        taken["other"].append(await timed(lambda: ours("MSFT")))
        taken["again"].append(await timed(lambda: ours("AAPL")))
        await peer.execute(f"DROP SCHEMA {database.schema} CASCADE")
        await peer.close()
        await database.aclose()
    seconds = {name: median(times) for name, times in taken.items()}
    for name, ours_of, peer_of, goal in (
        (f"S6 import of {ROWS} bars; COPY", "new", "plain", ">= 0.5"),
        ("   the same; COPY with constraints and key", "new", "checked", ""),
        ("   of another symbol, same months; COPY", "other", "plain", ""),
        ("   the same; COPY with constraints and key", "other", "checked", ""),
        ("   of the same file again; COPY", "again", "plain", ""),
    ):
        tell(name, seconds[ours_of], seconds[peer_of], seconds[peer_of] / seconds[ours_of], goal)


async def main(wanted: list[str]) -> None:
    """The benchmarks that are named, else both."""
    with tempfile.TemporaryDirectory() as name, embedded(Path(name) / "data") as servers:
        if "S7" in wanted or not wanted:
            await s7(servers.database_url, servers.redis_url)
        if "S6" in wanted or not wanted:
            await s6(servers.database_url, Path(name))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
