"""History as it is asked for: a window or the newest bars, and what belongs to them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
from strawberry.types import Info

from errors import InvalidLimit, InvalidWindow, NoData, SourceUnavailable, SymbolNotFound, UnsupportedInterval
from market import Adjustment, Asset, Interval, Provenance, ServedFrom, venue
from resolvers.arguments import Adjusted, From, Last, Length, OneSymbol, To
from resolvers.bars import Bars, Series, load_bars
from resolvers.rows import Rows
from resolvers.symbols import checked_symbol
from resolvers.world import Context, World
from sources.grid import market_of
from sources.resample import SETTLED

MAX_BARS = 5000
DEFAULT_BARS = 100
SHARED_FOR_S = 1.0
"""How long the newest bars are told to who asks the same as somebody just did."""


@dataclass(frozen=True, slots=True)
class Split:
    """`numerator` new shares for `denominator` old, from `time` on."""

    time: datetime
    numerator: float
    denominator: float


@dataclass(frozen=True, slots=True)
class Dividend:
    """Cash per share, for those who held before `time`."""

    time: datetime
    amount: float
    currency: str | None


class BarColumns(NamedTuple):
    """The columns of a frame of bars, as the schema shows them."""

    time: pl.Series
    epoch: pl.Series
    open: pl.Series
    high: pl.Series
    low: pl.Series
    close: pl.Series
    volume: pl.Series


@dataclass(frozen=True, slots=True)
class History:
    """The bars of one question, which was for those up to `asked_to`."""

    series: Series
    currency: str
    timezone: str
    bars_found: Bars
    asked_to: datetime

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.series.symbol

    @property
    def interval(self) -> Interval:
        """The length of the bars."""
        return self.series.interval

    @property
    def adjustment(self) -> Adjustment:
        """How they were corrected."""
        return self.series.adjustment

    @property
    def frame(self) -> pl.DataFrame:
        """The bars, adjusted, by `BAR_SCHEMA`."""
        return self.bars_found.frame

    @property
    def made_of(self) -> Interval | None:
        """What they were joined from."""
        return self.bars_found.made_of

    @property
    def provenance(self) -> Provenance:
        """How they came."""
        return self.bars_found.provenance

    @property
    def count(self) -> int:
        """How many bars there are."""
        return self.frame.height

    @property
    def bars(self) -> Rows:
        """The bars, one row each, with `epoch` and `trading_day`."""
        day = pl.col("time").dt.date()
        if self.interval.is_intraday:
            day = pl.col("time").dt.convert_time_zone(str(ZoneInfo(self.timezone))).dt.date()
        return Rows(self.frame, {"epoch": _EPOCH_S, "trading_day": day})

    @property
    def columns(self) -> BarColumns:
        """The bars, column by column."""
        return BarColumns(*self.frame.with_columns(epoch=_EPOCH_S).select(BarColumns._fields))

    @property
    def splits(self) -> list[Split]:
        """The splits that took effect within the window."""
        return [
            Split(time, *_ratio(factor))
            for time, factor in self._actions.select("time", "split_factor").iter_rows()
            if factor != 1
        ]

    @property
    def dividends(self) -> list[Dividend]:
        """The dividends that took effect within the window."""
        return [
            Dividend(time, amount, self.currency)
            for time, amount in self._actions.select("time", "dividend").iter_rows()
            if amount
        ]

    @property
    def _actions(self) -> pl.DataFrame:
        return self.bars_found.actions.filter(pl.col("time") < self.interval.end(self.frame["time"][-1]))


_EPOCH_S = pl.col("time").dt.epoch("s")


async def history(
    info: Info[Context, None],
    symbol: OneSymbol,
    interval: Length = Interval.D1,
    start: From = None,
    end: To = None,
    last: Last = None,
    adjustment: Adjusted = Adjustment.SPLITS,
) -> History:
    """The bars of [start, end), or the newest `last` of them."""
    found = await _history(info.context.world, symbol, interval, start, end, last, adjustment)
    info.context.settled += end is not None and is_settled(found, end)
    return found


async def asset_history(
    root: Asset,
    info: Info[Context, None],
    interval: Length = Interval.D1,
    start: From = None,
    end: To = None,
    last: Last = None,
    adjustment: Adjusted = Adjustment.SPLITS,
) -> History:
    """The history of an asset."""
    return await _history(info.context.world, root.symbol, interval, start, end, last, adjustment)


async def _history(
    world: World,
    symbol: str,
    interval: Interval,
    start: datetime | None,
    end: datetime | None,
    last: int | None,
    adjustment: Adjustment,
) -> History:
    """As `load_history`; the newest bars are loaded once for all who ask for them at once or within SHARED_FOR_S."""
    load = partial(load_history, world, symbol, interval, start, end, last, adjustment)
    return await load() if end else await world.histories.join((symbol, interval, start, last, adjustment), load)


async def load_history(
    world: World,
    text: str,
    interval: Interval,
    start: datetime | None,
    end: datetime | None,
    last: int | None,
    adjustment: Adjustment,
) -> History:
    """The bars that were asked for, adjusted.

    Raises InvalidSymbol, InvalidWindow, InvalidLimit, SymbolNotFound, UnsupportedInterval, NoData,
    SourceUnavailable, StoreUnavailable.
    """
    symbol = checked_symbol(text)
    now = datetime.now(UTC)
    if last is not None and not 1 <= last <= MAX_BARS:
        raise InvalidLimit(f"last: {last} is outside 1 to {MAX_BARS}.", minimum=1, maximum=MAX_BARS)
    if start is not None and start >= (end or now):
        raise InvalidWindow(f"from ({_text(start)}) is not before to ({_text(end or now)}).")
    count = last or (MAX_BARS if start else DEFAULT_BARS)
    until = min(end or now, now)
    asset = (await world.assets.get([symbol])).get(symbol)
    series = Series(symbol, interval, adjustment, "CRYPTO" if world.synthetic else market_of(symbol, asset))
    found = await load_bars(world, series, count, until, start)
    if found is None:
        wanted = f"from {_text(start)} to {_text(end or now)}" if start else f"before {_text(end or now)}"
        raise NoData(f"{symbol} has no {interval} bars {wanted}; ask for another window.", symbol=symbol)
    guess = venue(symbol)
    return History(
        series=series,
        currency=asset.currency if asset else guess.currency,
        timezone=(asset and asset.timezone) or guess.timezone,
        bars_found=found,
        asked_to=min(until, found.as_of or until),
    )


def is_settled(history: History, end: datetime) -> bool:
    """Whether a window that ends at `end` is over, and nothing of it was left out or may still be corrected."""
    is_over = end + history.interval.span + SETTLED <= datetime.now(UTC)
    is_whole = not history.bars_found.missing and history.provenance.served_from is not ServedFrom.STALE
    return is_over and is_whole and bool(history.frame["is_final"].all())


async def has_older(root: History, info: Info[Context, None]) -> bool:
    """Whether bars are known to exist before the first one here; asks a source where the store cannot tell."""
    world = info.context.world
    first = root.frame["time"][0]
    if root.made_of is None and await world.bars.has_older(root.symbol, root.interval, first):
        return True
    try:
        return await load_bars(world, root.series, 1, first) is not None
    except (SourceUnavailable, SymbolNotFound, UnsupportedInterval, NoData):
        return False


def _ratio(factor: float) -> tuple[float, float]:
    ratio = Fraction(factor).limit_denominator(1000)
    return float(ratio.numerator), float(ratio.denominator)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
