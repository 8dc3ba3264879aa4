"""Bars built from ticks as they form: told at each change, closed by the clock or the next bar, and then kept."""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from db.bars import BarStore
from db.live_bars import BarEvent, LiveBars
from errors import SmartFinError, StoreUnavailable
from live.tending import is_ending, tended
from market import Interval, Quote, Window
from sources import calendar
from sources.grid import Slot, market_of, slot_at
from sources.router import Router

logger = logging.getLogger(__name__)

LOOK_S = 0.25
PACE_S = 0.02
"""A series is told at most so often; what changes faster is told by its latest."""

GRACE = timedelta(seconds=1)
"""How long after its end a bar waits for ticks that are late."""

SETTLE_S = 2.0
"""How long a source may take to say what a bar has come to."""

RETRY_S = 1.0
UNKEPT = 10_000
"""Final bars that wait at most for a PostgreSQL that is away; the sources have them as well."""

TICKS_QUALITY = 70
"""Of a bar that no source has confirmed."""

Series = tuple[str, Interval]

_NEVER = datetime.min.replace(tzinfo=UTC)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _Forming:
    """A bar of ticks; `traded` is what the session had traded with the last of them."""

    slot: Slot
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    traded: float | None
    sources: set[str]

    def add(self, quote: Quote) -> None:
        self.sources.add(quote.provenance.source)
        self.high = max(self.high, quote.price)
        self.low = min(self.low, quote.price)
        self.close = quote.price
        if quote.volume is not None:
            if self.traded is not None:  # that of a new session begins again at 0
                grown = quote.volume - self.traded if quote.volume >= self.traded else quote.volume
                self.volume = (self.volume or 0.0) + grown
            self.traded = quote.volume


@dataclass(frozen=True, slots=True)
class _Kept:
    """A final bar on its way to the store; `source` is None where ticks made it."""

    event: BarEvent
    source: str | None


class FormingBars:
    """The newest bar of each series that somebody watches.

    The first bar of a series begins as its source has it, for nobody has seen its first ticks; those after it begin
    with their first tick. Of a closed bar the source has the last word, where it gives it in time: then it is what a
    query answers, exactly. Else the bar is what the ticks made it.
    """

    def __init__(
        self,
        epoch: int,
        router: Router,
        store: BarStore,
        live: LiveBars,
        *,
        always_open: bool,
        on_final: Callable[[BarEvent], None],
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.epoch = epoch
        """What the events carry; the collector raises it."""
        self._router = router
        self._store = store
        self._live = live
        self._always_open = always_open
        self._on_final = on_final
        self._clock = clock
        self._wanted: defaultdict[str, set[Interval]] = defaultdict(set)
        self._forming: dict[Series, _Forming] = {}
        self._traded: dict[str, float | None] = {}
        self._seqs: defaultdict[Series, int] = defaultdict(int)
        self._closed: dict[Series, datetime] = {}
        self._changed: dict[Series, None] = {}
        self._settling: dict[Series, asyncio.Task[None]] = {}
        self._unkept: deque[_Kept] = deque(maxlen=UNKEPT)
        self._woken = asyncio.Event()
        self.lost = 0
        """Final bars that could not wait any longer for PostgreSQL."""

    @property
    def waiting(self) -> int:
        """Final bars that PostgreSQL has not taken yet."""
        return len(self._unkept)

    def want(self, series: Iterable[Series]) -> None:
        """Build just these from now on."""
        wanted: defaultdict[str, set[Interval]] = defaultdict(set)
        for symbol, interval in series:
            wanted[symbol].add(interval)
        self._wanted = wanted
        self._traded = {symbol: traded for symbol, traded in self._traded.items() if symbol in wanted}
        for gone in [known for known in self._forming if known[1] not in wanted.get(known[0], ())]:
            del self._forming[gone]
            self._changed.pop(gone, None)
        self._closed = {known: time for known, time in self._closed.items() if known[1] in wanted.get(known[0], ())}

    def take(self, quote: Quote) -> None:
        """Add a tick to the bars of its symbol."""
        for interval in self._wanted.get(quote.symbol, ()):
            self._add((quote.symbol, interval), quote)
        if quote.symbol in self._wanted:
            self._traded[quote.symbol] = quote.volume

    async def run(self) -> None:
        """Tell, close and keep, until cancelled."""
        async with tended(self._keep_waiting):
            try:
                while not is_ending():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_S):
                            await self._woken.wait()
                    self._woken.clear()
                    self._close_due(self._clock())
                    await self._tell([series for series in self._changed if series not in self._settling])
                    await asyncio.sleep(PACE_S)
            finally:
                settling = list(self._settling.values())
                for task in settling:
                    task.cancel()
                await asyncio.gather(*settling, return_exceptions=True)

    def _add(self, series: Series, quote: Quote) -> None:
        symbol, interval = series
        code = self._market(symbol)
        if not calendar.is_loaded(code):
            self._settle(series, None)
            return
        slot = slot_at(code, interval, quote.time)
        forming = self._forming.get(series)
        if slot is None or slot.time <= self._closed.get(series, _NEVER):
            return
        if forming is None or slot.time > forming.slot.time:
            price = quote.price
            traded = quote.volume if forming is None else self._traded.get(symbol)
            self._forming[series] = _Forming(slot, price, price, price, price, None, traded, set())
            self._settle(series, forming)
        elif slot.time < forming.slot.time:
            return
        self._forming[series].add(quote)
        self._changed[series] = None
        self._woken.set()

    def _close_due(self, now: datetime) -> None:
        for series, forming in list(self._forming.items()):
            if forming.slot.closes_at + GRACE <= now and series not in self._settling:
                del self._forming[series]
                self._changed.pop(series, None)
                self._settle(series, forming)

    def _settle(self, series: Series, closed: _Forming | None) -> None:
        """See to a bar that has closed, or to the beginning of the first; what forms meanwhile is told after it."""
        if closed is not None:
            self._closed[series] = closed.slot.time
        if (before := self._settling.get(series)) is not None and closed is None:
            return
        task = asyncio.create_task(self._settled(series, closed, before))
        self._settling[series] = task
        task.add_done_callback(lambda done: self._after(series, done))

    def _after(self, series: Series, done: "asyncio.Task[None]") -> None:
        if self._settling.get(series) is done:
            del self._settling[series]
        if not done.cancelled() and (error := done.exception()):
            logger.error("a bar of %s %s was not seen to", *series, exc_info=error)
        self._woken.set()

    async def _settled(self, series: Series, closed: _Forming | None, before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        if closed is not None:
            await self._finish(series, closed)
        else:
            await calendar.load([self._market(series[0])])
            await self._begin(series)

    async def _begin(self, series: Series) -> None:
        """Put what the source knows of the first bar before the ticks that have come."""
        forming = self._forming.get(series)
        if forming is None or (known := await self._asked(series, forming.slot)) is None:
            return
        forming.sources.add(known["source"])
        forming.open = known["open"]
        forming.high = max(forming.high, known["high"])
        forming.low = min(forming.low, known["low"])
        if known["volume"] is not None:
            forming.volume = (forming.volume or 0.0) + known["volume"]
        self._changed[series] = None

    async def _finish(self, series: Series, closed: _Forming) -> None:
        known = await self._asked(series, closed.slot)
        if known is not None and known["is_final"]:
            closed.open, closed.high, closed.low, closed.close = (known[of] for of in ("open", "high", "low", "close"))
            closed.volume = known["volume"]
            closed.sources = {known["source"]}
        else:
            known = None
        event = self._event(series, closed, is_final=True)
        kept = _Kept(event, known["source"] if known else None)
        if not await self._keep(kept):
            if len(self._unkept) == UNKEPT:
                self.lost += 1
                logger.error("a bar of %s is lost to the store: too many wait", self._unkept[0].event.topic)
            self._unkept.append(kept)
        await self._publish([event])
        self._on_final(event)

    async def _keep(self, kept: _Kept) -> bool:
        event = kept.event
        # What ticks made is kept for want of better: a query still asks the sources.
        covered = Window(event.time, event.interval.end(event.time)) if kept.source else None
        try:
            await self._store.save(
                event.symbol,
                event.interval,
                event.frame,
                source=kept.source or "ticks",
                received_at=datetime.now(UTC),
                covered=covered,
                quality=100 if kept.source else TICKS_QUALITY,
            )
        except StoreUnavailable as error:
            logger.warning("a bar of %s waits to be kept: %s", event.topic, error)
            return False
        return True

    async def _keep_waiting(self) -> None:
        while not is_ending():
            await asyncio.sleep(RETRY_S)
            while self._unkept and await self._keep(self._unkept[0]):
                self._unkept.popleft()

    async def _asked(self, series: Series, slot: Slot) -> dict[str, Any] | None:
        """What a source says of the bar; None where none can say so now."""
        symbol, interval = series
        try:
            async with asyncio.timeout(SETTLE_S):
                window = Window(slot.time, slot.time + timedelta(microseconds=1))
                fetched = await self._router.history(symbol, interval, window)
        except (SmartFinError, TimeoutError) as error:
            logger.info("the %s bar of %s at %s is what its ticks made: %s", interval, symbol, slot.time, error)
            return None
        if fetched.frame.is_empty():
            return None
        return {**fetched.frame.row(0, named=True), "source": fetched.provenance.source}

    async def _tell(self, changed: list[Series]) -> None:
        events = []
        for series in changed:
            del self._changed[series]
            if (forming := self._forming.get(series)) is not None:
                events.append(self._event(series, forming, is_final=False))
        if events:
            await self._publish(events)

    async def _publish(self, events: list[BarEvent]) -> None:
        # A series that is not wanted here any more may be another collector's, who counts its events anew.
        wanted = [event for event in events if event.interval in self._wanted.get(event.symbol, ())]
        try:
            await self._live.publish(wanted)
        except StoreUnavailable as error:
            # The next change of each series tells its whole bar, and who reads history finds what was kept.
            logger.warning("%d bars were not published: %s", len(wanted), error)

    def _event(self, series: Series, bar: _Forming, *, is_final: bool) -> BarEvent:
        self._seqs[series] += 1
        prices = bar.open, bar.high, bar.low, bar.close
        return BarEvent(
            self.epoch,
            self._seqs[series],
            *series,
            bar.slot.time,
            *prices,
            bar.volume,
            is_final,
            (*sorted(bar.sources),),
        )

    def _market(self, symbol: str) -> str:
        return "CRYPTO" if self._always_open else market_of(symbol)
