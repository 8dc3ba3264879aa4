"""Writes how the sources do to PostgreSQL, from every process, every few seconds."""

import asyncio
import logging

from db.source_stats import SourceStatsStore
from errors import StoreUnavailable
from live.tending import is_ending
from sources.router import Router

logger = logging.getLogger(__name__)

PERIOD_S = 10.0


class Ledger:
    """Adds what each process has seen of the sources to the averages that all of them share."""

    def __init__(self, router: Router, store: SourceStatsStore) -> None:
        self._router = router
        self._store = store

    async def run(self) -> None:
        """Write every PERIOD_S until cancelled, then once more."""
        try:
            while not is_ending():
                await asyncio.sleep(PERIOD_S)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write now; what cannot be written is lost to the averages, and the log says so."""
        tallies = {name: health.tally() for name, health in self._router.health.items()}
        aside = self._router.quality.drain()
        for said in aside:
            logger.warning("%s: a %s of %s is set aside: %s", said.source, said.kind, said.symbol, said.reason)
        try:
            await self._store.add(tallies)
            await self._store.quarantine(aside)
        except StoreUnavailable as error:
            logger.warning("how the sources did was not recorded: %s", error)
