"""Which bars the markets have: daylight saving, half days, holidays, lunch breaks, edges of weeks and months."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import Asset, AssetType, Interval, Window
from sources.grid import Slot, market_of, slot_at, slots
from tests.bars import at


def text(slot: Slot | None) -> tuple[str, ...] | None:
    return slot and tuple(instant.strftime("%m-%dT%H:%M") for instant in slot)


# Each row: an instant in UTC; then `time`, the opening and the end of the bar that it belongs to.
@pytest.mark.parametrize(
    ("code", "interval", "instant", "expected"),
    [
        # New York: 14:30-21:00 UTC in winter, 13:30-20:00 from 2024-03-10 to 2024-11-02.
        ("XNYS", "H1", "2024-03-08T14:30", ("03-08T14:30", "03-08T14:30", "03-08T15:30")),
        ("XNYS", "H1", "2024-03-11T13:30", ("03-11T13:30", "03-11T13:30", "03-11T14:30")),
        ("XNYS", "H1", "2024-11-01T19:59", ("11-01T19:30", "11-01T19:30", "11-01T20:00")),
        ("XNYS", "H1", "2024-11-04T13:59", None),
        ("XNYS", "H1", "2024-11-04T20:59", ("11-04T20:30", "11-04T20:30", "11-04T21:00")),
        ("XNYS", "H4", "2024-07-02T17:29", ("07-02T13:30", "07-02T13:30", "07-02T17:30")),
        ("XNYS", "H4", "2024-07-02T17:30", ("07-02T17:30", "07-02T17:30", "07-02T20:00")),
        # A half day ends at 13:00 there, and the 4th is a holiday.
        ("XNYS", "H4", "2024-07-03T16:59", ("07-03T13:30", "07-03T13:30", "07-03T17:00")),
        ("XNYS", "M1", "2024-07-03T17:00", None),
        ("XNYS", "D1", "2024-07-03T16:59", ("07-03T00:00", "07-03T13:30", "07-03T17:00")),
        ("XNYS", "D1", "2024-07-04T15:00", None),
        ("XNYS", "W1", "2024-07-05T19:59", ("07-01T00:00", "07-01T13:30", "07-05T20:00")),
        ("XNYS", "W1", "2024-01-02T15:00", ("01-01T00:00", "01-02T14:30", "01-05T21:00")),
        ("XNYS", "MN1", "2024-03-28T19:59", ("03-01T00:00", "03-01T14:30", "03-28T20:00")),
        ("XNYS", "M5", "2024-07-02T13:29:59.999999", None),
        ("XNYS", "M5", "2024-07-02T13:34:59.999999", ("07-02T13:30", "07-02T13:30", "07-02T13:35")),
        # London: 08:00-16:30 UTC in winter, 07:00-15:30 from 2024-03-31; half days end at 12:30.
        ("XLON", "H1", "2024-03-28T08:00", ("03-28T08:00", "03-28T08:00", "03-28T09:00")),
        ("XLON", "H1", "2024-04-02T07:00", ("04-02T07:00", "04-02T07:00", "04-02T08:00")),
        ("XLON", "H1", "2024-10-25T15:29", ("10-25T15:00", "10-25T15:00", "10-25T15:30")),
        ("XLON", "H1", "2024-10-28T16:29", ("10-28T16:00", "10-28T16:00", "10-28T16:30")),
        ("XLON", "H4", "2024-12-24T12:29", ("12-24T12:00", "12-24T12:00", "12-24T12:30")),
        ("XLON", "M1", "2024-12-25T10:00", None),
        ("XLON", "W1", "2024-12-24T08:00", ("12-23T00:00", "12-23T08:00", "12-27T16:30")),
        # Tokyo: 00:00-02:30 and 03:30 on; to 06:00, since 2024-11-05 to 06:30. No daylight saving.
        ("XTKS", "H1", "2024-01-04T02:29", ("01-04T02:00", "01-04T02:00", "01-04T02:30")),
        ("XTKS", "H1", "2024-01-04T02:30", None),
        ("XTKS", "H1", "2024-01-04T03:30", ("01-04T03:30", "01-04T03:30", "01-04T04:30")),
        ("XTKS", "H4", "2024-01-04T03:30", ("01-04T03:30", "01-04T03:30", "01-04T06:00")),
        ("XTKS", "H4", "2024-11-05T06:29", ("11-05T03:30", "11-05T03:30", "11-05T06:30")),
        ("XTKS", "D1", "2024-01-04T03:00", None),
        ("XTKS", "MN1", "2024-01-04T00:00", ("01-01T00:00", "01-04T00:00", "01-31T06:00")),
        # Hong Kong: 01:30-04:00 and 05:00-08:00; on half days only the morning.
        ("XHKG", "H1", "2024-02-08T03:59", ("02-08T03:30", "02-08T03:30", "02-08T04:00")),
        ("XHKG", "H1", "2024-02-08T05:00", ("02-08T05:00", "02-08T05:00", "02-08T06:00")),
        ("XHKG", "H4", "2024-02-09T03:59", ("02-09T01:30", "02-09T01:30", "02-09T04:00")),
        ("XHKG", "H4", "2024-02-09T05:00", None),
        ("XHKG", "W1", "2024-02-15T08:00", None),
        ("XHKG", "W1", "2024-02-15T07:59", ("02-12T00:00", "02-14T01:30", "02-16T08:00")),
        # Sydney's session begins on the date before in UTC, while it saves daylight.
        ("XASX", "D1", "2024-01-01T23:00", ("01-02T00:00", "01-01T23:00", "01-02T05:00")),
        ("XASX", "MN1", "2024-01-31T23:30", ("02-01T00:00", "01-31T23:00", "02-29T05:00")),
        # Currencies from Sunday to Friday, both 17:00 in New York.
        ("FOREX", "H4", "2024-03-08T21:59", ("03-08T18:00", "03-08T18:00", "03-08T22:00")),
        ("FOREX", "H4", "2024-03-10T21:00", ("03-10T21:00", "03-10T21:00", "03-11T01:00")),
        ("FOREX", "D1", "2024-03-10T21:00", ("03-11T00:00", "03-10T21:00", "03-11T21:00")),
        ("FOREX", "W1", "2024-03-10T20:59", None),
        # Round the clock, on the grid of UTC.
        ("CRYPTO", "H4", "2024-02-29T23:59", ("02-29T20:00", "02-29T20:00", "03-01T00:00")),
        ("CRYPTO", "D1", "2024-02-29T23:59", ("02-29T00:00", "02-29T00:00", "03-01T00:00")),
        ("CRYPTO", "W1", "2024-03-03T23:59", ("02-26T00:00", "02-26T00:00", "03-04T00:00")),
        ("CRYPTO", "MN1", "2024-02-29T23:59", ("02-01T00:00", "02-01T00:00", "03-01T00:00")),
    ],
)
def test_an_instant_belongs_to_the_bar_of_its_session(
    code: str, interval: str, instant: str, expected: tuple[str, ...] | None
) -> None:
    assert text(slot_at(code, Interval(interval), at(instant))) == expected


@pytest.mark.parametrize(
    ("code", "interval", "start", "end", "expected"),
    [
        (
            "XNYS",
            "H4",
            "2024-07-02",
            "2024-07-06",
            ["07-02T13:30", "07-02T17:30", "07-03T13:30", "07-05T13:30", "07-05T17:30"],
        ),
        ("XNYS", "H1", "2024-11-29T17:00", "2024-12-02T15:00", ["11-29T17:30", "12-02T14:30"]),
        ("XLON", "H4", "2024-03-28", "2024-04-03",
         ["03-28T08:00", "03-28T12:00", "03-28T16:00", "04-02T07:00", "04-02T11:00", "04-02T15:00"]),
        ("XTKS", "H4", "2024-01-01", "2024-01-06", ["01-04T00:00", "01-04T03:30", "01-05T00:00", "01-05T03:30"]),
        ("XHKG", "H4", "2024-02-08", "2024-02-15",
         ["02-08T01:30", "02-08T05:00", "02-09T01:30", "02-14T01:30", "02-14T05:00"]),
        ("XNYS", "D1", "2024-03-27", "2024-04-02", ["03-27T00:00", "03-28T00:00", "04-01T00:00"]),
        ("XNYS", "W1", "2024-01-01", "2024-01-16", ["01-01T00:00", "01-08T00:00", "01-15T00:00"]),
        ("XNYS", "W1", "2024-01-02", "2024-01-15", ["01-08T00:00"]),
        ("XTKS", "MN1", "2023-12-02", "2024-03-01", ["01-01T00:00", "02-01T00:00"]),
        ("FOREX", "D1", "2024-03-08", "2024-03-12", ["03-08T00:00", "03-11T00:00"]),
        ("CRYPTO", "H4", "2024-02-29T20:00", "2024-03-01T04:00", ["02-29T20:00", "03-01T00:00"]),
        ("XASX", "H4", "2024-01-01T20:00", "2024-01-02T20:00", ["01-01T23:00", "01-02T03:00"]),
    ],
)  # fmt: skip
def test_the_bars_of_a_window_are_those_that_the_sessions_expect(
    code: str, interval: str, start: str, end: str, expected: list[str]
) -> None:
    found = slots(code, Interval(interval), Window(at(start), at(end)))
    assert [time.strftime("%m-%dT%H:%M") for time in found["time"]] == expected


@given(
    code=st.sampled_from(["XNYS", "XLON", "XTKS", "XHKG", "XASX", "FOREX", "CRYPTO"]),
    interval=st.sampled_from([*Interval]),
    instant=st.integers(0, 2500 * 86_400_000_000 - 1).map(
        lambda after: at("2019-12-20") + timedelta(microseconds=after)
    ),
)
def test_the_bar_of_an_instant_is_the_one_of_the_window(code: str, interval: Interval, instant: datetime) -> None:
    slot = slot_at(code, interval, instant)
    floor = interval.floor(instant) - timedelta(days=1)
    rows = [Slot(*row) for row in slots(code, interval, Window(floor, instant + timedelta(days=2))).iter_rows()]
    holding = [row for row in rows if row.opens_at <= instant < row.closes_at]
    assert len(holding) <= 1
    assert all(before.closes_at <= after.opens_at for before, after in pairwise(rows))
    if slot is None:  # a day's bar has nights and breaks in it, in which nothing is traded
        assert not (interval.is_intraday and holding)
    else:
        assert holding == [slot]


def listed(kind: AssetType, market_code: str | None = None, timezone: str | None = None) -> Asset:
    return Asset(symbol="X", name="X", type=kind, market_code=market_code, currency="USD", timezone=timezone)


@pytest.mark.parametrize(
    ("symbol", "asset", "code"),
    [
        ("AAPL", None, "XNYS"),
        ("0700.HK", None, "XHKG"),
        ("BTC-USD", None, "CRYPTO"),
        ("EURUSD=X", None, "FOREX"),
        ("GC=F", None, "CRYPTO"),
        ("AAPL", listed(AssetType.STOCK, "XNAS"), "XNAS"),
        ("AAPL", listed(AssetType.STOCK, "XXXX"), "XNYS"),
        ("^N225", listed(AssetType.INDEX, timezone="Asia/Tokyo"), "XTKS"),
        ("GOLD", listed(AssetType.COMMODITY), "CRYPTO"),
    ],
)
def test_a_symbol_keeps_the_hours_of_its_market(symbol: str, asset: Asset | None, code: str) -> None:
    assert market_of(symbol, asset) == code
