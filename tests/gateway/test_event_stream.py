"""GraphQL over server-sent events: what a client without WebSockets gets."""

import asyncio
import json
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from db.users import UserStore
from gateway import event_stream
from tests.gateway.sockets import Endpoint, Ticker, answering, greeted, ticking
from tests.people import authenticator, bearer, person
from tests.waiting import until

EVENTS = {"Accept": "text/event-stream"}
QUOTES = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { symbol price } }"
A = {"query": QUOTES, "variables": {"s": ["A"]}}


@pytest.fixture
async def ticker(redis: Redis, keys: Keys) -> AsyncIterator[Ticker]:
    async with ticking(redis, keys, "A", "B") as ticker:
        yield ticker


@pytest.fixture
async def endpoint(ticker: Ticker) -> AsyncIterator[Endpoint]:
    async with answering(ticker.world) as endpoint:
        yield endpoint


class Stream:
    """The events of an answer."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, Any] | None:
        """The name and the data of the next event, or a comment; None at the end."""
        async with asyncio.timeout(10):
            lines = []
            while line := (await self.response.content.readline()).decode().rstrip("\n"):
                lines.append(line)
        if not lines:
            return None
        if lines == [":"]:
            return ":", None
        event, data = lines
        text = data.removeprefix("data:").strip()
        return event.removeprefix("event: "), json.loads(text) if text else None

    async def prices(self, count: int) -> list[float]:
        """What the next results say; comments among them say nothing."""
        events: list[tuple[str, Any] | None] = []
        while len(events) < count:
            if (event := await self.next()) != (":", None):
                events.append(event)
        assert all(event is not None and event[0] == "next" for event in events), events
        return [event[1]["data"]["quotes"]["price"] for event in events if event is not None]


@asynccontextmanager
async def streamed(url: str, method: str = "POST", **how: Any) -> AsyncIterator[Stream]:
    """The answer to a request, as events."""
    async with aiohttp.ClientSession(headers=EVENTS) as session, session.request(method, url, **how) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield Stream(response)


@pytest.mark.parametrize(
    ("method", "how"), [("POST", {"json": A}), ("GET", {"params": {**A, "variables": '{"s":"A"}'}})]
)
async def test_a_subscription_is_next_for_each_change_until_the_client_goes(
    ticker: Ticker, endpoint: Endpoint, method: str, how: dict[str, Any]
) -> None:
    traffic = endpoint.runner.traffic
    async with streamed(endpoint.url, method, **how) as stream:
        assert await stream.prices(1) == [1.0]
        for number in (2.0, 3.0):
            await ticker.tick("A")
            assert await stream.prices(1) == [number]
        assert (traffic.connections, traffic.subscriptions) == (1, 1)
    await until(lambda: (traffic.connections, traffic.subscriptions, ticker.hub.topics) == (0, 0, 0))


async def test_it_shares_its_work_with_those_on_a_websocket(ticker: Ticker, endpoint: Endpoint) -> None:
    async with streamed(endpoint.url, json=A) as stream, greeted(endpoint.url) as client:
        await client.subscribe(QUOTES, s=["A", "B"])
        await client.payloads(2)
        assert await stream.prices(1) == [1.0]
        assert len(endpoint.runner.selections) == 1


@pytest.mark.parametrize("query", ["{ __typename }", "mutation { __typename }"])
async def test_a_query_or_a_mutation_is_one_result(endpoint: Endpoint, query: str) -> None:
    async with streamed(endpoint.url, json={"query": query}) as stream:
        event = await stream.next()
        assert event is not None
        assert (event[0], set(event[1])) == ("next", {"data"})
        assert await stream.next() == ("complete", None)
        assert await stream.next() is None


@pytest.mark.parametrize(
    ("method", "how", "code"),
    [
        ("POST", {"json": {"query": "{ nothing }"}}, "GRAPHQL_VALIDATION_FAILED"),
        ("POST", {"json": {**A, "variables": {}}}, "INVALID_VARIABLES"),
        ("GET", {"params": {"query": "mutation { __typename }"}}, "METHOD_NOT_ALLOWED"),
        ("POST", {"json": {**A, "variables": {"s": []}}}, "INVALID_PARAMETER"),
    ],
)
async def test_what_is_not_executed_says_so_as_an_event(
    endpoint: Endpoint, method: str, how: dict[str, Any], code: str
) -> None:
    async with streamed(endpoint.url, method, **how) as stream:
        event = await stream.next()
        assert event is not None
        assert (event[0], event[1]["errors"][0]["extensions"]["code"]) == ("next", code)
        assert await stream.next() == ("complete", None)
        assert await stream.next() is None


@pytest.mark.parametrize(
    ("method", "how", "status"),
    [
        ("POST", {"json": []}, 400),
        ("POST", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ("POST", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
        ("PUT", {"json": A}, 405),
    ],
)
async def test_a_request_that_cannot_be_read_gets_the_status_of_http(
    endpoint: Endpoint, method: str, how: dict[str, Any], status: int
) -> None:
    async with (
        aiohttp.ClientSession(headers=EVENTS) as session,
        session.request(method, endpoint.url, **how) as response,
    ):
        assert (response.status, response.content_type) == (status, "application/json")


async def test_a_client_has_so_many_operations_under_way_on_all_its_streams(ticker: Ticker) -> None:
    async with (
        answering(ticker.world, guest_subscriptions=2) as endpoint,
        streamed(endpoint.url, json=A) as first,
        AsyncExitStack() as others,
    ):
        second = await others.enter_async_context(streamed(endpoint.url, json=A))
        assert [await stream.prices(1) for stream in (first, second)] == [[1.0], [1.0]]
        for query in (A, {"query": "{ __typename }"}):
            async with streamed(endpoint.url, json=query) as refused:
                event = await refused.next()
                assert event is not None
                assert event[1]["errors"] == [
                    {
                        "message": "2 operations are under way; complete one first.",
                        "extensions": {"code": "TOO_MANY_OPERATIONS", "limit": 2},
                    }
                ]
                assert await refused.next() == ("complete", None)
        await others.aclose()
        await until(lambda: endpoint.runner.traffic.connections == 1)
        async with streamed(endpoint.url, json=A) as third:
            assert await third.prices(1) == [1.0]


async def test_a_client_watches_so_many_symbols_on_all_its_streams(ticker: Ticker) -> None:
    async with answering(ticker.world, guest_symbols=1) as endpoint:
        async with streamed(endpoint.url, json=A) as first:
            assert await first.prices(1) == [1.0]
            async with streamed(endpoint.url, json=A) as refused:
                event = await refused.next()
                assert event is not None
                assert event[1]["errors"][0]["extensions"] == {"code": "TOO_MANY_SYMBOLS", "limit": 1}
                assert await refused.next() == ("complete", None)
        await until(lambda: not endpoint.runner.traffic.connections)
        async with streamed(endpoint.url, json=A) as again:
            assert await again.prices(1) == [1.0]


async def test_users_have_streams_of_their_own_wherever_they_ask_from(ticker: Ticker, database: Database) -> None:
    one, other = await person(database), await person(database)
    ticker.world.users = UserStore(database)
    async with (
        answering(
            ticker.world, authenticator=authenticator(database), guest_subscriptions=1, registered_subscriptions=1
        ) as endpoint,
        AsyncExitStack() as open_streams,
    ):
        for headers in ({}, {"Authorization": bearer(one)}, {"Authorization": bearer(other)}):
            stream = await open_streams.enter_async_context(streamed(endpoint.url, json=A, headers=headers))
            assert await stream.prices(1) == [1.0]
        async with streamed(endpoint.url, json=A, headers={"Authorization": bearer(one)}) as refused:
            event = await refused.next()
            assert event is not None
            assert event[1]["errors"][0]["extensions"]["code"] == "TOO_MANY_OPERATIONS"


@pytest.mark.parametrize(
    ("method", "how"), [("POST", {"json": A}), ("GET", {"params": {**A, "variables": '{"s":"A"}'}})]
)
async def test_pages_of_other_origins_open_no_stream_unless_they_are_named(
    ticker: Ticker, method: str, how: dict[str, Any]
) -> None:
    async with answering(ticker.world, origins="https://app.test") as endpoint:
        own = endpoint.url.removesuffix("/graphql")
        for origin in ("https://app.test", own):
            async with streamed(endpoint.url, method, headers={"Origin": origin}, **how) as stream:
                assert await stream.prices(1) == [1.0]
        for origin in ("https://evil.test", "null"):
            async with (
                aiohttp.ClientSession(headers=EVENTS | {"Origin": origin}) as session,
                session.request(method, endpoint.url, **how) as response,
            ):
                assert response.status == 403
                assert [error["extensions"]["code"] for error in (await response.json())["errors"]] == ["FORBIDDEN"]


async def test_a_silent_stream_is_kept_alive(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.05)
    async with streamed(endpoint.url, json=A) as stream:
        await stream.prices(1)
        assert [await stream.next() for _ in range(3)] == [(":", None)] * 3


def unread(url: str, **parameters: Any) -> sockets.socket:
    """A client with little room that has asked for events and reads none."""
    host, _, port = url.removeprefix("http://").removesuffix("/graphql").partition(":")
    client = sockets.socket()
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    body = json.dumps(parameters).encode()
    client.sendall(
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    return client


MANY = " ".join(f"a{number}: provenance {{ source receivedAt servedFrom }}" for number in range(50))
WIDE = f'subscription {{ quotes(symbols: "A") {{ symbol price {MANY} }} }}'


async def test_a_slow_reader_gets_the_latest(ticker: Ticker) -> None:
    async with answering(ticker.world, max_aliases=100, max_repeats=1000) as endpoint:
        traffic = endpoint.runner.traffic
        with unread(endpoint.url, query=WIDE) as client:
            await until(lambda: traffic.subscriptions)
            for _ in range(3000):
                await ticker.tick("A")
            client.settimeout(10)

            def read() -> bytes:
                found = b""
                while b'"price":%.1f,' % ticker.seq not in found:
                    found += client.recv(65536)
                return found

            found = await asyncio.to_thread(read)
        assert found.count(b"event: next") < 3000
        await until(lambda: traffic.subscriptions == 0)
        assert traffic.conflated > 0


async def test_who_reads_nothing_at_all_is_cut_off(ticker: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.wire.CLOSE_S", 0.1)
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_S", 0.001)  # what is sent in any case
    async with answering(ticker.world, websocket_backlog_bytes=100_000) as endpoint:
        monkeypatch.setattr("gateway.event_stream._COMMENT", b":" * 10_000 + b"\n\n")
        with unread(endpoint.url, **A):
            await until(lambda: endpoint.runner.traffic.closed[1013])
            await until(lambda: endpoint.runner.traffic.connections == 0)
