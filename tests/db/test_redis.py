"""The client of Redis, where Redis is slow or away."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from db import redis as client
from db.redis import Keys, Patience, connect, database_of


class Silent:
    """A Redis that takes connections and never answers, as one that is frozen."""

    def __init__(self) -> None:
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Listen until the client goes."""
        self.connections += 1
        while await reader.read(4096):
            pass
        writer.close()


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[Silent, Redis]]:
    server = Silent()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    redis = connect(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0")
    try:
        yield server, redis
    finally:
        await redis.aclose()
        listening.close()


async def test_who_is_silent_is_waited_for_once_and_then_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(client, "PAUSE_S", 3600.0)
    async with silent() as (server, redis):
        with pytest.raises(RedisTimeoutError):
            await redis.ping()
        assert server.connections == 1, "a second time it would be as slow"
        with pytest.raises(RedisConnectionError, match=r"did not answer within 0\.1 s a moment ago"):
            await redis.ping()
        pipeline = redis.pipeline(transaction=False)
        pipeline.set("key", "value")
        with pytest.raises(RedisConnectionError, match="a moment ago"):
            await pipeline.execute()
        assert server.connections == 1


async def test_one_asks_whether_it_speaks_again_and_then_all_do(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    patience = Patience()
    speaks = asyncio.Event()

    async def slow() -> None:
        raise RedisConnectionError("it was being connected to") from RedisTimeoutError()

    async def answers() -> str:
        await speaks.wait()
        return "PONG"

    async def connects_and_answers() -> str:
        await patience.call_with_retry(connects, lost)
        answer: str = await patience.call_with_retry(answers, lost)
        return answer

    async def connects() -> None:
        return None

    async def lost(_: Exception) -> None:
        return None

    with pytest.raises(RedisConnectionError, match="it was being connected to"):
        await patience.call_with_retry(slow, lost)
    with pytest.raises(RedisConnectionError, match="a moment ago"):
        await patience.call_with_retry(answers, lost)
    now += client.PAUSE_S
    first = asyncio.create_task(patience.call_with_retry(connects_and_answers, lost))
    await asyncio.sleep(0)
    with pytest.raises(RedisConnectionError, match="a moment ago"):
        await patience.call_with_retry(answers, lost)
    speaks.set()
    assert await first == "PONG"
    assert await patience.call_with_retry(answers, lost) == "PONG"


async def test_a_connection_that_is_lost_while_one_listens_says_nothing_of_the_others(redis_url: str) -> None:
    async with connect(redis_url) as redis, redis.pubsub() as listening:
        others = {each["id"] for each in await redis.client_list(_type="pubsub")}
        await listening.subscribe("test_redis")
        await listening.get_message(timeout=1.0)
        message = asyncio.create_task(listening.get_message(timeout=60.0))
        await asyncio.sleep(client.TIMEOUT_S + 0.1)  # for so long nobody says anything
        [heard] = {each["id"] for each in await redis.client_list(_type="pubsub")} - others
        await redis.client_kill_filter(_id=heard)
        await asyncio.wait([message])
        assert await redis.ping(), "the others are served"
        assert message.result()["type"] == "subscribe", "and it was connected anew"


async def test_a_connection_that_was_lost_is_made_anew(redis_url: str) -> None:
    async with connect(redis_url) as redis, connect(redis_url) as other:
        name = await redis.client_id()
        await other.client_kill_filter(_id=str(name))
        assert await redis.client_id() != name


async def test_what_is_said_in_one_database_of_a_redis_is_not_heard_in_another(redis_url: str) -> None:
    async with connect(redis_url) as first, connect(f"{redis_url}?db=9") as ninth, ninth.pubsub() as listening:
        assert [database_of(redis) for redis in (first, ninth)] == [0, 9]
        keys = {redis: Keys("test_redis", database_of(redis)) for redis in (first, ninth)}
        own = keys[ninth]
        channels = [own.quotes("A"), own.channel("A"), own.channel("A/M1"), own.heartbeat("x"), own.alert_fires]
        await listening.subscribe(*channels)
        for name in dict.fromkeys(channels):
            assert await ninth.publish(name, b"") == 1
            assert await first.publish(name.replace(":9:", ":"), b"") == 0
        assert keys[first].quotes("A") == own.quotes("A").replace(":9:", ":")
        assert keys[first].realtime("A") == own.realtime("A"), "keys are apart already"
