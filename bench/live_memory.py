"""Memory of the server for each idle, subscribed connection: of a first crowd, and of those after it has gone.

    python -m bench.live_memory [--clients 2000] [--churns 6] [--servers 3] [--kinds stock,ours]

A process keeps for later what it once needed, so a crowd that leaves at once may add to it a single time; and Python
takes memory in pieces of 1 MB, of which the last is at first used in part, then whole: up to 0.5 KB a connection, once,
sooner in one server than in another. What leaks is added with every crowd: the growth after the third churn tells.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
from pathlib import Path

import uvloop

from bench.live import Server, Ticks, answers, serving
from bench.live_clients import Client, connected
from bench.peers import table
from db.embedded import embedded
from db.redis import connect


async def _idle(server: Server, clients: int) -> tuple[int, list[Client]]:
    joined = await connected(server.port, [["SIM000"]] * clients)
    while sum(client.frames for client in joined) < 2 * clients:  # the greeting and the first quote
        await asyncio.sleep(0.1)
    return server.rss(), joined


async def measure(kind: str, redis_url: str, clients: int, churns: int) -> list[float]:
    """Kilobytes a connection, of each crowd."""
    redis = connect(redis_url)
    await Ticks(redis, kind).publish(["SIM000"])
    with serving(kind, redis_url) as server:
        await answers(server.port)
        _, warm = await _idle(server, 50)
        for client in warm:
            client.transport.abort()
        await asyncio.sleep(1)
        empty = server.rss()
        sizes = []
        for _ in range(churns + 1):
            size, joined = await _idle(server, clients)
            sizes.append(size)
            for client in joined:
                client.transport.abort()
            await asyncio.sleep(2)
    await redis.aclose()
    return [(size - empty) / clients / 1024 for size in sizes]


def main() -> None:
    """Run it, and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--clients", type=int, default=2000)
    options.add_argument("--churns", type=int, default=6)
    options.add_argument("--servers", type=int, default=3)
    options.add_argument("--kinds", default="stock,ours")
    asked = options.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    crowds = ["at first", *(f"churn {number}" for number in range(1, asked.churns + 1))]
    rows = []
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as servers:
        for kind in asked.kinds.split(","):
            grown = []
            for _ in range(asked.servers):
                sizes = uvloop.run(measure(kind, servers.redis_url, asked.clients, asked.churns))
                third = sizes[min(3, asked.churns)]
                grown.append((third / sizes[0] - 1, sizes[-1] / third - 1))
                rows.append([kind, *(f"{size:.2f}" for size in sizes), *(f"{share:+.1%}" for share in grown[-1])])
            medians = map(statistics.median, zip(*grown, strict=True))
            rows.append([f"{kind}, median", *("" for _ in crowds), *(f"{share:+.1%}" for share in medians)])
    title = f"L4: {asked.clients} idle subscribed connections, KB each (goal: at most 20, and + 5 % after 3 churns)"
    print(table(title, ["peer", *crowds, "third of first", "last of third"], rows))


if __name__ == "__main__":
    main()
