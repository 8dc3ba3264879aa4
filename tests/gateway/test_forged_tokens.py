"""Forged tokens, each refused in the same words over HTTP and WebSocket."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from db.database import Database
from db.migrate import migrate
from db.sealing import token_key
from db.users import Account, UserStore
from gateway.transport_ws import FORBIDDEN
from people import Tier
from settings import Mode, load_settings
from tests.gateway.serving import serving, world
from tests.gateway.sockets import opened
from tests.people import SECRET, authenticator, bearer, person, tokens

KEY = token_key(load_settings(secret_key=SECRET))
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def b64(part: bytes | dict[str, Any]) -> str:
    content = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(
    header: bytes | dict[str, Any], claims: bytes | dict[str, Any], key: bytes = KEY, digest: str = "sha256"
) -> str:
    """A JWS as whoever has the key would make it, whatever it says."""
    text = f"{b64(header)}.{b64(claims)}"
    return f"{text}.{b64(hmac.digest(key, text.encode(), digest))}"


HOUR = timedelta(hours=1)
HS256 = {"alg": "HS256", "typ": "JWT"}


def claims(account: Account, **others: Any) -> dict[str, Any]:
    """What a good token of the account says; a claim that is None is left out."""
    now = int(time.time())
    good = {"iss": "smartfin", "aud": "smartfin:sandbox", "sub": str(account.id), "iat": now, "exp": now + 600}
    return {name: value for name, value in {**good, **others}.items() if value is not None}


def says(**others: Any) -> Callable[[Account], str]:
    """A token with our signature whose claims are not good."""
    return lambda account: signed(HS256, claims(account, **others))


def headed(**header: Any) -> Callable[[Account], str]:
    """A token with our signature whose header is not good."""
    return lambda account: signed({**HS256, **header}, claims(account))


def keyed(key: Any, algorithm: str) -> Callable[[Account], str]:
    """A token of somebody else's key, who would like us to take his word for which."""
    return lambda account: jwt.encode(claims(account), key, algorithm)


def cut(change: Callable[[str, str, str], str]) -> Callable[[Account], str]:
    """A good token, changed."""
    return lambda account: change(*tokens_of(account).split("."))


def tokens_of(account: Account) -> str:
    return bearer(account).removeprefix("Bearer ")


FAR = 10**12
JWK = {"kty": "oct", "k": b64(b"x" * 32)}
FORGED: dict[str, Callable[[Account], str]] = {
    "alg none": lambda account: f"{b64({'alg': 'none'})}.{b64(claims(account))}.",
    "alg None, with a signature": headed(alg="None"),
    "alg NONE": lambda account: f"{b64({'alg': 'NONE'})}.{b64(claims(account))}.",
    "alg empty": headed(alg=""),
    "no alg": lambda account: signed({"typ": "JWT"}, claims(account)),
    "alg a list": headed(alg=["HS256"]),
    "alg null": headed(alg=None),
    "alg hs256": headed(alg="hs256"),
    "alg HS512 with our key": lambda account: signed({"alg": "HS512"}, claims(account), digest="sha512"),
    "alg unknown": headed(alg="HS1"),
    "a key of nothing": lambda account: signed(HS256, claims(account), b""),
    "a guessed key": lambda account: signed(HS256, claims(account), b"secret"),
    "the secret itself": lambda account: signed(HS256, claims(account), SECRET.encode()),
    "the sealer's key": lambda account: signed(HS256, claims(account), hashlib.sha256(SECRET.encode()).digest()),
    "the key of the other mode": lambda account: tokens(Mode.LIVE).signed(account.id, HOUR).text,
    "HS256 with a public key": lambda account: signed(HS256, claims(account), PEM),
    "RS256": keyed(RSA, "RS256"),
    "PS256": keyed(RSA, "PS256"),
    "ES256": keyed(EC, "ES256"),
    "EdDSA": keyed(ED, "EdDSA"),
    "a jwk of his own": lambda account: signed({**HS256, "jwk": JWK}, claims(account), b"x" * 32),
    "a kid that is a path": lambda account: signed({**HS256, "kid": "../../dev/null"}, claims(account), b""),
    "a kid that is SQL": lambda account: signed({**HS256, "kid": "' UNION SELECT 'x"}, claims(account), b"x"),
    "a kid that is a number": headed(kid=1),
    "a jku": lambda account: signed({**HS256, "jku": "http://127.0.0.1:1/jwks"}, claims(account), b"x" * 32),
    "an x5u": lambda account: signed({**HS256, "x5u": "http://127.0.0.1:1/x"}, claims(account), b"x" * 32),
    "an unknown crit": headed(crit=["exp-later"], **{"exp-later": True}),
    "an empty crit": headed(crit=[]),
    "b64 false": lambda account: signed({**HS256, "b64": False, "crit": ["b64"]}, b""),
    "another issuer": says(iss="https://evil.test"),
    "no issuer": says(iss=None),
    "another audience": says(aud="smartfin:live"),
    "ours among other audiences": says(aud=["smartfin:sandbox", "other"]),
    "no audience": says(aud=None),
    "ended this second": lambda account: signed(HS256, claims(account, exp=int(time.time()))),
    "ended while other clocks say not yet": lambda account: signed(HS256, claims(account, exp=int(time.time()) - 3)),
    "ended long ago": says(exp=1),
    "no end": says(exp=None),
    "an end that is no number": says(exp="later"),
    "an end beyond the calendar": says(exp=FAR * 10**6),
    "an end at infinity": lambda account: signed(HS256, json.dumps(claims(account, exp=float("inf"))).encode()),
    "not yet good": says(nbf=FAR),
    "issued in the future": says(iat=FAR),
    "no time of issue": says(iat=None),
    "no subject": says(sub=None),
    "a subject that is no user": says(sub="admin"),
    "a subject that is nobody": says(sub="00000000-0000-4000-8000-000000000000"),
    "a subject that is a list": says(sub=["admin"]),
    "claims that are a list": lambda _: signed(HS256, b"[]"),
    "claims that are no JSON": lambda _: signed(HS256, b"{"),
    "claims as deep as a well": lambda _: signed(HS256, b"[" * 4000),
    "a header that is no JSON": lambda account: signed(b"{", claims(account)),
    "no signature": cut(lambda header, body, _: f"{header}.{body}."),
    "another's signature": cut(lambda header, body, _: f"{header}.{body}.{b64(b'x' * 32)}"),
    "other claims under the signature": cut(
        lambda header, _, signature: f"{header}.{b64({'sub': 'admin', 'exp': FAR})}.{signature}"
    ),
    "cut off": cut(lambda header, body, signature: f"{header}.{body}.{signature[:-4]}"),
    "two parts": cut(lambda header, body, _: f"{header}.{body}"),
    "five parts": cut(lambda *parts: ".".join([*parts, "x", "y"])),
    "no token": lambda _: "x",
    "longer than any": cut(lambda *parts: ".".join(parts) + "A" * 40_000),
    "a megabyte": cut(lambda *parts: ".".join(parts) + "A" * 1_000_000),
}
MAX_FRAME = 65_536


@pytest.fixture(scope="module")
async def endpoint(database_url: str) -> AsyncIterator[tuple[str, Account]]:
    """Where it answers, and an admin whom everybody would like to be."""
    database = Database(database_url, "forged")
    await migrate(database)
    async with serving(world(users=UserStore(database)), authenticator=authenticator(database)) as url:
        yield url, await person(database, Tier.ADMIN)
    await database.aclose()


async def asked(url: str, authorization: str) -> tuple[int, str | None, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"query": "{ me { tier } }"}, headers={"Authorization": authorization}) as response,
    ):
        return response.status, response.headers.get("WWW-Authenticate"), await response.json()


async def greeting(url: str, authorization: Any) -> Any:
    """What `connection_init` with it is answered: a message, or the code and reason of the close."""
    async with opened(url) as client:
        await client.ws.send_json({"type": "connection_init", "payload": {"authorization": authorization}})
        message = await client.ws.receive(timeout=10)
        return (message.data, message.extra) if message.type is aiohttp.WSMsgType.CLOSE else message.json()


REFUSED = (
    401,
    'Bearer error="invalid_token"',
    {
        "errors": [
            {
                "message": "The token is not good: get a new one, or ask without.",
                "extensions": {"code": "UNAUTHENTICATED"},
            }
        ]
    },
)


async def test_the_token_that_they_imitate_is_good(endpoint: tuple[str, Account]) -> None:
    url, admin = endpoint
    for token in (tokens_of(admin), signed(HS256, claims(admin))):
        assert await asked(url, f"Bearer {token}") == (200, None, {"data": {"me": {"tier": "ADMIN"}}})
        assert await greeting(url, f"Bearer {token}") == {"type": "connection_ack"}


@pytest.mark.parametrize("how", FORGED)
async def test_a_forged_token_is_refused_in_the_same_words_as_any_other(
    endpoint: tuple[str, Account], how: str
) -> None:
    url, admin = endpoint
    token = FORGED[how](admin)
    assert await asked(url, f"Bearer {token}") == REFUSED
    if len(token) < MAX_FRAME:
        assert await greeting(url, f"Bearer {token}") == (FORBIDDEN, "Forbidden")


@pytest.mark.parametrize(
    "scheme", ["", "Basic {}", "Bearer", "Bearer ", "Bearer\t{}", "Bearer {} x", "{}", "Bearer  ,{}"]
)
async def test_what_is_no_bearer_token_is_refused_too(endpoint: tuple[str, Account], scheme: str) -> None:
    url, admin = endpoint
    assert await asked(url, scheme.format(tokens_of(admin))) == REFUSED
    assert await greeting(url, scheme.format(tokens_of(admin))) == (FORBIDDEN, "Forbidden")


async def test_two_tokens_are_as_good_as_none(endpoint: tuple[str, Account]) -> None:
    url, admin = endpoint
    headers = [("Authorization", bearer(admin)), ("Authorization", bearer(admin))]
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json={"query": "{ me { tier } }"}, headers=headers) as response,
    ):
        assert response.status == 401


@pytest.mark.parametrize("shown", [1, {"Bearer": "x"}, ["x"], True])
async def test_what_is_no_text_is_no_token(endpoint: tuple[str, Account], shown: Any) -> None:
    assert await greeting(endpoint[0], shown) == (FORBIDDEN, "Forbidden")
