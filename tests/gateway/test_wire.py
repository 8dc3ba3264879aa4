"""Frames as RFC 6455 wants them, and the way over plain ASGI."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from gateway.wire import AsgiWire, frame_header
from tests.waiting import until


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 65_537, 1_000_000])
def test_a_frame_is_byte_for_byte_that_of_the_library(size: int) -> None:
    text = b"x" * size
    assert frame_header(size) + text == Frame(Opcode.TEXT, text).serialize(mask=False)


async def test_asgi_sends_one_by_one_in_order_and_says_when_it_is_through() -> None:
    sent: list[Any] = []
    turned: list[bool] = []
    gate = asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        await gate.wait()
        sent.append(message.get("text") or message["code"])

    wire = AsgiWire(send)
    wire.on_writable = turned.append
    wire.write([(b"<", (b"a", b"b"), b">")])
    wire.write([(b"", (b"c",), b""), (b"d", (b"",), b"")])
    wire.close(4400, "bad")
    assert turned == [False]
    gate.set()
    await until(lambda: turned == [False, True])
    assert sent == ["<a>", "<b>", "c", "d", 4400]


async def test_asgi_forgets_what_waits_once_the_client_is_gone() -> None:
    async def send(_: MutableMapping[str, Any]) -> None:
        raise OSError

    turned = asyncio.Event()
    wire = AsgiWire(send)
    wire.on_writable = lambda is_writable: turned.set() if is_writable else None
    wire.write([(b"<", (b"a", b"b"), b">")])
    async with asyncio.timeout(5):
        await turned.wait()
