"""Alerts and what has become of them, as their users see them: every question names the user whose they are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec
import orjson

from db.database import Database
from errors import AlertNotFound, TooManyAlerts, Unauthenticated
from market import AlertMetric, AlertOperator, Interval, Quote
from people import NotificationMethod, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTerms:
    """What a user wants to be told of, and how. All has been checked.

    With an `interval` its final bars are watched, else every tick. `cooldown_seconds` None: it fires once.
    """

    symbol: str
    metric: AlertMetric
    operator: AlertOperator
    threshold: float
    period: int | None = None
    interval: Interval | None = None
    cooldown_seconds: int | None = None
    notification_methods: Sequence[NotificationMethod] = (NotificationMethod.WEB,)
    webhook_url: str | None = None
    phone: str | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(AlertTerms):
    """An alert of a user.

    `updated_at` changes with its terms only; `last_value` is what was measured then, or at its last fire since.
    `tier` is that of the user's row.
    """

    id: UUID
    created_at: datetime
    updated_at: datetime
    last_fired_at: datetime | None
    last_value: float | None
    tier: Tier


class DeliveryStatus(StrEnum):
    """Where a delivery stands; one that failed is not tried again."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Delivery:
    """The fate of one message about one event."""

    id: UUID
    method: NotificationMethod
    status: DeliveryStatus
    attempts: int
    last_error: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """A fire of an alert; or an alarm of the system, which has neither `alert` nor `value`."""

    id: UUID
    alert: Alert | None
    message: str
    fired_at: datetime
    recorded_at: datetime
    value: float | None
    quote: Quote | None
    deliveries: Sequence[Delivery]


ALERT_COLUMNS: Final = """
    s.id, s.symbols[1] AS symbol, s.alert_conditions, s.notification_methods, s.is_active, s.created_at, s.updated_at,
    s.last_fired_at, s.last_value::float8 AS last_value, (SELECT tier FROM users WHERE users.id = s.user_id) AS tier
"""
_INSERT: Final = f"""
    INSERT INTO user_subscriptions AS s
        (user_id, subscription_type, symbols, alert_conditions, notification_methods, is_active, last_value)
    VALUES ($1, 'alert', ARRAY[$2], $3, $4, $5, $6::float8::text::numeric)
    RETURNING {ALERT_COLUMNS}
"""  # noqa: S608 - as all here: every part is a constant of this module
_UPDATE: Final = f"""
    UPDATE user_subscriptions AS s
    SET symbols = ARRAY[$3], alert_conditions = $4, notification_methods = $5, is_active = $6,
        last_value = $7::float8::text::numeric, updated_at = GREATEST(clock_timestamp(), updated_at + '1 microsecond')
    WHERE s.user_id = $1 AND s.id = $2 AND s.subscription_type = 'alert'
    RETURNING {ALERT_COLUMNS}
"""  # noqa: S608
_EVENTS: Final = f"""
    SELECT e.id AS event_id, e.message, e.fired_at, e.recorded_at, e.value::float8 AS value, e.quote,
           {ALERT_COLUMNS},
           (SELECT COALESCE(jsonb_agg(to_jsonb(d) ORDER BY d.method), '[]')
            FROM deliveries AS d WHERE d.event_id = e.id) AS deliveries
    FROM alert_events AS e LEFT JOIN user_subscriptions AS s ON s.id = e.alert_id
    WHERE e.user_id = $1
"""  # noqa: S608


class AlertStore:
    """The alerts of each user, and their events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, user_id: UUID, terms: AlertTerms, last_value: float | None, limit: int) -> Alert:
        """A new alert. Raises TooManyAlerts where the user has `limit` of them, Unauthenticated without such a user."""
        async with self._database.connection() as connection, connection.transaction():
            # Two that create at once wait for each other here, so that both count right.
            if not await connection.fetchval("SELECT true FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id):
                raise Unauthenticated("This user is not known here any more; sign in again.")
            held = await connection.fetchval(
                "SELECT count(*) FROM user_subscriptions WHERE user_id = $1 AND subscription_type = 'alert'", user_id
            )
            if held >= limit:
                raise TooManyAlerts(f"You have {held} alerts; delete one, {limit} are the most.", limit=limit)
            row = await connection.fetchrow(_INSERT, user_id, *_columns(terms), last_value)
        return alert_of(row)

    async def update(self, user_id: UUID, alert_id: UUID, terms: AlertTerms, last_value: float | None) -> Alert:
        """The alert with these terms instead, armed anew. Raises AlertNotFound."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_UPDATE, user_id, alert_id, *_columns(terms), last_value)
        if row is None:
            raise _unknown(alert_id)
        return alert_of(row)

    async def delete(self, user_id: UUID, alert_id: UUID) -> None:
        """Forget the alert, with its events. Raises AlertNotFound."""
        async with self._database.connection() as connection:
            gone = await connection.fetchval(
                "DELETE FROM user_subscriptions WHERE user_id = $1 AND id = $2 AND subscription_type = 'alert'"
                " RETURNING true",
                user_id,
                alert_id,
            )
        if not gone:
            raise _unknown(alert_id)

    async def alerts(self, user_id: UUID, *, active: bool | None = None) -> list[Alert]:
        """The user's alerts, the newest first; only those that are active or not, where that is said."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                f"SELECT {ALERT_COLUMNS} FROM user_subscriptions AS s"  # noqa: S608
                " WHERE s.user_id = $1 AND s.subscription_type = 'alert' AND ($2::bool IS NULL OR s.is_active = $2)"
                " ORDER BY s.created_at DESC, s.id",
                user_id,
                active,
            )
        return [alert_of(row) for row in rows]

    async def events(self, user_id: UUID, count: int, before: tuple[datetime, UUID] | None) -> list[AlertEvent]:
        """The user's newest `count` events, of those recorded before the (recorded_at, id) where one is given."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                f"{_EVENTS} AND ($2::timestamptz IS NULL OR (e.recorded_at, e.id) < ($2, $3))"
                " ORDER BY e.recorded_at DESC, e.id DESC LIMIT $4",
                user_id,
                *(before or (None, None)),
                count,
            )
        return [_event(row) for row in rows]

    async def events_since(self, user_id: UUID, since: datetime, but: Collection[UUID]) -> list[AlertEvent]:
        """The user's events that were recorded at the instant or later, the oldest first, 100 at most.

        Those of the ids `but` are left out.
        """
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                f"{_EVENTS} AND e.recorded_at >= $2 AND e.id <> ALL($3) ORDER BY e.recorded_at, e.id LIMIT 100",
                user_id,
                since,
                list(but),
            )
        return [_event(row) for row in rows]

    async def now(self) -> datetime:
        """What the clock of the store shows, by which events are recorded."""
        async with self._database.connection() as connection:
            at: datetime = await connection.fetchval("SELECT clock_timestamp()")
        return at


def alert_of(row: Mapping[str, Any]) -> Alert:
    """The alert of a row of ALERT_COLUMNS."""
    conditions: dict[str, Any] = row["alert_conditions"]
    interval = conditions["interval"]
    return Alert(
        id=row["id"],
        symbol=row["symbol"],
        metric=AlertMetric(conditions["metric"]),
        operator=AlertOperator(conditions["operator"]),
        threshold=conditions["threshold"],
        period=conditions["period"],
        interval=Interval(interval) if interval else None,
        cooldown_seconds=conditions["cooldown_seconds"],
        notification_methods=tuple(map(NotificationMethod, row["notification_methods"])),
        webhook_url=conditions["webhook_url"],
        phone=conditions["phone"],
        is_active=row["is_active"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        last_fired_at=row["last_fired_at"],
        last_value=row["last_value"],
        tier=Tier(row["tier"]),
    )


def _columns(terms: AlertTerms) -> tuple[str, str, list[str], bool]:
    conditions = {
        "metric": terms.metric,
        "operator": terms.operator,
        "threshold": terms.threshold,
        "period": terms.period,
        "interval": terms.interval,
        "cooldown_seconds": terms.cooldown_seconds,
        "webhook_url": terms.webhook_url,
        "phone": terms.phone,
    }
    methods = [method.value for method in terms.notification_methods]
    return str(terms.symbol), orjson.dumps(conditions).decode(), methods, terms.is_active


def _event(row: Mapping[str, Any]) -> AlertEvent:
    return AlertEvent(
        id=row["event_id"],
        alert=alert_of(row) if row["id"] else None,
        message=row["message"],
        fired_at=row["fired_at"],
        recorded_at=row["recorded_at"],
        value=row["value"],
        quote=msgspec.convert(row["quote"], Quote) if row["quote"] else None,
        deliveries=[
            Delivery(
                id=UUID(sent["id"]),
                method=NotificationMethod(sent["method"]),
                status=DeliveryStatus(sent["status"].upper()),
                attempts=sent["attempts"],
                last_error=sent["last_error"],
                updated_at=datetime.fromisoformat(sent["updated_at"]),
            )
            for sent in row["deliveries"]
        ],
    )


def _unknown(alert_id: UUID) -> AlertNotFound:
    return AlertNotFound(f"You have no alert {alert_id}.")
