"""Every error that a caller can see, as one tree.

    SmartFinError
    ├── RequestError            what the caller can fix
    │   ├── InvalidSymbol         INVALID_SYMBOL
    │   ├── InvalidSymbols        INVALID_SYMBOLS
    │   ├── TooManySymbols        TOO_MANY_SYMBOLS
    │   ├── SymbolNotFound        SYMBOL_NOT_FOUND
    │   ├── MarketNotFound        MARKET_NOT_FOUND
    │   ├── InvalidInterval       INVALID_INTERVAL
    │   ├── InvalidWindow         INVALID_WINDOW
    │   ├── InvalidFromDate       INVALID_FROM_DATE
    │   ├── InvalidToDate         INVALID_TO_DATE
    │   ├── InvalidLimit          INVALID_LIMIT
    │   ├── InvalidPeriod         INVALID_PERIOD
    │   ├── InvalidParameter      INVALID_PARAMETER
    │   ├── MissingIndicators     MISSING_INDICATORS
    │   ├── UnknownIndicator      UNKNOWN_INDICATOR
    │   ├── InvalidCursor         INVALID_CURSOR
    │   ├── InvalidEmail          INVALID_EMAIL
    │   ├── InvalidPassword       INVALID_PASSWORD    too short or too long to be one
    │   ├── EmailTaken            EMAIL_TAKEN
    │   ├── TooManyJobs           TOO_MANY_JOBS
    │   ├── TooManyOperations     TOO_MANY_OPERATIONS
    │   ├── TooManyAlerts         TOO_MANY_ALERTS
    │   ├── AlertNotFound         ALERT_NOT_FOUND
    │   ├── TooManyWatchlists     TOO_MANY_WATCHLISTS
    │   ├── WatchlistNotFound     WATCHLIST_NOT_FOUND
    │   ├── NotificationRefused   NOTIFICATION_REFUSED
    │   ├── UnsupportedInterval   UNSUPPORTED_INTERVAL
    │   ├── NoData                NO_DATA
    │   ├── ProtocolError         how it was asked
    │   │   ├── MalformedRequest      MALFORMED_REQUEST
    │   │   ├── BatchRefused          BATCH_REFUSED
    │   │   ├── NothingHere           NOT_FOUND
    │   │   ├── MethodNotAllowed      METHOD_NOT_ALLOWED
    │   │   ├── NotAcceptable         NOT_ACCEPTABLE
    │   │   └── UnsupportedMediaType  UNSUPPORTED_MEDIA_TYPE
    │   ├── DocumentError         what the document says, or which it is
    │   │   ├── ParseFailed           GRAPHQL_PARSE_FAILED
    │   │   ├── ValidationFailed      GRAPHQL_VALIDATION_FAILED
    │   │   ├── InvalidVariables      INVALID_VARIABLES
    │   │   ├── OperationNotFound     OPERATION_NOT_FOUND
    │   │   ├── OperationNotServed    OPERATION_NOT_SERVED
    │   │   ├── IntrospectionDisabled INTROSPECTION_DISABLED
    │   │   ├── PersistedQueryNotFound PERSISTED_QUERY_NOT_FOUND
    │   │   ├── PersistedQueryMismatch PERSISTED_QUERY_MISMATCH
    │   │   ├── DocumentNotFound      DOCUMENT_NOT_FOUND
    │   │   └── DocumentNotAllowed    DOCUMENT_NOT_ALLOWED  only published documents are served
    │   └── LimitExceeded         how much was asked; `limit` in the details is the setting's value
    │       ├── BodyTooLarge          BODY_TOO_LARGE
    │       ├── DocumentTooLong       DOCUMENT_TOO_LONG
    │       ├── TooManyTokens         TOO_MANY_TOKENS
    │       ├── TooManyComments       TOO_MANY_COMMENTS
    │       ├── TooManyDirectives     TOO_MANY_DIRECTIVES
    │       ├── TooDeep               DOCUMENT_TOO_DEEP
    │       ├── TooManyFields         TOO_MANY_FIELDS
    │       ├── TooManyRootFields     TOO_MANY_ROOT_FIELDS
    │       ├── TooManyAliases        TOO_MANY_ALIASES
    │       ├── TooManyRepeats        TOO_MANY_REPEATS
    │       ├── VariablesTooLarge     VARIABLES_TOO_LARGE
    │       ├── ListTooLong           LIST_TOO_LONG
    │       ├── TooCostly             OPERATION_TOO_COSTLY
    │       └── TookTooLong           REQUEST_TIMEOUT
    ├── AccessError             who is asking
    │   ├── Unauthenticated       UNAUTHENTICATED
    │   ├── WrongCredentials      WRONG_CREDENTIALS   e-mail address or password; it never says which
    │   ├── TooManyAttempts       TOO_MANY_ATTEMPTS   `retryAfter` in the details, in seconds
    │   ├── RateLimited           RATE_LIMITED        likewise
    │   ├── Forbidden             FORBIDDEN
    │   └── LicenceForbids        LICENCE_FORBIDS     a source's prices are not, or not yet, for this tier
    ├── SourceError             what upstream did
    │   ├── SourceUnreachable     SOURCE_UNREACHABLE  refused, reset, no such host, TLS
    │   ├── SourceTimeout         SOURCE_TIMEOUT
    │   ├── SourceFault           SOURCE_FAULT        a fault of its own: 5xx, «try again later»
    │   ├── SourceLimited         SOURCE_LIMITED      asked too often, or the quota is spent
    │   ├── SourceRefused         SOURCE_REFUSED      wrong key, not in the plan, barred here
    │   ├── SourceBadAnswer       SOURCE_BAD_ANSWER   not what it should be: HTML, cut off, another shape
    │   ├── SourceCannot          SOURCE_CANNOT       it does not have this: window, interval, kind of asset
    │   └── SourceUnavailable     SOURCE_UNAVAILABLE  every source failed
    ├── StoreUnavailable        STORE_UNAVAILABLE   PostgreSQL, Redis or the archive does not answer
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


class InvalidSymbols(RequestError):
    """No symbol is named where at least one must be."""

    code = "INVALID_SYMBOLS"


class TooManySymbols(RequestError):
    """More symbols than one question may name, or than a client may watch on one connection."""

    code = "TOO_MANY_SYMBOLS"


class SymbolNotFound(RequestError):
    """No source and no table knows this symbol."""

    code = "SYMBOL_NOT_FOUND"


class MarketNotFound(RequestError):
    """There is no market of this code."""

    code = "MARKET_NOT_FOUND"


class InvalidInterval(RequestError):
    """There are no bars of such a length."""

    code = "INVALID_INTERVAL"


class InvalidWindow(RequestError):
    """The two ends of a window do not fit together, or one is not an instant."""

    code = "INVALID_WINDOW"


class InvalidFromDate(RequestError):
    """The beginning of a window is not an instant."""

    code = "INVALID_FROM_DATE"


class InvalidToDate(RequestError):
    """The end of a window is not an instant."""

    code = "INVALID_TO_DATE"


class InvalidLimit(RequestError):
    """A count of things is outside what may be asked at once."""

    code = "INVALID_LIMIT"


class InvalidPeriod(RequestError):
    """An indicator's period is outside its range."""

    code = "INVALID_PERIOD"


class InvalidParameter(RequestError):
    """Another argument is outside its range."""

    code = "INVALID_PARAMETER"


class MissingIndicators(RequestError):
    """No indicator is named where at least one must be."""

    code = "MISSING_INDICATORS"


class UnknownIndicator(RequestError):
    """There is no indicator of this name."""

    code = "UNKNOWN_INDICATOR"


class InvalidCursor(RequestError):
    """A cursor that this server did not hand out."""

    code = "INVALID_CURSOR"


class InvalidEmail(RequestError):
    """The text is no e-mail address."""

    code = "INVALID_EMAIL"


class InvalidPassword(RequestError):
    """Too short or too long to be a password."""

    code = "INVALID_PASSWORD"


class EmailTaken(RequestError):
    """The address has an account."""

    code = "EMAIL_TAKEN"


class TooManyJobs(RequestError):
    """As many jobs wait as may."""

    code = "TOO_MANY_JOBS"


class TooManyOperations(RequestError):
    """More operations under way than a caller may have: on one WebSocket, or as event streams."""

    code = "TOO_MANY_OPERATIONS"


class TooManyAlerts(RequestError):
    """As many alerts as one user may have."""

    code = "TOO_MANY_ALERTS"


class AlertNotFound(RequestError):
    """The viewer has no alert of this id."""

    code = "ALERT_NOT_FOUND"


class TooManyWatchlists(RequestError):
    """As many watchlists as one user may have."""

    code = "TOO_MANY_WATCHLISTS"


class WatchlistNotFound(RequestError):
    """The viewer has no watchlist of this id."""

    code = "WATCHLIST_NOT_FOUND"


class NotificationRefused(RequestError):
    """A way of being told that is not set up here, or that leads where nothing is sent."""

    code = "NOTIFICATION_REFUSED"


class UnsupportedInterval(RequestError):
    """No source has bars of this interval for this symbol."""

    code = "UNSUPPORTED_INTERVAL"


class NoData(RequestError):
    """The window holds no bars."""

    code = "NO_DATA"


class ProtocolError(RequestError):
    """A request that is not made as GraphQL over HTTP has it."""


class MalformedRequest(ProtocolError):
    """The body or a parameter is not what it must be."""

    code = "MALFORMED_REQUEST"


class BatchRefused(ProtocolError):
    """An array of requests, where one request is taken at a time."""

    code = "BATCH_REFUSED"


class NothingHere(ProtocolError):
    """A path that leads nowhere."""

    code = "NOT_FOUND"


class MethodNotAllowed(ProtocolError):
    """A method that is not served, or one that may not carry this operation."""

    code = "METHOD_NOT_ALLOWED"


class NotAcceptable(ProtocolError):
    """`Accept` names nothing that can be given."""

    code = "NOT_ACCEPTABLE"


class UnsupportedMediaType(ProtocolError):
    """The body is not called JSON in UTF-8. Forms are refused too, as any page may send them."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class DocumentError(RequestError):
    """A document that cannot be executed; `faults` are the entries of `errors` where it has more than one."""

    def __init__(self, message: str, faults: Sequence[dict[str, Any]] = (), **details: Any) -> None:
        super().__init__(message, **details)
        self.faults = faults


class ParseFailed(DocumentError):
    """It is not GraphQL."""

    code = "GRAPHQL_PARSE_FAILED"


class ValidationFailed(DocumentError):
    """It does not fit the schema."""

    code = "GRAPHQL_VALIDATION_FAILED"


class InvalidVariables(DocumentError):
    """The variables do not fit the operation."""

    code = "INVALID_VARIABLES"


class OperationNotFound(DocumentError):
    """`operationName` names no operation of it, or is missing where it has several."""

    code = "OPERATION_NOT_FOUND"


class OperationNotServed(DocumentError):
    """An operation of a kind that is not served here: a subscription over HTTP."""

    code = "OPERATION_NOT_SERVED"


class IntrospectionDisabled(DocumentError):
    """The schema is not told here."""

    code = "INTROSPECTION_DISABLED"


class PersistedQueryNotFound(DocumentError):
    """Nobody has sent the text of this hash, or not lately; a client then sends both."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class PersistedQueryMismatch(DocumentError):
    """The text has another hash."""

    code = "PERSISTED_QUERY_MISMATCH"


class DocumentNotFound(DocumentError):
    """No document was published under this id."""

    code = "DOCUMENT_NOT_FOUND"


class DocumentNotAllowed(DocumentError):
    """A text of one's own, where only published documents are served."""

    code = "DOCUMENT_NOT_ALLOWED"


class LimitExceeded(RequestError):
    """More than one request may ask; the limits are settings."""


class BodyTooLarge(LimitExceeded):
    """The body, or the query string of a GET, has too many bytes."""

    code = "BODY_TOO_LARGE"


class DocumentTooLong(LimitExceeded):
    """The text has too many characters."""

    code = "DOCUMENT_TOO_LONG"


class TooManyTokens(LimitExceeded):
    """The text has too many words and signs."""

    code = "TOO_MANY_TOKENS"


class TooManyComments(LimitExceeded):
    """The text has too many comments."""

    code = "TOO_MANY_COMMENTS"


class TooManyDirectives(LimitExceeded):
    """The document has too many directives."""

    code = "TOO_MANY_DIRECTIVES"


class TooDeep(LimitExceeded):
    """Fields lie too deep within each other."""

    code = "DOCUMENT_TOO_DEEP"


class TooManyFields(LimitExceeded):
    """Too many fields in all."""

    code = "TOO_MANY_FIELDS"


class TooManyRootFields(LimitExceeded):
    """Too many questions at once."""

    code = "TOO_MANY_ROOT_FIELDS"


class TooManyAliases(LimitExceeded):
    """Too many fields under names of the caller's own."""

    code = "TOO_MANY_ALIASES"


class TooManyRepeats(LimitExceeded):
    """Fields are selected again and again beside themselves, which adds work and no answer."""

    code = "TOO_MANY_REPEATS"


class VariablesTooLarge(LimitExceeded):
    """The variables have too many bytes as JSON."""

    code = "VARIABLES_TOO_LARGE"


class ListTooLong(LimitExceeded):
    """A list among the arguments or the variables has too many items."""

    code = "LIST_TOO_LONG"


class TooCostly(LimitExceeded):
    """The fields together cost too much; `gateway/limits/costs.py` has the price of each."""

    code = "OPERATION_TOO_COSTLY"


class TookTooLong(LimitExceeded):
    """The answer was not ready in time."""

    code = "REQUEST_TIMEOUT"


class AccessError(SmartFinError):
    """Who asks may not have this."""


class Unauthenticated(AccessError):
    """Nobody is signed in, or what was shown to prove it is not good; it never says which."""

    code = "UNAUTHENTICATED"


class WrongCredentials(AccessError):
    """No active account has this address and this password; it never says what of it is wrong."""

    code = "WRONG_CREDENTIALS"


class TooManyAttempts(AccessError):
    """Tried too often, for this account or from this address."""

    code = "TOO_MANY_ATTEMPTS"


class RateLimited(AccessError):
    """The budget of the viewer's tier does not reach for this any more."""

    code = "RATE_LIMITED"


class Forbidden(AccessError):
    """The viewer's tier does not reach, or a page of another origin asks for a stream."""

    code = "FORBIDDEN"


class LicenceForbids(AccessError):
    """What there is comes from a source that is barred for the viewer's tier, or delayed and too young.

    `source` in the details names it, and `retryAfter` says in how many seconds it will be old enough.
    """

    code = "LICENCE_FORBIDS"


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
    """PostgreSQL, Redis or the archive of bars does not answer, and the question needs it."""

    code = "STORE_UNAVAILABLE"


class InternalError(SmartFinError):
    """Anything unexpected; the log holds the whole of it under the request id."""

    code = "INTERNAL_ERROR"


class StartError(SmartFinError):
    """The process cannot start, or a command cannot run; the message says what to change."""

    code = "START_FAILED"
