"""What many clients share, and what one slow client does to itself and to nobody else."""

import asyncio
import gc
import os
import random
import socket as sockets
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from db.redis import Keys
from gateway.outbox import FLUSH_S
from gateway.running import Run
from gateway.selections import Selection
from gateway.wire import WebSocketProtocol
from live.mailbox import Event, Mailbox
from tests.gateway.sockets import Client, Ticker, answering, greeted, ticking
from tests.waiting import until


@pytest.fixture
async def ticker(redis: Redis, keys: Keys) -> AsyncIterator[Ticker]:
    async with ticking(redis, keys, "A", "B", "C") as ticker:
        yield ticker


VARIABLE = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { symbol price } }"
LITERAL = 'subscription { quotes(symbols: "A") { symbol price } }'
RATED = "subscription X ($s: [Symbol!]!) { quotes(symbols: $s, maxPerSecond: 9) { symbol price } }"
SELDOM = RATED.replace("9", "1")
RENAMED = VARIABLE.replace("price", "cost: price")
MORE = VARIABLE.replace("price", "price time")
SKIPPING = "subscription ($s: [Symbol!]!, $p: Boolean!) { quotes(symbols: $s) { symbol price @skip(if: $p) } }"
SPREAD = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { ...Q } } fragment Q on Quote { symbol price }"
OTHER_SPREAD = SPREAD.replace("price", "volume")
A = {"s": ["A"]}


@pytest.mark.parametrize(
    ("queries", "selections"),
    [
        ([(VARIABLE, A), (VARIABLE, {"s": ["A", "B"]}), (VARIABLE, {"s": ["A", "B", "C"]})], 1),
        ([(LITERAL, {}), (VARIABLE, A), (RATED, A)], 1),
        ([(VARIABLE, A), (MORE, A)], 2),
        ([(RENAMED, A), (VARIABLE, A)], 2),
        ([(SKIPPING, A | {"p": skips}) for skips in (True, False, True)], 2),
        ([(SPREAD, A), (SPREAD, A), (OTHER_SPREAD, A)], 2),
    ],
)
async def test_who_selects_the_same_shares_one_execution(
    ticker: Ticker, queries: list[tuple[str, dict[str, Any]]], selections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed = []
    made = Selection._made

    def counted(selection: Selection, event: Event) -> Any:
        executed.append(event.order)
        return made(selection, event)

    monkeypatch.setattr(Selection, "_made", counted)
    async with answering(ticker.world) as endpoint, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(greeted(endpoint.url)) for _ in queries]
        for client, (query, variables) in zip(clients, queries, strict=True):
            await client.subscribe(query, **variables)
            await client.payloads(len(variables.get("s", "A")))
        executed.clear()
        await ticker.tick("A")
        told = [(await client.payloads(1))[0]["quotes"] for client in clients]
    assert executed == [(1, 2)] * selections
    assert [quote["symbol"] for quote in told] == ["A"] * len(queries)
    for quote, (query, variables) in zip(told, queries, strict=True):
        assert ("price" in quote) is (query not in (RENAMED, OTHER_SPREAD) and not variables.get("p"))


async def test_counts_agree_with_what_clients_counted(ticker: Ticker) -> None:
    chance = random.Random(1)
    async with answering(ticker.world) as endpoint, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(greeted(endpoint.url)) for _ in range(20)]
        watched = [chance.sample("ABC", chance.randrange(1, 4)) for _ in clients]
        for number, (client, symbols) in enumerate(zip(clients, watched, strict=True)):
            await client.subscribe((VARIABLE, SELDOM)[number % 2], s=symbols)
            assert [quote["quotes"]["price"] for quote in await client.payloads(len(symbols))] == [1.0] * len(symbols)
        counted, missed = len(clients) + sum(map(len, watched)), 0  # the greetings and the snapshots
        for _ in range(50):
            await ticker.tick("A", "B", "C")
        for client, symbols in zip(clients, watched, strict=True):
            seen = {symbol: [1.0] for symbol in symbols}
            while any(prices[-1] != 51.0 for prices in seen.values()):
                [payload] = await client.payloads(1)
                seen[payload["quotes"]["symbol"]].append(payload["quotes"]["price"])
                counted += 1
            for prices in seen.values():
                assert prices == sorted(set(prices)), "in order, and nothing twice"
            missed += sum(51 - len(prices) for prices in seen.values())
        traffic = endpoint.runner.traffic
        assert (traffic.messages, traffic.conflated) == (counted, missed)
        assert missed > 0


async def test_a_fault_of_one_selection_is_not_that_of_others(ticker: Ticker) -> None:
    async with answering(ticker.world) as endpoint, greeted(endpoint.url) as good, greeted(endpoint.url) as bad:
        await good.subscribe(VARIABLE, s=["A"])
        await good.payloads(1)
        await bad.subscribe('subscription { quotes(symbols: "A") { price asset { name } } }')  # a world without assets
        message = await bad.next()
        assert message["payload"]["data"] is None
        assert message["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL_ERROR"
        await ticker.tick("A")
        assert await good.payloads(1) == [{"quotes": {"symbol": "A", "price": 2.0}}]


GONE_S = 5.0
SLACK_S = 3.0
"""What a loaded machine may take on top."""


async def test_sockets_that_die_leave_nothing_behind_and_no_event_has_to_follow(ticker: Ticker) -> None:
    async with answering(ticker.world) as endpoint:
        traffic = endpoint.runner.traffic
        async with greeted(endpoint.url):  # so the server has all the tasks that it ever has for itself
            await until(lambda: ticker.hub.connects)  # so has the hub
        await until(lambda: traffic.connections == 0)
        # The pool opens no more than are in use at a time, which is never so many.
        await asyncio.gather(*(ticker.redis.ping() for _ in range(10)))

        def counts() -> tuple[int, ...]:
            shared = len(endpoint.runner.selections), ticker.hub.topics
            return traffic.connections, traffic.subscriptions, *shared

        def descriptors() -> set[tuple[int, int]]:
            found = set()
            for number in map(int, os.listdir("/dev/fd")):
                with suppress(OSError):  # that of the list itself
                    found.add((number, os.fstat(number).st_ino))
            return found

        tasks, held = asyncio.all_tasks(), descriptors()
        assert counts() == (0, 0, 0, 0)

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            clients = []
            for number in range(100):
                ws = await session.ws_connect(endpoint.url, protocols=["graphql-transport-ws"])
                client = Client(ws)
                await ws.send_json({"type": "connection_init"})
                await client.next()
                await client.subscribe((VARIABLE, MORE)[number % 2], s=["A", "B", "C"])
                await client.payloads(3)
                clients.append(client)
                linger = struct.pack("ii", 1, 0)  # RST, and not a word of the protocol
                ws.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, linger)
            assert counts() == (100, 100, 2, 3)
            assert len(descriptors() - held) == 200
            await until(lambda: asyncio.all_tasks() <= tasks)  # none of the hundred needs a task to wait in
        await until(
            lambda: counts() == (0, 0, 0, 0) and asyncio.all_tasks() <= tasks and descriptors() <= held,
            within_s=GONE_S + SLACK_S,
        )


LONG = (
    "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { symbol price "
    + " ".join(f"{'x' * 500}{number}: price" for number in range(20))
    + " } }"
)  # 10 kB a message


@asynccontextmanager
async def slow(url: str) -> AsyncIterator[Client]:
    """A greeted client that leaves what it does not read to the server: its own buffers hold next to nothing."""

    def small(address: Any) -> sockets.socket:
        made = sockets.socket(*address[:3])
        made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        return made

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=small), read_bufsize=4096) as session,
        session.ws_connect(url, protocols=["graphql-transport-ws"], max_msg_size=0) as ws,
    ):
        client = Client(ws)
        await ws.send_json({"type": "connection_init"})
        await client.next()
        yield client


@pytest.mark.parametrize("ws", [WebSocketProtocol, "websockets-sansio"], ids=["wire", "asgi"])
async def test_a_slow_client_gets_the_latest_of_each_and_slows_nobody(ticker: Ticker, ws: Any) -> None:
    async with (
        answering(ticker.world, ws) as endpoint,
        greeted(endpoint.url) as quick,
        slow(endpoint.url) as client,
    ):
        await client.subscribe(LONG, s=["A", "B", "C"])
        await quick.subscribe(VARIABLE, s=["A", "B", "C"])
        await client.payloads(3)
        await quick.payloads(3)
        for _ in range(600):  # 18 MB for the slow one, who reads nothing
            await ticker.tick("A", "B", "C")
            assert {payload["quotes"]["price"] for payload in await quick.payloads(3)} == {float(ticker.seq)}
        last: dict[str, float] = {}
        got = 0
        while set(last.values()) != {float(ticker.seq)} or len(last) < 3:
            [payload] = await client.payloads(1)
            symbol, price = payload["quotes"]["symbol"], payload["quotes"]["price"]
            assert price > last.get(symbol, 0.0)
            last[symbol] = price
            got += 1
        assert got < 1500
        await client.ws.close()
        await until(lambda: endpoint.runner.traffic.conflated)
        assert endpoint.runner.traffic.conflated == 3 * 600 - got
        assert endpoint.runner.traffic.closed == {}


async def test_what_a_client_who_does_not_read_has_completed_is_gone(ticker: Ticker) -> None:
    def left() -> Counter[type]:
        return Counter(type(one) for one in gc.get_objects() if isinstance(one, Run | Mailbox))

    async with answering(ticker.world) as endpoint, slow(endpoint.url) as client:
        gc.collect()
        before = left()
        traffic = endpoint.runner.traffic
        for number in range(10):  # more than there is room for at a time, so some wait to be served at all
            await client.subscribe(LONG, f"{number}", s=["A"])
        await until(lambda: traffic.subscriptions == 10)
        while traffic.conflated < 10:
            await ticker.tick("A")
            await asyncio.sleep(2 * FLUSH_S)  # what can be written is
        assert left() == before + Counter({Run: 10, Mailbox: 10})
        for number in range(10):
            await client.ws.send_json({"id": f"{number}", "type": "complete"})
        await until(lambda: traffic.subscriptions == 0)
        await until(lambda: left() == before)


async def test_a_client_that_lets_answers_pile_up_is_closed_and_may_come_back(ticker: Ticker) -> None:
    catalog = "{ " + " ".join(f"a{n}: indicatorCatalog {{ name title docs outputs }}" for n in range(20)) + " }"
    async with (
        answering(
            ticker.world,
            SMARTFIN_WEBSOCKET_BACKLOG_BYTES=100_000,
            SMARTFIN_WEBSOCKET_MESSAGES_PER_SECOND=10_000,
            SMARTFIN_GUEST_SUBSCRIPTIONS=1000,
        ) as endpoint,
        slow(endpoint.url) as client,
    ):
        traffic = endpoint.runner.traffic
        for number in count():
            if traffic.closed:
                break
            await client.subscribe(catalog, str(number))
            await asyncio.sleep(0)
        assert traffic.closed == {1013: 1}
        assert await client.closing() == (1013, "Over 100000 bytes wait to be read; connect again.")
        await until(lambda: not traffic.connections)
