"""A company's identity provider: its tokens, and the keys that it publishes as a JWKS (RFC 7517)."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

import aiohttp
import jwt
import orjson

from db.tokens import SKEW_S
from errors import StoreUnavailable
from people import Tier, parse_email

logger = logging.getLogger(__name__)

FRESH_S: Final = 600.0
"""How long keys count as fresh: one that the provider has withdrawn is good for no longer, while it answers."""

REST_S: Final = 10.0
"""The least time between two questions, whatever tokens come; so long a new key may go unknown."""

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 262_144
MAX_KEYS: Final = 100

_KINDS: Final = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token of the provider is about; `tier` is None where it gives none."""

    user_id: UUID
    email: str
    tier: Tier | None
    expires_at: datetime


class IdentityProvider:
    """Reads the tokens of one issuer, for one audience. A key is good for the one algorithm that it is made for.

    A token that names an unknown key has the keys fetched anew. While the provider does not answer, those that are
    known stay good.
    """

    def __init__(self, jwks_url: str, issuer: str, audience: str, tier_claim: str) -> None:
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._tier_claim = tier_claim
        self._keys: dict[str, jwt.PyJWK] | None = None
        self._fetched_at = self._asked_at = -math.inf
        self._fetching = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def read(self, token: str) -> Identity | None:
        """Whom the token is about; None if it is not good. Raises StoreUnavailable where no keys could be had yet."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header.get("kid"), header.get("alg"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                [key.algorithm_name],
                {"require": ["exp", "sub"], "enforce_minimum_key_length": True},
                audience=self._audience,
                issuer=self._issuer,
                leeway=SKEW_S,
            )
            expires_at = _EPOCH + timedelta(seconds=int(claims["exp"]))
        except (jwt.PyJWTError, OverflowError):
            return None
        return self._identity(claims, expires_at) if expires_at > datetime.now(UTC) else None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _identity(self, claims: Mapping[str, Any], expires_at: datetime) -> Identity:
        user_id = uuid5(NAMESPACE_URL, f"{self._issuer}#{claims['sub']}")
        try:
            email = parse_email(str(claims.get("email") or ""))
        except ValueError:
            email = ""
        if not email or claims.get("email_verified") in (False, "false"):
            email = f"{user_id}@users.invalid"  # no mail ever gets there (RFC 2606)
        return Identity(user_id, email, _tier(claims.get(self._tier_claim)), expires_at)

    async def _key(self, name: object, algorithm: object) -> jwt.PyJWK | None:
        """The key of the name; where a token names none, the only one."""
        if algorithm not in _KINDS.values():
            return None
        keys = await self._current(name)
        if name is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(str(name))

    async def _current(self, name: object) -> Mapping[str, jwt.PyJWK]:
        # Who has a key does not wait for those who look for another.
        if self._keys is not None and self._has(name) and (self._is_fresh() or self._fetching.locked()):
            return self._keys
        async with self._fetching:
            if not (self._has(name) and self._is_fresh()) and time.monotonic() - self._asked_at >= REST_S:
                self._asked_at = time.monotonic()
                try:
                    self._keys = await self._fetched()
                    self._fetched_at = time.monotonic()
                except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                    logger.warning("the keys of %s cannot be had: %s", self._issuer, error or type(error).__name__)
            if self._keys is None:
                raise StoreUnavailable("The identity provider cannot be reached; try again.")
            return self._keys

    def _has(self, name: object) -> bool:
        return self._keys is not None and (name is None or name in self._keys)

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._fetched_at < FRESH_S

    async def _fetched(self) -> dict[str, jwt.PyJWK]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))
        async with self._session.get(self._jwks_url, allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            body = await response.content.read(MAX_BYTES)
            while len(body) < MAX_BYTES and (more := await response.content.read(MAX_BYTES - len(body))):
                body += more
        told = orjson.loads(body)
        if not isinstance(told, dict) or not isinstance(told.get("keys"), list):
            raise ValueError("it is no set of keys")
        return dict(filter(None, map(_usable, told["keys"][:MAX_KEYS])))


def _usable(told: Any) -> tuple[str, jwt.PyJWK] | None:
    """A key by its name; None for what does not sign, or not in a way that is taken here."""
    if not isinstance(told, dict) or told.get("use", "sig") != "sig":
        return None
    algorithm = _KINDS.get((str(told.get("kty")), told.get("crv")))
    if algorithm is None or told.get("alg", algorithm) != algorithm:
        return None
    try:
        return str(told.get("kid", "")), jwt.PyJWK(told, algorithm)
    except jwt.PyJWTError:
        return None


def _tier(claimed: object) -> Tier | None:
    """The highest tier that a claim names, be it a word or a list of roles."""
    words = claimed if isinstance(claimed, list) else [claimed]
    named = {str(word).upper() for word in words}
    return max((tier for tier in Tier if tier in named), key=lambda tier: tier.rank, default=None)
