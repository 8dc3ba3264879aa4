import asyncio
from typing import Any

import pytest

from live.mailbox import Event, Mailbox


def event(key: str, epoch: int, seq: int) -> Event:
    return Event(key, (epoch, seq), f"{key}{seq}")


async def got(mailbox: Mailbox) -> tuple[str, tuple[int, int]]:
    async with asyncio.timeout(5):
        event = await mailbox.get()
    assert event is not None
    return event.key, event.order


class Reader:
    """Takes so many, then has no room until it gets some."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken: list[str] = []
        self.is_ended = False

    def take(self, event: Event) -> bool:
        if self.room:
            self.room -= 1
            self.taken.append(event.payload)
            return True
        return False

    def end(self) -> None:
        self.is_ended = True


async def test_what_waits_is_replaced_by_what_is_newer_and_keeps_its_place() -> None:
    mailbox = Mailbox()
    for seq in range(5):
        mailbox.put(event("A", 1, seq))
        mailbox.put(event("B", 1, seq))
    assert [await got(mailbox) for _ in range(2)] == [("A", (1, 4)), ("B", (1, 4))]
    assert mailbox.conflated == 8
    mailbox.put(event("A", 1, 5))
    assert await got(mailbox) == ("A", (1, 5))


@pytest.mark.parametrize(
    ("late", "taken"), [((1, 3), False), ((1, 4), False), ((0, 9), False), ((1, 5), True), ((2, 0), True)]
)
async def test_what_is_not_newer_is_dropped(late: tuple[int, int], taken: bool) -> None:
    mailbox = Mailbox()
    mailbox.put(event("A", 1, 4))
    assert await got(mailbox) == ("A", (1, 4))
    mailbox.put(event("A", *late))
    mailbox.put(event("B", 0, 0))
    assert await got(mailbox) == (("A", late) if taken else ("B", (0, 0)))
    assert mailbox.conflated == 0


async def test_a_reader_that_waits_is_woken() -> None:
    mailbox = Mailbox()
    reading = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put(event("A", 1, 0))
    taken = await asyncio.wait_for(reading, 1)
    assert taken is not None
    assert taken.order == (1, 0)


async def test_a_reader_with_room_gets_each_event_at_once_and_the_latest_in_turn_when_it_had_none() -> None:
    mailbox, reader = Mailbox(), Reader(room=2)
    mailbox.put(event("A", 1, 0))
    mailbox.read_by(reader)
    mailbox.put(event("A", 1, 1))
    for seq in range(2, 5):
        mailbox.put(event("A", 1, seq))
        mailbox.put(event("B", 1, seq))
    assert reader.taken == ["A0", "A1"]
    reader.room = 1
    mailbox.drain()
    mailbox.put(event("A", 1, 5))
    reader.room = 9
    mailbox.drain()
    assert reader.taken == ["A0", "A1", "A4", "B4", "A5"]
    assert mailbox.conflated == 4


async def test_a_rate_spaces_each_symbol_and_gives_its_latest() -> None:
    mailbox = Mailbox(max_per_second=10)
    loop = asyncio.get_running_loop()
    mailbox.put(event("A", 1, 0))
    await mailbox.get()
    start = loop.time()
    for seq in range(1, 4):
        mailbox.put(event("A", 1, seq))
    mailbox.put(event("B", 1, 0))
    assert await got(mailbox) == ("B", (1, 0))
    assert await got(mailbox) == ("A", (1, 3))
    assert loop.time() - start > 0.09


async def test_the_end_comes_after_what_waits() -> None:
    mailbox, reader = Mailbox(), Reader(room=0)
    mailbox.read_by(reader)
    mailbox.put(event("A", 1, 0))
    mailbox.finish()
    assert not reader.is_ended
    reader.room = 1
    mailbox.drain()
    assert (reader.taken, reader.is_ended) == (["A0"], True)
    assert await mailbox.get() is None


async def test_it_can_be_iterated_and_is_closed_then() -> None:
    closed: list[Any] = []
    mailbox = Mailbox(on_close=closed.append)
    mailbox.put(event("A", 1, 0))
    mailbox.put(event("B", 1, 0))
    mailbox.finish()
    assert [payload async for payload in mailbox] == ["A0", "B0"]
    assert closed == [mailbox]
