"""The servers of `bench.live`, each a process of its own: ours, ours over plain ASGI, stock Strawberry, a raw loop.

python -m bench.live_server ours|asgi|stock|raw REDIS_URL
"""

import asyncio
import gc
import math
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any, cast

import psutil
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from strawberry.asgi import GraphQL

from db.documents import DocumentStore
from db.live_bars import LiveBars
from db.quotes import QuoteCache
from db.redis import Keys, connect
from db.tokens import AccessTokens
from db.users import UserStore
from gateway.auth import Authenticator
from gateway.documents import Documents
from gateway.http_protocol import HttpProtocol
from gateway.running import Runner
from gateway.transport_ws import TransportWS
from gateway.wire import WebSocketProtocol
from live.hub import Hub
from live.tending import tended
from resolvers.world import Context
from schema.build import build_schema
from settings import Settings
from sources.licences import FREE


def keys(kind: str) -> Keys:
    """The keys and channels of one kind of server, which hears of nothing else."""
    return Keys(f"bench-{kind}")


class Stock(GraphQL[Context, None]):
    """Strawberry's own view of the same schema."""

    async def get_context(self, request: Any, response: Any) -> Context:
        """As our gateway makes it."""
        return Context(world=request.state.world)


class Raw:
    """Sends each event, as text that is ready, to every WebSocket that named its symbol: all that ASGI can do."""

    def __init__(self, redis: Redis, channels: str) -> None:
        self._redis = redis
        self._channels = channels
        self._clients: defaultdict[str, set[WebSocket]] = defaultdict(set)

    async def serve(self, websocket: WebSocket) -> None:
        """Keep one client until it goes."""
        await websocket.accept("graphql-transport-ws")
        symbols: list[str] = []
        try:
            async for message in websocket.iter_json():
                if message["type"] == "subscribe":
                    symbols = message["payload"]["variables"]["s"]
                    for symbol in symbols:
                        self._clients[symbol].add(websocket)
                    await websocket.send_text('{"type":"connection_ack"}')
        finally:
            for symbol in symbols:
                self._clients[symbol].discard(websocket)

    async def run(self) -> None:
        """Send on what the bus brings."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.psubscribe(self._channels)
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    text = message["data"].decode()
                    symbol = message["channel"].decode().rpartition(":")[2]
                    for client in tuple(self._clients[symbol]):
                        with suppress(RuntimeError, WebSocketDisconnect):  # it is gone
                            await client.send_text(text)


def application(kind: str, redis: Redis) -> Starlette:
    """The application of a peer, on /graphql; /traffic has our own counts."""
    schema = build_schema()
    named = keys(kind)
    cache = QuoteCache(redis, named, 3600)
    hub = Hub(redis, named, cache, LiveBars(redis, named))
    settings = Settings(SMARTFIN_GUEST_SUBSCRIPTIONS=100)
    runner = Runner(settings)
    documents = Documents(schema, settings, DocumentStore(redis, named))
    raw = Raw(redis, named.quotes("*"))
    world = SimpleNamespace(
        hub=hub,
        quote_cache=cache,
        quote_fresh_s=math.inf,
        markets=SimpleNamespace(current=None),
        terms=FREE,
        limited={},
        licensed_ticks=None,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with tended(raw.run if kind == "raw" else hub.run):
            authenticator = Authenticator(AccessTokens(b"", ""), cast(UserStore, None))
            yield {
                "world": world,
                "documents": documents,
                "authenticator": authenticator,
                "draining": asyncio.Event(),
            }

    async def traffic(_: Request) -> JSONResponse:
        told = runner.traffic
        return JSONResponse(
            {
                "connections": told.connections,
                "subscriptions": told.subscriptions,
                "messages": told.messages,
                "conflated": told.conflated,
                "topics": hub.topics,
                "selections": len(runner.selections),
                "tasks": len(asyncio.all_tasks()),
                "descriptors": psutil.Process().num_fds(),
            }
        )

    ours = TransportWS(runner)
    endpoint: Any = {"stock": Stock(schema), "raw": raw.serve}.get(kind, ours)
    routes: list[BaseRoute] = [WebSocketRoute("/graphql", endpoint), Route("/traffic", traffic)]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    """Serve on a free port, and print it."""
    kind, redis_url = sys.argv[1:]
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(
            application(kind, connect(redis_url)),
            loop="uvloop",
            http=HttpProtocol if kind == "ours" else "httptools",
            ws=WebSocketProtocol if kind == "ours" else "websockets-sansio",
            ws_per_message_deflate=False,
            ws_ping_interval=None if kind == "raw" else 20,
            ws_ping_timeout=60,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        config.load()
        gc.collect()  # as SmartFin's server does, for the peers too
        gc.freeze()
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
