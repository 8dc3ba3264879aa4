"""What a client gets over HTTP, from a real server of the sandbox."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from tests.conftest import Running

QUOTE = """
query ($symbol: Symbol!) {
  quote(symbol: $symbol) {
    symbol price bid ask change changePercent previousClose currency time
    provenance { source servedFrom receivedAt ageSeconds delaySeconds quality flags synthetic skipped { source } }
    asset { name type }
  }
}
"""


async def test_a_quote_says_where_it_came_from(sandbox: Running) -> None:
    quote = (await sandbox.data(QUOTE, symbol="aapl"))["quote"]
    assert quote["symbol"] == "AAPL"
    assert quote["bid"] <= quote["price"] <= quote["ask"]
    assert quote["change"] == pytest.approx(quote["price"] - quote["previousClose"], abs=1e-9)
    assert quote["currency"] == "USD"
    assert quote["time"].endswith("Z")
    assert datetime.now(UTC) - datetime.fromisoformat(quote["time"]) < timedelta(seconds=31)
    assert quote["asset"] == {"name": "Apple Inc.", "type": "STOCK"}
    assert quote["provenance"]["source"] == "sandbox"
    assert quote["provenance"]["servedFrom"] in ("LIVE", "CACHE")
    assert quote["provenance"]["synthetic"] is True
    assert quote["provenance"]["quality"] == 100
    assert quote["provenance"]["skipped"] == []


async def test_a_quote_is_served_from_the_cache_while_fresh(sandbox: Running) -> None:
    query = '{ quote(symbol: "SIM900") { price time provenance { servedFrom ageSeconds } } }'
    first = (await sandbox.data(query))["quote"]
    second = (await sandbox.data(query))["quote"]
    assert first["provenance"]["servedFrom"] == "LIVE"
    assert second["provenance"]["servedFrom"] == "CACHE"
    assert (second["price"], second["time"]) == (first["price"], first["time"])
    assert second["provenance"]["ageSeconds"] > first["provenance"]["ageSeconds"]


async def test_one_bad_symbol_never_blanks_the_others(sandbox: Running) -> None:
    answer = await sandbox.ask('{ quotes(symbols: ["MSFT", "NOSUCH", "", "a b", "msft"]) { symbol } }')
    assert answer["data"]["quotes"] == [{"symbol": "MSFT"}, None, None, None, {"symbol": "MSFT"}]
    found = {tuple(error["path"]): error["extensions"]["code"] for error in answer["errors"]}
    assert found == {
        ("quotes", 1): "SYMBOL_NOT_FOUND",
        ("quotes", 2): "INVALID_SYMBOL",
        ("quotes", 3): "INVALID_SYMBOL",
    }


BAD = [
    ('{ quote(symbol: "") { price } }', "INVALID_SYMBOL"),
    ('{ quote(symbol: "A/B") { price } }', "INVALID_SYMBOL"),
    ('{ quote(symbol: "ABCDEFGHIJKLMNOPQRSTU") { price } }', "INVALID_SYMBOL"),
    ('{ quote(symbol: "NOSUCH") { price } }', "SYMBOL_NOT_FOUND"),
    ('{ history(symbol: "NOSUCH") { count } }', "SYMBOL_NOT_FOUND"),
    ('{ asset(symbol: "NOSUCH") { name } }', "SYMBOL_NOT_FOUND"),
    ('{ history(symbol: "AAPL", last: 0) { count } }', "INVALID_LIMIT"),
    ('{ history(symbol: "AAPL", last: 5001) { count } }', "INVALID_LIMIT"),
    ('{ history(symbol: "AAPL", from: "2020-02-01", to: "2020-01-01") { count } }', "INVALID_WINDOW"),
    ('{ history(symbol: "AAPL", from: "2020-01-01", to: "2020-01-01") { count } }', "INVALID_WINDOW"),
    ('{ history(symbol: "AAPL", from: "yesterday") { count } }', "INVALID_WINDOW"),
    ('{ history(symbol: "AAPL", from: "2020-01-01T00:00:00") { count } }', "INVALID_WINDOW"),
    ('{ history(symbol: "AAPL", from: "1990-01-01", to: "1990-02-01") { count } }', "NO_DATA"),
    ('{ history(symbol: "AAPL", last: 5) { indicators { sma(period: 0) } } }', "INVALID_PERIOD"),
    ('{ history(symbol: "AAPL", last: 5) { indicators { sma(period: 1000000) } } }', "INVALID_PERIOD"),
    (
        '{ history(symbol: "AAPL", last: 5) { indicators { bollingerBands(standardDeviations: -1) { upper } } } }',
        "INVALID_PARAMETER",
    ),
    ("{ assets(first: 0) { totalCount } }", "INVALID_LIMIT"),
    ('{ assets(after: "nonsense") { totalCount } }', "INVALID_CURSOR"),
]


@pytest.mark.parametrize(("query", "code"), BAD)
async def test_bad_input_gets_exactly_one_error_with_its_code(sandbox: Running, query: str, code: str) -> None:
    answer = await sandbox.ask(query)
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]


async def test_more_than_a_hundred_symbols_are_refused(sandbox: Running) -> None:
    query = "query ($symbols: [Symbol!]!) { quotes(symbols: $symbols) { symbol } }"
    symbols = [f"SIM{number:03d}" for number in range(1, 102)]
    assert len((await sandbox.data(query, symbols=symbols[:100]))["quotes"]) == 100
    answer = await sandbox.ask(query, symbols=symbols)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["TOO_MANY_SYMBOLS"]


HISTORY = """
query ($symbol: Symbol!, $interval: Interval!, $from: DateTime, $to: DateTime, $last: Int) {
  history(symbol: $symbol, interval: $interval, from: $from, to: $to, last: $last) {
    symbol interval adjustment currency timezone count hasOlder
    bars { time epoch tradingDay open high low close volume isFinal }
    columns { time epoch open high low close volume }
    gaps { from to reason } splits { time } dividends { time }
    provenance { source servedFrom synthetic }
  }
}
"""
INTERVALS = ["M1", "M5", "M15", "M30", "H1", "H4", "D1", "W1", "MN1"]


@pytest.mark.parametrize("interval", INTERVALS)
async def test_every_interval_answers_up_to_now(sandbox: Running, interval: str) -> None:
    history = (await sandbox.data(HISTORY, symbol="MSFT", interval=interval, last=50))["history"]
    bars: list[dict[str, Any]] = history["bars"]
    assert history["count"] == len(bars) == 50
    assert history["hasOlder"] is True
    epochs = [bar["epoch"] for bar in bars]
    assert epochs == sorted(set(epochs))
    assert [bar["isFinal"] for bar in bars] == [True] * 49 + [False]
    for name in ("time", "epoch", "open", "high", "low", "close", "volume"):
        assert history["columns"][name] == [bar[name] for bar in bars]
    assert all(bar["low"] <= min(bar["open"], bar["close"]) <= bar["high"] for bar in bars)
    assert history["provenance"] == {"source": "sandbox", "servedFrom": "LIVE", "synthetic": True}


async def test_a_past_window_is_fetched_once_and_then_held(sandbox: Running) -> None:
    window = {"from": "2021-03-01T00:00:00Z", "to": "2021-03-11T00:00:00Z"}
    asked = {"symbol": "NVDA", "interval": "D1", **window}
    first = (await sandbox.data(HISTORY, **asked))["history"]
    second = (await sandbox.data(HISTORY, **asked))["history"]
    assert first["provenance"]["servedFrom"] == "LIVE"
    assert second["provenance"]["servedFrom"] == "STORE"
    assert [bar["time"] for bar in second["bars"]] == [f"2021-03-{day:02d}T00:00:00Z" for day in range(1, 11)]
    assert first["bars"] == second["bars"]
    assert second["gaps"] == second["splits"] == second["dividends"] == []


async def test_too_few_bars_for_an_indicator_are_nulls(sandbox: Running) -> None:
    data = await sandbox.data(
        '{ history(symbol: "SIM001", interval: MN1, from: "2000-01-01", to: "2000-06-01")'
        " { count hasOlder indicators { sma(period: 3) rsi(period: 14) macd { signal } } } }"
    )
    history = data["history"]
    assert history["count"] == 5
    assert history["hasOlder"] is False
    indicators = history["indicators"]
    assert [value is None for value in indicators["sma"]] == [True, True, False, False, False]
    assert indicators["rsi"] == [None] * 5
    assert indicators["macd"] == {"signal": [None] * 5}


async def test_an_indicator_does_not_depend_on_the_window(sandbox: Running) -> None:
    query = """query ($last: Int!) { history(symbol: "SIM002", interval: D1, to: "2024-05-01", last: $last) {
        indicators { ema(period: 50) fast: ema(period: 12, of: HLC3) rsi macd { histogram }
                     bollingerBands(period: 10) { upper lower } } } }"""
    short = (await sandbox.data(query, last=3))["history"]["indicators"]
    long = (await sandbox.data(query, last=500))["history"]["indicators"]
    for name in ("ema", "fast", "rsi"):
        assert short[name] == pytest.approx(long[name][-3:], rel=1e-6)
    assert short["macd"]["histogram"] == pytest.approx(long["macd"]["histogram"][-3:], rel=1e-6)
    assert short["bollingerBands"]["upper"] == pytest.approx(long["bollingerBands"]["upper"][-3:], rel=1e-6)


async def test_patterns_are_signs_and_stretches_begin_where_asked(sandbox: Running) -> None:
    data = await sandbox.data(
        """{ history(symbol: "SIM003", interval: D1, from: "2024-01-30", to: "2024-02-06") {
            bars { volume high low close }
            indicators { vwap(anchor: MONTH) onBalanceVolume ichimoku { spanA lagging }
                         patterns { doji engulfing darkCloudCover(penetration: 0.3) } } } }"""
    )
    bars, indicators = data["history"]["bars"], data["history"]["indicators"]
    first = 2  # the first bar of February
    typical = (bars[first]["high"] + bars[first]["low"] + bars[first]["close"]) / 3
    assert indicators["vwap"][first] == pytest.approx(typical)
    assert indicators["vwap"][first + 1] != pytest.approx(typical)
    assert all(value in {-100, -80, 0, 80, 100} for values in indicators["patterns"].values() for value in values)
    assert indicators["ichimoku"]["lagging"] == [bar["close"] for bar in bars]
    assert len(indicators["onBalanceVolume"]) == len(bars)


async def test_an_anchor_of_too_many_bars_is_refused_alone(sandbox: Running) -> None:
    answer = await sandbox.ask(
        '{ history(symbol: "AAPL", interval: M1, last: 2) { indicators { vwap(anchor: YEAR) } } }'
    )
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_PARAMETER"]


async def test_the_catalogue_lists_every_indicator_with_what_it_takes(sandbox: Running) -> None:
    query = (
        "{ indicatorCatalog { name group overlay outputs warmUp parameters { name type default minimum maximum } } }"
    )
    catalog = {entry["name"]: entry for entry in (await sandbox.data(query))["indicatorCatalog"]}
    assert len(catalog) == 210
    assert catalog["vwap"] == {
        "name": "vwap",
        "group": "volume",
        "overlay": True,
        "outputs": ["vwap"],
        "warmUp": 0,
        "parameters": [{"name": "anchor", "type": "Anchor", "default": "null", "minimum": None, "maximum": None}],
    }


async def test_assets_are_found_by_symbol_and_name_page_by_page(sandbox: Running) -> None:
    query = """query ($search: String, $first: Int!, $after: String, $type: AssetType) {
        assets(search: $search, first: $first, after: $after, type: $type) {
            totalCount pageInfo { hasNextPage hasPreviousPage endCursor } edges { node { symbol type } } } }"""
    apple = (await sandbox.data(query, search="apple", first=5))["assets"]
    assert [edge["node"]["symbol"] for edge in apple["edges"]] == ["AAPL"]
    for text, first in [("tsla", "TSLA"), ("microsfot", "MSFT"), ("bitcion", "BTC-USD"), ("NIVIDIA", "NVDA")]:
        found = (await sandbox.data(query, search=text, first=5))["assets"]["edges"]
        assert found[0]["node"]["symbol"] == first, text
    assert (await sandbox.data(query, search="xyzzy", first=5))["assets"]["totalCount"] == 0
    seen: list[str] = []
    after = None
    while True:
        page = (await sandbox.data(query, search="simulated", first=80, after=after))["assets"]
        seen += [edge["node"]["symbol"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == [f"SIM{number:03d}" for number in range(1, 201)]
    seen.clear()
    after = None
    while True:
        page = (await sandbox.data(query, type="CRYPTO", first=3, after=after))["assets"]
        seen += [edge["node"]["symbol"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == sorted(set(seen))
    assert len(seen) == page["totalCount"] > 3


async def test_an_asset_leads_to_its_quote_and_history(sandbox: Running) -> None:
    data = await sandbox.data(
        '{ asset(symbol: "BTC-USD") { type currency quote { symbol } history(interval: H1, last: 2) { count } } }'
    )
    assert data["asset"] == {
        "type": "CRYPTO",
        "currency": "USD",
        "quote": {"symbol": "BTC-USD"},
        "history": {"count": 2},
    }


async def test_the_last_minute_agrees_with_the_quote(sandbox: Running) -> None:
    data = await sandbox.data(
        '{ history(symbol: "SIM003", interval: M1, last: 1) { bars { close isFinal } }'
        '  day: history(symbol: "SIM003", interval: D1, last: 1) { bars { open high low close } }'
        '  quote(symbol: "SIM003") { open high low price } }'
    )
    day, quote = data["day"]["bars"][0], data["quote"]
    assert day["open"] == quote["open"]
    assert quote["low"] <= quote["price"] <= quote["high"]
    assert day["high"] == pytest.approx(quote["high"], rel=0.01)


async def test_health_and_graphiql_are_served(sandbox: Running) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{sandbox.url}/livez") as response:
            assert (response.status, await response.text()) == (200, "ok\n")
        async with session.get(f"{sandbox.url}/readyz") as response:
            assert response.status == 200
            parts = ("ready", "postgresql", "redis", "prepared", "serving")
            assert await response.json() == {**dict.fromkeys(parts, True), "sources": {"sandbox": "CLOSED"}}
        async with session.get(sandbox.graphql, headers={"Accept": "text/html"}) as response:
            page = await response.text()
            assert response.status == 200
            assert "SmartFin" in page
            assert "https://" not in page


async def test_the_sources_tell_of_themselves(sandbox: Running) -> None:
    await sandbox.data('{ quote(symbol: "SIM901") { price } }')
    data = await sandbox.data(
        """{ sources { name displayName isActive priority capabilities intervals breaker successRate errorCount
                       quotas { window limit used } }
             route(symbol: "AAPL", capability: HISTORY) { source wouldAsk reason } }"""
    )
    assert data["sources"][0].pop("successRate") == pytest.approx(100)
    assert data["sources"] == [
        {
            "name": "sandbox",
            "displayName": "Sandbox",
            "isActive": True,
            "priority": 0,
            "capabilities": ["QUOTES", "HISTORY", "STREAM", "SEARCH"],
            "intervals": INTERVALS,
            "breaker": "CLOSED",
            "errorCount": 0,
            "quotas": [],
        }
    ]
    assert data["route"] == [{"source": "sandbox", "wouldAsk": True, "reason": "priority 0"}]
