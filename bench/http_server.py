"""The server of `bench.http`: the same from ours, from stock Strawberry and from hand-written REST.

python -m bench.http_server [plain]

As SmartFin's own server does, it takes what is there at the start out of garbage collection; not as a plain one.
"""

import gc
import random
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import orjson
import polars as pl
import strawberry
import talib
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

import resolvers.indicators
from db.documents import DocumentStore
from db.tokens import AccessTokens
from db.users import UserStore
from gateway.auth import Authenticator
from gateway.documents import Documents
from gateway.http import GraphQLEndpoint
from gateway.running import Runner
from indicators.cache import ValueCache
from market import Adjustment, Interval, Provenance, Quote, ServedFrom, Symbol
from resolvers.bars import Bars, Series
from resolvers.history import History
from resolvers.rows import Rows
from resolvers.world import Context
from schema.build import Schema
from schema.history import Bar
from schema.history import History as HistoryType
from schema.quote import Quote as QuoteType
from schema.scalars import SCALARS
from settings import Settings

BARS = 5000
BAR_FIELDS = ("epoch", "open", "high", "low", "close", "volume")
CHART_BARS = 500
WARM_UP = 2380
"""What the indicators of the chart hear of the bars before it, at most."""
OTHERS = 200
"""More than as many charts are not kept evaluated."""
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


def charts(rows: Rows) -> tuple[History, History]:
    """The newest bars as a history, whose warm-up bars are in memory too.

    Of the first they stay the same, of the second they are others each time, so it is evaluated anew.
    """
    frame = rows.frame.with_columns(vwap=pl.lit(None, pl.Float64), trades=pl.lit(None, pl.Int64), is_final=pl.lit(True))
    more = cycle(range(OTHERS))

    async def load_bars(world: object, series: Series, count: int, end: datetime) -> Any:
        count += next(more) if series.symbol == "ANEW" else 0
        return SimpleNamespace(frame=frame.slice(BARS - CHART_BARS - count, count))

    setattr(resolvers.indicators, "load_bars", load_bars)  # noqa: B010  (no name of it is exported)
    newest = frame.tail(CHART_BARS)
    told = Provenance(source="bench", served_from=ServedFrom.STORE, received_at=datetime.now(UTC))
    same = History(
        series=Series("SAME", Interval.M1, Adjustment.RAW, "CRYPTO"),
        currency="USD",
        timezone="UTC",
        bars_found=Bars(newest, newest.clear(), (), told, None),
        asked_to=datetime.now(UTC),
    )
    return same, replace(same, series=replace(same.series, symbol="ANEW"))


def direct(frame: pl.DataFrame) -> dict[str, Any]:
    """What `bench.http.CHART` asks, by 20 calls of TA-Lib, of the newest `CHART_BARS` of the bars."""
    opened, high, low, close, volume = (frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume"))
    upper, middle, lower = talib.BBANDS(close, 20)
    macd, signal, histogram = talib.MACD(close)
    k, d = talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3)
    down, up = talib.AROON(high, low, 14)
    values = {
        "sma": talib.SMA(close, 50),
        "ema": talib.EMA(close, 20),
        "wma": talib.WMA(close, 20),
        "tema": talib.TEMA(close, 20),
        "upper": upper,
        "middle": middle,
        "lower": lower,
        "sar": talib.SAR(high, low),
        "rsi": talib.RSI(close),
        "macd": macd,
        "signal": signal,
        "histogram": histogram,
        "k": k,
        "d": d,
        "cci": talib.CCI(high, low, close, 20),
        "williamsR": talib.WILLR(high, low, close),
        "roc": talib.ROC(close, 10),
        "momentum": talib.MOM(close, 10),
        "adx": talib.ADX(high, low, close),
        "up": up,
        "down": down,
        "atr": talib.ATR(high, low, close),
        "standardDeviation": talib.STDDEV(close, 20),
        "moneyFlowIndex": talib.MFI(high, low, close, volume),
        "linearRegression": talib.LINEARREG(close, 14),
        "balanceOfPower": talib.BOP(opened, high, low, close),
    }
    return {name: series[-CHART_BARS:] for name, series in values.items()}


S = TypeVar("S", bound=strawberry.Schema)


def schema(
    kind: type[S], held_bars: Any, held_quotes: dict[str, Quote], held_charts: tuple[History, History], *extensions: Any
) -> S:
    """Our types over what is held in memory."""

    async def all_bars() -> Any:
        return held_bars

    async def some_quotes(symbols: list[Symbol]) -> Any:
        return [held_quotes.get(symbol) for symbol in symbols]

    async def chart_again() -> Any:
        return held_charts[0]

    async def chart_anew() -> Any:
        return held_charts[1]

    @strawberry.type
    class Query:
        again: HistoryType = strawberry.field(resolver=chart_again)
        anew: HistoryType = strawberry.field(resolver=chart_anew)
        bars: list[Bar] = strawberry.field(resolver=all_bars)
        quotes: list[QuoteType | None] = strawberry.field(resolver=some_quotes)

    return kind(Query, config=StrawberryConfig(scalar_map=SCALARS), extensions=list(extensions))


class Stock(GraphQL[Context, None]):
    """Strawberry's own view, with our context."""

    async def get_context(self, request: Any, response: Any) -> Context:
        """As our gateway makes it."""
        return Context(world=request.state.world)


def application() -> Starlette:
    """Every peer, each on a path of its own."""
    rows, held = bars(), quotes()
    held_charts = charts(rows)
    newest = rows.frame.tail(CHART_BARS)
    settled = rows.frame.tail(CHART_BARS + WARM_UP)
    frame = rows.columns(BAR_FIELDS)
    objects = list(rows)
    settings = Settings()
    ours = schema(Schema, rows, held, held_charts)

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

    async def rest_chart(_: Request) -> Response:
        rows = pl.DataFrame(direct(settled)).to_dicts()
        return Response(orjson.dumps({"indicators": rows}), media_type="application/json")

    async def arrays_chart(request: Request) -> Response:
        arrays = direct(settled if "settled" in request.query_params else newest)
        answer = orjson.dumps({"indicators": arrays}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(answer, media_type="application/json")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        world = SimpleNamespace(markets=SimpleNamespace(current=None), indicator_values=ValueCache(), limited={})
        yield {
            "world": world,
            "documents": Documents(ours, settings, cast(DocumentStore, None)),
            "authenticator": Authenticator(AccessTokens(b"", ""), cast(UserStore, None)),
        }

    return Starlette(
        routes=[
            Route("/ours", GraphQLEndpoint(Runner(settings))),
            Route("/stock", Stock(schema(strawberry.Schema, objects, held, held_charts))),
            Route(
                "/stock-with-caches",
                Stock(schema(strawberry.Schema, objects, held, held_charts, ParserCache, ValidationCache)),
            ),
            Route("/rest/bars", rest_bars),
            Route("/rest/quotes", rest_quotes),
            Route("/rest/chart", rest_chart),
            Route("/arrays/chart", arrays_chart),
        ],
        lifespan=lifespan,
    )


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(application(), loop="uvloop", http="httptools", access_log=False, log_level="warning")
        config.load()
        if sys.argv[1:] != ["plain"]:
            gc.collect()
            gc.freeze()
        uvicorn.Server(config).run(sockets=[listening])
