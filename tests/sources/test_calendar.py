"""Sessions and phases on days that everybody can look up, and the laws that hold on every day."""

import subprocess
import sys
import threading
from datetime import UTC, date, datetime, time, timedelta
from importlib import import_module
from timeit import repeat
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import INSTANT, Market, MarketPhase, venue
from sources import calendar
from sources.calendar import MARKETS, Session, is_open, last_session, sessions, state
from tests.conftest import ROOT

# The package uses what pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(pandas|exchange_calendars)")

PRE, OPEN, POST, CLOSED = MarketPhase


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(code: str, text: str) -> datetime:
    """An instant by the clock of the venue."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(MARKETS[code].timezone)).astimezone(UTC)


# Open, close and lunch in UTC, as the venues have published them.
SESSIONS = [
    # New York: summer time from 2025-03-09 to 2025-11-02; half days end at 13:00.
    ("XNYS", "2025-03-07", "14:30 21:00"),
    ("XNYS", "2025-03-10", "13:30 20:00"),
    ("XNYS", "2025-10-31", "13:30 20:00"),
    ("XNYS", "2025-11-03", "14:30 21:00"),
    ("XNYS", "2024-07-03", "13:30 17:00"),
    ("XNYS", "2024-11-29", "14:30 18:00"),
    ("XNYS", "2024-12-24", "14:30 18:00"),
    ("XNYS", "2025-07-03", "13:30 17:00"),
    ("XNYS", "2025-11-28", "14:30 18:00"),
    ("XNAS", "2024-11-29", "14:30 18:00"),
    ("ARCX", "2024-11-29", "14:30 18:00"),
    # London: summer time from 2025-03-30 to 2025-10-26; half days end at 12:30.
    ("XLON", "2025-03-28", "08:00 16:30"),
    ("XLON", "2025-03-31", "07:00 15:30"),
    ("XLON", "2025-10-24", "07:00 15:30"),
    ("XLON", "2025-10-27", "08:00 16:30"),
    ("XLON", "2024-12-24", "08:00 12:30"),
    ("XLON", "2024-12-31", "08:00 12:30"),
    # Frankfurt: the same days of change; the last session of a year ends at 14:00.
    ("XETR", "2025-03-28", "08:00 16:30"),
    ("XETR", "2025-03-31", "07:00 15:30"),
    ("XETR", "2025-10-24", "07:00 15:30"),
    ("XETR", "2025-10-27", "08:00 16:30"),
    ("XETR", "2024-12-30", "08:00 13:00"),
    ("XETR", "2025-06-09", "07:00 15:30"),
    # Tokyo has no summer time; it closes at 15:30 instead of 15:00 since 2024-11-05.
    ("XTKS", "2024-11-01", "00:00 06:00 02:30 03:30"),
    ("XTKS", "2024-11-05", "00:00 06:30 02:30 03:30"),
    ("XTKS", "2025-01-06", "00:00 06:30 02:30 03:30"),
    # Hong Kong: half days have the morning only.
    ("XHKG", "2025-02-03", "01:30 08:00 04:00 05:00"),
    ("XHKG", "2024-12-24", "01:30 04:00"),
    ("XHKG", "2024-12-31", "01:30 04:00"),
    ("XHKG", "2025-01-28", "01:30 04:00"),
    # Shanghai and Shenzhen.
    ("XSHG", "2025-01-27", "01:30 07:00 03:30 05:00"),
    ("XSHG", "2025-02-05", "01:30 07:00 03:30 05:00"),
    ("XSHE", "2025-02-05", "01:30 07:00 03:30 05:00"),
]


@pytest.mark.parametrize(("code", "day", "times"), SESSIONS)
def test_a_session_has_its_published_hours(code: str, day: str, times: str) -> None:
    on = date.fromisoformat(day)
    frame = sessions(code, on, on + timedelta(days=1))
    open_, close, start, end = (*(utc(f"{day}T{clock}") for clock in times.split()), None, None)[:4]
    assert frame.rows() == [(on, open_, close, start, end)]
    assert open_
    assert last_session(code, open_) == Session(on, open_, utc(f"{day}T{times.split()[1]}"), start, end)
    at = state(code, open_)
    assert (at.phase, at.opens_at, at.closes_at, at.is_holiday) == (OPEN, open_, close, False)


HOLIDAYS = [
    # New Year, mourning for President Carter, Good Friday, Juneteenth, Independence, Thanksgiving, Christmas.
    ("XNYS", "2025-01-01 2025-01-09 2025-04-18 2025-06-19 2025-07-04 2025-11-27 2025-12-25 2026-07-03"),
    ("XLON", "2024-12-25 2024-12-26 2025-01-01 2025-04-18 2025-04-21 2025-05-05 2025-05-26 2025-08-25"),
    ("XETR", "2024-12-24 2024-12-25 2024-12-26 2024-12-31 2025-01-01 2025-04-18 2025-04-21 2025-05-01"),
    ("XTKS", "2024-11-04 2024-12-31 2025-01-01 2025-01-02 2025-01-03 2025-01-13 2025-05-05 2025-05-06"),
    ("XHKG", "2024-12-25 2024-12-26 2025-01-01 2025-01-29 2025-01-30 2025-01-31 2025-07-01 2025-10-01"),
    ("XSHG", "2024-10-01 2024-10-04 2024-10-07 2025-01-01 2025-01-28 2025-02-03 2025-02-04 2025-05-05"),
    ("XSHE", "2025-01-28"),
]


@pytest.mark.parametrize(("code", "day"), [(code, day) for code, days in HOLIDAYS for day in days.split()])
def test_a_holiday_is_a_weekday_without_a_session(code: str, day: str) -> None:
    on = date.fromisoformat(day)
    assert sessions(code, on, on + timedelta(days=1)).is_empty()
    for clock in ("00:00", "11:00", "23:59"):
        at = state(code, local(code, f"{day}T{clock}"))
        assert (at.phase, at.opens_at, at.closes_at, at.is_holiday) == (CLOSED, None, None, True)


@pytest.mark.parametrize("code", sorted(set(MARKETS) - {"CRYPTO", "FOREX"}))
def test_a_weekend_is_no_holiday(code: str) -> None:
    at = state(code, local(code, "2025-06-14T11:00"))
    assert (at.phase, at.opens_at, at.closes_at, at.is_holiday) == (CLOSED, None, None, False)
    assert at.next_open == state(code, local(code, "2025-06-16T11:00")).opens_at


# What a day goes through by the clock of the venue.
DAYS = [
    ("XNAS", "2025-06-12", "00:00 CLOSED, 04:00 PRE, 09:30 OPEN, 16:00 POST, 20:00 CLOSED"),
    ("XNAS", "2025-07-03", "00:00 CLOSED, 04:00 PRE, 09:30 OPEN, 13:00 POST, 17:00 CLOSED"),
    ("XNAS", "2025-07-04", "00:00 CLOSED"),
    ("XLON", "2025-06-12", "00:00 CLOSED, 08:00 OPEN, 16:30 CLOSED"),
    ("XETR", "2025-06-12", "00:00 CLOSED, 09:00 OPEN, 17:30 CLOSED"),
    ("XTKS", "2025-06-12", "00:00 CLOSED, 09:00 OPEN, 11:30 CLOSED, 12:30 OPEN, 15:30 CLOSED"),
    ("XHKG", "2025-06-12", "00:00 CLOSED, 09:30 OPEN, 12:00 CLOSED, 13:00 OPEN, 16:00 CLOSED"),
    ("XHKG", "2025-01-28", "00:00 CLOSED, 09:30 OPEN, 12:00 CLOSED"),
    ("XSHG", "2025-06-12", "00:00 CLOSED, 09:30 OPEN, 11:30 CLOSED, 13:00 OPEN, 15:00 CLOSED"),
    ("FOREX", "2025-06-12", "00:00 OPEN"),
    ("FOREX", "2025-06-13", "00:00 OPEN, 17:00 CLOSED"),
    ("FOREX", "2025-06-14", "00:00 CLOSED"),
    ("FOREX", "2025-06-15", "00:00 CLOSED, 17:00 OPEN"),
]


@pytest.mark.parametrize(("code", "day", "phases"), DAYS)
def test_a_day_goes_through_its_phases_at_the_instant(code: str, day: str, phases: str) -> None:
    expected = [(local(code, f"{day}T{clock}"), phase) for clock, phase in map(str.split, phases.split(", "))]
    midnight = local(code, f"{date.fromisoformat(day) + timedelta(days=1)}T00:00")
    at = expected[0][0]
    seen = []
    while at < midnight:
        now = state(code, at)
        seen.append((at, now.phase))
        assert now.changes_at
        assert state(code, now.changes_at - timedelta(microseconds=1)) == now
        at = now.changes_at
    assert seen == expected
    assert at == midnight


OPENINGS = [
    ("XNYS", "2025-07-03T03:00", "2025-07-03T09:30"),
    ("XNYS", "2025-07-03T09:29:59.999999", "2025-07-03T09:30"),
    ("XNYS", "2025-07-03T09:30", "2025-07-07T09:30"),
    ("XNYS", "2025-07-03T14:00", "2025-07-07T09:30"),
    ("XNYS", "2025-07-04T12:00", "2025-07-07T09:30"),
    ("XNYS", "2025-03-07T17:00", "2025-03-10T09:30"),
    ("XHKG", "2025-06-12T10:00", "2025-06-12T13:00"),
    ("XHKG", "2025-06-12T12:00", "2025-06-12T13:00"),
    ("XHKG", "2025-06-12T13:00", "2025-06-13T09:30"),
    ("XHKG", "2025-01-28T12:00", "2025-02-03T09:30"),
    ("XSHG", "2025-01-27T16:00", "2025-02-05T09:30"),
    ("XTKS", "2024-12-30T16:00", "2025-01-06T09:00"),
    ("FOREX", "2025-06-11T12:00", "2025-06-15T17:00"),
    ("FOREX", "2025-06-14T12:00", "2025-06-15T17:00"),
    ("FOREX", "2025-06-15T16:59:59", "2025-06-15T17:00"),
    ("FOREX", "2025-06-15T17:00", "2025-06-22T17:00"),
]


@pytest.mark.parametrize(("code", "at", "opening"), OPENINGS)
def test_the_next_opening_skips_nights_weekends_and_holidays(code: str, at: str, opening: str) -> None:
    assert state(code, local(code, at)).next_open == local(code, opening)


# The week of currencies in UTC: 17:00 in New York is 22:00 in winter and 21:00 in summer.
WEEKS = [
    ("2025-01-05T22:00", "2025-01-10T22:00"),
    ("2025-03-02T22:00", "2025-03-07T22:00"),
    ("2025-03-09T21:00", "2025-03-14T21:00"),
    ("2025-10-26T21:00", "2025-10-31T21:00"),
    ("2025-11-02T22:00", "2025-11-07T22:00"),
    ("2025-12-21T22:00", "2025-12-26T22:00"),
]


@pytest.mark.parametrize(("opens", "closes"), WEEKS)
def test_currencies_trade_from_sunday_to_friday_in_new_york(opens: str, closes: str) -> None:
    begin, end = utc(opens), utc(closes)
    moment = timedelta(microseconds=1)
    assert [is_open("FOREX", at) for at in (begin - moment, begin, end - moment, end)] == [False, True, True, False]
    for at in (begin, begin + timedelta(days=2, hours=7), end - moment):
        assert (state("FOREX", at).opens_at, state("FOREX", at).closes_at) == (begin, end)
    days = sessions("FOREX", end.date() - timedelta(days=5), end.date() + timedelta(days=2))
    assert days["trading_day"].dt.weekday().to_list() == [1, 2, 3, 4, 5]
    assert (days["open"][0], days["close"][-1]) == (begin, end)
    assert days["open"][1:].to_list() == days["close"][:-1].to_list(), "one day ends where the next begins"


def test_crypto_never_closes() -> None:
    at = utc("2025-12-25T03:00")
    assert state("CRYPTO", at) == Market(code="CRYPTO", name="Crypto", timezone="UTC", phase=OPEN)
    assert state("CRYPTO", at).changes_at is None
    days = sessions("CRYPTO", date(2024, 2, 28), date(2024, 3, 2))
    assert days["trading_day"].to_list() == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert (days["open"][0], days["close"][-1]) == (utc("2024-02-28T00:00"), utc("2024-03-02T00:00"))


LATEST = [
    ("XNYS", "2024-11-29T14:29:59", date(2024, 11, 27)),
    ("XNYS", "2024-11-29T14:30", date(2024, 11, 29)),
    ("XNYS", "2024-12-02T12:00", date(2024, 11, 29)),
    ("XHKG", "2025-02-01T00:00", date(2025, 1, 28)),
    ("FOREX", "2025-06-12T20:59:59", date(2025, 6, 12)),
    ("FOREX", "2025-06-12T21:00", date(2025, 6, 13)),
    ("FOREX", "2025-06-14T12:00", date(2025, 6, 13)),
    ("CRYPTO", "2025-06-14T12:00", date(2025, 6, 14)),
]


@pytest.mark.parametrize(("code", "at", "day"), LATEST)
def test_the_last_session_is_the_newest_that_has_begun(code: str, at: str, day: date) -> None:
    found = last_session(code, utc(at))
    assert found
    assert found.trading_day == day


def test_there_is_no_last_session_before_the_first() -> None:
    assert last_session("XNYS", utc("1959-06-01T00:00")) is None


@pytest.mark.parametrize("code", sorted(code for code in MARKETS if code not in ("CRYPTO", "FOREX")))
def test_sessions_agree_with_the_package(code: str) -> None:
    known = import_module("exchange_calendars").get_calendar(MARKETS[code].calendar)
    first, last = known.first_session.date(), known.last_session.date()
    frame = sessions(code, first, last + timedelta(days=1))
    assert frame.columns == ["trading_day", "open", "close", "break_start", "break_end"]
    assert frame.dtypes == [pl.Date(), INSTANT, INSTANT, INSTANT, INSTANT]
    assert MARKETS[code].timezone == str(known.tz)
    assert frame.height == len(known.sessions) > 4800
    assert (frame["trading_day"] == pl.Series(known.sessions.date.tolist())).all()
    for name in frame.columns[1:]:
        theirs = pl.Series(getattr(known, f"{name}s_nanos") // 10**9)
        assert (frame[name].dt.epoch("s").fill_null(0) == theirs.clip(0)).all()


def test_every_market_that_a_spelling_tells_has_a_calendar() -> None:
    suffixes = ("HK", "SS", "SZ", "T", "L", "DE", "PA", "AS", "SW", "TO", "AX", "NS", "BO")
    symbols = [*(f"A.{suffix}" for suffix in suffixes), "EURUSD=X", "BTC-USD"]
    for guess in map(venue, symbols):
        assert guess.market_code
        if guess.market_code != "FOREX":  # a pair has no clock of its own, its market New York's
            assert MARKETS[guess.market_code].timezone == guess.timezone


@pytest.mark.parametrize("code", sorted(MARKETS))
@pytest.mark.parametrize("year", [1950, 1985, 2027, 2028, 2035, 2049, 2050, 2080])
def test_no_year_raises(code: str, year: int) -> None:
    for day in (1, 364):
        at = datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
        found = state(code, at)
        assert found.changes_at is None or at < found.changes_at


def test_beyond_what_is_published_weekdays_are_sessions_but_for_fixed_holidays() -> None:
    package = import_module("exchange_calendars.exchange_calendar_xshg")
    year = package.XSHGExchangeCalendar.bound_max().year + 1
    frame = sessions("XSHG", date(year, 1, 1), date(year + 1, 1, 1))
    fixed = {date(year, month, day) for month, day in [(1, 1), (5, 1), (5, 2), (10, 1), (10, 2), (10, 3)]}
    days = [date(year, 1, 1) + timedelta(days=day) for day in range(366)]
    expected = [day for day in days if day.year == year and day.isoweekday() <= 5 and day not in fixed]
    assert frame["trading_day"].to_list() == expected
    zone = ZoneInfo("Asia/Shanghai")
    clocks = {tuple(at.astimezone(zone).time() for at in row[1:]) for row in frame.iter_rows()}
    assert clocks == {(time(9, 30), time(15), time(11, 30), time(13))}
    assert state("XSHG", local("XSHG", f"{year}-01-01T10:00")).phase is CLOSED
    assert sessions("XNYS", date(2049, 12, 20), date(2060, 1, 1))["trading_day"][-1] == date(2049, 12, 31)


INSTANTS = st.integers(0, 15_000 * 86_400).map(lambda seconds: utc("1998-01-01") + timedelta(seconds=seconds))


@given(st.sampled_from(sorted(set(MARKETS) - {"CRYPTO"})), INSTANTS)
def test_a_state_holds_until_it_changes(code: str, at: datetime) -> None:
    now = state(code, at)
    assert now.changes_at
    assert now.changes_at > at
    assert state(code, now.changes_at - timedelta(microseconds=1)) == now
    assert now.next_open
    assert now.next_open > at
    assert is_open(code, now.next_open)
    assert not is_open(code, now.next_open - timedelta(microseconds=1))


@given(st.sampled_from(sorted(MARKETS)), INSTANTS)
def test_it_is_open_exactly_within_a_session(code: str, at: datetime) -> None:
    session = last_session(code, at)
    assert session
    pause = session.break_start is not None and session.break_end is not None
    resting = pause and session.break_start <= at < session.break_end  # type: ignore[operator]
    assert is_open(code, at) == (at < session.close and not resting)


def test_a_state_is_told_in_microseconds() -> None:
    at = utc("2025-06-12T15:00")
    assert min(repeat(lambda: state("XNYS", at), number=1000, repeat=5)) / 1000 < 50e-6


def test_no_process_starts_with_pandas() -> None:
    lines = (
        "import sys, app",
        "from datetime import UTC, datetime",
        "from sources.calendar import state",
        "state('FOREX', datetime.now(UTC)), state('CRYPTO', datetime.now(UTC))",
        "assert 'pandas' not in sys.modules",
        "state('XNYS', datetime.now(UTC))",
        "assert 'pandas' in sys.modules",
    )
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, cwd=ROOT, timeout=60)


async def test_calendars_are_loaded_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar, "_sessions", {})
    loaded = calendar._loaded
    threads = []

    def noting(schedule: calendar.Schedule) -> pl.DataFrame:
        threads.append((schedule.calendar, threading.get_ident()))
        return loaded(schedule)

    monkeypatch.setattr(calendar, "_loaded", noting)
    await calendar.load(["XSHG", "XSHE", "CRYPTO"])
    assert [name for name, _ in threads] == ["XSHG", "CRYPTO"]
    assert threading.get_ident() not in {thread for _, thread in threads}
    await calendar.load(["XSHE"])
    assert len(threads) == 2, "what is in memory is not loaded again"
