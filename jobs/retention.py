"""Lets go of what need not be kept: old quotes and what was set aside long ago. Bars are never dropped."""

import logging
from datetime import datetime, timedelta

from db.partitions import Partitions
from db.source_stats import SourceStatsStore
from settings import Settings

logger = logging.getLogger(__name__)


class Retention:
    """How long quotes and impossible values are kept, as the settings have it."""

    def __init__(self, partitions: Partitions, source_stats: SourceStatsStore, settings: Settings) -> None:
        self._partitions = partitions
        self._source_stats = source_stats
        self._quotes = timedelta(days=settings.keep_quotes_days)
        self._quarantine = timedelta(days=settings.keep_quarantine_days)

    async def run(self, now: datetime) -> None:
        """Drop the months of quotes that lie wholly before their time, and what was set aside before its own.

        Raises StoreUnavailable, also where somebody reads a month for so long that it cannot be dropped now.
        """
        dropped = await self._partitions.drop("market_data", now - self._quotes)
        removed = await self._source_stats.forget_quarantined(now - self._quarantine)
        logger.info("let go of %d months of quotes and %d values that were set aside", len(dropped), removed)
