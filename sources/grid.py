"""The grid of bars: which bars a market has, and which of them an instant belongs to."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from market import INSTANT, Asset, AssetType, Interval, Window, venue
from sources import calendar

_HOME: Final = "XNYS"
_ROUND_THE_CLOCK: Final = "CRYPTO"
_Numbers = npt.NDArray[np.int64]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NEVER: Final = 2**62
_NEVER_DAY: Final = 2_900_000  # late in the 99th century: a date can still hold it
_SLOT: Final = ("time", "opens_at", "closes_at")


class Slot(NamedTuple):
    """The place of one bar: its name, and the stretch [opens_at, closes_at) whose trades it holds.

    `time` is `opens_at` of intraday bars, and 00:00 UTC of the first trading date of D1, of the Monday of W1 and of
    the 1st of MN1.
    """

    time: datetime
    opens_at: datetime
    closes_at: datetime


def market_of(symbol: str, asset: Asset | None = None) -> str:
    """The code of the market whose hours a symbol keeps: its own, or another one of its time zone, or New York's.

    What nobody lists at an exchange of ours (futures, say) counts as trading round the clock, so on the grid of UTC.
    """
    guess = venue(symbol)
    for code in (asset.market_code if asset else None, guess.market_code):
        if code is not None and code in calendar.MARKETS:
            return code
    kind = asset.type if asset else guess.asset_type
    if kind is AssetType.COMMODITY or "=" in symbol:
        return _ROUND_THE_CLOCK
    zone = asset and asset.timezone
    return next((code for code, schedule in calendar.MARKETS.items() if schedule.timezone == zone), _HOME)


def slot_at(code: str, interval: Interval, at: datetime) -> Slot | None:
    """The bar of the market that a trade at the instant belongs to; None while its regular session does not trade.

    Intraday bars are counted from the open of the session, and anew after a lunch break; what is left before a break
    or the close makes a shorter bar, so no bar reaches over either. A trading day, a week (from Monday) and a month
    begin with the open of their first session and end with the close of their last: a trade in the night between two
    belongs to none. Holds up its caller for a second where `calendar.load` has not been awaited.
    """
    hours = _hours(code)
    instant = _microseconds(at)
    number = int(np.searchsorted(hours.starts, instant, side="right")) - 1
    if number < 0 or instant >= hours.ends[number]:
        return None
    if interval.is_intraday:
        start, end, span = int(hours.starts[number]), int(hours.ends[number]), interval.span // _MICROSECOND
        opening = instant - (instant - start) % span
        return Slot(_instant(opening), _instant(opening), _instant(min(opening + span, end)))
    day = _midnight(_EPOCH.date() + timedelta(days=int(hours.days[number])))
    first = interval.floor(day)
    days = [(midnight - _EPOCH).days for midnight in (first, interval.end(first))]
    begin, stop = np.searchsorted(hours.days, days)
    return Slot(first, _instant(int(hours.starts[begin])), _instant(int(hours.ends[stop - 1])))


def next_slot(code: str, interval: Interval, at: datetime) -> Slot | None:
    """The first bar of the market whose `time` is not before the instant; None after the last that is known."""
    hours = _hours(code)
    if interval.is_intraday:
        instant, span = _microseconds(at), interval.span // _MICROSECOND
        number = int(np.searchsorted(hours.starts, instant, side="right")) - 1
        if number >= 0:
            start = int(hours.starts[number])
            opening = start - (start - instant) // span * span
            if opening < hours.ends[number]:
                return slot_at(code, interval, _instant(opening))
        opens = hours.starts[number + 1 :]
    else:
        opens = hours.starts[np.searchsorted(hours.days, (interval.ceil(at) - _EPOCH).days) :]
    return slot_at(code, interval, _instant(int(opens[0]))) if len(opens) else None


def unfilled(code: str, interval: Interval, times: pl.Series) -> list[Window]:
    """The stretches between the bars of `times` in which the calendar expects bars, ascending.

    Each reaches from the `time` of the first bar that is expected up to that of the next one that is there.
    """
    if interval.is_intraday:
        expected, standing = _following(_hours(code), interval.span // _MICROSECOND, times.dt.epoch("us").to_numpy())
    else:
        days = _hours(code).days
        ends = np.array([(interval.end(time) - _EPOCH).days for time in times], np.int64)
        day = pl.Series(np.append(days, _NEVER_DAY)[np.searchsorted(days, ends)])
        coming = pl.select(named(interval, pl.from_epoch(pl.lit(day), "d").cast(INSTANT))).to_series()
        expected, standing = coming.dt.epoch("us").to_numpy(), times.dt.epoch("us").to_numpy()
    lacking = np.flatnonzero(expected[:-1] < standing[1:])
    return [Window(_instant(int(expected[number])), times[int(number) + 1]) for number in lacking]


def _following(hours: "_Hours", span: int, instants: _Numbers) -> tuple[_Numbers, _Numbers]:
    """For each bar the opening of the next slot that it leaves free, and that of the slot that it stands in.

    A bar that stands off the grid (of a source that counts hours by the clock) reaches over two slots.
    """
    number, opening, inside = _standing(hours, span, instants)
    next_start = np.append(hours.starts, _NEVER)
    on_grid = inside & (instants == opening)
    following = np.where(opening + span < hours.ends[number], opening + span, next_start[number + 1])
    # Off the grid: the first slot that opens once the bar has ended.
    after = instants + span - 1
    number, opening_after, inside_after = _standing(hours, span, after)
    in_session = inside_after & (opening_after + span < hours.ends[number])
    freed = np.where(in_session, opening_after + span, next_start[number + 1])
    return np.where(on_grid, following, freed), np.where(inside, opening, instants)


def _standing(hours: "_Hours", span: int, instants: _Numbers) -> tuple[_Numbers, _Numbers, npt.NDArray[np.bool_]]:
    """The number of the newest stretch, the opening of the slot in it, and whether the stretch still lasts."""
    number = np.searchsorted(hours.starts, instants, side="right") - 1
    opening = instants - (instants - hours.starts[number]) % span
    return number, opening, (number >= 0) & (instants < hours.ends[number])


def slots(code: str, interval: Interval, window: Window) -> pl.DataFrame:
    """Every bar of the market whose `time` is in the window, ascending: time, opens_at, closes_at, as in `Slot`.

    They are those that the calendar expects; whether anything was traded, it cannot know.
    """
    day = timedelta(days=1)
    # A session may begin on the date before its own, and a month's first one long after its `time`.
    first = interval.floor(window.start) if not interval.is_intraday else window.start - day
    last = interval.end(interval.floor(window.end)) if not interval.is_intraday else window.end
    sessions = calendar.sessions(code, first.date(), (last + 2 * day).date())
    if interval.is_intraday:
        found = (
            _stretches(sessions)
            .with_columns(time=pl.datetime_ranges("start", "end", interval.span, closed="left"))
            .explode("time", empty_as_null=False)
            .select("time", opens_at="time", closes_at=pl.min_horizontal(pl.col("time") + interval.span, "end"))
        )
    else:
        found = (
            sessions.group_by(time=named(interval, pl.col("trading_day").cast(INSTANT)), maintain_order=True)
            .agg(opens_at=pl.col("open").first(), closes_at=pl.col("close").last())
            .select(_SLOT)
        )
    return found.filter(pl.col("time").is_between(window.start, window.end, closed="left"))


def named(interval: Interval, day: pl.Expr) -> pl.Expr:
    """The `time` of the D1, W1 or MN1 bar that holds a trading day, told as 00:00 UTC of it."""
    return day.dt.truncate({Interval.D1: "1d", Interval.W1: "1w", Interval.MN1: "1mo"}[interval])


def _stretches(sessions: pl.DataFrame) -> pl.DataFrame:
    """The stretches of uninterrupted trading, ascending: start, end, trading_day."""
    whole = sessions.filter(pl.col("break_start").is_null()).select("trading_day", start="open", end="close")
    broken = sessions.filter(pl.col("break_start").is_not_null())
    mornings = broken.select("trading_day", start="open", end="break_start")
    afternoons = broken.select("trading_day", start="break_end", end="close")
    return pl.concat([whole, mornings, afternoons]).sort("start")


class _Hours(NamedTuple):
    """The stretches as numbers: microseconds since 1970, and the trading day of each in days since 1970."""

    starts: _Numbers
    ends: _Numbers
    days: _Numbers


@lru_cache(maxsize=len(calendar.MARKETS))
def _hours(code: str) -> _Hours:
    stretches = _stretches(calendar.sessions(code, date.min, date.max))
    starts, ends = (stretches[name].dt.epoch("us").to_numpy() for name in ("start", "end"))
    return _Hours(starts, ends, stretches["trading_day"].dt.epoch("d").to_numpy())


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
