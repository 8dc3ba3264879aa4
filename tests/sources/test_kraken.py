import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from time import monotonic

import polars as pl
import pytest
from msgspec import structs
from polars.testing import assert_frame_equal

from errors import (
    SmartFinError,
    SourceCannot,
    SourceFault,
    SourceLimited,
    SourceRefused,
)
from market import BAR_SCHEMA, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import load_settings
from sources import kraken
from sources.kraken import Kraken
from sources.source import Source
from tests.fakes.crypto import EPOCH, FakeBar
from tests.fakes.fake import Unlimited
from tests.fakes.kraken import INTERVALS, PAIRS, FakeKraken
from tests.sources.streaming import listening

NOW = datetime(2026, 1, 15, 10, 20, 30, 500_000, tzinfo=UTC)  # a Thursday
TODAY = datetime(2026, 1, 15, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MS, US = timedelta(milliseconds=1), timedelta(microseconds=1)
LIVE = Provenance(source="kraken", served_from=ServedFrom.LIVE, received_at=NOW, delay_seconds=0.0)
MINUTES = {interval: minutes for minutes, interval in INTERVALS.items()}
ALTNAMES = {"BTC-USD": "XBTUSD", "ETH-BTC": "ETHXBT", "DOGE-USD": "XDGUSD", "BTC-USDT": "XBTUSDT", "SOL-EUR": "SOLEUR"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeKraken]:
    async with FakeKraken() as fake:
        fake.now = NOW
        yield fake


def seconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(seconds=1)


def asked(fake: FakeKraken, path: str) -> list[dict[str, str]]:
    return [dict(request.query) for request in fake.requests if request.path == f"/0/public/{path}"]


def frame(fake: FakeKraken, symbol: str, interval: Interval, opened: list[datetime]) -> pl.DataFrame:
    """The bars as they must come out; the prices are rounded to the pair's decimals, vwap too."""
    tick = fake.pair(symbol).tick
    rows = []
    for at in opened:
        known: FakeBar = fake.bar(symbol, interval, at)
        vwap = float((known.turnover / known.volume).quantize(tick)) if known.volume else None
        prices = [float(price.quantize(tick)) for price in (known.open, known.high, known.low, known.close)]
        final = interval.end(at) <= fake.now
        rows.append((at, *prices, float(known.volume), vwap, known.trades, 1.0, 0.0, final))
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


# Symbols


@pytest.mark.parametrize(
    ("symbol", "covered"),
    [
        ("BTC-USD", True),
        ("DOGE-USD", True),
        ("BTC-USDT", True),
        ("ETH-BTC", True),
        ("AAPL", False),
        ("BRK-B", False),
        ("EURUSD=X", False),
        ("^GSPC", False),
        ("BTC/USD", False),
    ],
)
def test_pairs_are_covered(symbol: str, covered: bool) -> None:
    assert Kraken("http://x", "ws://x", Unlimited()).covers(symbol) is covered


def test_it_is_what_the_protocol_asks_for() -> None:
    source: Source = Kraken.opened(load_settings(), Unlimited())
    assert source.reach == {
        Interval.M1: timedelta(hours=12),
        Interval.M5: timedelta(hours=60),
        Interval.M15: timedelta(days=7, hours=12),
        Interval.M30: timedelta(days=15),
        Interval.H1: timedelta(days=30),
        Interval.H4: timedelta(days=120),
        Interval.D1: timedelta(days=720),
    }


# Quotes


async def test_a_quote_has_the_book_and_the_utc_day(fake: FakeKraken, source: Kraken) -> None:
    fake.prices["BTC-USD"] = 60_000.1
    today = fake.bar("BTC-USD", Interval.D1, TODAY)
    assert await source.quotes(["BTC-USD"]) == {
        "BTC-USD": Quote(
            symbol="BTC-USD",
            price=60_000.1,
            time=NOW,
            provenance=structs.replace(LIVE, flags=("TIME_OF_ANSWER",)),
            open=float(today.open),
            high=float(today.high),
            low=60_000.1,
            volume=float(today.volume),
            bid=60_000.1,
            ask=60_000.2,
            bid_size=2.25,
            ask_size=1.5,
            last_size=0.00009443,
            currency="USD",
        )
    }
    assert [request.path for request in fake.requests] == ["/0/public/AssetPairs", "/0/public/Ticker"]
    assert fake.budget.spent == 2


def test_the_recorded_ticker_is_parsed_exactly() -> None:
    recorded = json.loads(
        '{"error":[],"result":{"XBTUSDT":{"a":["105944.30000","1","1.000"],"b":["105944.20000","1","1.000"],"c":'
        '["105899.40000","0.00009443"],"v":["0.78648221","163.28908096"],"p":["105960.64756","105904.39279"],"t":'
        '[35,3276],"l":["105853.50000","104711.00000"],"h":["106112.00000","106613.10000"],"o":"106021.60000"}}}'
    )
    asset = Asset(symbol="BTC-USDT", name="BTC/USDT", type=AssetType.CRYPTO, market_code="CRYPTO", currency="USDT")
    assert kraken._parse_tickers(recorded, {"XBTUSDT": asset}, NOW) == {
        "BTC-USDT": Quote(
            symbol="BTC-USDT",
            price=105899.4,
            time=NOW,
            provenance=structs.replace(LIVE, flags=("TIME_OF_ANSWER",)),
            open=106021.6,
            high=106112.0,
            low=105853.5,
            volume=0.78648221,
            bid=105944.2,
            ask=105944.3,
            bid_size=1.0,
            ask_size=1.0,
            last_size=0.00009443,
            currency="USDT",
        )
    }
    with pytest.raises(KeyError):
        kraken._parse_tickers(recorded, {}, NOW)


async def test_a_day_without_trades_has_no_extremes_but_a_volume(fake: FakeKraken, source: Kraken) -> None:
    fake.quiet = True
    quote = (await source.quotes(["BTC-USD"]))["BTC-USD"]
    assert (quote.high, quote.low, quote.volume) == (None, None, 0.0)
    assert quote.open is not None


async def test_unknown_and_never_traded_pairs_are_left_out(fake: FakeKraken, source: Kraken) -> None:
    quotes = await source.quotes(["NOPE-USD", "GHOST-USD", "SOL-EUR", "SOL-EUR", "AAPL"])
    assert list(quotes) == ["SOL-EUR"]
    assert asked(fake, "Ticker") == [{"pair": "GHOSTUSD,SOLEUR"}]


async def test_many_pairs_are_asked_for_in_batches(
    fake: FakeKraken, source: Kraken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kraken, "BATCH", 2)
    assert set(await source.quotes(FakeKraken.symbols)) == set(FakeKraken.symbols)
    batches = sorted(query["pair"] for query in asked(fake, "Ticker"))
    assert batches == ["SOLEUR", "XBTUSD,ETHXBT", "XDGUSD,XBTUSDT"]


# History


@pytest.mark.parametrize("interval", INTERVALS.values())
@pytest.mark.parametrize("symbol", ["BTC-USD", "DOGE-USD"])
async def test_bars_of_each_interval_to_the_forming_one(
    fake: FakeKraken, source: Kraken, interval: Interval, symbol: str
) -> None:
    forming = interval.floor(NOW)
    opened = [forming - number * interval.span for number in (4, 3, 2, 1, 0)]
    found = await source.history(symbol, interval, Window(opened[0], NOW))
    assert_frame_equal(found, frame(fake, symbol, interval, opened))
    assert found["is_final"].to_list() == [True] * 4 + [False]
    since = str(seconds(opened[0]) - 1)
    query = {"pair": ALTNAMES[symbol], "interval": str(MINUTES[interval]), "since": since}
    assert asked(fake, "OHLC") == [query]
    assert fake.budget.spent == 2


FLAT = [1762777020, "106038.2", "106038.2", "106038.2", "106038.2", "0.0", "0.00000000", 0]
FINISHED = [1790355600, "83732.7", "83969.8", "83612.9", "83765.4", "83766.9", "81.13696690", 5879]
FORMING = [1790359200, "83765.3", "84050.3", "83765.3", "84030.6", "83921.9", "53.72114923", 2375]


@pytest.mark.parametrize("last_first", [False, True])
def test_recorded_bars_are_parsed_exactly(last_first: bool) -> None:
    def parsed(key: str, rows: list[list[object]], last: int) -> list[tuple[object, ...]]:
        result = {"last": last, key: rows} if last_first else {key: rows, "last": last}
        return list(kraken._parse_ohlc({"error": [], "result": result}).values())

    noon = datetime(2025, 11, 10, 12, 17, tzinfo=UTC)
    assert parsed("XXBTZUSD", [FLAT], 1762820160) == [
        (noon, 106038.2, 106038.2, 106038.2, 106038.2, 0.0, None, 0, 1.0, 0.0, True)
    ]
    time = datetime(2026, 9, 25, 17, tzinfo=UTC)
    assert parsed("BTC/USD", [FINISHED, FORMING], 1790355600) == [
        (time, 83732.7, 83969.8, 83612.9, 83765.4, 81.1369669, 83766.9, 5879, 1.0, 0.0, True),
        (time + HOUR, 83765.3, 84050.3, 83765.3, 84030.6, 53.72114923, 83921.9, 2375, 1.0, 0.0, False),
    ]


@pytest.mark.parametrize("result", [{"last": 1}, {"A": [], "B": [], "last": 1}, {"A": []}, None])
def test_an_answer_without_the_one_pair_is_a_bad_one(result: object) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        kraken._parse_ohlc({"error": [], "result": result})


@pytest.mark.parametrize("interval", INTERVALS.values())
async def test_it_reaches_back_to_the_720th_finished_bar(fake: FakeKraken, source: Kraken, interval: Interval) -> None:
    oldest = interval.floor(NOW) - 720 * interval.span
    assert oldest <= NOW - 720 * interval.span  # what `reach` promises is there
    found = await source.history("BTC-USD", interval, Window(oldest, oldest + 2 * interval.span))
    assert found["time"].to_list() == [oldest, oldest + interval.span]
    fake.requests.clear()
    with pytest.raises(SourceCannot, match=rf"newest 720 {interval} bars of BTC-USD, since {oldest:%FT%R}Z"):
        await source.history("BTC-USD", interval, Window(oldest - interval.span, NOW))
    assert len(fake.requests) == 1
    fake.requests.clear()
    with pytest.raises(SourceCannot, match="newest 720"):
        await source.history("BTC-USD", interval, Window(oldest - DAY, oldest))
    assert fake.requests == []


async def test_of_a_young_pair_the_whole_history_is_there(fake: FakeKraken, source: Kraken) -> None:
    listed = fake.pair("NEW-USD").listed
    found = await source.history("NEW-USD", Interval.D1, Window(NOW - 3000 * DAY, NOW))
    assert found["time"].to_list() == [listed + number * DAY for number in range((TODAY - listed).days + 1)]


H = datetime(2026, 1, 15, 8, tzinfo=UTC)


async def test_a_cached_answer_makes_no_bar_final_by_the_clock(fake: FakeKraken, source: Kraken) -> None:
    at = TODAY + HOUR
    fake.now, fake.cached_s = at + MINUTE + timedelta(seconds=1), 2
    found = await source.history("BTC-USD", Interval.M1, Window(at, at + MINUTE))
    assert found["is_final"].to_list() == [False]


# Search and assets


async def test_an_asset_is_a_pair_with_its_tick(source: Kraken) -> None:
    assert await source.asset("BTC-USD") == Asset(
        symbol="BTC-USD",
        name="BTC/USD",
        type=AssetType.CRYPTO,
        market_code="CRYPTO",
        currency="USD",
        exchange="Kraken",
        timezone="UTC",
        tick_size=0.1,
    )
    old = await source.asset("OLD-USD")
    assert old is not None
    assert not old.is_tradable
    assert await source.asset("NOPE-USD") is None
    assert await source.assets() == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("btc", ["BTC-USD", "BTC-USDT"]),
        ("xbtusd", ["BTC-USD"]),
        ("BTC/USDT", ["BTC-USDT"]),
        ("doge", ["DOGE-USD"]),
        ("xdgusd", ["DOGE-USD"]),
        ("apple", []),
    ],
)
async def test_search_finds_pairs_in_its_spelling_and_ours(source: Kraken, text: str, found: list[str]) -> None:
    assert [asset.symbol for asset in await source.search(text, 10)] == found


async def test_pairs_of_two_currencies_and_dark_ones_are_passed_over(source: Kraken) -> None:
    listed = {asset.symbol for asset in await source.search("", 100)}
    assert listed == {pair.symbol for pair in PAIRS.values()} - {"EUR-USD"}


# Failures


@pytest.mark.parametrize("result", [{}, {"result": {}}, {"result": None}])
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("EQuery:Unknown asset pair", SourceCannot),
        ("EGeneral:Invalid arguments", SourceCannot),
        ("EGeneral:Invalid arguments:interval", SourceCannot),
        ("EGeneral:Too many requests", SourceLimited),
        ("EAPI:Rate limit exceeded", SourceLimited),
        ("EGeneral:Permission denied", SourceRefused),
        ("EService:Unavailable", SourceFault),
        ("EService:Busy", SourceFault),
        ("EGeneral:Internal error", SourceFault),
    ],
)
async def test_what_its_errors_mean(
    fake: FakeKraken, source: Kraken, said: str, kind: type[SmartFinError], result: dict[str, object]
) -> None:
    fake.error, fake.error_result = said, result
    with pytest.raises(SmartFinError) as raised:
        await source.search("BTC", 1)
    assert type(raised.value) is kind
    assert str(raised.value) == f"kraken: {said}"


async def test_a_warning_is_no_error(fake: FakeKraken, source: Kraken) -> None:
    fake.error = "WGeneral:Deprecated"
    fake.error_result = {"result": {}}
    assert await source.search("BTC", 1) == []


async def test_asked_too_often(fake: FakeKraken, source: Kraken) -> None:
    fake.calls_left = 1
    with pytest.raises(SourceLimited, match="Too many requests"):
        await source.quotes(["BTC-USD"])


# Stream


def tick(symbol: str, price: float, time: datetime, size: float | None) -> Quote:
    return Quote(
        symbol=symbol, price=price, time=time, provenance=LIVE, last_size=size, currency=symbol.partition("-")[2]
    )


async def test_trades_are_ticks_and_carry_the_book(fake: FakeKraken, source: Kraken) -> None:
    fake.prices["BTC-USD"] = 60_000.1
    async with listening(source, "BTC-USD") as listener:
        await fake.carries("BTC-USD")
        await fake.push("BTC-USD", 60_000.1, NOW, 0.00131)
        # The book came as a snapshot, once subscribed.
        first = structs.replace(
            tick("BTC-USD", 60_000.1, NOW, 0.00131), bid=60_000.1, bid_size=2.25, ask=60_000.2, ask_size=1.5
        )
        assert await listener.heard() == [first]
        await fake.push_book("BTC-USD", 60_000.0, 1.5, 60_000.2, 0.0)
        book = structs.replace(first, last_size=None, bid=60_000.0, bid_size=1.5, ask_size=None)
        assert await listener.heard() == [book]
        # The same book again is no change.
        await fake.push_book("BTC-USD", 60_000.0, 1.5, 60_000.2, 0.0)
        await fake.push("BTC-USD", 60_000.2, NOW + MS, 2.0)
        assert await listener.heard() == [structs.replace(book, price=60_000.2, time=NOW + MS, last_size=2.0)]
    assert fake.messages == [
        {"method": "subscribe", "params": {"channel": "ticker", "event_trigger": "bbo", "symbol": ["BTC/USD"]}},
        {"method": "subscribe", "params": {"channel": "trade", "snapshot": False, "symbol": ["BTC/USD"]}},
    ]


async def test_recorded_frames_are_parsed_exactly(fake: FakeKraken, source: Kraken) -> None:
    acks = [
        '{"method":"subscribe","result":{"channel":"ticker","snapshot":true,"symbol":"BTC/USD"},"success":true,'
        '"time_in":"2026-09-25T17:48:24.745996Z","time_out":"2026-09-25T17:48:24.746032Z","req_id":1}',
        '{"channel":"heartbeat"}',
    ]
    ticker = (
        '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":83744.2,"bid_qty":0.56251979,"ask":'
        '83744.3,"ask_qty":0.00044780,"last":83744.3,"volume":3156.84782110,"vwap":84174.6,"low":83163.6,"high":'
        '85247.4,"change":-429.3,"change_pct":-0.51,"trades":135262,"timestamp":"2026-09-25T17:48:26.844359Z"}]}'
    )
    trade = (
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":83744.3,"qty":0.00044780,'
        '"ord_type":"limit","trade_id":109116693,"timestamp":"2026-09-25T17:48:26.844359Z"}]}'
    )
    async with listening(source, "BTC-USD") as listener:
        await fake.carries("BTC-USD")
        for text in (*acks, ticker, trade):
            await fake.say(text)
        time = datetime(2026, 9, 25, 17, 48, 26, 844_359, tzinfo=UTC)
        expected = tick("BTC-USD", 83744.3, time, 0.0004478)
        assert await listener.heard() == [
            structs.replace(expected, bid=83744.2, bid_size=0.56251979, ask=83744.3, ask_size=0.0004478)
        ]


async def test_every_trade_of_a_batch_is_told_in_order(fake: FakeKraken, source: Kraken) -> None:
    trades = [
        {"symbol": "DOGE/USD", "price": price, "qty": 1, "timestamp": "2026-01-15T10:20:30.5Z"} for price in (2, 1.5)
    ]
    async with listening(source, "DOGE-USD") as listener:
        await fake.carries("DOGE-USD")
        await fake.say(json.dumps({"channel": "trade", "type": "update", "data": trades}))
        quotes = await listener.heard()
    assert [(quote.symbol, quote.price, quote.last_size) for quote in quotes] == [
        ("DOGE-USD", 2.0, 1.0),
        ("DOGE-USD", 1.5, 1.0),
    ]
    assert {type(quote.price) for quote in quotes} == {float}


async def test_demand_changes_what_is_subscribed(fake: FakeKraken, source: Kraken) -> None:
    async with listening(source, "BTC-USD") as listener:
        await fake.carries("BTC-USD")
        listener.demand.set(["ETH-BTC", "BTC-USD"])
        await fake.carries("BTC-USD", "ETH-BTC")
        listener.demand.set(["ETH-BTC"])
        await fake.carries("ETH-BTC")
        # What is still under way of a pair that was given up is passed over.
        late = {"symbol": "BTC/USD", "price": 1.0, "qty": 1.0, "timestamp": "2026-01-15T10:20:30Z"}
        await fake.say(json.dumps({"channel": "trade", "type": "update", "data": [late]}))
        await fake.push("ETH-BTC", 0.04, NOW)
        assert [quote.symbol for quote in await listener.heard()] == ["ETH-BTC"]
    assert [
        (message["method"], message["params"]["channel"], message["params"]["symbol"]) for message in fake.messages
    ] == [
        ("subscribe", "ticker", ["BTC/USD"]),
        ("subscribe", "trade", ["BTC/USD"]),
        ("subscribe", "ticker", ["ETH/BTC"]),
        ("subscribe", "trade", ["ETH/BTC"]),
        ("unsubscribe", "ticker", ["BTC/USD"]),
        ("unsubscribe", "trade", ["BTC/USD"]),
    ]


async def test_messages_are_cut_up_and_paced(fake: FakeKraken, source: Kraken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kraken, "BATCH", 4)
    begun = monotonic()
    async with listening(source, *FakeKraken.symbols):
        await fake.carries(*FakeKraken.symbols)
        assert monotonic() - begun >= 3 * 0.5  # the fourth message goes out three pauses after the first
    assert [len(message["params"]["symbol"]) for message in fake.messages] == [4, 4, 1, 1]


async def test_a_refused_pair_leaves_the_others(
    fake: FakeKraken, source: Kraken, caplog: pytest.LogCaptureFixture
) -> None:
    await source.search("", 1)
    fake.gone.add("ETH-BTC")  # since the listing
    with caplog.at_level(logging.WARNING):
        async with listening(source, "NOPE-USD", "ETH-BTC", "BTC-USD", "AAPL") as listener:
            await fake.carries("BTC-USD")
            await fake.push("BTC-USD", 1.0, NOW)
            assert [quote.symbol for quote in await listener.heard()] == ["BTC-USD"]
    refusals = [record.message for record in caplog.records]
    assert refusals == ["kraken does not stream ETH/BTC: Currency pair not supported ETH/BTC"] * 2


async def test_events_that_make_no_sense_are_passed_over_and_logged(
    fake: FakeKraken, source: Kraken, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = [
        "[1,2]", "{}", '{"channel":"book"}', '{"channel":"trade"}',
        '{"channel":"trade","data":[{"symbol":"BTC/USD"}]}', '{"channel":"trade","data":null}',
        '{"channel":"trade","data":[{"symbol":"BTC/USD","price":"one","qty":1,"timestamp":"2026-01-15T10:20:30Z"}]}',
        '{"channel":"trade","data":[{"symbol":"BTC/USD","price":1,"qty":1,"timestamp":"yesterday"}]}',
        '{"channel":"ticker","data":[7]}', '{"channel":"status","data":[]}', '{"channel":"tra',
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING):
        async with listening(source, "BTC-USD") as listener:
            await fake.carries("BTC-USD")
            for text in garbage:
                await fake.say(text)
            await fake.push("BTC-USD", 1.0, NOW)
            assert [quote.price for quote in await listener.heard()] == [1.0]
    assert sum("makes no sense" in record.message for record in caplog.records) == len(garbage)


async def test_heartbeats_and_the_first_status_say_nothing(
    fake: FakeKraken, source: Kraken, caplog: pytest.LogCaptureFixture
) -> None:
    fake.heartbeat_s = 0.02
    with caplog.at_level(logging.WARNING):
        async with listening(source, "BTC-USD") as listener:
            await fake.carries("BTC-USD")
            for _ in range(5):
                await fake.say('{"channel":"heartbeat"}')
            await fake.push("BTC-USD", 1.0, NOW)
            assert len(await listener.heard()) == 1
            assert listener.is_silent
    assert caplog.records == []


async def test_maintenance_ends_the_stream_before_it_is_cut(fake: FakeKraken, source: Kraken) -> None:
    async with listening(source, "BTC-USD") as listener:
        await fake.carries("BTC-USD")
        await fake.maintain()
        with pytest.raises(SourceFault, match="maintenance"):
            await listener.heard()
    async with listening(source, "BTC-USD") as listener:  # and is told as soon as one connects
        with pytest.raises(SourceFault, match="maintenance"):
            await listener.heard()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"Error":"Exceeded msg rate"}', SourceLimited),
        ('{"error":"Unsupported request","success":false,"time_in":"2026-09-25T17:48:54.701041Z"}', SourceCannot),
    ],
)
async def test_a_refused_request_ends_the_stream(
    fake: FakeKraken, source: Kraken, text: str, kind: type[SmartFinError]
) -> None:
    async with listening(source, "BTC-USD") as listener:
        await fake.carries("BTC-USD")
        await fake.say(text)
        with pytest.raises(kind, match=r"Exceeded msg rate|Unsupported request"):
            await listener.heard()


# The fake itself


async def test_the_fake_answers_under_the_name_that_a_slash_asks_for(fake: FakeKraken) -> None:
    import aiohttp

    async with aiohttp.ClientSession(fake.url) as session:
        for asked_as, answered_as in [("XBTUSD", "XXBTZUSD"), ("BTC/USD", "BTC/USD"), ("XBTUSDT", "XBTUSDT")]:
            async with session.get("/0/public/OHLC", params={"pair": asked_as, "interval": 60}) as response:
                result = (await response.json())["result"]
            assert list(result) == [answered_as, "last"]
            assert len(result[answered_as]) == 721
            assert result["last"] == result[answered_as][719][0]
        async with session.get("/0/public/OHLC", params={"pair": "XBT/USD"}) as response:
            assert (response.status, await response.json()) == (200, {"error": ["EQuery:Unknown asset pair"]})


async def test_the_fake_tells_who_sends_too_fast(fake: FakeKraken) -> None:
    import aiohttp

    fake.messages_per_second = 2
    request = {"method": "subscribe", "params": {"channel": "ticker", "symbol": ["XBT/USD"]}}
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{fake.ws_url}/v2") as socket:
        status = await socket.receive_json()
        for _ in range(3):
            await socket.send_json(request)
        said = [await socket.receive_json() for _ in range(3)]
    assert status["data"][0]["connection_id"] == 18125794168470749634
    assert [one.get("error") or one["Error"] for one in said] == [
        "Currency pair not supported XBT/USD",
        "Currency pair not supported XBT/USD",
        "Exceeded msg rate",
    ]
