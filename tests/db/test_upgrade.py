"""A store that the first version filled, brought up to date: nothing is lost."""

import json
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection

from db.database import Database
from db.migrate import alembic_config, migrate
from tests.db.test_migrate import on_connection

FIRST = "0001"
USER = "00000000-0000-4000-8000-000000000001"
ALERT = "00000000-0000-4000-8000-000000000002"
EVENT = "00000000-0000-4000-8000-000000000003"

FILLED = f"""
    INSERT INTO assets (symbol, name, asset_type, currency, market, sector, market_cap, trading_hours, tick_size)
        VALUES ('AAPL', 'Apple', 'STOCK', 'USD', 'XNAS', 'Technology', 3e12, '{{"open": "09:30"}}', 0.01),
               ('^GSPC', 'S&P 500', 'INDEX', 'USD', NULL, NULL, NULL, '{{}}', NULL);
    INSERT INTO bar_coverage VALUES ('AAPL', 'D1', '{{[2019-12-02 00:00Z,2020-01-04 00:00Z)}}');
    INSERT INTO data_sources (name, display_name, base_url, api_key_encrypted, error_count, supported_markets)
        VALUES ('polygon', 'Massive', 'https://api.massive.com', 'sealed', 3, '{{XNAS,XNYS}}');
    CREATE TABLE historical_data_y2020m01 PARTITION OF historical_data FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
    INSERT INTO historical_data (symbol, interval_type, period_start, open_price, high_price, low_price, close_price,
                                 volume, split_factor, dividend, source)
        VALUES ('AAPL', 'D1', '2020-01-02 00:00Z', 296.24, 300.60, 295.19, 300.35, 33911900, 1, 0, 'import'),
               ('AAPL', 'D1', '2020-01-03 00:00Z', 297.15, 300.58, 296.50, 297.43, NULL, 4, 0.77, 'yahoo');
    CREATE TABLE market_data_y2020m01 PARTITION OF market_data FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
    INSERT INTO market_data (symbol, data_timestamp, market, price, volume, source)
        VALUES ('AAPL', '2020-01-02 15:00:00.123456Z', 'XNAS', 300.351234567, 1e6, 'yahoo');
    INSERT INTO users (id, email, password_hash, tier, preferences)
        VALUES ('{USER}', 'me@example.org', 'hashed', 'VIP', '{{"theme": "dark"}}');
    INSERT INTO user_subscriptions (id, user_id, subscription_type, name, symbols, alert_conditions)
        VALUES ('{ALERT}', '{USER}', 'alert', 'high', '{{AAPL}}', '{{"threshold": 300}}'),
               (gen_random_uuid(), '{USER}', 'watchlist', 'Tech', '{{AAPL,MSFT}}', NULL),
               (gen_random_uuid(), '{USER}', 'realtime', NULL, '{{AAPL}}', NULL);
    INSERT INTO alert_events (id, alert_id, fired_on, value) VALUES ('{EVENT}', '{ALERT}', 'tick 1', 300.35);
    INSERT INTO deliveries (event_id, method, status, attempts, last_error)
        VALUES ('{EVENT}', 'WEBHOOK', 'failed', 9, 'HTTP 500');
"""


@pytest.fixture
async def first(database: Database) -> Database:
    """A schema as the first migration makes it, with rows in every table."""

    def begin_anew(connection: Connection) -> None:
        command.downgrade(alembic_config(connection), "base")
        command.upgrade(alembic_config(connection), FIRST)

    await on_connection(database, begin_anew)
    async with database.connection() as connection:
        await connection.execute(FILLED)
    return database


async def rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that is no part of another, in the order of the text of its key."""
    async with database.connection() as connection:
        names = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'alembic_version'"
        )
        found = {}
        for (name,) in names:
            texts = await connection.fetch(f'SELECT to_jsonb(t)::text FROM "{name}" t')
            found[name] = sorted((json.loads(text) for (text,) in texts), key=identity)
    return found


def identity(row: dict[str, Any]) -> str:
    keys = ("id", "symbol", "interval_type", "period_start", "data_timestamp", "name")
    return str([row.get(key) for key in keys])


async def test_nothing_is_lost_by_all_migrations_from_the_first(first: Database) -> None:
    before = await rows(first)
    assert [name for name, held in before.items() if not held] == []
    await migrate(first)
    after = await rows(first)
    kept = {
        name: [{column: row[column] for column in old} for row, old in zip(after[name], held, strict=True)]
        for name, held in before.items()
    }
    assert kept == before
    assert [event["user_id"] for event in after["alert_events"]] == [USER], "whose alert it was of"


async def test_watchlists_without_a_name_or_of_one_name_are_kept_under_names_of_their_own(first: Database) -> None:
    async with first.connection() as connection:
        await connection.execute(
            "INSERT INTO user_subscriptions (user_id, subscription_type, name, symbols)"
            " SELECT $1, 'watchlist', name, '{IBM}' FROM unnest($2::text[]) AS name",
            USER,
            ["Tech", None, None, "Watchlist", "Tech 2"],
        )
    await migrate(first)
    async with first.connection() as connection:
        names = await connection.fetch(
            "SELECT name FROM user_subscriptions WHERE subscription_type = 'watchlist' ORDER BY name"
        )
    assert len(names) == 6
    assert len({name for (name,) in names}) == 6
    assert {"Tech", "Tech 2", "Watchlist"} <= {name for (name,) in names}
