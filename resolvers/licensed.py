"""What each tier is answered from, where licences keep something from it."""

from collections.abc import Mapping
from dataclasses import replace

from live.licensed import LicensedTicks
from people import Tier
from resolvers.history import SHARED_FOR_S
from resolvers.live_history import Charts
from resolvers.world import World
from sources.flight import Flights
from sources.licences import Terms


def licensed(world: World, licences: Mapping[Tier, Terms]) -> World:
    """The world, with one for each tier that has terms: the same but for what is not the same for everybody."""
    world = replace(world, licences=licences)
    return replace(world, limited={tier: _limited(world, terms) for tier, terms in licences.items()})


def _limited(world: World, terms: Terms) -> World:
    return replace(
        world,
        terms=terms,
        licensed_ticks=LicensedTicks(world.hub, terms),
        quote_cache=world.quote_cache.apart(terms.barred) if terms.barred else world.quote_cache,
        charts=Charts(),
        pulls=Flights(),
        histories=Flights(SHARED_FOR_S),
    )
