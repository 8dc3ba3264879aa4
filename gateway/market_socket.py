"""The plain WebSocket door, `/ws/market-data`: quotes as JSON messages, for clients without a GraphQL library.

In: `subscribe` and `unsubscribe` with `symbols`, `ping` (with `authorization`, who signs in later or for longer),
`get_subscriptions`. Out: `connection`, `subscribed`,
`unsubscribed`, `subscriptions`, `market_data`, `pong`, `error`, and `server_shutdown` before the server ends.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Final

import orjson
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from errors import SmartFinError
from gateway.auth import authorization_of
from gateway.connection import Connection, json_of
from gateway.origins import origin_check
from gateway.outbox import Flusher, Outbox
from gateway.request import GraphQLRequest
from gateway.running import Runner
from gateway.wire import wire_of
from people import Tier
from resolvers.symbols import checked_symbol

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
        wire = wire_of(scope, send)
        wire.farewell = _farewell
        outbox = Outbox(wire, self._flusher, self._runner.settings.websocket_backlog_bytes, self._runner.traffic)
        connection = MarketConnection(self._runner, outbox, scope)
        try:
            await connection.greet(authorization_of(scope["headers"]))
        except BaseException:
            connection.end()
            raise
        await wire.heard_by(connection, receive)


class MarketConnection(Connection):
    """One client: what it watches, and how much it has said."""

    __slots__ = ("_minute", "_spoken_in_minute")

    def __init__(self, runner: Runner, outbox: Outbox, scope: Scope) -> None:
        super().__init__(runner, outbox, scope)
        self._minute = asyncio.get_running_loop().time()
        self._spoken_in_minute = 0

    async def greet(self, authorization: str | None) -> None:
        """Let in whom this shows, and say hello: what the client says next, it says as that viewer."""
        self._admit(authorization, self._say_hello)
        if self._admitting is not None:
            await asyncio.wait([self._admitting])

    def receive(self, text: str | None) -> None:
        """Do what a message says."""
        if not self._is_heard():
            return
        if not self._may_speak():
            most = most_messages(self._admission.viewer.tier)
            self._refuse("RATE_LIMIT", f"{most} messages were sent in a minute; wait until it is over.")
            return
        match json_of(text):
            case {"type": "subscribe", "symbols": list(symbols)} if _are_texts(symbols):
                self._subscribe(symbols)
            case {"type": "unsubscribe", "symbols": list(symbols)} if _are_texts(symbols):
                self._unsubscribe(symbols)
            case {"type": "ping", "authorization": str(authorization)}:
                self._admit(authorization, self._answer_ping)
            case {"type": "ping"}:
                self._answer_ping()
            case {"type": "get_subscriptions"}:
                self._tell("subscriptions", symbols=list(self._under_way))
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
            if symbol not in self._under_way and symbol not in fresh:
                if len(self._under_way) + len(fresh) >= most:
                    errors.append(f"{most} symbols are watched on this connection; unsubscribe from one first.")
                    break
                fresh.append(symbol)
            taken.append(symbol)
        self._tell("subscribed", symbols=list(dict.fromkeys(taken)), **({"errors": errors} if errors else {}))
        for name in fresh:
            request = GraphQLRequest(query=QUOTES, variables={"symbols": [name]})
            self._start(name, request, self._documents.prepare_own, _Quotes(self, self._outbox, name))

    def _unsubscribe(self, texts: list[str]) -> None:
        symbols = [symbol for symbol in dict.fromkeys(text.upper() for text in texts) if symbol in self._under_way]
        for symbol in symbols:
            self._under_way.pop(symbol).close()
        self._tell("unsubscribed", symbols=symbols)

    def _may_speak(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._minute >= MINUTE_S:
            self._minute, self._spoken_in_minute = now, 0
        self._spoken_in_minute += 1
        return self._spoken_in_minute <= most_messages(self._admission.viewer.tier)

    def _say_hello(self) -> None:
        self._tell("connection", status="connected", clientId=token_hex(8))

    def _answer_ping(self) -> None:
        self._tell("pong")

    def _refuse(self, code: str, message: str, **details: str) -> None:
        self._tell("error", code=code, message=message, **details)

    def _tell(self, kind: str, **said: Any) -> None:
        self._outbox.send(_told(kind, **said))


class _Quotes:
    """Where the quotes of one symbol go: the operation's payloads as messages of the door."""

    __slots__ = ("_connection", "_symbol", "outbox")

    def __init__(self, connection: MarketConnection, outbox: Outbox, symbol: str) -> None:
        self._connection = connection
        self.outbox = outbox
        self._symbol = symbol

    def next(self, payloads: Sequence[bytes]) -> None:
        for payload in payloads:
            # It is made once for all clients, so it is cut and not read.
            if payload.startswith(_BEFORE):
                quote = payload[len(_BEFORE) : -len(_AFTER)]
                self.outbox.send(b'{"type":"market_data","data":[%b],"timestamp":"%b"}' % (quote, _now().encode()))
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


def _are_texts(symbols: list[Any]) -> bool:
    return 0 < len(symbols) <= MAX_NAMED and all(isinstance(symbol, str) for symbol in symbols)
