"""Where data comes from."""

from datetime import datetime

import strawberry

from market import AssetType, Interval
from schema.scalars import described
from sources.health import BreakerState
from sources.source import Capability

strawberry.enum(Capability, description="A question that a source can answer.")
strawberry.enum(
    BreakerState,
    description="CLOSED: it is asked. OPEN: it has failed and is left alone. HALF_OPEN: one question finds out.",
)


@strawberry.type(description="How much of one quota is spent, by all processes together.")
class Quota:
    """As `resolvers.sources.QuotaView`."""

    window: str = described("second, minute, hour or day.")
    limit: int
    used: int
    resets_at: datetime


@strawberry.type(description="An upstream, and how it does.")
class Source:
    """As `resolvers.sources.SourceView`."""

    name: str
    display_name: str
    is_active: bool
    priority: int = described("The highest is asked first.")
    capabilities: list[Capability]
    asset_types: list[AssetType]
    markets: list[str] = described("Codes of the markets that it covers; empty: whatever its asset types trade on.")
    intervals: list[Interval]
    breaker: BreakerState = described("As the process that answers sees it.")
    success_rate: float = described("Percent of its answers, an average in which the newest counts 0.01.")
    average_response_ms: float | None = described("An average in which the newest answer counts 0.01.")
    error_count: int
    last_error_at: datetime | None
    last_error: str | None = described("What it said, or what went wrong, at `lastErrorAt`; limits and refusals too.")
    quotas: list[Quota]


@strawberry.type(description="One source in the order in which it would be asked, or why it would not be.")
class RouteStep:
    """As `sources.router.RouteStep`."""

    source: str
    would_ask: bool
    reason: str
