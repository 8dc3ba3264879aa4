from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import AssetType, Interval, Provenance, Quote, ServedFrom, Venue, parse_symbol, venue

NOW = datetime(2026, 3, 4, 15, 16, 17, tzinfo=UTC)


def quote(price: float, previous_close: float | None) -> Quote:
    provenance = Provenance(source="s", served_from=ServedFrom.LIVE, received_at=NOW)
    return Quote(symbol="A", price=price, time=NOW, provenance=provenance, previous_close=previous_close)


@pytest.mark.parametrize("text", ["AAPL", "brk.b", "0700.HK", "btc-usd", "EURUSD=X", "^GSPC", "A_B"])
def test_symbols_are_upper_cased(text: str) -> None:
    assert parse_symbol(text) == text.upper()


@pytest.mark.parametrize("text", ["", " ", "A B", "A/B", "ÄÖ", "A" * 21, "AAPL\n", "$A", "ß"])
def test_what_is_no_symbol_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a symbol is 1-20 of"):
        parse_symbol(text)


@pytest.mark.parametrize(
    ("interval", "floor", "end"),
    [
        ("M1", "2026-03-04T15:16:00+00:00", "2026-03-04T15:17:00+00:00"),
        ("M5", "2026-03-04T15:15:00+00:00", "2026-03-04T15:20:00+00:00"),
        ("M15", "2026-03-04T15:15:00+00:00", "2026-03-04T15:30:00+00:00"),
        ("M30", "2026-03-04T15:00:00+00:00", "2026-03-04T15:30:00+00:00"),
        ("H1", "2026-03-04T15:00:00+00:00", "2026-03-04T16:00:00+00:00"),
        ("H4", "2026-03-04T12:00:00+00:00", "2026-03-04T16:00:00+00:00"),
        ("D1", "2026-03-04T00:00:00+00:00", "2026-03-05T00:00:00+00:00"),
        ("W1", "2026-03-02T00:00:00+00:00", "2026-03-09T00:00:00+00:00"),
        ("MN1", "2026-03-01T00:00:00+00:00", "2026-04-01T00:00:00+00:00"),
    ],
)
def test_intervals_lie_on_the_utc_grid(interval: str, floor: str, end: str) -> None:
    opening = Interval(interval).floor(NOW)
    assert opening.isoformat() == floor
    assert Interval(interval).end(opening).isoformat() == end


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), st.sampled_from(Interval))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_every_instant_lies_in_exactly_one_interval(at: datetime, interval: Interval) -> None:
    opening = interval.floor(at)
    assert opening <= at < interval.end(opening)
    assert interval.floor(opening) == opening
    assert interval.floor(interval.end(opening)) == interval.end(opening)
    assert interval.end(opening) - opening <= interval.span
    assert interval.floor(opening - timedelta(microseconds=1)) < opening


@pytest.mark.parametrize(
    ("price", "previous", "change", "percent"),
    [
        (130.31, 129.06, 1.25, 0.9685),
        (0.3, 0.1, 0.2, 200.0),
        (1.1, 1.10001, -0.00001, -0.0009),
        (5.0, None, None, None),
        (5.0, 0.0, 5.0, None),
    ],
)
def test_changes_are_exact_decimals(
    price: float, previous: float | None, change: float | None, percent: float | None
) -> None:
    assert quote(price, previous).change == change
    assert quote(price, previous).change_percent == percent


PRICES = st.one_of(
    st.builds(lambda whole, places: whole / 10**places, st.integers(0, 10**15), st.integers(0, 12)),
    st.floats(0, 1e12),
    st.floats(1e7, 1e9),  # which have more digits than tell floats apart
)


@given(PRICES, PRICES)
def test_a_change_is_what_decimals_of_any_size_make_it(price: float, previous: float) -> None:
    assert quote(price, previous).change == float(Decimal(repr(price)) - Decimal(repr(previous)))


def test_a_symbol_tells_its_venue() -> None:
    assert venue("AAPL") == Venue(AssetType.STOCK, None, "USD", "America/New_York")
    assert venue("BRK.B") == Venue(AssetType.STOCK, None, "USD", "America/New_York")
    assert venue("0700.HK") == Venue(AssetType.STOCK, "XHKG", "HKD", "Asia/Hong_Kong")
    assert venue("600519.SS") == Venue(AssetType.STOCK, "XSHG", "CNY", "Asia/Shanghai")
    assert venue("BTC-USD") == Venue(AssetType.CRYPTO, "CRYPTO", "USD", "UTC")
    assert venue("BTC-USDT") == Venue(AssetType.CRYPTO, "CRYPTO", "USDT", "UTC")
    assert venue("BTC-FDUSD") == Venue(AssetType.CRYPTO, "CRYPTO", "FDUSD", "UTC")
    assert venue("BRK-B") == Venue(AssetType.STOCK, None, "USD", "America/New_York")
    assert venue("EURUSD=X") == Venue(AssetType.FOREX, "FOREX", "USD", "UTC")
    assert venue("JPY=X") == Venue(AssetType.FOREX, "FOREX", "JPY", "UTC")
    assert venue("^GSPC") == Venue(AssetType.INDEX, None, "USD", "America/New_York")
