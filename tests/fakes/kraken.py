"""A fake Kraken: public REST, which answers 200 whatever happens, and version 2 of the stream."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from time import monotonic
from typing import Any, ClassVar

from aiohttp import WSMsgType, web

from market import Interval
from sources.kraken import Kraken
from tests.fakes.crypto import EPOCH, FakeBar, FakePair, back_from, bar, flat, price_at
from tests.fakes.fake import ChangeBars, Fake

INTERVALS = {
    1: Interval.M1,
    5: Interval.M5,
    15: Interval.M15,
    30: Interval.M30,
    60: Interval.H1,
    240: Interval.H4,
    1440: Interval.D1,
}
ROWS = 720
SECOND = timedelta(seconds=1)
PATIENCE_S = 5.0
LISTED = datetime(2013, 10, 6, tzinfo=UTC)
OURS = {"XBT": "BTC", "XDG": "DOGE"}

# By the name that answers have; base and quote are spelled as Kraken does.
PAIRS = {
    "XXBTZUSD": FakePair("BTC-USD", "XBT", "USD", 600_000, Decimal("0.1"), LISTED, "online"),
    "XETHXXBT": FakePair("ETH-BTC", "ETH", "XBT", 3_900, Decimal("0.00001"), LISTED, "online"),
    "XDGUSD": FakePair("DOGE-USD", "XDG", "USD", 2_000_000, Decimal("0.0000001"), LISTED, "online"),
    "XBTUSDT": FakePair("BTC-USDT", "XBT", "USDT", 600_100, Decimal("0.1"), LISTED, "online"),
    "SOLEUR": FakePair("SOL-EUR", "SOL", "EUR", 9_000, Decimal("0.01"), LISTED, "online"),
    "NEWUSD": FakePair("NEW-USD", "NEW", "USD", 700, Decimal("0.001"), datetime(2025, 10, 1, tzinfo=UTC), "online"),
    "OLDUSD": FakePair("OLD-USD", "OLD", "USD", 800, Decimal("0.001"), LISTED, "cancel_only"),
    "GHOSTUSD": FakePair("GHOST-USD", "GHOST", "USD", 0, Decimal("0.001"), LISTED, "online"),
    "ZEURZUSD": FakePair("EUR-USD", "EUR", "USD", 90_000, Decimal("0.00001"), LISTED, "online"),
}
DARK = "XXBTZUSD.d"  # a row of old that no stream has: without a wsname


class FakeKraken(Fake):
    """Ways to fail of its own:

    - `error`: what every question is answered by, under 200, with or without a `result` (`error_result`).
    - `calls_left`: after so many it was asked too often. `gone`: pairs that have left, from the listing too.
    - `cached_s`: answers are of so long ago, as from the edge's cache. `quiet`: nothing was traded today.
    - `messages_per_second`: faster streams are told so. `heartbeat_s` between heartbeats, once subscribed.
      `maintain` tells every stream of maintenance, then cuts it.
    """

    name: ClassVar[str] = "kraken"
    symbols: ClassVar[tuple[str, ...]] = ("BTC-USD", "ETH-BTC", "DOGE-USD", "BTC-USDT", "SOL-EUR")
    unknown: ClassVar[str] = "NOPE-USD"
    intervals: ClassVar[tuple[Interval, ...]] = tuple(INTERVALS.values())
    limited: ClassVar[Callable[[], web.Response]] = lambda: web.json_response({"error": ["EGeneral:Too many requests"]})
    refused: ClassVar[Callable[[], web.Response]] = lambda: web.json_response({"error": ["EGeneral:Permission denied"]})

    def __init__(self) -> None:
        super().__init__()
        self.error: str | None = None
        self.error_result: dict[str, object] = {}
        self.calls_left: int | None = None
        self.gone: set[str] = set()
        self.cached_s = 0
        self.quiet = False
        self.system = "online"
        self.messages_per_second = 20
        self.heartbeat_s = 1.0
        self.messages: list[Any] = []
        self.subscriptions: dict[web.WebSocketResponse, set[tuple[str, str]]] = {}
        self._heard = asyncio.Condition()
        self._trade_ids = count(109_116_693)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/0/public/AssetPairs", self._guarded(self._listing)),
            web.get("/0/public/Ticker", self._guarded(self._tickers)),
            web.get("/0/public/OHLC", self._guarded(self._ohlc)),
            web.get("/v2", self._stream),
        ]

    def source(self) -> Kraken:
        return Kraken(self.url, self.ws_url, self.budget, lambda: self.now, timeout_s=self.timeout_s)

    def pair(self, symbol: str) -> FakePair:
        return next(pair for pair in PAIRS.values() if pair.symbol == symbol)

    def price(self, pair: FakePair) -> Decimal:
        """The last price: what a test has set, or where the path is now."""
        said = self.prices.get(pair.symbol)
        return price_at(pair, self._as_of) if said is None else Decimal(repr(said))

    def bar(self, symbol: str, interval: Interval, opened: datetime) -> FakeBar:
        """The bar that it answers, in decimal."""
        pair = self.pair(symbol)
        last = None if symbol not in self.prices else self.price(pair)
        known = bar(pair, interval, opened, self._as_of, last)
        return flat(known) if self.quiet and interval is Interval.D1 else known

    def is_watched(self, symbol: str) -> bool:
        name = _streamed(self.pair(symbol))
        return {("ticker", name), ("trade", name)} <= set().union(*self.subscriptions.values())

    def with_bars(self, path: str, payload: Any, change: ChangeBars) -> Any:
        if path != "/0/public/OHLC":
            return payload
        result = {key: rows if key == "last" else change(rows) for key, rows in payload["result"].items()}
        return payload | {"result": result}

    async def push(self, symbol: str, price: float, time: datetime, size: float = 0.001) -> None:
        self.prices[symbol] = price
        name = _streamed(self.pair(symbol))
        trade = {
            "symbol": name, "side": "buy", "price": price, "qty": size, "ord_type": "limit",
            "trade_id": next(self._trade_ids), "timestamp": _stamp(time),
        }  # fmt: skip
        await self._send("trade", name, {"channel": "trade", "type": "update", "data": [trade]})

    async def push_book(self, symbol: str, bid: float, bid_size: float, ask: float, ask_size: float) -> None:
        """Send the ticker after a change of the best bid or ask."""
        pair = self.pair(symbol)
        await self._send("ticker", _streamed(pair), self._ticker_event(pair, "update", bid, bid_size, ask, ask_size))

    async def say(self, text: str) -> None:
        for socket in self.subscriptions:
            await socket.send_str(text)

    async def maintain(self) -> None:
        """Announce maintenance to every stream, then cut them."""
        self.system = "maintenance"
        await self.say(json.dumps(self._status()))
        await self.drop_sockets()

    async def carries(self, *symbols: str) -> None:
        """Return once the streams together carry both channels of exactly these."""
        names = {(channel, _streamed(self.pair(symbol))) for symbol in symbols for channel in ("ticker", "trade")}
        async with asyncio.timeout(PATIENCE_S), self._heard:
            await self._heard.wait_for(lambda: set().union(*self.subscriptions.values()) == names)

    @property
    def _as_of(self) -> datetime:
        return self.now - self.cached_s * SECOND

    def _known(self) -> dict[str, FakePair]:
        return {key: pair for key, pair in PAIRS.items() if pair.symbol not in self.gone}

    def _find(self, name: str) -> tuple[str, FakePair] | None:
        """A pair under any name that is understood, and the name that the answer has for it."""
        for key, pair in self._known().items():
            if name in (key, pair.base + pair.quoted):
                return key, pair
            if name == _streamed(pair):
                return name, pair
        return None

    def _guarded(self, handler: Callable[[web.Request], web.Response]) -> Callable[[web.Request], Any]:
        async def guarded(request: web.Request) -> web.Response:
            if self.calls_left is not None:
                self.calls_left -= 1
                if self.calls_left < 0:
                    return type(self).limited()
            if self.error is not None:
                return web.json_response({"error": [self.error], **self.error_result})
            return handler(request)

        return guarded

    def _listing(self, _request: web.Request) -> web.Response:
        rows: dict[str, dict[str, object]] = {
            key: {
                "altname": pair.base + pair.quoted, "wsname": f"{pair.base}/{pair.quoted}", "aclass_base": "currency",
                "base": _long(pair.base), "aclass_quote": "currency", "quote": _long(pair.quoted), "lot": "unit",
                "pair_decimals": -_exponent(pair.tick), "lot_decimals": 8, "status": pair.status,
            }
            for key, pair in self._known().items()
        }  # fmt: skip
        rows[DARK] = {name: said for name, said in rows["XXBTZUSD"].items() if name != "wsname"} | {
            "altname": "XBTUSD.d"
        }
        return _answer(rows)

    def _tickers(self, request: web.Request) -> web.Response:
        found = [self._find(name) for name in request.query.get("pair", "").split(",")]
        if None in found:
            return _fault("EQuery:Unknown asset pair")
        return _answer({key: self._ticker(pair) for key, pair in filter(None, found)})

    def _ticker(self, pair: FakePair) -> dict[str, object]:
        nothing = _text(Decimal(0), pair)
        if not pair.price:
            return {
                "a": [nothing, "0", "0.000"], "b": [nothing, "0", "0.000"], "c": [nothing, "0.00000000"],
                "v": ["0.00000000"] * 2, "p": [nothing] * 2, "t": [0, 0], "l": [nothing] * 2, "h": [nothing] * 2,
                "o": nothing,
            }  # fmt: skip
        price = self.price(pair)
        today = self.bar(pair.symbol, Interval.D1, Interval.D1.floor(self._as_of))
        high, low = (nothing, nothing) if self.quiet else (_text(today.high, pair), _text(today.low, pair))
        return {
            "a": [_text(price + pair.tick, pair), "1", "1.500"],
            "b": [_text(price, pair), "2", "2.250"],
            "c": [_text(price, pair), "0.00009443"],
            "v": [f"{today.volume:.8f}", "163.28908096"],
            "p": [_text(today.close, pair), "105904.39279"],
            "t": [today.trades, 3276],
            "l": [low, "104711.00000"],
            "h": [high, "106613.10000"],
            "o": _text(today.open, pair),
        }

    def _ohlc(self, request: web.Request) -> web.Response:
        found = self._find(request.query.get("pair", ""))
        if found is None:
            return _fault("EQuery:Unknown asset pair")
        key, pair = found
        asked = request.query.get("interval", "1")
        interval = INTERVALS.get(int(asked)) if asked.isdecimal() else None
        if interval is None:
            return _fault("EGeneral:Invalid arguments:interval")
        opened = back_from(pair, interval, self._as_of, ROWS + 1)
        since = EPOCH + int(request.query.get("since", 0)) * SECOND
        last = _s(opened[-2]) if len(opened) > 1 else 0
        rows = [self._row(pair, interval, at) for at in opened if at >= since]
        return _answer({key: rows, "last": last})

    def _row(self, pair: FakePair, interval: Interval, opened: datetime) -> list[object]:
        known = self.bar(pair.symbol, interval, opened)
        prices = [_text(price, pair) for price in (known.open, known.high, known.low, known.close)]
        vwap = f"{known.turnover / known.volume:{_format(pair)}}" if known.volume else "0.0"
        return [_s(opened), *prices, vwap, f"{known.volume:.8f}", known.trades]

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.subscriptions[socket] = set()
        await socket.send_str(json.dumps(self._status()))
        beating = asyncio.create_task(self._beat(socket))
        stamps: deque[float] = deque(maxlen=self.messages_per_second + 1)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                stamps.append(monotonic())
                if len(stamps) == stamps.maxlen and stamps[-1] - stamps[0] < 1:
                    await socket.send_str('{"Error":"Exceeded msg rate"}')
                else:
                    await self._control(socket, message.data)
        finally:
            beating.cancel()
            async with self._heard:
                del self.subscriptions[socket]
                self._heard.notify_all()
        return socket

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_s)
            if self.subscriptions[socket]:
                await socket.send_str('{"channel":"heartbeat"}')

    async def _control(self, socket: web.WebSocketResponse, text: str) -> None:
        asked = json.loads(text)
        self.messages.append(asked)
        stamps = {"time_in": _stamp(self.now), "time_out": _stamp(self.now)}
        method, params = asked.get("method"), asked.get("params", {})
        channel, names = params.get("channel"), params.get("symbol", [])
        if method not in ("subscribe", "unsubscribe") or channel not in ("ticker", "trade"):
            await socket.send_str(json.dumps({"error": "Unsupported request", "success": False, **stamps}))
            return
        known = {_streamed(pair): pair for pair in self._known().values()}
        for name in names:
            if name not in known:
                refusal = {
                    "error": f"Currency pair not supported {name}", "method": method, "success": False,
                    "symbol": name, **stamps,
                }  # fmt: skip
                await socket.send_str(json.dumps(refusal))
                continue
            result = {key: said for key, said in params.items() if key != "symbol"} | {"symbol": name}
            await socket.send_str(json.dumps({"method": method, "result": result, "success": True, **stamps}))
            if method == "subscribe" and channel == "ticker" and params.get("snapshot", True):
                price = float(self.price(known[name]))
                event = self._ticker_event(known[name], "snapshot", price, 2.25, price + float(known[name].tick), 1.5)
                await socket.send_str(json.dumps(event))
        async with self._heard:
            carried = {(channel, name) for name in names if name in known}
            if method == "subscribe":
                self.subscriptions[socket] |= carried
            else:
                self.subscriptions[socket] -= carried
            self._heard.notify_all()

    def _status(self) -> dict[str, object]:
        return {
            "channel": "status", "type": "update",
            "data": [{
                "version": "2.0.10", "system": self.system, "api_version": "v2",
                "connection_id": 18125794168470749634, "upcoming_maintenance": [], "emergency": [],
            }],
        }  # fmt: skip

    def _ticker_event(
        self, pair: FakePair, kind: str, bid: float, bid_size: float, ask: float, ask_size: float
    ) -> dict[str, object]:
        ticker = {
            "symbol": _streamed(pair), "bid": bid, "bid_qty": bid_size, "ask": ask, "ask_qty": ask_size,
            "last": float(self.price(pair)), "volume": 3156.84782110, "vwap": 84174.6, "low": 83163.6, "high": 85247.4,
            "change": -429.3, "change_pct": -0.51, "trades": 135262, "timestamp": _stamp(self.now),
        }  # fmt: skip
        return {"channel": "ticker", "type": kind, "data": [ticker]}

    async def _send(self, channel: str, name: str, event: dict[str, object]) -> None:
        for socket, carried in list(self.subscriptions.items()):
            if (channel, name) in carried:
                with suppress(ConnectionError):
                    await socket.send_str(json.dumps(event))


def _answer(result: dict[str, Any]) -> web.Response:
    return web.json_response({"error": [], "result": result})


def _fault(text: str) -> web.Response:
    return web.json_response({"error": [text]})


def _streamed(pair: FakePair) -> str:
    return "/".join(OURS.get(side, side) for side in (pair.base, pair.quoted))


def _long(name: str) -> str:
    return {"XBT": "XXBT", "XDG": "XXDG", "ETH": "XETH", "USD": "ZUSD", "EUR": "ZEUR"}.get(name, name)


def _exponent(tick: Decimal) -> int:
    exponent = tick.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def _format(pair: FakePair) -> str:
    return f".{-_exponent(pair.tick)}f"


def _text(price: Decimal, pair: FakePair) -> str:
    return f"{price:{_format(pair)}}"


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _s(at: datetime) -> int:
    return (at - EPOCH) // SECOND
