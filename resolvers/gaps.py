"""What the calendar expects of a history and it does not have, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from strawberry.types import Info

from market import Window
from resolvers.history import History
from resolvers.world import Context, World
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

    NOT_HELD where the store is not known to be complete, QUARANTINED where what a source said was set aside as
    impossible, else NO_TRADES. They lie between the first bar and the end of the window, and before the first bar only
    where the store lacks what was asked for.
    """
    await calendar.load([root.series.market])
    stretches = list(_stretches(root))
    set_aside = await _set_aside(info.context.world, root, stretches) if stretches else []
    found: list[Gap] = []
    for stretch in stretches:
        for piece, reason in _split(stretch, root, set_aside):
            slot = next_slot(root.series.market, root.interval, piece.start)
            if slot is None or slot.time >= piece.end:
                continue
            start = (
                found.pop().start if found and (found[-1].end, found[-1].reason) == (slot.time, reason) else slot.time
            )
            found.append(Gap(start, piece.end, reason))
    return found


async def _set_aside(world: World, root: History, stretches: Sequence[Window]) -> list[datetime]:
    """When the bars open within the stretches, ascending, that were set aside; those of what the bars are made of."""
    interval = root.made_of or root.interval
    whole = Window(stretches[0].start, stretches[-1].end)
    kept = await world.source_stats.quarantined(root.symbol, interval, whole)
    return sorted({*kept, *world.router.quality.quarantined(root.symbol, interval)})


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


def _split(stretch: Window, root: History, set_aside: Sequence[datetime]) -> Iterator[tuple[Window, str]]:
    """The stretch in order, cut where the reason changes; whole where bars were to be joined."""
    missing = [
        Window(max(piece.start, stretch.start), min(piece.end, stretch.end))
        for piece in root.bars_found.missing
        if piece.start < stretch.end and stretch.start < piece.end
    ]
    if root.made_of is not None:
        is_aside = any(stretch.start <= time < stretch.end for time in set_aside)
        yield stretch, "NOT_HELD" if missing else "QUARANTINED" if is_aside else "NO_TRADES"
        return
    at = stretch.start
    for piece in missing:
        if at < piece.start:
            yield from _held(Window(at, piece.start), root, set_aside)
        yield piece, "NOT_HELD"
        at = piece.end
    if at < stretch.end:
        yield from _held(Window(at, stretch.end), root, set_aside)


def _held(stretch: Window, root: History, set_aside: Sequence[datetime]) -> Iterator[tuple[Window, str]]:
    """A stretch of which all is held that there is, cut around what was set aside, each up to the next bar."""
    at = stretch.start
    aside = [time for time in set_aside if stretch.start <= time < stretch.end]
    for time in aside:
        if at < time:
            yield Window(at, time), "NO_TRADES"
        coming = next_slot(root.series.market, root.interval, root.interval.end(time))
        end = min(coming.time, stretch.end) if coming else stretch.end
        yield Window(time, end), "QUARANTINED"
        at = end
    if at < stretch.end:
        yield Window(at, stretch.end), "NO_TRADES"
