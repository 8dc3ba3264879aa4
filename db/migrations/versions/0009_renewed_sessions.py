"""Which refresh token came before, and when it was renewed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("sessions", sa.Column("renewed_hash", sa.LargeBinary()))
    op.add_column("sessions", sa.Column("renewed_at", sa.DateTime(timezone=True)))
    op.create_check_constraint("sessions_renewed", "sessions", "(renewed_hash IS NULL) = (renewed_at IS NULL)")


def downgrade() -> None:
    """Drop them: of two that refresh a session at once, the second ends it again."""
    op.drop_constraint("sessions_renewed", "sessions")
    op.drop_column("sessions", "renewed_at")
    op.drop_column("sessions", "renewed_hash")
