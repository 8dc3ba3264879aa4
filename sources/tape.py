"""The ticks of the sandbox's exchange, and what the quote and the forming bars say with each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from market import Provenance, Quote
from sources.exchange import (
    EVEN,
    Bars,
    Hashes,
    Ints,
    draw,
    merged,
    minutes,
    mixed,
    parts,
    paths,
    quarters,
    seeded,
    shares,
)
from sources.listing import Listing


class _Session(NamedTuple):
    """One hour of one listing, within its day."""

    open: int
    """What the day opened at."""
    previous_close: int
    minutes: Bars
    before: Ints
    """The day's high, low, volume and turnover before each of the 60 minutes, a row each.

    A minute's turnover is its volume times high + low + close: three times the typical price.
    """


@lru_cache(maxsize=4096)
def session(seed: int, listing: Listing, hour: int) -> _Session:
    """The session of `hour`."""
    midnight = hour // 24 * 1440
    bars = minutes(seed, listing, midnight - 1, (hour + 1) * 60)
    today = bars.cut(1, len(bars.open))
    open_, nothing = today.open[:1], np.zeros(1, dtype=np.int64)
    before = (
        (open_, np.maximum.accumulate(today.high)),
        (open_, np.minimum.accumulate(today.low)),
        (nothing, today.volume.cumsum()),
        (nothing, (today.volume * (today.high + today.low + today.close)).cumsum()),
    )
    return _Session(
        open=int(open_[0]),
        previous_close=int(bars.close[0]),
        minutes=Bars(*(column[-60:].copy() for column in today)),  # a slice would keep the whole day in the cache
        before=np.array([np.concatenate((start, reached[:-1]))[-60:] for start, reached in before]),
    )


@dataclass(frozen=True, slots=True)
class TickGrid:
    """When ticks fall: `ticks_per_slot` in each of the `slots_per_minute`, numbered on from 1970."""

    slots_per_minute: int
    ticks_per_slot: int

    @classmethod
    def of_rate(cls, ticks_per_second: float) -> "TickGrid":
        """The nearest grid to the rate: whole ticks a minute, or whole ticks a second above 16.

        Raises ValueError below 4 ticks a minute: a bar has four prices to touch.
        """
        # A second's ticks are then made for themselves, so that nobody makes 60 000 to know the last one.
        slots = 60 if ticks_per_second > 16 else 1
        ticks = round(ticks_per_second * 60 / slots)
        if ticks < 4:
            raise ValueError(f"{ticks_per_second} ticks per second are too few; ask for 0.067 or more")
        return cls(slots, ticks)

    def minute(self, slot: int) -> int:
        """The minute that a slot is in."""
        return slot // self.slots_per_minute

    def hour(self, slot: int) -> int:
        """The hour that a slot is in."""
        return slot // self.slots_per_minute // 60

    def slot(self, number: int) -> int:
        """The slot that a tick is in."""
        return number // self.ticks_per_slot

    @property
    def _slot_us(self) -> int:
        return 60_000_000 // self.slots_per_minute

    def time_us(self, number: int) -> int:
        """The instant of a tick."""
        slot, tick = divmod(number, self.ticks_per_slot)
        return slot * self._slot_us + tick * self._slot_us // self.ticks_per_slot

    def newest(self, at_us: int) -> int:
        """The number of the last tick that is not after `at_us`."""
        slot, rest = divmod(at_us, self._slot_us)
        return slot * self.ticks_per_slot + ((rest + 1) * self.ticks_per_slot - 1) // self._slot_us


class _Ticks(NamedTuple):
    """The ticks of one slot, a row for each listing: price, size, and what minute and day have come to with each."""

    price: Ints
    size: Ints
    luck: Ints
    """16 random bits, for the order book."""
    minute_high: Ints
    minute_low: Ints
    minute_volume: Ints
    day_high: Ints
    day_low: Ints
    day_volume: Ints
    day_turnover: Ints


def _ticks(seed: int, listings: Sequence[Listing], grid: TickGrid, slot: int) -> _Ticks:
    """The ticks of `slot`."""
    sessions = [session(seed, listing, grid.hour(slot)) for listing in listings]
    minute, part = divmod(slot, grid.slots_per_minute)
    whole = Bars(*np.array([[column[minute % 60] for column in each.minutes] for each in sessions]).T)
    slots = parts(_keys(seed, listings, "slot", minute), whole, EVEN[: grid.slots_per_minute])
    now = Bars(*(column[:, part] for column in slots))
    noise = draw(_keys(seed, listings, "tick", slot)[:, np.newaxis], np.arange(grid.ticks_per_slot))
    price = _touching(paths(noise[:, 1:], now), now)
    a, b, luck, _ = quarters(mixed(noise))
    size = shares(now.volume, 1 + (a * b >> 24))

    minute_open = whole.open[:, np.newaxis]
    highest = np.concatenate((minute_open, slots.high[:, :part]), axis=1).max(axis=1, keepdims=True)
    lowest = np.concatenate((minute_open, slots.low[:, :part]), axis=1).min(axis=1, keepdims=True)
    minute_high = np.maximum(highest, np.maximum.accumulate(price, axis=1))
    minute_low = np.minimum(lowest, np.minimum.accumulate(price, axis=1))
    minute_volume = slots.volume[:, :part].sum(axis=1, keepdims=True) + size.cumsum(axis=1)

    before = np.array([each.before[:, minute % 60] for each in sessions])[..., np.newaxis]
    return _Ticks(
        price,
        size,
        luck,
        minute_high,
        minute_low,
        minute_volume,
        day_high=np.maximum(before[:, 0], minute_high),
        day_low=np.minimum(before[:, 1], minute_low),
        day_volume=before[:, 2] + minute_volume,
        day_turnover=before[:, 3] + minute_volume * (minute_high + minute_low + price),
    )


def _keys(seed: int, listings: Sequence[Listing], purpose: str, number: int) -> Hashes:
    keys = [seeded(seed, listing.asset.symbol, purpose) for listing in listings]
    return draw(np.concatenate(keys), np.array([number]))


def _touching(path: Ints, bars: Bars) -> Ints:
    """The paths, their inner top and bottom moved to the bar's high and low where no point touches them yet."""
    inner = path[:, 1:-1]
    rows = np.arange(len(path))
    # The first top and the last bottom: two points, even where the path is flat.
    top, bottom = inner.argmax(axis=1), inner.shape[1] - 1 - inner[:, ::-1].argmin(axis=1)
    touches_high, touches_low = path.max(axis=1) == bars.high, path.min(axis=1) == bars.low
    inner[rows, top] = np.where(touches_high, inner[rows, top], bars.high)
    inner[rows, bottom] = np.where(touches_low, inner[rows, bottom], bars.low)
    return path


class Forming(NamedTuple):
    """The minute, the hour and the day up to a tick, each as one bar."""

    minute: Bars
    hour: Bars
    day: Bars


def forming_at(seed: int, listing: Listing, grid: TickGrid, number: int) -> Forming:
    """The bars that tick `number` falls in, up to and with it."""
    slot, tick = divmod(number, grid.ticks_per_slot)
    hour = session(seed, listing, grid.hour(slot))
    now = _Ticks(*(column[0, tick : tick + 1] for column in _ticks(seed, [listing], grid, slot)))
    past = grid.minute(slot) % 60
    opened = hour.minutes.open[past : past + 1]
    minute = Bars(opened, now.minute_high, now.minute_low, now.price, now.minute_volume)
    so_far = Bars(*(np.append(column[:past], last) for column, last in zip(hour.minutes, minute, strict=True)))
    return Forming(
        minute=minute,
        hour=merged(so_far, np.zeros(1, dtype=np.int64)),
        day=Bars(np.array([hour.open]), now.day_high, now.day_low, now.price, now.day_volume),
    )


class Tape:
    """What the quote of one listing says with each tick of one slot."""

    __slots__ = ("_listing", "_open", "_previous_close", "_rows")

    def __init__(self, listing: Listing, open_: float, previous_close: float, rows: NDArray[np.float64]) -> None:
        self._listing = listing
        self._open = open_
        self._previous_close = previous_close
        self._rows = rows

    def quote(self, tick: int, time: datetime, provenance: Provenance) -> Quote:
        """The quote as tick number `tick` of the slot leaves it."""
        price, high, low, *traded = self._rows[tick].tolist()
        bid, ask, volume, turnover, bid_size, ask_size, last_size = traded if self._listing.has_volume else [None] * 7
        return Quote(
            symbol=self._listing.asset.symbol,
            price=price,
            time=time,
            provenance=provenance,
            open=self._open,
            high=high,
            low=low,
            previous_close=self._previous_close,
            volume=volume,
            turnover=turnover,
            bid=bid,
            ask=ask,
            bid_size=bid_size,
            ask_size=ask_size,
            last_size=last_size,
            currency=self._listing.asset.currency,
        )


def record(seed: int, listings: Sequence[Listing], grid: TickGrid, slot: int) -> list[Tape]:
    """The tape of each listing for one slot."""
    made = _ticks(seed, listings, grid, slot)
    # A trade is at the bid or at the ask, which are one or two ticks apart.
    spread = 1 + (made.luck & 1)
    bid = made.price - spread * (made.luck >> 1 & 1)
    depth = _column(listing.depth for listing in listings)
    bid_size, ask_size = depth * (1 + (made.luck >> 4 & 63)), depth * (1 + (made.luck >> 10 & 63))

    step = _column(listing.step for listing in listings)
    price_parts = _column(listing.price_parts for listing in listings)
    volume_parts = _column(listing.volume_parts for listing in listings)
    prices = (made.price, made.day_high, made.day_low, bid, bid + spread)
    sizes = (bid_size, ask_size, made.size)
    rows = np.stack(
        (
            *(column * step / price_parts for column in prices),
            made.day_volume / volume_parts,
            made.day_turnover * step / (3 * price_parts * volume_parts),
            *(column / volume_parts for column in sizes),
        ),
        axis=-1,
    )
    sessions = (session(seed, listing, grid.hour(slot)) for listing in listings)
    return [
        Tape(listing, listing.price_of(hour.open), listing.price_of(hour.previous_close), said)
        for listing, hour, said in zip(listings, sessions, rows, strict=True)
    ]


def _column(numbers: Iterable[int]) -> Ints:
    return np.array(list(numbers), dtype=np.int64)[:, np.newaxis]
