"""graphql-transport-ws, state by state (github.com/enisdenjo/graphql-ws, PROTOCOL.md)."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from errors import SmartFinError
from gateway.auth import authorization_of
from gateway.connection import TOO_MANY_REQUESTS, UNAUTHORIZED, Connection, json_of
from gateway.origins import origin_check
from gateway.outbox import Flusher, Outbox
from gateway.request import GraphQLRequest
from gateway.running import Runner
from gateway.wire import wire_of

PROTOCOL: Final = "graphql-transport-ws"
INIT_S: Final = 10.0
"""How long a client may take to say `connection_init`."""

MAX_ID_CHARACTERS: Final = 128

_UTC: Final = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS

BAD_REQUEST: Final = 4400
FORBIDDEN: Final = 4403
"""What npm graphql-ws closes with where `connection_init` is refused; its client asks for a token and comes back."""
NOT_ACCEPTABLE: Final = 4406
TOO_LATE: Final = 4408
ALREADY_EXISTS: Final = 4409


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
        await wire.heard_by(GraphQLConnection(self._runner, outbox, scope), receive)


class GraphQLConnection(Connection):
    """One client: what it has said so far, and its operations."""

    __slots__ = ("_authorization", "_init_timer", "_is_acknowledged")

    barred = (FORBIDDEN, "Forbidden")

    def __init__(self, runner: Runner, outbox: Outbox, scope: Scope) -> None:
        super().__init__(runner, outbox, scope)
        self._authorization = authorization_of(scope["headers"])
        self._is_acknowledged = False
        loop = asyncio.get_running_loop()
        self._init_timer: asyncio.TimerHandle | None = loop.call_later(
            INIT_S, self._close, TOO_LATE, "Connection initialisation timeout"
        )

    def receive(self, text: str | None) -> None:
        """Do what a message says."""
        if not self._is_heard():
            return
        message = json_of(text)
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

    def end(self) -> None:
        """The client is gone: end what it asked for."""
        self._forget_timer()
        super().end()

    def _init(self, payload: object) -> None:
        if not _is_payload(payload):
            self._close(BAD_REQUEST, "Invalid connection_init payload")
        elif self._init_timer is None:
            self._close(TOO_MANY_REQUESTS, "Too many initialisation requests")
        else:
            self._forget_timer()
            told = _authorization(payload) if isinstance(payload, dict) else None
            self._admit(self._authorization if told is None else told, self._acknowledge)

    def _acknowledge(self) -> None:
        self._is_acknowledged = True
        self._outbox.send(b'{"type":"connection_ack"}')

    def _renew(self, authorization: str) -> None:
        if not self._is_acknowledged:
            self._close(UNAUTHORIZED, "Unauthorized")
        else:
            self._admit(authorization, self._answer_renewal)

    def _answer_renewal(self) -> None:
        expires_at = self._admission.viewer.expires_at
        self._outbox.send(orjson.dumps({"type": "pong", "payload": {"expiresAt": expires_at}}, option=_UTC))

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
            if self._runner.may_begin(self._admission.viewer.tier, len(self._under_way), sink):
                self._start(name, request, self._documents.prepare, sink)

    def _close(self, code: int, reason: str) -> None:
        self._forget_timer()
        super()._close(code, reason)

    def _forget_timer(self) -> None:
        if self._init_timer is not None:
            self._init_timer.cancel()
            self._init_timer = None


class _Messages:
    """The messages of one operation."""

    __slots__ = ("_connection", "_head", "_name", "outbox")

    def __init__(self, connection: GraphQLConnection, outbox: Outbox, name: str) -> None:
        self._connection = connection
        self.outbox = outbox
        self._name = name
        self._head = b'{"id":%b,"type":"next","payload":' % orjson.dumps(name)

    def next(self, payloads: Sequence[bytes]) -> None:
        self.outbox.send_all((self._head, payloads, b"}"))

    def error(self, payload: bytes) -> None:
        self._connection.forget(self._name)
        self.outbox.send(b'{"id":%b,"type":"error","payload":%b}' % (orjson.dumps(self._name), payload))

    def complete(self) -> None:
        self._connection.forget(self._name)
        self.outbox.send(b'{"id":%b,"type":"complete"}' % orjson.dumps(self._name))


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
