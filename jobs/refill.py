"""Brings the minutes in which a stream was cut: asked for as history, and stored."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from db.supply import BarSupply
from errors import SmartFinError
from live.tending import is_ending
from market import Interval, Window

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
SETTLED: Final = timedelta(seconds=5)
"""How long after its end a source has a minute whole."""
MAX_WAITING: Final = 1_000
"""Symbols that wait; what is beyond is fetched once somebody asks for it."""


class Refill:
    """Fetches the M1 bars of the stretches that it is told of, one after the other, once their last minute is over."""

    def __init__(self, supply: BarSupply) -> None:
        self._supply = supply
        self._waiting: dict[str, Window] = {}

    def missed(self, symbol: str, window: Window) -> None:
        """Have the minutes fetched that the window touches; what waits of the symbol already is joined with it."""
        minutes = Window(Interval.M1.floor(window.start), Interval.M1.ceil(window.end))
        if known := self._waiting.get(symbol):
            minutes = Window(min(known.start, minutes.start), max(known.end, minutes.end))
        elif len(self._waiting) >= MAX_WAITING:
            logger.warning("the bars of %s from %s on are not fetched: too many wait", symbol, minutes.start)
            return
        self._waiting[symbol] = minutes

    async def run(self) -> None:
        """Fetch what is due, until cancelled."""
        while not is_ending():
            await asyncio.sleep(LOOK_S)
            await self.fetch(datetime.now(UTC))

    async def fetch(self, now: datetime) -> None:
        """Fetch what is due at the instant. What cannot be had is left to whoever asks for it, and the log says so."""
        for symbol, window in list(self._waiting.items()):
            if window.end + SETTLED <= now:
                del self._waiting[symbol]
                try:
                    await self._supply.fetch(symbol, Interval.M1, window)
                except SmartFinError as error:
                    logger.warning("the bars of %s from %s on were not fetched: %s", symbol, window.start, error)
