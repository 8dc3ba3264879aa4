"""How the last prices are distributed."""

import polars as pl
import polars_talib as ta
from polars import Expr

from indicators.indicator import Period, Sample, indicator
from indicators.ranges import highest, lowest, ratio


def _moved(of: Expr, period: int) -> Expr:
    return highest(of, period) > lowest(of, period)


@indicator("Standard Deviation", warm_up=lambda period: period - 1)
def standard_deviation(of: Expr, period: Period = 20) -> Expr:
    """Population standard deviation of the last `period` prices, in price units (NIST Handbook, 1.3.5.6)."""
    return of.rolling_std(period, ddof=0)


@indicator("Variance", warm_up=lambda period: period - 1)
def variance(of: Expr, period: Period = 20) -> Expr:
    """Population variance of the last `period` prices, in price units squared (NIST Handbook, 1.3.5.6)."""
    return of.rolling_var(period, ddof=0)


@indicator("Z-Score", warm_up=lambda period: period - 1)
def z_score(of: Expr, period: Sample = 20) -> Expr:
    """Distance of the price from its mean, in population standard deviations (NIST Handbook, 1.3.5.17).

    Null where the price did not move.
    """
    return pl.when(_moved(of, period)).then((of - of.rolling_mean(period)) / of.rolling_std(period, ddof=0))


@indicator("Skewness", warm_up=lambda period: period - 1)
def skewness(of: Expr, period: Sample = 20) -> Expr:
    """Third standardised moment of the last `period` prices: above 0 with outliers above (NIST Handbook, 1.3.5.11).

    Null where the price did not move.
    """
    return pl.when(_moved(of, period)).then(of.rolling_skew(period))


@indicator("Kurtosis", warm_up=lambda period: period - 1)
def kurtosis(of: Expr, period: Sample = 20) -> Expr:
    """Fourth standardised moment of the last `period` prices less 3: above 0 with outliers (NIST Handbook, 1.3.5.11).

    Null where the price did not move.
    """
    return pl.when(_moved(of, period)).then(of.rolling_kurtosis(period))


@indicator("Coefficient of Variation", warm_up=lambda period: period - 1)
def coefficient_of_variation(of: Expr, period: Period = 20) -> Expr:
    """Population standard deviation in percent of the mean (NIST Handbook, 1.3.5.6). Null where that is 0."""
    return 100 * ratio(of.rolling_std(period, ddof=0), of.rolling_mean(period))


@indicator("Median", overlay=True, warm_up=lambda period: period - 1)
def median(of: Expr, period: Period = 20) -> Expr:
    """Middle one of the last `period` prices, or mean of the middle two, in price units (NIST Handbook, 1.3.5.1)."""
    return of.rolling_median(period)


@indicator("Mean Absolute Deviation", warm_up=lambda period: period - 1)
def mean_absolute_deviation(of: Expr, period: Sample = 20) -> Expr:
    """Mean distance of the last `period` prices from their mean, in price units (NIST Handbook, 1.3.5.6)."""
    # The kernel rounds a mean of equal prices.
    return pl.when(_moved(of, period)).then(ta.avgdev(of, period)).when(of.rolling_max(period).is_not_null()).then(0.0)


@indicator("Percent Rank", warm_up=lambda period: period)
def percent_rank(of: Expr, period: Period = 100) -> Expr:
    """Share of the `period` prices before that are below this one, 0 to 100 (Connors and Alvarez 2012)."""
    return (of.rolling_rank(period + 1, method="min") - 1) * (100 / period)


@indicator("Logarithmic Return", warm_up=lambda period: period)
def log_return(of: Expr, period: Period = 1) -> Expr:
    """Natural logarithm of the price as a multiple of the one `period` bars ago (Hull, Options 2018).

    Null where either is not above 0.
    """
    before = of.shift(period)
    return pl.when((of > 0) & (before > 0)).then((of / before).log())


@indicator("Price Volume Correlation", warm_up=lambda period: period - 1)
def price_volume_correlation(of: Expr, volume: Expr, period: Sample = 20) -> Expr:
    """Pearson's correlation of price and volume over the last `period` bars, -1 to 1 (Pearson 1895).

    Null where either did not move.
    """
    moved = _moved(of, period) & _moved(volume, period)
    return pl.when(moved).then(pl.rolling_corr(of, volume, window_size=period).clip(-1, 1))
