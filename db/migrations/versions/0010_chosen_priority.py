"""The order of sources as admins have chosen it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("data_sources", sa.Column("chosen_priority", sa.Integer()))


def downgrade() -> None:
    """Drop it: the sources have their own order again."""
    op.drop_column("data_sources", "chosen_priority")
