"""What a source's last error said."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("data_sources", sa.Column("last_error", sa.String(), nullable=True))


def downgrade() -> None:
    """Drop the column, with what it says."""
    op.drop_column("data_sources", "last_error")
