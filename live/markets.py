"""The state of each market: as it is now, and each one that follows at the instant it begins."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import polars as pl

from db.markets import MarketCache
from errors import StoreUnavailable
from market import Market
from sources import calendar

logger = logging.getLogger(__name__)

LOOK_S = 30.0
"""How long to sleep at most: the loop's timers know nothing of a clock that was set or a machine that slept."""

SET_BACK = timedelta(seconds=1)
"""A clock that goes back by more was set; by less it was only put right."""


class Markets:
    """What every market does; in the sandbox none ever closes."""

    names: Mapping[str, str] = {code: schedule.name for code, schedule in calendar.MARKETS.items()}
    """Of every market, by its code."""

    def __init__(self, cache: MarketCache, *, always_open: bool) -> None:
        self._cache = cache
        self._always_open = always_open

    async def current(self, codes: Sequence[str]) -> list[Market]:
        """The state of each market, in the order asked: from Redis, else from its calendar. All codes are known."""
        wanted = list(dict.fromkeys(codes))
        try:
            cached = await self._cache.get(wanted)
            now = _now()
            found = {code: held for code, held in cached.items() if held.changes_at is None or now < held.changes_at}
            if computed := await self._computed([code for code in wanted if code not in found]):
                found |= computed
                await self._cache.put(computed.values())
        except StoreUnavailable as error:
            logger.warning("markets are told by their calendars: %s", error)
            found = await self._computed(wanted)
        return [found[code] for code in codes]

    async def changes(self, code: str) -> AsyncGenerator[Market, None]:
        """The state of the market, then each that follows, without end."""
        if self._always_open:
            return states(lambda _: calendar.always_open(code))
        await calendar.load([code])
        return states(partial(calendar.state, code))

    async def sessions(self, code: str, start: date, end: date) -> pl.DataFrame | None:
        """The sessions whose trading day is in [start, end), as `calendar.sessions`; None: the market never closes."""
        if self._always_open or calendar.MARKETS[code].calendar == "CRYPTO":
            return None
        await calendar.load([code])
        return calendar.sessions(code, start, end)

    async def _computed(self, codes: Sequence[str]) -> dict[str, Market]:
        if self._always_open:
            return {code: calendar.always_open(code) for code in codes}
        await calendar.load(codes)
        now = _now()
        return {code: calendar.state(code, now) for code in codes}


def _now() -> datetime:
    return datetime.now(UTC)


async def states(
    state: Callable[[datetime], Market],
    now: Callable[[], datetime] = _now,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncGenerator[Market, None]:
    """The state now, then each other one at the instant it begins, without end.

    None is left out, however slow the reader is or far the clock jumps ahead: what was missed comes in its order. A
    clock that is set back gives the state of the time that it then shows.
    """
    at, told = now(), None
    while True:
        market = state(at)
        if market != told:
            yield market
            told = market
        if market.changes_at is None:
            await asyncio.Event().wait()
        else:
            at = await _reached(market.changes_at, at, now, sleep)


async def _reached(
    due: datetime, since: datetime, now: Callable[[], datetime], sleep: Callable[[float], Awaitable[None]]
) -> datetime:
    """`due`, once it has come; or what the clock shows, where it was set back behind `since`."""
    while True:
        shown = now()
        if shown >= due:
            return due
        if shown < since - SET_BACK:
            return shown
        await sleep(min((due - shown).total_seconds(), LOOK_S))
