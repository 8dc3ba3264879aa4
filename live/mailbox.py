"""The bounded queue of one subscriber: the latest of each key, in turn."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol

import msgspec

logger = logging.getLogger(__name__)


_NONE: Final[Mapping[object, Any]] = MappingProxyType({})


class Event(msgspec.Struct, eq=False, gc=False):  # of which many wait at a time, and none leads back to itself
    """One change on its way to all who watch its key; later means a higher (epoch, seq).

    `came_at` is when its source told of it; None where nobody asks, as of a state that is read again.
    """

    key: str
    order: tuple[int, int]
    payload: Any
    came_at: datetime | None = None
    asker: object = None
    """The first for whom something was made of it; most often they all ask for the same."""
    answer: Any = None
    """What was made for the first."""
    answers: Mapping[object, Any] = _NONE
    """What was made for each of the others."""

    def keep(self, asker: object, answer: Any) -> None:
        """Keep what was made of it; it is gone with the event."""
        if self.asker is None or self.asker is asker:
            self.asker, self.answer = asker, answer
        elif isinstance(self.answers, dict):
            self.answers[asker] = answer
        else:
            self.answers = {asker: answer}


AT_MOST: Final = 32
"""Events that wait for a reader who was woken; then it has to take them, or gets the latest only."""


class Reader(Protocol):
    """Who empties a mailbox."""

    def take(self, events: Sequence[Event]) -> int:
        """Take the events, or as many of the first as there is room for, and say how many.

        Whoever took less than all calls `Mailbox.drain` once there is room.
        """
        ...

    def end(self) -> None:
        """Nothing more will come."""
        ...


class Mailbox:
    """What a subscriber has not taken yet: all that came since it was woken, or of each key the latest.

    It is the latest where the reader has no room, and where there is none yet. A key keeps its place in the queue when
    a newer event replaces the one that waits, so none starves. With `max_per_second`, each key is handed out at most
    so often, its latest first.

    Of a key, what a feed brings is in order, as is what else is put before there is a reader: a snapshot may come
    after what is newer, and before what is not, which then is dropped.
    """

    __slots__ = (
        "_due",
        "_known",
        "_on_close",
        "_pending",
        "_reader",
        "_spacing_s",
        "_timer",
        "_wake",
        "arrived",
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
        self.arrived: Final[list[Event]] = []
        """What the reader was woken for and is about to take, at most AT_MOST; a feed puts more behind it."""
        self.conflated = 0
        """Events that were replaced by a newer one before they were taken."""
        self.is_ending = False
        self._on_close = on_close
        self._known: dict[str, tuple[int, int]] = {}
        self._pending: dict[str, Event] = {}
        self._due: dict[str, float] = {}
        self._spacing_s = 1 / max_per_second if max_per_second else 0.0
        self._reader: Reader | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake: Callable[[Mailbox], None] = Mailbox.drain

    def put(self, event: Event) -> None:
        """Take in an event, unless what was put in before there was a reader is as new."""
        if self._reader is None or self._pending or self._spacing_s:
            if self._is_news(event):
                self._conflate([event])
            if self._spacing_s:
                self.drain()
            return
        self.arrived.append(event)
        if len(self.arrived) == 1:
            self._wake(self)
        elif len(self.arrived) >= AT_MOST:
            self.drain()

    def finish(self) -> None:
        """Nothing more comes: the reader is told once it has taken what waits."""
        self.is_ending = True
        self.drain()

    def read_by(self, reader: Reader, wake: Callable[["Mailbox"], None] | None = None) -> None:
        """Hand everything to the reader from now on, what waits first: at once, or where it is woken, once it drains.

        It is woken for the first event that comes after it has drained the mailbox.
        """
        self._reader = reader
        self._wake = wake or Mailbox.drain
        self._known |= {key: event.order for key, event in self._pending.items()}
        self.drain()

    def read_each(self, handle: Callable[[Event], None]) -> None:
        """Hand each event over as it comes, from now on; of an end nobody is told."""
        self.read_by(_Each(handle))

    def drain(self) -> None:
        """Hand out what waits and is due, in turn, while the reader has room."""
        if self._reader is None:
            return
        if self.arrived:
            arrived = self.arrived.copy()
            self.arrived.clear()
            if self._known:
                arrived = [event for event in arrived if event.key not in self._known or self._is_news(event)]
            if arrived and (taken := self._reader.take(arrived)) < len(arrived):
                self._conflate(arrived[taken:])
        elif self._pending and not self._drain_due():
            return
        if self.is_ending and not self._pending and self._reader is not None:
            self._reader.end()

    def close(self) -> None:
        """Take in and hand out nothing more."""
        self._reader = None
        self.arrived.clear()
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

    def _is_news(self, event: Event) -> bool:
        key, order = event.key, event.order
        if (waits := self._pending.get(key)) is not None and order <= waits.order:
            return False
        if (known := self._known.get(key)) is None:
            return True
        if order <= known:
            return False
        del self._known[key]  # what follows is newer still
        return True

    def _conflate(self, events: Iterable[Event]) -> None:
        for event in events:
            self.conflated += event.key in self._pending
            self._pending[event.key] = event

    def _drain_due(self) -> bool:
        """Hand out the pending events that are due; whether the reader takes more."""
        assert self._reader is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time() if self._spacing_s else 0.0
        due = [event for key, event in self._pending.items() if self._due.get(key, 0.0) <= now]
        taken = due[: self._reader.take(due)] if due else due
        for event in taken:
            self._pending.pop(event.key, None)
            if self._spacing_s:
                self._due[event.key] = now + self._spacing_s
        if self._reader is None or len(taken) < len(due):  # it closed this as it took them, or has no room
            return False
        if self._pending:
            self._timer = loop.call_at(min(self._due[key] for key in self._pending), self.drain)
        return True


class Feed:
    """Brings events to the mailboxes of all who watch: of each key only what is newer than all before."""

    __slots__ = ("_aims", "_newest", "_watchers")

    def __init__(self) -> None:
        self._watchers: dict[Mailbox, None] = {}
        self._aims: tuple[tuple[Mailbox, ...], tuple[list[Event], ...]] | None = None
        self._newest: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def watch(self, mailbox: Mailbox) -> None:
        """Bring it what comes from now on."""
        self._watchers[mailbox] = self._aims = None

    def leave(self, mailbox: Mailbox) -> None:
        """Bring it nothing more."""
        self._watchers.pop(mailbox, None)
        self._aims = None

    def bring(self, event: Event) -> None:
        """Put the event into each mailbox, unless one as new was before."""
        newest = self._newest.get(event.key)
        if newest is not None and event.order <= newest:
            return
        self._newest[event.key] = event.order
        if self._aims is None:
            self._aims = tuple(self._watchers), tuple(mailbox.arrived for mailbox in self._watchers)
        mailboxes, lists = self._aims
        most = AT_MOST
        for number, arrived in enumerate(lists):
            if 0 < len(arrived) < most:  # where much comes it mostly is, and then the mailbox itself is not touched
                arrived.append(event)
                continue
            try:
                mailboxes[number].put(event)
            except Exception:  # one reader's fault is not that of the others
                logger.exception("a reader of %s failed", event.key)


class _Each:
    """A reader that always has room."""

    def __init__(self, handle: Callable[[Event], None]) -> None:
        self._handle = handle

    def take(self, events: Sequence[Event]) -> int:
        for event in events:
            self._handle(event)
        return len(events)

    def end(self) -> None:
        pass


class _Turn:
    """A reader with room for one event."""

    def __init__(self) -> None:
        self.event: asyncio.Future[Event | None] = asyncio.get_running_loop().create_future()

    def take(self, events: Sequence[Event]) -> int:
        if self.event.done():
            return 0
        self.event.set_result(events[0])
        return 1

    def end(self) -> None:
        if not self.event.done():
            self.event.set_result(None)
