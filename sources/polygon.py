"""Massive, formerly Polygon.io: shares and indices of the United States, currencies and crypto, with a key."""

import asyncio
import logging
import re
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import orjson
import polars as pl

from errors import (
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceFault,
    SourceLimited,
    SourceRefused,
    SourceTimeout,
    SymbolNotFound,
)
from market import BAR_SCHEMA, INSTANT, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window, venue
from settings import Settings
from sources import calendar
from sources.feed import feed
from sources.http import TIMEOUT_S, Answer, Http
from sources.source import Budget, Capability, Demand, Quota

logger = logging.getLogger(__name__)

Row = TypeVar("Row")

_NEW_YORK: Final = ZoneInfo("America/New_York")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DELAY: Final = timedelta(minutes=15)
_BASE_ROWS: Final = 50_000  # the most that a page of bars may be made of
_PAGE_ROWS: Final = 1000  # the most rows of reference data in a page
_TICKERS: Final = 250  # the most that one snapshot may name
_CANDIDATES: Final = 250  # they come by ticker, so the likeliest is looked for among many
_LEAD: Final = timedelta(days=7)  # a split of a day without trading shows on the next bar: longer than any holidays

_TIMESPANS: Final = {
    Interval.M1: "1/minute",
    Interval.M5: "5/minute",
    Interval.M15: "15/minute",
    Interval.M30: "30/minute",
    Interval.H1: "1/hour",
    Interval.D1: "1/day",
}

_CLUSTERS: Final = {
    AssetType.STOCK: "stocks",
    AssetType.INDEX: "indices",
    AssetType.FOREX: "forex",
    AssetType.CRYPTO: "crypto",
}
_CHANNELS: Final = {
    "stocks": ("T", "A", "AM"),
    "indices": ("V", "A", "AM"),
    "forex": ("C", "CAS", "CA"),
    "crypto": ("XT", "XAS", "XA"),
}
"""The channels of a cluster that tell a price, the best first: each print, bars of a second, bars of a minute."""
_REAL_TIME_ONLY: Final = ("forex", "crypto")

_INDICES: Final = {
    "^GSPC": "I:SPX",
    "^DJI": "I:DJI",
    "^IXIC": "I:COMP",
    "^NDX": "I:NDX",
    "^RUT": "I:RUT",
    "^VIX": "I:VIX",
}
_INDEX_SYMBOLS: Final = {ticker: symbol for symbol, ticker in _INDICES.items()}
_SHARE: Final = re.compile(r"[A-Z]{1,5}(\.([A-Z]|WS))?")
_PREFERRED: Final = re.compile(r"([A-Z]{1,5})-P([A-Z]?)")
_NATIVE_PREFERRED: Final = re.compile(r"([A-Z]{1,5})p([A-Z]?)")
_CURRENCIES: Final = re.compile(r"([A-Z]{3})([A-Z]{3})=X")
_COIN: Final = re.compile(r"([A-Z0-9]+)-([A-Z]{3})")

_FUNDS: Final = {
    "ETF": AssetType.ETF,
    "ETN": AssetType.ETF,
    "ETS": AssetType.ETF,
    "ETV": AssetType.ETF,
    "FUND": AssetType.FUND,
}

_PARAMS_PER_FRAME: Final = 100
_MAX_CONNECTIONS_S: Final = 600.0
_BAR_LENGTHS: Final = {
    **dict.fromkeys(("A", "XAS", "CAS"), timedelta(seconds=1)),
    **dict.fromkeys(("AM", "XA", "CA"), timedelta(minutes=1)),
}
_MILLISECOND: Final = timedelta(milliseconds=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Polygon:
    """One account: its plan decides what is answered, how far back, and whether it is delayed.

    What the plan leaves out is refused by Massive itself, so no plan has to be named. `clock` gives the present, aware.
    """

    name: ClassVar[str] = "polygon"
    display_name: ClassVar[str] = "Massive (Polygon)"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    asset_types: ClassVar[frozenset[AssetType]] = frozenset({*_CLUSTERS, *_FUNDS.values()})
    markets: ClassVar[frozenset[str]] = frozenset({"XNYS", "XNAS", "XASE", "ARCX", "BATS", "FOREX", "CRYPTO"})
    # Weeks begin on Sunday there, months mix prices of before and after a split, and nobody says at which hours bars
    # of four hours begin: those are made of shorter bars elsewhere. How far back the plan goes, only a 403 tells.
    reach: ClassVar[Mapping[Interval, timedelta | None]] = dict.fromkeys(_TIMESPANS)
    priority: ClassVar[int] = 60
    quotas: ClassVar[Sequence[Quota]] = (Quota(5, 60),)
    delay_seconds: ClassVar[float | None] = None
    # No number is published, but who reads too slowly is cut off.
    symbols_per_stream: ClassVar[int] = 1000
    # One connection to each cluster and account: one stream has them all.
    max_streams: ClassVar[int] = 1
    silence_s: ClassVar[float] = 300.0
    stream_life_s: ClassVar[float | None] = None
    synthetic: ClassVar[bool] = False

    def __init__(
        self,
        url: str,
        ws_url: str,
        key: str,
        budget: Budget,
        clock: Callable[[], datetime] = _utc_now,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._ws_url = ws_url
        self._key = key
        self._clock = clock
        self._http = Http(
            self.name,
            url,
            budget,
            judge=self._judge,
            headers={"Authorization": f"Bearer {key}"},
            secrets=(key,),
            timeout_s=timeout_s,
        )

    @classmethod
    def opened(cls, settings: Settings, budget: Budget) -> Self | None:
        """The account of the key in the settings; None without one."""
        if settings.polygon_api_key is None:
            return None
        key = settings.polygon_api_key.get_secret_value()
        return cls(settings.polygon_url, settings.polygon_ws_url, key, budget)

    def covers(self, symbol: str) -> bool:
        """Shares of New York, six-letter pairs (EURUSD=X), coins in a currency of three letters, six indices.

        BTC-USDT is none of them: what Massive has is BTC-USD, and that is another thing.
        """
        return _native(symbol) is not None

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest quote of each symbol that it knows, in one request for up to 250 of a kind.

        A kind that the plan leaves out is left out too, unless nothing else is found: then raises SourceRefused.
        """
        wanted: dict[str, dict[str, str]] = {}
        for symbol in symbols:
            if native := _native(symbol):
                wanted.setdefault(native.cluster, {})[native.ticker] = symbol
        answers = await asyncio.gather(
            *(
                self._snapshots(cluster, dict(list(tickers.items())[start : start + _TICKERS]))
                for cluster, tickers in wanted.items()
                for start in range(0, len(tickers), _TICKERS)
            ),
            return_exceptions=True,
        )
        found: dict[str, Quote] = {}
        refusal: SourceRefused | None = None
        for answer in answers:
            if isinstance(answer, SourceRefused):
                refusal = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found |= {quote.symbol: quote for quote in answer}
        if refusal is not None and not found:
            raise refusal
        return found

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The bars that open within the window, as traded; splits and dividends stand in those of D1.

        Raises SymbolNotFound, and SourceCannot where the plan does not go back so far.
        """
        native = _native(symbol)
        if native is None:
            raise _unknown(symbol)
        if interval not in _TIMESPANS:
            raise SourceCannot(f"Massive has no {interval} bars of our grid; ask for one of {', '.join(_TIMESPANS)}.")
        now = self._clock()
        first, end = interval.ceil(window.start), min(window.end, now + timedelta(microseconds=1))
        if first >= end:
            return pl.DataFrame(schema=BAR_SCHEMA)
        has_actions = interval is Interval.D1 and native.cluster == "stocks"
        since = first - _LEAD if has_actions else first
        rows = await self._all(
            f"/v2/aggs/ticker/{native.ticker}/range/{_TIMESPANS[interval]}/{_edges(interval, since, end)}",
            {"adjusted": "false", "sort": "asc", "limit": _BASE_ROWS},
            partial(_bars, interval=interval, now=now, is_traded=native.cluster != "forex"),
        )
        if not rows and await self.asset(symbol) is None:
            raise _unknown(symbol)
        frame = _frame(rows)
        if has_actions and not frame.filter(pl.col("time") >= first).is_empty():
            frame = await self._with_actions(frame, native.ticker, since)
        return frame.filter(pl.col("time").is_between(first, end, closed="left"))

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every change of the symbols in demand, over one connection to each cluster that one of them is in.

        A cluster is connected to once it is needed, and stays so to the end: it takes long to let go. When one
        connection ends, the stream does.
        """
        clusters: dict[str, _Cluster] = {}
        reading: dict[asyncio.Future[Any], AsyncGenerator[Sequence[Quote], None]] = {}
        changing: asyncio.Future[Any] | None = None
        try:
            while True:
                seen = demand.symbols
                topics = _topics(seen)
                for name in topics.keys() - clusters.keys():
                    clusters[name] = _Cluster(name, self._ws_url, self._key, self._clock)
                    batches = feed(self.name, self._http.session, clusters[name], clusters[name].channels)
                    reading[asyncio.ensure_future(anext(batches))] = batches
                for name, cluster in clusters.items():
                    cluster.want(topics.get(name, {}))
                changing = asyncio.ensure_future(demand.changed(seen))
                while not changing.done():
                    done, _ = await asyncio.wait({changing, *reading}, return_when=asyncio.FIRST_COMPLETED)
                    for read in [read for read in reading if read in done]:
                        batches = reading.pop(read)
                        batch = read.result()
                        reading[asyncio.ensure_future(anext(batches))] = batches
                        yield batch
        finally:
            tasks = [*reading, *([changing] if changing else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(batches.aclose() for batches in reading.values()))

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """Active assets whose ticker or name has the text: the symbol itself, then those that begin so, the others."""
        found = await self._all(
            "/v3/reference/tickers",
            {"search": text, "active": "true", "limit": _CANDIDATES},
            _assets,
            max_pages=1,
        )
        wanted = text.upper()
        found.sort(key=lambda asset: (asset.symbol != wanted, not asset.symbol.startswith(wanted)))
        return found[:limit]

    async def asset(self, symbol: str) -> Asset | None:
        """What it knows of the symbol, be it delisted, or None."""
        native = _native(symbol)
        if native is None:
            return None
        for active in ("true", "false"):
            found = await self._all("/v3/reference/tickers", {"ticker": native.ticker, "active": active}, _assets)
            if found:
                return found[0]
        return None

    async def assets(self) -> Sequence[Asset]:
        """None: it lists tens of thousands, a thousand a request."""
        return ()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def _snapshots(self, cluster: str, symbols: Mapping[str, str]) -> list[Quote]:
        """The quotes of tickers of one cluster, at most 250."""
        await calendar.load(["XNYS"])  # off the event loop; a quote may be of its last close
        now = self._clock()
        names = ",".join(symbols)
        if cluster == "indices":
            return await self._all(
                "/v3/snapshot/indices",
                {"ticker.any_of": names, "limit": _TICKERS},
                partial(_index_quotes, symbols=symbols, now=now),
            )
        locale = "us" if cluster == "stocks" else "global"
        return await self._all(
            f"/v2/snapshot/locale/{locale}/markets/{cluster}/tickers",
            {"tickers": names},
            partial(_quotes, cluster=cluster, symbols=symbols, now=now),
        )

    async def _with_actions(self, frame: pl.DataFrame, ticker: str, since: datetime) -> pl.DataFrame:
        """The daily bars with each split and dividend on the first of them that is not before its day."""
        days = [opening.date() for opening in frame["time"]]

        async def during(
            kind: str, day: str, parse: Callable[[Any], list[tuple[date, float]]]
        ) -> list[tuple[int, float]]:
            edges = {f"{day}.gte": f"{since:%Y-%m-%d}", f"{day}.lte": f"{days[-1]}"}
            params = {"ticker": ticker, **edges, "sort": day, "order": "asc", "limit": f"{_PAGE_ROWS}"}
            actions = await self._all(f"/v3/reference/{kind}", params, parse)
            return [(bisect_left(days, day), amount) for day, amount in actions if day <= days[-1]]

        factors, cash = [1.0] * len(days), [0.0] * len(days)
        for bar, factor in await during("splits", "execution_date", _splits):
            factors[bar] *= factor
        for bar, amount in await during("dividends", "ex_dividend_date", _dividends):
            cash[bar] += amount
        return frame.with_columns(split_factor=pl.Series(factors), dividend=pl.Series(cash))

    async def _all(
        self,
        path: str,
        params: Mapping[str, str | int],
        parse: Callable[[Any], list[Row]],
        *,
        max_pages: int | None = None,
    ) -> list[Row]:
        """What `parse` makes of every page; nothing where Massive knows no such ticker."""

        def page(payload: Any) -> tuple[list[Row], str | None]:
            rows = parse(payload)
            # It names whichever of their two hosts; only the one that was configured may see the key.
            following = urlsplit(str(payload.get("next_url") or ""))
            return rows, f"{following.path}?{following.query}" if following.path else None

        rows: list[Row] = []
        asked: set[str] = set()
        asking: Mapping[str, str | int] | None = params
        while path not in asked:
            asked.add(path)
            try:
                more, following = await self._http.get(path, page, asking)
            except SymbolNotFound:
                return rows
            rows += more
            if following is None or len(asked) == max_pages:
                return rows
            path, asking = following, None
        raise SourceBadAnswer(f"the pages of {self.name} go round in a circle")

    def _judge(self, answer: Answer) -> SmartFinError | None:
        """The error in an answer; what is wrong stands in `message` or in `error`.

        {"status":"ERROR","request_id":"…","error":"Unknown API Key"}
        {"status":"NOT_AUTHORIZED","request_id":"…","message":"Your plan doesn't include this data timeframe. …"}
        {"status":"NOT_FOUND","request_id":"…","message":"Ticker not found."}
        """
        body = answer.json if isinstance(answer.json, dict) else {}
        status, said = body.get("status"), str(body.get("message") or body.get("error") or "")
        if answer.status == 401:
            return SourceRefused("Massive does not accept the key; check POLYGON_API_KEY.")
        if answer.status == 403 or status == "NOT_AUTHORIZED":
            if "timeframe" in said:
                return SourceCannot("The history of your plan at Massive does not go back so far.")
            return SourceRefused("Your plan at Massive does not include that.")
        if answer.status == 429:
            to_next_minute_s = 60 - self._clock().timestamp() % 60
            return SourceLimited(
                "Massive allows no more requests in this minute.",
                retry_after_s=to_next_minute_s if answer.retry_after_s is None else answer.retry_after_s,
            )
        if status == "NOT_FOUND":
            return SymbolNotFound("Massive does not know that ticker.")
        if status == "ERROR" and answer.status == 200:
            return SourceFault("Massive has a fault of its own.")
        return None


@dataclass(frozen=True, slots=True)
class _Native:
    """A symbol in their spellings: `ticker` in requests, `topic` in a stream of the cluster."""

    cluster: str
    ticker: str
    topic: str


def _native(symbol: str) -> _Native | None:
    """Their spelling of a symbol; None where it is none that they could know. No two symbols share one.

    AAPL, BRK.B → same; KIM-PL → KIMpL; EURUSD=X → C:EURUSD, EUR/USD; BTC-USD → X:BTCUSD, BTC-USD; ^GSPC → I:SPX.
    """
    place = venue(symbol)
    cluster = _CLUSTERS[place.asset_type]
    if cluster == "indices":
        ticker = _INDICES.get(symbol)
        return _Native(cluster, ticker, ticker) if ticker else None
    if cluster == "forex":
        pair = _CURRENCIES.fullmatch(symbol)
        return _Native(cluster, f"C:{pair[1]}{pair[2]}", f"{pair[1]}/{pair[2]}") if pair else None
    if cluster == "crypto":
        pair = _COIN.fullmatch(symbol)
        return _Native(cluster, f"X:{pair[1]}{pair[2]}", symbol) if pair else None
    if place.market_code is not None:
        return None
    if preferred := _PREFERRED.fullmatch(symbol):
        ticker = f"{preferred[1]}p{preferred[2]}"
        return _Native(cluster, ticker, ticker)
    return _Native(cluster, symbol, symbol) if _SHARE.fullmatch(symbol) else None


def _symbol(row: Mapping[str, Any]) -> str | None:
    """Our spelling of a row of reference data; None where it has none that leads back to its ticker."""
    ticker = str(row["ticker"])
    match row["market"]:
        case "stocks" | "otc":
            preferred = _NATIVE_PREFERRED.fullmatch(ticker)
            symbol = f"{preferred[1]}-P{preferred[2]}" if preferred else ticker
        case "fx":
            symbol = f"{ticker.removeprefix('C:')}=X"
        case "crypto":
            symbol = f"{row.get('base_currency_symbol')}-{row.get('currency_symbol')}"
        case "indices":
            symbol = _INDEX_SYMBOLS.get(ticker, "")
        case _:
            return None
    native = _native(symbol)
    return symbol if native and native.ticker == ticker else None


def _unknown(symbol: str) -> SymbolNotFound:
    return SymbolNotFound(f'Massive does not know a symbol "{symbol}".', symbol=symbol)


def _edges(interval: Interval, first: datetime, end: datetime) -> str:
    """The two ends of a request for bars, both inclusive: dates of the venue for days, milliseconds for the others."""
    last = interval.floor(end - timedelta(microseconds=1))
    if interval is Interval.D1:
        return f"{first:%Y-%m-%d}/{last:%Y-%m-%d}"
    return f"{(first - _EPOCH) // _MILLISECOND}/{(last - _EPOCH) // _MILLISECOND}"


def _rows(payload: Any, key: str = "results") -> list[Any]:
    """The rows of an answer; where there are none, the key is missing or null."""
    if payload["status"] not in ("OK", "DELAYED"):
        raise ValueError(f"status {payload['status']!r}")
    rows = payload.get(key) or []
    if not isinstance(rows, list):
        raise TypeError(f"{key} is no list")
    return rows


def _bars(payload: Any, *, interval: Interval, now: datetime, is_traded: bool) -> list[tuple[Any, ...]]:
    """Bars as rows: milliseconds, four prices, volume, vwap, trades, is_final.

    {"ticker":"AAPL","adjusted":false,"queryCount":2,"resultsCount":2,"status":"OK","results":[{"v":642646396.0,
    "vw":1.469,"o":1.5032,"c":1.4604,"h":1.5064,"l":1.4489,"t":1112331600000,"n":82132}],"next_url":"https://…"}

    The day of shares begins at 00:00 in New York, that of indices an hour later, that of currencies and coins at
    00:00 UTC, in some samples at 04:00: the date in UTC is the trading date whichever it is. What currencies
    have as volume counts quotes, so it is left out.
    """
    length = interval.span // _MILLISECOND
    delay = _DELAY if payload["status"] == "DELAYED" else timedelta()
    newest_final = (now - delay - interval.span - _EPOCH) // _MILLISECOND
    bars = []
    for row in _rows(payload):
        at = int(row["t"])
        if at % length and interval.is_intraday:
            raise ValueError(f"a bar of {interval} opens at {at}, off the grid")
        if all(row.get(price) for price in "ohlc"):
            bars.append(
                (
                    at - at % length,
                    *(float(row[price]) for price in "ohlc"),
                    _known(row.get("v")) if is_traded else None,
                    _known(row.get("vw")) if is_traded else None,
                    int(row["n"]) if is_traded and row.get("n") else None,
                    at <= newest_final,
                )
            )
    return bars


def _frame(rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    """Rows of `_bars` as BAR_SCHEMA, without splits and dividends."""
    columns = [name for name in BAR_SCHEMA if name not in ("split_factor", "dividend")]
    return (
        pl.DataFrame(rows, schema={**{name: BAR_SCHEMA[name] for name in columns}, "time": pl.Int64}, orient="row")
        .unique("time", keep="last")
        .sort("time")
        .with_columns(
            time=pl.col("time").cast(pl.Datetime("ms", "UTC")).cast(INSTANT),
            split_factor=1.0,
            dividend=0.0,
        )
        .select(*BAR_SCHEMA)
    )


def _splits(payload: Any) -> list[tuple[date, float]]:
    """Days and new shares per old.

    {"results":[{"execution_date":"2020-08-31","id":"…","split_from":1,"split_to":4,"ticker":"AAPL"}],"status":"OK"}
    """
    return [(date.fromisoformat(row["execution_date"]), row["split_to"] / row["split_from"]) for row in _rows(payload)]


def _dividends(payload: Any) -> list[tuple[date, float]]:
    """Ex days and dollars per share of that day: Massive does not adjust them for later splits.

    {"results":[{"cash_amount":0.22,"currency":"USD","dividend_type":"CD","ex_dividend_date":"2021-11-05",
    "frequency":4,"pay_date":"2021-11-11","ticker":"AAPL"}],"status":"OK"}
    """
    dividends = []
    for row in _rows(payload):
        day, amount = date.fromisoformat(row["ex_dividend_date"]), float(row["cash_amount"])
        if (currency := row.get("currency") or "USD") == "USD":
            dividends.append((day, amount))
        else:
            logger.warning("polygon: left out a dividend in %s, the share trades in USD: %s", currency, row)
    return dividends


def _quotes(payload: Any, *, cluster: str, symbols: Mapping[str, str], now: datetime) -> list[Quote]:
    """The quotes of a snapshot of shares, currencies or coins.

    {"status":"OK","tickers":[{"ticker":"AAPL","updated":1651251948294080343,
    "day":{"o":161.84,"h":166.2,"l":159.8,"c":160.315,"v":68840127,"vw":162.7124},
    "lastQuote":{"P":159.99,"S":5,"p":159.98,"s":3,"t":1651251948407646487},
    "lastTrade":{"c":null,"i":"121351","p":159.99,"s":200,"t":1651251948294080343,"x":12},
    "min":{"av":68834255,"c":160.3,"h":160.71,"l":160.3,"o":160.71,"v":197226,"t":1684428600000,"n":5},
    "prevDay":{"c":163.64,"h":164.515,"l":158.93,"o":159.25,"v":130149192,"vw":161.8622}}]}

    Currencies have "lastQuote":{"a":0.6953,"b":0.6952,"t":1652193694000,"x":48}, and their price is the middle.
    What the plan leaves out is missing; before the open `day` and `min` are zero, and `updated` may be.
    """
    provenance = _provenance(now, is_delayed=payload["status"] == "DELAYED")
    quotes = (
        _quote(row, cluster, symbols[row["ticker"]], provenance)
        for row in _rows(payload, "tickers")
        if row["ticker"] in symbols
    )
    return [quote for quote in quotes if quote is not None]


def _quote(row: Mapping[str, Any], cluster: str, symbol: str, provenance: Provenance) -> Quote | None:
    day, minute, before = (dict(row.get(key) or {}) for key in ("day", "min", "prevDay"))
    trade, book = (dict(row.get(key) or {}) for key in ("lastTrade", "lastQuote"))
    bid_key, ask_key = ("b", "a") if cluster == "forex" else ("p", "P")
    bid, ask = _known(book.get(bid_key)), _known(book.get(ask_key))
    updated = row.get("updated")
    prints = [
        (_known(trade.get("p")), trade.get("t")),
        (_middle(bid, ask) if cluster == "forex" else None, book.get("t")),
        (_known(minute.get("c")), updated or minute.get("t")),
        (_known(day.get("c")), updated),
    ]
    price, printed_at = next(((price, _instant(at)) for price, at in prints if price and at), (None, None))
    previous_close = _known(before.get("c"))
    if price is None and cluster == "stocks":
        price, previous_close = previous_close, None
        printed_at = _closed_at(provenance.received_at.astimezone(_NEW_YORK).replace(hour=0, minute=0))
    if price is None or printed_at is None:
        return None
    return Quote(
        symbol=symbol,
        price=price,
        time=printed_at,
        provenance=provenance,
        open=_known(day.get("o")),
        high=_known(day.get("h")),
        low=_known(day.get("l")),
        previous_close=previous_close,
        volume=None if cluster == "forex" else _known(day.get("v")),
        bid=bid,
        ask=ask,
        bid_size=_known(book.get("s")),
        ask_size=_known(book.get("S")),
        last_size=_known(trade.get("s")),
        currency=venue(symbol).currency,
    )


def _index_quotes(payload: Any, *, symbols: Mapping[str, str], now: datetime) -> list[Quote]:
    """The quotes of a snapshot of indices.

    {"status":"OK","results":[{"ticker":"I:SPX","value":3822.39,"name":"S&P 500","type":"indices",
    "market_status":"closed","session":{"open":3827.38,"high":3834.41,"low":3827.11,"close":3822.39,
    "previous_close":3812.19,"change":-50.01}},{"ticker":"APx","error":"NOT_FOUND","message":"Ticker not found."}]}

    Newer answers add `last_updated` in nanoseconds and `timeframe`. Without it the value is as old as the delay, or
    of the close.
    """
    quotes = []
    for row in _rows(payload):
        symbol, value = symbols.get(row["ticker"]), _known(row.get("value"))
        if symbol is None or value is None:
            continue
        is_delayed = "DELAYED" in (payload["status"], row.get("timeframe"))
        session = dict(row.get("session") or {})
        updated = row.get("last_updated")
        seen_at = now - _DELAY if is_delayed else now
        quotes.append(
            Quote(
                symbol=symbol,
                price=value,
                time=_instant(updated) if updated else min(seen_at, _closed_at(now)),
                provenance=_provenance(now, is_delayed=is_delayed),
                open=_known(session.get("open")),
                high=_known(session.get("high")),
                low=_known(session.get("low")),
                previous_close=_known(session.get("previous_close")),
                currency=venue(symbol).currency,
            )
        )
    return quotes


def _assets(payload: Any) -> list[Asset]:
    """The assets of reference data that our spelling can name.

    {"results":[{"ticker":"AAPL","name":"Apple Inc.","market":"stocks","locale":"us","primary_exchange":"XNAS",
    "type":"CS","active":true,"currency_name":"usd"},{"ticker":"X:BTCUSD","name":"Bitcoin - United States dollar",
    "market":"crypto","active":true,"currency_symbol":"USD","base_currency_symbol":"BTC"}],"status":"OK","count":2}

    A delisted share has "active":false and "delisted_utc":"2023-05-02T04:00:00Z".
    """
    return [_asset(row, symbol) for row in _rows(payload) if (symbol := _symbol(row))]


def _asset(row: Mapping[str, Any], symbol: str) -> Asset:
    place = venue(symbol)
    is_share = place.asset_type is AssetType.STOCK
    is_active = bool(row.get("active", True))
    delisted = row.get("delisted_utc")
    return Asset(
        symbol=symbol,
        name=row["name"],
        type=_FUNDS.get(row.get("type") or "", AssetType.STOCK) if is_share else place.asset_type,
        market_code=row.get("primary_exchange") if is_share else place.market_code,
        currency=str(row.get("currency_name") or "usd").upper() if is_share else place.currency,
        timezone=place.timezone,
        company_name=row["name"] if row.get("type") == "CS" else None,
        is_active=is_active,
        is_tradable=is_active and place.asset_type is not AssetType.INDEX,
        delisting_date=datetime.fromisoformat(delisted).astimezone(_NEW_YORK).date() if delisted else None,
    )


def _provenance(now: datetime, *, is_delayed: bool) -> Provenance:
    return Provenance(
        source=Polygon.name,
        served_from=ServedFrom.LIVE,
        received_at=now,
        delay_seconds=_DELAY.total_seconds() if is_delayed else 0.0,
        flags=("DELAYED",) if is_delayed else (),
    )


def _known(number: Any) -> float | None:
    """The number; None for 0, which is how they say unknown."""
    return float(number) if number else None


def _middle(bid: float | None, ask: float | None) -> float | None:
    """The middle of two prices, exact in decimal."""
    if bid is None or ask is None:
        return None
    return float((Decimal(repr(bid)) + Decimal(repr(ask))) / 2)


def _instant(at: float) -> datetime:
    """The instant of Unix milliseconds, or of nanoseconds (told by their size), to the microsecond before."""
    count = int(at)
    return _EPOCH + timedelta(microseconds=count // 1000 if count >= 10**16 else count * 1000)


def _closed_at(at: datetime) -> datetime:
    """When the newest session of New York that has begun at the instant closes."""
    session = calendar.last_session("XNYS", at)
    assert session is not None  # there were some before any quote
    return session.close


def _topics(symbols: Iterable[str]) -> dict[str, dict[str, str]]:
    """By cluster, the topics of the symbols and what we call them."""
    topics: dict[str, dict[str, str]] = {}
    for symbol in symbols:
        if native := _native(symbol):
            topics.setdefault(native.cluster, {})[native.topic] = symbol
    return topics


class _Cluster:
    """The dialect of one connection to a cluster; what it subscribes to are channels, `T.AAPL`, not symbols.

    Of each symbol it asks for the best channel that the plan has: a refusal makes it ask for the next one. When none
    is left, the symbol is left out.
    """

    headers: Mapping[str, str] = {}
    messages_per_second = 10.0  # no limit is published

    def __init__(self, name: str, ws_url: str, key: str, clock: Callable[[], datetime]) -> None:
        # Only shares and indices have a delayed feed.
        root = ws_url.rstrip("/").replace("//delayed.", "//socket." if name in _REAL_TIME_ONLY else "//delayed.")
        self.url = f"{root}/{name}"
        self.is_ready = False
        self.channels = Demand()
        self._name = name
        self._key = key
        self._clock = clock
        self._is_delayed = "//delayed." in root
        self._topics: Mapping[str, str] = {}
        self._unanswered: deque[str] = deque()
        self._refused: set[str] = set()
        self._left_out: set[str] = set()
        self._printed: dict[str, Quote] = {}

    def want(self, topics: Mapping[str, str]) -> None:
        """Carry these topics, and what we call them, from now on."""
        self._topics = topics
        channels = set()
        for topic, symbol in topics.items():
            offered = [channel for kind in _CHANNELS[self._name] if (channel := f"{kind}.{topic}") not in self._refused]
            if offered:
                channels.add(offered[0])
                if self._name == "stocks":
                    channels |= {f"Q.{topic}"} - self._refused
            elif symbol not in self._left_out:
                self._left_out.add(symbol)
                logger.warning("polygon: the plan does not stream %s, it is left out", symbol)
        self.channels.set(channels)

    def hello(self) -> Sequence[str]:
        """The key."""
        return [_frame_text("auth", self._key)]

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """Frames of a hundred channels each; every channel is answered, in this order."""
        self._unanswered.extend(symbols)
        return _frames("subscribe", symbols)

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """Frames that give up the channels that we have."""
        return _frames("unsubscribe", [channel for channel in symbols if channel not in self._refused])

    def parse(self, frame: str) -> Sequence[Quote]:
        """The quotes in an array of events.

        [{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328}]
        [{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":160,"t":1536036818784}]
        [{"ev":"AM","sym":"GTE","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,
        "l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000}]
        [{"ev":"XT","pair":"BTC-USD","p":33021.9,"t":1610462007425,"s":0.01616617,"c":[2],"r":1610462007576}]
        [{"ev":"C","p":"USD/CNH","x":"44","a":6.83366,"b":6.83363,"t":1536036818784}]
        [{"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130}]
        [{"ev":"status","status":"auth_success","message":"authenticated"}]
        """
        provenance = _provenance(self._clock(), is_delayed=self._is_delayed)
        quotes = []
        for event in orjson.loads(frame):
            kind = event["ev"]
            if kind == "status":
                self._heed(event["status"], str(event.get("message")))
            elif symbol := self._topics.get(_topic(event)):
                quote = self._book(event, symbol, provenance) if kind == "Q" else _print(event, symbol, provenance)
                if quote is not None:
                    self._printed[symbol] = quote
                    quotes.append(quote)
        return quotes

    def _book(self, event: Mapping[str, Any], symbol: str, provenance: Provenance) -> Quote | None:
        """The new bid and ask beside the last price; None before there is one."""
        last = self._printed.get(symbol)
        if last is None:
            return None
        return Quote(
            symbol=symbol,
            price=last.price,
            time=last.time,
            provenance=provenance,
            bid=_known(event.get("bp")),
            ask=_known(event.get("ap")),
            bid_size=_known(event.get("bs")),
            ask_size=_known(event.get("as")),
            currency=last.currency,
        )

    def _heed(self, status: str, message: str) -> None:
        match status:
            case "auth_success":
                self.is_ready = True
            case "auth_failed":
                raise SourceRefused("The stream of Massive does not accept the key; check POLYGON_API_KEY.")
            case "auth_timeout":
                raise SourceTimeout("The stream of Massive did not wait for the key.")
            case "max_connections":
                raise SourceLimited(
                    "Massive has as many connections of this account as it allows; another process has one.",
                    retry_after_s=_MAX_CONNECTIONS_S,
                )
            case "success":
                channel = message.removeprefix("subscribed to: ")
                if channel in self._unanswered:
                    self._unanswered.remove(channel)
            case "error" if self._unanswered:
                # It does not say which channel; but they are answered in order, and the others by name.
                self._refused.add(self._unanswered.popleft())
                self.want(self._topics)
            case "error":
                logger.warning("polygon: the stream reports an error: %s", message)


def _frame_text(action: str, params: str) -> str:
    return orjson.dumps({"action": action, "params": params}).decode()


def _frames(action: str, channels: Sequence[str]) -> list[str]:
    return [
        _frame_text(action, ",".join(channels[start : start + _PARAMS_PER_FRAME]))
        for start in range(0, len(channels), _PARAMS_PER_FRAME)
    ]


def _topic(event: Mapping[str, Any]) -> str:
    """What an event is about: the same key means different things in different events."""
    match event["ev"]:
        case "C":
            topic = event["p"]
        case "V":
            topic = event["T"]
        case kind:
            topic = event["pair" if kind in ("XT", "XAS", "XA", "CAS", "CA") else "sym"]
    is_currency = event["ev"] in ("C", "CAS", "CA")
    return str(topic).replace("-", "/") if is_currency else str(topic)


def _print(event: Mapping[str, Any], symbol: str, provenance: Provenance) -> Quote | None:
    """The price that an event tells, as a quote; None where it tells none."""
    bid = ask = volume = opening = last_size = None
    kind = event["ev"]
    if length := _BAR_LENGTHS.get(kind):
        price = _known(event["c"])
        # The last instant within the bar: its end belongs to the next one.
        start = _instant(event["s"])
        printed_at = max(start, (_instant(event["e"]) if event.get("e") else start + length) - _MILLISECOND)
        opening, volume = _known(event.get("op")), _known(event.get("av"))
    else:
        printed_at = _instant(event["t"])
        if kind == "C":
            bid, ask = _known(event["b"]), _known(event["a"])
            price = _middle(bid, ask)
        elif kind == "V":
            price = _known(event["val"])
        else:
            price, last_size = _known(event["p"]), _known(event.get("s"))
    if price is None:
        return None
    return Quote(
        symbol=symbol,
        price=price,
        time=printed_at,
        provenance=provenance,
        open=opening,
        volume=volume,
        bid=bid,
        ask=ask,
        last_size=last_size,
        currency=venue(symbol).currency,
    )
