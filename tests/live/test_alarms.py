"""Alarms: what is amiss is told to every admin, once an hour, whoever sees it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from db.alarms import TOLD_BY, AlarmStore
from db.alert_bus import AlertBus
from db.alerts import AlertEvent, AlertStore
from db.database import Database
from db.jobs import MAX_WAITING, JobQueue
from db.quotes import QuoteCache
from db.redis import Keys
from errors import SourceFault
from live import hours
from live.alarms import Alarms
from live.hours import Hours
from market import Provenance, Quote, ServedFrom
from sources import calendar
from sources.health import OPENS_AFTER
from sources.router import Router
from sources.source import Capability
from tests.alerting import new_user
from tests.sources.scripted import Scripted, router


@asynccontextmanager
async def looking(
    database: Database, redis: Redis, keys: Keys, routing: Router | None = None, *, always_open: bool = True
) -> AsyncIterator[Alarms]:
    queue = JobQueue(redis, keys)
    await queue.connect()
    store = AlarmStore(database, TOLD_BY)
    health = (routing or router()).health
    cache = QuoteCache(redis, keys, 3600)
    yield Alarms(store, AlertBus(redis, keys), health, queue, redis, keys, cache, Hours(always_open=always_open))


async def events(database: Database, user_id: UUID) -> list[AlertEvent]:
    return await AlertStore(database).events(user_id, 100, None)


def failing(name: str) -> Router:
    routing = router(Scripted(name, 9))
    for _ in range(OPENS_AFTER):
        routing.health[name].failed(Capability.QUOTES, SourceFault("it is on fire"), 0.1)
    return routing


async def test_a_source_that_fails_is_told_to_every_admin_once(database: Database, redis: Redis, keys: Keys) -> None:
    admins = [await new_user(database, "ADMIN") for _ in range(2)]
    others = [await new_user(database, tier) for tier in ("REGISTERED", "VIP")]
    for _ in range(2):  # of two processes, each looks twice
        async with looking(database, redis, keys, failing("yahoo")) as alarms:
            await alarms.look()
            await alarms.look()
    for admin in admins:
        told = await events(database, admin)
        assert {event.message for event in told} == {"The source yahoo fails and is not asked for now: it is on fire."}
        assert 1 <= len(told) <= 2  # an hour may have ended in between
        assert (told[0].alert, told[0].value) == (None, None)
        assert {delivery.method: delivery.status for delivery in told[0].deliveries} == {
            "WEB": "DELIVERED",
            "EMAIL": "PENDING",
        }
    assert [await events(database, other) for other in others] == [[], []]


async def test_where_nothing_is_amiss_nothing_is_told(database: Database, redis: Redis, keys: Keys) -> None:
    admin = await new_user(database, "ADMIN")
    async with looking(database, redis, keys, router(Scripted("yahoo", 9))) as alarms:
        await alarms.look()
    assert await events(database, admin) == []


async def watched(redis: Redis, keys: Keys, symbol: str, silent_s: float) -> None:
    """Have somebody watch the symbol, whose last tick came so long ago."""
    at = datetime.now(UTC) - timedelta(seconds=silent_s)
    provenance = Provenance(source="s", served_from=ServedFrom.LIVE, received_at=at)
    await QuoteCache(redis, keys, 3600).put([Quote(symbol=symbol, price=1.0, time=at, provenance=provenance)])
    await redis.zadd(keys.demand, {f"{symbol}/M1" if silent_s else symbol: datetime.now(UTC).timestamp() + 600})


MONDAY, SUNDAY = datetime(2026, 1, 5, 15, tzinfo=UTC), datetime(2026, 1, 4, 15, tzinfo=UTC)


def clock(now: datetime) -> type[datetime]:
    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return now

    return Stopped


@pytest.mark.parametrize(
    ("silent", "now", "expected"),
    [
        ({"AAPL": 400, "MSFT": 500}, MONDAY, 1),
        ({"AAPL": 400, "MSFT": 10}, MONDAY, 0),
        ({"AAPL": 400, "MSFT": 500}, SUNDAY, 0),
        ({"AAPL": 400, "BTC-USD": 10}, MONDAY, 1),
        ({"AAPL": 400, "BTC-USD": 400}, MONDAY, 2),
        ({"AAPL": 400, "BTC-USD": 400}, SUNDAY, 1),
        ({}, MONDAY, 0),
    ],
    ids=["silent", "one-moves", "closed", "one-market", "two-markets", "one-closed", "nobody-watches"],
)
async def test_an_open_market_without_a_tick_is_told(
    database: Database,
    redis: Redis,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    silent: dict[str, float],
    now: datetime,
    expected: int,
) -> None:
    await calendar.load({"XNYS", "CRYPTO"})
    monkeypatch.setattr(hours, "datetime", clock(now))
    admin = await new_user(database, "ADMIN")
    for symbol, silent_s in silent.items():
        await watched(redis, keys, symbol, silent_s)
    async with looking(database, redis, keys, always_open=False) as alarms:
        await alarms.look()
    told = await events(database, admin)
    assert len(told) == expected
    if silent == {"AAPL": 400, "MSFT": 500} and expected:
        message = "XNYS is open, but of the 2 symbols that are watched there none has had a tick for 0:06:40."
        assert told[0].message.startswith(message[:-4])


async def test_a_full_queue_is_told(database: Database, redis: Redis, keys: Keys, monkeypatch: Any) -> None:
    admin = await new_user(database, "ADMIN")
    async with looking(database, redis, keys) as alarms:
        monkeypatch.setattr(alarms._jobs, "count", lambda kind: _counted(MAX_WAITING - 1))
        await alarms.look()
        assert await events(database, admin) == []
        monkeypatch.setattr(alarms._jobs, "count", lambda kind: _counted(MAX_WAITING))
        await alarms.look()
    (told,) = await events(database, admin)
    assert told.message == "100 jobs wait or run, and no more are taken; is a worker running?"


async def _counted(count: int) -> int:
    return count
