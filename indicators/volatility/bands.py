"""Bands and channels around the price."""

from typing import Annotated

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Multiple, Outputs, Period, Sample, indicator
from indicators.ranges import highest, lowest, ratio
from indicators.trend.averages import ema, ema_settle, sma, smma_settle
from indicators.volatility.ranges import atr

Bands = Annotated[Expr, Outputs("Bands", "upper", "middle", "lower")]


def _about(centre: Expr, width: Expr) -> Expr:
    centre, width = kept(centre), kept(width)
    return pl.struct(upper=centre + width, middle=centre, lower=centre - width)


@indicator("Bollinger Bands", overlay=True, warm_up=lambda period, standard_deviations: period - 1)
def bollinger_bands(of: Expr, period: Period = 20, standard_deviations: Multiple = 2) -> Bands:
    """The SMA, and as many population standard deviations above and below it, in price units (Bollinger 2001).

    Where nothing moved, the three coincide.
    """
    return _about(of.rolling_mean(period), of.rolling_std(period, ddof=0) * standard_deviations)


@indicator("Bollinger %b", warm_up=lambda period, standard_deviations: period - 1)
def bollinger_percent_b(of: Expr, period: Sample = 20, standard_deviations: Multiple = 2) -> Expr:
    """Where the price stands between its Bollinger Bands: 0 at the lower, 1 at the upper (Bollinger 2001).

    Null where the price did not move.
    """
    width = kept(of.rolling_std(period, ddof=0) * standard_deviations)
    place = (of - of.rolling_mean(period) + width) / (2 * width)
    return pl.when(highest(of, period) > lowest(of, period)).then(place)


@indicator("Bollinger BandWidth", warm_up=lambda period, standard_deviations: period - 1)
def bollinger_band_width(of: Expr, period: Period = 20, standard_deviations: Multiple = 2) -> Expr:
    """Distance of the Bollinger Bands, in percent of the middle one (Bollinger 2001). Null where that is 0."""
    return ratio(200 * standard_deviations * of.rolling_std(period, ddof=0), of.rolling_mean(period))


@indicator(
    "Keltner Channels",
    overlay=True,
    warm_up=lambda period, atr_period, multiplier: max(period - 1, atr_period),
    settle=lambda period, atr_period, multiplier: max(ema_settle(period), 2 * smma_settle(atr_period) + 1),
)
def keltner_channels(
    of: Expr, high: Expr, low: Expr, close: Expr, period: Period = 20, atr_period: Period = 10, multiplier: Multiple = 2
) -> Bands:
    """The EMA, and as many ATRs above and below it, in price units (Keltner 1960, as Raschke draws it)."""
    return _about(ema(of, period), atr(high, low, close, atr_period) * multiplier)


@indicator("Donchian Channels", overlay=True, warm_up=lambda period: period - 1)
def donchian_channels(high: Expr, low: Expr, period: Period = 20) -> Bands:
    """Highest high and lowest low of the last `period` bars, and their middle, in price units (Donchian 1960)."""
    top, bottom = kept(highest(high, period)), kept(lowest(low, period))
    return pl.struct(upper=top, middle=(top + bottom) / 2, lower=bottom)


@indicator("Acceleration Bands", overlay=True, warm_up=lambda period: period - 1)
def acceleration_bands(high: Expr, low: Expr, close: Expr, period: Period = 20) -> Bands:
    """SMA of the closes, and of highs and lows pushed apart by four times their relative range (Headley 2002).

    In price units. Where high and low are 0 they are not pushed.
    """
    push = kept(ratio(4 * (high - low), high + low, otherwise=0))
    return pl.struct(
        upper=sma(high * (1 + push), period), middle=sma(close, period), lower=sma(low * (1 - push), period)
    )
