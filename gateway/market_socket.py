"""The plain WebSocket door, `/ws/market-data`: quotes as JSON messages, for clients without a GraphQL library.

In: `subscribe` and `unsubscribe` with `symbols`, `ping` (with `authorization`, who signs in later or for longer),
`get_subscriptions`. Out: `connection`, `subscribed`,
`unsubscribed`, `subscriptions`, `market_data`, `pong`, `error`, and `server_shutdown` before the server ends.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from errors import SmartFinError, StoreUnavailable, Unauthenticated
from gateway.auth import Admission, address_of, authorization_of
from gateway.documents import Documents
from gateway.origins import origin_check
from gateway.outbox import Flusher, Outbox, Waiting
from gateway.request import GraphQLRequest
from gateway.running import Run, Runner
from gateway.wire import wire_of
from people import Tier
from resolvers.symbols import checked_symbol
from resolvers.world import Context, World

logger = logging.getLogger(__name__)

INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013
UNAUTHORIZED: Final = 4401
TOO_MANY_REQUESTS: Final = 4429

MAX_NAMED: Final = 200
"""Symbols that one message may name."""

MINUTE_S: Final = 60.0

QUOTES: Final = """subscription MarketData($symbols: [Symbol!]!) {
  quotes(symbols: $symbols) {
    symbol price change changePercent open high low previousClose volume turnover bid ask currency timestamp: time
    provenance { source servedFrom receivedAt delaySeconds quality flags synthetic }
  }
}"""

_BEFORE: Final = b'{"data":{"quotes":'
_AFTER: Final = b"}}"


def most_symbols(tier: Tier) -> int:
    """How many symbols a viewer may watch on one connection."""
    return 10 if tier is Tier.GUEST else 50


def most_messages(tier: Tier) -> int:
    """How many messages a viewer may send in a minute on one connection."""
    return 60 if tier is Tier.GUEST else 300


class MarketSocket:
    """The ASGI application of the door. The lifespan's state has `world`, `documents` and `authenticator`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._is_allowed = origin_check(runner.settings.allowed_origins)
        self._flusher = Flusher(runner.traffic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection until it ends."""
        await receive()
        headers = Headers(scope=scope)
        if not self._is_allowed(headers.get("origin"), headers.get("host")):
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: HTTP 403
            return
        await send({"type": "websocket.accept"})
        runner, state = self._runner, scope["state"]
        authorization = authorization_of(scope["headers"])
        wire = wire_of(scope, send)
        wire.farewell = _farewell
        outbox = Outbox(wire, self._flusher, runner.settings.websocket_backlog_bytes, runner.traffic)
        admission = Admission(state["authenticator"])
        connection = Connection(runner, outbox, state["world"], state["documents"], admission, address_of(scope))
        runner.traffic.connections += 1
        try:
            connection.admit(authorization, connection.greet)
            await connection.admitted()  # what it says next, it says as whom it has shown
            while (message := await receive())["type"] == "websocket.receive":
                connection.receive(message.get("text"))
        finally:
            runner.traffic.connections -= 1
            connection.end()


class Connection:
    """One client: what it watches, and how much it has said."""

    __slots__ = (
        "_address",
        "_admission",
        "_admitting",
        "_documents",
        "_is_closed",
        "_minute",
        "_outbox",
        "_runner",
        "_second",
        "_spoken",
        "_spoken_at_once",
        "_watched",
        "_watching",
        "_world",
    )

    def __init__(
        self,
        runner: Runner,
        outbox: Outbox,
        world: World,
        documents: Documents,
        admission: Admission,
        address: str,
    ) -> None:
        self._address = address
        self._runner = runner
        self._outbox = outbox
        self._world = world
        self._documents = documents
        self._admission = admission
        self._watched: dict[str, Run] = {}
        self._admitting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._is_closed = False
        self._minute = asyncio.get_running_loop().time()
        self._spoken = 0
        self._second = 0
        self._spoken_at_once = 0

    def admit(self, authorization: str | None, then: Callable[[], None]) -> None:
        """Let in whom this shows, or for longer; a guest where nothing is shown."""
        if authorization is None:
            then()
        elif self._admitting is not None:
            self._close(TOO_MANY_REQUESTS, "Too many tokens at once")
        else:
            self._admitting = asyncio.create_task(self._shown(authorization, then))

    async def admitted(self) -> None:
        """Return once what was shown has been looked at."""
        if self._admitting is not None:
            await asyncio.wait([self._admitting])

    def greet(self) -> None:
        """Say hello."""
        self._tell("connection", status="connected", clientId=token_hex(8))

    def receive(self, text: str | None) -> None:
        """Do what a message says."""
        if self._is_closed:
            return
        if self._is_flooded():
            self._close(TOO_MANY_REQUESTS, "Too many messages")
            return
        if not self._may_speak():
            most = most_messages(self._admission.viewer.tier)
            self._refuse("RATE_LIMIT", f"{most} messages were sent in a minute; wait until it is over.")
            return
        match _message(text):
            case {"type": "subscribe", "symbols": list(symbols)} if _are_texts(symbols):
                self._subscribe(symbols)
            case {"type": "unsubscribe", "symbols": list(symbols)} if _are_texts(symbols):
                self._unsubscribe(symbols)
            case {"type": "ping", "authorization": str(authorization)}:
                self.admit(authorization, self._answer_ping)
            case {"type": "ping"}:
                self._answer_ping()
            case {"type": "get_subscriptions"}:
                self._tell("subscriptions", symbols=list(self._watched))
            case {"type": "subscribe" | "unsubscribe"}:
                self._refuse("INVALID_FORMAT", f"`symbols` must be an array of up to {MAX_NAMED} strings.")
            case {"type": str(kind)}:
                known = "subscribe, unsubscribe, ping or get_subscriptions"
                self._refuse("UNKNOWN_TYPE", f'There is no message "{kind[:40]}"; send {known}.')
            case _:
                self._refuse("INVALID_FORMAT", 'A message is a JSON object with `type`, such as {"type": "ping"}.')

    def fail(self, symbol: str, error: dict[str, Any]) -> None:
        """Say why the symbol has no quote."""
        self._refuse(error["extensions"]["code"], error["message"], symbol=symbol)

    def forget(self, symbol: str) -> None:
        """No quote of the symbol will come any more."""
        self._watched.pop(symbol, None)

    def end(self) -> None:
        """The client is gone: end what it watches."""
        self._is_closed = True
        for task in (self._admitting, self._watching):
            if task is not None:
                task.cancel()
        self._outbox.clear()
        while self._watched:
            self._watched.popitem()[1].close()

    async def _shown(self, authorization: str, then: Callable[[], None]) -> None:
        try:
            await self._admission.show(authorization)
        except Unauthenticated:
            self._close(UNAUTHORIZED, "Unauthorized")
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
            self._close(UNAUTHORIZED, "Unauthorized")
        except Exception:
            logger.exception("a token could not be looked at")
            self._close(INTERNAL_ERROR, "Internal error")

    def _subscribe(self, texts: list[str]) -> None:
        fresh: list[str] = []
        taken: list[str] = []
        errors: list[str] = []
        most = most_symbols(self._admission.viewer.tier)
        for text in texts:
            try:
                symbol = checked_symbol(text)
            except SmartFinError as error:
                errors.append(str(error))
                continue
            if symbol not in self._watched and symbol not in fresh:
                if len(self._watched) + len(fresh) >= most:
                    errors.append(f"{most} symbols are watched on this connection; unsubscribe from one first.")
                    break
                fresh.append(symbol)
            taken.append(symbol)
        self._tell("subscribed", symbols=list(dict.fromkeys(taken)), **({"errors": errors} if errors else {}))
        for name in fresh:
            request = GraphQLRequest(query=QUOTES, variables={"symbols": [name]})
            context = Context(world=self._world, viewer=self._admission.viewer, address=self._address)
            sink = _Quotes(self, self._outbox, name)
            self._watched[name] = self._runner.start(request, self._documents.prepare_own, context, sink)

    def _unsubscribe(self, texts: list[str]) -> None:
        symbols = [symbol for symbol in dict.fromkeys(text.upper() for text in texts) if symbol in self._watched]
        for symbol in symbols:
            self._watched.pop(symbol).close()
        self._tell("unsubscribed", symbols=symbols)

    def _may_speak(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._minute >= MINUTE_S:
            self._minute, self._spoken = now, 0
        self._spoken += 1
        return self._spoken <= most_messages(self._admission.viewer.tier)

    def _is_flooded(self) -> bool:
        second = int(asyncio.get_running_loop().time())
        self._spoken_at_once = self._spoken_at_once + 1 if second == self._second else 1
        self._second = second
        return self._spoken_at_once > self._runner.settings.websocket_messages_per_second

    def _answer_ping(self) -> None:
        self._tell("pong")

    def _close(self, code: int, reason: str) -> None:
        self._is_closed = True
        self._outbox.close(code, reason)

    def _refuse(self, code: str, message: str, **details: str) -> None:
        self._tell("error", code=code, message=message, **details)

    def _tell(self, kind: str, **said: Any) -> None:
        self._outbox.send(_told(kind, **said))


class _Quotes:
    """Where the quotes of one symbol go: the operation's payloads as messages of the door."""

    __slots__ = ("_connection", "_outbox", "_symbol")

    def __init__(self, connection: Connection, outbox: Outbox, symbol: str) -> None:
        self._connection = connection
        self._outbox = outbox
        self._symbol = symbol

    @property
    def has_room(self) -> bool:
        return self._outbox.has_room

    def wait(self, waiting: Waiting) -> None:
        self._outbox.wait(waiting)

    def next(self, payload: bytes) -> None:
        # The payload is made once for all clients, so it is cut and not read.
        if payload.startswith(_BEFORE):
            quote = payload[len(_BEFORE) : -len(_AFTER)]
            self._outbox.send(b'{"type":"market_data","data":[%b],"timestamp":"%b"}' % (quote, _now().encode()))
        else:
            self._connection.fail(self._symbol, orjson.loads(payload)["errors"][0])

    def error(self, payload: bytes) -> None:
        self._connection.fail(self._symbol, orjson.loads(payload)[0])
        self._connection.forget(self._symbol)

    def complete(self) -> None:
        self._connection.forget(self._symbol)


def _told(kind: str, **said: Any) -> bytes:
    return orjson.dumps({"type": kind, **said, "timestamp": _now()})


def _farewell() -> bytes:
    return _told("server_shutdown", message="The server restarts; connect again.")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(text: str | None) -> Any:
    """The JSON of a text message; None for anything else."""
    try:
        return orjson.loads(text) if text is not None else None
    except orjson.JSONDecodeError:
        return None


def _are_texts(symbols: list[Any]) -> bool:
    return 0 < len(symbols) <= MAX_NAMED and all(isinstance(symbol, str) for symbol in symbols)
