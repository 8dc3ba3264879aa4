import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic

import polars as pl
import pytest
from msgspec import structs
from polars.testing import assert_frame_equal

from errors import (
    SourceBadAnswer,
    SourceCannot,
    SourceFault,
    SourceLimited,
    SourceUnreachable,
)
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import load_settings
from sources import binance
from sources.binance import Binance
from sources.source import Source
from tests.fakes.binance import INTERVALS, LISTED, PAIRS, FakeBinance
from tests.fakes.crypto import EPOCH, FakeBar, bar
from tests.fakes.fake import Unlimited
from tests.sources.streaming import listening

NOW = datetime(2026, 1, 15, 10, 20, 30, 500_000, tzinfo=UTC)  # a Thursday
TODAY = datetime(2026, 1, 15, tzinfo=UTC)
MINUTE, DAY, MS, US = timedelta(minutes=1), timedelta(days=1), timedelta(milliseconds=1), timedelta(microseconds=1)
LIVE = Provenance(source="binance", served_from=ServedFrom.LIVE, received_at=NOW, delay_seconds=0.0)
NAMES = {interval: name for name, interval in INTERVALS.items()}


@pytest.fixture
async def fake() -> AsyncIterator[FakeBinance]:
    async with FakeBinance() as fake:
        fake.now = NOW
        yield fake


def ms(at: datetime) -> int:
    return (at - EPOCH) // MS


def asked(fake: FakeBinance, path: str) -> list[dict[str, str]]:
    return [dict(request.query) for request in fake.requests if request.path == path]


def frame(bars: list[FakeBar], interval: Interval, now: datetime = NOW) -> pl.DataFrame:
    """The bars as they must come out."""
    rows = [
        (
            known.opened,
            *map(float, (known.open, known.high, known.low, known.close, known.volume)),
            float(known.turnover / known.volume) if known.volume else None,
            known.trades,
            1.0,
            0.0,
            interval.end(known.opened) <= now,
        )
        for known in bars
    ]
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


# Symbols


@pytest.mark.parametrize(
    ("symbol", "covered"),
    [
        ("BTC-USDT", True),
        ("ETH-BTC", True),
        ("BTC-FDUSD", True),
        ("1000SATS-USDT", True),
        ("BTC-USD", False),
        ("AAPL", False),
        ("BRK.B", False),
        ("BRK-B", False),
        ("KIM-PL", False),
        ("EURUSD=X", False),
        ("^GSPC", False),
        ("BTCUSDT", False),
    ],
)
def test_pairs_are_covered_but_none_in_dollars(symbol: str, covered: bool) -> None:
    assert Binance("http://x", "ws://x", Unlimited()).covers(symbol) is covered


def test_it_is_what_the_protocol_asks_for() -> None:
    source: Source = Binance.opened(load_settings(), Unlimited())
    assert source.reach == dict.fromkeys(Interval)
    assert source.symbols_per_stream * 2 <= 1024
    assert source.stream_life_s is not None
    assert source.stream_life_s < 86_400


# Quotes


async def test_a_quote_has_the_book_and_the_utc_day(fake: FakeBinance, source: Binance) -> None:
    fake.prices["BTC-USDT"] = 60_000.25
    today = fake.bar("BTC-USDT", Interval.D1, TODAY)
    yesterday = fake.bar("BTC-USDT", Interval.D1, TODAY - DAY)
    assert await source.quotes(["BTC-USDT"]) == {
        "BTC-USDT": Quote(
            symbol="BTC-USDT",
            price=60_000.25,
            time=datetime(2026, 1, 15, 10, 20, 30, 500_000, tzinfo=UTC),
            provenance=LIVE,
            open=float(today.open),
            high=float(today.high),
            low=60_000.25,
            previous_close=float(yesterday.close),
            volume=float(today.volume),
            turnover=float(today.turnover),
            bid=60_000.24,
            ask=60_000.25,
            bid_size=100.0,
            ask_size=100.0,
            last_size=200.0,
            currency="USDT",
        )
    }
    assert [request.path for request in fake.requests] == [
        "/api/v3/exchangeInfo",
        "/api/v3/ticker/24hr",
        "/api/v3/klines",
    ]
    assert asked(fake, "/api/v3/klines") == [{"symbol": "BTCUSDT", "interval": "1d", "limit": "2"}]
    assert fake.budget.spent == 20 + 2 + 2


async def test_the_recorded_ticker_keeps_its_rolling_day_to_itself() -> None:
    recorded = json.loads(
        '[{"symbol":"BNBBTC","priceChange":"-94.99999800","priceChangePercent":"-95.960","weightedAvgPrice":'
        '"0.29628482","prevClosePrice":"0.10002000","lastPrice":"4.00000200","lastQty":"200.00000000","bidPrice":'
        '"4.00000000","bidQty":"100.00000000","askPrice":"4.00000200","askQty":"0.00000000","openPrice":"99.00000000",'
        '"highPrice":"100.00000000","lowPrice":"0.10000000","volume":"8913.30000000","quoteVolume":"15.30000000",'
        '"openTime":1499783499040,"closeTime":1499869899040,"firstId":28385,"lastId":28460,"count":76}]'
    )
    asset = Asset(symbol="BNB-BTC", name="BNB/BTC", type=AssetType.CRYPTO, market_code="CRYPTO", currency="BTC")
    assert binance._parse_tickers(recorded, {"BNBBTC": asset}, NOW) == {
        "BNB-BTC": Quote(
            symbol="BNB-BTC",
            price=4.000002,
            time=datetime(2017, 7, 12, 14, 31, 39, 40_000, tzinfo=UTC),
            provenance=LIVE,
            bid=4.0,
            ask=4.000002,
            bid_size=100.0,
            ask_size=None,
            last_size=200.0,
            currency="BTC",
        )
    }


async def test_unknown_and_never_traded_pairs_are_left_out(source: Binance) -> None:
    quotes = await source.quotes(["NOPE-USDT", "GHOST-USDT", "ADA-USDT", "ADA-USDT", "AAPL"])
    assert list(quotes) == ["ADA-USDT"]


async def test_many_pairs_are_asked_for_in_batches_of_the_least_weight(
    fake: FakeBinance, source: Binance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binance, "BATCH", 3)
    assert set(await source.quotes(FakeBinance.symbols)) == set(FakeBinance.symbols)
    assert sorted(query["symbols"] for query in asked(fake, "/api/v3/ticker/24hr")) == [
        '["ADAUSDT"]',
        '["BTCFDUSD","BNBBTC","1000SATSUSDT"]',
        '["BTCUSDT","ETHBTC","BTCUSDC"]',
    ]
    assert fake.budget.spent == 20 + 3 * 2 + 7 * 2


async def test_the_day_of_another_price_is_not_told(
    fake: FakeBinance, source: Binance, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = fake.bar("BTC-USDT", Interval.D1, TODAY)
    monkeypatch.setattr(fake, "price", lambda _pair: today.high + Decimal("0.01"))
    quote = (await source.quotes(["BTC-USDT"]))["BTC-USDT"]
    assert quote.price == float(today.high + Decimal("0.01"))
    assert (quote.open, quote.high, quote.low, quote.previous_close, quote.volume, quote.turnover) == (None,) * 6


async def test_on_its_first_day_a_pair_has_no_previous_close(fake: FakeBinance, source: Binance) -> None:
    fake.now = datetime(2026, 1, 14, 12, tzinfo=UTC)
    quote = (await source.quotes(["NEW-USDT"]))["NEW-USDT"]
    assert quote.previous_close is None
    assert quote.open == float(fake.bar("NEW-USDT", Interval.D1, TODAY - DAY).open)


# History


@pytest.mark.parametrize("interval", Interval)
async def test_bars_of_each_interval_to_the_forming_one(fake: FakeBinance, source: Binance, interval: Interval) -> None:
    forming = interval.floor(NOW)
    opened = [forming]
    while len(opened) < 5:
        opened.append(interval.floor(opened[-1] - US))
    start = opened[-1]
    found = await source.history("BTC-USDT", interval, Window(start, NOW))
    expected = [fake.bar("BTC-USDT", interval, at) for at in reversed(opened)]
    assert_frame_equal(found, frame(expected, interval))
    assert found["is_final"].to_list() == [True] * 4 + [False]
    assert asked(fake, "/api/v3/klines") == [
        {
            "symbol": "BTCUSDT",
            "interval": NAMES[interval],
            "startTime": str(ms(start)),
            "endTime": str(ms(NOW - US)),
            "limit": "1000",
        }
    ]
    assert fake.budget.spent == 20 + 2


async def test_a_week_begins_on_monday_and_a_month_on_its_first(source: Binance) -> None:
    window = Window(datetime(2025, 12, 1, tzinfo=UTC), NOW)
    weeks = await source.history("BTC-USDT", Interval.W1, window)
    months = await source.history("BTC-USDT", Interval.MN1, window)
    assert [time.isoformat()[:10] for time in weeks["time"]] == [
        "2025-12-01", "2025-12-08", "2025-12-15", "2025-12-22", "2025-12-29", "2026-01-05", "2026-01-12",
    ]  # fmt: skip
    assert [time.isoformat()[:10] for time in months["time"]] == ["2025-12-01", "2026-01-01"]


async def test_recorded_klines_are_parsed_exactly() -> None:
    recorded = json.loads(
        '[[1634943780000,"60685.22000000","60729.84000000","60670.90000000","60719.27000000","21.63272000",'
        '1634943839999,"1313200.01340410",617,"12.28492000","745719.41022840","0"]]'
    )
    klines = binance._parse_klines(recorded)
    assert binance._frame(klines, 1634943839999)["is_final"].to_list() == [False]
    (row,) = binance._frame(klines, 1634943840000).rows()
    vwap = float(Decimal("1313200.01340410") / Decimal("21.63272000"))
    time = datetime(2021, 10, 22, 23, 3, tzinfo=UTC)
    assert row == (time, 60685.22, 60729.84, 60670.9, 60719.27, 21.63272, vwap, 617, 1.0, 0.0, True)


async def test_long_windows_are_paged(fake: FakeBinance, source: Binance) -> None:
    start = datetime(2026, 1, 10, tzinfo=UTC)
    end = start + 2500 * MINUTE
    found = await source.history("ETH-BTC", Interval.M1, Window(start, end))
    expected = [fake.bar("ETH-BTC", Interval.M1, start + number * MINUTE) for number in range(2500)]
    assert_frame_equal(found, frame(expected, Interval.M1))
    pages = asked(fake, "/api/v3/klines")
    assert [int(page["startTime"]) for page in pages] == [ms(start + page * 1000 * MINUTE) for page in range(3)]
    assert {page["endTime"] for page in pages} == {str(ms(end - US))}
    assert fake.budget.spent == 20 + 3 * 2


async def test_a_window_of_just_one_page_takes_one_question(fake: FakeBinance, source: Binance) -> None:
    start = datetime(2026, 1, 10, tzinfo=UTC)
    found = await source.history("ETH-BTC", Interval.M1, Window(start, start + 1000 * MINUTE))
    assert len(found) == 1000
    assert len(asked(fake, "/api/v3/klines")) == 1


H = datetime(2026, 1, 15, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("start", "end", "opened"),
    [
        (LISTED - DAY, LISTED - HOUR, []),
        (LISTED - DAY, LISTED + HOUR, [LISTED]),
        (EPOCH - DAY, EPOCH - HOUR, []),
        (EPOCH - DAY, LISTED + 1 * US, [LISTED]),
    ],
)
async def test_a_window_may_begin_before_the_listing(
    fake: FakeBinance, source: Binance, start: datetime, end: datetime, opened: list[datetime]
) -> None:
    found = await source.history("BTC-USDT", Interval.H1, Window(start, end))
    expected = [fake.bar("BTC-USDT", Interval.H1, at) for at in opened]
    assert_frame_equal(found, frame(expected, Interval.H1))


async def test_the_forming_bar_closes_at_the_last_price(fake: FakeBinance, source: Binance) -> None:
    fake.prices["BTC-USDT"] = 59_999.99
    found = await source.history("BTC-USDT", Interval.H1, Window(NOW - HOUR, NOW))
    assert found.row(-1, named=True)["close"] == 59_999.99
    assert found.row(-1, named=True)["low"] == 59_999.99


async def test_a_page_that_does_not_go_on_ends_the_question(fake: FakeBinance, source: Binance) -> None:
    fake.ignores_start = True
    with pytest.raises(SourceBadAnswer, match="does not go on"):
        await source.history("BTC-USDT", Interval.M1, Window(NOW - 3 * DAY, NOW + DAY))
    assert len(asked(fake, "/api/v3/klines")) == 2


async def test_what_opens_outside_the_window_is_dropped(fake: FakeBinance, source: Binance) -> None:
    fake.ignores_start = True
    found = await source.history("NEW-USDT", Interval.D1, Window(TODAY, NOW))
    assert found["time"].to_list() == [TODAY]


# Search and assets


async def test_an_asset_is_a_pair_with_its_tick(source: Binance) -> None:
    assert await source.asset("BTC-USDT") == Asset(
        symbol="BTC-USDT",
        name="BTC/USDT",
        type=AssetType.CRYPTO,
        market_code="CRYPTO",
        currency="USDT",
        exchange="Binance",
        timezone="UTC",
        tick_size=0.01,
    )
    broken = await source.asset("BCC-USDT")
    assert broken is not None
    assert not broken.is_tradable
    assert await source.asset("NOPE-USDT") is None
    assert await source.assets() == ()


@pytest.mark.parametrize(
    ("text", "limit", "found"),
    [
        ("btc", 10, ["BTC-USDT", "BTC-USDC", "BTC-FDUSD"]),
        ("btc", 2, ["BTC-USDT", "BTC-USDC"]),
        ("BTCUSDC", 10, ["BTC-USDC"]),
        ("btc/usdc", 10, ["BTC-USDC"]),
        ("bt", 1, ["BTC-USDT"]),
        ("b", 10, ["BTC-USDT", "BTC-USDC", "BNB-BTC", "BTC-FDUSD", "BCC-USDT"]),
        ("apple", 10, []),
    ],
)
async def test_search_finds_pairs_by_their_beginning(source: Binance, text: str, limit: int, found: list[str]) -> None:
    assert [asset.symbol for asset in await source.search(text, limit)] == found


async def test_names_that_our_symbols_cannot_spell_are_passed_over(source: Binance) -> None:
    listed = {asset.symbol for asset in await source.search("", 100)}
    assert listed == {pair.symbol for pair in PAIRS if pair.symbol.isascii()}


# Failures


async def test_too_much_weight_is_limited_and_then_banned(fake: FakeBinance, source: Binance) -> None:
    await source.search("", 1)
    fake.weight_limit = 20
    said = []
    for _ in range(4):
        with pytest.raises(SourceLimited) as raised:
            await source.history("BTC-USDT", Interval.D1, Window(TODAY, NOW))
        said.append((str(raised.value), raised.value.retry_after_s))
    assert said == [("binance was asked too often (status 429)", 30)] * 3 + [
        ("binance was asked too often (status 418)", 120)
    ]


async def test_the_firewall_is_a_fault_and_not_for_good(fake: FakeBinance, source: Binance) -> None:
    fake.firewall = True
    with pytest.raises(SourceFault, match="firewall"):
        await source.quotes(["BTC-USDT"])


async def test_history_of_a_pair_that_has_left_since_the_listing(fake: FakeBinance, source: Binance) -> None:
    await source.search("", 1)
    fake.gone.add("ADA-USDT")
    with pytest.raises(SourceCannot):
        await source.history("ADA-USDT", Interval.D1, Window(TODAY, NOW))


def test_a_ticker_that_nobody_asked_for_is_a_bad_answer() -> None:
    with pytest.raises(KeyError):
        binance._parse_tickers([{"symbol": "XYZ"}], {}, NOW)


# Stream

BTC = ("btcusdt@trade", "btcusdt@ticker")
ETH = ("ethbtc@trade", "ethbtc@ticker")


def tick(symbol: str, price: float, time: datetime, size: float | None, currency: str) -> Quote:
    return Quote(symbol=symbol, price=price, time=time, provenance=LIVE, last_size=size, currency=currency)


async def test_trades_are_ticks_and_carry_the_book(fake: FakeBinance, source: Binance) -> None:
    async with listening(source, "BTC-USDT") as listener:
        await fake.carries(*BTC)
        await fake.push("BTC-USDT", 60_000.25, NOW, "0.00131000")
        first = tick("BTC-USDT", 60_000.25, NOW, 0.00131, "USDT")
        assert await listener.heard() == (first,)
        await fake.push_book("BTC-USDT", "60000.24", "1.50000000", "60000.26", "0.00000000")
        book = structs.replace(first, last_size=None, bid=60_000.24, bid_size=1.5, ask=60_000.26)
        assert await listener.heard() == (book,)
        # The same book again is no change.
        await fake.push_book("BTC-USDT", "60000.24", "1.50000000", "60000.26", "0.00000000")
        await fake.push("BTC-USDT", 60_000.26, NOW + MS, "2")
        assert await listener.heard() == (structs.replace(book, price=60_000.26, time=NOW + MS, last_size=2.0),)
    assert fake.messages[0] == {"method": "SUBSCRIBE", "params": list(BTC), "id": 1}


async def test_a_book_before_the_first_trade_waits_for_it(fake: FakeBinance, source: Binance) -> None:
    async with listening(source, "BTC-USDT") as listener:
        await fake.carries(*BTC)
        await fake.push_book("BTC-USDT", "1.00", "2", "3.00", "4")
        await fake.push("BTC-USDT", 2.0, NOW, "5")
        (quote,) = await listener.heard()
        assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size, quote.last_size) == (1.0, 2.0, 3.0, 4.0, 5.0)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_recorded_frames_are_parsed_exactly(fake: FakeBinance, source: Binance, wrapped: bool) -> None:
    recorded = [
        '{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,'
        '"M":true}',
        '{"e":"24hrTicker","E":1672515782136,"s":"BNBBTC","p":"0.0015","P":"250.00","w":"0.0018","x":"0.0009",'
        '"c":"0.0025","Q":"10","b":"0.0024","B":"10","a":"0.0026","A":"100","o":"0.0010","h":"0.0025","l":"0.0010",'
        '"v":"10000","q":"18","O":1672429382136,"C":1672515782136,"F":0,"L":18150,"n":18151}',
    ]
    time = datetime(2022, 12, 31, 19, 43, 2, 136_000, tzinfo=UTC)
    async with listening(source, "BNB-BTC") as listener:
        await fake.carries("bnbbtc@trade", "bnbbtc@ticker")
        for frame in recorded:
            await fake.say(f'{{"stream":"bnbbtc@trade","data":{frame}}}' if wrapped else frame)
        trade = tick("BNB-BTC", 0.001, time, 100.0, "BTC")
        assert await listener.heard() == (trade,)
        book = structs.replace(trade, last_size=None, bid=0.0024, bid_size=10.0, ask=0.0026, ask_size=100.0)
        assert await listener.heard() == (book,)


async def test_demand_changes_what_is_subscribed(fake: FakeBinance, source: Binance) -> None:
    async with listening(source, "BTC-USDT") as listener:
        await fake.carries(*BTC)
        listener.demand.set(["ETH-BTC", "BTC-USDT"])
        await fake.carries(*BTC, *ETH)
        await fake.push("BTC-USDT", 1.0, NOW)
        await listener.heard()
        listener.demand.set(["ETH-BTC"])
        await fake.carries(*ETH)
        # What is still under way of a pair that was given up is passed over.
        await fake.say('{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT","p":"1","q":"1","T":1}}')
        await fake.push("ETH-BTC", 0.04, NOW)
        assert [quote.symbol for quote in await listener.heard()] == ["ETH-BTC"]
    assert fake.messages == [
        {"method": "SUBSCRIBE", "params": list(BTC), "id": 1},
        {"method": "SUBSCRIBE", "params": list(ETH), "id": 2},
        {"method": "UNSUBSCRIBE", "params": list(BTC), "id": 3},
    ]


async def test_messages_are_cut_up_and_paced(
    fake: FakeBinance, source: Binance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binance, "STREAMS_PER_MESSAGE", 4)
    begun = monotonic()
    async with listening(source, *FakeBinance.symbols) as listener:
        natives = [symbol.replace("-", "").lower() for symbol in FakeBinance.symbols]
        await fake.carries(*(f"{native}@{kind}" for native in natives for kind in ("trade", "ticker")))
        assert monotonic() - begun >= 3 * 0.5  # the fourth message goes out three pauses after the first
        assert [len(message["params"]) for message in fake.messages] == [4, 4, 4, 2]
        await fake.push("BTC-USDT", 1.0, NOW)
        assert len(await listener.heard()) == 1


async def test_events_that_make_no_sense_are_passed_over_and_logged(
    fake: FakeBinance, source: Binance, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = [
        "[1,2]", "{}", '{"stream":"x","data":[]}', '{"stream":"x","data":null}',
        '{"e":"kline","s":"BTCUSDT"}', '{"e":"trade","s":"BTCUSDT","p":"one","q":"1","T":1}',
        '{"e":"trade","s":"BTCUSDT"}', '{"e":"24hrTicker","s":"BTCUSDT","b":null,"a":"1","B":"1","A":"1"}',
        '{"error":"what"}', '{"stream":"btcusdt@tra',
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING):
        async with listening(source, "BTC-USDT") as listener:
            await fake.carries(*BTC)
            for text in garbage:
                await fake.say(text)
            await fake.push("BTC-USDT", 1.0, NOW)
            assert [quote.price for quote in await listener.heard()] == [1.0]
    assert sum("makes no sense" in record.message for record in caplog.records) == len(garbage)


async def test_an_announced_shutdown_ends_the_stream_before_it_is_cut(fake: FakeBinance, source: Binance) -> None:
    async with listening(source, "BTC-USDT") as listener:
        await fake.carries(*BTC)
        await fake.say('{"e":"serverShutdown","E":1770123456789}')
        with pytest.raises(SourceUnreachable, match="about to be shut down"):
            await listener.heard()
    async with listening(source, "BTC-USDT") as listener:
        await fake.carries(*BTC)
        await fake.shut_down()
        with pytest.raises(SourceUnreachable, match="about to be shut down"):
            await listener.heard()


async def test_the_end_of_its_life_ends_the_stream(fake: FakeBinance, source: Binance) -> None:
    fake.life_s = 0.1
    async with listening(source, "BTC-USDT") as listener:
        with pytest.raises(SourceUnreachable, match="code 1000"):
            await listener.heard()


async def test_pings_are_answered(fake: FakeBinance, source: Binance) -> None:
    fake.ping_every_s, fake.pong_within_s, fake.life_s = 0.2, 0.15, 0.7
    async with listening(source, "BTC-USDT") as listener:
        with pytest.raises(SourceUnreachable, match="code 1000"):  # of old age, not for want of a pong
            await listener.heard()
    assert fake.pongs >= 2


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_refused_request_ends_the_stream(fake: FakeBinance, source: Binance, wrapped: bool) -> None:
    error = '{"code":2,"msg":"Invalid request: invalid stream"}'
    async with listening(source, "BTC-USDT") as listener:
        await fake.carries(*BTC)
        await fake.say(f'{{"error":{error},"id":2}}' if wrapped else error)
        with pytest.raises(SourceCannot, match="invalid stream"):
            await listener.heard()


# The fake itself


async def test_the_fake_holds_to_five_messages_a_second(fake: FakeBinance) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(f"{fake.ws_url}/stream") as socket:
        for number in range(6):
            await socket.send_json({"method": "SUBSCRIBE", "params": ["BTCUSDT@trade"], "id": number})
        said = [message.data async for message in socket]
        assert socket.close_code == 1008
    assert [json.loads(text) for text in said] == [{"result": None, "id": number} for number in range(5)]


@pytest.mark.parametrize("wraps", [False, True])
async def test_the_fake_refuses_in_both_envelopes(fake: FakeBinance, wraps: bool) -> None:
    import aiohttp

    fake.wraps_errors = wraps
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{fake.ws_url}/stream") as socket:
        await socket.send_json({"method": "SUBSCRIBE", "params": ["nonsense"], "id": 2})
        said = await socket.receive_json()
    error = {"code": 2, "msg": "Invalid request: invalid stream"}
    assert said == ({"error": error, "id": 2} if wraps else error)


def test_the_fakes_bars_agree_with_themselves() -> None:
    for pair in PAIRS:
        for interval in Interval if pair.price else ():
            known = bar(pair, interval, interval.floor(NOW - 40 * DAY), NOW)
            following = bar(pair, interval, interval.end(known.opened), NOW)
            assert known.low <= min(known.open, known.close) <= max(known.open, known.close) <= known.high
            assert known.close == following.open
