"""The one Redis client of a process, and the name of every key and channel."""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

TIMEOUT_S: Final = 0.7
"""How long Redis may take: it is a cache and a bus, so slower than this is away."""
PAUSE_S: Final = 0.5
"""How long nobody asks Redis once it has been too slow: a request asks it several times, and would wait each time."""


class Patience(Retry):
    """Asks once more where a connection was lost, as all are once Redis was started anew; never where it is too slow.

    Then nobody asks for PAUSE_S, and after that one task at a time, until it is answered. All connections of a client
    share this.
    """

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 1, (RedisConnectionError,))
        self._away_until = 0.0
        self._probing: asyncio.Task[Any] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Patience":
        return self  # redis-py gives each connection a copy of its own

    async def call_with_retry(
        self, do: Any, fail: Any, is_retryable: Any = None, with_failure_count: bool = False
    ) -> Any:
        """As redis-py's. Raises ConnectionError at once where Redis was too slow a moment ago."""
        if self._away_until:
            self._probe(time.monotonic())
        try:
            answer = await super().call_with_retry(do, fail, is_retryable or _is_quick, with_failure_count)
        except (RedisConnectionError, RedisTimeoutError) as error:
            if not _is_quick(error):
                self._away_until, self._probing = time.monotonic() + PAUSE_S, None
            raise
        if answer is not None:  # the kernel lets one connect to a Redis that is frozen
            self._away_until, self._probing = 0.0, None
        return answer

    def _probe(self, now: float) -> None:
        """Let one task find out, whose commands need a connection first; nobody hears of it if it is cancelled."""
        task = asyncio.current_task()
        if now >= self._away_until:
            self._away_until, self._probing = now + TIMEOUT_S + PAUSE_S, task
        elif task is not self._probing:
            raise RedisConnectionError(f"Redis did not answer within {TIMEOUT_S:g} s a moment ago")


def _is_quick(error: Exception) -> bool:
    """Whether it is no time-out, which redis-py calls a lost connection where one was being made."""
    return not isinstance(error, RedisTimeoutError) and not isinstance(error.__cause__, RedisTimeoutError)


def connect(url: str) -> Redis:
    """A client with a bounded pool, for whose connections one waits; nothing is sent before the first command."""
    pool = BlockingConnectionPool.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Patience(),
        max_connections=50,
        timeout=TIMEOUT_S,
        client_name="smartfin",
    )
    return Redis.from_pool(pool)


def database_of(redis: Redis) -> int:
    """The number of the database that the client asks."""
    return int(redis.connection_pool.connection_kwargs.get("db") or 0)


class Keys:
    """Names of keys and channels; the prefix keeps the modes apart.

    Redis keeps the keys of its numbered databases apart, but not their channels: those of any but the first name it.
    """

    def __init__(self, mode: str, database: int = 0) -> None:
        self.prefix = f"smartfin:{mode}:"
        self._spoken = f"smartfin:{mode}:{database}:" if database else self.prefix
        self.demand = f"{self.prefix}market:demand"
        self.collectors = f"{self.prefix}market:collectors"
        self.epoch = f"{self.prefix}market:epoch"
        self.published = f"{self.prefix}documents:published"
        self.attempts = f"{self.prefix}rate_limit:attempts"
        self.spending = f"{self.prefix}rate_limit"
        self.persisted = f"{self.prefix}documents:persisted"
        self.alert_changes = f"{self.prefix}alerts:changes"
        self.alert_marks = f"{self.prefix}alerts:marks"
        self.alert_fires = f"{self._spoken}alerts:fires"

    def realtime(self, symbol: str, without: Collection[str] = ()) -> str:
        """Latest quote of a symbol; the latest that is of none of the sources which it is to be without."""
        return ":".join((f"{self.prefix}market:realtime:{symbol}", *sorted(without)))

    def quotes(self, symbol: str) -> str:
        """Channel of the symbol's changes."""
        return f"{self._spoken}market:quotes:{symbol}"

    def channel(self, topic: str) -> str:
        """Channel of a topic: `AAPL` for its quotes, `AAPL/M1` for its bars."""
        symbol, _, interval = topic.partition("/")
        return f"{self._spoken}market:bars:{symbol}:{interval}" if interval else self.quotes(symbol)

    def forming(self, topic: str) -> str:
        """Newest bar of a series."""
        return f"{self.prefix}market:forming:{topic}"

    def source_budget(self, source: str, seconds: int, window: str) -> str:
        """What a source was asked in one window of one of its quotas."""
        return f"{self.prefix}rate_limit:source:{source}:{seconds}:{window}"

    def source_check(self, source: str) -> str:
        """Set while the health of an idle source was looked at lately."""
        return f"{self.prefix}source:checked:{source}"

    def market(self, code: str) -> str:
        """State of a market."""
        return f"{self.prefix}market:status:{code}"

    def watchlists(self, user_id: UUID) -> str:
        """Watchlists of a user."""
        return f"{self.prefix}user:watchlist:{user_id}"

    def heartbeat(self, hub: str) -> str:
        """Channel on which a hub hears itself, to know that the bus is alive."""
        return f"{self._spoken}market:heartbeat:{hub}"
