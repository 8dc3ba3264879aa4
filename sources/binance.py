"""Binance: spot pairs, without a key. It quotes nothing in US dollars; USDT and USDC are assets of their own."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, ClassVar, Final, NamedTuple, Self

import orjson
import polars as pl
from msgspec import structs

from errors import SourceBadAnswer, SourceCannot, SourceError, SourceFault, SourceUnreachable, SymbolNotFound
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import Settings
from sources.feed import feed
from sources.http import TIMEOUT_S, Answer, Http
from sources.pairs import Pair, Pairs, is_pair
from sources.source import Budget, Capability, Demand, Quota
from sources.ticks import Book, Ticks

KLINES: Final = {
    Interval.M1: "1m",
    Interval.M5: "5m",
    Interval.M15: "15m",
    Interval.M30: "30m",
    Interval.H1: "1h",
    Interval.H4: "4h",
    Interval.D1: "1d",
    Interval.W1: "1w",
    Interval.MN1: "1M",
}
PAGE: Final = 1000
KLINES_WEIGHT: Final = 2
LISTING_WEIGHT: Final = 20
BATCH: Final = 20
"""Tickers in one call: as many as have the least weight."""
BATCH_WEIGHT: Final = 2
STREAMS_PER_MESSAGE: Final = 200

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MILLISECOND: Final = timedelta(milliseconds=1)
_FIREWALL: Final = 403
_BARRED: Final = 451


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Binance:
    """Every spot pair. `clock` gives the present, aware."""

    name: ClassVar[str] = "binance"
    display_name: ClassVar[str] = "Binance"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.QUOTES, Capability.HISTORY, Capability.STREAM, Capability.SEARCH}
    )
    asset_types: ClassVar[frozenset[AssetType]] = frozenset({AssetType.CRYPTO})
    markets: ClassVar[frozenset[str]] = frozenset({"CRYPTO"})
    reach: Mapping[Interval, timedelta | None] = dict.fromkeys(KLINES)
    priority: ClassVar[int] = 52  # for its own pairs an exchange knows more than anybody
    quotas: Sequence[Quota] = (Quota(6000, 60),)
    symbols_per_question: ClassVar[int | None] = None
    delay_seconds: ClassVar[float | None] = 0.0
    symbols_per_stream: ClassVar[int] = 512  # 1024 streams, two for each pair
    max_streams: ClassVar[int] = 8
    silence_s: ClassVar[float] = 60.0
    stream_life_s: ClassVar[float | None] = 23.5 * 3600  # it closes them after 24 h
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
        return cls(settings.binance_url, settings.binance_ws_url, budget)

    def covers(self, symbol: str) -> bool:
        """Whether it is spelled as a pair, and not one in US dollars."""
        return is_pair(symbol) and not symbol.endswith("-USD")

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest price and book of each pair; what belongs to a session is that of the UTC day."""
        return await self._pairs.quotes(symbols, BATCH, self._quotes)

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """Bars since the pair was listed; `vwap` is turnover by volume, null where nothing was traded."""
        pair = (await self._pairs.listed()).get(symbol)
        if pair is None:
            raise SymbolNotFound(f'Binance does not list "{symbol}".', symbol=symbol)
        # Read before asking: a bar that ends meanwhile has not come whole.
        now = self._clock()
        start_ms = _milliseconds(interval.ceil(max(window.start, _EPOCH)))
        last_ms = _milliseconds(window.end - _MICROSECOND)
        klines: dict[int, _Kline] = {}
        cursor_ms = start_ms
        while cursor_ms <= last_ms:
            page = await self._klines(
                pair, KLINES[interval], {"startTime": cursor_ms, "endTime": last_ms, "limit": PAGE}
            )
            klines |= {kline.opened_ms: kline for kline in page if start_ms <= kline.opened_ms <= last_ms}
            if len(page) < PAGE:
                break
            if page[-1].opened_ms < cursor_ms:
                raise SourceBadAnswer("binance does not go on from where it was asked to")
            cursor_ms = page[-1].closed_ms + 1
        return _frame((kline for _, kline in sorted(klines.items())), _milliseconds(now))

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every trade of the listed pairs in demand, and the best bid and ask once a second."""
        dialect = _Dialect(self._ws_url, await self._pairs.listed(), Ticks(self.name, 0.0, self._clock))
        async with aclosing(feed(self._http, dialect, demand)) as batches:
            async for batch in batches:
                yield batch

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """Pairs whose symbol begins with the text; it tells no names of assets."""
        return await self._pairs.search(text, limit)

    async def asset(self, symbol: str) -> Asset | None:
        """The listed pair, or None."""
        return await self._pairs.asset(symbol)

    async def assets(self) -> Sequence[Asset]:
        """None: the listing has its weight."""
        return ()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pairs.aclose()
        await self._http.aclose()

    async def _list(self) -> Iterable[Pair]:
        return await self._http.get("/api/v3/exchangeInfo", _parse_listing, cost=LISTING_WEIGHT)

    async def _quotes(self, pairs: Sequence[Pair]) -> dict[str, Quote]:
        tickers = await self._tickers(pairs)
        told = [pair for pair in pairs if pair.asset.symbol in tickers]
        # The days are asked for after the prices, so that they hold them.
        days = await asyncio.gather(*(self._klines(pair, KLINES[Interval.D1], {"limit": 2}) for pair in told))
        return {
            pair.asset.symbol: _with_session(tickers[pair.asset.symbol], newest)
            for pair, newest in zip(told, days, strict=True)
        }

    async def _tickers(self, pairs: Sequence[Pair]) -> dict[str, Quote]:
        now = self._clock()
        assets = {pair.answered_as: pair.asset for pair in pairs}
        names = orjson.dumps([pair.asked_as for pair in pairs]).decode()
        return await self._http.get(
            "/api/v3/ticker/24hr",
            lambda payload: _parse_tickers(payload, assets, now),
            {"symbols": names},
            cost=BATCH_WEIGHT,
        )

    async def _klines(self, pair: Pair, interval: str, params: Mapping[str, int]) -> "list[_Kline]":
        asked: dict[str, str | int] = {"symbol": pair.asked_as, "interval": interval, **params}
        return await self._http.get("/api/v3/klines", _parse_klines, asked, cost=KLINES_WEIGHT)


class _Kline(NamedTuple):
    opened_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed_ms: int
    turnover: float
    vwap: float | None
    trades: int


class _Dialect:
    """One connection to the combined streams: `@trade`, and `@ticker` for the book."""

    headers: Mapping[str, str] = {}
    # At most 5 messages a second are let through, and our pings and pongs count.
    messages_per_second = 2.0
    is_ready = True

    def __init__(self, ws_url: str, listed: Mapping[str, Pair], ticks: Ticks) -> None:
        self.url = f"{ws_url.rstrip('/')}/stream"
        self._listed = listed
        self._ticks = ticks
        self._ids = count(1)

    def hello(self) -> Sequence[str]:
        return ()

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        pairs = self._known(symbols)
        for pair in pairs:
            self._ticks.follow(pair.answered_as, pair.asset)
        return self._messages("SUBSCRIBE", pairs)

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        pairs = self._known(symbols)
        for pair in pairs:
            self._ticks.leave(pair.answered_as)
        return self._messages("UNSUBSCRIBE", pairs)

    def parse(self, frame: str) -> Sequence[Quote]:
        """The quote in an event; acknowledgements have none.

        {"stream":"btcusdt@trade","data":{"e":"trade","E":1672515782136,"s":"BTCUSDT","t":12345,"p":"0.001","q":"100",
         "T":1672515782136,"m":true,"M":true}}
        {"stream":"btcusdt@ticker","data":{"e":"24hrTicker","E":1672515782136,"s":"BTCUSDT","c":"0.0025","Q":"10",
         "b":"0.0024","B":"10","a":"0.0026","A":"100",…}}
        {"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}
        {"result":null,"id":1}
        {"code":2,"msg":"Invalid request: …"} and {"error":{"code":2,"msg":"Invalid request: …"},"id":2}
        """
        payload = orjson.loads(frame)
        if not isinstance(payload, dict):
            raise TypeError("not an object")
        if "result" in payload:
            return ()
        refusal = payload.get("error", payload)
        if "code" in refusal:
            raise SourceCannot(f"the stream of binance refuses a request: {refusal['msg']}")
        event = payload.get("data", payload)
        match event["e"]:
            case "trade":
                time = _EPOCH + event["T"] * _MILLISECOND
                return self._ticks.traded(event["s"], float(event["p"]), float(event["q"]), time)
            case "24hrTicker":
                best = (float(event[key]) or None for key in ("b", "a", "B", "A"))
                return self._ticks.booked(event["s"], Book(*best))
            case "serverShutdown":
                raise SourceUnreachable("the stream of binance is about to be shut down")
            case other:
                raise ValueError(f"no event {other} was subscribed to")

    def _known(self, symbols: Sequence[str]) -> list[Pair]:
        return [self._listed[symbol] for symbol in symbols if symbol in self._listed]

    def _messages(self, method: str, pairs: Sequence[Pair]) -> list[str]:
        streams = [f"{pair.streamed_as}@{kind}" for pair in pairs for kind in ("trade", "ticker")]
        return [
            orjson.dumps(
                {"method": method, "params": streams[start : start + STREAMS_PER_MESSAGE], "id": next(self._ids)}
            ).decode()
            for start in range(0, len(streams), STREAMS_PER_MESSAGE)
        ]


def _judge(answer: Answer) -> SourceError | None:
    """403 is a page of its firewall, which goes away; 451 is for good."""
    if answer.status == _FIREWALL:
        return SourceFault("the firewall of binance turned the question away (status 403)")
    return None


def _parse_listing(payload: Any) -> list[Pair]:
    """Every pair, whatever its status.

    {"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT",
     "filters":[{"filterType":"PRICE_FILTER","minPrice":"0.01000000","tickSize":"0.01000000"},…],…},…],…}
    """
    return [_pair(row) for row in payload["symbols"]]


def _pair(row: Mapping[str, Any]) -> Pair:
    native, base, quoted = row["symbol"], row["baseAsset"], row["quoteAsset"]
    ticks = [rule["tickSize"] for rule in row["filters"] if rule["filterType"] == "PRICE_FILTER"]
    asset = Asset(
        symbol=f"{base}-{quoted}".upper(),
        name=f"{base}/{quoted}",
        type=AssetType.CRYPTO,
        market_code="CRYPTO",
        currency=quoted,
        exchange=Binance.display_name,
        timezone="UTC",
        tick_size=(float(ticks[0]) or None) if ticks else None,
        is_tradable=row["status"] == "TRADING",
    )
    return Pair(asset, asked_as=native, answered_as=native, streamed_as=native.lower())


def _parse_tickers(payload: Any, assets: Mapping[str, Asset], now: datetime) -> dict[str, Quote]:
    """Price and book by our symbol, without pairs that were never traded.

    Its open, high, low, volume and previous close are of the last 24 hours, not of a session: they are left out.

    [{"symbol":"BNBBTC","prevClosePrice":"0.10002000","lastPrice":"4.00000200","lastQty":"200.00000000",
      "bidPrice":"4.00000000","bidQty":"100.00000000","askPrice":"4.00000200","askQty":"100.00000000",
      "openPrice":"99.00000000",…,"openTime":1499783499040,"closeTime":1499869899040,…}]
    """
    if not isinstance(payload, list):
        raise TypeError("not a list")
    quotes = {}
    for row in payload:
        asset = assets[row["symbol"]]
        if price := float(row["lastPrice"]):
            quotes[asset.symbol] = Quote(
                symbol=asset.symbol,
                price=price,
                time=_EPOCH + row["closeTime"] * _MILLISECOND,
                provenance=Provenance(
                    source=Binance.name,
                    served_from=ServedFrom.LIVE,
                    received_at=now,
                    delay_seconds=Binance.delay_seconds,
                ),
                bid=float(row["bidPrice"]) or None,
                ask=float(row["askPrice"]) or None,
                bid_size=float(row["bidQty"]) or None,
                ask_size=float(row["askQty"]) or None,
                last_size=float(row["lastQty"]) or None,
                currency=asset.currency,
            )
    return quotes


def _with_session(quote: Quote, days: Sequence[_Kline]) -> Quote:
    """The quote with what its UTC day has brought; as it is where midnight fell between price and day."""
    if not days or not days[-1].low <= quote.price <= days[-1].high:
        return quote
    return structs.replace(
        quote,
        open=days[-1].open,
        high=days[-1].high,
        low=days[-1].low,
        volume=days[-1].volume,
        turnover=days[-1].turnover,
        previous_close=days[-2].close if len(days) > 1 else None,
    )


def _parse_klines(payload: Any) -> list[_Kline]:
    """Opening ms, open, high, low, close, volume, closing ms, turnover, trades, and what takers bought.

    [[1634943780000,"60685.22000000","60729.84000000","60670.90000000","60719.27000000","21.63272000",
      1634943839999,"1313200.01340410",617,"12.28492000","745719.41022840","0"]]
    """
    if not isinstance(payload, list):
        raise TypeError("not a list")
    return [
        _Kline(
            opened_ms=row[0],
            open=float(row[1]),
            high=float(row[2]),
            low=float(row[3]),
            close=float(row[4]),
            volume=float(row[5]),
            closed_ms=row[6],
            turnover=float(row[7]),
            vwap=float(Decimal(row[7]) / Decimal(row[5])) if float(row[5]) else None,
            trades=row[8],
        )
        for row in payload
    ]


def _frame(klines: Iterable[_Kline], now_ms: int) -> pl.DataFrame:
    rows = [
        (
            _EPOCH + kline.opened_ms * _MILLISECOND,
            kline.open,
            kline.high,
            kline.low,
            kline.close,
            kline.volume,
            kline.vwap,
            kline.trades,
            1.0,
            0.0,
            kline.closed_ms < now_ms,
        )
        for kline in klines
    ]
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MILLISECOND
