"""Alerts: what watching 100 000 of them adds to each tick of 1 000 symbols, beside a loop over the symbol's alerts.

    python -m bench.alerts [--alerts 100000] [--symbols 1000] [--rate 1000] [--seconds 10]

Each tick is written to a real Valkey as the collector writes it, and then seen by the alerts; what fires is written to
a real PostgreSQL. Half of the alerts are crossings, half of them have a cooldown of a second. Prices walk at random.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import psutil
import uvloop

from db.alert_bus import AlertBus
from db.database import Database
from db.embedded import embedded
from db.fires import FireStore
from db.migrate import migrate
from db.quotes import QuoteCache, QuoteEvent
from db.redis import Keys, connect
from live.alerts import AlertWatch, Measured
from live.tending import tended
from market import AlertOperator, Provenance, Quote, ServedFrom

BATCH = 10
_INSERT = """
    INSERT INTO user_subscriptions
        (user_id, subscription_type, symbols, alert_conditions, notification_methods, last_value)
    SELECT (SELECT id FROM users LIMIT 1), 'alert', ARRAY['S' || n % $2],
           jsonb_build_object(
               'metric', 'PRICE',
               'operator', (ARRAY['ABOVE', 'CROSSES_ABOVE', 'BELOW', 'CROSSES_BELOW'])[1 + n / $2 % 4],
               'threshold', CASE WHEN n / $2 % 4 < 2 THEN 100 + random() * 20 ELSE 100 - random() * 20 END,
               'period', null, 'interval', null, 'cooldown_seconds', CASE n / $2 % 8 < 4 WHEN true THEN 1 END,
               'webhook_url', null, 'phone', null),
           ARRAY['WEB'], 100
    FROM generate_series(0, $1 - 1) AS n
"""


def quotes(symbols: int) -> list[Quote]:
    """A quote of each symbol at 100."""
    now = datetime.now(UTC)
    provenance = Provenance(source="bench", served_from=ServedFrom.LIVE, received_at=now)
    return [Quote(symbol=f"S{number}", price=100.0, time=now, provenance=provenance) for number in range(symbols)]


async def no_bars(*_: object) -> Measured:
    """None of these alerts is on bars."""
    return Measured((), (), {})


class Scan:
    """The peer: looks at each alert of the symbol, as one would write it first."""

    def __init__(self, alerts: dict[str, list[tuple[str, float]]]) -> None:
        self._alerts = alerts
        self._last: dict[str, float] = {}
        self.fires = 0

    def take(self, event: QuoteEvent) -> None:
        """See a tick."""
        symbol, value = event.quote.symbol, event.quote.price
        before = self._last.get(symbol, value)
        self._last[symbol] = value
        for operator, threshold in self._alerts.get(symbol, ()):
            if operator == AlertOperator.CROSSES_ABOVE:
                self.fires += before <= threshold < value
            elif operator == AlertOperator.CROSSES_BELOW:
                self.fires += before >= threshold > value


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


async def run(asked: argparse.Namespace, folder: Path) -> None:
    """Measure, and print the table."""
    with embedded(folder) as servers:
        database, redis, keys = Database(servers.database_url, "bench"), connect(servers.redis_url), Keys("bench")
        await migrate(database)
        async with database.connection(120) as connection:
            await connection.execute("INSERT INTO users (email) VALUES ('bench@example.com')")
            await connection.execute(_INSERT, asked.alerts, asked.symbols, timeout=120)
            rows = await connection.fetch(
                "SELECT symbols[1] AS symbol, alert_conditions AS c FROM user_subscriptions", timeout=120
            )
        scanned = defaultdict(list)
        for row in rows:
            scanned[row["symbol"]].append((row["c"]["operator"], row["c"]["threshold"]))
        scan = Scan(scanned)
        cache = QuoteCache(redis, keys, 600)
        watch = AlertWatch(FireStore(database), AlertBus(redis, keys), no_bars)
        process = psutil.Process()
        before, begun = process.memory_info().rss, time.perf_counter()
        async with tended(watch.run):
            while not watch.topics:
                await asyncio.sleep(0.01)
            watch.own([f"S{number}" for number in range(asked.symbols)])
            while not watch.is_ready:
                await asyncio.sleep(0.01)
            loaded_s, held = time.perf_counter() - begun, process.memory_info().rss - before
            print(f"{len(watch)} alerts on {asked.symbols} symbols: read in {loaded_s:.1f} s, {held / 2**20:.0f} MB")
            took = await measured(asked, cache, watch, scan)
        async with database.connection(60) as connection:
            fires = await connection.fetchval("SELECT count(*) FROM alert_events")
        await redis.aclose()
        await database.aclose()
    print(f"{asked.rate} ticks/s for {asked.seconds:g} s, {fires} fires written; CPU microseconds for a tick:\n")
    print(f"{'':34}{'mean':>9}{'p50':>9}{'p99':>9}{'max':>11}")
    for name, values in took.items():
        low, high, most = percentile(values, 0.5), percentile(values, 0.99), max(values)
        print(f"{name:34}{statistics.fmean(values):9.1f}{low:9.1f}{high:9.1f}{most:11.1f}")
    added = statistics.fmean(took["alerts, sorted"]) / statistics.fmean(took["written for the hubs"])
    print(f"\nadded by the alerts: {added:.1%} of what it takes to write the tick")


async def measured(
    asked: argparse.Namespace, cache: QuoteCache, watch: AlertWatch, scan: Scan
) -> dict[str, list[float]]:
    """CPU microseconds of each tick, by what is done with it: others have the machine, too."""
    took: dict[str, list[float]] = {"written for the hubs": [], "alerts, sorted": [], "alerts, a loop over them": []}
    chance = random.Random(1)
    latest, seq, start = quotes(asked.symbols), 0, time.perf_counter()
    while (at := time.perf_counter() - start) < asked.seconds:
        if seq > at * asked.rate:
            await asyncio.sleep(0.001)
            continue
        batch = []
        for _ in range(BATCH):
            number, seq = chance.randrange(asked.symbols), seq + 1
            known = latest[number]
            price = round(known.price * (1 + chance.gauss(0, 0.002)), 2)
            latest[number] = Quote(symbol=known.symbol, price=price, time=known.time, provenance=known.provenance)
            batch.append(QuoteEvent(1, seq, latest[number]))
        began = time.thread_time()
        await cache.write(batch, publish=True)
        took["written for the hubs"].append((time.thread_time() - began) * 1e6 / BATCH)
        for name, taker in (("alerts, sorted", watch.take), ("alerts, a loop over them", scan.take)):
            for event in batch:
                began = time.thread_time()
                taker(event)
                took[name].append((time.thread_time() - began) * 1e6)
    return took


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--symbols", type=int, default=1_000)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(asked, Path(folder)))


if __name__ == "__main__":
    main()
