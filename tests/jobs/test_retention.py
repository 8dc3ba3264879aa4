"""What need not be kept is let go of, and nothing else is."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from db import partitions as module
from db.database import Database
from db.partitions import Partitions
from db.quotes import QuoteStore
from db.source_stats import SourceStatsStore
from errors import StoreUnavailable
from jobs.retention import Retention
from market import Provenance, Quote, ServedFrom
from settings import Settings
from sources.quality import Quarantined

NOW = datetime(2026, 11, 22, 3, 45, tzinfo=UTC)
MONTHS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1"


@pytest.fixture
def retention(database: Database, partitions: Partitions) -> Retention:
    settings = Settings(keep_quotes_days=60, keep_quarantine_days=7)
    return Retention(partitions, SourceStatsStore(database), settings)


async def keep(database: Database, partitions: Partitions, *times: datetime) -> None:
    told = Provenance(source="test", served_from=ServedFrom.LIVE, received_at=NOW)
    quotes = [Quote(symbol="AAPL", price=1.0, time=time, provenance=told) for time in times]
    await QuoteStore(database, partitions).save(quotes)


async def months(database: Database, table: str) -> list[str]:
    async with database.connection() as connection:
        return [row[0].rpartition("_")[2] for row in await connection.fetch(MONTHS, table)]


async def test_months_of_quotes_that_lie_wholly_before_are_dropped_and_bars_never(
    database: Database, partitions: Partitions, retention: Retention
) -> None:
    await keep(database, partitions, *(NOW - timedelta(days=days) for days in (0, 30, 60, 95, 400)))
    await partitions.ensure("historical_data", [NOW, NOW - timedelta(days=4000)])
    assert await months(database, "market_data") == ["y2025m10", "y2026m08", "y2026m09", "y2026m10", "y2026m11"]
    await retention.run(NOW)
    await retention.run(NOW)
    assert await months(database, "market_data") == ["y2026m09", "y2026m10", "y2026m11"]  # 60 days: the 23rd of 9
    assert await months(database, "historical_data") == ["y2015m12", "y2026m11"]


async def test_a_quote_of_a_dropped_month_is_taken_by_a_process_that_has_seen_the_month(
    database: Database, partitions: Partitions, retention: Retention
) -> None:
    other, old = Partitions(database), NOW - timedelta(days=400)
    await keep(database, other, old)
    await retention.run(NOW)
    assert await months(database, "market_data") == []
    await keep(database, other, old)
    assert await months(database, "market_data") == ["y2025m10"]


async def test_a_month_that_is_being_read_is_dropped_another_time(
    database: Database, partitions: Partitions, retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_S", 1)
    await keep(database, partitions, NOW, NOW - timedelta(days=400))
    async with database.connection(30) as reader:
        async with reader.transaction():
            await reader.fetch("SELECT * FROM market_data")
            with pytest.raises(StoreUnavailable, match="is being read"):
                await retention.run(NOW)
        assert await reader.fetchval("SELECT count(*) FROM market_data") == 2
    await retention.run(NOW)
    assert await months(database, "market_data") == ["y2026m11"]


async def test_what_was_set_aside_is_kept_for_its_days(database: Database, retention: Retention) -> None:
    store = SourceStatsStore(database)
    aside = [
        Quarantined("test", "AAPL", "quote", f"{days} days old", {}, NOW - timedelta(days=days))
        for days in (1, 6, 8, 90)
    ]
    await store.quarantine(aside)
    await asyncio.gather(retention.run(NOW), retention.run(NOW))
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT reason FROM quarantine ORDER BY received_at")
    assert [row["reason"] for row in rows] == ["6 days old", "1 days old"]
