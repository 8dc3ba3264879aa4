"""Which pages may ask from a browser: the server's own, and those of the origins that are allowed."""

from collections.abc import Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

PREFLIGHT_S: Final = 600
"""How long a browser remembers what it may send; none remembers for much longer."""


def origin_check(origins: Collection[str]) -> Callable[[str | None, str | None], bool]:
    """Whether a page of an origin may connect to a host: its own, and those allowed; who sends none is no browser."""

    def is_allowed(origin: str | None, host: str | None) -> bool:
        if origin is None or "*" in origins or origin.lower() in origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and host is not None and parts.netloc.lower() == host.lower()

    return is_allowed


def cors(origins: Collection[str]) -> list[Middleware]:
    """What tells browsers that pages of the origins may ask over HTTP; nothing where there are none.

    Without credentials: who asks is told by a header that the page sets itself, never by a cookie.
    """
    if not origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=["*"],
            max_age=PREFLIGHT_S,
        )
    ]
