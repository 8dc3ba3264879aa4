"""The GraphQL endpoint of a world in this process, and what one asks it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute

from db.documents import DocumentStore
from db.tokens import AccessTokens
from db.users import UserStore
from gateway.auth import Authenticator
from gateway.documents import Documents
from gateway.http import GraphQLEndpoint
from gateway.market_socket import MarketSocket
from gateway.rest import api
from gateway.running import Runner
from gateway.transport_ws import TransportWS
from gateway.udf import udf
from gateway.wire import WebSocketProtocol
from resolvers.world import Context
from schema.build import Schema, build_schema
from settings import Settings
from sources.flight import Flights
from sources.licences import FREE

NOBODY = cast(Context, SimpleNamespace())
"""A context of which nothing is asked."""


class NoStore:
    """A store of documents that is never asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"documents were not to be looked up: {name}")


class Nobody:
    """A store of users that is never asked: whoever comes is a guest."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"users were not to be looked up: {name}")


def world(**parts: Any) -> SimpleNamespace:
    """One that has no more than the parts that a question needs."""
    return SimpleNamespace(
        **{
            "markets": SimpleNamespace(current=None),
            "histories": Flights(),
            "terms": FREE,
            "limited": {},
            "licences": {},
            "licensed_ticks": None,
            **parts,
        }
    )


@asynccontextmanager
async def serving(
    world: Any,
    store: DocumentStore | None = None,
    schema: Schema | None = None,
    runner: Runner | None = None,
    ws: Any = WebSocketProtocol,
    authenticator: Authenticator | None = None,
    http: Any = "auto",
    **settings: Any,
) -> AsyncIterator[str]:
    """Where `/graphql` is, on a socket of 127.0.0.1."""
    chosen = Settings(**settings)
    schema = schema or build_schema()
    runner = runner or Runner(chosen)
    documents = Documents(schema, chosen, store or cast(DocumentStore, NoStore()), runner.meter)
    draining = asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {
            "world": world,
            "documents": documents,
            "authenticator": authenticator or Authenticator(AccessTokens(b"", ""), cast(UserStore, Nobody())),
            "draining": draining,
        }

    routes = [
        Route("/graphql", GraphQLEndpoint(runner)),
        WebSocketRoute("/graphql", TransportWS(runner)),
        WebSocketRoute("/ws/market-data", MarketSocket(runner)),
        Mount("/api", routes=api(runner, b"{}")),
        Mount("/udf", routes=udf(runner)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    config = uvicorn.Config(app, http=http, ws=ws, ws_max_size=65536, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvloop does for all; asyncio for no such
        running = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/graphql"
        finally:
            draining.set()
            server.should_exit = True
            await running
