"""The sources that there are: one line each."""

from collections.abc import Mapping, Sequence

from errors import StartError
from people import Tier
from settings import Mode, Settings
from sources.alphavantage import AlphaVantage
from sources.binance import Binance
from sources.kraken import Kraken
from sources.licences import IMPORTED, TICKS, Terms
from sources.polygon import Polygon
from sources.sandbox import Sandbox
from sources.source import Budget, Capability, Quota, Source, quotas_of_plan
from sources.yahoo import Yahoo

SOURCES: Mapping[Mode, Sequence[type[Source]]] = {
    Mode.SANDBOX: (Sandbox,),
    Mode.LIVE: (Yahoo, Polygon, Binance, Kraken, AlphaVantage),
}


def quotas(kind: type[Source], settings: Settings) -> Sequence[Quota]:
    """What a source allows, by the plan that the settings name."""
    per_minute = settings.requests_per_minute.get(kind.name)
    return kind.quotas if per_minute is None else quotas_of_plan(per_minute)


def open_sources(settings: Settings, budgets: Mapping[str, Budget]) -> Sequence[Source]:
    """The sources of the mode that the settings allow, ready to be asked; `budgets` has one for each, by name."""
    kinds = [kind for kind in SOURCES[settings.mode] if settings.mode is Mode.SANDBOX or settings.allows(kind.name)]
    opened = (kind.opened(settings, budgets[kind.name]) for kind in kinds)
    return [source for source in opened if source is not None]


def terms_by_tier(settings: Settings) -> dict[Tier, Terms]:
    """The terms of each tier that SMARTFIN_LICENCES limits.

    What it says of a tier holds for those below, too, of which it says nothing. Raises StartError for a source that
    there is not.
    """
    streams = {kind.name: Capability.STREAM in kind.capabilities for kinds in SOURCES.values() for kind in kinds}
    named: dict[str, dict[Tier, float]] = {}
    for source, tier, delay_s in settings.licence_rules:
        if source not in streams and source != IMPORTED:
            names = ", ".join(sorted({*streams, IMPORTED}))
            raise StartError(f'SMARTFIN_LICENCES: there is no source "{source}"; name one of {names}.')
        named.setdefault(source, {})[Tier(tier.upper())] = delay_s
    terms = {}
    for tier in Tier:
        delays_s = {
            source: rules[min(above, key=lambda other: other.rank)]
            for source, rules in named.items()
            if (above := [other for other in rules if other.rank >= tier.rank])
        }
        if streaming := [delay_s for source, delay_s in delays_s.items() if streams.get(source)]:
            delays_s[TICKS] = max(streaming)
        if delays_s:
            terms[tier] = Terms(delays_s)
    return terms
