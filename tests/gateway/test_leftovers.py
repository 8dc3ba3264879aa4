"""What has ended is gone at once: nothing of it waits for garbage collection, which comes when it likes."""

import gc
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest
from redis.asyncio import Redis
from websockets.server import ServerProtocol

from db.redis import Keys
from gateway.executor import CompiledExecutor
from gateway.http_protocol import HttpProtocol
from gateway.outbox import Outbox
from gateway.transport_ws import GraphQLConnection
from gateway.wire import WebSocketProtocol
from resolvers.world import Context
from tests.gateway.sockets import answering, greeted, ticking
from tests.waiting import until

PRICES = "subscription ($s: [Symbol!]!) { quotes(symbols: $s) { symbol price } }"
WATCHED = (
    CompiledExecutor,
    Context,
    GraphQLConnection,
    HttpProtocol,
    Outbox,
    ServerProtocol,
    WebSocketProtocol,
)


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left() -> Counter[str]:
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, WATCHED))


@pytest.mark.parametrize("ending", ["completed", "closed", "cut off", "broken"])
async def test_nothing_is_left_of_a_connection(redis: Redis, keys: Keys, ending: str) -> None:
    async with ticking(redis, keys, "A") as ticker, answering(ticker.world, http=HttpProtocol) as endpoint:
        before = left()
        async with greeted(endpoint.url) as client:
            await client.subscribe(PRICES, s=["A"])
            assert (await client.next())["type"] == "next"
            assert (left() - before).keys() >= {"CompiledExecutor", "GraphQLConnection", "ServerProtocol"}
            if ending == "completed":
                await client.ws.send_json({"id": "1", "type": "complete"})
            elif ending == "cut off":
                client.ws._writer.transport.abort()
            elif ending == "broken":
                client.ws._writer.transport.write(b"\xff\xff no frame")
                await client.closing()
        await until(lambda: not left() - before)


async def test_nothing_is_left_of_a_query(redis: Redis, keys: Keys) -> None:
    async with ticking(redis, keys, "A") as ticker, answering(ticker.world, http=HttpProtocol) as endpoint:
        ticker.world.quotes_served = Counter()
        before = left()
        async with (
            aiohttp.ClientSession() as session,
            session.post(endpoint.url, json={"query": '{ quote(symbol: "A") { price } }'}) as answer,
        ):
            assert await answer.json() == {"data": {"quote": {"price": 1.0}}}
        await until(lambda: not left() - before)
