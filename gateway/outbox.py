"""What waits to go to one client: few writes, bounded memory, and a close where a client reads too slowly."""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from gateway.meter import Histogram
from gateway.wire import Batch, Wire
from live.mailbox import Mailbox

logger = logging.getLogger(__name__)

FLUSH_S: Final = 0.004
"""Messages of so long to one client go out in one write; the first after a silence goes at once."""

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
    unsent: list[datetime] = field(default_factory=list)
    """When each tick came whose first message is about to be written."""
    lag: Histogram = field(default_factory=Histogram)
    """From when a tick came from its source until the first of its messages was written."""

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
        now = datetime.now(UTC)
        for came_at in self.unsent:
            self.lag.observe(max(0.0, (now - came_at).total_seconds()))
        self.unsent.clear()


class Waiting(Protocol):
    """Who holds something back until there is room."""

    def drain(self) -> None:
        """Send what there is room for."""
        ...


class Flusher:
    """Writes out the outboxes of a process: each at once after a pause of its own, else every few milliseconds.

    «At once» is the end of the loop's round, so what the bus brought together goes out together.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._filled: list[Outbox] = []

    def add(self, outbox: "Outbox") -> None:
        """Write the outbox out at once, then whenever it has rested and more came, until it has nothing to write."""
        if not self._filled:
            asyncio.get_running_loop().call_soon(self._flush)
        self._filled.append(outbox)
        outbox.is_added = True

    def _flush(self) -> None:
        filled, self._filled = self._filled, []
        self._write(filled)

    def _write(self, outboxes: "list[Outbox]") -> None:
        # One step after the other: to write costs more where the clients have gone to sleep since the last write.
        for step in (Outbox.gather, Outbox.flush):
            for outbox in outboxes:
                try:
                    step(outbox)
                except Exception:  # one connection's fault is not that of the others
                    logger.exception("a connection could not be written to, and is closed")
                    outbox.give_up()
        if self._traffic.unsent:
            self._traffic.written()
        asyncio.get_running_loop().call_later(FLUSH_S, self._rested, outboxes)

    def _rested(self, outboxes: "list[Outbox]") -> None:
        filled = []
        for outbox in outboxes:
            if outbox.has_more:
                filled.append(outbox)
            else:
                outbox.is_added = False
        if filled:
            self._write(filled)


class Outbox:
    """The messages of one connection, in order; who has too many waiting is closed, and may come back.

    Answers, errors and what must not be dropped are sent in any case; a subscription of the latest state looks at
    the room first, and is drained in turn with the others once there is some.
    """

    __slots__ = (
        "_batches",
        "_cap_bytes",
        "_flusher",
        "_is_closed",
        "_traffic",
        "_waiting",
        "_wire",
        "is_added",
        "is_writable",
        "room",
    )

    def __init__(self, wire: Wire, flusher: Flusher, cap_bytes: int, traffic: Traffic) -> None:
        self._wire = wire
        self._flusher = flusher
        self._cap_bytes = cap_bytes
        self._traffic = traffic
        self._batches: list[Batch] = []
        self._is_closed = False
        self.is_added = False
        """Whether the flusher looks after it, to which it is added with what comes first."""
        self.is_writable = True
        """Whether the client reads."""
        self.room = ROOM_BYTES
        """How many bytes of what can wait may be sent before the next write, where the client reads at all."""
        self._waiting: dict[Waiting, None] = {}
        wire.on_writable = self._turned

    @property
    def has_room(self) -> bool:
        """Whether what can wait may be sent now."""
        return self.room > 0 and self.is_writable

    @property
    def has_more(self) -> bool:
        """Whether there is something to write, and a client that reads."""
        return self.is_writable and bool(self._batches or self._waiting)

    def wake(self, mailbox: Mailbox) -> None:
        """Drain the mailbox before the next write; now where the client does not read, so that it keeps the latest."""
        if self.is_writable:
            self.wait(mailbox)
        else:
            mailbox.drain()

    def wait(self, waiting: Waiting) -> None:
        """Drain the one that waits before the next write, or as soon as there is room."""
        self._waiting[waiting] = None
        if self.is_writable and not self.is_added:
            self._flusher.add(self)

    def forget(self, waiting: Waiting) -> None:
        """Drain it no more: what a client ends while it does not read would else stay until it does."""
        self._waiting.pop(waiting, None)

    def send(self, message: bytes) -> None:
        """Send the message after those before it; nothing follows a close."""
        self.send_all((b"", (message,), b""))

    def send_all(self, batch: Batch) -> None:
        """Send the messages after those before them; nothing follows a close."""
        if self._is_closed:
            return
        head, bodies, tail = batch
        size = len(bodies) * (len(head) + len(tail))
        for body in bodies:
            size += len(body)
        self.room -= size
        is_alone = not self._batches and len(bodies) == 1
        self._batches.append(batch)
        if self.is_writable:
            if not self.is_added:
                self._flusher.add(self)
        elif ROOM_BYTES - self.room > self._cap_bytes and not is_alone:
            # One that is alone may be as large as it likes: nobody is slow for not having read it yet.
            self.close(TRY_AGAIN_LATER, f"Over {self._cap_bytes} bytes wait to be read; connect again.")

    def gather(self) -> None:
        """Give those who wait their turn, while there is room."""
        if self._waiting and self.is_writable:
            waiting, self._waiting = iter(self._waiting), {}
            for one in waiting:
                if self.has_room:
                    one.drain()
                elif not self._is_closed:  # whoever was not served comes first the next time
                    self._waiting = dict.fromkeys([one, *waiting]) | self._waiting

    def flush(self) -> None:
        """Write what is to be sent, if the client reads."""
        if self._batches and self.is_writable:
            batches, self._batches, self.room = self._batches, [], ROOM_BYTES
            self._traffic.messages += self._wire.write(batches)  # which may find that it can take no more

    def _turned(self, is_writable: bool) -> None:
        self.is_writable = is_writable
        if is_writable and not self.is_added:
            self._flusher.add(self)

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
        self._batches.clear()
        self._waiting.clear()
        self.is_writable = False
        self._wire.on_writable = None
