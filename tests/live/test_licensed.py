"""Ticks that are held back: when they come, in what order, how many, and what is left when nobody watches."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from math import inf

import pytest
from redis.asyncio import Redis

from db.live_bars import LiveBars
from db.quotes import QuoteCache
from db.redis import Keys
from errors import LicenceForbids
from live.hub import Hub
from live.licensed import MOST_HELD, LicensedTicks
from live.mailbox import Event
from live.tending import tended
from market import Provenance, Quote, ServedFrom
from sources.licences import Terms
from tests.waiting import until

DELAY_S = 1.0


@pytest.fixture
async def hub(redis: Redis, keys: Keys) -> AsyncIterator[Hub]:
    hub = Hub(redis, keys, QuoteCache(redis, keys, 600), LiveBars(redis, keys))
    async with tended(hub.run):
        yield hub


def tick(seq: int, source: str, age_s: float = 0.0) -> Event:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    told = Provenance(source=source, served_from=ServedFrom.LIVE, received_at=at)
    return Event("A", (1, seq), Quote(symbol="A", price=float(seq), time=at, provenance=told))


async def test_a_tick_comes_when_it_is_due_and_not_before(hub: Hub) -> None:
    ticks = LicensedTicks(hub, Terms({"late": DELAY_S}))
    mailboxes = [await ticks.subscribe(["A"]) for _ in range(2)]
    hub._deliver(tick(1, "late"))
    for mailbox in mailboxes:
        event = await mailbox.get()
        assert event is not None
        assert datetime.now(UTC) - event.payload.time >= timedelta(seconds=DELAY_S)
        assert (event.order, event.payload.price, event.payload.provenance.delay_seconds) == ((1, 1), 1.0, DELAY_S)


async def test_a_tick_of_a_free_source_comes_at_once_and_one_that_is_older_never(hub: Hub) -> None:
    ticks = LicensedTicks(hub, Terms({"late": DELAY_S, "never": inf}))
    mailbox = await ticks.subscribe(["A"])
    for event in (tick(1, "late"), tick(2, "free"), tick(3, "never")):
        hub._deliver(event)
    given, refused = await mailbox.get(), await mailbox.get()
    assert given is not None
    assert given.payload.price == 2.0
    assert refused is not None
    assert isinstance(refused.payload, LicenceForbids)
    hub._deliver(tick(4, "late", DELAY_S))
    given = await mailbox.get()
    assert given is not None
    assert given.payload.price == 4.0


async def test_so_many_are_held_back_and_no_more(hub: Hub) -> None:
    ticks = LicensedTicks(hub, Terms({"late": 900.0}))
    await ticks.subscribe(["A"])
    line = ticks._lines["A"]
    for seq in range(20_000):
        hub._deliver(tick(seq, "late", 900.0 - seq * 0.045 - 1e-3))
    assert MOST_HELD * 0.9 < len(line._held) <= MOST_HELD * 1.1
    assert line._held[-1].event.order == (1, 19_999)


async def test_nothing_is_held_where_nobody_watches(hub: Hub) -> None:
    ticks = LicensedTicks(hub, Terms({"late": 900.0}))
    mailboxes = [await ticks.subscribe(["A", "B"]) for _ in range(2)]
    hub._deliver(tick(1, "late"))
    line = ticks._lines["A"]
    mailboxes[0].close()
    assert (len(ticks._lines), len(line._held)) == (2, 1)
    mailboxes[1].close()
    assert (ticks._lines, len(line._held), line._timer and line._timer.cancelled()) == ({}, 0, True)
    await until(lambda: not hub.topics)
