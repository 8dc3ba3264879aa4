"""Lines that add up bar after bar. They begin anew with each stretch, so that a value does not depend on the window.

A stretch is a series of its own: its first bar has none before it.
"""

import polars as pl
from polars import Expr

from indicators.indicator import indicator
from indicators.ranges import ratio


def money_flow_multiplier(high: Expr, low: Expr, close: Expr) -> Expr:
    """Where the close stands in the bar: 1 at the high, -1 at the low, 0 in a bar without range."""
    return ratio((close - low) - (high - close), high - low, otherwise=0)


@indicator("On-Balance Volume", warm_up=lambda anchor: 0, settle=lambda anchor: anchor)
def on_balance_volume(close: Expr, volume: Expr, anchor: Expr) -> Expr:
    """Volume of the bars that closed higher less that of those that closed lower, in units traded (Granville 1963).

    Added up since the stretch of `anchor` began; its first bar has none before it.
    """
    return (close.diff().sign().fill_null(0.0) * volume).cum_sum().over(anchor)


@indicator("Accumulation/Distribution", warm_up=lambda anchor: 0, settle=lambda anchor: anchor)
def accumulation_distribution(high: Expr, low: Expr, close: Expr, volume: Expr, anchor: Expr) -> Expr:
    """Volume by where the bar closed in its range, 1 at the high to -1 at the low, in units traded (Chaikin 1982).

    Added up since the stretch of `anchor` began. A bar without range adds nothing.
    """
    return (money_flow_multiplier(high, low, close) * volume).cum_sum().over(anchor)


@indicator("Price Volume Trend", warm_up=lambda anchor: 0, settle=lambda anchor: anchor)
def price_volume_trend(close: Expr, volume: Expr, anchor: Expr) -> Expr:
    """Volume times the relative change of the close, in units traded (Achelis 2000).

    Added up since the stretch of `anchor` began. A change from 0 adds nothing.
    """
    before = close.shift(1)
    change = pl.when(before != 0).then(close.diff() / before).otherwise(0.0)
    return (change * volume).cum_sum().over(anchor)


@indicator("Williams Accumulation/Distribution", warm_up=lambda anchor: 0, settle=lambda anchor: anchor)
def williams_accumulation_distribution(high: Expr, low: Expr, close: Expr, anchor: Expr) -> Expr:
    """Rises from the true low and falls from the true high, in price units (Williams 1972).

    Added up since the stretch of `anchor` began; a close equal to the one before adds nothing.
    """
    before = close.shift(1)
    move = (
        pl.when(close > before)
        .then(close - pl.min_horizontal(low, before))
        .when(close < before)
        .then(close - pl.max_horizontal(high, before))
        .otherwise(0.0)
    )
    return move.cum_sum().over(anchor)


def _index(close: Expr, counts: Expr, anchor: Expr) -> Expr:
    growth = ratio(close, close.shift(1), otherwise=1)
    return 1000 * pl.when(counts).then(growth).otherwise(1.0).cum_prod().over(anchor)


@indicator("Negative Volume Index", warm_up=lambda anchor: 0, settle=lambda anchor: anchor)
def negative_volume_index(close: Expr, volume: Expr, anchor: Expr) -> Expr:
    """1000, grown with the close on bars of less volume than the bar before (Fosback 1976).

    Grown since the stretch of `anchor` began. A change from 0 counts as none.
    """
    return _index(close, volume < volume.shift(1), anchor)


@indicator("Positive Volume Index", warm_up=lambda anchor: 0, settle=lambda anchor: anchor)
def positive_volume_index(close: Expr, volume: Expr, anchor: Expr) -> Expr:
    """1000, grown with the close on bars of more volume than the bar before (Fosback 1976).

    Grown since the stretch of `anchor` began. A change from 0 counts as none.
    """
    return _index(close, volume > volume.shift(1), anchor)


@indicator("Volume Weighted Average Price", overlay=True, warm_up=lambda anchor: 0, settle=lambda anchor: anchor)
def vwap(high: Expr, low: Expr, close: Expr, volume: Expr, anchor: Expr) -> Expr:
    """Mean of the typical prices by volume since the stretch of `anchor` began, in price units (Berkowitz 1988).

    Null while nothing has been traded.
    """
    price = (high + low + close) * (1 / 3)
    return (price * volume).cum_sum().over(anchor) / volume.cum_sum().over(anchor)
