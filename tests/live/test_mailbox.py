import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from live.mailbox import AT_MOST, Event, Feed, Mailbox


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

    def take(self, events: Sequence[Event]) -> int:
        taken = events[: self.room]
        self.room -= len(taken)
        self.taken += [event.payload for event in taken]
        return len(taken)

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


async def test_a_reader_that_takes_later_is_woken_once_and_gets_all_that_came_meanwhile() -> None:
    mailbox, reader = Mailbox(), Reader(room=99)
    woken: list[Mailbox] = []
    mailbox.read_by(reader, woken.append)
    for turn in (1, 2):
        for seq in range(5):
            mailbox.put(event("A", turn, seq))
            mailbox.put(event("B", turn, seq))
        assert (reader.taken, woken) == ([], [mailbox] * turn)
        mailbox.drain()
        assert reader.taken == [f"{key}{seq}" for seq in range(5) for key in "AB"]
        reader.taken.clear()
    assert mailbox.conflated == 0


@pytest.mark.parametrize(("room", "taken"), [(0, ["A99"]), (1000, [f"A{seq}" for seq in range(100)])])
async def test_a_reader_that_does_not_come_gets_so_many_and_then_the_latest_only(room: int, taken: list[str]) -> None:
    feed, mailbox, reader = Feed(), Mailbox(), Reader(room)
    feed.watch(mailbox)
    mailbox.read_by(reader, lambda _: None)
    for seq in range(100):
        feed.bring(event("A", 1, seq))
        assert len(mailbox.arrived) <= AT_MOST
    reader.room = 1000
    mailbox.drain()
    assert reader.taken == taken
    assert mailbox.conflated == 100 - len(taken)


async def test_a_feed_brings_only_what_is_newer_than_all_before_of_its_key() -> None:
    feed, reader = Feed(), Reader(room=99)
    first, second = Mailbox(), Mailbox()
    for mailbox in (first, second):
        mailbox.read_by(reader)
    feed.watch(first)
    for key, order in [("A", (1, 4)), ("A", (1, 4)), ("A", (0, 9)), ("B", (0, 1)), ("A", (1, 5)), ("A", (2, 0))]:
        feed.bring(event(key, *order))
    assert reader.taken == ["A4", "B1", "A5", "A0"]
    feed.watch(second)
    feed.bring(event("A", 1, 9))
    feed.bring(event("A", 2, 1))
    assert reader.taken[4:] == ["A1", "A1"]


async def test_a_snapshot_finds_its_place_in_the_stream_whenever_it_comes() -> None:
    chance = random.Random(1)
    for _ in range(2000):
        feed, mailbox, reader = Feed(), Mailbox(), Reader(room=99)
        feed.watch(mailbox)
        begun, read, last = sorted(chance.randrange(1, 12) for _ in range(3))
        snapshot = chance.randrange(begun, last + 1)  # as of any time from before it is subscribed until the end
        for seq in range(begun + 1, read + 1):
            feed.bring(event("A", 1, seq))
        mailbox.put(event("A", 1, snapshot))
        mailbox.read_by(reader, chance.choice([None, lambda _: None]))
        for seq in range(read + 1, last + 1):
            feed.bring(event("A", 1, seq))
        mailbox.drain()
        first = max(snapshot, read)
        assert reader.taken == [f"A{seq}" for seq in range(first, last + 1)], (begun, read, last, snapshot)


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
