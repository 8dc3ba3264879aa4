"""Massive, formerly Polygon.io: shares and indices of the United States, currencies and crypto, with a key."""

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final, Self, TypeVar
from urllib.parse import urlsplit

import polars as pl

from errors import (
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceFault,
    SourceLimited,
    SourceRefused,
    SymbolNotFound,
)
from market import BAR_SCHEMA, Asset, AssetType, Interval, Quote, Window
from settings import Settings
from sources import calendar
from sources.feed import feed
from sources.http import TIMEOUT_S, Answer, Http
from sources.polygon_rows import (
    frame_of,
    parse_assets,
    parse_bars,
    parse_dividends,
    parse_index_quotes,
    parse_quotes,
    parse_splits,
    path_of,
)
from sources.polygon_stream import Cluster, by_cluster
from sources.polygon_words import CLUSTERS, FUNDS, NAME, native_symbol
from sources.source import Budget, Capability, Demand, Quota, quotas_of_plan

Row = TypeVar("Row")

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


_FREE_REACH: Final = timedelta(days=729)  # a day less than it says


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Polygon:
    """One account: its plan decides what is answered, how far back, and whether it is delayed.

    It counts as the free plan unless `requests_per_minute` is given. What else a plan leaves out is refused by Massive
    itself. `clock` gives the present, aware.
    """

    name: ClassVar[str] = NAME
    display_name: ClassVar[str] = "Massive (Polygon)"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    asset_types: ClassVar[frozenset[AssetType]] = frozenset({*CLUSTERS, *FUNDS.values()})
    markets: ClassVar[frozenset[str]] = frozenset({"XNYS", "XNAS", "XASE", "ARCX", "BATS", "FOREX", "CRYPTO"})
    # Weeks begin on Sunday there, months mix prices of before and after a split, and nobody says at which hours bars
    # of four hours begin: those are made of shorter bars elsewhere. How far back the plan goes, only a 403 tells.
    reach: Mapping[Interval, timedelta | None] = dict.fromkeys(_TIMESPANS, _FREE_REACH)
    priority: ClassVar[int] = 60
    quotas: Sequence[Quota] = (Quota(5, 60),)
    symbols_per_question: ClassVar[int | None] = None
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
        requests_per_minute: int | None = None,
    ) -> None:
        if requests_per_minute is not None:
            self.quotas, self.reach = quotas_of_plan(requests_per_minute), dict.fromkeys(_TIMESPANS)
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
        """The account of the key and the plan in the settings; None without a key."""
        if settings.polygon_api_key is None:
            return None
        key = settings.polygon_api_key.get_secret_value()
        per_minute = settings.polygon_requests_per_minute
        return cls(settings.polygon_url, settings.polygon_ws_url, key, budget, requests_per_minute=per_minute)

    def covers(self, symbol: str) -> bool:
        """Shares of New York, six-letter pairs (EURUSD=X), coins in a currency of three letters, six indices.

        BTC-USDT is none of them: what Massive has is BTC-USD, and that is another thing.
        """
        return native_symbol(symbol) is not None

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest quote of each symbol that it knows, in one request for up to 250 of a kind.

        A kind that the plan leaves out is left out too, unless nothing else is found: then raises SourceRefused.
        """
        wanted: dict[str, dict[str, str]] = {}
        for symbol in symbols:
            if native := native_symbol(symbol):
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
        native = native_symbol(symbol)
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
            f"/v2/aggs/ticker/{native.ticker}/range/{_TIMESPANS[interval]}/{path_of(interval, since, end)}",
            {"adjusted": "false", "sort": "asc", "limit": _BASE_ROWS},
            partial(parse_bars, interval=interval, now=now, is_traded=native.cluster != "forex"),
        )
        if not rows and await self.asset(symbol) is None:
            raise _unknown(symbol)
        frame = frame_of(rows)
        if has_actions and not frame.filter(pl.col("time") >= first).is_empty():
            frame = await self._with_actions(frame, native.ticker, since)
        return frame.filter(pl.col("time").is_between(first, end, closed="left"))

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every change of the symbols in demand, over one connection to each cluster that one of them is in.

        A cluster is connected to once it is needed, and stays so to the end: it takes long to let go. When one
        connection ends, the stream does.
        """
        clusters: dict[str, Cluster] = {}
        reading: dict[asyncio.Future[Any], AsyncGenerator[Sequence[Quote], None]] = {}
        changing: asyncio.Future[Any] | None = None
        try:
            while True:
                seen = demand.symbols
                topics = by_cluster(seen)
                for name in topics.keys() - clusters.keys():
                    clusters[name] = Cluster(name, self._ws_url, self._key, self._clock)
                    batches = feed(self._http, clusters[name], clusters[name].channels)
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
            parse_assets,
            max_pages=1,
        )
        wanted = text.upper()
        found.sort(key=lambda asset: (asset.symbol != wanted, not asset.symbol.startswith(wanted)))
        return found[:limit]

    async def asset(self, symbol: str) -> Asset | None:
        """What it knows of the symbol, be it delisted, or None."""
        native = native_symbol(symbol)
        if native is None:
            return None
        for active in ("true", "false"):
            found = await self._all("/v3/reference/tickers", {"ticker": native.ticker, "active": active}, parse_assets)
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
                partial(parse_index_quotes, symbols=symbols, now=now),
            )
        locale = "us" if cluster == "stocks" else "global"
        return await self._all(
            f"/v2/snapshot/locale/{locale}/markets/{cluster}/tickers",
            {"tickers": names},
            partial(parse_quotes, cluster=cluster, symbols=symbols, now=now),
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
        for bar, factor in await during("splits", "execution_date", parse_splits):
            factors[bar] *= factor
        for bar, amount in await during("dividends", "ex_dividend_date", parse_dividends):
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


def _unknown(symbol: str) -> SymbolNotFound:
    return SymbolNotFound(f'Massive does not know a symbol "{symbol}".', symbol=symbol)
