"""Alerts: made, changed and forgotten by the user whose they are, and what became of them."""

import base64
import binascii
import math
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from urllib.parse import urlsplit
from uuid import UUID

import strawberry
from strawberry.types import Info

import resolvers.enums  # noqa: F401 - they are marked before the input below is made of them
from db.alerts import Alert, AlertEvent, AlertTerms
from db.users import Preferences
from errors import (
    AlertNotFound,
    InvalidCursor,
    InvalidLimit,
    InvalidParameter,
    InvalidPeriod,
    LicenceForbids,
    NotificationRefused,
    RequestError,
    SmartFinError,
)
from market import AlertMetric, AlertOperator, Interval, Quote, Symbol
from people import NotificationMethod, Tier
from resolvers.arguments import Active, After, First
from resolvers.assets import MAX_PAGE, PageInfo
from resolvers.measures import INDICATORS, indicator_call
from resolvers.quotes import current_quotes
from resolvers.symbols import checked_symbol
from resolvers.viewers import signed_in
from resolvers.world import Context, World

LONGEST_COOLDOWN_S: Final = 366 * 86_400
LEAST_MAIL_COOLDOWN_S: Final = 60
MAX_URL_LENGTH: Final = 2_000

_PHONE: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_PERIODIC: Final = frozenset({AlertMetric.SMA, AlertMetric.EMA, AlertMetric.RSI, AlertMetric.BOLLINGER_PERCENT_B})
_RANGES: Final = {
    AlertMetric.PRICE: (0.0, math.inf, "above 0"),
    AlertMetric.CHANGE_PERCENT: (-100.0, math.inf, "above -100"),
    AlertMetric.VOLUME: (-1.0, math.inf, "0 or more"),
    AlertMetric.SMA: (0.0, math.inf, "above 0"),
    AlertMetric.EMA: (0.0, math.inf, "above 0"),
    AlertMetric.RSI: (0.0, 100.0, "between 0 and 100"),
}
"""What a threshold has to lie between, both excluded; others may be any number."""


@strawberry.input(description="What to be told of, and how.")
class AlertInput:
    """As `db.alerts.AlertTerms`, before it is checked."""

    symbol: Symbol = strawberry.field(description="What is watched.")
    operator: AlertOperator = strawberry.field(description="When it fires.")
    threshold: float = strawberry.field(description="What the value is compared with, in the unit of `metric`.")
    metric: AlertMetric = strawberry.field(
        default=AlertMetric.PRICE, description="All but PRICE, CHANGE_PERCENT and VOLUME need an `interval`."
    )
    period: int | None = strawberry.field(
        default=None, description="Bars of the SMA (20), EMA (20), RSI (14) or Bollinger bands (20)."
    )
    interval: Interval | None = strawberry.field(
        default=None,
        description="Watch final bars of this length instead of ticks: their close, change from the bar before, volume,"
        " or indicator.",
    )
    cooldown_seconds: int | None = strawberry.field(
        default=None,
        description="Seconds before it may fire again, at least 1, and 60 with EMAIL or SMS; null: it fires once, and"
        " is inactive then.",
    )
    notification_methods: list[NotificationMethod] | None = strawberry.field(
        default=None,
        description="If left out, those of your preferences, WEBHOOK only with a `webhookUrl` and SMS with a `phone`;"
        " WEB where that leaves none. Every fire is in `alertEvents` whatever they are.",
    )
    webhook_url: str | None = strawberry.field(
        default=None, description="Where WEBHOOK posts to; see `webhookSecret`. Not within private networks."
    )
    phone: str | None = strawberry.field(default=None, description="Where SMS goes, as +14155550100.")
    is_active: bool = strawberry.field(default=True, description="False: kept, and not watched.")


@dataclass(frozen=True, slots=True)
class AlertEventEdge:
    """An event in a page, with the cursor that continues after it."""

    cursor: str
    node: AlertEvent


@dataclass(frozen=True, slots=True)
class AlertEventConnection:
    """A page of events, as Relay defines it."""

    edges: Sequence[AlertEventEdge]
    page_info: PageInfo


_Terms = Annotated[AlertInput, strawberry.argument(description="All of its terms.")]
_AlertId = Annotated[strawberry.ID, strawberry.argument(name="id", description="That of one of your alerts.")]


async def create_alert(info: Info[Context, None], input: _Terms) -> Alert:  # noqa: A002 - the name in the contract
    """A new alert of the viewer. Raises TooManyAlerts, LicenceForbids, and as `_terms` does."""
    user_id, world = signed_in(info.context), info.context.world
    terms, measured = await _terms(world, user_id, input)
    await _check_licence(world, user_id, terms)
    alert = await world.alerts.create(user_id, terms, measured, world.alerts_per_user)
    await world.alert_bus.tell_change()
    return alert


async def update_alert(
    info: Info[Context, None],
    alert_id: _AlertId,
    input: _Terms,  # noqa: A002 - the name in the contract
) -> Alert:
    """One of the viewer's alerts with other terms, armed anew. Raises AlertNotFound, and as `create_alert`."""
    user_id, world = signed_in(info.context), info.context.world
    known = _alert_id(alert_id)
    terms, measured = await _terms(world, user_id, input)
    await _check_licence(world, user_id, terms)
    alert = await world.alerts.update(user_id, known, terms, measured)
    await world.alert_bus.tell_change()
    return alert


async def delete_alert(info: Info[Context, None], alert_id: _AlertId) -> str:
    """The id of the alert that is gone, with its events. Raises AlertNotFound."""
    await info.context.world.alerts.delete(signed_in(info.context), _alert_id(alert_id))
    return alert_id


async def alerts(info: Info[Context, None], active: Active = None) -> list[Alert]:
    """The viewer's alerts, the newest first."""
    return await info.context.world.alerts.alerts(signed_in(info.context), active=active)


async def alert_events(info: Info[Context, None], first: First = 20, after: After = None) -> AlertEventConnection:
    """A page of what the viewer's alerts did, the newest first."""
    user_id = signed_in(info.context)
    if not 1 <= first <= MAX_PAGE:
        raise InvalidLimit(f"first: {first} is outside 1 to {MAX_PAGE}.", minimum=1, maximum=MAX_PAGE)
    behind = _place(after) if after else None
    found = await info.context.world.alerts.events(user_id, first + 1, behind)
    edges = [AlertEventEdge(_cursor(event), event) for event in found[:first]]
    return AlertEventConnection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=len(found) > first,
            has_previous_page=behind is not None,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


async def live_alerts(info: Info[Context, None]) -> AsyncGenerator[AlertEvent, None]:
    """Each event of the viewer from now on."""
    return await info.context.world.alert_feed.events(signed_in(info.context))


async def webhook_secret(info: Info[Context, None]) -> str:
    """What the viewer's webhooks are signed with."""
    return info.context.world.webhook_secrets.secret_of(signed_in(info.context))


async def _terms(world: World, user_id: UUID, asked: AlertInput) -> tuple[AlertTerms, float | None]:
    """What is asked for, checked, and what a tick measures now; None where that cannot be told.

    Raises InvalidSymbol, SymbolNotFound, InvalidParameter, InvalidPeriod and NotificationRefused.
    """
    symbol = checked_symbol(asked.symbol)
    _check_threshold(asked)
    methods = _methods(world, asked, await world.users.preferences(user_id))
    _check_cooldown(asked, methods)
    terms = AlertTerms(
        symbol=symbol,
        metric=asked.metric,
        operator=asked.operator,
        threshold=asked.threshold,
        period=_period(asked),
        interval=asked.interval,
        cooldown_seconds=asked.cooldown_seconds,
        notification_methods=methods,
        webhook_url=asked.webhook_url,
        phone=asked.phone,
        is_active=asked.is_active,
    )
    (quote,) = await current_quotes(world, [symbol])
    if isinstance(quote, RequestError):
        raise quote
    if isinstance(quote, SmartFinError) or asked.interval is not None:
        return terms, None
    return terms, _measured(asked.metric, quote)


def may_be_told(world: World, alert: Alert) -> bool:
    """Whether nobody may tell of what the alert watches whom a licence keeps from its user's tier, or makes late.

    An alert watches all that is told of its symbol as it comes, whoever tells it, so it is all or nothing.
    """
    return _withheld(world, alert.tier, alert) is None


def _withheld(world: World, tier: Tier, terms: AlertTerms) -> str | None:
    licence = world.licences.get(tier)
    return world.router.withheld(terms.symbol, licence, bars=terms.interval is not None) if licence else None


async def _check_licence(world: World, user_id: UUID, terms: AlertTerms) -> None:
    """Raises LicenceForbids. The tier of the user's row counts: nobody shows a token when an alert fires."""
    if not world.licences:
        return
    user = await world.users.get(user_id)
    source = user and _withheld(world, user.tier, terms)
    if source:
        raise LicenceForbids(
            f"What {source} says of {terms.symbol} is not, or not at once, for your tier: no alerts on it.",
            symbol=terms.symbol,
            source=source,
        )


def _measured(metric: AlertMetric, quote: Quote) -> float | None:
    match metric:
        case AlertMetric.PRICE:
            return quote.price
        case AlertMetric.CHANGE_PERCENT:
            return quote.change_percent
        case _:
            return quote.volume


def _check_threshold(asked: AlertInput) -> None:
    low, high, told = _RANGES.get(asked.metric, (-math.inf, math.inf, "a number"))
    if not (math.isfinite(asked.threshold) and low < asked.threshold < high):
        raise InvalidParameter(f"threshold: {asked.threshold:g} is never met by {asked.metric}; give one {told}.")


def _period(asked: AlertInput) -> int | None:
    """The period, that of the indicator where none is given; None for what has none."""
    if asked.metric in INDICATORS and asked.interval is None:
        raise InvalidParameter(f"interval: {asked.metric} is computed of bars; say of which, D1 for one.")
    if asked.metric not in _PERIODIC:
        if asked.period is not None:
            raise InvalidPeriod(f"period: {asked.metric} takes none; leave it out.")
        return None
    return int(dict(indicator_call(asked.metric, asked.period).arguments)["period"])


def _check_cooldown(asked: AlertInput, methods: Sequence[NotificationMethod]) -> None:
    if asked.cooldown_seconds is None:
        return
    is_slow = bool({NotificationMethod.EMAIL, NotificationMethod.SMS}.intersection(methods))
    least = LEAST_MAIL_COOLDOWN_S if is_slow else 1
    if not least <= asked.cooldown_seconds <= LONGEST_COOLDOWN_S:
        raise InvalidParameter(
            f"cooldownSeconds: {asked.cooldown_seconds} is outside {least} to {LONGEST_COOLDOWN_S}"
            f"{' with EMAIL or SMS' if is_slow else ''}; null fires once.",
            minimum=least,
            maximum=LONGEST_COOLDOWN_S,
        )


def _methods(world: World, asked: AlertInput, preferences: Preferences) -> list[NotificationMethod]:
    methods = list(dict.fromkeys(asked.notification_methods or _preferred(world, asked, preferences)))
    for method in methods:
        if method not in world.notification_methods:
            raise NotificationRefused(f"notificationMethods: {method} is not set up on this server.")
    if (NotificationMethod.WEBHOOK in methods) != (asked.webhook_url is not None):
        raise InvalidParameter("webhookUrl: it goes with the method WEBHOOK, and WEBHOOK with it.")
    if (NotificationMethod.SMS in methods) != (asked.phone is not None):
        raise InvalidParameter("phone: it goes with the method SMS, and SMS with it.")
    if asked.webhook_url is not None and not _is_web_url(asked.webhook_url):
        raise InvalidParameter("webhookUrl: give https://host/path or http://host/path, without a password.")
    if asked.phone is not None and not _PHONE.fullmatch(asked.phone):
        raise InvalidParameter("phone: write it with its country, as +14155550100.")
    return methods


def _preferred(world: World, asked: AlertInput, preferences: Preferences) -> list[NotificationMethod]:
    """The user's ways of being told that are set up here and know where to; WEB where there is none."""
    targets = {NotificationMethod.WEBHOOK: asked.webhook_url, NotificationMethod.SMS: asked.phone}
    able = [method for method in preferences.notification_methods if targets.get(method, "") is not None]
    return [method for method in able if method in world.notification_methods] or [NotificationMethod.WEB]


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        len(text) <= MAX_URL_LENGTH
        and text.isascii()
        and text.isprintable()
        and " " not in text
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
    )


def _alert_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise AlertNotFound(f"You have no alert {text[:60]}.") from None


def _cursor(event: AlertEvent) -> str:
    return base64.urlsafe_b64encode(f"event:{event.recorded_at.isoformat()}:{event.id}".encode()).decode()


def _place(cursor: str) -> tuple[datetime, UUID]:
    try:
        kind, _, rest = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        at, _, event_id = rest.rpartition(":")
        if kind != "event":
            raise ValueError(kind)
        place = datetime.fromisoformat(at), UUID(event_id)
    except (binascii.Error, ValueError):
        raise InvalidCursor(f'after: "{cursor[:60]}" is no cursor of this server; take endCursor of a page.') from None
    if place[0].tzinfo is None:
        raise InvalidCursor(f'after: "{cursor[:60]}" is no cursor of this server; take endCursor of a page.')
    return place
