"""Bars that are forming, in Redis: the latest of each series, and the channel of its changes."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import polars as pl
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.redis import Keys
from errors import StoreUnavailable
from market import BAR_SCHEMA, Interval

logger = logging.getLogger(__name__)

KEEP_S = 3600


def series_topic(symbol: str, interval: Interval) -> str:
    """The topic of a symbol's bars; that of its quotes is the symbol alone, and no symbol has a slash."""
    return f"{symbol}/{interval}"


def topic_series(topic: str) -> tuple[str, Interval] | None:
    """The series of a topic of bars; None for one of quotes."""
    symbol, slash, interval = topic.partition("/")
    return (symbol, Interval(interval)) if slash else None


@dataclass(frozen=True, slots=True)
class BarEvent:
    """One change of the newest bar of a series, RAW, and whose it is; later means a higher (epoch, seq)."""

    epoch: int
    seq: int
    symbol: str
    interval: Interval
    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    is_final: bool
    sources: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, int]:
        """What to compare."""
        return self.epoch, self.seq

    @property
    def topic(self) -> str:
        """Where it is told."""
        return series_topic(self.symbol, self.interval)

    @property
    def frame(self) -> pl.DataFrame:
        """The bar, by `BAR_SCHEMA`."""
        row = {name: getattr(self, name) for name in ("time", "open", "high", "low", "close", "volume", "is_final")}
        nothing = {"vwap": None, "trades": None, "split_factor": 1.0, "dividend": 0.0}
        return pl.DataFrame([row | nothing], schema=BAR_SCHEMA)


decode_bar: Final = msgspec.json.Decoder(BarEvent).decode
"""The event of its JSON. Raises msgspec.DecodeError."""


class LiveBars:
    """The newest bar of each series that somebody watches, shared by all processes."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def get(self, topics: Sequence[str]) -> list[BarEvent]:
        """What is known of the series. Raises StoreUnavailable when Redis does not answer."""
        if not topics:
            return []
        try:
            payloads = await self._redis.mget([self._keys.forming(topic) for topic in topics])
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error
        events = []
        for topic, payload in zip(topics, payloads, strict=True):
            if payload is not None:
                try:
                    events.append(decode_bar(payload))
                except msgspec.DecodeError as error:
                    logger.warning("the newest bar of %s is of no use: %s", topic, error)
        return events

    async def publish(self, events: Iterable[BarEvent]) -> None:
        """Keep the events, then tell every hub; who subscribes first and reads then misses nothing."""
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            payload = msgspec.json.encode(event)
            pipeline.set(self._keys.forming(event.topic), payload, ex=KEEP_S)
            pipeline.publish(self._keys.channel(event.topic), payload)
        try:
            await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error
