"""Bars, and what belongs to them."""

from datetime import date, datetime
from enum import StrEnum

import strawberry

from market import Adjustment, Interval, Symbol
from resolvers.gaps import gaps
from resolvers.history import has_older
from resolvers.indicators import indicators
from schema.indicators import Indicators
from schema.provenance import Provenance
from schema.scalars import Timestamp, described, resolved_by


@strawberry.enum(description="Why a stretch holds no bars.")
class GapReason(StrEnum):
    """As the contract names them."""

    NOT_HELD = "NOT_HELD"
    NO_TRADES = "NO_TRADES"
    QUARANTINED = "QUARANTINED"


@strawberry.type(description="One bar, named by its opening instant.")
class Bar:
    """A row of `resolvers.history.History.bars`."""

    time: datetime = described("Opening instant; 00:00 UTC of the (first) trading date for D1, W1 and MN1.")
    epoch: Timestamp = described("`time` in seconds.")
    trading_day: date = described("The trading date at the venue.")
    open: float = described("First price.")
    high: float = described("Highest price.")
    low: float = described("Lowest price.")
    close: float = described("Last price; of a bar that is forming, so far.")
    volume: float | None = described("Units traded; null where the source does not say.")
    vwap: float | None = described("Average price weighted by volume.")
    trades: int | None = described("Number of trades.")
    is_final: bool = described("False while the bar is still forming.")


@strawberry.type(description="The same bars, column by column; every list is aligned with `bars`.")
class BarColumns:
    """As `resolvers.history.BarColumns`."""

    time: list[datetime] = described("Opening instants.")
    epoch: list[Timestamp] = described("`time` in seconds.")
    open: list[float] = described("First prices.")
    high: list[float] = described("Highest prices.")
    low: list[float] = described("Lowest prices.")
    close: list[float] = described("Last prices.")
    volume: list[float | None] = described("Units traded; null where the source does not say.")


@strawberry.type(description="`numerator` new shares for `denominator` old, from `time` on.")
class Split:
    """As `resolvers.history.Split`."""

    time: datetime = described("From when on.")
    numerator: float = described("Shares after it.")
    denominator: float = described("Shares before it.")


@strawberry.type(description="Cash per share, for those who held before `time`.")
class Dividend:
    """As `resolvers.history.Dividend`."""

    time: datetime = described("From when on the shares trade without it.")
    amount: float = described("Per share, in `currency`.")
    currency: str | None = described("What it is paid in; null where the source does not say.")


@strawberry.type(description="A stretch [from, to) without bars though the market was open.")
class Gap:
    """As `resolvers.gaps.Gap`."""

    start: datetime = strawberry.field(name="from", description="Its beginning.")
    end: datetime = strawberry.field(name="to", description="Its end.")
    reason: GapReason = described("Why there are none.")


@strawberry.type(description="The bars of one symbol in a window, ascending and unique.")
class History:
    """As `resolvers.history.History`."""

    symbol: Symbol = described("Whose bars they are.")
    interval: Interval = described("The length of each.")
    adjustment: Adjustment = described("How prices and volumes here were corrected.")
    currency: str | None = described("What prices are in.")
    timezone: str = described("IANA zone of the venue.")
    count: int = described("How many bars there are.")
    bars: list[Bar] = described("The bars, one object each.")
    columns: BarColumns = described("The same bars, column by column.")
    indicators: Indicators = resolved_by(indicators, "Technical indicators, each series aligned with `bars`.")
    splits: list[Split] = described("Splits that took effect within the window.")
    dividends: list[Dividend] = described("Dividends that took effect within the window.")
    gaps: list[Gap] = resolved_by(
        gaps, "Stretches inside the window that hold no bars though the market was open, by its calendar."
    )
    made_of: Interval | None = described(
        "Interval of the shorter bars that these were joined from, by the sessions of the market; null where they are"
        " as the source gave them."
    )
    has_older: bool = resolved_by(
        has_older, "True if bars exist before the first one here: ask again with to: bars[0].time."
    )
    provenance: Provenance = described("Where the newest bar came from, and how old it is.")
