"""Patterns of two candles. The second one completes the pattern."""

import polars_talib as ta
from polars import Expr

from indicators.indicator import Candle
from indicators.patterns.pattern import Penetration, pattern


@pattern("Counterattack Lines", after=11)
def counterattack(candle: Candle) -> Expr:
    """Two long bodies of opposite colours that close at one price (Nison 1991).

    100 or -100, the sign of the second; else 0.
    """
    return ta.cdlcounterattack(*candle)


@pattern("Dark Cloud Cover", after=11)
def dark_cloud_cover(candle: Candle, penetration: Penetration = 0.5) -> Expr:
    """After a long rise, an opening above its high and a close deep inside its body (Nison 1991).

    -100 where it is, else 0. How deep is `penetration`, a share of the first body.
    """
    return ta.cdldarkcloudcover(*candle, penetration)


@pattern("Doji Star", after=11)
def doji_star(candle: Candle) -> Expr:
    """After a long body, a doji that gaps away in its direction (Nison 1991).

    -100 after a rise, 100 after a fall: a warning that it ends.
    """
    return ta.cdldojistar(*candle)


@pattern("Engulfing Pattern", after=2)
def engulfing(candle: Candle) -> Expr:
    """A body that engulfs the one before, of the other colour (Nison 1991).

    100 or -100, the sign of the second; else 0. 80 instead of 100 where the two share one end.
    """
    return ta.cdlengulfing(*candle)


@pattern("Hammer", after=11)
def hammer(candle: Candle) -> Expr:
    """A short body at the top of a long lower shadow, near or below the low before (Nison 1991).

    100 where it is, else 0.
    """
    return ta.cdlhammer(*candle)


@pattern("Hanging Man", after=11)
def hanging_man(candle: Candle) -> Expr:
    """The shape of a hammer, near or above the high before (Nison 1991).

    -100 where it is, else 0.
    """
    return ta.cdlhangingman(*candle)


@pattern("Harami", after=11)
def harami(candle: Candle) -> Expr:
    """After a long body, a short one within it (Nison 1991).

    100 after a fall, -100 after a rise; 80 where the two share one end.
    """
    return ta.cdlharami(*candle)


@pattern("Harami Cross", after=11)
def harami_cross(candle: Candle) -> Expr:
    """After a long body, a doji within it (Nison 1991).

    100 after a fall, -100 after a rise; 80 where the two share one end.
    """
    return ta.cdlharamicross(*candle)


@pattern("Homing Pigeon", after=11)
def homing_pigeon(candle: Candle) -> Expr:
    """After a long fall, a short fall within its body (Morris 1992).

    100 where it is, else 0.
    """
    return ta.cdlhomingpigeon(*candle)


@pattern("In-Neck Pattern", after=11)
def in_neck(candle: Candle) -> Expr:
    """After a long fall, a lower opening and a close just above its close (Morris 1992).

    -100 where it is, else 0: the fall goes on.
    """
    return ta.cdlinneck(*candle)


@pattern("Inverted Hammer", after=11)
def inverted_hammer(candle: Candle) -> Expr:
    """A short body under a long upper shadow, gapping down from the body before (Nison 1991).

    100 where it is, else 0.
    """
    return ta.cdlinvertedhammer(*candle)


@pattern("Kicking", after=11)
def kicking(candle: Candle) -> Expr:
    """Two marubozu of opposite colours with a gap between them (Morris 1992).

    100 or -100, the sign of the second; else 0.
    """
    return ta.cdlkicking(*candle)


@pattern("Kicking by the Longer Body", after=11)
def kicking_by_length(candle: Candle) -> Expr:
    """Two marubozu of opposite colours with a gap between them (Morris 1992).

    100 or -100, the sign of the longer; else 0.
    """
    return ta.cdlkickingbylength(*candle)


@pattern("Matching Low", after=6)
def matching_low(candle: Candle) -> Expr:
    """Two falling candles that close at one price (Morris 1992).

    100 where it is, else 0.
    """
    return ta.cdlmatchinglow(*candle)


@pattern("On-Neck Pattern", after=11)
def on_neck(candle: Candle) -> Expr:
    """After a long fall, a lower opening and a close at its low (Morris 1992).

    -100 where it is, else 0: the fall goes on.
    """
    return ta.cdlonneck(*candle)


@pattern("Piercing Pattern", after=11)
def piercing(candle: Candle) -> Expr:
    """After a long fall, an opening below its low and a long rise past the middle of its body (Nison 1991).

    100 where it is, else 0.
    """
    return ta.cdlpiercing(*candle)


@pattern("Separating Lines", after=11)
def separating_lines(candle: Candle) -> Expr:
    """A candle, then a belt hold of the other colour from the same opening (Nison 1991).

    100 or -100, the sign of the second; else 0: the trend goes on.
    """
    return ta.cdlseparatinglines(*candle)


@pattern("Shooting Star", after=11)
def shooting_star(candle: Candle) -> Expr:
    """A short body under a long upper shadow, gapping up from the body before (Nison 1991).

    -100 where it is, else 0.
    """
    return ta.cdlshootingstar(*candle)


@pattern("Thrusting Pattern", after=11)
def thrusting(candle: Candle) -> Expr:
    """After a long fall, a lower opening and a close in the lower half of its body (Morris 1992).

    -100 where it is, else 0.
    """
    return ta.cdlthrusting(*candle)
