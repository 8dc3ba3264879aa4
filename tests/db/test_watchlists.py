"""Watchlists: kept in PostgreSQL, read from Redis, and never older than the last change."""

import asyncio
import logging
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from db.database import Database
from db.redis import Keys, connect
from db.watchlists import KEEP_S, Watchlist, WatchlistStore
from errors import TooManyWatchlists, Unauthenticated, WatchlistNotFound
from tests.people import person


@pytest.fixture
def store(database: Database, redis: Redis, keys: Keys) -> WatchlistStore:
    return WatchlistStore(database, redis, keys)


@pytest.fixture
async def user_id(database: Database) -> UUID:
    return (await person(database)).id


async def symbols(store: WatchlistStore, user_id: UUID) -> dict[str, tuple[str, ...]]:
    return {one.name: one.symbols for one in await store.watchlists(user_id)}


async def forget_rows(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("DELETE FROM user_subscriptions")


async def test_a_name_is_saved_once_and_keeps_its_id_and_its_place(store: WatchlistStore, user_id: UUID) -> None:
    tech = await store.save(user_id, "Tech", ["MSFT", "AAPL"], 2)
    coins = await store.save(user_id, "Coins", [], 2)
    assert await store.watchlists(user_id) == [tech, coins]
    changed = await store.save(user_id, "Tech", ["NVDA"], 2)
    assert changed == Watchlist(tech.id, "Tech", ("NVDA",))
    assert await store.watchlists(user_id) == [changed, coins]
    await store.delete(user_id, tech.id)
    assert await store.watchlists(user_id) == [coins]


async def test_lists_are_counted_by_user_and_the_limit_holds_for_new_names(
    store: WatchlistStore, database: Database, user_id: UUID
) -> None:
    other = (await person(database)).id
    for name in ("a", "b"):
        await store.save(user_id, name, [], 2)
    with pytest.raises(TooManyWatchlists) as refused:
        await store.save(user_id, "c", [], 2)
    assert refused.value.details == {"limit": 2}
    await store.save(user_id, "a", ["AAPL"], 2)
    await store.save(other, "c", [], 2)
    assert await symbols(store, user_id) == {"a": ("AAPL",), "b": ()}


async def test_saves_at_once_pass_no_limit_and_make_no_name_twice(store: WatchlistStore, user_id: UUID) -> None:
    names = [f"list {number % 4}" for number in range(12)]
    done = await asyncio.gather(*(store.save(user_id, name, [], 3) for name in names), return_exceptions=True)
    assert {type(answer) for answer in done} == {Watchlist, TooManyWatchlists}
    assert len(await store.watchlists(user_id)) == 3


async def test_what_is_not_there_cannot_be_deleted_nor_saved_for(
    store: WatchlistStore, database: Database, user_id: UUID
) -> None:
    anothers = await store.save((await person(database)).id, "Tech", [], 1)
    for watchlist_id in (uuid4(), anothers.id):
        with pytest.raises(WatchlistNotFound):
            await store.delete(user_id, watchlist_id)
    with pytest.raises(Unauthenticated):
        await store.save(uuid4(), "Tech", [], 1)


async def test_lists_are_read_from_redis_for_ten_minutes(
    store: WatchlistStore, database: Database, redis: Redis, keys: Keys, user_id: UUID
) -> None:
    tech = await store.save(user_id, "Tech", ["AAPL"], 1)
    assert await store.watchlists(user_id) == [tech]
    await forget_rows(database)
    assert await store.watchlists(user_id) == [tech]
    assert KEEP_S - 60 < await redis.ttl(keys.watchlists(user_id)) <= KEEP_S == 600
    await redis.delete(keys.watchlists(user_id))
    assert await store.watchlists(user_id) == []


async def test_a_change_shows_in_every_process_at_once(
    store: WatchlistStore, database: Database, redis: Redis, keys: Keys, user_id: UUID
) -> None:
    elsewhere = WatchlistStore(database, redis, keys)
    assert await elsewhere.watchlists(user_id) == []
    tech = await store.save(user_id, "Tech", ["AAPL"], 1)
    assert await elsewhere.watchlists(user_id) == [tech]
    await store.delete(user_id, tech.id)
    assert await elsewhere.watchlists(user_id) == []


async def test_what_was_read_before_a_change_is_not_kept_after_it(
    store: WatchlistStore, database: Database, redis: Redis, keys: Keys, user_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = WatchlistStore(database, redis, keys)
    has_read, goes_on = asyncio.Event(), asyncio.Event()
    read = slow._read

    async def read_slowly(user_id: UUID) -> list[Watchlist]:
        lists = await read(user_id)
        has_read.set()
        await goes_on.wait()
        return lists

    monkeypatch.setattr(slow, "_read", read_slowly)
    reading = asyncio.create_task(slow.watchlists(user_id))
    await has_read.wait()
    tech = await store.save(user_id, "Tech", ["AAPL"], 1)
    goes_on.set()
    assert await reading == []
    assert await store.watchlists(user_id) == [tech]


async def test_without_redis_lists_are_saved_and_read(
    database: Database, keys: Keys, user_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    away = connect("redis://127.0.0.1:1/0")
    store = WatchlistStore(database, away, keys)
    with caplog.at_level(logging.WARNING):
        tech = await store.save(user_id, "Tech", ["AAPL"], 1)
        assert await store.watchlists(user_id) == [tech]
    assert ["may not show" in caplog.text, "read from PostgreSQL" in caplog.text] == [True, True]
    await away.aclose()


async def test_what_cannot_be_read_from_redis_is_read_from_postgresql(
    store: WatchlistStore, redis: Redis, keys: Keys, user_id: UUID
) -> None:
    tech = await store.save(user_id, "Tech", ["AAPL"], 1)
    await redis.set(keys.watchlists(user_id), b'[{"id": 1}]')
    assert await store.watchlists(user_id) == [tech]
