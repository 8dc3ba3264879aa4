"""Who asks."""

from datetime import datetime

import strawberry

from market import AssetType
from people import NotificationMethod, Tier
from resolvers.preferences import preferences
from schema.scalars import described, resolved_by

strawberry.enum(Tier, description="What a viewer may do and how much, each more than the one before.")


@strawberry.type(description="A viewer's budget of cost for a minute, shared by all that carries requests.")
class RateLimit:
    """As `db.spending.Spent`."""

    limit: int = described("The whole budget of a minute.")
    remaining: int = described("What is left, as far as this process knows.")
    resets_at: datetime = described("When the whole budget is there again.")
    cost: int = described("What this request cost.")


@strawberry.type(description="What a user would like to see and how he would like to be told.")
class Preferences:
    """As `db.users.Preferences`."""

    notification_methods: list[NotificationMethod] = described("How an alert tells you that does not say how.")
    update_frequency_seconds: int = described(
        "Once you have chosen it: `Subscription.quotes` tells you of a symbol no more often. Till then 60, which holds"
        " nothing back."
    )
    markets: list[str] = described("By their codes; none: all of them. `assets` goes by them.")
    asset_types: list[AssetType] = described("None: all of them. `assets` goes by them.")


@strawberry.type(description="Who is signed in.")
class User:
    """As `db.users.Account`."""

    id: strawberry.ID = described("What he is known by.")
    email: str = described("In lower case.")
    tier: Tier = described("What he may do.")
    preferences: Preferences = resolved_by(preferences, "As `savePreferences` has left them.")


@strawberry.type(description="What one has who is signed in.")
class Session:
    """As `db.sessions.Session`."""

    access_token: str = described("To be shown as `Authorization: Bearer …` until `expiresAt`.")
    refresh_token: str = described(
        "For `refreshSession`, once: a second time, 10 s later or more, it ends the session."
    )
    expires_at: datetime = described("When the access token ends.")
    user: User = described("Who is signed in.")
