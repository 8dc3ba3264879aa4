import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any

import polars as pl
import pytest

from errors import (
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceLimited,
    SourceRefused,
    SymbolNotFound,
)
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import load_settings
from sources.alphavantage import AlphaVantage
from sources.alphavantage_words import native_symbol, our_symbol, pair
from sources.source import Capability, Demand, Quota, Source
from tests.fakes import alphavantage as av
from tests.fakes.alphavantage import KEY, PAIRS, SHARES, FakeAlphaVantage
from tests.fakes.fake import Unlimited

NOW = datetime(2026, 5, 15, 15, 30, tzinfo=UTC)  # a Friday, 11:30 in New York
DAY = timedelta(days=1)
D1 = Interval.D1


@pytest.fixture
async def fake() -> AsyncIterator[FakeAlphaVantage]:
    async with FakeAlphaVantage() as fake:
        fake.now = NOW
        yield fake


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


async def bars(source: AlphaVantage, symbol: str, start: datetime | str, end: datetime | str = NOW) -> pl.DataFrame:
    start, end = (at(text) if isinstance(text, str) else text for text in (start, end))
    return await source.history(symbol, D1, Window(start, end))


# Facts and symbols


def test_it_is_on_where_a_key_is_set() -> None:
    assert AlphaVantage.opened(load_settings(alphavantage_api_key=None), Unlimited()) is None
    source: Source | None = AlphaVantage.opened(load_settings(alphavantage_api_key=KEY), Unlimited())
    assert source is not None
    assert source.capabilities == {Capability.QUOTES, Capability.HISTORY, Capability.SEARCH}
    assert list(source.reach) == [D1]
    assert source.quotas == (Quota(1, 1), Quota(25, 86_400, "America/New_York"))
    assert source.max_streams == 0


@pytest.mark.parametrize(
    ("ours", "native"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK-B"),
        ("T", "T"),
        ("DE", "DE"),  # Deere, although Xetra's shares end so
        ("L", "L"),
        ("0700.HK", "0700.HKG"),
        ("600519.SS", "600519.SHH"),
        ("000002.SZ", "000002.SHZ"),
        ("TSCO.L", "TSCO.LON"),
        ("BT-A.L", "BT-A.LON"),
        ("SHOP.TO", "SHOP.TRT"),
        ("REI-UN.TO", "REI-UN.TRT"),
        ("1COV.DE", "1COV.DEX"),
        ("BAJAJ-AUTO.BO", "BAJAJ-AUTO.BSE"),
    ],
)
def test_shares_go_there_and_back(ours: str, native: str) -> None:
    assert native_symbol(ours) == native
    assert our_symbol(native) == ours


def test_a_class_of_share_is_read_in_both_spellings() -> None:
    assert our_symbol("BRK-B") == our_symbol("BRK.B") == "BRK.B"


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("EURUSD=X", ("EUR", "USD")),
        ("JPY=X", ("USD", "JPY")),
        ("USDJPY=X", ("USD", "JPY")),
        ("BTC-USD", ("BTC", "USD")),
        ("BTC-USDT", ("BTC", "USDT")),  # a coin that is no dollar
        ("1INCH-EUR", ("1INCH", "EUR")),
    ],
)
def test_pairs_are_split(symbol: str, names: tuple[str, str]) -> None:
    assert pair(symbol) == names
    assert native_symbol(symbol) is None


@pytest.mark.parametrize(
    "symbol",
    # An index, a future, places it has no shares of, our other spellings, and shares that trade in another currency
    # than their venue's.
    ["^GSPC", "GC=F", "7203.T", "BHP.AX", "TCS.NS", "BRK-B", "KIM-PL", "EURUSD", "900901.SS", "80700.HK", "HSAV-U.TO"],
)
def test_what_it_does_not_cover(symbol: str) -> None:
    assert not AlphaVantage("http://127.0.0.1:1", KEY, Unlimited()).covers(symbol)


@pytest.mark.parametrize("native", ["7203.T", "KIM-P-L", "900901.SHH", ".LON", "ABC.XYZ", "", "EURUSD"])
def test_what_it_finds_but_we_do_not_cover(native: str) -> None:
    assert our_symbol(native) is None


# Quotes

IBM = {
    "01. symbol": "IBM",
    "02. open": "218.2000",
    "03. high": "220.9100",
    "04. low": "217.6150",
    "05. price": "219.3000",
    "06. volume": "6154450",
    "07. latest trading day": "2026-05-15",
    "08. previous close": "218.3700",
    "09. change": "0.9300",
    "10. change percent": "0.4259%",
}


async def test_a_recorded_quote_is_of_the_close(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.now = at("2026-05-16 12:00")
    fake.says = {"Global Quote": IBM}
    assert await source.quotes(["IBM"]) == {
        "IBM": Quote(
            symbol="IBM",
            price=219.3,
            time=at("2026-05-15 20:00"),
            open=218.2,
            high=220.91,
            low=217.615,
            previous_close=218.37,
            volume=6154450.0,
            currency="USD",
            provenance=Provenance(
                source="alphavantage",
                served_from=ServedFrom.LIVE,
                received_at=fake.now,
                delay_seconds=None,
                quality=100,
                flags=("END_OF_DAY",),
            ),
        )
    }


async def test_a_recorded_exchange_rate(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.says = {
        "Realtime Currency Exchange Rate": {
            "1. From_Currency Code": "USD",
            "2. From_Currency Name": "United States Dollar",
            "3. To_Currency Code": "JPY",
            "4. To_Currency Name": "Japanese Yen",
            "5. Exchange Rate": "158.73166867",
            "6. Last Refreshed": "2026-05-17 17:12:44",
            "7. Time Zone": "UTC",
            "8. Bid Price": "158.72",
            "9. Ask Price": "158.74",
        }
    }
    assert (await source.quotes(["JPY=X"]))["JPY=X"] == Quote(
        symbol="JPY=X",
        price=158.73166867,
        time=at("2026-05-17 17:12:44"),
        bid=158.72,
        ask=158.74,
        currency="JPY",
        provenance=Provenance(source="alphavantage", served_from=ServedFrom.LIVE, received_at=NOW),
    )


async def test_a_rate_is_told_in_the_zone_it_names(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fields = {"5. Exchange Rate": "1.1", "3. To_Currency Code": "USD", "6. Last Refreshed": "2026-01-15 10:00:00"}
    fake.says = {"Realtime Currency Exchange Rate": {**fields, "7. Time Zone": "US/Eastern"}}
    assert (await source.quotes(["EURUSD=X"]))["EURUSD=X"].time == at("2026-01-15 15:00")
    fields["6. Last Refreshed"] = "2026-07-15 10:00:00"
    fake.says = {"Realtime Currency Exchange Rate": {**fields, "7. Time Zone": "US/Eastern"}}
    assert (await source.quotes(["EURUSD=X"]))["EURUSD=X"].time == at("2026-07-15 14:00")


async def test_a_dash_is_no_bid(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    quote = (await source.quotes(["BTC-USDT"]))["BTC-USDT"]
    assert (quote.price, quote.bid, quote.ask, quote.currency) == (78340.5, 78340.4999, 78340.5001, "USDT")
    fake.without_bid = True
    quote = (await source.quotes(["BTC-USDT"]))["BTC-USDT"]
    assert (quote.price, quote.bid, quote.ask) == (78340.5, None, None)


async def test_a_delayed_quote_is_as_old_as_its_delay(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.delayed = True
    quote = (await source.quotes(["AAPL"]))["AAPL"]
    assert quote.price == 219.3
    assert quote.time == NOW - timedelta(minutes=15)
    assert quote.provenance.delay_seconds == 900
    assert quote.provenance.flags == ()
    fake.now = at("2026-05-15 22:00")
    assert (await source.quotes(["AAPL"]))["AAPL"].time == at("2026-05-15 20:00")


@pytest.mark.parametrize(
    ("symbol", "now", "time"),
    [
        ("AAPL", "2026-07-15 23:00", "2026-07-15 20:00"),
        ("AAPL", "2026-01-15 23:00", "2026-01-15 21:00"),
        ("AAPL", "2026-05-15 15:30", "2026-05-15 15:30"),  # not over yet: no instant to come
        ("AAPL", "2026-05-15 09:30", "2026-05-14 20:00"),
        ("AAPL", "2026-05-17 12:00", "2026-05-15 20:00"),
        ("DE", "2026-07-15 23:00", "2026-07-15 20:00"),
        ("0700.HK", "2026-05-15 12:00", "2026-05-15 08:00"),
        ("600519.SS", "2026-05-15 12:00", "2026-05-15 07:00"),
        ("RELIANCE.BO", "2026-05-15 12:00", "2026-05-15 10:00"),
        ("TSCO.L", "2026-07-15 23:00", "2026-07-15 15:30"),
        ("TSCO.L", "2026-01-15 23:00", "2026-01-15 16:30"),
        ("SHOP.TO", "2026-07-15 23:00", "2026-07-15 20:00"),
        ("SAP.DE", "2026-07-15 23:00", "2026-07-15 15:30"),
    ],
)
async def test_a_share_is_quoted_as_of_its_usual_close(
    fake: FakeAlphaVantage, source: AlphaVantage, symbol: str, now: str, time: str
) -> None:
    fake.now = at(now)
    assert (await source.quotes([symbol]))[symbol].time == at(time)


@pytest.mark.parametrize(
    ("symbol", "price", "currency", "flags"),
    [
        ("TSCO.L", 4.217, "GBP", ("END_OF_DAY", "MINOR_UNIT")),
        ("CSPX.L", 612.4, "USD", ("END_OF_DAY",)),
        ("0700.HK", 410.2, "HKD", ("END_OF_DAY",)),
        ("SAP.DE", 262.8, "EUR", ("END_OF_DAY",)),
    ],
)
async def test_prices_are_in_major_units(
    fake: FakeAlphaVantage, source: AlphaVantage, symbol: str, price: float, currency: str, flags: tuple[str, ...]
) -> None:
    quote = (await source.quotes([symbol]))[symbol]
    assert (quote.price, quote.currency, tuple(quote.provenance.flags)) == (price, currency, flags)
    last, before = islice(fake.rows(symbol), 2)
    parts = SHARES[symbol].parts
    wanted = [last.open, last.high, last.low, before.close]
    assert [quote.open, quote.high, quote.low, quote.previous_close] == [float(number / parts) for number in wanted]
    assert quote.volume == float(last.volume)


async def test_what_london_is_priced_in_is_asked_once(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    await source.quotes(["TSCO.L"])
    await source.quotes(["TSCO.L"])
    await bars(source, "TSCO.L", "2026-05-01")
    assert [asked["function"] for asked in fake.asked] == [
        "SYMBOL_SEARCH",
        "GLOBAL_QUOTE",
        "GLOBAL_QUOTE",
        "TIME_SERIES_DAILY",
    ]
    assert fake.asked[0]["keywords"] == "TSCO.LON"


async def test_the_requests_for_quotes(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    found = await source.quotes(["BRK.B", "EURUSD=X", "^GSPC", "BRK.B", fake.unknown, "BTC-USD"])
    assert {symbol: quote.price for symbol, quote in found.items()} == {
        "BRK.B": 480.15,
        "EURUSD=X": 1.1624,
        "BTC-USD": 78312.42,
    }
    assert fake.asked == [
        {"function": "GLOBAL_QUOTE", "symbol": "BRK-B"},
        {"function": "CURRENCY_EXCHANGE_RATE", "from_currency": "EUR", "to_currency": "USD"},
        {"function": "GLOBAL_QUOTE", "symbol": "ZZZZ"},
        {"function": "CURRENCY_EXCHANGE_RATE", "from_currency": "BTC", "to_currency": "USD"},
    ]
    assert fake.budget.spent == 4
    assert {request.query["apikey"] for request in fake.requests} == {KEY}


@pytest.mark.parametrize("says", [{}, {"Global Quote": {}}, {"Global Quote": {**IBM, "05. price": "0.0000"}}])
async def test_what_it_does_not_know_is_left_out(
    fake: FakeAlphaVantage, source: AlphaVantage, says: dict[str, Any]
) -> None:
    fake.says = says
    assert await source.quotes(["IBM"]) == {}


async def test_an_unknown_pair_or_listing_in_london_is_left_out(source: AlphaVantage) -> None:
    assert await source.quotes(["EURXXX=X", "NONE.L"]) == {}


async def test_zeros_and_gaps_of_a_quote_are_unknown(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.says = {"Global Quote": {**IBM, "02. open": "0.0000", "03. high": "None", "08. previous close": "NaN"}}
    del fake.says["Global Quote"]["04. low"]
    quote = (await source.quotes(["IBM"]))["IBM"]
    assert (quote.price, quote.open, quote.high, quote.low, quote.previous_close) == (219.3, None, None, None, None)


# The limit of a second


async def test_symbols_wait_their_turn(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.counts = True
    assert list(await source.quotes(["AAPL", "DE", "TSCO.L"])) == ["AAPL", "DE", "TSCO.L"]
    assert fake.paused == [1.0, 1.0, 1.0]
    assert len(fake.requests) == 7  # four answers and three that came too early


async def test_history_waits_for_its_second_question(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.counts = True
    assert len(await bars(source, "TSCO.L", "2026-05-11")) == 5
    assert fake.paused == [1.0]


async def test_nobody_waits_for_ever(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.says = av.BURST
    with pytest.raises(SourceLimited) as caught:
        await source.quotes(["AAPL", "DE"])
    assert caught.value.retry_after_s == 1.0
    assert fake.paused == [1.0, 1.0]
    assert [asked["symbol"] for asked in fake.asked] == ["AAPL"] * 3


async def test_a_spent_day_is_not_waited_for(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.counts = True
    for _ in range(24):
        await source.quotes(["AAPL"])
        fake.now += timedelta(seconds=1)
    with pytest.raises(SourceLimited) as caught:
        await source.quotes(["AAPL", "DE"])
    assert caught.value.retry_after_s == (at("2026-05-16 04:00") - fake.now).total_seconds()
    fake.now = at("2026-05-16 03:59:50")
    with pytest.raises(SourceLimited):
        await source.quotes(["AAPL"])
    fake.now = at("2026-05-16 04:00")
    assert list(await source.quotes(["AAPL"])) == ["AAPL"]


# History


@pytest.mark.parametrize(
    ("symbol", "asked"),
    [
        ("AAPL", {"function": "TIME_SERIES_DAILY", "symbol": "AAPL", "outputsize": "compact"}),
        ("0700.HK", {"function": "TIME_SERIES_DAILY", "symbol": "0700.HKG", "outputsize": "compact"}),
        ("JPY=X", {"function": "FX_DAILY", "from_symbol": "USD", "to_symbol": "JPY", "outputsize": "compact"}),
        ("BTC-USDT", {"function": "DIGITAL_CURRENCY_DAILY", "symbol": "BTC", "market": "USDT"}),
    ],
)
async def test_the_request_for_bars(
    fake: FakeAlphaVantage, source: AlphaVantage, symbol: str, asked: dict[str, str]
) -> None:
    await bars(source, symbol, "2026-04-01")
    assert fake.asked == [asked]


@pytest.mark.parametrize("symbol", [*SHARES, *PAIRS])
async def test_bars_are_as_traded(fake: FakeAlphaVantage, source: AlphaVantage, symbol: str) -> None:
    start = at("2026-03-02")
    frame = await bars(source, symbol, start)
    assert frame.schema == pl.Schema(BAR_SCHEMA)
    parts = SHARES[symbol].parts if symbol in SHARES else 1
    has_volume = symbol in SHARES or "-" in symbol
    wanted = [row for row in islice(fake.rows(symbol), 100) if midnight(row.day) >= start][::-1]
    assert len(wanted) > 50
    assert frame.rows() == [
        (
            midnight(row.day),
            *(float(price / parts) for price in (row.open, row.high, row.low, row.close)),
            float(row.volume) if has_volume else None,
            None,
            None,
            1.0,
            0.0,
            row.day < NOW.date(),
        )
        for row in wanted
    ]
    assert frame["close"][-1] == fake.prices[symbol]


async def test_a_split_stands_as_it_was_traded(source: AlphaVantage) -> None:
    frame = await bars(source, "AAPL", "2026-03-13", "2026-03-17")
    before, after = frame["close"]
    assert before / after == pytest.approx(4, rel=0.05)
    assert frame["split_factor"].to_list() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-05-12", "2026-05-14", [12, 13]),  # the end is not within
        ("2026-05-12 00:00:01", "2026-05-14 00:00:01", [13, 14]),
        ("2026-05-08", "2026-05-12", [8, 11]),  # a weekend
        ("2026-05-15", "2026-06-15", [15]),
    ],
)
async def test_only_bars_that_open_within_the_window(
    source: AlphaVantage, start: str, end: str, days: list[int]
) -> None:
    frame = await bars(source, "AAPL", start, end)
    assert frame["time"].to_list() == [datetime(2026, 5, day, tzinfo=UTC) for day in days]


async def test_a_window_without_trading_is_empty(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    frame = await bars(source, "AAPL", "2026-05-09", "2026-05-11")
    assert (frame.height, frame.schema) == (0, pl.Schema(BAR_SCHEMA))
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-05-12 09:00", "2026-05-12 17:00"), ("2026-05-16", "2026-06-01"), ("2026-05-12", "2026-05-12")],
)
async def test_a_window_in_which_no_day_can_begin_costs_nothing(
    fake: FakeAlphaVantage, source: AlphaVantage, start: str, end: str
) -> None:
    frame = await bars(source, "AAPL", start, end)
    assert (frame.height, frame.schema) == (0, pl.Schema(BAR_SCHEMA))
    assert fake.requests == []


@pytest.mark.parametrize(
    ("symbol", "now", "is_final"),
    [
        # A day of shares is over at midnight in New York, and its prices come 15 minutes later.
        ("AAPL", "2026-07-15 20:01", False),
        ("AAPL", "2026-07-16 04:14:59", False),
        ("AAPL", "2026-07-16 04:15", True),
        ("AAPL", "2026-01-15 05:14:59", False),
        ("AAPL", "2026-01-15 05:15", True),
        ("0700.HK", "2026-07-16 04:15", True),
        ("EURUSD=X", "2026-07-16 00:14:59", False),
        ("EURUSD=X", "2026-07-16 00:15", True),
        ("BTC-USD", "2026-07-16 00:15", True),
    ],
)
async def test_a_day_is_final_once_it_is_over(
    fake: FakeAlphaVantage, source: AlphaVantage, symbol: str, now: str, is_final: bool
) -> None:
    fake.now = at(now)
    day = fake.now.date() - DAY if fake.now.hour < 12 else fake.now.date()
    frame = await bars(source, symbol, midnight(day), midnight(day) + DAY)
    assert frame.select("time", "is_final").rows() == [(midnight(day), is_final)]
    earlier = await bars(source, symbol, midnight(day) - 7 * DAY, midnight(day))
    assert earlier["is_final"].all()


async def test_a_recorded_series(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.now = at("2026-05-16 12:00")
    row = {"1. open": "218.2000", "2. high": "220.9100", "3. low": "217.6150", "4. close": "219.3000"}
    meta = {"1. Information": "Daily Prices", "2. Symbol": "IBM", "3. Last Refreshed": "2026-05-15"}
    fake.says = {
        "Meta Data": {**meta, "4. Output Size": "Compact", "5. Time Zone": "US/Eastern"},
        "Time Series (Daily)": {"2026-05-15": {**row, "5. volume": "6154450"}},
    }
    frame = await bars(source, "IBM", "2026-05-01")
    assert frame.rows() == [(at("2026-05-15"), 218.2, 220.91, 217.615, 219.3, 6154450.0, None, None, 1.0, 0.0, True)]


async def test_columns_are_found_by_their_words(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    # Crypto volumes have been JSON integers, and in adjusted rows "5." is another column.
    row = {"1. open": "1.5", "2. high": "3", "3. low": "1", "4. close": "2", "5. adjusted close": "0.5", "6. volume": 9}
    fake.says = {"Meta Data": {"9. Time Zone": "UTC"}, "Time Series Crypto (Daily)": {"2026-05-14": row}}
    frame = await bars(source, "BTC-USD", "2026-05-14")
    assert frame.select("open", "high", "low", "close", "volume").rows() == [(1.5, 3.0, 1.0, 2.0, 9.0)]


async def test_coins_are_read_as_they_were_told_of_old(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    today = await bars(source, "BTC-USDT", "2026-05-01")
    fake.legacy_coins = True
    assert (await bars(source, "BTC-USDT", "2026-05-01")).equals(today)


async def test_null_rows_are_dropped(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.null_days = {date(2026, 5, 13)}
    frame = await bars(source, "AAPL", "2026-05-12", "2026-05-15")
    assert [time.day for time in frame["time"]] == [12, 14]


@pytest.mark.parametrize("symbol", ["AAPL", "EURUSD=X"])
async def test_a_free_key_has_the_newest_bars_only(fake: FakeAlphaVantage, source: AlphaVantage, symbol: str) -> None:
    assert len(await bars(source, symbol, "2026-01-03")) > 90
    for _ in range(2):
        with pytest.raises(SourceCannot, match=r"only from 2026-01-03 on; ask from there"):
            await bars(source, symbol, "2026-01-02")
    # The refusal is remembered for a day.
    assert [asked["outputsize"] for asked in fake.asked] == ["compact", "full"]
    fake.premium = True
    fake.now += DAY
    frame = await bars(source, symbol, "2020-01-01", "2020-01-04")
    assert [time.day for time in frame["time"]] == [2, 3]
    assert [asked["outputsize"] for asked in fake.asked] == ["compact", "full", "full"]


async def test_a_refusal_of_one_function_says_nothing_of_another(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    for symbol in ("AAPL", "EURUSD=X", "DE"):
        with pytest.raises(SourceCannot):
            await bars(source, symbol, "2020-01-01")
    assert [asked["function"] for asked in fake.asked] == ["TIME_SERIES_DAILY", "FX_DAILY"]


async def test_a_paid_key_reaches_to_the_listing(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.premium = True
    fake.listed_on["AAPL"] = date(2019, 11, 4)
    frame = await bars(source, "AAPL", "1970-01-01")
    assert (frame["time"][0], len(frame)) == (at("2019-11-04"), len(list(fake.rows("AAPL"))))
    assert fake.asked == [{"function": "TIME_SERIES_DAILY", "symbol": "AAPL", "outputsize": "full"}]


async def test_a_young_share_is_told_whole(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.listed_on["AAPL"] = date(2026, 5, 7)
    frame = await bars(source, "AAPL", "2026-02-01")
    assert [time.day for time in frame["time"]] == [7, 8, 11, 12, 13, 14, 15]


async def test_rows_that_are_cut_off_are_never_taken_for_all(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    days = [NOW.date() - n * DAY for n in range(100)]  # of weekends too, so they go back less than 19 weeks
    row = {"1. open": "1", "2. high": "1", "3. low": "1", "4. close": "1"}
    series = {day.isoformat(): row for day in days}
    fake.says = {"Meta Data": {"6. Time Zone": "UTC"}, "Time Series FX (Daily)": series}
    assert len(await bars(source, "EURUSD=X", midnight(days[-1]))) == 100
    series[days[50].isoformat()] = {**row, "4. close": "0.0000"}  # a null row has been told all the same
    assert len(await bars(source, "EURUSD=X", midnight(days[-1]))) == 99
    with pytest.raises(SourceCannot, match=f"only from {days[-1]} on"):
        await bars(source, "EURUSD=X", midnight(days[-1]) - DAY)
    del series[days[60].isoformat()]  # 99 rows are all that there are
    assert len(await bars(source, "EURUSD=X", midnight(days[-1]) - DAY)) == 98


async def test_where_the_whole_history_fails_the_newest_rows_tell_who_is_known(
    fake: FakeAlphaVantage, source: AlphaVantage
) -> None:
    fake.premium = True
    fake.full_fails = {"0700.HK"}
    with pytest.raises(SourceCannot, match=r"bars of 0700\.HK only from"):
        await bars(source, "0700.HK", "2020-01-01")
    with pytest.raises(SymbolNotFound):
        await bars(source, fake.unknown, "2020-01-01")
    assert [(asked["symbol"], asked["outputsize"]) for asked in fake.asked] == [
        ("0700.HKG", "full"),
        ("0700.HKG", "compact"),
        ("ZZZZ", "full"),
        ("ZZZZ", "compact"),
    ]
    assert len(await bars(source, "AAPL", "2020-01-01")) > 1000


async def test_coins_have_350_days(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    assert len(await bars(source, "BTC-USD", NOW - 349 * DAY)) == 349
    with pytest.raises(SourceCannot, match=r"BTC-USD only from 2025-05-31 on"):
        await bars(source, "BTC-USD", "2020-01-01")
    assert len(fake.requests) == 1
    fake.listed_on["BTC-USD"] = date(2026, 3, 1)
    with pytest.raises(SourceCannot, match=r"BTC-USD only from 2026-03-01 on"):
        await bars(source, "BTC-USD", "2026-02-01")


@pytest.mark.parametrize("symbol", ["ZZZZ", "NONE.L", "EURXXX=X", "XXX-USD", "^GSPC"])
@pytest.mark.parametrize("unknown_is_empty", [False, True])
async def test_nobody_has_bars_of_an_unknown_symbol(
    fake: FakeAlphaVantage, source: AlphaVantage, symbol: str, unknown_is_empty: bool
) -> None:
    fake.unknown_is_empty = unknown_is_empty
    with pytest.raises(SymbolNotFound) as caught:
        await bars(source, symbol, "2026-05-01")
    assert caught.value.extensions == {"code": "SYMBOL_NOT_FOUND", "symbol": symbol}


# What goes wrong


def ours(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged, but for the fake's own log of requests."""
    return "\n".join(record.getMessage() for record in caplog.records if record.name != "aiohttp.access")


async def asked_everything(source: AlphaVantage) -> list[BaseException]:
    """What each question ends with."""
    answers = await asyncio.gather(
        source.quotes(["AAPL"]),
        source.quotes(["EURUSD=X"]),
        bars(source, "AAPL", "2026-05-01"),
        bars(source, "AAPL", "2020-01-01"),
        bars(source, "BTC-USD", "2026-05-01"),
        source.search("apple", 5),
        source.asset("AAPL"),
        source.asset("BTC-USD"),
        return_exceptions=True,
    )
    assert all(isinstance(answer, SmartFinError) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, BaseException)]


@pytest.mark.parametrize(
    ("says", "kind", "retry_after_s"),
    [
        (av.BURST, SourceLimited, 1.0),
        (av.LEGACY_NOTE, SourceLimited, 1.0),
        (av.DAILY_QUOTA, SourceLimited, 45_000.0),
        (av.PREMIUM, SourceRefused, None),
        (av.NOT_ENTITLED, SourceRefused, None),
        (av.ARTIFICIAL, SourceRefused, None),
        ({**av.ARTIFICIAL, "message": "THE SAMPLE DATA BELOW IS ARTIFICIAL"}, SourceRefused, None),
        (av.BAD_KEY, SourceRefused, None),
        (av.DEMO_KEY, SourceRefused, None),
        (av.NO_FUNCTION, SourceBadAnswer, None),
        (av.BAD_ACCEPT, SourceBadAnswer, None),
        ({"Information": "Something else"}, SourceBadAnswer, None),
        ([], SourceBadAnswer, None),
        ("text", SourceBadAnswer, None),
        ({"Global Quote": [1], "Meta Data": 1, "bestMatches": [1]}, SourceBadAnswer, None),
        ({"Meta Data": {"1. Time Zone": "Nowhere"}, "Time Series": {}}, SourceBadAnswer, None),
    ],
)
async def test_what_its_sentences_mean(
    fake: FakeAlphaVantage, source: AlphaVantage, says: Any, kind: type[SmartFinError], retry_after_s: float | None
) -> None:
    fake.says = says
    for error in await asked_everything(source):
        assert type(error) is kind
        assert getattr(error, "retry_after_s", None) == retry_after_s


async def test_bars_beyond_the_plan_are_out_of_reach(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    fake.says = av.full_is_premium("TIME_SERIES_DAILY")
    assert {type(error) for error in await asked_everything(source)} == {SourceCannot}


@pytest.mark.parametrize(
    ("now", "retry_after_s"),
    [
        ("2026-03-08 05:00", 23 * 3600),  # the night clocks go forward in New York
        ("2026-11-01 04:00", 25 * 3600),
        ("2026-05-15 04:00", 24 * 3600),
        ("2026-05-15 03:59:30", 30),
    ],
)
async def test_a_spent_day_ends_at_midnight_in_new_york(
    fake: FakeAlphaVantage, source: AlphaVantage, now: str, retry_after_s: int
) -> None:
    fake.now = at(now)
    fake.says = av.DAILY_QUOTA
    with pytest.raises(SourceLimited) as caught:
        await source.quotes(["AAPL"])
    assert caught.value.retry_after_s == retry_after_s


@pytest.mark.parametrize(
    "says",
    [
        av.DAILY_QUOTA,
        {"Information": f"Hello, {KEY}"},
        {"Global Quote": {"05. price": KEY, "07. latest trading day": KEY}, KEY: KEY},
        {"Global Quote": {"05. price": "1", "07. latest trading day": KEY}},
        {"Meta Data": {"Time Zone": "UTC"}, "Time Series": {"2026-05-15": {"1. open": KEY}}},
        {"Error Message": f"Invalid API call for {KEY}"},
    ],
)
async def test_the_key_is_never_told(
    fake: FakeAlphaVantage, source: AlphaVantage, caplog: pytest.LogCaptureFixture, says: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    fake.says = says
    answers = await asyncio.gather(
        source.quotes(["AAPL"]),
        bars(source, "AAPL", "2026-05-01"),
        source.search("apple", 5),
        source.asset("AAPL"),
        return_exceptions=True,
    )
    assert any(isinstance(answer, SmartFinError) for answer in answers)
    for answer in answers:
        assert KEY not in f"{answer} {answer!r} {getattr(answer, '__dict__', '')}"
    assert KEY not in ours(caplog)
    assert KEY not in repr(source)


async def test_a_wrong_key_is_refused(fake: FakeAlphaVantage) -> None:
    source = AlphaVantage(fake.url, "WRONG", fake.budget)
    for error in await asked_everything(source):
        assert type(error) is SourceRefused
        assert "ALPHAVANTAGE_API_KEY" in str(error)
    await source.aclose()


# Search


async def test_search_tells_what_we_can_spell(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    matches = [
        ("TSCO.LON", "Tesco PLC", "Equity", "GBX"),
        ("BRK-B", "Berkshire Hathaway Inc", "Equity", "USD"),
        ("7203.T", "Toyota", "Equity", "JPY"),
        ("TSCDF", "Some warrant", "Warrant", "USD"),
        ("0700.HKG", "Tencent", "ETF", "HKD"),
        ("VFIAX", "Vanguard 500 Index Fund", "Mutual Fund", "USD"),
    ]
    fake.says = {
        "bestMatches": [
            {"1. symbol": symbol, "2. name": name, "3. type": kind, "8. currency": currency, "9. matchScore": "0.7"}
            for symbol, name, kind, currency in matches
        ]
    }
    found = await source.search("tesco", 10)
    assert [(asset.symbol, asset.type, asset.currency) for asset in found] == [
        ("TSCO.L", AssetType.STOCK, "GBP"),
        ("BRK.B", AssetType.STOCK, "USD"),
        ("0700.HK", AssetType.ETF, "HKD"),
        ("VFIAX", AssetType.FUND, "USD"),
    ]
    assert found[0] == Asset(
        symbol="TSCO.L",
        name="Tesco PLC",
        type=AssetType.STOCK,
        market_code="XLON",
        currency="GBP",
        timezone="Europe/London",
    )
    assert await source.search("tesco", 2) == found[:2]


async def test_search_asks_for_the_text(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    assert [asset.symbol for asset in await source.search("apple & co", 5)] == []
    assert [asset.symbol for asset in await source.search("Apple", 5)] == ["AAPL"]
    assert await source.search("  ", 5) == ()
    assert fake.asked == [
        {"function": "SYMBOL_SEARCH", "keywords": "apple & co"},
        {"function": "SYMBOL_SEARCH", "keywords": "Apple"},
    ]


async def test_an_asset(source: AlphaVantage) -> None:
    share = await source.asset("BRK.B")
    assert share is not None
    assert (share.symbol, share.name) == ("BRK.B", "Berkshire Hathaway Inc - Class B")
    assert await source.asset("JPY=X") == Asset(
        symbol="JPY=X",
        name="United States Dollar / Japanese Yen",
        type=AssetType.FOREX,
        market_code="FOREX",
        currency="JPY",
        timezone="UTC",
    )
    coin = await source.asset("BTC-USDT")
    assert coin is not None
    assert (coin.name, coin.type, coin.currency) == ("Bitcoin / Tether", AssetType.CRYPTO, "USDT")


@pytest.mark.parametrize("symbol", ["ZZZZ", "EURXXX=X", "^GSPC"])
async def test_an_unknown_asset(source: AlphaVantage, symbol: str) -> None:
    assert await source.asset(symbol) is None


async def test_what_it_found_says_what_prices_are_in(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    await source.search("tesco", 5)
    assert (await source.quotes(["TSCO.L"]))["TSCO.L"].price == 4.217
    assert [asked["function"] for asked in fake.asked] == ["SYMBOL_SEARCH", "GLOBAL_QUOTE"]


async def test_it_lists_nothing_for_free(fake: FakeAlphaVantage, source: AlphaVantage) -> None:
    assert await source.assets() == ()
    assert fake.requests == []


def test_it_has_no_stream() -> None:
    source: Source = AlphaVantage("http://127.0.0.1:1", KEY, Unlimited())
    with pytest.raises(SourceCannot):
        source.stream(Demand(["AAPL"]))
