"""Yahoo Finance: quotes, history, a stream and a search; no key, and no promise of any kind."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from typing import Any, ClassVar, Final, Self, TypeVar
from urllib.parse import quote as percent_encoded

import polars as pl

from errors import SmartFinError, SourceCannot, SourceError, SourceLimited, SourceRefused, SymbolNotFound
from market import BAR_SCHEMA, Asset, AssetType, Interval, Quote, Window
from settings import Settings
from sources.feed import feed
from sources.http import TIMEOUT_S, Answer, Http
from sources.source import Budget, Capability, Demand, Quota
from sources.yahoo_chart import GRANULARITY, Chart, joined, parse_chart, raw_bars
from sources.yahoo_crumb import Crumb
from sources.yahoo_pricing import YahooDialect
from sources.yahoo_rows import Row, parse_found, parse_head, parse_rows, read_asset, read_quote
from sources.yahoo_words import NAME, NOTHING_KNOWN, covers, in_full, may_be_minor, native_symbol

logger = logging.getLogger(__name__)

Read = TypeVar("Read")
Params = Mapping[str, str | int | float]

HEADERS: Final = {
    # It turns away what does not look like a browser.
    "User-Agent": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Safari/537.36"
    ),
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.9",
}

_QUOTES_AT_ONCE: Final = 50  # it takes 99
_CHARTS_AT_ONCE: Final = 8
_DAY: Final = timedelta(days=1)
_SLACK: Final = timedelta(hours=1)  # so that who asks for exactly the reach, a moment ago, is answered
_CENTURY: Final = timedelta(days=99 * 365)  # it refuses more than 100 years at once, and has nothing older
_PIECES: Final = {Interval.M1: timedelta(days=7)}


class _NothingYet(SourceCannot):
    """The whole window lies before the first trade."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Yahoo:
    """What the site itself asks, asked the same way.

    H4, W1 and MN1 are not offered. Hours of a session that begins at 13:30 do not fill ours; a week or a month that
    holds a split mixes prices of before and after, and cannot be made RAW; both can be made of smaller bars.
    Sizes of bid and ask are left out, since their unit (shares or lots) is not told.
    """

    name: ClassVar[str] = NAME
    display_name: ClassVar[str] = "Yahoo Finance"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    asset_types: ClassVar[frozenset[AssetType]] = frozenset(AssetType)
    markets: ClassVar[frozenset[str]] = frozenset()
    reach: Mapping[Interval, timedelta | None] = {  # a day less than it says
        Interval.M1: timedelta(days=29),
        Interval.M5: timedelta(days=59),
        Interval.M15: timedelta(days=59),
        Interval.M30: timedelta(days=59),
        Interval.H1: timedelta(days=729),
        Interval.D1: None,
    }
    priority: ClassVar[int] = 50
    # It publishes no limits, and bars addresses that ask too often: these are our own caution.
    quotas: Sequence[Quota] = (Quota(100, 60), Quota(2000, 3600))
    symbols_per_question: ClassVar[int | None] = None
    delay_seconds: ClassVar[float | None] = None  # 0 to 30 minutes, by exchange; its quotes say
    symbols_per_stream: ClassVar[int] = 100
    max_streams: ClassVar[int] = 20
    silence_s: ClassVar[float] = 120.0
    stream_life_s: ClassVar[float | None] = None
    synthetic: ClassVar[bool] = False

    def __init__(
        self,
        url: str,
        cookie_url: str,
        ws_url: str,
        budget: Budget,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._http = Http(self.name, url, budget, judge=_judge, headers=HEADERS, timeout_s=timeout_s)
        self._crumb = Crumb(self._http, cookie_url, clock)
        self._ws_url = ws_url
        self._clock = clock
        self._currencies: dict[str, str] = {}
        """Yahoo's currency codes of the symbols whose prices may be in hundredths."""

    @classmethod
    def opened(cls, settings: Settings, budget: Budget) -> Self:
        """Yahoo at the addresses in the settings; it needs no key."""
        return cls(settings.yahoo_url, settings.yahoo_cookie_url, settings.yahoo_ws_url, budget)

    def covers(self, symbol: str) -> bool:
        """Whether Yahoo could know it: most spellings of ours are its own."""
        return covers(symbol)

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest quote, in regular hours, of each symbol that it knows; fifty are asked for at once.

        Where no crumb can be had, the head of each symbol's chart is asked instead: without bid, ask and delay.
        """
        return await self._read(symbols, partial(read_quote, now=self._clock()))

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The bars that open within the window, made RAW by the splits that Yahoo reports.

        Days are asked for up to the present, and so is an intraday window that ended less than a day ago: the splits
        since come with it. For older ones they are asked for on their own.

        Raises SymbolNotFound, and SourceCannot where the window begins before its reach.
        """
        if interval not in self.reach:
            raise SourceCannot(f"Yahoo has no {interval} bars; ask for one of {', '.join(self.reach)}.")
        if not covers(symbol):
            raise _unknown(symbol)
        now = self._clock()
        horizon = now if interval.is_intraday else now + _DAY  # a day of Sydney's begins before ours
        if window.start >= min(window.end, horizon):
            return pl.DataFrame(schema=BAR_SCHEMA)
        opening, closing = self._asked(interval, window, now)
        charts = [
            chart
            for piece in _pieces(Window(opening, closing), _PIECES.get(interval, closing - opening))
            if (chart := await self._chart(symbol, GRANULARITY[interval], piece)) is not None
        ]
        if not charts:
            return pl.DataFrame(schema=BAR_SCHEMA)
        chart = joined(charts)
        if closing < now and (later := await self._chart(symbol, "1d", Window(closing - _DAY, now))) is not None:
            chart = replace(chart, splits={**chart.splits, **later.splits})
        bars = raw_bars(chart, interval, now)
        return bars.filter((pl.col("time") >= window.start) & (pl.col("time") < window.end))

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every tick in regular hours of up to 100 symbols, and at first the last one known, however old.

        Yahoo samples: about one a second. Raises SourceUnreachable, SourceTimeout.
        """
        dialect = YahooDialect(self._ws_url, HEADERS, self._currencies, self._clock)
        known = demand.symbols
        await self._learn_currencies(known)
        learning = asyncio.create_task(self._keep_learning(demand, known))
        try:
            async with aclosing(feed(self._http, dialect, demand)) as batches:
                async for quotes in batches:
                    yield quotes
        finally:
            learning.cancel()
            with suppress(asyncio.CancelledError):
                await learning

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """What Yahoo itself would offer; the currency is the one that the venue has."""
        params: Params = {"q": text, "quotesCount": limit, "newsCount": 0}
        return (await self._http.get("/v1/finance/search", parse_found, params))[:limit]

    async def asset(self, symbol: str) -> Asset | None:
        """What it knows of the symbol, or None."""
        return (await self._read([symbol], read_asset)).get(symbol)

    async def assets(self) -> Sequence[Asset]:
        """None: it has no list."""
        return ()

    async def aclose(self) -> None:
        """Give back the connections."""
        await self._http.aclose()

    def _asked(self, interval: Interval, window: Window, now: datetime) -> tuple[datetime, datetime]:
        """From when to when to ask: more than the window, to see which bar is the first after an event.

        Raises SourceCannot where the window begins out of reach.
        """
        reach = self.reach[interval]
        if reach is None:
            return max(window.start - 7 * _DAY, now - _CENTURY), now
        oldest = now - reach - _SLACK
        if window.start < oldest:
            from_day = (now - reach).date()
            raise SourceCannot(f"Yahoo has {interval} bars of the last {reach.days} days; ask from {from_day} on.")
        closing = window.end + interval.span
        return max(window.start - _DAY, oldest), now if closing > now - _DAY else closing

    async def _chart(self, symbol: str, granularity: str, window: Window) -> Chart | None:
        """The chart of a window; None where it lies before the first trade. Raises SymbolNotFound."""
        params: Params = {
            "interval": granularity,
            "period1": int(window.start.timestamp()),
            "period2": ceil(window.end.timestamp()),
            "includePrePost": "false",
            "events": "div,splits,capitalGains",
        }
        parse = partial(parse_chart, granularity=granularity)
        try:
            chart = await self._http.get(_chart_path(symbol), parse, params)
        except _NothingYet:
            return None
        except SymbolNotFound:
            raise _unknown(symbol) from None
        if chart.is_of_nothing:
            raise _unknown(symbol)
        return chart

    async def _read(self, symbols: Iterable[str], read: Callable[[str, Row], Read | None]) -> dict[str, Read]:
        """What `read` makes of Yahoo's row of each covered symbol that it knows."""
        asked = [symbol for symbol in dict.fromkeys(symbols) if covers(symbol)]
        found: dict[str, Read] = {}
        for start in range(0, len(asked), _QUOTES_AT_ONCE):
            found |= await self._read_chunk(asked[start : start + _QUOTES_AT_ONCE], read)
        return found

    async def _read_chunk(self, symbols: Sequence[str], read: Callable[[str, Row], Read | None]) -> dict[str, Read]:
        natives = {symbol: native_symbol(symbol) for symbol in symbols}

        def parse(payload: Any) -> dict[str, Read]:
            rows = parse_rows(payload)
            return self._made({symbol: rows.get(in_full(native)) for symbol, native in natives.items()}, read)

        for _ in range(2):
            crumb = await self._crumb.get()
            if crumb is None:
                break
            params = {"symbols": ",".join(natives.values()), "crumb": crumb}
            try:
                return await self._http.get("/v7/finance/quote", parse, params)
            except SourceRefused:
                self._crumb.discard(crumb)
        else:
            self._crumb.give_up()
        return await self._read_charts(symbols, read)

    async def _read_charts(self, symbols: Sequence[str], read: Callable[[str, Row], Read | None]) -> dict[str, Read]:
        """The same from the heads of the symbols' charts, a few at a time. Raises the first error."""

        async def one(symbol: str) -> dict[str, Read]:
            params = {"interval": "1d", "range": "1d", "includePrePost": "false"}
            try:
                return await self._http.get(
                    _chart_path(symbol), lambda payload: self._made({symbol: parse_head(payload)}, read), params
                )
            except SymbolNotFound:
                return {}

        found: dict[str, Read] = {}
        for start in range(0, len(symbols), _CHARTS_AT_ONCE):
            asked = symbols[start : start + _CHARTS_AT_ONCE]
            for answer in await asyncio.gather(*map(one, asked), return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
                found |= answer
        return found

    def _made(self, rows: Mapping[str, Row | None], read: Callable[[str, Row], Read | None]) -> dict[str, Read]:
        made = {}
        for symbol, row in rows.items():
            if row is None or row["quoteType"] == NOTHING_KNOWN:
                continue
            if may_be_minor(symbol) and row.get("currency"):
                self._currencies[symbol] = row["currency"]
            if (told := read(symbol, row)) is not None:
                made[symbol] = told
        return made

    async def _keep_learning(self, demand: Demand, known: frozenset[str]) -> None:
        while True:
            known = await demand.changed(known)
            await self._learn_currencies(known)

    async def _learn_currencies(self, symbols: Iterable[str]) -> None:
        """Ask for the quotes of symbols whose ticks cannot be read without their currency."""
        unknown = sorted(symbol for symbol in symbols if may_be_minor(symbol) and symbol not in self._currencies)
        try:
            await self.quotes(unknown)
        except SourceError as error:
            logger.warning("yahoo: no ticks of %s until their currency is known: %s", ", ".join(unknown), error)


def _pieces(window: Window, length: timedelta) -> Iterable[Window]:
    start = window.start
    while start < window.end:
        end = min(start + length, window.end)
        yield Window(start, end)
        start = end


def _chart_path(symbol: str) -> str:
    return f"/v8/finance/chart/{percent_encoded(native_symbol(symbol), safe='')}"


def _unknown(symbol: str) -> SymbolNotFound:
    return SymbolNotFound(f'Yahoo knows no symbol "{symbol}"; search for it.', symbol=symbol)


def _judge(answer: Answer) -> SmartFinError | None:
    """The error that an answer means.

    404 {"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}
    422 {"chart":{"result":null,"error":{"code":"Unprocessable Entity","description":"1m data not available for …"}}}
    400 {"chart":{"result":null,"error":{"code":"Bad Request","description":"Data doesn't exist for startDate = …"}}}
    401 {"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}
    429 Too Many Requests, or: Edge: Too Many Requests
    """
    if answer.text.rstrip().endswith("Too Many Requests"):
        return SourceLimited("yahoo was asked too often", retry_after_s=answer.retry_after_s)
    if not isinstance(answer.json, Mapping):
        return None
    for root, part in answer.json.items():
        if isinstance(part, Mapping) and isinstance(part.get("error"), Mapping):
            description = str(part["error"].get("description"))
            match part["error"].get("code"):
                case "Not Found" if root == "chart":
                    return SymbolNotFound(description)
                case "Unauthorized":
                    return SourceRefused(f"yahoo refuses to answer: {description}")
                case "Bad Request" if description.startswith("Data doesn't exist"):
                    return _NothingYet(f"yahoo cannot: {description}")
                case "Bad Request" | "Unprocessable Entity":
                    return SourceCannot(f"yahoo cannot: {description}")
    return None
