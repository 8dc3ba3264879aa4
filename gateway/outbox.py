"""What waits to go to one client: few writes, bounded memory, and a close where a client reads too slowly."""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.meter import Histogram
from gateway.wire import Wire
from live.mailbox import Mailbox

logger = logging.getLogger(__name__)

FLUSH_S: Final = 0.004
"""Messages of so long go out in one write; the first after a silence goes at once."""

ROOM_BYTES: Final = 64 * 1024
"""How much may wait in an outbox before subscriptions hold their events back."""

TRY_AGAIN_LATER: Final = 1013
"""Of RFC 6455's registry: clients connect again after it."""


@dataclass(slots=True)
class Traffic:
    """What has gone through the connections of this process, for whoever wants to count along."""

    connections: int = 0
    messages: int = 0
    streams: int = 0
    """Subscriptions whose every event is sent."""
    mailboxes: set[Mailbox] = field(default_factory=set)
    """Those of the subscriptions to the latest state."""
    closed: Counter[int] = field(default_factory=Counter)
    unsent: list[float] = field(default_factory=list)
    """When (time.time) each tick came whose messages are about to be written."""
    lag: Histogram = field(default_factory=Histogram)
    """From when a tick came from its source until its messages were written."""

    _conflated: int = 0

    @property
    def subscriptions(self) -> int:
        """Subscriptions under way."""
        return len(self.mailboxes) + self.streams

    @property
    def conflated(self) -> int:
        """Events that a newer one replaced before they were taken."""
        return self._conflated + sum(mailbox.conflated for mailbox in self.mailboxes)

    def closed_mailbox(self, mailbox: Mailbox) -> None:
        """A subscription to the latest state has ended."""
        self.mailboxes.discard(mailbox)
        self._conflated += mailbox.conflated

    def written(self) -> None:
        """What was unsent has gone out."""
        now = time.time()
        for came_at in self.unsent:
            self.lag.observe(max(0.0, now - came_at))
        self.unsent.clear()


class Waiting(Protocol):
    """Who holds something back until there is room."""

    def drain(self) -> None:
        """Send what there is room for."""
        ...


class Flusher:
    """Writes out the outboxes of a process together: at once after a pause, else every few milliseconds.

    «At once» is the end of the loop's round, so what the bus brought together goes out together.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._filled: list[Outbox] = []
        self._free_at = 0.0

    def add(self, outbox: "Outbox") -> None:
        """Have the outbox written out soon."""
        if not self._filled:
            asyncio.get_running_loop().call_at(self._free_at, self._flush)
        self._filled.append(outbox)

    def _flush(self) -> None:
        filled, self._filled = self._filled, []
        for outbox in filled:
            try:
                outbox.flush()
            except Exception:  # one connection's fault is not that of the others
                logger.exception("a connection could not be written to, and is closed")
                outbox.give_up()
        if self._traffic.unsent:
            self._traffic.written()
        self._free_at = asyncio.get_running_loop().time() + FLUSH_S


class Outbox:
    """The messages of one connection, in order; who has too many waiting is closed, and may come back.

    Answers, errors and what must not be dropped are sent in any case; a subscription of the latest state looks at
    `has_room` first, and is drained in turn with the others once there is some.
    """

    __slots__ = (
        "_cap_bytes",
        "_flusher",
        "_is_closed",
        "_is_filled",
        "_is_writable",
        "_messages",
        "_size",
        "_traffic",
        "_waiting",
        "_wire",
        "has_room",
    )

    def __init__(self, wire: Wire, flusher: Flusher, cap_bytes: int, traffic: Traffic) -> None:
        self.has_room = True
        """Whether what can wait may be sent now."""
        self._wire = wire
        self._flusher = flusher
        self._cap_bytes = cap_bytes
        self._traffic = traffic
        self._messages: list[bytes] = []
        self._size = 0
        self._is_closed = False
        self._is_filled = False
        self._is_writable = True
        self._waiting: dict[Waiting, None] = {}
        wire.on_writable = self._turned

    def wait(self, waiting: Waiting) -> None:
        """Drain the one that waits as soon as there is room."""
        self._waiting[waiting] = None

    def send(self, message: bytes) -> None:
        """Send the message after those before it; nothing follows a close."""
        if self._is_closed:
            return
        self._messages.append(message)
        self._size += len(message)
        if self._size >= ROOM_BYTES:
            self.has_room = False
        if self._is_writable:
            if not self._is_filled:
                self._is_filled = True
                self._flusher.add(self)
        elif self._size > self._cap_bytes and len(self._messages) > 1:
            # One that is alone may be as large as it likes: nobody is slow for not having read it yet.
            self.close(TRY_AGAIN_LATER, f"Over {self._cap_bytes} bytes wait to be read; connect again.")

    def flush(self) -> None:
        """Write what waits, as far as the client reads; then give those who wait their turn."""
        self._is_filled = False
        if not self._is_writable:
            return
        if self._messages:
            messages, self._messages, self._size = self._messages, [], 0
            self._traffic.messages += len(messages)
            self._wire.write(messages)  # which may find that it can take no more
        self.has_room = self._is_writable
        if self._waiting and self.has_room:
            self._take_turns()

    def _turned(self, is_writable: bool) -> None:
        self._is_writable = is_writable
        if is_writable:
            self.flush()
        else:
            self.has_room = False

    def close(self, code: int, reason: str) -> None:
        """Close the connection behind what was written."""
        if not self._is_closed:
            self.flush()
            self.clear()
            self._traffic.closed[code] += 1
            self._wire.close(code, reason)

    def give_up(self) -> None:
        """Close the connection, whatever waits; its client may come back."""
        self.clear()
        self._traffic.closed[TRY_AGAIN_LATER] += 1
        with suppress(Exception):  # then it is past all that, and its pings find out
            self._wire.close(TRY_AGAIN_LATER, "A message could not be written; connect again.")

    def clear(self) -> None:
        """Forget what waits, and take no more: nobody is there to read it."""
        self._is_closed = True
        self.has_room = False
        self._messages.clear()
        self._waiting.clear()
        self._size = 0
        self._wire.on_writable = None

    def _take_turns(self) -> None:
        waiting, self._waiting = list(self._waiting), {}
        for turn, one in enumerate(waiting):
            if not self.has_room:  # whoever was not served comes first the next time
                self._waiting = dict.fromkeys(waiting[turn:]) | self._waiting
                return
            one.drain()
