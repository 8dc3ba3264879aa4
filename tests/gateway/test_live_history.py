"""What a client sees of bars that form: snapshot, changes, the final bar, and indicators that move along."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from db.database import Database
from db.live_bars import BarEvent, LiveBars
from db.redis import Keys
from gateway.selections import Selection
from live.mailbox import Event
from live.tending import tended
from market import Interval
from resolvers.world import World
from tests.bars import bar, bars
from tests.gateway.sockets import Endpoint, answering, greeted
from tests.sources.scripted import Scripted
from tests.waiting import until
from tests.world import made_of

WATCH = """subscription ($last: Int! = 3) { history(symbol: "A", interval: M1, last: $last, adjustment: RAW) {
  bars { time close isFinal } indicators { sma(period: 2) } } }"""
QUERY = WATCH.replace("subscription", "query")
MINUTE = timedelta(minutes=1)


@dataclass
class Exchange:
    """A source with bars up to now, and a collector that says what the test says."""

    world: World
    endpoint: Endpoint
    live: LiveBars
    source: Scripted
    first: datetime
    seq: int = 0

    async def tell(self, minute: int, close: float, *, is_final: bool = False, epoch: int = 1) -> None:
        """A change of the bar of a minute."""
        self.seq += 1
        time = self.first + minute * MINUTE
        prices = close, close, close, close
        event = BarEvent(epoch, self.seq, "A", Interval.M1, time, *prices, 1000.0, is_final)
        if is_final:
            self.source.bars["A", Interval.M1] = bars(
                [*self.source.bars["A", Interval.M1].to_dicts(), bar(time, close)]
            )
        await self.live.publish([event])


@pytest.fixture
async def exchange(database: Database, redis: Redis, keys: Keys) -> AsyncIterator[Exchange]:
    source = Scripted("source", 1)
    world = made_of(database, redis, keys, source)
    first = Interval.M1.floor(datetime.now().astimezone()) - 10 * MINUTE
    source.bars["A", Interval.M1] = bars(bar(first + number * MINUTE, 10.0 + number) for number in range(5))
    async with tended(world.hub.run), answering(world) as endpoint:
        yield Exchange(world, endpoint, LiveBars(redis, keys), source, first)


def shown(payload: Any) -> tuple[list[float], list[bool], list[float | None]]:
    history = payload["history"]
    closes = [bar["close"] for bar in history["bars"]]
    return closes, [bar["isFinal"] for bar in history["bars"]], history["indicators"]["sma"]


async def test_a_chart_moves_and_what_was_final_is_what_a_query_answers(exchange: Exchange) -> None:
    async with greeted(exchange.endpoint.url) as client:
        await client.subscribe(WATCH)
        [payload] = await client.payloads(1)
        assert shown(payload) == ([12, 13, 14], [True] * 3, [11.5, 12.5, 13.5])
        for minute, close, is_final, expected in [
            (5, 20.0, False, ([13, 14, 20], [True, True, False], [12.5, 13.5, 17])),
            (5, 30.0, False, ([13, 14, 30], [True, True, False], [12.5, 13.5, 22])),
            (5, 16.0, True, ([13, 14, 16], [True] * 3, [12.5, 13.5, 15])),
            (6, 18.0, False, ([14, 16, 18], [True, True, False], [13.5, 15, 17])),
            (6, 19.0, True, ([14, 16, 19], [True] * 3, [13.5, 15, 17.5])),
        ]:
            await exchange.tell(minute, close, is_final=is_final)
            [payload] = await client.payloads(1)
            assert shown(payload) == expected
        await client.subscribe(QUERY, "2")
        answer = await client.next()
        assert answer["payload"]["data"] == payload


async def test_a_final_bar_that_was_lost_is_read_anew(exchange: Exchange) -> None:
    async with greeted(exchange.endpoint.url) as client:
        await client.subscribe(WATCH)
        await client.payloads(1)
        await exchange.tell(5, 20.0)
        await client.payloads(1)
        known = exchange.source.bars["A", Interval.M1].to_dicts()
        exchange.source.bars["A", Interval.M1] = bars([*known, bar(exchange.first + 5 * MINUTE, 21.0)])
        await exchange.tell(6, 30.0)
        [payload] = await client.payloads(1)
        assert shown(payload) == ([14, 21, 30], [True, True, False], [13.5, 17.5, 25.5])


async def test_a_chart_is_one_of_the_symbols_that_a_client_may_watch(exchange: Exchange) -> None:
    async with answering(exchange.world, guest_symbols=1) as endpoint, greeted(endpoint.url) as client:
        await client.subscribe(WATCH, "one")
        await client.payloads(1)
        await client.subscribe(WATCH, "two")
        message = await client.next()
        assert (message["id"], message["type"]) == ("two", "error")
        assert message["payload"][0]["extensions"] == {"code": "TOO_MANY_SYMBOLS", "limit": 1}


async def test_what_an_old_epoch_says_is_dropped(exchange: Exchange) -> None:
    async with greeted(exchange.endpoint.url) as client:
        await client.subscribe(WATCH)
        await client.payloads(1)
        await exchange.tell(5, 20.0, epoch=2)
        await exchange.tell(5, 99.0, epoch=1)
        await exchange.tell(5, 21.0, epoch=2)
        assert [shown(payload)[0][-1] for payload in await client.payloads(2)] == [20, 21]


async def test_all_who_watch_a_chart_share_its_work(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    executed = []
    made = Selection._made

    def counted(selection: Selection, event: Event) -> Any:
        executed.append(event.order)
        return made(selection, event)

    monkeypatch.setattr(Selection, "_made", counted)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(greeted(exchange.endpoint.url)) for _ in range(5)]
        await asyncio.gather(*(client.subscribe(WATCH) for client in clients))
        for client in clients:
            await client.payloads(1)
        assert len(exchange.source.asked) <= 2, "the bars, and those before them for the indicator"
        await exchange.tell(5, 20.0)
        for client in clients:
            assert shown((await client.payloads(1))[0])[2] == [12.5, 13.5, 17]
        assert executed == [(0, 0), (1, 1)]
    await until(lambda: not exchange.world.hub.topics)


async def test_a_chart_that_cannot_be_had_is_an_error_and_leaves_nothing(exchange: Exchange) -> None:
    async with greeted(exchange.endpoint.url) as client:
        await client.subscribe(WATCH, last=0)
        message = await client.next()
        assert message["payload"][0]["extensions"]["code"] == "INVALID_LIMIT"
        exchange.source.unknown = frozenset({"A"})
        await client.subscribe(WATCH)
        message = await client.next()
        assert message["payload"][0]["extensions"]["code"] == "SYMBOL_NOT_FOUND"
    assert not exchange.world.hub.topics
