"""Fixtures that all tests share: real servers, and real SmartFin processes in front of them."""

import gc
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import hypothesis
import psutil
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.migrate import migrate
from db.partitions import Partitions
from db.redis import Keys, connect
from people import Tier
from tests.people import SECRET
from tests.servers import database_url, redis_url, servers

__all__ = ["database_url", "redis_url", "servers"]

# How long an example takes says nothing: the machine does other things too.
hypothesis.settings.register_profile("smartfin", deadline=None)
hypothesis.settings.load_profile("smartfin")

ROOT = Path(__file__).parent.parent
BUDGETS = {f"SMARTFIN_{tier}_BUDGET": "1000000000" for tier in Tier}
"""All tests ask from one address."""

SMARTFIN = Path(sys.executable).with_name("smartfin")


@dataclass
class Running:
    """A SmartFin process that answers."""

    url: str
    process: subprocess.Popen[str]

    @property
    def graphql(self) -> str:
        return f"{self.url}/graphql"

    async def ask(self, query: str, *, authorization: str | None = None, **variables: Any) -> dict[str, Any]:
        """The whole answer to a document, of who shows this."""
        headers = {"Authorization": authorization} if authorization else {}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(self.graphql, json={"query": query, "variables": variables}) as response,
        ):
            answer: dict[str, Any] = await response.json()
        return answer

    async def data(self, query: str, *, authorization: str | None = None, **variables: Any) -> Any:
        """The data of an answer that must have no errors."""
        answer = await self.ask(query, authorization=authorization, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]


MEMORY = Path("/dev/shm")
ROOM_BYTES = 8 * 1024**3


def pytest_configure() -> None:
    """Have files in memory where there is room: the tests start some hundred databases, which wait for each write."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    free, may_run = psutil.disk_usage(str(MEMORY)).free, not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if may_run and min(free, psutil.virtual_memory().available) >= ROOM_BYTES:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collection_finish() -> None:
    """Leave the ten thousand tests, and what they import, out of garbage collection; and collect no old garbage yet."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 1_000_000)


def pytest_runtest_logfinish() -> None:
    """Collect old garbage between tests: it stops a process for so long that one would take Redis for gone."""
    if gc.get_count()[2] > 100:
        gc.collect()


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the soak is, and with which faults."""
    parser.addoption("--soak-minutes", type=float, default=1.0, help="how long tests/test_soak.py goes on")
    parser.addoption("--soak-seed", type=int, default=None, help="the seed that it printed, to have it again")


@contextmanager
def smartfin(*arguments: str, **environment: str | None) -> Iterator[Running]:
    """`smartfin serve` on a free port, ended by SIGTERM; what is None is unset."""
    told = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "SMARTFIN_SECRET_KEY": SECRET,
        **BUDGETS,
        **environment,
    }
    process = subprocess.Popen(
        [SMARTFIN, "serve", "--port", "0", *arguments],
        env={name: value for name, value in told.items() if value is not None},
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        process_group=0,
    )
    try:
        assert process.stdout is not None
        found = None
        for line in process.stdout:
            if found := re.search(r"GraphQL +(http://\S+)/graphql", line):
                break
        assert found, "it ended before it answered"
        yield Running(found[1], process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


@pytest.fixture(scope="session")
def sandbox(database_url: str, redis_url: str) -> Iterator[Running]:
    """A server of the sandbox with ten ticks a second."""
    with smartfin(DATABASE_URL=database_url, REDIS_URL=redis_url, SMARTFIN_SANDBOX_TICKS_PER_SECOND="10") as running:
        yield running


@pytest.fixture(scope="session")
async def sandbox_database(database_url: str) -> AsyncIterator[Database]:
    """The tables of the sandbox."""
    database = Database(database_url, "sandbox", 2)
    yield database
    await database.aclose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A schema of its own with all tables, dropped at the end."""
    database = Database(database_url, f"t_{secrets.token_hex(6)}")
    await migrate(database)
    yield database
    async with database.connection(60) as connection:
        await connection.execute(f'DROP SCHEMA "{database.schema}" CASCADE')
    await database.aclose()


@pytest.fixture
def partitions(database: Database) -> Partitions:
    return Partitions(database)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    redis = connect(redis_url)
    yield redis
    await redis.aclose()


@pytest.fixture
def keys() -> Keys:
    """Names that no other test uses."""
    return Keys(f"t_{secrets.token_hex(6)}")


@pytest.fixture
async def stores(redis_url: str, database_url: str) -> AsyncIterator[dict[str, str]]:
    """A database of PostgreSQL and one of Redis that no other test uses: nothing is known yet."""
    name = f"t_{secrets.token_hex(6)}"
    number = 9
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"CREATE DATABASE {name}")
    async with Redis.from_url(redis_url, db=number) as redis:
        await redis.flushdb()
    yield {
        "DATABASE_URL": database_url.replace("/smartfin?", f"/{name}?"),
        "REDIS_URL": f"{redis_url}?db={number}",
    }
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()
