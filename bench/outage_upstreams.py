"""Binance and Kraken as the tests have them, in a process of their own: for `bench.outage`.

Prints their two addresses. A line `fail STATUS_500` (or another failure of `tests.fakes.fake`) makes both fail so,
`fail` alone makes them well again; a line `count` is answered with how many requests have come.
"""

import asyncio
import sys
from datetime import UTC, datetime

from tests.fakes.binance import FakeBinance
from tests.fakes.fake import Failure, Fake
from tests.fakes.kraken import FakeKraken


async def _obey(*fakes: Fake) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.split():
            case ["count"]:
                print(sum(len(fake.requests) for fake in fakes), flush=True)
            case ["fail", *failure]:
                for fake in fakes:
                    fake.failure = Failure[failure[0]] if failure else None


async def _keep_time(*fakes: Fake) -> None:
    while True:
        for fake in fakes:
            fake.now = datetime.now(UTC)
        await asyncio.sleep(0.05)


async def main() -> None:
    """Serve until the input ends."""
    async with FakeBinance() as binance, FakeKraken() as kraken:
        print(binance.url, kraken.url, flush=True)
        keeping = asyncio.create_task(_keep_time(binance, kraken))
        await _obey(binance, kraken)
        keeping.cancel()


if __name__ == "__main__":
    asyncio.run(main())
