"""Patterns of one candle."""

import polars_talib as ta
from polars import Expr

from indicators.indicator import Candle
from indicators.patterns.pattern import pattern


@pattern("Belt Hold", after=10)
def belt_hold(candle: Candle) -> Expr:
    """A long body that opens at the low and rises, or opens at the high and falls (Morris 1992)."""
    return ta.cdlbelthold(*candle)


@pattern("Closing Marubozu", after=10)
def closing_marubozu(candle: Candle) -> Expr:
    """A long body that closes at its high (100) or at its low (-100) (Morris 1992)."""
    return ta.cdlclosingmarubozu(*candle)


@pattern("Doji", after=10)
def doji(candle: Candle) -> Expr:
    """Open and close all but equal: nobody has won (Nison 1991).

    100 where it is, of no direction; else 0.
    """
    return ta.cdldoji(*candle)


@pattern("Dragonfly Doji", after=10)
def dragonfly_doji(candle: Candle) -> Expr:
    """A doji at the top of its range: a long lower shadow and none above (Nison 1991).

    100 where it is, else 0.
    """
    return ta.cdldragonflydoji(*candle)


@pattern("Gravestone Doji", after=10)
def gravestone_doji(candle: Candle) -> Expr:
    """A doji at the bottom of its range: a long upper shadow and none below (Nison 1991).

    100 where it is, else 0.
    """
    return ta.cdlgravestonedoji(*candle)


@pattern("High-Wave Candle", after=10)
def high_wave(candle: Candle) -> Expr:
    """A short body between two very long shadows (Nison 1994).

    100 or -100, the sign of the body; else 0.
    """
    return ta.cdlhighwave(*candle)


@pattern("Long-Legged Doji", after=10)
def long_legged_doji(candle: Candle) -> Expr:
    """A doji with a long shadow on at least one side (Nison 1991).

    100 where it is, of no direction; else 0.
    """
    return ta.cdllongleggeddoji(*candle)


@pattern("Long Line", after=10)
def long_line(candle: Candle) -> Expr:
    """A long body with short shadows (Morris 1992).

    100 or -100, the sign of the body; else 0.
    """
    return ta.cdllongline(*candle)


@pattern("Marubozu", after=10)
def marubozu(candle: Candle) -> Expr:
    """A long body all but without shadows (Nison 1991).

    100 or -100, the sign of the body; else 0.
    """
    return ta.cdlmarubozu(*candle)


@pattern("Rickshaw Man", after=10)
def rickshaw_man(candle: Candle) -> Expr:
    """A doji in the middle between two long shadows (Nison 1991).

    100 where it is, of no direction; else 0.
    """
    return ta.cdlrickshawman(*candle)


@pattern("Short Line", after=10)
def short_line(candle: Candle) -> Expr:
    """A short body with short shadows (Morris 1992).

    100 or -100, the sign of the body; else 0.
    """
    return ta.cdlshortline(*candle)


@pattern("Spinning Top", after=10)
def spinning_top(candle: Candle) -> Expr:
    """A short body between shadows that are longer than it (Nison 1991).

    100 or -100, the sign of the body; else 0.
    """
    return ta.cdlspinningtop(*candle)


@pattern("Takuri Line", after=10)
def takuri(candle: Candle) -> Expr:
    """A dragonfly doji with a very long lower shadow (Morris 1992).

    100 where it is, else 0.
    """
    return ta.cdltakuri(*candle)
