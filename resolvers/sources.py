"""The sources: how they are, what is spent of their quotas, and who would be asked."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from strawberry.types import Info

from db.budgets import RedisBudget
from db.source_stats import SourceStats
from market import AssetType, Interval
from resolvers.arguments import OneSymbol, Question
from resolvers.symbols import checked_symbol
from resolvers.world import Context
from sources.health import BreakerState
from sources.router import RouteStep
from sources.source import Capability, Source

_UNMEASURED = SourceStats(100.0, None, 0, None, None)


@dataclass(frozen=True, slots=True)
class QuotaView:
    """How much of one quota is spent."""

    window: str
    limit: int
    used: int
    resets_at: datetime


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source as clients see it."""

    name: str
    display_name: str
    is_active: bool
    priority: int
    capabilities: Sequence[Capability]
    asset_types: Sequence[AssetType]
    markets: Sequence[str]
    intervals: Sequence[Interval]
    breaker: BreakerState
    success_rate: float
    average_response_ms: float | None
    error_count: int
    last_error_at: datetime | None
    last_error: str | None
    quotas: Sequence[QuotaView]


async def sources(info: Info[Context, None]) -> Sequence[SourceView]:
    """Every source that is configured, in the order of preference."""
    world = info.context.world
    stats = await world.source_stats.get()

    async def view(source: Source) -> SourceView:
        measured = stats.get(source.name, _UNMEASURED)
        return SourceView(
            name=source.name,
            display_name=source.display_name,
            is_active=True,
            priority=source.priority,
            capabilities=[capability for capability in Capability if capability in source.capabilities],
            asset_types=[kind for kind in AssetType if kind in source.asset_types],
            markets=sorted(source.markets),
            intervals=[interval for interval in Interval if interval in source.reach],
            breaker=world.router.health[source.name].breaker,
            success_rate=measured.success_rate,
            average_response_ms=measured.average_response_ms,
            error_count=measured.error_count,
            last_error_at=measured.last_error_at,
            last_error=measured.last_error,
            quotas=await _quotas(world.budgets[source.name]),
        )

    return await asyncio.gather(*map(view, world.router.sources))


async def _quotas(budget: RedisBudget) -> list[QuotaView]:
    return [
        QuotaView(_window_name(usage.quota.seconds), usage.quota.limit, usage.used, usage.resets_at)
        for usage in await budget.usage()
    ]


def _window_name(seconds: int) -> str:
    return {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}.get(seconds, f"{seconds} s")


def route(info: Info[Context, None], symbol: OneSymbol, capability: Question) -> Sequence[RouteStep]:
    """Who would be asked for this, for the viewer, in order, and why the others would not."""
    world = info.context.world
    return world.router.route(checked_symbol(symbol), capability, world.terms)
