"""Many graphql-transport-ws clients on one loop, which count every frame and parse those of the first ten.

    python -m bench.live_clients PORT < symbols.json

A crowd in a process of its own, which parses nothing: what it reads delays nobody who measures. Its symbols are a list
for each client; it prints a line once all are greeted, and how many frames they got once its input ends.
"""

import asyncio
import base64
import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import orjson
import uvloop

PARSING: Final = 10
SELECTION: Final = "symbol price change volume time"


def masked_text(message: Any) -> bytes:
    """A message as the frame of a client, with the mask of zeros that RFC 6455 allows as any other."""
    text = orjson.dumps(message)
    size = bytes((0x80 | len(text),)) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + text


class Client(asyncio.Protocol):
    """One client: subscribes to each selection as it connects, then counts."""

    def __init__(self, symbols: Sequence[str], selections: Sequence[str], *, parses: bool) -> None:
        self.subscribed = asyncio.get_running_loop().create_future()
        self.frames = 0
        self.latest: dict[str, float] = {}
        self.faults = 0
        self.is_closed = False
        self.heard: list[tuple[float, float]] = []
        """Each price that was parsed, and when (time.monotonic)."""
        self._parses = parses
        self._rest = b""
        self._is_open = False
        self._selections = selections
        self.symbols = symbols

    def connection_made(self, transport: Any) -> None:
        """Ask for the WebSocket."""
        self.transport: asyncio.Transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            b"GET /graphql HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
            b"Sec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember it."""
        self.is_closed = True
        if not self.subscribed.done():
            self.subscribed.cancel()

    def data_received(self, data: bytes) -> None:
        """Count the frames, and parse them where asked to."""
        data = self._rest + data if self._rest else data
        if not self._is_open:
            head, separator, data = data.partition(b"\r\n\r\n")
            if not separator:
                self._rest = head
                return
            if b" 101 " not in head:
                raise ConnectionError(head.decode())
            self._is_open = True
            self.transport.write(masked_text({"type": "connection_init"}))
            for number, selection in enumerate(self._selections, 1):
                query = f"subscription ($s: [Symbol!]!) {{ quotes(symbols: $s) {{ {selection} }} }}"
                subscribe = {"query": query, "variables": {"s": self.symbols}}
                self.transport.write(masked_text({"id": str(number), "type": "subscribe", "payload": subscribe}))
        at, end, frames = 0, len(data), 0
        while end - at >= 2:
            size, body = data[at + 1], at + 2
            if size == 126:
                size, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            if end < body + size:
                break
            if data[at] == 0x81:
                frames += 1
                if self._parses:
                    self._parse(data[body : body + size])
            elif data[at] == 0x89:
                self.transport.write(b"\x8a" + bytes((0x80 | size,)) + bytes(4) + data[body : body + size])
            at = body + size
        self._rest = data[at:]
        self.frames += frames
        if frames and not self.subscribed.done():
            self.subscribed.set_result(None)

    def _parse(self, text: bytes) -> None:
        message = orjson.loads(text)
        if message.get("type") == "error":
            self.faults += 1
            return
        told = message.get("payload") or message
        quote = told.get("data", {}).get("quotes") if "data" in told else told.get("quote")
        if quote is None:
            return
        if quote["price"] <= self.latest.get(quote["symbol"], -1.0):
            self.faults += 1
        self.latest[quote["symbol"]] = quote["price"]
        self.heard.append((quote["price"], time.monotonic()))


async def connected(
    port: int,
    watched: Sequence[Sequence[str]],
    selections: Sequence[Sequence[str]] = ((SELECTION,),),
    parsing: int = PARSING,
    receive_bytes: int = 0,
) -> list[Client]:
    """A client for each list of symbols, all of them greeted; so many of them parse what they get.

    Each subscribes to as many `selections` as there are in its turn. The system receives about `receive_bytes` for one
    that does not read, where that is said.
    """
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for start in range(0, len(watched), 50):
        batch = [
            Client(symbols, selections[number % len(selections)], parses=number < parsing)
            for number, symbols in enumerate(watched[start : start + 50], start)
        ]
        for client in batch:
            connecting = socket.socket()
            connecting.setblocking(False)
            if receive_bytes:
                connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            await loop.sock_connect(connecting, ("127.0.0.1", port))
            await loop.create_connection(lambda client=client: client, sock=connecting)  # type: ignore[misc]
        async with asyncio.timeout(30):
            await asyncio.gather(*(client.subscribed for client in batch))
        clients += batch
    return clients


class Crowd:
    """Clients in another process, all of them greeted; what they do after that is count."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def left(self) -> int:
        """How many frames they got in all; they are gone."""
        told, _ = self._process.communicate()
        return int(told)


@contextmanager
def crowd(port: int, watched: Sequence[Sequence[str]]) -> Iterator[Crowd]:
    """A client for each list of symbols."""
    command = [sys.executable, "-m", "bench.live_clients", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(orjson.dumps(watched) + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"greeted\n"
            yield Crowd(process)
        finally:
            process.kill()


async def _stay(port: int) -> None:
    watched = orjson.loads(sys.stdin.readline())
    clients = await connected(port, watched, parsing=0)
    print("greeted", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(sum(client.frames for client in clients))


if __name__ == "__main__":
    gc.disable()
    uvloop.run(_stay(int(sys.argv[1])))
