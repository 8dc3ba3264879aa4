"""Fetches what the store lacks of a stretch of time, piece by piece."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from db.bars import BarStore
from db.supply import BarSupply, Supplied
from errors import NoData, SmartFinError, SourceUnavailable, SymbolNotFound, UnsupportedInterval
from market import Interval, Window
from sources.router import out_of_reach

logger = logging.getLogger(__name__)

BARS_AT_ONCE: Final = 10_000
"""Bars of a market that never closes that one question to a source is to bring, at most."""
PAUSES_S: Final = (1, 2, 4, 8, 16, 32, 60, 60, 60, 60)
"""How long to wait before a source that failed is asked again, before it is given up."""
LIMITED_S: Final = 30.0
LIMITED_TRIES: Final = 26 * 120
"""How often, every LIMITED_S, to look whether a source that rests is back: a quota of the day is within 26 hours."""
_HOPELESS: Final = frozenset({"SOURCE_CANNOT", "SOURCE_REFUSED"})
_RESTING: Final = frozenset({"SOURCE_LIMITED", "SOURCE_RESTING"})


@dataclass(slots=True)
class Progress:
    """`done` of `total` pieces; `bars` came, of which `changed` were new or other; and what could not be had."""

    done: int = 0
    total: int = 0
    bars: int = 0
    changed: int = 0
    failures: list[str] = field(default_factory=list)


Tell = Callable[[Progress], Awaitable[None]]


async def backfill(
    bars: BarStore, supply: BarSupply, symbols: Sequence[str], interval: Interval, window: Window, tell: Tell
) -> Progress:
    """Have every final bar of the window in the store that a source can give; what is held is not asked for.

    The newest come first. What a source cannot give, and all before it, is named in `failures`; one whose quota is
    spent is waited for. Each piece is kept when it comes, so who begins again goes on where this was stopped.
    Raises StoreUnavailable.
    """
    until = min(window.end, interval.ceil(datetime.now(UTC)))
    pieces = {
        symbol: [
            part
            for stretch in reversed(await bars.missing(symbol, interval, Window(window.start, until)))
            for part in _parts(interval, stretch)
        ]
        if window.start < until
        else []
        for symbol in dict.fromkeys(symbols)
    }
    progress = Progress(total=sum(map(len, pieces.values())))
    await tell(progress)
    for symbol, wanted in pieces.items():
        for number, piece in enumerate(wanted):
            try:
                supplied = await _patiently(supply, symbol, interval, piece)
            except (SourceUnavailable, SymbolNotFound, UnsupportedInterval, NoData) as error:
                failure: SmartFinError | None = error
            else:
                progress.bars += supplied.frame.filter("is_final").height
                progress.changed += supplied.changed
                since = supplied.window.start
                failure = out_of_reach(symbol, interval, since) if since > piece.start else None
            if failure is not None:
                progress.failures.append(f"{symbol}: {failure}")
            progress.done += len(wanted) - number if failure else 1
            await tell(progress)
            if failure is not None:
                break
    return progress


def _parts(interval: Interval, stretch: Window) -> list[Window]:
    """The stretch in pieces of BARS_AT_ONCE, the newest first."""
    length = interval.span * BARS_AT_ONCE
    pieces = []
    end = stretch.end
    while end > stretch.start:
        start = max(stretch.start, interval.floor(max(end - length, stretch.start)))
        pieces.append(Window(start, end))
        end = start
    return pieces


async def _patiently(supply: BarSupply, symbol: str, interval: Interval, piece: Window) -> Supplied:
    failed = limited = 0
    while True:
        try:
            return await supply.fetch(symbol, interval, piece)
        except SourceUnavailable as error:
            codes = {skipped.code for skipped in error.skipped}
            if not codes - _HOPELESS:
                raise
            if codes & _RESTING and limited < LIMITED_TRIES:
                limited += 1
                pause_s = LIMITED_S
            elif failed < len(PAUSES_S):
                pause_s = PAUSES_S[failed]
                failed += 1
            else:
                raise
            logger.info("%s %s from %s waits %g s: %s", symbol, interval, piece.start, pause_s, error)
        await asyncio.sleep(pause_s)
