"""The sources that there are: one line each."""

from collections.abc import Callable, Sequence

from settings import Mode, Settings
from sources.sandbox import Sandbox
from sources.source import Budget, Source

SOURCES: dict[Mode, tuple[type[Source], ...]] = {
    Mode.SANDBOX: (Sandbox,),
    Mode.LIVE: (),
}


def open_sources(settings: Settings, budget: Callable[[type[Source]], Budget]) -> Sequence[Source]:
    """The sources of the mode that the settings allow, ready to be asked; `budget` gives each its budget."""
    opened = (kind.opened(settings, budget(kind)) for kind in SOURCES[settings.mode])
    return [source for source in opened if source is not None]
