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
    open: float
    high: float
    low: float
    close: float
    volume: float | None = described("Units traded; null where the source does not say.")
    vwap: float | None = described("Average price weighted by volume.")
    trades: int | None = described("Number of trades.")
    is_final: bool = described("False while the bar is still forming.")


@strawberry.type(description="The same bars, column by column; every list is aligned with `bars`.")
class BarColumns:
    """As `resolvers.history.BarColumns`."""

    time: list[datetime]
    epoch: list[Timestamp]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float | None]


@strawberry.type(description="`numerator` new shares for `denominator` old, from `time` on.")
class Split:
    """As `resolvers.history.Split`."""

    time: datetime
    numerator: float
    denominator: float


@strawberry.type(description="Cash per share, for those who held before `time`.")
class Dividend:
    """As `resolvers.history.Dividend`."""

    time: datetime
    amount: float
    currency: str | None


@strawberry.type(description="A stretch [from, to) without bars though the market was open.")
class Gap:
    """As `resolvers.gaps.Gap`."""

    start: datetime = strawberry.field(name="from", description="Its beginning.")
    end: datetime = strawberry.field(name="to", description="Its end.")
    reason: GapReason


@strawberry.type(description="The bars of one symbol in a window, ascending and unique.")
class History:
    """As `resolvers.history.History`."""

    symbol: Symbol
    interval: Interval
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
