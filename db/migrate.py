"""Brings a mode's schema to the newest form; safe when several processes start at once."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from db.database import Database

_LOCK = 0x536D617274  # "Smart": one key of PostgreSQL's advisory locks for all of SmartFin's migrations

MIGRATION_DEADLINE_S = 600.0


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, made here so that no file has to be found."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")


async def revisions(database: Database) -> tuple[str | None, str | None]:
    """The migration that the schema is at, None where it has no tables yet, and the newest there is."""
    async with database.session() as session:
        connection: Any = await session.connection()
        present = await connection.run_sync(lambda plain: MigrationContext.configure(plain).get_current_revision())
    return present, ScriptDirectory.from_config(alembic_config()).get_current_head()


async def migrate(database: Database) -> None:
    """Create the schema if it is missing and apply what is not applied yet.

    Whoever comes second waits for the first, then finds nothing to do. All in one transaction:
    a migration that is killed leaves nothing behind.
    """
    async with database.session(MIGRATION_DEADLINE_S) as session:
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await session.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"'))
        connection: Any = await session.connection()
        await connection.run_sync(_upgrade)
