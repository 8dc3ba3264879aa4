"""What alerts remember, whose each fire is, and when each delivery is due."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_IS_ALERT = "subscription_type = 'alert'"


def upgrade() -> None:
    """Add the columns and their indexes."""
    op.add_column("user_subscriptions", sa.Column("last_fired_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("user_subscriptions", sa.Column("last_value", sa.Numeric(), nullable=True))
    op.create_check_constraint(
        "user_subscriptions_alert_symbol",
        "user_subscriptions",
        "subscription_type <> 'alert' OR cardinality(symbols) = 1",
    )
    op.create_check_constraint("user_subscriptions_last_value", "user_subscriptions", "abs(last_value) < 'Infinity'")
    op.create_index(
        "user_subscriptions_alert_symbols",
        "user_subscriptions",
        [sa.text("(symbols[1])")],
        postgresql_where=sa.text(f"{_IS_ALERT} AND is_active"),
    )
    op.create_index(
        "user_subscriptions_alert_changes",
        "user_subscriptions",
        ["updated_at"],
        postgresql_where=sa.text(_IS_ALERT),
    )
    op.add_column("alert_events", sa.Column("user_id", sa.Uuid(), nullable=True))
    op.add_column("alert_events", sa.Column("message", sa.String(), server_default=sa.text("''"), nullable=False))
    op.add_column(
        "alert_events",
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.execute("UPDATE alert_events SET user_id = s.user_id FROM user_subscriptions s WHERE s.id = alert_id")
    op.alter_column("alert_events", "user_id", nullable=False)
    op.alter_column("alert_events", "message", server_default=None)
    op.alter_column("alert_events", "alert_id", nullable=True)
    op.alter_column("alert_events", "value", nullable=True)
    op.create_foreign_key("alert_events_user_id_fkey", "alert_events", "users", ["user_id"], ["id"], ondelete="CASCADE")
    op.create_check_constraint("alert_events_alarm", "alert_events", "(alert_id IS NULL) = (value IS NULL)")
    op.create_index("alert_events_user", "alert_events", ["user_id", "recorded_at", "id"])
    op.create_index(
        "alert_events_alarm_once",
        "alert_events",
        ["user_id", "fired_on"],
        unique=True,
        postgresql_where=sa.text("alert_id IS NULL"),
    )
    op.create_index("alert_events_recorded", "alert_events", ["recorded_at"])
    op.add_column(
        "deliveries",
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index("deliveries_due", "deliveries", ["due_at"], postgresql_where=sa.text("status = 'pending'"))


def downgrade() -> None:
    """Drop them again; alarms of the system, which have no alert, go."""
    op.drop_index("deliveries_due", "deliveries")
    op.drop_column("deliveries", "due_at")
    op.execute("DELETE FROM alert_events WHERE alert_id IS NULL")
    for index in ("alert_events_recorded", "alert_events_alarm_once", "alert_events_user"):
        op.drop_index(index, "alert_events")
    op.drop_constraint("alert_events_alarm", "alert_events")
    op.alter_column("alert_events", "alert_id", nullable=False)
    op.alter_column("alert_events", "value", nullable=False)
    for column in ("recorded_at", "message", "user_id"):
        op.drop_column("alert_events", column)
    for index in ("user_subscriptions_alert_changes", "user_subscriptions_alert_symbols"):
        op.drop_index(index, "user_subscriptions")
    for constraint in ("user_subscriptions_last_value", "user_subscriptions_alert_symbol"):
        op.drop_constraint(constraint, "user_subscriptions")
    for column in ("last_value", "last_fired_at"):
        op.drop_column("user_subscriptions", column)
