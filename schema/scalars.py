"""The scalars of the contract, and how a field names its resolver."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from typing import Any, Final, NewType

import orjson
import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from errors import InvalidSymbol, InvalidWindow
from market import Symbol

Timestamp = NewType("Timestamp", int)

ASK: Final = "ask"
"""In a field's metadata: what makes of the object and the arguments the question that the object answers."""


def resolved_by(resolver: Callable[..., Any], description: str) -> Any:
    """A field that `resolver` answers; the field's own annotation gives its GraphQL type."""
    return strawberry.field(resolver=resolver, description=description)


def described(description: str) -> Any:
    """A field that the object has under its own name."""
    return strawberry.field(description=description)


def asked_by(ask: Callable[..., Any], description: str) -> Any:
    """A field that its object answers together with all others of this kind that are selected.

    `ask` takes the object as `root` and the arguments, and returns the question; `answers` of the object takes a list
    of questions and returns as many answers.
    """

    @wraps(ask)
    async def answer(root: Any, **arguments: Any) -> Any:
        (answered,) = await root.answers([ask(root, **arguments)])
        return answered

    return strawberry.field(resolver=answer, description=description, metadata={ASK: ask})


def watched_by(resolver: Callable[..., Any], description: str) -> Any:
    """A field of the subscription root, whose events `resolver` yields."""
    return strawberry.subscription(resolver=resolver, description=description)


def _parse_symbol(value: object) -> str:
    # Its spelling is checked where it is resolved: one malformed symbol must not blank the others.
    if not isinstance(value, str):
        raise GraphQLError(
            "A Symbol is a string such as AAPL, BRK.B or BTC-USD.", extensions={"code": InvalidSymbol.code}
        )
    return value


def parse_instant(value: object) -> datetime:
    """The instant that a text of RFC 3339 says, a date its midnight in UTC. Raises GraphQLError."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is not None and at.tzinfo is None and isinstance(value, str) and len(value) == len("2000-03-01"):
        at = at.replace(tzinfo=UTC)
    if at is None or at.tzinfo is None:
        raise GraphQLError(
            f"{value!r} is no instant; write 2000-03-01T14:30:00Z, or 2000-03-01 for its midnight in UTC.",
            extensions={"code": InvalidWindow.code},
        )
    return at.astimezone(UTC)


def _instant_text(at: datetime) -> str:
    in_utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return orjson.dumps(in_utc, option=orjson.OPT_UTC_Z)[1:-1].decode()  # as isoformat, in a third of its time


SCALARS: dict[object, ScalarDefinition] = {
    Symbol: strawberry.scalar(
        name="Symbol",
        description="A ticker: AAPL, BRK.B, 0700.HK, BTC-USD, EURUSD=X, ^GSPC. Upper-cased; 1-20 of A-Z 0-9 . _ - = ^",
        serialize=str,
        parse_value=_parse_symbol,
    ),
    Timestamp: strawberry.scalar(
        name="Timestamp",
        description="Seconds since 1970-01-01T00:00Z, what chart libraries take as time.",
        serialize=int,
        parse_value=int,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An instant in UTC, RFC 3339 with Z. As an argument any offset does; a date means its midnight.",
        serialize=_instant_text,
        parse_value=parse_instant,
    ),
    date: strawberry.scalar(
        name="Date",
        description="A calendar date: 2000-03-01.",
        serialize=date.isoformat,
        parse_value=date.fromisoformat,
    ),
}
