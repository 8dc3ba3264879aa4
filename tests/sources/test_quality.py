import math
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from msgspec import structs

from errors import SourceUnavailable
from market import BAR_SCHEMA, Interval, Provenance, Quote, ServedFrom, Window
from sources.quality import KEPT_FOR_STORING, POINTS, Quality
from tests.sources.scripted import Scripted, router

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
PROVENANCE = Provenance(source="s", served_from=ServedFrom.LIVE, received_at=NOW)
GOOD = Quote(
    symbol="AAPL",
    price=100.0,
    time=NOW,
    provenance=PROVENANCE,
    high=101.0,
    low=99.0,
    bid=99.9,
    ask=100.1,
    currency="USD",
)


@pytest.fixture
def quality() -> Quality:
    return Quality(is_open=lambda _symbol: True, clock=lambda: NOW)


def flags(quality: Quality, quote: Quote) -> tuple[str, ...]:
    [weighed] = quality.quotes("s", [quote])
    assert weighed.provenance.quality == 100 - sum(POINTS[flag] for flag in weighed.provenance.flags)
    return tuple(weighed.provenance.flags)


def test_a_good_quote_stays_as_it_is(quality: Quality) -> None:
    assert quality.quotes("s", [GOOD]) == [GOOD]
    assert quality.drain() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price": 0.0}, "price is not above 0"),
        ({"price": -1.0}, "price is not above 0"),
        ({"price": math.nan}, "price is nan"),
        ({"price": math.inf}, "price is inf"),
        ({"bid": math.nan}, "bid is nan"),
        ({"bid": -1.0}, "bid is not above 0"),
        ({"open": 0.0}, "open is not above 0"),
        ({"volume": -1.0}, "volume is negative"),
        ({"high": 98.0, "low": 99.0}, "high is below low"),
        ({"time": NOW + timedelta(seconds=61)}, "its time is in the future"),
    ],
)
def test_the_impossible_is_set_aside_with_its_payload(quality: Quality, change: dict[str, Any], reason: str) -> None:
    assert quality.quotes("s", [structs.replace(GOOD, **change), structs.replace(GOOD, symbol="MSFT")]) == [
        structs.replace(GOOD, symbol="MSFT")
    ]
    [aside] = quality.drain()
    assert (aside.source, aside.symbol, aside.kind, aside.reason) == ("s", "AAPL", "quote", reason)
    assert aside.payload["symbol"] == "AAPL"
    assert quality.drain() == []


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"bid": 100.2}, "CROSSED"),
        ({"price": 101.5}, "OUT_OF_RANGE"),
        ({"price": 98.5}, "OUT_OF_RANGE"),
        ({"time": NOW - timedelta(minutes=31)}, "OLD"),
    ],
)
def test_the_doubtful_loses_points_by_name(quality: Quality, change: dict[str, Any], flag: str) -> None:
    assert flags(quality, structs.replace(GOOD, **change)) == (flag,)


TINY = math.ulp(0.0)
AHEAD, LATE, US = timedelta(seconds=60), timedelta(minutes=30), timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("allowed", "beyond", "flag"),
    [
        ({"price": 99.0}, {"price": math.nextafter(99.0, 0)}, "OUT_OF_RANGE"),
        ({"price": 101.0}, {"price": math.nextafter(101.0, 200)}, "OUT_OF_RANGE"),
        ({"bid": 100.1}, {"bid": math.nextafter(100.1, 200)}, "CROSSED"),
        ({"time": NOW - LATE}, {"time": NOW - LATE - US}, "OLD"),
        ({"currency": "USD"}, {"currency": "EUR"}, "CURRENCY"),
        ({"currency": None}, {"currency": "GBp"}, "CURRENCY"),
        # None is what it sets aside.
        ({"price": TINY, "low": TINY}, {"price": 0.0}, None),
        ({"high": 100.0, "low": 100.0}, {"high": 100.0, "low": math.nextafter(100.0, 200)}, None),
        ({"time": NOW + AHEAD}, {"time": NOW + AHEAD + US}, None),
        ({"volume": 0.0}, {"volume": -TINY}, None),
        ({"turnover": 0.0}, {"turnover": -TINY}, None),
        ({"last_size": 0.0}, {"last_size": -TINY}, None),
        ({"bid": TINY}, {"bid": 0.0}, None),
        ({"previous_close": TINY}, {"previous_close": 0.0}, None),
    ],
    ids=str,
)
def test_each_rule_for_quotes_at_its_edge(allowed: dict[str, Any], beyond: dict[str, Any], flag: str | None) -> None:
    def weighed(change: dict[str, Any]) -> list[tuple[str, ...]]:
        quality = Quality(lambda _symbol: True, lambda: NOW, {"AAPL": "USD"}.get)
        return [tuple(told.provenance.flags) for told in quality.quotes("s", [structs.replace(GOOD, **change)])]

    assert weighed(allowed) == [()]
    assert weighed(beyond) == ([] if flag is None else [(flag,)])


@pytest.mark.parametrize(("symbol", "share"), [("AAPL", 0.25), ("EURUSD=X", 0.1), ("^GSPC", 0.15), ("BTC-USD", 0.5)])
@pytest.mark.parametrize("direction", [1, -1])
def test_a_jump_begins_beyond_the_share_of_its_kind(
    quality: Quality, symbol: str, share: float, direction: int
) -> None:
    plain = Quote(symbol=symbol, price=1000.0, time=NOW, provenance=PROVENANCE)
    for change, expected in [(share - 1e-9, ()), (share + 1e-9, ("JUMP",))]:
        assert flags(quality, plain) == ()
        assert flags(quality, structs.replace(plain, price=1000.0 * (1 + direction * change))) == expected
        quality = Quality(clock=lambda: NOW)


@pytest.mark.parametrize(("second", "expected"), [(210.0, ()), (190.0, ()), (210.1, ("JUMP",)), (189.9, ("JUMP",))])
def test_a_jump_is_confirmed_by_a_price_near_it_of_whatever_source(
    quality: Quality, second: float, expected: tuple[str, ...]
) -> None:
    plain = Quote(symbol="AAPL", price=100.0, time=NOW, provenance=PROVENANCE)
    assert flags(quality, plain) == ()
    assert flags(quality, structs.replace(plain, price=200.0)) == ("JUMP",)
    other = structs.replace(plain, price=second, provenance=structs.replace(PROVENANCE, source="other"))
    [confirming] = quality.quotes("other", [other])
    assert tuple(confirming.provenance.flags) == expected


def test_a_price_may_be_old_while_its_market_is_closed_or_its_feed_is_late() -> None:
    old = structs.replace(GOOD, time=NOW - timedelta(days=3))
    closed = Quality(is_open=lambda _symbol: False, clock=lambda: NOW)
    assert flags(closed, old) == ()
    late = structs.replace(
        GOOD, time=NOW - timedelta(minutes=40), provenance=structs.replace(PROVENANCE, delay_seconds=900.0)
    )
    assert flags(Quality(is_open=lambda _symbol: True, clock=lambda: NOW), late) == ()


@pytest.mark.parametrize(
    ("symbol", "currency", "expected"),
    [("0700.HK", "USD", ("CURRENCY",)), ("0700.HK", "HKD", ()), ("BTC-USD", "EUR", ("CURRENCY",)), ("AAPL", "EUR", ())],
)
def test_another_currency_than_the_venues_is_doubtful_where_nothing_is_known_of_the_asset(
    quality: Quality, symbol: str, currency: str, expected: tuple[str, ...]
) -> None:
    assert flags(quality, structs.replace(GOOD, symbol=symbol, currency=currency)) == expected


@pytest.mark.parametrize(("symbol", "step"), [("AAPL", 1.3), ("EURUSD=X", 1.15), ("BTC-USD", 1.6), ("^GSPC", 0.8)])
def test_a_jump_is_doubtful_until_the_next_price_confirms_it(quality: Quality, symbol: str, step: float) -> None:
    plain = Quote(symbol=symbol, price=100.0, time=NOW, provenance=PROVENANCE)
    assert flags(quality, plain) == ()
    assert flags(quality, structs.replace(plain, price=100 * step)) == ("JUMP",)
    assert flags(quality, structs.replace(plain, price=101 * step)) == ()
    assert flags(quality, structs.replace(plain, price=102 * step)) == ()


def test_a_spike_that_is_gone_leaves_nothing(quality: Quality) -> None:
    plain = Quote(symbol="AAPL", price=100.0, time=NOW, provenance=PROVENANCE)
    assert flags(quality, plain) == ()
    assert flags(quality, structs.replace(plain, price=200.0)) == ("JUMP",)
    assert flags(quality, structs.replace(plain, price=100.5)) == ()
    assert flags(quality, structs.replace(plain, price=200.0)) == ("JUMP",)


def test_going_back_in_time_is_told(quality: Quality) -> None:
    assert flags(quality, GOOD) == ()
    assert flags(quality, structs.replace(GOOD, time=NOW - timedelta(minutes=1))) == ("EARLIER_THAN_BEFORE",)


def test_what_waits_to_be_stored_is_bounded(quality: Quality) -> None:
    quality.quotes("s", [structs.replace(GOOD, price=0.0)] * (KEPT_FOR_STORING + 10))
    assert len(quality.drain()) == KEPT_FOR_STORING


def bar(hour: int, **change: Any) -> dict[str, Any]:
    start = datetime(2026, 1, 5, hour, tzinfo=UTC)
    prices = {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 5.0, "vwap": None, "trades": None}
    return {"time": start, **prices, "split_factor": 1.0, "dividend": 0.0, "is_final": True, **change}


WINDOW = Window(datetime(2026, 1, 5, 9, tzinfo=UTC), datetime(2026, 1, 5, 16, tzinfo=UTC))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bar(11, open=None), "a price is missing or no number"),
        (bar(11, close=math.nan), "a price is missing or no number"),
        (bar(11, low=0.0), "a price is not above 0"),
        (bar(11, high=10.2), "high is not the highest"),
        (bar(11, low=10.2), "low is not the lowest"),
        (bar(11, volume=-1.0), "the volume is negative or no number"),
        (bar(11, volume=math.inf), "the volume is negative or no number"),
        (bar(8), "it lies outside the window asked for"),
        (bar(16), "its time is in the future"),
        (bar(12), "there is a bar of this time already"),
        (bar(11, split_factor=0.0), "the split is impossible"),
        (bar(11, dividend=-1.0), "the dividend is impossible"),
    ],
)
def test_an_impossible_bar_is_set_aside_and_the_others_are_kept(
    quality: Quality, bad: dict[str, Any], reason: str
) -> None:
    rows = [bar(12), bad, bar(10), bar(13, volume=None)]
    frame = pl.DataFrame(rows, schema=BAR_SCHEMA)
    good, points, said = quality.bars("s", "AAPL", Interval.H1, WINDOW, frame)
    assert [time.hour for time in good["time"]] == [10, 12, 13]
    assert good.schema == pl.Schema(BAR_SCHEMA)
    assert (points, said) == (90, ("QUARANTINED",))
    [aside] = quality.drain()
    assert (aside.kind, aside.reason) == ("bar H1", reason)


@pytest.mark.parametrize(
    ("allowed", "beyond"),
    [
        ({"low": TINY}, {"low": 0.0}),
        ({"high": 10.5}, {"high": math.nextafter(10.5, 0)}),
        ({"low": 10.0}, {"low": math.nextafter(10.0, 20)}),
        ({"open": 9.0}, {"open": math.nextafter(9.0, 0)}),
        ({"close": 11.0}, {"close": math.nextafter(11.0, 20)}),
        ({"volume": 0.0}, {"volume": -TINY}),
        ({"volume": None}, {"volume": math.nan}),
        ({"vwap": None}, {"vwap": math.nan}),
        ({"trades": 0}, {"trades": -1}),
        ({"split_factor": TINY}, {"split_factor": 0.0}),
        ({"dividend": 0.0}, {"dividend": -TINY}),
        ({"time": WINDOW.start}, {"time": WINDOW.start - US}),
        ({"time": NOW + AHEAD}, {"time": NOW + AHEAD + US}),
    ],
    ids=str,
)
def test_each_rule_for_bars_at_its_edge(quality: Quality, allowed: dict[str, Any], beyond: dict[str, Any]) -> None:
    def served(change: dict[str, Any]) -> int:
        frame = pl.DataFrame([bar(12), bar(11, **change)], schema=BAR_SCHEMA)
        return quality.bars("s", "AAPL", Interval.H1, WINDOW, frame)[0].height

    assert (served(allowed), served(beyond)) == (2, 1)


def test_a_window_ends_before_its_end(quality: Quality) -> None:
    window = Window(WINDOW.start, WINDOW.start + timedelta(hours=2))
    frame = pl.DataFrame([bar(10, time=window.end - US), bar(11)], schema=BAR_SCHEMA)
    assert quality.bars("s", "AAPL", Interval.H1, window, frame)[0]["time"].to_list() == [window.end - US]


def test_good_bars_are_put_in_order(quality: Quality) -> None:
    frame = pl.DataFrame([bar(12), bar(10), bar(11)], schema=BAR_SCHEMA)
    good, points, said = quality.bars("s", "AAPL", Interval.H1, WINDOW, frame)
    assert [time.hour for time in good["time"]] == [10, 11, 12]
    assert (points, said) == (100, ())


def test_a_level_may_sink_below_zero_where_a_share_may_not(quality: Quality) -> None:
    frame = pl.DataFrame([bar(12, low=-1.0)], schema=BAR_SCHEMA)
    assert quality.bars("s", "^IRX", Interval.H1, WINDOW, frame)[0].height == 1
    assert quality.bars("s", "AAPL", Interval.H1, WINDOW, frame)[0].height == 0


async def test_the_router_serves_no_impossible_quote_and_asks_the_next() -> None:
    broken, sound = Scripted("broken", 9), Scripted("sound", 1)
    broken.price = -5.0
    answers = await router(broken, sound).quotes(["AAPL"])
    quote = answers["AAPL"]
    assert isinstance(quote, Quote)
    assert (quote.price, quote.provenance.source) == (1.0, "sound")
    assert [(skip.source, skip.code) for skip in quote.provenance.skipped] == [("broken", "SOURCE_BAD_ANSWER")]
    alone = (await router(broken).quotes(["AAPL"]))["AAPL"]
    assert isinstance(alone, SourceUnavailable)
