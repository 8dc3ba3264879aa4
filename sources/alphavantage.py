"""Alpha Vantage: end-of-day quotes, exchange rates, daily bars and a symbol search.

A free key asks once a second and 25 times a day, so no question is asked whose answer is known to be no; it has
the days of the last 19 weeks. A paid one asks as often a minute as its plan says, and has all days.
Everything comes under status 200; what went wrong is a sentence in the body, and the daily one spells the key out.

Left out of reach: intraday bars, which only paid plans have, and weeks and months, which are named by their last
trading day.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, Self, TypeVar

import polars as pl

from errors import SmartFinError, SourceCannot, SourceLimited, SourceRefused, SymbolNotFound
from market import BAR_SCHEMA, Asset, AssetType, Interval, Quote, Window, venue
from settings import Settings
from sources.alphavantage_rows import Unit, daily_bars, matches_of, pair_asset, rate_quote, share_quote, unknown
from sources.alphavantage_words import NAME, is_coin, native_symbol, pair
from sources.http import TIMEOUT_S, Answer, Http
from sources.source import DAY_S, Budget, Capability, Demand, Quota, quotas_of_plan

Parsed = TypeVar("Parsed")

_DAY: Final = Quota(25, DAY_S, "America/New_York")
_BURST_S: Final = 1.0

_TURNS: Final = 3
"""How often a question is asked while only the limit of a second stands in its way."""
_TURN_S: Final = 2.0

_COMPACT_ROWS: Final = 100
_COMPACT_REACH: Final = timedelta(weeks=19)  # fewer than 100 weekdays, so the oldest row shows that none is missing
_CRYPTO_REACH: Final = timedelta(days=350)
_REFUSAL_LASTS: Final = timedelta(days=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AlphaVantage:
    """The source on one key. Quotes take a second a symbol: it answers one a question."""

    name: ClassVar[str] = NAME
    display_name: ClassVar[str] = "Alpha Vantage"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.QUOTES, Capability.HISTORY, Capability.SEARCH}
    )
    asset_types: ClassVar[frozenset[AssetType]] = frozenset(
        {AssetType.STOCK, AssetType.ETF, AssetType.FUND, AssetType.FOREX, AssetType.CRYPTO}
    )
    markets: ClassVar[frozenset[str]] = frozenset(
        {"XNAS", "XNYS", "XASE", "ARCX", "BATS", "XHKG", "XSHG", "XSHE", "XLON", "XTSE", "XETR", "XBOM"}
        | {"FOREX", "CRYPTO"}
    )
    reach: Mapping[Interval, timedelta | None] = {Interval.D1: _COMPACT_REACH}
    priority: ClassVar[int] = 20
    quotas: Sequence[Quota] = (Quota(1, 1), _DAY)
    symbols_per_question: ClassVar[int | None] = 1
    delay_seconds: ClassVar[float | None] = None
    symbols_per_stream: ClassVar[int] = 0
    max_streams: ClassVar[int] = 0
    silence_s: ClassVar[float] = 60.0
    stream_life_s: ClassVar[float | None] = None
    synthetic: ClassVar[bool] = False

    def __init__(
        self,
        url: str,
        key: str,
        budget: Budget,
        clock: Callable[[], datetime] = _utc_now,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        timeout_s: float = TIMEOUT_S,
        requests_per_minute: int | None = None,
    ) -> None:
        if requests_per_minute is not None:
            self.quotas, self.reach = quotas_of_plan(requests_per_minute), {Interval.D1: None}
        self._key = key
        self._clock = clock
        self._pause = pause
        self._http = Http(
            self.name,
            url,
            budget,
            judge=self._judge,
            headers={"Accept": "application/json"},
            secrets=[key],
            timeout_s=timeout_s,
        )
        self._units: dict[str, Unit] = {}
        self._full_refused_at: dict[str, datetime] = {}

    @classmethod
    def opened(cls, settings: Settings, budget: Budget) -> Self | None:
        """The source on the key and the plan in the settings; None without a key."""
        key = settings.alphavantage_api_key
        if key is None:
            return None
        per_minute = settings.alphavantage_requests_per_minute
        return cls(settings.alphavantage_url, key.get_secret_value(), budget, requests_per_minute=per_minute)

    def covers(self, symbol: str) -> bool:
        """Whether it is a share where it has shares (New York to Mumbai), or a pair of currencies or coins."""
        return native_symbol(symbol) is not None or pair(symbol) is not None

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest quote of each symbol that it knows: shares as of a close, flagged END_OF_DAY; pairs as of now.

        Each waits for its turn, as every question does: there is one a second.
        """
        found: dict[str, Quote] = {}
        for symbol in dict.fromkeys(symbols):
            with suppress(SymbolNotFound):
                found[symbol] = await self._quote(symbol)
        return found

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The D1 bars that open within the window, as traded: it tells of no splits and no dividends.

        Raises SymbolNotFound, and SourceCannot for other intervals and for days before those that the key may see.
        """
        if interval not in self.reach:
            raise SourceCannot(f"{self.name} has no {interval} bars; ask for D1.")
        first = interval.ceil(window.start)
        if first >= window.end or first > self._clock():
            return pl.DataFrame(schema=BAR_SCHEMA)
        bars = await self._bars(symbol, first)
        within = pl.col("time").is_between(window.start, window.end, closed="left")
        return bars.filter(within).drop_nulls(["open", "high", "low", "close"])

    def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Raises SourceCannot: there is none."""
        raise SourceCannot(f"{self.name} has no stream.")

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """Shares and funds whose symbol or name is like the text, the likeliest first."""
        if not text.strip():
            return ()
        return (await self._matches(text))[:limit]

    async def asset(self, symbol: str) -> Asset | None:
        """What its search tells of a share, or its exchange rate of a pair."""
        with suppress(SymbolNotFound):
            if names := pair(symbol):
                return await self._rate(names, lambda payload: pair_asset(payload, symbol))
            if native := native_symbol(symbol):
                return next((asset for asset in await self._matches(native) if asset.symbol == symbol), None)
        return None

    async def assets(self) -> Sequence[Asset]:
        """None: a listing would cost a question."""
        return ()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def _quote(self, symbol: str) -> Quote:
        if names := pair(symbol):
            return await self._rate(names, lambda payload: rate_quote(payload, symbol, self._clock()))
        native = native_symbol(symbol)
        if native is None:
            raise unknown(symbol)
        unit = await self._unit(symbol, native)
        return await self._ask(
            "GLOBAL_QUOTE",
            lambda payload: share_quote(payload, symbol, unit, self._clock()),
            {"symbol": native},
        )

    async def _bars(self, symbol: str, first: datetime) -> pl.DataFrame:
        """All bars that one question brings. Raises SourceCannot if they do not go back to `first`."""
        if names := pair(symbol):
            if is_coin(symbol):
                return await self._coin_bars(symbol, {"symbol": names[0], "market": names[1]}, first)
            params = {"from_symbol": names[0], "to_symbol": names[1]}
            return await self._sized_bars(symbol, "FX_DAILY", params, first, parts=1)
        native = native_symbol(symbol)
        if native is None:
            raise unknown(symbol)
        unit = await self._unit(symbol, native)
        params = {"symbol": native}
        return await self._sized_bars(symbol, "TIME_SERIES_DAILY", params, first, parts=unit.parts)

    async def _coin_bars(self, symbol: str, params: Mapping[str, str], first: datetime) -> pl.DataFrame:
        if first < (oldest := self._clock() - _CRYPTO_REACH):
            raise _beyond(symbol, oldest)
        bars = await self._ask(
            "DIGITAL_CURRENCY_DAILY", lambda payload: daily_bars(payload, symbol, 1, self._clock()), params
        )
        # It does not say whether the coin is that young or the rest is cut off.
        if not bars.is_empty() and bars["time"][0] > first:
            raise _beyond(symbol, bars["time"][0])
        return bars

    async def _sized_bars(
        self, symbol: str, function: str, params: Mapping[str, str], first: datetime, *, parts: int
    ) -> pl.DataFrame:
        def parse(payload: Any) -> pl.DataFrame:
            return daily_bars(payload, symbol, parts, self._clock())

        now = self._clock()
        if first < (oldest := now - _COMPACT_REACH):
            refused_at = self._full_refused_at.get(function)
            if refused_at and now - refused_at < _REFUSAL_LASTS:
                raise _beyond(symbol, oldest)
            try:
                return await self._ask(function, parse, {**params, "outputsize": "full"})
            except SourceCannot:
                self._full_refused_at[function] = now
                raise _beyond(symbol, oldest) from None
            except SymbolNotFound:
                pass  # perhaps known: the whole history of some foreign shares fails, their newest rows do not
        bars = await self._ask(function, parse, {**params, "outputsize": "compact"})
        if len(bars) >= _COMPACT_ROWS and bars["time"][0] > first:
            raise _beyond(symbol, bars["time"][0])
        return bars

    async def _unit(self, symbol: str, native: str) -> Unit:
        """What a share's prices are in. Only in London it has to be asked: it may be pence, pounds or dollars."""
        if symbol not in self._units:
            guess = venue(symbol)
            if guess.market_code != "XLON":
                return Unit(guess.currency)
            await self._matches(native)
        if symbol not in self._units:
            raise unknown(symbol)
        return self._units[symbol]

    async def _matches(self, text: str) -> list[Asset]:
        matches = await self._ask("SYMBOL_SEARCH", matches_of, {"keywords": text})
        self._units |= {asset.symbol: unit for asset, unit in matches}
        return [asset for asset, _ in matches]

    async def _rate(self, names: tuple[str, str], parse: Callable[[Any], Parsed]) -> Parsed:
        params = {"from_currency": names[0], "to_currency": names[1]}
        return await self._ask("CURRENCY_EXCHANGE_RATE", parse, params)

    async def _ask(self, function: str, parse: Callable[[Any], Parsed], params: Mapping[str, str]) -> Parsed:
        turns = _TURNS
        while True:
            turns -= 1
            try:
                return await self._http.get("/query", parse, {"function": function, **params, "apikey": self._key})
            except SourceLimited as error:
                if not turns or error.retry_after_s is None or error.retry_after_s > _TURN_S:
                    raise
                await self._pause(error.retry_after_s)

    def _judge(self, answer: Answer) -> SmartFinError | None:
        """What a sentence in the place of data means. None for an unknown one: the parser will stumble over it.

        The order counts: what tells of the limit of a second names that of the day too, and both advertise
        premium plans.

            {"Information": "Thank you for using Alpha Vantage! Please consider spreading out your free API requests
                more sparingly (1 request per second). … 25 requests per day …"}
            {"Note": "Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute …"}
            {"Information": "We have detected your API key as XXXX and our standard API rate limit is 25 requests
                per day. Please subscribe to any of the premium plans at … to instantly remove all daily rate limits."}
            {"Information": "… The outputsize=full parameter value is a premium feature for the TIME_SERIES_DAILY …"}
            {"Information": "Thank you for using Alpha Vantage! This is a premium endpoint. …"}
            {"message": "This is a premium endpoint. ***THE SAMPLE DATA SCHEMA BELOW IS ARTIFICIAL …", "data": […]}
            {"Error Message": "the parameter apikey is invalid or missing. …"}
            {"Information": "The **demo** API key is for demo purposes only. …"}
        """
        if not isinstance(answer.json, dict):
            return None
        said = " ".join(text for text in answer.json.values() if isinstance(text, str)).lower()
        if "spreading out" in said or "per second" in said or "Note" in answer.json:
            return SourceLimited(
                f"{self.name} was asked twice in a second", retry_after_s=answer.retry_after_s or _BURST_S
            )
        if "detected your api key" in said:
            now = self._clock()
            return SourceLimited(
                f"the quota of the day of {self.name} is spent",
                retry_after_s=(_DAY.window(now)[1] - now).total_seconds(),
            )
        if "outputsize=full" in said:
            return SourceCannot(f"the plan of the key for {self.name} has only the newest {_COMPACT_ROWS} days")
        if any(word in said for word in ("premium", "entitle", "artificial")):
            return SourceRefused(f"the plan of the key for {self.name} does not include this")
        if any(word in said for word in ("apikey", "api key")):
            return SourceRefused(f"{self.name} refuses the key; check ALPHAVANTAGE_API_KEY")
        return None


def _beyond(symbol: str, oldest: datetime) -> SourceCannot:
    day = Interval.D1.ceil(oldest).date()
    return SourceCannot(f"{NAME} has D1 bars of {symbol} only from {day} on; ask from there.")
