"""The roots: everything that may be asked and watched."""

import strawberry

import resolvers.enums  # noqa: F401 - they are marked before any type is made of them
from resolvers.accounts import me, rate_limit, refresh_session, sign_in, sign_out, sign_up
from resolvers.alerts import (
    alert_events,
    alerts,
    create_alert,
    delete_alert,
    live_alerts,
    update_alert,
    webhook_secret,
)
from resolvers.assets import asset, assets
from resolvers.backfills import ask_backfill, backfill_job
from resolvers.history import history
from resolvers.indicators import indicator_catalog
from resolvers.live import live_quotes
from resolvers.live_history import live_history
from resolvers.markets import live_market, market, markets
from resolvers.preferences import save_preferences
from resolvers.quotes import quote, quotes
from resolvers.sources import route, save_source, sources
from resolvers.watchlists import delete_watchlist, save_watchlist, watchlists
from schema.account import Preferences, RateLimit, Session, User
from schema.alert import Alert, AlertEvent, AlertEventConnection
from schema.asset import Asset, AssetConnection
from schema.backfill import BackfillJob
from schema.history import History
from schema.indicators import IndicatorInfo
from schema.market import Market
from schema.quote import Quote
from schema.scalars import resolved_by, watched_by
from schema.source import RouteStep, Source
from schema.watchlist import Watchlist


@strawberry.type(description="What may be asked.")
class Query:
    """What may be asked."""

    quote: Quote | None = resolved_by(quote, "The current quote of a symbol.")
    quotes: list[Quote | None] = resolved_by(quotes, "Up to 100 symbols; the answer is in the order asked.")
    history: History | None = resolved_by(
        history,
        "The bars of [from, to), or the newest `last` of them (default 100, at most 5000). Where a window holds"
        " more than 5000 bars, the newest 5000 are given and `hasOlder` is true.",
    )
    asset: Asset | None = resolved_by(asset, "What is known of a symbol.")
    assets: AssetConnection = resolved_by(
        assets,
        "Assets, 100 a page at most: with `search` those whose symbol or name is like it, misspelt or not, the"
        " likeliest first; else ordered by symbol. With neither `type` nor `market`, what your preferences name comes"
        " first of what is equally like `search`, and without `search` nothing else is listed.",
    )
    market: Market | None = resolved_by(market, "The state of a market, by its code.")
    markets: list[Market] = resolved_by(markets, "Every market that has a calendar here, and its state.")
    indicator_catalog: list[IndicatorInfo] = resolved_by(
        indicator_catalog, "Every indicator: name, title, group, parameters, outputs, bars of warm-up."
    )
    sources: list[Source] = resolved_by(
        sources, "Where data comes from: health, breaker, quotas, in the order of preference."
    )
    route: list[RouteStep] = resolved_by(
        route, "Which sources would be asked for this, in what order, and why the others would not."
    )
    backfill_job: BackfillJob | None = resolved_by(
        backfill_job, "Admin. How a backfill stands, for a week after it has ended; null if nobody knows it."
    )
    rate_limit: RateLimit | None = resolved_by(
        rate_limit, "The viewer's budget after this request; null where nobody has one."
    )
    me: User | None = resolved_by(me, "Who asks; null for a guest.")
    watchlists: list[Watchlist] = resolved_by(watchlists, "Your watchlists, the oldest first.")
    alerts: list[Alert] = resolved_by(
        alerts, "Your alerts, the newest first; with `active` only those that are or not."
    )
    alert_events: AlertEventConnection = resolved_by(
        alert_events, "What your alerts did in the last 90 days, the newest first, 100 a page at most."
    )
    webhook_secret: str = resolved_by(
        webhook_secret,
        "What your webhooks are signed with, as https://www.standardwebhooks.com has it: `webhook-id`,"
        " `webhook-timestamp`, and `webhook-signature` over both and the body.",
    )


@strawberry.type(description="What may be changed.")
class Mutation:
    """What may be changed."""

    save_preferences: Preferences = resolved_by(
        save_preferences,
        "Changes what you prefer: how new alerts tell you, how often live quotes come, and what `assets` finds first."
        " Alerts that there are stay as they are.",
    )
    save_watchlist: Watchlist = resolved_by(
        save_watchlist,
        "Your list of this name (1-60 characters), with these symbols (at most 100) instead of those it had; made where"
        " there is none.",
    )
    delete_watchlist: strawberry.ID = resolved_by(delete_watchlist, "Forgets one of your watchlists.")
    create_alert: Alert = resolved_by(create_alert, "A new alert of yours.")
    update_alert: Alert = resolved_by(
        update_alert, "One of your alerts with these terms instead of those it had, armed anew as if it were new."
    )
    delete_alert: strawberry.ID = resolved_by(delete_alert, "Forgets one of your alerts, with its events.")

    sign_up: Session = resolved_by(sign_up, "Makes an account, of the tier REGISTERED, and signs in.")
    sign_in: Session = resolved_by(
        sign_in, "Begins a session. After 10 attempts in 15 minutes for an account, or 30 from an address, one waits."
    )
    refresh_session: Session = resolved_by(
        refresh_session,
        "New tokens for old: a refresh token is good once. Where one comes a second time, its session ends; but within"
        " 10 s of its refresh the newest one gets the same next token again, as two tabs may send it at once.",
    )
    sign_out: bool = resolved_by(
        sign_out, "Ends the session; false where there was none. The access token goes on until it ends."
    )
    save_source: Source = resolved_by(
        save_source,
        "Admin. Changes whether, in what order and with what key a source is asked: here at once, and within seconds in"
        " every process.",
    )
    backfill: BackfillJob = resolved_by(
        ask_backfill,
        "Admin. Fetches the bars of [from, to) that are missing, and nothing else, in the background: follow it with"
        " `backfillJob`. The same again, while it waits or runs, is the same job.",
    )


@strawberry.type(description="What may be watched.")
class Subscription:
    """What may be watched."""

    quotes: Quote = watched_by(
        live_quotes,
        "The current quote of each symbol at once, then every change. A slow reader gets the latest of each symbol,"
        " never a backlog; `maxPerSecond` caps the messages of each symbol, and so does the update frequency that you"
        " have chosen (`savePreferences`). A symbol that nobody knows gives one error, and the others go on.",
    )
    history: History = watched_by(
        live_history,
        "The newest `last` bars (1-5000), the forming one included, at once and again whenever one changes; indicators"
        " move with them. A bar is final once its time is over: then it is kept, and what a query answers. A slow"
        " reader gets the latest state, never a backlog.",
    )
    market: Market = watched_by(
        live_market,
        "The state of a market at once, then again whenever it changes: each phase at the instant it begins, and the"
        " hours of the new day at the venue's midnight. No change is left out, however slow the reader.",
    )
    alerts: AlertEvent = watched_by(
        live_alerts,
        "Each event of your alerts from now on. None is left out, however slow the reader; what came while you were"
        " away is in `alertEvents`.",
    )
