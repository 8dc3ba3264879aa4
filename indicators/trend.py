"""Averages that follow the price."""

from polars import Expr

from indicators.indicator import Period, indicator
from indicators.smoothing import exponential_mean, fade


@indicator("Simple Moving Average", warm_up=lambda period: period - 1)
def sma(of: Expr, period: Period = 20) -> Expr:
    """Mean of the last `period` prices, in price units (StockCharts ChartSchool, Moving Averages).

    One value per bar; the first `period` - 1 are null.
    """
    # Polars adds up with compensation: TA-Lib's running sum keeps the rounding of every price that has left it.
    return of.rolling_mean(period)


def ema_settle(period: int) -> int:
    """Bars before a bar that its EMA still hears: the seed and what fades after it."""
    return period - 1 + fade(2 / (period + 1))


@indicator("Exponential Moving Average", warm_up=lambda period: period - 1, settle=ema_settle)
def ema(of: Expr, period: Period = 20) -> Expr:
    """Average in which older prices fade, in price units (StockCharts ChartSchool, Moving Averages).

    It begins with the mean of the first `period` prices; each further price counts 2 / (`period` + 1).
    One value per bar; the first `period` - 1 are null.
    """
    return exponential_mean(of, 2 / (period + 1), period)
