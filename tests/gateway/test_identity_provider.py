"""Tokens of a company's identity provider: a real one, on 127.0.0.1."""

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from db.database import Database
from db.users import UserStore
from errors import StoreUnavailable, Unauthenticated
from gateway import auth, identity_provider
from gateway.auth import Authenticator
from gateway.identity_provider import IdentityProvider
from people import Tier
from tests.gateway.serving import serving, world
from tests.people import bearer, person, tokens

ISSUER, AUDIENCE = "https://id.example.org", "smartfin-api"
RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, tuple[str, Any]] = {
    "r": ("RS256", RSA),
    "e": ("ES256", ec.generate_private_key(ec.SECP256R1())),
    "d": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
}
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(kid: str, algorithm: str, key: Any) -> dict[str, Any]:
    told = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key())
    return {"kid": kid, "use": "sig", **json.loads(told)}


class Provider:
    """Publishes keys, and counts who asks; `failure` is a status, or what it says instead."""

    def __init__(self) -> None:
        self.keys = [jwk(kid, *key) for kid, key in KEYS.items()]
        self.asked = 0
        self.failure: int | str | None = None
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        if isinstance(self.failure, int):
            return web.Response(status=self.failure, headers={"Location": self.url})
        return web.Response(text=self.failure or json.dumps({"keys": self.keys}))


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/jwks", provider.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    yield provider
    await runner.cleanup()


@pytest.fixture
async def door(provider: Provider, database: Database) -> AsyncIterator[Authenticator]:
    reader = IdentityProvider(provider.url, ISSUER, AUDIENCE, "roles")
    yield Authenticator(tokens(), UserStore(database), reader)
    await reader.aclose()


def good() -> dict[str, Any]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "email": "ann@example.org", "iat": now, "exp": now + 600}


def token(kid: str = "r", *, key: Any = None, algorithm: str = "", header: Any = None, **claims: Any) -> str:
    """What the provider signs; a claim that is None is left out."""
    told = {name: value for name, value in {**good(), **claims}.items() if value is not None}
    of = KEYS.get(kid, ("RS256", RSA))
    signed = jwt.encode(told, key or of[1], algorithm or of[0], {"kid": kid, **(header or {})})
    return f"Bearer {signed}"


@pytest.mark.parametrize("kid", KEYS)
async def test_a_token_of_each_kind_of_key_is_good(door: Authenticator, kid: str) -> None:
    viewer = await door.viewer(token(kid))
    assert viewer.tier is Tier.REGISTERED
    assert viewer.expires_at is not None


async def test_a_user_has_a_row_from_the_first_token_on(
    provider: Provider, database: Database, door: Authenticator
) -> None:
    async with serving(world(users=UserStore(database)), authenticator=door) as url, aiohttp.ClientSession() as session:
        seen = set()
        for _ in range(2):
            async with session.post(
                url, json={"query": "{ me { id email tier } }"}, headers={"Authorization": token(roles=["x", "vip"])}
            ) as response:
                me = (await response.json())["data"]["me"]
            assert (me["email"], me["tier"]) == ("ann@example.org", "VIP")
            seen.add(me["id"])
        assert len(seen) == 1
        async with session.post(url, json={"query": "{ me { id } }"}, headers={"Authorization": "Bearer x"}) as refused:
            words = await refused.json()
        async with session.post(
            url, json={"query": "{ me { id } }"}, headers={"Authorization": token(aud="other")}
        ) as response:
            assert (response.status, await response.json()) == (401, words)
    assert provider.asked == 1


@pytest.mark.parametrize(
    ("claims", "email"),
    [
        ({"email": "Joe@Example.org"}, "joe@example.org"),
        ({"email": "taken@example.org"}, None),
        ({"email": "joe@example.org", "email_verified": False}, None),
        ({"email": "no address"}, None),
        ({"email": None}, None),
        ({"email": ["joe@example.org"]}, None),
    ],
)
async def test_an_address_is_taken_where_it_is_good_and_nobody_elses(
    door: Authenticator, database: Database, claims: dict[str, Any], email: str | None
) -> None:
    users = UserStore(database)
    taken, _ = await users.enter("taken@example.org", Tier.ADMIN)
    viewer = await door.viewer(token(sub="joe", **claims))
    assert viewer.user_id is not None
    account = await users.get(viewer.user_id)
    assert account is not None
    assert account.email == (email or f"{viewer.user_id}@users.invalid")
    assert (account.id != taken.id, viewer.tier) == (True, Tier.REGISTERED)


@pytest.mark.parametrize(
    ("roles", "tier"),
    [
        ("ADMIN", Tier.ADMIN),
        ("vip", Tier.VIP),
        (["registered", "Admin", 1], Tier.ADMIN),
        ([], Tier.REGISTERED),
        ("superuser", Tier.REGISTERED),
        ({"admin": True}, Tier.REGISTERED),
    ],
)
async def test_the_claim_gives_the_tier(door: Authenticator, roles: Any, tier: Tier) -> None:
    assert (await door.viewer(token(roles=roles))).tier is tier


async def test_without_the_claim_the_row_gives_it(
    door: Authenticator, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "LOOK_S", 0)
    viewer = await door.viewer(token())
    assert viewer.user_id is not None
    await UserStore(database).set_tier(viewer.user_id, Tier.VIP)
    assert (await door.viewer(token())).tier is Tier.VIP
    async with database.connection() as connection:
        await connection.execute("UPDATE users SET is_active = false")
    with pytest.raises(Unauthenticated):
        await door.viewer(token(roles="admin"))


FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: "Bearer " + jwt.encode(good(), "", "none", {"kid": "r"}),
    "HS256 with the public key": lambda: f"Bearer {_hs256()}",
    "another key under a known name": lambda: token(key=rsa.generate_private_key(65537, 2048)),
    "ES256 under the name of an RSA key": lambda: token("e", header={"kid": "r"}),
    "EdDSA under the name of an EC key": lambda: token("d", header={"kid": "e"}),
    "RS512 with the right key": lambda: token(algorithm="RS512"),
    "PS256 with the right key": lambda: token(algorithm="PS256"),
    "a key of its own": lambda: token(
        key=KEYS["e"][1], algorithm="ES256", header={"kid": "own", "jwk": jwk("own", *KEYS["e"])}
    ),
    "keys from elsewhere": lambda: token("own", header={"jku": "http://127.0.0.1:1/jwks"}),
    "a name that is a path": lambda: token("../../r"),
    "no name, of several keys": lambda: "Bearer " + jwt.encode(good(), RSA, "RS256"),
    "another issuer": lambda: token(iss="https://evil.test"),
    "no issuer": lambda: token(iss=None),
    "another audience": lambda: token(aud="other"),
    "no audience": lambda: token(aud=None),
    "ended": lambda: token(exp=int(time.time())),
    "no end": lambda: token(exp=None),
    "an end beyond the calendar": lambda: token(exp=10**18),
    "not yet good": lambda: token(nbf=int(time.time()) + 600),
    "no subject": lambda: token(sub=None),
}


def _hs256() -> str:
    parts = (json.dumps(part).encode() for part in ({"alg": "HS256", "kid": "r"}, good()))
    text = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (text + b"." + urlsafe_b64encode(hmac.digest(PEM, text, "sha256")).rstrip(b"=")).decode()


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_token_is_refused(door: Authenticator, how: str) -> None:
    await door.viewer(token())
    with pytest.raises(Unauthenticated):
        await door.viewer(FORGED[how]())


async def test_our_own_tokens_stay_good(door: Authenticator, database: Database, provider: Provider) -> None:
    user = await person(database, Tier.VIP)
    assert (await door.viewer(bearer(user))).user_id == user.id
    assert provider.asked == 0


async def test_a_new_key_is_found_and_unknown_names_do_not_have_it_asked_on_and_on(
    door: Authenticator, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.viewer(token())
    provider.keys = [jwk("new", "RS256", RSA)]
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await door.viewer(token("new"))
    assert provider.asked == 1
    monkeypatch.setattr(identity_provider, "REST_S", 0)
    assert await asyncio.gather(*(door.viewer(token("new")) for _ in range(5)))
    assert provider.asked == 2
    with pytest.raises(Unauthenticated):
        await door.viewer(token("r"))  # it was withdrawn


@pytest.mark.parametrize("failure", [500, 302, "<html>", '{"keys": 1}', "[]", "x" * 300_000])
async def test_keys_that_are_known_stay_good_while_the_provider_fails(
    door: Authenticator, provider: Provider, failure: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_provider, "REST_S", 0)
    provider.failure = failure
    with pytest.raises(StoreUnavailable):
        await door.viewer(token())
    provider.failure = None
    await door.viewer(token())
    provider.failure = failure
    monkeypatch.setattr(identity_provider, "FRESH_S", 0)
    assert (await door.viewer(token())).user_id
    assert provider.asked == 3


async def test_keys_that_cannot_be_used_leave_the_others_good(door: Authenticator, provider: Provider) -> None:
    strange = [None, 1, {}, {"kty": "oct", "k": "eA", "kid": "r"}, {"kty": "RSA", "kid": "r"}, {"kty": "RSA", "n": 1}]
    encrypting = {**jwk("r", "RS256", KEYS["r"][1]), "use": "enc"}
    provider.keys = [*strange, encrypting, *provider.keys]  # type: ignore[list-item]
    assert (await door.viewer(token())).user_id
