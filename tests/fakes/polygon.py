"""A fake Massive: bars paged by the rows they are made of, snapshots, reference data, and four clusters of streams."""

import base64
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from math import prod
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode
from zlib import crc32
from zoneinfo import ZoneInfo

import orjson
from aiohttp import WSMsgType, web

from market import Interval
from sources.polygon import Polygon
from tests.fakes.fake import ChangeBars, Fake

KEY: Final = "pKx7Jq2VbT0sW9eR"
NEW_YORK: Final = ZoneInfo("America/New_York")
CHICAGO: Final = ZoneInfo("America/Chicago")
DELAY: Final = timedelta(minutes=15)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
MINUTE: Final = timedelta(minutes=1)

NO_KEY: Final = "API Key was not provided"
BAD_KEY: Final = "Unknown API Key"
NOT_ENTITLED: Final = "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing"
TIMEFRAME: Final = "Your plan doesn't include this data timeframe. Please upgrade your plan at https://massive.com"
TOO_OFTEN: Final = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. "
    "https://massive.com/pricing"
)
BAD_TIME: Final = "Could not parse the time parameter: 'from'. Use YYYY-MM-DD or Unix MS Timestamps"
CAP: Final = "Subscription limit reached for feed. Please remove some subscriptions and try again."
CROWDED: Final = (
    "Maximum number of websocket connections exceeded. You have reached the connection limit for your account"
)


@dataclass(frozen=True)
class Listed:
    """What it knows of a ticker; `delisted` is the instant at which it went."""

    ticker: str
    market: str
    name: str
    price: float
    topic: str = ""
    kind: str | None = "CS"
    exchange: str | None = "XNAS"
    delisted: str | None = None

    @property
    def cluster(self) -> str:
        return {"fx": "forex"}.get(self.market, self.market)


LISTED: Final = {
    "AAPL": Listed("AAPL", "stocks", "Apple Inc.", 120.0),
    "MSFT": Listed("MSFT", "stocks", "Microsoft Corp", 410.0),
    "BRK.B": Listed("BRK.B", "stocks", "Berkshire Hathaway Inc. Class B", 480.0, exchange="XNYS"),
    "KIM-PL": Listed("KIMpL", "stocks", "Kimco Realty Preferred L", 22.0, kind="PFD", exchange="XNYS"),
    "SPY": Listed("SPY", "stocks", "SPDR S&P 500 ETF Trust", 580.0, kind="ETF", exchange="ARCX"),
    "SIVB": Listed("SIVB", "stocks", "SVB Financial Group", 106.0, delisted="2023-03-29T04:00:00Z"),
    "EURUSD=X": Listed("C:EURUSD", "fx", "Euro - United States dollar", 1.0812, "EUR/USD", None, None),
    "USDCNH=X": Listed("C:USDCNH", "fx", "United States dollar - Chinese yuan", 6.8336, "USD/CNH", None, None),
    "BTC-USD": Listed("X:BTCUSD", "crypto", "Bitcoin - United States dollar", 33021.9, "BTC-USD", None, None),
    "^GSPC": Listed("I:SPX", "indices", "S&P 500", 3988.5, kind=None, exchange=None),
}
UNSPELT: Final = (
    {"ticker": "GEw", "name": "GE When Issued", "market": "stocks", "type": "CS", "primary_exchange": "XNYS"},
    {
        "ticker": "X:BTCUSDT",
        "name": "Bitcoin - Tether",
        "market": "crypto",
        "base_currency_symbol": "BTC",
        "currency_symbol": "USDT",
    },
    {"ticker": "I:NOTOURS", "name": "Some S&P index", "market": "indices"},
)
"""What it has and our symbols cannot name."""

SPLITS: Final = {"AAPL": ((date(2020, 8, 31), 1, 4), (date(2030, 1, 7), 1, 2)), "BRK.B": ((date(2010, 1, 21), 1, 50),)}
DIVIDENDS: Final = {"AAPL": ((date(2020, 8, 7), 0.82, "USD"), (date(2020, 11, 6), 0.205, "USD"))}
"""Cash per share of its day: not adjusted for the split after it."""


def shares_after(symbol: str, at: datetime) -> float:
    """How many shares one of that instant has become by splits after it."""
    return prod(
        new / old
        for day, old, new in SPLITS.get(symbol, ())
        if datetime.combine(day, clock_time(), NEW_YORK) > at and day < date(2029, 1, 1)
    )


def raw_price(symbol: str, at: datetime) -> float:
    """The price of an instant as it was traded then."""
    listed = LISTED[symbol]
    wave = ((at - EPOCH) // MINUTE * 37 + crc32(symbol.encode())) % 401 - 200
    return round(listed.price * (1 + wave / 10_000) * shares_after(symbol, at), 4)


def raw_bar(symbol: str, start: datetime, end: datetime, close: float | None = None) -> dict[str, Any]:
    """The bar from `start` to `end` as it was traded; `close` is that of a forming one."""
    minutes = (start - EPOCH) // MINUTE
    opened = raw_price(symbol, start)
    closed = raw_price(symbol, end - MINUTE) if close is None else close
    bar: dict[str, Any] = {
        "o": opened,
        "h": round(max(opened, closed) * 1.001, 4),
        "l": round(min(opened, closed) * 0.999, 4),
        "c": closed,
    }
    if LISTED[symbol].market != "indices":
        bar |= {"v": 1000.0 + minutes % 977, "vw": round((opened + closed) / 2, 4), "n": 10 + minutes % 7}
    return bar


def milliseconds(at: datetime) -> int:
    return (at - EPOCH) // MILLISECOND


def nanoseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1000


def error(status: int, text: str, *, kind: str = "ERROR") -> web.Response:
    """An error as it tells them: under `error`, or under `message` where `kind` is another."""
    key = "error" if kind == "ERROR" else "message"
    return web.json_response({"status": kind, "request_id": "r-1", key: text}, status=status)


class FakePolygon(Fake):
    """Its shares trade around the clock on every day that is not in `closed`, but for one minute in eleven.

    What the plan decides and how it behaves, tests set: see __init__.
    """

    name: ClassVar[str] = "polygon"
    symbols: ClassVar[tuple[str, ...]] = ("AAPL", "BRK.B", "KIM-PL", "EURUSD=X", "BTC-USD", "^GSPC")
    unknown: ClassVar[str] = "ZZZZ"
    secrets: ClassVar[tuple[str, ...]] = (KEY,)
    intervals: ClassVar[tuple[Interval, ...]] = tuple(Polygon.reach)
    limited = lambda: error(429, TOO_OFTEN)  # noqa: E731
    refused = lambda: error(403, NOT_ENTITLED, kind="NOT_AUTHORIZED")  # noqa: E731

    def __init__(self) -> None:
        super().__init__()
        self.key = KEY
        # The plan.
        self.is_delayed = False
        self.not_entitled: set[str] = set()
        self.history_from: datetime | None = None
        self.clips_history = False
        self.has_trades = True
        # Its moods.
        self.page_rows = 50_000
        self.next_host: str | None = None
        self.pages_in_circles = False
        self.widens_windows = False
        self.tells_later_actions = False
        self.is_before_open = False
        self.closed: set[date] = set()
        self.days_of_new_york = False
        self.index_tells_time = True
        self.unknown_is_404 = False
        self.limited_is_empty = False
        self.null_bars: set[datetime] = set()
        # The streams.
        self.refused_channels: set[str] = set()
        self.subscription_cap: int | None = None
        self.is_crowded = False
        self.hears_auth = True
        self.auth_wait_s = 5.0
        self.subscribed: defaultdict[web.WebSocketResponse, set[str]] = defaultdict(set)
        self.connected: list[str] = []
        self.links: dict[web.WebSocketResponse, web.Request] = {}
        self.said: list[tuple[float, str, dict[str, str]]] = []

    def source(self) -> Polygon:
        return Polygon(self.url, self.ws_url, KEY, self.budget, clock=lambda: self.now, timeout_s=self.timeout_s)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v2/aggs/ticker/{ticker}/range/{multiplier}/{timespan}/{from}/{to}", self._aggregates),
            web.get("/v2/snapshot/locale/us/markets/{cluster:stocks}/tickers", self._snapshots),
            web.get("/v2/snapshot/locale/global/markets/{cluster:crypto|forex}/tickers", self._snapshots),
            web.get("/v3/snapshot/indices", self._indices),
            web.get("/v3/reference/tickers", self._tickers),
            web.get("/v3/reference/splits", self._splits),
            web.get("/v3/reference/dividends", self._dividends),
            web.get("/{cluster:stocks|forex|crypto|indices}", self._socket),
            web.get("/{path:.*}", self._nothing),
        ]

    @property
    def present(self) -> datetime:
        """Now, as far as the plan lets one see."""
        return self.now - DELAY if self.is_delayed else self.now

    def price(self, symbol: str) -> float:
        """The last price."""
        return self.prices.get(symbol, raw_price(symbol, self.present))

    def openings(self, symbol: str, interval: Interval, start: datetime, last: datetime) -> Iterator[datetime]:
        """When its bars open, from the one that `start` is in to the one that `last` is in."""
        market = LISTED[symbol].market
        if interval is Interval.D1:
            zone = self._zone_of_days(market)
            day, end = start.astimezone(zone).date(), min(last, self.present).astimezone(zone).date()
            while day <= end:
                if market != "stocks" or day not in self.closed:
                    yield datetime.combine(day, clock_time(), zone).astimezone(UTC)
                day += timedelta(days=1)
            return
        at = interval.floor(start)
        while at <= min(last, self.present):
            is_still = interval is Interval.M1 and (at - EPOCH) // MINUTE % 11 == 5 and at + MINUTE <= self.present
            if market != "stocks" or not (is_still or at.astimezone(NEW_YORK).date() in self.closed):
                yield at
            at += interval.span

    def bar(self, symbol: str, interval: Interval, start: datetime) -> dict[str, Any]:
        """One of its bars as traded; the forming one closes at the last price."""
        end = start + interval.span
        return raw_bar(symbol, start, end, self.price(symbol) if end > self.present else None)

    def on(self, cluster: str) -> list[web.WebSocketResponse]:
        """Who is connected to a cluster."""
        return [socket for socket, request in self.links.items() if request.match_info["cluster"] == cluster]

    def channels(self, cluster: str) -> set[str]:
        """What is subscribed to on a cluster now."""
        return {channel for socket in self.on(cluster) for channel in self.subscribed[socket]}

    def cut(self, cluster: str) -> None:
        """Cut the connections to one cluster without a close frame."""
        for socket in self.on(cluster):
            if (transport := self.links[socket].transport) is not None:
                transport.abort()

    async def send_text(self, cluster: str, text: str) -> None:
        """A frame of any text to everyone on a cluster."""
        for socket in self.on(cluster):
            await socket.send_str(text)

    async def say(self, text: str) -> None:
        for socket in list(self.links):
            await socket.send_str(text)

    def is_watched(self, symbol: str) -> bool:
        listed = LISTED[symbol]
        return any(channel.endswith(f".{listed.topic or listed.ticker}") for channel in self.channels(listed.cluster))

    def with_bars(self, path: str, payload: Any, change: ChangeBars) -> Any:
        if not path.startswith("/v2/aggs/") or "results" not in payload:
            return payload
        rows = [[*(row[key] for key in "tohlc"), row] for row in payload["results"]]
        return payload | {"results": [row | dict(zip("tohlc", told, strict=True)) for *told, row in change(rows)]}

    async def push(self, symbol: str, price: float, time: datetime) -> None:
        listed, at = LISTED[symbol], milliseconds(time)
        topic = listed.topic or listed.ticker
        bar = {"o": price, "h": price, "l": price, "c": price, "s": at - at % 1000, "e": at - at % 1000 + 1000}
        minute = bar | {"s": at - at % 60_000, "e": at - at % 60_000 + 60_000}
        half = Decimal("0.0001")
        bid, ask = (float(Decimal(repr(price)) + spread) for spread in (-half, half))
        named = {"stocks": {"sym": topic}, "indices": {"sym": topic}, "fx": {"pair": topic}, "crypto": {"pair": topic}}
        events: dict[str, dict[str, Any]] = {
            "T": {
                "sym": topic,
                "x": 4,
                "i": "12345",
                "z": 3,
                "p": price,
                "s": 100,
                "c": [0, 12],
                "t": at,
                "q": 3681328,
            },
            "V": {"val": price, "T": topic, "t": at},
            "C": {"p": topic, "x": 44, "a": ask, "b": bid, "t": at},
            "XT": {"pair": topic, "p": price, "t": at, "s": 0.01616617, "c": [2], "i": 14272084, "x": 3, "r": at + 151},
            **{
                kind: named[listed.market] | {"v": 4110, "av": 9470157, "op": price} | bar
                for kind in ("A", "XAS", "CAS")
            },
            **{
                kind: named[listed.market] | {"v": 4110, "av": 9470157, "op": price} | minute
                for kind in ("AM", "XA", "CA")
            },
        }
        for socket in self.on(listed.cluster):
            held = self.subscribed[socket]
            frame = [{"ev": kind, **event} for kind, event in events.items() if f"{kind}.{topic}" in held]
            if frame:
                await socket.send_str(orjson.dumps(frame).decode())

    def _zone_of_days(self, market: str) -> ZoneInfo:
        if market == "stocks" or (self.days_of_new_york and market != "indices"):
            return NEW_YORK
        return CHICAGO if market == "indices" else ZoneInfo("UTC")

    def _obstacle(self, request: web.Request, cluster: str | None = None) -> web.Response | None:
        """The answer to whoever may not ask: both ways to show the key are good."""
        key = request.query.get("apiKey") or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not key:
            return error(401, NO_KEY)
        if key != self.key:
            return error(401, BAD_KEY)
        if self.limited_is_empty:
            return web.Response(status=429)
        if cluster in self.not_entitled:
            return error(403, NOT_ENTITLED, kind="NOT_AUTHORIZED")
        return None

    def _answer(self, rows: list[Any], *, key: str = "results", **more: Any) -> web.Response:
        """An answer as they are; without rows it has no such key."""
        body = {"status": "DELAYED" if self.is_delayed else "OK", "request_id": "r-1", "count": len(rows), **more}
        return web.json_response(body | ({key: rows} if rows else {}), dumps=lambda body: orjson.dumps(body).decode())

    def _next(self, path: str, cursor: dict[str, Any]) -> str:
        """Where the next page is: on whichever host, with a cursor, without the key."""
        packed = base64.urlsafe_b64encode(urlencode(cursor).encode()).decode()
        return f"{self.next_host or self.url}{path}?cursor={packed}"

    async def _nothing(self, request: web.Request) -> web.Response:
        return web.Response(status=404, text="404 page not found")

    async def _aggregates(self, request: web.Request) -> web.Response:
        asked = request.match_info
        symbol = next((ours for ours, listed in LISTED.items() if listed.ticker == asked["ticker"]), None)
        if refusal := self._obstacle(request, LISTED[symbol].cluster if symbol else None):
            return refusal
        span = f"{asked['multiplier']}/{asked['timespan']}"
        interval = {"1/minute": "M1", "5/minute": "M5", "15/minute": "M15", "30/minute": "M30", "1/hour": "H1"}.get(
            span
        )
        interval = Interval(interval or "D1")
        query = dict(request.query)
        query |= dict(parse_qsl(base64.urlsafe_b64decode(query.get("cursor", "")).decode()))
        is_adjusted = query.get("adjusted", "true") == "true"
        facts: dict[str, Any] = {"ticker": asked["ticker"], "queryCount": 0, "resultsCount": 0, "adjusted": is_adjusted}
        if symbol is None:
            if self.unknown_is_404:
                return error(404, "Ticker not found.", kind="NOT_FOUND")
            return self._answer([], **facts)
        zone = self._zone_of_days(LISTED[symbol].market)
        try:
            start, last = _edge(asked["from"], zone), _edge(asked["to"], zone, is_end=True)
        except ValueError:
            return error(400, BAD_TIME)
        if "start" in query:
            start = EPOCH + int(query["start"]) * MILLISECOND
        if self.history_from is not None and start < self.history_from:
            if not self.clips_history:
                return error(403, TIMEFRAME, kind="NOT_AUTHORIZED")
            start = self.history_from
        if self.widens_windows:
            start, last = start - interval.span, last + interval.span
        bars: list[dict[str, Any]] = []
        room = min(int(query.get("limit", 5000)), self.page_rows)
        base_rows = 1 if interval is Interval.D1 else interval.span // MINUTE
        for at in self.openings(symbol, interval, start, last):
            if room < base_rows:
                cursor = {"limit": query.get("limit", 5000), "sort": "asc", "adjusted": query.get("adjusted", "true")}
                cursor["start"] = milliseconds(start if self.pages_in_circles else at)
                facts["next_url"] = self._next(request.path, cursor)
                break
            room -= base_rows
            bars.append(self._told(symbol, interval, at, is_adjusted=is_adjusted))
        if query.get("sort") == "desc":
            bars.reverse()
        return self._answer(bars, **facts | {"queryCount": len(bars), "resultsCount": len(bars)})

    def _told(self, symbol: str, interval: Interval, at: datetime, *, is_adjusted: bool) -> dict[str, Any]:
        """A bar as an answer has it: adjusted for later splits unless told not to."""
        bar = self.bar(symbol, interval, at)
        if is_adjusted and (shares := shares_after(symbol, at)) != 1:
            bar |= {price: round(bar[price] / shares, 6) for price in ("o", "h", "l", "c", "vw")}
            bar["v"] *= shares
        if at in self.null_bars:
            bar |= {"o": None, "c": None}
        return bar | {"t": milliseconds(at), "otc": False, "dv": "1000.5"}

    async def _snapshots(self, request: web.Request) -> web.Response:
        cluster = request.match_info["cluster"]
        if refusal := self._obstacle(request, cluster):
            return refusal
        asked = request.query.get("tickers", "").split(",")
        found = [
            self._snapshot(symbol, listed)
            for symbol, listed in LISTED.items()
            if listed.ticker in asked and listed.cluster == cluster and not listed.delisted
        ]
        return self._answer(found, key="tickers")

    def _snapshot(self, symbol: str, listed: Listed) -> dict[str, Any]:
        start = next(self.openings(symbol, Interval.D1, self.present, self.present), None)
        today = start or self.present.replace(hour=0, minute=0, second=0, microsecond=0)
        at = nanoseconds(self.present) if listed.market == "stocks" else milliseconds(self.present)
        zero = {"o": 0, "h": 0, "l": 0, "c": 0, "v": 0, "vw": 0}
        price = self.price(symbol)
        day = zero if self.is_before_open else raw_bar(symbol, today, self.present, price)
        before = raw_bar(symbol, today - timedelta(days=1), today)
        minute_start = Interval.M1.floor(self.present)
        minute = raw_bar(symbol, minute_start, minute_start + MINUTE, price) | {
            "av": 68834255,
            "t": milliseconds(minute_start),
        }
        row: dict[str, Any] = {
            "ticker": listed.ticker,
            "todaysChange": -3.65,
            "todaysChangePerc": -2.231,
            "updated": 0 if self.is_before_open else at,
            "day": day,
            "min": zero | {"av": 0, "t": 0, "n": 0} if self.is_before_open else minute,
            "prevDay": before,
            "fmv": None,
        }
        if not self.has_trades:
            return row
        half = Decimal("0.0001")
        bid, ask = (float(Decimal(repr(price)) + spread) for spread in (-half, half))
        if listed.market == "fx":
            return row | {"lastQuote": {"a": ask, "b": bid, "t": at, "x": 48}}
        if self.is_before_open:
            return row
        if listed.market == "crypto":
            return row | {"lastTrade": {"c": [1], "i": "464569520", "p": price, "s": 0.001933, "t": at, "x": 4}}
        return row | {
            "lastQuote": {"P": ask, "S": 5, "p": bid, "s": 0, "t": at},
            "lastTrade": {"c": None, "i": "121351", "p": price, "s": 200, "t": at, "x": 12},
        }

    async def _indices(self, request: web.Request) -> web.Response:
        if refusal := self._obstacle(request, "indices"):
            return refusal
        tickers = {listed.ticker: symbol for symbol, listed in LISTED.items() if listed.market == "indices"}
        rows: list[dict[str, Any]] = []
        for ticker in request.query.get("ticker.any_of", "").split(",")[: int(request.query.get("limit", 10))]:
            if ticker not in tickers:
                rows.append({"ticker": ticker, "error": "NOT_FOUND", "message": "Ticker not found."})
                continue
            price = self.price(tickers[ticker])
            timed = {
                "last_updated": nanoseconds(self.present),
                "timeframe": "DELAYED" if self.is_delayed else "REAL-TIME",
            }
            session = {"change": -50.01, "change_percent": -1.45, "close": price, "high": 3990.41, "low": 3960.11}
            session |= {"open": 3970.38, "previous_close": 3981.19}
            row = {"ticker": ticker, "value": price, "name": "S&P 500", "type": "indices", "session": session}
            rows.append(row | {"market_status": "open"} | (timed if self.index_tells_time else {}))
        return self._answer(rows)

    async def _tickers(self, request: web.Request) -> web.Response:
        if refusal := self._obstacle(request):
            return refusal
        query = request.query
        is_active = query.get("active", "true") == "true"
        rows = [_reference(listed) for listed in LISTED.values()]
        rows += [{"active": True, **row} for row in UNSPELT]
        wanted = query.get("search", "").casefold()
        found = [
            row
            for row in sorted(rows, key=lambda row: str(row["ticker"]))
            if row["active"] is is_active
            and query.get("ticker", row["ticker"]) == row["ticker"]
            and (wanted in str(row["ticker"]).casefold() or wanted in str(row["name"]).casefold())
        ]
        return self._answer(found[: int(query.get("limit", 100))])

    async def _splits(self, request: web.Request) -> web.Response:
        rows = [
            {"execution_date": day.isoformat(), "id": "E1", "split_from": old, "split_to": new, "ticker": ticker}
            for ticker, splits in SPLITS.items()
            for day, old, new in splits
        ]
        return self._obstacle(request) or self._actions(request, rows, "execution_date")

    async def _dividends(self, request: web.Request) -> web.Response:
        rows = [
            {
                "cash_amount": cash,
                "currency": currency,
                "declaration_date": "2020-07-30",
                "dividend_type": "CD",
                "ex_dividend_date": day.isoformat(),
                "frequency": 4,
                "ticker": ticker,
            }
            for ticker, dividends in DIVIDENDS.items()
            for day, cash, currency in dividends
        ]
        return self._obstacle(request) or self._actions(request, rows, "ex_dividend_date")

    def _actions(self, request: web.Request, rows: list[dict[str, Any]], day: str) -> web.Response:
        """Ten a page unless asked for more, the newest first unless asked for another order."""
        query = dict(request.query)
        query |= dict(parse_qsl(base64.urlsafe_b64decode(query.get("cursor", "")).decode()))
        rows = [
            row
            for row in rows
            if row["ticker"] == query["ticker"]
            and row[day] >= query[f"{day}.gte"]
            and (self.tells_later_actions or row[day] <= query[f"{day}.lte"])
        ]
        rows.sort(key=lambda row: str(row[day]), reverse=query.get("order", "desc") == "desc")
        start, limit = int(query.get("start", 0)), min(int(query.get("limit", 10)), self.page_rows)
        more: dict[str, Any] = {}
        if start + limit < len(rows):
            more["next_url"] = self._next(request.path, query | {"start": start + limit})
        return self._answer(rows[start : start + limit], **more)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        cluster = request.match_info["cluster"]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.links[socket] = request
        self.connected.append(cluster)
        try:
            await self._status(socket, ("connected", "Connected Successfully"))
            await self._converse(socket, cluster)
        finally:
            self.subscribed.pop(socket, None)
            del self.links[socket]
        return socket

    async def _converse(self, socket: web.WebSocketResponse, cluster: str) -> None:
        is_in = False
        while True:
            try:
                message = await socket.receive(None if is_in else self.auth_wait_s)
            except TimeoutError:
                await self._status(socket, ("auth_timeout", "No authentication request received."))
                await socket.close()
                return
            if message.type is not WSMsgType.TEXT:
                return
            said = orjson.loads(message.data)
            self.said.append((time.monotonic(), cluster, said))
            channels = said["params"].split(",")
            match said["action"]:
                case "auth" if not self.hears_auth:
                    pass
                case "auth" if said["params"] == self.key:
                    is_in = True
                    await self._status(socket, ("auth_success", "authenticated"))
                case "auth":
                    await self._status(socket, ("auth_failed", "authentication failed"))
                    await socket.close()
                    return
                case "subscribe" if is_in:
                    await self._status(socket, *(self._subscribe(socket, channel) for channel in channels))
                    if self.is_crowded:
                        await self._status(socket, ("max_connections", CROWDED))
                        await socket.close(code=1008)
                        return
                case "unsubscribe" if is_in:
                    self.subscribed[socket] -= set(channels)
                    await self._status(socket, *(("success", f"unsubscribed to: {channel}") for channel in channels))

    def _subscribe(self, socket: web.WebSocketResponse, channel: str) -> tuple[str, str]:
        if {channel, channel.partition(".")[0]} & self.refused_channels:
            return "error", "not authorized"
        if self.subscription_cap is not None and len(self.subscribed[socket]) >= self.subscription_cap:
            return "error", CAP
        self.subscribed[socket].add(channel)
        return "success", f"subscribed to: {channel}"

    async def _status(self, socket: web.WebSocketResponse, *statuses: tuple[str, str]) -> None:
        events = [{"ev": "status", "status": status, "message": message} for status, message in statuses]
        await socket.send_str(orjson.dumps(events).decode())


def _edge(text: str, zone: ZoneInfo, *, is_end: bool = False) -> datetime:
    """One end of a request for bars: milliseconds, or a date of the venue, whose end is the next midnight."""
    if not text.isdecimal():
        day = date.fromisoformat(text) + timedelta(days=is_end)
        return datetime.combine(day, clock_time(), zone).astimezone(UTC) - MILLISECOND * is_end
    return EPOCH + int(text) * MILLISECOND


def _reference(listed: Listed) -> dict[str, Any]:
    row: dict[str, Any] = {
        "ticker": listed.ticker,
        "name": listed.name,
        "market": listed.market,
        "locale": "us" if listed.exchange else "global",
        "active": listed.delisted is None,
        "last_updated_utc": "2026-04-27T00:00:00Z",
    }
    if listed.market in ("fx", "crypto"):
        base, quoted = listed.topic.replace("/", "-").split("-")
        row |= {"currency_symbol": quoted, "base_currency_symbol": base}
    if listed.market == "stocks":
        row |= {"primary_exchange": listed.exchange, "type": listed.kind, "currency_name": "usd", "cik": "0000320193"}
    return row | ({"delisted_utc": listed.delisted} if listed.delisted else {})
