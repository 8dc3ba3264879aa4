import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import cast

import pytest

from errors import SourceRefused, SourceUnreachable
from market import Quote, Window
from sources import streams
from sources.source import Demand, Source
from sources.streams import Streams
from tests.sources.scripted import NOW, Scripted, router

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 0.01)
    monkeypatch.setattr(streams, "GRACE_S", 0.1)
    monkeypatch.setattr(streams, "BACKOFF_S", 0.05)


class Watching:
    """What has come down the streams so far."""

    def __init__(self) -> None:
        self.quotes: list[Quote] = []

    async def until(self, holds: Callable[[], object], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, "it never came to be"
            await asyncio.sleep(0.005)

    async def take(self, batches: AsyncIterator[Sequence[Quote]]) -> None:
        async for batch in batches:
            self.quotes += batch

    @property
    def seen(self) -> list[tuple[str, str]]:
        return [(quote.symbol, quote.provenance.source) for quote in self.quotes]


@asynccontextmanager
async def watching(demand: Demand, *sources: Scripted, is_open: bool = True) -> AsyncIterator[Watching]:
    watch = Watching()
    async with aclosing(Streams(router(*sources), lambda _symbol: is_open).stream(demand)) as batches:
        taking = asyncio.create_task(watch.take(batches))
        try:
            yield watch
        finally:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
    assert all(source.streams == [] for source in sources), "every stream was closed"


def carried(source: Scripted) -> list[list[str]]:
    return sorted(sorted(opened.demand.symbols) for opened in source.streams)


def names(symbols: Iterable[str]) -> Demand:
    return Demand(symbols)


async def test_the_best_source_streams_alone_once_it_has_proved_itself() -> None:
    best, other = Scripted("best", 9), Scripted("other", 1)
    async with watching(names("A"), best, other) as watch:
        await watch.until(lambda: best.streams)
        best.tick("A")
        await watch.until(lambda: watch.quotes)
        await asyncio.sleep(0.2)
        assert watch.seen == [("A", "best")]
        assert other.opened_streams == 0


async def test_when_a_source_dies_the_next_takes_over_and_gives_back() -> None:
    best, other = Scripted("best", 9), Scripted("other", 1)
    async with watching(names("A"), best, other) as watch:
        await watch.until(lambda: best.streams)
        best.tick("A")
        await watch.until(lambda: watch.quotes)
        best.error = SourceUnreachable("gone")
        best.streams[0].says.put_nowait(SourceUnreachable("cut"))
        await watch.until(lambda: other.streams, seconds=1)

        told = 0

        def other_is_heard() -> bool:  # while the better one is tried again, its stream may be closed and opened anew
            nonlocal told
            if other.streams and other.opened_streams > told:
                told = other.opened_streams
                other.tick("A", at=NOW + timedelta(seconds=1))
            return len(watch.quotes) == 2

        await watch.until(other_is_heard)
        best.error = None
        await watch.until(lambda: best.streams)
        await asyncio.sleep(0.05)
        assert other.streams, "it goes on until the better one has brought a tick"
        best.tick("A", at=NOW + timedelta(seconds=2))
        await watch.until(lambda: not other.streams)
        await watch.until(lambda: len(watch.quotes) == 3)
        assert watch.seen == [("A", "best"), ("A", "other"), ("A", "best")]


async def test_a_source_that_brings_nothing_is_joined_by_the_next() -> None:
    mute, other = Scripted("mute", 9), Scripted("other", 1)
    async with watching(names("A"), mute, other) as watch:
        await watch.until(lambda: other.streams, seconds=1)
        assert mute.streams, "it may still come"


@pytest.mark.parametrize(("is_open", "opened"), [(True, 2), (False, 1)])
async def test_silence_kills_a_stream_only_while_its_market_is_open(
    monkeypatch: pytest.MonkeyPatch, is_open: bool, opened: int
) -> None:
    monkeypatch.setattr(Scripted, "silence_s", 0.15)
    only = Scripted("only", 9)
    async with watching(names("A"), only, is_open=is_open) as watch:
        await watch.until(lambda: only.streams)
        only.tick("A")
        await asyncio.sleep(0.35)
        assert min(only.opened_streams, 2) == opened


async def test_symbols_are_shared_out_over_streams_and_stay_where_they_are() -> None:
    only = Scripted("only", 9)
    demand = names("ABCDE")
    async with watching(demand, only) as watch:
        await watch.until(lambda: len(only.streams) == 3)
        assert carried(only) == [["A", "B"], ["C", "D"], ["E"]]
        demand.set("ABDEF")
        await watch.until(lambda: carried(only) != [["A", "B"], ["C", "D"], ["E"]])
        assert carried(only) == [["A", "B"], ["D", "F"], ["E"]]
        assert only.opened_streams == 3
        demand.set("A")
        await watch.until(lambda: carried(only) == [["A"]])
        demand.set("")
        await watch.until(lambda: only.streams == [])


async def test_what_finds_no_room_is_said(caplog: pytest.LogCaptureFixture) -> None:
    only = Scripted("only", 9)
    async with watching(names("ABCDEFGH"), only) as watch:
        await watch.until(lambda: len(only.streams) == 3)
        await watch.until(lambda: "has no room to stream 2 more symbols" in caplog.text)


async def test_time_is_never_turned_back() -> None:
    only = Scripted("only", 9)
    async with watching(names("A"), only) as watch:
        await watch.until(lambda: only.streams)
        for second, price in [(0, 1.0), (2, 2.0), (1, 3.0), (2, 4.0), (3, 5.0)]:
            only.tick("A", price, NOW + timedelta(seconds=second))
        await watch.until(lambda: len(watch.quotes) == 4)
        assert [quote.price for quote in watch.quotes] == [1.0, 2.0, 4.0, 5.0]


async def test_an_old_stream_is_replaced_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "stream_life_s", 0.2)
    only = Scripted("only", 9)
    async with watching(names("A"), only) as watch:
        await watch.until(lambda: len(only.streams) == 2)
        monkeypatch.setattr(Scripted, "stream_life_s", 60.0)
        first = only.streams[0]
        only.tick("A")
        await watch.until(lambda: watch.quotes)
        monkeypatch.setattr(Scripted, "stream_life_s", 0.2)
        await watch.until(lambda: first not in only.streams)
        assert only.streams


async def test_each_failure_waits_longer_and_a_refusal_very_long() -> None:
    failing = Scripted("failing", 9)
    failing.error = SourceUnreachable("gone")
    async with watching(names("A"), failing):
        await asyncio.sleep(1.0)
    assert 3 <= failing.opened_streams <= 40
    refusing = Scripted("refusing", 9)
    refusing.error = SourceRefused("no plan")
    async with watching(names("A"), refusing):
        await asyncio.sleep(0.5)
    assert refusing.opened_streams == 1


async def test_a_source_that_is_put_in_takes_over_from_the_one_of_its_name() -> None:
    old, new = Scripted("s", 1), Scripted("s", 1)
    routing = router(old)
    watch = Watching()
    async with aclosing(Streams(routing).stream(Demand(["A"]))) as batches:
        taking = asyncio.create_task(watch.take(batches))
        await watch.until(lambda: carried(old) == [["A"]])
        await routing.put(cast(Source, new))
        await watch.until(lambda: carried(new) == [["A"]] and old.streams == [])
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)


async def test_what_a_cut_stream_missed_is_told_once_ticks_come_again() -> None:
    source, missed = Scripted("s", 1), []
    watch, stream = Watching(), Streams(router(source), missed=lambda symbol, window: missed.append((symbol, window)))
    async with aclosing(stream.stream(Demand(["A", "B"]))) as batches:
        taking = asyncio.create_task(watch.take(batches))
        await watch.until(lambda: carried(source) == [["A", "B"]])
        source.tick("A", at=NOW)
        source.tick("A", at=NOW + MINUTE)
        await watch.until(lambda: len(watch.quotes) == 2)
        assert missed == []
        source.streams[0].says.put_nowait(SourceUnreachable("cut"))
        await watch.until(lambda: source.opened_streams == 2 and source.streams)
        source.tick("A", at=NOW)  # what was known last, told anew
        source.tick("B", at=NOW + 4 * MINUTE)  # of which nothing was known
        source.tick("A", at=NOW + 5 * MINUTE)
        source.tick("A", at=NOW + 6 * MINUTE)
        await watch.until(lambda: len(watch.quotes) == 5)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
    assert missed == [("A", Window(NOW + MINUTE, NOW + 5 * MINUTE))]


async def test_nothing_is_missed_where_another_source_streams_the_symbol_already() -> None:
    first, second, missed = Scripted("first", 9), Scripted("second", 1), []
    watch = Watching()
    stream = Streams(router(first, second), missed=lambda symbol, window: missed.append((symbol, window)))
    async with aclosing(stream.stream(Demand(["A"]))) as batches:
        taking = asyncio.create_task(watch.take(batches))
        await watch.until(lambda: carried(second) == [["A"]])  # the first has brought nothing for a while
        second.tick("A", at=NOW)
        await watch.until(lambda: len(watch.quotes) == 1)
        first.streams[0].says.put_nowait(SourceUnreachable("cut"))
        await watch.until(lambda: first.opened_streams == 2)
        second.tick("A", at=NOW + MINUTE)
        await watch.until(lambda: len(watch.quotes) == 2)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
    assert missed == []
