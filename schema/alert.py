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

    id: strawberry.ID = described("What it is known by.")
    symbol: Symbol = described("What is watched.")
    metric: AlertMetric = described("What of it is watched.")
    operator: AlertOperator = described("When it fires.")
    threshold: float = described("What the value is compared with.")
    period: int | None = described("Bars in the indicator's formula; null where it has none.")
    interval: Interval | None = described("The bars that are watched; null where it is every tick.")
    cooldown_seconds: int | None = described("Seconds before it may fire again; null: it fires once.")
    notification_methods: list[NotificationMethod] = described("How you are told.")
    webhook_url: str | None = described("Where WEBHOOK posts to.")
    phone: str | None = described("Where SMS goes.")
    is_active: bool = described("False once it has fired, if it fires once.")
    created_at: datetime = described("When it was made.")
    last_fired_at: datetime | None = described("When it fired last; null where it never has.")


@strawberry.type(description="The fate of one message about one event.")
class Delivery:
    """As `db.alerts.Delivery`."""

    id: strawberry.ID = described("What the message has as its idempotency key.")
    method: NotificationMethod = described("How it goes.")
    status: DeliveryStatus = described("Where it stands.")
    attempts: int = described("How often it was tried.")
    last_error: str | None = described("Why the last attempt failed.")
    updated_at: datetime = described("When that was.")


@strawberry.type(description="A fire of an alert, kept for 90 days; or an alarm of the system, told to admins.")
class AlertEvent:
    """As `db.alerts.AlertEvent`."""

    id: strawberry.ID = described("What it is known by.")
    alert: Alert | None = described("As it stands now; null for an alarm of the system.")
    message: str = described("What has happened, in a sentence.")
    fired_at: datetime = described("When it fired.")
    value: float | None = described("What was measured; null for an alarm of the system.")
    quote: Quote | None = described("The tick that it fired on; null where it was a bar.")
    deliveries: list[Delivery] = described("One for each method; WEB is delivered with the event itself.")


@strawberry.type(description="A page's entry.")
class AlertEventEdge:
    """As `resolvers.alerts.AlertEventEdge`."""

    cursor: str = described("Give it as `after` to continue behind this entry.")
    node: AlertEvent = described("The event.")


@strawberry.type(description="A page of events, the newest first.")
class AlertEventConnection:
    """As `resolvers.alerts.AlertEventConnection`."""

    edges: list[AlertEventEdge] = described("The events, each with its cursor.")
    page_info: PageInfo = described("Where the page stands.")
