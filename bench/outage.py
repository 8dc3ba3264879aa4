"""F8: quotes, or histories too, that are held, asked 500 times a second while every upstream is down.

    python -m bench.outage [--failure STATUS_500] [--rate 500] [--seconds 20] [--mixed]

The server, its upstreams (the tests' Binance and Kraken) and the client are processes of their own. Questions go out
by the clock, whether or not the earlier ones are answered, and their time counts from when they were due.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import orjson
import psutil
import uvloop

from bench.peers import Peer, machine, table
from tests.fakes.fake import Failure

PAIRS: Final = ("BTC-USDT", "ETH-BTC")
PROVENANCE: Final = "provenance { source servedFrom ageSeconds skipped { source code } }"
QUOTES: Final = [f'{{ told: quote(symbol: "{pair}") {{ price time {PROVENANCE} }} }}' for pair in PAIRS]
MIXED: Final = [
    *QUOTES * 2,
    *(
        f'{{ told: history(symbol: "{pair}", interval: {interval}, last: 100) '
        f"{{ bars {{ time open high low close volume }} {PROVENANCE} }} }}"
        for pair in PAIRS
        for interval in ("M1", "D1")
    ),
]
FRESH_S: Final = 1.0
SETTLED_S: Final = 5.0
"""What comes so soon after the fall is shown apart: some of it was asked of upstreams that were well a moment ago."""
HEALED_S: Final = 90.0
"""A breaker rests for a minute at most."""
HEADS: Final = ("", "questions", "upstream", "p50 ms", "p99 ms", "worst ms", "served from", "CPU of the server")


class Upstreams:
    """The process of the upstreams."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.binance, self.kraken = self._read().split()

    def fail(self, failure: str = "") -> None:
        """Fail from now on, or be well."""
        self._say(f"fail {failure}")

    def count(self) -> int:
        """How many requests have come."""
        self._say("count")
        return int(self._read())

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: when it was due, how long it took from then on, in seconds, and where from, or an error's code."""

    due_s: float
    took_s: float
    served_from: str


@contextmanager
def upstreams() -> Iterator[Upstreams]:
    """The upstreams, ended at the end."""
    command = [sys.executable, "-m", "bench.outage_upstreams"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Upstreams(process)
        finally:
            process.terminate()


@contextmanager
def smartfin(folder: Path, sources: Upstreams) -> Iterator[Peer]:
    """The whole server in live mode, with a PostgreSQL and a Valkey of its own."""
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "SMARTFIN_MODE": "live",
        "SMARTFIN_SOURCES": "binance,kraken",
        "SMARTFIN_BINANCE_URL": sources.binance,
        "SMARTFIN_KRAKEN_URL": sources.kraken,
        "SMARTFIN_QUOTE_FRESH_SECONDS": f"{FRESH_S}",
        "SMARTFIN_RATE_LIMIT": "off",  # one guest asks it all
        "SMARTFIN_LOG_LEVEL": "ERROR",
        "SMARTFIN_DATA_DIR": f"{folder / 'data'}",
    }
    command = [f"{Path(sys.executable).with_name('smartfin')}", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            assert process.stdout is not None
            told = (re.search(r"GraphQL +http://127\.0\.0\.1:(\d+)/", line) for line in process.stdout)
            port = int(next(found[1] for found in told if found))
            yield Peer(port, psutil.Process(process.pid))
        finally:
            process.terminate()


async def asked(
    server: Peer, session: aiohttp.ClientSession, rate: float, seconds: float, questions: list[str]
) -> list[Answered]:
    """The answers to questions that go out so many a second."""
    bodies = [orjson.dumps({"query": question}) for question in questions]
    headers = {"Content-Type": "application/json"}
    begun = time.monotonic()

    async def ask(number: int) -> Answered:
        due_s = number / rate
        body = bodies[number % len(bodies)]
        async with session.post(f"http://127.0.0.1:{server.port}/graphql", data=body, headers=headers) as response:
            answer = await response.read()
        took_s = time.monotonic() - begun - due_s
        found = re.search(rb'"(?:servedFrom|code)":"(\w+)"', answer)
        return Answered(due_s, took_s, found[1].decode() if found else "NOTHING")

    asking = []
    for number in range(int(rate * seconds)):
        if (early_s := begun + number / rate - time.monotonic()) > 0:
            await asyncio.sleep(early_s)
        asking.append(asyncio.create_task(ask(number)))
    return await asyncio.gather(*asking)


def row(name: str, answers: list[Answered], attempts: str, cpu: str) -> list[str]:
    """The row of a table."""
    took_ms = sorted(answer.took_s * 1e3 for answer in answers)
    served = Counter(answer.served_from for answer in answers)
    shares = ", ".join(f"{kind} {100 * count / len(answers):.0f} %" for kind, count in served.most_common())
    p50, p99 = (f"{took_ms[int(len(took_ms) * share)]:.1f}" for share in (0.5, 0.99))
    return [name, f"{len(answers):,}", attempts, p50, p99, f"{took_ms[-1]:.1f}", shares, cpu]


async def main(failure: str, rate: float, seconds: float, questions: list[str]) -> None:
    """Print the table."""
    print(machine())
    print(f"load of the machine before: {psutil.getloadavg()[0]:.1f}")
    rows = []
    with tempfile.TemporaryDirectory() as folder, upstreams() as sources, smartfin(Path(folder), sources) as server:
        connector = aiohttp.TCPConnector(limit=100, keepalive_timeout=2)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asked(server, session, 10, 3, questions)
            for name, fails in (("all well", ""), (f"all down: {failure}", failure)):
                sources.fail(fails)
                before, cpu_s, start = sources.count(), server.cpu_s(), time.monotonic()
                answers = await asked(server, session, rate, seconds, questions)
                cpu = f"{100 * (server.cpu_s() - cpu_s) / (time.monotonic() - start):.0f} % of a core"
                rows.append(row(name, answers, f"{sources.count() - before:,}", cpu))
                if fails:
                    late = [answer for answer in answers if answer.due_s >= SETTLED_S]
                    rows.append(row(f"… but for the first {SETTLED_S:g} s", late, "", ""))
            sources.fail()
            start = time.monotonic()
            is_stale = True
            while is_stale and time.monotonic() - start < HEALED_S:
                is_stale = any(told.served_from == "STALE" for told in await asked(server, session, 40, 0.5, questions))
            healed = "answers were stale still" if is_stale else "nothing was stale any more"
            print(f"{time.monotonic() - start:.0f} s after they were back {healed}.")
    title = f"F8: {rate:g} questions a second (goal: 1.1 times the attempts, p99 of 50 ms, all stale)"
    print(table(title, HEADS, rows))


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--failure", default="STATUS_500", choices=[failure.name for failure in Failure])
    options.add_argument("--rate", type=float, default=500)
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--mixed", action="store_true", help="as many histories of 100 bars as quotes")
    given = options.parse_args()
    uvloop.run(main(given.failure, given.rate, given.seconds, MIXED if given.mixed else QUOTES))
