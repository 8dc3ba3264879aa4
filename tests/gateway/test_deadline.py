"""What becomes of a request that takes too long, and of one whose client has gone."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.gateway.serving import serving, world
from tests.waiting import until

ASKED = {"query": '{ quote(symbol: "AAPL") { price } }'}


class Stuck:
    """A cache that never answers, and counts who waits and who was let go."""

    def __init__(self) -> None:
        self.waiting = 0
        self.cancelled = 0

    async def get(self, _: Sequence[str]) -> Any:
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@pytest.mark.parametrize("media_type", ["application/json", "application/graphql-response+json"])
async def test_what_takes_too_long_is_cancelled_and_refused_with_its_code(media_type: str) -> None:
    stuck = Stuck()
    async with (
        serving(world(quote_cache=stuck), request_timeout_seconds=0.2) as url,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(url, json=ASKED, headers={"Accept": media_type}) as response:
            answer = await response.json(content_type=None)
            assert response.status == 504
        assert set(answer) == {"errors"}
        assert answer["errors"][0]["extensions"] == {"code": "REQUEST_TIMEOUT", "limit": 0.2}
        assert (stuck.waiting, stuck.cancelled) == (1, 1)


async def test_a_body_that_never_ends_is_not_waited_for() -> None:
    async with serving(world(), request_timeout_seconds=0.2) as url:
        target = urlsplit(url)
        reader, writer = await asyncio.open_connection(target.hostname, target.port)
        head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        writer.write(head.encode())
        answer = (await asyncio.wait_for(reader.readuntil(b"}]}"), 20)).decode()
        writer.close()
    assert answer.startswith("HTTP/1.1 504 ")
    assert json.loads(answer.partition("\r\n\r\n")[2])["errors"][0]["extensions"]["code"] == "REQUEST_TIMEOUT"


async def test_when_the_client_hangs_up_the_work_for_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    stuck = Stuck()
    async with serving(world(quote_cache=stuck)) as url:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.post(url, json=ASKED))
            await until(lambda: stuck.waiting == 1)
            asking.cancel()
            await until(lambda: stuck.cancelled == 1)
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_client_that_leaves_harms_no_other() -> None:
    stuck = Stuck()
    async with (
        serving(world(quote_cache=stuck), request_timeout_seconds=20) as url,
        aiohttp.ClientSession() as session,
    ):
        asking = [asyncio.create_task(session.post(url, json=ASKED)) for _ in range(10)]
        await until(lambda: stuck.waiting == 10)
        for one in asking[:5]:
            one.cancel()
        await until(lambda: stuck.cancelled == 5)
        async with session.post(url, json={"query": "{ __typename }"}) as response:
            assert await response.json() == {"data": {"__typename": "Query"}}
        assert stuck.cancelled == 5
        for one in asking[5:]:
            one.cancel()
        await until(lambda: stuck.cancelled == 10)
