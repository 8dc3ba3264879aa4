"""Live quotes: the current one of each symbol at once, then every change."""

from collections.abc import Sequence

from strawberry.types import Info

from db.quotes import served
from errors import InvalidParameter, InvalidSymbol, SmartFinError, StoreUnavailable, SymbolNotFound
from live.mailbox import Event, Mailbox
from market import ServedFrom, Symbol
from resolvers.arguments import MaxPerSecond, Symbols
from resolvers.quotes import current_quotes
from resolvers.symbols import check_count, checked_symbol
from resolvers.world import Context, World


async def live_quotes(info: Info[Context, None], symbols: Symbols, max_per_second: MaxPerSecond = None) -> Mailbox:
    """The current quote of each symbol, then every change; the latest only, where the reader is slow.

    Of a user who has chosen an update frequency, no more often than that.

    A symbol that has no quotes gives one error and does not disturb the others; when none has, the stream ends.
    """
    check_count(symbols)
    if not symbols:
        raise InvalidParameter("symbols is empty; name at least one.")
    if max_per_second is not None and not 0 < max_per_second <= 1000:
        raise InvalidParameter(f"maxPerSecond: {max_per_second} is outside 0 to 1000.")
    world = info.context.world
    max_per_second = await _pace(info.context, max_per_second)
    good: list[Symbol] = []
    bad: dict[str, SmartFinError] = {}
    for text in symbols:
        try:
            good.append(checked_symbol(text))
        except InvalidSymbol as error:
            bad[text] = error
    mailbox = await (world.licensed_ticks or world.hub).subscribe(good, max_per_second)
    try:
        snapshot = await _snapshot(world, list(dict.fromkeys(good)))
    except BaseException:
        mailbox.close()
        raise
    for spelling, fault in bad.items():
        mailbox.put(Event(spelling, _PULLED, fault))
    for event in snapshot:
        mailbox.put(event)
    if all(isinstance(event.payload, SymbolNotFound) for event in snapshot):
        mailbox.finish()
    return mailbox


async def _pace(context: Context, max_per_second: float | None) -> float | None:
    """How often a second the viewer may be told of a symbol; None for as often as it changes."""
    user_id = context.viewer.user_id
    if user_id is None:
        return max_per_second
    try:
        preferences = await context.world.users.preferences(user_id)
    except StoreUnavailable:  # ticks come without PostgreSQL, too
        return max_per_second
    if not preferences.is_paced:
        return max_per_second
    chosen = 1 / preferences.update_frequency_seconds
    return chosen if max_per_second is None else min(max_per_second, chosen)


_PULLED = (0, 0)


async def _snapshot(world: World, symbols: Sequence[str]) -> list[Event]:
    """The current state of each symbol, in its place among the events of the stream."""
    try:
        cached = {} if world.terms else await world.quote_cache.get(symbols)
    except StoreUnavailable:
        cached = {}
    events = [
        Event(symbol, held.order, served(held.quote, ServedFrom.CACHE))
        for symbol, held in cached.items()
        if held.quote.provenance.age_seconds <= world.quote_fresh_s
    ]
    found = {event.key for event in events}
    wanted = [symbol for symbol in symbols if symbol not in found]
    answers = await current_quotes(world, wanted)
    return events + [Event(symbol, _PULLED, answer) for symbol, answer in zip(wanted, answers, strict=True)]
