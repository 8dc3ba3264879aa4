"""Fan-out: ours beside stock Strawberry and a raw ASGI loop, in messages per second of one core of the server.

    python -m bench.live [--clients 500] [--seconds 3] [--rounds 3]

Each server is a process of its own whose CPU time is read from the system; they take turns, with the same clients in
each round, and who has no turn is told nothing. The clients, in this process, count every frame, and ten of each crowd
parse each. Ticks go over a real Valkey, each time as many at once as make 16 for each client, whether all of them are
for all (L1) or each is for 20 of 500 (L2), and the next once these have come back.
"""

import argparse
import asyncio
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import hiredis
import orjson
import psutil
import uvloop
from redis.asyncio import Connection, Redis

from bench.live_clients import PARSING, Client, connected
from bench.live_server import keys
from bench.peers import table
from db.embedded import embedded
from db.quotes import QuoteCache, QuoteEvent, encode_event
from db.redis import connect
from market import Provenance, Quote, ServedFrom

AT_ONCE: Final = 16
"""Messages that each client gets of what is published together, on average."""

STEP_S: Final = 0.01
"""The steps in which the system counts a process's CPU time: what took less may read as nothing."""

SLOW_S: Final = 1.0
"""How long a round of a peer is: each takes a whole core all the while, and what it has in hand goes on after that."""


@dataclass
class Server:
    """A peer that serves."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """CPU time that it has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Bytes of memory that it holds."""
        return int(self.process.memory_info().rss)

    def traffic(self) -> Any:
        """Its own counts."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/traffic") as answer:
            return orjson.loads(answer.read())


@contextmanager
def serving(kind: str, redis_url: str) -> Iterator[Server]:
    """A peer, ended at the end."""
    command = [sys.executable, "-m", "bench.live_server", kind, redis_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            yield Server(int(process.stdout.readline()), psutil.Process(process.pid))
        finally:
            process.terminate()


class Ticks:
    """Publishes ticks whose price is their number, to one kind of server."""

    def __init__(self, redis: Redis, kind: str) -> None:
        self.number = 0
        self._redis = redis
        self._keys = keys(kind)
        self._cache = QuoteCache(redis, self._keys, 3600)
        self._connection: Connection | None = None
        now = datetime.now(UTC)
        self._told = Provenance(source="bench", served_from=ServedFrom.LIVE, received_at=now)
        self._now = now

    async def publish(self, symbols: Sequence[str]) -> None:
        """One tick of each symbol, kept and told as SmartFin's collector does."""
        await self._cache.write(self._made(symbols), publish=True)

    def packed(self, symbols: Sequence[str]) -> bytes:
        """One tick of each symbol, as commands: to make them takes longer than a server may need to fan them out."""
        commands: Any = ((b"PUBLISH", self._channel(event), encode_event(event)) for event in self._made(symbols))
        return b"".join(map(hiredis.pack_command, commands))

    async def send(self, packed: bytes) -> None:
        """Publish what was packed; it is not kept, and Redis says nothing of it."""
        if self._connection is None:
            self._connection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            await self._connection.send_command("CLIENT", "REPLY", "OFF")
        await self._connection.send_packed_command(packed, check_health=False)

    def _channel(self, event: QuoteEvent) -> bytes:
        return self._keys.quotes(event.quote.symbol).encode()

    def _made(self, symbols: Sequence[str]) -> list[QuoteEvent]:
        events = []
        for symbol in symbols:
            self.number += 1
            quote = Quote(
                symbol=symbol,
                price=float(self.number),
                time=self._now,
                provenance=self._told,
                volume=1e6,
                previous_close=100.0,
            )
            events.append(QuoteEvent(1, self.number, quote))
        return events


@dataclass(frozen=True)
class Measured:
    """What a run showed."""

    per_core: float
    messages: int
    faults: int
    agrees: bool


async def fan_out(server: Server, ticks: Ticks, clients: Sequence[Client], seconds: float) -> Measured:
    """Messages per second of the server's CPU time."""
    symbols = sorted({symbol for client in clients for symbol in client.symbols})
    share = len(symbols) / statistics.mean(len(client.symbols) for client in clients)
    parsed = {symbol for client in clients[:PARSING] for symbol in client.symbols}
    before = await _settled(clients)
    counted = server.traffic()["messages"]
    faults = _faults(clients)
    start = time.monotonic()
    cpu_s = server.cpu_s()
    chance = random.Random(1)
    last = 0.0
    while time.monotonic() - start < seconds:
        told = [chance.choice(symbols) for _ in range(int(AT_ONCE * share))]
        packed = ticks.packed(told)
        await _heard(clients, last)
        await ticks.send(packed)
        first = ticks.number - len(told) + 1
        last = max((number for number, symbol in enumerate(told, first) if symbol in parsed), default=last)
    messages = await _settled(clients) - before
    cpu_s = server.cpu_s() - cpu_s
    return Measured(
        per_core=messages / max(cpu_s, STEP_S),
        messages=messages,
        faults=_faults(clients) - faults,
        agrees=server.traffic()["messages"] - counted == messages,
    )


async def _settled(clients: Sequence[Client]) -> int:
    """How many frames there are, once no more come."""
    count = -1
    while count != (count := sum(client.frames for client in clients)):
        await asyncio.sleep(0.3)
    return count


def _faults(clients: Sequence[Client]) -> int:
    return sum(client.faults for client in clients)


async def _heard(clients: Sequence[Client], price: float) -> None:
    """Wait until the price has come to those who parse."""
    heard, at = 0.0, time.monotonic()
    while (newest := max(max(client.latest.values(), default=0.0) for client in clients[:PARSING])) < price:
        if newest > heard:
            heard, at = newest, time.monotonic()
        elif time.monotonic() - at > 5:
            raise TimeoutError("nothing comes any more")
        await asyncio.sleep(0)


async def answers(port: int) -> None:
    """Wait until the server does, and its hub is on the bus."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await asyncio.sleep(1.0)  # and its hub is on the bus
            return


async def measure(
    kinds: Sequence[str], redis_url: str, crowds: Mapping[str, Sequence[Sequence[str]]], seconds: float, rounds: int
) -> dict[tuple[str, str], list[Measured]]:
    """What each round showed of each crowd at each peer, which take turns."""
    redis = connect(redis_url)
    found: dict[tuple[str, str], list[Measured]] = {(name, kind): [] for name in crowds for kind in kinds}
    with ExitStack() as stack:
        servers = {kind: stack.enter_context(serving(kind, redis_url)) for kind in kinds}
        peers = {}
        for kind, server in servers.items():
            await answers(server.port)
            ticks = Ticks(redis, kind)
            for name, watched in crowds.items():
                await ticks.publish(sorted({symbol for some in watched for symbol in some}))
                peers[name, kind] = (server, ticks, await connected(server.port, watched))
        for _ in range(rounds):
            for run, (server, ticks, clients) in peers.items():
                found[run].append(await fan_out(server, ticks, clients, seconds if run[1] == "ours" else SLOW_S))
        for _, _, clients in peers.values():
            for client in clients:
                client.transport.abort()
    await redis.aclose()
    return found


def main() -> None:
    """Run it, and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--clients", type=int, default=500)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--kinds", default="stock,raw,asgi,ours")
    asked = options.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    chance = random.Random(1)
    market = [f"SIM{number:03d}" for number in range(500)]
    crowds = {
        "L1": [["ONE"]] * asked.clients,
        "L2": [chance.sample(market, 20) for _ in range(asked.clients)],
    }
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as servers:
        found = uvloop.run(measure(asked.kinds.split(","), servers.redis_url, crowds, asked.seconds, asked.rounds))
    rates = {run: statistics.median(one.per_core for one in measured) for run, measured in found.items()}

    def times(rate: float, run: tuple[str, str]) -> str:
        return f"{rate / rates[run]:.2f}" if run in rates else "-"

    rows = []
    for (name, kind), measured in found.items():
        rate = rates[name, kind]
        rows.append(
            [
                f"{name} {kind}",
                f"{rate:,.0f}",
                times(rate, (name, "stock")),
                times(rate, (name, "raw")),
                times(rate, ("L1", kind)),
                f"{sum(run.messages for run in measured):,}",
                str(sum(run.faults for run in measured)),
                "-" if kind in ("stock", "raw") else "agrees" if all(run.agrees for run in measured) else "differs",
            ]
        )
    title = (
        f"L1: {asked.clients} clients on one symbol (goal: at least 40 x stock);"
        f" L2: each on 20 of 500 (goal: at least 0.7 x L1). Medians of {asked.rounds} rounds of {asked.seconds:g} s,"
        f" {SLOW_S:g} s for the peers"
    )
    heads = ("peer", "messages / s of a core", "x stock", "x raw", "x its L1", "messages", "faults", "own count")
    print(table(title, heads, rows))


if __name__ == "__main__":
    main()
