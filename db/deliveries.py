"""What is still to be told, to whom and how: written with the event, so that nothing is forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from db.database import Database
from people import NotificationMethod

KEPT: Final = timedelta(days=90)
"""How long an event stays, with its deliveries."""

LEASE: Final = timedelta(seconds=60)
"""How long an attempt may take: one whose process died is made again after it."""

_CLAIM: Final = """
    WITH due AS (
        SELECT id FROM deliveries
        WHERE status = 'pending' AND due_at <= now() AND method = $1
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    UPDATE deliveries AS d SET attempts = d.attempts + 1, due_at = now() + $3::interval, updated_at = now()
    FROM due, alert_events AS e
         JOIN users AS u ON u.id = e.user_id
         LEFT JOIN user_subscriptions AS s ON s.id = e.alert_id
    WHERE d.id = due.id AND e.id = d.event_id
    RETURNING d.id, d.attempts, e.id AS event_id, e.user_id, e.alert_id, e.message, e.fired_at,
              e.value::float8 AS value, u.email, s.symbols[1] AS symbol,
              s.alert_conditions ->> 'webhook_url' AS webhook_url, s.alert_conditions ->> 'phone' AS phone
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way; `attempts` counts this one. Its `id` stays the same with each, for who gets it twice.

    `alert_id`, `symbol` and `value` are None for an alarm of the system.
    """

    id: UUID
    attempts: int
    event_id: UUID
    user_id: UUID
    alert_id: UUID | None
    message: str
    fired_at: datetime
    value: float | None
    email: str
    symbol: str | None
    webhook_url: str | None
    phone: str | None


class DeliveryStore:
    """The table `deliveries` as a queue: whoever claims a message has it alone. Raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, method: NotificationMethod, count: int) -> list[Outgoing]:
        """Messages that are due now, at most `count`; nobody else gets them within LEASE."""
        async with self._database.connection() as connection:
            rows: list[Mapping[str, Any]] = await connection.fetch(_CLAIM, method.value, count, LEASE)
        return [Outgoing(**row) for row in rows]

    async def delivered(self, sent: Outgoing) -> None:
        """Say that the message has arrived."""
        async with self._database.connection() as connection:
            await connection.execute(
                "UPDATE deliveries SET status = 'delivered', last_error = NULL, updated_at = now()"
                " WHERE id = $1 AND status = 'pending'",
                sent.id,
            )

    async def failed(self, sent: Outgoing, error: str, again_in: timedelta | None) -> None:
        """Say why the attempt failed, and when to make the next; None gives the message up."""
        async with self._database.connection() as connection:
            await connection.execute(
                "UPDATE deliveries SET status = CASE WHEN $4::interval IS NULL THEN 'failed' ELSE 'pending' END,"
                " last_error = $3, updated_at = now(), due_at = now() + COALESCE($4, interval '0')"
                " WHERE id = $1 AND status = 'pending' AND attempts = $2",  # else another has begun since
                sent.id,
                sent.attempts,
                error,
                again_in,
            )

    async def forget_old(self) -> None:
        """Drop the events that are older than KEPT, with their deliveries."""
        async with self._database.connection(60) as connection:
            await connection.execute("DELETE FROM alert_events WHERE recorded_at < now() - $1::interval", KEPT)
