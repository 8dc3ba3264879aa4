"""A fake Binance: spot REST, and the combined streams with live subscribing."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, islice
from time import monotonic
from typing import Any, ClassVar

from aiohttp import WSMsgType, web

from market import Interval
from sources.binance import Binance
from tests.fakes.crypto import EPOCH, FakeBar, FakePair, back_from, bar, openings, price_at
from tests.fakes.fake import ChangeBars, Fake

INTERVALS = {
    "1m": Interval.M1,
    "5m": Interval.M5,
    "15m": Interval.M15,
    "30m": Interval.M30,
    "1h": Interval.H1,
    "4h": Interval.H4,
    "1d": Interval.D1,
    "1w": Interval.W1,
    "1M": Interval.MN1,
}
MILLISECOND = timedelta(milliseconds=1)
PATIENCE_S = 5.0
LISTED = datetime(2017, 8, 17, 4, tzinfo=UTC)
PAIRS = (
    FakePair("BTC-USDT", "BTC", "USDT", 6_000_000, Decimal("0.01"), LISTED, "TRADING"),
    FakePair("ETH-BTC", "ETH", "BTC", 3_900, Decimal("0.00001"), LISTED, "TRADING"),
    FakePair("BTC-USDC", "BTC", "USDC", 6_001_000, Decimal("0.01"), LISTED, "TRADING"),
    FakePair("BTC-FDUSD", "BTC", "FDUSD", 6_002_000, Decimal("0.01"), LISTED, "TRADING"),
    FakePair("BNB-BTC", "BNB", "BTC", 8_000, Decimal("0.000001"), LISTED, "TRADING"),
    FakePair("1000SATS-USDT", "1000SATS", "USDT", 1_234, Decimal("0.00000001"), LISTED, "TRADING"),
    FakePair("ADA-USDT", "ADA", "USDT", 4_000, Decimal("0.0001"), LISTED, "TRADING"),
    FakePair("NEW-USDT", "NEW", "USDT", 700, Decimal("0.001"), datetime(2026, 1, 14, 9, tzinfo=UTC), "TRADING"),
    FakePair("BCC-USDT", "BCC", "USDT", 51_000, Decimal("0.01"), LISTED, "BREAK"),
    FakePair("GHOST-USDT", "GHOST", "USDT", 0, Decimal("0.01"), LISTED, "TRADING"),
    FakePair("币安人生-USDT", "币安人生", "USDT", 300, Decimal("0.001"), LISTED, "TRADING"),
)
DAY_CHANGE = Decimal("7.7")  # what sets the numbers of the last 24 hours apart from those of the UTC day


def fault(status: int, code: int, text: str) -> web.Response:
    return web.json_response({"code": code, "msg": text}, status=status)


class FakeBinance(Fake):
    """Ways to fail of its own:

    - `weight_limit`: more in a minute is answered by 429, and whoever carries on three times by 418.
    - `firewall`: 403 with a page. `gone`: pairs that have left, from the listing too.
    - `wraps_errors`: which of the two envelopes a stream's errors come in. `ping_every_s`, `pong_within_s`, `life_s`:
      the seconds of the stream's pings and of its life. `shut_down` announces it before it cuts.
    - `ignores_start`: every page of history is the newest one.
    """

    name: ClassVar[str] = "binance"
    symbols: ClassVar[tuple[str, ...]] = (
        "BTC-USDT", "ETH-BTC", "BTC-USDC", "BTC-FDUSD", "BNB-BTC", "1000SATS-USDT", "ADA-USDT",
    )  # fmt: skip
    unknown: ClassVar[str] = "NOPE-USDT"
    intervals: ClassVar[tuple[Interval, ...]] = tuple(INTERVALS.values())
    limited: ClassVar[Callable[[], web.Response]] = lambda: fault(
        429,
        -1003,
        "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please use WebSocket "
        "Streams for live updates to avoid polling the API.",
    )
    refused: ClassVar[Callable[[], web.Response]] = lambda: fault(
        451,
        0,
        "Service unavailable from a restricted location according to 'b. Eligibility' in "
        "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message "
        "in error.",
    )

    def __init__(self) -> None:
        super().__init__()
        self.weight_limit = 6000
        self.firewall = False
        self.gone: set[str] = set()
        self.wraps_errors = False
        self.ping_every_s = 20.0
        self.pong_within_s = 60.0
        self.life_s = 86_400.0
        self.ignores_start = False
        self.messages: list[Any] = []
        self.pongs = 0
        self.subscriptions: dict[web.WebSocketResponse, set[str]] = {}
        self._heard = asyncio.Condition()
        self._weight = 0
        self._minute = self.now
        self._offences = 0
        self._trade_ids = count(1)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v3/exchangeInfo", self._guarded(self._listing, lambda _request: 20)),
            web.get("/api/v3/ticker/24hr", self._guarded(self._tickers, _tickers_weight)),
            web.get("/api/v3/klines", self._guarded(self._klines, lambda _request: 2)),
            web.get("/stream", self._stream),
        ]

    def source(self) -> Binance:
        return Binance(self.url, self.ws_url, self.budget, lambda: self.now, timeout_s=self.timeout_s)

    def pair(self, symbol: str) -> FakePair:
        return next(pair for pair in PAIRS if pair.symbol == symbol)

    def price(self, pair: FakePair) -> Decimal:
        """The last price: what a test has set, or where the path is now."""
        said = self.prices.get(pair.symbol)
        return price_at(pair, self.now) if said is None else Decimal(repr(said))

    def bar(self, symbol: str, interval: Interval, opened: datetime) -> FakeBar:
        """The bar that it answers, in decimal."""
        pair = self.pair(symbol)
        said = self.prices.get(symbol)
        return bar(pair, interval, opened, self.now, None if said is None else self.price(pair))

    def is_watched(self, symbol: str) -> bool:
        native = _native(self.pair(symbol)).lower()
        return {f"{native}@trade", f"{native}@ticker"} <= set().union(*self.subscriptions.values())

    def with_bars(self, path: str, payload: Any, change: ChangeBars) -> Any:
        return change(payload) if path == "/api/v3/klines" else payload

    async def push(self, symbol: str, price: float, time: datetime, size: str = "0.00100000") -> None:
        self.prices[symbol] = price
        native = _native(self.pair(symbol))
        event = {
            "e": "trade", "E": _ms(time) + 3, "s": native, "t": next(self._trade_ids), "p": f"{price:.8f}", "q": size,
            "T": _ms(time), "m": True, "M": True,
        }  # fmt: skip
        await self._send(f"{native.lower()}@trade", event)

    async def push_book(self, symbol: str, bid: str, bid_size: str, ask: str, ask_size: str) -> None:
        """Send the ticker of the second, of which the book is a part."""
        pair = self.pair(symbol)
        price, now_ms = _text(self.price(pair)), _ms(self.now)
        event = {
            "e": "24hrTicker", "E": now_ms, "s": _native(pair), "p": "0.0015", "P": "250.00", "w": price, "x": price,
            "c": price, "Q": "10", "b": bid, "B": bid_size, "a": ask, "A": ask_size, "o": price, "h": price,
            "l": price, "v": "10000", "q": "18", "O": now_ms - 86_400_000, "C": now_ms, "F": 0, "L": 18150, "n": 18151,
        }  # fmt: skip
        await self._send(f"{_native(pair).lower()}@ticker", event)

    async def say(self, text: str) -> None:
        for socket in self.subscriptions:
            await socket.send_str(text)

    async def shut_down(self) -> None:
        """Announce the end of every stream, then cut them."""
        event = {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": _ms(self.now)}}
        await self.say(json.dumps(event))
        await self.drop_sockets()

    async def carries(self, *streams: str) -> None:
        """Return once the streams together carry exactly these."""
        async with asyncio.timeout(PATIENCE_S), self._heard:
            await self._heard.wait_for(lambda: set().union(*self.subscriptions.values()) == set(streams))

    def _guarded(
        self, handler: Callable[[web.Request], web.Response], weigh: Callable[[web.Request], int]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            if self.firewall:
                return web.Response(
                    status=403, text="<html><body>403 Forbidden</body></html>", content_type="text/html"
                )
            minute = Interval.M1.floor(self.now)
            if minute != self._minute:
                self._minute, self._weight, self._offences = minute, 0, 0
            self._weight += weigh(request)
            answer = handler(request) if self._weight <= self.weight_limit else self._offended()
            answer.headers["X-MBX-USED-WEIGHT-1M"] = str(self._weight)
            return answer

        return guarded

    def _offended(self) -> web.Response:
        self._offences += 1
        if self._offences <= 3:
            answer = type(self).limited()
            answer.headers["Retry-After"] = str(60 - self.now.second)
            return answer
        until = _ms(self.now) + 120_000
        answer = fault(
            418,
            -1003,
            f"Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates "
            "to avoid bans.",
        )
        answer.headers["Retry-After"] = "120"
        return answer

    def _known(self) -> dict[str, FakePair]:
        return {_native(pair): pair for pair in PAIRS if pair.symbol not in self.gone}

    def _listing(self, _request: web.Request) -> web.Response:
        symbols = [
            {
                "symbol": native, "status": pair.status, "baseAsset": pair.base, "baseAssetPrecision": 8,
                "quoteAsset": pair.quoted, "quotePrecision": 8, "orderTypes": ["LIMIT", "MARKET"],
                "isSpotTradingAllowed": True,
                "filters": [
                    {"filterType": "PRICE_FILTER", "minPrice": _text(pair.tick), "maxPrice": "1000000.00000000",
                     "tickSize": _text(pair.tick)},
                    {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000",
                     "stepSize": "0.00001000"},
                ],
            }
            for native, pair in self._known().items()
        ]  # fmt: skip
        return web.json_response(
            {
                "timezone": "UTC",
                "serverTime": _ms(self.now),
                "rateLimits": [
                    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}
                ],
                "exchangeFilters": [],
                "symbols": symbols,
            }
        )

    def _tickers(self, request: web.Request) -> web.Response:
        known = self._known()
        asked = request.query.get("symbols")
        if asked is not None:
            if not re.fullmatch(r'\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}")*\]', asked):
                return _illegal("symbols")
            names = json.loads(asked)
        elif "symbol" in request.query:
            names = [request.query["symbol"]]
        else:
            names = list(known)
        if any(name not in known for name in names):
            return fault(400, -1121, "Invalid symbol.")
        rows = [self._ticker(name, known[name], request) for name in names]
        return web.json_response(rows if "symbol" not in request.query else rows[0])

    def _ticker(self, native: str, pair: FakePair, request: web.Request) -> dict[str, object]:
        price = self.price(pair) if pair.price else Decimal(0)
        waiting = "100.00000000" if pair.price else "0.00000000"
        rolling = price + DAY_CHANGE * pair.tick
        unit = _stamp_unit(request)
        return {
            "symbol": native, "priceChange": "-94.99999800", "priceChangePercent": "-95.960",
            "weightedAvgPrice": _text(rolling), "prevClosePrice": _text(rolling), "lastPrice": _text(price),
            "lastQty": "200.00000000" if pair.price else "0.00000000",
            "bidPrice": _text(price - pair.tick if pair.price else price), "bidQty": waiting,
            "askPrice": _text(price), "askQty": waiting, "openPrice": _text(rolling), "highPrice": _text(rolling),
            "lowPrice": _text(rolling), "volume": "8913.30000000", "quoteVolume": "15.30000000",
            "openTime": (_ms(self.now) - 86_400_000) * unit, "closeTime": _ms(self.now) * unit, "firstId": 28385,
            "lastId": 28460, "count": 76,
        }  # fmt: skip

    def _klines(self, request: web.Request) -> web.Response:
        query = request.query
        symbol = query.get("symbol", "")
        if not symbol:
            return fault(400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if not re.fullmatch("[A-Z0-9-_.]{1,20}", symbol):
            return _illegal("symbol")
        pair = self._known().get(symbol)
        if pair is None:
            return fault(400, -1121, "Invalid symbol.")
        interval = INTERVALS.get(query.get("interval", ""))
        if interval is None:
            return fault(400, -1120, "Invalid interval.")
        for bound in ("startTime", "endTime"):
            if not query.get(bound, "0").isdecimal():
                return _illegal(bound)
        limit = min(int(query.get("limit", 500)), 1000)
        last = min(self.now, EPOCH + int(query["endTime"]) * MILLISECOND) if "endTime" in query else self.now
        if "startTime" in query and not self.ignores_start:
            start = EPOCH + int(query["startTime"]) * MILLISECOND
            opened = list(islice(openings(pair, interval, start, last), limit))
        else:
            opened = back_from(pair, interval, last, limit)
        unit = _stamp_unit(request)
        return web.json_response([self._kline(pair, interval, at, unit) for at in opened])

    def _kline(self, pair: FakePair, interval: Interval, opened: datetime, unit: int) -> list[object]:
        known = self.bar(pair.symbol, interval, opened)
        return [
            _ms(opened) * unit, _text(known.open), _text(known.high), _text(known.low), _text(known.close),
            _text(known.volume), _ms(interval.end(opened)) * unit - 1, _text(known.turnover), known.trades,
            _text(known.volume / 2), _text(known.turnover / 2), "0",
        ]  # fmt: skip

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.subscriptions[socket] = set()
        ponged = asyncio.Event()
        keeping = [asyncio.create_task(self._ping(socket, ponged)), asyncio.create_task(self._end(socket))]
        stamps: deque[float] = deque(maxlen=6)
        try:
            async for message in socket:
                stamps.append(monotonic())
                if len(stamps) == 6 and stamps[-1] - stamps[0] < 1:
                    await socket.close(code=1008, message=b"Too many requests")
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.PONG:
                    self.pongs += 1
                    ponged.set()
                elif message.type is WSMsgType.TEXT:
                    await self._control(socket, message.data)
        finally:
            for task in keeping:
                task.cancel()
            async with self._heard:
                del self.subscriptions[socket]
                self._heard.notify_all()
        return socket

    async def _ping(self, socket: web.WebSocketResponse, ponged: asyncio.Event) -> None:
        while True:
            await asyncio.sleep(self.ping_every_s)
            ponged.clear()
            await socket.ping(b"1665062400000")
            try:
                await asyncio.wait_for(ponged.wait(), self.pong_within_s)
            except TimeoutError:
                await socket.close(code=1008, message=b"Pong timeout")
                return

    async def _end(self, socket: web.WebSocketResponse) -> None:
        await asyncio.sleep(self.life_s)
        await socket.close()

    async def _control(self, socket: web.WebSocketResponse, text: str) -> None:
        try:
            asked = json.loads(text)
        except ValueError:
            await self._refuse(socket, 3, "Invalid JSON: expected value at line 1 column 1", None)
            return
        self.messages.append(asked)
        if "method" not in asked:
            await self._refuse(socket, 2, f"Invalid request: missing field `method` at line 1 column {len(text)}", None)
            return
        params = set(asked.get("params", ()))
        carried = self.subscriptions[socket]
        if any("@" not in stream for stream in params) or len(carried | params) > 1024:
            await self._refuse(socket, 2, "Invalid request: invalid stream", asked.get("id"))
            return
        async with self._heard:
            if asked["method"] == "SUBSCRIBE":
                carried |= params
            else:
                carried -= params
            self._heard.notify_all()
        await socket.send_str(json.dumps({"result": None, "id": asked["id"]}))

    async def _refuse(self, socket: web.WebSocketResponse, code: int, text: str, asked: int | None) -> None:
        error: dict[str, object] = {"code": code, "msg": text}
        await socket.send_str(json.dumps({"error": error, "id": asked} if self.wraps_errors else error))

    async def _send(self, stream: str, event: dict[str, object]) -> None:
        for socket, carried in list(self.subscriptions.items()):
            if stream in carried:
                with suppress(ConnectionError):
                    await socket.send_str(json.dumps({"stream": stream, "data": event}))


def _native(pair: FakePair) -> str:
    return pair.base + pair.quoted


def _illegal(name: str) -> web.Response:
    return fault(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[A-Z0-9-_.]{{1,20}}$'.")


def _tickers_weight(request: web.Request) -> int:
    if "symbol" in request.query:
        return 2
    asked = request.query.get("symbols", "")
    names = asked.count(",") + 1 if asked else len(PAIRS) + 100
    return 2 if names <= 20 else 40 if names <= 100 else 80


def _stamp_unit(request: web.Request) -> int:
    return 1000 if request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND" else 1


def _ms(at: datetime) -> int:
    return (at - EPOCH) // MILLISECOND


def _text(number: Decimal) -> str:
    return f"{number:.8f}"
