"""The REST door: its routes, parameters, envelopes, files and errors, each beside what GraphQL answers."""

import io
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import aiohttp
import polars as pl
import pytest

from errors import SourceUnavailable, StoreUnavailable
from gateway.running import Runner
from indicators.catalog import CATALOG
from market import SkippedSource
from settings import Settings
from tests.conftest import ROOT, Running, smartfin
from tests.gateway.serving import serving, world

WEEK = "from=2024-01-02&to=2024-01-05"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def got(session: aiohttp.ClientSession, url: str, **how: Any) -> tuple[int, Any]:
    """The status and the JSON of an answer."""
    async with session.get(url, **how) as response:
        return response.status, json.loads(await response.read())


async def code(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """The status and the code of a refusal, which has nothing but `success` and `error`."""
    status, body = await got(session, url)
    assert set(body) == {"success", "error"}
    assert body["success"] is False
    assert body["error"]["message"]
    return status, body["error"]["code"]


@pytest.fixture
def market(sandbox: Running) -> str:
    return f"{sandbox.url}/api/market"


async def test_quotes_are_those_of_graphql(session: aiohttp.ClientSession, market: str, sandbox: Running) -> None:
    status, body = await got(session, f"{market}/realtime/SIM001,btc-usd/SIM002")
    assert (status, body["success"], body["metadata"]["count"]) == (200, True, 3)
    assert [quote["symbol"] for quote in body["data"]] == ["SIM001", "BTC-USD", "SIM002"]
    told = await sandbox.data('{ quotes(symbols: ["SIM001"]) { previousClose currency provenance { synthetic } } }')
    assert {name: body["data"][0][name] for name in ("previousClose", "currency")} == {
        name: told["quotes"][0][name] for name in ("previousClose", "currency")
    }
    assert body["data"][0]["provenance"]["synthetic"] is True
    instants = [text for each in body["data"] for text in (each["timestamp"], each["provenance"]["receivedAt"])]
    assert [text[-1] for text in instants] == ["Z"] * 6
    assert "errors" not in body["metadata"]


@pytest.mark.parametrize("path", ["realtime/SIM001", f"historical/SIM001?{WEEK}", "indicators/SIM001?indicators=rsi"])
async def test_the_metadata_tell_what_is_left_of_the_budget(
    session: aiohttp.ClientSession, market: str, path: str
) -> None:
    async with session.get(f"{market}/{path}") as response:
        left = (await response.json())["metadata"]["rateLimitRemaining"]
        assert response.headers["RateLimit"].startswith(f'"cost";r={left};t=')


async def test_a_symbol_without_a_quote_is_told_and_blanks_no_other(
    session: aiohttp.ClientSession, market: str
) -> None:
    status, body = await got(session, f"{market}/realtime/NOSUCH,SIM001,$$")
    assert (status, [quote["symbol"] for quote in body["data"]]) == (200, ["SIM001"])
    errors = body["metadata"]["errors"]
    assert [(error["symbol"], error["code"]) for error in errors] == [
        ("NOSUCH", "SYMBOL_NOT_FOUND"),
        ("$$", "INVALID_SYMBOL"),
    ]


async def test_history_is_that_of_graphql(session: aiohttp.ClientSession, market: str, sandbox: Running) -> None:
    status, body = await got(session, f"{market}/historical/sim001?{WEEK}")
    told = await sandbox.data(
        '{ history(symbol: "SIM001", from: "2024-01-02", to: "2024-01-05") {'
        " bars { timestamp: time open high low close volume vwap trades isFinal } currency timezone } }"
    )
    assert status == 200
    assert body["data"] == told["history"]["bars"]
    metadata = body["metadata"]
    assert {name: metadata[name] for name in ("symbol", "interval", "count", "from", "to", "adjustment")} == {
        "symbol": "SIM001",
        "interval": "1d",
        "count": 3,
        "from": "2024-01-02T00:00:00.000Z",
        "to": "2024-01-05T00:00:00.000Z",
        "adjustment": "SPLITS",
    }
    assert (metadata["currency"], metadata["timezone"]) == (told["history"]["currency"], told["history"]["timezone"])
    assert abs(datetime.now(UTC) - datetime.fromisoformat(metadata["timestamp"])).total_seconds() < 60


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("1m", 60), ("5m", 300), ("15m", 900), ("30m", 1800), ("1h", 3600), ("4h", 14400), ("1d", 86400), ("1w", 604800)],
)
async def test_every_interval_is_known_by_its_short_name(
    session: aiohttp.ClientSession, market: str, interval: str, seconds: int
) -> None:
    _, body = await got(session, f"{market}/historical/BTC-USD?interval={interval}&limit=2&to=2026-11-02")
    first, second = (datetime.fromisoformat(bar["timestamp"]) for bar in body["data"])
    assert (second - first).total_seconds() == seconds


async def test_a_month_is_not_a_minute(session: aiohttp.ClientSession, market: str) -> None:
    _, body = await got(session, f"{market}/historical/BTC-USD?interval=1M&limit=2&to=2026-11-02")
    assert [bar["timestamp"] for bar in body["data"]] == ["2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"]


async def test_without_a_limit_a_hundred_bars_are_given(session: aiohttp.ClientSession, market: str) -> None:
    _, body = await got(session, f"{market}/historical/SIM001")
    assert (len(body["data"]), body["metadata"]["count"]) == (100, 100)
    assert body["data"][-1]["isFinal"] is False


@pytest.mark.parametrize(
    ("path", "status", "expected"),
    [
        ("realtime/", 400, "INVALID_SYMBOLS"),
        ("realtime/,,/", 400, "INVALID_SYMBOLS"),
        ("realtime/" + ",".join(["SIM001"] * 101), 400, "TOO_MANY_SYMBOLS"),
        ("realtime/" + "/".join(["SIM001"] * 201), 400, "TOO_MANY_SYMBOLS"),
        ("realtime/$$", 400, "INVALID_SYMBOL"),
        ("realtime/NOSUCH", 404, "SYMBOL_NOT_FOUND"),
        ("realtime/SIM001?extended=true", 400, "INVALID_PARAMETER"),
        ("historical/$$", 400, "INVALID_SYMBOL"),
        ("historical/NOSUCH", 404, "SYMBOL_NOT_FOUND"),
        ("historical/SIM001?interval=2d", 400, "INVALID_INTERVAL"),
        ("historical/SIM001?interval=1D", 400, "INVALID_INTERVAL"),
        ("historical/SIM001?from=yesterday", 400, "INVALID_FROM_DATE"),
        ("historical/SIM001?from=", 400, "INVALID_FROM_DATE"),
        ("historical/SIM001?to=2024-02-30", 400, "INVALID_TO_DATE"),
        ("historical/SIM001?from=2024-01-02&to=2024-01-02", 400, "INVALID_WINDOW"),
        ("historical/SIM001?to=1900-01-01", 404, "NO_DATA"),
        ("historical/SIM001?limit=0", 400, "INVALID_LIMIT"),
        ("historical/SIM001?limit=5001", 400, "INVALID_LIMIT"),
        ("historical/SIM001?limit=-1", 400, "INVALID_LIMIT"),
        ("historical/SIM001?limit=1_0", 400, "INVALID_LIMIT"),
        ("historical/SIM001?limit=%D9%A3", 400, "INVALID_LIMIT"),
        ("historical/SIM001?format=xls", 400, "INVALID_PARAMETER"),
        ("historical/SIM001?limit=1&limit=2", 400, "MALFORMED_REQUEST"),
        ("historical/SIM001?limit=%FF", 400, "MALFORMED_REQUEST"),
        ("indicators/SIM001", 400, "MISSING_INDICATORS"),
        ("indicators/SIM001?indicators=,", 400, "MISSING_INDICATORS"),
        ("indicators/SIM001?indicators=sma:20&period=0", 400, "INVALID_LIMIT"),
        ("indicators/SIM001?indicators=sma:20,nope", 400, "UNKNOWN_INDICATOR"),
        ("indicators/SIM001?indicators=sma:20,", 400, "UNKNOWN_INDICATOR"),
        ("indicators/SIM001?indicators=sma:0", 400, "INVALID_PERIOD"),
        ("indicators/SIM001?indicators=sma:2.5", 400, "INVALID_PERIOD"),
        ("indicators/SIM001?indicators=bb:20:nan", 400, "INVALID_PARAMETER"),
        ("indicators/SIM001?indicators=sma:20:PRICE", 400, "INVALID_PARAMETER"),
        ("indicators/SIM001?indicators=sma:20:CLOSE:1", 400, "INVALID_PARAMETER"),
        ("indicators/SIM001?indicators=trueRange:1", 400, "INVALID_PARAMETER"),
        ("indicators/SIM001?indicators=" + ",".join(["sma"] * 61), 400, "TOO_MANY_ALIASES"),
        ("indicators/NOSUCH?indicators=sma", 404, "SYMBOL_NOT_FOUND"),
        ("nothing/SIM001", 404, "NOT_FOUND"),
        ("historical/SIM001/more", 404, "NOT_FOUND"),
        ("../nothing", 404, "NOT_FOUND"),
        ("..", 404, "NOT_FOUND"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else None,
)
async def test_what_is_wrong_is_told_by_its_code(
    session: aiohttp.ClientSession, market: str, path: str, status: int, expected: str
) -> None:
    assert await code(session, f"{market}/{path}") == (status, expected)


async def test_indicators_are_those_of_graphql_in_the_order_asked(
    session: aiohttp.ClientSession, market: str, sandbox: Running
) -> None:
    asked = "SMA:3,doji,macd:12::5,bb:20:2.5,vwap:year,ema:9:hl2"
    status, body = await got(session, f"{market}/indicators/SIM001?indicators={asked}&period=40&interval=1h")
    assert status == 200
    told = await sandbox.data(
        'query ($to: DateTime) { history(symbol: "SIM001", interval: H1, to: $to, last: 39) { columns { time close }'
        " indicators { sma(period: 3) macd(signalPeriod: 5) { macd signal histogram } patterns { doji }"
        " bb: bollingerBands(standardDeviations: 2.5) { upper middle lower }"
        " vwap(anchor: YEAR) ema(period: 9, of: HL2) } } }",
        to=body["data"]["timestamps"][-1],  # the one that forms moves on between the two
    )
    columns, indicators = told["history"]["columns"], told["history"]["indicators"]
    assert body["data"]["timestamps"][:-1] == columns["time"]

    def settled(value: Any) -> Any:
        return {name: values[:-1] for name, values in value.items()} if isinstance(value, dict) else value[:-1]

    assert [(one["indicator"], one["params"], settled(one["value"])) for one in body["data"]["indicators"]] == [
        ("SMA", {"period": 3}, indicators["sma"]),
        ("doji", {}, indicators["patterns"]["doji"]),
        ("macd", {"fastPeriod": 12, "slowPeriod": 26, "signalPeriod": 5}, indicators["macd"]),
        ("bb", {"period": 20, "standardDeviations": 2.5}, indicators["bb"]),
        ("vwap", {"anchor": "YEAR"}, indicators["vwap"]),
        ("ema", {"period": 9, "of": "HL2"}, indicators["ema"]),
    ]
    assert [bar["close"] for bar in body["data"]["priceData"]][:-1] == columns["close"][-19:]
    assert set(body["data"]["priceData"][0]) == {"timestamp", "open", "high", "low", "close", "volume"}
    assert (body["metadata"]["count"], body["metadata"]["dataPoints"]) == (6, 40)


async def test_every_indicator_of_the_catalogue_can_be_asked_for(session: aiohttp.ClientSession, market: str) -> None:
    names = list(CATALOG)
    for start in range(0, len(names), 55):
        some = names[start : start + 55]
        status, body = await got(session, f"{market}/indicators/SIM001?indicators={','.join(some)}&period=2")
        assert status == 200, body
        assert [one["indicator"] for one in body["data"]["indicators"]] == some
        for one in body["data"]["indicators"]:
            outputs = CATALOG[one["indicator"]].outputs
            series = list(one["value"].values()) if isinstance(one["value"], dict) else [one["value"]]
            assert (len(series), {len(values) for values in series}) == (len(outputs), {2})


FILES = [
    ("csv", "text/csv; charset=utf-8; header=present", pl.read_csv),
    ("parquet", "application/vnd.apache.parquet", pl.read_parquet),
    ("arrow", "application/vnd.apache.arrow.stream", pl.read_ipc_stream),
]


@pytest.mark.parametrize(("name", "content_type", "read"), FILES)
@pytest.mark.parametrize("by", ["format", "accept"])
async def test_bars_come_as_files(
    session: aiohttp.ClientSession, market: str, name: str, content_type: str, read: Any, by: str
) -> None:
    url = f"{market}/historical/SIM001?{WEEK}"
    _, body = await got(session, url)
    asked = f"{url}&format={name}" if by == "format" else url
    accept = {"Accept": f"{content_type.partition(';')[0]}, application/json;q=0.5"} if by == "accept" else {}
    async with session.get(asked, headers=accept) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, content_type)
        assert response.headers["Content-Disposition"].startswith('attachment; filename="SIM001-1d.')
        assert json.loads(response.headers["X-Provenance"])["synthetic"] is True
        frame = read(io.BytesIO(await response.read()))
    if name != "csv":
        assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
        frame = frame.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert frame.to_dicts() == body["data"]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("text/html,*/*;q=0.8", "application/json"),
        ("text/*", "text/csv"),
        ("application/json;q=0.4, application/vnd.apache.parquet;q=0.6", "application/vnd.apache.parquet"),
    ],
)
async def test_the_format_is_what_the_client_takes_best(
    session: aiohttp.ClientSession, market: str, accept: str, kind: str
) -> None:
    async with session.get(f"{market}/historical/SIM001?limit=2", headers={"Accept": accept}) as response:
        assert (response.status, response.content_type) == (200, kind)


async def test_a_format_that_is_not_given_is_not_acceptable(session: aiohttp.ClientSession, market: str) -> None:
    status, body = await got(session, f"{market}/historical/SIM001", headers={"Accept": "image/png"})
    assert (status, body["error"]["code"]) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
async def test_history_that_is_over_may_be_kept(session: aiohttp.ClientSession, market: str, form: str) -> None:
    url = f"{market}/historical/SIM050?{WEEK}&format={form}"
    await session.get(url)  # which may be the first, and come from the source
    async with session.get(url) as response:
        assert response.headers["Cache-Control"] == "public, max-age=300"
        tag = response.headers["ETag"]
    async with session.get(url, headers={"If-None-Match": tag}) as again:
        assert (again.status, again.headers["ETag"], await again.read()) == (304, tag, b"")
    async with session.get(url.replace("01-05", "01-04"), headers={"If-None-Match": tag}) as other:
        assert (other.status, other.headers["ETag"] == tag) == (200, False)
    async with session.get(f"{market}/historical/SIM050?limit=3&format={form}") as forming:
        assert forming.headers["Cache-Control"] == "no-store"


async def test_large_answers_are_compressed(session: aiohttp.ClientSession, market: str) -> None:
    url = f"{market}/historical/SIM001?limit=300&to=2026-01-01"
    async with session.get(url, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert (await response.json())["metadata"]["count"] == 300
    async with session.get(f"{url}&format=parquet", headers={"Accept-Encoding": "gzip"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_only_what_reads_is_served(session: aiohttp.ClientSession, market: str) -> None:
    url = f"{market}/historical/SIM001"
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        async with session.request(method, url) as response:
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
            assert json.loads(await response.read())["error"]["code"] == "METHOD_NOT_ALLOWED"
    async with session.head(url) as response:
        assert (response.status, response.content_type, await response.read()) == (200, "application/json", b"")
    async with session.options(url) as response:
        assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    async with session.post(f"{market}/nothing") as response:
        assert (response.status, json.loads(await response.read())["error"]["code"]) == (404, "NOT_FOUND")


async def test_a_token_that_is_not_good_is_refused(session: aiohttp.ClientSession, market: str) -> None:
    async with session.get(f"{market}/historical/SIM001", headers={"Authorization": "Bearer x"}) as response:
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert (await response.json())["error"]["code"] == "UNAUTHENTICATED"


async def test_a_request_keeps_its_id(session: aiohttp.ClientSession, market: str) -> None:
    async with session.get(f"{market}/historical/SIM001?limit=1", headers={"X-Request-ID": "mine-1"}) as response:
        assert response.headers["X-Request-ID"] == "mine-1"


class Failing:
    """A cache of quotes whose reading fails in one way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def get(self, symbols: object) -> dict[str, Any]:
        raise self.error


def without_quotes(error: Exception) -> SimpleNamespace:
    """A world where each quote fails so."""

    async def pull(*_: object) -> dict[str, Exception]:
        return {"AAPL": error}

    found = SimpleNamespace(get=Failing(StoreUnavailable("away")).get)
    pulls = SimpleNamespace(join=pull)

    async def latest(*_: object, **__: object) -> dict[str, Any]:
        return {}

    return world(
        quote_cache=found,
        pulls=pulls,
        quote_store=SimpleNamespace(latest=latest),
        synthetic=False,
        quotes_served=Counter(),
    )


async def test_what_is_answered_is_counted_once_as_what_it_was(session: aiohttp.ClientSession) -> None:
    runner = Runner(Settings())
    down = without_quotes(SourceUnavailable("No source answers."))
    async with serving(down, runner=runner) as url:
        api = url.replace("/graphql", "/api/market")
        for path in ("realtime/AAPL", "realtime/,", "historical/AAPL?limit=0", "historical/AAPL?limit=0"):
            assert (await got(session, f"{api}/{path}"))[0] in {400, 503}
    meter = runner.meter
    assert meter.errors == {"SOURCE_UNAVAILABLE": 1, "INVALID_SYMBOLS": 1, "INVALID_LIMIT": 2}
    counts = {(timed.operation, timed.type): sum(timed.whole.counts) for timed in meter.all()}
    assert counts == {("other", "unknown"): 3, ("other", "query"): 0, ("Realtime", "query"): 1}


async def test_a_failing_upstream_is_503_with_what_each_source_said(session: aiohttp.ClientSession) -> None:
    skipped = [SkippedSource("yahoo", "SOURCE_TIMEOUT", "No answer.")]
    down = without_quotes(SourceUnavailable("No source answers.", skipped=skipped))
    async with serving(down) as url:
        status, body = await got(session, url.replace("/graphql", "/api/market/realtime/AAPL"))
    assert status == 503
    assert body["error"] == {
        "code": "SOURCE_UNAVAILABLE",
        "message": "No source answers.",
        "sources": [{"source": "yahoo", "code": "SOURCE_TIMEOUT", "message": "No answer."}],
    }


async def test_what_nobody_foresaw_is_masked_and_named(session: aiohttp.ClientSession) -> None:
    broken = world(quote_cache=Failing(ZeroDivisionError("secret")), quote_fresh_s=1.0)
    async with serving(broken) as url:
        status, body = await got(
            session, url.replace("/graphql", "/api/market/realtime/AAPL"), headers={"X-Request-ID": "r1"}
        )
    assert (status, body["error"]["code"], body["error"]["requestId"]) == (500, "INTERNAL_ERROR", "r1")
    assert "secret" not in json.dumps(body)


@pytest.fixture(scope="module")
def locked(database_url: str, redis_url: str) -> Iterator[Running]:
    with smartfin(
        DATABASE_URL=database_url, REDIS_URL=redis_url, SMARTFIN_DOCUMENTS_ONLY="true", SMARTFIN_MAX_COST="12"
    ) as running:
        yield running


async def test_the_doors_are_open_where_only_published_documents_are_served(
    session: aiohttp.ClientSession, locked: Running
) -> None:
    status, body = await got(session, f"{locked.url}/api/market/historical/SIM001?limit=2")
    assert (status, body["metadata"]["count"]) == (200, 2)


async def test_the_doors_cost_what_graphql_costs(session: aiohttp.ClientSession, locked: Running) -> None:
    market = f"{locked.url}/api/market"
    symbols = [f"SIM{number:03}" for number in range(1, 14)]
    assert (await got(session, f"{market}/realtime/{','.join(symbols[:12])}"))[0] == 200
    assert await code(session, f"{market}/realtime/{','.join(symbols)}") == (400, "OPERATION_TOO_COSTLY")
    assert await code(session, f"{market}/indicators/SIM001?indicators=sma") == (400, "OPERATION_TOO_COSTLY")


async def test_the_openapi_document_is_of_the_routes_that_are_served(
    session: aiohttp.ClientSession, sandbox: Running
) -> None:
    status, document = await got(session, f"{sandbox.url}/api/openapi.json")
    assert (status, document["openapi"], document["servers"]) == (200, "3.1.0", [{"url": "/api"}])
    assert {
        path: [parameter["name"] for parameter in methods["get"]["parameters"]]
        for path, methods in document["paths"].items()
    } == {
        "/market/realtime/{symbols}": ["symbols"],
        "/market/historical/{symbol}": ["symbol", "interval", "from", "to", "limit", "format"],
        "/market/indicators/{symbol}": ["symbol", "indicators", "period", "interval"],
    }
    bars = document["paths"]["/market/historical/{symbol}"]["get"]["responses"]["200"]["content"]
    assert list(bars) == ["application/json", *(content_type.partition(";")[0] for _, content_type, _ in FILES)]
    bar = bars["application/json"]["schema"]["properties"]["data"]["items"]
    assert bar["properties"]["volume"]["type"] == ["number", "null"]
    assert bar["properties"]["timestamp"]["format"] == "date-time"


SHOWN = re.findall(
    r"curl -s 'http://127.0.0.1:8000(/(?:api|udf)/.*?)'\n\n((?: {4}.*\n)+)",
    "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("rest.md", "udf.md")),
)


@pytest.mark.parametrize(("path", "rows"), SHOWN, ids=["api", "udf"])
async def test_the_docs_show_what_one_gets(
    session: aiohttp.ClientSession, sandbox: Running, path: str, rows: str
) -> None:
    async with session.get(sandbox.url + path) as response:
        assert (await response.text()).splitlines() == [row.strip() for row in rows.splitlines()]
