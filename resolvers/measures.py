"""What alerts measure of bars: the values that a query gives, to the last digit."""

import asyncio
from collections.abc import Collection
from typing import Final

import polars as pl

from indicators.catalog import CATALOG
from indicators.indicator import Call
from live.alerts import Measure, Measured
from market import Adjustment, AlertMetric, Interval
from resolvers.history import History, load_history
from resolvers.indicators import IndicatorScope
from resolvers.world import World
from sources import calendar
from sources.grid import next_slot

INDICATORS: Final = {
    AlertMetric.SMA: "sma",
    AlertMetric.EMA: "ema",
    AlertMetric.RSI: "rsi",
    AlertMetric.MACD_HISTOGRAM: "macd",
    AlertMetric.BOLLINGER_PERCENT_B: "bollingerPercentB",
}
"""The indicator of each metric that is one; all take bars, so there is an interval."""

_PLAIN: Final = {
    AlertMetric.PRICE: pl.col("close"),
    AlertMetric.CHANGE_PERCENT: ((pl.col("close") / pl.col("close").shift(1) - 1) * 100).round(4),
    AlertMetric.VOLUME: pl.col("volume"),
}


def indicator_call(metric: AlertMetric, period: int | None) -> Call:
    """The call of a metric's indicator. Raises InvalidPeriod, InvalidParameter."""
    arguments: dict[str, float] = {} if period is None else {"period": period}
    return CATALOG[INDICATORS[metric]].call(of=None, anchor=None, interval=Interval.D1, **arguments)


async def measured(
    world: World, symbol: str, interval: Interval, measures: Collection[Measure], count: int
) -> Measured:
    """The measures of the final bars among the newest `count`, adjusted for splits.

    Of a change the bar before counts. Raises as `load_history` does.
    """
    history = await load_history(world, symbol, interval, None, None, count + 1, Adjustment.SPLITS)
    is_final = history.frame["is_final"]
    times = history.frame["time"].filter(is_final)
    await calendar.load([history.series.market])
    scope = IndicatorScope(world, history)
    values = await asyncio.gather(*(_values(scope, history, measure) for measure in measures))
    slots = [next_slot(history.series.market, interval, time) for time in times]
    return Measured(
        times=times.to_list(),
        closes=[
            slot.closes_at if slot and slot.time == time else interval.end(time)
            for slot, time in zip(slots, times, strict=True)
        ],
        values={measure: series.filter(is_final).to_list() for measure, series in zip(measures, values, strict=True)},
    )


async def _values(scope: IndicatorScope, history: History, measure: Measure) -> pl.Series:
    if measure.metric not in INDICATORS:
        return history.frame.select(_PLAIN[measure.metric]).to_series()
    values = await scope.values(indicator_call(measure.metric, measure.period))
    return values if isinstance(values, pl.Series) else values["histogram"]
