"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "assets",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("market", sa.String(), nullable=True),
        sa.Column("asset_type", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("exchange", sa.String(), nullable=True),
        sa.Column("timezone", sa.String(), nullable=True),
        sa.Column("company_name", sa.String(), nullable=True),
        sa.Column("sector", sa.String(), nullable=True),
        sa.Column("industry", sa.String(), nullable=True),
        sa.Column("market_cap", sa.Numeric(), nullable=True),
        sa.Column(
            "trading_hours", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("tick_size", sa.Numeric(), nullable=True),
        sa.Column("lot_size", sa.Integer(), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_tradable", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("delisting_date", sa.Date(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "asset_type IN ('STOCK', 'ETF', 'FUND', 'INDEX', 'FOREX', 'CRYPTO', 'COMMODITY')", name="assets_asset_type"
        ),
        sa.CheckConstraint("symbol ~ '^[A-Z0-9._=^-]{1,20}$'", name="assets_symbol"),
        sa.CheckConstraint("lot_size > 0", name="assets_lot_size"),
        sa.CheckConstraint("market_cap >= 0 AND market_cap < 'Infinity'", name="assets_market_cap"),
        sa.CheckConstraint("tick_size > 0 AND tick_size < 'Infinity'", name="assets_tick_size"),
        sa.PrimaryKeyConstraint("symbol"),
    )
    op.create_index("assets_asset_type_market", "assets", ["asset_type", "market"], unique=False)
    op.create_table(
        "bar_coverage",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("interval_type", sa.String(), nullable=False),
        sa.Column("held", postgresql.TSTZMULTIRANGE(), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint(
            "interval_type IN ('M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1', 'W1', 'MN1')", name="bar_coverage_interval"
        ),
        sa.CheckConstraint("symbol ~ '^[A-Z0-9._=^-]{1,20}$'", name="bar_coverage_symbol"),
        sa.PrimaryKeyConstraint("symbol", "interval_type"),
    )
    op.create_table(
        "data_sources",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("base_url", sa.String(), nullable=False),
        sa.Column("api_key_encrypted", sa.String(), nullable=True),
        sa.Column("rate_limit_per_minute", sa.Integer(), nullable=True),
        sa.Column("rate_limit_per_day", sa.Integer(), nullable=True),
        sa.Column("priority", sa.Integer(), server_default=sa.text("100"), nullable=False),
        sa.Column("supported_asset_types", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("supported_markets", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("supported_intervals", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("success_rate", sa.Numeric(), server_default=sa.text("100"), nullable=False),
        sa.Column("avg_response_time", sa.Numeric(), nullable=True),
        sa.Column("error_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("daily_quota", sa.Integer(), nullable=True),
        sa.Column("current_usage", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("error_count >= 0 AND current_usage >= 0", name="data_sources_counts"),
        sa.CheckConstraint(
            "avg_response_time >= 0 AND avg_response_time < 'Infinity'", name="data_sources_response_time"
        ),
        sa.CheckConstraint(
            "rate_limit_per_minute > 0 AND rate_limit_per_day > 0 AND daily_quota > 0", name="data_sources_limits"
        ),
        sa.CheckConstraint("success_rate BETWEEN 0 AND 100", name="data_sources_success_rate"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "historical_data",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("interval_type", sa.String(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open_price", sa.Numeric(), nullable=False),
        sa.Column("high_price", sa.Numeric(), nullable=False),
        sa.Column("low_price", sa.Numeric(), nullable=False),
        sa.Column("close_price", sa.Numeric(), nullable=False),
        sa.Column("volume", sa.Numeric(), nullable=True),
        sa.Column("vwap", sa.Numeric(), nullable=True),
        sa.Column("trades", sa.BigInteger(), nullable=True),
        sa.Column("split_factor", sa.Numeric(), server_default=sa.text("1"), nullable=False),
        sa.Column("dividend", sa.Numeric(), server_default=sa.text("0"), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("quality", sa.SmallInteger(), server_default=sa.text("100"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("dividend >= 0 AND dividend < 'Infinity'", name="historical_data_dividend"),
        sa.CheckConstraint(
            "interval_type IN ('M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1', 'W1', 'MN1')",
            name="historical_data_interval",
        ),
        sa.CheckConstraint("low_price > '-Infinity' AND high_price < 'Infinity'", name="historical_data_finite"),
        sa.CheckConstraint("split_factor > 0 AND split_factor < 'Infinity'", name="historical_data_split"),
        sa.CheckConstraint("symbol ~ '^[A-Z0-9._=^-]{1,20}$'", name="historical_data_symbol"),
        sa.CheckConstraint("volume >= 0 AND volume < 'Infinity'", name="historical_data_volume"),
        sa.CheckConstraint("abs(vwap) < 'Infinity'", name="historical_data_vwap"),
        sa.CheckConstraint("high_price >= GREATEST(open_price, low_price, close_price)", name="historical_data_high"),
        sa.CheckConstraint("low_price <= LEAST(open_price, high_price, close_price)", name="historical_data_low"),
        sa.CheckConstraint("quality BETWEEN 0 AND 100", name="historical_data_quality"),
        sa.CheckConstraint("trades >= 0", name="historical_data_trades"),
        sa.PrimaryKeyConstraint("symbol", "interval_type", "period_start"),
        postgresql_partition_by="RANGE (period_start)",
    )
    op.create_index(
        "historical_data_actions",
        "historical_data",
        ["symbol", "period_start"],
        unique=False,
        postgresql_where=sa.text("split_factor <> 1 OR dividend <> 0"),
    )
    op.create_table(
        "market_data",
        sa.Column("symbol", sa.String(), nullable=False),
        sa.Column("data_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("market", sa.String(), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("open_price", sa.Numeric(), nullable=True),
        sa.Column("high_price", sa.Numeric(), nullable=True),
        sa.Column("low_price", sa.Numeric(), nullable=True),
        sa.Column("previous_close", sa.Numeric(), nullable=True),
        sa.Column("volume", sa.Numeric(), nullable=True),
        sa.Column("turnover", sa.Numeric(), nullable=True),
        sa.Column("bid", sa.Numeric(), nullable=True),
        sa.Column("ask", sa.Numeric(), nullable=True),
        sa.Column("bid_size", sa.Numeric(), nullable=True),
        sa.Column("ask_size", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("quality", sa.SmallInteger(), server_default=sa.text("100"), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("price > 0 AND price < 'Infinity'", name="market_data_price"),
        sa.CheckConstraint("symbol ~ '^[A-Z0-9._=^-]{1,20}$'", name="market_data_symbol"),
        sa.CheckConstraint(
            "volume >= 0 AND volume < 'Infinity' AND abs(turnover) < 'Infinity'", name="market_data_volume"
        ),
        sa.CheckConstraint(
            "abs(open_price) < 'Infinity' AND abs(high_price) < 'Infinity' AND abs(low_price) < 'Infinity'"
            " AND abs(previous_close) < 'Infinity' AND abs(bid) < 'Infinity' AND abs(ask) < 'Infinity'",
            name="market_data_prices",
        ),
        sa.CheckConstraint(
            "bid_size >= 0 AND ask_size >= 0 AND bid_size < 'Infinity' AND ask_size < 'Infinity'",
            name="market_data_sizes",
        ),
        sa.CheckConstraint("quality BETWEEN 0 AND 100", name="market_data_quality"),
        sa.PrimaryKeyConstraint("symbol", "data_timestamp", "market"),
        postgresql_partition_by="RANGE (data_timestamp)",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("tier", sa.String(), server_default=sa.text("'REGISTERED'"), nullable=False),
        sa.Column(
            "preferences", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("email = lower(email) AND email LIKE '%_@_%'", name="users_email"),
        sa.CheckConstraint("tier IN ('GUEST', 'REGISTERED', 'VIP', 'ADMIN')", name="users_tier"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email", name="users_email_unique"),
    )
    op.create_table(
        "user_subscriptions",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_type", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("symbols", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("markets", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("asset_types", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("notification_methods", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("update_frequency", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.Column("alert_conditions", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(subscription_type = 'alert') = (alert_conditions IS NOT NULL)", name="user_subscriptions_conditions"
        ),
        sa.CheckConstraint("subscription_type IN ('watchlist', 'alert', 'realtime')", name="user_subscriptions_type"),
        sa.CheckConstraint("update_frequency > 0", name="user_subscriptions_frequency"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("user_subscriptions_user", "user_subscriptions", ["user_id", "subscription_type"], unique=False)
    op.create_table(
        "alert_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("fired_on", sa.String(), nullable=False),
        sa.Column("fired_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=False),
        sa.Column("quote", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint("abs(value) < 'Infinity'", name="alert_events_value"),
        sa.ForeignKeyConstraint(["alert_id"], ["user_subscriptions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("alert_id", "fired_on", name="alert_events_once"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("status", sa.String(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("method IN ('WEB', 'EMAIL', 'SMS', 'WEBHOOK')", name="deliveries_method"),
        sa.CheckConstraint("status IN ('pending', 'delivered', 'failed')", name="deliveries_status"),
        sa.CheckConstraint("attempts >= 0", name="deliveries_attempts"),
        sa.ForeignKeyConstraint(["event_id"], ["alert_events.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id", "method", name="deliveries_once"),
    )


def downgrade() -> None:
    """Drop every table, with all that it holds."""
    op.drop_table("deliveries")
    op.drop_table("alert_events")
    op.drop_index("user_subscriptions_user", table_name="user_subscriptions")
    op.drop_table("user_subscriptions")
    op.drop_table("users")
    op.drop_table("market_data")
    op.drop_index(
        "historical_data_actions",
        table_name="historical_data",
        postgresql_where=sa.text("split_factor <> 1 OR dividend <> 0"),
    )
    op.drop_table("historical_data")
    op.drop_table("data_sources")
    op.drop_table("bar_coverage")
    op.drop_index("assets_asset_type_market", table_name="assets")
    op.drop_table("assets")
