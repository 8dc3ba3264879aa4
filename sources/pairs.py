"""The pairs that a crypto venue trades: listed anew each hour, found by symbol or by text."""

import asyncio
import heapq
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from errors import SourceCannot
from market import Asset, Quote
from sources.flight import Flights

FRESH: Final = timedelta(hours=1)
"""How long a listing is good for."""

_SPELLING: Final = re.compile(r"(?=.{1,20}$)[A-Z0-9]+-[A-Z0-9]{3,}")
_FAVOURED: Final = ("USD", "USDT", "USDC", "EUR")
"""The quote assets that are found first."""


def is_pair(symbol: str) -> bool:
    """Whether a symbol is spelled as base and quote: BTC-USD is, BRK-B is not."""
    return _SPELLING.fullmatch(symbol) is not None


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair that the venue trades, and the names under which it is asked for, answered and streamed."""

    asset: Asset
    asked_as: str
    answered_as: str
    streamed_as: str


class Pairs:
    """The listing of one venue, asked of it when it is needed; only pairs that our symbols can spell are kept."""

    def __init__(self, ask: Callable[[], Awaitable[Iterable[Pair]]], clock: Callable[[], datetime]) -> None:
        self._ask = ask
        self._clock = clock
        self._flights = Flights()
        self._listed: Mapping[str, Pair] = {}
        self._fresh_until: datetime | None = None

    async def listed(self) -> Mapping[str, Pair]:
        """Every pair by our symbol, as the venue listed them within the hour. Raises what asking raises."""
        if self._fresh_until is None or self._clock() >= self._fresh_until:
            await self._flights.join("listing", self._list)
        return self._listed

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """Assets whose symbol, or the venue's name for it, is or begins with the text, the likeliest first."""
        wanted = text.strip().upper().replace("/", "-")
        found = [
            (rank, not pair.asset.is_tradable, _favour(pair.asset), symbol, pair.asset)
            for symbol, pair in (await self.listed()).items()
            if (rank := _rank(pair, wanted)) is not None
        ]
        return [asset for *_, asset in heapq.nsmallest(limit, found, key=lambda one: one[:4])]

    async def asset(self, symbol: str) -> Asset | None:
        """The asset of the listed pair, or None."""
        pair = (await self.listed()).get(symbol)
        return pair.asset if pair else None

    async def quotes(
        self, symbols: Sequence[str], size: int, ask: Callable[[Sequence[Pair]], Awaitable[dict[str, Quote]]]
    ) -> dict[str, Quote]:
        """What `ask` tells of the pairs that are listed, by symbol; of so many at once. Raises what it raises."""
        try:
            return await self._quotes(symbols, size, ask)
        except SourceCannot:
            # A pair that has left since the listing fails the whole question.
            self._fresh_until = None
            return await self._quotes(symbols, size, ask)

    async def aclose(self) -> None:
        """Give up a listing under way."""
        await self._flights.aclose()

    async def _quotes(
        self, symbols: Sequence[str], size: int, ask: Callable[[Sequence[Pair]], Awaitable[dict[str, Quote]]]
    ) -> dict[str, Quote]:
        listed = await self.listed()
        pairs = [listed[symbol] for symbol in dict.fromkeys(symbols) if symbol in listed]
        answers = await asyncio.gather(*(ask(pairs[start : start + size]) for start in range(0, len(pairs), size)))
        return {symbol: quote for quotes in answers for symbol, quote in quotes.items()}

    async def _list(self) -> None:
        asked_at = self._clock()
        listed: dict[str, Pair] = {}
        for pair in await self._ask():
            if is_pair(pair.asset.symbol):
                listed.setdefault(pair.asset.symbol, pair)
        self._listed, self._fresh_until = listed, asked_at + FRESH


def _rank(pair: Pair, wanted: str) -> int | None:
    symbol = pair.asset.symbol
    if wanted in (symbol, pair.asked_as.upper()):
        return 0
    if wanted == symbol.partition("-")[0]:
        return 1
    return 2 if symbol.startswith(wanted) else None


def _favour(asset: Asset) -> int:
    return _FAVOURED.index(asset.currency) if asset.currency in _FAVOURED else len(_FAVOURED)
