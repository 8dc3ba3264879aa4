"""Ticks for those who may not have all of them at once: held back for as long as the licence of their source says."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf
from typing import Final, NamedTuple

from errors import LicenceForbids
from live.hub import Hub
from live.mailbox import Event, Feed, Mailbox
from market import Quote
from sources.licences import Terms, aged

logger = logging.getLogger(__name__)

MOST_HELD: Final = 1_000
"""Ticks of a symbol that are held back at most, about: of three that come closer together, the one between is not."""


class LicensedTicks:
    """Every change of a symbol for those whose tier has these terms; they share what is held back of it.

    A tick is due once its price is as old as its source's licence says. It is held back from the first one on who
    watches its symbol. Where a source is barred that streams a symbol now, its watchers are told so, once.
    """

    def __init__(self, hub: Hub, terms: Terms) -> None:
        self._hub = hub
        self._terms = terms
        self._lines: dict[str, _Line] = {}

    async def subscribe(self, symbols: Iterable[str], max_per_second: float | None = None) -> Mailbox:
        """As `Hub.subscribe`, of symbols."""
        lines = [self._lines.setdefault(name, _Line(name, self._terms)) for name in dict.fromkeys(symbols)]
        mailbox = Mailbox(max_per_second, partial(self._leave, lines), len(lines))
        for line in lines:
            line.feed.watch(mailbox)
        try:
            for line in lines:
                await line.open(self._hub)
        except BaseException:
            mailbox.close()
            raise
        for line in lines:
            if line.refusal is not None:
                mailbox.put(line.refusal)
        return mailbox

    def _leave(self, lines: "Sequence[_Line]", mailbox: Mailbox) -> None:
        for line in lines:
            line.feed.leave(mailbox)
            if not line.feed:
                line.close()
                del self._lines[line.symbol]


class _Held(NamedTuple):
    due_at: datetime
    event: Event
    delay_s: float


class _Line:
    """The ticks of one symbol on their way to those who watch it."""

    def __init__(self, symbol: str, terms: Terms) -> None:
        self.feed = Feed()
        self.refusal: Event | None = None
        """What those are told who watch while the source is barred that streams."""
        self.symbol = symbol
        self._terms = terms
        self._held: deque[_Held] = deque()
        self._opening = asyncio.Lock()
        self._bus: Mailbox | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, hub: Hub) -> None:
        """Follow the symbol, unless it is followed."""
        async with self._opening:
            if self._bus is None:
                self._bus = await hub.subscribe([self.symbol])
                self._bus.read_each(self._take)

    def close(self) -> None:
        """Follow it no more, and forget what is held back."""
        if self._bus is not None:
            self._bus.close()
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()

    def _take(self, event: Event) -> None:
        """Give, hold back or refuse a tick."""
        quote: Quote = event.payload
        delay_s = self._terms.delay_s([quote.provenance.source])
        if delay_s == inf:
            if self.refusal is None:
                self._refuse(event, quote.provenance.source)
            return
        self.refusal = None
        if delay_s:
            self._hold(event, delay_s)
        else:
            self.feed.bring(event)

    def _refuse(self, event: Event, source: str) -> None:
        told = f"{self.symbol} is streamed by {source} now, which is barred for your tier; ask for its quote instead."
        # By a key of its own: it replaces no quote that waits to be read, and none replaces it.
        self.refusal = Event(
            f"{self.symbol} refused", event.order, LicenceForbids(told, symbol=self.symbol, source=source)
        )
        self.feed.bring(self.refusal)

    def _hold(self, event: Event, delay_s: float) -> None:
        due_at = event.payload.time + timedelta(seconds=delay_s)
        apart = timedelta(seconds=delay_s / MOST_HELD)
        if len(self._held) > 1 and due_at - self._held[-2].due_at < apart:
            self._held.pop()
        self._held.append(_Held(due_at, event, delay_s))
        if self._timer is None:
            self._release()

    def _release(self) -> None:
        """Give what is due, and come back when the next one is."""
        self._timer = None
        now = datetime.now(UTC)
        while self._held and self._held[0].due_at <= now:
            held = self._held.popleft()
            if (quote := aged(held.event.payload, held.delay_s, now)) is not None:
                self.feed.bring(Event(self.symbol, held.event.order, quote))
        if self._held:
            wait_s = (self._held[0].due_at - now).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._release)
