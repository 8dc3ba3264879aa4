"""Alpha Vantage: end-of-day quotes, exchange rates, daily bars and a symbol search.

A free key asks once a second and 25 times a day, so no question is asked whose answer is known to be no; a paid one
asks as often a minute as its plan says, and not of the last 19 weeks only.
Everything comes under status 200; what went wrong is a sentence in the body, and the daily one spells the key out.

Left out of reach: intraday bars, which only paid plans have, and weeks and months, which are named by their last
trading day.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final, NamedTuple, Self, TypeVar
from zoneinfo import ZoneInfo

import polars as pl

from errors import SmartFinError, SourceCannot, SourceLimited, SourceRefused, SymbolNotFound
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window, venue
from settings import Settings
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
_LAG: Final = timedelta(minutes=15)  # how late its delayed prices are


class _Venue(NamedTuple):
    suffix: str  # in its spelling
    code: str  # what stands before the suffix, where shares trade in the venue's own currency
    closes: time  # the venue's usual last minute, in its own zone


# By our suffix. Left out: B shares in China (USD, HKD), yuan counters in Hong Kong, units in USD in Toronto.
_VENUES: Final = {
    "HK": _Venue("HKG", r"\d{4}", time(16)),
    "SS": _Venue("SHH", r"[56]\d{5}", time(15)),
    "SZ": _Venue("SHZ", r"[013]\d{5}", time(15)),
    "L": _Venue("LON", r"[A-Z0-9]{1,4}(-[A-Z])?", time(16, 30)),
    "TO": _Venue("TRT", r"[A-Z]{1,5}(-(?!U$)[A-Z]{1,2})?", time(16)),
    "DE": _Venue("DEX", r"[A-Z0-9]{1,5}", time(17, 30)),
    "BO": _Venue("BSE", r"[A-Z0-9-]{1,12}", time(15, 30)),
}
_OUR_SUFFIX: Final = {venue.suffix: ours for ours, venue in _VENUES.items()}
_US_SHARE: Final = re.compile(r"[A-Z]{1,5}(\.[A-Z])?")
_US_CLOSES: Final = time(16)
_FOREX: Final = re.compile(r"([A-Z]{3})?([A-Z]{3})=X")
_CRYPTO: Final = re.compile(r"([A-Z0-9]{1,10})-([A-Z]{3,4})")

_MINOR: Final = {"GBX": "GBP", "GBp": "GBP"}
_TYPES: Final = {"Equity": AssetType.STOCK, "ETF": AssetType.ETF, "Mutual Fund": AssetType.FUND}
# Debian keeps names of this age in a package of their own.
_ZONES: Final = {"US/Eastern": "America/New_York"}


class _Unit(NamedTuple):
    """What prices are in: `parts` of them make one of `currency`."""

    currency: str
    parts: int = 1


def native_symbol(symbol: str) -> str | None:
    """Its spelling of a share: BRK.B is BRK-B, 0700.HK is 0700.HKG, TSCO.L is TSCO.LON; None where it has none."""
    code, dot, suffix = symbol.rpartition(".")
    if dot and (listed := _VENUES.get(suffix)):
        return f"{code}.{listed.suffix}" if re.fullmatch(listed.code, code) else None
    if _US_SHARE.fullmatch(symbol) and venue(symbol).market_code is None:
        return symbol.replace(".", "-")
    return None


def our_symbol(native: str) -> str | None:
    """Our spelling of a share of its, whether it writes BRK-B or BRK.B; None where we do not cover it."""
    code, dot, suffix = native.rpartition(".")
    symbol = f"{code}.{_OUR_SUFFIX[suffix]}" if dot and suffix in _OUR_SUFFIX else native.replace("-", ".")
    return symbol if native_symbol(symbol) in (native, native.replace(".", "-")) else None


def pair(symbol: str) -> tuple[str, str] | None:
    """What is priced, and in what: EURUSD=X is EUR in USD, JPY=X is USD in JPY, BTC-USDT is BTC in USDT; else None."""
    if found := _FOREX.fullmatch(symbol):
        return found[1] or "USD", found[2]
    if found := _CRYPTO.fullmatch(symbol):
        return found[1], found[2]
    return None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AlphaVantage:
    """The source on one key. Quotes take a second a symbol: it answers one a question."""

    name: ClassVar[str] = "alphavantage"
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
        self._units: dict[str, _Unit] = {}
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
                return await self._rate(names, lambda payload: _pair_asset(payload, symbol))
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
            return await self._rate(names, lambda payload: _rate_quote(payload, symbol, self._clock()))
        native = native_symbol(symbol)
        if native is None:
            raise _unknown(symbol)
        unit = await self._unit(symbol, native)
        return await self._ask(
            "GLOBAL_QUOTE",
            lambda payload: _share_quote(payload, symbol, unit, self._clock()),
            {"symbol": native},
        )

    async def _bars(self, symbol: str, first: datetime) -> pl.DataFrame:
        """All bars that one question brings. Raises SourceCannot if they do not go back to `first`."""
        if names := pair(symbol):
            if _CRYPTO.fullmatch(symbol):
                return await self._coin_bars(symbol, {"symbol": names[0], "market": names[1]}, first)
            params = {"from_symbol": names[0], "to_symbol": names[1]}
            return await self._sized_bars(symbol, "FX_DAILY", params, first, parts=1)
        native = native_symbol(symbol)
        if native is None:
            raise _unknown(symbol)
        unit = await self._unit(symbol, native)
        params = {"symbol": native}
        return await self._sized_bars(symbol, "TIME_SERIES_DAILY", params, first, parts=unit.parts)

    async def _coin_bars(self, symbol: str, params: Mapping[str, str], first: datetime) -> pl.DataFrame:
        if first < (oldest := self._clock() - _CRYPTO_REACH):
            raise _beyond(symbol, oldest)
        bars = await self._ask(
            "DIGITAL_CURRENCY_DAILY", lambda payload: _daily(payload, symbol, 1, self._clock()), params
        )
        # It does not say whether the coin is that young or the rest is cut off.
        if not bars.is_empty() and bars["time"][0] > first:
            raise _beyond(symbol, bars["time"][0])
        return bars

    async def _sized_bars(
        self, symbol: str, function: str, params: Mapping[str, str], first: datetime, *, parts: int
    ) -> pl.DataFrame:
        def parse(payload: Any) -> pl.DataFrame:
            return _daily(payload, symbol, parts, self._clock())

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

    async def _unit(self, symbol: str, native: str) -> _Unit:
        """What a share's prices are in. Only in London it has to be asked: it may be pence, pounds or dollars."""
        if symbol not in self._units:
            guess = venue(symbol)
            if guess.market_code != "XLON":
                return _Unit(guess.currency)
            await self._matches(native)
        if symbol not in self._units:
            raise _unknown(symbol)
        return self._units[symbol]

    async def _matches(self, text: str) -> list[Asset]:
        matches = await self._ask("SYMBOL_SEARCH", _matches, {"keywords": text})
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


def _unknown(symbol: str) -> SymbolNotFound:
    return SymbolNotFound(f'{AlphaVantage.name} does not know "{symbol}".', symbol=symbol)


def _beyond(symbol: str, oldest: datetime) -> SourceCannot:
    day = Interval.D1.ceil(oldest).date()
    return SourceCannot(f"{AlphaVantage.name} has D1 bars of {symbol} only from {day} on; ask from there.")


def _share_quote(payload: Any, symbol: str, unit: _Unit, now: datetime) -> Quote:
    """The quote of a share. It does not say when the price was printed: the usual close of the day stands in.

        {"Global Quote": {"01. symbol": "IBM", "02. open": "218.2000", "03. high": "220.9100", "04. low": "217.6150",
          "05. price": "219.3000", "06. volume": "6154450", "07. latest trading day": "2026-05-15",
          "08. previous close": "218.3700", "09. change": "0.9300", "10. change percent": "0.4259%"}}

    A plan that is entitled to delayed prices has them under "Global Quote - DATA DELAYED BY 15 MINUTES".
    """
    payload = _known(payload, symbol)
    [title] = [key for key in payload if key.startswith("Global Quote")]
    is_delayed = "DELAYED" in title
    fields = _named(payload[title])
    price = _price(fields.get("price"), unit.parts)
    if price is None:
        raise _unknown(symbol)
    flags = (*(() if is_delayed else ("END_OF_DAY",)), *(("MINOR_UNIT",) if unit.parts > 1 else ()))
    return Quote(
        symbol=symbol,
        price=price,
        time=min(_close(symbol, date.fromisoformat(fields["latest trading day"])), now - _LAG if is_delayed else now),
        open=_price(fields.get("open"), unit.parts),
        high=_price(fields.get("high"), unit.parts),
        low=_price(fields.get("low"), unit.parts),
        previous_close=_price(fields.get("previous close"), unit.parts),
        volume=_number(fields.get("volume")),
        currency=unit.currency,
        provenance=_provenance(now, flags, delay_seconds=_LAG.total_seconds() if is_delayed else None),
    )


def _rate_quote(payload: Any, symbol: str, now: datetime) -> Quote:
    """The quote of a pair; a bid or an ask may be "-".

    {"Realtime Currency Exchange Rate": {"1. From_Currency Code": "USD", "2. From_Currency Name":
      "United States Dollar", "3. To_Currency Code": "JPY", "4. To_Currency Name": "Japanese Yen",
      "5. Exchange Rate": "158.73166867", "6. Last Refreshed": "2026-05-17 17:12:44", "7. Time Zone": "UTC",
      "8. Bid Price": "158.72", "9. Ask Price": "158.74"}}
    """
    fields = _rate_fields(payload, symbol)
    price = _price(fields["Exchange Rate"])
    if price is None:
        raise _unknown(symbol)
    refreshed = datetime.fromisoformat(fields["Last Refreshed"])
    return Quote(
        symbol=symbol,
        price=price,
        time=refreshed.replace(tzinfo=_zone(fields)).astimezone(UTC),
        bid=_price(fields.get("Bid Price")),
        ask=_price(fields.get("Ask Price")),
        currency=fields["To_Currency Code"],
        provenance=_provenance(now),
    )


def _pair_asset(payload: Any, symbol: str) -> Asset:
    """What `_rate_quote` reads, for the names."""
    fields = _rate_fields(payload, symbol)
    guess = venue(symbol)
    return Asset(
        symbol=symbol,
        name=f"{fields['From_Currency Name']} / {fields['To_Currency Name']}",
        type=guess.asset_type,
        market_code=guess.market_code,
        currency=fields["To_Currency Code"],
        timezone=guess.timezone,
    )


def _rate_fields(payload: Any, symbol: str) -> dict[str, Any]:
    return _named(_known(payload, symbol)["Realtime Currency Exchange Rate"])


def _daily(payload: Any, symbol: str, parts: int, now: datetime) -> pl.DataFrame:
    """All bars of a daily series, ascending; a row without prices stays, as nulls.

        {"Meta Data": {"1. Information": "Daily Prices (open, high, low, close) and Volumes", "2. Symbol": "IBM",
          "3. Last Refreshed": "2026-05-15", "4. Output Size": "Compact", "5. Time Zone": "US/Eastern"},
         "Time Series (Daily)": {"2026-05-15": {"1. open": "218.2000", "2. high": "220.9100", "3. low": "217.6150",
          "4. close": "219.3000", "5. volume": "6154450"}}}

    Rows of currencies have no volume. Rows of coins were once "1a. open (EUR)", "1b. open (USD)", and so on. The
    bar of a day is final once the day is over in the time zone of the series, and delayed prices are in.
    """
    payload = _known(payload, symbol)
    today = (now - _LAG).astimezone(_zone(_named(payload["Meta Data"]))).date()
    [series] = [series for title, series in payload.items() if "Time Series" in title]
    rows = []
    for text, fields in sorted(_object(series).items()):
        day, row = date.fromisoformat(text[:10]), _named(fields)
        prices = [_price(row[word], parts) for word in ("open", "high", "low", "close")]
        rows.append(
            (datetime.combine(day, time(), UTC), *prices, _number(row.get("volume")), None, None, 1.0, 0.0, day < today)
        )
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


def _matches(payload: Any) -> list[tuple[Asset, _Unit]]:
    """What a search found and we can spell, the likeliest first, each with what its prices are in.

    {"bestMatches": [{"1. symbol": "TSCO.LON", "2. name": "Tesco PLC", "3. type": "Equity",
      "4. region": "United Kingdom", "5. marketOpen": "08:00", "6. marketClose": "16:30", "7. timezone": "UTC+01",
      "8. currency": "GBX", "9. matchScore": "0.7273"}]}
    """
    found = []
    for match in map(_named, payload["bestMatches"]):
        symbol, kind = our_symbol(match["symbol"]), _TYPES.get(match["type"])
        if symbol is None or kind is None:
            continue
        priced_in = match["currency"]
        unit = _Unit(_MINOR[priced_in], 100) if priced_in in _MINOR else _Unit(priced_in)
        guess = venue(symbol)
        asset = Asset(
            symbol=symbol,
            name=match["name"],
            type=kind,
            market_code=guess.market_code,
            currency=unit.currency,
            timezone=guess.timezone,
        )
        found.append((asset, unit))
    return found


def _provenance(now: datetime, flags: Sequence[str] = (), delay_seconds: float | None = None) -> Provenance:
    return Provenance(
        source=AlphaVantage.name,
        served_from=ServedFrom.LIVE,
        received_at=now,
        delay_seconds=delay_seconds,
        flags=flags,
    )


def _close(symbol: str, day: date) -> datetime:
    """When the symbol's venue usually closes on that day. On a half day it is hours late."""
    _, dot, suffix = symbol.rpartition(".")
    closes = _VENUES[suffix].closes if dot and suffix in _VENUES else _US_CLOSES
    return datetime.combine(day, closes, ZoneInfo(venue(symbol).timezone)).astimezone(UTC)


def _known(payload: Any, symbol: str) -> dict[str, Any]:
    """The payload, unless it is what comes for an unknown symbol. Raises SymbolNotFound.

    {} · {"Global Quote": {}} · {"Error Message": "Invalid API call. Please retry or visit the documentation (…) …"}
    """
    fields = _object(payload)
    if not any(fields.values()) or "Invalid API call" in fields.get("Error Message", ""):
        raise _unknown(symbol)
    return fields


def _named(fields: Any) -> dict[str, Any]:
    """The fields by their words, since their numbers shift from function to function: "5. volume", "06. volume".

    Of "1a. open (EUR)" and "1b. open (USD)" the first counts: the price in the currency that was asked for.
    """
    named: dict[str, Any] = {}
    for key, value in _object(fields).items():
        named.setdefault(key.rpartition(". ")[2].partition(" (")[0], value)
    return named


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return value


def _zone(fields: Mapping[str, Any]) -> ZoneInfo:
    name = fields["Time Zone"]
    return ZoneInfo(_ZONES.get(name, name))


def _price(said: str | None, parts: int = 1) -> float | None:
    """A number that cannot be 0."""
    return _number(said, parts) or None


def _number(said: str | int | None, parts: int = 1) -> float | None:
    """The number over `parts`, exact in decimal; None where nothing is said: absent, "-", "None", "NaN"."""
    if said in (None, "", "-", ".", "None"):
        return None
    number = Decimal(said) / parts
    return float(number) if number.is_finite() else None
