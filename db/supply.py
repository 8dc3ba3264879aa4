"""Bars that the store lacks: fetched from the sources, and kept."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

import polars as pl

from db.bars import BarStore
from market import Interval, Provenance, Window
from sources.flight import Flights
from sources.resample import SETTLED
from sources.router import FetchedBars, Router


@dataclass(frozen=True, slots=True)
class Supplied:
    """The bars of a stretch, the forming one too, and how many of those in the store changed with them.

    `window` is what of the stretch the source goes back to.
    """

    frame: pl.DataFrame
    provenance: Provenance
    window: Window
    changed: int


class BarSupply:
    """One question upstream for each stretch, however many ask for it; what is final is kept."""

    def __init__(self, bars: BarStore, router: Router) -> None:
        self._bars = bars
        self._router = router
        self._flights = Flights()

    async def fetch(self, symbol: str, interval: Interval, piece: Window) -> Supplied:
        """What a source has of the stretch. It is kept, whether who asked goes away or not.

        Raises SymbolNotFound, UnsupportedInterval, NoData where no source goes back so far, SourceUnavailable,
        StoreUnavailable.
        """
        fetch = partial(self._fetch, symbol, interval, piece)
        return await self._flights.join((symbol, interval, piece), fetch)

    async def look(self, symbol: str, interval: Interval, window: Window) -> FetchedBars:
        """What a source has of the stretch now; nothing is kept. Raises as `fetch` does."""
        return await self._router.history(symbol, interval, window)

    async def _fetch(self, symbol: str, interval: Interval, piece: Window) -> Supplied:
        fetched = await self._router.history(symbol, interval, piece)
        changed = await self._bars.save(
            symbol,
            interval,
            fetched.frame,
            source=fetched.provenance.source,
            quality=fetched.provenance.quality,
            received_at=fetched.provenance.received_at,
            covered=_covered(interval, fetched),
        )
        return Supplied(fetched.frame, fetched.provenance, fetched.window, changed)

    async def aclose(self) -> None:
        """Give up what is under way."""
        await self._flights.aclose()


def _covered(interval: Interval, fetched: FetchedBars) -> Window | None:
    """What is known to be complete now: near the present, only up to the end of the last final bar that came."""
    settled = fetched.provenance.received_at - SETTLED - interval.span
    final: datetime | None = fetched.frame.filter(pl.col("is_final"))["time"].max()  # type: ignore[assignment]
    forming: datetime | None = fetched.frame.filter(~pl.col("is_final"))["time"].min()  # type: ignore[assignment]
    known = max(settled, interval.end(final)) if final else settled
    end = min(fetched.window.end, known, forming or known)
    return Window(fetched.window.start, end) if end > fetched.window.start else None
