"""The latest state of a symbol."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from market import Symbol
from resolvers.assets import quote_asset
from schema.provenance import Provenance
from schema.scalars import described, resolved_by

if TYPE_CHECKING:
    from schema.asset import Asset


@strawberry.type(description="The latest state of one symbol. Null means unknown, never zero.")
class Quote:
    """As `market.Quote`."""

    symbol: Symbol = described("Whose it is.")
    price: float = described("The last price, in `currency`.")
    open: float | None = described("First price of the session.")
    high: float | None = described("Highest price of the session.")
    low: float | None = described("Lowest price of the session.")
    previous_close: float | None = described("Last price of the session before.")
    change: float | None = described("price - previousClose, rounded to the price's own decimals.")
    change_percent: float | None = described("`change` in percent of previousClose, 4 decimals.")
    volume: float | None = described("Traded in the session so far, in units of the asset.")
    turnover: float | None = described("Traded in the session so far, in `currency`.")
    bid: float | None = described("Best price that somebody pays.")
    ask: float | None = described("Best price that somebody asks.")
    bid_size: float | None = described("Units wanted at `bid`.")
    ask_size: float | None = described("Units offered at `ask`.")
    last_size: float | None = described("Units of the trade that printed `price`.")
    currency: str | None = described("ISO 4217, or the coin that a crypto pair is priced in.")
    time: datetime = described("When the venue printed this price.")
    provenance: Provenance = described("Where it came from, and how old it is.")
    asset: Annotated["Asset", strawberry.lazy("schema.asset")] = resolved_by(quote_asset, "What is traded.")
