"""A fake Yahoo: its crumb and cookie, charts with all their holes and doubles, quotes, search and streamer."""

import asyncio
import json
import re
import struct
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import numpy as np
from aiohttp import WSMsgType, web

from market import Interval
from sources.yahoo import Yahoo
from tests.fakes.fake import ChangeBars, Fake
from tests.fakes.yahoo_market import LISTED, Listed, RawBar, last_trade, raw_bars

SECONDS = {"1m": 60, "5m": 300, "15m": 900, "30m": 1800, "60m": 3600, "1h": 3600, "1d": 86400}
_DAYS_BACK = {"1m": 30, "5m": 60, "15m": 60, "30m": 60, "60m": 730, "1h": 730}
_VALID = "1m, 2m, 5m, 15m, 30m, 60m, 90m, 1h, 4h, 1d, 5d, 1wk, 1mo, 3mo"
_QUOTE_TYPES = {"EQUITY": 8, "INDEX": 9, "CURRENCY": 14, "FUTURE": 18, "ETF": 20, "CRYPTOCURRENCY": 41}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Row = list[float | None]


def too_many() -> web.Response:
    """How it limits: no JSON, no Retry-After."""
    return web.Response(status=429, text="Too Many Requests\r\n", content_type="text/html")


def unauthorized(description: str = "Invalid Crumb") -> web.Response:
    return _error("finance", 401, "Unauthorized", description)


@dataclass(eq=False)
class Connection:
    """One stream: at most 100 symbols hold a slot, known or not; the first come."""

    socket: web.WebSocketResponse
    transport: asyncio.Transport
    slots: list[str] = field(default_factory=list)


class FakeYahoo(Fake):
    """Yahoo, with each of its known oddities as an attribute. Data are delayed by `delay_minutes`.

    On its own it gives rows of nulls where nobody traded, a live row at the end, and a bar at `period2` of what
    trades around the clock.
    """

    name = "yahoo"
    symbols = tuple(LISTED)
    unknown = "NOPE"
    intervals = (Interval.M1, Interval.M5, Interval.M15, Interval.M30, Interval.H1, Interval.D1)
    limited = too_many
    refused = unauthorized
    secrets = ("haT3",)
    crumbs: ClassVar[Sequence[str]] = ("haT3/kh.qZ+", "b.4/Second", "Third/one.")

    def __init__(self) -> None:
        super().__init__()
        self.prices = {symbol: listed.base / listed.parts for symbol, listed in LISTED.items()}
        self.delay_minutes = 0
        self.crumb_answer: Callable[[], web.Response] | None = None
        self.chart_answer: Callable[[], web.Response] | None = None
        self.refuses_quotes = False
        self.crumb_number = 0
        self.quotes_short_pairs_in_full = False
        self.answers_in: str | None = None
        self.extended_hours = False
        self.hides_sessions = False
        self.slips_at_midnight = False
        self.null_days: set[date] = set()
        self.ghosts: set[str] = set()
        self.without: set[str] = set()
        self.row: dict[str, Any] = {}
        self.tick: dict[int, Any] = {}
        self.connections: list[Connection] = []
        self.frames: list[Any] = []
        self._slots_changed = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._root),
            web.get("/v1/test/getcrumb", self._browser(self._getcrumb)),
            web.get("/v7/finance/quote", self._browser(self._quote)),
            web.get("/v1/finance/search", self._browser(self._search)),
            web.get("/v8/finance/chart/{symbol}", self._browser(self._chart)),
        ]

    def source(self) -> Yahoo:
        return Yahoo(
            self.url, f"{self.url}/", self.ws_url, self.budget, timeout_s=self.timeout_s, clock=lambda: self.now
        )

    def expire_crumb(self) -> None:
        """From now on another crumb is the right one."""
        self.crumb_number += 1

    # What is true, for tests to compare with

    def raw(self, symbol: str, interval: Interval, start: datetime, end: datetime) -> list[RawBar]:
        """The bars that open within [start, end), RAW, in Yahoo's units."""
        listed = LISTED[symbol]
        bars = self._bars(listed, interval.span.total_seconds(), start.timestamp() - 86400, end.timestamp() + 86400)
        return [bar for bar in bars if start <= bar_time(bar, interval) < end]

    def _bars(self, listed: Listed, seconds: float, start: float, end: float) -> list[RawBar]:
        last = self.prices[listed.symbol] * listed.parts
        return raw_bars(listed, int(seconds), start, end, self._seen, round(last, listed.hint + 2))

    @property
    def _seen(self) -> float:
        return int(self.now.timestamp()) - self.delay_minutes * 60

    # HTTP

    def _browser(self, handler: Handler) -> Handler:
        async def judged(request: web.Request) -> web.StreamResponse:
            agent = request.headers.get("User-Agent", "")
            return await handler(request) if agent.startswith("Mozilla/5.0 ") else too_many()

        return judged

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade") == "websocket":
            return await self._streamer(request)
        answer = web.Response(status=404, text="<html>Not Found</html>", content_type="text/html")
        answer.set_cookie("A3", f"d=AQABB{self.crumb_number}", max_age=31557600, httponly=True)
        return answer

    async def _getcrumb(self, request: web.Request) -> web.StreamResponse:
        if self.crumb_answer is not None:
            return self.crumb_answer()
        if "A3" not in request.cookies:
            return web.Response(text="")
        return web.Response(text=self.crumbs[self.crumb_number], headers={"Cache-Control": "private, max-age=60"})

    async def _quote(self, request: web.Request) -> web.StreamResponse:
        if "A3" not in request.cookies or self.refuses_quotes:
            return unauthorized("User is unable to access this feature - https://bit.ly/yahoo-finance-api-feedback")
        if request.query.get("crumb") != self.crumbs[self.crumb_number]:
            return unauthorized()
        asked = request.query["symbols"].split(",")
        if len(asked) > 99:
            return _error("finance", 400, "Bad Request", "Too many symbols")
        rows = [self._quote_row(listed) for native in asked if (listed := self._listed(native))]
        rows += [{"symbol": native, "quoteType": "ECNQUOTE"} for native in asked if native in self.ghosts]
        return web.json_response({"quoteResponse": {"result": rows, "error": None}})

    async def _search(self, request: web.Request) -> web.StreamResponse:
        text = request.query["q"].casefold()
        found: list[dict[str, Any]] = [
            {
                "exchange": listed.exchange,
                "shortname": listed.name,
                "quoteType": listed.kind,
                "symbol": listed.native,
                "index": "quotes",
                "score": 33133.0,
                "longname": listed.name,
                "exchDisp": listed.exchange_name,
                "isYahooFinance": True,
            }
            for listed in LISTED.values()
            if text in listed.name.casefold() or text in listed.native.casefold()
        ]
        found.insert(1, {"index": "7a3f", "name": "Apple Private", "permalink": "apple", "isYahooFinance": False})
        found.append({"symbol": "M&M.NS", "quoteType": "EQUITY", "exchange": "NSI", "isYahooFinance": True})
        found.append({"symbol": "AAPL261218C00200000", "quoteType": "OPTION", "isYahooFinance": True})
        return web.json_response({"explains": [], "count": len(found), "quotes": found, "news": []})

    async def _chart(self, request: web.Request) -> web.StreamResponse:
        if self.chart_answer is not None:
            return self.chart_answer()
        native, interval = request.match_info["symbol"], request.query["interval"]
        if interval not in SECONDS:
            return _error(
                "chart",
                400,
                "Bad Request",
                f"Invalid input - interval={interval} is not supported. Valid intervals: [{_VALID}]",
            )
        listed = self._listed(native)
        if native in self.ghosts:
            return self._answer(
                {
                    "instrumentType": "ECNQUOTE",
                    "exchangeTimezoneName": "America/New_York",
                    "symbol": native,
                    "dataGranularity": interval,
                },
                [],
                {},
                interval,
            )
        if listed is None:
            return _error("chart", 404, "Not Found", "No data found, symbol may be delisted")
        ranged = request.query.get("range", "")
        if ranged:
            start, end = last_trade(listed, self._seen)[1][0], int(self._seen)
        else:
            start, end = int(request.query["period1"]), int(request.query["period2"])
            if refusal := self._refusal(listed, interval, start, end):
                return refusal
        told = self.answers_in or ("1h" if interval == "60m" else interval)
        rows = self._rows(listed, told, start, end)
        meta = self._meta(listed, told, ranged, rows, start, end)
        return self._answer(meta, rows, self._events(listed, start, end), told)

    def _refusal(self, listed: Listed, interval: str, start: int, end: int) -> web.Response | None:
        window = f"startTime={start} and endTime={end}"
        back = _DAYS_BACK.get(interval)
        if back is not None and start <= self.now.timestamp() - back * 86400:
            return _error(
                "chart",
                422,
                "Unprocessable Entity",
                f"{interval} data not available for {window}. The requested range must be within the last {back} days.",
            )
        if interval == "1m" and end - start > 8 * 86400:
            return _error(
                "chart",
                422,
                "Unprocessable Entity",
                f"1m data not available for {window}. "
                "Only 8 days worth of 1m granularity data are allowed to be fetched per request.",
            )
        if end - start > 100 * 366 * 86400:
            return _error(
                "chart",
                422,
                "Unprocessable Entity",
                f"1d data not available for {window}. "
                "Only 100 years worth of day granularity data are allowed to be fetched per request.",
            )
        if end < datetime.combine(listed.first_day, datetime.min.time(), UTC).timestamp():
            return _error("chart", 400, "Bad Request", f"Data doesn't exist for startDate = {start}, endDate = {end}")
        return None

    def _rows(self, listed: Listed, interval: str, start: int, end: int) -> list[Row]:
        """Rows of stamp, open, high, low, close and volume, adjusted for splits and in float32."""
        bars = self._bars(listed, SECONDS[interval], start, end)
        is_whole_day = listed.closes is None
        rows: dict[int, Row] = {}
        for bar in bars:
            if interval == "1d" and bar.day in self.null_days:
                rows[self._stamp(listed, bar, interval)] = [None] * 5
                continue
            shares = listed.shares(bar.day)
            prices = [float(np.float32(price / shares)) for price in bar[3:7]]
            rows[self._stamp(listed, bar, interval)] = [*prices, bar.volume * shares]
        for opening in self._untraded(listed, SECONDS[interval], start, end, {bar.time for bar in bars}):
            rows[opening] = [None] * 5
        told: list[Row] = [
            [stamp, *rows[stamp]] for stamp in sorted(rows) if start <= stamp < end or (stamp == end and is_whole_day)
        ]
        told = self._with_live_row(listed, interval, bars, told, end)
        return self._with_extended_hours(listed, told, start, end) if interval != "1d" else told

    def _stamp(self, listed: Listed, bar: RawBar, interval: str) -> int:
        slips = self.slips_at_midnight and interval == "1d" and listed.closes is None
        return bar.time - 3600 if slips else bar.time

    def _untraded(self, listed: Listed, seconds: int, start: int, end: int, traded: set[int]) -> list[int]:
        if seconds == 86400:
            return []
        openings: list[int] = []
        for day, opens, closes in listed.sessions(start, end):
            resumes = listed.stretches(day)[-1][0]  # of the pause there are slots too, on the morning's grid
            slots = chain(range(opens, resumes, seconds), range(resumes, closes, seconds))
            openings += [slot for slot in slots if slot <= self._seen]
        return [opening for opening in openings if opening not in traded]

    def _with_live_row(self, listed: Listed, interval: str, bars: list[RawBar], rows: list[Row], end: int) -> list[Row]:
        """The last trade of a session that goes on has a row of its own; a day is told twice, the first time older."""
        traded, (_, closes) = last_trade(listed, self._seen)
        if not rows or not traded < closes or end < traded or rows[-1][1] is None or rows[-1][0] == traded:
            return rows
        *_, bar = bars
        price = float(np.float32(bar.close))
        if interval != "1d":
            return [*rows, [traded, price, price, price, price, 0]]
        stamp, *prices, volume = rows[-1]
        assert volume is not None
        return [*rows[:-1], [stamp, *prices[:3], prices[2], max(0, volume - 7)], [traded, *prices, volume]]

    def _with_extended_hours(self, listed: Listed, rows: list[Row], start: int, end: int) -> list[Row]:
        if not self.extended_hours or listed.closes is None:
            return rows
        strays = [stamp for _, opens, closes in listed.sessions(start, end) for stamp in (opens - 900, closes)]
        outside: list[Row] = [[stamp, 1.0, 1.0, 1.0, 1.0, 5] for stamp in strays if start <= stamp < end]
        return sorted(rows + outside, key=lambda row: row[0] or 0)

    def _events(self, listed: Listed, start: int, end: int) -> dict[str, Any]:
        events: dict[str, Any] = {}
        for day, new, old in listed.splits:
            if (at := _opening(listed, day)) and start <= at <= min(end, self._seen):
                events.setdefault("splits", {})[str(at)] = {
                    "date": at, "numerator": new, "denominator": old, "splitRatio": f"{new}:{old}",
                }  # fmt: skip
        for day, amount in listed.dividends:
            if (at := _opening(listed, day)) and start <= at <= min(end, self._seen):
                events.setdefault("dividends", {})[str(at)] = {"amount": amount / listed.shares(day), "date": at}
        return events

    def _meta(
        self, listed: Listed, interval: str, ranged: str, rows: list[Row], start: int, end: int
    ) -> dict[str, Any]:
        traded, (opens, closes) = last_trade(listed, self._seen)
        (day,) = self._bars(listed, 86400, opens + 1, opens + 1)[-1:]
        before = self._bars(listed, 86400, opens - 9 * 86400, opens - 86400)
        offset = int((self.now.astimezone(ZoneInfo(listed.zone)).utcoffset() or timedelta()).total_seconds())

        def period(first: int, last: int) -> dict[str, Any]:
            whole = listed.closes is None and last > first
            return {"timezone": "XYZ", "start": first, "end": last - 60 if whole else last, "gmtoffset": offset}

        meta: dict[str, Any] = {
            "currency": listed.currency,
            "symbol": listed.native,
            "exchangeName": listed.exchange,
            "fullExchangeName": listed.exchange_name,
            "instrumentType": listed.kind,
            "firstTradeDate": _opening(listed, listed.first_day),
            "regularMarketTime": traded,
            "hasPrePostMarketData": True,
            "gmtoffset": offset,
            "timezone": "XYZ",
            "exchangeTimezoneName": listed.zone,
            "regularMarketPrice": round(self.prices[listed.symbol] * listed.parts, listed.hint + 2),
            "regularMarketDayHigh": day.high,
            "regularMarketDayLow": day.low,
            "regularMarketVolume": int(day.volume),
            "longName": listed.name,
            "shortName": listed.name,
            "chartPreviousClose": before[-1].close / listed.shares(before[-1].day) if before else None,
            "priceHint": listed.hint,
            "currentTradingPeriod": {
                "pre": period(opens - 3600, opens) if listed.closes else period(opens, opens),
                "regular": period(opens, closes),
                "post": period(closes, closes + 3600) if listed.closes else period(closes, closes),
            },
            "dataGranularity": interval,
            "range": ranged,
            "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
        }
        if interval != "1d" and not self.hides_sessions:
            meta["tradingPeriods"] = [[period(*session)] for _, *session in listed.sessions(start, end)]
        return {name: value for name, value in meta.items() if name not in self.without}

    def _answer(self, meta: dict[str, Any], rows: list[Row], events: dict[str, Any], interval: str) -> web.Response:
        result: dict[str, Any] = {"meta": meta, "indicators": {"quote": [{}]}}
        columns = [list(column) for column in zip(*rows, strict=True)]
        if columns:
            result["timestamp"] = columns[0]
            names = ("open", "high", "low", "close", "volume")
            result["indicators"]["quote"] = [dict(zip(names, columns[1:], strict=True))]
        if interval == "1d":
            result["indicators"]["adjclose"] = [{"adjclose": columns[4]} if columns else {}]
        if events:
            result["events"] = events
        return web.json_response({"chart": {"result": [result], "error": None}})

    def _quote_row(self, listed: Listed) -> dict[str, Any]:
        traded, (opens, _) = last_trade(listed, self._seen)
        (day,) = self._bars(listed, 86400, opens + 1, opens + 1)[-1:]
        before = self._bars(listed, 86400, opens - 9 * 86400, opens - 86400)[-1]
        price = round(self.prices[listed.symbol] * listed.parts, listed.hint + 2)
        spread = 0 if listed.kind in ("INDEX", "CRYPTOCURRENCY") else 10**-listed.hint
        row = {
            "language": "en-US",
            "region": "US",
            "quoteType": listed.kind,
            "currency": listed.currency,
            "shortName": listed.name,
            "longName": listed.name,
            "regularMarketPrice": price,
            "priceHint": listed.hint,
            "regularMarketDayHigh": day.high,
            "regularMarketDayLow": day.low,
            "regularMarketVolume": int(day.volume),
            "regularMarketPreviousClose": before.close / listed.shares(before.day),
            "bid": round(price - spread, 6) if spread else 0,
            "ask": round(price + spread, 6) if spread else 0,
            "bidSize": 0,
            "askSize": 1,
            "fullExchangeName": listed.exchange_name,
            "regularMarketOpen": day.open,
            "marketCap": 3674405863424,
            "sourceInterval": 15,
            "exchangeDataDelayedBy": self.delay_minutes,
            "tradeable": False,
            "regularMarketTime": traded,
            "marketState": "REGULAR",
            "exchange": listed.exchange,
            "exchangeTimezoneName": listed.zone,
            "symbol": f"USD{listed.native}"
            if self.quotes_short_pairs_in_full and len(listed.native) == 5 and listed.native.endswith("=X")
            else listed.native,
        }
        return {name: value for name, value in {**row, **self.row}.items() if name not in self.without}

    def _listed(self, native: str) -> Listed | None:
        short = re.fullmatch(r"USD([A-Z]{3}=X)", native)
        spelt = short[1] if short else native
        return next((listed for listed in LISTED.values() if listed.native == spelt), None)

    # The stream

    async def _streamer(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        connection = Connection(socket, request.transport)
        self.connections.append(connection)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and not await self._heard(connection, message.data):
                    connection.transport.abort()
        finally:
            self.connections.remove(connection)
            self._wake()
        return socket

    async def _heard(self, connection: Connection, text: str) -> bool:
        """Whether a frame is well-formed; who sends another is cut off."""
        try:
            frame = json.loads(text)
        except ValueError:
            return False
        self.frames.append(frame)
        for verb, natives in frame.items():
            if verb not in ("subscribe", "unsubscribe") or not isinstance(natives, list):
                return False
            if not all(isinstance(native, str) for native in natives):
                return False
            for native in natives:
                if verb == "unsubscribe":
                    connection.slots = [held for held in connection.slots if held != native]
                elif len(connection.slots) < 100 and native not in connection.slots:
                    connection.slots.append(native)
                    await self._snapshot(connection, native)
        self._wake()
        return True

    def _wake(self) -> None:
        self._slots_changed.set()
        self._slots_changed = asyncio.Event()

    async def _snapshot(self, connection: Connection, native: str) -> None:
        """The last that is known, with its own time, which may be days ago."""
        if listed := self._listed(native):
            traded, _ = last_trade(listed, self._seen)
            message = self.pricing(listed.symbol, self.prices[listed.symbol], datetime.fromtimestamp(traded, UTC))
            await self.send(connection, message)

    def is_watched(self, symbol: str) -> bool:
        return any(LISTED[symbol].native in connection.slots for connection in self.connections)

    def with_bars(self, path: str, payload: Any, change: ChangeBars) -> Any:
        if not path.startswith("/v8/") or not payload["chart"]["result"]:
            return payload
        [result] = payload["chart"]["result"]
        [quote] = result["indicators"]["quote"]
        names = ("open", "high", "low", "close", "volume")
        rows = change([list(row) for row in zip(result["timestamp"], *map(quote.get, names), strict=True)])
        result["timestamp"], *columns = (list(column) for column in zip(*rows, strict=True))
        quote.update(zip(names, columns, strict=True))
        return payload

    async def push(self, symbol: str, price: float, time: datetime) -> None:
        self.prices[symbol] = price
        message = self.pricing(symbol, price, time)
        for connection in list(self.connections):
            if any(self._listed(native) is LISTED[symbol] for native in connection.slots):
                await self.send(connection, message)

    async def send(self, connection: Connection, message: bytes) -> None:
        """A message of the second version of its protocol."""
        await connection.socket.send_str(json.dumps({"type": "pricing", "message": b64encode(message).decode()}))

    async def say(self, text: str) -> None:
        for connection in list(self.connections):
            await connection.socket.send_str(text)

    async def subscribed(self, *natives: str) -> None:
        """Return once exactly these hold slots, over all connections."""
        while sorted(chain.from_iterable(one.slots for one in self.connections)) != sorted(natives):
            await self._slots_changed.wait()

    def pricing(self, symbol: str, price: float, time: datetime) -> bytes:
        """A PricingData message; `tick` replaces fields by number, None leaves one out."""
        listed = LISTED[symbol]
        fields: dict[int, Any] = {
            1: listed.native,
            2: price * listed.parts,
            3: int(time.timestamp() * 1000),
            4: listed.currency,
            5: listed.exchange,
            6: _QUOTE_TYPES[listed.kind],
            7: 1,
            8: 0.5,
            9: 123456 if listed.has_volume else 0,
            12: 1.25,
            27: listed.hint,
            **self.tick,
        }
        return encode(fields)


_PLAIN = (6, 7)
_DOUBLES = (32, 33)


def encode(fields: dict[int, Any]) -> bytes:
    """The protobuf of PricingData's fields; as proto3 says, nothing is written for 0."""
    message = b""
    for number, value in fields.items():
        if not value:
            continue
        match value:
            case str():
                message += varint(number << 3 | 2) + varint(len(value.encode())) + value.encode()
            case float() if number in _DOUBLES:
                message += varint(number << 3 | 1) + struct.pack("<d", value)
            case float():
                message += varint(number << 3 | 5) + struct.pack("<f", value)
            case int():
                message += varint(number << 3) + varint(value if number in _PLAIN else value << 1 ^ value >> 63)
    return message


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    value &= 2**64 - 1
    told = bytearray()
    while value >= 0x80:
        told.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*told, value])


def bar_time(bar: RawBar, interval: Interval) -> datetime:
    """The name of a bar: the trading date at 00:00 UTC, or the opening instant."""
    if interval is Interval.D1:
        return datetime.combine(bar.day, datetime.min.time(), UTC)
    return datetime.fromtimestamp(bar.time, UTC)


def _opening(listed: Listed, day: date) -> int | None:
    session = listed.session(day)
    return session[0] if session else None


def _error(root: str, status: int, code: str, description: str) -> web.Response:
    body = {root: {"result": None, "error": {"code": code, "description": description}}}
    return web.json_response(body, status=status)
