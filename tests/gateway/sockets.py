"""Clients that speak graphql-transport-ws by hand, and ticks for them."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from redis.asyncio import Redis

from db.live_bars import LiveBars
from db.quotes import QuoteCache, QuoteEvent
from db.redis import Keys
from gateway.auth import Authenticator
from gateway.running import Runner
from gateway.wire import WebSocketProtocol
from live.hub import Hub
from live.tending import tended
from market import Provenance, Quote, ServedFrom
from schema.build import build_schema
from settings import Settings
from tests.gateway.serving import serving, world

NOW = datetime.now(UTC)
PROVENANCE = Provenance(source="test", served_from=ServedFrom.LIVE, received_at=NOW)


@dataclass
class Endpoint:
    """Where it answers, and what it counts."""

    url: str
    runner: Runner


@asynccontextmanager
async def answering(
    world: Any,
    ws: Any = WebSocketProtocol,
    authenticator: Authenticator | None = None,
    http: Any = "auto",
    **settings: Any,
) -> AsyncIterator[Endpoint]:
    """The GraphQL endpoint of a world."""
    schema = build_schema()
    runner = Runner(Settings(**settings))
    async with serving(
        world, schema=schema, runner=runner, ws=ws, http=http, authenticator=authenticator, **settings
    ) as url:
        yield Endpoint(url, runner)


class Ticker:
    """A hub on the bus, and somebody who publishes ticks to it; the price of a tick is its number."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self.cache = QuoteCache(redis, keys, 600)
        self.hub = Hub(redis, keys, self.cache, LiveBars(redis, keys))
        self.world = world(hub=self.hub, quote_cache=self.cache, quote_fresh_s=math.inf)
        self.seq = 0

    async def tick(self, *symbols: str) -> None:
        """One tick of each symbol."""
        self.seq += 1
        quotes = [Quote(symbol=symbol, price=float(self.seq), time=NOW, provenance=PROVENANCE) for symbol in symbols]
        await self.cache.write([QuoteEvent(1, self.seq, quote) for quote in quotes], publish=True)


@asynccontextmanager
async def ticking(redis: Redis, keys: Keys, *symbols: str) -> AsyncIterator[Ticker]:
    """A ticker with a first tick of the symbols."""
    ticker = Ticker(redis, keys)
    async with tended(ticker.hub.run):
        await ticker.tick(*symbols)
        yield ticker


class Client:
    """A graphql-transport-ws client."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def subscribe(self, query: str, name: str = "1", **variables: Any) -> None:
        """Begin an operation."""
        payload = {"query": query, "variables": variables}
        await self.ws.send_json({"id": name, "type": "subscribe", "payload": payload})

    async def next(self) -> dict[str, Any]:
        """The next message."""
        message: dict[str, Any] = await self.ws.receive_json(timeout=10)
        return message

    async def payloads(self, count: int) -> list[Any]:
        """The data of the next results."""
        messages = [await self.next() for _ in range(count)]
        assert {message["type"] for message in messages} == {"next"}, messages
        return [message["payload"]["data"] for message in messages]

    async def closing(self) -> tuple[int | None, str | None]:
        """The code and reason with which it is closed, whatever comes before."""
        while (message := await self.ws.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.ws.close_code, message.extra


@asynccontextmanager
async def opened(
    url: str, protocols: Sequence[str] = ("graphql-transport-ws",), **options: Any
) -> AsyncIterator[Client]:
    """A WebSocket on which nothing has been said."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=protocols, max_msg_size=0, **options) as ws,
    ):
        yield Client(ws)


@asynccontextmanager
async def greeted(url: str) -> AsyncIterator[Client]:
    """A client whose connection is acknowledged."""
    async with opened(url) as client:
        await client.ws.send_json({"type": "connection_init"})
        assert await client.next() == {"type": "connection_ack"}
        yield client
