"""Markets as clients see them, over HTTP and WebSocket, in the sandbox and live."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from db.redis import connect
from market import Market
from sources.calendar import MARKETS, state
from tests.conftest import SMARTFIN, Running, smartfin
from tests.gateway.test_subscriptions import socket

# The package uses what pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(pandas|exchange_calendars)")

FIELDS = "code name timezone phase opensAt closesAt nextOpen isHoliday"
BARS = "ticker,date,open,high,low,close,volume\n" + "".join(
    f"{ticker},2024-01-02,10,11,9,10,100\n" for ticker in ("ZZMKT", "ZZMKT.L", "ZZMKT.PA", "ZZMKT-USD")
)


@pytest.fixture(scope="module")
def live(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of real data, with a share in London, one in Paris, a coin, and one that nobody says the market of."""
    bars = tmp_path_factory.mktemp("files") / "bars.csv"
    bars.write_text(BARS)
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    subprocess.run([SMARTFIN, "import", bars], check=True, capture_output=True, env=environment, timeout=60)
    with smartfin(SMARTFIN_MODE="live", **environment) as running:
        yield running


def answer(market: Market) -> dict[str, Any]:
    """The market as GraphQL shows it."""
    return {
        "code": market.code,
        "name": market.name,
        "timezone": market.timezone,
        "phase": market.phase,
        "opensAt": text(market.opens_at),
        "closesAt": text(market.closes_at),
        "nextOpen": text(market.next_open),
        "isHoliday": market.is_holiday,
    }


def text(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


async def test_every_market_of_the_sandbox_is_open(sandbox: Running) -> None:
    markets = (await sandbox.data(f"{{ markets {{ {FIELDS} }} }}"))["markets"]
    assert markets == [
        {
            "code": schedule.code,
            "name": schedule.name,
            "timezone": schedule.timezone,
            "phase": "OPEN",
            "opensAt": None,
            "closesAt": None,
            "nextOpen": None,
            "isHoliday": False,
        }
        for schedule in MARKETS.values()
    ]
    assert (await sandbox.data(f'{{ market(code: "xhkg") {{ {FIELDS} }} }}'))["market"] == markets[
        list(MARKETS).index("XHKG")
    ]


async def test_live_markets_go_by_their_calendars(live: Running) -> None:
    before = [answer(state(code, datetime.now(UTC))) for code in MARKETS]
    markets = (await live.data(f"{{ markets {{ {FIELDS} }} }}"))["markets"]
    after = [answer(state(code, datetime.now(UTC))) for code in MARKETS]
    assert len(markets) == 18
    for told, *known in zip(markets, before, after, strict=True):
        assert told in known
    alone = (await live.data('{ market(code: "CRYPTO") { phase timezone nextOpen } }'))["market"]
    assert alone == {"phase": "OPEN", "timezone": "UTC", "nextOpen": None}


async def test_a_state_is_shared_through_redis_in_its_mode(live: Running, sandbox: Running, redis_url: str) -> None:
    await sandbox.data('{ market(code: "XTKS") { code } }')
    await live.data('{ market(code: "XTKS") { code } }')
    redis = connect(redis_url)
    key = "smartfin:live:market:status:XTKS"
    assert 0 < await redis.ttl(key) <= 60
    assert 0 < await redis.ttl("smartfin:sandbox:market:status:XTKS") <= 60
    payload = await redis.get(key)
    assert isinstance(payload, bytes)
    try:
        await redis.set(key, payload.replace(b"Tokyo Stock Exchange", b"told by another"), ex=60)
        for server, name in ((live, "told by another"), (sandbox, "Tokyo Stock Exchange")):
            assert (await server.data('{ market(code: "XTKS") { name } }'))["market"]["name"] == name
    finally:
        await redis.delete(key)
        await redis.aclose()


@pytest.mark.parametrize("code", ["NYSE", "", "XNYS ", "x" * 500])
async def test_an_unknown_market_has_its_code(sandbox: Running, code: str) -> None:
    got = await sandbox.ask("query ($code: String!) { market(code: $code) { code } }", code=code)
    assert got["data"] == {"market": None}
    [error] = got["errors"]
    assert error["path"] == ["market"]
    assert error["extensions"] == {"code": "MARKET_NOT_FOUND", "market": code[:40]}
    assert error["message"] == f'There is no market "{code[:40]}"; {{ markets {{ code }} }} has all.'


async def test_an_asset_tells_its_market(live: Running, sandbox: Running) -> None:
    query = '{ a: asset(symbol: "AAPL") { market { code phase } } b: asset(symbol: "BTC-USD") { market { code } } }'
    told = await sandbox.data(query)
    assert told == {"a": {"market": {"code": "XNAS", "phase": "OPEN"}}, "b": {"market": {"code": "CRYPTO"}}}
    query = "query ($symbol: Symbol!) { asset(symbol: $symbol) { market { code } } }"
    for symbol, code in [("ZZMKT.L", "XLON"), ("ZZMKT.PA", "XPAR"), ("ZZMKT-USD", "CRYPTO"), ("ZZMKT", None)]:
        assert (await live.data(query, symbol=symbol))["asset"]["market"] == (code and {"code": code})


async def test_the_markets_of_a_page_are_asked_of_redis_at_once(sandbox: Running, redis_url: str) -> None:
    redis = connect(redis_url)

    async def asked() -> int:
        statistics = await redis.info("commandstats")
        return int(statistics.get("cmdstat_mget", {"calls": 0})["calls"])

    before = await asked()
    page = (await sandbox.data("{ assets(first: 100) { edges { node { market { code } } } } }"))["assets"]["edges"]
    assert len(page) == 100
    assert all(edge["node"]["market"] for edge in page)
    assert await asked() - before == 1
    await redis.aclose()


async def watch(connection: aiohttp.ClientWebSocketResponse, code: str, name: str = "1") -> None:
    query = f"subscription ($code: String!) {{ market(code: $code) {{ {FIELDS} }} }}"
    payload = {"query": query, "variables": {"code": code}}
    await connection.send_json({"id": name, "type": "subscribe", "payload": payload})


async def test_watching_begins_with_the_present_state_and_goes_on(live: Running) -> None:
    async with socket(live) as connection:
        for number, code in enumerate(("XNYS", "xtks", "CRYPTO", "FOREX")):
            before = state(code.upper(), datetime.now(UTC))
            await watch(connection, code, str(number))
            message = await connection.receive_json(timeout=20)
            after = state(code.upper(), datetime.now(UTC))
            assert (message["id"], message["type"]) == (str(number), "next"), "no earlier one has ended"
            assert message["payload"]["data"]["market"] in (answer(before), answer(after))
        await connection.send_json({"id": "2", "type": "complete"})
        await watch(connection, "CRYPTO", "2")
        assert (await connection.receive_json(timeout=5))["id"] == "2"


async def test_watching_a_market_of_the_sandbox_tells_that_it_is_open(sandbox: Running) -> None:
    async with socket(sandbox) as connection:
        await watch(connection, "XNAS")
        message = await connection.receive_json(timeout=5)
        assert message["payload"]["data"]["market"]["phase"] == "OPEN"
        assert message["payload"]["data"]["market"]["nextOpen"] is None


async def test_watching_an_unknown_market_has_its_code(sandbox: Running) -> None:
    async with socket(sandbox) as connection:
        await watch(connection, "NYSE")
        message = await connection.receive_json(timeout=5)
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert [error["extensions"]["code"] for error in errors] == ["MARKET_NOT_FOUND"]
