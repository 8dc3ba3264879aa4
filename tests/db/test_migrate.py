"""The schema that `smartfin migrate` makes, and how it holds against haste and death."""

import asyncio
import os
import secrets
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlmodel import SQLModel

import db.tables  # noqa: F401 - registers the tables in the metadata
from db.database import Database
from db.migrate import alembic_config
from db.partitions import Partitions
from tests.conftest import SMARTFIN
from tests.waiting import until

TABLES = sorted([*SQLModel.metadata.tables, "alembic_version"])
HEAD = ScriptDirectory.from_config(alembic_config()).get_current_head()

# What PostgreSQL itself says of a schema: compare_metadata does not look at CHECK constraints.
CATALOGUE = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace
    UNION ALL
    SELECT tablename, indexname, replace(indexdef, current_schema() || '.', '') FROM pg_indexes
    WHERE schemaname = current_schema()
    UNION ALL
    SELECT table_name, column_name, concat_ws(' ', udt_name, is_nullable, column_default)
    FROM information_schema.columns WHERE table_schema = current_schema()
    UNION ALL
    SELECT relname, 'partitioned by', pg_get_partkeydef(oid) FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'p'
"""


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[str]:
    """The URL of a database without any schema of ours."""
    name = f"m_{secrets.token_hex(6)}"
    owner = await asyncpg.connect(database_url)
    await owner.execute(f"CREATE DATABASE {name}")
    yield database_url.replace("/smartfin?", f"/{name}?")
    await owner.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await owner.close()


async def migrating(url: str, mode: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(SMARTFIN, "migrate", "--mode", mode),
        # It needs PostgreSQL alone: servers of its own could not be started here.
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "SMARTFIN_DATA_DIR": "/dev/null/nowhere"},
        stdout=PIPE,
        stderr=PIPE,
    )


async def ended(process: Process) -> tuple[int | None, str, str]:
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def tables(connection: asyncpg.Connection, schema: str) -> list[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    return [row["tablename"] for row in rows]


async def test_processes_that_migrate_at_once_all_succeed_and_the_modes_stay_apart(empty: str) -> None:
    modes = ["sandbox", "live", "sandbox", "live"]
    started = [await migrating(empty, mode) for mode in modes]
    assert await asyncio.gather(*map(ended, started)) == [
        (0, f"The tables of {mode} are up to date.\n", "") for mode in modes
    ]
    connection = await asyncpg.connect(empty)
    for mode in ("sandbox", "live"):
        assert sorted(await tables(connection, mode)) == TABLES
        assert await connection.fetch(f"SELECT version_num FROM {mode}.alembic_version") == [(HEAD,)]
    assert await tables(connection, "public") == []
    await connection.execute("INSERT INTO sandbox.bar_coverage VALUES ('AAPL', 'D1')")
    assert await connection.fetchval("SELECT count(*) FROM live.bar_coverage") == 0
    await connection.close()


async def test_a_killed_migration_leaves_nothing_and_the_next_one_does_it_all(empty: str) -> None:
    connection, other = await asyncpg.connect(empty), await asyncpg.connect(empty)
    await other.execute("CREATE SCHEMA sandbox")
    held_up = other.transaction()
    await held_up.start()
    await other.execute("CREATE TABLE sandbox.users ()")  # the migration waits for this, half of it done
    process = await migrating(empty, "sandbox")
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    pid = await until(lambda: connection.fetchval(waiting))
    process.kill()
    assert (await ended(process))[0] == -signal.SIGKILL
    await held_up.rollback()
    gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"
    await until(lambda: connection.fetchval(gone, pid))
    assert await tables(connection, "sandbox") == []
    assert (await ended(await migrating(empty, "sandbox")))[0] == 0
    assert sorted(await tables(connection, "sandbox")) == TABLES
    await other.close()
    await connection.close()


async def catalogue(database: Database) -> set[tuple[str, ...]]:
    async with database.connection() as connection:
        rows = await connection.fetch(CATALOGUE)
    return {tuple(row) for row in rows if row[0] != "alembic_version"}


async def on_connection(database: Database, work: Any) -> Any:
    async with database.session(60) as session:
        connection: Any = await session.connection()
        return await connection.run_sync(work)


async def test_models_and_migrations_are_the_same(database: Database) -> None:
    def differences(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)

    assert await on_connection(database, differences) == []
    migrated = await catalogue(database)
    of_models = Database(database.url, f"{database.schema}_models")
    async with of_models.connection() as connection:
        await connection.execute(f'CREATE SCHEMA "{of_models.schema}"')
    await on_connection(of_models, SQLModel.metadata.create_all)
    modelled = await catalogue(of_models)
    async with of_models.connection() as connection:
        await connection.execute(f'DROP SCHEMA "{of_models.schema}" CASCADE')
    await of_models.aclose()
    assert len(modelled) > 150
    assert migrated == modelled


async def test_a_migration_can_be_taken_back(database: Database) -> None:
    await on_connection(database, lambda connection: command.downgrade(alembic_config(connection), "base"))
    async with database.connection() as connection:
        assert await tables(connection, database.schema) == ["alembic_version"]


async def test_the_check_of_symbols_is_replaced_in_every_part_of_a_table(database: Database) -> None:
    await on_connection(database, lambda connection: command.downgrade(alembic_config(connection), "0006"))
    await Partitions(database).ensure("historical_data", [datetime(2024, 1, 1, tzinfo=UTC)])
    await on_connection(database, lambda connection: command.upgrade(alembic_config(connection), "0007"))
    async with database.connection() as connection:
        rules = await connection.fetch(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conname = 'historical_data_symbol' AND connamespace = current_schema()::regnamespace"
        )
    assert ["translate" in rule for (rule,) in rules] == [True, True]
