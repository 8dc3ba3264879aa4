"""A watchlist has a name, which no other of its user has."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Hold both; what has no name, or that of an older one, gets one of its id."""
    op.execute(
        """
        UPDATE user_subscriptions SET name = concat_ws(' ', coalesce(name, 'Watchlist'), id)
        WHERE subscription_type = 'watchlist' AND (name IS NULL OR id NOT IN (
            SELECT DISTINCT ON (user_id, name) id FROM user_subscriptions
            WHERE subscription_type = 'watchlist' ORDER BY user_id, name, created_at, id))
        """
    )
    op.create_check_constraint(
        "user_subscriptions_watchlist_name",
        "user_subscriptions",
        "subscription_type <> 'watchlist' OR name IS NOT NULL",
    )
    op.create_index(
        "user_subscriptions_watchlist_once",
        "user_subscriptions",
        ["user_id", "name"],
        unique=True,
        postgresql_where=sa.text("subscription_type = 'watchlist'"),
    )


def downgrade() -> None:
    """Hold neither."""
    op.drop_index("user_subscriptions_watchlist_once", "user_subscriptions")
    op.drop_constraint("user_subscriptions_watchlist_name", "user_subscriptions")
