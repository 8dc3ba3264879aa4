"""The words of the field: symbols, intervals, quotes, bars and where they came from. No I/O."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from sys import intern
from typing import Final, NewType

import msgspec
import polars as pl

Symbol = NewType("Symbol", str)
"""A ticker in our spelling."""

_SYMBOL: Final = re.compile(r"[A-Za-z0-9._=^-]{1,20}")


def parse_symbol(text: str) -> Symbol:
    """The canonical spelling of a symbol, upper-cased.

    Raises ValueError unless it is 1-20 of `A-Z 0-9 . _ - = ^`.
    """
    # Checked before it is upper-cased: some letters beyond ASCII turn into those of a symbol.
    if not _SYMBOL.fullmatch(text):
        raise ValueError("a symbol is 1-20 of A-Z 0-9 . _ - = ^")
    return Symbol(intern(text.upper()))  # one text for all who name it, found by what it is and not by what it says


class AssetType(StrEnum):
    """What kind of thing is traded."""

    STOCK = "STOCK"
    ETF = "ETF"
    FUND = "FUND"
    INDEX = "INDEX"
    FOREX = "FOREX"
    CRYPTO = "CRYPTO"
    COMMODITY = "COMMODITY"


class Adjustment(StrEnum):
    """How history is corrected at read: not at all, for splits, or for splits and dividends."""

    RAW = "RAW"
    SPLITS = "SPLITS"
    ALL = "ALL"


class ServedFrom(StrEnum):
    """Where an answer was taken from; STALE means older than it should be, and nothing newer could be had."""

    LIVE = "LIVE"
    CACHE = "CACHE"
    STORE = "STORE"
    STALE = "STALE"


class MarketPhase(StrEnum):
    """Where a market stands in its day; PRE and POST are trading outside the regular session."""

    PRE = "PRE"
    OPEN = "OPEN"
    POST = "POST"
    CLOSED = "CLOSED"


class PriceField(StrEnum):
    """The price of a bar that an indicator is computed of."""

    OPEN = "OPEN"
    HIGH = "HIGH"
    LOW = "LOW"
    CLOSE = "CLOSE"
    HL2 = "HL2"
    HLC3 = "HLC3"
    OHLC4 = "OHLC4"


class AlertMetric(StrEnum):
    """What an alert watches."""

    PRICE = "PRICE"
    CHANGE_PERCENT = "CHANGE_PERCENT"
    VOLUME = "VOLUME"
    SMA = "SMA"
    EMA = "EMA"
    RSI = "RSI"
    MACD_HISTOGRAM = "MACD_HISTOGRAM"
    BOLLINGER_PERCENT_B = "BOLLINGER_PERCENT_B"


class AlertOperator(StrEnum):
    """How a value must stand to the threshold, or come to stand."""

    ABOVE = "ABOVE"
    BELOW = "BELOW"
    CROSSES_ABOVE = "CROSSES_ABOVE"
    CROSSES_BELOW = "CROSSES_BELOW"


class Anchor(StrEnum):
    """Where an indicator that adds up bar after bar begins anew: each day, week (Monday), month, quarter or year."""

    SESSION = "SESSION"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"

    @property
    def span(self) -> timedelta:
        """The nominal length; never shorter than the stretch."""
        return timedelta(days=_ANCHOR_DAYS[self])


_ANCHOR_DAYS: Final = {"SESSION": 1, "WEEK": 7, "MONTH": 31, "QUARTER": 92, "YEAR": 366}
_SECONDS: Final = {"M1": 60, "M5": 300, "M15": 900, "M30": 1800, "H1": 3600, "H4": 14400, "D1": 86400}
_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Interval(StrEnum):
    """The length of a bar. Weeks begin on Monday, months on the 1st, both at 00:00 UTC."""

    M1 = "M1"
    M5 = "M5"
    M15 = "M15"
    M30 = "M30"
    H1 = "H1"
    H4 = "H4"
    D1 = "D1"
    W1 = "W1"
    MN1 = "MN1"

    @property
    def is_intraday(self) -> bool:
        """True for M1 to H4."""
        return self not in (Interval.D1, Interval.W1, Interval.MN1)

    @property
    def span(self) -> timedelta:
        """The nominal length; 31 days for a month, so never shorter than the bar."""
        if self is Interval.W1:
            return timedelta(days=7)
        if self is Interval.MN1:
            return timedelta(days=31)
        return timedelta(seconds=_SECONDS[self])

    def floor(self, at: datetime) -> datetime:
        """The opening instant, on the UTC grid, of the interval that holds `at`."""
        at = at.astimezone(UTC)
        if self is Interval.MN1:
            return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        origin = _MONDAY if self is Interval.W1 else _EPOCH
        return at - (at - origin) % self.span

    def ceil(self, at: datetime) -> datetime:
        """The first opening instant on the UTC grid that is not before `at`."""
        floor = self.floor(at)
        return floor if floor == at else self.end(floor)

    def end(self, time: datetime) -> datetime:
        """The end of the bar that opens at `time`: the next opening instant on the UTC grid."""
        if self is Interval.MN1:
            return (
                self.floor(time) + timedelta(days=32) - timedelta(days=(self.floor(time) + timedelta(days=32)).day - 1)
            )
        return time + self.span


@dataclass(frozen=True, slots=True)
class Venue:
    """What a symbol's spelling alone tells: a guess that a source's own word replaces."""

    asset_type: AssetType
    market_code: str | None
    currency: str
    timezone: str


_SUFFIXES: Final = {
    "HK": ("XHKG", "HKD", "Asia/Hong_Kong"),
    "SS": ("XSHG", "CNY", "Asia/Shanghai"),
    "SZ": ("XSHE", "CNY", "Asia/Shanghai"),
    "T": ("XTKS", "JPY", "Asia/Tokyo"),
    "L": ("XLON", "GBP", "Europe/London"),
    "DE": ("XETR", "EUR", "Europe/Berlin"),
    "PA": ("XPAR", "EUR", "Europe/Paris"),
    "AS": ("XAMS", "EUR", "Europe/Amsterdam"),
    "SW": ("XSWX", "CHF", "Europe/Zurich"),
    "TO": ("XTSE", "CAD", "America/Toronto"),
    "AX": ("XASX", "AUD", "Australia/Sydney"),
    "NS": ("XNSE", "INR", "Asia/Kolkata"),
    "BO": ("XBOM", "INR", "Asia/Kolkata"),
}


@lru_cache(10_000)
def venue(symbol: str) -> Venue:
    """Where a symbol trades by its spelling: 0700.HK, EURUSD=X, BTC-USD, ^GSPC; else a share in New York.

    A suffix that no listed exchange has (BRK.B) is a class of share, so New York too.
    """
    if symbol.endswith("=X"):
        return Venue(AssetType.FOREX, "FOREX", symbol[-5:-2] or "USD", "UTC")
    if symbol.startswith("^"):
        return Venue(AssetType.INDEX, None, "USD", "America/New_York")
    base, _, quoted = symbol.rpartition("-")
    if base and 3 <= len(quoted) <= 5 and quoted.isalnum():
        return Venue(AssetType.CRYPTO, "CRYPTO", quoted, "UTC")
    listed = _SUFFIXES.get(symbol.rpartition(".")[2]) if "." in symbol else None
    code, currency, timezone = listed or (None, "USD", "America/New_York")
    return Venue(AssetType.STOCK, code, currency, timezone)


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open stretch of time [start, end), both aware and in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class SkippedSource:
    """A source that was tried before the one that answered, and why it did not answer."""

    source: str
    code: str
    message: str


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who said so, when, and how far to trust it.

    `delay_seconds` is the known delay of the feed: 0 for real time, None where the source does not say.
    `quality` is 0-100; `flags` says what took points away.

    A struct, as `Quote` is: it is read from JSON in half the time of a dataclass, and garbage collection passes it by.
    """

    source: str
    served_from: ServedFrom
    received_at: datetime
    delay_seconds: float | None = None
    quality: int = 100
    flags: tuple[str, ...] = ()
    synthetic: bool = False
    skipped: tuple[SkippedSource, ...] = ()

    @property
    def age_seconds(self) -> float:
        """Seconds since `received_at`, measured as this is read; never negative."""
        return max(0.0, (datetime.now(UTC) - self.received_at).total_seconds())


_SCALE: Final = 1e8
"""Prices have up to 8 decimals, so that as many times as much is a whole number."""

_MOST: Final = 1e15
"""Of decimals with so few digits no two are the same float, and whole numbers up to it are exact."""


def difference(one: float, other: float) -> float:
    """One less the other, exact in decimal, as the two are written: 0.3 - 0.1 is 0.2."""
    scaled, other_scaled = one * _SCALE, other * _SCALE
    if -_MOST < scaled < _MOST and -_MOST < other_scaled < _MOST:
        whole, other_whole = round(scaled), round(other_scaled)
        if whole / _SCALE == one and other_whole / _SCALE == other:
            return (whole - other_whole) / _SCALE
    return float(Decimal(repr(one)) - Decimal(repr(other)))  # which takes five times as long


class Quote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The latest state of one symbol. None means unknown, never zero.

    `time` is when the venue printed `price`; `volume` and `turnover` are the session's so far;
    `last_size` is the size of the trade that printed the price.
    """

    symbol: str
    price: float
    time: datetime
    provenance: Provenance
    open: float | None = None
    high: float | None = None
    low: float | None = None
    previous_close: float | None = None
    volume: float | None = None
    turnover: float | None = None
    bid: float | None = None
    ask: float | None = None
    bid_size: float | None = None
    ask_size: float | None = None
    last_size: float | None = None
    currency: str | None = None

    @property
    def change(self) -> float | None:
        """Price - previous_close, exact in decimal: rounded to the decimals that the two prices have."""
        if self.previous_close is None:
            return None
        return difference(self.price, self.previous_close)

    @property
    def change_percent(self) -> float | None:
        """The change in percent of `previous_close`, 4 decimals; None where that is unknown or 0."""
        if not self.previous_close:
            return None
        return round((self.price - self.previous_close) / self.previous_close * 100, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """What is known of one symbol, whatever its price."""

    symbol: str
    name: str
    type: AssetType
    market_code: str | None
    currency: str
    exchange: str | None = None
    timezone: str | None = None
    company_name: str | None = None
    sector: str | None = None
    industry: str | None = None
    market_cap: float | None = None
    tick_size: float | None = None
    lot_size: int | None = None
    is_active: bool = True
    is_tradable: bool = True
    delisting_date: date | None = None
    trading_hours: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The state of one market, which holds until `changes_at`; None there if it never changes.

    `opens_at` and `closes_at` are the regular session of the venue's present day, None where it has none or the
    market never closes. `next_open` is the next opening still to come, after a lunch break too.
    """

    code: str
    name: str
    timezone: str
    phase: MarketPhase
    opens_at: datetime | None = None
    closes_at: datetime | None = None
    next_open: datetime | None = None
    is_holiday: bool = False
    changes_at: datetime | None = field(default=None, compare=False)


INSTANT: Final = pl.Datetime("us", "UTC")

BAR_SCHEMA: Final[dict[str, pl.DataType]] = {
    "time": INSTANT,
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "vwap": pl.Float64(),
    "trades": pl.Int64(),
    "split_factor": pl.Float64(),
    "dividend": pl.Float64(),
    "is_final": pl.Boolean(),
}
"""A frame of bars: RAW prices, ascending and unique by `time`, the opening instant.

`volume`, `vwap` and `trades` may be null; `split_factor` is new shares per old on the first bar that
trades split (else 1.0), `dividend` the cash per share on the first bar that trades without it (else 0.0).
"""
