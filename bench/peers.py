"""What benchmarks share: a peer in a process of its own, a load of requests on it, and the table of what came out."""

import asyncio
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import cast

import psutil


@dataclass(frozen=True)
class Peer:
    """A server on a port of 127.0.0.1, in a process of its own."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """CPU time that it has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def serving(module: str, *arguments: str) -> Iterator[Peer]:
    """The module as a process that prints its port first; ended at the end."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Peer(int(process.stdout.readline()), psutil.Process(process.pid))
        finally:
            process.terminate()


class _Asking(asyncio.Protocol):
    """Sends the same request again as soon as its answer is there, as often as `left` allows."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Future[None]) -> None:
        self._request = request
        self._left = left
        self._done = done
        self._received = bytearray()
        self._size: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self._ask()

    def _ask(self) -> None:
        if self._left[0] == 0:
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left[0] -= 1
        self._transport.write(self._request)

    def _fail(self) -> None:
        self._transport.close()
        self._done.set_exception(ValueError(bytes(self._received[:600])))

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._size is None and (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end]).lower()
            if not head.startswith(b"http/1.1 200"):
                self._fail()
                return
            self._size = end + 4 + int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if self._size is not None and len(self._received) >= self._size:
            if b'"errors"' in self._received[:400]:
                self._fail()
                return
            self._received.clear()
            self._size = None
            self._ask()


async def cpu_of(peer: Peer, request: bytes, count: int, connections: int) -> float:
    """Seconds of the peer's CPU time that each of `count` such requests takes."""
    before = peer.cpu_s()
    left = [count]
    loop = asyncio.get_running_loop()
    done = [loop.create_future() for _ in range(connections)]
    for future in done:
        await loop.create_connection(lambda future=future: _Asking(request, left, future), "127.0.0.1", peer.port)  # type: ignore[misc]
    await asyncio.gather(*done)
    return (peer.cpu_s() - before) / count


def post(path: str, body: bytes) -> bytes:
    """A GraphQL request's bytes."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """A REST request's bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n".encode()


def machine() -> str:
    """What it ran on, in one line."""
    packages = ("strawberry-graphql", "graphql-core", "starlette", "uvicorn", "polars", "orjson")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{psutil.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    widths = [max(len(row[index]) for row in [heads, *rows]) for index in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    text = "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
    return f"\n{title}\n\n{text}\n"
