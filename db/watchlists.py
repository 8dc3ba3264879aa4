"""Watchlists: the named lists of symbols of each user. PostgreSQL has them, Redis what was read lately."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db.database import Database
from db.redis import Keys
from errors import TooManyWatchlists, Unauthenticated, WatchlistNotFound

logger = logging.getLogger(__name__)

KEEP_S: Final = 600
LEASE_S: Final = 10

# Keeps a payload only where the lease is still there: a change since then has dropped it.
_KEEP: Final = """
    if redis.call('GET', KEYS[1]) == ARGV[1] then
        redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    end
"""


@dataclass(frozen=True, slots=True)
class Watchlist:
    """A list of a user; its symbols are as `market.parse_symbol` gives them, each once, in the user's order."""

    id: UUID
    name: str
    symbols: tuple[str, ...]


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[Watchlist]).decode


class WatchlistStore:
    """The rows of `user_subscriptions` that are watchlists: every question names the user whose they are.

    What was read is kept in Redis for 600 s and dropped by whoever changes it. Without Redis everything is read from
    PostgreSQL; a change meanwhile may not show until those 600 s are over.
    """

    def __init__(self, database: Database, redis: Redis, keys: Keys) -> None:
        self._database = database
        self._redis = redis
        self._keys = keys

    async def watchlists(self, user_id: UUID) -> Sequence[Watchlist]:
        """The lists of the user, the oldest first."""
        key, lease = self._keys.watchlists(user_id), token_hex(16)
        try:
            # Whoever finds nothing leaves a lease there, which a change drops: so what was read before the change is
            # not kept after it.
            held = await self._redis.set(key, lease, ex=LEASE_S, nx=True, get=True)
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("watchlists are read from PostgreSQL: %s", error)
            return await self._read(user_id)
        if isinstance(held, bytes) and held.startswith(b"["):
            try:
                return _decode(held)
            except msgspec.DecodeError as error:
                logger.warning("the cached watchlists of %s are of no use: %s", user_id, error)
        lists = await self._read(user_id)
        if held is None:
            try:
                await self._redis.eval(_KEEP, 1, key, lease, _encode(lists), KEEP_S)
            except (RedisError, OSError, TimeoutError) as error:
                logger.warning("watchlists were not cached: %s", error)
        return lists

    async def save(self, user_id: UUID, name: str, symbols: Sequence[str], limit: int) -> Watchlist:
        """The list of this name, with these symbols now; made where there is none.

        Raises TooManyWatchlists where the user has `limit` others, Unauthenticated without such a user.
        """
        async with self._database.connection() as connection, connection.transaction():
            # Two that save at once wait for each other here, so that both count right.
            if not await connection.fetchval("SELECT true FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id):
                raise Unauthenticated("This user is not known here any more; sign in again.")
            others = await connection.fetchval(
                "SELECT count(*) FROM user_subscriptions"
                " WHERE user_id = $1 AND subscription_type = 'watchlist' AND name <> $2",
                user_id,
                name,
            )
            if others >= limit:
                raise TooManyWatchlists(f"You have {others} watchlists; delete one, {limit} are the most.", limit=limit)
            row = await connection.fetchrow(
                """
                INSERT INTO user_subscriptions (user_id, subscription_type, name, symbols)
                VALUES ($1, 'watchlist', $2, $3)
                ON CONFLICT (user_id, name) WHERE subscription_type = 'watchlist'
                DO UPDATE SET symbols = excluded.symbols, updated_at = clock_timestamp()
                RETURNING id, name, symbols
                """,
                user_id,
                name,
                [str(symbol) for symbol in symbols],
            )
        await self._drop(user_id)
        return Watchlist(row["id"], row["name"], tuple(row["symbols"]))

    async def delete(self, user_id: UUID, watchlist_id: UUID) -> None:
        """Forget the list. Raises WatchlistNotFound."""
        async with self._database.connection() as connection:
            gone = await connection.fetchval(
                "DELETE FROM user_subscriptions WHERE user_id = $1 AND id = $2 AND subscription_type = 'watchlist'"
                " RETURNING true",
                user_id,
                watchlist_id,
            )
        if not gone:
            raise WatchlistNotFound(f"You have no watchlist {watchlist_id}.")
        await self._drop(user_id)

    async def _read(self, user_id: UUID) -> list[Watchlist]:
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, name, symbols FROM user_subscriptions"
                " WHERE user_id = $1 AND subscription_type = 'watchlist' ORDER BY created_at, id",
                user_id,
            )
        return [Watchlist(row["id"], row["name"], tuple(row["symbols"])) for row in rows]

    async def _drop(self, user_id: UUID) -> None:
        try:
            await self._redis.delete(self._keys.watchlists(user_id))
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("a change of watchlists may not show for %d s: %s", KEEP_S, error)
