"""What a source is: its facts, and the questions that it can be asked."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import ClassVar, Final, Protocol, Self
from zoneinfo import ZoneInfo

import polars as pl

from market import Asset, AssetType, Interval, Quote, Window
from settings import Settings

DAY_S: Final = 86_400

SAMPLES: Final = ("AAPL", "BTC-USD", "BTC-USDT", "EURUSD=X")
"""What a source is asked for to see whether it is well: the first that it covers."""


class Capability(StrEnum):
    """A question that a source can answer."""

    QUOTES = "QUOTES"
    HISTORY = "HISTORY"
    STREAM = "STREAM"
    SEARCH = "SEARCH"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` units of cost in each window of `seconds`.

    A window of a day begins at midnight of `zone`; shorter ones at multiples of their length.
    """

    limit: int
    seconds: int
    zone: str = "UTC"

    def window(self, now: datetime) -> tuple[str, datetime]:
        """The name of the window that `now` lies in, and when it ends."""
        if self.seconds == DAY_S:
            local = now.astimezone(ZoneInfo(self.zone))
            midnight = datetime.combine(local.date() + timedelta(days=1), time(), local.tzinfo)
            return local.date().isoformat(), midnight.astimezone(UTC)
        number = int(now.timestamp()) // self.seconds
        return str(number), datetime.fromtimestamp((number + 1) * self.seconds, UTC)


def quotas_of_plan(requests_per_minute: int) -> Sequence[Quota]:
    """The quotas of a paid plan: so many a minute, and no others."""
    return (Quota(requests_per_minute, 60),)


class Budget(Protocol):
    """The quotas of one source, counted together by all processes."""

    async def take(self, cost: int = 1) -> None:
        """Count a question that is about to be asked. Raises SourceLimited where a quota does not allow it."""
        ...


class Demand:
    """The symbols that a stream is to carry, which change while it runs."""

    def __init__(self, symbols: Iterable[str] = ()) -> None:
        self._symbols = frozenset(symbols)
        self._changed = asyncio.Event()

    @property
    def symbols(self) -> frozenset[str]:
        """What is wanted now."""
        return self._symbols

    def set(self, symbols: Iterable[str]) -> None:
        """Replace what is wanted, and wake whoever waits for a change."""
        wanted = frozenset(symbols)
        if wanted != self._symbols:
            self._symbols = wanted
            self._changed.set()
            self._changed = asyncio.Event()

    async def changed(self, seen: frozenset[str]) -> frozenset[str]:
        """What is wanted, once it is no longer `seen`."""
        while self._symbols == seen:
            await self._changed.wait()
        return self._symbols


class Source(Protocol):
    """One upstream, in our words. A source knows only its own facts and parsers.

    The facts are class-level; `reach` and `quotas` there are those of the free plan, of a source that has plans:
    - `reach` has every interval that it serves, with how far back from now (None: to the listing).
    - `markets` are the codes that it covers; empty means whatever market (then `asset_types` decides).
    - `priority`: the highest is asked first. `quotas`: what it allows, all of them at once.
    - `symbols_per_question`: how many symbols may be asked for quotes at once; None: as many as one likes.
    - `delay_seconds`: how late its feed is; None where it does not say.
    - `symbols_per_stream`: how many one stream carries; more are shared out over several streams, at most
      `max_streams`. `silence_s`: a stream that says nothing for so long, while the market of one of its symbols is
      open, counts as dead. `stream_life_s`: replace a stream by a new one at this age, before the venue cuts it.

    What it gives is honest: RAW prices in major currency units, as the source knows them; None for what it does
    not say; never NaN, never 0 for unknown. It raises SourceError, and SymbolNotFound where one symbol is asked.
    """

    name: ClassVar[str]
    display_name: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    asset_types: ClassVar[frozenset[AssetType]]
    markets: ClassVar[frozenset[str]]
    reach: Mapping[Interval, timedelta | None]
    priority: ClassVar[int]
    quotas: Sequence[Quota]
    symbols_per_question: ClassVar[int | None]
    delay_seconds: ClassVar[float | None]
    symbols_per_stream: ClassVar[int]
    max_streams: ClassVar[int]
    silence_s: ClassVar[float]
    stream_life_s: ClassVar[float | None]
    synthetic: ClassVar[bool]

    @classmethod
    def opened(cls, settings: Settings, budget: Budget) -> Self | None:
        """The source as the settings say; None where they leave it out (no key, say)."""
        ...

    def covers(self, symbol: str) -> bool:
        """Whether the symbol's spelling is one that it could know."""
        ...

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest quote of each symbol that it knows; the others are left out. Chunks as it must."""
        ...

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The bars that open within the window, as BAR_SCHEMA; the forming one has `is_final` False.

        Pages and chunks as it must. Ascending and unique by time. Raises SymbolNotFound, and SourceCannot where
        the window or the interval is out of its reach.
        """
        ...

    def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every change of the symbols in demand, in batches, until it is closed; None in a quote means not said.

        Ends with a SourceError when its connection does; who calls it opens another. Symbols in demand that it
        does not cover are passed over.
        """
        ...

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """Assets whose symbol or name is like the text, the likeliest first."""
        ...

    async def asset(self, symbol: str) -> Asset | None:
        """What it knows of the symbol, or None."""
        ...

    async def assets(self) -> Sequence[Asset]:
        """Every asset that it lists, where it can list them at no cost; else none."""
        ...

    async def aclose(self) -> None:
        """Give back connections and tasks."""
        ...


def goes_back_to(source: Source, interval: Interval, now: datetime) -> datetime | None:
    """The first instant from which on the source has bars of an interval that it serves; None: from the listing on."""
    reach = source.reach[interval]
    return None if reach is None else interval.ceil(now - reach)


def sample(source: Source) -> str | None:
    """A symbol that the source knows if it knows any."""
    return next((symbol for symbol in SAMPLES if source.covers(symbol)), None)


def is_scarce(source: Source) -> bool:
    """Whether it has a quota of the day, which is not spent while another source can answer."""
    return any(quota.seconds == DAY_S for quota in source.quotas)
