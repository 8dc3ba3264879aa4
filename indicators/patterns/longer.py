"""Patterns of four and five candles, and those that are confirmed later."""

import polars_talib as ta
from polars import Expr

from indicators.indicator import Candle
from indicators.patterns.pattern import Penetration, pattern


@pattern("Breakaway", after=14)
def breakaway(candle: Candle) -> Expr:
    """A long body, a gap on, two bars further on, and a candle back into the gap (Morris 1992).

    100 after a fall, -100 after a rise.
    """
    return ta.cdlbreakaway(*candle)


@pattern("Concealing Baby Swallow", after=13)
def concealing_baby_swallow(candle: Candle) -> Expr:
    """Two falling marubozu, a gap down with a shadow into the second, and a fall that engulfs it (Morris 1992).

    100 where it is, else 0.
    """
    return ta.cdlconcealbabyswall(*candle)


@pattern("Hikkake", after=5)
def hikkake(candle: Candle) -> Expr:
    """An inside bar, and a false break out of it (Chesler 2003).

    100 after a break down, -100 after a break up; 200 or -200 at a bar that confirms it, within three bars, by
    closing beyond the inside bar.
    """
    return ta.cdlhikkake(*candle)


@pattern("Ladder Bottom", after=14)
def ladder_bottom(candle: Candle) -> Expr:
    """Three falls, a fourth with an upper shadow, and a rise above its body (Morris 1992).

    100 where it is, else 0.
    """
    return ta.cdlladderbottom(*candle)


@pattern("Mat Hold", after=14)
def mat_hold(candle: Candle, penetration: Penetration = 0.5) -> Expr:
    """A long rise, three small candles that hold most of it, and a new high (Nison 1991).

    100 where it is, else 0: the rise goes on. They give back less of the first body than `penetration`, a share
    of it.
    """
    return ta.cdlmathold(*candle, penetration)


@pattern("Modified Hikkake", after=10)
def modified_hikkake(candle: Candle) -> Expr:
    """An inside bar within an inside bar that closed near an end, and a false break (Chesler 2003).

    100 after a break down, -100 after a break up; 200 or -200 at a bar that confirms it within three bars.
    """
    return ta.cdlhikkakemod(*candle)


@pattern("Rising/Falling Three Methods", after=14)
def rising_falling_three_methods(candle: Candle) -> Expr:
    """A long body, three small ones back within its range, and a long one on (Nison 1991).

    100 or -100, the sign of the first; else 0.
    """
    return ta.cdlrisefall3methods(*candle)


@pattern("Three-Line Strike", after=8)
def three_line_strike(candle: Candle) -> Expr:
    """Three candles of one colour, and one against them beyond the first (Morris 1992).

    100 or -100, the sign of the first three; else 0.
    """
    return ta.cdl3linestrike(*candle)
