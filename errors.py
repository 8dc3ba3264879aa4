"""Every error that a caller can see, as one tree.

    SmartFinError
    ├── RequestError            what the caller can fix
    │   ├── InvalidSymbol         INVALID_SYMBOL
    │   ├── TooManySymbols        TOO_MANY_SYMBOLS
    │   ├── SymbolNotFound        SYMBOL_NOT_FOUND
    │   ├── MarketNotFound        MARKET_NOT_FOUND
    │   ├── InvalidWindow         INVALID_WINDOW
    │   ├── InvalidLimit          INVALID_LIMIT
    │   ├── InvalidPeriod         INVALID_PERIOD
    │   ├── InvalidParameter      INVALID_PARAMETER
    │   ├── InvalidCursor         INVALID_CURSOR
    │   ├── UnsupportedInterval   UNSUPPORTED_INTERVAL
    │   └── NoData                NO_DATA
    ├── SourceError             what upstream did
    │   ├── SourceUnreachable     SOURCE_UNREACHABLE  refused, reset, no such host, TLS
    │   ├── SourceTimeout         SOURCE_TIMEOUT
    │   ├── SourceFault           SOURCE_FAULT        a fault of its own: 5xx, «try again later»
    │   ├── SourceLimited         SOURCE_LIMITED      asked too often, or the quota is spent
    │   ├── SourceRefused         SOURCE_REFUSED      wrong key, not in the plan, barred here
    │   ├── SourceBadAnswer       SOURCE_BAD_ANSWER   not what it should be: HTML, cut off, another shape
    │   ├── SourceCannot          SOURCE_CANNOT       it does not have this: window, interval, kind of asset
    │   └── SourceUnavailable     SOURCE_UNAVAILABLE  every source failed
    ├── StoreUnavailable        STORE_UNAVAILABLE   PostgreSQL or Redis does not answer
    ├── InternalError           INTERNAL_ERROR      anything unexpected, masked
    └── StartError              START_FAILED        the process cannot start or a command cannot run

A message names what, which value, and what to do.
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class SmartFinError(Exception):
    """An error with a `code` that clients can branch on; `details` join it in GraphQL's `extensions`."""

    code: ClassVar[str]

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details

    @property
    def extensions(self) -> dict[str, Any]:
        """What graphql-core copies into the `extensions` of the answer."""
        return {"code": self.code, **self.details}


class RequestError(SmartFinError):
    """What the caller can fix."""


class InvalidSymbol(RequestError):
    """The text is no symbol."""

    code = "INVALID_SYMBOL"


class TooManySymbols(RequestError):
    """More symbols than one question may name."""

    code = "TOO_MANY_SYMBOLS"


class SymbolNotFound(RequestError):
    """No source and no table knows this symbol."""

    code = "SYMBOL_NOT_FOUND"


class MarketNotFound(RequestError):
    """There is no market of this code."""

    code = "MARKET_NOT_FOUND"


class InvalidWindow(RequestError):
    """The two ends of a window do not fit together, or one is not an instant."""

    code = "INVALID_WINDOW"


class InvalidLimit(RequestError):
    """A count of things is outside what may be asked at once."""

    code = "INVALID_LIMIT"


class InvalidPeriod(RequestError):
    """An indicator's period is outside its range."""

    code = "INVALID_PERIOD"


class InvalidParameter(RequestError):
    """Another argument is outside its range."""

    code = "INVALID_PARAMETER"


class InvalidCursor(RequestError):
    """A cursor that this server did not hand out."""

    code = "INVALID_CURSOR"


class UnsupportedInterval(RequestError):
    """No source has bars of this interval for this symbol."""

    code = "UNSUPPORTED_INTERVAL"


class NoData(RequestError):
    """The window holds no bars."""

    code = "NO_DATA"


class SourceError(SmartFinError):
    """What upstream did. Its message reaches callers, so it never holds a key or a URL with one."""


class SourceUnreachable(SourceError):
    """No connection, or it broke; asking again is safe."""

    code = "SOURCE_UNREACHABLE"


class SourceTimeout(SourceError):
    """No answer in time."""

    code = "SOURCE_TIMEOUT"


class SourceFault(SourceError):
    """A fault of its own; asking again later is safe."""

    code = "SOURCE_FAULT"


class SourceLimited(SourceError):
    """It was asked too often, or a quota is spent; `retry_after_s` is None where nobody says how long."""

    code = "SOURCE_LIMITED"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SourceRefused(SourceError):
    """It will not answer us: wrong key, not in the plan, barred here. Asking again is useless."""

    code = "SOURCE_REFUSED"


class SourceBadAnswer(SourceError):
    """The answer is not what it should be; the log has it."""

    code = "SOURCE_BAD_ANSWER"


class SourceCannot(SourceError):
    """It is well, but does not have what was asked for."""

    code = "SOURCE_CANNOT"


class SourceUnavailable(SourceError):
    """Nobody could answer; `skipped` (`sources` in the answer) has what each source said."""

    code = "SOURCE_UNAVAILABLE"

    def __init__(self, message: str, *, skipped: Sequence[Any] = (), **details: Any) -> None:
        super().__init__(message, **details)
        self.skipped = skipped

    @property
    def extensions(self) -> dict[str, Any]:
        """The code, the details, and each source with its code and message."""
        sources = [{"source": skip.source, "code": skip.code, "message": skip.message} for skip in self.skipped]
        return {**super().extensions, "sources": sources}


class StoreUnavailable(SmartFinError):
    """PostgreSQL or Redis does not answer, and the question needs it."""

    code = "STORE_UNAVAILABLE"


class InternalError(SmartFinError):
    """Anything unexpected; the log holds the whole of it under the request id."""

    code = "INTERNAL_ERROR"


class StartError(SmartFinError):
    """The process cannot start, or a command cannot run; the message says what to change."""

    code = "START_FAILED"
