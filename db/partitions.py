"""Monthly partitions, made when the first row of a month comes, and dropped when nobody wants it any more."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from asyncpg import LockNotAvailableError

from db.database import Database
from errors import StoreUnavailable

_LOCK = 0x5061727473  # "Parts": serialises the making of partitions

PARTITION_DEADLINE_S = 60.0
LOCK_S = 2
"""How long a drop may wait for those who read the table: everybody else would wait behind it."""
DROPPED = ("market_data",)
"""Tables whose months are dropped; of one that lies longer back than DROPPABLE it is not enough to have seen it."""
DROPPABLE = timedelta(days=7)
_AT_ONCE = 120
"""Months made in one transaction: each takes locks until its end."""


class Partitions:
    """Makes the months that a partitioned table still lacks; remembers the ones that it has seen."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._seen: set[tuple[str, int, int]] = set()

    async def ensure(self, table: str, instants: Iterable[datetime]) -> None:
        """Have a partition of `table` for the month of each instant.

        A month's table is made aside and then attached, which blocks neither readers nor writers of the others.
        """
        months = {(table, at.year, at.month) for at in (instant.astimezone(UTC) for instant in instants)}
        long_ago = datetime.now(UTC) - DROPPABLE
        missing = sorted(
            month
            for month in months
            if month not in self._seen or (table in DROPPED and month[1:] < (long_ago.year, long_ago.month))
        )
        for start in range(0, len(missing), _AT_ONCE):
            await self._make(table, missing[start : start + _AT_ONCE])

    async def drop(self, table: str, before: datetime) -> list[str]:
        """Drop the months that end before the instant, the oldest first, and return their names.

        Raises StoreUnavailable where one is read for longer than LOCK_S.
        """
        first = f"{table}_y{before.year:04d}m{before.month:02d}"
        dropped = []
        async with self.database.connection(PARTITION_DEADLINE_S) as connection:
            names = await connection.fetch(
                "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
                " WHERE inhparent = $1::regclass AND child.relname < $2 ORDER BY 1",
                table,
                first,
            )
            for (name,) in names:
                try:
                    async with connection.transaction():
                        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'")
                        await connection.execute(f'DROP TABLE "{name}"')
                except LockNotAvailableError:
                    raise StoreUnavailable(f"{name} is being read, and is dropped another time.") from None
                dropped.append(name)
        return dropped

    async def _make(self, table: str, months: list[tuple[str, int, int]]) -> None:
        async with self.database.connection(PARTITION_DEADLINE_S) as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            for _, year, month in months:
                name = f"{table}_y{year:04d}m{month:02d}"
                if await connection.fetchval("SELECT to_regclass($1)", name) is not None:
                    continue
                following = f"{year + month // 12:04d}-{month % 12 + 1:02d}"
                await connection.execute(
                    f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING ALL);'
                    f'ALTER TABLE "{table}" ATTACH PARTITION "{name}"'
                    f" FOR VALUES FROM ('{year:04d}-{month:02d}-01 00:00Z') TO ('{following}-01 00:00Z')"
                )
        self._seen.update(months)
