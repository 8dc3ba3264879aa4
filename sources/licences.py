"""The terms on which a tier is given what the sources say: what of it not at all, and what how late."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import Final

from msgspec import structs

from market import Quote

IMPORTED: Final = "import"
"""Whose the bars of files are."""
TICKS: Final = "ticks"
"""Whose the bars are that nobody but the ticks has made: of any source that streams."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """By source, how many seconds late a tier gets its prices: infinity where it is barred; the others it gets at once.

    True where there is any such source.
    """

    delays_s: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.delays_s)

    @property
    def barred(self) -> frozenset[str]:
        """The sources of which nothing is given."""
        return frozenset(source for source, delay_s in self.delays_s.items() if delay_s == inf)

    @property
    def longest_s(self) -> float:
        """The longest delay; 0 where none is set."""
        return max((delay_s for delay_s in self.delays_s.values() if delay_s < inf), default=0.0)

    def delay_s(self, sources: Iterable[str]) -> float:
        """How late what comes from all of these sources may be given; infinity for never."""
        return max((self.delays_s.get(source, 0.0) for source in sources), default=0.0)


FREE: Final = Terms()
"""Of who may have everything at once."""


def aged(quote: Quote, delay_s: float, now: datetime) -> Quote | None:
    """The quote as it may be given so late; None while it is too young.

    Its age is that of its price. What only its receipt dates, bid and ask, is left out where that is younger.
    """
    late = timedelta(seconds=delay_s)
    if quote.time + late > now:
        return None
    told = quote.provenance
    provenance = structs.replace(told, delay_seconds=max(delay_s, told.delay_seconds or 0.0))
    if told.received_at + late > now:
        return structs.replace(quote, provenance=provenance, bid=None, ask=None, bid_size=None, ask_size=None)
    return structs.replace(quote, provenance=provenance)
