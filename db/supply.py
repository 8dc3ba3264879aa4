"""Bars that the store lacks: fetched from the sources, and kept."""

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

import polars as pl

from db.bars import BarStore
from market import Interval, Provenance, Window
from sources.flight import Flights
from sources.licences import FREE, Terms
from sources.resample import SETTLED
from sources.router import FetchedBars, Router

EDGE_FOR_S: Final = 1.0
"""How long the newest bars, which may still change, are told as they were: every history up to now needs them."""
MAX_EDGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Supplied:
    """The bars of a stretch, the forming one too, and how many of those in the store changed with them.

    `window` is what of the stretch the source goes back to.
    """

    frame: pl.DataFrame
    provenance: Provenance
    window: Window
    changed: int


@dataclass(frozen=True, slots=True)
class _Edge:
    """What a source has told that the store does not hold, and until when that is as good as new (time.monotonic)."""

    supplied: Supplied
    until: float

    def answers(self, piece: Window, terms: Terms) -> bool:
        """Whether a question for the piece would be told nothing else, on these terms."""
        window = self.supplied.window
        is_whole = window.start <= piece.start and window.end == piece.end
        return time.monotonic() < self.until and is_whole and self.supplied.provenance.source not in terms.barred


class BarSupply:
    """One question upstream for each stretch, however many ask for it; what is final is kept."""

    def __init__(self, bars: BarStore, router: Router, edge_for_s: float = EDGE_FOR_S) -> None:
        self._bars = bars
        self._router = router
        self._edge_for_s = edge_for_s
        self._flights = Flights()
        self._edges: OrderedDict[tuple[str, Interval], _Edge] = OrderedDict()
        self.questions: Counter[str] = Counter()
        """What became of those for a stretch: a source was `asked`, `joined` under way, or `known` as of just now."""

    async def fetch(
        self, symbol: str, interval: Interval, piece: Window, wait_s: float | None = None, terms: Terms = FREE
    ) -> Supplied:
        """What a source has of the stretch that the terms do not bar. It is kept, whether who asked goes away or not.

        What lies so near the present that the store cannot have it yet is asked for once in EDGE_FOR_S.
        Raises SymbolNotFound, UnsupportedInterval, NoData where no source goes back so far, SourceUnavailable,
        StoreUnavailable, and TimeoutError where it has not come `wait_s` after it was first asked for.
        """
        edge = self._edges.get((symbol, interval))
        if edge is not None and edge.answers(piece, terms):
            self.questions["known"] += 1
            frame = edge.supplied.frame.filter(pl.col("time") >= piece.start)
            return replace(edge.supplied, frame=frame, window=piece)
        fetch = partial(self._fetch, symbol, interval, piece, terms)
        key = (symbol, interval, piece, terms.barred)
        self.questions["joined" if key in self._flights else "asked"] += 1
        return await self._flights.join(key, fetch, wait_s)

    async def look(
        self, symbol: str, interval: Interval, window: Window, wait_s: float | None = None, terms: Terms = FREE
    ) -> FetchedBars:
        """What a source has of the stretch now; nothing is kept. Raises as `fetch` does."""
        look = partial(self._router.history, symbol, interval, window, terms)
        return await self._flights.join(("look", symbol, interval, window, terms.barred), look, wait_s)

    async def _fetch(self, symbol: str, interval: Interval, piece: Window, terms: Terms) -> Supplied:
        fetched = await self._router.history(symbol, interval, piece, terms)
        covered = _covered(interval, fetched)
        changed = await self._bars.save(
            symbol,
            interval,
            fetched.frame,
            source=fetched.provenance.source,
            quality=fetched.provenance.quality,
            received_at=fetched.provenance.received_at,
            covered=covered,
        )
        if fetched.window.end > fetched.provenance.received_at:
            self._keep_edge(symbol, interval, fetched, covered)
        return Supplied(fetched.frame, fetched.provenance, fetched.window, changed)

    def _keep_edge(self, symbol: str, interval: Interval, fetched: FetchedBars, covered: Window | None) -> None:
        rest = Window(covered.end if covered else fetched.window.start, fetched.window.end)
        frame = fetched.frame.filter(pl.col("time") >= rest.start)
        edge = _Edge(Supplied(frame, fetched.provenance, rest, changed=0), time.monotonic() + self._edge_for_s)
        self._edges[symbol, interval] = edge
        self._edges.move_to_end((symbol, interval))
        if len(self._edges) > MAX_EDGES:
            self._edges.popitem(last=False)

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
