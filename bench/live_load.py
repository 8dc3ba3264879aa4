"""A steady stream: delays (L3), clients who stop reading (L5), many selections (L7), sudden deaths (L8).

    python -m bench.live_load [--clients 500] [--seconds 10] [--stalled-seconds 30]

The delays are measured twice: as the machine is, whose cores go to sleep whenever nothing is to do, which a virtual one
takes milliseconds to come back from; and while a process of the lowest class, which gives way to any other at once,
keeps each core awake, as the work of others does where there is some. The rest is measured so, too. How often the
machine takes a core away from a process that does nothing but look at the clock is told beside them.

The server is a process of its own. The publisher shares one with the clients that parse what they get, and so one
clock; where delays are measured all others are in a third, which only counts. Neither collects garbage meanwhile: that
would be told as the server's delay. Each client watches 20 of 500 symbols, where nothing else is said.
"""

import argparse
import asyncio
import gc
import math
import os
import random
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
PILED = 10
"""Clients who do not read what is far more than the system keeps for them."""
RECEIVE_BYTES = 4096
"""What the system receives for those who do not read, so that it waits at the server's end."""
SETTLED_S = 0.5
WINDOW_S = 5.0
"""The p99 is taken of so long at a time, and the median of these: a hiccup of the machine makes one of them."""
SPIN = """
import os, sys
core, parent = map(int, sys.argv[1:])
os.sched_setaffinity(0, {core})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""
DIES = struct.pack("ii", 1, 0)
"""SO_LINGER with which a socket that is closed says RST, as one of a process that was killed may."""


class Stream:
    """Ticks at a steady rate, and when each was published."""

    def __init__(self, ticks: Ticks, symbols: Sequence[str]) -> None:
        self.ticks = ticks
        self.newest: dict[str, float] = {}
        self._published: dict[float, float] = {}
        self._symbols = symbols
        self._chance = random.Random(2)  # not that by which the clients chose

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

    def delays_ms(self, clients: Sequence[Client], since: float, until: float = math.inf) -> list[float]:
        """From publishing to reading, of all that was published between the two and parsed."""
        return [
            (at - began) * 1000
            for client in clients
            for price, at in client.heard
            if since <= (began := self._published.get(price, 0.0)) < until
        ]


@contextmanager
def awake() -> Iterator[None]:
    """Keep the cores from going to sleep."""
    with ExitStack() as stack:
        for core in os.sched_getaffinity(0):
            command = [sys.executable, "-c", SPIN, str(core), str(os.getpid())]
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.terminate)
        yield


def gaps_ms(seconds: float = 5.0) -> list[float]:
    """How long this process stood still each time that it did for more than a millisecond."""
    begun = last = time.perf_counter()
    gaps = []
    while last < begun + seconds:
        now = time.perf_counter()
        if now - last > 0.001:
            gaps.append((now - last) * 1000)
        last = now
    return gaps


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share is at most."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def delays(
    kind: str, cores: str, server: Server, stream: Stream, watched: Sequence[Sequence[str]], seconds: float
) -> list[list[str]]:
    """L3: from publishing to reading, at two rates; a loop of raw sends shows what the machine takes."""
    rows = []
    for rate, goal in ((100, "p99 5"), (1000, "p99 20, p99.9 50")):
        counted = server.traffic()["messages"]
        with ExitStack() as stack:
            # Those that are measured are in the middle: who came first is served first.
            half = (len(watched) + PARSING) // 2
            before = stack.enter_context(crowd(server.port, watched[PARSING:half]))
            clients = await connected(server.port, watched[:PARSING], parsing=PARSING)
            after = stack.enter_context(crowd(server.port, watched[half:]))
            since, cpu_s = time.monotonic(), server.cpu_s()
            await stream.run(rate, seconds)
            cpu_s = server.cpu_s() - cpu_s
            await asyncio.sleep(SETTLED_S)
            counted = server.traffic()["messages"] - counted
            frames = sum(client.frames for client in clients) + before.left() + after.left()
        told = stream.delays_ms(clients, since)
        shares = [f"{percentile(told, share):.1f}" for share in (0.5, 0.99, 0.999)]
        agrees = "-" if kind == "raw" else "agrees" if counted == frames else "differs"
        core = f"{cpu_s / seconds:.0%}"
        rows.append([kind, cores, f"{rate}", *shares, goal, f"{len(told):,}", f"{frames:,}", agrees, core])
        _leave(clients)
    return rows


async def stalls(server: Server, stream: Stream, watched: Sequence[Sequence[str]], stalled_s: float) -> list[list[str]]:
    """L5: some stop reading, and read again."""
    with crowd(server.port, watched[STALLED + PARSING :]):
        stalled = await connected(server.port, watched[:STALLED], parsing=STALLED, receive_bytes=RECEIVE_BYTES)
        others = await connected(server.port, watched[STALLED : STALLED + PARSING], parsing=PARSING)
        before = await _p99s(stream, others, stalled_s)
        rss, conflated = server.rss(), server.traffic()["conflated"]
        for client in stalled:
            client.transport.pause_reading()
        meanwhile = await _p99s(stream, others, stalled_s)
        grown = (server.rss() - rss) / 1e6
        caught_up = await _resumed(stream, stalled)
        conflated = server.traffic()["conflated"] - conflated
        _leave([*stalled, *others])
    p99s = [f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})" for each in (before, meanwhile)]
    return [[f"{grown:.1f}", *p99s, f"{caught_up:.2f}", f"{conflated:,}"]]


async def piles(server: Server, stream: Stream, watched: Sequence[Sequence[str]], stalled_s: float) -> list[list[str]]:
    """L5 with messages so long that the system cannot take them all in for those who do not read."""
    long = f"{SELECTION} " + " ".join(f"{'x' * 500}{number}: price" for number in range(20))
    clients = await connected(server.port, watched[:PILED], [[long]], PILED, RECEIVE_BYTES)
    await stream.run(1000, WINDOW_S)
    rss, conflated = server.rss(), server.traffic()["conflated"]
    for client in clients:
        client.transport.pause_reading()
    await stream.run(1000, stalled_s)
    grown = (server.rss() - rss) / 1e6
    caught_up = await _resumed(stream, clients)
    conflated = server.traffic()["conflated"] - conflated
    closed = sum(client.is_closed for client in clients)
    _leave(clients)
    return [[f"{grown:.1f}", f"{caught_up:.2f}", f"{conflated:,}", str(closed)]]


async def _resumed(stream: Stream, stalled: Sequence[Client]) -> float:
    """Read again; how many seconds it takes until each client has the latest price of each of its symbols."""
    for client in stalled:
        client.transport.resume_reading()
    resumed = time.monotonic()
    while not all(
        client.latest.get(symbol) == stream.newest[symbol] for client in stalled for symbol in client.symbols
    ):
        if time.monotonic() - resumed > 30:
            raise TimeoutError("those who read again did not get the latest prices")
        await asyncio.sleep(0.01)
    return time.monotonic() - resumed


async def _p99s(stream: Stream, clients: Sequence[Client], seconds: float) -> list[float]:
    """The p99 in ms of each window, at 1 000 ticks a second."""
    begun = time.monotonic()
    await stream.run(1000, seconds)
    await asyncio.sleep(SETTLED_S)
    windows = [begun + WINDOW_S * number for number in range(max(1, int(seconds / WINDOW_S)))]
    return [percentile(stream.delays_ms(clients, since, since + WINDOW_S), 0.99) for since in windows]


async def selections(server: Server, ticks: Ticks, seconds: float) -> list[list[str]]:
    """L7: the server's CPU time with 100 distinct selections among 50 and among 500 clients, each with two of them.

    At a low rate each tick is a write of its own to each client, half of whose time is the kernel's.
    """
    distinct = [f"{SELECTION} x{number}: price" for number in range(100)]
    pairs = list(zip(distinct[::2], distinct[1::2], strict=True))
    rows = []
    for rate in (100, 1000):
        first = 0.0
        for count in (50, 500):
            clients = await connected(server.port, [SYMBOLS[:1]] * count, pairs, parsing=0)
            await asyncio.sleep(SETTLED_S)
            cpu_s, frames = server.cpu_s(), sum(client.frames for client in clients)
            await Stream(ticks, SYMBOLS[:1]).run(rate, seconds)
            await asyncio.sleep(SETTLED_S)
            cpu_s = server.cpu_s() - cpu_s
            frames = sum(client.frames for client in clients) - frames
            first = first or cpu_s
            known = server.traffic()["selections"]
            rows.append([f"{rate}", str(count), str(known), f"{frames:,}", f"{cpu_s:.2f}", f"{cpu_s / first:.2f}"])
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
            stream = Stream(published, SYMBOLS)
            rows += await delays(kind, "may sleep", server, stream, watched, seconds)
            with awake():
                rows += await delays(kind, "awake", server, stream, watched, seconds)
    heads = [
        "peer",
        "cores",
        "ticks / s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "goal ms",
        "timed",
        "messages",
        "own count",
        "core",
    ]
    with serving("ours", redis_url) as server, awake():
        await answers(server.port)
        stream = Stream(ticks["ours"], SYMBOLS)
        tables = [
            table(f"L3: from publishing to reading, {clients} clients", heads, rows),
            table(
                f"L5: {STALLED} of {clients} clients read nothing for {stalled_s:g} s (goal: + 50 MB, p99 + 20 %, 1 s)",
                ["RSS + MB", "others' p99 ms before", "meanwhile", "caught up in s", "conflated"],
                await stalls(server, stream, watched, stalled_s),
            ),
            table(
                f"L5: {PILED} clients of messages of 10 kB read nothing for {stalled_s:g} s",
                ["RSS + MB", "caught up in s", "conflated", "closed"],
                await piles(server, stream, watched, stalled_s),
            ),
            table(
                "L7: 100 distinct selections, two a client (goal: 3 times the CPU time)",
                ["ticks / s", "clients", "selections", "messages", "CPU s", "of the first"],
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
    gaps = gaps_ms()
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as servers:
        tables = uvloop.run(measure(servers.redis_url, asked.clients, asked.seconds, asked.stalled_seconds))
    print(machine())
    longest = max(gaps, default=0)
    print(f"a process that looks at the clock for 5 s stood still {len(gaps)} times, for {longest:.1f} ms at most")
    for text in tables:
        print(text)


if __name__ == "__main__":
    main()
