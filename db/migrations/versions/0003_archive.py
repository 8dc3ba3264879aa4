"""Which bars are archived, and where."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "archived_bars",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("interval_type", sa.String(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("first_bar", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_bar", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bars", sa.BigInteger(), nullable=False),
        sa.Column("has_actions", sa.Boolean(), nullable=False),
        sa.CheckConstraint("symbol ~ '^[A-Z0-9._=^-]{1,20}$'", name="archived_bars_symbol"),
        sa.CheckConstraint(
            "interval_type IN ('M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1', 'W1', 'MN1')",
            name="archived_bars_interval",
        ),
        sa.CheckConstraint("extract(day FROM month) = 1", name="archived_bars_month"),
        sa.CheckConstraint("first_bar <= last_bar", name="archived_bars_span"),
        sa.CheckConstraint("bars > 0", name="archived_bars_bars"),
        sa.PrimaryKeyConstraint("symbol", "interval_type", "month"),
    )


def downgrade() -> None:
    """Drop the table; what is archived must have been brought back before."""
    op.drop_table("archived_bars")
