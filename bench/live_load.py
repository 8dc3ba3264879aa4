"""A steady stream: delays (L3), clients who stop reading (L5), many selections (L7), sudden deaths (L8).

    python -m bench.live_load [--clients 500] [--seconds 10] [--stalled-seconds 30]

The server is a process of its own. The publisher shares one with the clients that parse what they get, and so one
clock; where delays are measured all others are in a third, which only counts. Neither collects garbage meanwhile: that
would be told as the server's delay. Each client watches 20 of 500 symbols, where nothing else is said.
"""

import argparse
import asyncio
import gc
import random
import resource
import socket
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.live import Server, Ticks, answers, serving
from bench.live_clients import SELECTION, Client, connected, crowd
from bench.peers import machine, table
from db.embedded import embedded
from db.redis import connect

EVERY_S = 0.01
"""How often ticks are published."""

SYMBOLS = [f"SIM{number:03d}" for number in range(500)]
PARSING = 50
"""Clients whose delays are measured."""
STALLED = 50
SETTLED_S = 0.5
DIES = struct.pack("ii", 1, 0)
"""SO_LINGER with which a socket that is closed says RST, as one of a process that was killed may."""


class Stream:
    """Ticks at a steady rate, and when each was published."""

    def __init__(self, ticks: Ticks, symbols: Sequence[str]) -> None:
        self.ticks = ticks
        self.newest: dict[str, float] = {}
        self._published: dict[float, float] = {}
        self._symbols = symbols
        self._chance = random.Random(1)

    async def run(self, rate: float, seconds: float) -> None:
        """Publish `rate` ticks a second; those that are late follow at once."""
        begun, sent = time.monotonic(), 0
        while (now := time.monotonic()) < begun + seconds:
            due = int((now - begun) * rate) - sent
            symbols = [self._chance.choice(self._symbols) for _ in range(due)]
            for number, symbol in enumerate(symbols, self.ticks.number + 1):
                self._published[float(number)] = now
                self.newest[symbol] = float(number)
            if symbols:
                await self.ticks.publish(symbols)
            sent += due
            await asyncio.sleep(EVERY_S)

    def delays_ms(self, clients: Sequence[Client], since: float) -> list[float]:
        """From publishing to reading, of all that was published since then and parsed."""
        return [
            (at - began) * 1000
            for client in clients
            for price, at in client.heard
            if (began := self._published.get(price, 0.0)) >= since
        ]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share is at most."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def delays(
    kind: str, server: Server, stream: Stream, watched: Sequence[Sequence[str]], seconds: float
) -> list[list[str]]:
    """L3: from publishing to reading, at two rates; a loop of raw sends shows what the machine takes."""
    rows = []
    for rate, goal in ((100, "p99 5"), (1000, "p99 20, p99.9 50")):
        counted = server.traffic()["messages"]
        with crowd(server.port, watched[PARSING:]) as others:
            clients = await connected(server.port, watched[:PARSING], parsing=PARSING)
            since, cpu_s = time.monotonic(), server.cpu_s()
            await stream.run(rate, seconds)
            cpu_s = server.cpu_s() - cpu_s
            await asyncio.sleep(SETTLED_S)
            counted = server.traffic()["messages"] - counted
            frames = sum(client.frames for client in clients) + others.left()
        told = stream.delays_ms(clients, since)
        shares = [f"{percentile(told, share):.1f}" for share in (0.5, 0.99, 0.999)]
        agrees = "-" if kind == "raw" else "agrees" if counted == frames else "differs"
        core = f"{cpu_s / seconds:.0%}"
        rows.append([kind, f"{rate}", *shares, goal, f"{len(told):,}", f"{frames:,}", agrees, core])
        _leave(clients)
    return rows


async def stalls(
    server: Server, stream: Stream, watched: Sequence[Sequence[str]], seconds: float, stalled_s: float
) -> list[list[str]]:
    """L5: some stop reading, and read again."""
    with crowd(server.port, watched[STALLED + PARSING :]):
        clients = await connected(server.port, watched[: STALLED + PARSING], parsing=STALLED + PARSING)
        stalled, others = clients[:STALLED], clients[STALLED:]
        since = time.monotonic()
        await stream.run(1000, seconds)
        await asyncio.sleep(SETTLED_S)
        before = percentile(stream.delays_ms(others, since), 0.99)
        rss = server.rss()
        for client in stalled:
            client.transport.pause_reading()
        since = time.monotonic()
        await stream.run(1000, stalled_s)
        meanwhile = percentile(stream.delays_ms(others, since), 0.99)
        grown = (server.rss() - rss) / 1e6
        for client in stalled:
            client.transport.resume_reading()
        resumed = time.monotonic()
        while not all(
            client.latest.get(symbol) == stream.newest[symbol] for client in stalled for symbol in client.symbols
        ):
            if time.monotonic() - resumed > 30:
                raise TimeoutError("those who read again did not get the latest prices")
            await asyncio.sleep(0.01)
        caught_up = time.monotonic() - resumed
        conflated = server.traffic()["conflated"]
        _leave(clients)
    return [[f"{grown:.1f}", f"{before:.1f}", f"{meanwhile:.1f}", f"{caught_up:.2f}", f"{conflated:,}"]]


async def selections(server: Server, ticks: Ticks, seconds: float) -> list[list[str]]:
    """L7: the server's CPU time with 100 distinct selections among 50 and among 500 clients, each with two of them."""
    distinct = [f"{SELECTION} x{number}: price" for number in range(100)]
    pairs = list(zip(distinct[::2], distinct[1::2], strict=True))
    rows, first = [], 0.0
    for count in (50, 500):
        clients = await connected(server.port, [SYMBOLS[:1]] * count, pairs, parsing=0)
        await asyncio.sleep(SETTLED_S)
        cpu_s, frames = server.cpu_s(), sum(client.frames for client in clients)
        await Stream(ticks, SYMBOLS[:1]).run(100, seconds)
        await asyncio.sleep(SETTLED_S)
        cpu_s = server.cpu_s() - cpu_s
        frames = sum(client.frames for client in clients) - frames
        first = first or cpu_s
        known = server.traffic()["selections"]
        rows.append([str(count), str(known), f"{frames:,}", f"{cpu_s:.2f}", f"{cpu_s / first:.2f}"])
        _leave(clients)
        await asyncio.sleep(SETTLED_S)
    return rows


async def deaths(server: Server, count: int) -> list[list[str]]:
    """L8: sockets die without a word, and no event follows."""
    counts: list[Any] = [server.traffic()]
    clients = await connected(server.port, [SYMBOLS[:20]] * count)
    while sum(client.frames for client in clients) < 21 * count:  # the greeting, and each symbol's quote
        await asyncio.sleep(0.1)
    counts.append(server.traffic())
    died = time.monotonic()
    for client in clients:
        client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, DIES)
        client.transport.abort()
    names = ("connections", "subscriptions", "selections", "topics", "tasks", "descriptors")
    while any(server.traffic()[name] > counts[0][name] for name in names):
        if time.monotonic() - died > 30:
            raise TimeoutError(f"not back where it began: {server.traffic()}, {counts[0]}")
        await asyncio.sleep(0.05)
    took = time.monotonic() - died
    counts.append(server.traffic())
    return [[name, *(str(one[name]) for one in counts), f"{took:.2f}" if name == names[0] else ""] for name in names]


def _leave(clients: Sequence[Client]) -> None:
    for client in clients:
        client.transport.abort()


async def measure(redis_url: str, clients: int, seconds: float, stalled_s: float) -> list[str]:
    """The tables."""
    redis = connect(redis_url)
    await redis.flushdb()
    chance = random.Random(1)
    watched = [chance.sample(SYMBOLS, 20) for _ in range(clients)]
    ticks = {kind: Ticks(redis, kind) for kind in ("ours", "raw")}
    rows = []
    for kind, published in ticks.items():
        await published.publish(SYMBOLS)
        with serving(kind, redis_url) as server:
            await answers(server.port)
            rows += await delays(kind, server, Stream(published, SYMBOLS), watched, seconds)
    heads = ["peer", "ticks / s", "p50 ms", "p99 ms", "p99.9 ms", "goal ms", "timed", "messages", "own count", "core"]
    with serving("ours", redis_url) as server:
        await answers(server.port)
        stream = Stream(ticks["ours"], SYMBOLS)
        tables = [
            table(f"L3: from publishing to reading, {clients} clients", heads, rows),
            table(
                f"L5: {STALLED} of {clients} clients read nothing for {stalled_s:g} s (goal: + 50 MB, p99 + 20 %, 1 s)",
                ["RSS + MB", "others' p99 ms before", "meanwhile", "caught up in s", "conflated"],
                await stalls(server, stream, watched, seconds, stalled_s),
            ),
            table(
                "L7: 100 distinct selections, two a client, 100 ticks / s (goal: 3 times the CPU time)",
                ["clients", "selections", "messages", "CPU s", "of the first"],
                await selections(server, ticks["ours"], seconds),
            ),
            table(
                "L8: 1 000 sockets die (goal: all is as before in 5 s)",
                ["count", "before", "with them", "after", "s"],
                await deaths(server, 1000),
            ),
        ]
    await redis.aclose()
    return tables


def main() -> None:
    """Run it, and print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--clients", type=int, default=500)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--stalled-seconds", type=float, default=30)
    asked = options.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    gc.collect()
    gc.disable()
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as servers:
        tables = uvloop.run(measure(servers.redis_url, asked.clients, asked.seconds, asked.stalled_seconds))
    print(machine())
    for text in tables:
        print(text)


if __name__ == "__main__":
    main()
