"""Tells what works and what does not: the stores, the tables, the disk, and each source with its key and quota."""

import shutil
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from asyncpg import PostgresError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from db.budgets import RedisBudget
from db.database import Database
from db.migrate import revisions
from db.source_keys import SavedSource, SourceKeys
from db.source_stats import SourceStats, SourceStatsStore
from errors import SmartFinError, SourceRefused, StoreUnavailable
from settings import Settings
from sources.catalog import SOURCES
from sources.source import Source, sample

LEAST_POSTGRESQL = 16
LEAST_FREE_BYTES = 1_000_000_000
"""PostgreSQL stops where it cannot write."""


class Verdict(StrEnum):
    """How something does."""

    WELL = "ok"
    ILL = "FAIL"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `query` is one for GraphiQL that shows it, where there is one."""

    what: str
    verdict: Verdict
    details: str
    query: str | None = None


async def examine(
    settings: Settings, database: Database, redis: Redis, sources: Sequence[Source], budgets: Mapping[str, RedisBudget]
) -> AsyncIterator[Finding]:
    """What is found, one by one, of the sources that are open and then of the others of the mode.

    Each is asked one question, or two where the first is refused; they count in its quota.
    """
    yield await _postgresql(database)
    yield await _tables(database)
    yield await _redis(redis)
    if not (settings.database_dsn and settings.redis_dsn) and settings.data_dir.exists():
        yield _disk(settings.data_dir)
    stats = await _stats(database)
    saved = await _saved(database, settings)
    for source in sources:
        if not saved.get(source.name, SavedSource()).is_active:
            yield Finding(source.name, Verdict.OFF, "an admin has switched it off (saveSource)")
            continue
        finding = await _source(source, settings)
        left, last = await _left(budgets[source.name]), _last_error(stats.get(source.name))
        yield replace(finding, details="; ".join(filter(None, (finding.details, left, last))))
    opened = {source.name for source in sources}
    for kind in SOURCES[settings.mode]:
        if kind.name not in opened:
            needs = f"needs {settings.key_variable(kind.name)}"
            why = needs if settings.allows(kind.name) else "SMARTFIN_SOURCES leaves it out"
            yield Finding(kind.name, Verdict.OFF, why)


_OF_POSTGRESQL = """
    SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, getdatabaseencoding(),
           pg_size_pretty(pg_database_size(current_database())),
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
           current_setting('max_connections')
"""


async def _postgresql(database: Database) -> Finding:
    try:
        async with database.session() as session:
            row = (await session.execute(text(_OF_POSTGRESQL))).one()
    except StoreUnavailable as error:
        return Finding("PostgreSQL", Verdict.ILL, str(error))
    version, major, encoding, size, used, most = row
    told = f"version {version}, encoding {encoding}, {size}, {used} of {most} connections"
    if major < LEAST_POSTGRESQL:
        return Finding("PostgreSQL", Verdict.ILL, f"{told}; it must be {LEAST_POSTGRESQL} or newer")
    return Finding("PostgreSQL", Verdict.WELL if encoding == "UTF8" else Verdict.ILL, told)


async def _tables(database: Database) -> Finding:
    try:
        present, newest = await revisions(database)
    except StoreUnavailable as error:
        return Finding("Tables", Verdict.ILL, str(error))
    if present == newest:
        return Finding("Tables", Verdict.WELL, f"up to date, at {newest}")
    if present is None:
        return Finding("Tables", Verdict.OFF, "there are none yet; smartfin serve or smartfin migrate makes them")
    return Finding("Tables", Verdict.ILL, f"at {present}, and this version needs {newest}; run smartfin migrate")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    verdict = Verdict.WELL if free >= LEAST_FREE_BYTES else Verdict.ILL
    return Finding("Disk", verdict, f"{free / 1e9:.1f} GB are free for {folder}")


async def _redis(redis: Redis) -> Finding:
    try:
        info = await redis.info("server") | await redis.info("memory")
    except (RedisError, OSError, TimeoutError) as error:
        return Finding("Redis", Verdict.ILL, f"does not answer: {error}")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info["redis_version"]
    most, policy = info["maxmemory_human"] if info["maxmemory"] else "no limit", info["maxmemory_policy"]
    told = f"{name} {version}, {info['used_memory_human']} of {most} ({policy})"
    if info["maxmemory"] and policy.startswith("allkeys"):
        return Finding("Redis", Verdict.ILL, f"{told}; that policy drops jobs that wait: set volatile-lru")
    return Finding("Redis", Verdict.WELL, told)


async def _source(source: Source, settings: Settings) -> Finding:
    symbol = sample(source)
    assert symbol is not None, "every source covers one of the samples"
    works = "its key works" if settings.key_variable(source.name) else ""
    query = (
        f'{{ quote(symbol: "{symbol}") {{ price provenance {{ source servedFrom }} }} '
        f'route(symbol: "{symbol}", capability: QUOTES) {{ source wouldAsk reason }} }}'
    )
    start = time.monotonic()
    try:
        quote = (await source.quotes([symbol])).get(symbol)
    except SmartFinError as error:
        # A plan may leave quotes out: whether the key is good, another question tells.
        if works and isinstance(error, SourceRefused) and not await _refuses(source, symbol):
            return Finding(source.name, Verdict.WELL, f"{works}, but: {error}", query)
        return Finding(source.name, Verdict.ILL, f"{error} ({error.code})", query)
    told = f"it has no quote of {symbol}"
    if quote is not None:
        price = f"{symbol} {quote.price} {quote.currency or ''}".strip()
        told = f"{price}, {(time.monotonic() - start) * 1000:.0f} ms"
    return Finding(source.name, Verdict.WELL if quote else Verdict.ILL, "; ".join(filter(None, (works, told))), query)


async def _refuses(source: Source, symbol: str) -> bool:
    try:
        await source.asset(symbol)
    except SmartFinError:
        return True
    return False


async def _stats(database: Database) -> dict[str, SourceStats]:
    """What the servers have measured; nothing where PostgreSQL is away, or has no such table yet."""
    try:
        return await SourceStatsStore(database).get()
    except (StoreUnavailable, PostgresError):
        return {}


async def _saved(database: Database, settings: Settings) -> dict[str, SavedSource]:
    """What admins have chosen; nothing where that cannot be read, likewise."""
    try:
        return await SourceKeys(database, settings).saved()
    except (StoreUnavailable, PostgresError):
        return {}


def _last_error(stats: SourceStats | None) -> str:
    if stats is None or stats.last_error is None:
        return ""
    return f"its last error, at {stats.last_error_at:%FT%TZ}: {stats.last_error}"


async def _left(budget: RedisBudget) -> str:
    left = ", ".join(
        f"{usage.quota.limit - usage.used} of {usage.quota.limit} in {usage.quota.seconds} s"
        for usage in await budget.usage()
    )
    return f"left of its quota: {left}" if left else ""
