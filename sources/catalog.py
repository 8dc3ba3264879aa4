"""The sources that there are: one line each."""

from collections.abc import Sequence

from settings import Mode, Settings
from sources.sandbox import Sandbox
from sources.source import Source


def open_sources(settings: Settings) -> Sequence[Source]:
    """The sources of the mode, ready to be asked."""
    if settings.mode is Mode.SANDBOX:
        return (Sandbox(settings.sandbox_seed, settings.sandbox_ticks_per_second),)
    return ()
