"""Massive (Polygon) against a fake that has its quirks."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import (
    SourceBadAnswer,
    SourceCannot,
    SourceLimited,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
    SymbolNotFound,
)
from market import BAR_SCHEMA, AssetType, Interval, Provenance, Quote, ServedFrom, Window, venue
from settings import Settings
from sources.polygon import Polygon
from sources.polygon_rows import parse_bars, parse_index_quotes, parse_quotes
from sources.polygon_stream import Cluster
from sources.polygon_words import native_symbol
from sources.source import Capability, Demand
from tests.fakes.fake import Failure, Unlimited
from tests.fakes.polygon import KEY, LISTED, FakePolygon, milliseconds, raw_bar, raw_price

NOW = datetime(2026, 11, 20, 15, 30, 20, tzinfo=UTC)
"""A Friday, 10:30 in New York."""

needs_calendar = pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")


@pytest.fixture
async def fake() -> AsyncIterator[FakePolygon]:
    async with FakePolygon() as fake:
        fake.now = NOW
        yield fake


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def asked(fake: FakePolygon) -> list[str]:
    return [str(request.rel_url) for request in fake.requests]


def provenance(*, is_delayed: bool = False, at: datetime = NOW) -> Provenance:
    return Provenance(
        source="polygon",
        served_from=ServedFrom.LIVE,
        received_at=at,
        delay_seconds=900.0 if is_delayed else 0.0,
        flags=("DELAYED",) if is_delayed else (),
    )


# Facts and symbols


def test_a_key_turns_it_on() -> None:
    assert Polygon.opened(Settings(_env_file=None, polygon_api_key=None), Unlimited()) is None
    opened = Polygon.opened(Settings(_env_file=None, polygon_api_key=KEY), Unlimited())
    assert opened is not None
    assert KEY not in repr(opened)
    assert Polygon.capabilities == frozenset(Capability)
    assert (Polygon.display_name, Polygon.priority) == ("Massive (Polygon)", 60)
    assert [(quota.limit, quota.seconds) for quota in Polygon.quotas] == [(5, 60)]


def test_bars_that_do_not_begin_on_our_grid_are_not_offered() -> None:
    assert list(Polygon.reach) == ["M1", "M5", "M15", "M30", "H1", "D1"]


@pytest.mark.parametrize(
    ("symbol", "cluster", "ticker", "topic"),
    [
        ("AAPL", "stocks", "AAPL", "AAPL"),
        ("F", "stocks", "F", "F"),
        ("BRK.B", "stocks", "BRK.B", "BRK.B"),
        ("ACHR.WS", "stocks", "ACHR.WS", "ACHR.WS"),
        ("KIM-PL", "stocks", "KIMpL", "KIMpL"),
        ("CTA-P", "stocks", "CTAp", "CTAp"),
        ("EURUSD=X", "forex", "C:EURUSD", "EUR/USD"),
        ("USDCNH=X", "forex", "C:USDCNH", "USD/CNH"),
        ("BTC-USD", "crypto", "X:BTCUSD", "BTC-USD"),
        ("USDT-USD", "crypto", "X:USDTUSD", "USDT-USD"),
        ("1INCH-EUR", "crypto", "X:1INCHEUR", "1INCH-EUR"),
        ("^GSPC", "indices", "I:SPX", "I:SPX"),
        ("^IXIC", "indices", "I:COMP", "I:COMP"),
    ],
)
def test_a_symbol_has_one_spelling_there(symbol: str, cluster: str, ticker: str, topic: str) -> None:
    native = native_symbol(symbol)
    assert native is not None
    assert (native.cluster, native.ticker, native.topic) == (cluster, ticker, topic)


@pytest.mark.parametrize(
    "symbol",
    [
        "0700.HK",
        "600519.SS",
        "TSCO.L",
        "7203.T",
        "BRK-B",  # another spelling of BRK.B
        "JPY=X",  # another spelling of USDJPY=X
        "BTC-USDT",  # a tether is no dollar
        "^SPX",  # another spelling of ^GSPC
        "^FTSE",
        "GC=F",
        "AAPL1",
    ],
)
async def test_what_it_cannot_know_is_not_covered_and_never_asked_for(
    fake: FakePolygon, source: Polygon, symbol: str
) -> None:
    assert not source.covers(symbol)
    assert await source.quotes([symbol]) == {}
    assert await source.asset(symbol) is None
    with pytest.raises(SymbolNotFound):
        await source.history(symbol, Interval.D1, Window(NOW - timedelta(days=9), NOW))
    assert fake.requests == []


roots = st.text("ABP1", min_size=1, max_size=6)
spellings = st.one_of(
    roots,
    st.builds("{}{}{}".format, roots, st.sampled_from([".", "-", "-P"]), st.text("ABPUSDT", max_size=4)),
    st.builds("{}=X".format, st.text("AB", min_size=3, max_size=6)),
    st.builds("^{}".format, roots),
)


@given(st.lists(spellings, min_size=2, max_size=12, unique=True))
def test_no_two_symbols_share_a_ticker_or_a_topic(symbols: list[str]) -> None:
    natives = [native for symbol in symbols if (native := native_symbol(symbol))]
    assert len({native.ticker for native in natives}) == len({native.topic for native in natives}) == len(natives)


@pytest.mark.parametrize("symbol", [symbol for symbol, listed in LISTED.items() if not listed.delisted])
async def test_a_ticker_leads_back_to_its_symbol(source: Polygon, symbol: str) -> None:
    found = await source.search(LISTED[symbol].ticker, 5)
    assert [asset.symbol for asset in found][:1] == [symbol]


# Quotes


async def test_quotes_are_asked_for_by_kind_with_the_key_in_the_header_alone(
    fake: FakePolygon, source: Polygon
) -> None:
    found = await source.quotes([*fake.symbols, fake.unknown])
    assert set(found) == set(fake.symbols)
    assert sorted(asked(fake)) == [
        "/v2/snapshot/locale/global/markets/crypto/tickers?tickers=X:BTCUSD",
        "/v2/snapshot/locale/global/markets/forex/tickers?tickers=C:EURUSD",
        "/v2/snapshot/locale/us/markets/stocks/tickers?tickers=AAPL,BRK.B,KIMpL,ZZZZ",
        "/v3/snapshot/indices?ticker.any_of=I:SPX&limit=250",
    ]
    assert {request.headers["Authorization"] for request in fake.requests} == {f"Bearer {KEY}"}
    assert fake.budget.spent == 4


async def test_quotes_tell_what_is_known_and_nothing_else(fake: FakePolygon, source: Polygon) -> None:
    fake.prices = {"AAPL": 121.5, "EURUSD=X": 1.08125, "BTC-USD": 33021.9, "^GSPC": 3988.5}
    found = await source.quotes(list(fake.prices))
    today, utc_today = utc(2026, 11, 20, 5), utc(2026, 11, 20)
    share, pair, coin = (
        raw_bar(symbol, start, NOW, fake.prices[symbol])
        for symbol, start in [("AAPL", today), ("EURUSD=X", utc_today), ("BTC-USD", utc_today)]
    )
    assert found["AAPL"] == Quote(
        symbol="AAPL",
        price=121.5,
        time=NOW,
        provenance=provenance(),
        open=share["o"],
        high=share["h"],
        low=share["l"],
        previous_close=raw_price("AAPL", today - timedelta(minutes=1)),
        volume=share["v"],
        bid=121.4999,
        ask=121.5001,
        bid_size=None,  # they say 0
        ask_size=5.0,
        last_size=200.0,
        currency="USD",
    )
    assert found["EURUSD=X"] == Quote(
        symbol="EURUSD=X",
        price=1.08125,
        time=NOW,
        provenance=provenance(),
        open=pair["o"],
        high=pair["h"],
        low=pair["l"],
        previous_close=raw_price("EURUSD=X", utc_today - timedelta(minutes=1)),
        bid=1.08115,
        ask=1.08135,
        currency="USD",
    )
    assert found["BTC-USD"] == Quote(
        symbol="BTC-USD",
        price=33021.9,
        time=NOW,
        provenance=provenance(),
        open=coin["o"],
        high=coin["h"],
        low=coin["l"],
        previous_close=raw_price("BTC-USD", utc_today - timedelta(minutes=1)),
        volume=coin["v"],
        last_size=0.001933,
        currency="USD",
    )
    assert found["^GSPC"] == Quote(
        symbol="^GSPC",
        price=3988.5,
        time=NOW,
        provenance=provenance(),
        open=3970.38,
        high=3990.41,
        low=3960.11,
        previous_close=3981.19,
        currency="USD",
    )


SHEET_SHARE = orjson.loads(
    '{"ticker":{"day":{"c":160.315,"h":166.2,"l":159.8,"o":161.84,"v":68840127,"vw":162.7124},"lastQuote":{"P":159.99,'
    '"S":5,"p":159.98,"s":3,"t":1651251948407646487},"lastTrade":{"c":null,"i":"121351","p":159.99,"s":200,'
    '"t":1651251948294080343,"x":12},"min":{"av":68834255,"c":160.3,"h":160.71,"l":160.3,"o":160.71,"v":197226,'
    '"vw":160.5259,"t":1684428600000,"n":5},"prevDay":{"c":163.64,"h":164.515,"l":158.93,"o":159.25,"v":130149192,'
    '"vw":161.8622},"ticker":"AAPL","todaysChange":-3.65,"todaysChangePerc":-2.231,"updated":1651251948294080343}}'
)["ticker"]


def test_the_published_snapshot_of_a_share_is_read_to_the_microsecond() -> None:
    payload = {"status": "OK", "tickers": [SHEET_SHARE]}
    assert parse_quotes(payload, cluster="stocks", symbols={"AAPL": "AAPL"}, now=NOW) == [
        Quote(
            symbol="AAPL",
            price=159.99,
            time=utc(2022, 4, 29, 17, 5, 48, 294080),
            provenance=provenance(),
            open=161.84,
            high=166.2,
            low=159.8,
            previous_close=163.64,
            volume=68840127.0,
            bid=159.98,
            ask=159.99,
            bid_size=3.0,
            ask_size=5.0,
            last_size=200.0,
            currency="USD",
        )
    ]


@pytest.mark.parametrize("at", [1651180409688, 1651180409688000000])
def test_the_instant_of_a_coin_is_read_in_milliseconds_or_nanoseconds(at: int) -> None:
    row = {"ticker": "X:BTCUSD", "lastTrade": {"p": 39976.89682331, "s": 0.005, "t": at}}
    quotes = parse_quotes(
        {"status": "OK", "tickers": [row]}, cluster="crypto", symbols={"X:BTCUSD": "BTC-USD"}, now=NOW
    )
    assert [(quote.price, quote.time) for quote in quotes] == [(39976.89682331, utc(2022, 4, 28, 21, 13, 29, 688000))]


def test_the_price_of_a_pair_is_the_exact_middle_of_its_newest_quote() -> None:
    row = {
        "ticker": "C:AUDUSD",
        "lastQuote": {"a": 0.69527, "b": 0.6952, "t": 1652193694000, "x": 48},
        "min": {"c": 0.6951, "t": 1652193660000},
        "day": {"o": 0.7, "h": 0.71, "l": 0.69, "c": 0.6951, "v": 75457},
        "updated": 1652193694000,
    }
    (quote,) = parse_quotes(
        {"status": "OK", "tickers": [row]}, cluster="forex", symbols={"C:AUDUSD": "AUDUSD=X"}, now=NOW
    )
    assert (quote.price, quote.bid, quote.ask, quote.volume) == (0.695235, 0.6952, 0.69527, None)
    assert quote.time == utc(2022, 5, 10, 14, 41, 34)


@needs_calendar
def test_the_published_snapshot_of_indices_is_as_old_as_the_last_close() -> None:
    payload = {
        "status": "OK",
        "results": [
            {
                "value": 3822.39,
                "name": "S&P 500",
                "ticker": "I:SPX",
                "type": "indices",
                "market_status": "closed",
                "session": {
                    "change": -50.01,
                    "change_percent": -1.45,
                    "close": 3822.39,
                    "high": 3834.41,
                    "low": 3827.11,
                    "open": 3827.38,
                    "previous_close": 3812.19,
                },
            },
            {"ticker": "APx", "error": "NOT_FOUND", "message": "Ticker not found."},
            {"ticker": "APy", "error": "NOT_ENTITLED", "message": "Not entitled to this ticker."},
        ],
    }
    symbols = {"I:SPX": "^GSPC", "APx": "^NDX", "APy": "^RUT"}
    thanksgiving = utc(2026, 11, 26, 18)
    (quote,) = parse_index_quotes(payload, symbols=symbols, now=thanksgiving)
    assert (quote.symbol, quote.price, quote.time) == ("^GSPC", 3822.39, utc(2026, 11, 25, 21))
    (quote,) = parse_index_quotes(payload | {"status": "DELAYED"}, symbols=symbols, now=NOW)
    assert (quote.time, quote.provenance) == (NOW - timedelta(minutes=15), provenance(is_delayed=True))


async def test_a_delayed_plan_says_so_in_every_quote(fake: FakePolygon, source: Polygon) -> None:
    fake.is_delayed = True
    found = await source.quotes(fake.symbols)
    assert len(found) == len(fake.symbols)
    for quote in found.values():
        assert quote.provenance == provenance(is_delayed=True)
        assert quote.time == NOW - timedelta(minutes=15)


@needs_calendar
@pytest.mark.parametrize("hour", [8, 15])
async def test_before_its_first_trade_a_share_has_the_close_of_the_session_before(
    fake: FakePolygon, source: Polygon, hour: int
) -> None:
    fake.is_before_open = True
    fake.now = utc(2026, 11, 27, hour, 40)  # the Friday after Thanksgiving
    found = await source.quotes(["AAPL"])
    assert found["AAPL"] == Quote(
        symbol="AAPL",
        price=raw_price("AAPL", utc(2026, 11, 27, 4, 59)),
        time=utc(2026, 11, 25, 21),
        provenance=provenance(at=fake.now),
        currency="USD",
    )


async def test_a_plan_without_trades_has_the_price_of_the_minute(fake: FakePolygon, source: Polygon) -> None:
    fake.has_trades = False
    fake.prices = {"AAPL": 121.5, "EURUSD=X": 1.08}
    found = await source.quotes(["AAPL", "EURUSD=X"])
    for symbol, price in fake.prices.items():
        quote = found[symbol]
        assert (quote.price, quote.time, quote.bid, quote.last_size) == (price, NOW, None, None)


async def test_a_kind_that_the_plan_leaves_out_does_not_hide_the_others(fake: FakePolygon, source: Polygon) -> None:
    fake.not_entitled = {"crypto", "indices"}
    assert set(await source.quotes(fake.symbols)) == {"AAPL", "BRK.B", "KIM-PL", "EURUSD=X"}
    with pytest.raises(SourceRefused, match="plan"):
        await source.quotes(["BTC-USD", "^GSPC"])


async def test_many_symbols_are_asked_for_250_at_a_time(fake: FakePolygon, source: Polygon) -> None:
    letters = "ABCDEFGHIJKLMNOPQ"
    await source.quotes([f"Q{first}{second}" for first in letters for second in letters])
    assert sorted(len(request.query["tickers"].split(",")) for request in fake.requests) == [39, 250]


# History


MINUTES = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("interval", "timespan", "edges"),
    [
        (Interval.M1, "1/minute", (1795188000000, 1795188600000)),
        (Interval.M5, "5/minute", (1795188000000, 1795188600000)),
        (Interval.M15, "15/minute", (1795187700000, 1795188600000)),
        (Interval.M30, "30/minute", (1795186800000, 1795188600000)),
        (Interval.H1, "1/hour", (1795183200000, 1795186800000)),
    ],
)
async def test_bars_of_a_window_are_asked_for_to_the_millisecond(
    fake: FakePolygon, source: Polygon, interval: Interval, timespan: str, edges: tuple[int, int]
) -> None:
    fake.prices = {"AAPL": 121.5}
    first, last = (utc(1970, 1, 1) + timedelta(milliseconds=edge) for edge in edges)
    frame = await source.history("AAPL", interval, Window(first - timedelta(seconds=1), NOW + timedelta(days=1)))
    assert asked(fake) == [
        f"/v2/aggs/ticker/AAPL/range/{timespan}/{edges[0]}/{edges[1]}?adjusted=false&sort=asc&limit=50000"
    ]
    times = list(fake.openings("AAPL", interval, first, last))
    assert frame.schema == pl.Schema(BAR_SCHEMA)
    assert frame["time"].to_list() == times
    assert times[-1] == last
    expected = [raw_bar("AAPL", at, at + interval.span, 121.5 if at == last else None) for at in times]
    for column, key in zip(("open", "high", "low", "close", "volume", "vwap", "trades"), "ohlcv", strict=False):
        assert frame[column].to_list() == [bar[key] for bar in expected]
    assert frame["vwap"].to_list() == [bar["vw"] for bar in expected]
    assert frame["trades"].to_list() == [bar["n"] for bar in expected]
    assert frame["is_final"].to_list() == [True] * (len(times) - 1) + [False]
    assert set(frame["split_factor"]) == {1.0}
    assert set(frame["dividend"]) == {0.0}


async def test_a_minute_without_trades_has_no_bar(source: Polygon) -> None:
    start = utc(2026, 11, 20, 14)
    frame = await source.history("AAPL", Interval.M1, Window(start, start + 22 * MINUTES))
    still = {start + n * MINUTES for n in range(22)} - set(frame["time"])
    assert len(still) == 2
    assert frame.null_count().sum_horizontal().sum() == 0


@pytest.mark.parametrize(
    ("symbol", "volume"),
    [("AAPL", True), ("BTC-USD", True), ("EURUSD=X", False), ("^GSPC", False)],
)
async def test_only_what_is_traded_has_a_volume(source: Polygon, symbol: str, volume: bool) -> None:
    frame = await source.history(symbol, Interval.H1, Window(NOW - timedelta(hours=5), NOW))
    assert len(frame) == 5
    for column in ("volume", "vwap", "trades"):
        assert frame[column].null_count() == (0 if volume else 5)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (utc(2026, 11, 20, 12), utc(2026, 11, 20, 14), [12, 13]),
        (utc(2026, 11, 20, 12, 0, 0, 1), utc(2026, 11, 20, 14), [13]),
        (utc(2026, 11, 20, 11, 59, 59), utc(2026, 11, 20, 14, 0, 0, 1), [12, 13, 14]),
        (utc(2026, 11, 20, 12, 1), utc(2026, 11, 20, 13), []),
        (utc(2026, 11, 20, 15), utc(2026, 12, 20), [15]),
        (utc(2026, 11, 20, 15, 30, 21), utc(2026, 12, 20), []),
        (utc(2026, 11, 20, 14), utc(2026, 11, 20, 12), []),
    ],
)
async def test_only_bars_that_open_within_the_window_come(
    fake: FakePolygon, source: Polygon, start: datetime, end: datetime, expected: list[int]
) -> None:
    fake.widens_windows = True
    frame = await source.history("BTC-USD", Interval.H1, Window(start, end))
    assert [time.hour for time in frame["time"]] == expected
    assert frame.schema == pl.Schema(BAR_SCHEMA)


async def test_the_inclusive_end_of_days_is_cut_off(fake: FakePolygon, source: Polygon) -> None:
    frame = await source.history("^GSPC", Interval.D1, Window(utc(2026, 11, 2), utc(2026, 11, 5)))
    assert asked(fake)[0] == (
        "/v2/aggs/ticker/I:SPX/range/1/day/2026-11-02/2026-11-04?adjusted=false&sort=asc&limit=50000"
    )
    assert frame["time"].to_list() == [utc(2026, 11, 2), utc(2026, 11, 3), utc(2026, 11, 4)]


@pytest.mark.parametrize(
    ("symbol", "of_new_york", "openings"),
    [
        ("AAPL", False, [(3, 6, 5), (3, 7, 5), (3, 8, 5), (3, 9, 4), (3, 10, 4)]),
        ("^GSPC", False, [(3, 6, 6), (3, 7, 6), (3, 8, 6), (3, 9, 5), (3, 10, 5)]),
        ("BTC-USD", False, [(3, 6, 0), (3, 7, 0), (3, 8, 0), (3, 9, 0), (3, 10, 0)]),
        ("EURUSD=X", True, [(3, 6, 5), (3, 7, 5), (3, 8, 5), (3, 9, 4), (3, 10, 4)]),
    ],
)
async def test_a_day_is_named_by_its_trading_date_across_a_change_of_the_clock(
    fake: FakePolygon, source: Polygon, symbol: str, of_new_york: bool, openings: list[tuple[int, int, int]]
) -> None:
    fake.days_of_new_york = of_new_york
    frame = await source.history(symbol, Interval.D1, Window(utc(2026, 3, 6), utc(2026, 3, 11)))
    assert frame["time"].to_list() == [utc(2026, month, day) for month, day, _ in openings]
    assert frame["open"].to_list() == [raw_price(symbol, utc(2026, *opening)) for opening in openings]
    assert frame["is_final"].all()


def test_the_published_bars_keep_their_trading_dates() -> None:
    payload = orjson.loads(
        '{"ticker":"AAPL","queryCount":2,"resultsCount":2,"adjusted":true,"results":[{"v":6.42646396e+08,"vw":1.469,'
        '"o":1.5032,"c":1.4604,"h":1.5064,"l":1.4489,"t":1112331600000,"n":82132},{"v":578172308.0,"vw":1.4589,'
        '"o":1.4639,"c":1.4675,"h":1.4754,"l":1.4343,"t":1112587200000,"n":65543}],"status":"OK","count":2}'
    )
    assert parse_bars(payload, interval=Interval.D1, now=NOW, is_traded=True) == [
        (milliseconds(utc(2005, 4, 1)), 1.5032, 1.5064, 1.4489, 1.4604, 642646396.0, 1.469, 82132, True),
        (milliseconds(utc(2005, 4, 4)), 1.4639, 1.4754, 1.4343, 1.4675, 578172308.0, 1.4589, 65543, True),
    ]


@pytest.mark.parametrize(
    ("symbol", "now", "is_delayed", "final_until"),
    [
        ("AAPL", utc(2026, 11, 21, 4, 59, 59), False, 19),
        ("AAPL", utc(2026, 11, 21, 5), False, 20),
        ("AAPL", utc(2026, 11, 21, 5, 14, 59), True, 19),
        ("AAPL", utc(2026, 11, 21, 5, 15), True, 20),
        ("BTC-USD", utc(2026, 11, 20, 23, 59, 59), False, 19),
        ("BTC-USD", utc(2026, 11, 21), False, 20),
    ],
)
async def test_a_day_is_final_once_it_has_ended_there_and_the_delay_has_passed(
    fake: FakePolygon, source: Polygon, symbol: str, now: datetime, is_delayed: bool, final_until: int
) -> None:
    fake.now, fake.is_delayed = now, is_delayed
    frame = await source.history(symbol, Interval.D1, Window(utc(2026, 11, 18), utc(2026, 11, 21)))
    assert dict(zip(frame["time"].dt.day(), frame["is_final"], strict=True)) == {
        day: day <= final_until for day in (18, 19, 20)
    }


async def test_the_minutes_of_a_delayed_plan_are_final_a_quarter_of_an_hour_later(
    fake: FakePolygon, source: Polygon
) -> None:
    fake.is_delayed = True
    frame = await source.history("BTC-USD", Interval.M1, Window(NOW - timedelta(minutes=20), NOW))
    assert frame["time"][-1] == utc(2026, 11, 20, 15, 15)
    assert frame.filter(~pl.col("is_final"))["time"].to_list() == [utc(2026, 11, 20, 15, 15)]


@pytest.mark.parametrize("host", [None, "https://api.massive.com", "https://api.polygon.io"])
async def test_pages_are_followed_at_the_configured_host_whichever_they_name(
    fake: FakePolygon, source: Polygon, host: str | None
) -> None:
    fake.page_rows, fake.next_host = 60, host
    start = utc(2026, 11, 20, 9)
    frame = await source.history("AAPL", Interval.M5, Window(start, start + timedelta(hours=2)))
    assert frame["time"].to_list() == [start + n * timedelta(minutes=5) for n in range(24)]
    assert len(fake.requests) == 2
    assert [sorted(request.query) for request in fake.requests] == [["adjusted", "limit", "sort"], ["cursor"]]
    assert {request.headers["Authorization"] for request in fake.requests} == {f"Bearer {KEY}"}
    assert {request.headers["Host"] for request in fake.requests} == {fake.url.removeprefix("http://")}
    assert fake.budget.spent == 2


async def test_a_long_window_of_minutes_is_complete(fake: FakePolygon, source: Polygon) -> None:
    start = utc(2026, 10, 1)
    frame = await source.history("BTC-USD", Interval.M1, Window(start, start + timedelta(days=35)))
    assert len(fake.requests) == 2
    assert frame["time"].to_list() == [start + n * MINUTES for n in range(35 * 1440)]


async def test_pages_that_go_round_in_circles_are_left(fake: FakePolygon, source: Polygon) -> None:
    fake.page_rows, fake.pages_in_circles = 60, True
    with pytest.raises(SourceBadAnswer, match="circle"):
        await source.history("AAPL", Interval.M5, Window(utc(2026, 11, 19), utc(2026, 11, 20)))
    assert len(fake.requests) < 5


async def test_bars_are_dropped_where_they_hold_nulls(fake: FakePolygon, source: Polygon) -> None:
    fake.null_bars = {utc(2026, 11, 20, 12)}
    frame = await source.history("AAPL", Interval.H1, Window(utc(2026, 11, 20, 11), utc(2026, 11, 20, 14)))
    assert [time.hour for time in frame["time"]] == [11, 13]


def test_a_bar_off_the_grid_is_no_good_answer() -> None:
    row = {"t": 1582117980000, "o": 1.0, "h": 1.0, "l": 1.0, "c": 1.0}
    with pytest.raises(ValueError, match="off the grid"):
        parse_bars({"status": "OK", "results": [row]}, interval=Interval.M5, now=NOW, is_traded=True)


async def test_splits_and_dividends_stand_on_the_first_day_that_trades_so(fake: FakePolygon, source: Polygon) -> None:
    window = Window(utc(2020, 8, 3), utc(2020, 11, 10))
    frame = await source.history("AAPL", Interval.D1, window)
    assert asked(fake) == [
        "/v2/aggs/ticker/AAPL/range/1/day/2020-07-27/2020-11-09?adjusted=false&sort=asc&limit=50000",
        "/v3/reference/splits?ticker=AAPL&execution_date.gte=2020-07-27&execution_date.lte=2020-11-09"
        "&sort=execution_date&order=asc&limit=1000",
        "/v3/reference/dividends?ticker=AAPL&ex_dividend_date.gte=2020-07-27&ex_dividend_date.lte=2020-11-09"
        "&sort=ex_dividend_date&order=asc&limit=1000",
    ]
    assert frame["time"][0] == window.start
    assert frame.filter(pl.col("split_factor") != 1).select("time", "split_factor").rows() == [(utc(2020, 8, 31), 4.0)]
    assert frame.filter(pl.col("dividend") != 0).select("time", "dividend").rows() == [
        (utc(2020, 8, 7), 0.82),
        (utc(2020, 11, 6), 0.205),
    ]
    before, after = (raw_bar("AAPL", at, at + timedelta(days=1)) for at in (utc(2020, 8, 30, 4), utc(2020, 8, 31, 4)))
    rows = frame.filter(pl.col("time").is_between(utc(2020, 8, 30), utc(2020, 8, 31)))
    assert rows["close"].to_list() == [before["c"], after["c"]]
    assert rows["volume"].to_list() == [before["v"], after["v"]]
    assert 3.8 < before["c"] / after["c"] < 4.2


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (utc(2020, 8, 24), [(utc(2020, 9, 2), 4.0)]),
        (utc(2020, 9, 1), [(utc(2020, 9, 2), 4.0)]),
        (utc(2020, 9, 2), [(utc(2020, 9, 2), 4.0)]),
        (utc(2020, 9, 3), []),
    ],
)
async def test_a_split_of_a_day_without_trading_shows_once_on_the_next_bar(
    fake: FakePolygon, source: Polygon, start: datetime, expected: list[tuple[datetime, float]]
) -> None:
    fake.closed = {date(2020, 8, 31), date(2020, 9, 1)}
    frame = await source.history("AAPL", Interval.D1, Window(start, utc(2020, 9, 10)))
    assert frame.filter(pl.col("split_factor") != 1).select("time", "split_factor").rows() == expected


async def test_a_split_that_is_only_announced_does_not_show(fake: FakePolygon, source: Polygon) -> None:
    fake.tells_later_actions = True  # they have one of 2030
    frame = await source.history("AAPL", Interval.D1, Window(utc(2026, 11, 9), utc(2026, 11, 20)))
    assert set(frame["split_factor"]) == {1.0}


async def test_actions_are_paged_too(fake: FakePolygon, source: Polygon) -> None:
    fake.closed = {date(2020, 8, day) for day in range(1, 32)}  # fewer bars, so that the page holds the others
    fake.page_rows = 80
    window = Window(utc(2020, 9, 1), utc(2020, 9, 3))
    await source.history("AAPL", Interval.D1, window)
    fake.page_rows = 1
    fake.requests.clear()
    frame = await source.history("AAPL", Interval.D1, Window(utc(2020, 7, 30), utc(2020, 11, 10)))
    assert frame["dividend"].sum() == pytest.approx(1.025, abs=1e-12)
    assert sum("/dividends" in url for url in asked(fake)) == 2


async def test_dividends_in_another_currency_are_left_out(
    fake: FakePolygon, source: Polygon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(
        __import__("tests.fakes.polygon", fromlist=["DIVIDENDS"]).DIVIDENDS,
        "BRK.B",
        ((date(2026, 11, 18), 0.5, "CAD"), (date(2026, 11, 19), 0.25, "USD")),
    )
    frame = await source.history("BRK.B", Interval.D1, Window(utc(2026, 11, 17), utc(2026, 11, 20)))
    assert frame["dividend"].to_list() == [0.0, 0.0, 0.25]
    assert "CAD" in caplog.text


async def test_a_window_without_bars_is_empty_and_a_ticker_without_any_is_unknown(
    fake: FakePolygon, source: Polygon
) -> None:
    fake.closed = {date(2026, 11, day) for day in range(1, 15)}
    frame = await source.history("AAPL", Interval.H1, Window(utc(2026, 11, 7), utc(2026, 11, 9)))
    assert frame.is_empty()
    assert frame.schema == pl.Schema(BAR_SCHEMA)
    for fake.unknown_is_404 in (False, True):
        fake.requests.clear()
        with pytest.raises(SymbolNotFound) as caught:
            await source.history(fake.unknown, Interval.H1, Window(utc(2026, 11, 7), utc(2026, 11, 9)))
        assert caught.value.details == {"symbol": "ZZZZ"}
        assert asked(fake)[1:] == [
            "/v3/reference/tickers?ticker=ZZZZ&active=true",
            "/v3/reference/tickers?ticker=ZZZZ&active=false",
        ]


async def test_a_window_older_than_the_plan_is_refused_or_clipped(fake: FakePolygon, source: Polygon) -> None:
    fake.history_from = utc(2024, 11, 20)
    window = Window(utc(2024, 11, 10), utc(2024, 11, 25))
    with pytest.raises(SourceCannot, match="plan"):
        await source.history("^GSPC", Interval.D1, window)
    fake.clips_history = True
    frame = await source.history("^GSPC", Interval.H1, window)
    assert frame["time"][0] == utc(2024, 11, 20)


# Failures


async def test_a_wrong_key_says_where_to_mend_it(fake: FakePolygon, source: Polygon) -> None:
    fake.key = "another"
    with pytest.raises(SourceRefused, match="POLYGON_API_KEY"):
        await source.quotes(["AAPL"])


async def test_a_kind_of_asset_outside_the_plan_is_refused(fake: FakePolygon, source: Polygon) -> None:
    fake.not_entitled = {"crypto"}
    window = Window(utc(2026, 11, 9), utc(2026, 11, 12))
    with pytest.raises(SourceRefused, match="plan"):
        await source.history("BTC-USD", Interval.D1, window)
    assert len(await source.history("AAPL", Interval.D1, window)) == 3


@pytest.mark.parametrize(
    ("failure", "expected"), [(Failure.LIMITED, 39.75), (Failure.LIMITED_RETRY_AFTER, 7.0), (None, 39.75)]
)
async def test_a_limit_is_over_with_the_minute_unless_it_says_otherwise(
    fake: FakePolygon, source: Polygon, failure: Failure | None, expected: float
) -> None:
    fake.now = NOW + timedelta(seconds=0.25)
    fake.failure = failure
    fake.limited_is_empty = failure is None
    with pytest.raises(SourceLimited) as caught:
        await source.quotes(["AAPL"])
    assert caught.value.retry_after_s == pytest.approx(expected, abs=1e-3)


async def test_a_path_that_is_gone_is_not_a_ticker_that_is_unknown(fake: FakePolygon) -> None:
    source = Polygon(f"{fake.url}/elsewhere", fake.ws_url, KEY, fake.budget, clock=lambda: NOW)
    with pytest.raises(SourceCannot):
        await source.quotes(["AAPL"])
    await source.aclose()


# Assets


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("AAPL", ("Apple Inc.", AssetType.STOCK, "XNAS", "USD", "America/New_York", True, True, None)),
        ("KIM-PL", ("Kimco Realty Preferred L", AssetType.STOCK, "XNYS", "USD", "America/New_York", True, True, None)),
        ("SPY", ("SPDR S&P 500 ETF Trust", AssetType.ETF, "ARCX", "USD", "America/New_York", True, True, None)),
        (
            "SIVB",
            (
                "SVB Financial Group",
                AssetType.STOCK,
                "XNAS",
                "USD",
                "America/New_York",
                False,
                False,
                date(2023, 3, 29),
            ),
        ),
        ("USDCNH=X", ("United States dollar - Chinese yuan", AssetType.FOREX, "FOREX", "CNH", "UTC", True, True, None)),
        ("BTC-USD", ("Bitcoin - United States dollar", AssetType.CRYPTO, "CRYPTO", "USD", "UTC", True, True, None)),
        ("^GSPC", ("S&P 500", AssetType.INDEX, None, "USD", "America/New_York", True, False, None)),
    ],
)
async def test_an_asset_tells_what_the_reference_data_say(
    source: Polygon, symbol: str, expected: tuple[object, ...]
) -> None:
    asset = await source.asset(symbol)
    assert asset is not None
    assert asset.symbol == symbol
    assert expected == (
        asset.name,
        asset.type,
        asset.market_code,
        asset.currency,
        asset.timezone,
        asset.is_active,
        asset.is_tradable,
        asset.delisting_date,
    )


async def test_an_asset_that_it_does_not_have_is_none_and_it_lists_none(fake: FakePolygon, source: Polygon) -> None:
    assert await source.asset(fake.unknown) is None
    assert await source.assets() == ()


async def test_search_puts_the_likeliest_first_and_leaves_out_what_we_cannot_spell(
    fake: FakePolygon, source: Polygon
) -> None:
    assert [asset.symbol for asset in await source.search("s", 3)] == ["SPY", "BRK.B", "EURUSD=X"]
    assert asked(fake) == ["/v3/reference/tickers?search=s&active=true&limit=250"]
    assert [asset.symbol for asset in await source.search("btc", 9)] == ["BTC-USD"]
    assert await source.search("GEw", 9) == []
    assert await source.search("NOTOURS", 9) == []


# Stream


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for is on the other side of a socket
            await asyncio.sleep(0.005)


class Listener:
    """Reads a stream in the background."""

    def __init__(self, source: Polygon, demand: Demand) -> None:
        self.quotes: list[Quote] = []
        self.task = asyncio.create_task(self._listen(source, demand))

    async def _listen(self, source: Polygon, demand: Demand) -> None:
        async with aclosing(source.stream(demand)) as batches:
            async for batch in batches:
                self.quotes += batch

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; the stream's own end comes first."""
        await until(lambda: self.task.done() or condition())
        if self.task.done():
            self.task.result()

    async def end(self) -> None:
        """Wait for the stream's error."""
        async with asyncio.timeout(5):
            await self.task


@asynccontextmanager
async def listening(source: Polygon, *symbols: str) -> AsyncIterator[tuple[Listener, Demand]]:
    demand = Demand(symbols)
    listener = Listener(source, demand)
    try:
        yield listener, demand
    finally:
        listener.task.cancel()
        await asyncio.gather(listener.task, return_exceptions=True)


def said(fake: FakePolygon, cluster: str) -> list[tuple[str, str]]:
    return [(words["action"], words["params"]) for _, name, words in fake.said if name == cluster]


async def test_each_cluster_in_demand_has_one_connection_and_the_others_none(
    fake: FakePolygon, source: Polygon
) -> None:
    async with listening(source, "AAPL", "KIM-PL", "0700.HK") as (listener, demand):
        await listener.until(lambda: fake.channels("stocks") == {"Q.AAPL", "Q.KIMpL", "T.AAPL", "T.KIMpL"})
        assert fake.connected == ["stocks"]
        demand.set(["AAPL", "MSFT", "BTC-USD", "EURUSD=X", "^GSPC"])
        await listener.until(lambda: fake.channels("stocks") == {"Q.AAPL", "Q.MSFT", "T.AAPL", "T.MSFT"})
        await listener.until(lambda: fake.channels("crypto") == {"XT.BTC-USD"})
        await listener.until(lambda: fake.channels("forex") == {"C.EUR/USD"})
        await listener.until(lambda: fake.channels("indices") == {"V.I:SPX"})
        demand.set([])
        await listener.until(lambda: not any(map(fake.channels, ("stocks", "crypto", "forex", "indices"))))
        demand.set(["BTC-USD"])
        await listener.until(lambda: fake.channels("crypto") == {"XT.BTC-USD"})
    assert sorted(fake.connected) == ["crypto", "forex", "indices", "stocks"]
    assert said(fake, "stocks") == [
        ("auth", KEY),
        ("subscribe", "Q.AAPL,Q.KIMpL,T.AAPL,T.KIMpL"),
        ("unsubscribe", "Q.KIMpL,T.KIMpL"),
        ("subscribe", "Q.MSFT,T.MSFT"),
        ("unsubscribe", "Q.AAPL,Q.MSFT,T.AAPL,T.MSFT"),
    ]
    assert all("apiKey" not in str(request.rel_url) for request in fake.requests)


async def test_no_connection_is_made_for_what_it_does_not_cover(fake: FakePolygon, source: Polygon) -> None:
    async with listening(source, "0700.HK") as (listener, demand):
        demand.set(["0700.HK", "BTC-USDT"])
        demand.set(["BTC-USD"])
        await listener.until(lambda: fake.channels("crypto"))
    assert fake.connected == ["crypto"]


@pytest.mark.parametrize("symbol", FakePolygon.symbols)
async def test_a_tick_of_each_kind_arrives(fake: FakePolygon, source: Polygon, symbol: str) -> None:
    time = NOW.replace(microsecond=123_000)
    async with listening(source, *fake.symbols) as (listener, _):
        cluster = LISTED[symbol].cluster
        await listener.until(lambda: len(fake.channels(cluster)) == (6 if cluster == "stocks" else 1))
        await fake.push(symbol, 100.25, time)
        await listener.until(lambda: listener.quotes)
    (quote,) = listener.quotes
    assert (quote.symbol, quote.price, quote.time) == (symbol, 100.25, time)
    assert (quote.currency, quote.provenance) == (venue(symbol).currency, provenance())


PUBLISHED: list[tuple[str, str, dict[str, Any]]] = [
    (
        "MSFT",
        '{"ev":"T","sym":"MSFT","x":4,"i":"12345","z":3,"p":114.125,"s":100,"c":[0,12],"t":1536036818784,"q":3681328}',
        {"price": 114.125, "time": utc(2018, 9, 4, 4, 53, 38, 784000), "last_size": 100.0},
    ),
    (
        "MSFT",
        '{"ev":"AM","sym":"MSFT","v":4110,"av":9470157,"op":0.4372,"vw":0.4488,"o":0.4488,"c":0.4486,"h":0.4489,'
        '"l":0.4486,"a":0.4352,"z":685,"s":1610144640000,"e":1610144700000}',
        {"price": 0.4486, "time": utc(2021, 1, 8, 22, 24, 59, 999000), "open": 0.4372, "volume": 9470157.0},
    ),
    (
        "BTC-USD",
        '{"ev":"XT","pair":"BTC-USD","p":33021.9,"t":1610462007425,"s":0.01616617,"c":[2],"i":14272084,"x":3,'
        '"r":1610462007576}',
        {"price": 33021.9, "time": utc(2021, 1, 12, 14, 33, 27, 425000), "last_size": 0.01616617},
    ),
    (
        "BTC-USD",
        '{"ev":"XA","pair":"BTC-USD","v":951.6112,"vw":0.7756,"z":73,"o":0.772,"c":0.784,"h":0.784,"l":0.771,'
        '"s":1610463240000,"e":1610463300000}',
        {"price": 0.784, "time": utc(2021, 1, 12, 14, 54, 59, 999000)},
    ),
    (
        "USDCNH=X",
        '{"ev":"C","p":"USD/CNH","x":"44","a":6.83366,"b":6.83363,"t":1536036818784}',
        {"price": 6.833645, "time": utc(2018, 9, 4, 4, 53, 38, 784000), "bid": 6.83363, "ask": 6.83366},
    ),
    (
        "USDEUR=X",
        '{"ev":"CA","pair":"USD/EUR","o":0.8687,"c":0.86889,"h":0.86889,"l":0.8686,"v":20,"s":1539145740000}',
        {"price": 0.86889, "time": utc(2018, 10, 10, 4, 29, 59, 999000)},
    ),
    (
        "USDEUR=X",
        '{"ev":"CAS","pair":"USD-EUR","o":0.8687,"c":0.86889,"h":0.86889,"l":0.8686,"v":20,"s":1539145740000}',
        {"price": 0.86889, "time": utc(2018, 10, 10, 4, 29, 0, 999000)},
    ),
    (
        "^GSPC",
        '{"ev":"AM","sym":"I:SPX","op":3985.67,"o":3985.67,"c":3985.67,"h":3985.67,"l":3985.67,"s":1678220675805,'
        '"e":1678220675805}',
        {"price": 3985.67, "time": utc(2023, 3, 7, 20, 24, 35, 805000), "open": 3985.67},
    ),
    (
        "^GSPC",
        '{"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130}',
        {"price": 3988.5, "time": utc(2023, 3, 7, 20, 14, 58, 130000)},
    ),
]


def dialect(symbol: str, ws_url: str = "wss://socket.massive.com") -> Cluster:
    native = native_symbol(symbol)
    assert native is not None
    cluster = Cluster(native.cluster, ws_url, KEY, lambda: NOW)
    cluster.want({native.topic: symbol})
    return cluster


@pytest.mark.parametrize(("symbol", "event", "expected"), PUBLISHED)
def test_published_events_are_read_exactly(symbol: str, event: str, expected: dict[str, Any]) -> None:
    assert dialect(symbol).parse(f"[{event}]") == [
        Quote(symbol=symbol, provenance=provenance(), currency=venue(symbol).currency, **expected)
    ]


def test_a_new_bid_and_ask_stand_beside_the_last_price() -> None:
    book = (
        '{"ev":"Q","sym":"MSFT","bx":4,"bp":114.125,"bs":100,"ax":7,"ap":114.128,"as":0,"c":0,"i":[604],'
        '"t":1536036818790,"q":50385480,"z":3}'
    )
    cluster = dialect("MSFT")
    assert cluster.parse(f"[{book}]") == []  # no price is known yet
    trade, quote = cluster.parse(f"[{PUBLISHED[0][1]},{book}]")
    assert quote == Quote(
        symbol="MSFT",
        price=114.125,
        time=trade.time,
        provenance=provenance(),
        bid=114.125,
        ask=114.128,
        bid_size=100.0,
        currency="USD",
    )


@pytest.mark.parametrize(
    ("symbol", "ws_url", "url", "is_delayed"),
    [
        ("AAPL", "wss://delayed.massive.com", "wss://delayed.massive.com/stocks", True),
        ("^GSPC", "wss://delayed.massive.com/", "wss://delayed.massive.com/indices", True),
        ("BTC-USD", "wss://delayed.massive.com", "wss://socket.massive.com/crypto", False),
        ("EURUSD=X", "wss://delayed.polygon.io", "wss://socket.polygon.io/forex", False),
        ("AAPL", "wss://socket.massive.com", "wss://socket.massive.com/stocks", False),
    ],
)
def test_a_delayed_feed_says_so_and_only_shares_and_indices_have_one(
    symbol: str, ws_url: str, url: str, is_delayed: bool
) -> None:
    cluster = dialect(symbol, ws_url)
    events: dict[str, dict[str, Any]] = {
        "AAPL": {"ev": "T", "sym": "AAPL", "p": 1.5, "t": 1},
        "^GSPC": {"ev": "V", "T": "I:SPX", "val": 1.5, "t": 1},
        "BTC-USD": {"ev": "XT", "pair": "BTC-USD", "p": 1.5, "t": 1},
        "EURUSD=X": {"ev": "C", "p": "EUR/USD", "a": 1.5, "b": 1.5, "t": 1},
    }
    (quote,) = cluster.parse(orjson.dumps([events[symbol]]).decode())
    assert cluster.url == url
    assert quote.provenance == provenance(is_delayed=is_delayed)


@pytest.mark.parametrize(
    ("refused", "channels", "left_out"),
    [
        ({"Q"}, {"T.AAPL", "T.MSFT"}, set()),
        ({"T"}, {"A.AAPL", "A.MSFT", "Q.AAPL", "Q.MSFT"}, set()),
        ({"T", "Q"}, {"A.AAPL", "A.MSFT"}, set()),
        ({"T", "Q", "A"}, {"AM.AAPL", "AM.MSFT"}, set()),
        ({"T.MSFT", "Q.MSFT", "A.MSFT", "AM.MSFT"}, {"T.AAPL", "Q.AAPL"}, {"MSFT"}),
    ],
)
async def test_a_channel_outside_the_plan_is_replaced_by_the_next_best(
    fake: FakePolygon,
    source: Polygon,
    caplog: pytest.LogCaptureFixture,
    refused: set[str],
    channels: set[str],
    left_out: set[str],
) -> None:
    fake.refused_channels = refused
    async with listening(source, "AAPL", "MSFT") as (listener, demand):
        await listener.until(lambda: fake.channels("stocks") == channels)
        await listener.until(lambda: set(symbols_logged(caplog)) == left_out)
        await fake.push("AAPL", 99.5, NOW)
        await fake.push("MSFT", 411.5, NOW)
        await listener.until(lambda: {quote.symbol for quote in listener.quotes} == {"AAPL", "MSFT"} - left_out)
        demand.set(["AAPL", "MSFT", "SPY"])
        await listener.until(lambda: any(channel.endswith(".SPY") for channel in fake.channels("stocks")))
        demand.set(["AAPL", "MSFT"])
        await listener.until(lambda: fake.channels("stocks") == channels)
    assert {quote.price for quote in listener.quotes if quote.symbol == "AAPL"} == {99.5}
    assert sorted(symbols_logged(caplog)) == sorted(left_out)
    assert said(fake, "stocks")[1] == ("subscribe", "Q.AAPL,Q.MSFT,T.AAPL,T.MSFT")
    given_up = [params for action, params in said(fake, "stocks") if action == "unsubscribe"]
    assert [channel for params in given_up for channel in params.split(",") if not channel.endswith(".SPY")] == []


def symbols_logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The symbols that were said to be left out."""
    said = [record.getMessage() for record in caplog.records]
    return [text.split()[6].rstrip(",") for text in said if "is left out" in text]


async def test_symbols_over_the_cap_are_left_out_and_the_others_stay(
    fake: FakePolygon, source: Polygon, caplog: pytest.LogCaptureFixture
) -> None:
    fake.subscription_cap = 1
    async with listening(source, "BTC-USD", "ETH-USD") as (listener, _):
        await listener.until(lambda: symbols_logged(caplog))
        await fake.push("BTC-USD", 33000.5, NOW)
        await listener.until(lambda: listener.quotes)
    assert symbols_logged(caplog) == ["ETH-USD"]
    assert fake.channels("crypto") == set()


async def test_many_channels_go_out_in_paced_frames(fake: FakePolygon, source: Polygon) -> None:
    letters = "ABCDEFGHIJK"
    symbols = [f"Q{first}{second}" for first in letters for second in letters]
    async with listening(source, *symbols) as (listener, _):
        await listener.until(lambda: len(fake.channels("stocks")) == 242)
    frames = [(at, words["params"].split(",")) for at, _, words in fake.said if words["action"] == "subscribe"]
    assert [len(channels) for _, channels in frames] == [100, 100, 42]
    assert all(later - earlier > 0.09 for (earlier, _), (later, _) in pairwise(frames))


async def test_a_wrong_key_is_refused_and_never_shown(
    fake: FakePolygon, source: Polygon, caplog: pytest.LogCaptureFixture
) -> None:
    fake.key = "another"
    with caplog.at_level(logging.DEBUG):
        async with listening(source, "AAPL") as (listener, _):
            with pytest.raises(SourceRefused, match="POLYGON_API_KEY") as caught:
                await listener.end()
    assert KEY not in f"{caught.value!r} {caplog.text}"
    assert said(fake, "stocks") == [("auth", KEY)]


async def test_one_connection_too_many_is_a_limit_for_long(fake: FakePolygon, source: Polygon) -> None:
    fake.is_crowded = True
    async with listening(source, "AAPL") as (listener, _):
        with pytest.raises(SourceLimited) as caught:
            await listener.end()
    assert caught.value.retry_after_s == 600


async def test_a_server_that_does_not_hear_the_key_times_out(fake: FakePolygon, source: Polygon) -> None:
    fake.hears_auth, fake.auth_wait_s = False, 0.3
    async with listening(source, "AAPL") as (listener, _):
        with pytest.raises(SourceTimeout):
            await listener.end()
    assert said(fake, "stocks") == [("auth", KEY)]  # nothing is subscribed to before it is let in


async def test_a_cut_of_one_connection_ends_the_stream_and_all_its_connections(
    fake: FakePolygon, source: Polygon
) -> None:
    async with listening(source, "AAPL", "BTC-USD") as (listener, _):
        await listener.until(lambda: fake.channels("stocks") and fake.channels("crypto"))
        fake.cut("stocks")
        with pytest.raises(SourceUnreachable):
            await listener.end()
    assert source._http.session.connector is not None
    assert source._http.session.connector._acquired == set()


async def test_a_stream_that_is_closed_with_a_batch_waiting_lets_go_of_all_connections(
    fake: FakePolygon, source: Polygon
) -> None:
    batches: Any = source.stream(Demand(["AAPL", "BTC-USD"]))
    reading = asyncio.ensure_future(anext(batches))
    await until(lambda: fake.channels("stocks") and fake.channels("crypto"))
    await fake.push("AAPL", 120.5, NOW)
    await reading
    await fake.push("BTC-USD", 33000.5, NOW)
    await until(lambda: any(read.done() for read in batches.ag_frame.f_locals["reading"]))
    await batches.aclose()
    assert source._http.session.connector is not None
    assert source._http.session.connector._acquired == set()


@pytest.mark.parametrize(
    "garbage",
    [
        "hello",
        "{}",
        '{"ev":"T"}',
        "7",
        "[7]",
        '[{"ev":"T"}]',
        '[{"ev":"T","sym":"AAPL","p":"cheap","t":1536036818784}]',
        '[{"ev":"T","sym":"AAPL","p":1.5,"t":null}]',
        '[{"ev":"T","sym":"NOBODY","p":1.5,"t":1536036818784}]',
        '[{"ev":"T","sym":"AAPL","p":0,"t":1536036818784}]',
        '[{"ev":"status","status":"error","message":"unexpected"}]',
        "[]",
    ],
)
async def test_garbage_is_passed_over(fake: FakePolygon, source: Polygon, garbage: str) -> None:
    async with listening(source, "AAPL") as (listener, _):
        await listener.until(lambda: fake.channels("stocks"))
        await fake.push("AAPL", 120.5, NOW)
        await listener.until(lambda: len(listener.quotes) == 1)
        await fake.send_text("stocks", garbage)
        await fake.push("AAPL", 121.5, NOW)
        await listener.until(lambda: len(listener.quotes) == 2)
    assert [quote.price for quote in listener.quotes] == [120.5, 121.5]


async def test_a_frame_that_shows_the_key_is_logged_without_it(
    fake: FakePolygon, source: Polygon, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(source, "AAPL") as (listener, _):
        await listener.until(lambda: fake.channels("stocks"))
        await fake.say(f"<pre>auth {KEY}</pre>")
        await listener.until(lambda: "makes no sense" in caplog.text)
    assert "<pre>auth ***</pre>" in caplog.text
    assert KEY not in caplog.text


def test_a_frame_of_several_events_gives_all_its_quotes() -> None:
    def events(prices: Sequence[float]) -> str:
        return orjson.dumps([{"ev": "T", "sym": "AAPL", "p": price, "s": 0, "t": 1} for price in prices]).decode()

    quotes = dialect("AAPL").parse(events([1.25, 1.5]))
    assert [(quote.price, quote.last_size) for quote in quotes] == [(1.25, None), (1.5, None)]
