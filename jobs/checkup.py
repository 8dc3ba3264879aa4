"""Looks after the sources that nobody asks, so that their health is known before it is needed."""

import asyncio
import logging
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.redis import Keys
from live.tending import is_ending
from sources.router import Router

logger = logging.getLogger(__name__)

PERIOD_S: Final = 60.0


class Checkup:
    """Asks each source that was idle for a period one cheap question; of all processes one asks."""

    def __init__(self, router: Router, redis: Redis, keys: Keys, period_s: float = PERIOD_S) -> None:
        self._router = router
        self._redis = redis
        self._keys = keys
        self._period_s = period_s

    async def run(self) -> None:
        """Look every period, until cancelled."""
        while not is_ending():
            await asyncio.sleep(self._period_s)
            await self.look()

    async def look(self) -> None:
        """Look now."""
        for source in self._router.idle(self._period_s):
            if await self._is_ours(source.name):
                await self._router.check(source)

    async def _is_ours(self, source: str) -> bool:
        """Whether no other process has asked the source within the period."""
        try:
            # A little less than a period, so that the next round finds it gone.
            lasts_ms = int(self._period_s * 900)
            return bool(await self._redis.set(self._keys.source_check(source), b"", nx=True, px=lasts_ms))
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("%s is not checked while Redis is away: %s", source, error)
            return False
