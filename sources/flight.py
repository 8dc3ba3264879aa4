"""Single flight: one question at a time, however many ask it."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Flights:
    """The questions under way. Whoever asks one of them again waits for the answer of the first.

    A question runs in a task of its own: one that asked and goes away takes nothing from the others.
    """

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def __contains__(self, key: Hashable) -> bool:
        """Whether the question of this key is under way."""
        return key in self._tasks

    async def join(self, key: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of `ask`, which is called only if no question of this key is under way."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(_awaited(ask))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        answer: Answer = await asyncio.shield(task)
        return answer

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # seen, even if everyone who asked has gone

    async def aclose(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _awaited(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    return await ask()
