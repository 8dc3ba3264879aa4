"""Asks sources in turn until one answers, and notes how each did."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import tracing
from errors import SmartFinError, SourceFault, SourceTimeout, SourceUnavailable, SourceUnreachable, SymbolNotFound
from market import SkippedSource, venue
from sources.health import WHATEVER, Health, Kinds
from sources.source import Capability, Source, is_scarce

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = {
    Capability.QUOTES: 3.0,
    Capability.HISTORY: 10.0,
    Capability.SEARCH: 3.0,
}
"""How long one source may take to answer a question, however many requests it needs."""
DEADLINE_S: Final = {
    Capability.QUOTES: 20.0,
    Capability.HISTORY: 15.0,
    Capability.SEARCH: 6.0,
}
"""How long all sources together may take."""
RETRY_JITTER_S: Final = 0.2
EXTRA_SHARE: Final = 0.1
"""Retries and hedges may add so much to the questions that are asked anyway."""
_MAX_SAVED: Final = 10.0
_LEAST_HEDGE_S: Final = 0.05
_UNPROVEN_S: Final = 1.0
"""What is slow for a source that has not answered often enough to say."""

BARRED: Final = "its licence bars this tier"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, whoever is asked but those that are barred from who asks, since when (time.monotonic)."""

    capability: Capability
    symbols: tuple[str, ...] = ()
    barred: frozenset[str] = frozenset()
    began: float = field(default_factory=time.monotonic)

    @property
    def kinds(self) -> Kinds:
        """The kinds of asset that it is about."""
        return frozenset(venue(symbol).asset_type for symbol in self.symbols) or WHATEVER

    @property
    def left_s(self) -> float:
        """The time that is left to answer it; 0 where none is."""
        return max(0.0, self.began + DEADLINE_S[self.capability] - time.monotonic())


@dataclass(frozen=True, slots=True)
class Outlook:
    """What may come of a question now.

    `well` are those who would be asked and have not failed since they last answered, in their order; `ailing` would be
    asked though they have. `skipped` says why of all who are not well.
    """

    well: tuple[str, ...] = ()
    ailing: tuple[str, ...] = ()
    skipped: tuple[SkippedSource, ...] = ()

    @property
    def is_hopeless(self) -> bool:
        """Nobody would be asked."""
        return not (self.well or self.ailing)

    @property
    def unanswered(self) -> tuple[SkippedSource, ...]:
        """Who was skipped by one that did not wait for the answer any longer."""
        return (*(SkippedSource(name, "SOURCE_SLOW", "has not answered yet") for name in self.well[:1]), *self.skipped)


class Turns:
    """The health of the sources, and the asking of one after the other.

    A failure moves on to the next source; only the last one is asked a second time, where that is safe. Once the first
    takes longer than 95 of 100 of its answers did, the next is asked beside it, and whoever is overtaken is heard out,
    so that its health is known. Retries and hedges together stay within a tenth of all questions.
    """

    def __init__(self) -> None:
        self.health: dict[str, Health] = {}
        self._extra = _MAX_SAVED
        self._overtaken: set[asyncio.Task[Any]] = set()

    def obstacle(self, source: Source, question: Question) -> str | None:
        """Why the source would not be asked now; None if it would."""
        if question.capability not in source.capabilities:
            return f"does not offer {question.capability}"
        if source.name in question.barred:
            return BARRED
        return self.health[source.name].obstacle(question.capability, question.kinds)

    def outlook(self, question: Question, sources: Sequence[Source]) -> Outlook:
        """What may come of asking these sources."""
        well, ailing, skipped = [], [], []
        for source in sources:
            if (obstacle := self.obstacle(source, question)) is not None:
                skipped.append(_skipped(source, obstacle))
                continue
            if (fault := self.health[source.name].fault) is None:
                well.append(source.name)
            else:
                ailing.append(source.name)
                skipped.append(SkippedSource(source.name, fault.code, str(fault)))
        return Outlook(tuple(well), tuple(ailing), tuple(skipped))

    async def first(
        self,
        question: Question,
        sources: Sequence[Source],
        ask: Callable[[Source], Awaitable[Answer]],
        skipped: Sequence[SkippedSource] = (),
    ) -> tuple[Answer, tuple[SkippedSource, ...]]:
        """The answer of the first source that has one, and who was passed over.

        Raises SymbolNotFound if one that answered does not know the symbol and none failed, else SourceUnavailable.
        """
        passed = list(skipped)
        unknown: SymbolNotFound | None = None
        queue = []
        for source in sources:
            if (obstacle := self.obstacle(source, question)) is None:
                queue.append(source)
            else:
                passed.append(_skipped(source, obstacle))
        while queue and question.left_s:
            told = await self._hedged(queue.pop(0), queue, question, ask, passed)
            if isinstance(told, SymbolNotFound):
                unknown = told
            elif told is not None:
                return told, tuple(passed)
        passed += [SkippedSource(source.name, SourceTimeout.code, "the others took all the time") for source in queue]
        if unknown is not None and not passed:
            raise unknown
        raise unavailable(question.symbols[0], passed)

    async def attempt(self, question: Question, ask: Callable[[Source], Awaitable[Answer]], source: Source) -> Answer:
        """One question to one source, within its time; whatever comes of it is noted in its health."""
        health = self.health[source.name]
        health.asking()
        start = time.monotonic()
        own_s = TIMEOUT_S[question.capability]
        limit_s = min(own_s, question.left_s)
        try:
            with tracing.span("source", source=source.name, capability=question.capability):
                async with asyncio.timeout(limit_s):
                    answer = await ask(source)
        except TimeoutError:
            error: SmartFinError = SourceTimeout(f"{source.name} did not answer within {limit_s:.2g} s")
            if limit_s < own_s:  # the others took the rest: that says nothing of this one
                health.given_up()
                raise error from None
        except SmartFinError as said:
            error = said
        except asyncio.CancelledError:
            health.given_up()
            raise
        except Exception as fault:
            logger.exception("%s failed in an unexpected way", source.name)
            error = SourceFault(f"{source.name} failed in an unexpected way; the log has it")
            error.__cause__ = fault
        else:
            health.answered(question.capability, time.monotonic() - start)
            return answer
        health.failed(question.capability, error, time.monotonic() - start, question.kinds)
        raise error

    async def aclose(self) -> None:
        """Give up what is heard out."""
        overtaken = list(self._overtaken)
        for task in overtaken:
            task.cancel()
        await asyncio.gather(*overtaken, return_exceptions=True)

    async def _hedged(
        self,
        source: Source,
        others: list[Source],
        question: Question,
        ask: Callable[[Source], Awaitable[Answer]],
        passed: list[SkippedSource],
    ) -> Answer | SymbolNotFound | None:
        """The source's answer; once it is slow for itself, that of the next one if it comes earlier.

        None where nobody has one: `passed` says why.
        """
        asking = {asyncio.create_task(self._retried(source, question, ask, is_last=not others)): source}
        try:
            slow_s = self.health[source.name].slow_s(question.capability)
            after_s = _UNPROVEN_S if slow_s is None else max(slow_s, _LEAST_HEDGE_S)
            done, _ = await asyncio.wait(asking, timeout=after_s)
            other = next((other for other in others if not is_scarce(other)), None)
            if not done and other is not None and self._spend_extra():
                others.remove(other)
                asking[asyncio.create_task(self._retried(other, question, ask, is_last=False))] = other
            return await self._earliest(asking, passed)
        except BaseException:
            for task in asking:
                task.cancel()
            raise

    async def _earliest(
        self, asking: "Mapping[asyncio.Task[Answer], Source]", passed: list[SkippedSource]
    ) -> Answer | SymbolNotFound | None:
        waiting = set(asking)
        unknown: SymbolNotFound | None = None
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in asking:
                if task not in done:
                    continue
                error = task.exception()
                if error is None:
                    for late in waiting:
                        self._hear_out(late)
                    if next(iter(asking)) in waiting:
                        slow = next(iter(asking.values()))
                        passed.append(SkippedSource(slow.name, "SOURCE_SLOW", "slower than it usually is"))
                    return task.result()
                if isinstance(error, SymbolNotFound):
                    unknown = error
                elif isinstance(error, SmartFinError):
                    passed.append(SkippedSource(asking[task].name, error.code, str(error)))
                else:
                    raise error
        return unknown

    def _hear_out(self, task: "asyncio.Task[Any]") -> None:
        self._overtaken.add(task)
        task.add_done_callback(self._heard)

    def _heard(self, task: "asyncio.Task[Any]") -> None:
        self._overtaken.discard(task)
        if not task.cancelled():
            task.exception()  # its health has it

    async def _retried(
        self, source: Source, question: Question, ask: Callable[[Source], Awaitable[Answer]], *, is_last: bool
    ) -> Answer:
        self._extra = min(_MAX_SAVED, self._extra + EXTRA_SHARE)
        try:
            return await ask(source)
        except (SourceUnreachable, SourceFault):
            if not is_last or self.obstacle(source, question) or not self._spend_extra():
                raise
        await asyncio.sleep(random.uniform(0, RETRY_JITTER_S))  # noqa: S311 - jitter
        return await ask(source)

    def _spend_extra(self) -> bool:
        if self._extra < 1:
            return False
        self._extra -= 1
        return True


def _skipped(source: Source, obstacle: str) -> SkippedSource:
    return SkippedSource(source.name, "SOURCE_BARRED" if obstacle is BARRED else "SOURCE_RESTING", obstacle)


def unavailable(symbol: str, skipped: Sequence[SkippedSource]) -> SourceUnavailable:
    """The error where nobody could answer."""
    said = "; ".join(f"{skip.source}: {skip.message}" for skip in skipped) or "no source for it is configured"
    return SourceUnavailable(f"No source could answer for {symbol}: {said}.", skipped=tuple(skipped), symbol=symbol)
