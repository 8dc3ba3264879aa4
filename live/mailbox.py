"""The bounded queue of one subscriber: the latest per symbol, in turn."""

import asyncio
from collections.abc import Iterable

from db.quotes import QuoteEvent


class Mailbox:
    """What a subscriber has not read yet: at most one event per symbol, so a slow reader gets the latest.

    A symbol keeps its place in the queue when a newer event replaces the one that waits, so none starves.
    With `max_per_second`, each symbol is handed out at most so often, its latest first.
    """

    def __init__(self, symbols: Iterable[str], max_per_second: float | None = None) -> None:
        self.symbols = frozenset(symbols)
        self.conflated = 0
        self._pending: dict[str, QuoteEvent] = {}
        self._order: dict[str, tuple[int, int]] = {}
        self._due: dict[str, float] = {}
        self._spacing_s = 1 / max_per_second if max_per_second else 0.0
        self._filled = asyncio.Event()

    def put(self, symbol: str, event: QuoteEvent) -> None:
        """Take in an event, unless one as new has been taken in before."""
        if event.order <= self._order.get(symbol, (-1, -1)):
            return
        self._order[symbol] = event.order
        self.conflated += symbol in self._pending
        self._pending[symbol] = event
        self._filled.set()

    async def get(self) -> QuoteEvent:
        """The next event, once there is one that is due."""
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            for symbol in self._pending:
                if self._due.get(symbol, 0.0) <= now:
                    if self._spacing_s:
                        self._due[symbol] = now + self._spacing_s
                    return self._pending.pop(symbol)
            self._filled.clear()
            wait_s = min((self._due[symbol] - now for symbol in self._pending), default=None)
            try:
                async with asyncio.timeout(wait_s):
                    await self._filled.wait()
            except TimeoutError:
                continue
