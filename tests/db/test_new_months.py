from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import asyncpg
import pytest

from db import new_months
from db.database import Database
from db.new_months import MonthExistsError, NewMonths
from db.partitions import Partitions

MARCH, APRIL, DECEMBER = (datetime(2000, month, 1, tzinfo=UTC) for month in (3, 4, 12))
COLUMNS = ["symbol", "interval_type", "period_start", "open_price", "high_price", "low_price", "close_price", "source"]
# Everything about the part of a month, with its own name as a placeholder.
SHAPE = """
    WITH part AS (SELECT $1::text::regclass AS oid)
    SELECT 'column', attname, format_type(atttypid, atttypmod), attnotnull::text, attstorage::text,
           attstattarget::text, attislocal::text || attinhcount, pg_get_expr(adbin, adrelid)
    FROM part JOIN pg_attribute ON attrelid = oid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attnum > 0
    UNION ALL
    SELECT 'constraint', replace(conname, $1::text, 'PART'), pg_get_constraintdef(pg_constraint.oid),
           convalidated::text, conislocal::text || coninhcount, contype::text, '', (conparentid = 0)::text
    FROM part JOIN pg_constraint ON conrelid = part.oid
    UNION ALL
    SELECT 'index', replace(relname, $1::text, 'PART'), replace(pg_get_indexdef(indexrelid), $1::text, 'PART'),
           indisprimary::text || indisunique || indisvalid, inhparent::regclass::text, '', '', ''
    FROM part JOIN pg_index ON indrelid = part.oid JOIN pg_class ON pg_class.oid = indexrelid
         LEFT JOIN pg_inherits ON inhrelid = indexrelid
    ORDER BY 1, 2
"""
PARTS = """
    SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'historical_data'::regclass ORDER BY 1
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"


async def fetch(database: Database, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    async with database.connection(60) as connection:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]


async def fill(connection: asyncpg.Connection, table: str, *days: str) -> None:
    rows = "".join(f"AAPL\tD1\t{day}\t1\t2\t1\t2\ttest\n" for day in days)
    await connection.copy_to_table(table, source=BytesIO(rows.encode()), columns=COLUMNS)


async def make(database: Database, months: dict[datetime, list[str]]) -> None:
    async with database.connection() as connection, connection.transaction():
        new = NewMonths(connection, "historical_data")
        tables = await new.prepare(months)
        for month, days in months.items():
            await fill(connection, tables[month], *days)
        await new.attach()


async def test_a_new_month_has_the_names_and_the_shape_of_any_other(database: Database, partitions: Partitions) -> None:
    await partitions.ensure("historical_data", [MARCH])
    await make(database, {APRIL: ["2000-04-30"], DECEMBER: []})

    assert await fetch(database, PARTS) == [
        ("historical_data_y2000m03", "FOR VALUES FROM ('2000-03-01 00:00:00+00') TO ('2000-04-01 00:00:00+00')"),
        ("historical_data_y2000m04", "FOR VALUES FROM ('2000-04-01 00:00:00+00') TO ('2000-05-01 00:00:00+00')"),
        ("historical_data_y2000m12", "FOR VALUES FROM ('2000-12-01 00:00:00+00') TO ('2001-01-01 00:00:00+00')"),
    ]
    shape = await fetch(database, SHAPE, "historical_data_y2000m03")
    assert [row[1] for row in shape if row[0] == "index"] == ["PART_pkey", "PART_symbol_period_start_idx"]
    assert await fetch(database, SHAPE, "historical_data_y2000m04") == shape
    assert await fetch(database, SHAPE, "historical_data_y2000m12") == shape


async def test_nobody_sees_or_waits_for_new_months_before_the_end(database: Database) -> None:
    before = await fetch(database, TABLES)
    async with database.connection() as connection, connection.transaction():
        new = NewMonths(connection, "historical_data")
        tables = await new.prepare([MARCH, APRIL])
        await fill(connection, tables[MARCH], "2000-03-01")
        await fill(connection, tables[APRIL], "2000-04-03", "2000-04-04")
        assert await fetch(database, TABLES) == before
        await Partitions(database).ensure("historical_data", [DECEMBER])
        await new.attach()
    assert await fetch(
        database, "SELECT tableoid::regclass::text, count(*) FROM historical_data GROUP BY 1 ORDER BY 1"
    ) == [
        ("historical_data_y2000m03", 1),
        ("historical_data_y2000m04", 2),
    ]


async def test_a_month_that_somebody_else_has_made_meanwhile_is_told(database: Database) -> None:
    async with database.connection() as connection:
        attempt = connection.transaction()
        await attempt.start()
        new = NewMonths(connection, "historical_data")
        await new.prepare([MARCH, APRIL])
        await Partitions(database).ensure("historical_data", [APRIL])
        with pytest.raises(MonthExistsError):
            await new.attach()
        await attempt.rollback()
    assert [name for name, _ in await fetch(database, PARTS)] == ["historical_data_y2000m04"]


@pytest.mark.parametrize(
    ("days", "error"),
    [
        (["2000-03-01", "2000-03-01"], asyncpg.UniqueViolationError),
        (["2000-04-01"], asyncpg.CheckViolationError),
    ],
)
async def test_a_row_that_has_no_place_in_the_month_is_refused(
    database: Database, days: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await make(database, {MARCH: days})
    assert await fetch(database, PARTS) == []


async def test_months_that_are_there_or_too_many_are_left_to_the_caller(
    database: Database, partitions: Partitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_months, "AT_ONCE", 2)
    await partitions.ensure("historical_data", [MARCH])
    years = [datetime(year, 1, 1, tzinfo=UTC) for year in (2001, 2002, 2003)]
    async with database.connection() as connection, connection.transaction():
        new = NewMonths(connection, "historical_data")
        assert list(await new.prepare([MARCH, years[2]])) == [years[2]]
        assert list(await new.prepare([*years, MARCH])) == [years[2], years[0]]
        await partitions.ensure("historical_data", [years[1]])
        assert list(await new.prepare([years[1]])) == []
        await new.attach()
    assert [name for name, _ in await fetch(database, PARTS)] == [
        "historical_data_y2000m03",
        "historical_data_y2001m01",
        "historical_data_y2002m01",
        "historical_data_y2003m01",
    ]
