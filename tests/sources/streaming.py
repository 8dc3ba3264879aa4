"""Listening to a source's stream in a test."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Protocol

from market import Quote
from sources.source import Demand

PATIENCE_S = 5.0


class Streamed(Protocol):
    """A source, or all of them together."""

    def stream(self, demand: Demand) -> AsyncGenerator[Sequence[Quote], None]: ...


class Listening:
    """A stream that runs beside the test, and what it has said so far."""

    def __init__(self, source: Streamed, demand: Demand) -> None:
        self.demand = demand
        self._source = source
        self._said: asyncio.Queue[Sequence[Quote] | Exception] = asyncio.Queue()

    async def run(self) -> None:
        try:
            async with aclosing(self._source.stream(self.demand)) as batches:
                async for batch in batches:
                    await self._said.put(batch)
        except Exception as error:  # noqa: BLE001 - the test judges it
            await self._said.put(error)

    async def heard(self) -> Sequence[Quote]:
        """The next batch; raises what the stream ended with."""
        said = await asyncio.wait_for(self._said.get(), PATIENCE_S)
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def is_silent(self) -> bool:
        """Whether everything that was said has been heard."""
        return self._said.empty()


@asynccontextmanager
async def listening(source: Streamed, *symbols: str) -> AsyncIterator[Listening]:
    """The stream of these symbols, closed at the end."""
    listener = Listening(source, Demand(symbols))
    running = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
