"""What a user would like to see and how he would like to be told."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import strawberry
from strawberry.types import Info

import resolvers.enums  # noqa: F401 - they are marked before the input below is made of them
from db.users import Account, Preferences
from errors import InvalidParameter, NotificationRefused
from market import AssetType
from people import NotificationMethod
from resolvers.markets import checked_code
from resolvers.viewers import signed_in
from resolvers.world import Context, World

LONGEST_UPDATE_S: Final = 86_400


@strawberry.input(description="What is to change; what is null or left out stays as it is.")
class PreferencesInput:
    """As `db.users.Preferences`, before it is checked."""

    notification_methods: list[NotificationMethod] | None = strawberry.field(
        default=None, description="Those that are set up on this server."
    )
    update_frequency_seconds: int | None = strawberry.field(default=None, description="1-86400.")
    markets: list[str] | None = strawberry.field(default=None, description="Codes that `Query.markets` has.")
    asset_types: list[AssetType] | None = strawberry.field(default=None, description="An empty list: all of them.")


async def preferences(root: Account, info: Info[Context, None]) -> Preferences:
    """What the user has chosen."""
    return await info.context.world.users.preferences(root.id)


async def save_preferences(
    info: Info[Context, None],
    input: Annotated[PreferencesInput, strawberry.argument(description="What is to change.")],  # noqa: A002 - the name in the contract
) -> Preferences:
    """The viewer's preferences with these changes. Raises NotificationRefused, InvalidParameter, MarketNotFound."""
    user_id, world = signed_in(info.context), info.context.world
    return await world.users.save_preferences(user_id, _changes(world, input))


def _changes(world: World, asked: PreferencesInput) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if asked.notification_methods is not None:
        changes["notification_methods"] = _methods(world, asked.notification_methods)
    if (seconds := asked.update_frequency_seconds) is not None:
        if not 1 <= seconds <= LONGEST_UPDATE_S:
            raise InvalidParameter(
                f"updateFrequencySeconds: {seconds} is outside 1 to {LONGEST_UPDATE_S}.",
                minimum=1,
                maximum=LONGEST_UPDATE_S,
            )
        changes["update_frequency_seconds"] = seconds
    if asked.markets is not None:
        changes["markets"] = list(dict.fromkeys(map(checked_code, asked.markets)))
    if asked.asset_types is not None:
        changes["asset_types"] = list(dict.fromkeys(asked.asset_types))
    return changes


def _methods(world: World, asked: Sequence[NotificationMethod]) -> list[NotificationMethod]:
    for method in asked:
        if method not in world.notification_methods:
            raise NotificationRefused(f"notificationMethods: {method} is not set up on this server.")
    return list(dict.fromkeys(asked))
