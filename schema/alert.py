"""Alerts, and what became of them."""

from datetime import datetime
from enum import StrEnum

import strawberry

from market import AlertMetric, AlertOperator, Interval, Symbol
from people import NotificationMethod
from schema.asset import PageInfo
from schema.quote import Quote
from schema.scalars import described


@strawberry.enum(description="Where a delivery stands; one that FAILED is not tried again.")
class DeliveryStatus(StrEnum):
    """As `db.alerts.DeliveryStatus`."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


@strawberry.type(description="Something that its user wants to be told of.")
class Alert:
    """As `db.alerts.Alert`."""

    id: strawberry.ID
    symbol: Symbol
    metric: AlertMetric
    operator: AlertOperator
    threshold: float
    period: int | None = described("Bars in the indicator's formula; null where it has none.")
    interval: Interval | None = described("The bars that are watched; null where it is every tick.")
    cooldown_seconds: int | None = described("Seconds before it may fire again; null: it fires once.")
    notification_methods: list[NotificationMethod]
    webhook_url: str | None
    phone: str | None
    is_active: bool = described("False once it has fired, if it fires once.")
    created_at: datetime
    last_fired_at: datetime | None


@strawberry.type(description="The fate of one message about one event.")
class Delivery:
    """As `db.alerts.Delivery`."""

    id: strawberry.ID = described("What the message has as its idempotency key.")
    method: NotificationMethod
    status: DeliveryStatus
    attempts: int
    last_error: str | None = described("Why the last attempt failed.")
    updated_at: datetime


@strawberry.type(description="A fire of an alert, kept for 90 days; or an alarm of the system, told to admins.")
class AlertEvent:
    """As `db.alerts.AlertEvent`."""

    id: strawberry.ID
    alert: Alert | None = described("As it stands now; null for an alarm of the system.")
    message: str = described("What has happened, in a sentence.")
    fired_at: datetime
    value: float | None = described("What was measured; null for an alarm of the system.")
    quote: Quote | None = described("The tick that it fired on; null where it was a bar.")
    deliveries: list[Delivery] = described("One for each method; WEB is delivered with the event itself.")


@strawberry.type(description="A page's entry.")
class AlertEventEdge:
    """As `resolvers.alerts.AlertEventEdge`."""

    cursor: str = described("Give it as `after` to continue behind this entry.")
    node: AlertEvent


@strawberry.type(description="A page of events, the newest first.")
class AlertEventConnection:
    """As `resolvers.alerts.AlertEventConnection`."""

    edges: list[AlertEventEdge]
    page_info: PageInfo
