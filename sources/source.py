"""What a source is: its facts, and the questions that it can be asked."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Protocol

import polars as pl

from market import Asset, AssetType, Interval, Quote, Window


class Capability(StrEnum):
    """A question that a source can answer."""

    QUOTES = "QUOTES"
    HISTORY = "HISTORY"
    STREAM = "STREAM"
    SEARCH = "SEARCH"


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

    `reach` has every interval that it serves, with how far back from now (None: to the listing).
    A symbol that it does not know is left out of an answer, or raises SymbolNotFound where only one is asked.
    """

    name: ClassVar[str]
    display_name: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    asset_types: ClassVar[frozenset[AssetType]]
    markets: ClassVar[frozenset[str]]
    reach: ClassVar[Mapping[Interval, timedelta | None]]
    priority: ClassVar[int]
    synthetic: ClassVar[bool]

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The latest quote of each symbol that it knows."""
        ...

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The bars that open within the window, as BAR_SCHEMA, RAW; the forming one has `is_final` False."""
        ...

    def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every change of the symbols in demand, in batches, until it is closed; None in a quote means not said."""
        ...

    async def asset(self, symbol: str) -> Asset | None:
        """What it knows of the symbol, or None."""
        ...

    async def assets(self) -> Sequence[Asset]:
        """Every asset that it lists, where it can list them; else none."""
        ...

    async def aclose(self) -> None:
        """Give back connections and tasks."""
        ...
