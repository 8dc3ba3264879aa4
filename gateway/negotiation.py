"""What a client takes, by `Accept` and `Accept-Encoding` (RFC 9110, 12.5), and what it sends, by `Content-Type`."""

from collections.abc import Sequence
from functools import lru_cache

JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"

_ANSWERS = (EVENT_STREAM, JSON, RESPONSE_JSON)

_READ_BYTES = 512
"""No client has more to say; what was read is kept, so it must be small."""


def answer_type(accept: bytes | None) -> str | None:
    """The media type of the answer, the one asked for by name before one that a wildcard lets in; None: none will do.

    Events only for who names them, and neither kind of JSON as well.

    JSON where the client does not say, as GraphQL over HTTP has it for clients from before its own media type.
    """
    return JSON if accept is None else _answer_type(accept[:_READ_BYTES])


def best_type(accept: bytes | None, offers: tuple[str, ...]) -> str | None:
    """Of media types that we can give, the one that suits best, the first among equals; None: none will do."""
    return offers[0] if accept is None else _best_type(accept[:_READ_BYTES], offers)


def wants_page(accept: bytes | None) -> bool:
    """Whether a browser navigates here: it names HTML, which no GraphQL client does."""
    return accept is not None and _wants_page(accept[:_READ_BYTES])


def takes_gzip(accept_encoding: bytes | None) -> bool:
    """Whether the answer may be sent as gzip."""
    return accept_encoding is not None and _takes_gzip(accept_encoding[:_READ_BYTES])


def is_json(content_type: bytes | None) -> bool:
    """Whether a body is JSON in UTF-8, the encoding where none is named."""
    return content_type is not None and _is_json(content_type[:_READ_BYTES])


@lru_cache(256)
def _is_json(content_type: bytes) -> bool:
    kind, *parameters = content_type.decode("latin-1").lower().replace(" ", "").split(";")
    charsets = [one.removeprefix("charset=").strip('"') for one in parameters if one.startswith("charset=")]
    return kind == JSON and charsets in ([], ["utf-8"], ["utf8"])


@lru_cache(256)
def _answer_type(accept: bytes) -> str | None:
    ranges = _ranges(accept)
    best: tuple[float, int, int] = (0, 0, 0)
    found = None
    for preference, answer in enumerate(_ANSWERS):
        exactness, quality = _quality(answer, ranges)
        if answer == EVENT_STREAM and exactness < _EXACT:
            continue
        # By a wildcard both will do, and the one that every client reads is given; by name, the newer one.
        rank = (quality, exactness, preference if exactness == _EXACT else -preference)
        if quality and rank > best:
            best, found = rank, answer
    return found


@lru_cache(256)
def _best_type(accept: bytes, offers: tuple[str, ...]) -> str | None:
    ranges = _ranges(accept)
    named = [(offer, *_quality(offer, ranges)) for offer in offers]
    best, _, quality = max(named, key=lambda one: (one[2], one[1]))  # the first of several
    return best if quality else None


@lru_cache(256)
def _wants_page(accept: bytes) -> bool:
    exactness, quality = _quality(HTML, _ranges(accept))
    return exactness == _EXACT and quality > 0


@lru_cache(256)
def _takes_gzip(accept_encoding: bytes) -> bool:
    qualities = dict(_ranges(accept_encoding))
    return qualities.get("gzip", qualities.get("*", 0)) > 0


_EXACT = 2


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> tuple[int, float]:
    """How exactly the most exact range names the type, and the quality that it gives it."""
    wider = ["*/*", media_type.partition("/")[0] + "/*", media_type]
    return max(((wider.index(name), quality) for name, quality in ranges if name in wider), default=(0, 0.0))


def _ranges(header: bytes) -> list[tuple[str, float]]:
    """The members of a list with their qualities; one that cannot be read counts as refused."""
    found = []
    for member in header.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in member.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        found.append((name, quality))
    return found
