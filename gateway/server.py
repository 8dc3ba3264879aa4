"""The HTTP server: uvicorn on a socket that is already bound."""

import asyncio
import gc
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import wait

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

import logs
from errors import StartError
from gateway.http_protocol import HttpProtocol
from gateway.wire import WebSocketProtocol
from settings import Mode, Settings, load_settings

DRAIN_S = 5
"""How long requests under way may take once nobody is let in any more."""

ON_ITS_WAY_S = 1.0
"""How long a connection without a request is kept then: one may be on its way, as its client knows nothing yet."""

SLICES = 20
SLICE_S = 0.1
LEAST_SLICE = 50
"""WebSockets are closed in slices, so that their clients do not all come back at the same moment."""

MAX_MESSAGE_BYTES = 64 * 1024

WORKER_S = 30
"""How long a worker may say nothing before it is replaced: on a machine that is busy it takes seconds to begin."""

PING_S = 20
PONG_S = 60
"""A client that stops reading for a while answers late; one that is gone never does."""


def serve(settings: Settings, listening: socket.socket, workers: int) -> None:
    """Serve until SIGTERM or Ctrl-C, with as many processes as asked for."""
    config = uvicorn.Config(
        "app:create_app",
        factory=True,
        loop="uvloop",
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PONG_S,
        ws_per_message_deflate=False,
        log_config=logs.config(settings.log_level, settings.log_format),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_worker_healthcheck=WORKER_S,
        workers=workers,
    )
    where = _url(listening)
    if workers > 1:
        multiprocess.Process = _Worker  # type: ignore[misc]  # the one way to say what uvicorn's supervisor starts
        supervisor = _Supervisor(config, listening, _banner(settings, where))
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise StartError("A worker could not start; the log says why.")
    else:
        _Server(config, settings.drain_seconds, _banner(settings, where)).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says where to look, once it answers; ends without losing a request, and its clients come back a few at a time."""

    def __init__(self, config: uvicorn.Config, drain_s: float, banner: str = "") -> None:
        super().__init__(config)
        self._drain_s = drain_s
        self._banner = banner

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Modules and the schema stay for good: to look through them again and again for garbage stalls every client
        # for 200 ms at a time.
        gc.collect()
        gc.freeze()
        if self.started and self._banner:
            click.echo(self._banner)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state["draining"].set()  # /readyz says so, and handshakes of WebSockets are turned away
        # Each answer is the last of its connection now. Not added to the list there is: handshakes under way have that.
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await asyncio.gather(self._wait(self._drain_s, lambda: True), self._close_websockets())
        await self._let_in_the_last(sockets or [])
        await self._wait(ON_ITS_WAY_S, lambda: any(map(_has_no_request, self.server_state.connections)))
        await super().shutdown(sockets)

    async def _close_websockets(self) -> None:
        size = LEAST_SLICE
        while watching := [kept for kept in self.server_state.connections if _is_open(kept)]:
            size = max(size, -(-len(watching) // SLICES))  # of the most there were
            for connection in watching[:size]:
                connection.shutdown()
            await asyncio.sleep(SLICE_S)

    async def _let_in_the_last(self, sockets: Sequence[socket.socket]) -> None:
        """Accept whom the kernel has let in already, who would be cut off, and in the same breath listen no more."""
        waiting = []
        for listening in sockets:
            with suppress(BlockingIOError):
                while True:
                    waiting.append(listening.accept()[0])
        for server in self.servers:
            server.close()
        for listening in sockets:
            listening.close()
        for connection in waiting:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return HttpProtocol(self.config, self.server_state, self.lifespan.state)

    async def _wait(self, most_s: float, still: Callable[[], bool]) -> None:
        """Wait while it is still so, but no longer than this, nor where Ctrl-C was pressed a second time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + most_s
        while still() and loop.time() < deadline and not self.force_exit:  # noqa: ASYNC110 - they tell nobody
            await asyncio.sleep(SLICE_S)


def _is_open(connection: object) -> bool:
    return isinstance(connection, WebSocketProtocol) and not connection.close_sent


def _has_no_request(connection: object) -> bool:
    return isinstance(connection, HttpProtocol) and (connection.cycle is None or connection.cycle.response_complete)


class _Worker(multiprocess.Process):
    """Ends as a process that serves alone does; one that has ended is not waited for."""

    def _healthcheck(self, timeout: float) -> bool | None:
        """As uvicorn's, which waits as long for one that has ended as for one that is slow."""
        with suppress(OSError, EOFError):
            self.parent_conn.send(b"ping")
            if self.parent_conn in wait([self.parent_conn, self.process.sentinel], timeout):
                return bool(self.parent_conn.recv())
        return None

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        self._server = _Server(self.config, load_settings().drain_seconds)  # before its threads ask for one at once
        super().target(sockets)


class _Supervisor(Multiprocess):
    """Says where to look, once every worker answers; listens no longer than they do."""

    def __init__(self, config: uvicorn.Config, listening: socket.socket, banner: str) -> None:
        super().__init__(config, [listening])
        self._banner = banner

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self._banner and all(process.is_ready() for process in self.processes):
            click.echo(self._banner)
            self._banner = ""

    def terminate_all(self) -> None:
        for listening in self.sockets:  # or clients would be let in whom no worker answers
            listening.close()
        super().terminate_all()


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - where to look, not where to bind
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _banner(settings: Settings, where: str) -> str:
    sandbox = settings.mode is Mode.SANDBOX
    mode = (
        "sandbox: a make-believe exchange, every value marked synthetic.\n"
        "             For real data: SMARTFIN_MODE=live make run"
        if sandbox
        else "live: real data.\n             For the make-believe exchange: SMARTFIN_MODE=sandbox make run"
    )
    return (
        f"\n  SmartFin answers (pid {os.getpid()}).\n"
        f"    Page     {where}/\n"
        f"    GraphQL  {where}/graphql{'   (GraphiQL in a browser)' if settings.graphiql else ''}\n"
        f"    Health   {where}/readyz\n"
        f"    Mode     {mode}\n"
    )
