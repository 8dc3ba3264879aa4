"""Idle sources are looked after, cheaply, and by one process."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from db.redis import Keys, connect
from errors import SourceFault
from jobs.checkup import PERIOD_S, Checkup
from live.tending import tended
from sources.health import OPENS_AFTER, BreakerState
from sources.router import Router
from sources.source import DAY_S, Quota
from tests.sources.scripted import Scripted, router
from tests.waiting import until

SAMPLE = ("AAPL",)


def after_a_period(routing: Router) -> Router:
    """The router, as if nobody had asked for that long."""
    for health in routing.health.values():
        health._asked_at -= PERIOD_S
    return routing


async def test_an_idle_source_is_asked_one_question_and_a_scarce_one_none(redis: Redis, keys: Keys) -> None:
    idle, scarce = Scripted("idle", 9), Scripted("scarce", 1, quotas=[Quota(25, DAY_S)])
    checkup = Checkup(after_a_period(router(idle, scarce)), redis, keys)
    await checkup.look()
    await checkup.look()
    assert (idle.asked, scarce.asked) == ([SAMPLE], [])


async def test_a_source_that_is_asked_anyway_is_not_checked(redis: Redis, keys: Keys) -> None:
    busy = Scripted("busy", 9)
    routing = after_a_period(router(busy))
    await routing.quotes(["MSFT"])
    await Checkup(routing, redis, keys).look()
    assert busy.asked == [("MSFT",)]


async def test_of_two_processes_one_checks(redis: Redis, keys: Keys) -> None:
    first, second = Scripted("s", 9), Scripted("s", 9)
    for source in (first, second):
        await Checkup(after_a_period(router(source)), redis, keys).look()
    assert (first.asked, second.asked) == ([SAMPLE], [])


async def test_a_failure_is_noted_and_a_recovery_too(redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Scripted("s", 9)
    source.error = SourceFault("500")
    routing = router(source)
    health = routing.health["s"]
    async with tended(Checkup(routing, redis, keys, period_s=0.02).run):
        await until(lambda: health.breaker is not BreakerState.CLOSED)
        assert len(source.asked) == OPENS_AFTER
        assert health.tally().errors == OPENS_AFTER
        source.error = None
        await until(lambda: health.breaker is BreakerState.CLOSED)


async def test_without_redis_nobody_is_asked(keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Scripted("s", 9)
    away = connect(f"unix://{tmp_path}/none.sock")
    await Checkup(after_a_period(router(source)), away, keys).look()
    await away.aclose()
    assert source.asked == []
    assert "s is not checked while Redis is away" in caplog.text
