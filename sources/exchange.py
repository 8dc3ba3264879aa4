"""A make-believe exchange, always open: every price is a pure function of seed, listing and time.

The market is made from the top down. A day's bar comes from a random walk; its 24 hours are a seeded path
that starts at its open, ends at its close, touches its high and its low, and never leaves them; the minutes of
an hour and the ticks of a minute are made in the same way. So finer always adds up to coarser, and any stretch of
any interval is made directly, without what came before it.

All arithmetic is on whole numbers, and all chance is a hash of a counter (splitmix64): one seed is one market on
every machine. Times are counts since 1970: day 0, hour 0 and minute 0 begin with it. Prices are in ticks of the
listing, volumes in its units; `sources.listing` says how much those are.
"""

from functools import lru_cache
from hashlib import blake2b
from math import isqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from market import AssetType
from sources.listing import Listing

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]


class Bars(NamedTuple):
    """Bars column by column; all columns have the same shape."""

    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints

    def cut(self, start: int, stop: int) -> "Bars":
        """The bars from `start` up to `stop`."""
        return Bars(*(column[start:stop] for column in self))


# Chance.

_GOLDEN: Final = 0x9E3779B97F4A7C15
_LOW_QUARTERS: Final = 0x0000FFFF0000FFFF
_QUARTER: Final = 0xFFFF
_DEVIATION: Final = 37837  # standard deviation of _bell


@lru_cache(maxsize=16384)
def seeded(seed: int, symbol: str, purpose: str) -> Hashes:
    """The key of all draws for one purpose, as an array of one."""
    digest = blake2b(f"{seed}:{symbol}:{purpose}".encode(), digest_size=8).digest()
    return np.array([int.from_bytes(digest, "little")], dtype=np.uint64)


def mixed(bits: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def draw(key: Hashes, counter: Ints) -> Hashes:
    """64 random bits for each key and counter."""
    return mixed(key + counter.astype(np.uint64) * _GOLDEN)


def _bell(bits: Hashes) -> Ints:
    """Near-normal numbers around 0, of deviation _DEVIATION, never beyond ±131070: the sum of the four quarters."""
    pairs = (bits & _LOW_QUARTERS) + ((bits >> 16) & _LOW_QUARTERS)
    return ((pairs & 0xFFFFFFFF) + (pairs >> 32)).view(np.int64) - 2 * _QUARTER


def quarters(bits: Hashes) -> tuple[Ints, Ints, Ints, Ints]:
    """Four even numbers of 0 to 65535 each."""
    signed = bits.view(np.int64)
    return signed & _QUARTER, signed >> 16 & _QUARTER, signed >> 32 & _QUARTER, signed >> 48 & _QUARTER


# Days.

_POINT: Final = 12  # binary places of a price between ticks
_ONE: Final = 1 << 20  # the relative moves are in parts of this
_LEVELS: Final = np.arange(11, -1, -1)[:, np.newaxis]
_ANCHOR_LEVEL: Final = 12  # the walk is pinned near the listed price every 4096 days
_CALM_LEVEL: Final = 7  # swings of more than 128 days are no wider than those of 128


@lru_cache(maxsize=64)
def _amplitude(volatility: int, level: int) -> int:
    """The deviation, in parts of _ONE, of a point from the mean of the two points 2**`level` days away.

    It is that of a Brownian bridge, so that the daily moves come out as the yearly volatility says.
    """
    return isqrt((volatility * _ONE) ** 2 * 2 ** min(level, _CALM_LEVEL) // (2 * 365 * 100**2))


def _moved(price: Ints, shift: Ints) -> Ints:
    """`price` times 1 + `shift`, or divided by it where negative: it stays above 0, and up undoes down."""
    moved: Ints = price * (_ONE + np.maximum(shift, 0)) // (_ONE + np.maximum(-shift, 0))
    return moved


def _closes(seed: int, listing: Listing, number: Ints) -> Ints:
    """The close of each day, with _POINT binary places: midpoints set between midpoints, down from the anchors."""
    symbol, volatility = listing.asset.symbol, listing.volatility
    anchor_key = seeded(seed, symbol, "anchor")

    def anchor(index: Ints) -> Ints:
        shift = _bell(draw(anchor_key, index)) * _amplitude(volatility, _ANCHOR_LEVEL) // _DEVIATION
        return _moved(np.full_like(index, listing.price << _POINT), shift)

    left, right = anchor(number >> _ANCHOR_LEVEL), anchor((number >> _ANCHOR_LEVEL) + 1)
    middle = (number >> (_LEVELS + 1) << (_LEVELS + 1)) + (1 << _LEVELS)
    amplitude = np.array([[_amplitude(volatility, level)] for level in _LEVELS[:, 0].tolist()])
    shift = _bell(draw(seeded(seed, symbol, "close"), middle)) * amplitude // _DEVIATION
    is_later = number >> _LEVELS & 1
    for level in range(len(_LEVELS)):
        price = _moved((left + right) >> 1, shift[level])
        left = left + (price - left) * is_later[level]
        right = price + (right - price) * is_later[level]
    return left


def days(seed: int, listing: Listing, first: int, last: int) -> Bars:
    """The bars of the days from `first` up to `last`."""
    symbol, deviation = listing.asset.symbol, _amplitude(listing.volatility, 1)
    number = np.arange(first, last)
    closes = _closes(seed, listing, np.arange(first - 1, last))
    gap = _bell(draw(seeded(seed, symbol, "gap"), number)) * (deviation // 4) // _DEVIATION
    open_ = (_moved(closes[:-1], gap) + (1 << (_POINT - 1))) >> _POINT
    close = (closes[1:] + (1 << (_POINT - 1))) >> _POINT
    top, bottom = np.maximum(open_, close), np.minimum(open_, close)
    # A Brownian day goes 0.4 deviations beyond its open and close on either side.
    reach = deviation * 8 // 5
    a, b, c, d = quarters(draw(seeded(seed, symbol, "range"), number))
    high = top + (top * (reach * (a * b >> 16) >> 16) >> 20)
    low = bottom - (bottom * (reach * (c * d >> 16) >> 16) >> 20)
    # A wide day is a busy day.
    width = ((high - low) << 16) // np.maximum(top * reach >> 20, 1)
    luck = quarters(draw(seeded(seed, symbol, "volume"), number))[0]
    volume = listing.daily_volume * (luck + width) // 98304
    return Bars(open_, high, low, close, volume)


# From a bar to its parts.

EVEN: Final = np.full(60, 16)
_U_SHAPE: Final = np.array([16 + (hour - 11) * (hour - 12) // 3 for hour in range(24)])  # 16 to 60
_ROUND_THE_CLOCK: Final = frozenset({AssetType.FOREX, AssetType.CRYPTO})


def paths(noise: Hashes, bars: Bars) -> Ints:
    """For each bar a random walk of `noise.shape[1]` steps from its open to its close, reflected at high and low."""
    steps = noise.shape[1]
    step = np.arange(1, steps + 1)
    walk = _bell(noise).cumsum(axis=1)
    bridge = walk - walk[:, -1:] * step // steps
    room = (bars.high - bars.low << _POINT)[:, np.newaxis]
    # A Brownian walk has a range of 1.6 deviations, so the steps are as wide as the bar's own range says.
    swing = bridge * room // isqrt((_DEVIATION * 8 // 5) ** 2 * steps)
    rise = ((bars.open - bars.low) * steps)[:, np.newaxis] + (bars.close - bars.open)[:, np.newaxis] * step
    height = ((rise << _POINT) // steps + swing) % np.maximum(2 * room, 1)
    folded = np.minimum(height, 2 * room - height)
    path = bars.low[:, np.newaxis] + ((folded + (1 << (_POINT - 1))) >> _POINT)
    return np.concatenate((bars.open[:, np.newaxis], path), axis=1)


def shares(total: Ints, weight: Ints) -> Ints:
    """Each row's `total` shared out by `weight`, to the last unit."""
    reached = weight.cumsum(axis=1)
    edge: Ints = total[:, np.newaxis] * reached // reached[:, -1:]
    edge[:, 1:] -= edge[:, :-1].copy()
    return edge


def parts(key: Hashes, bars: Bars, curve: Ints) -> Bars:
    """Each bar in `len(curve)` parts, one row a bar; `curve` says how the volume lies over them."""
    count = len(curve)
    noise = draw(key[:, np.newaxis], np.arange(count))
    path = paths(noise, bars)
    opens, closes = path[:, :-1], path[:, 1:]
    a, b, c, d = quarters(mixed(noise))
    reach = (bars.high - bars.low << 16)[:, np.newaxis] // isqrt(count << 16) * 256
    top, bottom = bars.high[:, np.newaxis], bars.low[:, np.newaxis]
    high = np.minimum(np.maximum(opens, closes) + (reach * (a * b >> 16) >> 32), top)
    low = np.maximum(np.minimum(opens, closes) - (reach * (c * d >> 16) >> 32), bottom)
    rows = np.arange(len(high))
    high[rows, high.argmax(axis=1)] = bars.high
    low[rows, low.argmin(axis=1)] = bars.low
    return Bars(opens, high, low, closes, shares(bars.volume, curve * (64 + (a >> 8))))


def _series(key: Hashes, whole: Bars, first_whole: int, curve: Ints, first: int, last: int) -> Bars:
    """The parts from `first` up to `last` of a row of bars that begins with number `first_whole`."""
    number = np.arange(first_whole, first_whole + len(whole.open))
    made = parts(draw(key, number), whole, curve)
    skipped = first_whole * len(curve)
    return Bars(*(column.reshape(-1) for column in made)).cut(first - skipped, last - skipped)


def hours(seed: int, listing: Listing, first: int, last: int) -> Bars:
    """The bars of the hours from `first` up to `last`."""
    first_day = first // 24
    whole = days(seed, listing, first_day, -(-last // 24))
    curve = EVEN[:24] if listing.asset.type in _ROUND_THE_CLOCK else _U_SHAPE
    return _series(seeded(seed, listing.asset.symbol, "hour"), whole, first_day, curve, first, last)


def minutes(seed: int, listing: Listing, first: int, last: int) -> Bars:
    """The bars of the minutes from `first` up to `last`."""
    first_hour = first // 60
    whole = hours(seed, listing, first_hour, -(-last // 60))
    return _series(seeded(seed, listing.asset.symbol, "minute"), whole, first_hour, EVEN, first, last)


def merged(bars: Bars, starts: Ints) -> Bars:
    """The bars joined into longer ones, each of which begins where `starts` says."""
    ends = np.append(starts[1:], len(bars.open)) - 1
    return Bars(
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[ends],
        np.add.reduceat(bars.volume, starts),
    )
