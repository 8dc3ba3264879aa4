"""The events of a user as they are recorded: every one, once."""

import asyncio
from contextlib import aclosing
from functools import partial
from uuid import UUID

import pytest
from redis.asyncio import Redis

from db.alerts import AlertEvent
from db.database import Database
from db.redis import Keys
from live import alert_feed as feed_module
from live.alert_feed import AlertFeed
from live.tending import tended
from tests.alerting import Desk, new_user
from tests.waiting import until


@pytest.fixture
async def desk(database: Database, redis: Redis, keys: Keys) -> Desk:
    return Desk(database, redis, keys, await new_user(database))


async def record(database: Database, user_id: UUID, *names: str, ago_s: float = 0) -> None:
    async with database.connection() as connection:
        await connection.executemany(
            "INSERT INTO alert_events (user_id, fired_on, message, recorded_at)"
            " VALUES ($1, $2, $2, clock_timestamp() - $3::float8 * interval '1 second')",
            [(user_id, name, ago_s) for name in names],
        )


def has(told: list[str], name: str) -> bool:
    return name in told


async def taken(feed: AlertFeed, user_id: UUID, told: list[str], started: asyncio.Event) -> None:
    async with aclosing(await feed.events(user_id)) as events:
        started.set()
        event: AlertEvent
        async for event in events:
            told.append(event.message)  # noqa: PERF401 - there is no end


@pytest.mark.parametrize("is_told", [True, False])
async def test_every_event_comes_once_told_of_or_not(
    desk: Desk, database: Database, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    if not is_told:
        monkeypatch.setattr(feed_module, "LOOK_S", 0.05)
    other = await new_user(database)
    await record(database, desk.user_id, "before")
    feed, told, started = AlertFeed(desk.store, desk.bus), list[str](), asyncio.Event()
    async with tended(feed.run):
        reading = asyncio.create_task(taken(feed, desk.user_id, told, started))
        await started.wait()
        names = [f"e{number:03}" for number in range(250)]
        for part in (names[:1], names[1:240], names[240:]):
            await record(database, desk.user_id, *part)
            await record(database, other, *part)
            if is_told:
                await desk.bus.tell_fires([desk.user_id])
            await until(partial(has, told, part[-1]))
        await record(database, desk.user_id, "late", ago_s=0.01)  # recorded before what was seen, and seen after it
        await desk.bus.tell_fires([desk.user_id])
        await until(lambda: "late" in told)
        assert told == [*names, "late"]
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert not feed._waiting
