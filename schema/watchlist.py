"""The lists of symbols that a user keeps."""

import strawberry

from market import Symbol
from resolvers.watchlists import watchlist_quotes
from schema.quote import Quote
from schema.scalars import described, resolved_by


@strawberry.type(description="A named list of symbols.")
class Watchlist:
    """As `resolvers.watchlists.Listed`."""

    id: strawberry.ID = described("What it is known by.")
    name: str = described("What you call it.")
    symbols: list[Symbol] = described("Each once, in your order.")
    quotes: list[Quote | None] = resolved_by(
        watchlist_quotes, "The current quotes in the order of `symbols`; those of several lists are read at once."
    )
