"""graphql-transport-ws, state by state (github.com/enisdenjo/graphql-ws, PROTOCOL.md)."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from errors import SmartFinError, StoreUnavailable, TooManyOperations, Unauthenticated
from gateway.auth import Admission, address_of, authorization_of
from gateway.documents import Documents
from gateway.execution import refusal
from gateway.origins import origin_check
from gateway.outbox import Flusher, Outbox, Waiting
from gateway.request import GraphQLRequest
from gateway.running import Run, Runner
from gateway.wire import wire_of
from resolvers.world import Context, World

logger = logging.getLogger(__name__)

PROTOCOL: Final = "graphql-transport-ws"
INIT_S: Final = 10.0
"""How long a client may take to say `connection_init`."""

MAX_ID_CHARACTERS: Final = 128

_UTC: Final = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS

INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013
BAD_REQUEST: Final = 4400
UNAUTHORIZED: Final = 4401
FORBIDDEN: Final = 4403
"""What npm graphql-ws closes with where `connection_init` is refused; its client asks for a token and comes back."""
NOT_ACCEPTABLE: Final = 4406
TOO_LATE: Final = 4408
ALREADY_EXISTS: Final = 4409
TOO_MANY_REQUESTS: Final = 4429


class TransportWS:
    """The ASGI application of the WebSocket endpoint."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._settings = runner.settings
        self._is_allowed = origin_check(runner.settings.allowed_origins)
        self._flusher = Flusher(runner.traffic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: until it ends, or until its wire does without this call."""
        await receive()
        headers = Headers(scope=scope)
        if not self._is_allowed(headers.get("origin"), headers.get("host")):
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: HTTP 403
            return
        if PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": NOT_ACCEPTABLE, "reason": f"Speak {PROTOCOL}."})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        wire = wire_of(scope, send)
        outbox = Outbox(wire, self._flusher, self._settings.websocket_backlog_bytes, self._runner.traffic)
        await wire.heard_by(Connection(self._runner, outbox, scope), receive)


class Connection:
    """One client: what it has said so far, and its operations."""

    __slots__ = (
        "_address",
        "_admission",
        "_admitting",
        "_authorization",
        "_documents",
        "_init_timer",
        "_is_acknowledged",
        "_is_closed",
        "_outbox",
        "_runner",
        "_second",
        "_settings",
        "_spoken",
        "_under_way",
        "_watching",
        "_world",
    )

    def __init__(self, runner: Runner, outbox: Outbox, scope: Scope) -> None:
        self._runner = runner
        self._outbox = outbox
        self._settings = runner.settings
        self._world: World = scope["state"]["world"]
        self._documents: Documents = scope["state"]["documents"]
        self._admission = Admission(scope["state"]["authenticator"])
        self._authorization = authorization_of(scope["headers"])
        self._address = address_of(scope)
        self._admitting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._under_way: dict[str, Run] = {}
        self._is_acknowledged = False
        self._is_closed = False
        self._second = 0
        self._spoken = 0
        loop = asyncio.get_running_loop()
        self._init_timer: asyncio.TimerHandle | None = loop.call_later(
            INIT_S, self._close, TOO_LATE, "Connection initialisation timeout"
        )
        runner.traffic.connections += 1

    def receive(self, text: str | None) -> None:
        """Do what a message says."""
        if self._is_closed or self._is_flooded():
            return
        message = _object(text)
        match message:
            case {"type": "connection_init"}:
                self._init(message.get("payload"))
            case {"type": "ping", "payload": dict(payload)} if (token := _authorization(payload)) is not None:
                self._renew(token)
            case {"type": "ping"} if _is_payload(message.get("payload")):
                self._outbox.send(b'{"type":"pong"}')
            case {"type": "pong"} if _is_payload(message.get("payload")):
                pass
            case {"type": "subscribe", "id": str(name), "payload": dict(payload)} if _is_id(name):
                self._subscribe(name, payload)
            case {"type": "complete", "id": str(name)}:
                if run := self._under_way.pop(name, None):
                    run.close()
            case _:
                self._close(BAD_REQUEST, "Invalid message")

    def forget(self, name: str) -> None:
        """The operation has ended; its id may be used again."""
        self._under_way.pop(name, None)

    def end(self) -> None:
        """The client is gone: end what it asked for."""
        self._runner.traffic.connections -= 1
        self._is_closed = True
        self._forget_timer()
        for task in (self._admitting, self._watching):
            if task is not None:
                task.cancel()
        self._outbox.clear()
        while self._under_way:
            self._under_way.popitem()[1].close()

    def _init(self, payload: object) -> None:
        if not _is_payload(payload):
            self._close(BAD_REQUEST, "Invalid connection_init payload")
        elif self._init_timer is None:
            self._close(TOO_MANY_REQUESTS, "Too many initialisation requests")
        else:
            self._forget_timer()
            told = _authorization(payload) if isinstance(payload, dict) else None
            authorization = self._authorization if told is None else told
            if authorization is None:
                self._acknowledge()
            else:
                self._admit(authorization, self._acknowledge)

    def _acknowledge(self) -> None:
        self._is_acknowledged = True
        self._outbox.send(b'{"type":"connection_ack"}')

    def _renew(self, authorization: str) -> None:
        if not self._is_acknowledged:
            self._close(UNAUTHORIZED, "Unauthorized")
        elif self._admitting is not None:
            self._close(TOO_MANY_REQUESTS, "Too many tokens at once")
        else:
            self._admit(authorization, self._answer_renewal)

    def _answer_renewal(self) -> None:
        expires_at = self._admission.viewer.expires_at
        self._outbox.send(orjson.dumps({"type": "pong", "payload": {"expiresAt": expires_at}}, option=_UTC))

    def _admit(self, authorization: str, then: Callable[[], None]) -> None:
        self._admitting = asyncio.create_task(self._shown(authorization, then))

    async def _shown(self, authorization: str, then: Callable[[], None]) -> None:
        try:
            await self._admission.show(authorization)
        except Unauthenticated:
            self._close(FORBIDDEN, "Forbidden")
        except StoreUnavailable as error:
            self._close(TRY_AGAIN_LATER, str(error))
        except Exception:
            logger.exception("a token could not be looked at")
            self._close(INTERNAL_ERROR, "Internal error")
        else:
            then()
            if self._watching is None:
                self._watching = asyncio.create_task(self._watch())
        finally:
            self._admitting = None

    async def _watch(self) -> None:
        """Close the connection once its viewer may not go on."""
        try:
            await self._admission.ended()
            self._close(FORBIDDEN, "Forbidden")
        except Exception:
            logger.exception("a token could not be looked at")
            self._close(INTERNAL_ERROR, "Internal error")

    def _subscribe(self, name: str, payload: dict[str, Any]) -> None:
        try:
            request = GraphQLRequest.of(payload)
        except SmartFinError:
            self._close(BAD_REQUEST, "Invalid subscribe payload")
            return
        if not self._is_acknowledged:
            self._close(UNAUTHORIZED, "Unauthorized")
        elif name in self._under_way:
            self._close(ALREADY_EXISTS, f"Subscriber for {name} already exists"[:100])
        else:
            sink = _Messages(self, self._outbox, name)
            viewer = self._admission.viewer
            settings = self._settings
            most = settings.guest_subscriptions if viewer.user_id is None else settings.user_subscriptions
            if len(self._under_way) >= most:
                refused = TooManyOperations(
                    f"{most} operations are under way on this connection; complete one first.", limit=most
                )
                told = refusal(refused)
                self._runner.meter.refused(told)
                self._runner.meter.unknown.whole.observe(0.0)
                sink.error(orjson.dumps(told))
                return
            context = Context(world=self._world, viewer=viewer, address=self._address)
            self._under_way[name] = self._runner.start(request, self._documents.prepare, context, sink)

    def _is_flooded(self) -> bool:
        second = int(asyncio.get_running_loop().time())
        self._spoken = self._spoken + 1 if second == self._second else 1
        self._second = second
        if self._spoken > self._settings.websocket_messages_per_second:
            self._close(TOO_MANY_REQUESTS, "Too many messages")
        return self._is_closed

    def _close(self, code: int, reason: str) -> None:
        self._is_closed = True
        self._forget_timer()
        self._outbox.close(code, reason)

    def _forget_timer(self) -> None:
        if self._init_timer is not None:
            self._init_timer.cancel()
            self._init_timer = None


class _Messages:
    """The messages of one operation."""

    __slots__ = ("_connection", "_head", "_name", "_outbox")

    def __init__(self, connection: Connection, outbox: Outbox, name: str) -> None:
        self._connection = connection
        self._outbox = outbox
        self._name = name
        self._head = b'{"id":%b,"type":"next","payload":' % orjson.dumps(name)

    @property
    def has_room(self) -> bool:
        return self._outbox.has_room

    def wait(self, waiting: Waiting) -> None:
        self._outbox.wait(waiting)

    def next(self, payload: bytes) -> None:
        self._outbox.send(b"%b%b}" % (self._head, payload))

    def error(self, payload: bytes) -> None:
        self._connection.forget(self._name)
        self._outbox.send(b'{"id":%b,"type":"error","payload":%b}' % (orjson.dumps(self._name), payload))

    def complete(self) -> None:
        self._connection.forget(self._name)
        self._outbox.send(b'{"id":%b,"type":"complete"}' % orjson.dumps(self._name))


def _object(text: str | None) -> Any:
    """The JSON of a text message; None for anything else."""
    try:
        return orjson.loads(text) if text is not None else None
    except orjson.JSONDecodeError:
        return None


def _authorization(payload: dict[str, Any]) -> str | None:
    """The `authorization` of a payload, in whatever case: GraphiQL hands on the header as it was typed.

    Null is nothing; what else is no text is as good as a token that is none.
    """
    told = (value for name, value in payload.items() if name.lower() == "authorization" and value is not None)
    return next(map(str, told), None)


def _is_payload(payload: object) -> bool:
    return payload is None or isinstance(payload, dict)


def _is_id(name: str) -> bool:
    return 0 < len(name) <= MAX_ID_CHARACTERS
