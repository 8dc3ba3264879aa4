"""The one door to the sources: what can be asked, of whom, and what is made of their answers."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import polars as pl
from msgspec import structs

from errors import (
    NoData,
    SmartFinError,
    SourceBadAnswer,
    SourceTimeout,
    SourceUnavailable,
    SymbolNotFound,
    UnsupportedInterval,
)
from market import Asset, Interval, Provenance, Quote, ServedFrom, SkippedSource, Symbol, Window, venue
from sources.flight import Flights
from sources.health import Health
from sources.licences import FREE, IMPORTED, Terms
from sources.quality import Quality
from sources.source import Capability, Source, goes_back_to, is_scarce, sample
from sources.turns import Outlook, Question, Turns, unavailable

logger = logging.getLogger(__name__)

BATCH_S: Final = 10.0
"""How long a source may take for all symbols of a question, where it has to be asked for some after the others."""
_MAX_CHECKS: Final = 4


@dataclass(frozen=True, slots=True)
class FetchedBars:
    """Bars as a source gave them, how they came, and the window that it was asked for: as far as it goes back."""

    frame: pl.DataFrame
    provenance: Provenance
    window: Window


@dataclass(frozen=True, slots=True)
class _ToldQuotes:
    """What a source has told of the symbols, and of which ones it could not tell."""

    source: Source
    quotes: Mapping[str, Quote]
    failed: Mapping[str, SkippedSource]


@dataclass(frozen=True, slots=True)
class RouteStep:
    """One source in the order in which it would be asked, or why it would not be."""

    source: str
    would_ask: bool
    reason: str


class Router:
    """Asks the able sources in order, the healthy ones first, then by priority, until one answers.

    One question for quotes or for an asset is one call upstream, however many ask it at once.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        quality: Quality | None = None,
        cross_check_share: float = 0.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.quality = quality or Quality()
        self._clock = clock
        self._cross_check_share = cross_check_share
        self._checks: set[asyncio.Task[None]] = set()
        self.sources: tuple[Source, ...] = ()
        self._off: Mapping[str, str] = {}
        self._priorities: Mapping[str, int] = {}
        self._turns = Turns()
        for source in sources:
            self._take(source)
        self._flights = Flights()

    @property
    def health(self) -> dict[str, Health]:
        """How each source has done, by its name."""
        return self._turns.health

    async def put(self, source: Source) -> None:
        """Ask this source from now on, in the place of the one of its name, which is closed."""
        replaced = [known for known in self.sources if known.name == source.name]
        self._take(source)
        await asyncio.gather(*(known.aclose() for known in replaced))

    def arrange(self, off: Mapping[str, str], priorities: Mapping[str, int]) -> None:
        """Ask those of `off` no more, for the reasons given; the others by these priorities instead of their own."""
        self._off, self._priorities = off, priorities
        self.sources = tuple(sorted(self.sources, key=lambda known: -self.priority(known)))

    @property
    def asked(self) -> list[Source]:
        """The sources that are not off, in their order."""
        return [source for source in self.sources if source.name not in self._off]

    def priority(self, source: Source) -> int:
        """Where the source stands: the highest is asked first."""
        return self._priorities.get(source.name, source.priority)

    def route(self, symbol: Symbol, capability: Capability, terms: Terms = FREE) -> list[RouteStep]:
        """Who would be asked for who has these terms, in order, then who would not, and why."""
        able, steps = [], []
        for source in self.sources:
            question = Question(capability, (symbol,), terms.barred)
            reason = (
                self._off.get(source.name)
                or _inability(source, symbol, capability)
                or self._turns.obstacle(source, question)
            )
            if reason is None:
                delay_s = terms.delay_s([source.name])
                late = f", given {delay_s:g} s late" if delay_s else ""
                able.append(RouteStep(source.name, would_ask=True, reason=f"priority {self.priority(source)}{late}"))
            else:
                steps.append(RouteStep(source.name, would_ask=False, reason=reason))
        return able + steps

    def withheld(self, symbol: str, terms: Terms, *, bars: bool) -> str | None:
        """Who may tell of the symbol, or of its `bars`, and is kept from who has these terms, or late; None: nobody."""
        told = [source.name for source in self.asked if source.covers(symbol)]
        return next((name for name in (*told, *([IMPORTED] if bars else [])) if terms.delay_s([name])), None)

    def outlook(
        self, symbol: str, capability: Capability, interval: Interval | None = None, terms: Terms = FREE
    ) -> Outlook:
        """What may come of asking for the symbol now; of bars, for those of the interval."""
        able = self._able(symbol, capability)
        if interval is not None:
            able = [source for source in able if interval in source.reach]
        return self._turns.outlook(Question(capability, (symbol,), terms.barred), able)

    async def quotes(self, symbols: Sequence[str], terms: Terms = FREE) -> dict[str, Quote | SmartFinError]:
        """A quote for each symbol, or why there is none: SymbolNotFound, or SourceUnavailable."""
        barred = terms.barred
        shared = [
            self._flights.join(("quotes", batch, barred), partial(self._quotes, batch, barred))
            for batch in self._batches(symbols)
        ]
        found: dict[str, Quote | SmartFinError] = {}
        for answers in await asyncio.gather(*shared):
            found |= answers
        return {symbol: found[symbol] for symbol in symbols}

    async def history(self, symbol: str, interval: Interval, window: Window, terms: Terms = FREE) -> FetchedBars:
        """The bars that open within the window, or within the part of it that a source goes back to.

        Those that go back the furthest are asked first. Raises SymbolNotFound, UnsupportedInterval if no source has
        such bars, NoData if none goes back so far, SourceUnavailable if all failed.
        """
        able = self._able(symbol, Capability.HISTORY)
        offering = [source for source in able if interval in source.reach]
        if able and not offering:
            offered = {known for source in able for known in source.reach}
            names = ", ".join(known for known in Interval if known in offered)
            raise UnsupportedInterval(f"No source has {interval} bars of {symbol}; ask for one of {names}.")
        now = self._clock()
        begins = {
            source.name: max(window.start, goes_back_to(source, interval, now) or window.start) for source in offering
        }
        reaching = [source for source in offering if begins[source.name] < window.end]
        if offering and not reaching:
            raise out_of_reach(symbol, interval, min(begins.values()))
        reaching.sort(key=lambda source: begins[source.name])

        async def ask(source: Source) -> FetchedBars:
            asked = Window(begins[source.name], window.end)
            given = await source.history(symbol, interval, asked)
            frame, quality, flags = self.quality.bars(source.name, symbol, interval, asked, given)
            if frame.is_empty() and not given.is_empty():
                raise SourceBadAnswer(f"none of the {given.height} bars of {source.name} is possible")
            provenance = Provenance(
                source=source.name,
                served_from=ServedFrom.LIVE,
                received_at=datetime.now(UTC),
                delay_seconds=source.delay_seconds,
                quality=quality,
                flags=flags,
                synthetic=source.synthetic,
            )
            return FetchedBars(frame, provenance, asked)

        question = Question(Capability.HISTORY, (symbol,), terms.barred)
        fetched, skipped = await self._turns.first(question, reaching, partial(self._turns.attempt, question, ask))
        return replace(fetched, provenance=structs.replace(fetched.provenance, skipped=tuple(skipped)))

    async def asset(self, symbol: str) -> Asset:
        """What a source knows of the symbol. Raises SymbolNotFound or SourceUnavailable."""

        async def ask(source: Source) -> Asset:
            asset = await source.asset(symbol)
            if asset is None:
                raise not_found(symbol)
            return asset

        async def first() -> Asset:
            question = Question(Capability.SEARCH, (symbol,))
            able = self._able(symbol, Capability.SEARCH)
            return (await self._turns.first(question, able, partial(self._turns.attempt, question, ask)))[0]

        return await self._flights.join(("asset", symbol), first)

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """Assets that are like the text, from every source that can search; fewer where some fail.

        A source with a quota of the day is asked only where the others find nothing.
        """
        question = Question(Capability.SEARCH)

        async def ask(source: Source) -> Sequence[Asset]:
            try:
                return await self._turns.attempt(question, lambda source: source.search(text, limit), source)
            except SmartFinError as error:
                logger.info("%s did not search: %s", source.name, error)
                return ()

        searching = [source for source in self.asked if self._turns.obstacle(source, question) is None]
        found = await asyncio.gather(*(ask(source) for source in searching if not is_scarce(source)))
        if not any(found):
            found = await asyncio.gather(*(ask(source) for source in searching if is_scarce(source)))
        return list({asset.symbol: asset for assets in reversed(found) for asset in assets}.values())[:limit]

    async def assets(self) -> Sequence[Asset]:
        """Every asset that some source lists."""
        return [asset for source in self.asked for asset in await source.assets()]

    def idle(self, for_s: float) -> list[Source]:
        """The sources that nobody has asked for so long, and that may be: a quota of the day is not spent on this."""
        return [
            source
            for source in self.asked
            if self.health[source.name].idle_s >= for_s
            and not is_scarce(source)
            and not source.synthetic
            and self._turns.obstacle(source, _check_of(source)) is None
        ]

    async def check(self, source: Source) -> None:
        """Ask the source one cheap question; how it went is noted in its health, and served to nobody."""
        question = _check_of(source)
        if question.symbols:
            with suppress(SmartFinError):
                await self._turns.attempt(question, partial(_quoted, question.symbols), source)

    async def aclose(self) -> None:
        """Close every source."""
        await self._flights.aclose()
        await self._turns.aclose()
        for checking in self._checks:
            checking.cancel()
        await asyncio.gather(*self._checks, return_exceptions=True)
        await asyncio.gather(*(source.aclose() for source in self.sources))

    def _take(self, source: Source) -> None:
        others = (known for known in self.sources if known.name != source.name)
        self.sources = tuple(sorted((*others, source), key=lambda known: -self.priority(known)))
        self.health[source.name] = Health()

    def _able(self, symbol: str, capability: Capability) -> list[Source]:
        return [source for source in self.asked if _inability(source, symbol, capability) is None]

    def _batches(self, symbols: Sequence[str]) -> list[tuple[str, ...]]:
        """The symbols by who is asked for them, so that one call to a source takes all that it can answer."""
        batches: dict[tuple[str, ...], list[str]] = {}
        for symbol in symbols:
            able = tuple(source.name for source in self._able(symbol, Capability.QUOTES))
            batches.setdefault(able, []).append(symbol)
        return [tuple(batch) for batch in batches.values()]

    async def _quotes(self, symbols: Sequence[str], barred: frozenset[str]) -> dict[str, Quote | SmartFinError]:
        found: dict[str, Quote | SmartFinError] = {}
        wanted = list(symbols)
        skipped: tuple[SkippedSource, ...] = ()
        able = self._able(symbols[0], Capability.QUOTES)
        unknown = False
        failed: dict[str, SkippedSource] = {}
        question = Question(Capability.QUOTES, barred=barred)
        while wanted and able:
            question = replace(question, symbols=tuple(wanted))
            try:
                told, skipped = await self._turns.first(question, able, partial(self._told, question), skipped)
            except SourceUnavailable as error:
                skipped = tuple(error.skipped)
                break
            unknown = True
            source, given = told.source, told.quotes
            failed |= told.failed
            quotes = {quote.symbol: quote for quote in self.quality.quotes(source.name, list(given.values()))}
            self._sample(list(quotes.values()))
            for symbol in wanted:
                if symbol in quotes:
                    passed = (*skipped, failed[symbol]) if symbol in failed else skipped
                    found[symbol] = _skipping(quotes[symbol], passed)
                elif symbol in given:
                    failed[symbol] = SkippedSource(source.name, SourceBadAnswer.code, "its quote is impossible")
            wanted = [symbol for symbol in wanted if symbol not in quotes]
            able = able[able.index(source) + 1 :]
        for symbol in wanted:
            passed = (*skipped, failed[symbol]) if symbol in failed else skipped
            found[symbol] = not_found(symbol) if unknown and not passed else unavailable(symbol, passed)
        return found

    async def _told(self, question: Question, source: Source) -> _ToldQuotes:
        """What the source tells, in as many questions as it needs, each with its own time and they with theirs.

        Raises the first error where it tells nothing at all.
        """
        size = source.symbols_per_question or len(question.symbols)
        ends = time.monotonic() + BATCH_S
        quotes: dict[str, Quote] = {}
        failed: dict[str, SkippedSource] = {}
        first_error: SmartFinError | None = None
        for start in range(0, len(question.symbols), size):
            part = replace(question, symbols=question.symbols[start : start + size])
            skip = None
            if start and time.monotonic() > ends:
                skip = SkippedSource(source.name, SourceTimeout.code, f"the other symbols took it {BATCH_S:g} s")
            elif start and (obstacle := self._turns.obstacle(source, part)):
                skip = SkippedSource(source.name, "SOURCE_RESTING", obstacle)
            else:
                try:
                    quotes |= await self._turns.attempt(part, partial(_quoted, part.symbols), source)
                except SmartFinError as error:
                    first_error = first_error or error
                    skip = SkippedSource(source.name, error.code, str(error))
            if skip is not None:
                failed |= dict.fromkeys(part.symbols, skip)
        if first_error is not None and len(failed) == len(question.symbols):
            raise first_error
        return _ToldQuotes(source, quotes, failed)

    def _sample(self, quotes: Sequence[Quote]) -> None:
        """Have a share of the quotes compared with another source, beside what goes on."""
        sampled = [quote for quote in quotes if random.random() < self._cross_check_share]  # noqa: S311 - a sample
        if sampled and len(self._checks) < _MAX_CHECKS:
            checking = asyncio.create_task(self._cross_check(sampled))
            self._checks.add(checking)
            checking.add_done_callback(self._checked)

    async def _cross_check(self, quotes: Sequence[Quote]) -> None:
        for quote in quotes:
            other = next(
                (source for source in self._able(quote.symbol, Capability.QUOTES) if self._may_check(source, quote)),
                None,
            )
            if other is None:
                continue
            question = Question(Capability.QUOTES, (quote.symbol,))
            try:
                given = await self._turns.attempt(question, partial(_quoted, question.symbols), other)
            except SmartFinError as error:
                logger.info("%s was not compared: %s", quote.symbol, error)
                continue
            for second in self.quality.quotes(other.name, list(given.values())):
                if self.quality.compare(quote, second) is False:
                    first, told = quote.provenance.source, second.price
                    logger.warning("%s: %s says %s, %s says %s", quote.symbol, first, quote.price, other.name, told)

    def _may_check(self, source: Source, quote: Quote) -> bool:
        is_other = source.name != quote.provenance.source
        question = Question(Capability.QUOTES, (quote.symbol,))
        return is_other and not is_scarce(source) and self._turns.obstacle(source, question) is None

    def _checked(self, task: asyncio.Task[None]) -> None:
        self._checks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("comparing two sources failed in an unexpected way", exc_info=error)


async def _quoted(symbols: Sequence[str], source: Source) -> dict[str, Quote]:
    return await source.quotes(symbols)


def _check_of(source: Source) -> Question:
    """The cheap question that tells whether the source is well; of no symbols where it has none."""
    symbol = sample(source)
    return Question(Capability.QUOTES, (symbol,) if symbol else ())


def _inability(source: Source, symbol: str, capability: Capability) -> str | None:
    """Why a source could never answer this; None if it could."""
    if capability not in source.capabilities:
        return f"does not offer {capability}"
    if not source.covers(symbol):
        kind = venue(symbol)
        return f"does not cover {symbol} ({kind.asset_type}{f' on {kind.market_code}' if kind.market_code else ''})"
    return None


def not_found(symbol: str) -> SymbolNotFound:
    """The error for a symbol that nobody knows."""
    return SymbolNotFound(f'Nobody knows a symbol "{symbol}"; search for it with assets(search: "…").', symbol=symbol)


def out_of_reach(symbol: str, interval: Interval, since: datetime) -> NoData:
    """The error for bars that are older than all that the sources have."""
    longer = ", or for D1" if interval.is_intraday else ""
    return NoData(
        f"No source has {interval} bars of {symbol} before {since:%FT%TZ}; ask from there on{longer}.", symbol=symbol
    )


def _skipping(quote: Quote, skipped: Sequence[SkippedSource]) -> Quote:
    if not skipped:
        return quote
    return structs.replace(quote, provenance=structs.replace(quote.provenance, skipped=tuple(skipped)))
