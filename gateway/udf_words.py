"""What TradingView's charts call things: resolutions, kinds of assets, sessions, steps of prices."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import floor, log10
from typing import Final

import polars as pl

from market import AssetType, Interval

RESOLUTIONS: Final[Mapping[str, Interval]] = {
    "1": Interval.M1,
    "5": Interval.M5,
    "15": Interval.M15,
    "30": Interval.M30,
    "60": Interval.H1,
    "240": Interval.H4,
    "1D": Interval.D1,
    "1W": Interval.W1,
    "1M": Interval.MN1,
}
SPELLINGS: Final[Mapping[str, Interval]] = {
    **RESOLUTIONS,
    "D": Interval.D1,
    "W": Interval.W1,
    "M": Interval.MN1,
}
"""Resolutions as the library may write them."""

KINDS: Final[Mapping[AssetType, str]] = {
    AssetType.STOCK: "stock",
    AssetType.ETF: "fund",
    AssetType.FUND: "fund",
    AssetType.INDEX: "index",
    AssetType.FOREX: "forex",
    AssetType.CRYPTO: "crypto",
    AssetType.COMMODITY: "commodity",
}
ALWAYS: Final = "24x7"

_MAX_DECIMALS: Final = 8


@dataclass(frozen=True, slots=True)
class Hours:
    """The regular session by the venue's clock, weekdays without one, and the days that have other hours.

    As `session`, `session_holidays` and `corrections` of the library's symbols.
    """

    session: str
    holidays: str = ""
    corrections: str = ""


def hours(sessions: pl.DataFrame | None, timezone: str | None, start: date, end: date) -> Hours:
    """What the sessions of [start, end) amount to; None, or no sessions at all: always open.

    `0930-1600` is each weekday's; a lunch break makes it two stretches. Currencies' `1700-1700` ends on the day.
    """
    if sessions is None or sessions.is_empty() or timezone is None:
        return Hours(ALWAYS)
    clocks = {name: pl.col(name).dt.convert_time_zone(timezone).dt.strftime("%H%M") for name in _ENDS}
    whole = pl.format("{}-{}", clocks["open"], clocks["close"])
    halves = pl.format("{}-{},{}-{}", *(clocks[name] for name in ("open", "break_start", "break_end", "close")))
    texts = pl.when(pl.col("break_start").is_null()).then(whole).otherwise(halves)
    days = sessions.select(day=pl.col("trading_day"), text=texts)
    [(regular, _)] = Counter(days["text"]).most_common(1)
    others: dict[str, list[str]] = {}
    for day, text in days.filter(pl.col("text") != regular).iter_rows():
        others.setdefault(text, []).append(_day(day))
    weekdays = pl.select(day=pl.date_range(start, end, closed="left")).filter(pl.col("day").dt.weekday() <= 5)
    without = weekdays.join(days, on="day", how="anti")["day"].sort()
    return Hours(
        session=regular,
        holidays=",".join(map(_day, without)),
        corrections=";".join(f"{text}:{','.join(found)}" for text, found in others.items()),
    )


_ENDS: Final = ("open", "close", "break_start", "break_end")


def _day(day: date) -> str:
    return day.strftime("%Y%m%d")


def zone(timezone: str | None) -> str:
    """The zone as the library knows it."""
    return "Etc/UTC" if timezone in {None, "UTC"} else str(timezone)


@dataclass(frozen=True, slots=True)
class Step:
    """The least step of a price: `minmov` of `pricescale`-ths."""

    minmov: int
    pricescale: int


def step(tick_size: float | None, kind: AssetType, price: float | None) -> Step:
    """The step of the tick size; where it is unknown, of the decimals that such a price is commonly written with.

    Six digits for currencies and coins, cents for all else, a hundredth of that below 1.
    """
    if tick_size:
        exact = Decimal(repr(tick_size)).normalize()
        decimals = max(0, -int(exact.as_tuple().exponent))
        return Step(int(exact.scaleb(decimals)), 10**decimals)
    if kind in {AssetType.FOREX, AssetType.CRYPTO}:
        decimals = 5 - floor(log10(price or 1))
    else:
        decimals = 2 if price is None or price >= 1 else 4
    return Step(1, 10 ** max(2, min(_MAX_DECIMALS, decimals)))
