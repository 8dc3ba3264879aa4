"""`smartfin serve` while what it needs is away, and as it comes back."""

import asyncio
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import permutations
from socket import socket
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from redis.asyncio import Redis

from app import PREPARE_S
from db.quotes import QuoteCache, QuoteEvent
from db.redis import Keys, database_of
from market import Provenance, Quote, ServedFrom
from tests.conftest import Running, smartfin
from tests.fakes.kraken import FakeKraken
from tests.gateway.sockets import Client, greeted
from tests.waiting import until

READY_S = 3.0
HEALED_S = 1.0
SLACK_S = 3.0
"""What a loaded machine may take on top."""


class Door:
    """A port that refuses, until it is opened: then it leads to a socket of the file system."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket()
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._passing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Let in whoever comes."""
        self._server = await asyncio.start_server(self._pass, sock=self._socket)

    async def stop(self) -> None:
        """Cut off everybody."""
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        self._socket.close()

    async def _pass(self, reader: StreamReader, writer: StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        for source, sink in ((reader, inner_writer), (inner_reader, writer)):
            task = asyncio.create_task(_copy(source, sink))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)


async def _copy(source: StreamReader, sink: StreamWriter) -> None:
    try:
        with suppress(OSError):
            while part := await source.read(65536):
                sink.write(part)
                await sink.drain()
    finally:
        sink.close()


@asynccontextmanager
async def doors(stores: dict[str, str]) -> AsyncIterator[tuple[Door, Door, dict[str, str]]]:
    """To PostgreSQL and to Redis, both shut, and the settings of who goes through them."""
    database, redis = urlsplit(stores["DATABASE_URL"]), urlsplit(stores["REDIS_URL"])
    where = parse_qs(database.query)
    postgresql = Door(f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}")
    valkey = Door(redis.path)
    try:
        yield (
            postgresql,
            valkey,
            {
                "DATABASE_URL": f"postgresql://smartfin@{postgresql.address}{database.path}",
                "REDIS_URL": f"redis://{valkey.address}/{parse_qs(redis.query)['db'][0]}",
            },
        )
    finally:
        await postgresql.stop()
        await valkey.stop()


@asynccontextmanager
async def running(*arguments: str, **environment: str) -> AsyncIterator[Running]:
    """A server that is waited for in a thread: the doors go on working meanwhile."""
    serving = smartfin(*arguments, **environment)
    server = await asyncio.to_thread(serving.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)


async def status(server: Running, path: str) -> int:
    """What a path answers."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}{path}") as response:
        return response.status


async def is_ready(server: Running) -> bool:
    return await status(server, "/readyz") == 200


ORDERS = [*permutations(("postgresql", "redis", "upstream"))]


@pytest.mark.parametrize(
    "order", [ORDERS[0], ORDERS[5], *(pytest.param(order, marks=pytest.mark.long) for order in ORDERS[1:5])]
)
async def test_it_starts_with_nothing_there_and_is_ready_soon_after_its_stores_are(
    stores: dict[str, str], order: Sequence[str]
) -> None:
    kraken = FakeKraken()
    await kraken.start()
    await kraken.stop()  # its port refuses from now on
    sources = {
        "SMARTFIN_MODE": "live",
        "SMARTFIN_SOURCES": "kraken",
        "SMARTFIN_KRAKEN_URL": kraken.url,
        "SMARTFIN_KRAKEN_WS_URL": kraken.ws_url,
    }
    started = time.monotonic()
    async with doors(stores) as (postgresql, valkey, urls), running(**sources, **urls) as server:
        assert time.monotonic() - started < PREPARE_S, "it waits for nobody"
        back = {"postgresql": postgresql.start, "redis": valkey.start, "upstream": kraken.start}
        for part in order:
            if back.keys() & {"postgresql", "redis"}:
                assert (await status(server, "/livez"), await status(server, "/readyz")) == (200, 503)
            else:
                await ready_in_time(server)
            await back.pop(part)()
        await ready_in_time(server)
        await until(lambda: answers(server, '{ quote(symbol: "BTC-USD") { price } }'))
        await kraken.stop()


async def ready_in_time(server: Running) -> None:
    start = time.monotonic()
    await until(lambda: is_ready(server))
    assert time.monotonic() - start < READY_S + SLACK_S


async def answers(server: Running, query: str) -> bool:
    return "errors" not in await server.ask(query)


SYMBOL = "AAPL"
QUOTES = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { price } }"


async def listening(redis: Redis) -> list[str]:
    """The connections on which a hub listens in this database of Redis: to its heartbeat and to what is watched."""
    found = await redis.client_list(_type="pubsub")
    here = str(redis.connection_pool.connection_kwargs["db"])
    return [client["id"] for client in found if client["db"] == here and int(client["sub"]) > 1]


async def told(client: Client, price: float) -> list[float]:
    """The prices up to this one."""
    prices: list[float] = []
    while not prices or prices[-1] != price:
        [payload] = await client.payloads(1)
        prices.append(payload["quotes"]["price"])
    return prices


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
async def test_a_killed_connection_to_the_bus_is_healed_and_nothing_is_lost(stores: dict[str, str], times: int) -> None:
    prices = []
    async with (
        Redis.from_url(stores["REDIS_URL"]) as redis,
        running("--role", "api", **stores) as server,
        greeted(server.graphql) as client,
    ):
        cache = QuoteCache(redis, Keys("sandbox", database_of(redis)), 600)

        async def tick(number: int) -> None:
            now = datetime.now(UTC)
            told_by = Provenance(source="test", served_from=ServedFrom.LIVE, received_at=now)
            quote = Quote(symbol=SYMBOL, price=float(number), time=now, provenance=told_by)
            await cache.write([QuoteEvent(1, number, quote)], publish=True)

        await tick(1)
        await client.subscribe(QUOTES, s=[SYMBOL])
        prices += await told(client, 1.0)
        for number in range(2, 2 + 2 * times, 2):
            [killed] = await until(lambda: listening(redis))
            await redis.client_kill_filter(_id=killed)
            await tick(number)  # while nobody listens, and nothing follows that would make up for it
            start = time.monotonic()
            prices += await told(client, float(number))
            assert time.monotonic() - start < HEALED_S + SLACK_S
            await until(partial(is_anew, redis, killed))
            await tick(number + 1)
            prices += await told(client, float(number + 1))
    assert prices == sorted(set(prices))


async def is_anew(redis: Redis, killed: str) -> bool:
    return bool(set(await listening(redis)) - {killed})
