"""What commands open and close, and the server too: the stores, the sources, the supply of bars, the jobs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from asyncpg import UndefinedTableError
from redis.asyncio import Redis

import tracing
from db.archive import Archive
from db.assets import AssetStore
from db.bars import BarStore
from db.budgets import RedisBudget
from db.database import Database
from db.deliveries import DeliveryStore
from db.embedded import Servers, servers
from db.jobs import JobQueue
from db.migrate import migrate
from db.partitions import Partitions
from db.redis import Keys, connect
from db.source_keys import SourceKeys
from db.source_stats import SourceStatsStore
from db.supply import BarSupply
from db.webhook_secrets import WebhookSecrets
from errors import StoreUnavailable
from jobs.deliver import Deliverer, Send
from jobs.mail import Mail
from jobs.retention import Retention
from jobs.sms import Sms
from jobs.webhook import Webhooks
from jobs.worker import Worker
from live.roster import Roster
from live.tending import tended
from monitoring.metrics import Metrics
from monitoring.port import operators_port
from monitoring.pulse import Pulse
from people import NotificationMethod
from settings import Mode, Settings
from sources.catalog import SOURCES, open_sources, quotas
from sources.router import Router
from sources.source import Source


def open_stores(settings: Settings, stack: AsyncExitStack, pool_size: int = 10) -> tuple[Database, Redis, Servers]:
    """PostgreSQL and Redis, closed with the stack, and where they are."""
    urls = stack.enter_context(servers(settings))
    database = Database(urls.database_url, settings.mode.value, pool_size)
    stack.push_async_callback(database.aclose)
    redis = connect(urls.redis_url)
    stack.push_async_callback(redis.aclose)
    return database, redis, urls


@asynccontextmanager
async def open_sources_alone(
    settings: Settings,
) -> AsyncIterator[tuple[Database, Redis, Sequence[Source], dict[str, RedisBudget]]]:
    """The stores and the sources of the mode, for a command; with the keys that are kept, once there are tables."""
    async with AsyncExitStack() as stack:
        database, redis, _ = open_stores(settings, stack)
        budgets = source_budgets(settings, redis)
        try:
            kept = await SourceKeys(database, settings).get()
        except (StoreUnavailable, UndefinedTableError):
            kept = {}
        sources = open_sources(settings.with_api_keys(kept), budgets)
        for source in sources:
            stack.push_async_callback(source.aclose)
        yield database, redis, sources, budgets


@dataclass(frozen=True, slots=True)
class Supply:
    """What a command needs that fetches bars and keeps them."""

    database: Database
    roster: Roster
    bars: BarStore
    supply: BarSupply
    worker: Worker
    metrics: Metrics


@asynccontextmanager
async def open_supply(settings: Settings) -> AsyncIterator[Supply]:
    """The stores and the router of the mode, for a command; the tables are up to date."""
    async with open_sources_alone(settings) as (database, redis, sources, budgets):
        await migrate(database)
        router = Router(sources)
        roster = Roster(settings, SourceKeys(database, settings), budgets, router)
        await roster.look()
        partitions, assets = Partitions(database), AssetStore(database)
        bars = BarStore(database, partitions, Archive(database, settings.archive_url))
        supply = BarSupply(bars, router)
        queue = JobQueue(redis, Keys(settings.mode))
        worker = job_worker(settings, queue, bars, supply, assets, partitions)
        measured = Metrics(
            mode=settings.mode.value,
            database=database,
            redis=redis,
            router=router,
            budgets=budgets,
            bars=bars,
            supply=supply,
            jobs=queue,
            pulse=Pulse(),
            worker=worker,
        )
        try:
            yield Supply(database, roster, bars, supply, worker, measured)
        finally:
            await supply.aclose()
            await router.aclose()


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """The jobs of the mode are done until this is closed."""
    async with tracing.traced(settings.otlp_endpoint), open_supply(settings) as supply:
        prepared, metrics = asyncio.Event(), supply.metrics
        prepared.set()
        state = {
            "database": metrics.database,
            "redis": metrics.redis,
            "router": metrics.router,
            "metrics": metrics,
            "prepared": prepared,
            "draining": asyncio.Event(),
        }
        async with tended(supply.worker.run, metrics.pulse.run, supply.roster.run), operators_port(settings, state):
            yield


def job_worker(
    settings: Settings,
    queue: JobQueue,
    bars: BarStore,
    supply: BarSupply,
    assets: AssetStore,
    partitions: Partitions,
) -> Worker:
    """Who does the jobs."""
    retention = Retention(partitions, SourceStatsStore(partitions.database), settings)
    webhooks = Webhooks(WebhookSecrets(settings).key_of, settings.allowed_webhook_hosts)
    senders: dict[NotificationMethod, Send] = {NotificationMethod.WEBHOOK: webhooks.send}
    if settings.smtp_url is not None:
        senders[NotificationMethod.EMAIL] = Mail(settings.smtp_url.get_secret_value(), settings.mail_from).send
    if settings.sms_url is not None:
        key = settings.sms_key.get_secret_value() if settings.sms_key is not None else None
        senders[NotificationMethod.SMS] = Sms(settings.sms_url.get_secret_value(), key).send
    deliverer = Deliverer(DeliveryStore(partitions.database), senders)
    always_open = settings.mode is Mode.SANDBOX
    return Worker(queue, bars, supply, assets, partitions, retention, deliverer, always_open=always_open)


def source_budgets(settings: Settings, redis: Redis) -> dict[str, RedisBudget]:
    """What is left of the quota of each source of the mode, by its name."""
    keys = Keys(settings.mode)
    return {kind.name: RedisBudget(redis, keys, kind.name, quotas(kind, settings)) for kind in SOURCES[settings.mode]}
