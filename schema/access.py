"""Who may ask what: the least tier of every root field, and whether it is about what is the viewer's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import GraphQLResolveInfo, GraphQLSchema

from people import Tier
from resolvers.viewers import at_least
from resolvers.world import Context


@dataclass(frozen=True, slots=True)
class Access:
    """From which tier on a field is answered; `own`: two viewers of one tier get two answers."""

    tier: Tier = Tier.GUEST
    own: bool = False


ALL: Final = Access()
ADMIN: Final = Access(Tier.ADMIN)
OWNER: Final = Access(Tier.REGISTERED, own=True)

ACCESS: Final[Mapping[str, Access]] = {
    "Query.quote": ALL,
    "Query.quotes": ALL,
    "Query.history": ALL,
    "Query.asset": ALL,
    "Query.assets": Access(own=True),
    "Query.market": ALL,
    "Query.markets": ALL,
    "Query.indicatorCatalog": ALL,
    "Query.sources": ALL,
    "Query.route": ALL,
    "Query.backfillJob": ADMIN,
    "Query.me": Access(own=True),
    "Query.rateLimit": Access(own=True),
    "Query.watchlists": OWNER,
    "Query.alerts": OWNER,
    "Query.alertEvents": OWNER,
    "Query.webhookSecret": OWNER,
    "Mutation.signUp": ALL,
    "Mutation.signIn": ALL,
    "Mutation.refreshSession": ALL,
    "Mutation.signOut": ALL,
    "Mutation.savePreferences": OWNER,
    "Mutation.saveWatchlist": OWNER,
    "Mutation.deleteWatchlist": OWNER,
    "Mutation.createAlert": OWNER,
    "Mutation.updateAlert": OWNER,
    "Mutation.deleteAlert": OWNER,
    "Mutation.saveSource": ADMIN,
    "Mutation.backfill": ADMIN,
    "Subscription.quotes": ALL,
    "Subscription.history": ALL,
    "Subscription.market": ALL,
    "Subscription.alerts": OWNER,
}
"""By `Type.field`. A schema with a root field that has no row cannot be built."""

OWN: Final = frozenset(name.partition(".")[2] for name, access in ACCESS.items() if access.own)
"""Names of fields whose answers nobody else may share."""


def guard(schema: GraphQLSchema) -> None:
    """Have every root field ask for its tier, before anything else. Raises KeyError for one without a row."""
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        assert root is not None
        for name, field in root.fields.items():
            tier = ACCESS[f"{root.name}.{name}"].tier
            if tier is Tier.GUEST:
                continue
            if root is schema.subscription_type:
                field.subscribe = _guarded(field.subscribe, tier)
            else:
                field.resolve = _guarded(field.resolve, tier)


def _guarded(resolve: Callable[..., Any] | None, tier: Tier) -> Callable[..., Any]:
    assert resolve is not None

    def check(source: Any, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
        at_least(info.context, tier)
        return resolve(source, info, **arguments)

    return check
