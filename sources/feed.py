"""One WebSocket connection of a source, whatever the venue's dialect.

It connects, subscribes at the venue's pace, and ends with an error when the connection does. Who calls it
(`sources/streams.py`) connects anew, watches for silence, and goes to another source.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import aiohttp

from errors import SourceTimeout, SourceUnreachable
from market import Quote
from sources.http import Http
from sources.source import Demand

logger = logging.getLogger(__name__)

CONNECT_S: Final = 10.0
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
LOGGED_CHARS: Final = 300


class Dialect(Protocol):
    """What differs from venue to venue; one object for one connection. Frames are text, both ways."""

    @property
    def url(self) -> str:
        """Where to connect."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What the handshake must say."""
        ...

    @property
    def messages_per_second(self) -> float:
        """How fast we may send."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether symbols may be subscribed to: at once, or once `parse` has seen the venue let us in."""
        ...

    def hello(self) -> Sequence[str]:
        """What to send first: a key, where one is needed."""
        ...

    def subscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """The frames that ask for these symbols of ours."""
        ...

    def unsubscribe(self, symbols: Sequence[str]) -> Sequence[str]:
        """The frames that give these symbols up."""
        ...

    def parse(self, frame: str) -> Sequence[Quote]:
        """The quotes in a frame; none in acknowledgements, heartbeats and refusals of single symbols.

        Raises SourceError where the connection must be given up (SourceRefused: for good), and LookupError,
        TypeError or ValueError where the frame makes no sense: it is logged and passed over.
        """
        ...


async def feed(http: Http, dialect: Dialect, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
    """Every change of the symbols in demand, in batches, until it is closed or the connection ends.

    Raises SourceTimeout, SourceUnreachable, or what the dialect raises.
    """
    source = http.source
    try:
        async with asyncio.timeout(CONNECT_S):
            socket = await http.session.ws_connect(
                dialect.url, headers=dialect.headers, max_msg_size=MAX_FRAME_BYTES, heartbeat=20.0
            )
    except TimeoutError:
        raise SourceTimeout(f"the stream of {source} did not open within {CONNECT_S:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise SourceUnreachable(f"the stream of {source} cannot be reached ({type(error).__name__})") from None
    ready = asyncio.Event()
    asking = asyncio.create_task(_ask(socket, dialect, demand, ready))
    try:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            quotes = _parsed(http, dialect, message.data)
            if dialect.is_ready:
                ready.set()
            if quotes:
                yield quotes
            if asking.done():
                break
        if asking.done():
            asking.result()
        raise SourceUnreachable(f"the stream of {source} was closed (code {socket.close_code})")
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError, OSError, aiohttp.ClientError):
            await asking
        await socket.close()


def _parsed(http: Http, dialect: Dialect, frame: str) -> Sequence[Quote]:
    try:
        return dialect.parse(frame)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        why, said = http.scrubbed(repr(error)), http.scrubbed(frame)[:LOGGED_CHARS]
        logger.warning("%s: a frame makes no sense (%s): %s", http.source, why, said)
        return ()


async def _ask(socket: aiohttp.ClientWebSocketResponse, dialect: Dialect, demand: Demand, ready: asyncio.Event) -> None:
    """Keep what the venue sends equal to what is in demand."""
    pause_s = 1 / dialect.messages_per_second

    async def send(frames: Sequence[str]) -> None:
        for frame in frames:
            await socket.send_str(frame)
            await asyncio.sleep(pause_s)

    await send(dialect.hello())
    if not dialect.is_ready:
        await ready.wait()
    asked: frozenset[str] = frozenset()
    while True:
        wanted = demand.symbols
        if gone := sorted(asked - wanted):
            await send(dialect.unsubscribe(gone))
        if new := sorted(wanted - asked):
            await send(dialect.subscribe(new))
        asked = wanted
        await demand.changed(asked)
