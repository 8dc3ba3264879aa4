"""The application: what is opened at start and closed at the end, and the routes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypedDict

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route, WebSocketRoute

from db.assets import AssetStore
from db.bars import BarStore
from db.budgets import RedisBudget
from db.database import Database
from db.embedded import servers
from db.migrate import migrate
from db.partitions import Partitions
from db.quotes import QuoteCache, QuoteStore
from db.redis import Keys, connect
from db.source_stats import SourceStatsStore
from errors import StoreUnavailable
from gateway.assets import BuiltFiles
from gateway.health import livez, readyz
from gateway.http import GRAPHIQL, GraphQLView
from gateway.masking import Mask
from live.collector import Collector
from live.hub import Hub
from live.ledger import Ledger
from live.recorder import Recorder
from live.tending import tended
from resolvers.world import World
from schema.build import build_schema
from settings import Mode, Role, Settings, load_settings
from sources.catalog import SOURCES, open_sources
from sources.flight import Flights
from sources.router import Router
from sources.streams import Streams

logger = logging.getLogger(__name__)

PREPARE_S = 15.0
RETRY_S = 0.5


class State(TypedDict):
    """What every request finds in its state."""

    world: World
    database: Database
    redis: Redis
    prepared: asyncio.Event


def create_app(settings: Settings | None = None) -> Starlette:
    """The ASGI application; reads the environment where no settings are given."""
    settings = settings or load_settings()
    view = GraphQLView(build_schema([Mask]))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        async with AsyncExitStack() as stack:
            yield await _open(settings, stack)

    return Starlette(
        routes=[
            Route("/graphql", view),
            WebSocketRoute("/graphql", view),
            Route("/", lambda request: RedirectResponse("/graphql")),
            Route("/livez", livez),
            Route("/readyz", readyz),
            Mount("/assets/graphiql", BuiltFiles(GRAPHIQL)),
        ],
        lifespan=lifespan,
    )


@asynccontextmanager
async def open_database(settings: Settings, mode: Mode) -> AsyncIterator[Database]:
    """PostgreSQL alone, for a command."""
    async with AsyncExitStack() as stack:
        urls = stack.enter_context(servers(settings))
        database = Database(urls.database_url, mode.value, settings.database_pool_size)
        stack.push_async_callback(database.aclose)
        yield database


async def _open(settings: Settings, stack: AsyncExitStack) -> State:
    urls = stack.enter_context(servers(settings))
    database = Database(urls.database_url, settings.mode.value, settings.database_pool_size)
    stack.push_async_callback(database.aclose)
    redis = connect(urls.redis_url)
    stack.push_async_callback(redis.aclose)
    keys = Keys(settings.mode)
    budgets = {kind.name: RedisBudget(redis, keys, kind.name, kind.quotas) for kind in SOURCES[settings.mode]}
    router = Router(open_sources(settings, budgets))
    stack.push_async_callback(router.aclose)
    flights = Flights()
    stack.push_async_callback(flights.aclose)

    partitions = Partitions(database)
    cache = QuoteCache(redis, keys, settings.quote_keep_seconds)
    quote_store = QuoteStore(database, partitions)
    world = World(
        synthetic=settings.mode is Mode.SANDBOX,
        quote_fresh_s=settings.quote_fresh_seconds,
        router=router,
        flights=flights,
        assets=AssetStore(database),
        bars=BarStore(database, partitions),
        quote_cache=cache,
        quote_store=quote_store,
        recorder=Recorder(quote_store),
        source_stats=SourceStatsStore(database),
        budgets=budgets,
        hub=Hub(redis, keys, cache),
    )
    prepared = asyncio.Event()

    async def prepare() -> None:
        await _prepare(database, world)
        prepared.set()
        await asyncio.Event().wait()

    runs = [prepare, world.hub.run, world.recorder.run, Ledger(router, world.source_stats).run]
    if settings.role is Role.ALL:
        runs.append(Collector(redis, keys, cache, world.recorder, Streams(router)).run)
    await stack.enter_async_context(tended(*runs))
    try:
        async with asyncio.timeout(PREPARE_S):
            await prepared.wait()
    except TimeoutError:
        logger.warning("serving before PostgreSQL answers; /readyz is 503 until then")
    return State(world=world, database=database, redis=redis, prepared=prepared)


async def _prepare(database: Database, world: World) -> None:
    """Bring the tables up to date and list the assets, as soon as PostgreSQL lets it."""
    while True:
        try:
            await migrate(database)
            await world.source_stats.enter(world.router.sources)
            await world.assets.save(await world.router.assets())
        except StoreUnavailable as error:
            logger.warning("waiting for PostgreSQL: %s", error)
            await asyncio.sleep(RETRY_S)
        else:
            return
