"""What waits for one client, and what it has to do with others."""

from collections.abc import Callable, Sequence
from functools import partial

from starlette.types import Receive

from gateway.outbox import Flusher, Outbox, Traffic
from gateway.wire import Listener
from tests.waiting import until


class Written:
    """A wire that remembers, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.on_writable: Callable[[bool], None] | None = None
        self.farewell: Callable[[], bytes] | None = None
        self.messages: list[bytes] = []
        self.closed: list[int] = []
        self._fails = fails

    def write(self, messages: Sequence[bytes]) -> None:
        if self._fails:
            raise RuntimeError("the handle is closed")
        self.messages += messages

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
