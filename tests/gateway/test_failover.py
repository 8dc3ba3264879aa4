"""The whole server in live mode against faithful upstreams, of which the first dies in mid-stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running, smartfin
from tests.fakes.fake import Failure
from tests.fakes.kraken import FakeKraken
from tests.fakes.yahoo import FakeYahoo
from tests.gateway.test_subscriptions import quotes, socket, subscribe
from tests.waiting import until

PROVENANCE = "provenance { source servedFrom synthetic skipped { source code } }"
QUOTE = f'{{ quote(symbol: "BTC-USD") {{ price {PROVENANCE} }} }}'
HISTORY = f'{{ history(symbol: "BTC-USD", interval: M1, last: 30) {{ count {PROVENANCE} }} }}'


@asynccontextmanager
async def upstreams() -> AsyncIterator[tuple[FakeKraken, FakeYahoo]]:
    async with FakeKraken() as kraken, FakeYahoo() as yahoo:
        yield kraken, yahoo


def environment(kraken: FakeKraken, yahoo: FakeYahoo, stores: dict[str, str]) -> dict[str, str]:
    return {
        **stores,
        "SMARTFIN_MODE": "live",
        "SMARTFIN_SOURCES": "kraken,yahoo",
        "SMARTFIN_KRAKEN_URL": kraken.url,
        "SMARTFIN_KRAKEN_WS_URL": kraken.ws_url,
        "SMARTFIN_YAHOO_URL": yahoo.url,
        "SMARTFIN_YAHOO_COOKIE_URL": yahoo.url,
        "SMARTFIN_YAHOO_WS_URL": yahoo.ws_url,
        "SMARTFIN_QUOTE_FRESH_SECONDS": "0.5",
    }


async def pushing(fake: Any, price: float, stop: asyncio.Event) -> None:
    """Ticks every 50 ms, until told to stop."""
    while not stop.is_set():
        price = round(price + 0.1, 1)
        await fake.push("BTC-USD", price, datetime.now(UTC))
        await asyncio.sleep(0.05)


async def until_from(connection: aiohttp.ClientWebSocketResponse, source: str) -> dict[str, Any]:
    """The first streamed quote of a source."""
    async with asyncio.timeout(30):
        while True:
            [quote] = await quotes(connection, 1)
            if quote["provenance"]["source"] == source and quote["provenance"]["servedFrom"] == "LIVE":
                return quote


async def test_quotes_history_and_ticks_go_on_when_the_first_source_dies(stores: dict[str, str]) -> None:
    async with upstreams() as (kraken, yahoo):
        with smartfin(**environment(kraken, yahoo, stores)) as server:
            stop = asyncio.Event()
            ticking = [asyncio.create_task(pushing(fake, 90_000.0, stop)) for fake in (kraken, yahoo)]
            try:
                await _goes_on(server, kraken)
            finally:
                stop.set()
                await asyncio.gather(*ticking, return_exceptions=True)


async def _goes_on(server: Running, kraken: FakeKraken) -> None:
    before = (await server.data(HISTORY))["history"]
    assert (before["count"], before["provenance"]["source"]) == (30, "kraken")
    assert before["provenance"]["synthetic"] is False
    assert (await server.data(QUOTE))["quote"]["provenance"]["source"] == "kraken"
    async with socket(server) as connection:
        await subscribe(connection, "BTC-USD")
        first = await until_from(connection, "kraken")
        await kraken.stop()
        second = await until_from(connection, "yahoo")
        assert datetime.fromisoformat(second["time"]) >= datetime.fromisoformat(first["time"])
        await until(partial(_is_from, server, QUOTE, "quote", "yahoo"))
        # The same bars go on from the second source, beside those that the first one brought; others are its own.
        await until(partial(_is_from, server, HISTORY, "history", "yahoo"))
        days = (await server.data(HISTORY.replace("M1, last: 30", "D1, last: 5")))["history"]
        assert (days["count"], days["provenance"]["source"]) == (5, "yahoo")
        assert [skip["source"] for skip in days["provenance"]["skipped"]] == ["kraken"]
        await kraken.start()
        third = await until_from(connection, "kraken")
        assert datetime.fromisoformat(third["time"]) - datetime.fromisoformat(first["time"]) < timedelta(seconds=40)


async def _is_from(server: Running, query: str, field: str, source: str) -> bool:
    provenance = (await server.data(query))[field]["provenance"]
    return bool(provenance["source"] == source)


@pytest.mark.parametrize("failure", [Failure.STATUS_500, Failure.HTML, Failure.LIMITED, Failure.TRUNCATED])
async def test_a_broken_first_source_costs_one_answer_its_place(stores: dict[str, str], failure: Failure) -> None:
    async with upstreams() as (kraken, yahoo):
        kraken.failure = failure
        with smartfin(**environment(kraken, yahoo, stores)) as server:
            quote = (await server.data(QUOTE))["quote"]
            assert quote["provenance"]["source"] == "yahoo"
            assert [skip["source"] for skip in quote["provenance"]["skipped"]] == ["kraken"]
            yahoo.failure = failure

            async def stale() -> Any:
                provenance = (await server.data(QUOTE))["quote"]["provenance"]
                skipped = [skip["source"] for skip in provenance["skipped"]]
                return provenance["servedFrom"] == "STALE" and skipped == ["kraken", "yahoo"]

            await until(stale)
