"""What the doctor and `sources` tell of a source that fails: also in other processes, and never a key."""

import pytest
from redis.asyncio import Redis

from db.budgets import RedisBudget
from db.database import Database
from db.redis import Keys
from errors import SmartFinError, SourceFault, SourceLimited, SourceRefused
from jobs.doctor import examine
from live.ledger import Ledger
from tests.fakes import alphavantage as av
from tests.fakes.alphavantage import KEY, FakeAlphaVantage
from tests.sources.scripted import Scripted
from tests.world import made_of


@pytest.mark.parametrize(
    ("error", "counted"), [(SourceFault("It burns."), 1), (SourceLimited("It is full."), 0), (SourceRefused("Go."), 0)]
)
async def test_the_last_error_is_kept_and_told(
    database: Database, redis: Redis, keys: Keys, error: SmartFinError, counted: int
) -> None:
    source = Scripted("scripted", 0)
    world = made_of(database, redis, keys, source)
    await world.source_stats.enter(world.router.sources)
    ledger = Ledger(world.router, world.source_stats)
    source.error = error
    world.router._turns._extra = 0.0  # no second try
    await world.router.quotes(["AAPL"])
    await ledger.flush()
    source.error = None
    await ledger.flush()
    told = (await world.source_stats.get())["scripted"]
    assert (told.last_error, told.error_count) == (str(error), counted)
    findings = [
        finding
        async for finding in examine(
            database, redis, world.router.sources, {"scripted": RedisBudget(redis, keys, "scripted", ())}
        )
    ]
    assert [finding.what for finding in findings] == ["PostgreSQL", "Redis", "scripted"]
    assert findings[-1].is_well
    assert findings[-1].details.endswith(f"; its last error, at {told.last_error_at:%FT%TZ}: {error}")


@pytest.mark.parametrize("said", [av.DAILY_QUOTA, av.BAD_KEY])
async def test_no_last_error_tells_a_key(database: Database, redis: Redis, keys: Keys, said: dict[str, str]) -> None:
    async with FakeAlphaVantage() as fake:
        source = fake.source()
        world = made_of(database, redis, keys, source)
        await world.source_stats.enter(world.router.sources)
        fake.says = said
        await world.router.quotes(["AAPL"])
        await Ledger(world.router, world.source_stats).flush()
        told = (await world.source_stats.get())["alphavantage"].last_error
        assert told
        assert KEY not in told
        await source.aclose()
