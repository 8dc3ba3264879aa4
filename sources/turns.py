"""Asks sources in turn until one answers, and notes how each did."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

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
RETRY_JITTER_S: Final = 0.2
EXTRA_SHARE: Final = 0.1
"""Retries and hedges may add so much to the questions that are asked anyway."""
_MAX_SAVED: Final = 10.0
_LEAST_HEDGE_S: Final = 0.05

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, whoever is asked."""

    capability: Capability
    symbols: tuple[str, ...] = ()

    @property
    def kinds(self) -> Kinds:
        """The kinds of asset that it is about."""
        return frozenset(venue(symbol).asset_type for symbol in self.symbols) or WHATEVER


class Turns:
    """The health of the sources, and the asking of one after the other.

    A failure moves on to the next source; only the last one is asked a second time, where that is safe. Once the first
    takes longer than 95 of 100 of its answers did, the next is asked beside it. Retries and hedges together stay
    within a tenth of all questions.
    """

    def __init__(self) -> None:
        self.health: dict[str, Health] = {}
        self._extra = _MAX_SAVED

    def obstacle(self, source: Source, question: Question) -> str | None:
        """Why the source would not be asked now; None if it would."""
        if question.capability not in source.capabilities:
            return f"does not offer {question.capability}"
        return self.health[source.name].obstacle(question.capability, question.kinds)

    async def first(
        self,
        question: Question,
        sources: Sequence[Source],
        ask: Callable[[Source], Awaitable[Answer]],
        skipped: Sequence[SkippedSource] = (),
    ) -> tuple[Answer, Sequence[SkippedSource]]:
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
                passed.append(SkippedSource(source.name, "SOURCE_RESTING", obstacle))
        while queue:
            source = queue.pop(0)
            try:
                return await self._hedged(source, queue, question, ask, passed), tuple(passed)
            except SymbolNotFound as error:
                unknown = error
            except SmartFinError as error:
                passed.append(SkippedSource(source.name, error.code, str(error)))
        if unknown is not None and not passed:
            raise unknown
        raise unavailable(question.symbols[0], passed)

    async def attempt(self, question: Question, ask: Callable[[Source], Awaitable[Answer]], source: Source) -> Answer:
        """One question to one source, within its time; whatever comes of it is noted in its health."""
        health = self.health[source.name]
        health.asking()
        start = time.monotonic()
        limit_s = TIMEOUT_S[question.capability]
        try:
            async with asyncio.timeout(limit_s):
                answer = await ask(source)
        except TimeoutError:
            error: Exception = SourceTimeout(f"{source.name} did not answer within {limit_s:g} s")
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

    async def _hedged(
        self,
        source: Source,
        others: list[Source],
        question: Question,
        ask: Callable[[Source], Awaitable[Answer]],
        passed: list[SkippedSource],
    ) -> Answer:
        """The source's answer; once it is slow for itself, that of the next one if it comes earlier."""
        slow_s = self.health[source.name].slow_s(question.capability)
        asking = asyncio.ensure_future(self._retried(source, question, ask, is_last=not others))
        try:
            if slow_s is not None and others:
                await asyncio.wait([asking], timeout=max(slow_s, _LEAST_HEDGE_S))
                other = next((other for other in others if not is_scarce(other)), None)
                if not asking.done() and other is not None and self._spend_extra():
                    others.remove(other)
                    hedge = asyncio.ensure_future(self._retried(other, question, ask, is_last=False))
                    return await self._earlier(source, asking, other, hedge, passed)
            return await asking
        finally:
            if not asking.done():
                asking.cancel()

    async def _earlier(
        self,
        source: Source,
        asking: "asyncio.Future[Answer]",
        other: Source,
        hedge: "asyncio.Future[Answer]",
        passed: list[SkippedSource],
    ) -> Answer:
        names = {asking: source.name, hedge: other.name}
        waiting = {asking, hedge}
        try:
            while True:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        if task is hedge:
                            passed.append(SkippedSource(source.name, "SOURCE_SLOW", "slower than it usually is"))
                        return task.result()
                    if not waiting:
                        raise error
                    if isinstance(error, SmartFinError):
                        passed.append(SkippedSource(names[task], error.code, str(error)))
        finally:
            for task in waiting:
                task.cancel()

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


def unavailable(symbol: str, skipped: Sequence[SkippedSource]) -> SourceUnavailable:
    """The error where nobody could answer."""
    said = "; ".join(f"{skip.source}: {skip.message}" for skip in skipped) or "no source for it is configured"
    return SourceUnavailable(f"No source could answer for {symbol}: {said}.", skipped=tuple(skipped), symbol=symbol)
