"""Watchlists: the named lists of symbols that the viewer keeps, and the quotes of them all at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Annotated, Final
from uuid import UUID

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.types import Info

from db.watchlists import Watchlist
from errors import InvalidParameter, SmartFinError, WatchlistNotFound
from market import Quote
from resolvers.arguments import ListName, Symbols
from resolvers.quotes import quotes_of
from resolvers.symbols import check_count, checked_symbol
from resolvers.viewers import signed_in
from resolvers.world import Context, World

LONGEST_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Listed:
    """A watchlist in an answer; the lists of one answer have one loader, which reads all their quotes at once."""

    id: UUID
    name: str
    symbols: tuple[str, ...]
    loader: DataLoader[tuple[str, ...], list[Quote | SmartFinError]]


async def watchlists(info: Info[Context, None]) -> list[Listed]:
    """The viewer's watchlists, the oldest first."""
    world = info.context.world
    return _listed(world, await world.watchlists.watchlists(signed_in(info.context)))


async def watchlist_quotes(root: Listed) -> list[Quote | SmartFinError]:
    """The current quotes in the order of the list; an error in it becomes a null with its path."""
    return await root.loader.load(root.symbols)


async def save_watchlist(info: Info[Context, None], name: ListName, symbols: Symbols) -> Listed:
    """The viewer's list of this name, with these symbols now.

    Raises InvalidParameter for what is no name, InvalidSymbol, TooManySymbols and TooManyWatchlists.
    """
    user_id, world = signed_in(info.context), info.context.world
    called = name.strip()
    if not (1 <= len(called) <= LONGEST_NAME and called.isprintable()):
        raise InvalidParameter(f"name: give 1 to {LONGEST_NAME} characters that can be shown.", maximum=LONGEST_NAME)
    check_count(symbols)
    wanted = list(dict.fromkeys(map(checked_symbol, symbols)))
    saved = await world.watchlists.save(user_id, called, wanted, world.watchlists_per_user)
    return _listed(world, [saved])[0]


async def delete_watchlist(
    info: Info[Context, None],
    watchlist_id: Annotated[strawberry.ID, strawberry.argument(name="id", description="That of one of your lists.")],
) -> str:
    """The id of the list that is gone. Raises WatchlistNotFound."""
    user_id = signed_in(info.context)
    try:
        known = UUID(watchlist_id)
    except ValueError:
        raise WatchlistNotFound(f"You have no watchlist {watchlist_id[:60]}.") from None
    await info.context.world.watchlists.delete(user_id, known)
    return watchlist_id


def _listed(world: World, lists: Sequence[Watchlist]) -> list[Listed]:
    loader = DataLoader(partial(_quotes, world))
    return [Listed(one.id, one.name, one.symbols, loader) for one in lists]


async def _quotes(world: World, lists: Sequence[tuple[str, ...]]) -> list[list[Quote | SmartFinError]]:
    found = await quotes_of(world, list(dict.fromkeys(chain.from_iterable(lists))))
    return [[found[symbol] for symbol in symbols] for symbols in lists]
