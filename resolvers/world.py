"""What a resolver may reach: the stores, the cache, the router and the hub of one mode."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING

from strawberry.dataloader import DataLoader

from db.alert_bus import AlertBus
from db.alerts import AlertStore
from db.asset_index import AssetIndex
from db.assets import AssetStore
from db.attempts import Attempts
from db.bars import BarStore
from db.budgets import RedisBudget
from db.jobs import JobQueue
from db.passwords import Passwords
from db.quotes import QuoteCache, QuoteStore
from db.sessions import SessionStore
from db.source_keys import SourceKeys
from db.source_stats import SourceStatsStore
from db.spending import Spent
from db.supply import BarSupply
from db.users import UserStore
from db.watchlists import WatchlistStore
from db.webhook_secrets import WebhookSecrets
from indicators.cache import ValueCache
from live.alert_feed import AlertFeed
from live.hub import Hub
from live.licensed import LicensedTicks
from live.markets import Markets
from live.recorder import Recorder
from live.roster import Roster
from market import Market
from people import GUEST, NotificationMethod, Tier, Viewer
from resolvers.searched import Searched
from sources.flight import Flights
from sources.licences import FREE, Terms
from sources.router import Router

if TYPE_CHECKING:
    from resolvers.live_history import Charts


@dataclass(frozen=True, slots=True)
class Accounts:
    """What signing up, in and out takes."""

    sessions: SessionStore
    passwords: Passwords
    attempts: Attempts
    may_sign_up: bool


@dataclass(frozen=True, slots=True)
class World:
    """Everything that one mode answers from; opened and closed by the lifespan."""

    synthetic: bool
    quote_fresh_s: float
    router: Router
    assets: AssetStore
    asset_index: AssetIndex
    searched: Searched
    bars: BarStore
    supply: BarSupply
    quote_cache: QuoteCache
    quote_store: QuoteStore
    recorder: Recorder
    source_stats: SourceStatsStore
    budgets: Mapping[str, RedisBudget]
    hub: Hub
    jobs: JobQueue
    markets: Markets
    charts: "Charts"
    source_keys: SourceKeys
    roster: Roster
    users: UserStore
    alerts: AlertStore
    alert_bus: AlertBus
    alert_feed: AlertFeed
    alerts_per_user: int
    watchlists: WatchlistStore
    watchlists_per_user: int
    notification_methods: frozenset[NotificationMethod]
    """What is set up here to tell users by."""
    webhook_secrets: WebhookSecrets
    accounts: Accounts
    licences: Mapping[Tier, Terms] = field(default_factory=dict)
    """The terms of each tier that may not have everything at once."""
    terms: Terms = FREE
    """What may be given of the sources, and how late."""
    licensed_ticks: LicensedTicks | None = None
    """Where ticks come from on such terms; None on free ones, where they come from the hub."""
    limited: "Mapping[Tier, World]" = field(default_factory=dict)
    """What those tiers are answered from."""
    indicator_values: ValueCache = field(default_factory=ValueCache)
    pulls: Flights = field(default_factory=Flights)
    """The questions for quotes that are under way, also those that nobody waits for any more."""
    quotes_served: Counter[str] = field(default_factory=Counter)
    """How many quotes came from where: by `ServedFrom`, or NONE where there was none."""
    histories: Flights = field(default_factory=Flights)
    """The queries for history that are under way or were answered just now."""

    async def aclose(self) -> None:
        """Give up the questions that are under way."""
        for one in (self, *self.limited.values()):
            await one.pulls.aclose()
            await one.histories.aclose()


@dataclass(slots=True)
class Context:
    """What goes along with one request.

    `world` is what the viewer's tier is answered from.
    `address` is where it comes from, of IPv6 the network of 64 bits; `spent` is what it has paid,
    None where nobody has a budget; `settled` counts its root fields whose answers can
    hardly change any more.
    """

    world: World
    request_id: str = field(default_factory=lambda: token_hex(16))
    viewer: Viewer = GUEST
    address: str = ""
    spent: Spent | None = None
    settled: int = 0
    markets: DataLoader[str, Market] = field(init=False)
    _whole: World = field(init=False)

    def __post_init__(self) -> None:
        self._whole = self.world
        self.admit(self.viewer)
        # Not kept: a connection has one context for as long as it lives.
        self.markets = DataLoader(self.world.markets.current, cache=False)

    def admit(self, viewer: Viewer) -> None:
        """Answer this viewer from now on, of what his tier may have."""
        self.viewer = viewer
        self.world = self._whole.limited.get(viewer.tier, self._whole)
