"""Longer bars from shorter ones: exact tables by the sessions of the markets, and equal to a source's own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from market import Interval, Window
from sources.grid import slots
from sources.resample import PARTS, fits, resampled
from sources.sandbox import Sandbox
from tests.bars import at, bar, bars

M1, M5, M30, H1, H4, D1, W1, MN1 = (Interval(name) for name in ("M1", "M5", "M30", "H1", "H4", "D1", "W1", "MN1"))
LATER = at("2030-01-01")


def full(code: str, part: Interval, start: str, end: str) -> pl.DataFrame:
    """A part in every slot; the first opens at 1, and each leaves its number as its close and its volume."""
    times = slots(code, part, Window(at(start), at(end)))["time"]
    return bars(
        bar(time, number, open=number - 0.5, high=number + 0.25, low=number - 0.75, volume=number)
        for number, time in enumerate(times, 1)
    )


def table(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    rows = frame.select("time", "open", "high", "low", "close", "volume").iter_rows()
    return [(time.strftime("%m-%dT%H:%M"), *numbers) for time, *numbers in rows]


def whole(first: int, last: int) -> tuple[float, ...]:
    """What the parts from one number to another make."""
    return first - 0.5, last + 0.25, first - 0.75, float(last), float(sum(range(first, last + 1)))


@pytest.mark.parametrize(
    ("code", "part", "made", "start", "end", "expected"),
    [
        # The hours of New York stay those of the session as its clocks change.
        (
            "XNYS",
            H1,
            H4,
            "2024-11-01",
            "2024-11-05",
            [("11-01T13:30", 1, 4), ("11-01T17:30", 5, 7), ("11-04T14:30", 8, 11), ("11-04T18:30", 12, 14)],
        ),
        (
            "XNYS",
            H1,
            H4,
            "2024-03-08",
            "2024-03-12",
            [("03-08T14:30", 1, 4), ("03-08T18:30", 5, 7), ("03-11T13:30", 8, 11), ("03-11T17:30", 12, 14)],
        ),
        (
            "XNYS",
            M30,
            H1,
            "2024-07-03",
            "2024-07-05",
            [("07-03T13:30", 1, 2), ("07-03T14:30", 3, 4), ("07-03T15:30", 5, 6), ("07-03T16:30", 7, 7)],
        ),
        (
            "XLON",
            M30,
            H4,
            "2024-03-28",
            "2024-04-03",
            [
                ("03-28T08:00", 1, 8),
                ("03-28T12:00", 9, 16),
                ("03-28T16:00", 17, 17),
                ("04-02T07:00", 18, 25),
                ("04-02T11:00", 26, 33),
                ("04-02T15:00", 34, 34),
            ],
        ),
        ("XLON", H1, H4, "2024-12-24", "2024-12-27", [("12-24T08:00", 1, 4), ("12-24T12:00", 5, 5)]),
        # No bar reaches over lunch.
        (
            "XTKS",
            M30,
            H1,
            "2024-01-04",
            "2024-01-05",
            [
                ("01-04T00:00", 1, 2),
                ("01-04T01:00", 3, 4),
                ("01-04T02:00", 5, 5),
                ("01-04T03:30", 6, 7),
                ("01-04T04:30", 8, 9),
                ("01-04T05:30", 10, 10),
            ],
        ),
        (
            "XHKG",
            H1,
            H4,
            "2024-02-08",
            "2024-02-15",
            [
                ("02-08T01:30", 1, 3),
                ("02-08T05:00", 4, 6),
                ("02-09T01:30", 7, 9),
                ("02-14T01:30", 10, 12),
                ("02-14T05:00", 13, 15),
            ],
        ),
        ("FOREX", H1, H4, "2024-03-08T18:00", "2024-03-11T01:00", [("03-08T18:00", 1, 4), ("03-10T21:00", 5, 8)]),
        (
            "CRYPTO",
            H1,
            H4,
            "2024-03-10",
            "2024-03-10T12:00",
            [("03-10T00:00", 1, 4), ("03-10T04:00", 5, 8), ("03-10T08:00", 9, 12)],
        ),
        # Weeks from Monday, whatever its holiday; months from the 1st.
        (
            "XNYS",
            D1,
            W1,
            "2023-12-25",
            "2024-01-13",
            [("12-25T00:00", 1, 4), ("01-01T00:00", 5, 8), ("01-08T00:00", 9, 13)],
        ),
        (
            "XTKS",
            D1,
            W1,
            "2023-12-25",
            "2024-01-13",
            [("12-25T00:00", 1, 5), ("01-01T00:00", 6, 7), ("01-08T00:00", 8, 11)],
        ),
        ("CRYPTO", D1, W1, "2023-12-25", "2024-01-08", [("12-25T00:00", 1, 7), ("01-01T00:00", 8, 14)]),
        (
            "XNYS",
            D1,
            MN1,
            "2024-01-01",
            "2024-04-01",
            [("01-01T00:00", 1, 21), ("02-01T00:00", 22, 41), ("03-01T00:00", 42, 61)],
        ),
        (
            "CRYPTO",
            D1,
            MN1,
            "2024-01-01",
            "2024-04-01",
            [("01-01T00:00", 1, 31), ("02-01T00:00", 32, 60), ("03-01T00:00", 61, 91)],
        ),
        ("XHKG", D1, MN1, "2024-02-01", "2024-03-01", [("02-01T00:00", 1, 19)]),
    ],
)
def test_bars_are_joined_by_the_sessions(
    code: str, part: Interval, made: Interval, start: str, end: str, expected: list[tuple[str, int, int]]
) -> None:
    found = resampled(full(code, part, start, end), code, part, made, LATER)
    assert table(found) == [(time, *whole(first, last)) for time, first, last in expected]
    assert found["is_final"].all()


@pytest.mark.parametrize(("made", "part"), [(made, part) for made, parts in PARTS.items() for part in parts])
@pytest.mark.parametrize("symbol", ["AAPL", "DOGE-USD"])
async def test_joined_bars_equal_those_that_a_source_has_itself(symbol: str, made: Interval, part: Interval) -> None:
    now = at("2026-11-20T12:34:56")
    source = Sandbox(1, 1.0, lambda: now)
    window = Window(made.floor(now - min(made.span * 60, timedelta(days=900))), now)
    own = await source.history(symbol, made, window)
    parts = await source.history(symbol, part, window)
    assert own.height >= 29
    assert resampled(parts, "CRYPTO", part, made, now).equals(own)


def test_what_one_part_does_not_say_is_unknown_of_the_whole() -> None:
    start = at("2024-03-01T10:00")
    minutes = [start + timedelta(minutes=number) for number in range(15)]
    rows = [bar(time, volume=0.1, vwap=100.0 + number, trades=2) for number, time in enumerate(minutes)]
    rows[7] |= {"volume": None}
    rows[13] |= {"trades": None, "vwap": None}
    made = resampled(bars(rows), "CRYPTO", M1, M5, LATER)
    assert made.select("volume", "vwap", "trades").rows() == [(0.5, 102.0, 10), (None, None, 10), (0.5, None, None)]


def test_splits_multiply_and_dividends_add_up() -> None:
    rows = [bar(at("2024-03-04")), bar(at("2024-03-05"), split_factor=2.0), bar(at("2024-03-06"), dividend=0.5)]
    rows += [bar(at("2024-03-07"), split_factor=3.0, dividend=0.25), bar(at("2024-03-11"))]
    made = resampled(bars(rows), "XNYS", D1, W1, LATER)
    assert made.select("split_factor", "dividend").rows() == [(6.0, 0.75), (1.0, 0.0)]


def test_nothing_traded_is_no_average() -> None:
    made = resampled(bars([bar(at("2024-03-01T10:00"), volume=0.0, vwap=1.0)]), "CRYPTO", M1, M5, LATER)
    assert made.select("volume", "vwap").rows() == [(0.0, None)]


@pytest.mark.parametrize(
    ("minutes", "now", "expected"),
    [
        ([0, 1, 2, 3, 4], "2024-03-01T10:05", [True]),
        ([0, 1, 2, 3], "2024-03-01T10:05", [False]),  # the last minute may still be told
        ([0, 1, 2, 3], "2024-03-02T10:05", [True]),  # a day later it is known that nothing was traded in it
        ([0, 1, 3, 5], "2024-03-01T10:06", [True, False]),
        ([], "2024-03-01T10:06", []),
    ],
)
def test_a_bar_is_final_once_its_last_part_is_there(minutes: Sequence[int], now: str, expected: list[bool]) -> None:
    parts = bars(bar(at("2024-03-01T10:00") + timedelta(minutes=minute)) for minute in minutes)
    assert resampled(parts, "CRYPTO", M1, M5, at(now))["is_final"].to_list() == expected


def test_a_forming_part_makes_a_forming_bar() -> None:
    parts = bars([bar(at("2024-03-01T10:03")), bar(at("2024-03-01T10:04"), is_final=False)])
    assert resampled(parts, "CRYPTO", M1, M5, LATER)["is_final"].to_list() == [False]


def test_a_week_is_final_with_the_last_session_of_it_not_with_its_friday() -> None:
    days = full("XNYS", D1, "2024-03-25", "2024-03-29")  # Good Friday is the 29th
    assert resampled(days, "XNYS", D1, W1, at("2024-03-28T21:00"))["is_final"].to_list() == [True]
    assert resampled(days[:3], "XNYS", D1, W1, at("2024-03-28T21:00"))["is_final"].to_list() == [False]


def hours(*times: str) -> pl.DataFrame:
    return bars(bar(at(f"2024-07-02T{time}")) for time in times)


@pytest.mark.parametrize(
    ("code", "parts", "expected"),
    [
        ("XNYS", hours("13:30", "14:30", "19:30"), True),
        ("XNYS", hours("13:00", "14:00"), False),
        ("XNYS", hours("14:00", "15:00"), False),
        ("XNYS", hours("11:00", "12:00", "20:00", "21:00"), True),  # before and after the session
        ("CRYPTO", hours("13:00", "14:00"), True),
        ("XNYS", hours(), True),
    ],
)
def test_parts_that_reach_over_an_opening_do_not_fit(code: str, parts: pl.DataFrame, expected: bool) -> None:
    assert fits(parts, code, H1) is expected


def test_what_was_traded_outside_the_sessions_is_left_out() -> None:
    parts = bars([bar(at("2024-07-02T13:25"), 1), bar(at("2024-07-02T13:30"), 2), bar(at("2024-07-02T20:00"), 3)])
    made = resampled(parts, "XNYS", M5, H1, LATER)
    assert made.select("time", "open", "close").rows() == [(at("2024-07-02T13:30"), 2.0, 2.0)]


def test_a_day_that_the_calendar_does_not_know_is_not_lost() -> None:
    day: datetime = at("2024-07-04")  # a holiday
    made = resampled(bars([bar(at("2024-02-12"), 1), bar(day, 2)]), "XHKG", D1, W1, LATER)
    assert made["time"].to_list() == [at("2024-02-12"), at("2024-07-01")]
