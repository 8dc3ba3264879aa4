"""S1 to S3: bars, quotes and indicators over HTTP, ours beside stock Strawberry and a REST route written by hand.

    python -m bench.http [--rounds 5]

Ours and REST are served by one process from the same memory, and stock Strawberry too, both there and by a process of
its own: the first takes what is there at the start out of garbage collection, as SmartFin does and stock does not by
itself. What is compared is CPU time for one request, the median of rounds in which each peer has its turn. Before it
is measured, each answer is compared with REST's.
"""

import argparse
import urllib.request
from collections.abc import Mapping
from typing import Any

import orjson
import uvloop

from bench.http_server import BAR_FIELDS, SYMBOLS
from bench.peers import Peer, cpu_of, get, machine, median, post, serving, table

BARS = f"{{ bars {{ {' '.join(BAR_FIELDS)} }} }}"
QUOTE_FIELDS = ("symbol", "price", "change", "changePercent", "volume", "currency", "time")
QUOTES = f"query ($symbols: [Symbol!]!) {{ quotes(symbols: $symbols) {{ {' '.join(QUOTE_FIELDS)} }} }}"
CHART = """{ indicators {
  sma(period: 50) ema(period: 20) wma(period: 20) tema(period: 20) bollingerBands(period: 20) { upper middle lower }
  parabolicSar rsi macd { macd signal histogram } stochastic { k d } cci(period: 20) williamsR roc(period: 10)
  momentum(period: 10) adx aroon(period: 14) { up down } atr standardDeviation(period: 20) moneyFlowIndex
  linearRegression(period: 14) balanceOfPower
} }"""
SECONDS = 1.5
CONNECTIONS = 8


def asked(peer: Peer, path: str, body: bytes | None = None) -> Any:
    """The answer's JSON."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{peer.port}{path}", body, headers)
    with urllib.request.urlopen(request) as answer:
        return orjson.loads(answer.read())


async def measured(requests: Mapping[str, tuple[Peer, bytes]], rounds: int) -> dict[str, float]:
    """Seconds of CPU for a request of each kind."""
    counts = {}
    for name, (peer, request) in requests.items():
        await cpu_of(peer, request, 2, 1)
        counts[name] = max(4, int(SECONDS / max(await cpu_of(peer, request, 10, 1), 1e-4)))
    taken: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(rounds):
        for name, (peer, request) in requests.items():
            taken[name].append(await cpu_of(peer, request, counts[name], CONNECTIONS))
    return {name: median(values) for name, values in taken.items()}


async def main(rounds: int) -> None:
    """Print the tables."""
    print(machine())
    with serving("bench.http_server") as peer, serving("bench.http_server", "plain") as plain:

        def asking(body: bytes) -> dict[str, tuple[Peer, bytes]]:
            return {
                "ours": (peer, post("/ours", body)),
                "stock": (plain, post("/stock", body)),
                "stock, frozen": (peer, post("/stock", body)),
                "stock with caches, frozen": (peer, post("/stock-with-caches", body)),
            }

        bars = orjson.dumps({"query": BARS})
        quotes = orjson.dumps({"query": QUOTES, "variables": {"symbols": SYMBOLS}})
        rest_quotes = f"/rest/quotes?symbols={','.join(SYMBOLS)}"
        assert asked(peer, "/ours", bars)["data"] == asked(peer, "/stock", bars)["data"] == asked(peer, "/rest/bars")
        assert asked(peer, "/ours", quotes) == asked(peer, "/stock", quotes)
        took = await measured({**asking(bars), "rest": (peer, get("/rest/bars"))}, rounds)
        print(_table("S1: 5 000 bars x 6 fields", took, "at least 40 x stock, at most 0.6 of REST's time"))
        took = await measured({**asking(quotes), "rest": (peer, get(rest_quotes))}, rounds)
        print(_table("S2: 10 quotes x 7 fields", took, "at least 12 x stock, at most 2.5 times REST's time"))

        again, anew = (orjson.dumps({"query": f"{{ {name} {CHART} }}"}) for name in ("again", "anew"))
        assert len(asked(peer, "/ours", anew)["data"]["anew"]["indicators"]) == 20
        assert len(asked(peer, "/rest/chart")["indicators"]) == 500
        charts = {
            **asking(anew),
            "ours, evaluated before": (peer, post("/ours", again)),
            "rest": (peer, get("/rest/chart")),
            "arrays": (peer, get("/arrays/chart?settled")),
            "arrays of 500 bars": (peer, get("/arrays/chart")),
        }
        took = await measured(charts, rounds)
        goal = "at most twice the time of TA-Lib's calls in a REST route"
        print(_table("S3: 20 indicators x 500 bars", took, goal, "rest", "arrays", "arrays of 500 bars"))


def _table(title: str, took: Mapping[str, float], goal: str, *against: str) -> str:
    """The peers, and the time of each as a multiple of that of those `against`, REST if there are none."""
    against = against or ("rest",)
    rows = [
        [
            name,
            f"{s * 1e3:.3f}",
            f"{1 / s:,.0f}",
            f"{took['stock'] / s:.1f}",
            *(f"{s / took[peer]:.2f}" for peer in against),
        ]
        for name, s in took.items()
    ]
    heads = ["peer", "CPU ms / request", "requests / s of a core", "x stock", *(f"of {peer}" for peer in against)]
    return table(f"{title} (goal: {goal})", heads, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    uvloop.run(main(parser.parse_args().rounds))
