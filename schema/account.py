"""Who asks."""

from datetime import datetime

import strawberry

from people import Tier
from schema.scalars import described

strawberry.enum(Tier, description="What a viewer may do and how much, each more than the one before.")


@strawberry.type(description="A viewer's budget of cost for a minute, shared by all that carries requests.")
class RateLimit:
    """As `db.spending.Spent`."""

    limit: int
    remaining: int = described("What is left, as far as this process knows.")
    resets_at: datetime = described("When the whole budget is there again.")
    cost: int = described("What this request cost.")


@strawberry.type(description="Who is signed in.")
class User:
    """As `db.users.Account`."""

    id: strawberry.ID
    email: str = described("In lower case.")
    tier: Tier


@strawberry.type(description="What one has who is signed in.")
class Session:
    """As `db.sessions.Session`."""

    access_token: str = described("To be shown as `Authorization: Bearer …` until `expiresAt`.")
    refresh_token: str = described("For `refreshSession`, once: a second time it ends the session.")
    expires_at: datetime
    user: User
