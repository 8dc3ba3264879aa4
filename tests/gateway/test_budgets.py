"""Whatever carries a request, it is paid for from one budget, by all processes together."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running, smartfin
from tests.gateway.sockets import opened
from tests.people import bearer, person

BUDGET = 400
QUOTE = '{ quote(symbol: "SIM001") { price } rateLimit { cost limit remaining } }'


@pytest.fixture
def two(stores: dict[str, str], tmp_path: Path) -> Iterator[list[Running]]:
    """Two API processes on the same stores; a guest may spend BUDGET a minute."""
    environment = {**stores, "SMARTFIN_GUEST_BUDGET": str(BUDGET), "SMARTFIN_DATA_DIR": str(tmp_path)}
    with ExitStack() as stack:
        yield [stack.enter_context(smartfin(**environment)) for _ in range(2)]


async def post(session: aiohttp.ClientSession, server: Running, query: str) -> tuple[int, Any, Any]:
    async with session.post(
        server.graphql, json={"query": query}, headers={"Accept": "application/graphql-response+json"}
    ) as response:
        return response.status, await response.json(), response.headers


async def fresh_minute(session: aiohttp.ClientSession, server: Running) -> None:
    """Spend what is left, and wait for the budget to be whole again: the minute has just begun."""
    while True:
        _, _, headers = await post(session, server, QUOTE)
        left_s = int(headers["RateLimit"].partition("t=")[2]) if "RateLimit" in headers else 0
        if left_s > 20:
            return
        await asyncio.sleep(left_s + 0.1)


async def test_two_processes_share_one_budget_over_every_carrier(two: list[Running]) -> None:
    async with aiohttp.ClientSession() as session:
        await fresh_minute(session, two[0])
        status, answer, headers = await post(session, two[0], QUOTE)
        assert status == 200
        told = answer["data"]["rateLimit"]
        assert (told["cost"], told["limit"]) == (1, BUDGET)
        assert headers["RateLimit-Policy"] == f'"cost";q={BUDGET};w=60'
        assert headers["RateLimit"].startswith(f'"cost";r={told["remaining"]};t=')
        paid = BUDGET - told["remaining"]
        refused = [False, False]
        while not all(refused):
            for number, server in enumerate(two):
                status, answer, headers = await post(session, server, QUOTE)
                refused[number] = status == 429
                paid += status == 200
        assert BUDGET * 0.99 <= paid <= BUDGET

        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert 1 <= error["extensions"]["retryAfter"] <= 60
        assert headers["Retry-After"] == str(error["extensions"]["retryAfter"])

        status, answer, _ = await post(session, two[0], "{ nothing }")
        assert (status, answer["errors"][0]["extensions"]["code"]) == (429, "RATE_LIMITED")
        async with session.get(f"{two[0].url}/api/market/realtime/SIM001") as response:
            refusal = (await response.json())["error"]
            assert (response.status, refusal["code"]) == (429, "RATE_LIMIT_EXCEEDED")
            assert response.headers["Retry-After"] == str(refusal["retryAfter"])
    async with opened(two[0].graphql) as client:
        await client.ws.send_json({"type": "connection_init"})
        assert (await client.next())["type"] == "connection_ack"
        await client.subscribe('subscription { quotes(symbols: "SIM001") { price } }', "it")
        message = await client.next()
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "RATE_LIMITED")


async def test_a_user_has_the_budget_of_his_tier_and_not_that_of_his_address(
    sandbox: Running, sandbox_database: Any
) -> None:
    shown = bearer(await person(sandbox_database))
    told = [
        (await sandbox.data(QUOTE, authorization=authorization))["rateLimit"]["remaining"]
        for authorization in (None, shown)
    ]
    assert told[1] > told[0] or told[1] == 10**9 - 1
