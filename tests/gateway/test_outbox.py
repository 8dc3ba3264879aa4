"""What waits for one client, and what it has to do with others."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from starlette.types import Receive

from gateway.outbox import ROOM_BYTES, Flusher, Outbox, Traffic
from gateway.wire import Batch, Listener
from live.mailbox import Event, Mailbox
from tests.waiting import until


class Written:
    """A wire that remembers, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.on_writable: Callable[[bool], None] | None = None
        self.farewell: Callable[[], bytes] | None = None
        self.messages: list[bytes] = []
        self.writes = 0
        self.closed: list[int] = []
        self._fails = fails

    def write(self, batches: Sequence[Batch]) -> int:
        if self._fails:
            raise RuntimeError("the handle is closed")
        messages = [head + body + tail for head, bodies, tail in batches for body in bodies]
        self.messages += messages
        self.writes += 1
        return len(messages)

    def close(self, code: int, reason: str) -> None:
        self.closed.append(code)

    async def heard_by(self, listener: Listener, receive: Receive) -> None:
        raise AssertionError("nobody speaks")


async def test_a_write_that_raises_closes_its_client_and_leaves_the_others_theirs() -> None:
    traffic = Traffic()
    flusher = Flusher(traffic)
    wires = [Written(), Written(fails=True), Written()]
    outboxes = [Outbox(wire, flusher, 1000, traffic) for wire in wires]
    for text in (b"1", b"2"):
        for outbox in outboxes:
            outbox.send(text)
        await until(partial(wires[-1].messages.count, text))
    assert [wire.messages for wire in wires] == [[b"1", b"2"], [], [b"1", b"2"]]
    assert [wire.closed for wire in wires] == [[], [1013], []]
    assert traffic.closed == {1013: 1}


async def test_who_was_just_written_to_rests_while_another_is_written_to_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.outbox.FLUSH_S", 60.0)
    traffic = Traffic()
    flusher = Flusher(traffic)
    busy, quiet = wires = [Written(), Written()]
    outboxes = [Outbox(wire, flusher, 1000, traffic) for wire in wires]
    outboxes[0].send(b"1")
    await until(lambda: busy.messages)
    for outbox in outboxes:
        outbox.send(b"2")
    await until(lambda: quiet.messages)
    assert (busy.messages, quiet.messages) == ([b"1"], [b"2"])


async def test_what_came_while_a_client_rested_goes_out_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.outbox.FLUSH_S", 0.5)
    traffic, wire = Traffic(), Written()
    outbox = Outbox(wire, Flusher(traffic), 1000, traffic)
    for text in (b"1", b"2", b"3"):
        outbox.send(text)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await until(lambda: len(wire.messages) == 3)
    assert wire.writes == 2
    assert outbox.is_added
    await until(lambda: not outbox.is_added)
    outbox.send(b"4")  # and a pause later it begins anew
    await until(lambda: len(wire.messages) == 4)


class Flooding:
    """Sends what fills more than half the room whenever it is drained, and has more."""

    def __init__(self, outbox: Outbox, name: bytes) -> None:
        self._outbox = outbox
        self._name = name

    def drain(self) -> None:
        self._outbox.send(self._name * (ROOM_BYTES * 2 // 3))
        self._outbox.wait(self)


async def test_those_who_have_more_than_goes_take_turns() -> None:
    traffic, wire = Traffic(), Written()
    outbox = Outbox(wire, Flusher(traffic), 1000, traffic)
    for name in (b"a", b"b", b"c", b"d", b"e"):
        outbox.wait(Flooding(outbox, name))
    await until(lambda: len(wire.messages) >= 15)
    assert b"".join(message[:1] for message in wire.messages[:15]) == b"abcdeabcdeabcde"
    outbox.clear()


async def test_what_waits_for_a_client_that_does_not_read_is_sent_once_it_does() -> None:
    traffic, wire = Traffic(), Written()
    outbox = Outbox(wire, Flusher(traffic), 1000, traffic)
    assert wire.on_writable is not None
    outbox.wait(Flooding(outbox, b"x"))
    wire.on_writable(False)
    assert not outbox.has_room
    outbox.send(b"answer")
    await asyncio.sleep(0.05)
    assert wire.messages == []
    wire.on_writable(True)
    await until(lambda: len(wire.messages) >= 3)
    assert [message[:1] for message in wire.messages[:3]] == [b"a", b"x", b"x"]
    outbox.clear()


class Sending:
    """Reads a mailbox as a subscription does."""

    def __init__(self, outbox: Outbox) -> None:
        self.mailbox = Mailbox()
        self._outbox = outbox
        self.mailbox.read_by(self, outbox.wake)

    def take(self, events: Sequence[Event]) -> int:
        if not self._outbox.has_room:
            self._outbox.wait(self.mailbox)
            return 0
        for event in events:
            self._outbox.send(event.payload)
        return len(events)

    def end(self) -> None:
        raise AssertionError("it does not end")


@pytest.mark.parametrize(("reads", "sent"), [(True, [b"0", b"1", b"2"]), (False, [b"2"])])
async def test_who_reads_gets_all_that_came_together_and_who_does_not_the_latest(
    reads: bool, sent: list[bytes]
) -> None:
    traffic, wire = Traffic(), Written()
    outbox = Outbox(wire, Flusher(traffic), 1000, traffic)
    sending = Sending(outbox)
    assert wire.on_writable is not None
    wire.on_writable(reads)
    for seq in range(3):
        sending.mailbox.put(Event("A", (1, seq), b"%d" % seq))
    wire.on_writable(True)
    await until(lambda: wire.messages)
    assert (wire.messages, sending.mailbox.conflated) == (sent, 3 - len(sent))
