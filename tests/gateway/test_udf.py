"""The TradingView door, call by call, as the UDF protocol has it."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from db.database import Database
from db.markets import MarketCache
from db.redis import Keys
from live.markets import Markets
from market import Asset, AssetType, Interval
from tests.bars import at, bar, bars
from tests.conftest import Running
from tests.gateway.serving import serving
from tests.sources.scripted import Scripted
from tests.world import made_of

DAY = 86_400
JAN_2 = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp())


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Library:
    """A chart library that asks."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def answer(self, path: str, **parameters: Any) -> tuple[int, Any]:
        async with self.session.get(f"{self.url}/udf/{path}", params=parameters) as response:
            return response.status, json.loads(await response.text())

    async def told(self, path: str, **parameters: Any) -> Any:
        status, answer = await self.answer(path, **parameters)
        assert status == 200, answer
        return answer


@pytest.fixture
def library(session: aiohttp.ClientSession, sandbox: Running) -> Library:
    return Library(session, sandbox.url)


async def test_the_configuration_says_what_is_supported(library: Library) -> None:
    config = await library.told("config")
    assert config["supported_resolutions"] == ["1", "5", "15", "30", "60", "240", "1D", "1W", "1M"]
    assert {name: value for name, value in config.items() if name.startswith("supports_")} == {
        "supports_search": True,
        "supports_group_request": False,
        "supports_marks": True,
        "supports_timescale_marks": True,
        "supports_time": True,
    }
    assert config["exchanges"][0] == {"value": "", "name": "All exchanges", "desc": ""}
    assert {"value": "XNAS", "name": "XNAS", "desc": "Nasdaq"} in config["exchanges"]
    assert {"value": "crypto", "name": "Crypto"} in config["symbols_types"]


async def test_the_time_is_a_plain_number(library: Library) -> None:
    async with library.session.get(f"{library.url}/udf/time") as response:
        assert response.content_type == "text/plain"
        assert abs(int(await response.text()) - time.time()) < 60


async def test_a_symbol_is_told_as_a_chart_must_know_it(library: Library) -> None:
    told = await library.told("symbols", symbol="SIM001", currencyCode="USD")
    assert {
        name: told[name]
        for name in ("name", "ticker", "type", "timezone", "session", "session_holidays", "minmov", "pricescale")
    } == {
        "name": "SIM001",
        "ticker": "SIM001",
        "type": "stock",
        "timezone": "Etc/UTC",
        "session": "24x7",
        "session_holidays": "",
        "minmov": 1,
        "pricescale": 100,
    }
    assert (told["has_intraday"], told["has_daily"], told["has_weekly_and_monthly"]) == (True, True, True)
    assert told["intraday_multipliers"] == ["1", "5", "15", "30", "60", "240"]
    assert "s" not in told
    assert (await library.told("symbols", symbol="SANDBOX:SIM001"))["ticker"] == "SIM001"


async def test_search_answers_with_a_list(library: Library) -> None:
    found = await library.told("search", query="SIM00", type="", exchange="", limit=3)
    assert len(found) == 3
    assert set(found[0]) == {"symbol", "ticker", "full_name", "description", "exchange", "type"}
    coins = await library.told("search", query="B", type="crypto", exchange="", limit=30)
    assert {one["type"] for one in coins} == {"crypto"}
    assert "BTC-USD" in [one["symbol"] for one in coins]
    assert await library.told("search", query="SIM00", exchange="XTKS") == []


@pytest.mark.parametrize("resolution", ["1D", "D"])
async def test_history_is_columns_from_from_on_and_before_to(
    library: Library, sandbox: Running, resolution: str
) -> None:
    told = await library.told("history", symbol="SIM001", resolution=resolution, **{"from": JAN_2}, to=JAN_2 + 3 * DAY)
    columns = (
        await sandbox.data(
            '{ history(symbol: "SIM001", from: "2024-01-02", to: "2024-01-05") {'
            " columns { t: epoch o: open h: high l: low c: close v: volume } } }"
        )
    )["history"]["columns"]
    assert told == {"s": "ok", **columns}
    assert told["t"] == [JAN_2, JAN_2 + DAY, JAN_2 + 2 * DAY]


@pytest.mark.parametrize(
    ("resolution", "seconds"),
    [("1", 60), ("5", 300), ("15", 900), ("30", 1800), ("60", 3600), ("240", 14400), ("1W", 7 * DAY)],
)
async def test_countback_counts_back_from_to_whatever_from_is(library: Library, resolution: str, seconds: int) -> None:
    to = JAN_2 + 400 * DAY
    told = await library.told(
        "history", symbol="BTC-USD", resolution=resolution, **{"from": to - 1}, to=to, countback=3
    )
    assert (told["s"], len(told["t"])) == ("ok", 3)
    assert [after - before for before, after in zip(told["t"], told["t"][1:], strict=False)] == [seconds, seconds]
    assert told["t"][-1] < to <= told["t"][-1] + seconds


async def test_the_newest_bar_is_the_one_that_forms(library: Library) -> None:
    now = int(time.time())
    told = await library.told("history", symbol="SIM001", resolution="1D", **{"from": 0}, to=now + 60, countback=2)
    assert told["t"][-1] >= now // DAY * DAY


async def test_a_window_without_bars_says_where_the_last_one_before_lies(library: Library) -> None:
    ahead = int(time.time()) + 10 * DAY
    told = await library.told("history", symbol="SIM001", resolution="1D", **{"from": ahead}, to=ahead + DAY)
    assert (told["s"], set(told)) == ("no_data", {"s", "nextTime"})
    assert told["nextTime"] == int(time.time()) // DAY * DAY


@pytest.mark.parametrize("window", [{"from": -3_000_000_000, "to": -2_000_000_000}, {"to": 0, "countback": 10}])
async def test_before_the_first_bar_there_is_nothing_more(library: Library, window: dict[str, int]) -> None:
    assert await library.told("history", symbol="SIM001", resolution="1M", **window) == {"s": "no_data"}


@pytest.fixture
async def traded(
    session: aiohttp.ClientSession, database: Database, redis: Redis, keys: Keys
) -> AsyncIterator[Library]:
    """A share of New York that split 3 for 2, and paid a dividend two days later."""
    source = Scripted("scripted", 1)
    changes = {1: {"split_factor": 1.5}, 3: {"dividend": 0.25}}
    source.bars["SHARE", Interval.D1] = bars(
        bar(at(f"2024-01-{day:02}"), **changes.get(place, {})) for place, day in enumerate((2, 3, 4, 5))
    )
    world = made_of(database, redis, keys, source)
    world = replace(world, markets=Markets(MarketCache(redis, keys), always_open=False))
    share = Asset(
        symbol="SHARE",
        name="A share",
        type=AssetType.ETF,
        market_code="XNYS",
        currency="USD",
        timezone="America/New_York",
        tick_size=0.05,
    )
    await world.assets.save([share])
    async with serving(world) as url:
        yield Library(session, url.removesuffix("/graphql"))


async def test_splits_and_dividends_are_marks(traded: Library) -> None:
    asked = {"symbol": "SHARE", "from": JAN_2, "to": JAN_2 + 4 * DAY, "resolution": "1D"}
    assert await traded.told("marks", **asked) == {
        "id": ["S2024-01-03T00:00:00Z", "D2024-01-05T00:00:00Z"],
        "time": [JAN_2 + DAY, JAN_2 + 3 * DAY],
        "color": ["blue", "green"],
        "text": ["Split 3:2", "Dividend 0.25 USD"],
        "label": ["S", "D"],
        "labelFontColor": ["white", "white"],
        "minSize": [14, 14],
    }
    assert await traded.told("timescale_marks", **asked) == [
        {
            "id": "S2024-01-03T00:00:00Z",
            "time": JAN_2 + DAY,
            "color": "blue",
            "label": "S",
            "text": "Split 3:2",
            "tooltip": ["Split 3:2"],
        },
        {
            "id": "D2024-01-05T00:00:00Z",
            "time": JAN_2 + 3 * DAY,
            "color": "green",
            "label": "D",
            "text": "Dividend 0.25 USD",
            "tooltip": ["Dividend 0.25 USD"],
        },
    ]


async def test_a_share_has_the_hours_of_its_market(traded: Library) -> None:
    told = await traded.told("symbols", symbol="SHARE")
    assert {name: told[name] for name in ("type", "timezone", "session", "minmov", "pricescale", "exchange")} == {
        "type": "fund",
        "timezone": "America/New_York",
        "session": "0930-1600",
        "minmov": 5,
        "pricescale": 100,
        "exchange": "XNYS",
    }
    assert "1225" in told["session_holidays"]
    assert "0930-1300:" in told["corrections"]


async def test_a_gap_is_jumped_to_the_bar_before_it(traded: Library) -> None:
    window = {"from": JAN_2 + 10 * DAY, "to": JAN_2 + 12 * DAY}
    told = await traded.told("history", symbol="SHARE", resolution="1D", **window)
    assert told == {"s": "no_data", "nextTime": JAN_2 + 3 * DAY}


async def test_where_nothing_traded_there_are_no_marks(library: Library) -> None:
    ahead = int(time.time()) + 10 * DAY
    window = {"symbol": "SIM001", "from": ahead, "to": ahead + DAY, "resolution": "1D"}
    assert (await library.told("marks", **window))["id"] == []
    assert await library.told("timescale_marks", **window) == []


async def test_quotes_come_in_the_order_asked_each_with_its_own_state(library: Library) -> None:
    told = await library.told("quotes", symbols="SANDBOX:SIM001,NOSUCH,BTC-USD")
    assert told["s"] == "ok"
    assert [(one["s"], one["n"]) for one in told["d"]] == [
        ("ok", "SANDBOX:SIM001"),
        ("error", "NOSUCH"),
        ("ok", "BTC-USD"),
    ]
    value = told["d"][0]["v"]
    assert value["short_name"] == "SIM001"
    assert value["ask"] > value["bid"] > 0
    assert value["ch"] == pytest.approx(value["lp"] - value["prev_close_price"])
    assert value["spread"] == pytest.approx(value["ask"] - value["bid"])
    assert told["d"][1]["v"] == {}


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("symbols", {}, 400),
        ("symbols", {"symbol": "NOSUCH"}, 404),
        ("symbols", {"symbol": "$$"}, 400),
        ("search", {"query": "A", "limit": "many"}, 400),
        ("history", {"symbol": "NOSUCH", "resolution": "1D", "from": 0, "to": 1}, 404),
        ("history", {"symbol": "SIM001", "resolution": "2D", "from": 0, "to": 1}, 400),
        ("history", {"symbol": "SIM001", "resolution": "1D", "from": "x", "to": 1}, 400),
        ("history", {"symbol": "SIM001", "resolution": "1D", "from": 2, "to": 1}, 400),
        ("history", {"symbol": "SIM001", "resolution": "1D", "to": 1, "countback": 0}, 400),
        ("marks", {"symbol": "NOSUCH"}, 404),
        ("quotes", {}, 400),
        ("quotes", {"symbols": ",".join(["SIM001"] * 101)}, 400),
        ("nothing", {}, 404),
    ],
)
async def test_what_is_wrong_is_told_in_the_words_of_the_protocol(
    library: Library, path: str, parameters: dict[str, Any], status: int
) -> None:
    found, told = await library.answer(path, **parameters)
    assert (found, set(told), told["s"]) == (status, {"s", "errmsg"}, "error")
    assert told["errmsg"]
