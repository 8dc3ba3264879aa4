"""Quotes in Redis, where the latest is, and in PostgreSQL, where they are kept over time."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import structs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.database import Database
from db.partitions import Partitions
from db.redis import Keys
from errors import StoreUnavailable
from market import Provenance, Quote, ServedFrom
from sources.licences import FREE, Terms

logger = logging.getLogger(__name__)


class QuoteEvent(msgspec.Struct, frozen=True, gc=False):
    """One change of a symbol on the bus: later means a higher (epoch, seq).

    The epoch rises with each collector that takes over; a quote that was pulled, not streamed, has (0, 0).
    """

    epoch: int
    seq: int
    quote: Quote

    @property
    def order(self) -> tuple[int, int]:
        """What to compare."""
        return self.epoch, self.seq


encode_event: Final = msgspec.json.Encoder().encode
"""The event as JSON."""

decode_event: Final = msgspec.json.Decoder(QuoteEvent).decode
"""The event of `encode_event`. Raises msgspec.DecodeError."""


_AT_ONCE = 200
"""Events in one round trip: so few that no round trip nears the time-out, and others get their turn between."""


class _Reading:
    """A round trip that is about to begin, for all who ask until it does."""

    def __init__(self, read: "Callable[[_Reading], Coroutine[None, None, dict[str, QuoteEvent]]]") -> None:
        self.symbols: dict[str, None] = {}
        self.task = asyncio.create_task(read(self))
        self.task.add_done_callback(_seen)


def _seen(task: "asyncio.Task[dict[str, QuoteEvent]]") -> None:
    """What it ended with is known, also where everybody who asked has gone."""
    if not task.cancelled():
        task.exception()


class QuoteCache:
    """The latest quote of each symbol, shared by all processes; one apart for who is barred from sources."""

    def __init__(self, redis: Redis, keys: Keys, keep_s: int, without: frozenset[str] = frozenset()) -> None:
        self._redis = redis
        self._keys = keys
        self._keep_s = keep_s
        self._without = without
        self._reading: _Reading | None = None

    def apart(self, without: frozenset[str]) -> "QuoteCache":
        """The latest quotes that are of none of these sources, as far as they are put there."""
        return QuoteCache(self._redis, self._keys, self._keep_s, without)

    async def get(self, symbols: Sequence[str]) -> dict[str, QuoteEvent]:
        """What is cached of the symbols, however old. Raises StoreUnavailable when Redis does not answer.

        All that is asked in one turn of the loop is read in one round trip, which begins after it was asked.
        """
        if self._reading is None or len(self._reading.symbols) >= _AT_ONCE:
            self._reading = _Reading(self._read)
        reading = self._reading
        reading.symbols |= dict.fromkeys(symbols)
        events = await asyncio.shield(reading.task)
        return {symbol: events[symbol] for symbol in symbols if symbol in events}

    async def _read(self, reading: "_Reading") -> dict[str, QuoteEvent]:
        if self._reading is reading:
            self._reading = None  # who asks from now on may know of something newer
        symbols = list(reading.symbols)
        try:
            payloads = await self._redis.mget([self._keys.realtime(symbol, self._without) for symbol in symbols])
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("Redis does not answer; try again.") from error
        events = {}
        for symbol, payload in zip(symbols, payloads, strict=True):
            if payload is not None:
                try:
                    events[symbol] = decode_event(payload)
                except msgspec.DecodeError as error:
                    logger.warning("the cached quote of %s is of no use: %s", symbol, error)
        return events

    async def put(self, quotes: Iterable[Quote]) -> None:
        """Keep quotes that were pulled; which sources were skipped for them was of that one answer."""
        events = [
            QuoteEvent(0, 0, structs.replace(quote, provenance=structs.replace(quote.provenance, skipped=())))
            for quote in quotes
        ]
        await self.write(events, publish=False)

    async def write(self, events: Sequence[QuoteEvent], *, publish: bool) -> None:
        """Keep the events and, where they come from a stream, tell every hub.

        A reader that subscribes first and reads then misses nothing: each event is kept before it is published.
        """
        for start in range(0, len(events), _AT_ONCE):
            pipeline = self._redis.pipeline(transaction=False)
            for event in events[start : start + _AT_ONCE]:
                payload = encode_event(event)
                pipeline.set(self._keys.realtime(event.quote.symbol, self._without), payload, ex=self._keep_s)
                if publish:
                    pipeline.publish(self._keys.quotes(event.quote.symbol), payload)
            try:
                await pipeline.execute()
            except (RedisError, OSError, TimeoutError) as error:
                raise StoreUnavailable("Redis does not answer; try again.") from error


# Through its text a float8 becomes the shortest decimal that is this very double; a plain cast would keep 15 digits.
_EXACT = ", ".join(f"${place}::float8::text::numeric" for place in range(3, 14))
_INSERT = f"""
    INSERT INTO market_data (
        symbol, data_timestamp, price, open_price, high_price, low_price, previous_close, volume, turnover,
        bid, ask, bid_size, ask_size, currency, source, quality, received_at, market)
    SELECT $1::text, $2, {_EXACT}, $14, $15, $16, $17,
           COALESCE((SELECT market FROM assets WHERE symbol = $1::text), '')
    ON CONFLICT DO NOTHING
"""  # noqa: S608 - every part is a constant of this module


_LATEST = """
    SELECT newest.* FROM unnest($1::text[]) AS wanted (symbol), LATERAL (
        SELECT symbol, data_timestamp AS time, price::float8, open_price::float8 AS open,
               high_price::float8 AS high, low_price::float8 AS low, previous_close::float8,
               volume::float8, turnover::float8, bid::float8, ask::float8, bid_size::float8,
               ask_size::float8, currency, source, quality, received_at
        FROM market_data WHERE symbol = wanted.symbol ORDER BY data_timestamp DESC LIMIT 1) AS newest
"""
_LATEST_OF_LATE = _LATEST.replace(
    "symbol = wanted.symbol",
    """symbol = wanted.symbol AND data_timestamp <= COALESCE((
            SELECT until FROM unnest($2::text[], $3::timestamptz[]) AS late (name, until) WHERE name = source
        ), 'infinity')""",
)
_NEVER_S = 100 * 365 * 86_400.0
"""Of a source that is barred, nothing is given that is younger than this."""


class QuoteStore:
    """Quotes over time: what the latest was, when neither a source nor the cache can say."""

    def __init__(self, database: Database, partitions: Partitions) -> None:
        self._database = database
        self._partitions = partitions

    async def save(self, quotes: Sequence[Quote]) -> None:
        """Keep the quotes; one that is held already stays as it is."""
        await self._partitions.ensure("market_data", {quote.time for quote in quotes})
        rows = [
            (
                quote.symbol,
                quote.time,
                *(quote.price, quote.open, quote.high, quote.low, quote.previous_close),
                *(quote.volume, quote.turnover, quote.bid, quote.ask, quote.bid_size, quote.ask_size),
                quote.currency,
                quote.provenance.source,
                quote.provenance.quality,
                quote.provenance.received_at,
            )
            for quote in quotes
        ]
        async with self._database.connection() as connection:
            await connection.executemany(_INSERT, rows)

    async def latest(self, symbols: Sequence[str], *, synthetic: bool, terms: Terms = FREE) -> dict[str, Quote]:
        """The newest kept quote of each symbol that the terms allow, marked STALE."""
        now = datetime.now(UTC)
        ends = {name: now - timedelta(seconds=min(delay_s, _NEVER_S)) for name, delay_s in terms.delays_s.items()}
        late = (list(ends), list(ends.values())) if ends else ()
        async with self._database.connection() as connection:
            rows = await connection.fetch(_LATEST_OF_LATE if late else _LATEST, list(symbols), *late)
        quotes = {}
        for row in rows:
            fields = dict(row)
            provenance = Provenance(
                source=fields.pop("source"),
                served_from=ServedFrom.STALE,
                received_at=fields.pop("received_at"),
                quality=fields.pop("quality"),
                synthetic=synthetic,
            )
            quotes[row["symbol"]] = Quote(**fields, provenance=provenance)
        return quotes


def served(quote: Quote, served_from: ServedFrom) -> Quote:
    """The quote, saying where this answer took it from."""
    return structs.replace(quote, provenance=structs.replace(quote.provenance, served_from=served_from))
