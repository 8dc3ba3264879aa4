"""Real bars, imported by the command line and answered in live mode from the store alone."""

import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import bokeh_sampledata
import polars as pl
import pytest

from tests.conftest import SMARTFIN, Running, smartfin

STOCKS = next(Path(bokeh_sampledata.__file__).parent.rglob("stocks.csv.gz"))
SPLITS = "symbol,date,numerator,denominator\nAAPL,2000-06-21,2,1\nAAPL,2005-02-28,2,1\n"

HISTORY = """
query ($symbol: Symbol!, $from: DateTime, $to: DateTime, $last: Int, $adjustment: Adjustment! = SPLITS) {
  history(symbol: $symbol, from: $from, to: $to, last: $last, adjustment: $adjustment) {
    count hasOlder currency timezone
    bars { time tradingDay open high low close volume isFinal }
    splits { time numerator denominator }
    gaps { from to reason }
    indicators { rsi(period: 14) }
    provenance { source servedFrom synthetic quality }
  }
}
"""


@pytest.fixture(scope="module")
def live(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    splits = tmp_path_factory.mktemp("files") / "splits.csv"
    splits.write_text(SPLITS)
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    for changed in ("12154 changed, 0 unchanged", "0 changed, 12154 unchanged"):
        done = subprocess.run(
            [SMARTFIN, "import", STOCKS, "--splits", splits],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert f"stocks.csv.gz: 12154 bars, {changed}, 0 rejected." in done.stdout
        assert "AAPL, FB, GOOG, IBM, MSFT: 2000-03-01 to 2013-03-01" in done.stdout
    assert "splits.csv: 2 splits, 0 changed, 2 unchanged, 0 rejected." in done.stdout
    with smartfin(SMARTFIN_MODE="live", SMARTFIN_SOURCES="", **environment) as running:
        yield running


def plain_rsi(closes: list[float], period: int) -> list[float | None]:
    """Wilder's definition, step by step."""
    rises = [max(after - before, 0.0) for before, after in pairwise(closes)]
    falls = [max(before - after, 0.0) for before, after in pairwise(closes)]
    up, down = sum(rises[:period]) / period, sum(falls[:period]) / period
    values: list[float | None] = [None] * period
    values.append(100 * up / (up + down))
    for rise, fall in zip(rises[period:], falls[period:], strict=True):
        up, down = (up * (period - 1) + rise) / period, (down * (period - 1) + fall) / period
        values.append(100 * up / (up + down))
    return values


async def test_a_real_bar_is_what_was_traded(live: Running) -> None:
    window = {"from": "2000-03-01", "to": "2000-03-02"}
    history = (await live.data(HISTORY, symbol="AAPL", adjustment="RAW", **window))["history"]
    assert history["bars"] == [
        {
            "time": "2000-03-01T00:00:00Z",
            "tradingDay": "2000-03-01",
            "open": 118.56,
            "high": 132.06,
            "low": 118.5,
            "close": 130.31,
            "volume": 9616100.0,
            "isFinal": True,
        }
    ]
    assert history["provenance"] == {"source": "import", "servedFrom": "STORE", "synthetic": False, "quality": 100}
    assert (history["currency"], history["timezone"]) == ("USD", "America/New_York")
    assert history["hasOlder"] is False
    assert history["gaps"] == []


async def test_splits_are_taken_out_at_read(live: Running) -> None:
    window = {"from": "2000-06-19", "to": "2005-03-02"}
    raw = (await live.data(HISTORY, symbol="AAPL", adjustment="RAW", **window))["history"]
    adjusted = (await live.data(HISTORY, symbol="AAPL", **window))["history"]
    assert [split["time"] for split in raw["splits"]] == ["2000-06-21T00:00:00Z", "2005-02-28T00:00:00Z"]
    assert raw["splits"] == adjusted["splits"]
    assert {(split["numerator"], split["denominator"]) for split in raw["splits"]} == {(2.0, 1.0)}
    factors = {bar["time"]: bar["close"] / cut["close"] for bar, cut in zip(raw["bars"], adjusted["bars"], strict=True)}
    assert factors["2000-06-20T00:00:00Z"] == 4
    assert factors["2000-06-21T00:00:00Z"] == 2
    assert factors["2005-02-25T00:00:00Z"] == 2
    assert factors["2005-02-28T00:00:00Z"] == 1
    first, cut = raw["bars"][0], adjusted["bars"][0]
    assert cut["volume"] == first["volume"] * 4


WEEKS = """
query ($interval: Interval!, $from: DateTime!, $to: DateTime!) {
  history(symbol: "AAPL", interval: $interval, from: $from, to: $to) {
    madeOf bars { time open high low close volume } splits { time } gaps { from }
  }
}
"""


@pytest.mark.parametrize("interval", ["W1", "MN1"])
async def test_weeks_and_months_of_the_real_series_have_the_shape_of_its_days(live: Running, interval: str) -> None:
    window = {"from": "2000-05-01", "to": "2005-08-01"}  # both are Mondays
    days = (await live.data(WEEKS, interval="D1", **window))["history"]
    made = (await live.data(WEEKS, interval=interval, **window))["history"]
    assert (days["madeOf"], made["madeOf"]) == (None, "D1")
    periods: dict[str, list[dict[str, float]]] = {}
    for bar in days["bars"]:
        day = date.fromisoformat(bar["time"][:10])
        first = day - timedelta(days=day.weekday()) if interval == "W1" else day.replace(day=1)
        periods.setdefault(f"{first}T00:00:00Z", []).append(bar)
    assert made["bars"] == [
        {
            "time": time,
            "open": bars[0]["open"],
            "high": max(bar["high"] for bar in bars),
            "low": min(bar["low"] for bar in bars),
            "close": bars[-1]["close"],
            "volume": sum(bar["volume"] for bar in bars),
        }
        for time, bars in periods.items()
    ]
    # The first split fell on a Wednesday; RAW, that week would lose half of its price.
    assert [split["time"][:10] for split in made["splits"]] == ["2000-06-21", "2005-02-28"]
    assert [gap["from"][:10] for gap in made["gaps"]] == []
    [week] = [bar for bar in made["bars"] if bar["time"] <= "2000-06-21"][-1:]
    assert week["low"] > week["high"] * 0.5


async def test_rsi_of_the_real_series_agrees_with_the_plain_definition(live: Running) -> None:
    history = (await live.data(HISTORY, symbol="MSFT", to="2013-03-02", last=5000, adjustment="RAW"))["history"]
    closes = [bar["close"] for bar in history["bars"]]
    symbol, close = pl.read_csv(STOCKS).select("Ticker", "Close")
    assert closes == close.filter(symbol == "MSFT").to_list()
    assert history["indicators"]["rsi"] == [
        None if value is None else pytest.approx(value, rel=1e-9) for value in plain_rsi(closes, 14)
    ]


async def test_a_window_cuts_the_warm_up_off(live: Running) -> None:
    whole = (await live.data(HISTORY, symbol="IBM", to="2013-03-02", last=5000))["history"]
    part = (await live.data(HISTORY, symbol="IBM", **{"from": "2010-01-04", "to": "2010-02-01"}))["history"]
    assert part["count"] == 19
    assert part["hasOlder"] is True
    place = [bar["time"] for bar in whole["bars"]].index(part["bars"][0]["time"])
    assert part["indicators"]["rsi"] == pytest.approx(whole["indicators"]["rsi"][place : place + 19], rel=1e-9)


async def test_what_is_held_is_served_stale_where_no_source_can_say_more(live: Running) -> None:
    history = (await live.data(HISTORY, symbol="GOOG", last=3))["history"]
    assert [bar["time"][:10] for bar in history["bars"]] == ["2013-02-27", "2013-02-28", "2013-03-01"]
    assert history["provenance"]["servedFrom"] == "STALE"
    [gap] = history["gaps"]
    assert gap["from"] == "2013-03-04T00:00:00Z"  # a Monday
    assert gap["reason"] == "NOT_HELD"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('{ history(symbol: "AAPL", from: "2020-01-01", to: "2020-02-01") { count } }', "SOURCE_UNAVAILABLE"),
        ('{ history(symbol: "NOSUCH") { count } }', "SOURCE_UNAVAILABLE"),
        ('{ history(symbol: "AAPL", interval: M1) { count } }', "SOURCE_UNAVAILABLE"),
        ('{ history(symbol: "AAPL", from: "2000-03-04", to: "2000-03-05") { count } }', "NO_DATA"),
        ('{ quote(symbol: "AAPL") { price } }', "SOURCE_UNAVAILABLE"),
        ('{ asset(symbol: "NOSUCH") { name } }', "SOURCE_UNAVAILABLE"),
    ],
)
async def test_what_nobody_can_say_is_an_error_not_a_guess(live: Running, query: str, code: str) -> None:
    answer = await live.ask(query)
    assert [error["extensions"]["code"] for error in answer["errors"]] == [code]


async def test_the_two_modes_share_nothing(live: Running, sandbox: Running) -> None:
    made_up = (await sandbox.data(HISTORY, symbol="AAPL", **{"from": "2000-03-01", "to": "2000-03-02"}))["history"]
    assert made_up["provenance"]["synthetic"] is True
    assert made_up["bars"][0]["close"] != 130.31
    assert [
        edge["node"]["symbol"]
        for edge in (await live.data("{ assets { edges { node { symbol } } } }"))["assets"]["edges"]
    ] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
