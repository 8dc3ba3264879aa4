"""Tells what works and what does not: PostgreSQL, Redis, and each source with its key and its quota."""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from asyncpg import PostgresError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from db.budgets import RedisBudget
from db.database import Database
from db.source_stats import SourceStats, SourceStatsStore
from errors import SmartFinError, StoreUnavailable
from sources.source import Source, sample


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_well: bool
    details: str


async def examine(
    database: Database, redis: Redis, sources: Sequence[Source], budgets: dict[str, RedisBudget]
) -> AsyncIterator[Finding]:
    """What is found, one by one. Each source is asked one question, which counts in its quota."""
    yield await _postgresql(database)
    yield await _redis(redis)
    stats = await _stats(database)
    for source in sources:
        finding = await _source(source, budgets[source.name])
        yield replace(finding, details=finding.details + _last_error(stats.get(source.name)))


async def _postgresql(database: Database) -> Finding:
    try:
        async with database.session() as session:
            row = (await session.execute(text("SELECT current_setting('server_version'), getdatabaseencoding()"))).one()
    except StoreUnavailable as error:
        return Finding("PostgreSQL", is_well=False, details=str(error))
    version, encoding = row
    return Finding("PostgreSQL", is_well=encoding == "UTF8", details=f"version {version}, encoding {encoding}")


async def _redis(redis: Redis) -> Finding:
    try:
        info = await redis.info("server")
    except (RedisError, OSError, TimeoutError) as error:
        return Finding("Redis", is_well=False, details=f"does not answer: {error}")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info["redis_version"]
    return Finding("Redis", is_well=True, details=f"{name} {version}")


async def _source(source: Source, budget: RedisBudget) -> Finding:
    symbol = sample(source)
    start = time.monotonic()
    try:
        quotes = await source.quotes([symbol]) if symbol else {}
    except SmartFinError as error:
        return Finding(source.name, is_well=False, details=f"{error} ({error.code}){await _left(budget)}")
    took_ms = (time.monotonic() - start) * 1000
    if symbol is None or symbol not in quotes:
        return Finding(
            source.name, is_well=False, details=f"answers, but has no quote of {symbol}{await _left(budget)}"
        )
    quote = quotes[symbol]
    price = f"{symbol} {quote.price} {quote.currency or ''}".strip()
    return Finding(source.name, is_well=True, details=f"{price}, {took_ms:.0f} ms{await _left(budget)}")


async def _stats(database: Database) -> dict[str, SourceStats]:
    """What the servers have measured; nothing where PostgreSQL is away, or has no such table yet."""
    try:
        return await SourceStatsStore(database).get()
    except (StoreUnavailable, PostgresError):
        return {}


def _last_error(stats: SourceStats | None) -> str:
    if stats is None or stats.last_error is None:
        return ""
    return f"; its last error, at {stats.last_error_at:%FT%TZ}: {stats.last_error}"


async def _left(budget: RedisBudget) -> str:
    usages = await budget.usage()
    if not usages:
        return ""
    left = ", ".join(
        f"{usage.quota.limit - usage.used} of {usage.quota.limit} in {usage.quota.seconds} s" for usage in usages
    )
    return f"; left of its quota: {left}"
