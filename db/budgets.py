"""Quotas of sources, counted in Redis by all processes together."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.redis import Keys
from errors import SourceLimited
from sources.source import Quota

logger = logging.getLogger(__name__)

# Takes the cost from every window or from none. KEYS: the windows; ARGV: cost, then limit and seconds left of each.
# Answers the number of the first window that is full, or 0.
_TAKE = """
for i, key in ipairs(KEYS) do
    if tonumber(redis.call('GET', key) or '0') + tonumber(ARGV[1]) > tonumber(ARGV[2 * i]) then return i end
end
for i, key in ipairs(KEYS) do
    redis.call('INCRBY', key, ARGV[1])
    redis.call('EXPIRE', key, ARGV[2 * i + 1])
end
return 0
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a quota is spent in the present window."""

    quota: Quota
    used: int
    resets_at: datetime


class RedisBudget:
    """The budget of one source.

    While Redis is away each process counts for itself, with the same limits: a source is never asked without end.
    """

    def __init__(self, redis: Redis, keys: Keys, source: str, quotas: Sequence[Quota]) -> None:
        self._redis = redis
        self._keys = keys
        self._source = source
        self._quotas = tuple(quotas)
        self._local: dict[str, int] = {}

    async def take(self, cost: int = 1) -> None:
        """Count a question that is about to be asked. Raises SourceLimited where a quota does not allow it."""
        if not self._quotas:
            return
        windows = self._windows()
        try:
            limits = [value for quota, _, left_s in windows for value in (quota.limit, left_s)]
            full = await self._redis.eval(_TAKE, len(windows), *(key for _, key, _ in windows), cost, *limits)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("%s: its quota is counted here alone: %s", self._source, error)
            full = self._take_here(windows, cost)
        if full:
            quota, _, left_s = windows[int(full) - 1]
            raise SourceLimited(
                f"the quota of {quota.limit} in {quota.seconds} s for {self._source} is spent",
                retry_after_s=float(left_s),
            )

    async def usage(self) -> list[Usage]:
        """What is spent of each quota; what cannot be read counts as nothing."""
        now = datetime.now(UTC)
        windows = self._windows()
        try:
            found = await self._redis.mget([key for _, key, _ in windows]) if windows else []
            spent = [int(used or 0) for used in found]
        except (RedisError, OSError, TimeoutError):
            spent = [self._local.get(key, 0) for _, key, _ in windows]
        return [Usage(quota, used, quota.window(now)[1]) for (quota, _, _), used in zip(windows, spent, strict=True)]

    def _windows(self) -> list[tuple[Quota, str, int]]:
        now = datetime.now(UTC)
        windows = []
        for quota in self._quotas:
            name, end = quota.window(now)
            left_s = max(1, int((end - now).total_seconds()) + 1)
            windows.append((quota, self._keys.source_budget(self._source, quota.seconds, name), left_s))
        return windows

    def _take_here(self, windows: Sequence[tuple[Quota, str, int]], cost: int) -> int:
        self._local = {key: self._local.get(key, 0) for _, key, _ in windows}
        for number, (quota, key, _) in enumerate(windows, 1):
            if self._local[key] + cost > quota.limit:
                return number
        for _, key, _ in windows:
            self._local[key] += cost
        return 0
