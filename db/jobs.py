"""Jobs in Redis: put there by whoever wants one done, and taken from there by a worker."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError
from saq import Job, Queue, Status
from saq.queue.redis import RedisQueue
from saq.utils import now

from db.redis import Keys
from errors import StoreUnavailable, TooManyJobs
from market import Interval, Window

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 100
"""Jobs that may wait or run at a time, those of the clock among them."""
HEARTBEAT_S: Final = 20
"""A job that says nothing for so long has lost its worker, and another takes it."""
RETRIES: Final = 10
RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 300.0
KEPT_S: Final = 7 * 86_400
"""How long it can be asked what became of a job."""
LET_GO_S: Final = 3.0
"""How long a worker that lives has to let go of a job that is called off; it looks every second."""
_LOST: Final = "its worker was lost"
_IF_UNCHANGED: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2])
end
"""
_RETRY_REDIS_S: Final = 0.5
_AWAY: Final = (RedisError, OSError, TimeoutError)


class JobState(StrEnum):
    """Where a job stands; one that failed has used up its attempts."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


_STATES: Final = {
    Status.ACTIVE: JobState.RUNNING,
    Status.COMPLETE: JobState.COMPLETE,
    Status.FAILED: JobState.FAILED,
    Status.ABORTED: JobState.FAILED,
}


@dataclass(frozen=True, slots=True)
class BackfillJob:
    """A backfill: `done` of `total` stretches are fetched, with `bars` bars, of which `changed` were new or other.

    `seconds_left` is a guess from its pace so far; None before it has one. `error` says of each symbol what could not
    be had, one line each.
    """

    id: str
    state: JobState
    done: int
    total: int
    bars: int
    changed: int
    seconds_left: float | None
    error: str | None

    @property
    def percent(self) -> float:
        """How much of it is done."""
        if self.state is JobState.COMPLETE:
            return 100.0
        return round(100 * self.done / self.total, 1) if self.total else 0.0


@dataclass(frozen=True, slots=True)
class JobReport:
    """Any job, for operators: `at` is when it is due, was queued, began or ended, as its state has it.

    The states are those of `JobState`, and SCHEDULED of one that is due later: by the clock, or as it is tried again.
    """

    id: str
    name: str
    state: str
    percent: float
    attempts: int
    at: datetime
    error: str | None


SCHEDULED: Final = "SCHEDULED"
_ORDER: Final = (JobState.RUNNING, JobState.QUEUED, SCHEDULED, JobState.FAILED, JobState.COMPLETE)


class JobQueue(RedisQueue):
    """SAQ's queue, under the keys of the mode; it outlives Redis being away.

    Every job runs at least once: a worker may die, and a sweep may take a job that runs for one that is lost. So each
    must do no harm when it runs again.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._prefix = f"{keys.prefix}jobs:"
        super().__init__(redis, name=keys.prefix.strip(":"), dump=orjson.dumps, load=orjson.loads)

    # SAQ would keep everything under a prefix of its own.
    def namespace(self, key: str) -> str:
        """The key of one of the queue's own lists."""
        return f"{self._prefix}{key}"

    def job_id(self, job_key: str) -> str:
        """The key of a job."""
        return f"{self._prefix}job:{job_key}"

    def job_key_from_id(self, job_id: str) -> str:
        """The name of the job that has this key."""
        return job_id.removeprefix(f"{self._prefix}job:")

    # Not over pub/sub: where nobody speaks for a second, our client of Redis counts as cut off.
    listen = Queue.listen

    async def dequeue(self, timeout: float = 0.0, poll_interval: float = 0.0) -> Job | None:  # noqa: ASYNC109 - SAQ's
        """The next job, or None after a while. SAQ would ask a Redis that is away again and again without a pause."""
        try:
            return await super().dequeue(timeout, poll_interval)
        except _AWAY as error:
            logger.warning("jobs wait for Redis: %s", error)
            await asyncio.sleep(_RETRY_REDIS_S)
            return None

    # SAQ's takes a job that a worker is just taking for a lost one; and it first takes a lost one from every list, so
    # that nobody knows of it any more where the sweeping worker dies, or Redis is away for a moment.
    async def sweep(self, lock: float = 60, abort: float = LET_GO_S) -> list[str]:
        """Call off jobs that were taken and are silent, and hand on those that nobody has let go of since; their keys.

        Only one of the workers sweeps every `lock` seconds. `abort` is how many seconds are left to let go of a job.
        """
        if not await self.redis.set(self._sweep, 1, px=round(lock * 1000), nx=True):
            return []
        handed_on = []
        ids: list[Any] = await self.redis.lrange(self._active, 0, -1)
        for job_id in ids:
            stored: Any = await self.redis.get(job_id)
            job = self.deserialize(stored)
            if job is None:
                await self.redis.lrem(self._active, 0, job_id)
                await self.redis.zrem(self._incomplete, job_id)
            elif job.status is not Status.ABORTING:
                if job.status is not Status.ACTIVE or job.stuck:
                    job.status, job.error, job.touched = Status.ABORTING, _LOST, now()
                    # Whoever takes it at this moment marks it as active after that, and it is his.
                    await self.redis.eval(_IF_UNCHANGED, 1, job_id, stored, self.serialize(job))
            elif now() - job.touched >= abort * 1000:
                await self._hand_on(job)
                handed_on.append(job.key)
        return handed_on

    async def finish(self, job: Job, status: Status, **how: Any) -> None:
        """Have the job ended; one that was called off is handed on instead, now that its worker lets go of it."""
        if status is not Status.ABORTED:
            await super().finish(job, status, **how)
            return
        stored = await self.job(job.key)
        if stored is not None and stored.status is Status.ABORTING:
            await self._hand_on(job)

    async def _hand_on(self, job: Job) -> None:
        if job.retryable:
            await self.retry(job, _LOST)
        else:
            await super().finish(job, Status.FAILED, error=_LOST)

    async def ask_backfill(self, symbols: Sequence[str], interval: Interval, window: Window) -> BackfillJob:
        """Put a backfill into the queue; the one that is there already, if it is for the same.

        Raises TooManyJobs, StoreUnavailable.
        """
        asked = {
            "symbols": sorted(set(symbols)),
            "interval": interval.value,
            "start": window.start.isoformat(),
            "end": window.end.isoformat(),
        }
        # SAQ marks aborted jobs by this name alone, so it tells the modes apart too.
        key = blake2b(self._prefix.encode() + orjson.dumps(asked), digest_size=12).hexdigest()
        try:
            if await self.count("incomplete") >= MAX_WAITING:
                raise TooManyJobs(f"{MAX_WAITING} jobs wait already; ask again when some are done.")
            await self.enqueue(
                "backfill",
                key=key,
                timeout=0,
                heartbeat=HEARTBEAT_S,
                retries=RETRIES,
                retry_delay=RETRY_S,
                retry_backoff=MAX_RETRY_S,
                ttl=KEPT_S,
                **asked,
            )
        except _AWAY as error:
            raise _away() from error
        job = await self.backfill(key)
        assert job is not None  # it is kept for days
        return job

    async def backfill(self, key: str) -> BackfillJob | None:
        """How a backfill stands; None where nobody knows it (any more). Raises StoreUnavailable."""
        try:
            job = await self.job(key)
        except _AWAY as error:
            raise _away() from error
        return _told(job) if job is not None and job.function == "backfill" else None

    async def all(self) -> list[JobReport]:
        """Every job that is known: what runs first, then what waits, failed and is done. Raises StoreUnavailable."""
        try:
            found = [_reported(job) async for job in self.iter_jobs()]
        except _AWAY as error:
            raise _away() from error
        return sorted(found, key=lambda job: (_ORDER.index(job.state), job.at, job.id))

    async def waiting(self) -> Counter[tuple[str, str]]:
        """How many jobs run or wait, by name and state. Raises StoreUnavailable."""
        try:
            ids: list[Any] = await self.redis.zrange(self._incomplete, 0, -1)
            jobs = await self.jobs([self.job_key_from_id(found.decode()) for found in ids])
        except _AWAY as error:
            raise _away() from error
        reports = [_reported(job) for job in jobs if job is not None]
        return Counter((job.name, job.state) for job in reports)


def job_name(function: str) -> str:
    """What a job is called: the last part of its function's name."""
    return function.rpartition(".")[2]


def _reported(job: Job) -> JobReport:
    state: str = _STATES.get(job.status, JobState.QUEUED)
    times: dict[str, int] = {JobState.RUNNING: job.started, JobState.QUEUED: job.queued}
    ms = times.get(state, job.completed)
    if state == JobState.QUEUED and job.scheduled > datetime.now(UTC).timestamp():
        state, ms = SCHEDULED, job.scheduled * 1000
    failures = job.meta.get("failures") or (job.error or "").strip().splitlines()[-1:]
    return JobReport(
        id=job.key,
        name=job_name(job.function),
        state=state,
        percent=100.0 if state == JobState.COMPLETE else round(100 * job.progress, 1),
        attempts=job.attempts,
        at=datetime.fromtimestamp(ms / 1000, UTC),
        error="; ".join(failures) or None,
    )


def _told(job: Job) -> BackfillJob:
    meta: dict[str, Any] = job.meta
    done, total = meta.get("done", 0), meta.get("total", 0)
    state = _STATES.get(job.status, JobState.QUEUED)
    left: float | None = None
    if state is JobState.RUNNING and done:
        elapsed_s = datetime.now(UTC).timestamp() - job.started / 1000
        left = max(0.0, elapsed_s / done * (total - done))
    failures: list[str] = meta.get("failures", [])
    # A traceback is for the log.
    fault = ["It failed in an unexpected way; the log has it."] if state is JobState.FAILED and not failures else []
    return BackfillJob(
        id=job.key,
        state=state,
        done=done,
        total=total,
        bars=meta.get("bars", 0),
        changed=meta.get("changed", 0),
        seconds_left=left,
        error="\n".join(failures + fault) or None,
    )


def _away() -> StoreUnavailable:
    return StoreUnavailable("Redis does not answer; try again.")
