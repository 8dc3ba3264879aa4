"""Distributions and straight lines."""

import math
import statistics

from tests.indicators.references.loops import Bars, Column, deviation, each, line, mean, rolling, share, shift

Outputs = dict[str, Column]


def standard_deviation(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, deviation)


def variance(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: deviation(w) ** 2)


def z_score(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: share(w[-1] - mean(w), deviation(w)))


def _moment(window: list[float], power: int) -> float:
    centre, spread = mean(window), deviation(window)
    return mean([((price - centre) / spread) ** power for price in window])


def skewness(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: _moment(w, 3) if min(w) < max(w) else None)


def kurtosis(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: _moment(w, 4) - 3 if min(w) < max(w) else None)


def coefficient_of_variation(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: 100 * deviation(w) / mean(w))


def median(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, statistics.median)


def mean_absolute_deviation(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: mean([abs(price - mean(w)) for price in w]))


def percent_rank(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period + 1, lambda w: 100 * sum(price < w[-1] for price in w[:-1]) / period)


def log_return(bars: Bars, period: int) -> Column:
    return each(lambda now, before: math.log(now / before), bars.of, shift(bars.of, period))


def price_volume_correlation(bars: Bars, period: int) -> Column:
    def formula(window: list[tuple[float, float]]) -> float | None:
        prices, volumes = [list(column) for column in zip(*window, strict=True)]
        if min(prices) == max(prices) or min(volumes) == max(volumes):
            return None
        return statistics.correlation(prices, volumes)

    return rolling(list(zip(bars.of, bars.volume, strict=True)), period, formula)  # type: ignore[arg-type]


def linear_regression(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: line(w)[0] + line(w)[1] * (period - 1))


def linear_regression_slope(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: line(w)[1])


def linear_regression_intercept(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: line(w)[0])


def linear_regression_angle(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: math.degrees(math.atan(line(w)[1])))


def time_series_forecast(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: line(w)[0] + line(w)[1] * period)


def _left(window: list[float]) -> float:
    """Sum of the squared distances from the line."""
    intercept, slope = line(window)
    return math.fsum((price - intercept - slope * i) ** 2 for i, price in enumerate(window))


def r_squared(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: 1 - _left(w) / (period * deviation(w) ** 2) if min(w) < max(w) else None)


def standard_error(bars: Bars, period: int) -> Column:
    return rolling(bars.of, period, lambda w: math.sqrt(_left(w) / (period - 2)))


def linear_regression_channel(bars: Bars, period: int, standard_errors: float) -> Outputs:
    centre, error = linear_regression(bars, period), standard_error(bars, period)
    return {
        "upper": each(lambda m, e: m + standard_errors * e, centre, error),
        "middle": centre,
        "lower": each(lambda m, e: m - standard_errors * e, centre, error),
    }
