"""The sources that there are: one line each."""

from collections.abc import Mapping, Sequence

from settings import Mode, Settings
from sources.alphavantage import AlphaVantage
from sources.binance import Binance
from sources.kraken import Kraken
from sources.polygon import Polygon
from sources.sandbox import Sandbox
from sources.source import Budget, Quota, Source, quotas_of_plan
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
