import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from db.budgets import RedisBudget
from db.redis import Keys, connect
from errors import SourceLimited
from sources.source import Quota

HOUR = Quota(10, 3600)
DAY = Quota(25, 86_400, "America/New_York")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def keys() -> Keys:
    return Keys(secrets.token_hex(4))


async def test_processes_count_together_and_never_beyond_the_limit(redis: Redis, keys: Keys) -> None:
    budgets = [RedisBudget(redis, keys, "yahoo", [HOUR]) for _ in range(4)]
    answers = await asyncio.gather(*(budget.take() for budget in budgets * 5), return_exceptions=True)
    assert answers.count(None) == 10
    refused = [answer for answer in answers if answer is not None]
    assert all(isinstance(error, SourceLimited) for error in refused)
    assert all(0 < (error.retry_after_s or 0) <= 3601 for error in refused if isinstance(error, SourceLimited))
    assert str(refused[0]) == "the quota of 10 in 3600 s for yahoo is spent"
    [usage] = await budgets[0].usage()
    assert (usage.quota, usage.used) == (HOUR, 10)


async def test_a_question_counts_in_every_window_or_in_none(redis: Redis, keys: Keys) -> None:
    budget = RedisBudget(redis, keys, "binance", [Quota(100, 3600), Quota(5, 7200)])
    await budget.take(4)
    with pytest.raises(SourceLimited):
        await budget.take(2)
    assert [usage.used for usage in await budget.usage()] == [4, 4]
    await budget.take(1)
    assert [usage.used for usage in await budget.usage()] == [5, 5]


async def test_windows_run_out_by_themselves(redis: Redis, keys: Keys) -> None:
    budget = RedisBudget(redis, keys, "kraken", [HOUR, DAY])
    await budget.take()
    names = [key async for key in redis.scan_iter(f"{keys.prefix}*")]
    assert len(names) == 2
    for name in names:
        assert 0 < await redis.ttl(name) <= 86_401


async def test_without_redis_each_process_counts_for_itself(keys: Keys) -> None:
    away = connect("redis://127.0.0.1:1/0")
    budget = RedisBudget(away, keys, "yahoo", [HOUR])
    for _ in range(10):
        await budget.take()
    with pytest.raises(SourceLimited):
        await budget.take()
    assert [usage.used for usage in await budget.usage()] == [10]
    await away.aclose()


async def test_no_quota_means_no_limit(redis: Redis, keys: Keys) -> None:
    budget = RedisBudget(redis, keys, "sandbox", [])
    for _ in range(100):
        await budget.take()
    assert await budget.usage() == []


@pytest.mark.parametrize(
    ("now", "name", "ends"),
    [
        ("2026-01-15T04:59:59+00:00", "2026-01-14", "2026-01-15T05:00:00+00:00"),
        ("2026-01-15T05:00:00+00:00", "2026-01-15", "2026-01-16T05:00:00+00:00"),
        ("2026-07-15T03:59:59+00:00", "2026-07-14", "2026-07-15T04:00:00+00:00"),
        ("2026-03-08T12:00:00+00:00", "2026-03-08", "2026-03-09T04:00:00+00:00"),
        ("2026-11-01T12:00:00+00:00", "2026-11-01", "2026-11-02T05:00:00+00:00"),
    ],
)
def test_a_day_ends_at_midnight_of_its_zone(now: str, name: str, ends: str) -> None:
    assert DAY.window(datetime.fromisoformat(now)) == (name, datetime.fromisoformat(ends))


def test_shorter_windows_lie_at_multiples_of_their_length() -> None:
    assert Quota(5, 60).window(datetime(2026, 1, 1, 0, 0, 59, tzinfo=UTC))[1] == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
