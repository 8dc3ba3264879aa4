"""What a caller may see of an error: the code of ours, a request id of anything unexpected."""

import logging

from graphql import GraphQLError
from strawberry.extensions import MaskErrors

from errors import InternalError, SmartFinError

logger = logging.getLogger(__name__)


class Mask(MaskErrors):
    """Lets through what is meant for the caller, and masks and logs the rest."""

    def __init__(self) -> None:
        super().__init__(should_mask_error=_is_unexpected)

    def anonymise_error(self, error: GraphQLError) -> GraphQLError:
        """The error in place of an unexpected one: its place in the answer, and the id under which it is logged."""
        request_id = self.execution_context.context.request_id
        logger.error("request %s failed at %s", request_id, error.path, exc_info=error.original_error)
        return GraphQLError(
            f"Something unexpected happened; the server's log has it under {request_id}.",
            nodes=error.nodes,
            source=error.source,
            positions=error.positions,
            path=error.path,
            extensions={"code": InternalError.code, "requestId": request_id},
        )


def _is_unexpected(error: GraphQLError) -> bool:
    # Without an original error it is GraphQL's own word on the document, its variables or a null.
    return not (error.original_error is None or isinstance(error.original_error, SmartFinError | GraphQLError))
