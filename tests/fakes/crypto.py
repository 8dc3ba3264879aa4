"""Made-up pairs of crypto venues: a price path by pair and time, and bars along it, exact in decimal."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from market import Interval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WAVES = ((420, 1_500), (3_660, 9_000), (60_540, 40_000), (2_400_540, 300_000))  # seconds, millionths of the price
LOTS = Decimal("0.00000001")


@dataclass(frozen=True)
class FakePair:
    """`price` is the lowest that it ever has, in ticks; 0 for a pair that never trades."""

    symbol: str
    base: str
    quoted: str
    price: int
    tick: Decimal
    listed: datetime
    status: str


@dataclass(frozen=True)
class FakeBar:
    opened: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal
    trades: int


def price_at(pair: FakePair, time: datetime) -> Decimal:
    """The price at an instant: a sum of triangular waves above the lowest price."""
    seconds = int((time - EPOCH).total_seconds())
    rise = 0
    for period, height in WAVES:
        phase = seconds % period
        rise += height * 2 * min(phase, period - phase) // period
    return (pair.price + pair.price * rise // 1_000_000) * pair.tick


def bar(pair: FakePair, interval: Interval, opened: datetime, now: datetime, last: Decimal | None = None) -> FakeBar:
    """The bar that opens at an instant, as it stands now; `last` closes the forming one.

    Nothing is traded in the minute :17 of any hour.
    """
    end = interval.end(opened)
    is_forming = now < end
    opening = price_at(pair, opened)
    if interval is Interval.M1 and opened.minute == 17 and last is None:
        return FakeBar(opened, opening, opening, opening, opening, Decimal(0), Decimal(0), 0)
    until = now if is_forming else end
    seen = [price_at(pair, opened + (until - opened) * part / 4) for part in range(5)]
    if is_forming and last is not None:
        seen[-1] = last
    volume = (int((until - opened).total_seconds()) + 1) * Decimal("0.00131") + opened.minute * LOTS
    mean = (min(seen) + max(seen)) / 2
    return FakeBar(
        opened=opened,
        open=seen[0],
        high=max(seen),
        low=min(seen),
        close=seen[-1],
        volume=volume,
        turnover=(volume * mean).quantize(LOTS),
        trades=int(volume * 100) + 1,
    )


def openings(pair: FakePair, interval: Interval, start: datetime, last: datetime) -> Iterator[datetime]:
    """Where bars open from `start` to `last`, both included, since the pair was listed."""
    opened = interval.ceil(max(start, interval.floor(pair.listed)))
    while pair.price and opened <= last:
        yield opened
        opened = interval.end(opened)


def back_from(pair: FakePair, interval: Interval, last: datetime, count: int) -> list[datetime]:
    """Where the newest `count` bars up to `last` open, ascending."""
    found: list[datetime] = []
    opened = interval.floor(last)
    while pair.price and len(found) < count and opened >= interval.floor(pair.listed):
        found.append(opened)
        opened = interval.floor(opened - timedelta(microseconds=1))
    return found[::-1]


def flat(forming: FakeBar) -> FakeBar:
    """The bar as if nothing had been traded in it."""
    price = forming.open
    return replace(forming, high=price, low=price, close=price, volume=Decimal(0), turnover=Decimal(0), trades=0)
