"""Signing up, in and out, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis

from db.attempts import Attempts
from db.database import Database
from db.passwords import Passwords
from db.redis import Keys, connect
from db.sessions import GRACE_S, MAX_SESSIONS, SessionStore
from db.users import UserStore
from errors import TooManyAttempts
from people import Tier
from resolvers.world import Accounts
from tests.gateway.serving import serving, world
from tests.people import authenticator, person, tokens

SIGN_UP = "mutation ($email: String!, $password: String!) { signUp(email: $email, password: $password) { SESSION } }"
SIGN_IN = "mutation ($email: String!, $password: String!) { signIn(email: $email, password: $password) { SESSION } }"
REFRESH = "mutation ($token: String!) { refreshSession(refreshToken: $token) { SESSION } }"
SIGN_OUT = "mutation ($token: String!) { signOut(refreshToken: $token) }"
SESSION = "accessToken refreshToken expiresAt user { id email tier }"
PASSWORD = "correct horse battery staple"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@dataclass
class Door:
    """Where one signs in."""

    url: str
    database: Database
    session: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)

    async def ask(self, query: str, *, shown: str | None = None, **variables: Any) -> Any:
        """The answer's data, or the extensions of its one error."""
        request = {"query": query.replace("SESSION", SESSION), "variables": variables}
        headers = {"Authorization": f"Bearer {shown}"} if shown else {}
        async with self.session.post(self.url, json=request, headers=headers) as response:
            answer = await response.json()
        if "errors" in answer:
            [error] = answer["errors"]
            assert not any((answer.get("data") or {}).values())
            return error["extensions"]
        [value] = answer["data"].values()
        return value

    async def sign_up(self, email: str = "ann@example.org") -> Any:
        session = await self.ask(SIGN_UP, email=email, password=PASSWORD)
        assert "accessToken" in session, session
        return session

    async def count(self, table: str) -> int:
        async with self.database.connection() as connection:
            count: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
        return count


@pytest.fixture
def accounts(database: Database, redis: Redis, keys: Keys) -> Accounts:
    sessions = SessionStore(
        database, tokens(), b"k" * 32, access_lifetime=timedelta(minutes=15), session_lifetime=timedelta(days=30)
    )
    return Accounts(sessions, Passwords(QUICK), Attempts(redis, keys), may_sign_up=True)


@pytest.fixture
async def door(database: Database, accounts: Accounts) -> AsyncIterator[Door]:
    answering = world(users=UserStore(database), accounts=accounts)
    async with serving(answering, authenticator=authenticator(database)) as url:
        door = Door(url, database)
        yield door
        await door.session.close()


async def test_who_signs_up_is_signed_in(door: Door) -> None:
    session = await door.ask(SIGN_UP, email=" Ann@Example.org ", password=PASSWORD)
    user = session["user"]
    assert (user["email"], user["tier"]) == ("ann@example.org", "REGISTERED")
    assert await door.ask("{ me { id email tier } }", shown=session["accessToken"]) == user
    again = await door.ask(SIGN_IN, email="ANN@example.org", password=PASSWORD)
    assert again["user"] == user
    assert len({session["refreshToken"], again["refreshToken"]}) == 2


async def test_neither_password_nor_token_is_kept(door: Door) -> None:
    session = await door.sign_up()
    async with door.database.connection() as connection:
        kept = str(await connection.fetch("SELECT u.*, s.* FROM users u JOIN sessions s ON s.user_id = u.id"))
    assert "$argon2id$" in kept
    for secret in (PASSWORD, session["accessToken"], *session["refreshToken"].split(".")[1:]):
        assert secret not in kept


@pytest.mark.parametrize(
    "email",
    ["", "ann", "@example.org", "ann@", "a b@example.org", "ann@exam ple.org", "ann@@example.org", "ann@example.org\n.",
     "änn@example.org", "ann\x00@example.org", f"{'a' * 65}@example.org", f"ann@{'e' * 251}"],
)  # fmt: skip
async def test_what_is_no_address_is_said_to_be_none(door: Door, email: str) -> None:
    for mutation in (SIGN_UP, SIGN_IN):
        assert await door.ask(mutation, email=email, password=PASSWORD) == {"code": "INVALID_EMAIL"}
    assert await door.count("users") == 0


@pytest.mark.parametrize(("length", "is_taken"), [(11, False), (12, True), (256, True), (257, False)])
async def test_a_password_has_12_to_256_characters(door: Door, length: int, is_taken: bool) -> None:
    answer = await door.ask(SIGN_UP, email="ann@example.org", password="x" * length)
    assert ("accessToken" in answer, answer.get("code")) == (is_taken, None if is_taken else "INVALID_PASSWORD")
    assert await door.count("users") == is_taken


async def test_an_address_has_one_account(door: Door) -> None:
    await door.sign_up()
    other = "another password of hers"
    assert await door.ask(SIGN_UP, email="Ann@example.org", password=other) == {"code": "EMAIL_TAKEN"}
    assert await door.ask(SIGN_IN, email="ann@example.org", password=other) == {"code": "WRONG_CREDENTIALS"}


async def test_nobody_takes_over_an_account_without_a_password(door: Door) -> None:
    admin = await person(door.database, Tier.ADMIN)
    assert await door.ask(SIGN_UP, email=admin.email, password=PASSWORD) == {"code": "EMAIL_TAKEN"}
    assert await door.ask(SIGN_IN, email=admin.email, password=PASSWORD) == {"code": "WRONG_CREDENTIALS"}


async def test_a_refusal_does_not_say_what_is_wrong_and_costs_the_same(
    door: Door, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ann", "barred", "nopassword"):
        await door.sign_up(f"{name}@example.org")
    async with door.database.connection() as connection:
        await connection.execute("UPDATE users SET is_active = false WHERE email = 'barred@example.org'")
        await connection.execute("UPDATE users SET password_hash = NULL WHERE email = 'nopassword@example.org'")
    compared: list[str] = []
    matched = accounts.passwords._is

    def compare(kept: str, password: str) -> bool:
        compared.append(kept.rpartition("$")[0].rpartition("$")[0])
        return matched(kept, password)

    monkeypatch.setattr(accounts.passwords, "_is", compare)
    for email, password in (
        ("ann", "not her password at all"),
        ("barred", PASSWORD),
        ("nopassword", PASSWORD),
        ("nobody", PASSWORD),
        ("ann", ""),
    ):
        answer = await door.ask(SIGN_IN, email=f"{email}@example.org", password=password)
        assert answer == {"code": "WRONG_CREDENTIALS"}
    assert compared == ["$argon2id$v=19$m=64,t=1,p=1"] * 5


async def test_who_tries_too_often_for_an_account_waits(door: Door) -> None:
    await door.sign_up("ann@example.org")
    await door.sign_up("joe@example.org")
    for number in range(10):
        answer = await door.ask(SIGN_IN, email="ann@example.org", password=f"a guess, number {number}")
        assert answer == {"code": "WRONG_CREDENTIALS"}
    answer = await door.ask(SIGN_IN, email="ANN@example.org", password=PASSWORD)
    assert (answer["code"], 890 < answer["retryAfter"] <= 900) == ("TOO_MANY_ATTEMPTS", True)
    assert "accessToken" in await door.ask(SIGN_IN, email="joe@example.org", password=PASSWORD)


async def test_who_got_in_begins_to_count_anew(door: Door) -> None:
    await door.sign_up()
    for _ in range(2):
        for number in range(9):
            await door.ask(SIGN_IN, email="ann@example.org", password=f"a guess, number {number}")
        assert "accessToken" in await door.ask(SIGN_IN, email="ann@example.org", password=PASSWORD)


async def test_who_tries_too_many_accounts_waits(door: Door) -> None:
    await door.sign_up()
    for number in range(30):
        await door.ask(SIGN_IN, email=f"{number}@example.org", password=PASSWORD)
    answer = await door.ask(SIGN_IN, email="ann@example.org", password=PASSWORD)
    assert answer["code"] == "TOO_MANY_ATTEMPTS"


async def test_so_many_accounts_are_made_from_one_address_and_no_more(door: Door) -> None:
    for number in range(20):
        await door.sign_up(f"{number}@example.org")
    answer = await door.ask(SIGN_UP, email="ann@example.org", password=PASSWORD)
    assert (answer["code"], answer["retryAfter"] > 900) == ("TOO_MANY_ATTEMPTS", True)
    assert await door.count("users") == 20


async def test_attempts_are_counted_without_redis_too(keys: Keys) -> None:
    nowhere = connect("redis://127.0.0.1:1/0")
    alone = Attempts(nowhere, keys)
    for _ in range(10):
        await alone.sign_in("ann@example.org", "192.0.2.1")
    with pytest.raises(TooManyAttempts):
        await alone.sign_in("ann@example.org", "192.0.2.1")
    await alone.signed_in("ann@example.org")
    await alone.sign_in("ann@example.org", "192.0.2.1")
    await nowhere.aclose()


async def test_sign_up_may_be_closed(database: Database, accounts: Accounts) -> None:
    closed = Accounts(accounts.sessions, accounts.passwords, accounts.attempts, may_sign_up=False)
    async with serving(world(users=UserStore(database), accounts=closed)) as url:
        door = Door(url, database)
        assert await door.ask(SIGN_UP, email="ann@example.org", password=PASSWORD) == {"code": "FORBIDDEN"}
        assert await door.count("users") == 0
        await door.session.close()


async def test_a_refresh_token_is_good_once_and_stolen_the_second_time(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    first = await door.sign_up()
    second = await door.ask(REFRESH, token=first["refreshToken"])
    assert second["user"] == first["user"]
    assert "email" in await door.ask("{ me { email } }", shown=second["accessToken"])
    third = await door.ask(REFRESH, token=second["refreshToken"])
    assert len({session["refreshToken"] for session in (first, second, third)}) == 3
    for stolen in (first, third):  # with the old one, the whole family ends
        assert await door.ask(REFRESH, token=stolen["refreshToken"]) == {"code": "UNAUTHENTICATED"}
    assert caplog.text.count("came a second time") == 1
    assert first["refreshToken"] not in caplog.text


async def test_two_tabs_that_refresh_at_once_go_on_with_one_token(door: Door) -> None:
    token = (await door.sign_up())["refreshToken"]
    answers = await asyncio.gather(*(door.ask(REFRESH, token=token) for _ in range(5)))
    [coming] = {answer["refreshToken"] for answer in answers}
    assert coming != token
    for answer in answers:
        assert "email" in await door.ask("{ me { email } }", shown=answer["accessToken"])
    assert "accessToken" in await door.ask(REFRESH, token=coming)


async def passed(door: Door, seconds: float) -> None:
    """Let so much time pass since the last refresh."""
    async with door.database.connection() as connection:
        await connection.execute("UPDATE sessions SET renewed_at = now() - make_interval(secs => $1)", seconds)


async def test_a_token_that_comes_again_after_its_grace_ends_the_session(door: Door) -> None:
    token = (await door.sign_up())["refreshToken"]
    coming = await door.ask(REFRESH, token=token)
    await passed(door, GRACE_S - 5)
    assert (await door.ask(REFRESH, token=token))["refreshToken"] == coming["refreshToken"]
    await passed(door, GRACE_S + 0.001)
    for stolen in (token, coming["refreshToken"]):
        assert await door.ask(REFRESH, token=stolen) == {"code": "UNAUTHENTICATED"}
    assert await door.count("sessions") == 0


async def test_grace_does_not_lengthen_a_session_or_let_in_who_may_not(door: Door) -> None:
    token = (await door.sign_up())["refreshToken"]
    await door.ask(REFRESH, token=token)
    async with door.database.connection() as connection:
        await connection.execute("UPDATE sessions SET expires_at = now() + interval '5 minutes'")
        before = await connection.fetchval("SELECT expires_at FROM sessions")
        assert "accessToken" in await door.ask(REFRESH, token=token)
        assert await connection.fetchval("SELECT expires_at FROM sessions") == before
        await connection.execute("UPDATE users SET is_active = false")
    assert await door.ask(REFRESH, token=token) == {"code": "UNAUTHENTICATED"}


async def test_a_tab_signs_out_with_the_token_that_another_has_just_refreshed(door: Door) -> None:
    token = (await door.sign_up())["refreshToken"]
    await door.ask(REFRESH, token=token)
    assert await door.ask(SIGN_OUT, token=token) is True
    assert await door.count("sessions") == 0
    token = (await door.sign_up("joe@example.org"))["refreshToken"]
    await door.ask(REFRESH, token=token)
    await passed(door, GRACE_S + 0.001)
    assert await door.ask(SIGN_OUT, token=token) is False


@pytest.mark.parametrize("token", ["", ".", "x", "x.y", "00000000000040008000000000000000.x", "\x00.x", "é.é"])
async def test_what_is_no_refresh_token_is_refused_in_the_same_words(door: Door, token: str) -> None:
    assert await door.ask(REFRESH, token=token) == {"code": "UNAUTHENTICATED"}
    assert await door.ask(SIGN_OUT, token=token) is False


@pytest.mark.parametrize(
    "change", ["UPDATE sessions SET expires_at = now()", "UPDATE users SET is_active = false", "DELETE FROM users"]
)
async def test_a_session_ends_with_its_time_and_with_its_user(door: Door, change: str) -> None:
    session = await door.sign_up()
    async with door.database.connection() as connection:
        await connection.execute(change)
    assert await door.ask(REFRESH, token=session["refreshToken"]) == {"code": "UNAUTHENTICATED"}
    assert await door.count("sessions") == 0


async def test_who_signs_out_is_out(door: Door) -> None:
    session = await door.sign_up()
    assert await door.ask(SIGN_OUT, token=session["refreshToken"]) is True
    assert await door.ask(SIGN_OUT, token=session["refreshToken"]) is False
    assert await door.ask(REFRESH, token=session["refreshToken"]) == {"code": "UNAUTHENTICATED"}


async def test_of_many_sessions_the_oldest_end(door: Door, accounts: Accounts) -> None:
    other = await door.sign_up("joe@example.org")
    user = await person(door.database)
    sessions = [await accounts.sessions.begin(user) for _ in range(MAX_SESSIONS + 2)]
    assert await door.count("sessions") == MAX_SESSIONS + 1
    for session in sessions[:2]:
        assert await accounts.sessions.refresh(session.refresh_token) is None
    assert await accounts.sessions.refresh(sessions[2].refresh_token) is not None
    assert "accessToken" in await door.ask(REFRESH, token=other["refreshToken"])


async def test_sessions_whose_time_is_over_are_not_kept(door: Door) -> None:
    await door.sign_up()
    async with door.database.connection() as connection:
        await connection.execute("UPDATE sessions SET expires_at = now()")
    await door.sign_up("joe@example.org")
    assert await door.count("sessions") == 1
