"""How long a request may take: until its time limit, or until its client is gone."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from errors import TookTooLong

WATCH_AFTER_S = 0.05
"""Most requests are answered sooner, and need nobody to look whether the client is still there."""


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


class Deadline:
    """Cancels what runs within it when the time is up or the client hangs up.

    Leaving it raises TookTooLong or ClientGone then. The whole body must have been received when the watch begins.
    """

    def __init__(self, limit_s: float, receive: Receive) -> None:
        self._limit_s = limit_s
        self._receive = receive
        self._timeout = asyncio.timeout(limit_s)
        self._due: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._gone = False

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    def watch(self) -> None:
        """From now on, notice when the client hangs up."""
        self._due = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def _start(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._due is not None:
            self._due.cancel()
        if self._watching is not None:
            self._watching.cancel()
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self._gone:
                raise ClientGone from None
            raise TookTooLong(
                f"The answer was not ready within {self._limit_s:g} s; ask for less at once, or again later.",
                limit=self._limit_s,
            ) from None
