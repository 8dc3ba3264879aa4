"""How late the event loop is: what everything that waits in a process waits for on top."""

import asyncio
from typing import Final

from gateway.meter import Histogram
from live.tending import is_ending

PERIOD_S: Final = 0.25


class Pulse:
    """Sleeps, and counts by how much it was woken too late."""

    def __init__(self) -> None:
        self.lag = Histogram()

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        while not is_ending():
            due = loop.time() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            self.lag.observe(max(0.0, loop.time() - due))
