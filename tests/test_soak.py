"""A server among clients that come and go, and faults: it grows no more, and nothing of them stays (F12).

`pytest -m long tests/test_soak.py --soak-minutes 60` soaks it for an hour.
"""

import asyncio
import random
import signal
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from tests.conftest import Running, smartfin
from tests.gateway.sockets import greeted
from tests.monitoring.test_metrics import total, values
from tests.test_serve import processes
from tests.waiting import until

CLIENTS = 30
FAULT_EVERY_S = 20.0
FROZEN_S = 4.0
WARM_S = 20.0
GROWTH = 20_000_000
"""Bytes that the memory may wander by: the allocator's, and no more in an hour than in a minute."""
TASKS = 5
"""Of the clock's jobs, which come and go; each of some hundred clients would leave at least one."""
DESCRIPTORS = 15
"""Of the connections that jobs, alerts and the bus have beside the pools."""
SYMBOLS = ("AAPL", "MSFT", "BTC-USD", "ETH-USD", "EURUSD=X", "SPY", "NVDA", "TSLA")
QUOTES = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { symbol price change time } }"
CHART = (
    'subscription { history(symbol: "AAPL", interval: M1, last: 3) { bars { close } indicators { sma(period: 5) } } }'
)
QUERIES = (
    '{ quotes(symbols: ["AAPL", "MSFT"]) { price } }',
    '{ history(symbol: "MSFT", last: 100) { bars { close } indicators { rsi } } }',
    "{ markets { code phase } }",
    "{ wrong }",
)
AWAY = (aiohttp.ClientError, TimeoutError, OSError, AssertionError, TypeError)
"""What a client sees of a fault, or of being cut off in the middle of one."""


@dataclass
class Soaked:
    """The server, its stores, and chance."""

    server: Running
    folder: Path
    chance: random.Random

    def of(self, name: str) -> list[psutil.Process]:
        return processes(self.folder, name)

    async def counts(self) -> tuple[int, int]:
        """Tasks; and descriptors that no pool holds."""
        counted = await values(f"{self.server.url}/metrics")
        pooled = total(counted, "smartfin_pool_connections")
        return total(counted, "smartfin_tasks"), total(counted, "process_open_fds") - pooled

    @property
    def memory(self) -> int:
        return int(psutil.Process(self.server.process.pid).memory_info().rss)


async def churn(soaked: Soaked) -> None:
    """A client after the other, each for a while: it watches or asks, and leaves politely or not."""
    chance = soaked.chance
    while True:
        with suppress(*AWAY):
            async with asyncio.timeout(chance.uniform(0.5, 4)), greeted(soaked.server.graphql) as client:
                for number in range(chance.randrange(1, 4)):
                    kind = chance.choice([QUOTES, CHART, *QUERIES])
                    variables = {"s": chance.sample(SYMBOLS, 3)} if kind is QUOTES else {}
                    await client.subscribe(kind, str(number), **variables)
                while chance.random() > 0.02:
                    await client.next()
                if chance.random() < 0.5 and (transport := client.ws.get_extra_info("transport")):
                    transport.abort()
        await asyncio.sleep(0.05)


def tell(victims: list[psutil.Process], what: signal.Signals) -> None:
    for victim in victims:
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's come and go with their connections
            victim.send_signal(what)


async def freeze(victims: list[psutil.Process]) -> None:
    tell(victims, signal.SIGSTOP)
    await asyncio.sleep(FROZEN_S)
    tell(victims, signal.SIGCONT)


async def redis_frozen(soaked: Soaked) -> None:
    await freeze(soaked.of("valkey-server"))


async def postgresql_frozen(soaked: Soaked) -> None:
    await freeze(soaked.of("postgres"))


async def redis_killed(soaked: Soaked) -> None:
    [server] = soaked.of("valkey-server")
    server.kill()
    await until(lambda: soaked.of("valkey-server"), within_s=30)


async def bus_cut(soaked: Soaked) -> None:
    async with Redis.from_url(f"unix://{soaked.folder}/run/valkey.sock") as redis:
        await redis.client_kill_filter(_type="pubsub")


async def connections_cut(soaked: Soaked) -> None:
    connection = await asyncpg.connect(host=f"{soaked.folder}/run", user="smartfin", database="smartfin")
    await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    await connection.close()


FAULTS: tuple[Callable[[Soaked], Awaitable[None]], ...] = (
    redis_frozen,
    postgresql_frozen,
    redis_killed,
    bus_cut,
    connections_cut,
)


async def fail(soaked: Soaked, happened: list[str]) -> None:
    """A fault every FAULT_EVERY_S."""
    while True:
        fault = soaked.chance.choice(FAULTS)
        happened.append(fault.__name__)
        await fault(soaked)
        await asyncio.sleep(FAULT_EVERY_S)


@asynccontextmanager
async def crowd(soaked: Soaked) -> AsyncIterator[list[asyncio.Task[None]]]:
    clients = [asyncio.create_task(churn(soaked)) for _ in range(CLIENTS)]
    try:
        yield clients
    finally:
        for client in clients:
            client.cancel()
        ended = await asyncio.gather(*clients, return_exceptions=True)
    assert {type(end) for end in ended} == {asyncio.CancelledError}, ended


async def settled(soaked: Soaked, tasks: int, descriptors: int) -> bool:
    now = await soaked.counts()
    return now[0] <= tasks + TASKS and now[1] <= descriptors + DESCRIPTORS


@pytest.mark.long
@pytest.mark.timeout(0)
async def test_after_clients_and_faults_nothing_of_them_stays(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    minutes: float = request.config.getoption("--soak-minutes")
    seed: int = request.config.getoption("--soak-seed") or random.randrange(2**32)
    print(f"seed {seed}")
    happened: list[str] = []
    with smartfin("--data-dir", str(tmp_path / "data"), SMARTFIN_SANDBOX_TICKS_PER_SECOND="20") as server:
        soaked = Soaked(server, tmp_path / "data", random.Random(seed))
        async with crowd(soaked):
            await asyncio.sleep(WARM_S)
        url = f"{server.url}/metrics"
        await until(lambda: without(url, "smartfin_connections"), within_s=60)
        await until(lambda: without(url, "smartfin_hub_topics"), within_s=60)
        tasks, descriptors = await soaked.counts()
        memory = []
        async with crowd(soaked) as clients:
            failing = asyncio.create_task(fail(soaked, happened))
            ends = asyncio.get_running_loop().time() + 60 * minutes
            while asyncio.get_running_loop().time() < ends:
                await asyncio.sleep(1)
                memory.append(soaked.memory)
                assert not any(task.done() for task in (failing, *clients))
            failing.cancel()
            await asyncio.gather(failing, return_exceptions=True)
            tell(soaked.of("postgres") + soaked.of("valkey-server"), signal.SIGCONT)
        print(f"{minutes:g} minutes, faults: {happened}")
        with suppress(TimeoutError):
            await until(lambda: settled(soaked, tasks, descriptors), within_s=60)
        left = await soaked.counts()
        print(f"tasks and descriptors: {(tasks, descriptors)} before, {left} after")
        assert left[0] <= tasks + TASKS
        assert left[1] <= descriptors + DESCRIPTORS
        third = len(memory) // 3
        grown = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])
        print(f"memory {memory[0] / 1e6:.0f} MB, then {memory[-1] / 1e6:.0f} MB, of which {grown / 1e6:.1f} since half")
        assert grown < GROWTH
        async with greeted(server.graphql) as client:
            await client.subscribe(QUOTES, s=["AAPL"])
            assert len(await client.payloads(20)) == 20


async def without(url: str, metric: str) -> bool:
    return total(await values(url), metric) == 0
