"""The sources: how they are, what is spent of their quotas, and who would be asked."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, cast

import strawberry
from strawberry.types import Info

from db.budgets import RedisBudget
from db.source_stats import SourceStats
from errors import InvalidParameter
from market import AssetType, Interval
from resolvers.arguments import OneSymbol, Question
from resolvers.symbols import checked_symbol
from resolvers.world import Context, World
from sources.health import BreakerState
from sources.router import RouteStep
from sources.source import Capability, Source

MOST_PRIORITY: Final = 1000
_KEY: Final = re.compile(r"[!-~]{1,200}")
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


@strawberry.input(description="What is to change of a source; what is null or left out stays as it is.")
class SourceInput:
    """What an admin may say of a source."""

    name: str = strawberry.field(description="That of one of `sources`.")
    is_active: bool | None = strawberry.field(default=None, description="False: it is asked no more.")
    priority: int | None = strawberry.field(default=None, description="0-1000; the highest is asked first.")
    api_key: str | None = strawberry.field(
        default=None,
        description="Kept sealed, and shown to nobody; an empty one is forgotten. Not where the environment sets one.",
    )


_Change = Annotated[SourceInput, strawberry.argument(description="Which source, and what is to be so from now on.")]


async def save_source(
    info: Info[Context, None],
    input: _Change,  # noqa: A002 - the name in the contract
) -> SourceView:
    """The source as it is from now on, here at once and in the other processes soon. Raises InvalidParameter."""
    world = info.context.world
    kind = _checked(world, input)
    await world.source_stats.enter([kind])
    if input.api_key is not None:
        await world.source_keys.save({kind.name: input.api_key or None})
    await world.source_keys.change(kind.name, input.is_active, input.priority)
    await world.roster.look()
    stats = await world.source_stats.get()
    opened = next((source for source in world.router.sources if source.name == kind.name), kind)
    return await _view(world, opened, stats)


def _checked(world: World, asked: SourceInput) -> Source:
    """The source that is meant, or its class where it is not open."""
    kinds = {kind.name: kind for kind in world.roster.kinds}
    if asked.name not in kinds:
        names = ", ".join(kinds)
        raise InvalidParameter(f'name: there is no source "{asked.name[:40]}" to be asked; name one of {names}.')
    if asked.priority is not None and not 0 <= asked.priority <= MOST_PRIORITY:
        raise InvalidParameter(
            f"priority: {asked.priority} is outside 0 to {MOST_PRIORITY}.", minimum=0, maximum=MOST_PRIORITY
        )
    if asked.api_key is not None and (why := world.roster.takes_no_key(asked.name)):
        raise InvalidParameter(f"apiKey: {why}.")
    if asked.api_key and not _KEY.fullmatch(asked.api_key):
        raise InvalidParameter("apiKey: it has 1 to 200 letters, digits and signs, and no spaces.")
    return cast(Source, kinds[asked.name])


async def sources(info: Info[Context, None]) -> Sequence[SourceView]:
    """Every source that is configured, in the order of preference."""
    world = info.context.world
    stats = await world.source_stats.get()
    return await asyncio.gather(*(_view(world, source, stats) for source in world.router.sources))


async def _view(world: World, source: Source, stats: Mapping[str, SourceStats]) -> SourceView:
    measured = stats.get(source.name, _UNMEASURED)
    health = world.router.health.get(source.name)
    return SourceView(
        name=source.name,
        display_name=source.display_name,
        is_active=source in world.router.asked,
        priority=world.router.priority(source),
        capabilities=[capability for capability in Capability if capability in source.capabilities],
        asset_types=[kind for kind in AssetType if kind in source.asset_types],
        markets=sorted(source.markets),
        intervals=[interval for interval in Interval if interval in source.reach],
        breaker=health.breaker if health else BreakerState.CLOSED,
        success_rate=measured.success_rate,
        average_response_ms=measured.average_response_ms,
        error_count=measured.error_count,
        last_error_at=measured.last_error_at,
        last_error=measured.last_error,
        quotas=await _quotas(world.budgets[source.name]),
    )


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
