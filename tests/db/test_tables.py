"""Every constraint refuses what it is there for, and nothing else."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from db.database import Database
from db.partitions import Partitions

AT = datetime(2026, 1, 2, tzinfo=UTC)
NAN, INFINITY = Decimal("NaN"), Decimal("Infinity")
ONE, TWO = UUID(int=1), UUID(int=2)
HIGHEST = "ABCDEFGHIJ0123456789"

# A row of each table, all columns given, in the order of their foreign keys.
GOOD: dict[str, dict[str, Any]] = {
    "assets": {
        "symbol": HIGHEST,
        "name": "Name",
        "market": "XNAS",
        "asset_type": "STOCK",
        "currency": "USD",
        "exchange": "Nasdaq",
        "timezone": "America/New_York",
        "company_name": "Name Inc.",
        "sector": "Technology",
        "industry": "Software",
        "market_cap": 0,
        "trading_hours": {"open": "09:30"},
        "tick_size": Decimal("0.01"),
        "lot_size": 1,
        "is_active": True,
        "is_tradable": True,
        "delisting_date": None,
        "updated_at": AT,
    },
    "market_data": {
        "symbol": "0700.HK",
        "market": "",
        "data_timestamp": AT,
        "price": Decimal("0.00000001"),
        "open_price": -1,
        "high_price": 2,
        "low_price": -2,
        "previous_close": 0,
        "volume": 0,
        "turnover": -5,
        "bid": -1,
        "ask": 1,
        "bid_size": 0,
        "ask_size": 0,
        "currency": "HKD",
        "source": "test",
        "quality": 0,
        "received_at": AT,
    },
    "historical_data": {
        "symbol": "^GSPC",
        "interval_type": "MN1",
        "period_start": AT,
        "open_price": -3,
        "high_price": -2,
        "low_price": -4,
        "close_price": -4,
        "volume": 0,
        "vwap": -3,
        "trades": 0,
        "split_factor": Decimal("0.05"),
        "dividend": 0,
        "source": "test",
        "quality": 100,
        "received_at": AT,
    },
    "bar_coverage": {"symbol": "EURUSD=X", "interval_type": "M1", "held": []},
    "archived_bars": {
        "symbol": "AAPL",
        "interval_type": "D1",
        "month": AT.date().replace(day=1),
        "file": "2026-01.parquet",
        "first_bar": AT,
        "last_bar": AT,
        "bars": 1,
        "has_actions": False,
    },
    "data_sources": {
        "name": "test",
        "display_name": "Test",
        "base_url": "http://127.0.0.1",
        "api_key_encrypted": None,
        "rate_limit_per_minute": 1,
        "rate_limit_per_day": 1,
        "priority": -1,
        "supported_asset_types": ["STOCK"],
        "supported_markets": [],
        "supported_intervals": [],
        "is_active": True,
        "success_rate": 0,
        "avg_response_time": 0,
        "error_count": 0,
        "last_error_at": None,
        "last_error": None,
        "chosen_priority": None,
        "daily_quota": 1,
        "current_usage": 0,
        "updated_at": AT,
    },
    "users": {
        "id": ONE,
        "email": "a@b",
        "password_hash": None,
        "tier": "GUEST",
        "preferences": {},
        "is_active": True,
        "created_at": AT,
    },
    "sessions": {
        "id": ONE,
        "user_id": ONE,
        "token_hash": b"x" * 32,
        "created_at": AT,
        "expires_at": AT,
        "renewed_hash": None,
        "renewed_at": None,
    },
    "user_subscriptions": {
        "id": ONE,
        "user_id": ONE,
        "subscription_type": "alert",
        "name": None,
        "symbols": ["AAPL"],
        "markets": [],
        "asset_types": [],
        "notification_methods": [],
        "update_frequency": 1,
        "alert_conditions": {"above": 1},
        "is_active": True,
        "created_at": AT,
        "updated_at": AT,
        "last_fired_at": None,
        "last_value": -1,
    },
    "alert_events": {
        "id": ONE,
        "alert_id": ONE,
        "fired_on": "bar 1",
        "fired_at": AT,
        "value": -1,
        "quote": None,
        "user_id": ONE,
        "message": "",
        "recorded_at": AT,
    },
    "deliveries": {
        "id": ONE,
        "event_id": ONE,
        "method": "WEBHOOK",
        "status": "pending",
        "attempts": 0,
        "last_error": None,
        "updated_at": AT,
        "due_at": AT,
    },
    "quarantine": {
        "id": 1,
        "source": "test",
        "symbol": "any text",
        "kind": "quote",
        "reason": "price is NaN",
        "payload": {"price": "NaN"},
        "received_at": AT,
    },
}

BAD_SYMBOLS = ["", "aapl", "A B", "A/B", "AAPL\n", "ÄPFEL", f"{HIGHEST}X"]

# What is changed of the good row, and the constraint that then refuses it.
BAD: dict[str, list[tuple[dict[str, Any], str]]] = {
    "assets": [
        ({}, "assets_pkey"),
        *(({"symbol": symbol}, "assets_symbol") for symbol in BAD_SYMBOLS),
        ({"asset_type": "stock"}, "assets_asset_type"),
        *(({"tick_size": size}, "assets_tick_size") for size in (0, -1, NAN, INFINITY)),
        ({"lot_size": 0}, "assets_lot_size"),
        *(({"market_cap": value}, "assets_market_cap") for value in (-1, NAN, INFINITY)),
    ],
    "market_data": [
        ({}, "market_data_pkey"),
        *(({"symbol": symbol}, "market_data_symbol") for symbol in BAD_SYMBOLS),
        *(({"price": price}, "market_data_price") for price in (0, -1, NAN, INFINITY)),
        *(({"volume": volume}, "market_data_volume") for volume in (-1, NAN, INFINITY)),
        *(({"turnover": turnover}, "market_data_volume") for turnover in (NAN, INFINITY, -INFINITY)),
        *(
            ({name: value}, "market_data_prices")
            for name in ("open_price", "high_price", "low_price", "previous_close", "bid", "ask")
            for value in (NAN, INFINITY, -INFINITY)
        ),
        *(({name: value}, "market_data_sizes") for name in ("bid_size", "ask_size") for value in (-1, NAN, INFINITY)),
        *(({"quality": quality}, "market_data_quality") for quality in (-1, 101)),
    ],
    "historical_data": [
        ({}, "historical_data_pkey"),
        *(({"symbol": symbol}, "historical_data_symbol") for symbol in BAD_SYMBOLS),
        *(({"interval_type": interval}, "historical_data_interval") for interval in ("M2", "d1", "")),
        *(({"open_price": price}, "historical_data_high") for price in (Decimal("-1.99"), NAN, INFINITY)),
        *(({"close_price": price}, "historical_data_high") for price in (Decimal("-1.99"), NAN, INFINITY)),
        ({"open_price": Decimal("-4.01")}, "historical_data_low"),
        ({"close_price": -INFINITY}, "historical_data_low"),
        *(({"high_price": price}, "historical_data_finite") for price in (NAN, INFINITY)),
        ({"low_price": -INFINITY}, "historical_data_finite"),
        *(({"volume": volume}, "historical_data_volume") for volume in (-1, NAN, INFINITY)),
        *(({"vwap": vwap}, "historical_data_vwap") for vwap in (NAN, INFINITY, -INFINITY)),
        ({"trades": -1}, "historical_data_trades"),
        *(({"split_factor": factor}, "historical_data_split") for factor in (0, -2, NAN, INFINITY)),
        *(({"dividend": dividend}, "historical_data_dividend") for dividend in (-1, NAN, INFINITY)),
        *(({"quality": quality}, "historical_data_quality") for quality in (-1, 101)),
    ],
    "bar_coverage": [
        ({}, "bar_coverage_pkey"),
        *(({"symbol": symbol}, "bar_coverage_symbol") for symbol in BAD_SYMBOLS),
        ({"interval_type": "H2"}, "bar_coverage_interval"),
    ],
    "archived_bars": [
        ({}, "archived_bars_pkey"),
        *(({"symbol": symbol}, "archived_bars_symbol") for symbol in BAD_SYMBOLS),
        ({"interval_type": "H2"}, "archived_bars_interval"),
        ({"month": AT.date()}, "archived_bars_month"),
        ({"last_bar": AT - timedelta(days=1)}, "archived_bars_span"),
        ({"bars": 0}, "archived_bars_bars"),
    ],
    "data_sources": [
        ({}, "data_sources_pkey"),
        *(
            ({name: 0}, "data_sources_limits")
            for name in ("rate_limit_per_minute", "rate_limit_per_day", "daily_quota")
        ),
        *(({"success_rate": rate}, "data_sources_success_rate") for rate in (-1, Decimal("100.1"), NAN)),
        *(({name: -1}, "data_sources_counts") for name in ("error_count", "current_usage")),
        *(({"avg_response_time": time}, "data_sources_response_time") for time in (-1, NAN, INFINITY)),
    ],
    "users": [
        ({"email": "c@d"}, "users_pkey"),
        ({"id": TWO}, "users_email_unique"),
        *(({"email": email}, "users_email") for email in ("", "A@b", "a", "@b", "a@")),
        ({"tier": "guest"}, "users_tier"),
    ],
    "sessions": [
        ({}, "sessions_pkey"),
        ({"id": TWO, "user_id": TWO}, "sessions_user_id_fkey"),
        ({"id": TWO, "token_hash": b"x"}, "sessions_token_hash"),
        ({"id": TWO, "renewed_at": AT}, "sessions_renewed"),
    ],
    "user_subscriptions": [
        ({}, "user_subscriptions_pkey"),
        ({"id": TWO, "user_id": TWO}, "user_subscriptions_user_id_fkey"),
        ({"subscription_type": "other", "alert_conditions": None}, "user_subscriptions_type"),
        ({"update_frequency": 0}, "user_subscriptions_frequency"),
        ({"alert_conditions": None}, "user_subscriptions_conditions"),
        ({"subscription_type": "watchlist"}, "user_subscriptions_conditions"),
        ({"subscription_type": "watchlist", "alert_conditions": None}, "user_subscriptions_watchlist_name"),
        *(({"symbols": symbols}, "user_subscriptions_alert_symbol") for symbols in ([], ["AAPL", "MSFT"])),
        *(({"last_value": value}, "user_subscriptions_last_value") for value in (NAN, INFINITY, -INFINITY)),
    ],
    "alert_events": [
        ({"fired_on": "bar 2"}, "alert_events_pkey"),
        ({"id": TWO}, "alert_events_once"),
        ({"id": TWO, "alert_id": TWO}, "alert_events_alert_id_fkey"),
        ({"id": TWO, "fired_on": "bar 2", "user_id": TWO}, "alert_events_user_id_fkey"),
        *(({"value": value}, "alert_events_value") for value in (NAN, INFINITY, -INFINITY)),
        ({"alert_id": None}, "alert_events_alarm"),
        ({"value": None}, "alert_events_alarm"),
    ],
    "deliveries": [
        ({"method": "WEB"}, "deliveries_pkey"),
        ({"id": TWO}, "deliveries_once"),
        ({"id": TWO, "event_id": TWO}, "deliveries_event_id_fkey"),
        ({"method": "PIGEON"}, "deliveries_method"),
        ({"status": "lost"}, "deliveries_status"),
        ({"attempts": -1}, "deliveries_attempts"),
    ],
    "quarantine": [({}, "quarantine_pkey")],
}


@pytest.fixture
async def filled(database: Database, partitions: Partitions) -> Database:
    """The good row of each table."""
    for name in ("market_data", "historical_data"):
        await partitions.ensure(name, [AT])
    async with database.session() as session:
        for name, row in GOOD.items():
            await session.execute(insert(SQLModel.metadata.tables[name]).values(row))
    return database


async def refused_by(database: Database, table: str, change: dict[str, Any]) -> str | None:
    """The constraint that refuses the good row with the change."""
    try:
        async with database.session() as session:
            await session.execute(insert(SQLModel.metadata.tables[table]).values(GOOD[table] | change))
    except IntegrityError as error:
        refused: str = error.orig.__cause__.constraint_name  # type: ignore[union-attr]
        return refused.replace("_y2026m01", "")
    return None


async def test_each_bad_row_is_refused_by_its_constraint(filled: Database) -> None:
    found = {(table, str(change)): await refused_by(filled, table, change) for table in BAD for change, _ in BAD[table]}
    assert found == {(table, str(change)): constraint for table in BAD for change, constraint in BAD[table]}


async def test_no_constraint_is_left_out_here(database: Database) -> None:
    async with database.session() as session:
        rows = await session.scalars(
            text(
                "SELECT conname FROM pg_constraint WHERE connamespace = current_schema()::regnamespace"
                " AND contype IN ('c', 'f', 'p', 'u') AND conrelid <> 'alembic_version'::regclass"
            )
        )
    assert {constraint for bad in BAD.values() for _, constraint in bad} == set(rows)


@pytest.mark.parametrize("table", GOOD)
def test_the_good_row_names_every_column(table: str) -> None:
    assert set(GOOD[table]) == set(SQLModel.metadata.tables[table].columns.keys())


async def test_a_user_takes_along_what_hangs_on_them(filled: Database) -> None:
    async with filled.session() as session:
        await session.execute(text("DELETE FROM users"))
        for table in ("sessions", "user_subscriptions", "alert_events", "deliveries"):
            assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
