"""What TradingView's charts are told of sessions and of steps of prices."""

from datetime import date

import pytest

from gateway.udf_words import ALWAYS, Hours, Step, hours, step, zone
from market import AssetType
from sources.calendar import MARKETS, sessions


def told(code: str, start: date, end: date) -> Hours:
    return hours(sessions(code, start, end), MARKETS[code].timezone, start, end)


def test_a_session_is_told_by_the_clock_of_the_venue_with_holidays_and_half_days() -> None:
    # nyse.com/trade/hours-calendars: Thanksgiving 2025-11-27, half days 11-28 and 12-24, Christmas 12-25.
    assert told("XNYS", date(2025, 11, 1), date(2026, 1, 1)) == Hours(
        session="0930-1600", holidays="20251127,20251225", corrections="0930-1300:20251128,20251224"
    )


def test_the_clock_of_the_venue_is_the_same_in_winter_and_in_summer() -> None:
    assert told("XLON", date(2025, 3, 24), date(2025, 4, 5)) == Hours("0800-1630")


def test_a_lunch_break_makes_two_stretches() -> None:
    assert told("XHKG", date(2025, 6, 2), date(2025, 6, 7)) == Hours("0930-1200,1300-1600")


def test_currencies_end_their_day_at_five_in_new_york() -> None:
    assert told("FOREX", date(2025, 6, 2), date(2025, 6, 7)) == Hours("1700-1700")


def test_what_never_closes_is_always_open() -> None:
    assert hours(None, "UTC", date(2025, 1, 1), date(2025, 2, 1)) == Hours(ALWAYS)


@pytest.mark.parametrize(
    ("tick_size", "kind", "price", "expected"),
    [
        (0.01, AssetType.STOCK, 298.5, Step(1, 100)),
        (0.25, AssetType.COMMODITY, 5000.0, Step(25, 100)),
        (0.05, AssetType.STOCK, 10.0, Step(5, 100)),
        (1.0, AssetType.STOCK, 3000.0, Step(1, 1)),
        (1e-05, AssetType.FOREX, 1.08, Step(1, 100_000)),
        (None, AssetType.STOCK, 298.5, Step(1, 100)),
        (None, AssetType.STOCK, 0.4, Step(1, 10_000)),
        (None, AssetType.FOREX, 1.08, Step(1, 100_000)),
        (None, AssetType.FOREX, 150.1, Step(1, 1000)),
        (None, AssetType.CRYPTO, 48_568.0, Step(1, 100)),
        (None, AssetType.CRYPTO, 0.1, Step(1, 1_000_000)),
        (None, AssetType.CRYPTO, 1e-9, Step(1, 100_000_000)),
        (None, AssetType.INDEX, None, Step(1, 100)),
    ],
)
def test_a_price_has_the_step_of_its_tick_or_the_usual_one(
    tick_size: float | None, kind: AssetType, price: float | None, expected: Step
) -> None:
    assert step(tick_size, kind, price) == expected


def test_utc_has_the_name_that_the_library_knows() -> None:
    assert [zone(name) for name in ("UTC", None, "Asia/Tokyo")] == ["Etc/UTC", "Etc/UTC", "Asia/Tokyo"]
