"""The hub of a process: one Redis subscription a symbol, however many clients watch it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from db.quotes import QuoteCache, QuoteEvent, decode_event
from db.redis import Keys
from errors import StoreUnavailable
from live.mailbox import Mailbox
from live.tending import is_ending

logger = logging.getLogger(__name__)

BEAT_S = 1.0
SILENCE_S = 3.0
DEMAND_S = 10.0
"""How long a symbol stays in demand after the last heartbeat of a hub that has watchers for it."""

RETRY_S = 0.2
CONFIRM_S = 2.0

_AWAY = (RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class _Topic:
    mailboxes: set[Mailbox] = field(default_factory=set)
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Hands each change of a symbol to the mailboxes of those who watch it.

    The bus forgets, and redis-py resubscribes after a loss without a word: so the hub sends itself heartbeats,
    connects anew when it no longer hears them, and reads the latest state again whenever a subscription is
    confirmed a second time.
    """

    def __init__(self, redis: Redis, keys: Keys, cache: QuoteCache) -> None:
        self._redis = redis
        self._keys = keys
        self._cache = cache
        self._topics: dict[str, _Topic] = {}
        self._pubsub: PubSub | None = None
        self._commands = asyncio.Lock()
        self._heartbeat = keys.heartbeat(uuid4().hex)
        self._prefix = keys.quotes("")

    @property
    def topics(self) -> int:
        """How many symbols are watched here."""
        return len(self._topics)

    @asynccontextmanager
    async def subscribe(self, symbols: Iterable[str], max_per_second: float | None = None) -> AsyncIterator[Mailbox]:
        """A mailbox that gets every change of the symbols from now on.

        Once it is given, the subscription is in force: a state that is read afterwards misses nothing. If Redis
        is away that holds from its return on, when the latest state is read again.
        """
        mailbox = Mailbox(symbols, max_per_second)
        topics = [self._topics.setdefault(symbol, _Topic()) for symbol in mailbox.symbols]
        for topic in topics:
            topic.mailboxes.add(mailbox)
        try:
            fresh = [symbol for symbol in mailbox.symbols if not self._topics[symbol].confirmed.is_set()]
            if fresh:
                await self._follow(fresh)
                try:
                    async with asyncio.timeout(CONFIRM_S):
                        for topic in topics:
                            await topic.confirmed.wait()
                except TimeoutError:
                    for topic in topics:  # so that the state is read again once Redis does confirm
                        topic.confirmed.set()
            yield mailbox
        finally:
            gone = []
            for symbol in mailbox.symbols:
                self._topics[symbol].mailboxes.discard(mailbox)
                if not self._topics[symbol].mailboxes:
                    del self._topics[symbol]
                    gone.append(symbol)
            if gone:
                await self._unfollow(gone)

    async def run(self) -> None:
        """Listen to the bus until cancelled."""
        while not is_ending():
            try:
                await self._listen()
            except _AWAY as error:
                logger.warning("the bus is away, connecting anew: %s", error)
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        async with self._redis.pubsub() as pubsub:
            async with self._commands:
                await pubsub.subscribe(self._heartbeat, *map(self._keys.quotes, self._topics))
                self._pubsub = pubsub
            beating = asyncio.create_task(self._beat())
            try:
                await self._read(pubsub)
            finally:
                self._pubsub = None
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    async def _read(self, pubsub: PubSub) -> None:
        heard = time.monotonic()
        while not is_ending():
            message = await pubsub.get_message(timeout=BEAT_S)
            if message is None:
                if time.monotonic() - heard > SILENCE_S:
                    raise TimeoutError(f"nothing heard for {SILENCE_S:g} s")
                continue
            heard = time.monotonic()
            channel = message["channel"].decode()
            if channel == self._heartbeat:
                continue
            symbol = channel.removeprefix(self._prefix)
            if message["type"] == "message":
                self._deliver(symbol, decode_event(message["data"]))
            elif message["type"] == "subscribe":
                await self._confirm(symbol)

    def _deliver(self, symbol: str, event: QuoteEvent) -> None:
        if topic := self._topics.get(symbol):
            for mailbox in topic.mailboxes:
                mailbox.put(symbol, event)

    async def _confirm(self, symbol: str) -> None:
        if not (topic := self._topics.get(symbol)):
            return
        if topic.confirmed.is_set():
            with suppress(StoreUnavailable):
                for event in (await self._cache.get([symbol])).values():
                    self._deliver(symbol, event)
        topic.confirmed.set()

    async def _beat(self) -> None:
        while not is_ending():
            with suppress(*_AWAY):
                await self._redis.publish(self._heartbeat, b"")
                await self._demand(list(self._topics))
            await asyncio.sleep(BEAT_S)

    async def _demand(self, symbols: Iterable[str]) -> None:
        until = time.time() + DEMAND_S
        if scores := dict.fromkeys(symbols, until):
            await self._redis.zadd(self._keys.demand, scores)

    async def _follow(self, symbols: list[str]) -> None:
        # Where the connection is away, the next one follows every topic that there is.
        with suppress(*_AWAY):
            async with self._commands:
                if self._pubsub is not None:
                    await self._pubsub.subscribe(*map(self._keys.quotes, symbols))
            await self._demand(symbols)

    async def _unfollow(self, symbols: list[str]) -> None:
        with suppress(*_AWAY):
            async with self._commands:
                gone = [self._keys.quotes(symbol) for symbol in symbols if symbol not in self._topics]
                if gone and self._pubsub is not None:
                    await self._pubsub.unsubscribe(*gone)
