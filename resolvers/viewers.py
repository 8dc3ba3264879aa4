"""What a resolver asks of the viewer, before it does anything."""

from uuid import UUID

from errors import Forbidden, Unauthenticated
from people import Tier
from resolvers.world import Context


def signed_in(context: Context) -> UUID:
    """The viewer's user. Raises Unauthenticated for a guest."""
    if context.viewer.user_id is None:
        raise Unauthenticated("Sign in first.")
    return context.viewer.user_id


def at_least(context: Context, tier: Tier) -> None:
    """Raises Unauthenticated for a guest, Forbidden where the viewer's tier is below this one."""
    if context.viewer.tier.rank < tier.rank:
        signed_in(context)
        raise Forbidden(f"This takes the tier {tier.value}.")
