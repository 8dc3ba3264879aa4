"""Every table, with every constraint that PostgreSQL can hold.

Prices and sizes are NUMERIC at rest; instants are timestamptz. `historical_data` and `market_data` are range
partitions by month, so the instant is part of their keys.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSTZMULTIRANGE
from sqlmodel import Field, SQLModel

# Not a regular expression: to match one took a third of the time of every bar that was written.
_SYMBOL = (
    "translate(symbol, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._=^-', '') = '' AND octet_length(symbol) BETWEEN 1 AND 20"
)
_INTERVAL = "interval_type IN ('M1', 'M5', 'M15', 'M30', 'H1', 'H4', 'D1', 'W1', 'MN1')"
_ASSET_TYPE = "asset_type IN ('STOCK', 'ETF', 'FUND', 'INDEX', 'FOREX', 'CRYPTO', 'COMMODITY')"


def _check(name: str, rule: str) -> CheckConstraint:
    return CheckConstraint(rule, name=name)


def _finite(*columns: str) -> str:
    # NaN sorts above Infinity in PostgreSQL, so one comparison refuses both.
    return " AND ".join(f"{column} < 'Infinity'" for column in columns)


def _instant(*, key: bool = False, optional: bool = False) -> Any:
    default = None if key or optional else text("now()")
    column = Column(DateTime(timezone=True), primary_key=key, nullable=optional, server_default=default)
    return Field(default=None, sa_column=column)


def _texts() -> Any:
    return Field(default_factory=list, sa_column=Column(ARRAY(Text), nullable=False, server_default=text("'{}'")))


def _small(default: int) -> Any:
    return Field(default=default, sa_column=Column(SmallInteger, nullable=False, server_default=text(str(default))))


def _default(value: str) -> dict[str, Any]:
    return {"server_default": text(value)}


class Asset(SQLModel, table=True):
    """What is known of a symbol, whatever its price."""

    __tablename__ = "assets"
    __table_args__ = (
        _check("assets_symbol", _SYMBOL),
        _check("assets_asset_type", _ASSET_TYPE),
        _check("assets_tick_size", f"tick_size > 0 AND {_finite('tick_size')}"),
        _check("assets_lot_size", "lot_size > 0"),
        _check("assets_market_cap", f"market_cap >= 0 AND {_finite('market_cap')}"),
        Index("assets_asset_type_market", "asset_type", "market"),
    )

    symbol: str = Field(primary_key=True)
    name: str
    market: str | None = None
    asset_type: str
    currency: str
    exchange: str | None = None
    timezone: str | None = None
    company_name: str | None = None
    sector: str | None = None
    industry: str | None = None
    market_cap: Decimal | None = None
    trading_hours: dict[str, str] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )
    tick_size: Decimal | None = None
    lot_size: int | None = None
    is_active: bool = Field(default=True, sa_column_kwargs=_default("true"))
    is_tradable: bool = Field(default=True, sa_column_kwargs=_default("true"))
    delisting_date: date | None = None
    updated_at: datetime = _instant()


class MarketData(SQLModel, table=True):
    """Quotes over time."""

    __tablename__ = "market_data"
    __table_args__ = (
        _check("market_data_symbol", _SYMBOL),
        _check("market_data_price", f"price > 0 AND {_finite('price')}"),
        _check(
            "market_data_prices",
            _finite(
                *(
                    f"abs({price})"
                    for price in ("open_price", "high_price", "low_price", "previous_close", "bid", "ask")
                )
            ),
        ),
        _check("market_data_volume", f"volume >= 0 AND {_finite('volume', 'abs(turnover)')}"),
        _check("market_data_sizes", f"bid_size >= 0 AND ask_size >= 0 AND {_finite('bid_size', 'ask_size')}"),
        _check("market_data_quality", "quality BETWEEN 0 AND 100"),
        {"postgresql_partition_by": "RANGE (data_timestamp)"},
    )

    symbol: str = Field(primary_key=True)
    data_timestamp: datetime = _instant(key=True)  # before the market, so that the key's index finds the newest
    market: str = Field(primary_key=True)
    price: Decimal
    open_price: Decimal | None = None
    high_price: Decimal | None = None
    low_price: Decimal | None = None
    previous_close: Decimal | None = None
    volume: Decimal | None = None
    turnover: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None
    currency: str | None = None
    source: str
    quality: int = _small(100)
    received_at: datetime = _instant()


class HistoricalData(SQLModel, table=True):
    """Final bars, RAW: as they were traded, with the split and the dividend that took effect on the bar."""

    __tablename__ = "historical_data"
    __table_args__ = (
        _check("historical_data_symbol", _SYMBOL),
        _check("historical_data_interval", _INTERVAL),
        _check("historical_data_high", "high_price >= GREATEST(open_price, low_price, close_price)"),
        _check("historical_data_low", "low_price <= LEAST(open_price, high_price, close_price)"),
        _check("historical_data_finite", f"low_price > '-Infinity' AND {_finite('high_price')}"),
        _check("historical_data_volume", f"volume >= 0 AND {_finite('volume')}"),
        _check("historical_data_vwap", _finite("abs(vwap)")),
        _check("historical_data_trades", "trades >= 0"),
        _check("historical_data_split", f"split_factor > 0 AND {_finite('split_factor')}"),
        _check("historical_data_dividend", f"dividend >= 0 AND {_finite('dividend')}"),
        _check("historical_data_quality", "quality BETWEEN 0 AND 100"),
        Index(
            "historical_data_actions",
            "symbol",
            "period_start",
            postgresql_where=text("split_factor <> 1 OR dividend <> 0"),
        ),
        {"postgresql_partition_by": "RANGE (period_start)"},
    )

    symbol: str = Field(primary_key=True)
    interval_type: str = Field(primary_key=True)
    period_start: datetime = _instant(key=True)
    open_price: Decimal
    high_price: Decimal
    low_price: Decimal
    close_price: Decimal
    volume: Decimal | None = None
    vwap: Decimal | None = None
    trades: int | None = Field(default=None, sa_type=BigInteger)
    split_factor: Decimal = Field(default=Decimal(1), sa_column_kwargs=_default("1"))
    dividend: Decimal = Field(default=Decimal(0), sa_column_kwargs=_default("0"))
    source: str
    quality: int = _small(100)
    received_at: datetime = _instant()


class BarCoverage(SQLModel, table=True):
    """Which stretches of time `historical_data` is complete for: missing = asked - held."""

    __tablename__ = "bar_coverage"
    __table_args__ = (
        _check("bar_coverage_symbol", _SYMBOL),
        _check("bar_coverage_interval", _INTERVAL),
    )

    symbol: str = Field(primary_key=True)
    interval_type: str = Field(primary_key=True)
    held: Any = Field(sa_column=Column(TSTZMULTIRANGE, nullable=False, server_default=text("'{}'")))


class ArchivedBars(SQLModel, table=True):
    """The bars of a series and a month that are in a Parquet file instead of `historical_data`."""

    __tablename__ = "archived_bars"
    __table_args__ = (
        _check("archived_bars_symbol", _SYMBOL),
        _check("archived_bars_interval", _INTERVAL),
        _check("archived_bars_month", "extract(day FROM month) = 1"),
        _check("archived_bars_span", "first_bar <= last_bar"),
        _check("archived_bars_bars", "bars > 0"),
    )

    symbol: str = Field(primary_key=True)
    interval_type: str = Field(primary_key=True)
    month: date = Field(primary_key=True)
    file: str
    first_bar: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    last_bar: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    bars: int = Field(sa_type=BigInteger)
    has_actions: bool


class DataSource(SQLModel, table=True):
    """What is configured and measured of each source."""

    __tablename__ = "data_sources"
    __table_args__ = (
        _check("data_sources_limits", "rate_limit_per_minute > 0 AND rate_limit_per_day > 0 AND daily_quota > 0"),
        _check("data_sources_success_rate", "success_rate BETWEEN 0 AND 100"),
        _check("data_sources_counts", "error_count >= 0 AND current_usage >= 0"),
        _check("data_sources_response_time", f"avg_response_time >= 0 AND {_finite('avg_response_time')}"),
    )

    name: str = Field(primary_key=True)
    display_name: str
    base_url: str
    api_key_encrypted: str | None = None
    rate_limit_per_minute: int | None = None
    rate_limit_per_day: int | None = None
    priority: int = Field(default=100, sa_column_kwargs=_default("100"))
    supported_asset_types: list[str] = _texts()
    supported_markets: list[str] = _texts()
    supported_intervals: list[str] = _texts()
    is_active: bool = Field(default=True, sa_column_kwargs=_default("true"))
    success_rate: Decimal = Field(default=Decimal(100), sa_column_kwargs=_default("100"))
    avg_response_time: Decimal | None = None
    error_count: int = Field(default=0, sa_column_kwargs=_default("0"))
    last_error_at: datetime | None = _instant(optional=True)
    daily_quota: int | None = None
    current_usage: int = Field(default=0, sa_column_kwargs=_default("0"))
    updated_at: datetime = _instant()
    last_error: str | None = None
    chosen_priority: int | None = None


class User(SQLModel, table=True):
    """Who may ask."""

    __tablename__ = "users"
    __table_args__ = (
        _check("users_email", "email = lower(email) AND email LIKE '%_@_%'"),
        _check("users_tier", "tier IN ('GUEST', 'REGISTERED', 'VIP', 'ADMIN')"),
        UniqueConstraint("email", name="users_email_unique"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs=_default("gen_random_uuid()"))
    email: str
    password_hash: str | None = None
    tier: str = Field(default="REGISTERED", sa_column_kwargs=_default("'REGISTERED'"))
    preferences: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSONB, nullable=False, server_default=text("'{}'"))
    )
    is_active: bool = Field(default=True, sa_column_kwargs=_default("true"))
    created_at: datetime = _instant()


class Session(SQLModel, table=True):
    """Who is signed in, and the SHA-256 of the refresh token that keeps it up, and of the one before."""

    __tablename__ = "sessions"
    __table_args__ = (
        _check("sessions_token_hash", "octet_length(token_hash) = 32"),
        _check("sessions_renewed", "(renewed_hash IS NULL) = (renewed_at IS NULL)"),
        Index("sessions_user", "user_id", "created_at"),
        Index("sessions_expires_at", "expires_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs=_default("gen_random_uuid()"))
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    token_hash: bytes
    created_at: datetime = _instant()
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    renewed_hash: bytes | None = None
    renewed_at: datetime | None = _instant(optional=True)


class UserSubscription(SQLModel, table=True):
    """A watchlist, an alert or a live subscription of one user."""

    __tablename__ = "user_subscriptions"
    __table_args__ = (
        _check("user_subscriptions_type", "subscription_type IN ('watchlist', 'alert', 'realtime')"),
        _check("user_subscriptions_frequency", "update_frequency > 0"),
        _check("user_subscriptions_conditions", "(subscription_type = 'alert') = (alert_conditions IS NOT NULL)"),
        _check("user_subscriptions_alert_symbol", "subscription_type <> 'alert' OR cardinality(symbols) = 1"),
        _check("user_subscriptions_last_value", _finite("abs(last_value)")),
        Index("user_subscriptions_user", "user_id", "subscription_type"),
        _check("user_subscriptions_watchlist_name", "subscription_type <> 'watchlist' OR name IS NOT NULL"),
        Index(
            "user_subscriptions_watchlist_once",
            "user_id",
            "name",
            unique=True,
            postgresql_where=text("subscription_type = 'watchlist'"),
        ),
        Index(
            "user_subscriptions_alert_symbols",
            text("(symbols[1])"),
            postgresql_where=text("subscription_type = 'alert' AND is_active"),
        ),
        Index(
            "user_subscriptions_alert_changes",
            "updated_at",
            postgresql_where=text("subscription_type = 'alert'"),
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs=_default("gen_random_uuid()"))
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    subscription_type: str
    name: str | None = None
    symbols: list[str] = _texts()
    markets: list[str] = _texts()
    asset_types: list[str] = _texts()
    notification_methods: list[str] = _texts()
    update_frequency: int = Field(default=60, sa_column_kwargs=_default("60"))
    alert_conditions: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    is_active: bool = Field(default=True, sa_column_kwargs=_default("true"))
    created_at: datetime = _instant()
    updated_at: datetime = _instant()
    last_fired_at: datetime | None = _instant(optional=True)
    last_value: Decimal | None = None


class AlertEvent(SQLModel, table=True):
    """A fire of an alert, recorded once for the bar or tick that it fired on; or an alarm of the system, of no alert.

    `fired_at` is when it fired, `recorded_at` when that was written down: later, where PostgreSQL was away.
    """

    __tablename__ = "alert_events"
    __table_args__ = (
        _check("alert_events_value", _finite("abs(value)")),
        _check("alert_events_alarm", "(alert_id IS NULL) = (value IS NULL)"),
        UniqueConstraint("alert_id", "fired_on", name="alert_events_once"),
        Index("alert_events_user", "user_id", "recorded_at", "id"),
        Index("alert_events_alarm_once", "user_id", "fired_on", unique=True, postgresql_where=text("alert_id IS NULL")),
        Index("alert_events_recorded", "recorded_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs=_default("gen_random_uuid()"))
    alert_id: UUID | None = Field(default=None, foreign_key="user_subscriptions.id", ondelete="CASCADE")
    fired_on: str
    fired_at: datetime = _instant()
    value: Decimal | None = None
    quote: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    message: str
    recorded_at: datetime = _instant()


class Delivery(SQLModel, table=True):
    """The fate of one message about one fire; while it is pending, `due_at` is when to try (again)."""

    __tablename__ = "deliveries"
    __table_args__ = (
        _check("deliveries_method", "method IN ('WEB', 'EMAIL', 'SMS', 'WEBHOOK')"),
        _check("deliveries_status", "status IN ('pending', 'delivered', 'failed')"),
        _check("deliveries_attempts", "attempts >= 0"),
        UniqueConstraint("event_id", "method", name="deliveries_once"),
        Index("deliveries_due", "due_at", postgresql_where=text("status = 'pending'")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True, sa_column_kwargs=_default("gen_random_uuid()"))
    event_id: UUID = Field(foreign_key="alert_events.id", ondelete="CASCADE")
    method: str
    status: str = Field(default="pending", sa_column_kwargs=_default("'pending'"))
    attempts: int = Field(default=0, sa_column_kwargs=_default("0"))
    last_error: str | None = None
    updated_at: datetime = _instant()
    due_at: datetime = _instant()


class Quarantine(SQLModel, table=True):
    """Something impossible that a source said, kept for those who want to know why it was not served."""

    __tablename__ = "quarantine"
    __table_args__ = (Index("quarantine_symbol", "symbol", "received_at"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True))
    source: str
    symbol: str
    kind: str
    reason: str
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    received_at: datetime = _instant()
