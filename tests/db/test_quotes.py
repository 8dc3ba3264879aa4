"""Quotes in the cache and in the store: what goes in comes out."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from redis.asyncio import Redis

from db.assets import AssetStore
from db.database import Database
from db.partitions import Partitions
from db.quotes import QuoteCache, QuoteEvent, QuoteStore, decode_event, encode_event
from db.redis import Keys, connect
from errors import StoreUnavailable
from market import Asset, AssetType, Provenance, Quote, ServedFrom, SkippedSource
from tests.bars import at

KEEP_S = 600

PLAIN = Quote(
    symbol="AAPL",
    price=190.0,
    time=at("2024-05-01T14:30:00.123456"),
    provenance=Provenance(source="test", served_from=ServedFrom.LIVE, received_at=at("2024-05-01T14:30:01")),
)
FULL = structs.replace(
    PLAIN,
    price=12345678.12345678,
    provenance=structs.replace(
        PLAIN.provenance,
        received_at=at("2024-05-01T14:30:01.654321"),
        delay_seconds=900.5,
        quality=61,
        flags=("stale", "crossed"),
        synthetic=True,
    ),
    open=0.1,
    high=130.31,
    low=1e-8,
    previous_close=-37.63,
    volume=0.0,
    turnover=1e15,
    bid=0.1 + 0.2,
    ask=1 / 3,
    bid_size=7.0,
    ask_size=8.0,
    last_size=0.5,
    currency="USDT",
)


@pytest.fixture
def cache(redis: Redis, keys: Keys) -> QuoteCache:
    return QuoteCache(redis, keys, KEEP_S)


@pytest.fixture
def store(database: Database, partitions: Partitions) -> QuoteStore:
    return QuoteStore(database, partitions)


def test_the_full_quote_leaves_no_field_at_its_default() -> None:
    assert [field.name for field in structs.fields(Quote) if getattr(FULL, field.name) is None] == []
    left = [
        name
        for name in Provenance.__struct_fields__
        if getattr(FULL.provenance, name) == getattr(PLAIN.provenance, name)
    ]
    assert left == ["source", "served_from", "skipped"]


@pytest.mark.parametrize("quote", [PLAIN, FULL])
def test_an_event_survives_its_encoding(quote: Quote) -> None:
    event = QuoteEvent(1_700_000_000_000, 2**40, quote)
    assert decode_event(encode_event(event)) == event


async def test_the_cache_gives_back_what_was_put_and_lets_it_expire(
    cache: QuoteCache, redis: Redis, keys: Keys
) -> None:
    other = structs.replace(FULL, symbol="BTC-USD")
    await cache.put([PLAIN, other])
    assert await cache.get(["BTC-USD", "NOSUCH", "AAPL"]) == {
        "BTC-USD": QuoteEvent(0, 0, other),
        "AAPL": QuoteEvent(0, 0, PLAIN),
    }
    assert await cache.get([]) == {}
    assert KEEP_S - 5 <= await redis.ttl(keys.realtime("AAPL")) <= KEEP_S


async def test_what_is_asked_at_the_same_moment_is_read_in_one_round_trip(cache: QuoteCache, redis: Redis) -> None:
    quotes = [structs.replace(PLAIN, symbol=f"S{number}") for number in range(300)]
    await cache.put(quotes)

    async def reads() -> int:
        return int((await redis.info("commandstats"))["cmdstat_mget"]["calls"])

    await cache.get([])
    before = await reads()
    asked = [["S1"], ["S2", "NOSUCH"], ["S1", "S3"]]
    found = await asyncio.gather(*(cache.get(symbols) for symbols in asked))
    assert [list(events) for events in found] == [["S1"], ["S2"], ["S1", "S3"]]
    assert await reads() - before == 1
    found = await asyncio.gather(*(cache.get([quote.symbol]) for quote in quotes))
    assert [events[quote.symbol].quote for events, quote in zip(found, quotes, strict=True)] == quotes
    assert await reads() - before == 3, "200 and 100 of them"


async def test_who_asks_once_a_reading_is_under_way_is_told_what_was_put_before(cache: QuoteCache) -> None:
    await cache.put([PLAIN])
    early = asyncio.create_task(cache.get(["AAPL"]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it has been sent
    await cache.put([FULL])
    assert (await cache.get(["AAPL"]))["AAPL"].quote == FULL
    assert list(await early) == ["AAPL"]


async def test_who_does_not_wait_for_a_shared_reading_takes_nothing_from_the_others(cache: QuoteCache) -> None:
    await cache.put([PLAIN])
    gone, stays = (asyncio.create_task(cache.get(["AAPL"])) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await stays)["AAPL"].quote == PLAIN
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_what_cannot_be_decoded_counts_as_unknown(cache: QuoteCache, redis: Redis, keys: Keys) -> None:
    await cache.put([PLAIN])
    await redis.set(keys.realtime("MSFT"), b'{"epoch":1}')
    assert await cache.get(["MSFT", "AAPL"]) == {"AAPL": QuoteEvent(0, 0, PLAIN)}


async def test_which_sources_were_skipped_is_of_one_answer_and_not_cached(cache: QuoteCache) -> None:
    skipped = (SkippedSource("other", "SOURCE_TIMEOUT", "It took too long."),)
    await cache.put([structs.replace(PLAIN, provenance=structs.replace(PLAIN.provenance, skipped=skipped))])
    assert await cache.get(["AAPL"]) == {"AAPL": QuoteEvent(0, 0, PLAIN)}


async def test_what_is_written_for_all_to_hear_is_kept_before_it_is_heard(
    cache: QuoteCache, redis: Redis, keys: Keys
) -> None:
    # More than go into one round trip.
    events = [QuoteEvent(7, seq, structs.replace(PLAIN, symbol=f"S{seq}")) for seq in range(450)]
    async with redis.pubsub(ignore_subscribe_messages=True) as bus:
        await bus.psubscribe(keys.quotes("*"))
        await bus.get_message(timeout=1)
        await cache.write(events, publish=True)
        heard = [await bus.get_message(timeout=1) for _ in events]
    assert [decode_event(message["data"]) for message in heard if message] == events
    assert await cache.get([event.quote.symbol for event in events]) == {event.quote.symbol: event for event in events}


async def test_what_was_pulled_is_kept_in_silence(cache: QuoteCache, redis: Redis, keys: Keys) -> None:
    async with redis.pubsub(ignore_subscribe_messages=True) as bus:
        await bus.psubscribe(keys.quotes("*"))
        await bus.get_message(timeout=1)
        await cache.put([PLAIN])
        await redis.publish(keys.quotes("end"), b"")
        message = await bus.get_message(timeout=1)
    assert message is not None
    assert message["channel"].decode() == keys.quotes("end")


async def test_the_modes_share_no_key(redis: Redis) -> None:
    sandbox, live = (QuoteCache(redis, Keys(mode), KEEP_S) for mode in ("sandbox", "live"))
    symbol = "MODES.TEST"
    await sandbox.put([structs.replace(PLAIN, symbol=symbol)])
    assert await live.get([symbol]) == {}
    assert symbol in await sandbox.get([symbol])


async def test_a_redis_that_is_away_is_unavailable(tmp_path: Path) -> None:
    away = connect(f"unix://{tmp_path}/nobody.sock")
    cache = QuoteCache(away, Keys("test"), KEEP_S)
    for question in (cache.get(["AAPL"]), cache.put([PLAIN])):
        with pytest.raises(StoreUnavailable, match=r"^Redis does not answer; try again\.$"):
            await question
    await away.aclose()


def stored(quote: Quote) -> Quote:
    """The quote as the store gives it: without what it does not keep."""
    provenance = structs.replace(
        quote.provenance, served_from=ServedFrom.STALE, delay_seconds=None, flags=(), synthetic=False
    )
    return structs.replace(quote, last_size=None, provenance=provenance)


async def test_the_store_gives_the_newest_quote_marked_stale(store: QuoteStore) -> None:
    older = [structs.replace(FULL, time=FULL.time - timedelta(days=days), price=1.0) for days in (1, 40, 400)]
    await store.save([older[0], FULL, *older[1:]])
    await store.save([structs.replace(PLAIN, symbol="MSFT")])
    assert await store.latest(["MSFT", "NOSUCH", "AAPL"], synthetic=False) == {
        "MSFT": stored(structs.replace(PLAIN, symbol="MSFT")),
        "AAPL": stored(FULL),
    }
    synthetic = (await store.latest(["MSFT"], synthetic=True))["MSFT"]
    assert synthetic.provenance.synthetic is True


async def test_a_quote_that_is_held_stays_as_it_is(store: QuoteStore) -> None:
    await store.save([FULL])
    await store.save([structs.replace(FULL, price=1.0)])
    assert (await store.latest(["AAPL"], synthetic=False))["AAPL"].price == FULL.price


async def test_a_quote_is_kept_under_the_market_of_its_asset(store: QuoteStore, database: Database) -> None:
    known = Asset(symbol="0700.HK", name="Tencent", type=AssetType.STOCK, market_code="XHKG", currency="HKD")
    await AssetStore(database).save([known])
    await store.save([structs.replace(PLAIN, symbol="0700.HK"), PLAIN])
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT symbol, market FROM market_data ORDER BY symbol")
    assert [tuple(row) for row in rows] == [("0700.HK", "XHKG"), ("AAPL", "")]
