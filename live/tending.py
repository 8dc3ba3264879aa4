"""Background tasks, each with an owner that notices its death."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

logger = logging.getLogger(__name__)

RESTART_S = 1.0


@asynccontextmanager
async def tended(*runs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Each of `runs` runs, and is started again should it ever end, until this is closed; then it is cancelled."""
    tasks = [asyncio.create_task(_tend(run)) for run in runs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def is_ending() -> bool:
    """Whether the task that asks has been cancelled.

    A cancellation can get lost: where a time-out, of redis-py say, strikes at the same moment, only the time-out is
    raised. So whoever goes on after errors asks this before each new round.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _tend(run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:
            logger.exception("%s died", run.__qualname__)
        else:
            if not is_ending():
                logger.error("%s ended, which it never should; it is started again", run.__qualname__)
        if is_ending():
            return
        await asyncio.sleep(RESTART_S)
