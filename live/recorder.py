"""Writes the latest quotes to PostgreSQL, one row a symbol and period at most."""

import asyncio
import logging

from db.quotes import QuoteStore
from errors import StoreUnavailable
from live.tending import is_ending
from market import Quote

logger = logging.getLogger(__name__)

PERIOD_S = 10.0


class Recorder:
    """Keeps the newest quote of each symbol until the next write, so memory is bounded by the symbols in use."""

    def __init__(self, store: QuoteStore) -> None:
        self._store = store
        self._newest: dict[str, Quote] = {}
        self.written = 0
        self.superseded = 0
        """Quotes that were not written, as a newer one of their symbol came before."""

    def __len__(self) -> int:
        """How many quotes wait to be written."""
        return len(self._newest)

    def offer(self, quote: Quote) -> None:
        """Have the quote written with the next batch, unless a newer one of its symbol comes before."""
        self.superseded += quote.symbol in self._newest
        self._newest[quote.symbol] = quote

    async def run(self) -> None:
        """Write every PERIOD_S until cancelled; then write what is left."""
        try:
            while not is_ending():
                await asyncio.sleep(PERIOD_S)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write now. What cannot be written waits for the next time, unless something newer has come."""
        batch, self._newest = self._newest, {}
        if not batch:
            return
        try:
            await self._store.save(list(batch.values()))
        except StoreUnavailable as error:
            logger.warning("%d quotes were not recorded yet: %s", len(batch), error)
            self.superseded += len(batch.keys() & self._newest.keys())
            self._newest = batch | self._newest
        else:
            self.written += len(batch)
