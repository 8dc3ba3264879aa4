"""Sessions: who is signed in, and the refresh token that each is kept up with."""

import base64
import hmac
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import delete, select

from db import tables
from db.database import Database
from db.tokens import AccessTokens
from db.users import Account, account_of

logger = logging.getLogger(__name__)

MAX_SESSIONS: Final = 20
"""Of one user; one more ends the oldest."""

SECRET_BYTES: Final = 32

GRACE_S: Final = 10.0
"""How long after a refresh its token is answered once more: two tabs of one browser may send it at the same moment."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a user has who is signed in: an access token, good until `expires_at`, and what gets the next one."""

    user: Account
    access_token: str
    expires_at: datetime
    refresh_token: str


class SessionStore:
    """The table `sessions`: of a refresh token it has the hash, and each token is good once.

    A token that comes a second time was stolen, from the user or by him who comes first: the session ends for both
    (RFC 9700, 4.14.2). But for GRACE_S after a refresh the token that was shown gets the very same next one, which is
    made of it with a key of ours: so two who show it at once go on with one token, and no second one is ever about.
    """

    def __init__(
        self,
        database: Database,
        tokens: AccessTokens,
        key: bytes,
        *,
        access_lifetime: timedelta,
        session_lifetime: timedelta,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._key = key
        self._access_lifetime = access_lifetime
        self._session_lifetime = session_lifetime

    async def begin(self, user: Account) -> Session:
        """A new session of the user."""
        row = tables.Session(id=uuid4(), user_id=user.id, token_hash=b"", expires_at=datetime.now(UTC))
        begun = self._renewed(row, user, secrets.token_urlsafe(SECRET_BYTES))
        newest = select(_column("id")).where(_column("user_id") == user.id).order_by(_column("created_at").desc())
        async with self._database.session() as session:
            session.add(row)
            await session.flush()
            await session.execute(delete(tables.Session).where(_column("id").in_(newest.offset(MAX_SESSIONS))))
            await session.execute(delete(tables.Session).where(_column("expires_at") < datetime.now(UTC)))
        return begun

    async def refresh(self, refresh_token: str) -> Session | None:
        """The session with new tokens; None where the token is not good, or the user may not ask any more."""
        session_id, secret = _parts(refresh_token)
        if session_id is None:
            return None
        async with self._database.session() as session:
            row = await session.get(tables.Session, session_id, with_for_update=True)
            if row is None:
                return None
            user = account_of(await session.get_one(tables.User, row.user_id))
            hashed, now = _hashed(secret), datetime.now(UTC)
            is_newest = hmac.compare_digest(row.token_hash, hashed)
            is_good = is_newest or _is_just_renewed(row, hashed, now)
            if is_good and user.is_active and row.expires_at > now:
                coming = self._next(row.id, secret)
                if is_newest:
                    row.renewed_hash, row.renewed_at = row.token_hash, now
                    return self._renewed(row, user, coming)
                return self._session(row, user, coming)
            if not is_good:
                logger.warning("a refresh token of user %s came a second time: the session is ended", user.id)
            await session.delete(row)
        return None

    async def end(self, refresh_token: str) -> bool:
        """Whether there was such a session; there is none now. A token in its time of grace ends it too."""
        session_id, secret = _parts(refresh_token)
        if session_id is None:
            return False
        hashed = _hashed(secret)
        async with self._database.session() as session:
            row = await session.get(tables.Session, session_id, with_for_update=True)
            if row is None:
                return False
            if row.token_hash != hashed and not _is_just_renewed(row, hashed, datetime.now(UTC)):
                return False
            await session.delete(row)
        return True

    def _renewed(self, row: tables.Session, user: Account, secret: str) -> Session:
        row.token_hash = _hashed(secret)
        row.expires_at = datetime.now(UTC) + self._session_lifetime
        return self._session(row, user, secret)

    def _session(self, row: tables.Session, user: Account, secret: str) -> Session:
        token = self._tokens.signed(user.id, self._access_lifetime)
        return Session(user, token.text, token.expires_at, f"{row.id.hex}.{secret}")

    def _next(self, session_id: UUID, secret: str) -> str:
        """What follows a secret of the session: nobody without the key can tell it, and it is the same each time."""
        made = hmac.digest(self._key, session_id.bytes + secret.encode(), "sha256")
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def _is_just_renewed(row: tables.Session, hashed: bytes, now: datetime) -> bool:
    if row.renewed_hash is None or row.renewed_at is None:
        return False
    is_in_time = now - row.renewed_at <= timedelta(seconds=GRACE_S)
    return is_in_time and hmac.compare_digest(row.renewed_hash, hashed)


def _parts(refresh_token: str) -> tuple[UUID | None, str]:
    name, _, secret = refresh_token.partition(".")
    try:
        return UUID(hex=name), secret
    except ValueError:
        return None, secret


def _hashed(secret: str) -> bytes:
    # It was drawn at random: nobody tries them all, so a quick hash will do.
    return sha256(secret.encode()).digest()


def _column(name: str) -> Any:
    return getattr(tables.Session, name)
