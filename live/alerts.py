"""Watches the market for alerts: each tick and each final bar, and whatever fires is written down once."""

import asyncio
import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil, inf
from typing import Final, NamedTuple
from uuid import UUID

from db.alert_bus import AlertBus, Mark
from db.alerts import Alert
from db.fires import OVERLAP, Fire, FireStore
from db.live_bars import BarEvent, series_topic
from db.quotes import QuoteEvent
from errors import SmartFinError, StoreUnavailable
from live.tending import is_ending, tended
from live.thresholds import Armed, Thresholds
from market import AlertMetric, AlertOperator, Interval, Quote

logger = logging.getLogger(__name__)

LOOK_S: Final = 0.25
HEAL_S: Final = 30.0
"""How often to look for changes that nobody told of, and for bars that could not be measured."""

RETRY_S: Final = 0.5
LOADED_AT_ONCE: Final = 20
WRITTEN_AT_ONCE: Final = 500
MEASURED_AT_ONCE: Final = 4
TICKS_WAITING: Final = 1_000
"""Ticks of a symbol that wait for its alerts to be loaded; of more, the newest."""

MAX_UNWRITTEN: Final = 100_000
"""Fires that wait for a PostgreSQL that is away; with so many, nothing is looked at until it is back."""

MOST_BARS: Final = 100
"""Bars that are made up for, at most, after a time in which nobody watched."""


class Measure(NamedTuple):
    """What is measured of a bar."""

    metric: AlertMetric
    period: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Final bars, ascending: the opening instant and the close of each, and the value that each measure has on it."""

    times: Sequence[datetime]
    closes: Sequence[datetime]
    values: Mapping[Measure, Sequence[float | None]]


MeasureBars = Callable[[str, Interval, Collection[Measure], int], Awaitable[Measured]]
"""Measures the newest so many bars of a series, as a query would. Raises a SmartFinError where it cannot."""

_TICK: Final[dict[AlertMetric, Callable[[Quote], float | None]]] = {
    AlertMetric.PRICE: lambda quote: quote.price,
    AlertMetric.CHANGE_PERCENT: lambda quote: quote.change_percent,
    AlertMetric.VOLUME: lambda quote: quote.volume,
}


@dataclass(slots=True, eq=False)
class _Held:
    """An alert where it is watched, and when it last fired as far as is known here."""

    alert: Alert
    thresholds: Thresholds
    last_fired_at: datetime | None


@dataclass(slots=True)
class _Series:
    """The alerts on the bars of one interval; `seen` is the opening instant of the last one that they have seen."""

    measures: defaultdict[Measure, Thresholds] = field(default_factory=lambda: defaultdict(Thresholds))
    seen: datetime | None = None


@dataclass(slots=True)
class _Watched:
    """The alerts on one symbol."""

    ticks: dict[AlertMetric, Thresholds] = field(default_factory=dict)
    seen_at: float = -inf
    series: defaultdict[Interval, _Series] = field(default_factory=lambda: defaultdict(_Series))


class AlertWatch:
    """Has the alerts on the symbols that its collector streams, and fires them.

    How far each symbol was seen is marked in Redis again and again, once all that fired up to there is written. Who
    takes over goes on from the mark: what crosses a threshold between the two is found on its first tick. What fired
    after the mark is known by its alert, so nothing fires twice.
    """

    def __init__(
        self,
        store: FireStore,
        bus: AlertBus,
        measure: MeasureBars,
        may_see: Callable[[Alert], bool] = lambda _alert: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.topics: frozenset[str] = frozenset()
        """What alerts need to be streamed, whoever owns it."""
        self._store = store
        self._bus = bus
        self._measure = measure
        self._may_see = may_see
        self._clock = clock
        self._loading: dict[str, deque[QuoteEvent]] = {}
        self._watched: dict[str, _Watched] = {}
        self._held: dict[UUID, _Held] = {}
        self._marks: dict[str, Mark] = {}
        self._moved: dict[str, None] = {}
        self._fires: deque[tuple[str, Fire]] = deque()
        self._unwritten: Counter[str] = Counter()
        self._due: dict[tuple[str, Interval], None] = {}
        self._unmeasured: dict[tuple[str, Interval], None] = {}
        self._doubtful: set[UUID] = set()
        self._unloaded, self._fired, self._closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._change: int | None = None
        self._changed_until: datetime | None = None

    def __len__(self) -> int:
        return len(self._held)

    @property
    def is_ready(self) -> bool:
        """Whether the alerts on all the symbols that are owned have been read."""
        return not self._loading

    def own(self, symbols: Iterable[str]) -> None:
        """Watch for the alerts on just these symbols from now on; their ticks come by `take`."""
        alerted = {topic.partition("/")[0] for topic in self.topics}
        owned = alerted.intersection(symbols)
        self._drop({*self._watched, *self._loading} - owned)
        for symbol in owned.difference(self._watched, self._loading):
            self._loading[symbol] = deque(maxlen=TICKS_WAITING)
            self._unloaded.set()

    def take(self, event: QuoteEvent) -> None:
        """See a tick. While the alerts of its symbol are read it waits."""
        symbol = event.quote.symbol
        if (watched := self._watched.get(symbol)) is not None:
            if watched.ticks:
                self._see(symbol, watched, event)
        elif (waiting := self._loading.get(symbol)) is not None:
            waiting.append(event)

    def take_bar(self, bar: BarEvent) -> None:
        """Have the series measured, a bar of which has become final."""
        watched = self._watched.get(bar.symbol)
        if watched is not None and bar.interval in watched.series:
            self._due[bar.symbol, bar.interval] = None
            self._closed.set()

    async def run(self) -> None:
        """Load, measure, write and mark, until cancelled."""
        async with tended(self._load, self._follow_changes, self._measure_due, self._write, self._mark):
            await asyncio.Event().wait()

    def _see(self, symbol: str, watched: _Watched, event: QuoteEvent) -> None:
        if len(self._fires) >= MAX_UNWRITTEN:
            return  # what has crossed by then fires on the first tick after
        watched.seen_at = at = self._clock()
        self._moved[symbol] = None
        for metric, thresholds in watched.ticks.items():
            value = _TICK[metric](event.quote)
            for armed in thresholds.observe(value, at):
                assert value is not None
                self._fire(armed, value, at, f"{event.epoch}.{event.seq}", event.quote)

    def _fire(self, armed: Armed, value: float, at: float, fired_on: str, quote: Quote | None) -> None:
        held = self._held[armed.id]
        alert = held.alert
        fired_at = datetime.fromtimestamp(at, UTC)
        fire = Fire(
            alert_id=alert.id,
            updated_at=alert.updated_at,
            last_fired_at=held.last_fired_at,
            fired_on=fired_on,
            fired_at=fired_at,
            value=value,
            message=sentence(alert, value),
            quote=quote,
        )
        held.last_fired_at = fired_at
        self._fires.append((alert.symbol, fire))
        self._unwritten[alert.symbol] += 1
        self._fired.set()
        if len(self._fires) == MAX_UNWRITTEN:
            logger.error("%d fires wait to be written: alerts are not looked at until they are", MAX_UNWRITTEN)

    async def _write(self) -> None:
        while not is_ending():
            await self._fired.wait()
            self._fired.clear()
            while self._fires and not is_ending():
                batch = self._batch()
                try:
                    users = await self._store.record([fire for _, fire in batch])
                except StoreUnavailable as error:
                    logger.warning("%d fires wait to be written: %s", len(self._fires), error)
                    await asyncio.sleep(RETRY_S)
                    continue
                for symbol, fire in batch:
                    self._fires.popleft()
                    self._unwritten[symbol] -= 1
                    if not self._unwritten[symbol]:
                        del self._unwritten[symbol]
                    if fire.alert_id not in users:
                        self._doubtful.add(fire.alert_id)
                    elif (held := self._held.get(fire.alert_id)) and held.alert.cooldown_seconds is None:
                        del self._held[fire.alert_id]
                if users:
                    await self._bus.tell_fires(set(users.values()))

    def _batch(self) -> list[tuple[str, Fire]]:
        """The first that wait, no two of one alert: the second has to find the first written."""
        batch: dict[UUID, tuple[str, Fire]] = {}
        for symbol, fire in self._fires:
            if fire.alert_id in batch or len(batch) == WRITTEN_AT_ONCE:
                break
            batch[fire.alert_id] = symbol, fire
        return list(batch.values())

    async def _load(self) -> None:
        while not is_ending():
            self._unloaded.clear()
            symbols = list(self._loading)[:LOADED_AT_ONCE]
            if not symbols:
                await self._unloaded.wait()
                continue
            try:
                alerts = await self._store.alerts(symbols)
                marks = await self._bus.marks({topic for alert in alerts for topic in (alert.symbol, _topic(alert))})
            except StoreUnavailable as error:
                logger.warning("the alerts on %d symbols are not watched yet: %s", len(self._loading), error)
                await asyncio.sleep(RETRY_S)
                continue
            for topic, mark in self._marks.items():
                if topic not in marks or marks[topic].at < mark.at:
                    marks[topic] = mark
            of_symbol = defaultdict(list)
            for alert in alerts:
                of_symbol[alert.symbol].append(alert)
            for symbol in symbols:
                if (waiting := self._loading.pop(symbol, None)) is not None:
                    self._watch(symbol, of_symbol[symbol], marks, waiting)
            self._change = None  # what changed while they were read
            await asyncio.sleep(0)

    def _watch(
        self, symbol: str, alerts: Sequence[Alert], marks: Mapping[str, Mark], waiting: Iterable[QuoteEvent]
    ) -> None:
        watched = self._watched[symbol] = _Watched()
        mark = marks.get(symbol)
        if mark is not None:
            watched.seen_at = mark.at
            watched.ticks = {metric: Thresholds(value) for metric, value in mark.values.items()}
        for alert in alerts:
            self._place(alert, is_new=_since(alert) > watched.seen_at)
        for interval, series in watched.series.items():
            if bar_mark := marks.get(series_topic(symbol, interval)):
                series.seen = datetime.fromtimestamp(bar_mark.at, UTC)
            self._due[symbol, interval] = None
            self._closed.set()
        for event in waiting:
            self._see(symbol, watched, event)

    def _place(self, alert: Alert, *, is_new: bool) -> None:
        """Watch an active alert, if its symbol is watched here; a new one has not seen the ticks up to now."""
        watched = self._watched.get(alert.symbol)
        if watched is None:
            return
        if not self._may_see(alert):
            logger.warning("alert %s is not watched: a licence keeps %s from its user", alert.id, alert.symbol)
            return
        since = _since(alert)
        has_fired = alert.last_fired_at is not None and alert.last_fired_at > alert.updated_at
        cooled_at = since + (alert.cooldown_seconds or 0) if has_fired else None
        armed = Armed(alert.id, alert.operator, alert.threshold, alert.cooldown_seconds, alert.last_value)
        if alert.interval:
            armed.ready_at = cooled_at or since  # bars that were final before say nothing to it
            thresholds = watched.series[alert.interval].measures[Measure(alert.metric, alert.period)]
            thresholds.add([armed], fresh=False)
        else:
            armed.ready_at = cooled_at or -inf
            thresholds = watched.ticks.setdefault(alert.metric, Thresholds())
            thresholds.add([armed], fresh=is_new)
        self._held[alert.id] = _Held(alert, thresholds, alert.last_fired_at)

    def _drop(self, symbols: Collection[str]) -> None:
        if not symbols:
            return
        for symbol in symbols:
            self._loading.pop(symbol, None)
            if (watched := self._watched.pop(symbol, None)) is not None and symbol not in self._unwritten:
                self._marks |= _marks(symbol, watched)
        self._held = {known: held for known, held in self._held.items() if held.alert.symbol not in symbols}

    async def _follow_changes(self) -> None:
        healed_at = -inf
        while not is_ending():
            try:
                number = await self._bus.changes()
                is_due = time.monotonic() - healed_at >= HEAL_S
                if is_due:
                    await self._read_topics()
                    healed_at = time.monotonic()
                    self._due |= self._unmeasured
                    self._closed.set()
                if is_due or number != self._change:
                    self._change = number
                    await self._read_changes()
                if self._doubtful:
                    await self._look_again()
            except StoreUnavailable as error:
                self._change = None
                logger.warning("changes of alerts are read later: %s", error)
            await asyncio.sleep(LOOK_S)

    async def _read_topics(self) -> None:
        topics = frozenset(await self._store.topics())
        gone = self.topics - topics
        self.topics = topics
        for topic in gone:
            self._marks.pop(topic, None)
        if gone:
            await self._bus.unmark(gone)

    async def _read_changes(self) -> None:
        since = (self._changed_until or datetime.now(UTC)) - OVERLAP
        after = UUID(int=0)
        while page := await self._store.changed(since, after):
            for alert in page:
                held = self._held.get(alert.id)
                if held is None or held.alert.updated_at != alert.updated_at:
                    self._replace(alert)
            since, after = page[-1].updated_at, page[-1].id
        self._changed_until = max(since, self._changed_until or since)

    async def _look_again(self) -> None:
        """See what has become of alerts that could not fire: another has fired, changed or deleted them."""
        doubtful = self._doubtful
        known = {alert.id: alert for alert in await self._store.known(doubtful)}
        self._doubtful = set()
        for alert_id in doubtful:
            if alert := known.get(alert_id):
                self._replace(alert)
            else:
                self._forget(alert_id)

    def _replace(self, alert: Alert) -> None:
        self._forget(alert.id)
        if alert.is_active:
            self.topics |= {_topic(alert)}
            self._place(alert, is_new=True)

    def _forget(self, alert_id: UUID) -> None:
        if held := self._held.pop(alert_id, None):
            held.thresholds.remove(alert_id)

    async def _measure_due(self) -> None:
        while not is_ending():
            await self._closed.wait()
            self._closed.clear()
            while self._due and not is_ending():
                batch = list(self._due)[:MEASURED_AT_ONCE]
                for series in batch:
                    del self._due[series]
                await asyncio.gather(*(self._measured(*series) for series in batch))

    async def _measured(self, symbol: str, interval: Interval) -> None:
        watched = self._watched.get(symbol)
        if watched is None or len(self._fires) >= MAX_UNWRITTEN:
            self._unmeasured[symbol, interval] = None
            return
        self._unmeasured.pop((symbol, interval), None)
        series = watched.series[interval]
        measures = [measure for measure, thresholds in series.measures.items() if len(thresholds)]
        if not measures:
            return
        span_s = interval.span.total_seconds()
        behind_s = (datetime.now(UTC) - series.seen).total_seconds() if series.seen else MOST_BARS * span_s
        count = min(ceil(behind_s / span_s) + 2, MOST_BARS)
        try:
            measured = await self._measure(symbol, interval, measures, count)
        except SmartFinError as error:
            logger.warning("alerts on %s %s wait for their bars: %s", symbol, interval, error)
            self._unmeasured[symbol, interval] = None
            return
        if self._watched.get(symbol) is watched and measured.times:
            self._see_bars(symbol, interval, series, measured)

    def _see_bars(self, symbol: str, interval: Interval, series: _Series, measured: Measured) -> None:
        seen = series.seen
        first = sum(time <= seen for time in measured.times) if seen else 0
        for measure, values in measured.values.items():
            thresholds = series.measures[measure]
            thresholds.last = values[first - 1] if first else None
            for time_, close, value in zip(
                measured.times[first:], measured.closes[first:], values[first:], strict=True
            ):
                for armed in thresholds.observe(value, close.timestamp()):
                    assert value is not None
                    self._fire(armed, value, self._clock(), f"{interval} {time_.isoformat()}", None)
        series.seen = measured.times[-1]
        self._moved[series_topic(symbol, interval)] = None

    async def _mark(self) -> None:
        while not is_ending():
            await asyncio.sleep(LOOK_S)
            moved = [topic for topic in self._moved if topic.partition("/")[0] not in self._unwritten]
            marks: dict[str, Mark] = {}
            for topic in moved:
                del self._moved[topic]
                symbol = topic.partition("/")[0]
                watched = self._watched.get(symbol)
                if watched is not None and (mark := _marks(symbol, watched).get(topic)):
                    marks[topic] = mark
            if marks:
                try:
                    await self._bus.mark(marks)
                except StoreUnavailable:  # with Redis away nothing is collected either
                    self._moved |= dict.fromkeys(moved)


def _marks(symbol: str, watched: _Watched) -> dict[str, Mark]:
    values = {metric: thresholds.last for metric, thresholds in watched.ticks.items()}
    marks = {symbol: Mark(watched.seen_at, values)} if watched.seen_at > -inf else {}
    for interval, series in watched.series.items():
        if series.seen:
            marks[series_topic(symbol, interval)] = Mark(series.seen.timestamp())
    return marks


def _since(alert: Alert) -> float:
    """When the alert has last measured for itself: at its creation, its change or its last fire."""
    return max(alert.updated_at, alert.last_fired_at or alert.updated_at).timestamp()


def _topic(alert: Alert) -> str:
    return series_topic(alert.symbol, alert.interval) if alert.interval else alert.symbol


_METRICS: Final = {
    AlertMetric.PRICE: "price",
    AlertMetric.CHANGE_PERCENT: "change in percent",
    AlertMetric.VOLUME: "volume",
    AlertMetric.SMA: "SMA",
    AlertMetric.EMA: "EMA",
    AlertMetric.RSI: "RSI",
    AlertMetric.MACD_HISTOGRAM: "MACD histogram",
    AlertMetric.BOLLINGER_PERCENT_B: "Bollinger %b",
}
_OPERATORS: Final = {
    AlertOperator.ABOVE: "is above",
    AlertOperator.BELOW: "is below",
    AlertOperator.CROSSES_ABOVE: "has crossed above",
    AlertOperator.CROSSES_BELOW: "has crossed below",
}


def sentence(alert: Alert, value: float) -> str:
    """What has happened: `AAPL: RSI(14) of H1 bars has crossed above 70; it is 70.4`."""
    period = f"({alert.period})" if alert.period else ""
    bars = f" of {alert.interval} bars" if alert.interval else ""
    measure = f"{_METRICS[alert.metric]}{period}{bars}"
    return f"{alert.symbol}: {measure} {_OPERATORS[alert.operator]} {alert.threshold:.15g}; it is {value:.10g}"
