import asyncio
import logging
import struct
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from errors import (
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceFault,
    SourceLimited,
    SourceRefused,
    SourceUnreachable,
    SymbolNotFound,
)
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import load_settings
from sources.source import Demand
from sources.yahoo import Yahoo
from sources.yahoo_pricing import parse_pricing
from sources.yahoo_words import covers, native_symbol, our_symbol, trimmed
from tests.fakes.fake import Failure, Unlimited
from tests.fakes.yahoo import FakeYahoo, bar_time, encode, too_many, unauthorized, varint
from tests.fakes.yahoo_market import LISTED

NOW = datetime(2026, 11, 18, 15, 47, 13, tzinfo=UTC)  # a Wednesday: New York and London trade, Asia has closed
DAY = timedelta(days=1)
RECORDED = (
    "CgdCVEMtVVNEFYoMuUcYwLCVgIplIgNVU0QqA0NDQzApOAFFPWrEP0iAgOrxvANVx/25R12csrRHZYD8skR9/7i0R7ABgIDq8bwD2AEE4AGA"
    "gOrxvAPoAYCA6vG8A/IBA0JUQ4ECAAAAwPrjckGJAgAA2P5ZT3tC"
)


@pytest.fixture
async def fake() -> AsyncIterator[FakeYahoo]:
    async with FakeYahoo() as fake:
        fake.now = NOW
        yield fake


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(start: str, end: str) -> Window:
    return Window(at(start), at(end))


def asked(fake: FakeYahoo) -> list[str]:
    return [request.path for request in fake.requests]


def charts(fake: FakeYahoo) -> list[tuple[str, datetime, datetime]]:
    """Interval and window of each chart that was asked for."""
    return [
        (
            request.query["interval"],
            datetime.fromtimestamp(int(request.query["period1"]), UTC),
            datetime.fromtimestamp(int(request.query["period2"]), UTC),
        )
        for request in fake.requests
        if request.path.startswith("/v8/")
    ]


Row = tuple[datetime, float, float, float, float, float | None]


def raw(fake: FakeYahoo, symbol: str, interval: Interval, wanted: Window) -> list[Row]:
    """The bars that the source must give, from what was traded."""
    listed = LISTED[symbol]
    is_counted = listed.has_volume and listed.kind != "CRYPTOCURRENCY"
    return [
        (
            bar_time(bar, interval),
            *(round(price / listed.parts, listed.hint + 2) for price in bar[3:7]),  # type: ignore[misc]
            bar.volume if is_counted else None,
        )
        for bar in fake.raw(symbol, interval, wanted.start, wanted.end)
    ]


def told(frame: pl.DataFrame) -> list[Row]:
    return frame.select("time", "open", "high", "low", "close", "volume").rows()


def marked(frame: pl.DataFrame, column: str, nothing: float) -> list[tuple[datetime, float]]:
    return frame.filter(pl.col(column) != nothing).select("time", column).rows()


# Words


@pytest.mark.parametrize(
    ("ours", "native"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK-B"),
        ("BF.A", "BF-A"),
        ("KIM-PL", "KIM-PL"),
        ("0700.HK", "0700.HK"),
        ("600519.SS", "600519.SS"),
        ("7203.T", "7203.T"),
        ("TSCO.L", "TSCO.L"),
        ("VOW.F", "VOW.F"),
        ("MKC-V", "MKC-V"),
        ("NOVO-B.CO", "NOVO-B.CO"),
        ("EURUSD=X", "EURUSD=X"),
        ("USDJPY=X", "USDJPY=X"),
        ("JPY=X", "JPY=X"),
        ("BTC-USD", "BTC-USD"),
        ("^GSPC", "^GSPC"),
        ("GC=F", "GC=F"),
    ],
)
def test_a_symbol_goes_to_yahoo_and_back(ours: str, native: str) -> None:
    assert covers(ours)
    assert native_symbol(ours) == native
    assert our_symbol(native) == ours


@given(st.from_regex(r"\A[A-Z0-9._=^-]{1,20}\Z"))
def test_every_covered_symbol_comes_back_as_it_was(symbol: str) -> None:
    if covers(symbol):
        assert our_symbol(native_symbol(symbol)) == symbol


@pytest.mark.parametrize("symbol", ["BRK-B", "BTC-USDT", "ETH-USDC", "A_B"])
def test_a_spelling_that_is_not_ours_or_not_yahoos_is_not_covered(source: Yahoo, symbol: str) -> None:
    assert not source.covers(symbol)


@pytest.mark.parametrize("native", ["M&M.NS", "BTC-USDT", "", "AVERYVERYLONGSYMBOL.NS"])
def test_a_symbol_of_yahoos_that_ours_cannot_spell_has_none(native: str) -> None:
    assert our_symbol(native) is None


@pytest.mark.parametrize(
    ("price", "decimals", "expected"),
    [
        (74.05999755859375, 2, 74.06),
        (94745.078125, 2, 94745.08),
        (28.9375, 2, 28.9375),
        (1.0489877462387085, 4, 1.048988),
        (750123.4375, 2, 750123.44),
        (0.05230000242590904, 4, 0.0523),
        (1563234432.0, 0, 1563234432.0),
        (-37.630001068115234, 2, -37.63),
        (0.0, 2, 0.0),
    ],
)
def test_the_tail_of_a_float32_is_cut_off(price: float, decimals: int, expected: float) -> None:
    assert float(trimmed(np.asarray(price), decimals)) == expected


def test_settings_alone_open_it() -> None:
    settings = load_settings(yahoo_url="http://127.0.0.1:1")
    assert isinstance(Yahoo.opened(settings, Unlimited()), Yahoo)


# Quotes


async def test_a_quote_has_all_that_yahoo_says(fake: FakeYahoo, source: Yahoo) -> None:
    fake.prices["AAPL"] = 244.6
    assert await source.quotes(["AAPL"]) == {
        "AAPL": Quote(
            symbol="AAPL",
            price=244.6,
            time=NOW,
            open=240.88,
            high=244.6,
            low=240.05,
            previous_close=240.96,
            volume=370800.0,
            bid=244.59,
            ask=244.61,
            currency="USD",
            provenance=Provenance(source="yahoo", served_from=ServedFrom.LIVE, received_at=NOW, delay_seconds=0.0),
        )
    }


async def test_a_price_in_pence_is_told_in_pounds(fake: FakeYahoo, source: Yahoo) -> None:
    fake.prices["TSCO.L"] = 4.4013
    assert (await source.quotes(["TSCO.L"]))["TSCO.L"] == Quote(
        symbol="TSCO.L",
        price=4.4013,
        time=NOW,
        open=4.438,
        high=4.44,
        low=4.4,
        previous_close=4.4087,
        volume=2205600.0,
        bid=4.4012,
        ask=4.4014,
        currency="GBP",
        provenance=Provenance(
            source="yahoo", served_from=ServedFrom.LIVE, received_at=NOW, delay_seconds=0.0, flags=("MINOR_UNIT",)
        ),
    )


async def test_all_kinds_are_quoted_under_our_spelling_and_the_rest_is_left_out(fake: FakeYahoo, source: Yahoo) -> None:
    fake.ghosts = {"GHOST"}
    quotes = await source.quotes([*fake.symbols, fake.unknown, "GHOST", "BRK-B", "AAPL"])
    assert {symbol: quote.price for symbol, quote in quotes.items()} == fake.prices
    assert asked(fake) == ["/", "/v1/test/getcrumb", "/v7/finance/quote"]


@pytest.mark.parametrize(
    ("symbol", "volume", "currency"),
    [("EURUSD=X", None, "USD"), ("BTC-USD", None, "USD"), ("^GSPC", None, "USD"), ("GC=F", 3057600.0, "USD"),
     ("0700.HK", 1557600.0, "HKD")],
)  # fmt: skip
async def test_a_volume_that_is_money_or_not_counted_is_unknown(
    source: Yahoo, symbol: str, volume: float | None, currency: str
) -> None:
    quote = (await source.quotes([symbol]))[symbol]
    assert (quote.volume, quote.currency) == (volume, currency)


async def test_a_quote_tells_how_late_it_is(fake: FakeYahoo, source: Yahoo) -> None:
    fake.delay_minutes = 15
    quote = (await source.quotes(["AAPL"]))["AAPL"]
    assert (quote.provenance.delay_seconds, quote.time) == (900.0, NOW - timedelta(minutes=15))


async def test_what_a_quote_does_not_say_is_unknown(fake: FakeYahoo, source: Yahoo) -> None:
    fake.row = {"bid": 0, "ask": 0.0, "regularMarketOpen": None, "regularMarketPreviousClose": 0}
    fake.without = {"regularMarketDayHigh", "regularMarketVolume", "currency", "priceHint", "exchangeDataDelayedBy"}
    quote = (await source.quotes(["AAPL"]))["AAPL"]
    said = (quote.bid, quote.ask, quote.open, quote.previous_close, quote.high, quote.volume, quote.currency)
    assert said == (None,) * 7
    assert quote.provenance.delay_seconds is None
    assert quote.price == 240.0


@pytest.mark.parametrize("missing", ["regularMarketPrice", "regularMarketTime"])
async def test_a_row_without_price_or_instant_is_no_quote(fake: FakeYahoo, source: Yahoo, missing: str) -> None:
    fake.without = {missing}
    assert await source.quotes(["AAPL"]) == {}


async def test_nothing_is_asked_for_nothing(fake: FakeYahoo, source: Yahoo) -> None:
    assert await source.quotes([]) == {}
    assert await source.quotes(["BRK-B", "BTC-USDT"]) == {}
    assert asked(fake) == []


async def test_fifty_symbols_are_asked_for_at_once(fake: FakeYahoo, source: Yahoo) -> None:
    symbols = [f"X{number}" for number in range(119)]
    assert set(await source.quotes([*symbols, "AAPL"])) == {"AAPL"}
    lists = [request.query["symbols"].split(",") for request in fake.requests[2:]]
    assert lists == [symbols[:50], symbols[50:100], [*symbols[100:], "AAPL"]]


@pytest.mark.parametrize("in_full", [False, True])
async def test_a_pair_with_the_dollar_may_be_answered_short_or_in_full(
    fake: FakeYahoo, source: Yahoo, in_full: bool
) -> None:
    fake.quotes_short_pairs_in_full = in_full
    quotes = await source.quotes(["USDJPY=X", "JPY=X"])
    assert {symbol: quote.price for symbol, quote in quotes.items()} == {"USDJPY=X": 154.0, "JPY=X": 154.0}


# Cookie and crumb

CRUMB_AND_QUOTE = ["/", "/v1/test/getcrumb", "/v7/finance/quote"]


async def test_a_crumb_is_got_once_for_many_who_ask_at_once(fake: FakeYahoo, source: Yahoo) -> None:
    await asyncio.gather(*(source.quotes(["AAPL"]) for _ in range(4)))
    await source.quotes(["AAPL"])
    assert asked(fake) == ["/", "/v1/test/getcrumb", *["/v7/finance/quote"] * 5]
    assert fake.requests[-1].query["crumb"] == "haT3/kh.qZ+"
    assert fake.budget.spent == 7


async def test_it_looks_like_a_browser(fake: FakeYahoo, source: Yahoo) -> None:
    await source.quotes(["AAPL"])
    assert all(request.headers["User-Agent"].startswith("Mozilla/5.0 (") for request in fake.requests)


async def test_a_crumb_that_has_expired_is_renewed_once(fake: FakeYahoo, source: Yahoo) -> None:
    await source.quotes(["AAPL"])
    fake.expire_crumb()
    fake.requests.clear()
    assert (await source.quotes(["AAPL"]))["AAPL"].price == 240.0
    assert asked(fake) == ["/v7/finance/quote", "/", "/v1/test/getcrumb", "/v7/finance/quote"]
    assert "A3" not in fake.requests[1].cookies
    assert fake.requests[3].cookies["A3"] == "d=AQABB1"


QUOTE_OF_CHART = {
    "AAPL": Quote(
        symbol="AAPL",
        price=240.0,
        time=NOW,
        open=240.88,
        high=243.99,
        low=240.0,
        previous_close=240.96,
        volume=370800.0,
        currency="USD",
        provenance=Provenance(source="yahoo", served_from=ServedFrom.LIVE, received_at=NOW),
    )
}


async def test_quotes_refused_twice_come_from_charts(fake: FakeYahoo, source: Yahoo) -> None:
    fake.refuses_quotes = True
    assert await source.quotes(["AAPL", fake.unknown]) == QUOTE_OF_CHART
    assert asked(fake)[:6] == CRUMB_AND_QUOTE * 2
    assert sorted(asked(fake)[6:]) == ["/v8/finance/chart/AAPL", "/v8/finance/chart/NOPE"]
    fake.requests.clear()
    assert await source.quotes(["AAPL"]) == QUOTE_OF_CHART
    assert asked(fake) == ["/v8/finance/chart/AAPL"]


@pytest.mark.parametrize(
    "answer",
    [
        too_many,
        unauthorized,
        lambda: web.Response(text=""),
        lambda: web.Response(text="Too Many Requests\r\n"),
        lambda: web.Response(text="Edge: Too Many Requests"),
        lambda: web.Response(text="<html>Will be right back</html>"),
        lambda: web.Response(text="x" * 33),
        lambda: web.Response(status=500, text="abcdefghijk"),
    ],
)
async def test_only_a_sane_crumb_is_accepted(
    fake: FakeYahoo, source: Yahoo, answer: Callable[[], web.Response]
) -> None:
    fake.crumb_answer = answer
    assert await source.quotes(["AAPL"]) == QUOTE_OF_CHART
    assert asked(fake) == ["/", "/v1/test/getcrumb", "/v8/finance/chart/AAPL"]


async def test_a_crumb_that_cannot_be_had_is_not_asked_for_again_for_five_minutes(
    fake: FakeYahoo, source: Yahoo
) -> None:
    fake.crumb_answer = too_many
    await source.quotes(["AAPL"])
    fake.crumb_answer = None
    fake.requests.clear()
    fake.now = NOW + timedelta(seconds=299)
    await source.quotes(["AAPL"])
    assert asked(fake) == ["/v8/finance/chart/AAPL"]
    fake.now = NOW + timedelta(seconds=300)
    await source.quotes(["AAPL"])
    assert asked(fake)[1:] == ["/", "/v1/test/getcrumb", "/v7/finance/quote"]


async def test_without_the_page_of_the_cookie_quotes_come_from_charts(fake: FakeYahoo) -> None:
    source = Yahoo(fake.url, "http://127.0.0.1:1/", fake.ws_url, Unlimited(), clock=lambda: NOW)
    assert await source.quotes(["AAPL"]) == QUOTE_OF_CHART
    await source.aclose()


async def test_a_chart_without_a_bar_does_not_tell_the_close_before_the_price(fake: FakeYahoo, source: Yahoo) -> None:
    fake.crumb_answer = too_many
    meta = {
        "instrumentType": "EQUITY", "symbol": "AAPL", "currency": "USD", "exchangeTimezoneName": "America/New_York",
        "dataGranularity": "1d", "regularMarketPrice": 240.0, "regularMarketTime": 1763499601,
        "chartPreviousClose": 240.0,
    }  # fmt: skip
    fake.chart_answer = lambda: web.json_response(
        {"chart": {"result": [{"meta": meta, "indicators": {"quote": [{}], "adjclose": [{}]}}], "error": None}}
    )
    quote = (await source.quotes(["AAPL"]))["AAPL"]
    assert (quote.price, quote.previous_close, quote.open) == (240.0, None, None)


async def test_an_error_of_one_chart_is_the_error_of_all_quotes(fake: FakeYahoo, source: Yahoo) -> None:
    fake.crumb_answer = too_many
    fake.chart_answer = too_many
    with pytest.raises(SourceLimited):
        await source.quotes(["AAPL", "BRK.B"])


# History

WINDOWS = {
    Interval.M1: window("2026-11-16T12:00", "2026-11-19"),
    Interval.M5: window("2026-11-12", "2026-11-19"),
    Interval.M15: window("2026-11-06", "2026-11-19"),
    Interval.M30: window("2026-11-06", "2026-11-19"),
    Interval.H1: window("2026-10-20", "2026-11-19"),
    Interval.D1: window("2026-07-01", "2026-11-19"),
}


def test_every_interval_of_its_reach_is_tested() -> None:
    assert set(WINDOWS) == set(Yahoo.reach) == set(FakeYahoo.intervals)


@pytest.mark.parametrize("symbol", FakeYahoo.symbols)
@pytest.mark.parametrize("interval", WINDOWS)
async def test_bars_are_those_that_were_traded(fake: FakeYahoo, source: Yahoo, symbol: str, interval: Interval) -> None:
    frame = await source.history(symbol, interval, WINDOWS[interval])
    expected = raw(fake, symbol, interval, WINDOWS[interval])
    assert len(expected) > 40
    assert told(frame) == expected
    assert frame.schema == pl.Schema(BAR_SCHEMA)
    assert frame["vwap"].null_count() == frame["trades"].null_count() == frame.height
    is_trading = symbol not in ("0700.HK", "600519.SS", "RELIANCE.NS", "BHP.AX")
    assert frame["is_final"].to_list() == [True] * (frame.height - 1) + [not is_trading]


@pytest.mark.parametrize(
    ("interval", "wanted", "requests"),
    [
        (Interval.M1, window("2026-11-17", "2026-11-18T15:48"), [("1m", at("2026-11-16"), NOW)]),
        (
            Interval.M1,
            window("2026-10-20T15:47:13", "2026-11-18T15:48"),
            [
                ("1m", at("2026-10-20T14:47:13"), at("2026-10-27T14:47:13")),
                ("1m", at("2026-10-27T14:47:13"), at("2026-11-03T14:47:13")),
                ("1m", at("2026-11-03T14:47:13"), at("2026-11-10T14:47:13")),
                ("1m", at("2026-11-10T14:47:13"), at("2026-11-17T14:47:13")),
                ("1m", at("2026-11-17T14:47:13"), NOW),
            ],
        ),
        (
            Interval.M5,
            window("2026-10-05", "2026-10-10"),
            [("5m", at("2026-10-04"), at("2026-10-10T00:05")), ("1d", at("2026-10-09T00:05"), NOW)],
        ),
        (Interval.M15, window("2026-10-05", "2026-11-18"), [("15m", at("2026-10-04"), NOW)]),
        (
            Interval.M30,
            window("2026-10-05", "2026-10-10"),
            [("15m", at("2026-10-04"), at("2026-10-10T00:30")), ("1d", at("2026-10-09T00:30"), NOW)],
        ),
        (Interval.H1, window("2024-11-20", "2026-11-18"), [("1h", at("2024-11-19T14:47:13"), NOW)]),
        (Interval.D1, window("2020-01-06", "2020-02-01"), [("1d", at("2019-12-30"), NOW)]),
        (Interval.D1, window("1900-01-01", "2026-11-19"), [("1d", NOW - 36135 * DAY, NOW)]),
    ],
)
async def test_what_is_asked_for(
    fake: FakeYahoo,
    source: Yahoo,
    interval: Interval,
    wanted: Window,
    requests: Sequence[tuple[str, datetime, datetime]],
) -> None:
    frame = await source.history("AAPL", interval, wanted)
    assert charts(fake) == requests
    assert told(frame) == raw(fake, "AAPL", interval, wanted)
    first = fake.requests[0].query
    assert (first["includePrePost"], first["events"]) == ("false", "div,splits,capitalGains")


@pytest.mark.parametrize(
    ("symbol", "interval", "wanted", "times"),
    [
        ("AAPL", Interval.M5, window("2026-11-17T14:30", "2026-11-17T14:40"), ["2026-11-17T14:30", "2026-11-17T14:35"]),
        ("AAPL", Interval.M5, window("2026-11-17T14:30:01", "2026-11-17T14:40:01"),
         ["2026-11-17T14:35", "2026-11-17T14:40"]),
        ("AAPL", Interval.M30, window("2026-11-17T14:31", "2026-11-17T15:01"), ["2026-11-17T15:00"]),
        ("AAPL", Interval.M5, window("2026-11-17T20:55", "2026-11-18T14:30"), ["2026-11-17T20:55"]),
        ("AAPL", Interval.M5, window("2026-11-14", "2026-11-16"), []),
        ("AAPL", Interval.H1, window("2026-11-17T19:00", "2026-11-18T14:31"),
         ["2026-11-17T19:30", "2026-11-17T20:30", "2026-11-18T14:30"]),
        ("RELIANCE.NS", Interval.H1, window("2026-11-17T08:45", "2026-11-17T23:00"),
         ["2026-11-17T08:45", "2026-11-17T09:45"]),
        ("BTC-USD", Interval.M5, window("2026-11-16T23:50", "2026-11-17T00:05"),
         ["2026-11-16T23:50", "2026-11-16T23:55", "2026-11-17"]),
        ("BTC-USD", Interval.M1, window("2026-11-16T23:59", "2026-11-17T00:01"), ["2026-11-16T23:59", "2026-11-17"]),
        ("BTC-USD", Interval.D1, window("2026-11-17", "2026-11-18"), ["2026-11-17"]),
        ("AAPL", Interval.D1, window("2026-11-13", "2026-11-17"), ["2026-11-13", "2026-11-16"]),
        ("AAPL", Interval.D1, window("2026-11-13T00:00:01", "2026-11-17T00:00:01"), ["2026-11-16", "2026-11-17"]),
        ("AAPL", Interval.D1, window("2026-11-14", "2026-11-16"), []),
    ],
)  # fmt: skip
async def test_only_bars_that_open_within_the_window_are_given(
    source: Yahoo, symbol: str, interval: Interval, wanted: Window, times: Sequence[str]
) -> None:
    frame = await source.history(symbol, interval, wanted)
    assert frame["time"].to_list() == [at(time) for time in times]


@pytest.mark.parametrize(
    ("interval", "wanted"),
    [
        (Interval.M5, window("2026-11-17", "2026-11-17")),
        (Interval.M5, window("2026-11-18", "2026-11-17")),
        (Interval.M5, window("2026-11-18T15:50", "2026-11-18T16:00")),
        (Interval.D1, window("2026-11-20", "2026-11-30")),
    ],
)
async def test_an_empty_window_or_one_to_come_asks_nobody(
    fake: FakeYahoo, source: Yahoo, interval: Interval, wanted: Window
) -> None:
    frame = await source.history("AAPL", interval, wanted)
    assert frame.is_empty()
    assert frame.schema == pl.Schema(BAR_SCHEMA)
    assert asked(fake) == []


@pytest.mark.parametrize(
    ("interval", "days"),
    [(Interval.M1, 29), (Interval.M5, 59), (Interval.M15, 59), (Interval.M30, 59), (Interval.H1, 729)],
)
async def test_a_window_that_begins_out_of_reach_is_not_answered_in_part(
    fake: FakeYahoo, source: Yahoo, interval: Interval, days: int
) -> None:
    oldest = NOW - timedelta(days=days)
    wanted = Window(oldest, oldest + 3 * DAY)
    assert told(await source.history("AAPL", interval, wanted)) == raw(fake, "AAPL", interval, wanted)
    fake.requests.clear()
    with pytest.raises(SourceCannot, match=f"{interval} bars of the last {days} days; ask from {oldest.date()} on"):
        await source.history("AAPL", interval, Window(oldest - timedelta(hours=1, seconds=1), NOW))
    assert asked(fake) == []


@pytest.mark.parametrize("symbol", ["NOPE", "GHOST", "BRK-B"])
@pytest.mark.parametrize("interval", [Interval.M5, Interval.D1])
async def test_history_of_an_unknown_symbol(fake: FakeYahoo, source: Yahoo, symbol: str, interval: Interval) -> None:
    fake.ghosts = {"GHOST"}
    with pytest.raises(SymbolNotFound, match=f'no symbol "{symbol}"') as raised:
        await source.history(symbol, interval, WINDOWS[Interval.M5])
    assert raised.value.details == {"symbol": symbol}


async def test_history_begins_at_the_listing(source: Yahoo) -> None:
    frame = await source.history("AAPL", Interval.D1, window("2018-12-01", "2019-01-10"))
    assert frame["time"].to_list() == [at(f"2019-01-0{day}") for day in (2, 3, 4, 7, 8, 9)]


async def test_a_window_before_the_listing_is_empty(fake: FakeYahoo, source: Yahoo) -> None:
    refusal = {"code": "Bad Request", "description": "Data doesn't exist for startDate = 1, endDate = 2"}
    fake.chart_answer = lambda: web.json_response({"chart": {"result": None, "error": refusal}}, status=400)
    assert (await source.history("AAPL", Interval.M5, WINDOWS[Interval.M5])).is_empty()


# Which bar is final

CLOSE = at("2026-11-18T21:00")


@pytest.mark.parametrize(
    ("interval", "now", "delay_minutes", "opening", "is_final"),
    [
        (Interval.M5, at("2026-11-18T15:04:59"), 0, "2026-11-18T15:00", False),
        (Interval.M5, at("2026-11-18T15:05:00"), 0, "2026-11-18T15:00", True),
        (Interval.M5, at("2026-11-18T15:19:59"), 15, "2026-11-18T15:00", False),
        (Interval.M5, at("2026-11-18T15:20:00"), 15, "2026-11-18T15:00", True),
        (Interval.H1, at("2026-11-18T20:59:59"), 0, "2026-11-18T20:30", False),
        (Interval.H1, at("2026-11-18T21:00:00"), 0, "2026-11-18T20:30", True),
        (Interval.H1, at("2026-11-18T15:30:00"), 0, "2026-11-18T14:30", True),
        (Interval.D1, CLOSE + timedelta(minutes=29), 0, "2026-11-18", False),
        (Interval.D1, CLOSE + timedelta(minutes=30), 0, "2026-11-18", True),
        (Interval.D1, CLOSE + timedelta(hours=40), 0, "2026-11-18", True),
    ],
)
async def test_a_bar_is_final_once_yahoo_has_it_whole(
    fake: FakeYahoo, source: Yahoo, interval: Interval, now: datetime, delay_minutes: int, opening: str, is_final: bool
) -> None:
    fake.now, fake.delay_minutes = now, delay_minutes
    frame = await source.history("AAPL", interval, window("2026-11-17", "2026-11-19"))
    assert frame.filter(pl.col("time") == at(opening))["is_final"].to_list() == [is_final]


@pytest.mark.parametrize(("minutes", "is_final"), [(29, False), (30, True)])
async def test_a_bar_that_nothing_follows_is_final_half_an_hour_later(
    fake: FakeYahoo, source: Yahoo, minutes: int, is_final: bool
) -> None:
    fake.now = at("2026-11-18T15:05") + timedelta(minutes=minutes)
    fake.without = {"regularMarketTime"}
    frame = await source.history("AAPL", Interval.M5, window("2026-11-18T15:00", "2026-11-18T15:05"))
    assert frame["is_final"].to_list() == [is_final]


async def test_the_day_before_is_final_once_the_next_session_is_shown(fake: FakeYahoo, source: Yahoo) -> None:
    fake.now = at("2026-11-18T00:00:01")
    frame = await source.history("BTC-USD", Interval.D1, window("2026-11-17", "2026-11-19"))
    assert frame.select("time", "is_final").rows() == [(at("2026-11-17"), True), (at("2026-11-18"), False)]


@pytest.mark.parametrize(("minutes", "is_final"), [(29, False), (30, True)])
async def test_a_day_whose_session_is_not_told_ends_at_midnight(
    fake: FakeYahoo, source: Yahoo, minutes: int, is_final: bool
) -> None:
    fake.now = at("2026-11-18T05:00") + timedelta(minutes=minutes)
    fake.without = {"currentTradingPeriod"}
    frame = await source.history("AAPL", Interval.D1, window("2026-11-17", "2026-11-18"))
    assert frame["is_final"].to_list() == [is_final]


# Zones and clocks


@pytest.mark.parametrize(
    ("symbol", "wanted", "openings"),
    [
        ("AAPL", window("2026-10-30", "2026-11-03"), ["2026-10-30T13:30", "2026-11-02T14:30"]),
        ("AAPL", window("2026-03-06", "2026-03-10"), ["2026-03-06T14:30", "2026-03-09T13:30"]),
        ("TSCO.L", window("2026-10-23", "2026-10-27"), ["2026-10-23T07:00", "2026-10-26T08:00"]),
        ("BHP.AX", window("2026-10-01T20:00", "2026-10-05T20:00"), ["2026-10-02T00:00", "2026-10-04T23:00"]),
        ("RELIANCE.NS", window("2026-11-16", "2026-11-17"), ["2026-11-16T03:45"]),
        ("0700.HK", window("2026-11-16", "2026-11-17"), ["2026-11-16T01:30"]),
    ],
)
async def test_hours_begin_with_the_session_before_and_after_a_change_of_clocks(
    source: Yahoo, symbol: str, wanted: Window, openings: Sequence[str]
) -> None:
    frame = await source.history(symbol, Interval.H1, wanted)
    sessions = frame.filter((pl.col("time") - pl.col("time").shift(1)).fill_null(DAY) > timedelta(hours=2))
    assert sessions["time"].to_list() == [at(opening) for opening in openings]


@pytest.mark.parametrize("slips", [False, True])
@pytest.mark.parametrize(
    ("symbol", "wanted", "dates"),
    [
        ("EURUSD=X", window("2026-03-26", "2026-04-01"), ["03-26", "03-27", "03-30", "03-31"]),
        ("EURUSD=X", window("2026-10-22", "2026-10-28"), ["10-22", "10-23", "10-26", "10-27"]),
        ("BTC-USD", window("2026-10-24", "2026-10-27"), ["10-24", "10-25", "10-26"]),
        ("GC=F", window("2026-10-30", "2026-11-03"), ["10-30", "11-02"]),
        ("BHP.AX", window("2026-10-02", "2026-10-06"), ["10-02", "10-05"]),
        ("AAPL", window("2026-10-30", "2026-11-03"), ["10-30", "11-02"]),
    ],
)
async def test_a_day_is_named_by_its_date_where_it_trades(
    fake: FakeYahoo, source: Yahoo, slips: bool, symbol: str, wanted: Window, dates: Sequence[str]
) -> None:
    fake.slips_at_midnight = slips
    frame = await source.history(symbol, Interval.D1, wanted)
    assert frame["time"].to_list() == [at(f"2026-{date}") for date in dates]
    assert told(frame) == raw(fake, symbol, Interval.D1, wanted)


async def test_a_day_that_begins_before_ours_is_given_while_it_is_still_yesterday(
    fake: FakeYahoo, source: Yahoo
) -> None:
    fake.now = at("2026-11-17T23:30")  # 10:30 of the 18th in Sydney
    frame = await source.history("BHP.AX", Interval.D1, window("2026-11-18", "2026-11-19"))
    assert frame.select("time", "is_final").rows() == [(at("2026-11-18"), False)]


@pytest.mark.parametrize("hour", [22, 23])
async def test_a_live_row_of_the_late_evening_is_of_that_day(fake: FakeYahoo, source: Yahoo, hour: int) -> None:
    fake.now = at(f"2026-11-17T{hour}:00")
    frame = await source.history("BTC-USD", Interval.D1, window("2026-11-16", "2026-11-19"))
    assert frame["time"].to_list() == [at("2026-11-16"), at("2026-11-17")]


# Splits and dividends


async def test_splits_are_taken_out_of_days_and_marked(fake: FakeYahoo, source: Yahoo) -> None:
    wanted = window("2020-08-03", "2026-11-19")
    frame = await source.history("AAPL", Interval.D1, wanted)
    assert told(frame) == raw(fake, "AAPL", Interval.D1, wanted)
    assert marked(frame, "split_factor", 1.0) == [
        (at("2020-08-31"), 4.0), (at("2025-06-16"), 1.5), (at("2026-11-09"), 4.0)
    ]  # fmt: skip
    assert marked(frame, "dividend", 0.0) == [
        (at("2020-08-07"), 0.82), (at("2025-06-16"), 0.27), (at("2026-11-10"), 0.26)
    ]  # fmt: skip


async def test_splits_after_the_window_are_taken_out_too(fake: FakeYahoo, source: Yahoo) -> None:
    wanted = window("2020-08-03", "2020-08-10")
    frame = await source.history("AAPL", Interval.D1, wanted)
    assert told(frame) == raw(fake, "AAPL", Interval.D1, wanted)
    assert marked(frame, "dividend", 0.0) == [(at("2020-08-07"), 0.82)]
    assert marked(frame, "split_factor", 1.0) == []


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.M15, Interval.M30, Interval.H1])
async def test_splits_after_an_intraday_window_are_taken_out_too(
    fake: FakeYahoo, source: Yahoo, interval: Interval
) -> None:
    wanted = window("2026-10-28", "2026-10-31")
    frame = await source.history("AAPL", interval, wanted)
    assert told(frame) == raw(fake, "AAPL", interval, wanted)
    assert charts(fake)[-1][0] == "1d"


@pytest.mark.parametrize("interval", [Interval.M1, Interval.M5, Interval.M15, Interval.M30, Interval.H1])
async def test_a_split_is_marked_on_the_first_bar_of_its_day(
    fake: FakeYahoo, source: Yahoo, interval: Interval
) -> None:
    wanted = window("2026-11-05", "2026-11-13")
    frame = await source.history("AAPL", interval, wanted)
    assert told(frame) == raw(fake, "AAPL", interval, wanted)
    assert marked(frame, "split_factor", 1.0) == [(at("2026-11-09T14:30"), 4.0)]
    assert marked(frame, "dividend", 0.0) == [(at("2026-11-10T14:30"), 0.26)]


@pytest.mark.parametrize("start", ["2026-11-09T15:00", "2026-11-10"])
async def test_a_split_before_the_window_is_not_marked_on_its_first_bar(source: Yahoo, start: str) -> None:
    frame = await source.history("AAPL", Interval.M5, window(start, "2026-11-10T14:30"))
    assert marked(frame, "split_factor", 1.0) == []


async def test_shares_put_together_are_taken_apart(fake: FakeYahoo, source: Yahoo) -> None:
    wanted = window("2026-02-25", "2026-03-05")
    frame = await source.history("BRK.B", Interval.D1, wanted)
    assert told(frame) == raw(fake, "BRK.B", Interval.D1, wanted)
    assert marked(frame, "split_factor", 1.0) == [(at("2026-03-02"), 0.1)]


async def test_a_dividend_in_pence_is_told_in_pounds(source: Yahoo) -> None:
    frame = await source.history("TSCO.L", Interval.D1, window("2026-11-10", "2026-11-14"))
    assert marked(frame, "dividend", 0.0) == [(at("2026-11-12"), 0.048)]


# Oddities of charts


async def test_a_day_of_nulls_is_dropped_and_its_actions_fall_on_the_next(fake: FakeYahoo, source: Yahoo) -> None:
    fake.null_days = {date(2026, 11, 9), date(2026, 11, 13)}
    frame = await source.history("AAPL", Interval.D1, window("2026-11-06", "2026-11-18"))
    assert [time.day for time in frame["time"]] == [6, 10, 11, 12, 16, 17]
    assert marked(frame, "split_factor", 1.0) == [(at("2026-11-10"), 4.0)]


async def test_rows_outside_of_sessions_are_dropped(fake: FakeYahoo, source: Yahoo) -> None:
    fake.extended_hours = True
    wanted = WINDOWS[Interval.M5]
    assert told(await source.history("AAPL", Interval.M5, wanted)) == raw(fake, "AAPL", Interval.M5, wanted)


@pytest.mark.parametrize("symbol", ["AAPL", "RELIANCE.NS", "BTC-USD"])
async def test_without_told_sessions_the_rows_make_the_grid(fake: FakeYahoo, source: Yahoo, symbol: str) -> None:
    fake.hides_sessions = True
    wanted = window("2026-11-16", "2026-11-19")
    frame = await source.history(symbol, Interval.M15, wanted)
    assert told(frame) == raw(fake, symbol, Interval.M15, wanted)


def chart(meta: dict[str, Any], stamps: Sequence[int], **columns: Sequence[float | None]) -> web.Response:
    told = {
        "symbol": "AAPL", "instrumentType": "EQUITY", "currency": "USD", "exchangeTimezoneName": "America/New_York",
        "dataGranularity": "1d", "priceHint": 2, **meta,
    }  # fmt: skip
    result = {"meta": told, "timestamp": stamps, "indicators": {"quote": [columns]}}
    return web.json_response({"chart": {"result": [result], "error": None}})


async def test_rows_of_unknown_prices_are_dropped_and_an_unknown_volume_is_kept_unknown(
    fake: FakeYahoo, source: Yahoo
) -> None:
    stamps = [1763130600 + 86400 * day for day in range(3, 7)]  # from 2025-11-17
    fake.chart_answer = lambda: chart(
        {}, stamps, open=[1.5, 0, 1.5, 1.5], high=[2, 2, 2, 2], low=[1, 1, 1, None], close=[1.5, 1.5, 1.5, 1.5],
        volume=[7, 7, None, 7],
    )  # fmt: skip
    frame = await source.history("AAPL", Interval.D1, window("2025-11-01", "2025-12-01"))
    assert told(frame) == [
        (at("2025-11-17"), 1.5, 2.0, 1.0, 1.5, 7.0),
        (at("2025-11-19"), 1.5, 2.0, 1.0, 1.5, None),
    ]


async def test_halves_of_which_one_volume_is_unknown_have_none_together(fake: FakeYahoo, source: Yahoo) -> None:
    start = int(at("2026-11-17T14:30").timestamp())
    stamps = [start, start + 900, start + 1800, start + 2700]
    fake.chart_answer = lambda: chart(
        {"dataGranularity": "15m"}, stamps, open=[1, 2, 3, 4], high=[1, 2, 3, 4], low=[1, 2, 3, 4], close=[1, 2, 3, 4],
        volume=[5, 6, 7, None],
    )  # fmt: skip
    frame = await source.history("AAPL", Interval.M30, window("2026-11-17T14:00", "2026-11-17T16:00"))
    assert told(frame) == [
        (at("2026-11-17T14:30"), 1.0, 2.0, 1.0, 2.0, 11.0),
        (at("2026-11-17T15:00"), 3.0, 4.0, 3.0, 4.0, None),
    ]


async def test_a_row_that_is_told_twice_is_one_and_its_volume_the_larger(fake: FakeYahoo, source: Yahoo) -> None:
    start = int(at("2026-11-17T14:30").timestamp())
    fake.chart_answer = lambda: chart(
        {"dataGranularity": "5m"}, [start, start, start + 41], open=[1, 2, 4], high=[3, 5, 4], low=[1, 0.5, 4],
        close=[2, 3, 4], volume=[50, 60, 7],
    )  # fmt: skip
    frame = await source.history("AAPL", Interval.M5, window("2026-11-17T14:00", "2026-11-17T16:00"))
    assert told(frame) == [(at("2026-11-17T14:30"), 1.0, 5.0, 0.5, 4.0, 60.0)]


@pytest.mark.parametrize(
    ("stamps", "prices", "openings"),
    [
        ([0, 300, 341], [1, 2, 4], [0, 300]),
        ([0, 300, 341], [1, None, 4], [0, 300]),
        ([0, 641], [1, 4], [0, 600]),
        ([641], [4], [600]),
        ([0, 450], [1, 4], [0, 450]),
        ([0, 300, 450], [1, None, 4], [0, 450]),
    ],
)
async def test_the_live_row_alone_is_not_named_by_its_stamp(
    fake: FakeYahoo, source: Yahoo, stamps: Sequence[int], prices: Sequence[float | None], openings: Sequence[int]
) -> None:
    start = int(at("2026-11-18T14:30").timestamp())
    live = start + stamps[-1] if stamps[-1] % 300 == 41 else start + 999
    meta = {
        "dataGranularity": "5m", "tradingPeriods": [[{"start": start, "end": start + 23400}]], "regularMarketTime": live
    }  # fmt: skip
    columns = dict.fromkeys(("open", "high", "low", "close", "volume"), prices)
    fake.chart_answer = lambda: chart(meta, [start + stamp for stamp in stamps], **columns)
    frame = await source.history("AAPL", Interval.M5, window("2026-11-18T14:00", "2026-11-18T16:00"))
    assert frame["time"].to_list() == [at("2026-11-18T14:30") + timedelta(seconds=opening) for opening in openings]
    assert frame["close"][-1] == 4.0


async def test_hours_begin_anew_after_lunch(fake: FakeYahoo, source: Yahoo) -> None:
    fake.now = at("2026-11-18T06:47:13")  # 14:47 in Hong Kong
    wanted = window("2026-11-18", "2026-11-19")
    frame = await source.history("0700.HK", Interval.H1, wanted)
    openings = ["01:30", "02:30", "03:30", "05:00", "06:00"]
    assert frame["time"].to_list() == [at(f"2026-11-18T{opening}") for opening in openings]
    assert told(frame) == raw(fake, "0700.HK", Interval.H1, wanted)
    assert frame["is_final"].to_list() == [True, True, True, True, False]


async def test_a_volume_is_of_whole_shares_again(fake: FakeYahoo, source: Yahoo) -> None:
    first, second = (int(at(f"2026-11-{day}T14:30").timestamp()) for day in (16, 17))
    body = {
        "meta": {"instrumentType": "EQUITY", "exchangeTimezoneName": "America/New_York", "dataGranularity": "1d"},
        "timestamp": [first, second],
        "events": {"splits": {str(second): {"date": second, "numerator": 3, "denominator": 2}}},
        "indicators": {"quote": [{name: [10, 9] for name in ("open", "high", "low", "close")} | {"volume": [151, 7]}]},
    }
    fake.chart_answer = lambda: web.json_response({"chart": {"result": [body], "error": None}})
    frame = await source.history("AAPL", Interval.D1, window("2026-11-10", "2026-11-18"))
    assert told(frame) == [(at("2026-11-16"), *[15.0] * 4, 101.0), (at("2026-11-17"), *[9.0] * 4, 7.0)]


async def test_a_gain_paid_out_by_a_fund_is_cash_like_a_dividend(fake: FakeYahoo, source: Yahoo) -> None:
    stamp = int(at("2026-11-16T14:30").timestamp())
    events = {
        "dividends": {str(stamp): {"amount": 0.5, "date": stamp}},
        "capitalGains": {str(stamp): {"amount": 1.25, "date": stamp}},
    }
    body = {
        "meta": {"instrumentType": "MUTUALFUND", "exchangeTimezoneName": "America/New_York", "dataGranularity": "1d"},
        "timestamp": [stamp - 3 * 86400, stamp],
        "events": events,
        "indicators": {"quote": [{name: [10, 9] for name in ("open", "high", "low", "close")} | {"volume": [0, 0]}]},
    }
    fake.chart_answer = lambda: web.json_response({"chart": {"result": [body], "error": None}})
    frame = await source.history("VFIAX", Interval.D1, window("2026-11-10", "2026-11-18"))
    assert marked(frame, "dividend", 0.0) == [(at("2026-11-16"), 1.75)]
    assert frame["volume"].to_list() == [None, None]


async def test_sessions_told_with_extended_hours_are_read_too(fake: FakeYahoo, source: Yahoo) -> None:
    start = int(at("2026-11-17T14:30").timestamp())
    periods = {name: [[{"start": first, "end": last}]] for name, first, last in (
        ("pre", start - 19800, start), ("regular", start, start + 23400), ("post", start + 23400, start + 37800)
    )}  # fmt: skip
    fake.chart_answer = lambda: chart(
        {"dataGranularity": "1h", "tradingPeriods": periods}, [start - 3600, start, start + 23400],
        open=[1, 2, 3], high=[1, 2, 3], low=[1, 2, 3], close=[1, 2, 3], volume=[1, 2, 3],
    )  # fmt: skip
    frame = await source.history("AAPL", Interval.H1, window("2026-11-17", "2026-11-18"))
    assert frame["time"].to_list() == [at("2026-11-17T14:30")]


async def test_another_granularity_than_was_asked_for_is_a_bad_answer(fake: FakeYahoo, source: Yahoo) -> None:
    fake.answers_in = "1h"
    with pytest.raises(SourceBadAnswer, match="asked for 15m, got 1h"):
        await source.history("AAPL", Interval.M30, WINDOWS[Interval.M30])


# Failures


def said(status: int, code: str, description: str, root: str = "chart") -> Callable[[], web.Response]:
    body = {root: {"result": None, "error": {"code": code, "description": description}}}
    return lambda: web.json_response(body, status=status)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (too_many, SourceLimited, "asked too often"),
        (lambda: web.Response(text="Edge: Too Many Requests", status=429), SourceLimited, "asked too often"),
        (lambda: web.Response(text="Too Many Requests\r\n"), SourceLimited, "asked too often"),
        (said(404, "Not Found", "No data found, symbol may be delisted"), SymbolNotFound, "AAPL"),
        (said(200, "Not Found", "No data found, symbol may be delisted"), SymbolNotFound, "AAPL"),
        (said(422, "Unprocessable Entity", "1d data not available for startTime=1 and endTime=2."), SourceCannot,
         "1d data not available"),
        (said(400, "Bad Request", "Invalid input - interval=7m is not supported."), SourceCannot, "interval=7m"),
        (said(401, "Unauthorized", "Invalid Crumb", "finance"), SourceRefused, "Invalid Crumb"),
        (said(500, "Internal Server Error", "oops"), SourceFault, "500"),
        (said(200, "Internal Server Error", "oops"), SourceBadAnswer, "another shape"),
        (said(404, "Not Found", "HTTP 404 Not Found", "finance"), SourceCannot, "404"),
        (lambda: web.json_response([1, 2]), SourceBadAnswer, "another shape"),
        (lambda: chart({}, [1763130600], open=[1], high=[1, 2], low=[1], close=[1], volume=[1]), SourceBadAnswer,
         "differ in length"),
        (lambda: chart({}, [1763130600], open=["?"], high=[1], low=[1], close=[1], volume=[1]),  # type: ignore[list-item]
         SourceBadAnswer, "another shape"),
        (lambda: chart({"exchangeTimezoneName": "Mars/Olympus"}, [], open=[]), SourceBadAnswer, "another shape"),
    ],
)  # fmt: skip
async def test_what_a_chart_answers_is_the_error_that_it_means(
    fake: FakeYahoo, source: Yahoo, answer: Callable[[], web.Response], error: type[SmartFinError], message: str
) -> None:
    fake.chart_answer = answer
    with pytest.raises(error, match=message):
        await source.history("AAPL", Interval.D1, WINDOWS[Interval.D1])


async def test_the_crumb_is_told_nobody(fake: FakeYahoo, source: Yahoo, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await source.quotes(["AAPL"])
    for fake.failure, error in ((Failure.TRUNCATED, SourceBadAnswer), (Failure.RESET, SourceUnreachable)):
        with pytest.raises(error) as raised:
            await source.quotes(["AAPL"])
        assert "haT3" not in f"{raised.value!r} {raised.value.extensions} {source!r} {vars(source)}"
    ours = [record.getMessage() for record in caplog.records if record.name != "aiohttp.access"]  # the fake's log
    assert any("is not JSON" in message for message in ours)
    assert "haT3" not in " ".join(ours)


# Search


async def test_search_gives_what_can_be_spelled_and_served(source: Yahoo) -> None:
    apple = Asset(
        symbol="AAPL",
        name="Apple Inc.",
        type=AssetType.STOCK,
        market_code="XNAS",
        currency="USD",
        exchange="NasdaqGS",
        timezone="America/New_York",
        company_name="Apple Inc.",
    )
    assert await source.search("apple", 10) == [apple]
    assert [asset.symbol for asset in await source.search("berkshire", 10)] == ["BRK.B"]
    assert [asset.symbol for asset in await source.search("usd", 2)] == ["EURUSD=X", "JPY=X"]


async def test_search_asks_for_as_many_as_are_wanted(fake: FakeYahoo, source: Yahoo) -> None:
    await source.search("s&p 500", 7)
    assert dict(fake.requests[0].query) == {"q": "s&p 500", "quotesCount": "7", "newsCount": "0"}


@pytest.mark.parametrize("has_crumb", [True, False])
@pytest.mark.parametrize(
    ("symbol", "kind", "market", "currency", "timezone"),
    [
        ("AAPL", AssetType.STOCK, "XNAS", "USD", "America/New_York"),
        ("BRK.B", AssetType.STOCK, "XNYS", "USD", "America/New_York"),
        ("0700.HK", AssetType.STOCK, "XHKG", "HKD", "Asia/Hong_Kong"),
        ("TSCO.L", AssetType.STOCK, "XLON", "GBP", "Europe/London"),
        ("EURUSD=X", AssetType.FOREX, "FOREX", "USD", "Europe/London"),
        ("BTC-USD", AssetType.CRYPTO, "CRYPTO", "USD", "UTC"),
        ("^GSPC", AssetType.INDEX, None, "USD", "America/New_York"),
        ("GC=F", AssetType.COMMODITY, None, "USD", "America/New_York"),
    ],
)
async def test_an_asset_is_what_yahoo_says(
    fake: FakeYahoo,
    source: Yahoo,
    has_crumb: bool,
    symbol: str,
    kind: AssetType,
    market: str | None,
    currency: str,
    timezone: str,
) -> None:
    fake.crumb_answer = None if has_crumb else too_many
    listed = LISTED[symbol]
    assert await source.asset(symbol) == Asset(
        symbol=symbol,
        name=listed.name,
        type=kind,
        market_code=market,
        currency=currency,
        exchange=listed.exchange_name,
        timezone=timezone,
        company_name=listed.name if kind is AssetType.STOCK else None,
        market_cap=3674405863424 if has_crumb else None,
    )


@pytest.mark.parametrize("symbol", ["NOPE", "BTC-USDT"])
async def test_an_unknown_asset_is_none(source: Yahoo, symbol: str) -> None:
    assert await source.asset(symbol) is None


async def test_it_lists_nothing(fake: FakeYahoo, source: Yahoo) -> None:
    assert await source.assets() == ()
    assert asked(fake) == []


# The stream


def test_the_recorded_message_is_read_exactly() -> None:
    told = parse_pricing(b64decode(RECORDED))
    assert {name: round(value, 4) if isinstance(value, float) else value for name, value in told.items()} == {
        "id": "BTC-USD",
        "price": 94745.0781,
        "time": 1736509140000,
        "currency": "USD",
        "quote_type": 41,
        "market_hours": 1,
        "day_volume": 59712028672,
        "day_high": 95227.5547,
        "day_low": 92517.2188,
        "open_price": 92529.9922,
        "price_hint": 2,
    }


def test_fields_that_are_unknown_or_of_another_type_are_skipped() -> None:
    message = encode({1: "AAPL", 2: 1.5, 3: -7})
    strange = (
        varint(200 << 3) + varint(2**63) + varint(201 << 3 | 1) + bytes(8) + varint(202 << 3 | 2) + varint(3) + b"abc"
        + varint(203 << 3 | 5) + bytes(4) + varint(2 << 3) + varint(9)
    )  # fmt: skip
    assert parse_pricing(strange + message) == {"id": "AAPL", "price": 1.5, "time": -7}


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_signed_number_is_read_as_it_was(number: int) -> None:
    assert parse_pricing(encode({3: number})).get("time", 0) == number


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_read_or_refused(message: bytes) -> None:
    try:
        parse_pricing(message)
    except ValueError:
        return


@pytest.mark.parametrize(
    "message",
    [b"\x0a", b"\x0a\x05AAPL", b"\x15\x00\x00", b"\x18", b"\x18\xff", b"\x80" * 11, b"\x0b", b"\x0a\x01\xff"],
)
def test_a_message_that_is_cut_off_or_no_protobuf_is_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|longer|wire type|decode"):
        parse_pricing(message)


def framed(message: bytes) -> str:
    return '{"type":"pricing","message":"' + b64encode(message).decode() + '"}'


class Watch:
    """A stream, read with patience."""

    def __init__(self, source: Yahoo, *symbols: str) -> None:
        self.demand = Demand(symbols)
        self.batches = source.stream(self.demand)

    async def next(self) -> Quote:
        async with asyncio.timeout(5):
            (quote,) = await anext(self.batches)
        return quote

    async def __aenter__(self) -> "Watch":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.batches.aclose()


async def test_the_recorded_frame_is_the_quote_that_it_was(fake: FakeYahoo, source: Yahoo) -> None:
    fake.tick = {3: None}  # a snapshot without an instant is none
    async with Watch(source, "BTC-USD") as watch:
        reading = asyncio.create_task(watch.next())
        await fake.subscribed("BTC-USD")
        await fake.say(framed(b64decode(RECORDED)))
        assert await reading == Quote(
            symbol="BTC-USD",
            price=94745.08,
            time=at("2025-01-10T11:39"),
            open=92529.99,
            high=95227.55,
            low=92517.22,
            currency="USD",
            provenance=Provenance(source="yahoo", served_from=ServedFrom.LIVE, received_at=NOW),
        )


async def test_a_snapshot_keeps_its_own_time(fake: FakeYahoo, source: Yahoo) -> None:
    fake.now = at("2026-11-22T12:00")  # a Sunday
    async with Watch(source, "AAPL") as watch:
        quote = await watch.next()
    assert (quote.price, quote.time) == (240.0, at("2026-11-20T21:00"))
    assert quote.provenance.received_at == fake.now


async def test_a_tick_has_all_that_yahoo_says(fake: FakeYahoo, source: Yahoo) -> None:
    fake.tick = {10: 245.41, 11: 241.0, 15: 241.07, 16: 241.53, 23: 244.44, 25: 253.37, 22: 5, 24: 2, 26: 1}
    async with Watch(source, "AAPL") as watch:
        await watch.next()
        await fake.push("AAPL", 244.61, NOW + timedelta(seconds=1))
        assert await watch.next() == Quote(
            symbol="AAPL",
            price=244.61,
            time=NOW + timedelta(seconds=1),
            open=241.07,
            high=245.41,
            low=241.0,
            previous_close=241.53,
            volume=123456.0,
            bid=244.44,
            ask=253.37,
            currency="USD",
            provenance=Provenance(source="yahoo", served_from=ServedFrom.LIVE, received_at=NOW),
        )


async def test_what_a_tick_does_not_say_is_unknown(fake: FakeYahoo, source: Yahoo) -> None:
    fake.tick = {4: None, 6: None, 7: None, 9: None, 27: None}
    async with Watch(source, "AAPL") as watch:
        assert await watch.next() == Quote(
            symbol="AAPL",
            price=240.0,
            time=NOW,
            provenance=Provenance(source="yahoo", served_from=ServedFrom.LIVE, received_at=NOW),
        )


async def test_symbols_are_asked_for_and_given_up_as_demand_changes(fake: FakeYahoo, source: Yahoo) -> None:
    async with Watch(source, "AAPL", "BRK.B", "BTC-USDT") as watch:
        assert {(await watch.next()).symbol for _ in range(2)} == {"AAPL", "BRK.B"}
        watch.demand.set(["BRK.B", "^GSPC", "BRK-B"])
        assert (await watch.next()).symbol == "^GSPC"
        watch.demand.set([])
        await fake.subscribed()
    assert fake.frames == [
        {"subscribe": ["AAPL", "BRK-B"]},
        {"unsubscribe": ["AAPL"]},
        {"subscribe": ["^GSPC"]},
        {"unsubscribe": ["BRK-B", "^GSPC"]},
    ]


async def test_messages_are_paced(fake: FakeYahoo, source: Yahoo) -> None:
    clock = asyncio.get_running_loop().time
    async with Watch(source, "AAPL") as watch:
        await watch.next()
        started = clock()
        watch.demand.set(["BRK.B"])
        await watch.next()  # after a pause, the unsubscription, and another pause
    assert clock() - started > 0.3


async def test_a_tick_after_it_was_given_up_is_passed_over(fake: FakeYahoo, source: Yahoo) -> None:
    async with Watch(source, "AAPL", "BRK.B") as watch:
        await watch.next()
        await watch.next()
        watch.demand.set(["BRK.B"])
        await fake.subscribed("BRK-B")
        await fake.send(fake.connections[0], fake.pricing("AAPL", 1.0, NOW + DAY))
        await fake.push("BRK.B", 481.0, NOW + DAY)
        assert (await watch.next()).symbol == "BRK.B"


async def test_older_ticks_are_passed_over(fake: FakeYahoo, source: Yahoo) -> None:
    async with Watch(source, "AAPL") as watch:
        await watch.next()
        for price, seconds in ((241.0, 2), (242.0, 1), (243.0, 2), (244.0, 3)):
            await fake.push("AAPL", price, NOW + timedelta(seconds=seconds))
        assert [(await watch.next()).price for _ in range(3)] == [241.0, 243.0, 244.0]


@pytest.mark.parametrize("hours", [2, 3])
async def test_ticks_after_hours_are_passed_over(fake: FakeYahoo, source: Yahoo, hours: int) -> None:
    async with Watch(source, "AAPL") as watch:
        await watch.next()
        fake.tick = {7: hours}
        await fake.push("AAPL", 1.0, NOW + timedelta(seconds=1))
        fake.tick = {7: 1}
        await fake.push("AAPL", 241.0, NOW + timedelta(seconds=2))
        assert (await watch.next()).price == 241.0


async def test_a_pair_may_be_ticked_short(fake: FakeYahoo, source: Yahoo) -> None:
    async with Watch(source, "USDJPY=X") as watch:
        quote = await watch.next()
    assert (quote.symbol, quote.price) == ("USDJPY=X", 154.0)
    assert fake.frames == [{"subscribe": ["USDJPY=X"]}]


async def test_a_unit_that_ticks_do_not_tell_is_asked_for_first(fake: FakeYahoo, source: Yahoo) -> None:
    fake.tick = {4: None}
    async with Watch(source, "TSCO.L") as watch:
        quote = await watch.next()
    assert (quote.price, quote.currency, quote.provenance.flags) == (4.4, "GBP", ("MINOR_UNIT",))
    assert asked(fake) == [*CRUMB_AND_QUOTE, "/"]


async def test_a_unit_is_asked_for_as_demand_changes(fake: FakeYahoo, source: Yahoo) -> None:
    fake.tick = {4: None}

    async def keep_pushing() -> None:
        while True:
            await fake.push("TSCO.L", 4.4, NOW)
            await asyncio.sleep(0.02)

    async with Watch(source, "AAPL") as watch:
        await watch.next()
        watch.demand.set(["TSCO.L"])
        pushing = asyncio.create_task(keep_pushing())
        quote = await watch.next()
        pushing.cancel()
    assert (quote.price, quote.currency, quote.provenance.flags) == (4.4, "GBP", ("MINOR_UNIT",))
    assert asked(fake) == ["/", *CRUMB_AND_QUOTE]


async def test_ticks_whose_unit_is_not_known_are_passed_over(fake: FakeYahoo, source: Yahoo) -> None:
    fake.crumb_answer = fake.chart_answer = too_many
    fake.tick = {4: None}
    async with Watch(source, "AAPL", "TSCO.L") as watch:
        assert (await watch.next()).symbol == "AAPL"
        await fake.push("TSCO.L", 4.41, NOW + timedelta(seconds=1))
        fake.tick = {}
        await fake.push("TSCO.L", 4.42, NOW + timedelta(seconds=2))
        fake.tick = {4: None}
        await fake.push("TSCO.L", 4.43, NOW + timedelta(seconds=3))
        quotes = [await watch.next() for _ in range(2)]
    assert [(quote.price, quote.currency) for quote in quotes] == [(4.42, "GBP"), (4.43, "GBP")]


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "?",
        "[]",
        "7",
        "{}",
        '{"type":"pricing"}',
        '{"type":"pricing","message":7}',
        '{"type":"pricing","message":"?"}',
        framed(b"\x0b"),
        framed(encode({1: "AAPL", 2: 1.0, 3: 2**62})),
        framed(encode({1: "AAPL", 2: 1.0, 3: int((NOW + DAY).timestamp() * 1000)})[:-1]),
        framed(varint(1 << 3 | 2) + b"\x02\xff\xfe"),
    ],
)
async def test_a_frame_of_garbage_is_passed_over_and_logged(
    fake: FakeYahoo, source: Yahoo, caplog: pytest.LogCaptureFixture, garbage: str
) -> None:
    async with Watch(source, "AAPL") as watch:
        await watch.next()
        await fake.say(garbage)
        await fake.push("AAPL", 241.0, NOW + timedelta(seconds=1))
        assert (await watch.next()).price == 241.0
    assert "makes no sense" in caplog.text


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"heartbeat"}',
        framed(b""),
        framed(encode({6: 7, 3: 1})),
        framed(encode({1: "AAPL", 2: 9.0})),
        framed(encode({1: "AAPL", 3: int((NOW + DAY).timestamp() * 1000)})),
        framed(encode({1: "AAPL", 3: int((NOW + DAY).timestamp() * 1000)}) + b"\x15" + struct.pack("<f", float("nan"))),
        framed(encode({1: "MSFT", 2: 9.0, 3: int(NOW.timestamp() * 1000)})),
    ],
)
async def test_a_frame_without_a_price_of_ours_is_no_quote(
    fake: FakeYahoo, source: Yahoo, caplog: pytest.LogCaptureFixture, frame: str
) -> None:
    async with Watch(source, "AAPL") as watch:
        await watch.next()
        await fake.say(frame)
        await fake.push("AAPL", 241.0, NOW + 2 * DAY)
        assert (await watch.next()).price == 241.0
    assert "makes no sense" not in caplog.text


async def test_an_unknown_symbol_leaves_the_others(fake: FakeYahoo, source: Yahoo) -> None:
    async with Watch(source, "NOPE", "AAPL") as watch:
        assert (await watch.next()).symbol == "AAPL"
    assert fake.frames == [{"subscribe": ["AAPL", "NOPE"]}]


async def test_the_stream_comes_as_a_browser_from_the_site(fake: FakeYahoo, source: Yahoo) -> None:
    async with Watch(source, "AAPL") as watch:
        await watch.next()
    (request,) = fake.requests
    assert request.path_qs == "/?version=2"
    assert request.headers["Origin"] == "https://finance.yahoo.com"
    assert request.headers["User-Agent"].startswith("Mozilla/5.0 (")
