"""Whether the market of a symbol is open, for those who cannot wait for a calendar."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Final

from live.tending import is_ending
from market import venue
from sources import calendar

logger = logging.getLogger(__name__)

LOOK_S: Final = 1.0
_HOME: Final = "XNYS"
"""The market of a symbol whose spelling names none."""


def market_code(symbol: str) -> str:
    """The market whose hours count for the symbol."""
    return venue(symbol).market_code or _HOME


class Hours:
    """Answers at once: from the calendar if it is in memory, else «closed» until it has been brought there."""

    def __init__(self, *, always_open: bool) -> None:
        self._always_open = always_open
        # The home market is wanted before anybody asks: sources read it too, and would hold everybody up.
        self._wanted: set[str] = set() if always_open else {_HOME}

    def is_open(self, symbol: str) -> bool:
        """Whether the symbol's market trades in its regular session now."""
        if self._always_open:
            return True
        code = market_code(symbol)
        if not calendar.is_loaded(code):
            self._wanted.add(code)
            return False
        return calendar.is_open(code, datetime.now(UTC))

    async def run(self) -> None:
        """Bring the calendars that were asked for into memory, until cancelled."""
        while not is_ending():
            if self._wanted:
                codes, self._wanted = self._wanted, set()
                await calendar.load(codes)
            await asyncio.sleep(LOOK_S)
