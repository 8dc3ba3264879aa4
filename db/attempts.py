"""Attempts to sign in or up, counted in Redis by all processes together."""

import logging
import math
import time
from hashlib import sha256
from typing import Final

from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import Redis

from db.redis import Keys
from errors import TooManyAttempts

logger = logging.getLogger(__name__)

PER_ACCOUNT: Final = RateLimitItemPerMinute(10, 15)
PER_ADDRESS: Final = RateLimitItemPerMinute(30, 15)
SIGN_UPS: Final = RateLimitItemPerHour(20)

Limit = RateLimitItemPerHour | RateLimitItemPerMinute


class Attempts:
    """The limits on trying: 10 in 15 minutes for an account, 30 from an address; 20 new accounts in an hour.

    While Redis is away each process counts for itself, with the same limits.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        shared = RedisStorage(
            "async+redis://",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=keys.attempts,
            connection_pool=redis.connection_pool,  # type: ignore[arg-type]  # its options are typed as those of a URL
        )
        self._shared = MovingWindowRateLimiter(shared)
        self._here = MovingWindowRateLimiter(MemoryStorage())

    async def sign_in(self, email: str, address: str) -> None:
        """Count an attempt before it is made, whether there is such an account or not. Raises TooManyAttempts."""
        await self._take(PER_ADDRESS, "address", address)
        await self._take(PER_ACCOUNT, "account", _name(email))

    async def signed_in(self, email: str) -> None:
        """Forget the attempts of the account: the last was good."""
        try:
            await self._shared.clear(PER_ACCOUNT, "account", _name(email))
        except (StorageError, OSError) as error:
            logger.warning("attempts to sign in are not forgotten: %s", error)
        await self._here.clear(PER_ACCOUNT, "account", _name(email))

    async def sign_up(self, address: str) -> None:
        """Count a new account before it is made. Raises TooManyAttempts."""
        await self._take(SIGN_UPS, "sign-up", address)

    async def _take(self, limit: Limit, *who: str) -> None:
        try:
            await _hit(self._shared, limit, *who)
        except (StorageError, OSError) as error:
            logger.warning("attempts to sign in are counted here alone: %s", error)
            await _hit(self._here, limit, *who)


async def _hit(limiter: MovingWindowRateLimiter, limit: Limit, *who: str) -> None:
    if not await limiter.hit(limit, *who):
        reset_at = (await limiter.get_window_stats(limit, *who)).reset_time
        wait_s = max(1, math.ceil(reset_at - time.time()))
        raise TooManyAttempts(f"That was tried too often; try again in {wait_s} s.", retryAfter=wait_s)


def _name(email: str) -> str:
    return sha256(email.encode()).hexdigest()
