"""Live history: the newest bars of a series at once, then again whenever one changes; shared by all who watch it."""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple
from weakref import WeakValueDictionary

import polars as pl
from strawberry.types import Info

from db.live_bars import BarEvent, series_topic
from errors import InvalidLimit, SmartFinError
from live.mailbox import Event, Feed, Mailbox
from market import Adjustment, Interval
from resolvers.arguments import Adjusted, Length, NewestBars, OneSymbol
from resolvers.history import MAX_BARS, History, load_history
from resolvers.symbols import checked_symbol
from resolvers.world import Context, World

logger = logging.getLogger(__name__)


class ChartKey(NamedTuple):
    """What makes two charts the same."""

    symbol: str
    interval: Interval
    last: int
    adjustment: Adjustment


class Charts:
    """The charts that somebody watches in this process, each once."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[ChartKey, Chart] = WeakValueDictionary()

    def of(self, world: World, key: ChartKey) -> "Chart":
        """The chart, which lives as long as somebody holds it."""
        chart = self._known.get(key)
        if chart is None:
            chart = self._known[key] = Chart(world, key)
        return chart


class Chart:
    """The newest bars of one series, moved on by what the bus says of it, for all who watch."""

    def __init__(self, world: World, key: ChartKey) -> None:
        self._world = world
        self._key = key
        self._feed = Feed()
        self._opening = asyncio.Lock()
        self._bus: Mailbox | None = None
        self._latest: Event | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._missed: BarEvent | None = None
        self._late: dict[datetime, asyncio.TimerHandle] = {}
        self._renewing: set[asyncio.Task[None]] = set()

    async def watch(self) -> Mailbox:
        """A mailbox with the bars as they are, and then as they become. Raises as `load_history` does."""
        mailbox = Mailbox(on_close=self._leave)
        self._feed.watch(mailbox)
        try:
            async with self._opening:
                if self._bus is None:
                    await self._open()
        except BaseException:
            mailbox.close()
            raise
        assert self._latest is not None
        mailbox.put(self._latest)
        return mailbox

    def _take(self, event: Event) -> None:
        """Move on by what the bus says."""
        bar: BarEvent = event.payload
        if self._world.terms and (delay_s := self._world.terms.delay_s(bar.sources or self._world.terms.delays_s)):
            self._take_late(event, delay_s)
        elif self._latest is None or self._reloading is not None:
            self._missed = bar
        elif (moved := with_bar(self._latest.payload, bar, self._key.last)) is not None:
            if moved is not self._latest.payload:
                self._show(Event(self._topic, event.order, moved))
        else:
            self._missed = bar
            self._reloading = asyncio.create_task(self._reload())

    def _take_late(self, event: Event, delay_s: float) -> None:
        """Of a source that these viewers get nothing of, or only late: read the bars anew once a query has another."""
        bar: BarEvent = event.payload
        if bar.is_final and bar.time not in self._late:
            closed_s = (bar.interval.end(bar.time) - datetime.now(UTC)).total_seconds()
            wait_s = max(0.0, closed_s + delay_s) if delay_s < inf else 0.0
            self._late[bar.time] = asyncio.get_running_loop().call_later(wait_s, self._renew, event)

    def _renew(self, event: Event) -> None:
        self._late.pop(event.payload.time, None)
        renewing = asyncio.create_task(self._renewed(event))
        self._renewing.add(renewing)
        renewing.add_done_callback(self._renewing.discard)

    async def _renewed(self, event: Event) -> None:
        try:
            history = await self._load()
        except SmartFinError as error:
            logger.warning("%s goes on with the bars that it has: %s", self._topic, error)
        else:
            if self._bus is not None:
                self._show(Event(self._topic, event.order, history))

    @property
    def _topic(self) -> str:
        return series_topic(self._key.symbol, self._key.interval)

    async def _open(self) -> None:
        bus = await self._world.hub.subscribe([self._topic])
        try:
            self._latest = Event(self._topic, (0, 0), await self._load())
        except BaseException:
            bus.close()
            raise
        self._bus = bus
        bus.read_each(self._take)

    async def _reload(self) -> None:
        """Read the bars anew: some were missed, or the first of a new stretch has come."""
        try:
            history = await self._load()
        except SmartFinError as error:
            logger.warning("%s goes on with the bars that it has: %s", self._topic, error)
            history = None
        finally:
            self._reloading = None
        if self._bus is None or self._latest is None or (bar := self._missed) is None:
            return
        shown: History = history or self._latest.payload
        self._show(Event(self._topic, bar.order, with_bar(shown, bar, self._key.last, forced=True) or shown))

    async def _load(self) -> History:
        key = self._key
        return await load_history(self._world, key.symbol, key.interval, None, None, key.last, key.adjustment)

    def _show(self, event: Event) -> None:
        self._latest = event
        self._feed.bring(event)

    def _leave(self, mailbox: Mailbox) -> None:
        self._feed.leave(mailbox)
        if not self._feed and self._bus is not None:
            self._bus.close()
            self._bus = self._latest = None
            if self._reloading is not None:
                self._reloading.cancel()
            for timer in self._late.values():
                timer.cancel()
            for renewing in self._renewing:
                renewing.cancel()
            self._late.clear()


async def live_history(
    info: Info[Context, None],
    symbol: OneSymbol,
    interval: Length,
    last: NewestBars = 1,
    adjustment: Adjusted = Adjustment.SPLITS,
) -> Mailbox:
    """The newest `last` bars, the forming one included, at once and again whenever one changes."""
    if not 1 <= last <= MAX_BARS:
        raise InvalidLimit(f"last: {last} is outside 1 to {MAX_BARS}.", minimum=1, maximum=MAX_BARS)
    world = info.context.world
    return await world.charts.of(world, ChartKey(checked_symbol(symbol), interval, last, adjustment)).watch()


def with_bar(history: History, bar: BarEvent, last: int, *, forced: bool = False) -> History | None:
    """The history with the bar in its place, the newest `last` of it; None where bars between the two are unknown.

    Nothing is known of them where the newest bar here has not ended in what the bus said before: then the bars have
    to be read anew, or the bar is put behind them `forced`.
    """
    frame, told = history.frame, bar.frame.select(history.frame.columns)
    newest = frame.row(-1, named=True)
    if bar.time > newest["time"]:
        if not newest["is_final"] and not forced:
            return None
        frame = pl.concat([frame, told])
    elif bar.time == newest["time"] and newest["is_final"] and not bar.is_final:
        return history
    else:
        kept = {"vwap", "trades", "split_factor", "dividend"}  # which ticks do not tell
        place = pl.col("time") == bar.time
        frame = frame.with_columns(
            pl.when(place).then(pl.lit(told[name][0], dtype)).otherwise(pl.col(name)).alias(name)
            for name, dtype in frame.schema.items()
            if name not in kept
        )
    return replace(history, bars_found=replace(history.bars_found, frame=frame.tail(last)))
