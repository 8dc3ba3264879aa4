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
    limit: int = described("Questions that it allows.")
    used: int = described("Questions that were asked.")
    resets_at: datetime = described("When all of it is there again.")


@strawberry.type(description="An upstream, and how it does.")
class Source:
    """As `resolvers.sources.SourceView`."""

    name: str = described("What `provenance` calls it.")
    display_name: str = described("What people call it.")
    is_active: bool = described("False where an admin has switched it off, or it has no key.")
    priority: int = described("The highest is asked first.")
    capabilities: list[Capability] = described("What it can be asked.")
    asset_types: list[AssetType] = described("What it knows.")
    markets: list[str] = described("Codes of the markets that it covers; empty: whatever its asset types trade on.")
    intervals: list[Interval] = described("Of what length it has bars.")
    breaker: BreakerState = described("As the process that answers sees it.")
    success_rate: float = described("Percent of its answers, an average in which the newest counts 0.01.")
    average_response_ms: float | None = described("An average in which the newest answer counts 0.01.")
    error_count: int = described("Failures in all.")
    last_error_at: datetime | None = described("When it failed last.")
    last_error: str | None = described("What it said, or what went wrong, at `lastErrorAt`; limits and refusals too.")
    quotas: list[Quota] = described("What it allows, and what is spent.")


@strawberry.type(description="One source in the order in which it would be asked, or why it would not be.")
class RouteStep:
    """As `sources.router.RouteStep`."""

    source: str = described("Its name.")
    would_ask: bool = described("Whether it would be asked.")
    reason: str = described("Why, or why not.")
