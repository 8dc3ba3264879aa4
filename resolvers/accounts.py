"""The viewer's own account."""

from dataclasses import replace

from strawberry.types import Info

from db.users import Account
from resolvers.world import Context


async def me(info: Info[Context, None]) -> Account | None:
    """The account of the viewer, with the tier that counts; None for a guest."""
    viewer = info.context.viewer
    account = None if viewer.user_id is None else await info.context.world.users.get(viewer.user_id)
    return account and replace(account, tier=viewer.tier)
