"""Who asks: what a token lets one do, over HTTP, server-sent events and WebSocket, and for how long."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys
from db.users import UserStore
from errors import StoreUnavailable
from gateway import auth
from gateway.wire import WebSocketProtocol
from people import Tier
from tests.gateway.serving import serving, world
from tests.gateway.sockets import Client, Endpoint, answering, opened, ticking
from tests.people import authenticator, bearer, person, tokens
from tests.waiting import until

ME = "{ me { email tier } }"
PRICES = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { symbol price } }"
FORBIDDEN = (4403, "Forbidden")


@pytest.fixture
async def url(database: Database) -> AsyncIterator[str]:
    async with serving(world(users=UserStore(database)), authenticator=authenticator(database)) as url:
        yield url


@pytest.fixture(params=[WebSocketProtocol, "websockets-sansio"], ids=["wire", "asgi"])
async def endpoint(
    database: Database, redis: Redis, keys: Keys, request: pytest.FixtureRequest
) -> AsyncIterator[Endpoint]:
    async with ticking(redis, keys, "A", "B") as ticker:
        ticker.world.users = UserStore(database)
        async with answering(ticker.world, request.param, authenticator(database)) as endpoint:
            yield endpoint


async def asked(url: str, method: str = "POST", **headers: str) -> Any:
    carried: dict[str, Any] = {"json": {"query": ME}} if method == "POST" else {"params": {"query": ME}}
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers, **carried) as response:
        return (await response.json())["data"]["me"]


@asynccontextmanager
async def greeted(url: str, payload: Any, **options: Any) -> AsyncIterator[Client]:
    async with opened(url, **options) as client:
        await client.ws.send_json({"type": "connection_init", "payload": payload})
        assert await client.next() == {"type": "connection_ack"}
        yield client


async def me(client: Client, name: str = "me") -> Any:
    """Whom the connection's operations are asked by."""
    await client.subscribe(ME, name)
    answer = await client.next()
    assert await client.next() == {"id": name, "type": "complete"}
    return answer["payload"]["data"]["me"]


def ends_at(authorization: str) -> datetime:
    token = tokens().read(authorization.removeprefix("Bearer "))
    assert token is not None
    return token.expires_at


def late_s(due: datetime) -> float:
    return (datetime.now(UTC) - due).total_seconds()


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_token_says_who_asks_and_without_one_it_is_a_guest(url: str, database: Database, method: str) -> None:
    user = await person(database, Tier.VIP)
    assert await asked(url, method) is None
    assert await asked(url, method, Authorization=bearer(user)) == {"email": user.email, "tier": "VIP"}
    assert await asked(url, method, Authorization=bearer(user).replace("Bearer", "bEARER")) is not None


@pytest.mark.parametrize("payload", [None, {}, {"authorization": None}, {"locale": "en"}])
async def test_who_shows_nothing_on_a_websocket_is_a_guest(endpoint: Endpoint, payload: Any) -> None:
    async with greeted(endpoint.url, payload) as client:
        assert await me(client) is None


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
async def test_the_payload_of_the_greeting_says_who_is_at_the_other_end(
    endpoint: Endpoint, database: Database, name: str
) -> None:
    user = await person(database)
    async with greeted(endpoint.url, {name: bearer(user)}) as client:
        assert await me(client) == {"email": user.email, "tier": "REGISTERED"}


async def test_so_does_the_header_of_the_handshake(endpoint: Endpoint, database: Database) -> None:
    user = await person(database)
    async with greeted(endpoint.url, None, headers={"Authorization": bearer(user)}) as client:
        assert await me(client) == {"email": user.email, "tier": "REGISTERED"}


async def test_nothing_is_answered_before_the_token_was_looked_at(endpoint: Endpoint, database: Database) -> None:
    user = await person(database)
    async with opened(endpoint.url) as client:
        await client.ws.send_json({"type": "connection_init", "payload": {"authorization": bearer(user)}})
        await client.subscribe(ME)
        assert await client.closing() == (4401, "Unauthorized")


async def test_a_connection_ends_with_its_token(endpoint: Endpoint, database: Database) -> None:
    token = bearer(await person(database), 3)
    due = ends_at(token)
    async with greeted(endpoint.url, {"authorization": token}) as client:
        await client.subscribe(PRICES, s=["A"])
        await client.payloads(1)
        assert await client.closing() == FORBIDDEN
        assert 0 <= late_s(due) <= 2
    await until(lambda: not endpoint.runner.traffic.subscriptions)


async def test_who_shows_a_new_token_in_time_stays(endpoint: Endpoint, database: Database) -> None:
    user = await person(database)
    async with greeted(endpoint.url, {"authorization": bearer(user, 2)}) as client:
        later = bearer(user, 5)
        due = ends_at(later)
        await client.ws.send_json({"type": "ping", "payload": {"authorization": later}})
        answer = await client.next()
        assert answer == {"type": "pong", "payload": {"expiresAt": f"{due:%Y-%m-%dT%H:%M:%SZ}"}}
        assert await client.closing() == FORBIDDEN
        assert 0 <= late_s(due) <= 2


async def test_a_new_token_that_is_not_good_ends_the_connection(endpoint: Endpoint, database: Database) -> None:
    user, other = await person(database), await person(database)
    for token in ("Bearer x", bearer(other)):
        async with greeted(endpoint.url, {"authorization": bearer(user)}) as client:
            await client.ws.send_json({"type": "ping", "payload": {"authorization": token}})
            assert await client.closing() == FORBIDDEN


async def test_a_guest_may_sign_in_on_the_way(endpoint: Endpoint, database: Database) -> None:
    user = await person(database)
    async with greeted(endpoint.url, None) as client:
        await client.ws.send_json({"type": "ping", "payload": {"authorization": bearer(user, 3)}})
        assert (await client.next())["type"] == "pong"
        assert (await me(client))["email"] == user.email
        assert await client.closing() == FORBIDDEN


async def test_a_token_before_the_greeting_breaks_the_protocol(endpoint: Endpoint, database: Database) -> None:
    async with opened(endpoint.url) as client:
        await client.ws.send_json({"type": "ping", "payload": {"authorization": bearer(await person(database))}})
        assert await client.closing() == (4401, "Unauthorized")


async def test_one_token_is_looked_at_at_a_time(endpoint: Endpoint, database: Database) -> None:
    user = await person(database)
    async with greeted(endpoint.url, {"authorization": bearer(user)}) as client:
        for _ in range(40):
            await client.ws.send_json({"type": "ping", "payload": {"authorization": bearer(await person(database))}})
        assert (await client.closing())[0] in (4403, 4429)


async def test_a_stream_of_events_ends_with_its_token(endpoint: Endpoint, database: Database) -> None:
    user = await person(database)
    headers = {"Accept": "text/event-stream", "Authorization": bearer(user, 2)}
    request = {"query": PRICES, "variables": {"s": ["A"]}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(endpoint.url, json=request, headers=headers) as response,
    ):
        text = await response.text()
    assert text.startswith("event: next\n")
    assert "complete" not in text  # it was cut short
    await until(lambda: not endpoint.runner.traffic.subscriptions)


async def test_a_bad_token_begins_no_stream(endpoint: Endpoint) -> None:
    headers = {"Accept": "text/event-stream", "Authorization": "Bearer x"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(endpoint.url, json={"query": PRICES, "variables": {"s": ["A"]}}, headers=headers) as response,
    ):
        assert (response.status, response.content_type) == (401, "application/json")
        assert (await response.json())["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}


async def test_a_user_may_have_more_operations_under_way_than_a_guest(endpoint: Endpoint, database: Database) -> None:
    user = await person(database)
    async with greeted(endpoint.url, {"authorization": bearer(user)}) as client:
        for number in range(50):
            await client.subscribe(PRICES, str(number), s=["A"])
            await client.payloads(1)
        await client.subscribe(PRICES, "one too many", s=["A"])
        message = await client.next()
    assert message["payload"][0]["extensions"] == {"code": "TOO_MANY_OPERATIONS", "limit": 50}


@pytest.mark.parametrize(("tier", "most"), [*zip(Tier, (2, 3, 4, 5), strict=True)])
async def test_a_tier_watches_so_many_symbols_on_one_connection(
    database: Database, redis: Redis, keys: Keys, tier: Tier, most: int
) -> None:
    numbers = {"guest_symbols": 2, "registered_symbols": 3, "vip_symbols": 4, "admin_symbols": 5}
    async with ticking(redis, keys, *"ABCDE") as ticker:
        ticker.world.users = UserStore(database)
        shown = {} if tier is Tier.GUEST else {"authorization": bearer(await person(database, tier))}
        async with (
            answering(ticker.world, authenticator=authenticator(database), **numbers) as endpoint,
            greeted(endpoint.url, shown) as client,
        ):
            await client.subscribe(PRICES, "most", s=[*"ABCDE"[:most], "A"])  # a symbol is watched once
            await client.payloads(most)
            await client.subscribe(PRICES, "more", s=["E"])
            message = await client.next()
            assert (message["id"], message["type"]) == ("more", "error")
            assert message["payload"][0]["extensions"] == {"code": "TOO_MANY_SYMBOLS", "limit": most}
            await ticker.tick("A")
            assert await client.payloads(1) == [{"quotes": {"symbol": "A", "price": float(ticker.seq)}}]
            await client.ws.send_json({"id": "most", "type": "complete"})
            await until(lambda: not ticker.hub.topics)
            await client.subscribe(PRICES, "more", s=["E"])
            assert await client.payloads(1) == [{"quotes": {"symbol": "E", "price": 1.0}}]


async def test_of_two_subscriptions_at_once_one_is_too_many(redis: Redis, keys: Keys) -> None:
    async with (
        ticking(redis, keys, *"ABC") as ticker,
        answering(ticker.world, guest_symbols=3) as endpoint,
        greeted(endpoint.url, {}) as client,
    ):
        for name, symbols in (("one", "AB"), ("two", "BC")):
            await client.subscribe(PRICES, name, s=[*symbols])
        kinds = [(await client.next())["type"] for _ in range(3)]
        assert sorted(kinds) == ["error", "next", "next"]


async def set_user(database: Database, user_id: Any, column: str, value: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(f"UPDATE users SET {column} = $2 WHERE id = $1", user_id, value)


async def test_old_tokens_follow_what_becomes_of_the_user(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await person(database, Tier.ADMIN)
    token = bearer(user)
    assert (await asked(url, Authorization=token))["tier"] == "ADMIN"
    await set_user(database, user.id, "tier", "REGISTERED")
    assert (await asked(url, Authorization=token))["tier"] == "ADMIN"  # for so long
    monkeypatch.setattr(auth, "LOOK_S", 0)
    assert (await asked(url, Authorization=token))["tier"] == "REGISTERED"
    await set_user(database, user.id, "is_active", False)
    async with aiohttp.ClientSession(headers={"Authorization": token}) as session:
        assert (await session.post(url, json={"query": ME})).status == 401


async def test_a_connection_ends_where_its_user_is_barred_and_follows_his_tier(
    endpoint: Endpoint, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "LOOK_S", 0.05)
    user = await person(database)
    async with greeted(endpoint.url, {"authorization": bearer(user)}) as client:
        await set_user(database, user.id, "tier", "VIP")

        async def is_vip() -> bool:
            return bool((await me(client))["tier"] == "VIP")

        await until(is_vip)
        await set_user(database, user.id, "is_active", False)
        assert await client.closing() == FORBIDDEN


async def test_whom_the_process_knows_may_go_on_while_the_store_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = await person(database), await person(database)
    door = authenticator(database)
    assert (await door.viewer(bearer(known))).user_id == known.id

    async def away(*_: Any) -> Any:
        raise StoreUnavailable("PostgreSQL cannot be reached; try again.")

    monkeypatch.setattr(auth, "LOOK_S", 0)
    monkeypatch.setattr(UserStore, "get", away)
    assert (await door.viewer(bearer(known))).user_id == known.id
    with pytest.raises(StoreUnavailable):
        await door.viewer(bearer(unknown))
    async with serving(world(), authenticator=door) as url:
        async with aiohttp.ClientSession(headers={"Authorization": bearer(unknown)}) as session:
            assert (await session.post(url, json={"query": ME})).status == 503
        async with opened(url) as client:
            await client.ws.send_json({"type": "connection_init", "payload": {"authorization": bearer(unknown)}})
            assert await client.closing() == (1013, "PostgreSQL cannot be reached; try again.")


async def test_so_many_are_known_and_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_KNOWN", 2)
    door = authenticator(database)
    for _ in range(4):
        await door.viewer(bearer(await person(database)))
    assert len(door._known) == 2


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_a_customer_of_a_provider_is_one_address(host: str, address: str) -> None:
    assert auth.address_of({"client": (host, 1)}) == address


def test_who_comes_over_a_unix_socket_has_no_address() -> None:
    assert auth.address_of({"client": None}) == auth.address_of({}) == ""
