"""A source that does as a test tells it, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self, cast

import polars as pl

from errors import SymbolNotFound
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import Settings
from sources.router import Router
from sources.source import Budget, Capability, Demand, Quota, Source

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


@dataclass(eq=False)
class Opened:
    """One stream that is open: what it is to carry, and what it says next."""

    demand: Demand
    says: "asyncio.Queue[list[Quote] | Exception]" = field(default_factory=asyncio.Queue)


class Scripted:
    """A source that does as it is told, and counts.

    It knows every symbol that is not `unknown`: quotes it as `quoted` says, else at `price`, and has the `bars` that
    it was given. `error` is raised instead of any answer, and none comes before `holds` is set.
    """

    display_name: ClassVar[str] = "Scripted"
    asset_types: ClassVar[frozenset[AssetType]] = frozenset(AssetType)
    markets: ClassVar[frozenset[str]] = frozenset()
    synthetic: ClassVar[bool] = False
    symbols_per_question: int | None = None
    delay_seconds: ClassVar[float | None] = None
    symbols_per_stream: ClassVar[int] = 2
    max_streams: ClassVar[int] = 3
    silence_s: ClassVar[float] = 60.0
    stream_life_s: ClassVar[float | None] = None

    def __init__(
        self,
        name: str,
        priority: int,
        *,
        capabilities: frozenset[Capability] = frozenset(Capability),
        reach: Mapping[Interval, timedelta | None] | None = None,
        quotas: Sequence[Quota] = (),
        unknown: frozenset[str] = frozenset(),
        covers: Callable[[str], bool] = lambda _symbol: True,
    ) -> None:
        self.name, self.priority, self.capabilities, self.quotas = name, priority, capabilities, quotas
        self.reach = dict.fromkeys(Interval) if reach is None else reach
        self.unknown = unknown
        self._covers = covers
        self.asked: list[object] = []
        self.error: Exception | None = None
        self.takes_s = 0.0
        self.holds = asyncio.Event()
        self.holds.set()
        self.price = 1.0
        self.quoted: dict[str, Quote] = {}
        self.bars: dict[tuple[str, Interval], pl.DataFrame] = {}
        self.streams: list[Opened] = []
        self.opened_streams = 0
        self.is_closed = False

    @classmethod
    def opened(cls, settings: Settings, budget: Budget) -> Self:
        raise NotImplementedError

    def covers(self, symbol: str) -> bool:
        return self._covers(symbol)

    async def _answer(self, question: object) -> None:
        self.asked.append(question)
        await asyncio.sleep(self.takes_s)
        await self.holds.wait()
        if self.error is not None:
            raise self.error

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        await self._answer(tuple(symbols))
        provenance = Provenance(source=self.name, served_from=ServedFrom.LIVE, received_at=NOW)
        return {
            symbol: self.quoted.get(symbol, Quote(symbol=symbol, price=self.price, time=NOW, provenance=provenance))
            for symbol in symbols
            if symbol not in self.unknown
        }

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        await self._answer((symbol, interval, window))
        if symbol in self.unknown:
            raise SymbolNotFound(symbol)
        frame = self.bars.get((symbol, interval), pl.DataFrame(schema=BAR_SCHEMA))
        return frame.filter(pl.col("time").is_between(window.start, window.end, closed="left"))

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        opened = Opened(demand)
        self.streams.append(opened)
        self.opened_streams += 1
        try:
            if self.error is not None:
                raise self.error
            while True:
                said = await opened.says.get()
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self.streams.remove(opened)

    def tick(self, symbol: str, price: float = 1.0, at: datetime = NOW) -> None:
        """Send a tick down every stream that is to carry the symbol."""
        provenance = Provenance(source=self.name, served_from=ServedFrom.LIVE, received_at=NOW)
        for opened in self.streams:
            if symbol in opened.demand.symbols:
                opened.says.put_nowait([Quote(symbol=symbol, price=price, time=at, provenance=provenance)])

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        await self._answer(text)
        return [Asset(symbol=text, name=self.name, type=AssetType.STOCK, market_code=None, currency="USD")][:limit]

    async def asset(self, symbol: str) -> Asset | None:
        await self._answer(symbol)
        if symbol in self.unknown:
            return None
        return Asset(symbol=symbol, name=self.name, type=AssetType.STOCK, market_code=None, currency="USD")

    async def assets(self) -> Sequence[Asset]:
        return []

    async def aclose(self) -> None:
        self.is_closed = True


def router(*sources: Scripted) -> Router:
    """A router of scripted sources."""
    return Router(cast(Sequence[Source], sources))
