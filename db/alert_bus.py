"""What those who keep, watch and show alerts tell each other through Redis; it may all be lost."""

import logging
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.redis import Keys
from errors import StoreUnavailable
from market import AlertMetric

logger = logging.getLogger(__name__)

_AWAY: Final = (RedisError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the alerts of a topic have seen the market: the last value of each measure of ticks, and when.

    Of a series `at` is the opening instant of the last bar. Both are seconds since 1970.
    """

    at: float
    values: Mapping[AlertMetric, float | None] = field(default_factory=dict)


class AlertBus:
    """Changes are a number that rises, so none can be missed; marks are kept by topic; fires are told by user."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def tell_change(self) -> None:
        """Say that an alert was created or changed; who watches the market finds out by itself in a while, too."""
        try:
            await self._redis.incr(self._keys.alert_changes)
        except _AWAY as error:
            logger.warning("a changed alert is found a little later: %s", error)

    async def changes(self) -> int:
        """How many changes were told of. Raises StoreUnavailable."""
        try:
            return int(await self._redis.get(self._keys.alert_changes) or 0)
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error

    async def marks(self, topics: Collection[str]) -> dict[str, Mark]:
        """The marks of the topics that have one. Raises StoreUnavailable."""
        if not topics:
            return {}
        try:
            kept = await self._redis.hmget(self._keys.alert_marks, list(topics))
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error
        return {topic: _mark(text) for topic, text in zip(topics, kept, strict=True) if text is not None}

    async def mark(self, marks: Mapping[str, Mark]) -> None:
        """Keep the marks. Raises StoreUnavailable."""
        try:
            await self._redis.hset(
                self._keys.alert_marks,
                mapping={topic: orjson.dumps(mark, option=orjson.OPT_NON_STR_KEYS) for topic, mark in marks.items()},
            )
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error

    async def unmark(self, topics: Collection[str]) -> None:
        """Forget the marks of topics that no alert watches. Raises StoreUnavailable."""
        try:
            await self._redis.hdel(self._keys.alert_marks, *topics)
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error

    async def tell_fires(self, user_ids: Collection[UUID]) -> None:
        """Say that the users have new events; who waits for them looks by itself in a while, too."""
        try:
            await self._redis.publish(self._keys.alert_fires, orjson.dumps([str(user_id) for user_id in user_ids]))
        except _AWAY as error:
            logger.warning("%d users are told of their alerts a little later: %s", len(user_ids), error)

    async def fires(self) -> AsyncGenerator[list[UUID], None]:
        """The users that have new events, again and again; none at first, and where nothing was told for a second.

        Raises StoreUnavailable once Redis is lost.
        """
        try:
            async with self._redis.pubsub() as pubsub:
                await pubsub.subscribe(self._keys.alert_fires)
                yield []
                while True:
                    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=1.0)
                    yield [UUID(user_id) for user_id in orjson.loads(message["data"])] if message else []
        except _AWAY as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error


def _mark(text: bytes | str) -> Mark:
    fields = orjson.loads(text)
    return Mark(fields["at"], {AlertMetric(metric): value for metric, value in fields["values"].items()})
