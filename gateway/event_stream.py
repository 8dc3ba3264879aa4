"""GraphQL over server-sent events, a stream for each operation (github.com/enisdenjo/graphql-sse, PROTOCOL.md)."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from starlette.types import Receive, Scope, Send

from errors import Forbidden
from gateway.auth import Admission
from gateway.caching import NOT_KEPT
from gateway.origins import origin_check
from gateway.outbox import Flusher, Outbox
from gateway.request import GraphQLRequest
from gateway.running import Prepare, Run, Runner
from gateway.wire import EventStreamWire
from resolvers.world import Context

KEEP_ALIVE_S: Final = 15.0
"""How often a comment goes out, so that no proxy takes the stream for dead."""

_COMMENT = b":\n\n"

COMPLETED: Final = 1000
RESTARTING: Final = 1012
FORBIDDEN: Final = 4403
"""Streams have no codes of their own; they are counted under those that a WebSocket would have been closed with."""


class EventStreams:
    """Answers that are sent as events: `next` for each result, then `complete`.

    A stream that ends without `complete` was cut short, as the server restarts, the client reads too slowly or its
    token has ended, and may be opened again.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._flusher = Flusher(runner.traffic)
        self._is_allowed = origin_check(runner.settings.allowed_origins)
        self._under_way: defaultdict[UUID | str, set[Run]] = defaultdict(set)

    def check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises Forbidden where a page asks that may not: a browser sends some requests without asking first."""
        origin, host = (headers[name].decode("latin-1") if name in headers else None for name in (b"origin", b"host"))
        if not self._is_allowed(origin, host):
            raise Forbidden(f"Pages of {origin} may not open streams here; SMARTFIN_ORIGINS names those that may.")

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        request: GraphQLRequest,
        prepare: Prepare,
        context: Context,
        admission: Admission,
    ) -> None:
        """Answer a request that was read, until it is complete or the client is gone."""
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"x-request-id", context.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"x-accel-buffering", b"no"),
            NOT_KEPT,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        runner = self._runner
        wire = EventStreamWire(send)
        outbox = Outbox(wire, self._flusher, runner.settings.websocket_backlog_bytes, runner.traffic)
        gone = asyncio.create_task(_gone(receive))
        barred = asyncio.create_task(admission.ended())
        over = [gone, barred, *map(asyncio.create_task, (wire.closed.wait(), scope["state"]["draining"].wait()))]
        runner.traffic.connections += 1
        client = context.viewer.user_id or context.address
        events = _Events(outbox)
        under_way = self._under_way[client]
        run = None
        if runner.may_begin(context.viewer.tier, len(under_way), events):
            run = runner.start(request, prepare, context, events, under_way)
            under_way.add(run)
        try:
            while not (await asyncio.wait(over, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                outbox.send(_COMMENT)
            if not gone.done():
                outbox.close(FORBIDDEN if barred.done() else RESTARTING, "")
                await wire.finish()
        finally:
            runner.traffic.connections -= 1
            if run is not None:
                run.close()
                under_way.discard(run)
                if not under_way:
                    self._under_way.pop(client, None)
            outbox.clear()
            for task in over:
                task.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Events:
    """The events of one operation."""

    __slots__ = ("outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def next(self, payloads: Sequence[bytes]) -> None:
        self.outbox.send_all((b"event: next\ndata: ", payloads, b"\n\n"))

    def error(self, payload: bytes) -> None:
        self.next([b'{"errors":%b}' % payload])
        self.complete()

    def complete(self) -> None:
        self.outbox.send(b"event: complete\ndata:\n\n")
        self.outbox.wait(self)

    def drain(self) -> None:
        """Everything was sent."""
        self.outbox.close(COMPLETED, "")
