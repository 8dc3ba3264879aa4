"""The server of `bench.http`: the same bars and quotes from ours, from stock Strawberry and from hand-written REST.

python -m bench.http_server
"""

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import orjson
import polars as pl
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from db.documents import DocumentStore
from gateway.documents import Documents
from gateway.http import GraphQLEndpoint
from market import Provenance, Quote, ServedFrom, Symbol
from resolvers.rows import Rows
from schema.build import Schema
from schema.history import Bar
from schema.quote import Quote as QuoteType
from schema.scalars import SCALARS
from settings import Settings

BARS = 5000
BAR_FIELDS = ("epoch", "open", "high", "low", "close", "volume")
SYMBOLS = [f"SYM{number}" for number in range(10)]


def bars() -> Rows:
    """The same random walk each time, by the minute."""
    chance = random.Random(1)
    close = 100.0
    walk = []
    for _ in range(BARS):
        start, close = close, round(close + chance.gauss(0, 0.2), 2)
        walk.append((start, max(start, close) + 0.05, min(start, close) - 0.05, close, float(chance.randrange(10**6))))
    begin = datetime(2024, 1, 2, tzinfo=UTC)
    frame = pl.DataFrame(walk, schema=["open", "high", "low", "close", "volume"], orient="row")
    times = pl.Series("time", [begin + timedelta(minutes=n) for n in range(BARS)], pl.Datetime("us", "UTC"))
    return Rows(frame.insert_column(0, times), {"epoch": pl.col("time").dt.epoch("s")})


def quotes() -> dict[str, Quote]:
    """A quote for each of `SYMBOLS`."""
    now = datetime.now(UTC)
    told = Provenance(source="bench", served_from=ServedFrom.CACHE, received_at=now)
    return {
        symbol: Quote(
            symbol=symbol,
            price=100.25 + number,
            previous_close=99.5,
            volume=1e6,
            currency="USD",
            time=now,
            provenance=told,
        )
        for number, symbol in enumerate(SYMBOLS)
    }


def schema(held_bars: Any, held_quotes: dict[str, Quote], *extensions: Any) -> Schema:
    """Our types over what is held in memory."""

    async def all_bars() -> Any:
        return held_bars

    async def some_quotes(symbols: list[Symbol]) -> Any:
        return [held_quotes.get(symbol) for symbol in symbols]

    @strawberry.type
    class Query:
        bars: list[Bar] = strawberry.field(resolver=all_bars)
        quotes: list[QuoteType | None] = strawberry.field(resolver=some_quotes)

    return Schema(Query, config=StrawberryConfig(scalar_map=SCALARS), extensions=list(extensions))


def application() -> Starlette:
    """Every peer, each on a path of its own."""
    rows, held = bars(), quotes()
    frame = rows.columns(BAR_FIELDS)
    objects = list(rows)
    settings = Settings()
    ours = schema(rows, held)

    async def rest_bars(_: Request) -> Response:
        return Response(orjson.dumps({"bars": frame.to_dicts()}), media_type="application/json")

    async def rest_quotes(request: Request) -> Response:
        asked = request.query_params["symbols"].split(",")
        answer = [
            {
                "symbol": quote.symbol,
                "price": quote.price,
                "change": quote.change,
                "changePercent": quote.change_percent,
                "volume": quote.volume,
                "currency": quote.currency,
                "time": quote.time,
            }
            for symbol in asked
            if (quote := held.get(symbol))
        ]
        return Response(orjson.dumps({"quotes": answer}), media_type="application/json")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        world = SimpleNamespace(markets=SimpleNamespace(current=None))
        yield {"world": world, "documents": Documents(ours, settings, cast(DocumentStore, None))}

    return Starlette(
        routes=[
            Route("/ours", GraphQLEndpoint(ours, settings)),
            Route("/stock", GraphQL[Any, None](schema(objects, held))),
            Route("/stock-with-caches", GraphQL[Any, None](schema(objects, held, ParserCache, ValidationCache))),
            Route("/rest/bars", rest_bars),
            Route("/rest/quotes", rest_quotes),
        ],
        lifespan=lifespan,
    )


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(application(), loop="uvloop", http="httptools", access_log=False, log_level="warning")
        uvicorn.Server(config).run(sockets=[listening])
