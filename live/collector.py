"""Brings the ticks of the symbols in demand from the sources to the bus; one collector at a time does."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import fields, replace
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.live_bars import topic_series
from db.quotes import QuoteCache, QuoteEvent
from db.redis import Keys
from errors import StoreUnavailable
from live.bars import FormingBars
from live.recorder import Recorder
from live.tending import is_ending
from market import Quote
from sources.source import Demand
from sources.streams import Streams

logger = logging.getLogger(__name__)

_AWAY = (RedisError, OSError, TimeoutError)

LEASE_S = 3.0
RENEW_S = 0.25
RETRY_S = 0.5

# The epoch is Redis's own clock, and above every epoch before: it rises even after Redis has lost its data.
_TAKE = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
local now = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local epoch = math.max(tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000), last + 1)
redis.call('SET', KEYS[2], string.format('%.0f', epoch))
return epoch
"""
_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Collector:
    """Streams what somebody watches, while it holds the lease that makes it the only one.

    Each event carries (epoch, seq): the epoch rises with each holder of the lease, the seq with each event of
    the symbol, so a hub drops what a holder before sends late.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        cache: QuoteCache,
        recorder: Recorder,
        streams: Streams,
        forming: Callable[[int], FormingBars],
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._cache = cache
        self._recorder = recorder
        self._streams = streams
        self._forming = forming
        self._id = uuid4().hex

    async def run(self) -> None:
        """Wait for the lease and collect while it is held, until cancelled."""
        while not is_ending():
            try:
                epoch = await self._redis.eval(
                    _TAKE, 2, self._keys.collector, self._keys.epoch, self._id, int(LEASE_S * 1000)
                )
                if epoch:
                    await self._collect(int(epoch))
            except _AWAY as error:
                logger.warning("the collector waits for Redis: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _collect(self, epoch: int) -> None:
        demand, bars = Demand(), self._forming(epoch)
        streaming = asyncio.create_task(self._stream(epoch, demand, bars))
        building = asyncio.create_task(bars.run())
        tasks = [streaming, building]
        try:
            while not any(task.done() for task in tasks) and not is_ending() and await self._renew():
                watched = await self._watched()
                bars.want(series for topic in watched if (series := topic_series(topic)))
                demand.set(list(dict.fromkeys(topic.partition("/")[0] for topic in watched)))
                await asyncio.wait(tasks, timeout=RENEW_S, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(*_AWAY):  # then the lease runs out by itself
                await self._redis.eval(_GIVE_BACK, 1, self._keys.collector, self._id)

    async def _watched(self) -> list[str]:
        now = time.time()
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zremrangebyscore(self._keys.demand, "-inf", now)
            pipeline.zrange(self._keys.demand, 0, -1)
            _, members = await pipeline.execute()
        return [member.decode() for member in members]

    async def _renew(self) -> bool:
        held = await self._redis.eval(_RENEW, 1, self._keys.collector, self._id, int(LEASE_S * 1000))
        if not held:
            logger.warning("another collector has taken over")
        return bool(held)

    async def _stream(self, epoch: int, demand: Demand, bars: FormingBars) -> None:
        seqs: defaultdict[str, int] = defaultdict(int)
        latest: dict[str, Quote] = {}
        wanted = demand.symbols
        async with aclosing(self._streams.stream(demand)) as batches:
            async for batch in batches:
                if demand.symbols is not wanted:
                    wanted = demand.symbols
                    latest = {symbol: quote for symbol, quote in latest.items() if symbol in wanted}
                await self._publish(epoch, seqs, latest, batch)
                for change in batch:
                    bars.take(latest[change.symbol])
                if is_ending():  # or the next batch might be waited for without end
                    return

    async def _publish(
        self, epoch: int, seqs: defaultdict[str, int], latest: dict[str, Quote], batch: Sequence[Quote]
    ) -> None:
        events = []
        for change in batch:
            quote = merged(latest.get(change.symbol), change)
            latest[change.symbol] = quote
            seqs[change.symbol] += 1
            events.append(QuoteEvent(epoch, seqs[change.symbol], quote))
            self._recorder.offer(quote)
        try:
            await self._cache.write(events, publish=True)
        except StoreUnavailable as error:
            # The next tick of each symbol carries its whole state, so nothing has to be sent again.
            logger.warning("%d ticks were not published: %s", len(events), error)


def merged(known: Quote | None, change: Quote) -> Quote:
    """The quote after a change that tells only some fields: what it does not say stays as known."""
    if known is None:
        return change
    unsaid = {
        name: getattr(known, name)
        for name in _OPTIONAL
        if getattr(change, name) is None and getattr(known, name) is not None
    }
    return replace(change, **unsaid) if unsaid else change


_OPTIONAL = tuple(field.name for field in fields(Quote) if field.default is None and field.name != "last_size")
