"""Monthly partitions, made when the first row of a month comes, and dropped when nobody wants it any more."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from asyncpg import LockNotAvailableError

from db.database import Database
from errors import StoreUnavailable

LOCK = 0x5061727473  # "Parts": serialises the making of partitions

PARTITION_DEADLINE_S = 60.0
LOCK_S = 2
"""How long a drop may wait for those who read the table: everybody else would wait behind it."""
DROPPED = ("market_data",)
"""Tables whose months are dropped; of one that lies longer back than DROPPABLE it is not enough to have seen it."""
DROPPABLE = timedelta(days=7)
AT_ONCE = 120
"""Months made in one transaction: each takes locks until its end."""


def partition_name(table: str, month: datetime) -> str:
    """The name of the table that holds the month of `table`."""
    return f"{table}_y{month.year:04d}m{month.month:02d}"


def month_bounds(month: datetime) -> tuple[str, str]:
    """The first instants of the month and of the one after it, as PostgreSQL reads them."""
    year, following = month.year + month.month // 12, month.month % 12 + 1
    return f"{month.year:04d}-{month.month:02d}-01 00:00Z", f"{year:04d}-{following:02d}-01 00:00Z"


class Partitions:
    """Makes the months that a partitioned table still lacks; remembers the ones that it has seen."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._seen: set[tuple[str, datetime]] = set()

    async def ensure(self, table: str, instants: Iterable[datetime]) -> None:
        """Have a partition of `table` for the month of each instant.

        A month's table is made aside and then attached, which blocks neither readers nor writers of the others.
        """
        months = {_first(instant) for instant in instants}
        long_ago = _first(datetime.now(UTC) - DROPPABLE)
        missing = sorted(
            month for month in months if (table, month) not in self._seen or (table in DROPPED and month < long_ago)
        )
        for start in range(0, len(missing), AT_ONCE):
            await self._make(table, missing[start : start + AT_ONCE])

    async def drop(self, table: str, before: datetime) -> list[str]:
        """Drop the months that end before the instant, the oldest first, and return their names.

        Raises StoreUnavailable where one is read for longer than LOCK_S.
        """
        dropped = []
        async with self.database.connection(PARTITION_DEADLINE_S) as connection:
            names = await connection.fetch(
                "SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
                " WHERE inhparent = $1::regclass AND child.relname < $2 ORDER BY 1",
                table,
                partition_name(table, before),
            )
            for (name,) in names:
                try:
                    async with connection.transaction():
                        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'")
                        await connection.execute(f'DROP TABLE "{name}"')
                except LockNotAvailableError:
                    raise StoreUnavailable(f"{name} is being read, and is dropped another time.") from None
                dropped.append(name)
        return dropped

    async def _make(self, table: str, months: Sequence[datetime]) -> None:
        async with self.database.connection(PARTITION_DEADLINE_S) as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            for month in months:
                name = partition_name(table, month)
                if await connection.fetchval("SELECT to_regclass($1)", name) is not None:
                    continue
                start, end = month_bounds(month)
                await connection.execute(
                    f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING ALL);'
                    f"ALTER TABLE \"{table}\" ATTACH PARTITION \"{name}\" FOR VALUES FROM ('{start}') TO ('{end}')"
                )
        self._seen.update((table, month) for month in months)


def _first(instant: datetime) -> datetime:
    """The first instant of its month in UTC."""
    at = instant.astimezone(UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC)
