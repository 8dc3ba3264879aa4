"""What must not become slow: CPU time of ours beside that of a peer, by turns in one process, and medians of it.

What is allowed is more than what `bench` measures, for machines that are slow, old or busy; the goals are there.
"""

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import polars as pl
import pytest
from redis.asyncio import Redis
from starlette.types import Message

from bench.history import BARS, RAW, START, as_copied, bars
from bench.http import CHART
from bench.http_server import application
from db.database import Database
from db.importer import import_bars
from db.partitions import Partitions
from db.redis import Keys
from market import Adjustment, Interval, Window
from resolvers.history import load_history
from tests.world import made_of

ROUNDS = 15
ROWS = 100_000

Ask = Callable[[], Awaitable[Any]]


@pytest.fixture(autouse=True)
def settled() -> Iterator[None]:
    """What the other tests left here is no garbage of what is measured, as in the server; and all runs on one core.

    Where threads move between cores, what they find in no cache counts as time, of ours and of a peer in no proportion.
    """
    cores = os.sched_getaffinity(0)
    gc.collect()
    gc.freeze()
    _run_on({min(cores)})
    yield
    _run_on(cores)


def _run_on(cores: set[int]) -> None:
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), cores)


async def cpu_s(peers: Mapping[str, Ask]) -> dict[str, float]:
    """The median of the seconds of CPU time that each takes, over rounds in which each has its turn."""
    taken: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(ROUNDS + 3):
        for name, ask in peers.items():
            start = time.process_time()
            await ask()
            if number >= 3:  # the first fill caches
                taken[name].append(time.process_time() - start)
    return {name: median(times) for name, times in taken.items()}


async def test_twenty_indicators_take_no_multiple_of_talib_in_a_rest_route() -> None:
    app = application()

    async def ask(state: Any, method: str, path: str, query: str = "") -> bytes:
        requests: list[Message] = [{"type": "http.request", "body": orjson.dumps({"query": query}), "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            return requests.pop() if requests else await asyncio.Event().wait()  # type: ignore[return-value]

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "state": state, "client": None}
        scope["headers"] = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        await app(scope, receive, send)
        body: bytes = sent[1]["body"]
        assert b'"errors"' not in body
        return body

    async with app.router.lifespan_context(app) as state:
        took = await cpu_s(
            {
                "anew": lambda: ask(state, "POST", "/ours", f"{{ anew {CHART} }}"),
                "again": lambda: ask(state, "POST", "/ours", f"{{ again {CHART} }}"),
                "rest": lambda: ask(state, "GET", "/rest/chart"),
            }
        )

    assert took["anew"] < 2 * took["rest"], took
    assert took["again"] < 0.8 * took["rest"], took


@pytest.mark.parametrize("interval", [Interval.M1, Interval.D1])
async def test_history_takes_no_multiple_of_fetching_its_rows(
    interval: Interval, database: Database, redis: Redis, keys: Keys
) -> None:
    world = made_of(database, redis, keys)
    frame = bars(BARS, interval.span).with_columns(
        vwap=pl.col("close"),
        trades=pl.lit(10, pl.Int64),
        split_factor=pl.lit(1.0),
        dividend=pl.lit(0.0),
        is_final=pl.lit(value=True),
    )
    end = START + interval.span * BARS
    for piece in frame.iter_slices(1000):
        await world.bars.save("AAPL", interval, piece, source="bench", received_at=START, covered=Window(START, end))

    async def fetched() -> None:
        async with database.connection(60) as connection:
            assert len(await connection.fetch(RAW, "AAPL", interval, START, end)) == BARS

    async def loaded() -> None:
        found = await load_history(world, "AAPL", interval, None, end, BARS, Adjustment.SPLITS)
        assert found.count == BARS

    took = await cpu_s({"ours": loaded, "fetch": fetched})

    assert took["ours"] < 2 * took["fetch"], took


async def test_a_first_import_takes_no_multiple_of_bare_copy(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    """CPU time of PostgreSQL: where rows go as text into a table that has its key, it is 2.7 times that of COPY."""
    frame = bars(ROWS, timedelta(minutes=1))
    path = tmp_path / "bars.csv"
    frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    rows = as_copied(frame)
    copied = rows.write_csv(include_header=False, datetime_format="%Y-%m-%d %H:%M:%SZ").encode()
    one = Database(database_url, database.schema, 1)
    took: dict[str, list[float]] = {"ours": [], "copy": []}
    async with one.connection(60) as connection:
        backend = await connection.fetchval("SELECT pg_backend_pid()")
        await connection.execute("CREATE TABLE plain (LIKE historical_data INCLUDING DEFAULTS)")
    for number in range(6):
        start = _process_cpu_s(backend)
        async with one.connection(60) as connection:
            await connection.copy_to_table("plain", source=BytesIO(copied), columns=rows.columns, format="csv")
        between = _process_cpu_s(backend)
        result = await import_bars(one, Partitions(one), path, interval=Interval.M1, symbol="AAPL")
        assert result.changed == ROWS
        if number:  # the first fills caches
            took["copy"].append(between - start)
            took["ours"].append(_process_cpu_s(backend) - between)
        async with one.connection(60) as connection:
            parts = await connection.fetch(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'historical_data'::regclass"
            )
            await connection.execute(f"DROP TABLE {', '.join(name for (name,) in parts)}")
            await connection.execute("TRUNCATE plain, bar_coverage")
    await one.aclose()

    assert median(took["ours"]) < 2.4 * median(took["copy"]), took


def _process_cpu_s(process: int) -> float:
    """CPU time of another process."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9
