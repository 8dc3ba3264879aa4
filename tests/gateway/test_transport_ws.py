"""graphql-transport-ws, state by state, over our own wire and over plain ASGI."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
import orjson
import pytest
from redis.asyncio import Redis

from db.redis import Keys
from errors import SymbolNotFound
from gateway import transport_ws
from gateway.wire import WebSocketProtocol
from tests.gateway.sockets import Client, Endpoint, Ticker, answering, greeted, opened, ticking
from tests.waiting import until

PRICES = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { symbol price } }"
INIT = {"type": "connection_init"}
SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"query": PRICES, "variables": {"s": ["A"]}}}


@pytest.fixture
async def ticker(redis: Redis, keys: Keys) -> AsyncIterator[Ticker]:
    async with ticking(redis, keys, "A", "B") as ticker:
        yield ticker


@pytest.fixture(params=[WebSocketProtocol, "websockets-sansio"], ids=["wire", "asgi"])
async def endpoint(ticker: Ticker, request: pytest.FixtureRequest) -> AsyncIterator[Endpoint]:
    async with answering(ticker.world, request.param) as endpoint:
        yield endpoint


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        (["no json"], 4400, "Invalid message"),
        ([b"\x00binary"], 4400, "Invalid message"),
        ([[]], 4400, "Invalid message"),
        ([{}], 4400, "Invalid message"),
        ([{"type": 1}], 4400, "Invalid message"),
        ([{"type": "start"}], 4400, "Invalid message"),
        ([{**INIT, "payload": "x"}], 4400, "Invalid connection_init payload"),
        ([INIT, INIT], 4429, "Too many initialisation requests"),
        ([SUBSCRIBE], 4401, "Unauthorized"),
        ([INIT, {**SUBSCRIBE, "id": 1}], 4400, "Invalid message"),
        ([INIT, {**SUBSCRIBE, "id": ""}], 4400, "Invalid message"),
        ([INIT, {**SUBSCRIBE, "id": "x" * 129}], 4400, "Invalid message"),
        ([INIT, {"id": "1", "type": "subscribe"}], 4400, "Invalid message"),
        ([INIT, {**SUBSCRIBE, "payload": {}}], 4400, "Invalid subscribe payload"),
        ([INIT, {**SUBSCRIBE, "payload": {"query": 1}}], 4400, "Invalid subscribe payload"),
        ([INIT, {**SUBSCRIBE, "payload": {"query": "{a}", "variables": []}}], 4400, "Invalid subscribe payload"),
        ([INIT, {**SUBSCRIBE, "payload": {"query": "{a}", "operationName": 1}}], 4400, "Invalid subscribe payload"),
        ([INIT, {**SUBSCRIBE, "payload": {"query": "{a}", "extensions": 1}}], 4400, "Invalid subscribe payload"),
        ([INIT, SUBSCRIBE, SUBSCRIBE], 4409, "Subscriber for 1 already exists"),
        ([INIT, {"type": "complete"}], 4400, "Invalid message"),
        ([{"type": "ping", "payload": 1}], 4400, "Invalid message"),
        (["x" * 65_537], 1009, None),
    ],
)
async def test_what_breaks_the_protocol_is_closed_with_its_code(
    endpoint: Endpoint, said: list[Any], code: int, reason: str | None
) -> None:
    async with opened(endpoint.url) as client:
        for message in said:
            if isinstance(message, bytes):
                await client.ws.send_bytes(message)
            else:
                await client.ws.send_str(message if isinstance(message, str) else orjson.dumps(message).decode())
        closed = await client.closing()
    assert closed[0] == code
    assert reason in (None, closed[1])


async def test_who_talks_too_much_is_closed(ticker: Ticker) -> None:
    async with (
        answering(ticker.world, SMARTFIN_WEBSOCKET_MESSAGES_PER_SECOND=1) as endpoint,
        opened(endpoint.url) as client,
    ):
        closing = asyncio.create_task(client.closing())
        while not closing.done():  # until two of them fall into one second
            with suppress(ConnectionError):  # it closes as we speak
                await client.ws.send_json({"type": "pong"})
            await asyncio.sleep(0.01)
        assert await closing == (4429, "Too many messages")


async def test_who_says_nothing_is_closed(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_ws, "INIT_S", 0.05)
    async with opened(endpoint.url) as client:
        assert await client.closing() == (4408, "Connection initialisation timeout")


@pytest.mark.parametrize("protocols", [[], ["graphql-ws"]])
async def test_other_protocols_are_refused(endpoint: Endpoint, protocols: list[str]) -> None:
    async with opened(endpoint.url, protocols) as client:
        assert await client.closing() == (4406, "Speak graphql-transport-ws.")


async def test_a_foreign_page_gets_403(endpoint: Endpoint) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with opened(endpoint.url, origin="https://evil.test"):
            pass
    assert refused.value.status == 403


async def test_a_ping_is_answered_before_the_greeting_too(endpoint: Endpoint) -> None:
    async with opened(endpoint.url) as client:
        await client.ws.send_json({"type": "ping"})
        assert await client.next() == {"type": "pong"}


async def test_queries_and_subscriptions_travel_side_by_side(endpoint: Endpoint, ticker: Ticker) -> None:
    async with greeted(endpoint.url) as client:
        await client.subscribe(PRICES, s=["A"])
        assert await client.payloads(1) == [{"quotes": {"symbol": "A", "price": 1.0}}]
        await client.subscribe("{ indicatorCatalog { name } }", "2")
        answer = await client.next()
        assert (answer["id"], answer["type"]) == ("2", "next")
        assert {"name": "sma"} in answer["payload"]["data"]["indicatorCatalog"]
        assert await client.next() == {"id": "2", "type": "complete"}
        await ticker.tick("A")
        assert await client.next() == {
            "id": "1",
            "type": "next",
            "payload": {"data": {"quotes": {"symbol": "A", "price": 2.0}}},
        }


async def test_what_cannot_be_executed_is_an_error_and_its_id_is_free_again(endpoint: Endpoint) -> None:
    async with greeted(endpoint.url) as client:
        for query in ("{", "{ nothing }", "subscription { nothing }", "subscription { quotes(symbols: 1) { price } }"):
            await client.subscribe(query)
            message = await client.next()
            assert (message["id"], message["type"], len(message["payload"])) == ("1", "error", 1)


async def test_a_completed_operation_says_nothing_more(endpoint: Endpoint, ticker: Ticker) -> None:
    async with greeted(endpoint.url) as client:
        await client.subscribe(PRICES, s=["A"])
        await client.payloads(1)
        await client.ws.send_json({"id": "1", "type": "complete"})
        await until(lambda: not ticker.hub.topics)
        await ticker.tick("A")
        await client.subscribe(PRICES, s=["B"])
        assert await client.payloads(1) == [{"quotes": {"symbol": "B", "price": 1.0}}]


async def test_more_operations_than_a_guest_may_have_are_refused_one_by_one(endpoint: Endpoint) -> None:
    async with greeted(endpoint.url) as client:
        for number in range(10):
            await client.subscribe(PRICES, str(number), s=["A"])
        await client.payloads(10)
        await client.subscribe(PRICES, "one too many", s=["A"])
        message = await client.next()
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"] == {"code": "TOO_MANY_OPERATIONS", "limit": 10}
        await client.ws.send_json({"id": "3", "type": "complete"})
        await client.subscribe(PRICES, "one too many", s=["B"])
        await client.payloads(1)


async def test_clients_that_are_cut_off_leave_nothing_behind(endpoint: Endpoint, ticker: Ticker) -> None:
    traffic = endpoint.runner.traffic
    for _ in range(2):
        async with aiohttp.ClientSession() as session:
            sockets = []
            for _ in range(50):
                ws = await session.ws_connect(endpoint.url, protocols=["graphql-transport-ws"])
                await ws.send_json(INIT)
                await ws.send_json(SUBSCRIBE)
                sockets.append(ws)
            await until(lambda: traffic.subscriptions == 50)
            assert (traffic.connections, ticker.hub.topics, len(endpoint.runner.selections)) == (50, 1, 1)
            for ws in sockets:
                assert ws._writer is not None
                ws._writer.transport.abort()
        await until(lambda: not traffic.connections, within_s=5)
        assert (traffic.subscriptions, ticker.hub.topics) == (0, 0)
        await until(lambda: not len(endpoint.runner.selections), within_s=5)


MESSAGES = [INIT, SUBSCRIBE, {"type": "ping"}, {"type": "pong"}, {"id": "1", "type": "complete"}]
BEFORE: list[list[Any]] = [[], [INIT], [INIT], [INIT, SUBSCRIBE]]
"""What may have been said before a mutated frame comes."""


def mutated(chance: random.Random) -> bytes:
    """A message of the protocol with something wrong, or not even that."""
    text = bytearray(orjson.dumps(chance.choice(MESSAGES)))
    match chance.randrange(6):
        case 0:
            del text[chance.randrange(len(text)) :]
        case 1:
            for _ in range(chance.randrange(1, 9)):
                text[chance.randrange(len(text))] = chance.randrange(256)
        case 2:
            text = bytearray(chance.randbytes(chance.randrange(200)))
        case 3:
            value = chance.choice(["null", "[]", "{}", "1e999", '"x"', "true", "[" * 500, '"\\ud800"'])
            text = bytearray(
                text.replace(chance.choice([b'"1"', b"{", b'"ping"', b'"subscribe"', b"["]), value.encode(), 1)
            )
        case 4:
            text += b" " * chance.choice([1, 65536 - len(text), 65537 - len(text), 70_000])
        case _:
            text = text * chance.randrange(2, 5)
    return bytes(text)


class NoSource:
    """In the place of the questions under way: a mutated symbol is one that nobody knows."""

    async def join(self, symbols: Sequence[str], _: Any) -> dict[str, SymbolNotFound]:
        return {symbol: SymbolNotFound(f"Nobody knows {symbol}.", symbol=symbol) for symbol in symbols}


@pytest.mark.parametrize("frames", [300, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
async def test_mutated_frames_end_in_a_code_of_the_protocol_and_no_traceback(
    ticker: Ticker, frames: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(1)
    told = iter([(chance.choice(BEFORE), mutated(chance)) for _ in range(frames)])

    async def fuzz(session: aiohttp.ClientSession, url: str) -> Counter[int | None]:
        codes = Counter[int | None]()
        for before, frame in told:
            async with session.ws_connect(url, protocols=["graphql-transport-ws"]) as ws:
                with suppress(aiohttp.ClientConnectionResetError):  # it was closed before all was said
                    for message in before:
                        await ws.send_json(message)
                    try:
                        await ws.send_str(frame.decode())
                    except UnicodeDecodeError:
                        await ws.send_bytes(frame)
                    await ws.send_str("no json")  # what was let through ends here
                codes[(await Client(ws).closing())[0]] += 1
        return codes

    ticker.world.pulls, ticker.world.quotes_served = NoSource(), Counter[str]()
    async with answering(ticker.world) as endpoint, aiohttp.ClientSession() as session:
        ended = await asyncio.gather(*(fuzz(session, endpoint.url) for _ in range(20)))
        codes = sum(ended, Counter[int | None]())
        assert codes.total() == frames
        assert set(codes) == {1009, 4400, 4401, 4409, 4429}
        await until(lambda: not endpoint.runner.traffic.connections)
    assert [record for record in caplog.records if record.exc_info] == []


async def test_nothing_stays_of_a_client_whose_leaving_was_swallowed(
    ticker: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe, begun = ticker.hub.subscribe, asyncio.Event()

    async def swallowing(*names: Any) -> Any:
        begun.set()
        with suppress(asyncio.CancelledError):  # as redis-py does where its own time-out strikes at the same moment
            await asyncio.sleep(60)
        return await subscribe(*names)

    monkeypatch.setattr(ticker.hub, "subscribe", swallowing)
    async with answering(ticker.world) as endpoint:
        async with greeted(endpoint.url) as client:
            await client.subscribe(PRICES, s=["A"])
            await begun.wait()
        traffic = endpoint.runner.traffic
        await until(lambda: traffic.connections == 0)
        await until(lambda: not any("Run.go" in repr(task) for task in asyncio.all_tasks()))
        assert (traffic.subscriptions, ticker.hub.topics) == (0, 0)
