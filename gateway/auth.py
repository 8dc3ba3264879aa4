"""Who asks: the viewer that the `Authorization` of a request, or of a connection, stands for."""

import asyncio
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final
from uuid import UUID

from starlette.types import Scope

from db.tokens import AccessTokens
from db.users import Account, UserStore
from errors import StoreUnavailable, Unauthenticated
from gateway.identity_provider import IdentityProvider
from people import GUEST, Viewer

LOOK_S: Final = 60.0
"""How long a change of a user's tier, or his being barred, may go unnoticed."""

MAX_CHARACTERS: Final = 8192
LONGEST_ADDRESS: Final = 100
"""Characters; no address has as many, but a proxy may say what it likes."""
MAX_KNOWN: Final = 10_000

_BEARER = re.compile(r"bearer +([\w~+/.-]+=*)", re.IGNORECASE | re.ASCII)  # RFC 6750, 2.1


def authorization_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The `Authorization` among the headers; two of them are one that is not good."""
    values = [value for name, value in headers if name == b"authorization"]
    return b", ".join(values).decode("latin-1") if values else None


def address_of(scope: Scope) -> str:
    """Where a request comes from; of IPv6 the network of 64 bits, which is one customer of a provider."""
    return _network_of(scope["client"][0][:LONGEST_ADDRESS] if scope.get("client") else "")


@lru_cache(4096)
def _network_of(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))


class Authenticator:
    """Finds the viewer of a token, and his tier in his row: what a token was issued for does not outlive a change.

    A token of the identity provider may give the tier itself; its user has a row from the first time on.

    While PostgreSQL does not answer, those whom this process knows may go on: nobody can change their rows then.
    """

    def __init__(self, tokens: AccessTokens, users: UserStore, provider: IdentityProvider | None = None) -> None:
        self._tokens = tokens
        self._users = users
        self._provider = provider
        self._known: dict[UUID, tuple[float, Account]] = {}

    async def viewer(self, authorization: str | None) -> Viewer:
        """Who shows this; the guest where nothing is shown.

        Raises Unauthenticated, in the same words whatever is wrong with it, and StoreUnavailable.
        """
        if authorization is None:
            return GUEST
        viewer = await self._found(authorization)
        if viewer is None:
            raise Unauthenticated("The token is not good: get a new one, or ask without.")
        return viewer

    async def _found(self, authorization: str) -> Viewer | None:
        if len(authorization) > MAX_CHARACTERS or not (bearer := _BEARER.fullmatch(authorization)):
            return None
        if token := self._tokens.read(bearer[1]):
            account = await self._account(token.user_id)
            tier, expires_at = None, token.expires_at
        elif self._provider and (identity := await self._provider.read(bearer[1])):
            account = await self._account(identity.user_id, identity.email)
            tier, expires_at = identity.tier, identity.expires_at
        else:
            return None
        if account is None or not account.is_active:
            return None
        return Viewer(account.id, tier or account.tier, expires_at)

    async def _account(self, user_id: UUID, email: str | None = None) -> Account | None:
        looked_at, account = self._known.get(user_id, (-LOOK_S, None))
        now = time.monotonic()
        if account is not None and now - looked_at < LOOK_S:
            return account
        try:
            found = await (self._users.get(user_id) if email is None else self._users.admit(user_id, email))
        except StoreUnavailable:
            if account is None:
                raise
            return account
        self._known.pop(user_id, None)
        if found is not None:
            self._known[user_id] = (now, found)
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]  # who was looked up longest ago
        return found


class Admission:
    """Who is at the other end of a connection, for as long as it lasts: a guest until something is shown."""

    __slots__ = ("_authenticator", "_authorization", "viewer")

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._authorization: str | None = None
        self.viewer = GUEST

    async def show(self, authorization: str | None) -> None:
        """Let the viewer in, or for longer. Raises as `Authenticator.viewer`, and where somebody else is in already."""
        viewer = await self._authenticator.viewer(authorization)
        if self.viewer.user_id not in (None, viewer.user_id):
            raise Unauthenticated("Somebody else is signed in on this connection: open another.")
        self.viewer, self._authorization = viewer, authorization

    async def ended(self) -> None:
        """Return once what was shown last is not good any more: at its end, or a minute after the user was barred."""
        while True:
            await asyncio.sleep(self._rest_s())
            shown = self._authorization
            try:
                viewer = await self._authenticator.viewer(shown)
            except Unauthenticated:
                if shown == self._authorization:
                    return
            except StoreUnavailable:
                await asyncio.sleep(1)  # it has not ended: that is found out without the store
            else:
                if shown == self._authorization:
                    self.viewer = viewer

    def _rest_s(self) -> float:
        if self.viewer.expires_at is None:
            return LOOK_S
        left_s = (self.viewer.expires_at - datetime.now(UTC)).total_seconds()
        return max(0.01, min(LOOK_S, left_s))
