"""The application: what is opened at start and closed at the end, and the routes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TypedDict

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Mount, Route, WebSocketRoute

import logs
import tracing
from db.alarms import TOLD_BY, AlarmStore
from db.alert_bus import AlertBus
from db.alerts import AlertStore
from db.archive import Archive
from db.asset_index import AssetIndex
from db.assets import AssetStore
from db.attempts import Attempts
from db.bars import BarStore
from db.database import Database
from db.documents import DocumentStore
from db.fires import FireStore
from db.jobs import JobQueue
from db.live_bars import LiveBars
from db.markets import MarketCache
from db.migrate import migrate
from db.partitions import Partitions
from db.passwords import Passwords
from db.quotes import QuoteCache, QuoteStore
from db.redis import Keys, connect, database_of
from db.sealing import refresh_key, token_key
from db.sessions import SessionStore
from db.source_keys import SourceKeys
from db.source_stats import SourceStatsStore
from db.spending import Spending, budgets_of
from db.supply import BarSupply
from db.tokens import AccessTokens
from db.users import UserStore
from db.watchlists import WatchlistStore
from db.webhook_secrets import WebhookSecrets
from errors import StoreUnavailable
from gateway.assets import DASHBOARD, GRAPHIQL, dashboard
from gateway.auth import Authenticator
from gateway.documents import Documents
from gateway.http import GraphQLEndpoint
from gateway.identity_provider import IdentityProvider
from gateway.market_socket import MarketSocket
from gateway.openapi import described
from gateway.origins import cors
from gateway.rest import api
from gateway.running import Runner
from gateway.transport_ws import TransportWS
from gateway.udf import udf
from jobs.checkup import Checkup
from jobs.refill import Refill
from live.alarms import Alarms
from live.alert_feed import AlertFeed
from live.alerts import AlertWatch
from live.bars import FormingBars
from live.collector import Collector
from live.hours import Hours
from live.hub import Hub
from live.ledger import Ledger
from live.markets import Markets
from live.recorder import Recorder
from live.roster import Roster
from live.tending import tended
from monitoring.health import livez, readyz
from monitoring.metrics import Answering, Collecting, Metrics, metrics
from monitoring.port import operators_port
from monitoring.pulse import Pulse
from opening import job_worker, open_stores, source_budgets
from people import NotificationMethod
from resolvers.alerts import may_be_told
from resolvers.history import SHARED_FOR_S
from resolvers.licensed import licensed
from resolvers.live_history import Charts
from resolvers.measures import measured
from resolvers.searched import Searched
from resolvers.world import Accounts, World
from schema.build import Schema, build_schema
from settings import Mode, Role, Settings, load_settings
from sources.catalog import open_sources, terms_by_tier
from sources.flight import Flights
from sources.quality import Quality
from sources.router import Router
from sources.streams import Streams

logger = logging.getLogger(__name__)

Run = Callable[[], Awaitable[None]]

PREPARE_S = 15.0
RETRY_S = 0.5


class State(TypedDict):
    """What every request finds in its state."""

    world: World
    documents: Documents
    authenticator: Authenticator
    database: Database
    redis: Redis
    router: Router
    metrics: Metrics
    prepared: asyncio.Event
    draining: asyncio.Event


def create_app(settings: Settings | None = None) -> Starlette:
    """The ASGI application; reads the environment where no settings are given."""
    settings = settings or load_settings()
    logs.hide(*settings.secrets)  # a worker is a process of its own
    schema = build_schema()
    runner = Runner(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        async with opened(settings, schema, runner) as state:
            yield state

    return Starlette(
        routes=[
            Route("/graphql", GraphQLEndpoint(runner)),
            WebSocketRoute("/graphql", TransportWS(runner)),
            WebSocketRoute("/ws/market-data", MarketSocket(runner)),
            Mount("/api", routes=api(runner, described(schema))),
            Mount("/udf", routes=udf(runner)),
            Route("/", dashboard),
            DASHBOARD.files(),
            Route("/livez", livez),
            Route("/readyz", readyz),
            *([Route("/metrics", metrics)] if settings.metrics and settings.workers == 1 else []),
            *([GRAPHIQL.files()] if settings.graphiql else []),
        ],
        middleware=cors(settings.allowed_origins),
        lifespan=lifespan,
    )


@asynccontextmanager
async def opened(settings: Settings, schema: Schema, runner: Runner) -> AsyncIterator[State]:
    """Everything that the role of the settings needs, running, and closed at the end."""
    async with tracing.traced(settings.otlp_endpoint), AsyncExitStack() as stack:
        yield await _open(settings, schema, runner, stack)


async def _open(settings: Settings, schema: Schema, runner: Runner, stack: AsyncExitStack) -> State:
    database, redis, urls = open_stores(settings, stack, settings.database_pool_size)
    keys = Keys(settings.mode, database_of(redis))
    tokens = AccessTokens(token_key(settings), settings.mode)
    users = UserStore(database)
    budgets = source_budgets(settings, redis)
    hours = Hours(always_open=settings.mode is Mode.SANDBOX)
    assets = AssetStore(database)
    router = Router(
        open_sources(settings, budgets),
        Quality(hours.is_open, currency_of=assets.currency),
        settings.cross_check_share,
    )
    stack.push_async_callback(router.aclose)

    partitions = Partitions(database)
    bars = BarStore(database, partitions, Archive(database, settings.archive_url))
    supply = BarSupply(bars, router)
    stack.push_async_callback(supply.aclose)
    cache, quote_store = QuoteCache(redis, keys, settings.quote_keep_seconds), QuoteStore(database, partitions)
    alert_store, alert_bus = AlertStore(database), AlertBus(redis, keys)
    hub, source_keys = Hub(redis, keys, cache, LiveBars(redis, keys)), SourceKeys(database, settings)
    world = World(
        synthetic=settings.mode is Mode.SANDBOX,
        quote_fresh_s=settings.quote_fresh_seconds,
        router=router,
        assets=assets,
        asset_index=AssetIndex(assets),
        searched=Searched(),
        bars=bars,
        supply=supply,
        quote_cache=cache,
        quote_store=quote_store,
        recorder=Recorder(quote_store),
        source_stats=SourceStatsStore(database),
        budgets=budgets,
        hub=hub,
        jobs=JobQueue(redis, keys),
        markets=Markets(MarketCache(redis, keys), always_open=settings.mode is Mode.SANDBOX),
        charts=Charts(),
        source_keys=source_keys,
        roster=Roster(settings, source_keys, budgets, router),
        users=users,
        histories=Flights(SHARED_FOR_S),
        alerts=alert_store,
        alert_bus=alert_bus,
        alert_feed=AlertFeed(alert_store, alert_bus),
        alerts_per_user=settings.alerts_per_user,
        watchlists=WatchlistStore(database, redis, keys),
        watchlists_per_user=settings.watchlists_per_user,
        notification_methods=_methods(settings),
        webhook_secrets=WebhookSecrets(settings),
        accounts=_accounts(settings, database, redis, tokens, stack),
    )
    world = licensed(world, terms_by_tier(settings))
    stack.push_async_callback(world.aclose)
    prepared, tried = asyncio.Event(), asyncio.Event()

    async def prepare() -> None:
        await _prepare(settings, database, world, tried)
        prepared.set()
        tried.set()
        await asyncio.Event().wait()

    pulse = Pulse()
    runs: list[Run] = [prepare, pulse.run, world.hub.run, world.alert_feed.run, world.recorder.run, hours.run]
    runs += [Ledger(router, world.source_stats).run, _after(prepared, world.roster.run)]
    collecting = worker = None
    if settings.mode is Mode.LIVE:
        runs.append(Checkup(router, redis, keys).run)
    if settings.role is Role.ALL:
        refill, alerts = Refill(supply), _alert_watch(world, database)
        collecting = _collecting(world, redis, keys, hours, refill, alerts)
        alarms = _alarms(settings, world, redis, keys, hours, database)
        runs += [refill.run, _after(prepared, alerts.run), _after(prepared, alarms.run), collecting.collector.run]
        waiting = connect(urls.redis_url)  # who waits for jobs takes no connection from who answers
        stack.push_async_callback(waiting.aclose)
        worker = job_worker(settings, JobQueue(waiting, keys), bars, supply, assets, partitions)
        runs.append(_after(prepared, worker.run))
    await stack.enter_async_context(tended(*runs))
    await _wait_a_while(tried, prepared)
    documents = Documents(schema, settings, DocumentStore(redis, keys), runner.meter, _spending(settings, redis))
    state = State(
        world=world,
        documents=documents,
        authenticator=Authenticator(tokens, users, _identity_provider(settings, stack)),
        database=database,
        redis=redis,
        router=router,
        metrics=Metrics(
            mode=settings.mode.value,
            database=database,
            redis=redis,
            router=router,
            budgets=budgets,
            bars=bars,
            supply=supply,
            jobs=world.jobs,
            pulse=pulse,
            worker=worker,
            answering=Answering(runner, documents, hub, world.recorder, world.quotes_served),
            collecting=collecting,
        ),
        prepared=prepared,
        draining=asyncio.Event(),
    )
    await stack.enter_async_context(operators_port(settings, state))
    return state


def _after(prepared: asyncio.Event, run: Run) -> Run:
    """The same, once the tables are there."""

    async def begin() -> None:
        await prepared.wait()
        await run()

    return begin


async def _wait_a_while(tried: asyncio.Event, prepared: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(PREPARE_S):
            await tried.wait()
    except TimeoutError:
        logger.warning("it takes long to prepare")
    if not prepared.is_set():
        logger.warning("serving before everything is prepared; /readyz is 503 until then")


def _collecting(world: World, redis: Redis, keys: Keys, hours: Hours, refill: Refill, alerts: AlertWatch) -> Collecting:
    streams = Streams(world.router, hours.is_open, refill.missed)
    forming = partial(
        FormingBars,
        router=world.router,
        store=world.bars,
        live=LiveBars(redis, keys),
        always_open=world.synthetic,
        on_final=alerts.take_bar,
    )
    collector = Collector(redis, keys, world.quote_cache, world.recorder, streams, forming, alerts)
    return Collecting(collector, streams, hours)


def _alert_watch(world: World, database: Database) -> AlertWatch:
    return AlertWatch(FireStore(database), world.alert_bus, partial(measured, world), partial(may_be_told, world))


def _alarms(settings: Settings, world: World, redis: Redis, keys: Keys, hours: Hours, database: Database) -> Alarms:
    store = AlarmStore(database, _methods(settings) & TOLD_BY)
    return Alarms(store, world.alert_bus, world.router.health, world.jobs, redis, keys, world.quote_cache, hours)


def _spending(settings: Settings, redis: Redis) -> Spending | None:
    return Spending(redis, Keys(settings.mode), budgets_of(settings)) if settings.rate_limit == "on" else None


def _methods(settings: Settings) -> frozenset[NotificationMethod]:
    methods = {NotificationMethod.WEB, NotificationMethod.WEBHOOK}
    if settings.smtp_url is not None:
        methods.add(NotificationMethod.EMAIL)
    if settings.sms_url is not None:
        methods.add(NotificationMethod.SMS)
    return frozenset(methods)


def _identity_provider(settings: Settings, stack: AsyncExitStack) -> IdentityProvider | None:
    if settings.jwks_url is None:
        return None
    assert settings.token_issuer
    assert settings.token_audience
    provider = IdentityProvider(settings.jwks_url, settings.token_issuer, settings.token_audience, settings.tier_claim)
    stack.push_async_callback(provider.aclose)
    return provider


def _accounts(
    settings: Settings, database: Database, redis: Redis, tokens: AccessTokens, stack: AsyncExitStack
) -> Accounts:
    sessions = SessionStore(
        database,
        tokens,
        refresh_key(settings),
        access_lifetime=timedelta(seconds=settings.access_token_seconds),
        session_lifetime=timedelta(days=settings.session_days),
    )
    passwords = Passwords()
    stack.callback(passwords.close)
    return Accounts(sessions, passwords, Attempts(redis, Keys(settings.mode)), settings.sign_up)


async def _prepare(settings: Settings, database: Database, world: World, tried: asyncio.Event) -> None:
    """Bring the tables up to date, ask the sources as they are saved, and list the assets, once PostgreSQL lets it.

    `tried` is set where it does not do so at once.
    """
    while True:
        try:
            await migrate(database)
            await world.source_stats.enter(world.router.sources)
            await world.source_keys.save(settings.api_keys)
            await world.roster.look()
            await world.assets.save(await world.router.assets())
        except StoreUnavailable as error:
            logger.warning("waiting for PostgreSQL: %s", error)
            tried.set()
            await asyncio.sleep(RETRY_S)
        else:
            return
