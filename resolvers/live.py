"""Live quotes: the current one of each symbol at once, then every change."""

from collections.abc import AsyncGenerator, Sequence

from strawberry.types import Info

from db.quotes import QuoteEvent, served
from errors import InvalidParameter, InvalidSymbol, SmartFinError, StoreUnavailable, SymbolNotFound
from market import Quote, ServedFrom, Symbol
from resolvers.quotes import current_quotes
from resolvers.symbols import check_count, checked_symbol
from resolvers.world import Context, World


async def live_quotes(
    info: Info[Context, None], symbols: list[Symbol], max_per_second: float | None = None
) -> AsyncGenerator[Quote | SmartFinError, None]:
    """The current quote of each symbol, then every change; the latest only, where the reader is slow.

    A symbol that has no quotes gives one error and does not disturb the others; when none has, the stream ends.
    """
    check_count(symbols)
    if not symbols:
        raise InvalidParameter("symbols is empty; name at least one.")
    if max_per_second is not None and not 0 < max_per_second <= 1000:
        raise InvalidParameter(f"maxPerSecond: {max_per_second} is outside 0 to 1000.")
    world = info.context.world
    good: list[str] = []
    for text in symbols:
        try:
            good.append(checked_symbol(text))
        except InvalidSymbol as error:
            yield error
    async with world.hub.subscribe(good, max_per_second) as mailbox:
        alive = set(good)
        for symbol, answer in (await _snapshot(world, list(mailbox.symbols))).items():
            if isinstance(answer, QuoteEvent):
                mailbox.put(symbol, answer)
            else:
                yield answer
                if isinstance(answer, SymbolNotFound):
                    alive.discard(symbol)
        while alive:
            yield (await mailbox.get()).quote


async def _snapshot(world: World, symbols: Sequence[str]) -> dict[str, QuoteEvent | SmartFinError]:
    """The current state of each symbol, in its place among the events of the stream."""
    try:
        cached = await world.quote_cache.get(symbols)
    except StoreUnavailable:
        cached = {}
    events: dict[str, QuoteEvent | SmartFinError] = {
        symbol: QuoteEvent(event.epoch, event.seq, served(event.quote, ServedFrom.CACHE))
        for symbol, event in cached.items()
        if event.quote.provenance.age_seconds <= world.quote_fresh_s
    }
    wanted = [symbol for symbol in symbols if symbol not in events]
    for symbol, answer in zip(wanted, await current_quotes(world, wanted), strict=True):
        events[symbol] = QuoteEvent(0, 0, answer) if isinstance(answer, Quote) else answer
    return events
