"""Single flight: one question at a time, however many ask it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Flight:
    task: asyncio.Task[Any]
    began: float
    """By the clock of the loop."""


class Flights:
    """The questions under way. Whoever asks one of them again waits for the answer of the first.

    A question runs in a task of its own: one that asked and goes away takes nothing from the others. An answer is told
    to who asks again within `keep_s` of it; an error is not.
    """

    def __init__(self, keep_s: float = 0.0) -> None:
        self._keep_s = keep_s
        self._flights: dict[Hashable, _Flight] = {}

    def __len__(self) -> int:
        """How many are under way, or kept."""
        return len(self._flights)

    def __contains__(self, key: Hashable) -> bool:
        """Whether the question of this key is under way, or its answer kept."""
        return key in self._flights

    async def join(self, key: Hashable, ask: Callable[[], Awaitable[Answer]], wait_s: float | None = None) -> Answer:
        """The answer of `ask`, which is called only if no question of this key is under way.

        Raises TimeoutError where the question is not answered `wait_s` after it began; it goes on for who asks next.
        """
        flight = self._flights.get(key) or self._begin(key, ask)
        async with asyncio.timeout_at(None if wait_s is None else flight.began + wait_s):
            answer: Answer = await asyncio.shield(flight.task)
        return answer

    async def aclose(self) -> None:
        """Give up what is under way."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: Hashable, ask: Callable[[], Awaitable[Any]]) -> _Flight:
        loop = asyncio.get_running_loop()
        flight = _Flight(loop.create_task(_awaited(ask)), loop.time())
        self._flights[key] = flight
        flight.task.add_done_callback(lambda task: self._landed(key, task))
        return flight

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        is_answered = not task.cancelled() and task.exception() is None  # seen, even if everyone who asked has gone
        if is_answered and self._keep_s:
            asyncio.get_running_loop().call_later(self._keep_s, self._flights.pop, key)
        else:
            del self._flights[key]


async def _awaited(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    return await ask()
