"""What every source must do, shown of each one against its fake; what only one has is shown in its own suite."""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from errors import (
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceError,
    SourceFault,
    SourceLimited,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    SourceUnreachable,
    SymbolNotFound,
)
from market import BAR_SCHEMA, Interval, Quote, Window
from settings import Mode
from sources.catalog import SOURCES
from sources.quality import Quality
from sources.router import Router
from sources.source import Capability, Source
from sources.streams import Streams
from tests.fakes.alphavantage import FakeAlphaVantage
from tests.fakes.binance import FakeBinance
from tests.fakes.fake import BarRow, Failure, Fake
from tests.fakes.kraken import FakeKraken
from tests.fakes.polygon import FakePolygon
from tests.fakes.yahoo import FakeYahoo
from tests.sources.streaming import Listening, listening
from tests.waiting import until

FAKES: tuple[type[Fake], ...] = (FakeYahoo, FakePolygon, FakeBinance, FakeKraken, FakeAlphaVantage)
NOW = datetime(2026, 11, 18, 15, 47, 13, tzinfo=UTC)
"""A Wednesday: New York, currencies and coins trade."""
SECOND = timedelta(seconds=1)
KINDS = {kind.name: kind for kind in SOURCES[Mode.LIVE]}
STREAMING = [fake for fake in FAKES if Capability.STREAM in KINDS[fake.name].capabilities]
INTERVALS = [(fake, interval) for fake in FAKES for interval in fake.intervals]

# The trading calendar reads pandas in a way that it announces to change.
pytestmark = pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")


@pytest.fixture
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[Fake]:
    async with cast(type[Fake], request.param)() as fake:
        fake.now = NOW
        yield fake


def named(value: object) -> str | None:
    return value.name if isinstance(value, type) and issubclass(value, Fake) else None


of_every_source = pytest.mark.parametrize("fake", FAKES, indirect=True, ids=named)
of_every_stream = pytest.mark.parametrize("fake", STREAMING, indirect=True, ids=named)
of_every_interval = pytest.mark.parametrize(("fake", "interval"), INTERVALS, indirect=["fake"], ids=named)


def first(fake: Fake) -> str:
    return fake.symbols[0]


def window(interval: Interval, bars: int = 40) -> Window:
    """So many bars' time up to now, not on the grid."""
    return Window(NOW - bars * interval.span, NOW)


# Facts


def test_every_source_has_a_fake() -> None:
    assert {fake.name for fake in FAKES} == set(KINDS)
    assert {fake.name: set(fake.intervals) for fake in FAKES} == {name: set(kind.reach) for name, kind in KINDS.items()}


@of_every_source
def test_what_it_knows_it_covers(fake: Fake, source: Source) -> None:
    assert [symbol for symbol in (*fake.symbols, fake.unknown) if not source.covers(symbol)] == []


# Symbols, there and back


@of_every_source
async def test_every_symbol_comes_back_as_it_went(fake: Fake, source: Source) -> None:
    quotes = await source.quotes([*fake.symbols, fake.unknown])
    assert set(quotes) == set(fake.symbols)
    for symbol, quote in quotes.items():
        assert (quote.symbol, quote.provenance.source) == (symbol, fake.name)
        asset = await source.asset(symbol)
        assert asset is not None
        assert asset.symbol == symbol
        assert quote.currency in (None, asset.currency)


@of_every_source
async def test_an_unknown_symbol_is_told_as_such(fake: Fake, source: Source) -> None:
    assert await source.quotes([fake.unknown]) == {}
    assert await source.asset(fake.unknown) is None
    with pytest.raises(SymbolNotFound):
        await source.history(fake.unknown, Interval.D1, window(Interval.D1))


@of_every_source
async def test_a_search_finds_symbols_that_it_covers(fake: Fake, source: Source) -> None:
    text = first(fake).partition("-")[0]
    found = await source.search(text, 3)
    assert found
    assert len(found) <= 3
    assert all(source.covers(asset.symbol) for asset in found)
    assert first(fake).partition("-")[0] in {asset.symbol.partition("-")[0] for asset in found}


# Bars


@of_every_interval
async def test_bars_are_whole_ascending_unique_and_only_the_last_is_forming(
    fake: Fake, source: Source, interval: Interval
) -> None:
    asked = window(interval)
    bars = await source.history(first(fake), interval, asked)
    assert bars.schema == BAR_SCHEMA
    assert bars.height > 0
    assert bars["time"].is_between(asked.start, asked.end, closed="left").all()
    assert bars["time"].is_sorted()
    assert bars["time"].is_unique().all()
    prices = bars.select("open", "high", "low", "close")
    assert prices.null_count().sum_horizontal().item() == 0
    assert prices.select(pl.all().is_finite() & (pl.all() > 0)).to_series().all()
    assert (bars["high"] >= prices.max_horizontal()).all()
    assert (bars["low"] <= prices.min_horizontal()).all()
    assert bars["volume"].fill_null(0).is_between(0, float("inf"), closed="left").all()
    assert bars["is_final"][:-1].all()
    assert not bars.filter(pl.col("time") >= interval.floor(NOW))["is_final"].any()


@of_every_interval
async def test_two_windows_side_by_side_hold_what_the_whole_one_holds(
    fake: Fake, source: Source, interval: Interval
) -> None:
    asked = window(interval)
    whole = await source.history(first(fake), interval, asked)
    cut = whole["time"][whole.height // 2]
    before = await source.history(first(fake), interval, Window(asked.start, cut))
    after = await source.history(first(fake), interval, Window(cut, asked.end))
    assert after["time"][0] == cut
    assert_frame_equal(pl.concat([before, after]), whole)


@of_every_source
async def test_an_interval_that_it_does_not_have_is_told_and_not_asked_for(fake: Fake, source: Source) -> None:
    for interval in set(Interval) - set(source.reach):
        with pytest.raises(SourceCannot):
            await source.history(first(fake), interval, window(interval))
    assert fake.requests == []


# Failures

FAILURES: dict[Failure, type[SourceError]] = {
    Failure.RESET: SourceUnreachable,
    Failure.SILENCE: SourceTimeout,
    Failure.STATUS_500: SourceFault,
    Failure.STATUS_503_HTML: SourceFault,
    Failure.LIMITED: SourceLimited,
    Failure.LIMITED_RETRY_AFTER: SourceLimited,
    Failure.REFUSED: SourceRefused,
    Failure.HTML: SourceBadAnswer,
    Failure.EMPTY: SourceBadAnswer,
    Failure.TRUNCATED: SourceBadAnswer,
    Failure.WRONG_SHAPE: SourceBadAnswer,
    Failure.ECHO: SourceBadAnswer,
}
QUESTIONS: dict[str, Callable[[Fake, Source], Awaitable[object]]] = {
    "quotes": lambda fake, source: source.quotes([first(fake)]),
    "history": lambda fake, source: source.history(first(fake), Interval.D1, window(Interval.D1)),
    "search": lambda fake, source: source.search(first(fake), 5),
    "asset": lambda fake, source: source.asset(first(fake)),
}


async def failed(fake: Fake, ask: Callable[[], Awaitable[object]], caplog: pytest.LogCaptureFixture) -> SmartFinError:
    """The error that a question ends with, having told nobody a secret."""
    with caplog.at_level(logging.DEBUG), pytest.raises(SmartFinError) as caught:
        await ask()
    error = caught.value
    told = f"{error!r} {error.extensions} {vars(error)} {traceback.format_exception(error)} {logged(caplog)}"
    assert [secret for secret in fake.secrets if secret in told] == []
    return error


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we have logged, tracebacks too; not what the fake has."""
    form = logging.Formatter()
    return [form.format(record) for record in caplog.records if record.name != "aiohttp.access"]


def test_every_failure_is_tried() -> None:
    assert set(FAILURES) == set(Failure)


@of_every_source
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("failure", Failure)
async def test_a_failure_is_the_error_that_it_means(
    fake: Fake, failure: Failure, question: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.failure = failure
    fake.timeout_s = 0.3 if failure is Failure.SILENCE else 10.0
    source = fake.source()
    error = await failed(fake, lambda: QUESTIONS[question](fake, source), caplog)
    assert type(error) is FAILURES[failure]
    if failure is Failure.LIMITED_RETRY_AFTER:
        assert cast(SourceLimited, error).retry_after_s == 7
    await source.aclose()


@of_every_source
@pytest.mark.parametrize("question", ["quotes", "history"])
@pytest.mark.parametrize("failure", [failure for failure in Failure if failure is not Failure.SILENCE])
async def test_a_failure_after_a_good_answer_is_the_same_and_goes_by(
    fake: Fake, source: Source, failure: Failure, question: str, caplog: pytest.LogCaptureFixture
) -> None:
    await QUESTIONS[question](fake, source)
    fake.failure = failure
    assert type(await failed(fake, lambda: QUESTIONS[question](fake, source), caplog)) is FAILURES[failure]
    fake.failure = None
    await QUESTIONS[question](fake, source)


@of_every_source
@pytest.mark.parametrize("question", QUESTIONS)
async def test_nobody_there_is_unreachable(
    fake: Fake, source: Source, question: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fake.stop()
    assert type(await failed(fake, lambda: QUESTIONS[question](fake, source), caplog)) is SourceUnreachable


class Spent:
    """A budget of which nothing is left."""

    async def take(self, cost: int = 1) -> None:
        raise SourceLimited("the quota is spent", retry_after_s=3)


@of_every_source
@pytest.mark.parametrize("question", QUESTIONS)
async def test_beyond_its_budget_it_asks_nothing(
    fake: Fake, question: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fake, "budget", Spent())
    source = fake.source()
    error = await failed(fake, lambda: QUESTIONS[question](fake, source), caplog)
    assert (type(error), cast(SourceLimited, error).retry_after_s) == (SourceLimited, 3)
    assert fake.requests == []
    await source.aclose()


# What is impossible


def priced(value: Any) -> Callable[[list[BarRow]], list[BarRow]]:
    """Bars of which the fifth from the newest has only the value as price, in the type in which prices are told."""

    def change(rows: list[BarRow]) -> list[BarRow]:
        changed = [list(row) for row in rows]
        bad = sorted(changed)[-5]
        bad[1:5] = [str(value) if isinstance(bad[4], str) and value is not None else value] * 4
        return changed

    return change


@of_every_source
@pytest.mark.parametrize("value", [None, 0.0, -1.0, float("nan"), float("inf")])
async def test_a_bar_without_a_possible_price_is_never_served(fake: Fake, source: Source, value: float | None) -> None:
    router = Router([source], Quality(clock=lambda: NOW), clock=lambda: NOW)
    good = (await router.history(first(fake), Interval.D1, window(Interval.D1))).frame
    fake.change_bars = priced(value)
    try:
        served = (await router.history(first(fake), Interval.D1, window(Interval.D1))).frame
    except SourceUnavailable as error:
        said = [skip.code for skip in error.skipped]
    else:
        said = []
        assert served.height == good.height - 1
        assert_frame_equal(served, good.join(served.select("time"), on="time", how="semi"))
    # Text where a number belongs makes the whole answer a bad one.
    assert said in ([], ["SOURCE_BAD_ANSWER"])


@of_every_source
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: [row for row in rows for _ in range(2)], id="twice"),
        pytest.param(lambda rows: rows[::-1], id="backwards"),
    ],
)
async def test_the_order_in_which_bars_are_told_does_not_matter(
    fake: Fake, source: Source, change: Callable[[list[BarRow]], list[BarRow]]
) -> None:
    good = await source.history(first(fake), Interval.D1, window(Interval.D1))
    fake.change_bars = change
    assert_frame_equal(await source.history(first(fake), Interval.D1, window(Interval.D1)), good)


@of_every_source
@pytest.mark.parametrize("price", [0.0, -1.0])
async def test_a_quote_without_a_possible_price_is_never_served(fake: Fake, source: Source, price: float) -> None:
    router = Router([source], Quality(clock=lambda: NOW), clock=lambda: NOW)
    assert isinstance((await router.quotes([first(fake)]))[first(fake)], Quote)
    fake.prices[first(fake)] = price
    answer = (await router.quotes([first(fake)]))[first(fake)]
    # Who has the last close too may tell that.
    assert isinstance(answer, SmartFinError) or all(
        told is None or told > 0 for told in (answer.price, answer.bid, answer.ask, answer.open, answer.low)
    )


# Streams


@of_every_stream
async def test_every_symbol_is_ticked_as_it_was_asked_for(fake: Fake, source: Source) -> None:
    async with listening(source, *fake.symbols, fake.unknown) as listener:
        await until(lambda: all(map(fake.is_watched, fake.symbols)))
        for symbol in fake.symbols:
            price = fake.prices.get(symbol, 100.0)
            await fake.push(symbol, price, NOW + SECOND)
            told = [quote async for quote in _until(listener, symbol, NOW + SECOND)]
            assert told[-1].price == pytest.approx(price, rel=1e-6)
            assert told[-1].provenance.source == fake.name


async def _until(listener: Listening, symbol: str, time: datetime) -> AsyncIterator[Quote]:
    """The quotes of a symbol up to the one of that time or a later one."""
    while True:
        for quote in await listener.heard():
            if quote.symbol == symbol:
                yield quote
                if quote.time >= time:
                    return


@of_every_stream
async def test_impossible_and_outdated_ticks_are_never_yielded(fake: Fake, source: Source) -> None:
    symbol = first(fake)
    price = float(round(fake.prices.get(symbol, 100.0)))
    pushed = [
        (price, NOW + SECOND),
        *((bad, NOW + 2 * SECOND) for bad in (0.0, -1.0, float("nan"), float("inf"))),
        (price + 1, NOW),
        (price + 2, NOW + 3 * SECOND),
    ]
    streams = Streams(Router([source], Quality(clock=lambda: NOW), clock=lambda: NOW))
    async with listening(streams, symbol) as listener:
        await until(lambda: fake.is_watched(symbol))
        for said, time in pushed:
            await fake.push(symbol, said, time)
        told = [quote async for quote in _until(listener, symbol, NOW + 3 * SECOND)]
    since = [quote.price for quote in told if quote.time >= NOW + SECOND]
    assert list(dict.fromkeys(since)) == [price, price + 2]
    assert [quote.time for quote in told] == sorted(quote.time for quote in told)


@of_every_stream
async def test_frames_that_make_no_sense_are_logged_and_passed_over(
    fake: Fake, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(source, first(fake)) as listener:
        await until(lambda: fake.is_watched(first(fake)))
        for frame in ("", "nonsense", "17", '"text"', "null", "{", "<html></html>"):
            await fake.say(frame)
        await fake.push(first(fake), 100.0, NOW + SECOND)
        assert [quote async for quote in _until(listener, first(fake), NOW + SECOND)]
    assert sum("makes no sense" in line for line in logged(caplog)) == 7


@of_every_stream
async def test_a_cut_ends_the_stream(fake: Fake, source: Source) -> None:
    async with listening(source, first(fake)) as listener:
        await until(lambda: fake.is_watched(first(fake)))
        await fake.drop_sockets()
        with pytest.raises(SourceUnreachable):
            [quote async for quote in _until(listener, first(fake), NOW + timedelta(days=1))]


@of_every_stream
async def test_a_stream_that_cannot_be_opened(fake: Fake, source: Source) -> None:
    await fake.stop()
    async with listening(source, first(fake)) as listener:
        with pytest.raises(SourceUnreachable):
            await listener.heard()


@of_every_stream
async def test_a_symbol_that_is_given_up_is_no_longer_watched(fake: Fake, source: Source) -> None:
    given_up, kept = fake.symbols[:2]
    async with listening(source, given_up) as listener:
        await until(lambda: fake.is_watched(given_up))
        listener.demand.set([kept])
        await until(lambda: fake.is_watched(kept) and not fake.is_watched(given_up))
