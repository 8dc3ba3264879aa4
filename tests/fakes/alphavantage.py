"""A fake Alpha Vantage: what its free and its paid keys see, and every sentence it has in the place of data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, ClassVar, Final
from zlib import crc32
from zoneinfo import ZoneInfo

from aiohttp import web

from market import Interval
from sources.alphavantage import AlphaVantage
from tests.fakes.fake import ChangeBars, Fake

KEY: Final = "KQ7ZX2M4T9W1B8V0"
SITE: Final = "https://www.alphavantage.co"
NEW_YORK: Final = ZoneInfo("America/New_York")

DAILY_QUOTA: Final = {
    "Information": f"We have detected your API key as {KEY} and our standard API rate limit is 25 requests per day. "
    f"Please subscribe to any of the premium plans at {SITE}/premium/ to instantly remove all daily rate limits."
}
BURST: Final = {
    "Information": "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more "
    f"sparingly (1 request per second). You may subscribe to any of the premium plans at {SITE}/premium/ to lift the "
    "free key rate limit (25 requests per day), raise the per-second burst limit, and instantly unlock all premium "
    "endpoints"
}
LEGACY_NOTE: Final = {
    "Note": "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls "
    f"per day. Please visit {SITE}/premium/ if you would like to target a higher API call frequency."
}
PREMIUM: Final = {
    "Information": "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the "
    f"premium plans at {SITE}/premium/ to instantly unlock all premium endpoints"
}
NOT_ENTITLED: Final = {"Information": "Your plan is not entitled to realtime or 15-minute delayed US market data."}
ARTIFICIAL: Final = {
    "endpoint": "Realtime Bulk Quotes",
    "message": "This is a premium endpoint. ***THE SAMPLE DATA SCHEMA BELOW IS ARTIFICIAL AND FOR ILLUSTRATION ONLY***",
    "data": [{"symbol": "AAPL", "timestamp": "2024-10-18 19:59:55.291", "open": "417.14", "close": "418.16"}],
}
BAD_KEY: Final = {
    "Error Message": "the parameter apikey is invalid or missing. Please claim your free API key on "
    f"({SITE}/support/#api-key). It should take less than 20 seconds."
}
DEMO_KEY: Final = {"Information": "The **demo** API key is for demo purposes only. Please claim your free API key."}
NO_FUNCTION: Final = {"Error Message": "This API function () does not exist."}
BAD_ACCEPT: Final = {"detail": "Could not satisfy the request Accept header."}


def invalid_call(function: str) -> dict[str, str]:
    return {
        "Error Message": f"Invalid API call. Please retry or visit the documentation ({SITE}/documentation/) "
        f"for {function}."
    }


def full_is_premium(function: str) -> dict[str, str]:
    return {
        "Information": "Thank you for using Alpha Vantage! The outputsize=full parameter value is a premium feature "
        f"for the {function} endpoint. You may subscribe to any of the premium plans at {SITE}/premium/"
    }


@dataclass(frozen=True)
class Listed:
    """A share as the search tells of it; `price` is in our currency, of which `parts` of its unit make one."""

    native: str
    name: str
    price: float
    region: str = "United States"
    hours: tuple[str, str] = ("09:30", "16:00")
    offset: str = "UTC-04"
    currency: str = "USD"
    zone: str = "America/New_York"
    kind: str = "Equity"
    parts: int = 1


def _london(native: str, name: str, price: float, currency: str, parts: int, kind: str = "Equity") -> Listed:
    return Listed(
        native, name, price, "United Kingdom", ("08:00", "16:30"), "UTC+01", currency, "Europe/London", kind, parts
    )


def _asian(native: str, name: str, price: float, region: str, hours: tuple[str, str], currency: str) -> Listed:
    zone, offset = ("Asia/Kolkata", "UTC+5.5") if currency == "INR" else ("Asia/Shanghai", "UTC+08")
    return Listed(native, name, price, region, hours, offset, currency, zone)


SHARES: Final = {
    "AAPL": Listed("AAPL", "Apple Inc", 219.3),
    "DE": Listed("DE", "Deere & Company", 455.25),
    "BRK.B": Listed("BRK-B", "Berkshire Hathaway Inc - Class B", 480.15),
    "SPY": Listed("SPY", "SPDR S&P 500 ETF Trust", 580.5, kind="ETF"),
    "0700.HK": _asian("0700.HKG", "Tencent Holdings Ltd", 410.2, "Hong Kong", ("09:30", "16:00"), "HKD"),
    "600519.SS": _asian("600519.SHH", "Kweichow Moutai Co Ltd", 1402.5, "Shanghai", ("09:30", "15:00"), "CNY"),
    "000002.SZ": _asian("000002.SHZ", "China Vanke Co Ltd", 6.71, "Shenzhen", ("09:30", "15:00"), "CNY"),
    "RELIANCE.BO": _asian("RELIANCE.BSE", "Reliance Industries", 1421.35, "India/Bombay", ("09:15", "15:30"), "INR"),
    "TSCO.L": _london("TSCO.LON", "Tesco PLC", 4.217, "GBX", 100),
    "CSPX.L": _london("CSPX.LON", "iShares Core S&P 500", 612.4, "USD", 1, "ETF"),
    "SHOP.TO": Listed("SHOP.TRT", "Shopify Inc", 151.2, "Toronto", currency="CAD", zone="America/Toronto"),
    "SAP.DE": Listed("SAP.DEX", "SAP SE", 262.8, "XETRA", ("08:00", "20:00"), "UTC+02", "EUR", "Europe/Berlin"),
}
CURRENCIES: Final = {
    "EUR": "Euro",
    "USD": "United States Dollar",
    "JPY": "Japanese Yen",
    "BTC": "Bitcoin",
    "USDT": "Tether",
}
PAIRS: Final = {
    "EURUSD=X": ("EUR", "USD", 1.1624),
    "JPY=X": ("USD", "JPY", 158.73167),
    "BTC-USD": ("BTC", "USD", 78312.42),
    "BTC-USDT": ("BTC", "USDT", 78340.5),
}
SPLIT: Final = ("AAPL", date(2026, 3, 16), 4)
"""AAPL trades 4 new shares for 1 old from that day on; prices before it stand as they were traded."""

CRYPTO_ROWS: Final = 350
COMPACT_ROWS: Final = 100


@dataclass(frozen=True)
class Row:
    """A day as it is told: prices in its unit."""

    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class FakeAlphaVantage(Fake):
    """On a free key, until `premium` is set. Its ways to differ and to fail:

    - `says`: one body in answer to everything; `counts`: it allows one question a second of `now`, and 25 a day of
      New York; `legacy_note`: in the words of old.
    - `delayed`: quotes 15 minutes late, under another title. `without_bid`: "-" as bid and ask.
    - `unknown_is_empty`: {} for an unknown series. `full_fails`: symbols whose whole history is an error.
    - `listed_on`: the first day of a symbol's history. `null_days`: days whose prices are zero.
    - `legacy_coins`: rows of coins under "1a. open (USD)".
    """

    name: ClassVar[str] = "alphavantage"
    symbols: ClassVar[tuple[str, ...]] = (*SHARES, *PAIRS)
    unknown: ClassVar[str] = "ZZZZ"
    secrets: ClassVar[tuple[str, ...]] = (KEY,)
    intervals: ClassVar[tuple[Interval, ...]] = (Interval.D1,)
    limited: ClassVar[Callable[[], web.Response]] = lambda: web.json_response(BURST)
    refused: ClassVar[Callable[[], web.Response]] = lambda: web.json_response(BAD_KEY)

    def __init__(self) -> None:
        super().__init__()
        self.prices = {symbol: share.price for symbol, share in SHARES.items()}
        self.prices |= {symbol: price for symbol, (_, _, price) in PAIRS.items()}
        self.premium = False
        self.says: Any = None
        self.counts = False
        self.legacy_note = False
        self.delayed = False
        self.without_bid = False
        self.unknown_is_empty = False
        self.full_fails: set[str] = set()
        self.listed_on: dict[str, date] = {}
        self.null_days: set[date] = set()
        self.legacy_coins = False
        self.paused: list[float] = []
        self._asked_at: list[datetime] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/query", self._query)]

    def source(self) -> AlphaVantage:
        return AlphaVantage(self.url, KEY, self.budget, lambda: self.now, self.pause, timeout_s=self.timeout_s)

    async def push(self, symbol: str, price: float, time: datetime) -> None:
        """Nobody can have subscribed."""

    def is_watched(self, symbol: str) -> bool:
        return False

    def with_bars(self, path: str, payload: Any, change: ChangeBars) -> Any:
        titles = [title for title in payload if title.startswith("Time Series")]
        for title in titles:
            rows = [[day, *fields.values(), list(fields)] for day, fields in payload[title].items()]
            payload[title] = {day: dict(zip(names, told, strict=True)) for day, *told, names in change(rows)}
        return payload

    async def pause(self, seconds: float) -> None:
        """Time passes for the fake and its source, at once."""
        self.paused.append(seconds)
        self.now += timedelta(seconds=seconds)

    @property
    def asked(self) -> list[dict[str, str]]:
        """The parameters of every question so far, without the key."""
        return [{name: value for name, value in request.query.items() if name != "apikey"} for request in self.requests]

    def rows(self, symbol: str) -> Iterator[Row]:
        """Every day that has traded, the newest first; the last close is the price."""
        share = SHARES.get(symbol)
        day = self.now.astimezone(ZoneInfo(share.zone) if share else UTC).date()
        first = self.listed_on.get(symbol, date(2015, 1, 1))
        is_newest = True
        while day >= first:
            if self._trades(symbol, day):
                row = _row(symbol, day)
                if is_newest:
                    close = Decimal(str(self.prices[symbol])) * (share.parts if share else 1)
                    row = Row(day, row.open, max(row.high, close), min(row.low, close), close, row.volume)
                    is_newest = False
                yield row
            day -= timedelta(days=1)

    def _trades(self, symbol: str, day: date) -> bool:
        if _is_coin(symbol):
            return True
        if day.weekday() > 4 or (day.month, day.day) in {(1, 1), (12, 25)}:
            return False
        share = SHARES.get(symbol)
        opens = datetime.combine(day, time.fromisoformat(share.hours[0]), ZoneInfo(share.zone)) if share else None
        return opens is None or opens <= self.now

    async def _query(self, request: web.Request) -> web.Response:
        return web.json_response(self._answer(request))

    def _answer(self, request: web.Request) -> Any:
        if request.headers.get("Accept") not in ("*/*", "application/json"):
            return BAD_ACCEPT
        if self.says is not None:
            return self.says
        query = request.query
        if query.get("apikey") != KEY:
            return BAD_KEY
        if self.counts and (limit := self._limit()):
            return limit
        function = query.get("function", "")
        match function:
            case "GLOBAL_QUOTE":
                return self._global_quote(query.get("symbol", ""))
            case "TIME_SERIES_DAILY":
                found = [symbol for symbol, share in SHARES.items() if share.native == query.get("symbol")]
                meta = {"2. Symbol": query.get("symbol", ""), "4. Output Size": "Compact", "5. Time Zone": "US/Eastern"}
                return self._series(function, found, query.get("outputsize", "compact"), "Time Series (Daily)", meta)
            case "FX_DAILY":
                found = _pairs(query.get("from_symbol"), query.get("to_symbol"))
                meta = {"2. From Symbol": "", "3. To Symbol": "", "4. Output Size": "Compact", "6. Time Zone": "UTC"}
                return self._series(function, found, query.get("outputsize", "compact"), "Time Series FX (Daily)", meta)
            case "DIGITAL_CURRENCY_DAILY":
                found = [pair for pair in _pairs(query.get("symbol"), query.get("market")) if _is_coin(pair)]
                meta = {"2. Digital Currency Code": "", "4. Market Code": "", "7. Time Zone": "UTC"}
                title = "Time Series (Digital Currency Daily)"
                return self._series(function, found, "coin", title, meta)
            case "CURRENCY_EXCHANGE_RATE":
                return self._rate(query.get("from_currency", ""), query.get("to_currency", ""))
            case "SYMBOL_SEARCH":
                return self._search(query.get("keywords", "").casefold())
        return NO_FUNCTION

    def _limit(self) -> dict[str, str] | None:
        asked, self._asked_at = self._asked_at, [*self._asked_at, self.now]
        today = self.now.astimezone(NEW_YORK).date()
        if sum(at.astimezone(NEW_YORK).date() == today for at in asked) >= 25:
            return DAILY_QUOTA
        if any(self.now - at < timedelta(seconds=1) for at in asked):
            return LEGACY_NOTE if self.legacy_note else BURST
        return None

    def _global_quote(self, native: str) -> dict[str, Any]:
        title = "Global Quote - DATA DELAYED BY 15 MINUTES" if self.delayed else "Global Quote"
        for symbol, share in SHARES.items():
            if share.native == native:
                last, before = islice(self.rows(symbol), 2)
                change = last.close - before.close
                return {
                    title: {
                        "01. symbol": native,
                        "02. open": f"{last.open:.4f}",
                        "03. high": f"{last.high:.4f}",
                        "04. low": f"{last.low:.4f}",
                        "05. price": f"{last.close:.4f}",
                        "06. volume": f"{last.volume:.0f}",
                        "07. latest trading day": last.day.isoformat(),
                        "08. previous close": f"{before.close:.4f}",
                        "09. change": f"{change:.4f}",
                        "10. change percent": f"{change / before.close * 100:.4f}%",
                    }
                }
        return {title: {}}

    def _series(self, function: str, found: list[str], size: str, title: str, meta: dict[str, str]) -> dict[str, Any]:
        if size == "full" and not self.premium:
            return full_is_premium(function)
        if not found or (size == "full" and found[0] in self.full_fails):
            return {} if self.unknown_is_empty and not found else invalid_call(function)
        [symbol] = found
        most = {"compact": COMPACT_ROWS, "coin": CRYPTO_ROWS}.get(size)
        rows = list(islice(self.rows(symbol), most))
        return {
            "Meta Data": {"1. Information": "Daily", **meta, "8. Last Refreshed": rows[0].day.isoformat()},
            title: {row.day.isoformat(): self._fields(symbol, row) for row in rows},
        }

    def _fields(self, symbol: str, row: Row) -> dict[str, str]:
        places = {"EURUSD=X": 5, "JPY=X": 5, "BTC-USD": 8}.get(symbol, 4)
        prices = {"open": row.open, "high": row.high, "low": row.low, "close": row.close}
        texts = {
            word: f"{Decimal() if row.day in self.null_days else price:.{places}f}" for word, price in prices.items()
        }
        if not _is_coin(symbol):
            fields = {f"{number}. {word}": text for number, (word, text) in enumerate(texts.items(), 1)}
            return fields | ({"5. volume": f"{row.volume:.0f}"} if symbol in SHARES else {})
        market = PAIRS[symbol][1]
        if self.legacy_coins:
            fields = {}
            for number, (word, text) in enumerate(texts.items(), 1):
                fields |= {f"{number}a. {word} ({market})": text, f"{number}b. {word} (USD)": "1.00000000"}
            return fields | {"5. volume": f"{row.volume:.8f}", "6. market cap (USD)": f"{row.volume:.8f}"}
        fields = {f"{number}. {word}": text for number, (word, text) in enumerate(texts.items(), 1)}
        return fields | {"5. volume": f"{row.volume:.8f}"}

    def _rate(self, base: str, quoted: str) -> dict[str, Any]:
        for symbol in _pairs(base, quoted):
            price = Decimal(str(self.prices[symbol]))
            return {
                "Realtime Currency Exchange Rate": {
                    "1. From_Currency Code": base,
                    "2. From_Currency Name": CURRENCIES[base],
                    "3. To_Currency Code": quoted,
                    "4. To_Currency Name": CURRENCIES[quoted],
                    "5. Exchange Rate": f"{price:.8f}",
                    "6. Last Refreshed": f"{self.now.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
                    "7. Time Zone": "UTC",
                    "8. Bid Price": "-" if self.without_bid else f"{price - Decimal('0.0001'):.8f}",
                    "9. Ask Price": "-" if self.without_bid else f"{price + Decimal('0.0001'):.8f}",
                }
            }
        return invalid_call("CURRENCY_EXCHANGE_RATE")

    def _search(self, words: str) -> dict[str, Any]:
        found = [
            (1.0 if words == share.native.casefold() else 0.5, share)
            for share in SHARES.values()
            if words in share.native.casefold() or words in share.name.casefold()
        ]
        return {
            "bestMatches": [
                {
                    "1. symbol": share.native,
                    "2. name": share.name,
                    "3. type": share.kind,
                    "4. region": share.region,
                    "5. marketOpen": share.hours[0],
                    "6. marketClose": share.hours[1],
                    "7. timezone": share.offset,
                    "8. currency": share.currency,
                    "9. matchScore": f"{score:.4f}",
                }
                for score, share in sorted(found, key=lambda match: -match[0])
            ]
        }


def _is_coin(symbol: str) -> bool:
    return "-" in symbol


def _pairs(base: str | None, quoted: str | None) -> list[str]:
    return [symbol for symbol, names in PAIRS.items() if names[:2] == (base, quoted)]


def _row(symbol: str, day: date) -> Row:
    """A day of make-believe trading around the symbol's first price: the same whenever it is asked."""
    share = SHARES.get(symbol)
    middle = Decimal(str(share.price)) * share.parts if share else Decimal(str(PAIRS[symbol][2]))
    chance = crc32(f"{symbol} {day}".encode())
    splits, split_on, factor = SPLIT
    scale = factor if symbol == splits and day < split_on else 1

    def price(part: int) -> Decimal:
        return (middle * scale * (1000 + part) / 1000).quantize(Decimal("0.0001"))

    open_, close = price(chance % 41 - 20), price(chance // 41 % 41 - 20)
    spread = price(1) - price(0)
    volume = Decimal(1_000_000 + chance % 9_000_000) / scale
    return Row(day, open_, max(open_, close) + spread, min(open_, close) - spread, close, volume.quantize(Decimal(1)))
