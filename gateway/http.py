"""GraphQL over HTTP: one request in, one answer out, as the specification has it."""

import logging
from functools import partial
from time import perf_counter

import orjson
from graphql import OperationType
from starlette.types import Receive, Scope, Send

import logs
import tracing
from errors import (
    DocumentError,
    LimitExceeded,
    MalformedRequest,
    MethodNotAllowed,
    NotAcceptable,
    OperationNotServed,
    SmartFinError,
    UnsupportedMediaType,
)
from gateway.answer import Answer, budget_headers, refusal_headers, request_id_of, send_answer, status_of
from gateway.assets import GRAPHIQL
from gateway.auth import Admission, address_of, authorization_of
from gateway.caching import is_known, is_settled, kept_headers
from gateway.deadline import ClientGone, Deadline
from gateway.documents import Operation
from gateway.event_stream import EventStreams
from gateway.execution import encoded, encoded_refusal, executed, refusal
from gateway.masking import unexpected
from gateway.meter import GONE
from gateway.negotiation import EVENT_STREAM, JSON, answer_type, is_json, wants_page
from gateway.request import GraphQLRequest, check_size, query_parameters
from gateway.running import Runner
from resolvers.world import Context

logger = logging.getLogger(__name__)


class GraphQLEndpoint:
    """What serves `/graphql` to HTTP, as an ASGI application.

    The lifespan's state has `world`, `documents`, `authenticator` and `draining`.
    """

    def __init__(self, runner: Runner) -> None:
        self._settings = runner.settings
        self._meter = runner.meter
        self._events = EventStreams(runner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever becomes of it; to a client that is gone, nothing."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        accept = headers.get(b"accept")
        if self._settings.graphiql and scope["method"] == "GET" and wants_page(accept):
            await GRAPHIQL.index()(scope, receive, send)
            return
        start = perf_counter()
        timed = self._meter.unknown
        request_id = request_id_of(headers)
        logs.of_request(request_id, headers.get(b"traceparent"))
        tracing.follow(headers.get(b"traceparent"))
        media_type = answer_type(accept)
        admission = Admission(scope["state"]["authenticator"])
        context = Context(world=scope["state"]["world"], request_id=request_id, address=address_of(scope))
        try:
            if media_type == EVENT_STREAM:
                self._events.check_origin(headers)
            async with Deadline(self._settings.request_timeout_seconds, receive) as deadline:
                await admission.show(authorization_of(scope["headers"]))
                context.admit(admission.viewer)
                request = await self._request(scope, headers, receive, media_type)
                deadline.received()
                if media_type != EVENT_STREAM:
                    with tracing.request():
                        operation = await _prepared(scope, context, request)
                        timed = operation.timed
                        answer = await self._answer(scope, headers, operation, request, context, media_type or JSON)
        except ClientGone:
            self._meter.errors[GONE] += 1
            timed.answered(start)
            return
        except SmartFinError as error:
            answer = self._refused(error, media_type)
        except Exception:
            logger.exception("request %s failed", request_id)
            answer = self._refused(unexpected(request_id), media_type)
        else:
            if media_type == EVENT_STREAM:
                await self._events.serve(scope, receive, send, request, partial(_prepared, scope), context, admission)
                return
        timed.answered(start)
        answer.headers = [*answer.headers, *budget_headers(context.spent)]
        await send_answer(send, answer, headers, request_id, self._settings.compress_from_bytes)

    async def _request(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, media_type: str | None
    ) -> GraphQLRequest:
        method = scope["method"]
        if media_type is None:
            raise NotAcceptable(
                "An answer is application/graphql-response+json, application/json or text/event-stream."
            )
        if method == "POST":
            return GraphQLRequest.of(_json(await self._body(headers, receive), "The body"))
        if method == "GET":
            return self._got(scope["query_string"])
        raise MethodNotAllowed("Ask by POST, or queries by GET.")

    async def _answer(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        operation: Operation,
        request: GraphQLRequest,
        context: Context,
        media_type: str,
    ) -> Answer:
        if operation.type is OperationType.SUBSCRIPTION:
            raise OperationNotServed(
                "Subscriptions are served over graphql-transport-ws and as text/event-stream, on the same path."
            )
        result = await executed(operation, request.variables, context, suggestions=self._settings.suggestions)
        answer = _answer(encoded(result, operation.timed), media_type)
        if scope["method"] == "GET" and is_settled(operation, result, context):
            answer.headers = kept_headers(answer.body, authorized=b"authorization" in headers)
            if is_known(headers.get(b"if-none-match"), answer.headers):
                answer.status, answer.body = 304, b""
        return answer

    def _refused(self, error: SmartFinError, media_type: str | None) -> Answer:
        self._meter.refused(refusal(error))
        # Of a well-formed request, application/json has always said 200 whatever came of it; its clients rely on it.
        well_formed = isinstance(error, DocumentError | LimitExceeded) and media_type == JSON
        shown = media_type if media_type and media_type != EVENT_STREAM else JSON
        answer = _answer(encoded_refusal(error), shown, status_of(error.code, 200 if well_formed else 400))
        answer.headers = [*answer.headers, *refusal_headers(error)]
        if answer.status == 405:
            answer.headers = [*answer.headers, (b"allow", b"GET, POST")]
        return answer

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        if not is_json(headers.get(b"content-type")) or headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedMediaType("A request's body is application/json in UTF-8, not compressed.")
        limit = self._settings.max_body_bytes
        message = await receive()
        body = message.get("body", b"")
        if message.get("more_body", False):
            parts = [body]
            size = len(body)
            while message.get("more_body", False) and size <= limit:
                message = await receive()
                parts.append(message.get("body", b""))
                size += len(parts[-1])
            body = b"".join(parts)
        if message["type"] == "http.disconnect":
            raise ClientGone
        check_size(len(body), limit)
        return bytes(body)

    def _got(self, query_string: bytes) -> GraphQLRequest:
        parameters: dict[str, object] = {**query_parameters(query_string, self._settings.max_body_bytes)}
        for name in ("variables", "extensions"):
            if parameters.get(name):
                parameters[name] = _json(str(parameters[name]), f"`{name}`")
            else:
                parameters.pop(name, None)
        request = GraphQLRequest.of(parameters)
        if request.query is not None and not self._settings.text_by_get:
            raise MethodNotAllowed("GET is for documents by hash or id here; send the text by POST.")
        return request


async def _prepared(scope: Scope, context: Context, request: GraphQLRequest) -> Operation:
    operation: Operation = await scope["state"]["documents"].prepare(context, request)
    if scope["method"] == "GET" and operation.type is OperationType.MUTATION:
        raise MethodNotAllowed("GET is for what changes nothing; send a mutation by POST.")
    return operation


def _json(text: bytes | str, what: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"{what} is not JSON: {error}.") from None


def _answer(body: bytes, media_type: str, status: int = 200) -> Answer:
    return Answer(body, f"{media_type}; charset=utf-8", status)
