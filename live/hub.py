"""The hub of a process: one Redis subscription a topic, however many clients watch it."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import msgspec
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from db.live_bars import LiveBars, decode_bar, topic_series
from db.quotes import QuoteCache, decode_event
from db.redis import Keys
from errors import StoreUnavailable
from live.mailbox import Event, Feed, Mailbox
from live.tending import is_ending, tended

logger = logging.getLogger(__name__)

BEAT_S = 1.0
SILENCE_S = 3.0
DEMAND_S = 10.0
"""How long a symbol stays in demand once a hub that has watchers for it has said so; it does so four times as often."""

RETRY_S = 0.2
AT_ONCE = 200
"""Symbols of one round trip: so few that those who are told ticks do not notice."""

CONFIRM_S = 2.0

_AWAY = (RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class _Topic:
    feed: Feed = field(default_factory=Feed)
    is_asked: bool = False
    """Whether a connection is told to follow it, or is about to be."""
    confirmed: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Hands each change of a symbol to the mailboxes of those who watch it.

    The bus forgets, and redis-py resubscribes after a loss without a word: so the hub sends itself heartbeats,
    connects anew when it no longer hears them, and reads the latest state again whenever a subscription is
    confirmed a second time.
    """

    def __init__(self, redis: Redis, keys: Keys, cache: QuoteCache, bars: LiveBars) -> None:
        self._redis = redis
        self._keys = keys
        self._cache = cache
        self._bars = bars
        self._topics: dict[str, _Topic] = {}
        self._behind: dict[str, None] = {}
        self._catching_up = asyncio.Event()
        self._pubsub: PubSub | None = None
        self._commands = asyncio.Lock()
        self._heartbeat = keys.heartbeat(uuid4().hex)
        self._followed: dict[bytes, str] = {}
        self.connects = 0
        """How often it connected to the bus; each time after the first it was away."""
        self.healed = 0
        """Topics of which something may have been missed, and whose latest state was read again."""
        self.undecoded = 0
        """Messages of the bus that could not be decoded; the latest state of their topics was read instead."""
        self._undecoded = ""

    @property
    def mailboxes(self) -> int:
        """How many subscribers there are, counted once for each topic that they watch."""
        return sum(len(topic.feed) for topic in self._topics.values())

    @property
    def topics(self) -> int:
        """How many topics are watched here."""
        return sum(bool(topic.feed) for topic in self._topics.values())

    async def subscribe(self, topics: Iterable[str], max_per_second: float | None = None) -> Mailbox:
        """A mailbox that gets every change of the topics from now on, until it is closed.

        A topic is a symbol, whose quotes are the payloads, or a series (`AAPL/M1`), whose payloads are `BarEvent`s.

        Once it is given, the subscription is in force: a state that is read afterwards misses nothing. If Redis
        is away that holds from its return on, when the latest state is read again.
        """
        names = list(dict.fromkeys(topics))
        watched = [self._topics.setdefault(name, _Topic()) for name in names]
        mailbox = Mailbox(max_per_second, partial(_leave, watched), len(names))
        for topic in watched:
            topic.feed.watch(mailbox)
        try:
            await self._follow([name for name, topic in zip(names, watched, strict=True) if not topic.is_asked])
            async with asyncio.timeout(CONFIRM_S):
                for topic in watched:
                    await topic.confirmed.wait()
        except TimeoutError:
            for topic in watched:  # so that the state is read again once Redis does confirm
                topic.confirmed.set()
        except BaseException:
            mailbox.close()
            raise
        return mailbox

    async def run(self) -> None:
        """Listen to the bus until cancelled."""
        now = asyncio.get_running_loop().time
        while not is_ending():
            began = now()
            try:
                await self._listen()
            except _AWAY as error:
                why = str(error) or f"nothing heard for {SILENCE_S:g} s"
                logger.warning("the bus is away, connecting anew: %s", why)
            self._topics = {name: topic for name, topic in self._topics.items() if topic.feed}
            await asyncio.sleep(began + RETRY_S - now())  # at once, where it had been there

    async def _listen(self) -> None:
        async with self._redis.pubsub(push_handler_func=_as_it_came) as pubsub:
            async with self._commands:
                self._followed.clear()
                for topic in self._topics.values():
                    topic.is_asked = True
                await pubsub.subscribe(self._heartbeat, *self._channels(self._topics))
                self._pubsub = pubsub
            self.connects += 1
            try:
                async with tended(self._beat, self._catch_up):
                    await self._read(pubsub)
            finally:
                self._pubsub = None

    async def _read(self, pubsub: PubSub) -> None:
        now = asyncio.get_running_loop().time
        connection = pubsub.connection
        assert connection is not None  # it has subscribed
        async with asyncio.timeout(SILENCE_S) as silence:
            while True:
                for message in await _next_of(connection):
                    kind, channel, payload = message
                    name = self._followed.get(channel)
                    if kind != b"message":
                        await pubsub.handle_message(message)
                        if kind == b"subscribe" and name is not None and (topic := self._topics.get(name)):
                            if topic.confirmed.is_set():  # it was away, and who knows what was said meanwhile
                                self._fall_behind(name)
                            topic.confirmed.set()
                    elif name is not None:
                        self._tell(name, payload)
                    elif is_ending():
                        return
                    else:  # our own heartbeat, or what nobody watches any more
                        silence.reschedule(now() + SILENCE_S)

    def _tell(self, name: str, payload: bytes) -> None:
        try:
            event = _decoded(name, payload)
        except msgspec.DecodeError as error:  # of a newer version, or of a stranger
            self.undecoded += 1
            self._undecoded = f"on {name}: {error}"
            self._fall_behind(name)
        else:
            self._deliver(event)

    def _fall_behind(self, name: str) -> None:
        self._behind[name] = None
        self._catching_up.set()

    def _deliver(self, event: Event) -> None:
        if topic := self._topics.get(event.key):
            topic.feed.bring(event)

    def _channels(self, names: Iterable[str]) -> list[str]:
        """The channels of the topics, which are known by them from now on."""
        channels = {self._keys.channel(name): name for name in names}
        self._followed |= {channel.encode(): name for channel, name in channels.items()}
        return list(channels)

    async def _catch_up(self) -> None:
        """Read the latest state of what was not followed for a while."""
        while not is_ending():
            await self._catching_up.wait()
            self._catching_up.clear()
            while (names := list(self._behind)[:AT_ONCE]) and not is_ending():
                for name in names:
                    del self._behind[name]
                try:
                    for event in await self._latest(names):
                        self._deliver(event)
                    self.healed += len(names)
                except StoreUnavailable:  # the connection is about to be lost, and found again, as well
                    self._behind |= dict.fromkeys(names)
                    await asyncio.sleep(RETRY_S)

    async def _latest(self, names: Sequence[str]) -> list[Event]:
        series = [name for name in names if topic_series(name)]
        symbols = [name for name in names if not topic_series(name)]
        quotes = (await self._cache.get(symbols)).values() if symbols else ()
        told = [Event(event.quote.symbol, event.order, event.quote) for event in quotes]
        return told + [Event(event.topic, event.order, event) for event in await self._bars.get(series)]

    async def _beat(self) -> None:
        now = asyncio.get_running_loop().time
        demanded_at = -math.inf
        while not is_ending():
            with suppress(*_AWAY):
                await self._redis.publish(self._heartbeat, b"")
                await self._unfollow([name for name, topic in self._topics.items() if not topic.feed])
                await self._follow([name for name, topic in self._topics.items() if not topic.is_asked])
                if now() >= demanded_at + DEMAND_S / 4:
                    await self._demand(list(self._topics))
                    demanded_at = now()
            if self._undecoded:
                logger.warning("%d messages could not be decoded by now, the last %s", self.undecoded, self._undecoded)
                self._undecoded = ""
            await asyncio.sleep(BEAT_S)

    async def _demand(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), AT_ONCE):
            until = time.time() + DEMAND_S
            await self._redis.zadd(self._keys.demand, dict.fromkeys(names[start : start + AT_ONCE], until))

    async def _follow(self, names: Sequence[str]) -> None:
        """Ask for topics that nobody has asked for; with the next beat, where the bus takes no command now."""
        if not names:
            return
        topics = [self._topics[name] for name in names]
        for topic in topics:
            topic.is_asked = True
        try:
            async with self._commands:
                if self._pubsub is not None:  # else the next connection follows every topic that there is
                    await _sent(self._pubsub.subscribe(*self._channels(names)))
        except BaseException as error:  # who asks may also be cancelled, and others watch the same
            for topic in topics:
                topic.is_asked = False
            if not isinstance(error, _AWAY):
                raise
        else:
            with suppress(*_AWAY):
                await self._demand(names)

    async def _unfollow(self, names: Sequence[str]) -> None:
        """Leave what nobody has watched since the last beat: who comes back within one costs no command."""
        if not names:
            return
        async with self._commands:
            gone = {name: topic for name in names if not (topic := self._topics[name]).feed}
            for topic in gone.values():  # who comes meanwhile asks anew
                topic.is_asked = False
                topic.confirmed.clear()
            if gone and self._pubsub is not None:
                await _sent(self._pubsub.unsubscribe(*map(self._keys.channel, gone)))
            for name, topic in gone.items():
                if not topic.feed:
                    del self._topics[name]
                    self._followed.pop(self._keys.channel(name).encode(), None)


async def _sent(command: Awaitable[object]) -> None:
    """Wait for a command on the connection that is read beside it; raises one of _AWAY."""
    try:
        await command
    except AttributeError as error:  # redis-py has no writer any more, where the reader drops the connection meanwhile
        raise ConnectionResetError("the connection was dropped as it was written to") from error


async def _next_of(connection: AbstractConnection) -> list[Any]:
    """The next message of the bus, and all that the socket brought with it. Raises one of _AWAY."""
    # `get_message` would take three times as long, and connect anew without a word.
    messages = [await connection.read_response(timeout=math.inf, push_request=True)]
    # The others wait in the reader of hiredis. redis-py gives them one by one, through four coroutines each.
    reader: Any = connection._parser._reader  # type: ignore[attr-defined]  # noqa: SLF001 - no other way leads there
    while (message := reader.gets()) is not NOT_ENOUGH_DATA:
        if isinstance(message, RedisError):
            raise message
        messages.append(message)
    return messages


def _decoded(name: str, payload: bytes) -> Event:
    if topic_series(name):
        bar = decode_bar(payload)
        return Event(name, bar.order, bar)
    told = decode_event(payload)
    return Event(name, told.order, told.quote, came_at=told.quote.provenance.received_at)


async def _as_it_came(message: list[bytes]) -> list[bytes]:
    """In the place of redis-py's own, which writes each message out for a log: as much work as decoding it."""
    return message


def _leave(topics: Sequence[_Topic], mailbox: Mailbox) -> None:
    for topic in topics:
        topic.feed.leave(mailbox)
