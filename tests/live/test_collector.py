"""What collectors share out, publish and take over from each other."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import count, pairwise
from typing import cast

import psutil
import pytest
from msgspec import structs
from redis.asyncio import Redis

from db.alert_bus import AlertBus
from db.bars import BarStore
from db.fires import FireStore
from db.live_bars import LiveBars
from db.quotes import QuoteCache, QuoteEvent, QuoteStore
from db.redis import Keys
from live import hub as hub_module
from live.alerts import AlertWatch, MeasureBars
from live.bars import FormingBars
from live.collector import ALIVE_S, Collector, merged, owner
from live.hub import Hub
from live.mailbox import Mailbox
from live.recorder import Recorder
from live.tending import tended
from market import Provenance, Quote, ServedFrom
from sources.streams import Streams
from tests.live.conftest import OwnValkey
from tests.sources.scripted import NOW, Scripted, router
from tests.waiting import until

PROVENANCE = Provenance(source="s", served_from=ServedFrom.LIVE, received_at=NOW)
TRADE = Quote(symbol="A", price=2.0, time=NOW, provenance=PROVENANCE)
KNOWN = structs.replace(
    TRADE,
    price=1.9,
    time=NOW - timedelta(seconds=1),
    provenance=structs.replace(PROVENANCE, quality=1),
    open=1.0,
    high=2.0,
    low=0.5,
    previous_close=0.9,
    volume=10.0,
    turnover=20.0,
    bid=0.8,
    ask=1.2,
    bid_size=3.0,
    ask_size=4.0,
    last_size=5.0,
    currency="USD",
)
AFTER = structs.replace(KNOWN, price=2.0, time=NOW, provenance=PROVENANCE, last_size=None)


@pytest.mark.parametrize(
    ("known", "change", "quote"),
    [
        (None, TRADE, TRADE),
        (KNOWN, TRADE, AFTER),  # what it does not say stays, but for the size of the trade before
        (KNOWN, structs.replace(TRADE, bid=0.0, last_size=7.0), structs.replace(AFTER, bid=0.0, last_size=7.0)),
        (KNOWN, structs.replace(KNOWN, price=3.0), structs.replace(KNOWN, price=3.0)),
        (TRADE, KNOWN, KNOWN),
    ],
)
def test_a_change_leaves_what_it_does_not_say(known: Quote | None, change: Quote, quote: Quote) -> None:
    assert merged(known, change) == quote


def no_alerts() -> AlertWatch:
    """It knows of none, and does not run."""
    return AlertWatch(cast(FireStore, None), cast(AlertBus, None), cast(MeasureBars, None))


@asynccontextmanager
async def collecting(redis: Redis, keys: Keys, source: Scripted) -> AsyncIterator[Collector]:
    recorder = Recorder(cast(QuoteStore, None))  # it is offered quotes, and does not run
    forming = partial(
        FormingBars,
        router=router(source),
        store=cast(BarStore, None),  # nobody watches bars
        live=LiveBars(redis, keys),
        always_open=True,
        on_final=lambda bar: None,
    )
    cache = QuoteCache(redis, keys, 600)
    collector = Collector(redis, keys, cache, recorder, Streams(router(source)), forming, no_alerts())
    async with tended(collector.run):
        yield collector


@asynccontextmanager
async def ticking(*sources: Scripted) -> AsyncIterator[Callable[[], float]]:
    """Ticks of A at prices that rise; gives what the last one was."""
    last = 0.0

    async def tick() -> None:
        nonlocal last
        for number in count(1):
            last = float(number)
            for source in sources:
                source.tick("A", last)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(tick())
    try:
        yield lambda: last
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Watcher:
    """Reads a mailbox as fast as it fills."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.events: list[QuoteEvent] = []
        mailbox.read_each(lambda event: self.events.append(QuoteEvent(*event.order, event.payload)))

    def has(self, events: int) -> bool:
        return len(self.events) == events

    def saw(self, epochs: int) -> bool:
        return len({event.epoch for event in self.events}) == epochs

    @property
    def last(self) -> QuoteEvent:
        return self.events[-1]

    @property
    def source(self) -> str | None:
        """Where the last quote is from."""
        return self.last.quote.provenance.source if self.events else None


@asynccontextmanager
async def watching(redis: Redis, keys: Keys, symbol: str = "A", watchers: int = 1) -> AsyncIterator[list[Watcher]]:
    """Watchers of a symbol at a hub of their own."""
    hub = Hub(redis, keys, QuoteCache(redis, keys, 600), LiveBars(redis, keys))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tended(hub.run))
        mailboxes = [await hub.subscribe([symbol]) for _ in range(watchers)]
        for mailbox in mailboxes:
            stack.callback(mailbox.close)
        yield list(map(Watcher, mailboxes))


def carries(source: Scripted, *symbols: str) -> Callable[[], bool]:
    """Whether the streams of the source are to carry just these."""
    return lambda: sorted(symbol for opened in source.streams for symbol in opened.demand.symbols) == list(symbols)


async def test_what_is_demanded_is_streamed_until_the_demand_runs_out(redis: Redis, keys: Keys) -> None:
    source = Scripted("source", 1)
    now = time.time()
    await redis.zadd(keys.demand, {"A": now + 60, "B": now + 1, "C": now - 1})
    async with collecting(redis, keys, source):
        await until(carries(source, "A", "B"), within_s=5)
        await until(carries(source, "A"), within_s=8)
        await redis.zadd(keys.demand, {"D": now + 60})
        await until(carries(source, "A", "D"), within_s=5)
        await redis.delete(keys.demand)
        await until(carries(source), within_s=5)
    assert await redis.zcard(keys.collectors) == 0


async def test_each_event_is_whole_and_counted_by_symbol(redis: Redis, keys: Keys) -> None:
    source = Scripted("source", 1)
    await redis.zadd(keys.demand, {"B": time.time() + 60})
    async with collecting(redis, keys, source), watching(redis, keys) as [watcher]:
        await until(carries(source, "A", "B"))
        [opened] = source.streams
        batches = (
            [KNOWN, structs.replace(KNOWN, symbol="B"), structs.replace(KNOWN, symbol="C")],
            [TRADE],
            [structs.replace(TRADE, price=2.1, bid=2.05)],
        )
        for number, batch in enumerate(batches, 1):
            opened.says.put_nowait(batch)
            await until(partial(watcher.has, number))
        assert [event.seq for event in watcher.events] == [1, 2, 3]
        assert len({event.epoch for event in watcher.events}) == 1
        flagged = watcher.last.quote.provenance
        assert watcher.last.quote == structs.replace(AFTER, price=2.1, bid=2.05, provenance=flagged)
        cached = await QuoteCache(redis, keys, 600).get(["A", "B", "C"])
        assert cached.keys() == {"A", "B"}, "nobody asked it for C, so C may be another's"
        assert cached["A"] == watcher.last
        assert (cached["B"].seq, cached["B"].epoch) == (1, watcher.last.epoch)


def test_when_a_collector_leaves_only_its_symbols_move() -> None:
    symbols = [f"S{number}" for number in range(3000)]
    three = {symbol: owner(symbol, ("a", "b", "c")) for symbol in symbols}
    assert all(900 < list(three.values()).count(collector) < 1100 for collector in "abc")
    two = {symbol: owner(symbol, ("a", "b")) for symbol in symbols}
    moved = {symbol for symbol in symbols if two[symbol] != three[symbol]}
    assert moved == {symbol for symbol in symbols if three[symbol] == "c"}


@asynccontextmanager
async def sharing(redis: Redis, keys: Keys, *sources: Scripted) -> AsyncIterator[list[Watcher]]:
    """Watchers of 24 symbols, one each, which tick at all of the sources."""
    symbols = [f"S{number}" for number in range(24)]
    hub = Hub(redis, keys, QuoteCache(redis, keys, 600), LiveBars(redis, keys))

    async def tick() -> None:
        for number in count(1):
            for symbol in symbols:
                for source in sources:
                    source.tick(symbol, float(number))
            await asyncio.sleep(0.02)

    async with tended(hub.run, tick):
        mailboxes = [await hub.subscribe([symbol]) for symbol in symbols]
        yield list(map(Watcher, mailboxes))


def carried(source: Scripted) -> set[str]:
    """What the streams of the source are to carry."""
    return {symbol for opened in source.streams for symbol in opened.demand.symbols}


async def test_collectors_share_the_symbols_and_take_over_from_one_that_stops(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "max_streams", 12)
    first, second = Scripted("first", 1), Scripted("second", 1)
    async with sharing(redis, keys, first, second) as watchers, AsyncExitStack() as leaving:
        await leaving.enter_async_context(collecting(redis, keys, first))
        await until(lambda: len(carried(first)) == 24)
        async with collecting(redis, keys, second):
            await until(lambda: len(carried(first)) + len(carried(second)) == 24 and carried(second))
            assert carried(first).isdisjoint(carried(second))
            shared = carried(second)
            await until(lambda: {watcher.source for watcher in watchers} == {"first", "second"})
            assert {watcher.last.quote.symbol for watcher in watchers if watcher.source == "second"} <= shared
            stopped = time.monotonic()
            await leaving.aclose()
            await until(lambda: all(watcher.source == "second" for watcher in watchers))
            assert time.monotonic() - stopped < ALIVE_S
    for watcher in watchers:
        orders = [event.order for event in watcher.events]
        assert orders == sorted(set(orders))
        owners = {event.epoch: event.quote.provenance.source for event in watcher.events}
        assert {(event.epoch, event.quote.provenance.source) for event in watcher.events} == set(owners.items())


async def test_the_share_of_a_dead_collector_is_taken_over(redis: Redis, keys: Keys) -> None:
    source = Scripted("source", 1)
    symbols = [f"S{number}" for number in range(6)]
    await redis.zadd(keys.demand, dict.fromkeys(symbols, time.time() + 60))
    beat_ms = (time.time() + ALIVE_S) * 1000
    dead = [f"dead{number}" for number in range(30)]  # so many that something is theirs
    await redis.zadd(keys.collectors, dict.fromkeys(dead, beat_ms))
    died = time.monotonic()
    async with collecting(redis, keys, source):
        await until(carries(source, *symbols))
        assert ALIVE_S - 0.5 < time.monotonic() - died < 5


async def test_what_an_owner_before_sends_late_is_dropped(redis: Redis, keys: Keys) -> None:
    source = Scripted("source", 1)
    async with collecting(redis, keys, source), watching(redis, keys) as [watcher], ticking(source):
        await until(lambda: watcher.events)
        now = watcher.last
        late = QuoteEvent(now.epoch - 1, now.seq + 1000, structs.replace(now.quote, price=-1.0))
        await QuoteCache(redis, keys, 600).write([late], publish=True)
        seen = len(watcher.events)
        await until(lambda: len(watcher.events) > seen + 10)
    assert all(event.quote.price > 0 for event in watcher.events)


async def test_epochs_rise_even_when_redis_has_lost_all(own: Redis, keys: Keys) -> None:
    source = Scripted("source", 1)
    async with collecting(own, keys, source), watching(own, keys) as [watcher], ticking(source):
        for epochs in (1, 2, 3):
            await until(partial(watcher.saw, epochs), within_s=20)
            await own.flushall()
    orders = [event.order for event in watcher.events]
    assert orders == sorted(set(orders))


def kill(process: psutil.Process) -> None:
    process.kill()


def freeze(process: psutil.Process) -> None:
    process.suspend()
    asyncio.get_running_loop().call_later(2, process.resume)


@pytest.mark.parametrize("harm", [kill, freeze])
async def test_when_redis_comes_back_every_watcher_gets_the_last_price(
    own: Redis,
    own_valkey: OwnValkey,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[psutil.Process], None],
) -> None:
    monkeypatch.setattr(hub_module, "BEAT_S", 0.1)
    monkeypatch.setattr(hub_module, "SILENCE_S", 0.5)
    source = Scripted("source", 1)
    async with collecting(own, keys, source), watching(own, keys, watchers=2) as here, watching(own, keys) as there:
        watchers = [*here, *there]
        async with ticking(source) as last_price:

            def beyond(price: float) -> bool:
                return all(watcher.events and watcher.last.quote.price > price for watcher in watchers)

            await until(lambda: beyond(10))
            harm(own_valkey.process)
            harmed = last_price()
            await until(lambda: beyond(harmed + 100))  # what was ticked a second later, or more
        final = last_price()
        await until(lambda: {watcher.last.quote.price for watcher in watchers} == {final}, within_s=15)
    for watcher in watchers:
        orders = [event.order for event in watcher.events]
        assert orders == sorted(set(orders))
        prices = [event.quote.price for event in watcher.events]
        assert all(earlier < later for earlier, later in pairwise(prices))
