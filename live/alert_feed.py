"""The events of a user as they are recorded, none left out."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Final
from uuid import UUID

from db.alert_bus import AlertBus
from db.alerts import AlertEvent, AlertStore
from db.fires import OVERLAP
from errors import StoreUnavailable
from live.tending import is_ending

logger = logging.getLogger(__name__)

LOOK_S: Final = 10.0
"""How often to look without being told: what Redis forgot to tell comes so much later."""

RETRY_S: Final = 0.5


class AlertFeed:
    """Wakes those who wait for a user's events; what they are is read from PostgreSQL, so none can be lost."""

    def __init__(self, store: AlertStore, bus: AlertBus) -> None:
        self._store = store
        self._bus = bus
        self._waiting: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    async def run(self) -> None:
        """Listen for who has new events, until cancelled."""
        while not is_ending():
            try:
                async with aclosing(self._bus.fires()) as told:
                    await anext(told)
                    self._wake(*self._waiting)  # for who knows what was told meanwhile
                    async for user_ids in told:
                        self._wake(*user_ids)
                        if is_ending():
                            return
            except StoreUnavailable as error:
                logger.warning("events of alerts are looked for every %g s: %s", LOOK_S, error)
            await asyncio.sleep(RETRY_S)

    async def events(self, user_id: UUID) -> AsyncGenerator[AlertEvent, None]:
        """Every event of the user that is recorded from now on, in about the order of that. Raises StoreUnavailable."""
        return self._events(user_id, await self._store.now())

    async def _events(self, user_id: UUID, start: datetime) -> AsyncGenerator[AlertEvent, None]:
        woken = asyncio.Event()
        self._waiting[user_id].add(woken)
        since = start
        seen: dict[UUID, datetime] = {}
        try:
            while True:
                woken.clear()
                try:
                    page = await self._store.events_since(user_id, since, seen)
                except StoreUnavailable as error:
                    logger.warning("events of alerts come later: %s", error)
                    await asyncio.sleep(RETRY_S)
                    continue
                for event in page:
                    seen[event.id] = event.recorded_at
                    yield event
                if page:
                    # One that was recorded a little earlier may be seen a little later.
                    since = max(start, page[-1].recorded_at - OVERLAP)
                    seen = {known: at for known, at in seen.items() if at >= since}
                else:
                    try:
                        async with asyncio.timeout(LOOK_S):
                            await woken.wait()
                    except TimeoutError:
                        pass
        finally:
            self._waiting[user_id].discard(woken)
            if not self._waiting[user_id]:
                del self._waiting[user_id]

    def _wake(self, *user_ids: UUID) -> None:
        for user_id in user_ids:
            for woken in self._waiting.get(user_id, ()):
                woken.set()
