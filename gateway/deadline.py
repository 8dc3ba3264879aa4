"""How long a request may take: until its time limit, or until its client is gone."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from errors import TookTooLong

ATTEND_AFTER_S = 0.05
"""Most requests are answered sooner, and cost no more than the one timer that would have begun to attend to them."""


class ClientGone(Exception):
    """The client hung up; there is nobody to answer."""


class Deadline:
    """Cancels what runs within it when the time is up or the client hangs up.

    Leaving it raises TookTooLong or ClientGone then. `received` says that the whole body has come: from then on, and
    not before, it listens for the client's leaving.
    """

    def __init__(self, limit_s: float, receive: Receive) -> None:
        self._limit_s = limit_s
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._is_received = False
        self._is_attended = False
        self._listening: asyncio.Task[None] | None = None
        self._is_gone = False

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._ends_at = self._loop.time() + self._limit_s
        self._timer = self._loop.call_later(min(ATTEND_AFTER_S, self._limit_s), self._attend)
        return self

    def received(self) -> None:
        """The whole body has come."""
        self._is_received = True
        if self._is_attended:
            self._listen()

    def _attend(self) -> None:
        self._is_attended = True
        self._timeout.reschedule(self._ends_at)
        if self._is_received:
            self._listen()

    def _listen(self) -> None:
        self._listening = asyncio.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        if not self._timeout.expired():
            self._timeout.reschedule(self._loop.time())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            if self._is_gone:
                raise ClientGone from None
            raise TookTooLong(
                f"The answer was not ready within {self._limit_s:g} s; ask for less at once, or again later.",
                limit=self._limit_s,
            ) from None
