"""One subscription a symbol, however many watch it, and nothing lost on the way."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from db.live_bars import LiveBars
from db.quotes import QuoteCache, QuoteEvent
from db.redis import Keys, connect
from live import hub as hub_module
from live.hub import AT_ONCE, Hub
from live.mailbox import Event, Mailbox
from live.tending import tended
from market import Provenance, Quote, ServedFrom
from tests.waiting import until

NOW = datetime.now(UTC)
HEALED_S = 1.0
SLACK_S = 3.0
"""What a loaded machine may take on top."""


def event(symbol: str, epoch: int, seq: int) -> QuoteEvent:
    provenance = Provenance(source="test", served_from=ServedFrom.LIVE, received_at=NOW)
    return QuoteEvent(epoch, seq, Quote(symbol=symbol, price=float(seq), time=NOW, provenance=provenance))


@pytest.fixture
def cache(redis: Redis, keys: Keys) -> QuoteCache:
    return QuoteCache(redis, keys, 600)


@asynccontextmanager
async def running(redis: Redis, keys: Keys) -> AsyncIterator[Hub]:
    hub = Hub(redis, keys, QuoteCache(redis, keys, 600), LiveBars(redis, keys))
    async with tended(hub.run):
        yield hub


@pytest.fixture
async def hub(redis: Redis, keys: Keys) -> AsyncIterator[Hub]:
    async with running(redis, keys) as hub:
        yield hub


@asynccontextmanager
async def watching(hub: Hub, *symbols: str) -> AsyncIterator[Mailbox]:
    """A mailbox of the symbols that is closed in the end."""
    mailbox = await hub.subscribe(symbols)
    try:
        yield mailbox
    finally:
        mailbox.close()


async def next_of(mailbox: Mailbox, within_s: float = 5) -> Event:
    async with asyncio.timeout(within_s):
        event = await mailbox.get()
    assert event is not None
    return event


async def got(mailbox: Mailbox) -> tuple[str, int, int]:
    event = await next_of(mailbox)
    return event.key, *event.order


async def subscriptions(redis: Redis, keys: Keys, symbols: Sequence[str]) -> list[int]:
    """How many connections are subscribed to each symbol."""
    return [count for _, count in await redis.pubsub_numsub(*map(keys.quotes, symbols))]


async def subscribed(redis: Redis, keys: Keys, symbols: Sequence[str]) -> bool:
    return all(await subscriptions(redis, keys, symbols))


async def unsubscribed(redis: Redis, keys: Keys, symbols: Sequence[str]) -> bool:
    return not any(await subscriptions(redis, keys, symbols))


async def test_a_symbol_is_subscribed_once_however_many_watch_it(
    hub: Hub, redis: Redis, keys: Keys, cache: QuoteCache
) -> None:
    async with AsyncExitStack() as leaving:
        both = [await leaving.enter_async_context(watching(hub, "A", "B")) for _ in range(3)]
        async with watching(hub, "A") as last:
            assert await subscriptions(redis, keys, "ABC") == [1, 1, 0]
            await cache.write([event("A", 1, 1)], publish=True)
            assert [await got(mailbox) for mailbox in (*both, last)] == [("A", 1, 1)] * 4
        assert hub.topics == 2
        assert await subscriptions(redis, keys, "AB") == [1, 1]
        async with running(redis, keys) as other, watching(other, "A"):
            assert await subscriptions(redis, keys, "AB") == [2, 1]
    assert hub.topics == 0
    await until(lambda: unsubscribed(redis, keys, "AB"))


async def test_demand_is_there_at_once_and_runs_out_when_the_last_leaves(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "BEAT_S", 0.05)
    monkeypatch.setattr(hub_module, "DEMAND_S", 1.0)

    async def demanded() -> list[bytes]:
        return cast(list[bytes], sorted(await redis.zrangebyscore(keys.demand, time.time(), "inf")))

    async def nothing() -> bool:
        return await demanded() == []

    async with running(redis, keys) as hub:
        async with watching(hub, "A", "B"):
            async with watching(hub, "B", "C"):
                assert await demanded() == [b"A", b"B", b"C"]
            await asyncio.sleep(1.1)  # longer than a demand lasts
            assert await demanded() == [b"A", b"B"]
        await until(nothing, within_s=8)


async def test_a_demand_is_said_again_now_and_then_and_not_with_each_beat(
    redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "BEAT_S", 0.01)
    monkeypatch.setattr(hub_module, "DEMAND_S", 4000.0)
    symbols = [f"S{number}" for number in range(AT_ONCE + 1)]

    async with running(redis, keys) as hub, watching(hub, *symbols):
        said = []
        for _ in range(2):
            await asyncio.sleep(0.3)  # many beats, of which the first may say it
            said.append(await redis.zrange(keys.demand, 0, -1, withscores=True))
        assert len(said[0]) == len(symbols)
        assert said[0] == said[1]


async def test_a_watcher_misses_nothing_and_gets_nothing_twice(hub: Hub, cache: QuoteCache) -> None:
    """Each symbol has one event only, published while its watcher subscribes and reads the latest state."""
    chance = random.Random(1)

    async def publish(symbol: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await cache.write([event(symbol, 1, 1)], publish=True)

    async def watch(symbol: str) -> tuple[Quote, int]:
        async with watching(hub, symbol) as mailbox:
            for known in (await cache.get([symbol])).values():
                mailbox.put(Event(symbol, known.order, known.quote))
            first = await next_of(mailbox)
            await cache.write([event(symbol, 1, 2)], publish=True)
            second = await next_of(mailbox)
            return first.payload, second.order[1] + mailbox.conflated  # none that came twice hides behind the second

    async def race(symbol: str) -> tuple[Quote, int]:
        seen, _ = await asyncio.gather(watch(symbol), publish(symbol, chance.uniform(0, 0.01)))
        return seen

    for start in range(0, 1000, 10):
        symbols = [f"S{number}" for number in range(start, start + 10)]
        assert await asyncio.gather(*map(race, symbols)) == [(event(symbol, 1, 1).quote, 2) for symbol in symbols]


async def test_what_an_earlier_collector_sends_late_is_dropped(hub: Hub, cache: QuoteCache) -> None:
    async with watching(hub, "A") as mailbox:
        seen = []
        for epoch, seq in [(2, 1), (1, 9), (2, 2), (2, 2), (2, 1), (0, 0), (3, 1)]:
            await cache.write([event("A", epoch, seq), event("END", epoch, seq)], publish=True)
        while (newest := await got(mailbox)) != ("A", 3, 1):
            seen.append(newest)
    assert set(seen) <= {("A", 2, 1), ("A", 2, 2)}
    assert seen == sorted(set(seen))


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff", b"[]", b'{"epoch":1,"seq":9,"quote":{"symbol":"A"}}', b'{"epoch":"one"}']
)
async def test_what_cannot_be_decoded_is_counted_and_the_state_is_read_instead(
    hub: Hub, redis: Redis, keys: Keys, cache: QuoteCache, garbage: bytes
) -> None:
    async with watching(hub, "A") as mailbox, watching(hub, "B") as other:
        await cache.write([event("A", 1, 1)], publish=False)
        await redis.publish(keys.quotes("A"), garbage)
        assert await got(mailbox) == ("A", 1, 1)
        await cache.write([event("A", 1, 2), event("B", 1, 1)], publish=True)
        assert [await got(mailbox), await got(other)] == [("A", 1, 2), ("B", 1, 1)]
        assert hub.undecoded == 1
        assert await subscriptions(redis, keys, "AB") == [1, 1]


async def test_what_the_socket_brings_together_is_read_at_once_and_an_error_among_it_is_raised(redis: Redis) -> None:
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("any")
        connection = pubsub.connection
        assert connection is not None
        assert [message[0] for message in await hub_module._next_of(connection)] == [b"subscribe"]
        await connection.send_packed_command(connection.pack_commands([("PING",)] * 3))
        assert await hub_module._next_of(connection) == [b"PONG"] * 3
        await connection.send_packed_command(connection.pack_commands([("PING",), ("SUBSCRIBE",)]))
        with pytest.raises(ResponseError, match="wrong number of arguments"):
            await hub_module._next_of(connection)


async def test_a_reader_that_fails_takes_nothing_from_the_others(hub: Hub, cache: QuoteCache) -> None:
    class Failing:
        def take(self, events: Sequence[Event]) -> int:
            raise RuntimeError("it cannot take this")

        def end(self) -> None:
            raise AssertionError("nothing has ended")

    async with watching(hub, "A") as bad, watching(hub, "A") as good:
        bad.read_by(Failing())
        for number in (1, 2):
            await cache.write([event("A", 1, number)], publish=True)
            assert await got(good) == ("A", 1, number)


async def test_a_watcher_that_comes_before_the_bus_gets_the_state_once_it_is_there(
    redis: Redis, keys: Keys, cache: QuoteCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "CONFIRM_S", 0.01)
    hub = Hub(redis, keys, cache, LiveBars(redis, keys))
    async with watching(hub, "A") as mailbox:
        await cache.write([event("A", 1, 1)], publish=True)  # nobody hears it
        async with tended(hub.run):
            assert await got(mailbox) == ("A", 1, 1)


async def test_a_bus_that_is_away_keeps_nobody_waiting_for_long(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "CONFIRM_S", 0.1)
    away = connect(f"unix://{tmp_path}/nobody.sock")
    start = time.monotonic()
    async with running(away, keys) as hub, watching(hub, "A"):
        assert time.monotonic() - start < 0.5
    await away.aclose()


async def test_a_connection_that_is_dropped_as_it_is_written_to_is_one_that_is_away(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropped(command: str) -> Callable[..., Awaitable[None]]:
        async def written_to(*_channels: str) -> None:
            asked.append(command)
            raise AttributeError("'NoneType' object has no attribute 'writelines'")  # what redis-py raises then

        return written_to

    asked: list[str] = []
    monkeypatch.setattr(hub_module, "CONFIRM_S", 0.1)
    async with watching(hub, "A"):
        monkeypatch.setattr(hub._pubsub, "subscribe", dropped("subscribe"))
        monkeypatch.setattr(hub._pubsub, "unsubscribe", dropped("unsubscribe"))
        async with watching(hub, "B"):
            assert set(asked) == {"subscribe"}, "and whoever watches is told nothing of it"
        await until(lambda: asked.count("unsubscribe") > 1)  # each beat leaves B anew, until it is left


async def test_a_bus_that_takes_no_command_for_a_moment_is_asked_again(
    redis: Redis, hub: Hub, cache: QuoteCache, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "CONFIRM_S", 0.1)
    async with watching(hub, "A"), watching(hub, "C") as kept:
        patience = redis.connection_pool.connection_kwargs["retry"]
        monkeypatch.setattr(patience, "_away_until", time.monotonic() + 3600)  # somebody met a Redis that was too slow
        async with watching(hub, "B"), watching(hub, "B") as mailbox:
            monkeypatch.setattr(patience, "_away_until", 0.0)
            await until(lambda: subscribed(redis, keys, "B"))
            await cache.write([event("B", 1, 1), event("C", 1, 1)], publish=True)
            assert (await got(mailbox), await got(kept)) == (("B", 1, 1), ("C", 1, 1))
        assert hub.connects == 1, "and nobody was cut off for it"


async def test_who_gives_up_while_he_asks_takes_nothing_from_the_others(hub: Hub, cache: QuoteCache) -> None:
    async with hub._commands:  # as while a connection is being made
        first = asyncio.create_task(hub.subscribe("A"))
        await asyncio.sleep(0)
        second = asyncio.create_task(hub.subscribe("A"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
    mailbox = await second
    await cache.write([event("A", 1, 1)], publish=True)
    assert await got(mailbox) == ("A", 1, 1)
    mailbox.close()


async def test_a_connection_that_is_cut_heals_and_the_state_is_read_again(own: Redis, keys: Keys) -> None:
    cache = QuoteCache(own, keys, 600)
    async with running(own, keys) as hub, watching(hub, "A", "B") as mailbox:
        for number in range(1, 4):
            await cache.write([event("A", number, 1), event("B", number, 1)], publish=False)  # lost on the bus
            assert await own.client_kill_filter(_type="pubsub") == 1
            cut = time.monotonic()
            assert sorted([await got(mailbox), await got(mailbox)]) == [("A", number, 1), ("B", number, 1)]
            assert time.monotonic() - cut < HEALED_S + SLACK_S
            assert await subscriptions(own, keys, "AB") == [1, 1]
