"""Alerts as those see them who watch the market for them, and the one place where a fire is written down."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from db.alerts import ALERT_COLUMNS, Alert, alert_of
from db.database import Database
from market import Quote

OVERLAP: Final = timedelta(seconds=10)
"""A change may be seen so much later than it is dated: its statement has at most 2 s, and clocks differ."""

_ALERTS: Final = f"SELECT {ALERT_COLUMNS} FROM user_subscriptions AS s WHERE s.subscription_type = 'alert'"  # noqa: S608

# An alert fires only as it was known to the one who says so: not changed, not fired by another, not deleted since. Its
# change, its event and the deliveries are one statement, so all are there or none. What was written before, by one who
# did not live to hear of it, is told again.
_RECORD: Final = """
    WITH fires AS (
        SELECT * FROM unnest(
            $1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::float8[], $7::text[],
            $8::jsonb[]
        ) AS f (alert_id, updated_at, last_fired_at, fired_on, fired_at, value, message, quote)
    ), taken AS (
        UPDATE user_subscriptions AS s
        SET last_fired_at = f.fired_at, last_value = f.value::text::numeric,
            is_active = s.alert_conditions ->> 'cooldown_seconds' IS NOT NULL
        FROM fires AS f
        WHERE s.id = f.alert_id AND s.is_active AND s.updated_at = f.updated_at
              AND s.last_fired_at IS NOT DISTINCT FROM f.last_fired_at
        RETURNING s.user_id, s.notification_methods, f.*
    ), written AS (
        INSERT INTO alert_events (alert_id, user_id, fired_on, fired_at, value, message, quote, recorded_at)
        SELECT alert_id, user_id, fired_on, fired_at, value::text::numeric, message, quote, clock_timestamp()
        FROM taken
        RETURNING id, alert_id, user_id
    ), sent AS (
        INSERT INTO deliveries (event_id, method, status)
        SELECT w.id, method, CASE method WHEN 'WEB' THEN 'delivered' ELSE 'pending' END
        FROM written AS w JOIN taken AS t USING (alert_id), unnest(t.notification_methods) AS method
    )
    SELECT alert_id, user_id FROM written
    UNION
    SELECT e.alert_id, e.user_id FROM alert_events AS e JOIN fires AS f USING (alert_id, fired_on)
"""


@dataclass(frozen=True, slots=True)
class Fire:
    """An alert that has fired, as it was known: with these `updated_at` and `last_fired_at`.

    `fired_on` names the tick or the bar.
    """

    alert_id: UUID
    updated_at: datetime
    last_fired_at: datetime | None
    fired_on: str
    fired_at: datetime
    value: float
    message: str
    quote: Quote | None


class FireStore:
    """All alerts that are active, and their fires. Raises StoreUnavailable where PostgreSQL does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def topics(self) -> list[str]:
        """What alerts watch, as topics: `AAPL` for its ticks, `AAPL/M1` for its bars."""
        async with self._database.connection(30) as connection:
            rows = await connection.fetch(
                "SELECT DISTINCT concat_ws('/', symbols[1], alert_conditions ->> 'interval') AS topic"
                " FROM user_subscriptions WHERE subscription_type = 'alert' AND is_active"
            )
        return [row["topic"] for row in rows]

    async def alerts(self, symbols: Collection[str]) -> list[Alert]:
        """The active alerts on the symbols."""
        async with self._database.connection(30) as connection:
            rows = await connection.fetch(f"{_ALERTS} AND s.is_active AND s.symbols[1] = ANY($1)", list(symbols))
        return [alert_of(row) for row in rows]

    async def changed(self, since: datetime, after: UUID) -> list[Alert]:
        """The alerts that were created or changed since, active or not, the longest ago first; 2 000 at most.

        Those of the very instant only with an id behind `after`: so the last one leads to the next page.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                f"{_ALERTS} AND (s.updated_at, s.id) > ($1, $2) ORDER BY s.updated_at, s.id LIMIT 2000", since, after
            )
        return [alert_of(row) for row in rows]

    async def known(self, alert_ids: Collection[UUID]) -> list[Alert]:
        """The alerts of these ids that there still are, active or not."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(f"{_ALERTS} AND s.id = ANY($1)", list(alert_ids))
        return [alert_of(row) for row in rows]

    async def record(self, fires: Sequence[Fire]) -> dict[UUID, UUID]:
        """Write the fires down, no two of them of one alert; gives the user of each alert that has fired.

        One that is not among them had been changed, fired by another or deleted, and nothing was written.
        """
        columns = zip(
            *(
                (
                    *(fire.alert_id, fire.updated_at, fire.last_fired_at, fire.fired_on, fire.fired_at, fire.value),
                    fire.message,
                    msgspec.json.encode(fire.quote).decode() if fire.quote else None,
                )
                for fire in sorted(fires, key=lambda fire: fire.alert_id)  # all lock in one order
            ),
            strict=True,
        )
        async with self._database.connection() as connection:
            rows = await connection.fetch(_RECORD, *map(list, columns))
        return {row["alert_id"]: row["user_id"] for row in rows}
