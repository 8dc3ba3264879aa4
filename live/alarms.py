"""Tells admins what is amiss: a source that fails, an open market without ticks, a queue that is full."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.alarms import AlarmStore
from db.alert_bus import AlertBus
from db.jobs import MAX_WAITING, JobQueue
from db.quotes import QuoteCache
from db.redis import Keys
from errors import StoreUnavailable
from live.hours import Hours, market_code
from live.tending import is_ending
from sources.health import BreakerState, Health

logger = logging.getLogger(__name__)

LOOK_S: Final = 60.0
SILENT_S: Final = 300.0
"""How long all that is watched of an open market may go without a tick."""

_AWAY = (RedisError, OSError, TimeoutError, StoreUnavailable)


class Alarms:
    """Looks every minute, and tells the admins of each thing that is amiss once an hour for as long as it is.

    Every process that collects looks; of what several see the admins hear once.
    """

    def __init__(
        self,
        store: AlarmStore,
        bus: AlertBus,
        health: Mapping[str, Health],
        jobs: JobQueue,
        redis: Redis,
        keys: Keys,
        cache: QuoteCache,
        hours: Hours,
    ) -> None:
        self._store = store
        self._bus = bus
        self._health = health
        self._jobs = jobs
        self._redis = redis
        self._keys = keys
        self._cache = cache
        self._hours = hours

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while not is_ending():
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except _AWAY as error:  # what tells of alarms is away itself; its own metrics and logs say so
                logger.warning("alarms were not looked for: %s", error)

    async def look(self) -> None:
        """Look now. Raises what the stores raise where they do not answer."""
        now = datetime.now(UTC)
        for subject, message in (self._failing() | await self._full() | await self._silent(now)).items():
            told = await self._store.sound(f"{subject} {now:%Y-%m-%dT%H}", now, message)
            if told:
                logger.warning("alarm: %s", message)
                await self._bus.tell_fires(told)

    def _failing(self) -> dict[str, str]:
        resting = {name: health for name, health in self._health.items() if health.breaker is BreakerState.OPEN}
        return {
            f"source {name}": f"The source {name} fails and is not asked for now: {health.fault}."
            for name, health in resting.items()
        }

    async def _full(self) -> dict[str, str]:
        waiting = await self._jobs.count("incomplete")
        if waiting < MAX_WAITING:
            return {}
        return {"jobs": f"{waiting} jobs wait or run, and no more are taken; is a worker running?"}

    async def _silent(self, now: datetime) -> dict[str, str]:
        topics: Any = await self._redis.zrangebyscore(self._keys.demand, time.time(), "+inf")
        watched = sorted({topic.decode().partition("/")[0] for topic in topics})
        silent_s: defaultdict[str, list[float]] = defaultdict(list)
        for symbol, event in (await self._cache.get(watched)).items() if watched else ():
            if self._hours.is_open(symbol):
                silent_s[market_code(symbol)].append((now - event.quote.provenance.received_at).total_seconds())
        return {
            f"market {code}": f"{code} is open, but of the {len(ages)} symbols that are watched there none has had"
            f" a tick for {timedelta(seconds=int(min(ages)))}."
            for code, ages in silent_s.items()
            if min(ages) > SILENT_S
        }
