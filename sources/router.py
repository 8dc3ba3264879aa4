"""The one door to the sources: chooses who is asked, moves on when one fails, and tells who did."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import polars as pl

from errors import SmartFinError, SourceUnavailable, SymbolNotFound, UnsupportedInterval
from market import Asset, Interval, Provenance, Quote, ServedFrom, SkippedSource, Window
from sources.source import Capability, Demand, Source

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class FetchedBars:
    """Bars as a source gave them, and how they came."""

    frame: pl.DataFrame
    provenance: Provenance


class Router:
    """Asks the sources in order of priority (the highest number first) until one answers."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sorted(sources, key=lambda source: -source.priority))

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote | SmartFinError]:
        """A quote for each symbol, or why there is none: SymbolNotFound, or SourceUnavailable."""
        found: dict[str, Quote | SmartFinError] = {}
        wanted = list(symbols)
        skipped: list[SkippedSource] = []
        answered = False
        for source in self._able(Capability.QUOTES):
            try:
                quotes = await source.quotes(wanted)
            except Exception as error:  # noqa: BLE001 - whatever a source does, the next one is asked
                skipped.append(self._skip(source, error))
                continue
            answered = True
            found |= {symbol: _skipping(quote, skipped) for symbol, quote in quotes.items()}
            wanted = [symbol for symbol in wanted if symbol not in quotes]
            if not wanted:
                break
        for symbol in wanted:
            found[symbol] = not_found(symbol) if answered and not skipped else _unavailable(symbol, skipped)
        return found

    async def history(self, symbol: str, interval: Interval, window: Window) -> FetchedBars:
        """The bars that open within the window.

        Raises SymbolNotFound, UnsupportedInterval if no source has such bars, SourceUnavailable if all failed.
        """
        able = self._able(Capability.HISTORY)
        offering = [source for source in able if interval in source.reach]
        if able and not offering:
            offered = {known for source in able for known in source.reach}
            names = ", ".join(known for known in Interval if known in offered)
            raise UnsupportedInterval(f"No source has {interval} bars of {symbol}; ask for one of {names}.")

        async def ask(source: Source) -> FetchedBars:
            frame = await source.history(symbol, interval, window)
            provenance = Provenance(
                source=source.name,
                served_from=ServedFrom.LIVE,
                received_at=datetime.now(UTC),
                delay_seconds=0.0 if source.synthetic else None,
                synthetic=source.synthetic,
            )
            return FetchedBars(frame, provenance)

        fetched, skipped = await self._first(symbol, offering, ask)
        return replace(fetched, provenance=replace(fetched.provenance, skipped=skipped))

    async def asset(self, symbol: str) -> Asset:
        """What a source knows of the symbol. Raises SymbolNotFound or SourceUnavailable."""

        async def ask(source: Source) -> Asset:
            asset = await source.asset(symbol)
            if asset is None:
                raise not_found(symbol)
            return asset

        return (await self._first(symbol, self._able(Capability.SEARCH), ask))[0]

    async def assets(self) -> Sequence[Asset]:
        """Every asset that some source lists."""
        return [asset for source in self._able(Capability.SEARCH) for asset in await source.assets()]

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every change of the symbols in demand, in batches, until it is closed.

        Raises SourceUnavailable if there is no source to stream from.
        """
        able = self._able(Capability.STREAM)
        if not able:
            raise SourceUnavailable("No source that streams is configured.")
        async with aclosing(able[0].stream(demand)) as batches:
            async for batch in batches:
                yield batch

    async def aclose(self) -> None:
        """Close every source."""
        await asyncio.gather(*(source.aclose() for source in self.sources))

    def _able(self, capability: Capability) -> list[Source]:
        return [source for source in self.sources if capability in source.capabilities]

    async def _first(
        self, symbol: str, sources: Sequence[Source], ask: Callable[[Source], Awaitable[Answer]]
    ) -> tuple[Answer, Sequence[SkippedSource]]:
        skipped: list[SkippedSource] = []
        unknown: SymbolNotFound | None = None
        for source in sources:
            try:
                return await ask(source), tuple(skipped)
            except SymbolNotFound as error:
                unknown = error
            except Exception as error:  # noqa: BLE001 - whatever a source does, the next one is asked
                skipped.append(self._skip(source, error))
        if unknown is not None and not skipped:
            raise unknown
        raise _unavailable(symbol, skipped)

    def _skip(self, source: Source, error: Exception) -> SkippedSource:
        if isinstance(error, SmartFinError):
            return SkippedSource(source.name, error.code, str(error))
        logger.error("source %s failed in an unexpected way", source.name, exc_info=error)
        return SkippedSource(source.name, "SOURCE_ERROR", "failed in an unexpected way; the server's log has it")


def not_found(symbol: str) -> SymbolNotFound:
    """The error for a symbol that nobody knows."""
    return SymbolNotFound(f'Nobody knows a symbol "{symbol}"; search for it with assets(search: "…").', symbol=symbol)


def _unavailable(symbol: str, skipped: Sequence[SkippedSource]) -> SourceUnavailable:
    said = "; ".join(f"{skip.source}: {skip.message}" for skip in skipped) or "no source for it is configured"
    return SourceUnavailable(
        f"No source could answer for {symbol}: {said}.",
        skipped=tuple(skipped),
        symbol=symbol,
    )


def _skipping(quote: Quote, skipped: Sequence[SkippedSource]) -> Quote:
    if not skipped:
        return quote
    return replace(quote, provenance=replace(quote.provenance, skipped=tuple(skipped)))
