"""Ticks from the sources that can stream: shared out, watched, healed, and taken over when a source dies."""

import asyncio
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from errors import SmartFinError, SourceFault, SourceLimited, SourceRefused, SourceTimeout
from market import Quote, Window
from sources.router import Router
from sources.source import Capability, Demand, Source

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.25
GRACE_S: Final = 5.0
"""How long a source may take to bring its first tick before the next one is asked to stream too."""
STEADY_S: Final = 60.0
"""A stream that lived so long was a good one: the next failure backs off from the beginning."""
BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
REFUSED_S: Final = 900.0
_WAITING: Final = 1000


@dataclass(eq=False, slots=True)
class _Shard:
    """One stream of a source: its symbols, and what it has done."""

    source: Source
    demand: Demand
    opened_at: float
    heard_at: float
    is_heard: bool = False
    is_leaving: bool = False
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True)
class _Line:
    """All streams of one source."""

    source: Source
    shards: list[_Shard] = field(default_factory=list)
    failures: int = 0
    down_until: float = 0.0
    trying_since: float | None = None

    @property
    def is_up(self) -> bool:
        """Whether it has brought ticks since it was opened."""
        return any(shard.is_heard for shard in self.shards)

    def brings(self, symbol: str) -> bool:
        """Whether a stream that has brought ticks carries the symbol."""
        return any(shard.is_heard and symbol in shard.demand.symbols for shard in self.shards)


class Streams:
    """Every change of the symbols in demand, each from the best source that streams it now.

    Where a source dies, is mute while a market is open, or takes too long, the next one streams its symbols; the
    better one is tried again, with full jitter, and takes them back once it brings ticks. A tick that is older than
    the last one of its symbol is dropped, so a change of source never turns time back. Where a symbol went without a
    stream, `missed` is told from which tick to which, as soon as ticks come again.
    """

    def __init__(
        self,
        router: Router,
        is_open: Callable[[str], bool] = lambda _symbol: True,
        missed: Callable[[str, Window], None] = lambda _symbol, _window: None,
    ) -> None:
        self._router = router
        self._is_open = is_open
        self._missed = missed
        self.ticks: Counter[str] = Counter()
        """Changes that each source has brought, those included that came too late."""

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """The changes in batches, until it is closed."""
        lines: list[_Line] = []
        waiting: asyncio.Queue[Sequence[Quote]] = asyncio.Queue(_WAITING)
        cut: set[str] = set()
        keeping = asyncio.create_task(self._keep(lines, demand, waiting, cut))
        newest: dict[str, datetime] = {}
        try:
            while True:
                getting = asyncio.ensure_future(waiting.get())
                try:
                    await asyncio.wait({getting, keeping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    getting.cancel()
                if keeping.done():
                    keeping.result()
                    return
                told = getting.result()
                if told:
                    self.ticks[told[0].provenance.source] += len(told)
                self._tell_missed(told, newest, cut)
                given = _newer(told, newest)
                if batch := self._router.quality.quotes(given[0].provenance.source, given) if given else ():
                    yield batch
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def _tell_missed(self, told: Sequence[Quote], newest: dict[str, datetime], cut: set[str]) -> None:
        for quote in told:
            before = newest.get(quote.symbol)
            if quote.symbol in cut and before is not None and quote.time > before:
                cut.discard(quote.symbol)
                self._missed(quote.symbol, Window(before, quote.time))

    async def _keep(
        self, lines: list[_Line], demand: Demand, waiting: "asyncio.Queue[Sequence[Quote]]", cut: set[str]
    ) -> None:
        """Have every symbol streamed, look after the streams, and close them at the end.

        Whatever goes without a stream that has brought ticks is added to `cut`.
        """
        try:
            while True:
                now = time.monotonic()
                self._line_up(lines)
                for line in lines:
                    ended = self._look_after(line, now, waiting)
                    cut |= {symbol for symbol in ended if not any(other.brings(symbol) for other in lines)}
                cut &= demand.symbols
                self._share_out(lines, demand.symbols, now, waiting)
                seen = demand.symbols
                changing = asyncio.ensure_future(demand.changed(seen))
                tasks = {shard.task for line in lines for shard in line.shards if shard.task}
                try:
                    await asyncio.wait({changing, *tasks}, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changing.cancel()
        finally:
            shards = [shard.task for line in lines for shard in line.shards if shard.task]
            for task in shards:
                task.cancel()
            await asyncio.gather(*shards, return_exceptions=True)

    def _line_up(self, lines: list[_Line]) -> None:
        """Have a line for each source that streams now, the best first; those of sources that left end at once."""
        known = {line.source: line for line in lines}
        streaming = [source for source in self._router.asked if Capability.STREAM in source.capabilities]
        for source in known.keys() - set(streaming):
            for shard in known[source].shards:
                if shard.task:
                    shard.task.cancel()
        lines[:] = [known.get(source) or _Line(source) for source in streaming]

    def _look_after(self, line: _Line, now: float, waiting: "asyncio.Queue[Sequence[Quote]]") -> set[str]:
        """Note which streams have ended, end the mute ones, and replace the old ones.

        Returns the symbols of the streams that have ended before their time.
        """
        source = line.source
        cut: set[str] = set()
        for shard in list(line.shards):
            assert shard.task is not None
            if shard.task.done():
                line.shards.remove(shard)
                if not shard.is_leaving:
                    if shard.is_heard:
                        cut |= shard.demand.symbols
                    self._failed(line, shard, shard.task, now)
            elif now - shard.heard_at > source.silence_s and any(map(self._is_open, shard.demand.symbols)):
                logger.warning("the stream of %s has been mute for %.0f s", source.name, now - shard.heard_at)
                shard.task.cancel()
            elif source.stream_life_s and now - shard.opened_at > source.stream_life_s and not shard.is_leaving:
                shard.is_leaving = True
                line.shards.append(self._open(line, shard.demand, waiting))
            elif shard.is_leaving and now - shard.opened_at > (source.stream_life_s or 0) + GRACE_S:
                shard.task.cancel()
        return cut

    def _failed(self, line: _Line, shard: _Shard, task: "asyncio.Task[None]", now: float) -> None:
        error = SourceTimeout("mute") if task.cancelled() else task.exception()
        if error is None:
            error = SourceFault("the stream ended")
        if not isinstance(error, SmartFinError):
            logger.error("the stream of %s failed in an unexpected way", line.source.name, exc_info=error)
        line.failures = 1 if now - shard.opened_at > STEADY_S else line.failures + 1
        longest_s = min(MAX_BACKOFF_S, BACKOFF_S * 2 ** (line.failures - 1))
        pause_s = random.uniform(0, longest_s)  # noqa: S311 - full jitter
        if isinstance(error, SourceRefused):
            pause_s = REFUSED_S
        elif isinstance(error, SourceLimited) and error.retry_after_s is not None:
            pause_s = error.retry_after_s
        line.down_until = now + pause_s
        line.trying_since = None
        logger.warning("the stream of %s ended, tried again in %.1f s: %s", line.source.name, pause_s, error)

    def _share_out(
        self, lines: list[_Line], symbols: frozenset[str], now: float, waiting: "asyncio.Queue[Sequence[Quote]]"
    ) -> None:
        """Give each symbol to the best source, and to the next one too while the best has not proved itself."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for symbol in symbols:
            for place, line in enumerate(lines):
                if now < line.down_until or not line.source.covers(symbol):
                    continue
                wanted[line.source.name].add(symbol)
                line.trying_since = line.trying_since or now
                if line.is_up:
                    break
                # Whoever stands in goes on until the better one has brought a tick.
                if now - line.trying_since < GRACE_S and not any(other.brings(symbol) for other in lines[place + 1 :]):
                    break
        for line in lines:
            self._spread(line, wanted[line.source.name], waiting)

    def _spread(self, line: _Line, symbols: set[str], waiting: "asyncio.Queue[Sequence[Quote]]") -> None:
        """Have the source's streams carry these symbols; a symbol stays on the stream that has it."""
        size = line.source.symbols_per_stream
        unplaced = set(symbols)
        for shard in line.shards:
            if not shard.is_leaving:
                shard.demand.set(shard.demand.symbols & symbols)
                unplaced -= shard.demand.symbols
        for shard in line.shards:
            if unplaced and not shard.is_leaving and (room := size - len(shard.demand.symbols)) > 0:
                placed = sorted(unplaced)[:room]
                shard.demand.set(shard.demand.symbols | set(placed))
                unplaced -= set(placed)
        while unplaced and len(line.shards) < line.source.max_streams:
            placed = sorted(unplaced)[:size]
            line.shards.append(self._open(line, Demand(placed), waiting))
            unplaced -= set(placed)
        if unplaced:
            logger.warning("%s has no room to stream %d more symbols", line.source.name, len(unplaced))
        for shard in line.shards:
            if not shard.demand.symbols and shard.task:
                shard.is_leaving = True
                shard.task.cancel()
        if not symbols:
            line.trying_since = None

    def _open(self, line: _Line, demand: Demand, waiting: "asyncio.Queue[Sequence[Quote]]") -> _Shard:
        now = time.monotonic()
        shard = _Shard(line.source, demand, opened_at=now, heard_at=now)
        shard.task = asyncio.create_task(_carry(shard, waiting))
        return shard


async def _carry(shard: _Shard, waiting: "asyncio.Queue[Sequence[Quote]]") -> None:
    async with aclosing(shard.source.stream(shard.demand)) as batches:
        async for batch in batches:
            shard.heard_at = time.monotonic()
            shard.is_heard = True
            await waiting.put(batch)


def _newer(batch: Sequence[Quote], newest: dict[str, datetime]) -> list[Quote]:
    """The quotes that do not turn back the time of their symbol."""
    kept = []
    for quote in batch:
        if quote.time >= newest.get(quote.symbol, quote.time):
            newest[quote.symbol] = quote.time
            kept.append(quote)
    return kept
