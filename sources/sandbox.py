"""The sandbox: a source that asks nobody, and tells of a make-believe exchange where trading never ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice, pairwise
from typing import ClassVar, Final, Self

import numpy as np
import polars as pl

from errors import SymbolNotFound
from market import BAR_SCHEMA, INSTANT, Asset, AssetType, Interval, Provenance, Quote, ServedFrom, Window
from settings import Settings
from sources import exchange
from sources.exchange import Bars, Ints
from sources.listing import LISTINGS, MARKETS, Listing
from sources.source import Budget, Capability, Demand, Quota
from sources.tape import Tape, TickGrid, forming_at, record, session

LISTED_AT: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The first instant of every history. The first W1 bar is that of the first whole week, 2000-01-03."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# The bars that those of an interval are joined from.
_PART: Final = {
    Interval.M1: Interval.M1,
    Interval.M5: Interval.M1,
    Interval.M15: Interval.M1,
    Interval.M30: Interval.M1,
    Interval.H1: Interval.H1,
    Interval.H4: Interval.H1,
    Interval.D1: Interval.D1,
    Interval.W1: Interval.D1,
    Interval.MN1: Interval.D1,
}
_SERIES: Final = {Interval.M1: exchange.minutes, Interval.H1: exchange.hours, Interval.D1: exchange.days}

_PIECE: Final = 16 * 1440  # minutes, or hours, of intraday history made at once: whole days, and a CPU's cache holds it
_CHUNK: Final = 16  # listings whose ticks are made between two turns of the event loop
_LEAST_SLEEP_S: Final = 0.005  # ticks that fall closer than this travel together
_BACKLOG: Final = timedelta(seconds=5)  # a stream held up for longer leaves out what is older


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Sandbox:
    """One market per seed, the same in every process; each symbol ticks `ticks_per_second` times a second.

    The rate changes the ticks inside a minute, never a bar. It is met to the nearest whole tick a minute, above 16
    to the nearest whole tick a second. `clock` gives the present, aware.
    """

    name: ClassVar[str] = "sandbox"
    display_name: ClassVar[str] = "Sandbox"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    asset_types: ClassVar[frozenset[AssetType]] = frozenset(listing.asset.type for listing in LISTINGS.values())
    markets: ClassVar[frozenset[str]] = MARKETS
    reach: Mapping[Interval, timedelta | None] = dict.fromkeys(Interval)
    priority: ClassVar[int] = 0
    quotas: Sequence[Quota] = ()
    symbols_per_question: ClassVar[int | None] = None
    delay_seconds: ClassVar[float | None] = 0.0
    symbols_per_stream: ClassVar[int] = 10_000
    max_streams: ClassVar[int] = 1
    silence_s: ClassVar[float] = 60.0
    stream_life_s: ClassVar[float | None] = None
    synthetic: ClassVar[bool] = True

    def __init__(self, seed: int, ticks_per_second: float, clock: Callable[[], datetime] = _utc_now) -> None:
        self._seed = seed
        self._grid = TickGrid.of_rate(ticks_per_second)
        self._clock = clock

    @classmethod
    def opened(cls, settings: Settings, budget: Budget) -> Self:
        """The market of the seed in the settings; it has no quota."""
        return cls(settings.sandbox_seed, settings.sandbox_ticks_per_second)

    def covers(self, symbol: str) -> bool:
        """Every symbol: what it does not list is unknown."""
        return True

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """The quote of each listed symbol as its last tick left it."""
        now = self._clock()
        number = self._grid.newest(_microseconds(now))
        tapes = await self._tapes(_listed(symbols), self._grid.slot(number))
        return {quote.symbol: quote for quote in self._printed(tapes, number, _provenance(now))}

    async def history(self, symbol: str, interval: Interval, window: Window) -> pl.DataFrame:
        """The bars that open within the window, none before LISTED_AT or after now; vwap and trades are null.

        Raises SymbolNotFound.
        """
        listing = LISTINGS.get(symbol)
        if listing is None:
            raise SymbolNotFound(f'The sandbox does not list "{symbol}"; assets has what it lists.', symbol=symbol)
        now = self._clock()
        opening, closing = max(window.start, LISTED_AT), min(window.end, now + _MICROSECOND)
        if opening >= closing or (opening := interval.ceil(opening)) >= closing:
            return pl.DataFrame(schema=BAR_SCHEMA)
        part = _PART[interval]
        present = _count(part, now)
        end = min(_count(part, interval.ceil(closing)), present + 1)
        numbers, pieces = [], []
        for first, last in _pieces(part, _count(part, opening), end):
            bars = _SERIES[part](self._seed, listing, first, last)
            if last > present:
                number = self._grid.newest(_microseconds(now))
                formed = forming_at(self._seed, listing, self._grid, number)
                forming = {Interval.M1: formed.minute, Interval.H1: formed.hour, Interval.D1: formed.day}[part]
                bars = Bars(*(np.append(past[:-1], so_far) for past, so_far in zip(bars, forming, strict=True)))
            parts = np.arange(first, last)
            starts = _starts(interval, parts)
            numbers.append(parts[starts])
            pieces.append(exchange.merged(bars, starts))
            await asyncio.sleep(0)
        times = np.concatenate(numbers) * (part.span // _MICROSECOND)
        bars = Bars(*(np.concatenate(columns) for columns in zip(*pieces, strict=True)))
        return _frame(listing, times, bars, forming_since=interval.floor(now))

    async def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]:
        """Every tick of the listed symbols in demand, ordered by time, as whole quotes.

        A batch holds what fell since the one before. A stream that is held up catches up on the last few seconds.
        """
        grid, clock = self._grid, self._clock
        wanted = frozenset[str]()
        listings: Sequence[Listing] = ()
        ahead: Iterator[Listing] = iter(())
        tapes: Sequence[Tape] = ()
        slot = -1
        due = grid.newest(_microseconds(clock())) + 1
        while True:
            await asyncio.sleep(max(_LEAST_SLEEP_S, (grid.time_us(due) - _microseconds(clock())) / 1e6))
            if demand.symbols is not wanted:
                wanted = demand.symbols
                listings = _listed(sorted(wanted))
                ahead = cycle(listings)
                slot = -1
            if not listings:
                await demand.changed(wanted)
                due = grid.newest(_microseconds(clock())) + 1
                continue
            now = clock()
            newest = grid.newest(_microseconds(now))
            due = max(due, grid.newest(_microseconds(now - _BACKLOG)) + 1)
            provenance = _provenance(now)
            batch: list[Quote] = []
            for number in range(due, newest + 1):
                if grid.slot(number) != slot:
                    slot = grid.slot(number)
                    tapes = await self._tapes(listings, slot)
                batch += self._printed(tapes, number, provenance)
            if batch:
                due = newest + 1
                yield batch
                # Made one by one through the hour, or the next hour would begin with all of them.
                session(self._seed, next(ahead), grid.hour(slot) + 1)

    async def asset(self, symbol: str) -> Asset | None:
        """The listed asset, or None."""
        listing = LISTINGS.get(symbol)
        return listing.asset if listing else None

    async def search(self, text: str, limit: int) -> Sequence[Asset]:
        """The listed assets whose symbol, or a word of whose name, begins with the text."""
        wanted = text.casefold()
        found = (
            listing.asset
            for symbol, listing in LISTINGS.items()
            if any(word.startswith(wanted) for word in (symbol.casefold(), *listing.asset.name.casefold().split()))
        )
        return list(islice(found, limit))

    async def assets(self) -> Sequence[Asset]:
        """Every listed asset."""
        return [listing.asset for listing in LISTINGS.values()]

    async def aclose(self) -> None:
        """Nothing is held."""

    async def _tapes(self, listings: Sequence[Listing], slot: int) -> list[Tape]:
        tapes: list[Tape] = []
        for start in range(0, len(listings), _CHUNK):
            tapes += record(self._seed, listings[start : start + _CHUNK], self._grid, slot)
            await asyncio.sleep(0)
        return tapes

    def _printed(self, tapes: Iterable[Tape], number: int, provenance: Provenance) -> list[Quote]:
        time = _EPOCH + timedelta(microseconds=self._grid.time_us(number))
        tick = number % self._grid.ticks_per_slot
        return [tape.quote(tick, time, provenance) for tape in tapes]


def _listed(symbols: Iterable[str]) -> list[Listing]:
    return [LISTINGS[symbol] for symbol in dict.fromkeys(symbols) if symbol in LISTINGS]


def _provenance(now: datetime) -> Provenance:
    return Provenance(
        source=Sandbox.name, served_from=ServedFrom.LIVE, received_at=now, delay_seconds=0.0, synthetic=True
    )


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def _count(part: Interval, at: datetime) -> int:
    return (at - _EPOCH) // part.span


def _pieces(part: Interval, first: int, last: int) -> Iterable[tuple[int, int]]:
    """[first, last) in pieces that no bar goes across."""
    if part is Interval.D1:
        return [(first, last)]
    return pairwise([first, *range((first // _PIECE + 1) * _PIECE, last, _PIECE), last])


def _starts(interval: Interval, number: Ints) -> Ints:
    """Where the bars of `interval` begin among its parts, numbered `number`."""
    if interval is Interval.MN1:
        whole = number.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    elif interval is Interval.W1:
        whole = (number + 3) // 7  # 1970 began on a Thursday
    else:
        whole = number // (interval.span // _PART[interval].span)
    return np.flatnonzero(np.diff(whole, prepend=-1))


def _frame(listing: Listing, times: Ints, bars: Bars, *, forming_since: datetime) -> pl.DataFrame:
    count = len(times)
    unknown = pl.repeat(None, count, dtype=pl.Float64, eager=True)
    open_, high, low, close = (column * listing.step / listing.price_parts for column in bars[:4])
    return pl.DataFrame(
        {
            "time": pl.Series(times).cast(INSTANT),
            "open": open_,
            "high": high,
            "low": low,
            "close": close,
            "volume": bars.volume / listing.volume_parts if listing.has_volume else unknown,
            "vwap": unknown,
            "trades": unknown.cast(pl.Int64),
            "split_factor": np.ones(count),
            "dividend": np.zeros(count),
            "is_final": times < _microseconds(forming_since),
        },
        schema=BAR_SCHEMA,
    )
