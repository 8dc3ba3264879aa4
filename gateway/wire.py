"""How messages reach one client: several in one write where the server is ours, else as ASGI has them."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

CLOSE_S: Final = 5.0
"""How long a client may take to answer a close, and to read what is still on its way, before it is cut off."""

_EXTENSION: Final = "smartfin.wire"


Batch: TypeAlias = tuple[bytes, Sequence[bytes], bytes]
"""Messages, each UTF-8 text, that begin and end alike: what they begin with, what is between, what they end with.

What is between is shared with other clients, and copied only as it is written.
"""


class Listener(Protocol):
    """Who hears what a client says."""

    def receive(self, text: str | None) -> None:
        """A message has come; None where it is no text."""
        ...

    def end(self) -> None:
        """Nothing more will come."""
        ...


class Wire(Protocol):
    """Where an outbox writes; `on_writable` is told when the client reads too little for more, and when enough."""

    on_writable: Callable[[bool], None] | None
    farewell: Callable[[], bytes] | None
    """Makes the message that is sent before the server closes the connection as it ends."""

    def write(self, batches: Sequence[Batch]) -> int:
        """Send the messages in this order, and say how many they are: none where the connection is closing."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send what was written, then close; its listener is told of the end soon."""
        ...

    async def heard_by(self, listener: Listener, receive: Receive) -> None:
        """Have the listener told what comes in: until the end, or from now on where the server is ours."""
        ...


def wire_of(scope: Scope, send: Send) -> Wire:
    """The wire of a connection: the server's own, or one over plain ASGI."""
    own: Wire | None = scope.get("extensions", {}).get(_EXTENSION)
    return own or AsgiWire(send)


@lru_cache(4096)
def frame_header(size_bytes: int) -> bytes:
    """What precedes an unmasked text of so many bytes that is one whole frame (RFC 6455, 5.2)."""
    if size_bytes < 126:
        return bytes((0x81, size_bytes))
    if size_bytes < 1 << 16:
        return b"\x81\x7e" + size_bytes.to_bytes(2, "big")
    return b"\x81\x7f" + size_bytes.to_bytes(8, "big")


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, with a wire that writes many messages at once.

    An ASGI `send` for each message costs more than all else of a fan-out, so the messages are framed here. And a task
    that waits in `receive` costs more memory than all else of a connection, so the application hands it over to a
    listener and returns. The handshake and the closing are uvicorn's and the library `websockets`' own.
    """

    on_writable: Callable[[bool], None] | None = None
    farewell: Callable[[], bytes] | None = None
    is_handed_over = False

    async def heard_by(self, listener: Listener, receive: Receive) -> None:
        """Tell the listener from now on; the application may return."""
        told = _Told(listener)
        while not self.queue.empty():
            told.put_nowait(await receive())
        self.queue = told  # type: ignore[assignment]  # of which `put_nowait` is all that is used from now on
        self.is_handed_over = True

    async def run_asgi(self) -> None:
        """Run the application; the connection ends with it, unless it was handed over."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except BaseException:
            self.logger.exception("the application failed")
            self.send_500_response()
        else:
            if self.is_handed_over:
                # A third of a connection's memory, read by now; the library's parser has the request, too.
                self.request.headers.clear()
                del self.scope, self.request, self.response
                return
            if not self.handshake_complete:
                self.send_500_response()
        if self.close_timer is None:
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Hand on the message that is whole; the next may come where there is no `receive` to wait for."""
        super().send_receive_event_to_app()
        if self.is_handed_over and self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def write(self, batches: Sequence[Batch]) -> int:
        """Frame and write the messages."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return 0
        pieces: list[bytes] = []
        for head, bodies, tail in batches:
            around = len(head) + len(tail)
            for body in bodies:
                pieces += (frame_header(around + len(body)), head, body, tail)
        self.transport.write(b"".join(pieces))
        return len(pieces) // 4  # of each message

    def close(self, code: int, reason: str) -> None:
        """Close with the code, and cut the client off if it does not answer."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)

    def handle_connect(self, event: Any) -> None:
        """Take the handshake, and leave the wire in the scope; a server that ends turns it away."""
        if self.app_state["draining"].is_set():
            self._turn_away()
            return
        super().handle_connect(event)
        if not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[_EXTENSION] = self

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport as the connection ends, however it does."""
        super().connection_lost(exc)
        # It leads back to all the rest, which else would be there until garbage is collected.
        self.conn.parser.close()
        self.conn.parser_exc = None

    def pause_writing(self) -> None:
        """Called by the transport when its buffer is full."""
        super().pause_writing()
        if self.on_writable is not None:
            self.on_writable(False)

    def resume_writing(self) -> None:
        """Called by the transport when the client has read."""
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable(True)

    def shutdown(self) -> None:
        """Called by the server as it ends: the client is told to come back."""
        if self.handshake_complete:
            if self.farewell is not None:
                self.write([(b"", (self.farewell(),), b"")])
            self.close(1012, "Service restart")
        else:
            self._turn_away()

    def _turn_away(self) -> None:
        """Answer a handshake with 503, upon which a proxy asks another server, and a client comes back."""
        self.handshake_complete = self.close_sent = True
        self.conn.send_response(self.conn.reject(503, "The server restarts.\n"))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def keepalive_timeout(self) -> None:
        """Close a client that answers no ping with a code after which it connects again; 1011 would end it."""
        self.pong_timer = None
        self.pending_ping_payload = None
        self.close(4408, "No pong came in time.")
        if self.close_timer is not None:  # it is as good as gone
            self.close_timer.cancel()
            self.transport.abort()


class _Told:
    """In the place of a connection's queue: tells a listener instead of keeping the messages."""

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener) -> None:
        self._listener: Listener | None = listener

    def put_nowait(self, message: Mapping[str, Any]) -> None:
        if self._listener is None:
            return
        if message["type"] == "websocket.receive":
            self._listener.receive(message.get("text"))
        else:
            # Not at once: it may be that this very listener closes the connection.
            asyncio.get_running_loop().call_soon(self._listener.end)
            self._listener = None


class AsgiWire:
    """The way over plain ASGI: a task that sends one message after the other."""

    def __init__(self, send: Send) -> None:
        self.on_writable: Callable[[bool], None] | None = None
        self.farewell: Callable[[], bytes] | None = None
        self._send = send
        self._messages: deque[dict[str, Any]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def write(self, batches: Sequence[Batch]) -> int:
        """Send the messages after those that wait."""
        messages = _joined(batches)
        self._enqueue(*({"type": "websocket.send", "text": message.decode()} for message in messages))
        return len(messages)

    def close(self, code: int, reason: str) -> None:
        """Close after what waits."""
        self._enqueue({"type": "websocket.close", "code": code, "reason": reason})

    async def heard_by(self, listener: Listener, receive: Receive) -> None:
        """Tell the listener until the end."""
        try:
            while (message := await receive())["type"] == "websocket.receive":
                listener.receive(message.get("text"))
        finally:
            listener.end()

    def _enqueue(self, *messages: dict[str, Any]) -> None:
        self._messages.extend(messages)
        if self._sending is None:
            self._sending = asyncio.create_task(self._run())
            if self.on_writable is not None:
                self.on_writable(False)

    async def _run(self) -> None:
        try:
            while self._messages:
                await self._send(self._messages.popleft())
        except (OSError, RuntimeError):  # it is gone, and `receive` says so
            self._messages.clear()
        finally:
            self._sending = None
        if self.on_writable is not None:
            self.on_writable(True)


class EventStreamWire(AsgiWire):
    """The way over HTTP: messages are parts of one answer, which ends with the close."""

    def __init__(self, send: Send) -> None:
        super().__init__(send)
        self.closed = asyncio.Event()

    def write(self, batches: Sequence[Batch]) -> int:
        """Send the messages as one part after those that wait."""
        messages = _joined(batches)
        self._enqueue({"type": "http.response.body", "body": b"".join(messages), "more_body": True})
        return len(messages)

    def close(self, code: int, reason: str) -> None:
        """End the answer after what waits."""
        self._enqueue({"type": "http.response.body", "body": b""})
        self.closed.set()

    async def finish(self) -> None:
        """Wait for what was closed to be read, but not for ever: then the server cuts the client off."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=CLOSE_S)


def _joined(batches: Sequence[Batch]) -> list[bytes]:
    return [b"".join((head, body, tail)) for head, bodies, tail in batches for body in bodies]
