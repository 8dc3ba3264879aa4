"""How long others may keep the answer to a GET: a while where it can hardly change any more, else not at all."""

from hashlib import blake2b

from graphql import ExecutionResult

from gateway.documents import Operation
from resolvers.world import Context

KEPT_S = 300
"""A settled answer changes only where a split adjusts it or an import mends it; so long it may go unnoticed."""

Headers = list[tuple[bytes, bytes]]

NOT_KEPT = (b"cache-control", b"no-store")


def is_settled(operation: Operation, result: ExecutionResult, context: Context) -> bool:
    """Whether every question of the operation was about what is over, and was answered whole."""
    return not result.errors and context.settled == operation.root_fields


def kept_headers(body: bytes, *, authorized: bool) -> Headers:
    """The headers of a settled answer. What a caller was let in for is kept by nobody else."""
    whose = b"private" if authorized else b"public"
    # Weak: the same answer compressed has other bytes.
    tag = b'W/"' + blake2b(body, digest_size=16).hexdigest().encode() + b'"'
    return [
        (b"cache-control", b"%s, max-age=%d" % (whose, KEPT_S)),
        (b"etag", tag),
        (b"vary", b"accept, accept-encoding, authorization, origin"),
    ]


def is_known(if_none_match: bytes | None, headers: Headers) -> bool:
    """Whether the client has this very answer (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    tag = dict(headers)[b"etag"].removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") in (b"*", tag) for one in if_none_match.split(b","))
