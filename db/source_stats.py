"""How the sources do, over all processes: the tables `data_sources` and `quarantine`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from db.database import Database
from market import Interval, Window
from sources.health import Tally
from sources.quality import Quarantined, bar_kind
from sources.source import DAY_S, Source

_ENTER = """
    INSERT INTO data_sources (name, display_name, priority, base_url, rate_limit_per_minute, daily_quota,
        supported_asset_types, supported_markets, supported_intervals)
    VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8)
    ON CONFLICT (name) DO UPDATE SET display_name = EXCLUDED.display_name, priority = EXCLUDED.priority,
        rate_limit_per_minute = EXCLUDED.rate_limit_per_minute, daily_quota = EXCLUDED.daily_quota,
        supported_asset_types = EXCLUDED.supported_asset_types, supported_markets = EXCLUDED.supported_markets,
        supported_intervals = EXCLUDED.supported_intervals, updated_at = now()
"""
_ADD = """
    UPDATE data_sources SET
        success_rate = LEAST(100, success_rate * $2::float8::numeric + $3::float8::numeric),
        avg_response_time = CASE WHEN $4::float8 = 1 THEN avg_response_time
            ELSE COALESCE(avg_response_time, $5 / (1 - $4)) * $4::float8::numeric + $5::float8::numeric END,
        error_count = error_count + $6, last_error_at = COALESCE($7, last_error_at),
        last_error = COALESCE($8, last_error), updated_at = now()
    WHERE name = $1
"""
_QUARANTINE = """
    INSERT INTO quarantine (source, symbol, kind, reason, payload, received_at)
    VALUES ($1, $2, $3, $4, $5::text::jsonb, $6)
"""

FORGET_DEADLINE_S = 60.0
_FORGET = """
    DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE received_at < $1 LIMIT 10000)
"""

_QUARANTINED = """
    SELECT DISTINCT (payload ->> 'time')::timestamptz AS time FROM quarantine
    WHERE symbol = $1 AND kind = $2 AND (payload ->> 'time')::timestamptz >= $3
        AND (payload ->> 'time')::timestamptz < $4
    ORDER BY time
"""


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What is measured of one source: `success_rate` in percent, both averages with 0.01 for the newest question."""

    success_rate: float
    average_response_ms: float | None
    error_count: int
    last_error_at: datetime | None
    last_error: str | None


class SourceStatsStore:
    """What is known of each source in `data_sources`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enter(self, sources: Sequence[Source]) -> None:
        """Have a row for each source, with its present facts."""
        rows = [
            (
                source.name,
                source.display_name,
                source.priority,
                next((quota.limit for quota in source.quotas if quota.seconds == 60), None),
                next((quota.limit for quota in source.quotas if quota.seconds == DAY_S), None),
                sorted(source.asset_types),
                sorted(source.markets),
                list(source.reach),
            )
            for source in sources
        ]
        async with self._database.connection() as connection:
            await connection.executemany(_ENTER, rows)

    async def add(self, tallies: Mapping[str, Tally]) -> None:
        """Take in what has happened since the last time."""
        rows = [
            (
                *(name, tally.kept, tally.success_gain, tally.response_kept, tally.response_gain_ms),
                *(tally.errors, tally.last_error_at, tally.last_error),
            )
            for name, tally in tallies.items()
            if tally.kept < 1 or tally.last_error_at
        ]
        if rows:
            async with self._database.connection() as connection:
                await connection.executemany(_ADD, rows)

    async def quarantine(self, aside: Sequence[Quarantined]) -> None:
        """Keep what was set aside, and why."""
        rows = [
            (said.source, said.symbol, said.kind, said.reason, orjson.dumps(said.payload).decode(), said.received_at)
            for said in aside
        ]
        if rows:
            async with self._database.connection() as connection:
                await connection.executemany(_QUARANTINE, rows)

    async def forget_quarantined(self, before: datetime) -> int:
        """How much was removed of what was set aside before the instant."""
        removed = 0
        async with self._database.connection(FORGET_DEADLINE_S) as connection:
            while count := int((await connection.execute(_FORGET, before)).rpartition(" ")[2]):
                removed += count
        return removed

    async def quarantined(self, symbol: str, interval: Interval, window: Window) -> list[datetime]:
        """When the bars open, ascending, that were set aside of what a source said of the window."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_QUARANTINED, symbol, bar_kind(interval), window.start, window.end)
        return [row["time"].astimezone(UTC) for row in rows]

    async def get(self) -> dict[str, SourceStats]:
        """The measured values by the name of the source."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                "SELECT name, success_rate::float8, avg_response_time::float8, error_count, last_error_at,"
                " last_error"
                " FROM data_sources"
            )
        return {row["name"]: SourceStats(row[1], row[2], row[3], row[4], row[5]) for row in rows}
