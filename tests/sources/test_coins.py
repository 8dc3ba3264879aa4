"""What the venues of pairs have in common, shown of each against its fake."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from errors import SymbolNotFound
from market import Interval, Window
from sources.source import Source
from tests.fakes.binance import FakeBinance
from tests.fakes.kraken import FakeKraken

Venue = FakeBinance | FakeKraken

NOW = datetime(2026, 1, 15, 10, 20, 30, 500_000, tzinfo=UTC)  # a Thursday
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MS, US = timedelta(milliseconds=1), timedelta(microseconds=1)
EIGHT = datetime(2026, 1, 15, 8, tzinfo=UTC)
PAIR = "BTC-USDT"


@pytest.fixture(params=[FakeBinance, FakeKraken], ids=lambda kind: kind.name)
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[Venue]:
    async with cast(type[Venue], request.param)() as fake:
        fake.now = NOW
        yield fake


@pytest.mark.parametrize(
    ("start", "end", "opened"),
    [
        (EIGHT, EIGHT + HOUR, [EIGHT]),
        (EIGHT, EIGHT + HOUR + US, [EIGHT, EIGHT + HOUR]),
        (EIGHT + US, EIGHT + HOUR, []),
        (EIGHT - US, EIGHT, []),
        (EIGHT - US, EIGHT + US, [EIGHT]),
        (EIGHT + US, EIGHT + 2 * HOUR, [EIGHT + HOUR]),
        (EIGHT, EIGHT, []),
        (EIGHT, NOW, [EIGHT, EIGHT + HOUR, EIGHT + 2 * HOUR]),
        (EIGHT + 2 * HOUR, NOW + DAY, [EIGHT + 2 * HOUR]),
        (NOW, NOW + DAY, []),
        (NOW + DAY, NOW + 2 * DAY, []),
    ],
)
async def test_a_window_holds_what_opens_inside_it(
    source: Source, start: datetime, end: datetime, opened: list[datetime]
) -> None:
    found = await source.history(PAIR, Interval.H1, Window(start, end))
    assert found["time"].to_list() == opened


async def test_a_minute_without_trades_is_flat_and_has_no_vwap(source: Source) -> None:
    at = EIGHT + 17 * MINUTE
    [row] = (await source.history(PAIR, Interval.M1, Window(at, at + MINUTE))).to_dicts()
    assert row["open"] == row["high"] == row["low"] == row["close"] > 0
    assert (row["volume"], row["vwap"], row["trades"]) == (0.0, None, 0)


async def test_a_bar_is_final_once_its_end_has_come(fake: Venue, source: Source) -> None:
    for now, final in [(EIGHT + MINUTE - MS, False), (EIGHT + MINUTE, True)]:
        fake.now = now
        found = await source.history(PAIR, Interval.M1, Window(EIGHT, EIGHT + MINUTE))
        assert found["is_final"].to_list() == [final]


async def test_of_an_unknown_pair_no_bars_are_asked_for(fake: Venue, source: Source) -> None:
    await source.search("", 1)
    listing = [request.path for request in fake.requests]
    with pytest.raises(SymbolNotFound, match=f'does not list "{fake.unknown}"'):
        await source.history(fake.unknown, Interval.D1, Window(NOW - DAY, NOW))
    assert [request.path for request in fake.requests] == listing


async def test_nobody_is_asked_for_a_quote_of_unknown_pairs_alone(fake: Venue, source: Source) -> None:
    await source.search("", 1)
    listing = [request.path for request in fake.requests]
    assert await source.quotes([fake.unknown, "AAPL"]) == await source.quotes([]) == {}
    assert [request.path for request in fake.requests] == listing


async def test_a_pair_that_has_left_does_not_take_the_batch_with_it(fake: Venue, source: Source) -> None:
    left = fake.symbols[-1]
    assert len(await source.quotes([left, "ETH-BTC"])) == 2
    fake.gone.add(left)
    assert list(await source.quotes([left, "ETH-BTC"])) == ["ETH-BTC"]
