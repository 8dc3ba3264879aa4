"""Every metric of a process, as Prometheus reads it; `docs/metrics.md` lists them.

Nothing is counted twice: what the parts of a process count for themselves is read when somebody asks.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector as Readable
from prometheus_client.registry import CollectorRegistry
from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import Response

from db.bars import BarStore
from db.budgets import RedisBudget, Usage
from db.database import Database
from db.jobs import JobQueue
from db.supply import BarSupply
from gateway.documents import Documents
from gateway.meter import BOUNDS_S, Histogram
from gateway.running import Runner
from jobs.worker import Worker
from live.collector import Collector
from live.hours import Hours
from live.hub import Hub
from live.recorder import Recorder
from monitoring.health import stores_answer
from monitoring.pulse import Pulse
from sources.health import BreakerState
from sources.router import Router
from sources.streams import Streams

SHARED_S: Final = 0.5
"""How long Redis may take to tell what all processes share; without an answer those metrics are left out."""

Told = TypeVar("Told")
Key = TypeVar("Key", bound=tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Answering:
    """The parts of a process that answers clients."""

    runner: Runner
    documents: Documents
    hub: Hub
    recorder: Recorder
    quotes_served: Counter[str]


@dataclass(frozen=True, slots=True)
class Collecting:
    """The parts of a process that brings ticks."""

    collector: Collector
    streams: Streams
    hours: Hours


@dataclass(frozen=True, slots=True)
class Metrics:
    """The parts of a process, to be measured; None where its role has no such part."""

    mode: str
    database: Database
    redis: Redis
    router: Router
    budgets: Mapping[str, RedisBudget]
    bars: BarStore
    supply: BarSupply
    jobs: JobQueue
    pulse: Pulse
    worker: Worker | None = None
    answering: Answering | None = None
    collecting: Collecting | None = None

    async def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        answering, usages, jobs = await asyncio.gather(
            stores_answer(self.database, self.redis),
            _or_none(asyncio.gather(*(budget.usage() for budget in self.budgets.values()))),
            _or_none(self.jobs.waiting()),
        )
        families = [*self._families(), _stores_up(answering), *_PROCESS.collect()]
        families += _quotas(dict(zip(self.budgets, usages or (), strict=False)))
        if jobs is not None:
            families.append(_jobs(jobs))
        return generate_latest(_Read(families))

    def _families(self) -> Iterator[Metric]:
        yield InfoMetricFamily("smartfin", "Version and mode.", {"version": version("smartfin"), "mode": self.mode})
        yield _histograms("smartfin_loop_lag_seconds", "How late the event loop was.", [], {(): self.pulse.lag})
        yield _gauge("smartfin_tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))
        yield from _stores(self.database, self.redis)
        yield _counter("smartfin_bars_written", "Bars that were stored as new or other than held.", self.bars.written)
        yield _counters(
            "smartfin_bar_questions",
            "Stretches of bars that the store lacked: asked of a source, joined to a question under way, or known.",
            ["outcome"],
            {(outcome,): count for outcome, count in self.supply.questions.items()},
        )
        yield from _sources(self.router)
        if self.worker is not None:
            yield _counters(
                "smartfin_job_attempts",
                "Attempts at jobs that ended in this process; queued: to be tried again.",
                ["function", "outcome"],
                self.worker.ended,
            )
            yield _counters(
                "smartfin_delivery_attempts",
                "Attempts to deliver messages of alerts; failed: to be tried again.",
                ["method", "outcome"],
                self.worker.deliverer.attempted,
            )
        if self.answering is not None:
            yield from _answering(self.answering)
        if self.collecting is not None:
            yield from _collecting(self.collecting)


async def metrics(request: Request) -> Response:
    """Everything that is measured of this process."""
    told: Metrics = request.state.metrics
    return Response(await told.text(), media_type=CONTENT_TYPE_LATEST)


class _Read(Readable):
    """What was read, for prometheus_client to write."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


_PROCESS: Final = CollectorRegistry()
ProcessCollector(registry=_PROCESS)
GCCollector(registry=_PROCESS)


async def _or_none(telling: Awaitable[Told]) -> Told | None:
    try:
        async with asyncio.timeout(SHARED_S):
            return await telling
    except Exception:  # noqa: BLE001 - what all processes share must not hide what is measured here
        return None


def _answering(parts: Answering) -> Iterator[Metric]:
    meter, traffic = parts.runner.meter, parts.runner.traffic
    timed = meter.all()
    yield _histograms(
        "smartfin_request_seconds",
        "Operations, from their request until their answer is ready, or their stream begins.",
        ["operation", "type"],
        {(one.operation, one.type): one.whole for one in timed},
    )
    yield _histograms(
        "smartfin_phase_seconds",
        "Phases of operations.",
        ["operation", "type", "phase"],
        {(one.operation, one.type, phase): took for one in timed for phase, took in one.phases.items()},
    )
    yield _counters(
        "smartfin_errors",
        "Errors that clients were told.",
        ["code"],
        {(code,): count for code, count in meter.errors.items()},
    )
    yield _gauge("smartfin_connections", "WebSockets and event streams that are open.", traffic.connections)
    yield _gauge("smartfin_subscriptions", "Subscriptions that are under way.", traffic.subscriptions)
    yield _gauge("smartfin_selections", "Distinct selections that are subscribed to.", len(parts.runner.selections))
    yield _counter("smartfin_messages_sent", "Messages to WebSockets and event streams.", traffic.messages)
    yield _counter(
        "smartfin_events_conflated",
        "Events that a newer one of their symbol replaced before a slow client took them.",
        traffic.conflated,
    )
    yield _counters(
        "smartfin_connections_closed",
        "Connections that the server closed; 1013: read too slowly.",
        ["code"],
        {(str(code),): count for code, count in traffic.closed.items()},
    )
    yield _histograms(
        "smartfin_send_lag_seconds",
        "Ticks, from when they came from their source until the first of their messages was written.",
        [],
        {(): traffic.lag},
    )
    yield _gauge("smartfin_hub_topics", "Symbols and series that somebody watches here.", parts.hub.topics)
    yield _gauge("smartfin_hub_mailboxes", "Mailboxes, counted for each topic that they watch.", parts.hub.mailboxes)
    yield _counter("smartfin_hub_connects", "Connections to the bus; more than one: it was away.", parts.hub.connects)
    yield _counter(
        "smartfin_bus_undecoded",
        "Messages of the bus that could not be decoded; the latest state was read instead.",
        parts.hub.undecoded,
    )
    yield _counter("smartfin_gaps_healed", "Topics read again after something may have been missed.", parts.hub.healed)
    yield _gauge("smartfin_documents", "Parsed documents that are kept.", len(parts.documents))
    yield _gauge("smartfin_documents_bytes", "What they take, about.", parts.documents.kept_bytes)
    yield _counters(
        "smartfin_document_lookups",
        "Documents that were kept already (hit), or had to be parsed (miss).",
        ["outcome"],
        {("hit",): parts.documents.hits, ("miss",): parts.documents.misses},
    )
    yield _counters(
        "smartfin_quotes_served",
        "Quotes that were answered; NONE: that could not be.",
        ["served_from"],
        {(origin,): count for origin, count in parts.quotes_served.items()},
    )
    yield _counters(
        "smartfin_recorder_quotes",
        "Quotes that were written to PostgreSQL, or superseded by a newer one before.",
        ["outcome"],
        {("written",): parts.recorder.written, ("superseded",): parts.recorder.superseded},
    )
    yield _gauge("smartfin_recorder_waiting", "Quotes that wait to be written.", len(parts.recorder))


def _collecting(parts: Collecting) -> Iterator[Metric]:
    yield _counters(
        "smartfin_ticks",
        "Changes that came over streams.",
        ["source"],
        {(source,): count for source, count in parts.streams.ticks.items()},
    )
    yield _counter("smartfin_ticks_unpublished", "Ticks that Redis did not take.", parts.collector.unpublished)
    symbols = parts.collector.symbols
    open_ = sum(map(parts.hours.is_open, symbols))
    yield _gauges(
        "smartfin_watched_symbols",
        "Symbols that this process brings ticks of, by whether their market trades now.",
        ["market"],
        {("open",): open_, ("closed",): len(symbols) - open_},
    )
    bars = parts.collector.bars
    yield _gauge("smartfin_bars_waiting", "Final bars that wait for PostgreSQL.", bars.waiting if bars else 0)
    yield _counter("smartfin_bars_lost", "Final bars that could not wait any longer.", bars.lost if bars else 0)


def _stores(database: Database, redis: Redis) -> Iterator[Metric]:
    pool: Any = redis.connection_pool
    opened, used = database.connections
    redis_counts = {told["db.client.connection.state"]: count for count, told in pool.get_connection_count()}
    yield _gauges(
        "smartfin_pool_connections",
        "Open connections of the pools.",
        ["store", "state"],
        {
            ("postgresql", "idle"): opened - used,
            ("postgresql", "used"): used,
            ("redis", "idle"): redis_counts.get("idle", 0),
            ("redis", "used"): redis_counts.get("used", 0),
        },
    )
    yield _gauges(
        "smartfin_pool_connections_max",
        "Connections that a pool may open.",
        ["store"],
        {("postgresql",): database.pool_size, ("redis",): pool.max_connections},
    )


def _stores_up(answering: Mapping[str, bool]) -> Metric:
    return _gauges(
        "smartfin_store_up",
        "1 where the store answered just now.",
        ["store"],
        {(store,): int(answers) for store, answers in answering.items()},
    )


def _sources(router: Router) -> Iterator[Metric]:
    yield _gauges(
        "smartfin_source_breaker",
        "1 for the state that the source's breaker is in.",
        ["source", "state"],
        {
            (name, state.value): int(health.breaker is state)
            for name, health in router.health.items()
            for state in BreakerState
        },
    )
    seconds = SummaryMetricFamily(
        "smartfin_source_seconds",
        "Questions to sources and how long they took; outcome: ANSWERED, or the code of the error.",
        labels=["source", "capability", "outcome"],
    )
    for name, health in router.health.items():
        for (capability, outcome), noted in health.outcomes.items():
            seconds.add_metric([name, capability, outcome], noted.count, noted.seconds)
    yield seconds
    slow = {
        (name, capability.value): slow_s
        for name, health in router.health.items()
        for capability in {capability for capability, _ in health.outcomes}
        if (slow_s := health.slow_s(capability)) is not None
    }
    yield _gauges(
        "smartfin_source_slow_seconds",
        "Within which 95 of 100 answers came lately.",
        ["source", "capability"],
        slow,
    )
    yield _counters(
        "smartfin_quarantined",
        "Quotes and bars that were impossible, and set aside.",
        ["source"],
        {(source,): count for source, count in router.quality.set_aside.items()},
    )


def _quotas(usages: Mapping[str, Sequence[Usage]]) -> list[Metric]:
    """The same in every process: they share the quotas."""
    labels = ["source", "window_seconds"]
    told = {
        (source, str(usage.quota.seconds)): (usage.quota.limit, usage.used)
        for source, spent in usages.items()
        for usage in spent
    }
    limits = {key: limit for key, (limit, _) in told.items()}
    used = {key: used for key, (_, used) in told.items()}
    return [
        _gauges("smartfin_source_quota_limit", "What all processes together may ask in a window.", labels, limits),
        _gauges("smartfin_source_quota_used", "What they have asked in the present one.", labels, used),
    ]


def _jobs(waiting: Mapping[tuple[str, str], int]) -> Metric:
    """The same in every process: they share the queue."""
    return _gauges(
        "smartfin_jobs",
        "Jobs that run, wait, or are scheduled for later, in all processes together.",
        ["function", "state"],
        waiting,
    )


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counters(name: str, text: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _gauges(name: str, text: str, labels: Sequence[str], values: Mapping[Key, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histograms(name: str, text: str, labels: Sequence[str], values: Mapping[Key, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for key, histogram in values.items():
        buckets, total = [], 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), histogram.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(key, buckets, histogram.total_s)
    return family
