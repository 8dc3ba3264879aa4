"""The HTTP/1.1 of uvicorn, with a bound on what comes before a body, and refusals that say why."""

from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from errors import BodyTooLarge, MalformedRequest, SmartFinError
from gateway.answer import status_of

MAX_HEAD_BYTES: Final = 65_535
"""As long as the parser takes an address for one; with its headers a request may have about as much."""

_REASONS: Final = {400: "Bad Request", 413: "Content Too Large"}


class HttpProtocol(HttpToolsProtocol):
    """One connection. What is refused here never reached a door, so it is told as GraphQL tells it."""

    url = b""
    _is_in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head that is not whole: the parser keeps all of it."""
        super().data_received(data)
        if self._is_in_head:
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
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser could not read."""
        self._refuse()

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
