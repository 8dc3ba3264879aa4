"""What the doctor tells of each source: whether its key works, what is left of its quota, why it last failed."""

import asyncio
import os
import re
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from alembic.script import ScriptDirectory
from graphql import parse, validate
from redis.asyncio import Redis

from db.budgets import RedisBudget
from db.database import Database
from db.migrate import alembic_config, migrate
from db.redis import Keys
from db.source_keys import SourceKeys
from db.source_stats import SourceStatsStore
from errors import SmartFinError, SourceFault, SourceLimited, SourceRefused
from jobs.doctor import Finding, Verdict, examine
from live.ledger import Ledger
from schema.build import build_schema
from settings import Settings, load_settings
from sources.source import Budget, Quota, Source
from tests.conftest import ROOT, SMARTFIN
from tests.fakes import alphavantage as av
from tests.fakes import polygon
from tests.fakes.alphavantage import KEY, FakeAlphaVantage
from tests.fakes.fake import Failure, Fake
from tests.fakes.kraken import FakeKraken
from tests.fakes.polygon import FakePolygon
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
    budgets = {"scripted": RedisBudget(redis, keys, "scripted", ())}
    settings = load_settings(mode="sandbox", data_dir=Path("/nowhere"))
    findings = [finding async for finding in examine(settings, database, redis, world.router.sources, budgets)]
    assert [finding.what for finding in findings] == ["PostgreSQL", "Tables", "Redis", "scripted", "sandbox"]
    [finding] = [finding for finding in findings if finding.what == "scripted"]
    assert finding.verdict is Verdict.WELL
    assert finding.details.endswith(f"; its last error, at {told.last_error_at:%FT%TZ}: {error}")


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


WRONG = "wR0nGwR0nGwR0nG0"


async def found(database: Database, redis: Redis, keys: Keys, fake: Fake) -> Finding:
    """What the doctor says of the source of a fake that lets 10 be asked a minute."""
    budget = RedisBudget(redis, keys, fake.name, [Quota(10, 60)])
    fake.budget = cast(Budget, budget)  # type: ignore[assignment]
    source = fake.source()
    settings = load_settings(mode="live", data_dir=Path("/nowhere"))
    findings = [told async for told in examine(settings, database, redis, [source], {fake.name: budget})]
    await source.aclose()
    [finding] = [told for told in findings if told.what == fake.name]
    others = {told.what: (told.verdict, told.details) for told in findings[2:] if told.what != fake.name}
    needs = {"alphavantage": "needs ALPHAVANTAGE_API_KEY", "polygon": "needs POLYGON_API_KEY"}
    assert {name: others[name] for name in needs if name in others} == {
        name: (Verdict.OFF, need) for name, need in needs.items() if name != fake.name
    }
    said = f"{findings} {[told.details for told in findings]}"
    assert [secret for secret in (KEY, polygon.KEY, WRONG) if secret in said] == []
    return finding


def says(body: dict[str, str]) -> Callable[[Fake], None]:
    def change(fake: Fake) -> None:
        cast(FakeAlphaVantage, fake).says = body

    return change


def fails(failure: Failure) -> Callable[[Fake], None]:
    def change(fake: Fake) -> None:
        fake.failure = failure

    return change


def wrong_key(fake: Fake) -> None:
    cast(FakePolygon, fake).key = WRONG


def without_quotes(fake: Fake) -> None:
    cast(FakePolygon, fake).not_entitled = {"stocks"}


def nothing(_fake: Fake) -> None:
    """It is well."""


@pytest.mark.parametrize(
    ("kind", "change", "verdict", "details"),
    [
        (FakeAlphaVantage, nothing, "ok", "its key works; AAPL "),
        (FakeAlphaVantage, says(av.BAD_KEY), "FAIL", "refuses the key; check ALPHAVANTAGE_API_KEY (SOURCE_REFUSED)"),
        (FakeAlphaVantage, says(av.PREMIUM), "FAIL", "does not include this (SOURCE_REFUSED)"),
        (FakeAlphaVantage, says(av.DAILY_QUOTA), "FAIL", "the quota of the day of alphavantage is spent"),
        (FakeAlphaVantage, fails(Failure.RESET), "FAIL", "cannot be reached (ServerDisconnectedError) (SOURCE_UNREACH"),
        (FakeAlphaVantage, fails(Failure.STATUS_500), "FAIL", "(SOURCE_FAULT)"),
        (FakePolygon, nothing, "ok", "its key works; AAPL "),
        (FakePolygon, wrong_key, "FAIL", "does not accept the key; check POLYGON_API_KEY. (SOURCE_REFUSED)"),
        (FakePolygon, without_quotes, "ok", "its key works, but: Your plan at Massive does not include that."),
        (FakePolygon, fails(Failure.REFUSED), "FAIL", "(SOURCE_REFUSED)"),
        (FakePolygon, fails(Failure.LIMITED), "FAIL", "(SOURCE_LIMITED)"),
        (FakeKraken, nothing, "ok", "BTC-USD "),
        (FakeKraken, fails(Failure.HTML), "FAIL", "(SOURCE_BAD_ANSWER)"),
    ],
)
async def test_a_finding_tells_whether_the_key_works_and_what_is_left(
    database: Database,
    redis: Redis,
    keys: Keys,
    kind: type[Fake],
    change: Callable[[Fake], None],
    verdict: str,
    details: str,
) -> None:
    async with kind() as fake:
        change(fake)
        finding = await found(database, redis, keys, fake)
    assert (finding.verdict, details in finding.details) == (verdict, True), finding
    assert re.search(r"; left of its quota: [89] of 10 in 60 s$", finding.details), finding
    assert ("its key works" in finding.details) is (verdict == "ok" and kind is not FakeKraken)


async def test_a_source_that_is_gone_is_told_as_such(database: Database, redis: Redis, keys: Keys) -> None:
    async with FakePolygon() as fake:
        await fake.stop()
        finding = await found(database, redis, keys, fake)
    assert (finding.verdict, "cannot be reached" in finding.details) == (Verdict.ILL, True)


async def test_the_query_of_a_finding_is_one_of_the_schema(database: Database, redis: Redis, keys: Keys) -> None:
    async with FakeKraken() as fake:
        query = (await found(database, redis, keys, fake)).query
    assert query is not None
    assert not validate(build_schema()._schema, parse(query))


async def of_stores(database: Database, redis: Redis, **settings: Any) -> dict[str, tuple[str, str]]:
    told = [one async for one in examine(load_settings(mode="sandbox", **settings), database, redis, [], {})]
    return {one.what: (one.verdict.value, one.details) for one in told}


async def test_tables_are_told_to_be_up_to_date_too_old_or_not_there(database: Database, redis: Redis) -> None:
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert (await of_stores(database, redis))["Tables"] == ("ok", f"up to date, at {head}")
    async with database.connection() as connection:
        await connection.execute("UPDATE alembic_version SET version_num = '0001'")
    told = f"at 0001, and this version needs {head}; run smartfin migrate"
    assert (await of_stores(database, redis))["Tables"] == ("FAIL", told)
    empty = Database(database.url, f"{database.schema}_none")
    verdict, details = (await of_stores(empty, redis))["Tables"]
    assert (verdict, details.partition(";")[0]) == ("off", "there are none yet")
    await empty.aclose()


async def test_a_full_disk_is_told_where_the_stores_are_its_own(
    database: Database, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await of_stores(database, redis, data_dir=tmp_path))["Disk"][0] == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=999_000_000))
    told = ("FAIL", f"1.0 GB are free for {tmp_path}")
    assert (await of_stores(database, redis, data_dir=tmp_path))["Disk"] == told
    elsewhere = {"database_url": database.url, "redis_url": "redis://elsewhere/0"}
    assert "Disk" not in await of_stores(database, redis, data_dir=tmp_path, **elsewhere)


@pytest.mark.parametrize(("policy", "verdict"), [("volatile-lru", "ok"), ("noeviction", "ok"), ("allkeys-lru", "FAIL")])
async def test_a_redis_that_may_drop_jobs_is_told_as_such(database: Database, policy: str, verdict: str) -> None:
    async def info(section: str) -> dict[str, Any]:
        if section == "server":
            return {"redis_version": "7.4.0"}
        limits = {"maxmemory": 2**30, "maxmemory_human": "1.00G", "used_memory_human": "3.10M"}
        return limits | {"maxmemory_policy": policy}

    told = await of_stores(database, cast(Redis, SimpleNamespace(info=info)))
    assert told["Redis"][0] == verdict
    assert told["Redis"][1].startswith(f"Redis 7.4.0, 3.10M of 1.00G ({policy})")


async def test_a_source_that_the_settings_leave_out_is_told_as_such(database: Database, redis: Redis) -> None:
    settings = load_settings(mode="live", sources="kraken")
    findings = [told async for told in examine(settings, database, redis, [], {})]
    assert (Verdict.OFF, "SMARTFIN_SOURCES leaves it out") in {(told.verdict, told.details) for told in findings}


async def test_the_command_knows_the_key_that_is_kept_and_prints_none(stores: dict[str, str], tmp_path: Path) -> None:
    async with FakePolygon() as fake:
        fake.now = datetime.now(UTC)
        settings = Settings(
            database_url=stores["DATABASE_URL"],
            redis_url=stores["REDIS_URL"],
            mode="live",
            secret_key="correct horse battery staple, and more of it",
        )
        database = Database(stores["DATABASE_URL"], "live")
        await migrate(database)
        await SourceStatsStore(database).enter([cast(Source, fake.source())])
        await SourceKeys(database, settings).save({"polygon": polygon.KEY})
        await database.aclose()
        environment = {
            **stores,
            "PATH": os.environ["PATH"],
            "SMARTFIN_MODE": "live",
            "SMARTFIN_SOURCES": "polygon,alphavantage",
            "SMARTFIN_SECRET_KEY": "correct horse battery staple, and more of it",
            "SMARTFIN_POLYGON_URL": fake.url,
        }
        ran = await asyncio.create_subprocess_exec(
            SMARTFIN, "doctor", env=environment, stdout=PIPE, stderr=PIPE, cwd=ROOT
        )
        said = [text.decode() for text in await ran.communicate()]
    lines = said[0].splitlines()
    assert ran.returncode == 0, said
    assert any(line.startswith("ok    polygon: its key works; AAPL ") for line in lines)
    assert any('{ quote(symbol: "AAPL")' in line for line in lines)
    assert "off   alphavantage: needs ALPHAVANTAGE_API_KEY" in lines
    assert polygon.KEY not in f"{said}"


async def test_a_source_that_an_admin_has_switched_off_is_not_asked(
    database: Database, redis: Redis, keys: Keys
) -> None:
    source, settings = Scripted("scripted", 0), load_settings(mode="sandbox")
    await SourceStatsStore(database).enter([cast(Source, source)])
    await SourceKeys(database, settings).change("scripted", is_active=False, priority=None)
    budgets = {"scripted": RedisBudget(redis, keys, "scripted", ())}
    found = [one async for one in examine(settings, database, redis, [cast(Source, source)], budgets)]
    [told] = [one for one in found if one.what == "scripted"]
    assert told == Finding("scripted", Verdict.OFF, "an admin has switched it off (saveSource)")
    assert source.asked == []
