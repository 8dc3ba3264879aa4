"""Monthly partitions, made when the first row of a month comes."""

from collections.abc import Iterable
from datetime import UTC, datetime

from db.database import Database

_LOCK = 0x5061727473  # "Parts": serialises the making of partitions

PARTITION_DEADLINE_S = 60.0
_AT_ONCE = 120
"""Months made in one transaction: each takes locks until its end."""


class Partitions:
    """Makes the months that a partitioned table still lacks; remembers the ones that it has seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: set[tuple[str, int, int]] = set()

    async def ensure(self, table: str, instants: Iterable[datetime]) -> None:
        """Have a partition of `table` for the month of each instant.

        A month's table is made aside and then attached, which blocks neither readers nor writers of the others.
        """
        months = {(table, at.year, at.month) for at in (instant.astimezone(UTC) for instant in instants)}
        missing = sorted(months - self._seen)
        for start in range(0, len(missing), _AT_ONCE):
            await self._make(table, missing[start : start + _AT_ONCE])

    async def _make(self, table: str, months: list[tuple[str, int, int]]) -> None:
        async with self._database.connection(PARTITION_DEADLINE_S) as connection, connection.transaction():
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
