"""The make-believe market behind the fake Yahoo: RAW bars as functions of symbol and time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One listing, in the words and units of Yahoo; a split is (date, new, old), a dividend (date, RAW amount)."""

    symbol: str
    native: str
    kind: str
    exchange: str
    exchange_name: str
    currency: str
    zone: str
    name: str
    base: float
    hint: int = 2
    opens: time = time(0)
    closes: time | None = None
    lunch: tuple[time, time] | None = None
    weekends: bool = False
    has_volume: bool = True
    first_day: date = date(2019, 1, 2)
    splits: tuple[tuple[date, int, int], ...] = ()
    dividends: tuple[tuple[date, float], ...] = ()

    @property
    def parts(self) -> int:
        """How many of its units make one of ours."""
        return 100 if self.currency in ("GBp", "ZAc", "ILA") else 1

    def shares(self, day: date) -> float:
        """How many shares of now one of that day is."""
        shares = 1.0
        for on, new, old in self.splits:
            shares *= new / old if on > day else 1.0
        return shares

    def session(self, day: date) -> tuple[int, int] | None:
        """[start, end) of the regular session of a day, in epoch seconds."""
        if day < self.first_day or (day.weekday() >= 5 and not self.weekends):
            return None
        zone = ZoneInfo(self.zone)
        start = datetime.combine(day, self.opens, zone)
        end = datetime.combine(day + timedelta(days=1), time(0), zone)
        if self.closes is not None:
            end = datetime.combine(day, self.closes, zone)
        return int(start.timestamp()), int(end.timestamp())

    def stretches(self, day: date) -> list[tuple[int, int]]:
        """The session, in two where it pauses for lunch: bars begin anew after it."""
        session = self.session(day)
        if session is None or self.lunch is None:
            return [session] if session else []
        pause, resume = (int(datetime.combine(day, at, ZoneInfo(self.zone)).timestamp()) for at in self.lunch)
        return [(session[0], pause), (resume, session[1])]

    def sessions(self, start: float, end: float) -> Iterator[tuple[date, int, int]]:
        """Every session that has a part within a stretch of time, ascending."""
        day = max(self.first_day, datetime.fromtimestamp(start, UTC).date() - timedelta(days=1))
        while day <= datetime.fromtimestamp(end, UTC).date() + timedelta(days=1):
            if (session := self.session(day)) and session[1] > start and session[0] <= end:
                yield day, *session
            day += timedelta(days=1)


class RawBar(NamedTuple):
    """What was traded in [time, end), in Yahoo's units."""

    day: date
    time: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def raw_bars(listed: Listed, seconds: int, start: float, end: float, seen: float, last: float) -> list[RawBar]:
    """The bars of all sessions that touch [start, end], as far as they are `seen`; a day's has `seconds` 86400.

    The grid of a session begins where it does. Where nobody traded there is no bar. The last trade is at `last`.
    """
    bars: list[RawBar] = []
    last_session = last_trade(listed, seen)[1]
    for day, opens, closes in listed.sessions(start, end):
        if (opens, closes) == last_session:
            bars += _session(listed, day, seconds, min(closes, int(seen) + 1), last)
        elif closes <= seen:
            bars += _past_session(listed.symbol, day, seconds)
    return bars


@cache
def _past_session(symbol: str, day: date, seconds: int) -> Sequence[RawBar]:
    listed = LISTED[symbol]
    return _session(listed, day, seconds, listed.stretches(day)[-1][1], None)


def _session(listed: Listed, day: date, seconds: int, until: int, last: float | None) -> Sequence[RawBar]:
    """The bars of a session until then, of which the `last` price is given if it is the last one that is seen."""
    stretches = listed.stretches(day)
    opens, closes = stretches[0][0], stretches[-1][1]
    number = np.concatenate([np.arange(start, min(end, until), 60) for start, end in stretches]) // 60
    traded = number % 61 != 17
    cents = round(listed.base * 10**listed.hint) + (number * 7 + number // 60 * 31 + number // 1440 * 97) % 401
    prices = cents / 10**listed.hint
    if last is not None:
        traded[-1], prices[-1] = True, last
    counts = 1200 * (1 + number % 7) * listed.has_volume
    spans = [(opens, closes)]
    if seconds < 86400:
        spans = [
            (begins, min(begins + seconds, end)) for start, end in stretches for begins in range(start, end, seconds)
        ]
    bars = []
    for begins, ends in spans:
        inside = slice(*np.searchsorted(number, [begins // 60, ends // 60]))
        held = prices[inside][traded[inside]].tolist()
        if held:
            bars.append(
                RawBar(
                    day=day,
                    time=begins,
                    end=ends,
                    open=held[0],
                    high=max(held),
                    low=min(held),
                    close=held[-1],
                    volume=float(counts[inside][traded[inside]].sum()),
                )
            )
    return bars


def last_trade(listed: Listed, seen: float) -> tuple[int, tuple[int, int]]:
    """When the last trade in regular hours was, and the session that it fell in."""
    *_, (_, opens, closes) = listed.sessions(seen - 10 * 86400, seen)
    return int(min(seen, closes)), (opens, closes)


LISTED = {
    listed.symbol: listed
    for listed in (
        Listed(
            symbol="AAPL",
            native="AAPL",
            kind="EQUITY",
            exchange="NMS",
            exchange_name="NasdaqGS",
            currency="USD",
            name="Apple Inc.",
            base=240.0,
            zone="America/New_York",
            opens=time(9, 30),
            closes=time(16),
            splits=((date(2020, 8, 31), 4, 1), (date(2025, 6, 16), 3, 2), (date(2026, 11, 9), 4, 1)),
            dividends=((date(2020, 8, 7), 0.82), (date(2025, 6, 16), 0.27), (date(2026, 11, 10), 0.26)),
        ),
        Listed(
            symbol="BRK.B",
            native="BRK-B",
            kind="EQUITY",
            exchange="NYQ",
            exchange_name="NYSE",
            currency="USD",
            name="Berkshire Hathaway Inc. New",
            base=480.0,
            zone="America/New_York",
            opens=time(9, 30),
            closes=time(16),
            splits=((date(2026, 3, 2), 1, 10),),
        ),
        Listed(
            symbol="0700.HK",
            native="0700.HK",
            kind="EQUITY",
            exchange="HKG",
            exchange_name="HKSE",
            currency="HKD",
            name="TENCENT",
            base=610.0,
            hint=3,
            zone="Asia/Hong_Kong",
            opens=time(9, 30),
            lunch=(time(12), time(13)),
            closes=time(16),
        ),
        Listed(
            symbol="600519.SS",
            native="600519.SS",
            kind="EQUITY",
            exchange="SHH",
            exchange_name="Shanghai",
            currency="CNY",
            name="KWEICHOW MOUTAI CO., LTD.",
            base=1450.0,
            zone="Asia/Shanghai",
            opens=time(9, 30),
            lunch=(time(11, 30), time(13)),
            closes=time(15),
        ),
        Listed(
            symbol="RELIANCE.NS",
            native="RELIANCE.NS",
            kind="EQUITY",
            exchange="NSI",
            exchange_name="NSE",
            currency="INR",
            name="RELIANCE INDUSTRIES LTD",
            base=1400.0,
            zone="Asia/Kolkata",
            opens=time(9, 15),
            closes=time(15, 30),
        ),
        Listed(
            symbol="BHP.AX",
            native="BHP.AX",
            kind="EQUITY",
            exchange="ASX",
            exchange_name="ASX",
            currency="AUD",
            name="BHP FPO [BHP]",
            base=42.0,
            zone="Australia/Sydney",
            opens=time(10),
            closes=time(16),
        ),
        Listed(
            symbol="TSCO.L",
            native="TSCO.L",
            kind="EQUITY",
            exchange="LSE",
            exchange_name="LSE",
            currency="GBp",
            name="TESCO PLC ORD 6 1/3P",
            base=440.0,
            zone="Europe/London",
            opens=time(8),
            closes=time(16, 30),
            dividends=((date(2026, 11, 12), 4.8),),
        ),
        Listed(
            symbol="EURUSD=X",
            native="EURUSD=X",
            kind="CURRENCY",
            exchange="CCY",
            exchange_name="CCY",
            currency="USD",
            name="EUR/USD",
            base=1.04,
            hint=4,
            zone="Europe/London",
            has_volume=False,
        ),
        Listed(
            symbol="JPY=X",
            native="JPY=X",
            kind="CURRENCY",
            exchange="CCY",
            exchange_name="CCY",
            currency="JPY",
            name="USD/JPY",
            base=154.0,
            hint=4,
            zone="Europe/London",
            has_volume=False,
        ),
        Listed(
            symbol="BTC-USD",
            native="BTC-USD",
            kind="CRYPTOCURRENCY",
            exchange="CCC",
            exchange_name="CCC",
            currency="USD",
            name="Bitcoin USD",
            base=94740.0,
            zone="UTC",
            weekends=True,
        ),
        Listed(
            symbol="^GSPC",
            native="^GSPC",
            kind="INDEX",
            exchange="SNP",
            exchange_name="SNP",
            currency="USD",
            name="S&P 500",
            base=5900.0,
            zone="America/New_York",
            opens=time(9, 30),
            closes=time(16),
            has_volume=False,
        ),
        Listed(
            symbol="GC=F",
            native="GC=F",
            kind="FUTURE",
            exchange="CMX",
            exchange_name="COMEX",
            currency="USD",
            name="Gold Dec 26",
            base=2650.0,
            hint=1,
            zone="America/New_York",
        ),
    )
}
