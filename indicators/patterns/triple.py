"""Patterns of three candles. The third one completes the pattern."""

import polars_talib as ta
from polars import Expr

from indicators.indicator import Candle
from indicators.patterns.pattern import Penetration, pattern


@pattern("Abandoned Baby", after=12)
def abandoned_baby(candle: Candle, penetration: Penetration = 0.3) -> Expr:
    """A long body, a doji beyond a gap from its shadows, and a body back beyond a gap (Nison 1991).

    100 after a fall, -100 after a rise. The third closes deeper in the first body than `penetration`, a share
    of it.
    """
    return ta.cdlabandonedbaby(*candle, penetration)


@pattern("Advance Block", after=12)
def advance_block(candle: Candle) -> Expr:
    """Three rises to higher closes, each weaker than the one before (Nison 1991).

    -100 where it is, else 0.
    """
    return ta.cdladvanceblock(*candle)


@pattern("Evening Doji Star", after=12)
def evening_doji_star(candle: Candle, penetration: Penetration = 0.3) -> Expr:
    """A long rise, a doji above a gap, and a fall into the first body (Nison 1991).

    -100 where it is, else 0. The third closes deeper in the first body than `penetration`, a share of it.
    """
    return ta.cdleveningdojistar(*candle, penetration)


@pattern("Evening Star", after=12)
def evening_star(candle: Candle, penetration: Penetration = 0.3) -> Expr:
    """A long rise, a short body above a gap, and a fall into the first body (Nison 1991).

    -100 where it is, else 0. The third closes deeper in the first body than `penetration`, a share of it.
    """
    return ta.cdleveningstar(*candle, penetration)


@pattern("Gap Side-by-Side White Lines", after=7)
def gap_side_by_side_white_lines(candle: Candle) -> Expr:
    """After a gap, two rising candles of like size from like openings (Nison 1991).

    100 above an upward gap, -100 below a downward one: the trend goes on.
    """
    return ta.cdlgapsidesidewhite(*candle)


@pattern("Upside/Downside Gap Three Methods", after=2)
def gap_three_methods(candle: Candle) -> Expr:
    """Two candles of one colour with a gap, and a third that closes it (Morris 1992).

    100 or -100, the sign of the first; else 0.
    """
    return ta.cdlxsidegap3methods(*candle)


@pattern("Identical Three Crows", after=12)
def identical_three_crows(candle: Candle) -> Expr:
    """Three falls, each from the close before, all closing near their lows (Morris 1992).

    -100 where it is, else 0.
    """
    return ta.cdlidentical3crows(*candle)


@pattern("Morning Doji Star", after=12)
def morning_doji_star(candle: Candle, penetration: Penetration = 0.3) -> Expr:
    """A long fall, a doji below a gap, and a rise into the first body (Nison 1991).

    100 where it is, else 0. The third closes deeper in the first body than `penetration`, a share of it.
    """
    return ta.cdlmorningdojistar(*candle, penetration)


@pattern("Morning Star", after=12)
def morning_star(candle: Candle, penetration: Penetration = 0.3) -> Expr:
    """A long fall, a short body below a gap, and a rise into the first body (Nison 1991).

    100 where it is, else 0. The third closes deeper in the first body than `penetration`, a share of it.
    """
    return ta.cdlmorningstar(*candle, penetration)


@pattern("Stalled Pattern", after=12)
def stalled_pattern(candle: Candle) -> Expr:
    """Two long rises, and a short one that rides on the shoulder of the second (Nison 1991).

    -100 where it is, else 0.
    """
    return ta.cdlstalledpattern(*candle)


@pattern("Stick Sandwich", after=7)
def stick_sandwich(candle: Candle) -> Expr:
    """A rise between two falls that close at one price (Morris 1992).

    100 where it is, else 0.
    """
    return ta.cdlsticksandwich(*candle)


@pattern("Tasuki Gap", after=7)
def tasuki_gap(candle: Candle) -> Expr:
    """After a gap, a candle along and one of like size against it that does not close it (Nison 1991).

    100 or -100, the sign of the gap; else 0: the trend goes on.
    """
    return ta.cdltasukigap(*candle)


@pattern("Three Black Crows", after=13)
def three_black_crows(candle: Candle) -> Expr:
    """After a rise, three falls to lower closes with very short lower shadows (Nison 1991).

    -100 where it is, else 0.
    """
    return ta.cdl3blackcrows(*candle)


@pattern("Three Inside Up/Down", after=12)
def three_inside(candle: Candle) -> Expr:
    """A harami, and a close beyond the first body (Morris 1992).

    100 up, -100 down.
    """
    return ta.cdl3inside(*candle)


@pattern("Three Outside Up/Down", after=3)
def three_outside(candle: Candle) -> Expr:
    """An engulfing pattern, and a further close its way (Morris 1992).

    100 up, -100 down.
    """
    return ta.cdl3outside(*candle)


@pattern("Three Stars in the South", after=12)
def three_stars_in_the_south(candle: Candle) -> Expr:
    """Three falls that shrink, the last without shadows inside the second (Morris 1992).

    100 where it is, else 0.
    """
    return ta.cdl3starsinsouth(*candle)


@pattern("Three White Soldiers", after=12)
def three_white_soldiers(candle: Candle) -> Expr:
    """Three rises to higher closes, not weaker, with very short upper shadows (Nison 1991).

    100 where it is, else 0.
    """
    return ta.cdl3whitesoldiers(*candle)


@pattern("Tristar", after=12)
def tristar(candle: Candle) -> Expr:
    """Three doji, the second beyond a gap (Nison 1991).

    100 below, -100 above.
    """
    return ta.cdltristar(*candle)


@pattern("Two Crows", after=12)
def two_crows(candle: Candle) -> Expr:
    """A long rise, a fall above a gap, and a fall from inside that into the first body (Morris 1992).

    -100 where it is, else 0.
    """
    return ta.cdl2crows(*candle)


@pattern("Unique Three River", after=12)
def unique_three_river(candle: Candle) -> Expr:
    """A long fall, a harami with a new low, and a short rise below it (Nison 1991).

    100 where it is, else 0.
    """
    return ta.cdlunique3river(*candle)


@pattern("Upside Gap Two Crows", after=12)
def upside_gap_two_crows(candle: Candle) -> Expr:
    """A long rise, then two falls above a gap, the second engulfing the first (Nison 1991).

    -100 where it is, else 0.
    """
    return ta.cdlupsidegap2crows(*candle)
