"""A world of real stores and scripted sources."""

from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from pydantic import SecretStr
from redis.asyncio import Redis

from db.alert_bus import AlertBus
from db.alerts import AlertStore
from db.asset_index import AssetIndex
from db.assets import AssetStore
from db.attempts import Attempts
from db.bars import BarStore
from db.database import Database
from db.jobs import JobQueue
from db.live_bars import LiveBars
from db.markets import MarketCache
from db.partitions import Partitions
from db.passwords import Passwords
from db.quotes import QuoteCache, QuoteStore
from db.redis import Keys
from db.sessions import SessionStore
from db.source_keys import SourceKeys
from db.source_stats import SourceStatsStore
from db.supply import BarSupply
from db.users import UserStore
from db.watchlists import WatchlistStore
from db.webhook_secrets import WebhookSecrets
from live.alert_feed import AlertFeed
from live.hub import Hub
from live.markets import Markets
from live.recorder import Recorder
from live.roster import Roster
from people import NotificationMethod
from resolvers.live_history import Charts
from resolvers.searched import Searched
from resolvers.world import Accounts, World
from settings import Settings
from sources.router import Router
from sources.source import Source
from tests.people import tokens
from tests.sources.scripted import Scripted

FRESH_S = 30.0


SETTINGS = Settings(secret_key=SecretStr("a secret of tests, and a long one"))


def made_of(database: Database, redis: Redis, keys: Keys, *sources: Source | Scripted) -> World:
    """What a mode answers from, as `app` puts it together; nothing of it runs."""
    partitions = Partitions(database)
    cache = QuoteCache(redis, keys, 3600)
    store = QuoteStore(database, partitions)
    assets = AssetStore(database)
    bars = BarStore(database, partitions)
    alerts, bus = AlertStore(database), AlertBus(redis, keys)
    asking = Router(cast(Sequence[Source], sources))
    sessions = SessionStore(
        database, tokens(), b"k" * 32, access_lifetime=timedelta(minutes=15), session_lifetime=timedelta(days=30)
    )
    return World(
        synthetic=False,
        quote_fresh_s=FRESH_S,
        router=asking,
        assets=assets,
        asset_index=AssetIndex(assets),
        searched=Searched(),
        bars=bars,
        supply=BarSupply(bars, asking, edge_for_s=0.0),  # each answer has its own question
        quote_cache=cache,
        quote_store=store,
        recorder=Recorder(store),
        source_stats=SourceStatsStore(database),
        budgets={},
        hub=Hub(redis, keys, cache, LiveBars(redis, keys)),
        jobs=JobQueue(redis, keys),
        markets=Markets(MarketCache(redis, keys), always_open=True),
        charts=Charts(),
        source_keys=(saved := SourceKeys(database, SETTINGS)),
        roster=Roster(SETTINGS, saved, {}, asking),
        users=UserStore(database),
        alerts=alerts,
        alert_bus=bus,
        alert_feed=AlertFeed(alerts, bus),
        alerts_per_user=3,
        watchlists=WatchlistStore(database, redis, keys),
        watchlists_per_user=3,
        notification_methods=frozenset(NotificationMethod),
        webhook_secrets=WebhookSecrets(SETTINGS),
        accounts=Accounts(sessions, Passwords(), Attempts(redis, keys), may_sign_up=True),
    )
