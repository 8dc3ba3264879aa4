"""Alarms of the system: events without an alert, for every admin."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from db.database import Database
from people import NotificationMethod

TOLD_BY: Final = frozenset({NotificationMethod.WEB, NotificationMethod.EMAIL})
"""How admins can be told: where a message or a call is to go stands in an alert, which an alarm has not."""

_RAISE: Final = """
    WITH written AS (
        INSERT INTO alert_events (user_id, fired_on, fired_at, message, recorded_at)
        SELECT id, $1, $2, $3, clock_timestamp() FROM users WHERE tier = 'ADMIN' AND is_active
        ON CONFLICT DO NOTHING
        RETURNING id, user_id
    ), sent AS (
        INSERT INTO deliveries (event_id, method, status)
        SELECT w.id, method, CASE method WHEN 'WEB' THEN 'delivered' ELSE 'pending' END
        FROM written AS w, unnest($4::text[]) AS method
    )
    SELECT user_id FROM written
"""


class AlarmStore:
    """Where alarms are written down. Raises StoreUnavailable where PostgreSQL does not answer."""

    def __init__(self, database: Database, methods: Collection[NotificationMethod]) -> None:
        self._database = database
        self._methods = [method.value for method in methods]

    async def sound(self, name: str, at: datetime, message: str) -> list[UUID]:
        """Tell every admin, and give those who had not been told of an alarm of this name."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_RAISE, name, at, message, self._methods)
        return [row["user_id"] for row in rows]
