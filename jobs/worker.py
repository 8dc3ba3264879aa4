"""The worker: takes jobs from the queue, and does what the clock asks for."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from redis.exceptions import RedisError
from saq import CronJob, Job
from saq.types import Context
from saq.worker import Worker as SaqWorker

from db.assets import AssetStore
from db.bars import BarStore
from db.jobs import HEARTBEAT_S, RETRIES, JobQueue, job_name
from db.partitions import Partitions
from db.supply import BarSupply
from jobs.backfill import Progress, backfill
from jobs.deliver import Deliverer
from jobs.retention import Retention
from jobs.upkeep import Upkeep
from live.tending import tended
from market import Interval, Window

logger = logging.getLogger(__name__)

AT_ONCE: Final = 4
BEAT_S: Final = HEARTBEAT_S / 4
MONTHS_AHEAD: Final = 3
_DEQUEUE_S: Final = 0.3
"""Below what Redis may take to answer: it waits so long for a job."""
_STOP_S: Final = 2.0


class _Worker(SaqWorker[Context]):
    SIGNALS = []  # noqa: RUF012 - whoever runs it is told to end


class Worker:
    """Does the jobs of one mode; any number of workers share them, and each job has one at a time."""

    def __init__(
        self,
        queue: JobQueue,
        bars: BarStore,
        supply: BarSupply,
        assets: AssetStore,
        partitions: Partitions,
        retention: Retention,
        deliverer: Deliverer,
        *,
        always_open: bool,
    ) -> None:
        self._queue = queue
        self._bars = bars
        self._supply = supply
        self._partitions = partitions
        self._retention = retention
        self.deliverer = deliverer
        self._upkeep = Upkeep(bars, supply, assets, always_open=always_open)
        self.ended: Counter[tuple[str, str]] = Counter()
        """Attempts at jobs that have ended here, by function and how: `complete`, `failed`, `queued` for another."""

    async def run(self) -> None:
        """Work until cancelled; what is under way then goes back into the queue."""
        worker = _Worker(
            self._queue,
            [("backfill", self.backfill)],
            concurrency=AT_ONCE,
            cron_jobs=[
                _at("*/5 * * * *", self.keep_up),
                _at("30 3 * * *", self.review),
                _at("0 */6 * * *", self.make_partitions),
                _at("45 3 * * *", self.let_go),
            ],
            timers={"schedule": 1, "worker_info": 10, "sweep": 5, "abort": 1},
            dequeue_timeout=_DEQUEUE_S,
            after_process=self._count,
            cancellation_hard_deadline_s=_STOP_S,
        )
        await self._queue.connect()
        async with tended(self.deliverer.run):
            await worker.start()

    async def _count(self, context: Context | None) -> None:
        if context and (job := context.get("job")) is not None:
            self.ended[job_name(job.function), job.status.value] += 1

    async def backfill(self, context: Context, *, symbols: Sequence[str], interval: str, start: str, end: str) -> None:
        """Fetch what is missing, and keep the job told of how far that is."""
        job: Job = context["job"]

        async def tell(progress: Progress) -> None:
            job.progress = progress.done / progress.total if progress.total else 1.0
            await job.update(meta=asdict(progress))

        window = Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
        async with _alive(job):
            done = await backfill(self._bars, self._supply, symbols, Interval(interval), window, tell)
        logger.info("backfill of %s %s: %d bars, %d changed", ", ".join(symbols), interval, done.bars, done.changed)

    async def keep_up(self, context: Context) -> int:
        """Fetch the bars of sessions that have closed since."""
        async with _alive(context["job"]):
            return await self._upkeep.keep_up(datetime.now(UTC))

    async def review(self, context: Context) -> int:
        """Compare the last days with their sources."""
        async with _alive(context["job"]):
            return await self._upkeep.review(datetime.now(UTC))

    async def make_partitions(self, context: Context) -> None:
        """Have the months to come ready before their first row."""
        now = datetime.now(UTC)
        months = [now + timedelta(days=31 * ahead) for ahead in range(MONTHS_AHEAD + 1)]
        for table in ("historical_data", "market_data"):
            await self._partitions.ensure(table, months)

    async def let_go(self, context: Context) -> None:
        """Drop what need not be kept any longer."""
        async with _alive(context["job"]):
            await self._retention.run(datetime.now(UTC))


def _at(cron: str, function: Any) -> CronJob[Context]:
    return CronJob(function, cron, timeout=0, heartbeat=HEARTBEAT_S, retries=RETRIES)


@asynccontextmanager
async def _alive(job: Job) -> AsyncIterator[None]:
    """Tell again and again that somebody still works on the job."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await job.update()
            except (RedisError, OSError, TimeoutError) as error:
                logger.warning("%s cannot say that it lives: %s", job.function, error)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
