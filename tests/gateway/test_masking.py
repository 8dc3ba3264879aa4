"""What a caller sees of a fault that nobody foresaw, and what the log has of it."""

import logging
import re
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from market import Market, MarketPhase
from tests.gateway.serving import serving, world

SECRET = "postgresql://smartfin:hunter2@db/smartfin"
MASKED = re.compile(r"Something unexpected happened; the server's log has it under ([0-9a-f]{32})\.")


class Broken:
    """Fails in whatever way it is used."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(SECRET)


class BreaksAfter:
    """Markets of which one state can be had, and then no more."""

    current = None

    async def changes(self, code: str) -> AsyncGenerator[Market, None]:
        return self._states(code)

    async def _states(self, code: str) -> AsyncGenerator[Market, None]:
        yield Market(code=code, name="New York", timezone="America/New_York", phase=MarketPhase.OPEN)
        raise RuntimeError(SECRET)


async def post(url: str, query: str) -> tuple[str, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(url, json={"query": query}) as response:
        return await response.text(), await response.json()


async def received(url: str, query: str, count: int) -> tuple[str, list[dict[str, Any]]]:
    """The first messages of an operation over graphql-transport-ws."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=["graphql-transport-ws"]) as ws:
        await ws.send_json({"type": "connection_init"})
        await ws.receive_json(timeout=5)
        await ws.send_json({"id": "1", "type": "subscribe", "payload": {"query": query}})
        messages = [await ws.receive_json(timeout=5) for _ in range(count)]
    return str(messages), messages


def check_masked(text: str, error: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The error tells nothing but an id, and under it the log tells all."""
    assert "hunter2" not in text
    found = MASKED.fullmatch(error["message"])
    assert found
    assert error["extensions"] == {"code": "INTERNAL_ERROR", "requestId": found[1]}
    [record] = [record for record in caplog.records if record.name == "gateway.masking"]
    assert record.levelno == logging.ERROR
    assert found[1] in record.getMessage()
    assert record.exc_info
    assert str(record.exc_info[1]) == SECRET
    assert "in __getattr__" in caplog.text or "in _states" in caplog.text


async def test_an_unexpected_fault_of_a_query_is_masked_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(world(quote_cache=Broken())) as url:
        text, answer = await post(url, '{ good: __typename quote(symbol: "AAPL") { price } }')
    assert answer["data"] == {"good": "Query", "quote": None}
    [error] = answer["errors"]
    assert error["path"] == ["quote"]
    check_masked(text, error, caplog)


async def test_each_request_has_its_own_id() -> None:
    async with serving(world(quote_cache=Broken())) as url:
        answers = [(await post(url, '{ quote(symbol: "AAPL") { price } }'))[1] for _ in range(2)]
    assert len({answer["errors"][0]["extensions"]["requestId"] for answer in answers}) == 2


async def test_an_unexpected_fault_before_a_stream_begins_is_masked_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(world(hub=Broken())) as url:
        text, [message] = await received(url, 'subscription { quotes(symbols: ["AAPL"]) { price } }', 1)
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    check_masked(text, errors[0], caplog)


async def test_an_unexpected_fault_in_mid_stream_is_masked_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(world(markets=BreaksAfter())) as url:
        text, messages = await received(url, 'subscription { market(code: "XNYS") { phase } }', 2)
    first, last = messages
    assert first["payload"]["data"] == {"market": {"phase": "OPEN"}}
    errors = last["payload"] if last["type"] == "error" else last["payload"]["errors"]
    check_masked(text, errors[0], caplog)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('{ quote(symbol: "A B") { price } }', "INVALID_SYMBOL"),
        ('{ history(symbol: "AAPL", last: 0) { count } }', "INVALID_LIMIT"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ quote(symbol: 1) { price } }", "INVALID_SYMBOL"),
        ("{", "GRAPHQL_PARSE_FAILED"),
    ],
)
async def test_what_the_caller_can_mend_is_neither_masked_nor_logged(
    query: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(world()) as url:
        _, answer = await post(url, query)
    [error] = answer["errors"]
    assert error["extensions"]["code"] == code
    assert not MASKED.match(error["message"])
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
