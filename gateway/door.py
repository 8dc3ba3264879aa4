"""What the doors beside GraphQL share: a GET is read, asked as a document of our own, and told in the door's words."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from graphql import ExecutionResult, GraphQLError
from starlette.types import Receive, Scope, Send

import logs
import tracing
from errors import InternalError, InvalidParameter, MethodNotAllowed, NothingHere, SmartFinError
from gateway.answer import Answer, budget_headers, refusal_headers, request_id_of, send_answer
from gateway.auth import address_of, authorization_of
from gateway.caching import is_known, is_settled, kept_headers
from gateway.deadline import ClientGone, Deadline
from gateway.documents import Documents, Operation
from gateway.execution import executed
from gateway.masking import unexpected
from gateway.meter import GONE
from gateway.request import GraphQLRequest, query_parameters
from gateway.running import Runner
from resolvers.world import Context

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

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes], runner: Runner, context: Context) -> None:
        self.headers = headers
        self.context = context
        self.values: dict[str, Any] = {}
        self.timed = runner.meter.unknown
        """The times of what it asks."""
        self.is_counted = False
        """Whether its errors are among those counted."""
        self._settings = runner.settings
        self._documents: Documents = scope["state"]["documents"]

    async def prepare(self, document: str, variables: Mapping[str, Any]) -> Operation:
        """The operation, within the limits of every GraphQL request. Raises LimitExceeded."""
        operation = await self._documents.prepare_own(
            self.context, GraphQLRequest(query=document, variables=dict(variables))
        )
        self.timed = operation.timed
        return operation

    async def ask(self, document: str, variables: Mapping[str, Any]) -> tuple[ExecutionResult, bool]:
        """The result, its unexpected errors masked, and whether it can hardly change any more."""
        operation = await self.prepare(document, variables)
        result = await executed(operation, variables, self.context, suggestions=self._settings.suggestions)
        self.is_counted = bool(result.errors)
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
    """The ASGI application of one path of a door; parameters that it does not know are refused, or `ignores_others`."""

    def __init__(
        self,
        runner: Runner,
        parameters: Sequence[Parameter],
        respond: Respond,
        refuse: Refuse,
        *,
        ignores_others: bool = False,
    ) -> None:
        self._runner = runner
        self._parameters = parameters
        self._respond = respond
        self._refuse = refuse
        self._ignores_others = ignores_others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever becomes of it; to a client that is gone, nothing."""
        start = perf_counter()
        settings, meter = self._runner.settings, self._runner.meter
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = request_id_of(headers)
        logs.of_request(request_id, headers.get(b"traceparent"))
        tracing.follow(headers.get(b"traceparent"))
        context = Context(world=scope["state"]["world"], request_id=request_id, address=address_of(scope))
        asked = Asked(scope, headers, self._runner, context)
        try:
            async with Deadline(settings.request_timeout_seconds, receive) as deadline:
                deadline.received()
                with tracing.request():
                    answer = await self._answer(scope, asked)
        except ClientGone:
            meter.errors[GONE] += 1
            asked.timed.answered(start)
            return
        except SmartFinError as error:
            answer = self._refused(error, asked)
        except Exception:
            logger.exception("request %s failed", request_id)
            answer = self._refused(unexpected(request_id), asked)
        asked.timed.answered(start)
        answer.headers = [*answer.headers, *budget_headers(context.spent)]
        await send_answer(send, answer, headers, request_id, settings.compress_from_bytes)

    async def _answer(self, scope: Scope, asked: Asked) -> Answer:
        if scope["method"] == "OPTIONS":
            return Answer(b"", "text/plain", 204, [_ALLOW])
        if scope["method"] not in _METHODS:
            raise MethodNotAllowed("Ask by GET.")
        asked.context.admit(await scope["state"]["authenticator"].viewer(authorization_of(scope["headers"])))
        path = scope["path_params"]
        given = query_parameters(scope["query_string"], self._runner.settings.max_body_bytes)
        for parameter in self._parameters:
            text = path[parameter.name] if parameter.in_path else given.pop(parameter.name, parameter.default)
            asked.values[parameter.name] = None if text is None else parameter.read(text)
        if given and not self._ignores_others:
            names = ", ".join(parameter.name for parameter in self._parameters if not parameter.in_path)
            raise InvalidParameter(
                f'There is no parameter "{next(iter(given))[:40]}" here; it takes {names or "nothing"}.'
            )
        return await self._respond(asked)

    def _refused(self, error: SmartFinError, asked: Asked) -> Answer:
        if not asked.is_counted:
            self._runner.meter.errors[error.code] += 1
        answer = self._refuse(error)
        answer.headers = [*answer.headers, *refusal_headers(error)]
        if answer.status == 405:
            answer.headers = [*answer.headers, _ALLOW]
        return answer


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
