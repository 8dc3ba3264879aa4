"""What a caller may see of an error: the code of ours, a request id of anything unexpected."""

import logging
from collections.abc import Sequence

from graphql import GraphQLError

from errors import InternalError, SmartFinError

logger = logging.getLogger(__name__)


def masked(errors: Sequence[GraphQLError], request_id: str) -> list[GraphQLError]:
    """The errors, each unexpected one replaced by its place in the answer and the id under which it is logged."""
    return [_masked(error, request_id) if _is_unexpected(error) else error for error in errors]


def unexpected(request_id: str) -> InternalError:
    """What a caller is told of a fault that nobody foresaw."""
    return InternalError(
        f"Something unexpected happened; the server's log has it under {request_id}.", requestId=request_id
    )


def _masked(error: GraphQLError, request_id: str) -> GraphQLError:
    logger.error("request %s failed at %s", request_id, error.path, exc_info=error.original_error)
    told = unexpected(request_id)
    return GraphQLError(
        str(told),
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=told.extensions,
    )


def _is_unexpected(error: GraphQLError) -> bool:
    # Without an original error it is GraphQL's own word on the document, its variables or a null.
    return not (error.original_error is None or isinstance(error.original_error, SmartFinError | GraphQLError))
