"""What each field costs: about one for each thing that must be looked up, ten for a history."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of a field; it and everything below count as often as the argument `times` says, by value or length."""

    amount: int
    times: str | None = None


FREE = Cost(0)
"""A field that its object has already: all that are not in the table."""

COSTS = {
    "Query.quote": Cost(1),
    "Query.quotes": Cost(1, times="symbols"),
    "Query.history": Cost(10),
    "Query.asset": Cost(1),
    "Query.assets": Cost(1, times="first"),
    "Query.market": Cost(1),
    "Query.markets": Cost(20),
    "Query.indicatorCatalog": Cost(5),
    "Query.sources": Cost(10),
    "Query.route": Cost(5),
    "Query.backfillJob": Cost(1),
    "Query.me": Cost(1),
    "Query.rateLimit": FREE,
    "Query.watchlists": Cost(1),
    "Query.alerts": Cost(5),
    "Query.alertEvents": Cost(1, times="first"),
    "Query.webhookSecret": Cost(1),
    "Mutation.savePreferences": Cost(5),
    "Mutation.saveWatchlist": Cost(5),
    "Mutation.deleteWatchlist": Cost(5),
    "Mutation.createAlert": Cost(5),
    "Mutation.updateAlert": Cost(5),
    "Mutation.deleteAlert": Cost(5),
    "Mutation.signUp": Cost(50),
    "Mutation.signIn": Cost(50),
    "Mutation.refreshSession": Cost(5),
    "Mutation.signOut": Cost(5),
    "Mutation.saveSource": Cost(10),
    "Mutation.backfill": Cost(5, times="symbols"),
    "Subscription.quotes": Cost(1, times="symbols"),
    "Subscription.history": Cost(10),
    "Subscription.market": Cost(1),
    "Subscription.alerts": Cost(5),
    "Quote.asset": Cost(1),
    "User.preferences": Cost(1),
    "Watchlist.quotes": Cost(100),
    "Asset.market": Cost(1),
    "Asset.quote": Cost(1),
    "Asset.history": Cost(10),
    "History.indicators": Cost(5),
    "History.gaps": Cost(5),
    "History.hasOlder": Cost(5),
    "IndicatorInfo.parameters": FREE,
    "Indicators.*": Cost(1),
    "Patterns.*": Cost(1),
}
"""By `Type.field`, or `Type.*` for all fields of a type. A test finds a field that is resolved and has no price."""
