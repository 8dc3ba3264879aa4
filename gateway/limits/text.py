"""What the text of a document may hold; checked as it is parsed, so nothing is parsed beyond a limit."""

from graphql import DocumentNode, GraphQLSyntaxError, parse

from errors import DocumentTooLong, ParseFailed, TooManyComments, TooManyTokens
from settings import Settings


def parsed(text: str, limits: Settings) -> DocumentNode:
    """The document. Raises DocumentTooLong, TooManyTokens, TooManyComments, ParseFailed."""
    if len(text) > limits.max_document_length:
        raise DocumentTooLong(
            f"The document has {len(text)} characters; at most {limits.max_document_length} are taken.",
            limit=limits.max_document_length,
        )
    try:
        return parse(text, max_lexical_tokens=limits.max_tokens, max_comments=limits.max_comments)
    except GraphQLSyntaxError as error:
        raise _refusal(error, limits) from None


def _refusal(error: GraphQLSyntaxError, limits: Settings) -> Exception:
    # The parser has one class of errors for its limits and for bad syntax; only its words tell them apart.
    if error.message.endswith(f"more than {limits.max_tokens} tokens. Parsing aborted."):
        return TooManyTokens(f"The document has more than {limits.max_tokens} tokens.", limit=limits.max_tokens)
    if error.message.endswith(f"more than {limits.max_comments} comments. Parsing aborted."):
        return TooManyComments(f"The document has more than {limits.max_comments} comments.", limit=limits.max_comments)
    return ParseFailed(error.message, [{**error.formatted, "extensions": {"code": ParseFailed.code}}])
