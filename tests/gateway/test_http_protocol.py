"""What comes before the body of a request is bounded, and what is refused says why."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gateway import http_protocol
from gateway.http_protocol import MAX_HEAD_BYTES, HttpProtocol
from tests.conftest import Running

TAIL = b" HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


async def answered(server: Running, request: bytes) -> tuple[int, Any]:
    """The status and the JSON of what a connection is told that sends these bytes."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(60):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)


def address(size: int) -> bytes:
    """One of so many bytes, that nothing is served at."""
    return b"/api/".ljust(size, b"a")


async def test_an_address_may_be_as_long_as_the_bound_and_no_longer(sandbox: Running) -> None:
    status, answer = await answered(sandbox, b"GET " + address(MAX_HEAD_BYTES - len(TAIL) - 4) + TAIL)
    assert (status, answer["error"]["code"]) == (404, "NOT_FOUND")
    status, answer = await answered(sandbox, b"GET " + address(MAX_HEAD_BYTES + 1) + TAIL)
    [error] = answer["errors"]
    assert (status, error["extensions"]) == (413, {"code": "BODY_TOO_LARGE", "limit": MAX_HEAD_BYTES})


@pytest.mark.parametrize("begun", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\nX: a\r\n"])
async def test_a_head_is_refused_before_it_is_whole(sandbox: Running, begun: bytes) -> None:
    status, answer = await answered(sandbox, begun.ljust(MAX_HEAD_BYTES + 1, b"a"))
    assert (status, answer["errors"][0]["extensions"]["code"]) == (413, "BODY_TOO_LARGE")


async def test_what_is_no_http_is_told_in_json(sandbox: Running) -> None:
    status, answer = await answered(sandbox, b"NONSENSE\r\n\r\n")
    assert (status, answer["errors"][0]["extensions"]) == (400, {"code": "MALFORMED_REQUEST"})


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """The port of a server that does not wait long for a head."""
    monkeypatch.setattr(http_protocol, "HEAD_S", 2.0)

    async def answer(_: Any) -> PlainTextResponse:
        await asyncio.sleep(3)  # longer than a head may take
        return PlainTextResponse("here")

    app = Starlette(routes=[Route("/", answer)])
    server = uvicorn.Server(uvicorn.Config(app, http=HttpProtocol, log_config=None, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = asyncio.create_task(server.serve([listening]))
        yield listening.getsockname()[1]
        server.should_exit = True
        await running


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: here\r\n"])
async def test_a_client_that_never_finishes_its_head_is_hung_up_on(impatient: int, begun: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient)
    writer.write(begun)
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()


async def test_a_request_whose_head_is_whole_is_answered_however_long_it_takes(impatient: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient)
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(60):
        assert (await reader.read()).endswith(b"here")
    writer.close()
