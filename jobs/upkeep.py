"""Keeps what is held true: the bars of sessions that have closed, and what sources have revised since."""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from db.assets import AssetStore
from db.bars import BarStore
from db.supply import BarSupply
from errors import NoData, SourceUnavailable, SymbolNotFound, UnsupportedInterval
from market import BAR_SCHEMA, Interval, Window
from sources import calendar
from sources.grid import market_of

logger = logging.getLogger(__name__)

IN_USE: Final = timedelta(days=10)
"""What is held up to longer ago is history that somebody imported or looked at, not a series to be kept up."""
PUBLISHED: Final = timedelta(minutes=30)
"""How long after the close a source may take to have the last bars."""
REVIEWED: Final = timedelta(days=7)
_TOLD: Final = ("open", "high", "low", "close", "volume", "split_factor", "dividend")


class Upkeep:
    """What is done for every series in use, one after the other; what one source fails is left for the next time."""

    def __init__(self, bars: BarStore, supply: BarSupply, assets: AssetStore, *, always_open: bool) -> None:
        self._bars = bars
        self._supply = supply
        self._assets = assets
        self._always_open = always_open
        self._asked: dict[tuple[str, Interval], datetime] = {}
        """The close that each series was asked for: the last bars may be missing because nobody traded."""

    async def keep_up(self, now: datetime) -> int:
        """Fetch the bars of the sessions that have closed; returns how many bars changed."""
        changed = 0
        asked: dict[tuple[str, Interval], datetime] = {}
        for symbol, interval, until in await self._bars.kept_up(now - IN_USE):
            closed = await self._last_close(symbol, now - PUBLISHED)
            if closed is None or until >= closed:
                continue
            if self._asked.get((symbol, interval)) != closed:
                fetched = [
                    await self._fetch(symbol, interval, piece)
                    for piece in await self._bars.missing(symbol, interval, Window(until, interval.ceil(now)))
                ]
                if None in fetched:
                    continue
                changed += sum(filter(None, fetched))
            asked[symbol, interval] = closed
        self._asked = asked
        return changed

    async def review(self, now: datetime) -> int:
        """Compare the last REVIEWED of each series with its source; returns how many bars changed.

        A bar that the source which gave it now tells otherwise is replaced, and the log says how. Bars of another
        source (or of a file) stay; only splits and dividends are taken in, whoever tells of them.
        """
        changed = 0
        for symbol, interval, until in await self._bars.kept_up(now - IN_USE):
            window = Window(interval.floor(now - REVIEWED), until)
            for piece in _held(window, await self._bars.missing(symbol, interval, window)):
                changed += await self._review(symbol, interval, piece)
        return changed

    async def _last_close(self, symbol: str, at: datetime) -> datetime | None:
        code = "CRYPTO" if self._always_open else market_of(symbol, (await self._assets.get([symbol])).get(symbol))
        await calendar.load([code])
        session = calendar.last_session(code, at)
        if session is not None and session.close > at:  # it has begun, but not closed
            session = calendar.last_session(code, session.open - timedelta(microseconds=1))
        return session.close if session else None

    async def _fetch(self, symbol: str, interval: Interval, piece: Window) -> int | None:
        """How many bars changed; None where the sources fail."""
        try:
            return (await self._supply.fetch(symbol, interval, piece)).changed
        except (SourceUnavailable, SymbolNotFound, UnsupportedInterval, NoData) as error:
            logger.warning("%s %s is not kept up: %s", symbol, interval, error)
            return None

    async def _review(self, symbol: str, interval: Interval, window: Window) -> int:
        held = await self._bars.newest(symbol, interval, 100_000, window.end, window.start)
        try:
            told = await self._supply.look(symbol, interval, window)
        except (SourceUnavailable, SymbolNotFound, UnsupportedInterval, NoData) as error:
            logger.warning("%s %s is not reviewed: %s", symbol, interval, error)
            return 0
        final = told.frame.filter("is_final", pl.col("time").is_between(window.start, window.end, closed="left"))
        if told.provenance.source != held.source:
            final = _with_actions(held.frame, final)
        revised = _revised(held.frame, final)
        for row in revised.iter_rows(named=True):
            logger.warning("%s %s of %s is revised by %s: %s", symbol, interval, row["time"], told.provenance.source,
                           ", ".join(_differences(row)))  # fmt: skip
        return await self._bars.save(
            symbol,
            interval,
            revised.select(*BAR_SCHEMA),
            source=held.source,
            quality=told.provenance.quality,
            received_at=told.provenance.received_at,
            covered=None,
        )


def _held(window: Window, missing: Sequence[Window]) -> Iterator[Window]:
    """The window without what is missing of it."""
    at = window.start
    for piece in missing:
        if at < piece.start:
            yield Window(at, piece.start)
        at = piece.end
    if at < window.end:
        yield Window(at, window.end)


def _with_actions(held: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The held bars with the splits and dividends that are told of them."""
    actions = told.filter((pl.col("split_factor") != 1) | (pl.col("dividend") != 0))
    return held.update(actions.select("time", "split_factor", "dividend"), on="time")


def _revised(held: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The bars that are told otherwise than they are held, or not held, with what is held as `…_held`."""
    both = told.join(held, on="time", how="left", suffix="_held", maintain_order="left")
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_held")) for name in _TOLD)
    return both.filter(differs)


def _differences(row: dict[str, object]) -> Iterator[str]:
    for name in _TOLD:
        if row[name] != row[f"{name}_held"]:
            yield f"{name} {row[f'{name}_held']} -> {row[name]}"
