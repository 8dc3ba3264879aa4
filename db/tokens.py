"""Access tokens of our own: JWTs that say whose they are and until when. What he may do stands in his row."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import jwt

ISSUER: Final = "smartfin"
ALGORITHM: Final = "HS256"

SKEW_S: Final = 10.0
"""How far the clock of who signed may be ahead; when a token ends, our own clock decides alone."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token and what it says."""

    text: str
    user_id: UUID
    expires_at: datetime


class AccessTokens:
    """The tokens of one mode: signed with the server's own key, good for nothing else."""

    def __init__(self, key: bytes, mode: str) -> None:
        self._key = key
        self._audience = f"smartfin:{mode}"

    def signed(self, user_id: UUID, lifetime: timedelta) -> AccessToken:
        """A token of the user, good from now on; its end is a whole second."""
        now = datetime.now(UTC)
        expires_at = (now + lifetime).replace(microsecond=0)
        claims = {"iss": ISSUER, "aud": self._audience, "sub": str(user_id), "iat": now, "exp": expires_at}
        return AccessToken(jwt.encode(claims, self._key, ALGORITHM), user_id, expires_at)

    def read(self, text: str) -> AccessToken | None:
        """What the token says; None if it is not one of ours, or has ended."""
        try:
            claims = jwt.decode(
                text,
                self._key,
                [ALGORITHM],
                {"require": ["exp", "iat", "sub"], "strict_aud": True, "enforce_minimum_key_length": True},
                audience=self._audience,
                issuer=ISSUER,
                leeway=SKEW_S,
            )
            expires_at = _EPOCH + timedelta(seconds=int(claims["exp"]))
            user_id = UUID(claims["sub"])
        except (jwt.PyJWTError, ValueError, OverflowError):
            return None
        return AccessToken(text, user_id, expires_at) if expires_at > datetime.now(UTC) else None
