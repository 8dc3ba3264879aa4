"""Brings the ticks of the symbols in demand from the sources to the bus; collectors share the symbols."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from functools import lru_cache
from hashlib import blake2b
from uuid import uuid4

from msgspec import structs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.live_bars import topic_series
from db.quotes import QuoteCache, QuoteEvent
from db.redis import Keys
from errors import StoreUnavailable
from live.alerts import AlertWatch
from live.bars import FormingBars
from live.recorder import Recorder
from live.tending import is_ending
from market import Quote
from sources.source import Demand
from sources.streams import Streams

logger = logging.getLogger(__name__)

_AWAY = (RedisError, OSError, TimeoutError)

ALIVE_S = 3.0
"""How long a collector counts as there after its last heartbeat."""

BEAT_S = 0.25
RETRY_S = 0.5

# The epoch is Redis's own clock, and above every epoch before: it rises even after Redis has lost its data.
_RISE = """
local now = redis.call('TIME')
local ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local epoch = tonumber(redis.call('GET', KEYS[2]) or '0')
local function rise()
    epoch = math.max(ms, epoch + 1)
    redis.call('SET', KEYS[2], string.format('%.0f', epoch))
end
"""
_BEAT = f"""{_RISE}
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms)
local came = redis.call('ZADD', KEYS[1], string.format('%.0f', ms + ARGV[2]), ARGV[1])
if gone + came > 0 or epoch == 0 then rise() end
return {{epoch, redis.call('ZRANGE', KEYS[1], 0, -1)}}
"""
_LEAVE = f"{_RISE} if redis.call('ZREM', KEYS[1], ARGV[1]) > 0 then rise() end"


@lru_cache(100_000)
def owner(symbol: str, collectors: tuple[str, ...]) -> str:
    """Which of the collectors has the symbol (rendezvous hashing).

    When one comes or goes only its own share moves. All who see the same collectors agree; there is at least one.
    """
    return max(collectors, key=lambda collector: blake2b(f"{collector}/{symbol}".encode(), digest_size=8).digest())


class Collector:
    """Streams its share of what somebody watches, for as long as its heartbeats reach Redis.

    Each event carries (epoch, seq): the epoch rises whenever a collector comes or goes, so in one epoch a symbol has
    one owner, and a hub drops what an owner before sends late; the seq rises with each event of the symbol.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        cache: QuoteCache,
        recorder: Recorder,
        streams: Streams,
        forming: Callable[[int], FormingBars],
        alerts: AlertWatch,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._cache = cache
        self._recorder = recorder
        self._streams = streams
        self._forming = forming
        self._alerts = alerts
        self._id = uuid4().hex
        self._epoch = 0
        self.symbols: frozenset[str] = frozenset()
        """What this collector has to bring now."""
        self.bars: FormingBars | None = None
        """What builds bars now."""
        self.unpublished = 0
        """Ticks that Redis did not take."""

    async def run(self) -> None:
        """Collect while Redis answers, until cancelled."""
        while not is_ending():
            try:
                await self._collect()
            except _AWAY as error:
                logger.warning("the collector waits for Redis: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _collect(self) -> None:
        await self._leave()  # what it counted before is over: it comes anew, in an epoch of its own
        demand, bars = Demand(), self._forming(0)
        self.bars = bars
        streaming = asyncio.create_task(self._stream(demand, bars))
        building = asyncio.create_task(bars.run())
        tasks = [streaming, building]
        try:
            while not any(task.done() for task in tasks) and not is_ending():
                epoch, collectors = await self._beat()
                topics = {*await self._watched(), *self._alerts.topics}
                watched = [topic for topic in topics if owner(topic.partition("/")[0], collectors) == self._id]
                # With no pause between, so that nothing is told of a symbol in an epoch in which it is another's.
                self._epoch = bars.epoch = epoch
                bars.want(series for topic in watched if (series := topic_series(topic)))
                symbols = list(dict.fromkeys(topic.partition("/")[0] for topic in watched))
                self._alerts.own(symbols)
                demand.set(symbols)
                self.symbols = demand.symbols
                await asyncio.wait(tasks, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._alerts.own(())
            with suppress(*_AWAY):  # then its heartbeat runs out by itself
                await self._leave()

    async def _beat(self) -> tuple[int, tuple[str, ...]]:
        """The epoch, and the collectors that are there in it."""
        keys = self._keys
        epoch, members = await self._redis.eval(_BEAT, 2, keys.collectors, keys.epoch, self._id, int(ALIVE_S * 1000))
        if epoch != self._epoch:
            logger.info("sharing the symbols with %d others, in epoch %d", len(members) - 1, epoch)
        return epoch, tuple(sorted(member.decode() for member in members))

    async def _leave(self) -> None:
        await self._redis.eval(_LEAVE, 2, self._keys.collectors, self._keys.epoch, self._id)

    async def _watched(self) -> list[str]:
        now = time.time()
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zremrangebyscore(self._keys.demand, "-inf", now)
            pipeline.zrange(self._keys.demand, 0, -1)
            _, members = await pipeline.execute()
        return [member.decode() for member in members]

    async def _stream(self, demand: Demand, bars: FormingBars) -> None:
        seqs: defaultdict[str, int] = defaultdict(int)
        latest: dict[str, Quote] = {}
        wanted = demand.symbols
        async with aclosing(self._streams.stream(demand)) as batches:
            async for batch in batches:
                if demand.symbols is not wanted:
                    wanted = demand.symbols
                    latest = {symbol: quote for symbol, quote in latest.items() if symbol in wanted}
                ours = [change for change in batch if change.symbol in wanted]
                for event in await self._published(seqs, latest, ours):
                    bars.take(event.quote)
                    self._alerts.take(event)
                if is_ending():  # or the next batch might be waited for without end
                    return

    async def _published(
        self, seqs: defaultdict[str, int], latest: dict[str, Quote], batch: Sequence[Quote]
    ) -> list[QuoteEvent]:
        """The changes as whole quotes in their order, once they are told to the hubs, if Redis lets it."""
        events = []
        for change in batch:
            quote = merged(latest.get(change.symbol), change)
            latest[change.symbol] = quote
            seqs[change.symbol] += 1
            events.append(QuoteEvent(self._epoch, seqs[change.symbol], quote))
            self._recorder.offer(quote)
        try:
            await self._cache.write(events, publish=True)
        except StoreUnavailable as error:
            # The next tick of each symbol carries its whole state, so nothing has to be sent again.
            self.unpublished += len(events)
            logger.warning("%d ticks were not published: %s", len(events), error)
        return events


def merged(known: Quote | None, change: Quote) -> Quote:
    """The quote after a change that tells only some fields: what it does not say stays as known."""
    if known is None:
        return change
    unsaid = {
        name: getattr(known, name)
        for name in _OPTIONAL
        if getattr(change, name) is None and getattr(known, name) is not None
    }
    return structs.replace(change, **unsaid) if unsaid else change


_OPTIONAL = tuple(field.name for field in structs.fields(Quote) if field.default is None and field.name != "last_size")
