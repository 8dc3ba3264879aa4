"""Jobs through the queue: asked for over GraphQL, done by whichever worker lives."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from saq import Job, Status

import db.jobs
import jobs.worker
from db.bars import BarStore
from db.database import Database
from db.deliveries import DeliveryStore
from db.jobs import BackfillJob, JobQueue, JobState
from db.partitions import Partitions
from db.redis import Keys
from db.source_stats import SourceStatsStore
from errors import TooManyJobs
from jobs.deliver import Deliverer
from jobs.retention import Retention
from jobs.worker import Worker
from market import Interval, Window
from people import Tier
from resolvers.world import World
from settings import Settings
from tests.bars import at, bar, bars
from tests.conftest import ROOT, SMARTFIN, Running
from tests.fakes.yahoo import FakeYahoo
from tests.people import bearer, person
from tests.sources.scripted import Scripted
from tests.waiting import until
from tests.world import made_of

D1, M1 = Interval.D1, Interval.M1
JANUARY = Window(at("2024-01-01"), at("2024-02-01"))


@pytest.fixture
def source() -> Scripted:
    scripted = Scripted("scripted", 0, unknown=frozenset({"NOSUCH"}))
    scripted.bars["AAPL", D1] = bars(bar(at(f"2024-01-{day:02d}")) for day in range(1, 32))
    return scripted


@pytest.fixture
def world(database: Database, redis: Redis, keys: Keys, source: Scripted) -> World:
    return made_of(database, redis, keys, source)


def retention(partitions: Partitions) -> Retention:
    return Retention(partitions, SourceStatsStore(partitions.database), Settings())


@pytest.fixture
async def working(world: World, database: Database) -> AsyncIterator[Worker]:
    partitions = Partitions(database)
    worker = Worker(
        world.jobs,
        world.bars,
        world.supply,
        world.assets,
        partitions,
        retention(partitions),
        Deliverer(DeliveryStore(database), {}),
        always_open=False,
    )
    running = asyncio.create_task(worker.run())
    yield worker
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def ended(queue: JobQueue, key: str, within_s: float = 20) -> BackfillJob:
    async def over() -> BackfillJob | None:
        job = await queue.backfill(key)
        assert job is not None
        return job if job.state in (JobState.COMPLETE, JobState.FAILED) else None

    job: BackfillJob = await until(over, within_s)
    return job


async def test_a_job_is_done_and_can_be_asked_about(world: World, working: Worker) -> None:
    asked = await world.jobs.ask_backfill(["AAPL", "NOSUCH"], D1, JANUARY)
    job = await ended(world.jobs, asked.id)
    assert (job.state, job.done, job.total, job.bars, job.changed) == (JobState.COMPLETE, 2, 2, 31, 31)
    assert (job.percent, job.seconds_left, job.error) == (100.0, None, "NOSUCH: NOSUCH")
    again = await world.jobs.ask_backfill(["AAPL"], D1, JANUARY)
    job = await ended(world.jobs, again.id)
    assert (job.state, job.total, job.bars, job.changed) == (JobState.COMPLETE, 0, 0, 0)


async def test_a_worker_lets_go_of_what_it_is_silent_about(
    world: World, working: Worker, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.jobs, "HEARTBEAT_S", 1)
    monkeypatch.setattr(jobs.worker, "BEAT_S", 60)
    source.holds.clear()
    asked = await world.jobs.ask_backfill(["AAPL"], D1, JANUARY)
    await until(lambda: source.asked)
    await until(lambda: working.ended["backfill", "queued"])
    source.holds.set()
    assert (await ended(world.jobs, asked.id)).state is JobState.COMPLETE
    [told] = [job for job in await world.jobs.all() if job.id == asked.id]
    assert (told.attempts, told.error) == (2, None)


async def test_the_same_job_waits_once_and_others_beside_it(world: World) -> None:
    first = await world.jobs.ask_backfill(["MSFT", "AAPL"], D1, JANUARY)
    again = await world.jobs.ask_backfill(["AAPL", "MSFT", "AAPL"], D1, JANUARY)
    other = await world.jobs.ask_backfill(["AAPL"], D1, JANUARY)
    assert first == again
    assert first.state is JobState.QUEUED
    assert first.id != other.id
    assert await world.jobs.count("incomplete") == 2


async def test_no_more_jobs_wait_than_may(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db.jobs, "MAX_WAITING", 1)
    await world.jobs.ask_backfill(["AAPL"], D1, JANUARY)
    with pytest.raises(TooManyJobs):
        await world.jobs.ask_backfill(["MSFT"], D1, JANUARY)


async def test_a_job_that_nobody_asked_for_is_unknown(world: World) -> None:
    assert await world.jobs.backfill("none") is None


async def test_everything_is_kept_under_the_keys_of_the_mode(world: World, redis: Redis, keys: Keys) -> None:
    before = {key async for key in redis.scan_iter("saq:*")}
    await world.jobs.ask_backfill(["AAPL"], D1, JANUARY)
    assert [key async for key in redis.scan_iter(f"{keys.prefix}jobs:*")]
    assert {key async for key in redis.scan_iter("saq:*")} == before


async def test_months_are_made_ahead(world: World, database: Database) -> None:
    partitions = Partitions(database)
    worker = Worker(
        world.jobs,
        world.bars,
        world.supply,
        world.assets,
        partitions,
        retention(partitions),
        Deliverer(DeliveryStore(database), {}),
        always_open=False,
    )
    await worker.make_partitions({"worker": None})  # type: ignore[typeddict-item]
    async with database.connection() as connection:
        made = await connection.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'market_data'::regclass")
    assert made == 4


BACKFILL = """mutation ($symbols: [Symbol!]!, $from: DateTime!, $to: DateTime) {
  backfill(symbols: $symbols, interval: M5, from: $from, to: $to) { id state } }"""
HELD = """{ history(symbol: "TSLA", interval: M5, from: "2019-03-01", to: "2019-03-03") {
  count provenance { servedFrom } } }"""
JOB = "query ($id: ID!) { backfillJob(id: $id) { state done total percent bars changed secondsLeft error } }"


async def test_a_backfill_over_graphql_is_followed_to_its_end(sandbox: Running, sandbox_database: Database) -> None:
    admin = bearer(await person(sandbox_database, Tier.ADMIN))
    window = {"from": "2019-03-01", "to": "2019-03-03"}
    asked = (await sandbox.data(BACKFILL, authorization=admin, symbols=["tsla"], **window))["backfill"]

    async def over() -> dict[str, Any] | None:
        job: dict[str, Any] = (await sandbox.data(JOB, authorization=admin, id=asked["id"]))["backfillJob"]
        return job if job["state"] == "COMPLETE" else None

    job = await until(over, 30)
    assert job == {
        "state": "COMPLETE",
        "done": 1,
        "total": 1,
        "percent": 100.0,
        "bars": 576,
        "changed": 576,
        "secondsLeft": None,
        "error": None,
    }
    assert (await sandbox.data(HELD))["history"] == {"count": 576, "provenance": {"servedFrom": "STORE"}}


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"symbols": ["AAPL"], "from": "2024-01-02", "to": "2024-01-02"}, "INVALID_WINDOW"),
        ({"symbols": ["AAPL"], "from": "2124-01-02"}, "INVALID_WINDOW"),
        ({"symbols": ["no symbol"], "from": "2024-01-02"}, "INVALID_SYMBOL"),
        ({"symbols": ["AAPL"] * 101, "from": "2024-01-02"}, "TOO_MANY_SYMBOLS"),
    ],
)
async def test_a_backfill_without_sense_is_refused(
    sandbox: Running, sandbox_database: Database, variables: dict[str, Any], code: str
) -> None:
    admin = bearer(await person(sandbox_database, Tier.ADMIN))
    [error] = (await sandbox.ask(BACKFILL, authorization=admin, **variables))["errors"]
    assert error["extensions"]["code"] == code


@contextmanager
def work(database_url: str, redis_url: str, schema: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    process = subprocess.Popen([SMARTFIN, "work", "--mode", schema], env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)


async def test_what_a_killed_worker_began_another_ends(
    redis: Redis, redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.jobs, "HEARTBEAT_S", 6)  # the job's own: how long its silence is taken for life
    # A database of its own, since the sandbox's schema is shared with the other tests.
    store = Database(database_url, "sandbox")
    async with store.connection(60) as connection:
        await connection.execute("DROP DATABASE IF EXISTS worker")
        await connection.execute("CREATE DATABASE worker")
    own_url = database_url.replace("/smartfin?", "/worker?")
    async with asyncio.timeout(100):
        redis_url = redis_url.replace("valkey.sock", "valkey.sock?db=7")
        own = Redis.from_url(redis_url)
        await own.flushdb()
        queue = JobQueue(own, Keys("sandbox"))
        window = Window(at("2018-01-01"), at("2018-02-20"))
        with work(own_url, redis_url, "sandbox") as killed:
            asked = await queue.ask_backfill(["AAPL"], M1, window)

            async def begun() -> bool:
                job = await queue.backfill(asked.id)
                return job is not None and job.done >= 2

            await until(begun, 60)
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
        begun_with = await queue.backfill(asked.id)
        assert begun_with is not None
        assert begun_with.state is JobState.RUNNING
        assert begun_with.done < begun_with.total == 8
        with work(own_url, redis_url, "sandbox"):
            job = await ended(queue, asked.id, 60)
        assert (job.state, job.error) == (JobState.COMPLETE, None)
        assert job.total < 8
        assert 0 < job.bars <= 72_000 - 20_000
        database = Database(own_url, "sandbox")
        held = BarStore(database, Partitions(database))
        assert await held.missing("AAPL", M1, window) == []
        async with database.connection(30) as connection:
            assert await connection.fetchval("SELECT count(*) FROM historical_data") == 72_000
        await database.aclose()
        await own.aclose()
    await store.aclose()


async def test_the_command_fetches_what_is_missing_and_a_second_time_changes_nothing(
    redis_url: str, database_url: str
) -> None:
    async with FakeYahoo() as yahoo:
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "SMARTFIN_SOURCES": "yahoo",
            "SMARTFIN_YAHOO_URL": yahoo.url,
            "SMARTFIN_YAHOO_COOKIE_URL": yahoo.url,
        }

        async def run(*arguments: str) -> tuple[int | None, str, str]:
            process = await asyncio.create_subprocess_exec(
                SMARTFIN,
                "backfill",
                *arguments,
                env=environment,
                cwd=ROOT,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

        window = ("--from", "2023-01-01", "--to", "2024-01-01")
        assert (await run("brk.b", *window))[:2] == (0, "260 bars fetched, 260 changed.\n")
        assert (await run("BRK.B", *window))[:2] == (0, "0 bars fetched, 0 changed.\n")
        code, out, err = await run("NOPE", *window)
        assert (code, out) == (1, "0 bars fetched, 0 changed.\n")
        assert 'NOPE: Yahoo knows no symbol "NOPE"' in err
        assert (await run("BRK.B", "--from", "2024-01-01", "--to", "2023-01-01"))[0] == 2


async def test_operators_are_told_of_every_job(redis: Redis, redis_url: str, database_url: str) -> None:
    number = 6
    own = Redis.from_url(redis_url, db=number)
    await own.flushdb()
    queue = JobQueue(own, Keys("sandbox"))
    waiting = await queue.ask_backfill(["AAPL"], M1, Window(at("2018-01-01"), at("2018-02-20")))
    failed = Job("Worker.review", queue=queue, key="cron:Worker.review")
    await queue.enqueue(failed)
    await failed.finish(Status.FAILED, error='Traceback …\n  File "x"\nValueError: nonsense\n')
    later = datetime.now(UTC) + timedelta(hours=1)
    await queue.enqueue("Worker.keep_up", key="cron:Worker.keep_up", scheduled=int(later.timestamp()))
    told = [(job.name, job.state, job.percent, job.error) for job in await queue.all()]
    assert told == [
        ("backfill", "QUEUED", 0.0, None),
        ("keep_up", "SCHEDULED", 0.0, None),
        ("review", "FAILED", 0.0, "ValueError: nonsense"),
    ]
    assert await queue.waiting() == {("backfill", "QUEUED"): 1, ("keep_up", "SCHEDULED"): 1}
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "REDIS_URL": f"{redis_url}?db={number}"}

    async def jobs(*options: str) -> str:
        command = [str(SMARTFIN), "jobs", *options]
        done = await asyncio.to_thread(
            lambda: subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
        )
        return done.stdout

    lines = (await jobs()).splitlines()
    assert [line.split()[0] for line in lines] == ["QUEUED", "SCHEDULED", "FAILED"]
    assert lines[0].split()[-2:] == ["backfill", waiting.id]
    assert lines[1].split()[1] == f"{later:%FT%TZ}"
    assert lines[2].endswith("review            cron:Worker.review  ValueError: nonsense")
    assert [job["state"] for job in json.loads(await jobs("--json"))] == ["QUEUED", "SCHEDULED", "FAILED"]
    await own.aclose()
