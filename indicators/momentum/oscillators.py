"""Where the price stands in its range, and how one average stands to another."""

from typing import Annotated

import polars as pl
import polars_talib as ta
from polars import Expr

from errors import InvalidParameter
from indicators.formula import kept
from indicators.indicator import Outputs, Period, Sample, indicator
from indicators.ranges import gap_range, highest, lives, lowest, ratio, share
from indicators.smoothing import fade, weighted_mean
from indicators.trend.averages import ema, ema_settle, sma, smma, smma_settle

Macd = Annotated[Expr, Outputs("Macd", "macd", "signal", "histogram")]
Ppo = Annotated[Expr, Outputs("PercentageOscillator", "value", "signal", "histogram")]
Stochastic = Annotated[Expr, Outputs("Stochastic", "k", "d")]
Kdj = Annotated[Expr, Outputs("Kdj", "k", "d", "j")]
Momentum = Annotated[Expr, Outputs("StochasticMomentum", "value", "signal")]
Vigor = Annotated[Expr, Outputs("RelativeVigor", "value", "signal")]
Fisher = Annotated[Expr, Outputs("Fisher", "value", "trigger")]
ElderRay = Annotated[Expr, Outputs("ElderRay", "bull", "bear")]


def check_faster(name: str, fast_period: float, slow_period: float) -> None:
    """Raises InvalidParameter unless the fast period is the shorter one."""
    if fast_period >= slow_period:
        raise InvalidParameter(
            f"fastPeriod of {name} is {fast_period} and slowPeriod {slow_period}; give a fastPeriod below slowPeriod.",
            parameter="fastPeriod",
        )


def with_signal(value: Expr, signal_period: int) -> Expr:
    """The `value`, its EMA as `signal`, and their difference as `histogram`."""
    value = kept(value)
    signal = kept(ema(value, signal_period))
    return pl.struct(value=value, signal=signal, histogram=value - signal)


def difference_warm_up(fast_period: int, slow_period: int, signal_period: int) -> int:
    """Of a difference of two EMAs with its signal."""
    return slow_period + signal_period - 2


def difference_settle(fast_period: int, slow_period: int, signal_period: int) -> int:
    """Of a difference of two EMAs with its signal."""
    return ema_settle(slow_period) + ema_settle(signal_period)


@indicator("Moving Average Convergence Divergence", warm_up=difference_warm_up, settle=difference_settle)
def macd(of: Expr, fast_period: Period = 12, slow_period: Period = 26, signal_period: Period = 9) -> Macd:
    """The fast EMA less the slow one, its own EMA as signal, and their difference, in price units (Appel 1979).

    Each EMA begins with the mean of the first values of its own series. (TA-Lib begins the fast one later, so
    that both have their first value at one bar; the difference fades.) `macd` has its first value after
    `slow_period` - 1 bars.
    """
    check_faster("macd", fast_period, slow_period)
    line = kept(ema(of, fast_period) - ema(of, slow_period))
    signal = kept(ema(line, signal_period))
    return pl.struct(macd=line, signal=signal, histogram=line - signal)


@indicator("Percentage Price Oscillator", warm_up=difference_warm_up, settle=difference_settle)
def ppo(of: Expr, fast_period: Period = 12, slow_period: Period = 26, signal_period: Period = 9) -> Ppo:
    """The MACD in percent of the slow EMA, with signal and histogram (Achelis 2000). 0 where that EMA is 0."""
    check_faster("ppo", fast_period, slow_period)
    slow = kept(ema(of, slow_period))
    return with_signal(100 * ratio(ema(of, fast_period) - slow, slow, otherwise=0), signal_period)


def _place(of: Expr, top: Expr, bottom: Expr) -> Expr:
    """Where the price stands from bottom to top, 0 to 100; 50 where they coincide."""
    bottom = kept(bottom)
    return 100 * ratio(of - bottom, top - bottom, otherwise=0.5)


@indicator(
    "Stochastic Oscillator",
    warm_up=lambda period, smoothing, signal_period: period + smoothing + signal_period - 3,
)
def stochastic(
    high: Expr, low: Expr, close: Expr, period: Period = 14, smoothing: Period = 3, signal_period: Period = 3
) -> Stochastic:
    """Where the close stands in the range of the last `period` bars, 0 to 100 (Lane 1984).

    `k` is its mean over `smoothing` bars (1 gives the fast stochastic), `d` the mean of `k` over `signal_period`.
    50 counts where there was no range.
    """
    raw = _place(close, highest(high, period), lowest(low, period))
    k = kept(sma(raw, smoothing))
    return pl.struct(k=k, d=sma(k, signal_period))


@indicator(
    "KDJ",
    warm_up=lambda period, smoothing, signal_period: period + smoothing + signal_period - 3,
    settle=lambda period, smoothing, signal_period: period + smma_settle(smoothing) + smma_settle(signal_period),
)
def kdj(
    high: Expr, low: Expr, close: Expr, period: Period = 9, smoothing: Period = 3, signal_period: Period = 3
) -> Kdj:
    """The stochastic smoothed as Wilder does, and `j` = 3 k - 2 d, which can leave 0 to 100 (Lane 1984, as in Asia).

    50 counts where there was no range.
    """
    raw = _place(close, highest(high, period), lowest(low, period))
    k = kept(smma(raw, smoothing))
    d = kept(smma(k, signal_period))
    return pl.struct(k=k, d=d, j=3 * k - 2 * d)


@indicator("Williams %R", warm_up=lambda period: period - 1)
def williams_r(high: Expr, low: Expr, close: Expr, period: Period = 14) -> Expr:
    """How far the close is below the highest high, as a share of the range, -100 to 0 (Williams 1973).

    Null where there was no range.
    """
    top = kept(highest(high, period))
    return 100 * (close - top) / (top - lowest(low, period))


@indicator("Commodity Channel Index", warm_up=lambda period: period - 1)
def cci(high: Expr, low: Expr, close: Expr, period: Sample = 20) -> Expr:
    """Distance of the typical price from its mean, in 0.015 of its mean deviation (Lambert 1980).

    Null where the typical price did not move.
    """
    price = kept((high + low + close) * (1 / 3))
    # The kernel rounds a mean of equal prices: the range tells that they are.
    return pl.when(highest(price, period) > lowest(price, period)).then(ta.cci(price, price, price, period))


@indicator(
    "Stochastic Momentum Index",
    warm_up=lambda period, long_period, short_period, signal_period: (
        period + long_period + short_period + signal_period - 4
    ),
    settle=lambda period, long_period, short_period, signal_period: (
        period + 2 * (ema_settle(long_period) + ema_settle(short_period)) + ema_settle(signal_period)
    ),
)
def stochastic_momentum_index(
    high: Expr,
    low: Expr,
    close: Expr,
    period: Period = 10,
    long_period: Period = 3,
    short_period: Period = 3,
    signal_period: Period = 10,
) -> Momentum:
    """Distance of the close from the middle of the range, smoothed twice, as a share of half of it (Blau 1993).

    From -100 to 100; `signal` is the EMA of `value`. 0 where there has been no range for so long that the last is
    forgotten.
    """
    top, bottom = kept(highest(high, period)), kept(lowest(low, period))
    span = kept(top - bottom)
    distance = ema(ema(close - (top + bottom) / 2, long_period), short_period)
    alive = lives(span, fade(2 / (max(long_period, short_period) + 1)) + 1)
    value = kept(200 * share(distance, ema(ema(span, long_period), short_period), alive))
    return pl.struct(value=value, signal=ema(value, signal_period))


@indicator(
    "Ultimate Oscillator",
    warm_up=lambda short_period, middle_period, long_period: max([short_period, middle_period, long_period]),
)
def ultimate_oscillator(
    high: Expr, low: Expr, close: Expr, short_period: Period = 7, middle_period: Period = 14, long_period: Period = 28
) -> Expr:
    """Buying pressure as a share of the true range over three periods, by 4, 2 and 1, 0 to 100 (Williams 1985).

    Null where the true range was 0 throughout one of them.
    """
    before = kept(close.shift(1))
    pressure = kept(pl.when(before.is_not_null()).then(close - pl.min_horizontal(low, before)))
    span = kept(gap_range(high, low, close))
    short, middle, long = (
        ratio(pressure.rolling_sum(period), span.rolling_sum(period))
        for period in (short_period, middle_period, long_period)
    )
    return (4 * short + 2 * middle + long) * (100 / 7)


@indicator("Balance of Power", warm_up=lambda period: period - 1)
def balance_of_power(open_: Expr, high: Expr, low: Expr, close: Expr, period: Period = 14) -> Expr:
    """Mean, over `period` bars, of the body as a share of the range, -1 to 1 (Livshin 2001).

    A bar without range counts 0.
    """
    return ratio(close - open_, high - low, otherwise=0).rolling_mean(period)


@indicator("Awesome Oscillator", warm_up=lambda fast_period, slow_period: slow_period - 1)
def awesome_oscillator(high: Expr, low: Expr, fast_period: Period = 5, slow_period: Sample = 34) -> Expr:
    """The fast SMA of the bars' middles less the slow one, in price units (Williams 1998)."""
    check_faster("awesomeOscillator", fast_period, slow_period)
    price = kept((high + low) / 2)
    return sma(price, fast_period) - sma(price, slow_period)


@indicator(
    "Accelerator Oscillator",
    warm_up=lambda fast_period, slow_period, signal_period: slow_period + signal_period - 2,
)
def accelerator_oscillator(
    high: Expr, low: Expr, fast_period: Period = 5, slow_period: Sample = 34, signal_period: Period = 5
) -> Expr:
    """The Awesome Oscillator less its SMA, in price units (Williams 1998)."""
    check_faster("acceleratorOscillator", fast_period, slow_period)
    price = kept((high + low) / 2)
    swing = kept(sma(price, fast_period) - sma(price, slow_period))
    return swing - sma(swing, signal_period)


@indicator("Relative Vigor Index", warm_up=lambda period: period + 5)
def relative_vigor_index(open_: Expr, high: Expr, low: Expr, close: Expr, period: Period = 10) -> Vigor:
    """Bodies as a share of ranges, each smoothed over 4 bars by 1, 2, 2, 1 and added up (Ehlers 2002).

    `signal` is `value` smoothed likewise. 0 where no bar had a range.
    """
    weights = (1, 2, 2, 1)
    bodies = weighted_mean(close - open_, weights).rolling_sum(period)
    spans = weighted_mean(high - low, weights).rolling_sum(period)
    value = kept(ratio(bodies, spans, otherwise=0))
    return pl.struct(value=value, signal=weighted_mean(value, weights))


@indicator(
    "Fisher Transform",
    warm_up=lambda period: period,
    settle=lambda period: period + 2 * fade(0.33) + fade(0.5),
)
def fisher_transform(high: Expr, low: Expr, period: Period = 10) -> Fisher:
    """The place of the bars' middles in their range, smoothed and stretched to sharp turns (Ehlers 2002).

    `trigger` is the value of the bar before. A place is smoothed by 0.33, cut to ±0.999, transformed, and smoothed by
    a half. The middle of the range counts where there was none.
    """
    price = kept((high + low) / 2)
    bottom = kept(lowest(price, period))
    place = 2 * ratio(price - bottom, highest(price, period) - bottom, 0.5) - 1
    smoothed = kept(place.ewm_mean(alpha=0.33, adjust=False).clip(-0.999, 0.999))
    value = kept(((1 + smoothed) / (1 - smoothed)).log().ewm_mean(alpha=0.5, adjust=False))
    return pl.struct(value=value, trigger=value.shift(1))


@indicator("Elder Ray", warm_up=lambda period: period - 1, settle=ema_settle)
def elder_ray(high: Expr, low: Expr, close: Expr, period: Period = 13) -> ElderRay:
    """Bull and bear power: high and low less the EMA of the close, in price units (Elder 1993)."""
    centre = kept(ema(close, period))
    return pl.struct(bull=high - centre, bear=low - centre)


@indicator("QStick", warm_up=lambda period: period - 1)
def qstick(open_: Expr, close: Expr, period: Period = 8) -> Expr:
    """Mean of close less open over the last `period` bars, in price units (Chande 1994)."""
    return (close - open_).rolling_mean(period)


@indicator("Center of Gravity", warm_up=lambda period: period - 1)
def center_of_gravity(of: Expr, period: Sample = 10) -> Expr:
    """How many bars back the prices balance, as a negative number: near 0 when they rise (Ehlers 2002).

    The newest price counts as 1 bar back. Null where all are 0.
    """
    whole = of.rolling_sum(period)
    return -ratio(weighted_mean(of, range(period, 0, -1)) * (period * (period + 1) / 2), whole)


@indicator(
    "Schaff Trend Cycle",
    warm_up=lambda fast_period, slow_period, cycle_period: slow_period - 1 + 2 * (cycle_period - 1),
    settle=lambda fast_period, slow_period, cycle_period: ema_settle(slow_period) + 2 * (cycle_period + fade(0.5)),
)
def schaff_trend_cycle(of: Expr, fast_period: Period = 23, slow_period: Period = 50, cycle_period: Sample = 10) -> Expr:
    """The stochastic of the stochastic of the MACD, each smoothed by a half, 0 to 100 (Schaff 1999).

    50 counts where there was no range: less than a millionth of a percent of the price, or of the 100.
    """
    check_faster("schaffTrendCycle", fast_period, slow_period)
    line = ema(of, fast_period) - ema(of, slow_period)
    once = _halved_place(line, cycle_period, of.abs() * 1e-8)
    return _halved_place(once, cycle_period, pl.lit(1e-6))


def _halved_place(of: Expr, period: int, least: Expr) -> Expr:
    of = kept(of)
    bottom = kept(lowest(of, period))
    span = kept(highest(of, period) - bottom)
    place = pl.when(span > least).then(100 * (of - bottom) / span).when(span.is_not_null()).then(50.0)
    return place.ewm_mean(alpha=0.5, adjust=False)
