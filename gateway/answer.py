"""An answer to a request over HTTP, and how it is sent, whichever door it leaves by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex

from starlette.types import Send

from db.spending import WINDOW_S, Spent
from errors import (
    BodyTooLarge,
    Forbidden,
    InternalError,
    LicenceForbids,
    MethodNotAllowed,
    NoData,
    NotAcceptable,
    NothingHere,
    RateLimited,
    SmartFinError,
    SourceUnavailable,
    StoreUnavailable,
    SymbolNotFound,
    TookTooLong,
    TooManyAttempts,
    Unauthenticated,
    UnsupportedMediaType,
)
from gateway.caching import NOT_KEPT, Headers
from gateway.compression import compressed
from gateway.negotiation import takes_gzip

_STATUSES = {
    kind.code: status
    for kind, status in (
        (Unauthenticated, 401),
        (Forbidden, 403),
        (LicenceForbids, 403),
        (NothingHere, 404),
        (SymbolNotFound, 404),
        (NoData, 404),
        (MethodNotAllowed, 405),
        (NotAcceptable, 406),
        (BodyTooLarge, 413),
        (RateLimited, 429),
        (TooManyAttempts, 429),
        (UnsupportedMediaType, 415),
        (InternalError, 500),
        (SourceUnavailable, 503),
        (StoreUnavailable, 503),
        (TookTooLong, 504),
    )
}
CHALLENGE = (b"www-authenticate", b'Bearer error="invalid_token"')
"""What goes with 401 (RFC 6750, 3)."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Answer:
    """What is sent; nobody else may keep it unless its headers say so."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Headers = field(default_factory=lambda: [NOT_KEPT])
    is_compressed: bool = False


def status_of(code: str, otherwise: int = 400) -> int:
    """The status that tells of an error by its code."""
    return _STATUSES.get(code, otherwise)


def request_id_of(asked: Mapping[bytes, bytes]) -> str:
    """The caller's own, so that logs of both ends can be laid side by side, if it is fit to be logged."""
    given = asked.get(b"x-request-id")
    return given.decode() if given and _REQUEST_ID.fullmatch(given) else token_hex(16)


def budget_headers(spent: Spent | None) -> Headers:
    """What is left of the viewer's budget, and until when (draft-ietf-httpapi-ratelimit-headers)."""
    if spent is None:
        return []
    return [
        (b"ratelimit-policy", b'"cost";q=%d;w=%d' % (spent.limit, WINDOW_S)),
        (b"ratelimit", b'"cost";r=%d;t=%d' % (spent.remaining, spent.resets_in_s)),
    ]


def refusal_headers(error: SmartFinError) -> Headers:
    """What goes with the status of an error."""
    if isinstance(error, Unauthenticated):
        return [CHALLENGE]
    if isinstance(error, RateLimited | TooManyAttempts):
        return [(b"retry-after", b"%d" % error.details["retryAfter"])]
    return []


async def send_answer(
    send: Send, answer: Answer, asked: Mapping[bytes, bytes], request_id: str, compress_from_bytes: int
) -> None:
    """Send the answer to a request with these headers, compressed where that is worth it."""
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"x-request-id", request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        *answer.headers,
    ]
    body = answer.body
    if len(body) >= compress_from_bytes and not answer.is_compressed and takes_gzip(asked.get(b"accept-encoding")):
        body = compressed(body)
        headers.append((b"content-encoding", b"gzip"))
    if answer.status not in {204, 304}:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
