"""Delivers what alerts have to say: by e-mail, webhook and SMS, again and again until it has arrived."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from db.deliveries import DeliveryStore, Outgoing
from errors import StoreUnavailable
from live.tending import is_ending
from people import NotificationMethod

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.5
AT_ONCE: Final = 16
"""Messages of one method that are under way at a time: who answers slowly holds up nobody of another method."""

ATTEMPT_S: Final = 20.0
PAUSES_S: Final = (5, 30, 120, 600, 1_800, 7_200, 21_600)
"""How long to wait after each attempt that failed; after the last of them the message is given up."""

FORGET_S: Final = 3_600.0
"""How often to drop events that are too old."""

MAX_ERROR_CHARS: Final = 300


class Undeliverable(Exception):
    """It failed in a way that no further attempt can mend."""


Send = Callable[[Outgoing], Awaitable[None]]
"""Returns once the message has arrived. Raises Undeliverable; any other error means that it may be tried again."""


class Deliverer:
    """Makes the attempts that are due. Any number share them; each message has one attempt at a time, and one at least.

    What arrived may be sent once more, where its sender died before it could say so: the id of the message tells.
    """

    def __init__(self, store: DeliveryStore, senders: Mapping[NotificationMethod, Send]) -> None:
        self._store = store
        self._senders = senders
        self.attempted: Counter[tuple[str, str]] = Counter()
        """Attempts made here, by method and outcome: `delivered`, `failed` and tried again, `given_up`."""
        self._under_way: dict[NotificationMethod, set[asyncio.Task[None]]] = {
            method: set() for method in NotificationMethod if method is not NotificationMethod.WEB
        }

    async def run(self) -> None:
        """Deliver until cancelled; what is under way then is tried again by whoever comes."""
        forgotten_at = -math.inf
        try:
            while not is_ending():
                try:
                    if time.monotonic() - forgotten_at >= FORGET_S:
                        await self._store.forget_old()
                        forgotten_at = time.monotonic()
                    for method in self._under_way:
                        await self._start(method)
                except StoreUnavailable as error:
                    logger.warning("messages of alerts wait: %s", error)
                await asyncio.sleep(LOOK_S)
        finally:
            tasks = [task for tasks in self._under_way.values() for task in tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start(self, method: NotificationMethod) -> None:
        under_way = self._under_way[method]
        if (free := AT_ONCE - len(under_way)) > 0:
            for message in await self._store.claim(method, free):
                task = asyncio.create_task(self._deliver(method, message))
                under_way.add(task)
                task.add_done_callback(under_way.discard)

    async def _deliver(self, method: NotificationMethod, message: Outgoing) -> None:
        error = await self._attempt(method, message)
        try:
            if error is None:
                self.attempted[method, "delivered"] += 1
                await self._store.delivered(message)
                return
            again_in = None
            if not isinstance(error, Undeliverable) and message.attempts <= len(PAUSES_S):
                again_in = timedelta(seconds=PAUSES_S[message.attempts - 1])
            self.attempted[method, "given_up" if again_in is None else "failed"] += 1
            reason = (str(error) or type(error).__name__)[:MAX_ERROR_CHARS]
            logger.info("%s message %s: attempt %d failed: %s", method, message.id, message.attempts, reason)
            await self._store.failed(message, reason, again_in)
        except StoreUnavailable as lost:  # then its lease runs out, and it is tried again
            logger.warning("what became of message %s is not written: %s", message.id, lost)

    async def _attempt(self, method: NotificationMethod, message: Outgoing) -> Exception | None:
        send = self._senders.get(method)
        if send is None:
            return RuntimeError(f"{method} is not set up on this server")
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await send(message)
        except TimeoutError:
            return TimeoutError(f"no answer within {ATTEMPT_S:g} s")
        except Exception as error:  # noqa: BLE001 - of whatever kind, it is told to the user, and it may be tried again
            return error
        return None
