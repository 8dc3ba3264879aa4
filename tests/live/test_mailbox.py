import asyncio
from datetime import UTC, datetime

import pytest

from db.quotes import QuoteEvent
from live.mailbox import Mailbox
from market import Provenance, Quote, ServedFrom

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROVENANCE = Provenance(source="s", served_from=ServedFrom.LIVE, received_at=NOW)


def event(symbol: str, epoch: int, seq: int) -> QuoteEvent:
    return QuoteEvent(epoch, seq, Quote(symbol=symbol, price=float(seq + 1), time=NOW, provenance=PROVENANCE))


async def test_what_waits_is_replaced_by_what_is_newer_and_keeps_its_place() -> None:
    mailbox = Mailbox(["A", "B"])
    for seq in range(5):
        mailbox.put("A", event("A", 1, seq))
        mailbox.put("B", event("B", 1, seq))
    assert [(await mailbox.get()).quote.symbol for _ in range(2)] == ["A", "B"]
    assert mailbox.conflated == 8
    mailbox.put("A", event("A", 1, 5))
    assert (await mailbox.get()).seq == 5


@pytest.mark.parametrize(
    ("late", "taken"), [((1, 3), False), ((1, 4), False), ((0, 9), False), ((1, 5), True), ((2, 0), True)]
)
async def test_what_is_not_newer_is_dropped(late: tuple[int, int], taken: bool) -> None:
    mailbox = Mailbox(["A"])
    mailbox.put("A", event("A", 1, 4))
    assert (await mailbox.get()).order == (1, 4)
    mailbox.put("A", event("A", *late))
    if taken:
        assert (await mailbox.get()).order == late
    else:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await mailbox.get()


async def test_a_reader_that_waits_is_woken() -> None:
    mailbox = Mailbox(["A"])
    reading = asyncio.create_task(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put("A", event("A", 1, 0))
    assert (await asyncio.wait_for(reading, 1)).order == (1, 0)


async def test_a_rate_spaces_each_symbol_and_gives_its_latest() -> None:
    mailbox = Mailbox(["A", "B"], max_per_second=10)
    loop = asyncio.get_running_loop()
    mailbox.put("A", event("A", 1, 0))
    await mailbox.get()
    start = loop.time()
    for seq in range(1, 4):
        mailbox.put("A", event("A", 1, seq))
    mailbox.put("B", event("B", 1, 0))
    assert (await mailbox.get()).quote.symbol == "B"
    assert (await mailbox.get()).order == (1, 3)
    assert 0.09 < loop.time() - start < 1
