"""Bars of a series: from the store, from the sources what it lacks, joined from shorter ones, adjusted."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl
from msgspec import structs

from db.bars import HeldBars
from errors import LicenceForbids, NoData, SourceUnavailable, SymbolNotFound, UnsupportedInterval
from market import BAR_SCHEMA, Adjustment, AssetType, Interval, Provenance, ServedFrom, Window, venue
from resolvers.adjustment import adjusted
from resolvers.world import World
from sources import calendar
from sources.grid import next_slot, slot_at
from sources.resample import PARTS, fits, resampled
from sources.router import out_of_reach
from sources.source import Capability

DEADLINE_S = 20.0
"""How long the sources are waited for in all; then what is held is given, and what they say later is kept."""
STALE_AFTER_S = 2.0
"""How long they are waited for by who lacks only the newest bars, or where all of them have failed."""
_EDGE_BARS = 10
"""How many of the newest bars one can do without for a moment."""
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_NO_BARS = pl.DataFrame(schema=BAR_SCHEMA)
_FOREVER = datetime.max.replace(tzinfo=UTC)
_GROWTH = 4
_MICROSECOND = timedelta(microseconds=1)
_UNDIVIDED = frozenset({AssetType.CRYPTO, AssetType.FOREX, AssetType.INDEX, AssetType.COMMODITY})
"""What has neither splits nor dividends."""


@dataclass(frozen=True, slots=True)
class Series:
    """Which bars; `market` is the code of the market whose hours they keep."""

    symbol: str
    interval: Interval
    adjustment: Adjustment
    market: str


@dataclass(frozen=True, slots=True)
class Bars:
    """Adjusted bars, how they came, and the stretches among what was asked that are not held and could not be had.

    `made_of` is the interval that they were joined from, None if they are as a source gave them. `actions` are the
    splits and dividends from the first bar on, also those after the last (`BarStore.actions`). `as_of` is when all of
    them were over, where they are given late.
    """

    frame: pl.DataFrame
    actions: pl.DataFrame
    missing: Sequence[Window]
    provenance: Provenance
    made_of: Interval | None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The newest `count` bars that open in [start, end); with `as_of` only those that were over by then."""

    count: int
    end: datetime
    start: datetime | None
    as_of: datetime | None = None


async def load_bars(
    world: World, series: Series, count: int, end: datetime, start: datetime | None = None
) -> Bars | None:
    """The newest `count` bars that open before `end` and not before `start`; None if there are none.

    What no source has and the store does not hold is joined from the longest shorter bars that can be had. Weeks and
    months of what may split are joined from adjusted days always: a week that holds a split mixes two prices.
    Where the sources fail or take too long, what is held is given, marked STALE; what no source goes back to is
    missing, and that is no failure. Raises SymbolNotFound, UnsupportedInterval, NoData and SourceUnavailable where
    nothing is held, and StoreUnavailable.

    Where the licence of a source has the viewer's tier get its prices late, the bars are given that were over so long
    ago, as they would have been given then. Raises LicenceForbids where there are none but later ones.
    """
    wanted = _Wanted(count, end, start)
    found = await _load(world, series, wanted)
    if found is None or not world.terms.longest_s:
        return found
    delay_s = world.terms.delay_s(await _sources(world, series, found))
    if not delay_s:
        return found
    as_of = datetime.now(UTC) - timedelta(seconds=delay_s)
    late = await _load(world, series, replace(wanted, end=min(end, as_of), as_of=as_of))
    if late is None:
        source = found.provenance.source
        raise LicenceForbids(
            f"Your tier gets what {source} says {delay_s:g} s late, and these bars of {series.symbol} are younger.",
            symbol=series.symbol,
            source=source,
        )
    known_s = late.provenance.delay_seconds or 0.0
    return replace(late, as_of=as_of, provenance=structs.replace(late.provenance, delay_seconds=max(delay_s, known_s)))


async def _load(world: World, series: Series, wanted: _Wanted) -> Bars | None:
    """As `load_bars`, whatever its age."""
    failed: SymbolNotFound | UnsupportedInterval | SourceUnavailable | NoData | None = None
    for number, part in enumerate(_parts(series)):
        can_be_had = number == 0 or isinstance(failed, UnsupportedInterval)
        if not can_be_had and not await world.bars.has_older(series.symbol, part, wanted.end):
            continue
        try:
            if found := await _newest(world, series, part, wanted):
                return found
        except UnsupportedInterval as error:
            failed = failed or error
        except (SourceUnavailable, SymbolNotFound, NoData) as error:
            failed = error if isinstance(failed, UnsupportedInterval) else failed or error
        else:  # that there are none says more than that others cannot tell
            failed = None if isinstance(failed, UnsupportedInterval) else failed
    if failed is not None:
        raise failed
    return None


def _parts(series: Series) -> Iterator[Interval]:
    """What to take the bars from, the best first."""
    own, parts = series.interval, PARTS[series.interval]
    may_split = venue(series.symbol).asset_type not in _UNDIVIDED
    yield from (*parts, own) if may_split and not own.is_intraday else (own, *parts)


@dataclass(slots=True)
class _Filled:
    """What asking the sources brought, beside what went to the store; `ends` is when they are waited for no longer.

    `is_apart`: the store has it from a source that the viewer's tier is barred from, so what others say is not kept.
    """

    ends: float = field(default_factory=lambda: time.monotonic() + DEADLINE_S)
    unkept: pl.DataFrame = field(default_factory=_NO_BARS.clone)
    is_apart: bool = False
    fetched: Provenance | None = None
    error: SourceUnavailable | SymbolNotFound | UnsupportedInterval | None = None
    beyond: NoData | None = None

    @property
    def is_cut(self) -> bool:
        """Whether something of what was missing could not be had."""
        return self.error is not None or self.beyond is not None


async def _newest(world: World, series: Series, part: Interval, wanted: _Wanted) -> Bars | None:
    """As `_load`, from bars of `part` alone.

    How many bars a stretch holds depends on the venue's hours, so one that proves too short is widened.
    """
    interval, symbol = series.interval, series.symbol
    count, end, start, as_of = wanted.count, wanted.end, wanted.start, wanted.as_of
    floor = max(start, _FIRST) if start else _FIRST
    if floor >= end:
        return None
    if part is not interval or as_of is not None:
        await calendar.load([series.market])
    now = as_of or datetime.now(UTC)
    before = _closes(series, part, end)
    more = as_of is not None  # one bar may be left out, as it was not over by then
    limit = more + (count if part is interval else count * (interval.span // part.span + 1))
    reach = interval.span * (count + 1 + more)
    filled = _Filled()
    begin = part.ceil(before)  # so that those who ask at the same time ask for the same
    while True:
        until, begin = begin, max(floor, interval.floor(end - min(reach, end - _FIRST)))
        held, is_barred = await _held(world, symbol, part, limit, before, begin)
        if is_barred and not filled.is_apart:  # what was held so far is not given any more
            filled.is_apart, until = True, before
        if pieces := _asked(held.missing, before, until):
            await _fill(world, symbol, part, pieces, filled, _patience_s(world, symbol, part, held, before))
            # What is held from before `begin` may lie beyond a stretch that is not: for want of better only.
            held, _ = await _held(world, symbol, part, limit, before, floor if filled.is_cut else begin)
        raw = _raw(held, filled, series.market, part, as_of)
        frame = _joined(raw, held, series, part, now)
        if frame.height >= count or begin <= floor or filled.is_cut:
            break
        reach *= _GROWTH
    frame = _within(frame, floor, end).tail(count)
    if frame.is_empty():
        if filled.error and not (
            isinstance(filled.error, SymbolNotFound) and await world.bars.has_older(symbol, part, end)
        ):
            raise filled.error
        if filled.beyond:
            raise filled.beyond
        return None
    actions = await _actions(world, series, part, raw)
    if part is interval:
        frame = adjusted(frame, actions, series.adjustment)
    elif series.adjustment is not Adjustment.RAW and not actions.is_empty():
        whole = resampled(adjusted(raw, actions, series.adjustment), series.market, part, interval, now)
        frame = whole.join(frame, on="time", how="semi", maintain_order="left")
    first = frame["time"][0]
    # Where as many were found as were to be given, those before them are merely not given.
    since = floor if start and frame.height < count else first
    missing = [Window(max(piece.start, since), min(piece.end, end)) for piece in held.missing if piece.end > since]
    return Bars(
        frame=frame,
        actions=_within(actions, first, _FOREVER),
        missing=missing if filled.is_cut else (),
        provenance=_provenance(world, held, filled),
        made_of=None if part is interval else part,
    )


def _within(frame: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """The rows with a time in [start, end), of a frame that ascends by it."""
    # To have Polars compare with an instant takes half a millisecond, and hardly ever is there anything to leave out.
    if frame.is_empty() or (frame["time"][0] >= start and frame["time"][-1] < end):
        return frame
    return frame.filter(pl.col("time") >= start, pl.col("time") < end)


def _closes(series: Series, part: Interval, end: datetime) -> datetime:
    """Before when the parts open of the last bar that opens before `end`."""
    last = end - _MICROSECOND
    if part is series.interval:
        return end
    if not series.interval.is_intraday:
        return series.interval.end(series.interval.floor(last))
    slot = slot_at(series.market, series.interval, last)
    return slot.closes_at if slot else end


async def _held(
    world: World, symbol: str, part: Interval, limit: int, before: datetime, begin: datetime
) -> tuple[HeldBars, bool]:
    """What is held; nothing, and True, where some of it is of a source that the viewer's tier is barred from."""
    held = await world.bars.newest(symbol, part, limit, before, begin)
    if held.frame.is_empty() or not (barred := world.terms.barred):
        return held, False
    if barred.isdisjoint(await world.bars.sources(symbol, part, Window(held.frame["time"][0], before))):
        return held, False
    return HeldBars(held.frame.clear(), [Window(begin, before)], "none", 0, datetime.now(UTC)), True


async def _sources(world: World, series: Series, found: Bars) -> set[str]:
    """Whose the bars are that may be too young to be given."""
    interval = found.made_of or series.interval
    now = datetime.now(UTC)
    young = Window(now - timedelta(seconds=world.terms.longest_s) - 2 * series.interval.span, now)
    return {found.provenance.source, *await world.bars.sources(series.symbol, interval, young)}


def _raw(held: HeldBars, filled: _Filled, market: str, part: Interval, as_of: datetime | None) -> pl.DataFrame:
    """What is held and what came beside it; with `as_of` only the bars that were over by then."""
    if not held.frame.is_empty():  # who else has finished and kept the forming bar since
        filled.unkept = _within(filled.unkept, held.frame["time"][-1] + _MICROSECOND, _FOREVER)
    raw = held.frame if filled.unkept.is_empty() else held.frame.vstack(filled.unkept)
    return raw if as_of is None else raw.filter(_are_over(raw["time"], market, part, as_of))


def _are_over(times: pl.Series, market: str, interval: Interval, as_of: datetime) -> list[bool]:
    """Whether each bar was over at the instant: only the last ones have to be looked at."""
    are_over = []
    for time_ in reversed(times):
        slot = next_slot(market, interval, time_)
        closes_at = slot.closes_at if slot and slot.time == time_ else interval.end(time_)
        if closes_at <= as_of:
            break
        are_over.append(False)
    return [True] * (len(times) - len(are_over)) + are_over


def _asked(missing: Sequence[Window], before: datetime, until: datetime) -> list[Window]:
    """What is to be asked for: what is missing before `until`, up to which was asked already."""
    pieces = []
    for piece in missing:
        end = until if piece.end == before else min(piece.end, until)
        if piece.start < end:
            pieces.append(Window(piece.start, end))
    return pieces


def _patience_s(world: World, symbol: str, part: Interval, held: HeldBars, before: datetime) -> float:
    """How long to wait for what is missing: the shorter, the less it is and the less the sources promise."""
    if held.frame.is_empty():
        return DEADLINE_S
    is_at_end = all(piece.end == before for piece in held.missing)
    if not world.router.outlook(symbol, Capability.HISTORY, part, world.terms).well:
        return 0.0 if is_at_end else STALE_AFTER_S
    edge = datetime.now(UTC) - _EDGE_BARS * part.span
    return STALE_AFTER_S if is_at_end and all(piece.start >= edge for piece in held.missing) else DEADLINE_S


async def _fill(
    world: World, symbol: str, part: Interval, pieces: Sequence[Window], filled: _Filled, patience_s: float
) -> None:
    """Have the stretches fetched and kept, up to the first that fails; what no source goes back to is passed over."""
    ends = min(filled.ends, time.monotonic() + patience_s)
    fetch = world.supply.look if filled.is_apart else world.supply.fetch
    for piece in pieces:
        try:
            fetched = await fetch(symbol, part, piece, max(0.0, ends - time.monotonic()), world.terms)
        except NoData as error:
            filled.beyond = error
            continue
        except TimeoutError:
            skipped = world.router.outlook(symbol, Capability.HISTORY, part, world.terms).unanswered
            filled.error = SourceUnavailable(
                f"No source has answered for {symbol} yet; ask again.", skipped=skipped, symbol=symbol
            )
            return
        except (SourceUnavailable, SymbolNotFound, UnsupportedInterval) as error:
            filled.error = error
            return
        if fetched.window.start > piece.start:
            filled.beyond = out_of_reach(symbol, part, fetched.window.start)
        forming = fetched.frame.filter(~pl.col("is_final"))
        if filled.is_apart:
            filled.unkept = pl.concat([fetched.frame, filled.unkept]).unique("time", keep="first").sort("time")
        elif not forming.is_empty():
            filled.unkept = forming
        filled.fetched = filled.fetched or fetched.provenance


def _joined(raw: pl.DataFrame, held: HeldBars, series: Series, part: Interval, now: datetime) -> pl.DataFrame:
    """The bars that the parts make, but for those that are over and lack a part that is missing."""
    if part is series.interval or raw.is_empty():
        return raw
    if not fits(raw, series.market, part):
        raise UnsupportedInterval(
            f"The {part} bars of {series.symbol} make no {series.interval}: they begin before the sessions do."
        )
    frame = resampled(raw, series.market, part, series.interval, now)
    lacking = [
        time
        for time in frame.filter("is_final")["time"]
        for piece in held.missing
        if _lacks(series, part, Window(time, series.interval.end(time)), piece)
    ]
    return frame.filter(~pl.col("time").is_in(lacking)) if lacking else frame


def _lacks(series: Series, part: Interval, bar: Window, missing: Window) -> bool:
    """Whether the market has a part within the bar that is missing."""
    start, end = max(bar.start, missing.start), min(bar.end, missing.end)
    slot = next_slot(series.market, part, start) if start < end else None
    return slot is not None and slot.time < end


async def _actions(world: World, series: Series, part: Interval, raw: pl.DataFrame) -> pl.DataFrame:
    """Splits and dividends, each at the instant of the series from which on bars trade with it."""
    if part is Interval.D1:  # these bars have their own, so only later ones are looked for
        own = raw.with_columns(previous_close=pl.col("close").shift(1)).filter(
            (pl.col("split_factor") != 1) | (pl.col("dividend") != 0)
        )
        later = await world.bars.actions(series.symbol, raw["time"][-1] + _MICROSECOND)
        return pl.concat([own.select(later.columns), later])
    actions = await world.bars.actions(series.symbol, Interval.D1.floor(raw["time"][0]))
    if actions.is_empty() or not series.interval.is_intraday:
        return actions
    # A day is named by midnight in UTC; its session may begin on the date before.
    await calendar.load([series.market])
    days = actions["time"].dt.date()
    sessions = calendar.sessions(series.market, days[0], days[-1] + timedelta(days=1)).select("trading_day", "open")
    opened = actions.with_columns(trading_day=days).join(sessions, on="trading_day", how="left", maintain_order="left")
    return opened.with_columns(time=pl.coalesce("open", "time")).select(actions.columns)


def _provenance(world: World, held: HeldBars, filled: _Filled) -> Provenance:
    if filled.error is None and filled.fetched is not None:
        quality = filled.fetched.quality if held.frame.is_empty() else min(held.quality, filled.fetched.quality)
        return structs.replace(filled.fetched, quality=quality)
    return Provenance(
        source=held.source,
        served_from=ServedFrom.STALE if filled.error else ServedFrom.STORE,
        received_at=held.received_at,
        quality=held.quality,
        synthetic=world.synthetic,
        skipped=tuple(filled.error.skipped) if isinstance(filled.error, SourceUnavailable) else (),
    )
