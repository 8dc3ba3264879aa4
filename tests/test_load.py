"""Faults under load: 1 000 ticks a second, 500 subscribers, 100 symbols, 20 queries a second."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from redis.asyncio import Redis

from bench.live_clients import Client, connected
from db.embedded import Servers, embedded
from db.quotes import QuoteCache, QuoteEvent
from db.redis import Keys, connect
from errors import StoreUnavailable
from live.tending import is_ending
from market import Provenance, Quote, ServedFrom
from tests.conftest import Running, smartfin
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

TICKS_PER_SECOND = 1000
SUBSCRIBERS = 500
SYMBOLS = [f"SIM{number:03d}" for number in range(100)]
QUERIES_PER_SECOND = 20

STEADY_S = 3.0
EQUAL_S = 2.0
SLACK_S = 1.0
"""What a loaded machine may take on top."""


@dataclass
class Answer:
    """What came of a query, and how long it took."""

    asked_at: float
    took_s: float
    codes: set[str]


@dataclass
class Load:
    """What goes on, and what is known of it."""

    server: Running
    cache: QuoteCache
    clients: list[Client]
    query: str
    answers: list[Answer] = field(default_factory=list)
    newest: dict[str, float] = field(default_factory=dict)
    published_at: float = 0.0
    """When a batch of ticks was last taken by Redis (time.monotonic)."""
    number: int = 0

    async def tick(self, symbols: list[str]) -> None:
        """One tick of each symbol, whose price is its number; it is the newest once Redis has taken it."""
        now = datetime.now(UTC)
        told = Provenance(source="load", served_from=ServedFrom.LIVE, received_at=now, synthetic=True)
        events = []
        for symbol in symbols:
            self.number += 1
            quote = Quote(symbol=symbol, price=float(self.number), time=now, provenance=told)
            events.append(QuoteEvent(2**50, self.number, quote))
        await self.cache.write(events, publish=True)
        self.newest |= {event.quote.symbol: event.quote.price for event in events}
        self.published_at = time.monotonic()

    async def has_told_all(self) -> bool:
        """One tick of every symbol; False where Redis did not take it."""
        with suppress(StoreUnavailable):
            await self.tick(SYMBOLS)
            return True
        return False

    async def publish(self) -> None:
        """Tick until cancelled; what is late follows at once, but for what is over a second late."""
        chance, due_at = random.Random(1), time.monotonic()
        while not is_ending():  # redis-py may have swallowed that
            due_at = max(due_at, time.monotonic() - 1)
            count = int((time.monotonic() - due_at) * TICKS_PER_SECOND)
            due_at += count / TICKS_PER_SECOND
            with suppress(StoreUnavailable):
                await self.tick([chance.choice(SYMBOLS) for _ in range(count)])
            await asyncio.sleep(0.01)

    async def ask(self, session: aiohttp.ClientSession) -> None:
        """Ask once, and remember how it went."""
        start = time.monotonic()
        async with session.post(self.server.graphql, json={"query": self.query}) as response:
            answer = await response.json()
        codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
        self.answers.append(Answer(start, time.monotonic() - start, codes))

    async def query_steadily(self) -> None:
        """Ask until cancelled, however late the answers are."""
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
            asyncio.TaskGroup() as asking,
        ):
            while True:
                asking.create_task(self.ask(session))
                await asyncio.sleep(1 / QUERIES_PER_SECOND)

    def is_equal(self) -> bool:
        """Whether the last price that each client has of each symbol is the publisher's."""
        return all(
            client.latest.get(symbol) == self.newest[symbol] for client in self.clients for symbol in client.symbols
        )

    def slowest_s(self, since: float) -> float:
        """The longest that a query took that was asked since then."""
        slowest_s = max(answer.took_s for answer in self.answers if answer.asked_at >= since)
        print(f"the slowest query took {slowest_s:.2f} s")
        return slowest_s


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Servers, Path]]:
    """A PostgreSQL and a Valkey that may be killed and frozen; their keeper starts them again."""
    folder = tmp_path_factory.mktemp("load") / "data"
    with embedded(folder) as servers:
        yield servers, folder


@asynccontextmanager
async def loaded(servers: Servers, query: str) -> AsyncIterator[Load]:
    """A server under load, whose clients are all subscribed; in the end all of them have the publisher's prices."""
    environment = {"DATABASE_URL": servers.database_url, "REDIS_URL": servers.redis_url, "SMARTFIN_RATE_LIMIT": "off"}
    with smartfin("--role", "api", **environment) as server:
        redis: Redis = connect(servers.redis_url)
        load = Load(server, QuoteCache(redis, Keys("sandbox"), 600), [], query)
        await load.tick(SYMBOLS)
        chance = random.Random(1)
        watched = [chance.sample(SYMBOLS, 2) for _ in range(SUBSCRIBERS)]
        port = urlsplit(server.url).port
        assert port is not None
        load.clients += await connected(port, watched, parsing=SUBSCRIBERS)
        await until(load.is_equal, within_s=60)
        running = [asyncio.create_task(run()) for run in (load.publish, load.query_steadily)]
        try:
            await asyncio.sleep(STEADY_S)
            yield load
            running[0].cancel()
            await asyncio.wait(running[:1])
            await until(load.has_told_all)
            await until(load.is_equal, within_s=EQUAL_S + SLACK_S)
            assert [client for client in load.clients if client.is_closed or client.faults] == []
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            for client in load.clients:
                client.transport.abort()
            await redis.aclose()


def processes(name: str, folder: Path) -> list[psutil.Process]:
    """Those of a program that works in the folder, the oldest first."""
    found = [
        process
        for process in psutil.process_iter(["name", "cwd", "create_time"])
        if process.info["name"] == name and process.info["cwd"] == str(folder)
    ]
    return sorted(found, key=lambda process: (process.info["create_time"], process.pid))


@contextmanager
def frozen(stopped: list[psutil.Process]) -> Iterator[None]:
    """The processes do nothing meanwhile."""
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


async def healed(load: Load, since: float) -> None:
    """Wait until ticks are taken again, and for the prices of a moment after that to be everywhere."""
    await until(lambda: load.published_at > since, within_s=30)
    back = time.monotonic()
    wanted = dict(load.newest)
    await until(
        lambda: all(client.latest[symbol] >= wanted[symbol] for client in load.clients for symbol in client.symbols),
        within_s=30,
    )
    equal_s = time.monotonic() - back
    print(f"equal after {equal_s:.2f} s")
    assert equal_s < EQUAL_S + SLACK_S


QUOTES = '{ quotes(symbols: ["SIM001", "SIM002", "SIM003"]) { symbol price provenance { servedFrom } } }'
HISTORY = '{ history(symbol: "SIM001", last: 50) { bars { time close } provenance { servedFrom } } }'


async def test_redis_killed(own: tuple[Servers, Path]) -> None:
    servers, folder = own
    async with loaded(servers, QUOTES) as load:
        killed = time.monotonic()
        processes("valkey-server", folder / "valkey")[0].kill()
        await asyncio.sleep(0.5)
        await healed(load, time.monotonic())
        assert load.slowest_s(killed) < 1 + SLACK_S
        assert {code for answer in load.answers for code in answer.codes} == set()


async def test_redis_frozen(own: tuple[Servers, Path]) -> None:
    servers, folder = own
    async with loaded(servers, QUOTES) as load:
        began = time.monotonic()
        with frozen(processes("valkey-server", folder / "valkey")):
            await asyncio.sleep(10)
        await healed(load, time.monotonic())
        assert load.slowest_s(began) < 1 + SLACK_S
        assert {code for answer in load.answers for code in answer.codes} == set()


async def kill(folder: Path) -> None:
    processes("postgres", folder / "postgres")[0].kill()
    await asyncio.sleep(3)


async def freeze(folder: Path) -> None:
    with frozen(processes("postgres", folder / "postgres")):
        await asyncio.sleep(10)


@pytest.mark.parametrize("fault", [kill, freeze])
async def test_postgresql_away(own: tuple[Servers, Path], fault: Callable[[Path], Any]) -> None:
    servers, folder = own
    async with loaded(servers, HISTORY) as load:
        began, frames = time.monotonic(), sum(client.frames for client in load.clients)
        await fault(folder)
        over = time.monotonic()
        assert sum(client.frames for client in load.clients) > frames, "ticks go on"
        await until(lambda: any(answer.asked_at > over and not answer.codes for answer in load.answers), within_s=30)
        whole_s = time.monotonic() - over
        print(f"answered again after {whole_s:.2f} s")
        assert whole_s < EQUAL_S + SLACK_S
        assert load.slowest_s(began) < 2 + SLACK_S
        assert {code for answer in load.answers for code in answer.codes} <= {"STORE_UNAVAILABLE"}
