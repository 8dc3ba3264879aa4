"""What the doors beside GraphQL share: a GET is read, asked as a document of our own, and told in the door's words."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import ExecutionResult, GraphQLError
from starlette.types import Receive, Scope, Send

from errors import InternalError, InvalidParameter, MethodNotAllowed, NothingHere, SmartFinError
from gateway.answer import CHALLENGE, Answer, request_id_of, send_answer
from gateway.auth import address_of, authorization_of
from gateway.caching import is_known, is_settled, kept_headers
from gateway.deadline import ClientGone, Deadline
from gateway.documents import Documents, Operation
from gateway.execution import executed
from gateway.masking import unexpected
from gateway.request import GraphQLRequest, query_parameters
from resolvers.world import Context
from settings import Settings

logger = logging.getLogger(__name__)

_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_ALLOW: Final = (b"allow", ", ".join(_METHODS).encode())


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a caller may say: its JSON Schema, and the function that reads its text.

    `default` is the text that is read where the caller says nothing; None: the value is None then.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any]
    default: str | None = None
    in_path: bool = False
    is_required: bool = False


class Asked:
    """One request of a door: the values of its parameters, and how to ask GraphQL for its answer."""

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes], settings: Settings, context: Context) -> None:
        self.headers = headers
        self.context = context
        self.values: dict[str, Any] = {}
        self._settings = settings
        self._documents: Documents = scope["state"]["documents"]

    async def prepare(self, document: str, variables: Mapping[str, Any]) -> Operation:
        """The operation, within the limits of every GraphQL request. Raises LimitExceeded."""
        return await self._documents.prepare_own(GraphQLRequest(query=document, variables=dict(variables)))

    async def ask(self, document: str, variables: Mapping[str, Any]) -> tuple[ExecutionResult, bool]:
        """The result, its unexpected errors masked, and whether it can hardly change any more."""
        operation = await self.prepare(document, variables)
        result = await executed(operation, variables, self.context, suggestions=self._settings.suggestions)
        return result, is_settled(operation, result, self.context)

    def keep(self, answer: Answer, tagged: bytes) -> Answer:
        """The answer as one that may be kept for a while, told from others by `tagged`."""
        answer.headers = [*kept_headers(tagged, authorized=b"authorization" in self.headers)]
        if is_known(self.headers.get(b"if-none-match"), answer.headers):
            answer.status, answer.body = 304, b""
        return answer


Respond = Callable[[Asked], Awaitable[Answer]]
Refuse = Callable[[SmartFinError], Answer]


class DoorRoute:
    """The ASGI application of one path of a door."""

    def __init__(self, settings: Settings, parameters: Sequence[Parameter], respond: Respond, refuse: Refuse) -> None:
        self._settings = settings
        self._parameters = parameters
        self._respond = respond
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever becomes of it; to a client that is gone, nothing."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = request_id_of(headers)
        try:
            async with Deadline(self._settings.request_timeout_seconds, receive) as deadline:
                deadline.received()
                answer = await self._answer(scope, headers, request_id)
        except ClientGone:
            return
        except SmartFinError as error:
            answer = self._refuse(error)
        except Exception:
            logger.exception("request %s failed", request_id)
            answer = self._refuse(unexpected(request_id))
        if answer.status == 401:
            answer.headers = [*answer.headers, CHALLENGE]
        if answer.status == 405:
            answer.headers = [*answer.headers, _ALLOW]
        await send_answer(send, answer, headers, request_id, self._settings.compress_from_bytes)

    async def _answer(self, scope: Scope, headers: Mapping[bytes, bytes], request_id: str) -> Answer:
        if scope["method"] == "OPTIONS":
            return Answer(b"", "text/plain", 204, [_ALLOW])
        if scope["method"] not in _METHODS:
            raise MethodNotAllowed("Ask by GET.")
        viewer = await scope["state"]["authenticator"].viewer(authorization_of(scope["headers"]))
        context = Context(scope["state"]["world"], request_id, viewer, address_of(scope))
        asked = Asked(scope, headers, self._settings, context)
        path = scope["path_params"]
        given = query_parameters(scope["query_string"], self._settings.max_body_bytes)
        for parameter in self._parameters:
            text = path[parameter.name] if parameter.in_path else given.pop(parameter.name, parameter.default)
            asked.values[parameter.name] = None if text is None else parameter.read(text)
        if given:
            names = ", ".join(parameter.name for parameter in self._parameters if not parameter.in_path)
            raise InvalidParameter(f'There is no parameter "{next(iter(given))[:40]}" here; there are: {names}.')
        return await self._respond(asked)


class Nowhere:
    """The ASGI application of all other paths of a door."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say so."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        answer = self._refuse(NothingHere("Nothing is served here."))
        await send_answer(send, answer, headers, request_id_of(headers), len(answer.body) + 1)


def fault_of(error: GraphQLError) -> SmartFinError:
    """Why a field has no value; what GraphQL or nobody foresaw counts as unexpected, and was logged."""
    if isinstance(error.original_error, SmartFinError):
        return error.original_error
    details = {name: value for name, value in (error.extensions or {}).items() if name != "code"}
    return InternalError(error.message, **details)
