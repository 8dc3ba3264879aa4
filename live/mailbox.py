"""The bounded queue of one subscriber: the latest of each key, in turn."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True, eq=False)
class Event:
    """One change on its way to all who watch its key; later means a higher (epoch, seq).

    `answers` is for whoever reads it: what each has made of the event, made once and gone with it. `came_at`
    (time.time) is when its source told of it; None where nobody asks, as of a state that is read again.
    """

    key: str
    order: tuple[int, int]
    payload: Any
    answers: dict[object, Any] = field(default_factory=dict)
    came_at: float | None = None


class Reader(Protocol):
    """Who empties a mailbox."""

    def take(self, event: Event) -> bool:
        """Take the event, or say that there is no room now; `Mailbox.drain` then tries again."""
        ...

    def end(self) -> None:
        """Nothing more will come."""
        ...


class Mailbox:
    """What a subscriber has not taken yet: at most one event of each key, so a slow reader gets the latest.

    A reader that is there and has room gets each event at once. A key keeps its place in the queue when a newer
    event replaces the one that waits, so none starves. With `max_per_second`, each key is handed out at most so
    often, its latest first.
    """

    __slots__ = (
        "_due",
        "_on_close",
        "_order",
        "_pending",
        "_reader",
        "_spacing_s",
        "_timer",
        "conflated",
        "is_ending",
        "symbols",
    )

    def __init__(
        self,
        max_per_second: float | None = None,
        on_close: Callable[["Mailbox"], None] | None = None,
        symbols: int = 1,
    ) -> None:
        self.symbols = symbols
        """How many symbols it brings the events of."""
        self.conflated = 0
        """Events that were replaced by a newer one before they were taken."""
        self.is_ending = False
        self._on_close = on_close
        self._order: dict[str, tuple[int, int]] = {}
        self._pending: dict[str, Event] = {}
        self._due: dict[str, float] = {}
        self._spacing_s = 1 / max_per_second if max_per_second else 0.0
        self._reader: Reader | None = None
        self._timer: asyncio.TimerHandle | None = None

    def put(self, event: Event) -> None:
        """Take in an event, unless one as new of its key has been taken in before."""
        key = event.key
        if event.order <= self._order.get(key, _NEVER):
            return
        self._order[key] = event.order
        # Most are not paced and have no use for `_offer`: a fan-out spends its time here.
        if (
            self._reader is not None
            and not self._pending
            and (self._offer(event) if self._spacing_s else self._reader.take(event))
        ):
            return
        self.conflated += key in self._pending
        self._pending[key] = event
        if self._spacing_s and self._reader is not None:
            self.drain()

    def finish(self) -> None:
        """Nothing more comes: the reader is told once it has taken what waits."""
        self.is_ending = True
        self.drain()

    def read_by(self, reader: Reader) -> None:
        """Hand everything to the reader from now on, what waits first."""
        self._reader = reader
        self.drain()

    def drain(self) -> None:
        """Hand out what waits and is due, in turn, while the reader has room."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reader is None:
            return
        for key, event in list(self._pending.items()):
            if self._is_early(key):
                continue
            if not self._offer(event):
                return
            self._pending.pop(key, None)
            if self._reader is None:  # it closed this as it took the event
                return
        if self._pending and self._spacing_s:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(min(self._due[key] for key in self._pending), self.drain)
        elif self.is_ending and not self._pending:
            self._reader.end()

    def close(self) -> None:
        """Take in and hand out nothing more."""
        self._reader = None
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._on_close is not None:
            self._on_close(self)
            self._on_close = None

    async def get(self) -> Event | None:
        """The next event, once there is one that is due; None where nothing more comes. For one who waits at a time."""
        turn = _Turn()
        self.read_by(turn)
        try:
            return await turn.event
        finally:
            self._reader = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        """The payloads, one at a time; closed at the end."""
        try:
            while (event := await self.get()) is not None:
                yield event.payload
        finally:
            self.close()

    def _offer(self, event: Event) -> bool:
        assert self._reader is not None
        if not self._spacing_s:
            return self._reader.take(event)
        if self._is_early(event.key) or not self._reader.take(event):
            return False
        self._due[event.key] = asyncio.get_running_loop().time() + self._spacing_s
        return True

    def _is_early(self, key: str) -> bool:
        return bool(self._spacing_s) and asyncio.get_running_loop().time() < self._due.get(key, 0.0)


_NEVER = (-1, -1)


class _Turn:
    """A reader with room for one event."""

    def __init__(self) -> None:
        self.event: asyncio.Future[Event | None] = asyncio.get_running_loop().create_future()

    def take(self, event: Event) -> bool:
        if self.event.done():
            return False
        self.event.set_result(event)
        return True

    def end(self) -> None:
        if not self.event.done():
            self.event.set_result(None)
