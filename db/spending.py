"""What viewers spend of the budgets of their tiers, counted in Redis by all processes together."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from limits.aio.storage import MemoryStorage, RedisStorage
from limits.errors import StorageError
from redis.asyncio import Redis

from db.redis import Keys
from errors import RateLimited
from people import Tier, Viewer
from settings import Settings

logger = logging.getLogger(__name__)

WINDOW_S: Final = 60
"""A budget is for a minute of the clock."""

SHARES: Final = 400
"""A process takes this part of a budget from Redis at once, and asks again when that is spent."""

MAX_PURSES: Final = 100_000
"""Viewers of one window that a process remembers; who is forgotten loses the share that was taken for him."""


def budgets_of(settings: Settings) -> dict[Tier, int]:
    """What a viewer of each tier may spend in a window."""
    return {
        Tier.GUEST: settings.guest_budget,
        Tier.REGISTERED: settings.registered_budget,
        Tier.VIP: settings.vip_budget,
        Tier.ADMIN: settings.admin_budget,
    }


@dataclass(frozen=True, slots=True)
class Spent:
    """What a request cost, of how much in a window, and what is left of that as far as this process knows."""

    cost: int
    limit: int
    remaining: int
    resets_at: datetime

    @property
    def resets_in_s(self) -> int:
        """Whole seconds until the next window."""
        return max(1, math.ceil((self.resets_at - datetime.now(UTC)).total_seconds()))


@dataclass(slots=True)
class _Purse:
    """What this process holds of one viewer's budget, and how much of it all processes had taken when it last asked."""

    held: int = 0
    taken: int = 0
    is_last: bool = False
    """Nothing is left to be taken."""
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time: a hundred requests at once would take a hundred shares, where one is enough for all."""


class Spending:
    """The budgets of all viewers: of a user wherever he asks from, of a guest by the address.

    However many processes share it, a budget is never overdrawn, and at most 1 / SHARES of it for each process is left
    unspent. While Redis is away each process counts for itself, with the same budgets.
    """

    def __init__(
        self, redis: Redis, keys: Keys, budgets: Mapping[Tier, int], clock: Callable[[], float] = time.time
    ) -> None:
        self._shared = RedisStorage(
            "async+redis://",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=keys.spending,
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # its options are typed as those of a URL
        )
        self._alone = MemoryStorage()
        self._budgets = budgets
        self._clock = clock
        self._window = 0
        self._purses: dict[str, _Purse] = {}

    async def spend(self, viewer: Viewer, address: str, cost: int) -> Spent:
        """Take the cost from the viewer's budget. Raises RateLimited where less than that is left; it stays then."""
        window = int(self._clock() // WINDOW_S)
        if window != self._window:
            self._window = window
            self._purses.clear()
        who = f"user:{viewer.user_id}" if viewer.user_id else f"guest:{address}"
        purse = self._purses.get(who)
        if purse is None:
            purse = self._purses[who] = _Purse()
            if len(self._purses) > MAX_PURSES:
                del self._purses[next(iter(self._purses))]
        limit = self._budgets[viewer.tier]
        if purse.held < cost and not purse.is_last:
            async with purse.filling:
                if purse.held < cost and not purse.is_last:
                    await self._fill(purse, who, window, limit, cost)
        resets_at = datetime.fromtimestamp((window + 1) * WINDOW_S, UTC)
        remaining = purse.held + max(0, limit - purse.taken)
        if purse.held < cost:
            spent = Spent(cost, limit, remaining, resets_at)
            raise RateLimited(
                f"This costs {cost}, and {remaining} of {limit} a minute are left; try again in {spent.resets_in_s} s.",
                retryAfter=spent.resets_in_s,
                cost=cost,
                remaining=remaining,
                limit=limit,
            )
        purse.held -= cost
        return Spent(cost, limit, remaining - cost, resets_at)

    async def _fill(self, purse: _Purse, who: str, window: int, limit: int, cost: int) -> None:
        """Put into the purse what the cost takes, or more; less where the budget has no more."""
        asked = max(cost - purse.held, limit // SHARES)
        key = f"{who}:{window}"
        try:
            taken = await self._shared.incr(key, 2 * WINDOW_S, asked)
        except (StorageError, OSError) as error:
            logger.warning("budgets are counted here alone: %s", error)
            taken = await self._alone.incr(key, 2 * WINDOW_S, asked)
        granted = max(0, asked - max(0, taken - limit))
        purse.held += granted
        purse.taken = max(purse.taken, min(taken, limit))
        purse.is_last = granted < asked
