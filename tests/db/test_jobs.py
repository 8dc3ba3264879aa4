"""No job is lost, whoever dies and whenever: the queue's own promises, with workers that are played by the tests."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from saq import Job, Status
from saq.utils import now

import db.jobs
from db.jobs import HEARTBEAT_S, RETRIES, JobQueue, JobState
from db.redis import Keys, connect
from market import Interval, Window
from tests.bars import at
from tests.waiting import until

LOCK_S = 0.001
"""Nobody waits for another's sweep."""


@pytest.fixture
async def queue(redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> JobQueue:
    monkeypatch.setattr(db.jobs, "RETRY_S", 0)
    return JobQueue(redis, keys)


async def asked(queue: JobQueue) -> str:
    return (await queue.ask_backfill(["AAPL"], Interval.M1, Window(at("2024-01-01"), at("2024-02-01")))).id


async def taken(queue: JobQueue) -> Job:
    job = await queue.dequeue(0.3)
    assert job is not None
    return job


async def begun(queue: JobQueue, *, silent_s: float = 0) -> Job:
    """A job that a worker has begun, and of which he has said nothing for so long."""
    await asked(queue)
    job = await taken(queue)
    job.attempts += 1
    job.started = now()
    await job.update(status=Status.ACTIVE)
    job.touched = now() - round(silent_s * 1000)
    await queue.redis.set(job.id, queue.serialize(job))
    return job


async def swept(queue: JobQueue) -> list[str]:
    """What a sweep hands on, for whose sake nobody has to wait."""
    await asyncio.sleep(2 * LOCK_S)
    return await queue.sweep(LOCK_S, abort=0)


async def status(queue: JobQueue, key: str) -> Status:
    job = await queue.job(key)
    assert job is not None
    return job.status


async def given_out(queue: JobQueue) -> Job:
    """The job that another worker gets, after as many sweeps as it takes."""

    async def next_of() -> Job | None:
        await swept(queue)
        await queue.schedule()
        return await queue.dequeue(0.05)

    job: Job = await until(next_of, 5)
    return job


async def test_a_job_that_is_just_being_taken_is_left_to_its_worker(queue: JobQueue) -> None:
    key = await asked(queue)
    job = await taken(queue)
    assert await swept(queue) == []
    await job.update(status=Status.ACTIVE)
    for _ in range(3):
        assert await swept(queue) == []
    assert await status(queue, key) is Status.ACTIVE
    await job.finish(Status.COMPLETE)
    assert await status(queue, key) is Status.COMPLETE
    assert await queue.count("incomplete") == await queue.count("active") == 0


async def test_a_job_whose_worker_says_something_is_left_to_him(queue: JobQueue) -> None:
    job = await begun(queue, silent_s=HEARTBEAT_S - 5)
    for _ in range(3):
        assert await swept(queue) == []
    assert await status(queue, job.key) is Status.ACTIVE


@pytest.mark.parametrize("is_begun", [True, False])
async def test_what_a_worker_left_is_done_by_another(queue: JobQueue, is_begun: bool) -> None:
    if is_begun:
        key = (await begun(queue, silent_s=HEARTBEAT_S + 1)).key
    else:
        await asked(queue)
        key = (await taken(queue)).key
    assert await swept(queue) == []
    assert await status(queue, key) is Status.ABORTING
    told = await queue.backfill(key)
    assert told is not None
    assert told.state is JobState.QUEUED
    assert await swept(queue) == [key]
    assert (await given_out(queue)).key == key


async def test_a_worker_has_time_to_let_go(queue: JobQueue) -> None:
    job = await begun(queue, silent_s=HEARTBEAT_S + 1)
    for _ in range(5):
        await asyncio.sleep(2 * LOCK_S)
        assert await queue.sweep(LOCK_S) == []
    assert await status(queue, job.key) is Status.ABORTING


async def test_only_one_worker_sweeps_at_a_time(queue: JobQueue) -> None:
    job = await begun(queue, silent_s=HEARTBEAT_S + 1)
    await queue.sweep(60, abort=0)
    assert await queue.sweep(60, abort=0) == []
    assert await status(queue, job.key) is Status.ABORTING


async def test_a_worker_that_lets_go_hands_its_job_on_once(queue: JobQueue) -> None:
    job = await begun(queue, silent_s=HEARTBEAT_S + 1)
    await swept(queue)
    await asyncio.gather(*(job.finish(Status.ABORTED, error="swept") for _ in range(2)))  # SAQ says it twice
    other = await given_out(queue)
    assert (other.key, other.attempts) == (job.key, 1)
    await other.update(status=Status.ACTIVE)
    await job.finish(Status.ABORTED, error="swept")
    assert await status(queue, job.key) is Status.ACTIVE
    assert await queue.count("active") == 1
    assert await queue.dequeue(0.05) is None


async def test_a_job_that_lost_a_worker_at_each_attempt_has_failed(queue: JobQueue) -> None:
    job = await begun(queue, silent_s=HEARTBEAT_S + 1)
    job.attempts = RETRIES
    await queue.redis.set(job.id, queue.serialize(job))
    await swept(queue)
    assert await swept(queue) == [job.key]
    told = await queue.backfill(job.key)
    assert told is not None
    assert told.state is JobState.FAILED
    assert [report.error for report in await queue.all()] == ["its worker was lost"]
    assert await queue.count("incomplete") == await queue.count("active") == 0


async def test_what_has_ended_meanwhile_is_not_called_off(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await begun(queue, silent_s=HEARTBEAT_S + 1)
    ask = queue.redis.eval

    async def late(*arguments: Any) -> Any:
        await job.finish(Status.COMPLETE)
        return await ask(*arguments)

    monkeypatch.setattr(queue.redis, "eval", late)
    await swept(queue)
    assert await status(queue, job.key) is Status.COMPLETE


async def test_a_job_of_which_nothing_is_known_is_forgotten(queue: JobQueue) -> None:
    job = await begun(queue)
    await queue.redis.delete(job.id)
    assert await swept(queue) == []
    assert await queue.count("incomplete") == await queue.count("active") == 0


@pytest.mark.parametrize("is_begun", [True, False])
async def test_a_sweep_may_die_at_any_point(
    queue: JobQueue, redis_url: str, keys: Keys, monkeypatch: pytest.MonkeyPatch, is_begun: bool
) -> None:
    """At each of the times that it asks Redis; another worker gets the job nevertheless."""
    dying = JobQueue(connect(redis_url), keys)
    lend: Any = dying.redis.connection_pool.get_connection
    left = 0

    async def lend_few(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise RedisConnectionError("gone")
        return await lend(*arguments, **options)

    monkeypatch.setattr(dying.redis.connection_pool, "get_connection", lend_few)
    for lives in range(100):
        if is_begun:
            key = (await begun(queue, silent_s=HEARTBEAT_S + 1)).key
        else:
            await asked(queue)
            key = (await taken(queue)).key
        left = lives
        try:
            async with asyncio.timeout(10):
                handed_on: list[str] = []
                while not handed_on:
                    handed_on = await swept(dying)
        except RedisConnectionError:
            pass
        got = await given_out(queue)
        assert got.key == key, f"lost where it asks Redis for the {lives + 1}. time"
        await got.finish(Status.COMPLETE)
        if left >= 0:
            break
    assert 5 < lives < 100
    await dying.redis.aclose()
