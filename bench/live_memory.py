"""Memory of the server for each idle, subscribed connection, before and after all of them have come and gone.

python -m bench.live_memory [--clients 2000] [--churns 3]
"""

import argparse
import asyncio
import resource
import tempfile
from pathlib import Path

import uvloop

from bench.live import Server, Ticks, answers, serving
from bench.live_clients import Client, connected
from db.embedded import embedded
from db.redis import connect


async def _idle(server: Server, clients: int) -> tuple[int, list[Client]]:
    joined = await connected(server.port, [["SIM000"]] * clients)
    while sum(client.frames for client in joined) < 2 * clients:  # the greeting and the first quote
        await asyncio.sleep(0.1)
    return server.rss(), joined


async def measure(kind: str, redis_url: str, clients: int, churns: int) -> tuple[float, float]:
    """Kilobytes a connection: of the first crowd, and of the one after so many have come and gone."""
    redis = connect(redis_url)
    await Ticks(redis).publish(["SIM000"])
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
    return (sizes[0] - empty) / clients / 1024, (sizes[-1] - empty) / clients / 1024


def main() -> None:
    """Run it, and print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--clients", type=int, default=2000)
    options.add_argument("--churns", type=int, default=3)
    asked = options.parse_args()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    print(f"{asked.clients} idle subscribed connections, KB each: at first, and after {asked.churns} churns")
    with tempfile.TemporaryDirectory() as folder, embedded(Path(folder)) as servers:
        for kind in ("stock", "ours"):
            first, last = uvloop.run(measure(kind, servers.redis_url, asked.clients, asked.churns))
            print(f"{kind:8}{first:8.1f}{last:8.1f}")


if __name__ == "__main__":
    main()
