"""What the calendar expects of a history and it does not have, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from strawberry.types import Info

from market import Window
from resolvers.history import History
from resolvers.world import Context
from sources import calendar
from sources.grid import next_slot, unfilled
from sources.resample import SETTLED


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch from the `time` of the first bar that it lacks up to that of the next one that is there, and why."""

    start: datetime
    end: datetime
    reason: str


async def gaps(root: History, info: Info[Context, None]) -> list[Gap]:
    """The stretches without bars in which the market was open, ascending.

    NOT_HELD where the store is not known to be complete, else NO_TRADES. They lie between the first bar and the end
    of the window, and before the first bar only where the store lacks what was asked for.
    """
    await calendar.load([root.series.market])
    found = []
    for stretch in _stretches(root):
        for piece, reason in _split(stretch, root):
            slot = next_slot(root.series.market, root.interval, piece.start)
            if slot is not None and slot.time < piece.end:
                found.append(Gap(slot.time, piece.end, reason))
    return found


def _stretches(root: History) -> Iterator[Window]:
    """Where bars that are expected do not stand."""
    market, interval, times = root.series.market, root.interval, root.frame["time"]
    first = times[0]
    for piece in root.bars_found.missing:
        if piece.start < first:
            yield Window(piece.start, min(piece.end, first))
    yield from unfilled(market, interval, times)
    coming = next_slot(market, interval, interval.end(times[-1]))
    if coming is not None and coming.closes_at + SETTLED <= datetime.now(UTC) and coming.time < root.asked_to:
        yield Window(coming.time, root.asked_to)


def _split(stretch: Window, root: History) -> Iterator[tuple[Window, str]]:
    """The stretch in order, cut where what is missing begins and ends; whole where bars were to be joined."""
    missing = [
        Window(max(piece.start, stretch.start), min(piece.end, stretch.end))
        for piece in root.bars_found.missing
        if piece.start < stretch.end and stretch.start < piece.end
    ]
    if root.made_of is not None:
        yield stretch, "NOT_HELD" if missing else "NO_TRADES"
        return
    at = stretch.start
    for piece in missing:
        if at < piece.start:
            yield Window(at, piece.start), "NO_TRADES"
        yield piece, "NOT_HELD"
        at = piece.end
    if at < stretch.end:
        yield Window(at, stretch.end), "NO_TRADES"
