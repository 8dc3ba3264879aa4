"""A GraphQL request as it is asked, whatever carried it."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from errors import BatchRefused, BodyTooLarge, MalformedRequest

MAX_PARAMETERS: Final = 10


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The parameters of GraphQL over HTTP, and of a graphql-transport-ws `subscribe`; an empty one counts as none."""

    query: str | None = None
    document_id: str | None = None
    sha256_hash: str | None = None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None

    @classmethod
    def of(cls, parameters: object) -> "GraphQLRequest":
        """The request that the JSON says. Raises BatchRefused, MalformedRequest."""
        if isinstance(parameters, list):
            raise BatchRefused("A batch was sent; send one request at a time.")
        if not isinstance(parameters, dict):
            raise MalformedRequest("A request is a JSON object with `query`.")
        extensions = _of(parameters, "extensions", dict, "an object")
        persisted = _of(extensions or {}, "persistedQuery", dict, "an object") or {}
        request = cls(
            query=_of(parameters, "query", str, "a string") or None,
            document_id=_of(parameters, "documentId", str, "a string") or None,
            sha256_hash=_of(persisted, "sha256Hash", str, "a string") or None,
            operation_name=_of(parameters, "operationName", str, "a string") or None,
            variables=_of(parameters, "variables", dict, "an object") or None,
        )
        if request.query is None and request.document_id is None and request.sha256_hash is None:
            raise MalformedRequest("There is no document; send `query`, `documentId` or `extensions.persistedQuery`.")
        return request


def _of(parameters: dict[str, Any], name: str, kind: type, said: str) -> Any:
    value = parameters.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise MalformedRequest(f"`{name}` must be {said} or null.")


def query_parameters(query_string: bytes, max_bytes: int) -> dict[str, str]:
    """What a query string says by name. Raises BodyTooLarge, MalformedRequest."""
    check_size(len(query_string), max_bytes)
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:
        raise MalformedRequest(f"The query string cannot be read: {error}.") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise MalformedRequest("A parameter of the query string is there twice.")
    return parameters


def check_size(size: int, limit: int) -> None:
    """Raises BodyTooLarge for a request of more bytes."""
    if size > limit:
        raise BodyTooLarge(f"The request has more than {limit} bytes.", limit=limit)
