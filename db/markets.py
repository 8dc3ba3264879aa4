"""States of markets in Redis, so that all processes tell the same."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.redis import Keys
from errors import StoreUnavailable
from market import Market, MarketPhase

KEEP_S = 60


class MarketCache:
    """The state of each market, kept for 60 s."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def get(self, codes: Sequence[str]) -> dict[str, Market]:
        """What is cached of the markets; its `changes_at` may be over. Raises StoreUnavailable without Redis."""
        try:
            payloads = await self._redis.mget([self._keys.market(code) for code in codes])
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error
        return {code: _decode(payload) for code, payload in zip(codes, payloads, strict=True) if payload is not None}

    async def put(self, markets: Iterable[Market]) -> None:
        """Keep the states. Raises StoreUnavailable without Redis."""
        pipeline = self._redis.pipeline(transaction=False)
        for market in markets:
            pipeline.set(self._keys.market(market.code), orjson.dumps(market), ex=KEEP_S)
        try:
            await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error


_INSTANTS = ("opens_at", "closes_at", "next_open", "changes_at")


def _decode(payload: bytes | str) -> Market:
    fields: dict[str, Any] = orjson.loads(payload)
    instants = {name: datetime.fromisoformat(fields[name]) for name in _INSTANTS if fields[name] is not None}
    return Market(**{**fields, **instants, "phase": MarketPhase(fields["phase"])})
