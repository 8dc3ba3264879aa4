"""One client of a WebSocket, at either door: who it is, how fast it speaks, what it has under way, how it ends."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, ClassVar, Final

import orjson
from starlette.types import Scope

from errors import StoreUnavailable, Unauthenticated
from gateway.auth import Admission, address_of
from gateway.documents import Documents
from gateway.outbox import TRY_AGAIN_LATER, Outbox
from gateway.request import GraphQLRequest
from gateway.running import Prepare, Run, Runner, Sink
from resolvers.world import Context, World

logger = logging.getLogger(__name__)

INTERNAL_ERROR: Final = 1011
UNAUTHORIZED: Final = 4401
TOO_MANY_REQUESTS: Final = 4429


class Connection:
    """What both doors have in common; each says what its messages mean.

    The lifespan's state has `world`, `documents` and `authenticator`.
    """

    __slots__ = (
        "_address",
        "_admission",
        "_admitting",
        "_documents",
        "_is_closed",
        "_outbox",
        "_runner",
        "_second",
        "_spoken",
        "_under_way",
        "_watching",
        "_world",
    )

    barred: ClassVar[tuple[int, str]] = (UNAUTHORIZED, "Unauthorized")
    """How it is closed where a token is not good, or not any more."""

    def __init__(self, runner: Runner, outbox: Outbox, scope: Scope) -> None:
        self._runner = runner
        self._outbox = outbox
        self._world: World = scope["state"]["world"]
        self._documents: Documents = scope["state"]["documents"]
        self._admission = Admission(scope["state"]["authenticator"])
        self._address = address_of(scope)
        self._admitting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._under_way: dict[str, Run] = {}
        self._is_closed = False
        self._second = 0
        self._spoken = 0
        runner.traffic.connections += 1

    def forget(self, name: str) -> None:
        """The operation has ended; its name may be used again."""
        self._under_way.pop(name, None)

    def end(self) -> None:
        """The client is gone: end what it asked for."""
        self._runner.traffic.connections -= 1
        self._is_closed = True
        for task in (self._admitting, self._watching):
            if task is not None:
                task.cancel()
        self._outbox.clear()
        while self._under_way:
            self._under_way.popitem()[1].close()

    def _is_heard(self) -> bool:
        """Whether a message that has come counts; one too many in a second closes the connection."""
        if self._is_closed:
            return False
        second = int(asyncio.get_running_loop().time())
        self._spoken = self._spoken + 1 if second == self._second else 1
        self._second = second
        if self._spoken > self._runner.settings.websocket_messages_per_second:
            self._close(TOO_MANY_REQUESTS, "Too many messages")
        return not self._is_closed

    def _admit(self, authorization: str | None, then: Callable[[], None]) -> None:
        """Let in whom this shows, or for longer; a guest where nothing is shown."""
        if authorization is None:
            then()
        elif self._admitting is not None:
            self._close(TOO_MANY_REQUESTS, "Too many tokens at once")
        else:
            self._admitting = asyncio.create_task(self._shown(authorization, then))

    def _start(self, name: str, request: GraphQLRequest, prepare: Prepare, sink: Sink) -> None:
        context = Context(world=self._world, viewer=self._admission.viewer, address=self._address)
        self._under_way[name] = self._runner.start(request, prepare, context, sink, self._under_way.values())

    def _close(self, code: int, reason: str) -> None:
        self._is_closed = True
        self._outbox.close(code, reason)

    async def _shown(self, authorization: str, then: Callable[[], None]) -> None:
        try:
            await self._admission.show(authorization)
        except Unauthenticated:
            self._close(*self.barred)
        except StoreUnavailable as error:
            self._close(TRY_AGAIN_LATER, str(error))
        except Exception:
            logger.exception("a token could not be looked at")
            self._close(INTERNAL_ERROR, "Internal error")
        else:
            then()
            if self._watching is None:
                self._watching = asyncio.create_task(self._watch())
        finally:
            self._admitting = None

    async def _watch(self) -> None:
        """Close the connection once its viewer may not go on."""
        try:
            await self._admission.ended()
            self._close(*self.barred)
        except Exception:
            logger.exception("a token could not be looked at")
            self._close(INTERNAL_ERROR, "Internal error")


def json_of(text: str | None) -> Any:
    """The JSON of a text message; None for anything else."""
    try:
        return orjson.loads(text) if text is not None else None
    except orjson.JSONDecodeError:
        return None
