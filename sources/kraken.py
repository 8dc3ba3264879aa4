"""Kraken: spot pairs, without a key. It calls some assets by names of its own: XBT is BTC, XDG is DOGE."""

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final, Self

import orjson
import polars as pl

from errors import SourceCannot, SourceError, SourceFault, SourceLimited, SourceRefused, SymbolNotFound
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import Settings
from sources.feed import feed
from sources.http import TIMEOUT_S, Answer, Http
from sources.pairs import Pair, Pairs, is_pair
from sources.source import Budget, Capability, Demand, Quota
from sources.ticks import Book, Ticks

logger = logging.getLogger(__name__)

# Its weeks begin on a Thursday, and its longest bars last 15 days, so it has no W1 and no MN1 of ours.
MINUTES: Final = {
    Interval.M1: 1,
    Interval.M5: 5,
    Interval.M15: 15,
    Interval.M30: 30,
    Interval.H1: 60,
    Interval.H4: 240,
    Interval.D1: 1440,
}
ROWS: Final = 720
"""Finished bars that it has of each pair and interval, whatever is asked; the forming one comes on top."""
BATCH: Final = 100
"""Tickers in one call, and pairs in one message of the stream."""

_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}
_FIAT: Final = frozenset({"AED", "AUD", "CAD", "CHF", "EUR", "GBP", "JPY", "USD"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Kraken:
    """Every spot pair of which at least one side is crypto. `clock` gives the present, aware."""

    name: ClassVar[str] = "kraken"
    display_name: ClassVar[str] = "Kraken"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.QUOTES, Capability.HISTORY, Capability.STREAM, Capability.SEARCH}
    )
    asset_types: ClassVar[frozenset[AssetType]] = frozenset({AssetType.CRYPTO})
    markets: ClassVar[frozenset[str]] = frozenset({"CRYPTO"})
    reach: Mapping[Interval, timedelta | None] = {interval: ROWS * interval.span for interval in MINUTES}
    priority: ClassVar[int] = 55  # for its own pairs an exchange knows more than anybody
    quotas: Sequence[Quota] = (Quota(15, 15),)  # one a second; two windows back to back make a burst of 30
    symbols_per_question: ClassVar[int | None] = None
    delay_seconds: ClassVar[float | None] = 0.0
    symbols_per_stream: ClassVar[int] = 250
    max_streams: ClassVar[int] = 4
    silence_s: ClassVar[float] = 60.0
    stream_life_s: ClassVar[float | None] = None
    synthetic: ClassVar[bool] = False

    def __init__(
        self,
        url: str,
        ws_url: str,
        budget: Budget,
        clock: Callable[[], datetime] = _utc_now,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._http = Http(self.name, url, budget, judge=_judge, timeout_s=timeout_s)
        self._ws_url = ws_url
        self._clock = clock
        self._pairs = Pairs(self._list, clock)

    @classmethod
    def opened(cls, settings: Settings, budget: Budget) -> Self:
        """The source at the addresses in the settings; it needs no key."""
        return cls(settings.kraken_url, settings.kraken_ws_url, budget)

    def covers(self, symbol: str) -> bool:
        """Whether it is spelled as a pair."""
        return is_pair(symbol)

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest price, book and UTC day of each pair.

        It does not say when a price was printed: `time` is when we asked, and the flag TIME_OF_ANSWER tells so.
        """
        return await self._pairs.quotes(symbols, BATCH, self._tickers)

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The newest 720 bars and the forming one; where nothing was traded a bar is flat, of volume 0.

        Raises SourceCannot where the window begins before them, unless the pair itself is younger.
        """
        if interval not in MINUTES:
            raise SourceCannot(f"kraken has no {interval} bars")
        pair = (await self._pairs.listed()).get(symbol)
        if pair is None:
            raise SymbolNotFound(f'Kraken does not list "{symbol}".', symbol=symbol)
        oldest = interval.floor(self._clock()) - ROWS * interval.span
        if window.end <= oldest:
            raise _too_old(symbol, interval, oldest)
        opening = interval.ceil(window.start)
        if opening >= window.end:
            return pl.DataFrame(schema=BAR_SCHEMA)
        # A second early: the bar that opens at `since` then comes whether or not the bound counts as inside.
        since = max(0, (opening - _EPOCH) // _SECOND - 1)
        asked: dict[str, str | int] = {"pair": pair.asked_as, "interval": MINUTES[interval], "since": since}
        bars = await self._http.get("/0/public/OHLC", _parse_ohlc, asked)
        if len(bars) >= ROWS and (first := min(bars)) > opening:
            raise _too_old(symbol, interval, first)
        rows = [row for time, row in sorted(bars.items()) if opening <= time < window.end]
        return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every trade of the listed pairs in demand, and every change of their best bid and ask."""
        dialect = _Dialect(self._ws_url, await self._pairs.listed(), Ticks(self.name, 0.0, self._clock))
        async with aclosing(feed(self._http, dialect, demand)) as batches:
            async for batch in batches:
                yield batch

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """Pairs whose symbol begins with the text, in its spelling or ours; it tells no names of assets."""
        return await self._pairs.search(text, limit)

    async def asset(self, symbol: str) -> Asset | None:
        """The listed pair, or None."""
        return await self._pairs.asset(symbol)

    async def assets(self) -> Sequence[Asset]:
        """None: the listing is a call."""
        return ()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pairs.aclose()
        await self._http.aclose()

    async def _list(self) -> Iterable[Pair]:
        return await self._http.get("/0/public/AssetPairs", _parse_listing)

    async def _tickers(self, pairs: Sequence[Pair]) -> dict[str, Quote]:
        now = self._clock()
        assets = {pair.answered_as: pair.asset for pair in pairs}
        names = ",".join(pair.asked_as for pair in pairs)
        return await self._http.get(
            "/0/public/Ticker", lambda payload: _parse_tickers(payload, assets, now), {"pair": names}
        )


class _Dialect:
    """One connection of version 2: the channels `trade`, and `ticker` for the book."""

    headers: Mapping[str, str] = {}
    messages_per_second = 2.0
    is_ready = True

    def __init__(self, ws_url: str, listed: Mapping[str, Pair], ticks: Ticks) -> None:
        self.url = f"{ws_url.rstrip('/')}/v2"
        self._listed = listed
        self._ticks = ticks

    def hello(self) -> Sequence[str]:
        return ()

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        pairs = self._known(symbols)
        for pair in pairs:
            self._ticks.follow(pair.streamed_as, pair.asset)
        return _messages("subscribe", pairs)

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        pairs = self._known(symbols)
        for pair in pairs:
            self._ticks.leave(pair.streamed_as)
        return _messages("unsubscribe", pairs)

    def parse(self, frame: str) -> Sequence[Quote]:
        """The quotes in the channels `trade` and `ticker`.

        {"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":83744.3,"qty":0.00044780,
         "ord_type":"limit","trade_id":109116693,"timestamp":"2026-09-25T17:48:26.844359Z"}]}
        {"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":83744.2,"bid_qty":0.56251979,
         "ask":83744.3,"ask_qty":0.00044780,"last":83744.3,…,"timestamp":"2026-09-25T17:48:26.844359Z"}]}
        {"channel":"heartbeat"}
        {"channel":"status","type":"update","data":[{"system":"online","connection_id":18125794168470749634,…}]}
        {"method":"subscribe","result":{"channel":"ticker","snapshot":true,"symbol":"BTC/USD"},"success":true,…}
        {"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD",…}
        {"Error":"Exceeded msg rate"}
        """
        payload = orjson.loads(frame)
        if not isinstance(payload, dict):
            raise TypeError("not an object")
        match payload.get("channel"):
            case "trade":
                return [quote for row in payload["data"] for quote in self._traded(row)]
            case "ticker":
                return [quote for row in payload["data"] for quote in self._booked(row)]
            case "heartbeat":
                return ()
            case "status":
                if payload["data"][0]["system"] == "maintenance":
                    raise SourceFault("kraken is under maintenance")
                return ()
        if "Error" in payload:
            raise SourceLimited(f"the stream of kraken: {payload['Error']}")
        if not payload["success"]:
            if "symbol" not in payload:
                raise SourceCannot(f"the stream of kraken refuses a request: {payload['error']}")
            logger.warning("kraken does not stream %s: %s", payload["symbol"], payload["error"])
        return ()

    def _traded(self, row: Mapping[str, Any]) -> Sequence[Quote]:
        time = datetime.fromisoformat(row["timestamp"])
        return self._ticks.traded(row["symbol"], float(row["price"]), float(row["qty"]), time)

    def _booked(self, row: Mapping[str, Any]) -> Sequence[Quote]:
        best = (float(row[key] or 0) or None for key in ("bid", "ask", "bid_qty", "ask_qty"))
        return self._ticks.booked(row["symbol"], Book(*best))

    def _known(self, symbols: Sequence[str]) -> list[Pair]:
        return [self._listed[symbol] for symbol in symbols if symbol in self._listed]


# What both subscribing and unsubscribing say of a channel. Trades of before come with no snapshot: they would be
# counted again after each connection.
_CHANNELS: Final[tuple[Mapping[str, object], ...]] = (
    {"channel": "ticker", "event_trigger": "bbo"},
    {"channel": "trade", "snapshot": False},
)


def _messages(method: str, pairs: Sequence[Pair]) -> list[str]:
    names = [pair.streamed_as for pair in pairs]
    return [
        orjson.dumps({"method": method, "params": {**channel, "symbol": names[start : start + BATCH]}}).decode()
        for start in range(0, len(names), BATCH)
        for channel in _CHANNELS
    ]


_MEANINGS: Final[Mapping[str, type[SourceError]]] = {
    "EQuery:Unknown asset pair": SourceCannot,
    "EGeneral:Invalid arguments": SourceCannot,
    "EGeneral:Permission denied": SourceRefused,
}


def _judge(answer: Answer) -> SourceError | None:
    """Whatever went wrong comes under 200; a word that begins with W is a warning.

    {"error":["EQuery:Unknown asset pair"]}
    {"error":["EGeneral:Too many requests"],"result":{}}
    """
    said = answer.json.get("error") if isinstance(answer.json, dict) else None
    faults = [str(word) for word in said if not str(word).startswith("W")] if isinstance(said, list) else []
    if not faults:
        return None
    text = f"kraken: {', '.join(faults)}"
    if "Too many requests" in text or "Rate limit exceeded" in text:
        return SourceLimited(text, retry_after_s=answer.retry_after_s)
    for beginning, kind in _MEANINGS.items():
        if faults[0].startswith(beginning):
            return kind(text)
    return SourceFault(text)


def _parse_listing(payload: Any) -> list[Pair]:
    """Every pair that it streams, whatever its status, but none of two currencies.

    {"error":[],"result":{"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD",
     "pair_decimals":1,"status":"online",…},…}}
    """
    pairs = [_pair(key, row) for key, row in dict(payload["result"]).items() if "wsname" in row]
    return [pair for pair in pairs if not _FIAT.issuperset(pair.streamed_as.split("/"))]


def _pair(key: str, row: Mapping[str, Any]) -> Pair:
    # Its streams refuse the names that it lists itself, XBT/USD and XDG/USD.
    base, quoted = (_NAMES.get(side, side) for side in row["wsname"].split("/"))
    asset = Asset(
        symbol=f"{base}-{quoted}".upper(),
        name=f"{base}/{quoted}",
        type=AssetType.CRYPTO,
        market_code="CRYPTO",
        currency=quoted,
        exchange=Kraken.display_name,
        timezone="UTC",
        tick_size=float(Decimal(1).scaleb(-row["pair_decimals"])),
        is_tradable=row["status"] == "online",
    )
    return Pair(asset, asked_as=row["altname"], answered_as=key, streamed_as=f"{base}/{quoted}")


def _parse_tickers(payload: Any, assets: Mapping[str, Asset], now: datetime) -> dict[str, Quote]:
    """Quotes by our symbol, without pairs that were never traded; of two numbers the first is of the UTC day.

    {"error":[],"result":{"XBTUSDT":{"a":["105944.30000","1","1.000"],"b":["105944.20000","1","1.000"],
     "c":["105899.40000","0.00009443"],"v":["0.78648221","163.28908096"],"p":["105960.64756","105904.39279"],
     "t":[35,3276],"l":["105853.50000","104711.00000"],"h":["106112.00000","106613.10000"],"o":"106021.60000"}}}
    """
    quotes = {}
    for key, row in dict(payload["result"]).items():
        asset = assets[key]
        if price := float(row["c"][0]):
            quotes[asset.symbol] = Quote(
                symbol=asset.symbol,
                price=price,
                time=now,
                provenance=Provenance(
                    source=Kraken.name,
                    served_from=ServedFrom.LIVE,
                    received_at=now,
                    delay_seconds=Kraken.delay_seconds,
                    flags=("TIME_OF_ANSWER",),
                ),
                open=float(row["o"]) or None,
                high=float(row["h"][0]) or None,
                low=float(row["l"][0]) or None,
                volume=float(row["v"][0]),
                bid=float(row["b"][0]) or None,
                ask=float(row["a"][0]) or None,
                bid_size=float(row["b"][2]) or None,
                ask_size=float(row["a"][2]) or None,
                last_size=float(row["c"][1]) or None,
                currency=asset.currency,
            )
    return quotes


def _too_old(symbol: str, interval: Interval, oldest: datetime) -> SourceCannot:
    return SourceCannot(f"kraken has only the newest {ROWS} {interval} bars of {symbol}, since {oldest:%FT%R}Z")


def _parse_ohlc(payload: Any) -> dict[datetime, tuple[object, ...]]:
    """Rows of BAR_SCHEMA by their time.

    A row is opening s, open, high, low, close, vwap, volume, trades; `last` opens the last bar that is finished.

    {"error":[],"result":{"XXBTZUSD":[[1762777020,"106038.2","106038.2","106038.2","106038.2","0.0","0.00000000",0],
     …],"last":1762820160}}
    """
    result = dict(payload["result"])
    (key,) = result.keys() - {"last"}
    last = _EPOCH + result["last"] * _SECOND
    bars: dict[datetime, tuple[object, ...]] = {}
    for row in result[key]:
        time = _EPOCH + row[0] * _SECOND
        prices = map(float, row[1:5])
        bars[time] = (time, *prices, float(row[6]), float(row[5]) or None, row[7], 1.0, 0.0, time <= last)
    return bars
