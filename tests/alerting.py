"""Users and alerts in a real PostgreSQL, and somebody who watches the market for them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis

from db.alert_bus import AlertBus
from db.alerts import Alert, AlertEvent, AlertStore, AlertTerms
from db.database import Database
from db.fires import FireStore
from db.quotes import QuoteEvent
from db.redis import Keys
from live.alerts import AlertWatch, Measure, Measured
from live.tending import tended
from market import AlertMetric, AlertOperator, Interval, Provenance, Quote, ServedFrom
from tests.sources.scripted import NOW
from tests.waiting import until

UP = AlertOperator.CROSSES_ABOVE
PROVENANCE = Provenance(source="s", served_from=ServedFrom.LIVE, received_at=NOW)


async def new_user(database: Database, tier: str = "REGISTERED") -> UUID:
    user_id = uuid4()
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO users (id, email, tier) VALUES ($1, $2, $3)", user_id, f"{user_id}@example.com", tier
        )
    return user_id


def terms(threshold: float = 100.0, operator: AlertOperator = UP, **others: Any) -> AlertTerms:
    given = {"symbol": "A", "metric": AlertMetric.PRICE} | others
    return AlertTerms(operator=operator, threshold=threshold, **given)


async def no_bars(symbol: str, interval: Interval, measures: Collection[Measure], count: int) -> Measured:
    return Measured((), (), dict.fromkeys(measures, ()))


class Desk:
    """What one mode keeps of alerts, one user of it, and the ticks of its market."""

    def __init__(self, database: Database, redis: Redis, keys: Keys, user_id: UUID) -> None:
        self.user_id = user_id
        self.store = AlertStore(database)
        self.fires = FireStore(database)
        self.bus = AlertBus(redis, keys)
        self.now: float | None = None
        """What its clock shows, where that was set."""
        self._seq = 0

    async def alert(self, wanted: AlertTerms, last_value: float | None = None) -> Alert:
        alert = await self.store.create(self.user_id, wanted, last_value, 100)
        await self.bus.tell_change()
        return alert

    async def events(self) -> list[AlertEvent]:
        """The oldest first."""
        return (await self.store.events(self.user_id, 1000, None))[::-1]

    async def values(self) -> list[float | None]:
        return [event.value for event in await self.events()]

    @asynccontextmanager
    async def watch(
        self, measure: Any = no_bars, fires: Any = None, may_see: Callable[[Alert], bool] = lambda _alert: True
    ) -> AsyncIterator[AlertWatch]:
        """One who owns A and has read its alerts."""
        watch = AlertWatch(fires or self.fires, self.bus, measure, may_see, lambda: self.now or time.time())
        async with tended(watch.run):
            topics = set(await self.fires.topics())
            await until(lambda: watch.topics == topics)
            watch.own(["A"])
            await until(lambda: watch.is_ready)
            yield watch

    def tick(self, watch: AlertWatch, price: float, symbol: str = "A", **others: Any) -> None:
        self._seq += 1
        watch.take(
            QuoteEvent(7, self._seq, Quote(symbol=symbol, price=price, time=NOW, provenance=PROVENANCE, **others))
        )

    async def written(self, watch: AlertWatch) -> None:
        """Once all that has fired is written, and marked."""
        await until(lambda: not watch._fires and not watch._moved)
        await asyncio.sleep(0)
