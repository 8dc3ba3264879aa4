"""The words of who asks: tiers, addresses, and the viewer of a request."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Tier(StrEnum):
    """What a viewer may do and how much, each more than the one before."""

    GUEST = "GUEST"
    REGISTERED = "REGISTERED"
    VIP = "VIP"
    ADMIN = "ADMIN"

    @property
    def rank(self) -> int:
        """0 for a guest, 3 for an admin."""
        return list(Tier).index(self)


class NotificationMethod(StrEnum):
    """How a user is told."""

    WEB = "WEB"
    EMAIL = "EMAIL"
    SMS = "SMS"
    WEBHOOK = "WEBHOOK"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. A guest has no user; `expires_at` is when its token ends, None where it has none."""

    user_id: UUID | None = None
    tier: Tier = Tier.GUEST
    expires_at: datetime | None = None


GUEST = Viewer()

_EMAIL = re.compile(r"(?=.{3,254}\Z)[!-?A-~]{1,64}@[a-z0-9.-]+", re.IGNORECASE | re.ASCII)


def parse_email(text: str) -> str:
    """The e-mail address in lower case. Raises ValueError for what can be none; domains are as DNS has them."""
    if not _EMAIL.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no e-mail address")
    return text.lower()
