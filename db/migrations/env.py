"""Alembic's doorway: runs the migrations on the connection that `db/migrate.py` hands over."""

from alembic import context
from sqlmodel import SQLModel

import db.tables  # noqa: F401 - registers the tables in the metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata)
context.run_migrations()
