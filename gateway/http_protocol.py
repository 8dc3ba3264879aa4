"""The HTTP/1.1 of uvicorn, with bounds on what comes before a body, and refusals that say why."""

import asyncio
from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from errors import BodyTooLarge, MalformedRequest, SmartFinError
from gateway.answer import status_of

MAX_HEAD_BYTES: Final = 65_535
"""As long as the parser takes an address for one; with its headers a request may have about as much."""

HEAD_S = 30.0
"""How long a head may take to come whole, from the connection or, of a later request, from its first byte."""

_REASONS: Final = {400: "Bad Request", 413: "Content Too Large"}


class HttpProtocol(HttpToolsProtocol):
    """One connection. What is refused here never reached a door, so it is told as GraphQL tells it."""

    url = b""
    _is_in_head = False
    _head_bytes = 0
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for a head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop_waiting()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that is not whole: the parser keeps all of it."""
        super().data_received(data)
        if self._is_in_head:
            self._wait()
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._is_in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Give the connection to the protocol of WebSockets, and let go of the parser, which leads back here."""
        super().handle_websocket_upgrade()
        self.parser = None  # type: ignore[assignment]

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not read."""
        self._refuse()

    def _wait(self) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(HEAD_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _refuse(self) -> None:
        error: SmartFinError = MalformedRequest("This is no HTTP request.")
        if max(self._head_bytes, len(self.url)) > MAX_HEAD_BYTES:
            error = BodyTooLarge(
                f"The address or the headers have more than {MAX_HEAD_BYTES} bytes; send a long document by POST.",
                limit=MAX_HEAD_BYTES,
            )
        status = status_of(error.code)
        body = orjson.dumps({"errors": [{"message": str(error), "extensions": error.extensions}]})
        self.transport.write(
            b"HTTP/1.1 %d %b\r\n" % (status, _REASONS[status].encode())
            + b"content-type: application/json; charset=utf-8\r\ncontent-length: %d\r\n" % len(body)
            + b"connection: close\r\n\r\n"
            + body
        )
        self.transport.close()
