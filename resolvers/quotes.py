"""Quotes: from the cache while they are fresh, else from a source if it answers soon, else stale and marked so."""

import logging
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from msgspec import structs
from strawberry.types import Info

from db.quotes import served
from errors import InvalidSymbol, LicenceForbids, SmartFinError, SourceUnavailable, StoreUnavailable
from market import Asset, Quote, ServedFrom, SkippedSource
from resolvers.arguments import OneSymbol, Symbols
from resolvers.symbols import check_count, checked_symbol
from resolvers.world import Context, World
from sources.licences import aged
from sources.source import Capability

logger = logging.getLogger(__name__)

STALE_AFTER_S: Final = 0.5
"""How old a question may be for who can do with a stale quote to wait for it; its answer is for who asks later."""
MAX_PULLS: Final = 200
"""Questions under way beside which no other is begun that one can do without."""


async def quote(info: Info[Context, None], symbol: OneSymbol) -> Quote:
    """The current quote of one symbol."""
    return _or_raise((await current_quotes(info.context.world, [symbol]))[0])


async def quotes(info: Info[Context, None], symbols: Symbols) -> Sequence[Quote | SmartFinError]:
    """The current quotes in the order asked; graphql-core turns an error in the list into a null with its path."""
    return await current_quotes(info.context.world, symbols)


async def asset_quote(root: Asset, info: Info[Context, None]) -> Quote:
    """The current quote of an asset."""
    return _or_raise((await current_quotes(info.context.world, [root.symbol]))[0])


async def current_quotes(world: World, texts: Sequence[str]) -> list[Quote | SmartFinError]:
    """For each symbol as written: its quote, or why there is none. Raises TooManySymbols."""
    check_count(texts)
    answers: dict[str, Quote | SmartFinError] = {}
    symbols: dict[str, str] = {}
    for text in texts:
        try:
            symbols[text] = checked_symbol(text)
        except InvalidSymbol as error:
            answers[text] = error
    found = await quotes_of(world, list(dict.fromkeys(symbols.values())))
    return [answers[text] if text in answers else found[symbols[text]] for text in texts]


async def quotes_of(world: World, symbols: Sequence[str]) -> dict[str, Quote | SmartFinError]:
    """For each symbol, in our spelling and named once: its quote, or why there is none. Read at once, however many."""
    found = await _quotes(world, symbols)
    if world.terms:
        found = await _old_enough(world, found)
    _count(world, found)
    return found


def _count(world: World, found: dict[str, Quote | SmartFinError]) -> None:
    for answer in found.values():
        world.quotes_served[answer.provenance.served_from if isinstance(answer, Quote) else "NONE"] += 1


async def _quotes(world: World, symbols: Sequence[str]) -> dict[str, Quote | SmartFinError]:
    if not symbols:
        return {}
    try:
        cached = {symbol: event.quote for symbol, event in (await world.quote_cache.get(symbols)).items()}
    except StoreUnavailable as error:
        logger.warning("quotes are asked of the sources: %s", error)
        cached = {}
    found: dict[str, Quote | SmartFinError] = {
        symbol: served(quote, ServedFrom.CACHE)
        for symbol, quote in cached.items()
        if quote.provenance.age_seconds <= world.quote_fresh_s
    }
    wanted = [symbol for symbol in symbols if symbol not in found]
    if not wanted:
        return found
    if all(symbol in cached for symbol in wanted):
        return found | await _unless_stale(world, wanted, cached)
    fetched = await world.pulls.join(tuple(wanted), partial(_pull, world, wanted))
    return found | await _with_stale(world, fetched, cached)


async def _unless_stale(
    world: World, symbols: Sequence[str], cached: dict[str, Quote]
) -> dict[str, Quote | SmartFinError]:
    """What the sources say if they say it soon, else what is cached, and why.

    Where all have failed they are asked beside it, by one question at a time, and nobody waits for what comes of it.
    """
    outlooks = {symbol: world.router.outlook(symbol, Capability.QUOTES, terms=world.terms) for symbol in symbols}
    stale: dict[str, Quote | SmartFinError] = {
        symbol: _stale(cached[symbol], outlook.skipped) for symbol, outlook in outlooks.items()
    }
    question = tuple(symbol for symbol, outlook in outlooks.items() if not outlook.is_hopeless)
    if not question or (question not in world.pulls and len(world.pulls) >= MAX_PULLS):
        return stale
    is_good = any(outlook.well for outlook in outlooks.values())
    try:
        fetched = await world.pulls.join(question, partial(_pull, world, question), STALE_AFTER_S if is_good else 0.0)
    except TimeoutError:
        return stale | {symbol: _stale(cached[symbol], outlooks[symbol].unanswered) for symbol in question}
    return stale | await _with_stale(world, fetched, cached)


async def _pull(world: World, symbols: Sequence[str]) -> dict[str, Quote | SmartFinError]:
    """What the sources say, kept for those who ask next, also where nobody waits for it any more."""
    fetched = await world.router.quotes(symbols, world.terms)
    await _keep(world, [quote for quote in fetched.values() if isinstance(quote, Quote)])
    return fetched


async def _keep(world: World, quotes: Sequence[Quote]) -> None:
    if not quotes:
        return
    for fresh in quotes:
        world.recorder.offer(fresh)
    try:
        await world.quote_cache.put(quotes)
    except StoreUnavailable as error:
        logger.warning("quotes were not cached: %s", error)


async def _with_stale(
    world: World, fetched: dict[str, Quote | SmartFinError], cached: dict[str, Quote]
) -> dict[str, Quote | SmartFinError]:
    """What was fetched; where no source could answer, the last that is known."""
    failed = {symbol: error for symbol, error in fetched.items() if isinstance(error, SourceUnavailable)}
    if not failed:
        return fetched
    stale = {symbol: served(cached[symbol], ServedFrom.STALE) for symbol in failed if symbol in cached}
    lost = [symbol for symbol in failed if symbol not in stale]
    if lost:
        try:
            stale |= await world.quote_store.latest(lost, synthetic=world.synthetic, terms=world.terms)
        except StoreUnavailable as error:
            logger.warning("stale quotes were not looked up: %s", error)
    return fetched | {symbol: _skipping(quote, failed[symbol].skipped) for symbol, quote in stale.items()}


async def _old_enough(world: World, found: dict[str, Quote | SmartFinError]) -> dict[str, Quote | SmartFinError]:
    """Of each quote that is too young to be given, the newest one of its symbol that is kept and old enough."""
    now = datetime.now(UTC)
    given: dict[str, Quote | SmartFinError] = {}
    young: dict[str, Quote] = {}
    for symbol, answer in found.items():
        if not isinstance(answer, Quote):
            given[symbol] = answer
        elif (old := aged(answer, world.terms.delay_s([answer.provenance.source]), now)) is not None:
            given[symbol] = old
        else:
            young[symbol] = answer
    kept: dict[str, Quote] = {}
    if young:
        try:
            kept = await world.quote_store.latest(list(young), synthetic=world.synthetic, terms=world.terms)
        except StoreUnavailable as error:
            logger.warning("quotes that are old enough were not looked up: %s", error)
    for symbol, quote in young.items():
        before = kept.get(symbol)
        delay_s = world.terms.delay_s([before.provenance.source]) if before else 0.0
        older = aged(served(before, ServedFrom.STORE), delay_s, now) if before else None
        given[symbol] = older or _too_young(world, quote, now)
    return {symbol: given[symbol] for symbol in found}


def _too_young(world: World, quote: Quote, now: datetime) -> LicenceForbids:
    source = quote.provenance.source
    delay_s = world.terms.delay_s([source])
    retry_after = math.ceil((quote.time - now).total_seconds() + delay_s)
    return LicenceForbids(
        f"Your tier gets what {source} says {delay_s:g} s late, and nothing that old is kept of {quote.symbol};"
        f" ask again in {retry_after} s.",
        symbol=quote.symbol,
        source=source,
        retryAfter=retry_after,
    )


def _stale(quote: Quote, skipped: Sequence[SkippedSource]) -> Quote:
    return _skipping(served(quote, ServedFrom.STALE), skipped)


def _skipping(quote: Quote, skipped: Sequence[SkippedSource]) -> Quote:
    return structs.replace(quote, provenance=structs.replace(quote.provenance, skipped=tuple(skipped)))


def _or_raise(answer: Quote | SmartFinError) -> Quote:
    if isinstance(answer, SmartFinError):
        raise answer
    return answer
