"""Who asks."""

import strawberry

from people import Tier
from schema.scalars import described

strawberry.enum(Tier, description="What a viewer may do and how much, each more than the one before.")


@strawberry.type(description="Who is signed in.")
class User:
    """As `db.users.Account`."""

    id: strawberry.ID
    email: str = described("In lower case.")
    tier: Tier
