"""Indicators over a history: warm-up bars in front, all of a selection in one go, and the warm-up cut off."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from strawberry.dataloader import DataLoader
from strawberry.types import Info

from errors import NoData, SourceError, SymbolNotFound, UnsupportedInterval
from indicators.catalog import CATALOG
from indicators.evaluate import READ, Values
from indicators.indicator import Call, Indicator
from market import Interval
from resolvers.bars import load_bars
from resolvers.history import History
from resolvers.world import Context, World


class IndicatorScope:
    """The indicators that one selection asks of one history."""

    def __init__(self, world: World, history: History) -> None:
        self._world = world
        self._history = history
        self._loader: DataLoader[Call, Any] = DataLoader(self._evaluate)

    @property
    def interval(self) -> Interval:
        """The length of the history's bars."""
        return self._history.interval

    async def values(self, call: Call) -> Values:
        """One value per bar of the history, null where it is not defined."""
        values: Values = await self._loader.load(call)
        return values

    async def _evaluate(self, calls: list[Call]) -> Sequence[Values]:
        bars = self._history.frame
        settle = max(call.settle for call in calls)
        before = await self._before(settle) if settle else bars.clear()
        whole = before[READ].vstack(bars[READ]).rechunk()
        if self.interval.is_intraday and any(call.anchor for call in calls):  # the days of the others are in UTC
            whole = whole.with_columns(pl.col("time").dt.convert_time_zone(self._history.timezone))
        return self._world.indicator_values.evaluate(whole, calls, before.height)

    async def _before(self, count: int) -> pl.DataFrame:
        """The bars in front of the history, adjusted as it is; fewer where the series begins, or nobody has more."""
        history = self._history
        try:
            found = await load_bars(self._world, history.series, count, history.frame["time"][0])
        except (SourceError, SymbolNotFound, UnsupportedInterval, NoData):
            found = None
        return found.frame if found else history.frame.clear()


def indicators(root: History, info: Info[Context, None]) -> IndicatorScope:
    """The indicators of a history."""
    return IndicatorScope(info.context.world, root)


def indicator_catalog() -> Sequence[Indicator]:
    """Every indicator, by name."""
    return list(CATALOG.values())
