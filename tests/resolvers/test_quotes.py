"""Where a quote is taken from: the cache, a source, or what was known last."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs
from redis.asyncio import Redis

import resolvers.quotes
from db.database import Database
from db.redis import Keys, connect
from errors import InvalidSymbol, SourceTimeout, SourceUnavailable, SymbolNotFound
from market import Provenance, Quote, ServedFrom, SkippedSource
from resolvers.quotes import current_quotes
from resolvers.world import World
from sources import health, turns
from sources.source import Capability
from tests.sources.scripted import Scripted
from tests.waiting import until
from tests.world import FRESH_S, made_of


def quote(symbol: str, price: float = 100.0, age_s: float = 0.0, source: str = "first") -> Quote:
    received_at = datetime.now(UTC) - timedelta(seconds=age_s)
    provenance = Provenance(source=source, served_from=ServedFrom.LIVE, received_at=received_at)
    return Quote(symbol=symbol, price=price, time=received_at, provenance=provenance)


def told(*quotes: Quote, source: Scripted) -> None:
    source.quoted |= {quote.symbol: quote for quote in quotes}


@pytest.fixture
def source() -> Scripted:
    return Scripted("first", 9, unknown=frozenset({"NOSUCH"}))


@pytest.fixture
def second() -> Scripted:
    return Scripted("second", 1, unknown=frozenset({"NOSUCH"}))


@pytest.fixture
def world(database: Database, redis: Redis, keys: Keys, source: Scripted, second: Scripted) -> World:
    return made_of(database, redis, keys, source, second)


async def one(world: World, symbol: str) -> Quote:
    [answer] = await current_quotes(world, [symbol])
    assert isinstance(answer, Quote), answer
    return answer


FAILED = (
    SkippedSource("first", "SOURCE_TIMEOUT", "It rains."),
    SkippedSource("second", "SOURCE_TIMEOUT", "It snows."),
)


def fail(source: Scripted, second: Scripted) -> None:
    source.error = SourceTimeout("It rains.")
    second.error = SourceTimeout("It snows.")


async def test_a_fresh_quote_is_served_from_the_cache(world: World, source: Scripted) -> None:
    told(quote("AAPL", 1.0), source=source)
    first = await one(world, "aapl")
    assert (first.price, first.provenance.served_from) == (1.0, ServedFrom.LIVE)
    told(quote("AAPL", 2.0), source=source)
    second = await one(world, "AAPL")
    assert (second.price, second.provenance.served_from) == (1.0, ServedFrom.CACHE)
    assert source.asked == [("AAPL",)]


@pytest.mark.parametrize(("age_s", "asked"), [(FRESH_S - 5, []), (FRESH_S + 0.1, [("AAPL",)])])
async def test_an_old_quote_is_asked_of_the_source(
    world: World, source: Scripted, age_s: float, asked: list[tuple[str, ...]]
) -> None:
    await world.quote_cache.put([quote("AAPL", 1.0, age_s)])
    told(quote("AAPL", 2.0), source=source)
    answer = await one(world, "AAPL")
    assert source.asked == asked
    assert (answer.price, answer.provenance.served_from) == (
        (2.0, ServedFrom.LIVE) if asked else (1.0, ServedFrom.CACHE)
    )


async def test_the_next_source_answers_and_says_whom_it_follows(
    world: World, source: Scripted, second: Scripted
) -> None:
    source.error = SourceTimeout("It rains.")
    told(quote("AAPL", 3.0, source="second"), source=second)
    answer = await one(world, "AAPL")
    assert (answer.provenance.source, answer.provenance.served_from) == ("second", ServedFrom.LIVE)
    assert answer.provenance.skipped == FAILED[:1]


async def test_where_all_fail_the_cache_answers_stale_and_says_why(
    world: World, source: Scripted, second: Scripted
) -> None:
    old = quote("AAPL", 1.0, 3 * FRESH_S)
    await world.quote_cache.put([old])
    await world.quote_store.save([structs.replace(old, price=9.0, time=old.time + timedelta(seconds=1))])
    fail(source, second)
    answer = await one(world, "AAPL")
    assert answer == structs.replace(
        old, provenance=structs.replace(old.provenance, served_from=ServedFrom.STALE, skipped=FAILED)
    )


async def silent(world: World, *sources: Scripted) -> dict[str, Quote]:
    """Stale quotes in the cache, and sources that answer nothing before they are let."""
    old = {symbol: quote(symbol, 1.0, 3 * FRESH_S) for symbol in ("AAPL", "MSFT")}
    await world.quote_cache.put(old.values())
    for source in sources:
        source.takes_s = 3600
    return old


async def test_while_the_sources_are_silent_the_stale_quote_is_served_soon_and_one_question_goes_on(
    world: World, source: Scripted, second: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(turns.TIMEOUT_S, Capability.QUOTES, 60.0)
    monkeypatch.setattr(resolvers.quotes, "STALE_AFTER_S", 0.2)
    monkeypatch.setattr(turns, "_UNPROVEN_S", 60.0)
    old = await silent(world, source, second)
    start = time.monotonic()
    answers = await asyncio.gather(*(one(world, "AAPL") for _ in range(20)))
    assert 0.2 <= time.monotonic() - start < 30
    assert len(set(answers)) == 1
    assert structs.replace(answers[0], provenance=old["AAPL"].provenance) == old["AAPL"]
    assert answers[0].provenance.served_from is ServedFrom.STALE
    assert answers[0].provenance.skipped == (SkippedSource("first", "SOURCE_SLOW", "has not answered yet"),)
    await one(world, "AAPL")
    assert source.asked == [("AAPL",)]
    await world.pulls.aclose()


async def old_quote(world: World) -> Quote:
    """A stale quote of AAPL in the cache."""
    old = quote("AAPL", 1.0, 3 * FRESH_S)
    await world.quote_cache.put([old])
    return old


async def test_while_no_source_may_be_asked_the_stale_quote_says_why_and_nobody_is(
    world: World, source: Scripted, second: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "COOL_S", 60.0)
    await old_quote(world)
    fail(source, second)
    while not world.router.outlook("AAPL", Capability.QUOTES).is_hopeless:
        await world.router.quotes(["MSFT"])
    asked = len(source.asked), len(second.asked)
    source.error = second.error = None
    provenance = (await one(world, "AAPL")).provenance
    assert provenance.served_from is ServedFrom.STALE
    assert [(skip.source, skip.code) for skip in provenance.skipped] == [
        ("first", "SOURCE_RESTING"),
        ("second", "SOURCE_RESTING"),
    ]
    assert (len(source.asked), len(second.asked)) == asked
    assert len(world.pulls) == 0


async def test_where_all_have_failed_nobody_waits_but_one_asks_beside_it(
    world: World, source: Scripted, second: Scripted
) -> None:
    await old_quote(world)
    fail(source, second)
    assert (await one(world, "AAPL")).provenance.skipped == FAILED
    source.error = None
    source.holds.clear()
    source.asked.clear()
    told(quote("AAPL", 2.0), source=source)
    for _ in range(20):
        answer = await one(world, "AAPL")
        assert (answer.price, answer.provenance.served_from) == (1.0, ServedFrom.STALE)
        assert answer.provenance.skipped == FAILED
    source.holds.set()
    await until(lambda: not world.pulls)
    answer = await one(world, "AAPL")
    assert (answer.price, answer.provenance.served_from) == (2.0, ServedFrom.CACHE)
    assert source.asked == [("AAPL",)]


async def test_nobody_waits_for_a_question_that_others_have_waited_for_in_vain(
    world: World, source: Scripted, second: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(turns.TIMEOUT_S, Capability.QUOTES, 60.0)
    monkeypatch.setattr(turns, "_UNPROVEN_S", 60.0)
    monkeypatch.setattr(resolvers.quotes, "STALE_AFTER_S", 2.0)
    await silent(world, source, second)
    await one(world, "AAPL")
    start = time.monotonic()
    for _ in range(20):
        assert (await one(world, "AAPL")).provenance.served_from is ServedFrom.STALE
    assert time.monotonic() - start < 20 * 2.0 / 2
    assert source.asked == [("AAPL",)]
    await world.pulls.aclose()


async def test_what_a_slow_source_says_is_for_who_asks_next(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolvers.quotes, "STALE_AFTER_S", 0.0)
    await world.quote_cache.put([quote("AAPL", 1.0, 3 * FRESH_S)])
    told(quote("AAPL", 2.0), source=source)
    source.takes_s = 0.05
    assert (await one(world, "AAPL")).provenance.served_from is ServedFrom.STALE
    await until(lambda: not world.pulls)
    answer = await one(world, "AAPL")
    assert (answer.price, answer.provenance.served_from) == (2.0, ServedFrom.CACHE)
    assert source.asked == [("AAPL",)]


async def test_who_has_no_stale_quote_waits_for_the_source(
    world: World, source: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolvers.quotes, "STALE_AFTER_S", 0.0)
    await world.quote_cache.put([quote("AAPL", 1.0, 3 * FRESH_S)])
    source.takes_s = 0.05
    answers = await current_quotes(world, ["AAPL", "MSFT"])
    assert [answer.provenance.served_from for answer in answers if isinstance(answer, Quote)] == [ServedFrom.LIVE] * 2


async def test_no_more_questions_are_begun_than_may_be_under_way(
    world: World, source: Scripted, second: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolvers.quotes, "STALE_AFTER_S", 0.0)
    monkeypatch.setattr(resolvers.quotes, "MAX_PULLS", 1)
    await silent(world, source, second)
    await one(world, "AAPL")
    assert (await one(world, "MSFT")).provenance.served_from is ServedFrom.STALE
    assert len(world.pulls) == 1
    await world.pulls.aclose()


async def test_where_the_cache_is_empty_too_the_store_answers_stale(
    world: World, source: Scripted, second: Scripted
) -> None:
    old = quote("AAPL", 1.0, 86400)
    await world.quote_store.save([old])
    fail(source, second)
    answer = await one(world, "AAPL")
    assert answer == structs.replace(
        old, provenance=structs.replace(old.provenance, served_from=ServedFrom.STALE, skipped=FAILED)
    )


async def test_where_nothing_is_known_the_error_says_what_each_source_said(
    world: World, source: Scripted, second: Scripted
) -> None:
    fail(source, second)
    [answer] = await current_quotes(world, ["AAPL"])
    assert isinstance(answer, SourceUnavailable)
    assert tuple(answer.skipped) == FAILED
    assert answer.extensions["symbol"] == "AAPL"


async def test_each_symbol_gets_its_own_answer_in_the_order_asked(world: World, source: Scripted) -> None:
    await world.quote_cache.put([quote("CACHED", 1.0), quote("OLD", 2.0, 3 * FRESH_S)])
    told(quote("OLD", 3.0), quote("NEW", 4.0), source=source)
    answers = await current_quotes(world, ["new", "NOSUCH", "A B", "OLD", "CACHED", "NEW"])
    assert [answer.price if isinstance(answer, Quote) else type(answer) for answer in answers] == [
        *(4.0, SymbolNotFound, InvalidSymbol, 3.0, 1.0, 4.0)
    ]
    assert source.asked == [("NEW", "NOSUCH", "OLD")]


async def test_what_was_fetched_is_offered_to_the_store(world: World, source: Scripted) -> None:
    told(quote("AAPL", 4.0), source=source)
    await one(world, "AAPL")
    await world.recorder.flush()
    assert (await world.quote_store.latest(["AAPL"], synthetic=False))["AAPL"].price == 4.0


@pytest.fixture
async def without_redis(
    database: Database, keys: Keys, source: Scripted, second: Scripted, tmp_path: Path
) -> AsyncIterator[World]:
    away = connect(f"unix://{tmp_path}/nobody.sock")
    yield made_of(database, away, keys, source, second)
    await away.aclose()


async def test_without_redis_the_source_answers(without_redis: World, source: Scripted) -> None:
    told(quote("AAPL", 5.0), source=source)
    for _ in range(2):
        answer = await one(without_redis, "AAPL")
        assert (answer.price, answer.provenance.served_from) == (5.0, ServedFrom.LIVE)


async def test_without_redis_and_sources_the_store_answers_stale(
    without_redis: World, source: Scripted, second: Scripted
) -> None:
    await without_redis.quote_store.save([quote("AAPL", 6.0, 60)])
    fail(source, second)
    answer = await one(without_redis, "AAPL")
    assert (answer.price, answer.provenance.served_from) == (6.0, ServedFrom.STALE)


async def test_without_any_server_the_source_still_answers(
    keys: Keys, source: Scripted, second: Scripted, tmp_path: Path
) -> None:
    away = connect(f"unix://{tmp_path}/nobody.sock")
    nowhere = Database(f"postgresql://smartfin@/smartfin?host={tmp_path}", "public")
    world = made_of(nowhere, away, keys, source, second)
    told(quote("AAPL", 7.0), source=source)
    assert (await one(world, "AAPL")).price == 7.0
    fail(source, second)
    [answer] = await current_quotes(world, ["AAPL"])
    assert isinstance(answer, SourceUnavailable)
    await nowhere.aclose()
    await away.aclose()
