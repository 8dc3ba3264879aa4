"""Assets: one by symbol, or pages of a search."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from strawberry.types import Info

from db.assets import AssetPage
from db.users import Preferences
from errors import InvalidCursor, InvalidLimit
from market import Asset, AssetType, Quote
from resolvers.arguments import After, First, Kind, OneSymbol, Search, Venue
from resolvers.symbols import checked_symbol
from resolvers.world import Context, World

MAX_PAGE = 100
NO_PREFERENCES = Preferences()


@dataclass(frozen=True, slots=True)
class Edge:
    """An asset in a page, with the cursor that continues after it."""

    cursor: str
    node: Asset


@dataclass(frozen=True, slots=True)
class PageInfo:
    """Where a page stands in the whole."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass(frozen=True, slots=True)
class Connection:
    """A page of assets, as Relay defines it."""

    edges: Sequence[Edge]
    page_info: PageInfo
    total_count: int


async def asset(info: Info[Context, None], symbol: OneSymbol) -> Asset:
    """What is known of a symbol: from the store, else from a source, and then kept."""
    return await known_asset(info.context, checked_symbol(symbol))


async def quote_asset(root: Quote, info: Info[Context, None]) -> Asset:
    """The asset of a quote."""
    return await known_asset(info.context, root.symbol)


async def known_asset(context: Context, symbol: str) -> Asset:
    """The asset. Raises SymbolNotFound, or SourceUnavailable where no source could tell."""
    world = context.world
    if found := (await world.assets.get([symbol])).get(symbol):
        return found
    fetched = await world.router.asset(symbol)
    await world.assets.save([fetched])
    return fetched


async def assets(
    info: Info[Context, None],
    search: Search = None,
    type: Kind = None,  # noqa: A002 - the name in the contract
    market: Venue = None,
    first: First = 20,
    after: After = None,
) -> Connection:
    """A page of the assets that match: by symbol, or by likeness where something is searched for."""
    if not 1 <= first <= MAX_PAGE:
        raise InvalidLimit(f"first: {first} is outside 1 to {MAX_PAGE}.", minimum=1, maximum=MAX_PAGE)
    behind = _symbol_after(after) if after else None
    text = (search or "").strip()
    preferred = await _preferred(info.context) if type is None and market is None else NO_PREFERENCES
    if text:
        page = await _search(info.context.world, text, type, market, preferred, first, behind)
    else:
        types = preferred.asset_types if type is None else (type,)
        markets = preferred.markets if market is None else (market,)
        page = await info.context.world.assets.page(types, markets, first, behind)
    edges = [Edge(_cursor(found.symbol), found) for found in page.assets]
    return Connection(
        edges=edges,
        page_info=PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
        total_count=page.total,
    )


async def _preferred(context: Context) -> Preferences:
    """What the viewer prefers."""
    user_id = context.viewer.user_id
    return NO_PREFERENCES if user_id is None else await context.world.users.preferences(user_id)


async def _search(
    world: World,
    text: str,
    asset_type: AssetType | None,
    market: str | None,
    preferred: Preferences,
    first: int,
    after: str | None,
) -> AssetPage:
    """A page of what is like the text, the likeliest first. Where too little is known, the sources are asked once."""
    search = partial(world.asset_index.search, text, asset_type, market, preferred.has)
    symbols = await search()
    is_new = len(symbols) < first and world.searched.add(text.casefold())
    if is_new and (found := await world.router.search(text, MAX_PAGE)):
        await world.assets.save(found)
        world.asset_index.outdated()
        symbols = await search()
    start = symbols.index(after) + 1 if after in symbols else 0
    known = await world.assets.get(symbols[start : start + first])
    return AssetPage(
        assets=[known[symbol] for symbol in symbols[start : start + first] if symbol in known],
        total=len(symbols),
        has_next=len(symbols) > start + first,
        has_previous=start > 0,
    )


def _cursor(symbol: str) -> str:
    return base64.urlsafe_b64encode(f"after:{symbol}".encode()).decode()


def _symbol_after(cursor: str) -> str:
    try:
        kind, _, symbol = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        kind = symbol = ""
    if kind != "after" or not symbol:
        raise InvalidCursor(f'after: "{cursor[:60]}" is no cursor of this server; take endCursor of a page.')
    return symbol
