"""Candlestick patterns as TA-Lib's documentation defines them, after Nison (1991) and Morris (1992), in whole numbers.

A body or a range is measured against the mean of those before its own bar: long and short against 10 bodies, a doji
against a tenth of 10 ranges, a very short shadow likewise, a short one against the mean shadow of 10 bars; near, far
and equal are 0.2, 0.6 and 0.05 of the mean of 5 ranges. A long shadow is longer than its body, a very long one twice.
"""

from collections.abc import Callable
from functools import cached_property

from tests.indicators.references.loops import Bars, Column


class Candles:
    """Four prices of each bar in units of 1e-8; `at` is the bar that a formula looks back from."""

    def __init__(self, bars: Bars) -> None:
        columns = ([round(price * 1e8) for price in column] for column in (bars.open, bars.high, bars.low, bars.close))
        self.opens, self.highs, self.lows, self.closes = columns
        self.at = 0

    def o(self, back: int = 0) -> int:
        return self.opens[self.at - back]

    def h(self, back: int = 0) -> int:
        return self.highs[self.at - back]

    def l(self, back: int = 0) -> int:
        return self.lows[self.at - back]

    def c(self, back: int = 0) -> int:
        return self.closes[self.at - back]

    def sign(self, back: int = 0) -> int:
        return 1 if self.c(back) >= self.o(back) else -1

    def white(self, *back: int) -> bool:
        return all(self.sign(k) == 1 for k in back or (0,))

    def black(self, *back: int) -> bool:
        return all(self.sign(k) == -1 for k in back or (0,))

    def top(self, back: int = 0) -> int:
        return max(self.o(back), self.c(back))

    def bottom(self, back: int = 0) -> int:
        return min(self.o(back), self.c(back))

    def body(self, back: int = 0) -> int:
        return self.top(back) - self.bottom(back)

    def upper(self, back: int = 0) -> int:
        return self.h(back) - self.top(back)

    def lower(self, back: int = 0) -> int:
        return self.bottom(back) - self.l(back)

    @cached_property
    def _bodies(self) -> list[int]:
        return [abs(c - o) for o, c in zip(self.opens, self.closes, strict=True)]

    @cached_property
    def _ranges(self) -> list[int]:
        return [h - l for h, l in zip(self.highs, self.lows, strict=True)]

    def _mean(self, column: list[int], bars: int, back: int) -> float:
        end = self.at - back
        return sum(column[end - bars : end]) / bars

    def usual(self, back: int = 0) -> float:
        return self._mean(self._bodies, 10, back)

    def tiny(self, back: int = 0) -> float:
        return 0.1 * self._mean(self._ranges, 10, back)

    def near(self, back: int = 0) -> float:
        return 0.2 * self._mean(self._ranges, 5, back)

    def far(self, back: int = 0) -> float:
        return 0.6 * self._mean(self._ranges, 5, back)

    def same(self, one: int, other: int, back: int) -> bool:
        margin = 0.05 * self._mean(self._ranges, 5, back)
        return other - margin <= one <= other + margin

    def long(self, *back: int) -> bool:
        return all(self.body(k) > self.usual(k) for k in back or (0,))

    def short(self, back: int = 0) -> bool:
        return self.body(back) < self.usual(back)

    def doji(self, back: int = 0) -> bool:
        return self.body(back) <= self.tiny(back)

    def no_upper(self, *back: int) -> bool:
        return all(self.upper(k) < self.tiny(k) for k in back or (0,))

    def no_lower(self, *back: int) -> bool:
        return all(self.lower(k) < self.tiny(k) for k in back or (0,))

    @cached_property
    def _shadows(self) -> list[int]:
        return [whole - body for whole, body in zip(self._ranges, self._bodies, strict=True)]

    def shadow(self, back: int = 0) -> float:
        """What a short shadow is below: the mean of 10 pairs of shadows, by two."""
        return self._mean(self._shadows, 10, back) / 2

    def up(self, back: int, before: int) -> bool:
        """A gap upwards between two bodies."""
        return self.bottom(back) > self.top(before)

    def down(self, back: int, before: int) -> bool:
        """A gap downwards between two bodies."""
        return self.top(back) < self.bottom(before)


Formula = Callable[..., float]


def _pattern(after: int) -> Callable[[Formula], Callable[..., Column]]:
    def made(formula: Formula) -> Callable[..., Column]:
        def column(bars: Bars, **arguments: float) -> Column:
            candles = Candles(bars)
            out: Column = [None] * min(after, len(bars.close))
            for candles.at in range(after, len(bars.close)):
                out.append(float(formula(candles, **arguments)))
            return out

        return column

    return made


@_pattern(10)
def belt_hold(k: Candles) -> float:
    return 100 * k.sign() * (k.long() and (k.no_lower() if k.white() else k.no_upper()))


@_pattern(10)
def closing_marubozu(k: Candles) -> float:
    return 100 * k.sign() * (k.long() and (k.no_upper() if k.white() else k.no_lower()))


@_pattern(10)
def doji(k: Candles) -> float:
    return 100 * k.doji()


@_pattern(10)
def dragonfly_doji(k: Candles) -> float:
    return 100 * (k.doji() and k.no_upper() and k.lower() > k.tiny())


@_pattern(10)
def gravestone_doji(k: Candles) -> float:
    return 100 * (k.doji() and k.no_lower() and k.upper() > k.tiny())


@_pattern(10)
def high_wave(k: Candles) -> float:
    return 100 * k.sign() * (k.short() and min(k.upper(), k.lower()) > 2 * k.body())


@_pattern(10)
def long_legged_doji(k: Candles) -> float:
    return 100 * (k.doji() and max(k.upper(), k.lower()) > k.body())


@_pattern(10)
def long_line(k: Candles) -> float:
    return 100 * k.sign() * (k.long() and max(k.upper(), k.lower()) < k.shadow())


@_pattern(10)
def marubozu(k: Candles) -> float:
    return 100 * k.sign() * (k.long() and k.no_upper() and k.no_lower())


@_pattern(10)
def rickshaw_man(k: Candles) -> float:
    centre = k.l() + (k.h() - k.l()) / 2
    inside = k.bottom() <= centre + k.near() and k.top() >= centre - k.near()
    return 100 * (k.doji() and min(k.upper(), k.lower()) > k.body() and inside)


@_pattern(10)
def short_line(k: Candles) -> float:
    return 100 * k.sign() * (k.short() and max(k.upper(), k.lower()) < k.shadow())


@_pattern(10)
def spinning_top(k: Candles) -> float:
    return 100 * k.sign() * (k.short() and min(k.upper(), k.lower()) > k.body())


@_pattern(10)
def takuri(k: Candles) -> float:
    return 100 * (k.doji() and k.no_upper() and k.lower() > 2 * k.body())


@_pattern(11)
def counterattack(k: Candles) -> float:
    return 100 * k.sign() * (k.sign(1) == -k.sign() and k.long(1, 0) and k.same(k.c(), k.c(1), 1))


@_pattern(11)
def dark_cloud_cover(k: Candles, penetration: float) -> float:
    deep = k.o(1) < k.c() < k.c(1) - k.body(1) * penetration
    return -100 * (k.white(1) and k.long(1) and k.black() and k.o() > k.h(1) and deep)


@_pattern(11)
def doji_star(k: Candles) -> float:
    gap = k.up(0, 1) if k.white(1) else k.down(0, 1)
    return -100 * k.sign(1) * (k.long(1) and k.doji() and gap)


@_pattern(2)
def engulfing(k: Candles) -> float:
    over = k.top() >= k.top(1) and k.bottom() <= k.bottom(1)
    ends = (k.top() == k.top(1)) + (k.bottom() == k.bottom(1))
    return k.sign() * (80 if ends else 100) * (k.sign() == -k.sign(1) and over and ends < 2)


def _umbrella(k: Candles) -> bool:
    return k.short() and k.lower() > k.body() and k.no_upper()


@_pattern(11)
def hammer(k: Candles) -> float:
    return 100 * (_umbrella(k) and k.bottom() <= k.l(1) + k.near(1))


@_pattern(11)
def hanging_man(k: Candles) -> float:
    return -100 * (_umbrella(k) and k.bottom() >= k.h(1) - k.near(1))


def _within(k: Candles) -> float:
    if k.top() < k.top(1) and k.bottom() > k.bottom(1):
        return -100 * k.sign(1)
    return -80 * k.sign(1) * (k.top() <= k.top(1) and k.bottom() >= k.bottom(1))


@_pattern(11)
def harami(k: Candles) -> float:
    return _within(k) * (k.long(1) and not k.long())


@_pattern(11)
def harami_cross(k: Candles) -> float:
    return _within(k) * (k.long(1) and k.doji())


@_pattern(11)
def homing_pigeon(k: Candles) -> float:
    return 100 * (k.black(1, 0) and k.long(1) and not k.long() and k.o() < k.o(1) and k.c() > k.c(1))


@_pattern(11)
def in_neck(k: Candles) -> float:
    close = k.c() >= k.c(1) and k.same(k.c(), k.c(1), 1)
    return -100 * (k.black(1) and k.long(1) and k.white() and k.o() < k.l(1) and close)


@_pattern(11)
def inverted_hammer(k: Candles) -> float:
    return 100 * (k.short() and k.upper() > k.body() and k.no_lower() and k.down(0, 1))


def _kicks(k: Candles) -> bool:
    gap = k.l() > k.h(1) if k.black(1) else k.h() < k.l(1)
    return k.sign(1) == -k.sign() and k.long(1, 0) and k.no_upper(1, 0) and k.no_lower(1, 0) and gap


@_pattern(11)
def kicking(k: Candles) -> float:
    return 100 * k.sign() * _kicks(k)


@_pattern(11)
def kicking_by_length(k: Candles) -> float:
    return 100 * (k.sign() if k.body() > k.body(1) else k.sign(1)) * _kicks(k)


@_pattern(6)
def matching_low(k: Candles) -> float:
    return 100 * (k.black(1, 0) and k.same(k.c(), k.c(1), 1))


@_pattern(11)
def on_neck(k: Candles) -> float:
    return -100 * (k.black(1) and k.long(1) and k.white() and k.o() < k.l(1) and k.same(k.c(), k.l(1), 1))


@_pattern(11)
def piercing(k: Candles) -> float:
    deep = k.c(1) + k.body(1) * 0.5 < k.c() < k.o(1)
    return 100 * (k.black(1) and k.white() and k.long(1, 0) and k.o() < k.l(1) and deep)


@_pattern(11)
def separating_lines(k: Candles) -> float:
    belt = k.long() and (k.no_lower() if k.white() else k.no_upper())
    return 100 * k.sign() * (k.sign(1) == -k.sign() and k.same(k.o(), k.o(1), 1) and belt)


@_pattern(11)
def shooting_star(k: Candles) -> float:
    return -100 * (k.short() and k.upper() > k.body() and k.no_lower() and k.up(0, 1))


@_pattern(11)
def thrusting(k: Candles) -> float:
    half = k.c() <= k.c(1) + k.body(1) * 0.5 and k.c() > k.c(1) and not k.same(k.c(), k.c(1), 1)
    return -100 * (k.black(1) and k.long(1) and k.white() and k.o() < k.l(1) and half)


@_pattern(12)
def abandoned_baby(k: Candles, penetration: float) -> float:
    if k.white(2):
        alone = k.l(1) > k.h(2) and k.h() < k.l(1) and k.c() < k.c(2) - k.body(2) * penetration
    else:
        alone = k.h(1) < k.l(2) and k.l() > k.h(1) and k.c() > k.c(2) + k.body(2) * penetration
    return 100 * k.sign() * (k.sign(2) == -k.sign() and k.long(2) and k.doji(1) and k.long() and alone)


def _advance(k: Candles, later: int, before: int) -> bool:
    """A white candle that opens in or near the white body before it, and closes higher."""
    opens = k.o(before) < k.o(later) <= k.c(before) + k.near(before)
    return k.white(before, later) and opens and k.c(later) > k.c(before)


@_pattern(12)
def advance_block(k: Candles) -> float:
    weaker = (
        (k.body(1) < k.body(2) - k.far(2) and k.body() < k.body(1) + k.near(1))
        or k.body() < k.body(1) - k.far(1)
        or (k.body() < k.body(1) < k.body(2) and (k.upper() > k.shadow() or k.upper(1) > k.shadow(1)))
        or (k.body() < k.body(1) and k.upper() > k.body())
    )
    return -100 * (_advance(k, 1, 2) and _advance(k, 0, 1) and k.long(2) and k.upper(2) < k.shadow(2) and weaker)


def _evening(k: Candles, star: bool, penetration: float) -> float:
    back = k.black() and k.long() and k.c() < k.c(2) - k.body(2) * penetration
    return -100 * (k.white(2) and k.long(2) and star and k.up(1, 2) and back)


def _morning(k: Candles, star: bool, penetration: float) -> float:
    back = k.white() and k.long() and k.c() > k.c(2) + k.body(2) * penetration
    return 100 * (k.black(2) and k.long(2) and star and k.down(1, 2) and back)


@_pattern(12)
def evening_doji_star(k: Candles, penetration: float) -> float:
    return _evening(k, k.doji(1), penetration)


@_pattern(12)
def evening_star(k: Candles, penetration: float) -> float:
    return _evening(k, not k.long(1), penetration)


@_pattern(12)
def morning_doji_star(k: Candles, penetration: float) -> float:
    return _morning(k, k.doji(1), penetration)


@_pattern(12)
def morning_star(k: Candles, penetration: float) -> float:
    return _morning(k, not k.long(1), penetration)


@_pattern(7)
def gap_side_by_side_white_lines(k: Candles) -> float:
    above, below = k.up(1, 2) and k.up(0, 2), k.down(1, 2) and k.down(0, 2)
    alike = k.body(1) - k.near(1) <= k.body() <= k.body(1) + k.near(1) and k.same(k.o(), k.o(1), 1)
    return (100 * above - 100 * below) * (k.white(1, 0) and alike)


@_pattern(2)
def gap_three_methods(k: Candles) -> float:
    gap = k.up(1, 2) if k.white(2) else k.down(1, 2)
    fills = k.bottom(1) < k.o() < k.top(1) and k.bottom(2) < k.c() < k.top(2)
    return 100 * k.sign(2) * (k.sign(2) == k.sign(1) == -k.sign() and fills and gap)


@_pattern(12)
def identical_three_crows(k: Candles) -> float:
    from_close = k.same(k.o(1), k.c(2), 2) and k.same(k.o(), k.c(1), 1)
    return -100 * (k.black(2, 1, 0) and k.no_lower(2, 1, 0) and k.c(2) > k.c(1) > k.c() and from_close)


@_pattern(12)
def stalled_pattern(k: Candles) -> float:
    rises = k.white(2, 1, 0) and k.c(2) < k.c(1) < k.c() and k.long(2, 1) and k.no_upper(1)
    opens = k.o(2) < k.o(1) <= k.c(2) + k.near(2) and k.o() >= k.c(1) - k.body() - k.near(1)
    return -100 * (rises and opens and k.short())


@_pattern(7)
def stick_sandwich(k: Candles) -> float:
    return 100 * (k.black(2) and k.white(1) and k.black() and k.l(1) > k.c(2) and k.same(k.c(), k.c(2), 2))


@_pattern(7)
def tasuki_gap(k: Candles) -> float:
    if k.white(1):
        inside = k.o(1) < k.o() < k.c(1) and k.top(2) < k.c() < k.o(1) and k.up(1, 2)
    else:
        inside = k.c(1) < k.o() < k.o(1) and k.o(1) < k.c() < k.bottom(2) and k.down(1, 2)
    return 100 * k.sign(1) * (k.sign() == -k.sign(1) and inside and abs(k.body(1) - k.body()) < k.near(1))


@_pattern(13)
def three_black_crows(k: Candles) -> float:
    opens = k.c(2) < k.o(1) < k.o(2) and k.c(1) < k.o() < k.o(1)
    falls = k.h(3) > k.c(2) > k.c(1) > k.c()
    return -100 * (k.white(3) and k.black(2, 1, 0) and k.no_lower(2, 1, 0) and opens and falls)


@_pattern(12)
def three_inside(k: Candles) -> float:
    inside = k.long(2) and not k.long(1) and k.top(1) < k.top(2) and k.bottom(1) > k.bottom(2)
    beyond = k.black() and k.c() < k.o(2) if k.white(2) else k.white() and k.c() > k.o(2)
    return -100 * k.sign(2) * (inside and beyond)


@_pattern(3)
def three_outside(k: Candles) -> float:
    over = k.top(1) > k.top(2) and k.bottom(1) < k.bottom(2)
    further = k.c() > k.c(1) if k.white(1) else k.c() < k.c(1)
    return 100 * k.sign(1) * (k.sign(1) == -k.sign(2) and over and further)


@_pattern(12)
def three_stars_in_the_south(k: Candles) -> float:
    first = k.long(2) and k.lower(2) > k.body(2)
    second = (
        k.body(1) < k.body(2) and k.c(2) < k.o(1) <= k.h(2) and k.l(2) <= k.l(1) < k.c(2) and k.lower(1) > k.tiny(1)
    )
    third = k.short() and k.no_upper() and k.no_lower() and k.l() > k.l(1) and k.h() < k.h(1)
    return 100 * (k.black(2, 1, 0) and first and second and third)


@_pattern(12)
def three_white_soldiers(k: Candles) -> float:
    strong = k.body(1) > k.body(2) - k.far(2) and k.body() > k.body(1) - k.far(1) and k.long()
    return 100 * (_advance(k, 1, 2) and _advance(k, 0, 1) and k.no_upper(2, 1, 0) and strong)


@_pattern(12)
def tristar(k: Candles) -> float:
    if not all(k.body(back) <= k.tiny(2) for back in (2, 1, 0)):
        return 0
    return 100 * (k.down(1, 2) and k.bottom() > k.bottom(1)) - 100 * (k.up(1, 2) and k.top() < k.top(1))


@_pattern(12)
def two_crows(k: Candles) -> float:
    into = k.c(1) < k.o() < k.o(1) and k.o(2) < k.c() < k.c(2)
    return -100 * (k.white(2) and k.long(2) and k.black(1, 0) and k.up(1, 2) and into)


@_pattern(12)
def unique_three_river(k: Candles) -> float:
    second = k.c(1) > k.c(2) and k.o(1) <= k.o(2) and k.l(1) < k.l(2)
    return 100 * (k.black(2, 1) and k.long(2) and second and k.short() and k.white() and k.o() > k.l(1))


@_pattern(12)
def upside_gap_two_crows(k: Candles) -> float:
    crows = k.black(1, 0) and not k.long(1) and k.up(1, 2)
    return -100 * (k.white(2) and k.long(2) and crows and k.o() > k.o(1) and k.c(2) < k.c() < k.c(1))


@_pattern(14)
def breakaway(k: Candles) -> float:
    if k.white(4):
        away = k.up(3, 4) and k.h(3) < k.h(2) < k.h(1) and k.l(3) < k.l(2) < k.l(1) and k.c(4) < k.c() < k.o(3)
    else:
        away = k.down(3, 4) and k.h(3) > k.h(2) > k.h(1) and k.l(3) > k.l(2) > k.l(1) and k.o(3) < k.c() < k.c(4)
    return 100 * k.sign() * (k.long(4) and k.sign(4) == k.sign(3) == k.sign(1) == -k.sign() and away)


@_pattern(13)
def concealing_baby_swallow(k: Candles) -> float:
    shadow = k.down(1, 2) and k.upper(1) > k.tiny(1) and k.h(1) > k.c(2)
    over = k.h() > k.h(1) and k.l() < k.l(1)
    return 100 * (k.black(3, 2, 1, 0) and k.no_upper(3, 2) and k.no_lower(3, 2) and shadow and over)


def _break(k: Candles, back: int, modified: bool) -> int:
    """1 where a bar breaks down out of an inside bar, -1 up, 0 otherwise."""
    inside = k.h(back + 1) < k.h(back + 2) and k.l(back + 1) > k.l(back + 2)
    down = k.h(back) < k.h(back + 1) and k.l(back) < k.l(back + 1)
    up = k.h(back) > k.h(back + 1) and k.l(back) > k.l(back + 1)
    if modified:
        second = back + 2
        inside = inside and k.h(second) < k.h(second + 1) and k.l(second) > k.l(second + 1)
        down = down and k.c(second) <= k.l(second) + k.near(second)
        up = up and k.c(second) >= k.h(second) - k.near(second)
    return inside * (down - up)


def _hikkake(k: Candles, modified: bool) -> float:
    if side := _break(k, 0, modified):
        return 100 * side
    confirmed = False
    for back in (1, 2, 3):
        side = _break(k, back, modified)
        if side:  # the latest break; an earlier confirmation ends it
            inside = k.at - back - 1
            beyond = [
                k.closes[at] > k.highs[inside] if side > 0 else k.closes[at] < k.lows[inside]
                for at in range(k.at - back + 1, k.at + 1)
            ]
            confirmed = beyond[-1] and not any(beyond[:-1])
            break
    return 200 * side * confirmed


@_pattern(5)
def hikkake(k: Candles) -> float:
    return _hikkake(k, modified=False)


@_pattern(10)
def modified_hikkake(k: Candles) -> float:
    return _hikkake(k, modified=True)


@_pattern(14)
def ladder_bottom(k: Candles) -> float:
    falls = k.black(4, 3, 2, 1) and k.o(4) > k.o(3) > k.o(2) and k.c(4) > k.c(3) > k.c(2)
    return 100 * (falls and k.upper(1) > k.tiny(1) and k.white() and k.o() > k.o(1) and k.c() > k.h(1))


@_pattern(14)
def mat_hold(k: Candles, penetration: float) -> float:
    small = k.short(3) and k.short(2) and k.short(1) and k.black(3) and k.up(3, 4)
    floor = k.c(4) - k.body(4) * penetration
    holds = all(floor < k.bottom(back) < k.c(4) for back in (2, 1)) and k.top(1) < k.top(2) < k.o(3)
    new_high = k.o() > k.c(1) and k.c() > max(k.h(3), k.h(2), k.h(1))
    return 100 * (k.white(4, 0) and k.long(4) and small and holds and new_high)


@_pattern(14)
def rising_falling_three_methods(k: Candles) -> float:
    side = k.sign(4)
    small = all(k.short(back) and k.sign(back) == -side for back in (3, 2, 1))
    within = all(k.bottom(back) < k.h(4) and k.top(back) > k.l(4) for back in (3, 2, 1))
    back = side * k.c(3) > side * k.c(2) > side * k.c(1)
    on = k.sign() == side and side * k.o() > side * k.c(1) and side * k.c() > side * k.c(4)
    return 100 * side * (k.long(4, 0) and small and within and back and on)


@_pattern(8)
def three_line_strike(k: Candles) -> float:
    side = k.sign(1)
    opens = all(k.bottom(back) - k.near(back) <= k.o(back - 1) <= k.top(back) + k.near(back) for back in (3, 2))
    closes = side * k.c(1) > side * k.c(2) > side * k.c(3)
    strike = side * k.o() > side * k.c(1) and side * k.c() < side * k.o(3)
    return 100 * side * (k.sign(3) == k.sign(2) == side == -k.sign() and opens and closes and strike)
