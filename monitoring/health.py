"""Whether the process lives, and whether it can answer."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from db.database import Database

READY_S: Final = 0.2


async def livez(request: Request) -> Response:
    """200 while the process answers at all; touches nothing else."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 once PostgreSQL and Redis answer within 0.2 s, until the server ends; else 503, which says what is amiss.

    The breakers of the sources are told as well; a source that fails takes no process out of service.
    """
    state = request.state
    parts = await stores_answer(state.database, state.redis) | {
        "prepared": state.prepared.is_set(),
        "serving": not state.draining.is_set(),
    }
    ready = all(parts.values())
    sources = {name: health.breaker for name, health in state.router.health.items()}
    return JSONResponse({"ready": ready, **parts, "sources": sources}, status_code=200 if ready else 503)


async def stores_answer(database: Database, redis: Redis) -> dict[str, bool]:
    """Whether PostgreSQL and Redis answer within 0.2 s, by name."""
    checks: dict[str, Awaitable[object]] = {"postgresql": database.ping(), "redis": redis.ping()}
    answers = await asyncio.gather(*map(_answers, checks.values()))
    return dict(zip(checks, answers, strict=True))


async def _answers(check: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(READY_S):
            await check
    except Exception:  # noqa: BLE001 - whatever it is, it does not answer
        return False
    return True
