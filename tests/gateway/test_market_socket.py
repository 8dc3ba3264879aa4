"""The plain WebSocket door: its messages, its limits, its ends, on the wire of ours and over plain ASGI."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from gateway import market_socket
from gateway.auth import Authenticator
from gateway.running import Runner
from gateway.wire import WebSocketProtocol
from settings import Settings
from tests.conftest import smartfin
from tests.gateway.serving import serving
from tests.gateway.sockets import Client, Ticker, opened, ticking
from tests.people import authenticator, bearer, person
from tests.waiting import until

MANY = [f"S{number}" for number in range(11)]


@dataclass
class Door:
    """Where it is, and what it counts."""

    url: str
    runner: Runner
    ticker: Ticker


@pytest.fixture
async def ticker(redis: Redis, keys: Keys) -> AsyncIterator[Ticker]:
    async with ticking(redis, keys, "A", "B", *MANY) as ticker:
        yield ticker


@asynccontextmanager
async def door_of(
    ticker: Ticker, ws: Any = WebSocketProtocol, authenticator: Authenticator | None = None, **settings: Any
) -> AsyncIterator[Door]:
    runner = Runner(Settings(**settings))
    async with serving(ticker.world, runner=runner, ws=ws, authenticator=authenticator, **settings) as url:
        yield Door(url.replace("/graphql", "/ws/market-data"), runner, ticker)


@pytest.fixture(params=[WebSocketProtocol, "websockets-sansio"], ids=["wire", "asgi"])
async def door(ticker: Ticker, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    async with door_of(ticker, request.param) as door:
        yield door


@asynccontextmanager
async def greeted(url: str) -> AsyncIterator[Client]:
    """A client that was greeted."""
    async with opened(url, ()) as client:
        hello = await client.next()
        assert (hello["type"], hello["status"]) == ("connection", "connected")
        assert hello["clientId"]
        assert hello["timestamp"].endswith("Z")
        yield client


async def said(client: Client, **message: Any) -> dict[str, Any]:
    """The next message after saying this, without its time."""
    await client.ws.send_json(message)
    answer = await client.next()
    assert answer.pop("timestamp").endswith("Z")
    return answer


async def prices(client: Client, count: int) -> dict[str, float]:
    """What the next messages tell, which are all quotes."""
    found = {}
    for _ in range(count):
        message = await client.next()
        assert message["type"] == "market_data", message
        [quote] = message["data"]
        found[quote["symbol"]] = quote["price"]
    return found


async def test_current_quotes_come_at_once_and_then_every_change(door: Door) -> None:
    async with greeted(door.url) as client:
        answer = await said(client, type="subscribe", symbols=["a", "B"])
        assert answer == {"type": "subscribed", "symbols": ["A", "B"]}
        assert await prices(client, 2) == {"A": 1.0, "B": 1.0}
        await door.ticker.tick("B")
        assert await prices(client, 1) == {"B": 2.0}
        await door.ticker.tick("A", "B")
        assert await prices(client, 2) == {"A": 3.0, "B": 3.0}


async def test_a_quote_says_what_that_of_graphql_says(door: Door) -> None:
    async with greeted(door.url) as client:
        await said(client, type="subscribe", symbols=["A"])
        message = await client.next()
    assert list(message) == ["type", "data", "timestamp"]
    [quote] = message["data"]
    assert {name: quote[name] for name in ("symbol", "price", "bid", "change")} == {
        "symbol": "A",
        "price": 1.0,
        "bid": None,
        "change": None,
    }
    assert quote["provenance"]["source"] == "test"


async def test_what_is_left_is_told_no_more(door: Door) -> None:
    async with greeted(door.url) as client:
        await said(client, type="subscribe", symbols=["A", "B"])
        await prices(client, 2)
        answer = await said(client, type="unsubscribe", symbols=["A", "NEVER"])
        assert answer == {"type": "unsubscribed", "symbols": ["A"]}
        assert await said(client, type="get_subscriptions") == {"type": "subscriptions", "symbols": ["B"]}
        await door.ticker.tick("A", "B")
        assert await prices(client, 1) == {"B": 2.0}
        assert await said(client, type="ping") == {"type": "pong"}
    await until(lambda: door.runner.traffic.subscriptions == 0)
    await until(lambda: door.runner.traffic.connections == 0)


async def test_a_symbol_is_watched_once_however_often_it_is_named(door: Door) -> None:
    async with greeted(door.url) as client:
        assert (await said(client, type="subscribe", symbols=["A", "a"]))["symbols"] == ["A"]
        await prices(client, 1)
        assert (await said(client, type="subscribe", symbols=["A"]))["symbols"] == ["A"]
        await door.ticker.tick("A")
        assert await prices(client, 1) == {"A": 2.0}
        assert door.runner.traffic.subscriptions == 1


async def test_what_is_no_symbol_is_told_and_stops_no_other(door: Door) -> None:
    async with greeted(door.url) as client:
        answer = await said(client, type="subscribe", symbols=["$$", "A"])
        assert (answer["symbols"], len(answer["errors"])) == (["A"], 1)
        assert '"$$" is no symbol' in answer["errors"][0]
        assert await prices(client, 1) == {"A": 1.0}


async def test_a_guest_watches_ten_symbols_on_a_connection(door: Door) -> None:
    async with greeted(door.url) as client:
        answer = await said(client, type="subscribe", symbols=MANY)
        assert (answer["symbols"], len(answer["errors"])) == (MANY[:10], 1)
        assert set(await prices(client, 10)) == set(MANY[:10])
        await said(client, type="unsubscribe", symbols=MANY[:1])
        answer = await said(client, type="subscribe", symbols=MANY[10:])
        assert answer == {"type": "subscribed", "symbols": MANY[10:]}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", "INVALID_FORMAT"),
        ("[]", "INVALID_FORMAT"),
        ('"ping"', "INVALID_FORMAT"),
        ("{}", "INVALID_FORMAT"),
        ('{"type": 1}', "INVALID_FORMAT"),
        ('{"type": "subscribe"}', "INVALID_FORMAT"),
        ('{"type": "subscribe", "symbols": "A"}', "INVALID_FORMAT"),
        ('{"type": "subscribe", "symbols": []}', "INVALID_FORMAT"),
        ('{"type": "subscribe", "symbols": [1]}', "INVALID_FORMAT"),
        ('{"type": "unsubscribe", "symbols": {"A": 1}}', "INVALID_FORMAT"),
        (json.dumps({"type": "subscribe", "symbols": ["A"] * 201}), "INVALID_FORMAT"),
        ('{"type": "hello"}', "UNKNOWN_TYPE"),
        (b"\x00\x01", "INVALID_FORMAT"),
    ],
)
async def test_a_message_that_is_none_is_answered_and_ends_nothing(door: Door, message: str | bytes, code: str) -> None:
    async with greeted(door.url) as client:
        await (client.ws.send_str(message) if isinstance(message, str) else client.ws.send_bytes(message))
        answer = await client.next()
        assert (answer["type"], answer["code"]) == ("error", code)
        assert answer["message"]
        assert await said(client, type="ping") == {"type": "pong"}


async def test_a_guest_sends_sixty_messages_a_minute(ticker: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    async with door_of(ticker, websocket_messages_per_second=1000) as door, greeted(door.url) as client:
        for _ in range(60):
            assert await said(client, type="ping") == {"type": "pong"}
        answer = await said(client, type="ping")
        assert (answer["type"], answer["code"]) == ("error", "RATE_LIMIT")
        monkeypatch.setattr(market_socket, "MINUTE_S", 0.0)  # it is over
        assert await said(client, type="ping") == {"type": "pong"}


async def test_a_flood_ends_the_connection(ticker: Ticker) -> None:
    async with door_of(ticker, websocket_messages_per_second=5) as door, greeted(door.url) as client:
        for _ in range(200):
            await client.ws.send_json({"type": "ping"})
        assert await client.closing() == (4429, "Too many messages")


async def test_an_unknown_symbol_is_told_and_not_watched(sandbox_door: str) -> None:
    async with greeted(sandbox_door) as client:
        assert (await said(client, type="subscribe", symbols=["NOSUCH"]))["symbols"] == ["NOSUCH"]
        answer = await client.next()
        assert (answer["type"], answer["code"], answer["symbol"]) == ("error", "SYMBOL_NOT_FOUND", "NOSUCH")
        assert await said(client, type="get_subscriptions") == {"type": "subscriptions", "symbols": []}


@pytest.fixture
def sandbox_door(sandbox: Any) -> str:
    return f"{sandbox.url}/ws/market-data"


async def test_a_token_that_is_not_good_ends_the_connection(sandbox_door: str) -> None:
    async with opened(sandbox_door, (), headers={"Authorization": "Bearer x"}) as client:
        assert await client.closing() == (4401, "Unauthorized")
    async with greeted(sandbox_door) as client:
        await client.ws.send_json({"type": "ping", "authorization": "Bearer x"})
        assert await client.closing() == (4401, "Unauthorized")


async def test_a_foreign_page_gets_403(door: Door) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with opened(door.url, (), origin="https://evil.test"):
            pass
    assert refused.value.status == 403


async def test_a_slow_reader_gets_the_latest_of_each_symbol(ticker: Ticker) -> None:
    async with door_of(ticker) as door, greeted(door.url) as slow:
        await said(slow, type="subscribe", symbols=MANY[:10])
        await prices(slow, 10)
        reading = slow.ws._response.connection
        assert reading is not None
        protocol: Any = reading.protocol
        protocol.pause_reading()
        sent = 0
        while not door.runner.traffic.messages < sent - 1000:  # so many wait, or were replaced by later ones
            await ticker.tick(*MANY[:10])
            sent += 10
        protocol.resume_reading()
        last: dict[str, float] = {}
        while set(last.values()) != {float(ticker.seq)}:
            last |= await prices(slow, 1)
        assert len(last) == 10
        await slow.ws.close()
        await until(lambda: door.runner.traffic.conflated > 0)


async def test_a_user_watches_fifty_symbols_on_a_connection(ticker: Ticker, database: Database) -> None:
    user = await person(database)
    many = [f"U{number}" for number in range(51)]
    await ticker.tick(*many)
    async with door_of(ticker, authenticator=authenticator(database)) as door:
        async with opened(door.url, (), headers={"Authorization": bearer(user)}) as client:
            assert (await client.next())["type"] == "connection"
            answer = await said(client, type="subscribe", symbols=many)
            assert (answer["symbols"], len(answer["errors"])) == (many[:50], 1)
        async with greeted(door.url) as client:  # as a browser, which cannot send the header
            assert await said(client, type="ping", authorization=bearer(user)) == {"type": "pong"}
            assert len((await said(client, type="subscribe", symbols=many))["symbols"]) == 50


async def test_a_connection_ends_with_its_token(ticker: Ticker, database: Database) -> None:
    user = await person(database)
    async with (
        door_of(ticker, authenticator=authenticator(database)) as door,
        opened(door.url, (), headers={"Authorization": bearer(user, 1)}) as client,
    ):
        assert (await client.next())["type"] == "connection"
        assert await client.closing() == (4401, "Unauthorized")


async def test_the_end_of_the_server_is_told(database_url: str, redis_url: str) -> None:
    with smartfin(DATABASE_URL=database_url, REDIS_URL=redis_url) as running:
        async with greeted(f"{running.url}/ws/market-data") as client:
            running.process.send_signal(signal.SIGTERM)
            message = await client.next()
            assert (message["type"], bool(message["message"])) == ("server_shutdown", True)
            assert await client.closing() == (1012, "Service restart")
