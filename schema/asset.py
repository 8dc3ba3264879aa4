"""What is traded."""

from datetime import date

import strawberry

from market import AssetType, Symbol
from resolvers.history import asset_history
from resolvers.markets import asset_market
from resolvers.quotes import asset_quote
from schema.history import History
from schema.market import Market
from schema.quote import Quote
from schema.scalars import described, resolved_by


@strawberry.type(description="What is known of one symbol, whatever its price.")
class Asset:
    """As `market.Asset`."""

    symbol: Symbol = described("What it is known by here.")
    name: str = described("What it is called.")
    type: AssetType = described("What kind of thing it is.")
    market: Market | None = resolved_by(asset_market, "Where it trades; null where that is none of `Query.markets`.")
    exchange: str | None = described("The venue's own name.")
    currency: str = described("What it is priced in.")
    timezone: str | None = described("IANA zone of the venue.")
    company_name: str | None = described("Whose shares they are.")
    sector: str | None = described("What the company does, broadly.")
    industry: str | None = described("What the company does.")
    market_cap: float | None = described("Value of all shares or coins, in `currency`.")
    tick_size: float | None = described("The least step of its price.")
    lot_size: int | None = described("The least number of units that trades.")
    is_active: bool = described("False once it is delisted.")
    is_tradable: bool = described("False for what can only be watched, such as an index.")
    delisting_date: date | None = described("Its last day, where it is delisted.")
    quote: Quote | None = resolved_by(asset_quote, "Its current quote.")
    history: History | None = resolved_by(asset_history, "Its bars, as `Query.history` has them.")


@strawberry.type(description="A page's entry.")
class AssetEdge:
    """As `resolvers.assets.Edge`."""

    cursor: str = described("Give it as `after` to continue behind this entry.")
    node: Asset = described("The asset.")


@strawberry.type(description="Where a page stands in the whole.")
class PageInfo:
    """As `resolvers.assets.PageInfo`."""

    has_next_page: bool = described("Whether more follow.")
    has_previous_page: bool = described("Whether there are some before.")
    start_cursor: str | None = described("Cursor of its first entry; null where it has none.")
    end_cursor: str | None = described("Cursor of its last entry: give it as `after` for the next page.")


@strawberry.type(description="A page of assets, ordered by symbol.")
class AssetConnection:
    """As `resolvers.assets.Connection`."""

    edges: list[AssetEdge] = described("The assets, each with its cursor.")
    page_info: PageInfo = described("Where the page stands.")
    total_count: int = described("How many match in all.")
