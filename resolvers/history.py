"""History: the store first, the sources for what it lacks, and the forming bar on top."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl
from strawberry.types import Info

from db.bars import HeldBars
from errors import InvalidLimit, InvalidWindow, NoData, SourceUnavailable, SymbolNotFound, UnsupportedInterval
from market import BAR_SCHEMA, Adjustment, Asset, Interval, Provenance, ServedFrom, Symbol, Window, venue
from resolvers.adjustment import adjusted
from resolvers.arguments import From, Last, To
from resolvers.rows import Rows
from resolvers.symbols import checked_symbol
from resolvers.world import Context, World
from sources.router import FetchedBars

MAX_BARS = 5000
DEFAULT_BARS = 100
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_LIVE_EDGE = timedelta(days=1)
"""How long after its end a source may take to publish a bar, or to call it final."""
_GROWTH = 4


@dataclass(frozen=True, slots=True)
class RawBars:
    """RAW bars, how they came, and the stretches among what was asked that are not held."""

    frame: pl.DataFrame
    provenance: Provenance
    missing: Sequence[Window]


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


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch that holds no bars, and why."""

    start: datetime
    end: datetime
    reason: str


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
    """The bars of one question; `frame` is adjusted, `raw` is not, both by `BAR_SCHEMA`."""

    symbol: str
    interval: Interval
    adjustment: Adjustment
    currency: str
    timezone: str
    frame: pl.DataFrame
    actions: pl.DataFrame
    missing: Sequence[Window]
    provenance: Provenance

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
            for time, factor in self.actions.select("time", "split_factor").iter_rows()
            if factor != 1 and time >= self.frame["time"][0]
        ]

    @property
    def dividends(self) -> list[Dividend]:
        """The dividends that took effect within the window."""
        return [
            Dividend(time, amount, self.currency)
            for time, amount in self.actions.select("time", "dividend").iter_rows()
            if amount and time >= self.frame["time"][0]
        ]

    @property
    def gaps(self) -> list[Gap]:
        """What is not held between the first bar and the end of the window."""
        return [Gap(piece.start, piece.end, "NOT_HELD") for piece in self.missing]


_EPOCH_S = pl.col("time").dt.epoch("s")


async def history(
    info: Info[Context, None],
    symbol: Symbol,
    interval: Interval = Interval.D1,
    start: From = None,
    end: To = None,
    last: Last = None,
    adjustment: Adjustment = Adjustment.SPLITS,
) -> History:
    """The bars of [start, end), or the newest `last` of them."""
    found = await load_history(info.context.world, symbol, interval, start, end, last, adjustment)
    info.context.settled += end is not None and _is_settled(found, end)
    return found


async def asset_history(
    root: Asset,
    info: Info[Context, None],
    interval: Interval = Interval.D1,
    start: From = None,
    end: To = None,
    last: Last = None,
    adjustment: Adjustment = Adjustment.SPLITS,
) -> History:
    """The history of an asset."""
    return await load_history(info.context.world, root.symbol, interval, start, end, last, adjustment)


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
    raw = await newest_bars(world, symbol, interval, count, min(end or now, now), start)
    if raw.frame.is_empty():
        wanted = f"from {_text(start)} to {_text(end or now)}" if start else f"before {_text(end or now)}"
        raise NoData(f"{symbol} has no {interval} bars {wanted}; ask for another window.", symbol=symbol)
    actions = await world.bars.actions(symbol, raw.frame["time"][0])
    asset = (await world.assets.get([symbol])).get(symbol)
    guess = venue(symbol)
    return History(
        symbol=symbol,
        interval=interval,
        adjustment=adjustment,
        currency=asset.currency if asset else guess.currency,
        timezone=(asset and asset.timezone) or guess.timezone,
        frame=adjusted(raw.frame, actions, adjustment),
        actions=actions.filter(pl.col("time") < raw.frame["time"][-1] + interval.span),
        missing=raw.missing,
        provenance=raw.provenance,
    )


def _is_settled(history: History, end: datetime) -> bool:
    """Whether a window that ends at `end` is over, and nothing of it was left out or may still be corrected."""
    is_over = end + history.interval.span + _LIVE_EDGE <= datetime.now(UTC)
    is_whole = not history.missing and history.provenance.served_from is not ServedFrom.STALE
    return is_over and is_whole and bool(history.frame["is_final"].all())


async def has_older(root: History, info: Info[Context, None]) -> bool:
    """Whether bars are known to exist before the first one here; asks a source where the store cannot tell."""
    world = info.context.world
    first = root.frame["time"][0]
    if await world.bars.has_older(root.symbol, root.interval, first):
        return True
    try:
        older = await newest_bars(world, root.symbol, root.interval, 1, first)
    except (SourceUnavailable, SymbolNotFound, UnsupportedInterval):
        return False
    return not older.frame.is_empty()


async def newest_bars(
    world: World, symbol: str, interval: Interval, count: int, end: datetime, start: datetime | None = None
) -> RawBars:
    """The newest `count` bars that open before `end` and not before `start`.

    How many bars a stretch holds depends on the venue's hours, so one that proves too short is widened.
    Where the sources fail, what is held is given, marked STALE; where nothing is held, their error is raised.
    """
    floor = max(start, _FIRST) if start else _FIRST
    reach = interval.span * (count + 1)
    filled = _Filled()
    if floor >= end:
        return RawBars(filled.forming, _provenance(world, None, filled), ())
    begin = interval.ceil(end)  # so that those who ask at the same time ask for the same
    while True:
        until, begin = begin, max(floor, interval.floor(end - min(reach, end - _FIRST)))
        await _fill(world, symbol, interval, Window(begin, until), filled)
        # What is held from before `begin` may lie beyond a stretch that is not: for want of better only.
        held = await world.bars.newest(symbol, interval, count, end, floor if filled.error else begin)
        if held:  # the bar that was forming may have been finished, and kept, by somebody else since
            filled.forming = filled.forming.filter(pl.col("time") > held.frame["time"][-1])
        found = (held.frame.height if held else 0) + filled.forming.height
        if found >= count or begin <= floor or filled.error:
            break
        reach *= _GROWTH
    if not found and filled.error:
        known = isinstance(filled.error, SymbolNotFound) and await world.bars.has_older(symbol, interval, end)
        if not known:
            raise filled.error
    frame = pl.concat([held.frame, filled.forming] if held else [filled.forming]).tail(count)
    missing: Sequence[Window] = ()
    if filled.error and not frame.is_empty():
        missing = await world.bars.missing(symbol, interval, Window(frame["time"][0], end))
    return RawBars(frame, _provenance(world, held, filled), missing)


@dataclass(slots=True)
class _Filled:
    """What asking the sources brought, beside what went to the store."""

    forming: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=BAR_SCHEMA))
    fetched: Provenance | None = None
    error: SourceUnavailable | SymbolNotFound | UnsupportedInterval | None = None


async def _fill(world: World, symbol: str, interval: Interval, window: Window, filled: _Filled) -> None:
    """Fetch what the store lacks of the window, and keep what is final."""
    missing = await world.bars.missing(symbol, interval, window)
    for piece in missing:
        fetch = partial(_fetch, world, symbol, interval, piece)
        try:
            fetched = await world.flights.join(("bars", symbol, interval, piece), fetch)
        except (SourceUnavailable, SymbolNotFound, UnsupportedInterval) as error:
            filled.error = error
            return
        forming = fetched.frame.filter(~pl.col("is_final"))
        if not forming.is_empty():
            filled.forming = forming
        filled.fetched = filled.fetched or fetched.provenance


async def _fetch(world: World, symbol: str, interval: Interval, piece: Window) -> FetchedBars:
    """What a source gives of the stretch; what is final is kept, whoever asked goes away or not."""
    fetched = await world.router.history(symbol, interval, piece)
    await world.bars.save(
        symbol,
        interval,
        fetched.frame,
        source=fetched.provenance.source,
        quality=fetched.provenance.quality,
        received_at=fetched.provenance.received_at,
        covered=_covered(interval, piece, fetched),
    )
    return fetched


def _covered(interval: Interval, piece: Window, fetched: FetchedBars) -> Window | None:
    """What is known to be complete now: near the present, only up to the end of the last final bar that came."""
    settled = fetched.provenance.received_at - _LIVE_EDGE - interval.span
    final: datetime | None = fetched.frame.filter(pl.col("is_final"))["time"].max()  # type: ignore[assignment]
    forming: datetime | None = fetched.frame.filter(~pl.col("is_final"))["time"].min()  # type: ignore[assignment]
    known = max(settled, interval.end(final)) if final else settled
    end = min(piece.end, known, forming or known)
    return Window(piece.start, end) if end > piece.start else None


def _provenance(world: World, held: HeldBars | None, filled: _Filled) -> Provenance:
    if filled.error is None and filled.fetched is not None:
        quality = min(held.quality, filled.fetched.quality) if held else filled.fetched.quality
        return replace(filled.fetched, quality=quality)
    skipped = filled.error.skipped if isinstance(filled.error, SourceUnavailable) else ()
    return Provenance(
        source=held.source if held else "none",
        served_from=ServedFrom.STALE if filled.error else ServedFrom.STORE,
        received_at=held.received_at if held else datetime.now(UTC),
        quality=held.quality if held else 0,
        synthetic=world.synthetic,
        skipped=skipped,
    )


def _ratio(factor: float) -> tuple[float, float]:
    ratio = Fraction(factor).limit_denominator(1000)
    return float(ratio.numerator), float(ratio.denominator)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
