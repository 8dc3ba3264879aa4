"""Every error that a caller can see, as one tree.

    SmartFinError
    ├── RequestError            what the caller can fix
    │   ├── InvalidSymbol         INVALID_SYMBOL
    │   ├── TooManySymbols        TOO_MANY_SYMBOLS
    │   ├── SymbolNotFound        SYMBOL_NOT_FOUND
    │   ├── InvalidWindow         INVALID_WINDOW
    │   ├── InvalidLimit          INVALID_LIMIT
    │   ├── InvalidPeriod         INVALID_PERIOD
    │   ├── InvalidParameter      INVALID_PARAMETER
    │   ├── InvalidCursor         INVALID_CURSOR
    │   ├── UnsupportedInterval   UNSUPPORTED_INTERVAL
    │   └── NoData                NO_DATA
    ├── SourceError             what upstream did
    │   └── SourceUnavailable     SOURCE_UNAVAILABLE
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
    """What upstream did."""

    code = "SOURCE_ERROR"


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
