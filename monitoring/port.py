"""The port for operators alone: metrics and health of one process, whatever its role."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from errors import StartError
from monitoring.health import livez, readyz
from monitoring.metrics import metrics
from settings import Settings

logger = logging.getLogger(__name__)


@asynccontextmanager
async def operators_port(settings: Settings, state: Mapping[str, Any]) -> AsyncIterator[None]:
    """Answer on SMARTFIN_METRICS_PORT until closed; a worker takes the first that is free from there on.

    `state` is what the requests find in theirs. Without the setting nothing is done. Raises StartError.
    """
    if settings.metrics_port is None:
        yield
        return

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        yield state

    routes = [Route("/metrics", metrics), Route("/livez", livez), Route("/readyz", readyz)]
    config = uvicorn.Config(
        Starlette(routes=routes, lifespan=lifespan),
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Quiet(config)
    with _listen(settings.host, settings.metrics_port, settings.workers) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        serving.add_done_callback(lambda _: _note_end(server))
        try:
            yield
        finally:
            server.should_exit = True
            await serving


class _Quiet(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for whoever runs the process."""
        yield


def _note_end(server: uvicorn.Server) -> None:
    if not server.should_exit:
        logger.error("the port for operators does not answer any more")


def _listen(host: str, port: int, count: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(port, port + count):
        try:
            return socket.create_server((host, number), family=family)
        except (OSError, OverflowError) as error:
            last = error
    raise StartError(f"Cannot listen on {host}:{port}: {last}; choose another SMARTFIN_METRICS_PORT.")
