"""Months that a partitioned table lacks, filled aside and then made part of it.

To sort the rows of a month into an index once takes a fraction of what it takes to put them there one by one.
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import asyncpg

from db.partitions import AT_ONCE, LOCK, month_bounds, partition_name

_SPAN: Final = "new_month"
_LACKING: Final = """
    SELECT month FROM unnest($1::timestamptz[], $2::text[]) AS wanted (month, name) WHERE to_regclass(name) IS NULL
    ORDER BY month
"""
# The key first. What else a part must have, such as an index of some new kind, PostgreSQL makes as it attaches.
_INDEXES: Final = """
    SELECT CASE WHEN indisprimary THEN format('ALTER TABLE %I ADD %s', $2::text, pg_get_constraintdef(key.oid))
           ELSE format('CREATE INDEX ON %I %s', $2, substring(pg_get_indexdef(indexrelid) FROM ' (USING .*)')) END
    FROM pg_index LEFT JOIN pg_constraint AS key ON conindid = indexrelid AND conrelid = indrelid
    WHERE indrelid = $1::regclass AND indisunique = indisprimary
    ORDER BY indisprimary DESC, indexrelid
"""
_NAMES: Final = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = $1::regclass"


class MonthExistsError(Exception):
    """Somebody else has made one of the months meanwhile."""


class NewMonths:
    """New months of a table, in a transaction of the caller, which nobody else sees before it ends.

    Their tables have every check of the table, but neither key nor index until `attach`.
    """

    def __init__(self, connection: asyncpg.Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        self._prefix = f"new_{secrets.token_hex(8)}"
        self._names: dict[datetime, str] = {}
        self._others: set[datetime] = set()

    async def prepare(self, months: Iterable[datetime]) -> Mapping[datetime, str]:
        """The tables to fill, by month, for those of the months that `table` lacked when first asked for.

        A month is its first instant. There are AT_ONCE tables at most: each takes locks until the transaction ends.
        """
        asked = set(months)
        unknown = sorted(asked - self._names.keys() - self._others)
        if unknown:
            found = await self._connection.fetch(
                _LACKING, unknown, [partition_name(self._table, month) for month in unknown]
            )
            for (month,) in found[: AT_ONCE - len(self._names)]:
                self._names[month] = await self._create(month)
            self._others.update(set(unknown) - self._names.keys())
        return {month: name for month, name in self._names.items() if month in asked}

    async def _create(self, month: datetime) -> str:
        name = partition_name(self._prefix, month)
        start, end = month_bounds(month)
        # Whoever attaches it would look at each row else, and hold the lock meanwhile.
        await self._connection.execute(
            f'CREATE TABLE "{name}" (LIKE "{self._table}" INCLUDING ALL EXCLUDING INDEXES, '
            f"CONSTRAINT {_SPAN} CHECK (period_start >= '{start}' AND period_start < '{end}'))"
        )
        return name

    async def attach(self) -> None:
        """Make the months part of the table, with the names that Partitions gives them.

        Raises MonthExistsError, and asyncpg.UniqueViolationError where two rows of a month have the same key: the
        transaction, or a savepoint in it, is then to be rolled back.
        """
        if not self._names:
            return
        for name in self._names.values():
            for (statement,) in await self._connection.fetch(_INDEXES, self._table, name):
                await self._connection.execute(statement)
        # From here on others wait who want a new month.
        await self._connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        lacking = await self._connection.fetch(
            _LACKING, list(self._names), [partition_name(self._table, month) for month in self._names]
        )
        if len(lacking) < len(self._names):
            raise MonthExistsError
        for month, name in self._names.items():
            await self._attach(month, name)

    async def _attach(self, month: datetime, name: str) -> None:
        final = partition_name(self._table, month)
        start, end = month_bounds(month)
        for (index,) in await self._connection.fetch(_NAMES, name):
            await self._connection.execute(f'ALTER INDEX "{index}" RENAME TO "{index.replace(name, final)}"')
        await self._connection.execute(
            f'ALTER TABLE "{name}" RENAME TO "{final}";'
            f"ALTER TABLE \"{self._table}\" ATTACH PARTITION \"{final}\" FOR VALUES FROM ('{start}') TO ('{end}');"
            f'ALTER TABLE "{final}" DROP CONSTRAINT {_SPAN}'
        )
