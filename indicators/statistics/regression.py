"""The straight line through the last prices, by least squares."""

import math
from typing import Annotated

import polars as pl
from polars import Expr

from indicators.formula import kept
from indicators.indicator import Bounds, Multiple, Outputs, Sample, indicator
from indicators.momentum.rates import line_weights
from indicators.ranges import highest, lowest
from indicators.smoothing import weighted_sum

Channel = Annotated[Expr, Outputs("RegressionChannel", "upper", "middle", "lower")]
AtLeastThree = Annotated[int, Bounds(3, 1000)]


def _slope(of: Expr, period: int) -> Expr:
    after, at = line_weights(period, 1), line_weights(period, 0)
    return weighted_sum(of, [a - b for a, b in zip(after, at, strict=True)])


@indicator("Linear Regression", overlay=True, warm_up=lambda period: period - 1)
def linear_regression(of: Expr, period: Sample = 14) -> Expr:
    """Where the line through the last `period` prices ends, in price units (Achelis 2000)."""
    return weighted_sum(of, line_weights(period, period - 1))


@indicator("Linear Regression Slope", warm_up=lambda period: period - 1)
def linear_regression_slope(of: Expr, period: Sample = 14) -> Expr:
    """How much the line through the last `period` prices rises from bar to bar, in price units (Achelis 2000)."""
    return _slope(of, period)


@indicator("Linear Regression Intercept", overlay=True, warm_up=lambda period: period - 1)
def linear_regression_intercept(of: Expr, period: Sample = 14) -> Expr:
    """Where the line through the last `period` prices begins, at the oldest of them, in price units (Achelis 2000)."""
    return weighted_sum(of, line_weights(period, 0))


@indicator("Linear Regression Angle", warm_up=lambda period: period - 1)
def linear_regression_angle(of: Expr, period: Sample = 14) -> Expr:
    """Angle of the line through the last `period` prices, -90 to 90 degrees (TA-Lib, angle of the regression).

    45 is a rise of 1 price unit from bar to bar.
    """
    return _slope(of, period).arctan() * (180 / math.pi)


@indicator("Time Series Forecast", overlay=True, warm_up=lambda period: period - 1)
def time_series_forecast(of: Expr, period: Sample = 14) -> Expr:
    """Where the line through the last `period` prices is at the next bar, in price units (Achelis 2000)."""
    return weighted_sum(of, line_weights(period, period))


def _explained(of: Expr, period: int) -> Expr:
    """Population variance of the line itself."""
    return _slope(of, period).pow(2) * ((period**2 - 1) / 12)


@indicator("R-Squared", warm_up=lambda period: period - 1)
def r_squared(of: Expr, period: AtLeastThree = 14) -> Expr:
    """How much of the prices' variance the line through them explains, 0 to 1 (Achelis 2000).

    Null where the price did not move.
    """
    moved = highest(of, period) > lowest(of, period)
    return pl.when(moved).then((_explained(of, period) / of.rolling_var(period, ddof=0)).clip(0, 1))


def _error(of: Expr, period: int) -> Expr:
    # Rounding can leave less than nothing of a distance that is 0.
    left = (of.rolling_var(period, ddof=0) - _explained(of, period)).clip(lower_bound=0)
    return (left * (period / (period - 2))).sqrt()


@indicator("Standard Error", warm_up=lambda period: period - 1)
def standard_error(of: Expr, period: AtLeastThree = 14) -> Expr:
    """Standard error of the prices about the line through them, in price units (Achelis 2000)."""
    return _error(of, period)


@indicator("Linear Regression Channel", overlay=True, warm_up=lambda period, standard_errors: period - 1)
def linear_regression_channel(of: Expr, period: AtLeastThree = 20, standard_errors: Multiple = 2) -> Channel:
    """End of the line through the last `period` prices, and as many standard errors about it (Andersen 1996).

    In price units; his standard error bands, not smoothed.
    """
    width = kept(_error(of, period) * standard_errors)
    end = kept(weighted_sum(of, line_weights(period, period - 1)))
    return pl.struct(middle=end, upper=end + width, lower=end - width)
