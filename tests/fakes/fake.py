"""What every fake upstream has in common: a real HTTP server, a record of requests, and ways to fail."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import Enum, auto
from types import TracebackType
from typing import Any, ClassVar, Self

from aiohttp import web

from market import Interval
from sources.source import Source

BarRow = list[Any]
"""A bar as the upstream tells it: time, open, high, low and close, then whatever else."""
ChangeBars = Callable[[list[BarRow]], list[BarRow]]


class Failure(Enum):
    """How the HTTP side can fail, whatever is asked; a fake has its own ways beside these."""

    RESET = auto()
    SILENCE = auto()
    STATUS_500 = auto()
    STATUS_503_HTML = auto()
    LIMITED = auto()
    LIMITED_RETRY_AFTER = auto()
    REFUSED = auto()
    HTML = auto()
    EMPTY = auto()
    TRUNCATED = auto()
    WRONG_SHAPE = auto()
    ECHO = auto()


class Unlimited:
    """A budget that allows everything and counts."""

    def __init__(self) -> None:
        self.spent = 0

    async def take(self, cost: int = 1) -> None:
        self.spent += cost


class Fake:
    """An upstream. A subclass adds its routes in `routes`, and answers from `prices` and `now`.

    `symbols` are the ones of ours that it knows, `unknown` is one that its source covers but it does not know.
    `prices` has the last price of each, which tests may set; history ends in a forming bar whose close it is.
    `push` sends a tick to every stream that has subscribed to the symbol. `secrets` must never be told to anybody.
    `change_bars`, where it is set, is let loose on the bars of every answer; none comes before
    `holds` is set.
    """

    name: ClassVar[str]
    symbols: ClassVar[tuple[str, ...]]
    unknown: ClassVar[str]
    secrets: ClassVar[tuple[str, ...]] = ()
    intervals: ClassVar[tuple[Interval, ...]]
    limited: ClassVar[Callable[[], web.Response]] = lambda: web.json_response({}, status=429)
    refused: ClassVar[Callable[[], web.Response]] = lambda: web.json_response({}, status=403)

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.prices: dict[str, float] = {}
        self.failure: Failure | None = None
        self.change_bars: ChangeBars | None = None
        self.holds = asyncio.Event()
        self.holds.set()
        self.requests: list[web.Request] = []
        self.budget = Unlimited()
        self.timeout_s = 10.0
        self._transports: set[asyncio.Transport] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    def routes(self) -> list[web.RouteDef]:
        """Every path that it answers."""
        raise NotImplementedError

    def source(self) -> Source:
        """The source that talks to this fake, with `self.budget`."""
        raise NotImplementedError

    async def push(self, symbol: str, price: float, time: datetime) -> None:
        """Send a tick to whoever has subscribed."""
        raise NotImplementedError

    async def say(self, text: str) -> None:
        """Send a frame, whatever it says, to every stream."""
        raise NotImplementedError

    def is_watched(self, symbol: str) -> bool:
        """Whether a stream has subscribed to the symbol."""
        raise NotImplementedError

    def with_bars(self, path: str, payload: Any, change: ChangeBars) -> Any:
        """The payload of a path with its bars changed; as it is where it has none."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """Where its stream is."""
        return f"ws://127.0.0.1:{self._port}"

    async def drop_sockets(self) -> None:
        """Cut every stream without a close frame."""
        for transport in list(self._transports):
            transport.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, on the port of before if there was one."""
        app = web.Application(middlewares=[self._middleware()])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be gone: connections are refused from now on."""
        if self._runner is not None:
            await self.drop_sockets()
            await self._runner.cleanup()
            self._runner = None

    def _middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def failing(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            self.requests.append(request)
            if request.headers.get("Upgrade") == "websocket":
                return await self._streaming(request, handler)
            await self.holds.wait()
            if self.failure is not None:
                return await self._failed(request, self.failure)
            answer = await handler(request)
            if self.change_bars is None or not isinstance(answer, web.Response) or not answer.text:
                return answer
            return web.json_response(self.with_bars(request.path, json.loads(answer.text), self.change_bars))

        return failing

    async def _streaming(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        transport = request.transport  # the request forgets it once the connection is gone
        assert transport is not None
        self._transports.add(transport)
        try:
            return await handler(request)
        finally:
            self._transports.discard(transport)

    async def _failed(self, request: web.Request, failure: Failure) -> web.StreamResponse:
        match failure:
            case Failure.RESET:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            case Failure.SILENCE:
                await asyncio.sleep(60)
                return web.Response()
            case Failure.STATUS_500:
                return web.json_response({"error": "Internal Server Error"}, status=500)
            case Failure.STATUS_503_HTML:
                return web.Response(
                    status=503, text="<html><h1>Will be right back</h1></html>", content_type="text/html"
                )
            case Failure.LIMITED:
                return type(self).limited()
            case Failure.LIMITED_RETRY_AFTER:
                answer = type(self).limited()
                answer.headers["Retry-After"] = "7"
                return answer
            case Failure.REFUSED:
                return type(self).refused()
            case Failure.HTML:
                return web.Response(text="<html><body>Hello</body></html>", content_type="text/html")
            case Failure.EMPTY:
                return web.Response(text="")
            case Failure.TRUNCATED:
                return web.Response(text='{"chart":{"result":[{"meta":{"curr', content_type="application/json")
            case Failure.WRONG_SHAPE:
                return web.json_response({"surprise": [1, 2, {"a": None}]})
            case Failure.ECHO:
                # A proxy that tells the whole request, keys and all.
                return web.Response(text=f"<pre>{request.url}\n{request.rel_url}\n{dict(request.headers)}</pre>")
