"""The HTTP server: uvicorn on a socket that is already bound."""

import logging
import os
import socket

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from settings import Mode, Settings

DRAIN_S = 8
"""How long requests under way may take once the process was told to end."""

MAX_FRAME_BYTES = 64 * 1024


def serve(settings: Settings, listening: socket.socket, workers: int) -> None:
    """Serve until SIGTERM or Ctrl-C, with as many processes as asked for."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for every plugin and every start
    config = uvicorn.Config(
        "app:create_app",
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        workers=workers,
    )
    where = _url(listening)
    if workers > 1:
        click.echo(_banner(settings, where))
        Multiprocess(config, [listening]).run()
    else:
        _Server(config, _banner(settings, where)).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says where to look, once it answers."""

    def __init__(self, config: uvicorn.Config, banner: str) -> None:
        super().__init__(config)
        self._banner = banner

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            click.echo(self._banner)


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
        f"    GraphQL  {where}/graphql   (GraphiQL in a browser)\n"
        f"    Health   {where}/readyz\n"
        f"    Mode     {mode}\n"
    )
