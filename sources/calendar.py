"""Trading calendars: which markets there are, when each trades, and what phase it is in."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib import import_module
from itertools import zip_longest
from threading import Lock
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl

from market import INSTANT, Market, MarketPhase


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a market trades.

    `calendar` is a name of the package `exchange_calendars`, or FOREX or CRYPTO, which are told here. Trading before
    the open begins at `pre_opens`, venue's time, and goes on for `post` after the close, a half day's too.
    """

    code: str
    name: str
    timezone: str
    calendar: str
    pre_opens: time | None = None
    post: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of a market; the two ends of its lunch break are None where it has none."""

    trading_day: date
    open: datetime
    close: datetime
    break_start: datetime | None
    break_end: datetime | None


_NEW_YORK: Final = "America/New_York"
_EXTENDED: Final = (time(4), timedelta(hours=4))
"""04:00-09:30 and 16:00-20:00, on half days 13:00-17:00: nyse.com/trade/hours-calendars, nasdaq.com/market-activity."""

MARKETS: Final[Mapping[str, Schedule]] = {
    schedule.code: schedule
    for schedule in (
        Schedule("XNYS", "New York Stock Exchange", _NEW_YORK, "XNYS", *_EXTENDED),
        Schedule("XNAS", "Nasdaq", _NEW_YORK, "XNYS", *_EXTENDED),
        Schedule("ARCX", "NYSE Arca", _NEW_YORK, "XNYS", *_EXTENDED),
        Schedule("XTSE", "Toronto Stock Exchange", "America/Toronto", "XTSE"),
        Schedule("XLON", "London Stock Exchange", "Europe/London", "XLON"),
        Schedule("XETR", "Xetra", "Europe/Berlin", "XETR"),
        Schedule("XPAR", "Euronext Paris", "Europe/Paris", "XPAR"),
        Schedule("XAMS", "Euronext Amsterdam", "Europe/Amsterdam", "XAMS"),
        Schedule("XSWX", "SIX Swiss Exchange", "Europe/Zurich", "XSWX"),
        Schedule("XBOM", "BSE", "Asia/Kolkata", "XBOM"),
        Schedule("XNSE", "National Stock Exchange of India", "Asia/Kolkata", "XBOM"),
        Schedule("XHKG", "Hong Kong Stock Exchange", "Asia/Hong_Kong", "XHKG"),
        Schedule("XSHG", "Shanghai Stock Exchange", "Asia/Shanghai", "XSHG"),
        Schedule("XSHE", "Shenzhen Stock Exchange", "Asia/Shanghai", "XSHG"),
        Schedule("XTKS", "Tokyo Stock Exchange", "Asia/Tokyo", "XTKS"),
        Schedule("XASX", "Australian Securities Exchange", "Australia/Sydney", "XASX"),
        Schedule("FOREX", "Foreign exchange", _NEW_YORK, "FOREX"),
        Schedule("CRYPTO", "Crypto", "UTC", "CRYPTO"),
    )
}

_FIRST: Final = date(1960, 1, 1)
_LAST: Final = date(2049, 12, 31)

_ROLL: Final = time(17)
"""New York's time at which the trading day of currencies ends and the next begins."""

_FIXED_HOLIDAYS: Final = {
    "XSHG": ("01-01", "05-01", "05-02", "10-01", "10-02", "10-03"),
    "XBOM": ("01-26", "05-01", "08-15", "10-02", "12-25"),
}
"""Month and day of what the law makes a holiday every year, for the calendars that are published year by year."""

_TIMES: Final = ("open", "close", "break_start", "break_end")

_sessions: dict[str, pl.DataFrame] = {}
_loading = Lock()


async def load(codes: Iterable[str] = MARKETS) -> None:
    """Bring the calendars of the markets into memory, off the event loop: pandas and decades of holidays take a second.

    The functions below do so by themselves, but they hold up who calls them meanwhile.
    """
    missing = {schedule.calendar: schedule for code in codes if (schedule := MARKETS[code]).calendar not in _sessions}
    if missing:
        await asyncio.to_thread(lambda: [_loaded(schedule) for schedule in missing.values()])


def is_loaded(code: str) -> bool:
    """Whether the market's calendar is in memory, so that asking it holds nobody up."""
    return MARKETS[code].calendar in _sessions


def state(code: str, at: datetime) -> Market:
    """The market as it is at the instant.

    `opens_at` and `closes_at` are of the venue's present day by its own clock; for FOREX of the week, since it stays
    open over the roll. A lunch break is CLOSED: nothing trades, so prices stand still. A holiday is a weekday
    without a session. Before 1960, after 2049, and before a calendar's first year, all is CLOSED. The few calendars
    that are published a year ahead only (Shanghai, Mumbai) count every weekday after that year as a session, but for
    holidays of a fixed date.
    """
    schedule = MARKETS[code]
    if schedule.calendar == "CRYPTO":
        return always_open(code)
    begins, states = _day(code, at.astimezone(ZoneInfo(schedule.timezone)).date())
    return states[bisect_right(begins, at) - 1]


def always_open(code: str) -> Market:
    """The market as one that never closes."""
    schedule = MARKETS[code]
    return Market(code=code, name=schedule.name, timezone=schedule.timezone, phase=MarketPhase.OPEN)


def is_open(code: str, at: datetime) -> bool:
    """Whether the market trades in its regular session; False during its lunch break."""
    return state(code, at).phase is MarketPhase.OPEN


def sessions(code: str, start: date, end: date) -> pl.DataFrame:
    """The sessions whose trading day is in [start, end), ascending: trading_day, open, close, break_start, break_end.

    Instants are in UTC; the two of the lunch break are null where there is none. The trading day of FOREX is the date
    of New York on which it ends at 17:00; that of CRYPTO is the day in UTC.
    """
    return _loaded(MARKETS[code]).filter(pl.col("trading_day").is_between(start, end, closed="left"))


def last_session(code: str, at: datetime) -> Session | None:
    """The newest session that has begun at the instant; it may not have ended. None before the first."""
    frame = _loaded(MARKETS[code])
    begun = bisect_right(frame["open"], at)
    return Session(*frame.row(begun - 1)) if begun else None


@lru_cache(maxsize=1024)
def _day(code: str, day: date) -> tuple[list[datetime], list[Market]]:
    """The states of a day, from midnight to midnight by the clock of the venue: when each begins, and what it is."""
    schedule = MARKETS[code]
    hours = _currencies(day) if schedule.calendar == "FOREX" else _exchange(schedule, day)
    begins = [begin for begin, _ in hours.phases]
    ends = [*begins[1:], _instant(day + timedelta(days=1), time(), schedule.timezone)]
    openings = [begin for begin, phase in hours.phases if phase is MarketPhase.OPEN]
    states = [
        Market(
            code=code,
            name=schedule.name,
            timezone=schedule.timezone,
            phase=phase,
            opens_at=hours.opens_at,
            closes_at=hours.closes_at,
            next_open=next((opening for opening in openings if opening > begin), hours.next_open),
            is_holiday=hours.is_holiday,
            changes_at=end,
        )
        for (begin, phase), end in zip(hours.phases, ends, strict=True)
    ]
    return begins, states


@dataclass(frozen=True, slots=True)
class _Hours:
    """The hours of a day: `phases` begins at its midnight, `next_open` is the first opening on a later day."""

    opens_at: datetime | None
    closes_at: datetime | None
    next_open: datetime | None
    is_holiday: bool
    phases: list[tuple[datetime, MarketPhase]]


def _exchange(schedule: Schedule, day: date) -> _Hours:
    frame = _loaded(schedule)
    coming = [Session(*row) for row in frame.slice(bisect_left(frame["trading_day"], day), 2).iter_rows()]
    session = coming.pop(0) if coming and coming[0].trading_day == day else None
    phases = [(_instant(day, time(), schedule.timezone), MarketPhase.CLOSED)]
    if session:
        if schedule.pre_opens:
            phases.append((_instant(day, schedule.pre_opens, schedule.timezone), MarketPhase.PRE))
        phases.append((session.open, MarketPhase.OPEN))
        if session.break_start and session.break_end:
            phases += [(session.break_start, MarketPhase.CLOSED), (session.break_end, MarketPhase.OPEN)]
        if schedule.post:
            phases.append((session.close, MarketPhase.POST))
        phases.append((session.close + schedule.post, MarketPhase.CLOSED))
    return _Hours(
        opens_at=session.open if session else None,
        closes_at=session.close if session else None,
        next_open=coming[0].open if coming else None,
        is_holiday=session is None and day.isoweekday() <= 5,
        phases=phases,
    )


def _currencies(day: date) -> _Hours:
    """Open from Sunday to Friday, both 17:00 in New York."""
    days_since_sunday = day.isoweekday() % 7
    sunday = day - timedelta(days=days_since_sunday)
    opens, closes, opens_again = (_instant(sunday + timedelta(days=days), _ROLL, _NEW_YORK) for days in (0, 5, 7))
    midnight = _instant(day, time(), _NEW_YORK)
    phases = [(midnight, MarketPhase.OPEN if 1 <= days_since_sunday <= 5 else MarketPhase.CLOSED)]
    if days_since_sunday == 0:
        phases.append((opens, MarketPhase.OPEN))
    if days_since_sunday == 5:
        phases.append((closes, MarketPhase.CLOSED))
    in_the_week = days_since_sunday <= 5
    return _Hours(opens if in_the_week else None, closes if in_the_week else None, opens_again, False, phases)


def _instant(day: date, clock: time, zone: str) -> datetime:
    return datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC)


def _loaded(schedule: Schedule) -> pl.DataFrame:
    """Every session of the calendar; made once, whichever thread comes first."""
    name = schedule.calendar
    if (frame := _sessions.get(name)) is not None:
        return frame
    with _loading:
        if name not in _sessions:
            match name:
                case "FOREX":
                    frame = _daily(_weekdays(_FIRST, _LAST), _at(_ROLL, _NEW_YORK, days=-1), _at(_ROLL, _NEW_YORK))
                case "CRYPTO":
                    frame = _daily(_days(_FIRST, _LAST), _at(time(), "UTC"), _at(time(), "UTC", days=1))
                case _:
                    frame = _published(schedule)
            _sessions[name] = frame
        return _sessions[name]


def _published(schedule: Schedule) -> pl.DataFrame:
    """The sessions that the package knows, and weekdays after its last, where that is before 2049."""
    name = schedule.calendar
    # By name and only now: the package brings pandas, and its own registry would keep a second copy of everything.
    module = import_module(f"exchange_calendars.exchange_calendar_{name.lower()}")
    kind: Any = getattr(module, f"{name}ExchangeCalendar")
    earliest, latest = kind.bound_min(), kind.bound_max()
    first = max(_FIRST, earliest.date()) if earliest else _FIRST
    last = min(_LAST, latest.date()) if latest else _LAST
    known = kind(start=first.isoformat(), end=last.isoformat())
    table = known.schedule
    instants = {name: table[name].dt.tz_convert(None).to_numpy() for name in _TIMES}
    published = pl.DataFrame({"trading_day": table.index.to_numpy(), **instants}).select(
        pl.col("trading_day").cast(pl.Date), pl.col(*instants).dt.replace_time_zone("UTC").cast(INSTANT)
    )
    holiday = pl.col("trading_day").dt.to_string("%m-%d").is_in(_FIXED_HOLIDAYS.get(name, ()))
    regular = [
        _at(times[-1][1], schedule.timezone) if times else None
        for times in (known.open_times, known.close_times, known.break_start_times, known.break_end_times)
    ]
    expected = _daily(_weekdays(last + timedelta(days=1), _LAST).filter(~holiday), *regular)
    return pl.concat([published, expected])


def _days(first: date, last: date) -> pl.DataFrame:
    return pl.select(trading_day=pl.date_range(first, last))


def _weekdays(first: date, last: date) -> pl.DataFrame:
    return _days(first, last).filter(pl.col("trading_day").dt.weekday() <= 5)


def _daily(days: pl.DataFrame, *times: pl.Expr | None) -> pl.DataFrame:
    """The same hours on each of the days: open, close, and the two ends of a lunch break, None where there is none."""
    nothing = pl.lit(None, INSTANT)
    return days.with_columns((nothing if at is None else at).alias(name) for name, at in zip_longest(_TIMES, times))


def _at(clock: time, zone: str, days: int = 0) -> pl.Expr:
    """The instant at which the zone's clock shows this, so many days after the trading day."""
    day = pl.col("trading_day").dt.offset_by(f"{days}d")
    return day.dt.combine(clock).dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
