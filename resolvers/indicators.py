"""Indicators over a history: warm-up bars in front, all of a selection in one go, and the warm-up cut off."""

from collections.abc import Mapping, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any, Final

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

PATTERNS: Final = "patterns"
"""The group whose values are signs, as whole numbers."""


class IndicatorScope:
    """The indicators that one selection asks of one history."""

    def __init__(self, world: World, history: History) -> None:
        self._world = world
        self._history = history
        self._loader: DataLoader[tuple[Call, ...], Sequence[Values]] = DataLoader(self._evaluate)
        self._failed: Exception | None = None

    @property
    def interval(self) -> Interval:
        """The length of the history's bars."""
        return self._history.interval

    @property
    def patterns(self) -> "IndicatorScope":
        """Candlestick patterns are among them, under a name of their own."""
        return self

    async def answers(self, calls: Sequence[Call]) -> list[Any]:
        """For each call a series as `values` has it, or an object with one for each of its outputs."""
        return [_shown(call, values) for call, values in zip(calls, await self._loader.load((*calls,)), strict=True)]

    async def values(self, call: Call) -> Values:
        """One value per bar of the history, null where it is not defined."""
        (values,) = await self._loader.load((call,))
        return values

    async def _evaluate(self, asked: list[tuple[Call, ...]]) -> list[Sequence[Values]]:
        calls = [call for some in asked for call in some]
        bars = self._history.frame
        settle = max(call.settle for call in calls)
        before = await self._before(settle) if settle else bars.clear()
        whole = pl.DataFrame([before[name].extend(bars[name]) for name in READ])
        if self.interval.is_intraday and any(call.anchor for call in calls):  # the days of the others are in UTC
            whole = whole.with_columns(pl.col("time").dt.convert_time_zone(self._history.timezone))
        values = iter(self._world.indicator_values.evaluate(whole, calls, before.height))
        return [list(islice(values, len(some))) for some in asked]

    async def _before(self, count: int) -> pl.DataFrame:
        """The bars in front of the history, adjusted as it is; fewer where the series begins, or nobody has more."""
        if self._failed is not None:  # those who asked together ask one by one then, which would wait as long again
            raise self._failed
        history = self._history
        try:
            found = await load_bars(self._world, history.series, count, history.frame["time"][0])
        except (SourceError, SymbolNotFound, UnsupportedInterval, NoData):
            found = None
        except Exception as error:
            self._failed = error
            raise
        return found.frame if found else history.frame.clear()


def _shown(call: Call, values: Values) -> pl.Series | SimpleNamespace:
    if isinstance(values, Mapping):
        return SimpleNamespace(**values)
    return values.cast(pl.Int32) if call.indicator.group == PATTERNS else values


def indicators(root: History, info: Info[Context, None]) -> IndicatorScope:
    """The indicators of a history."""
    return IndicatorScope(info.context.world, root)


def indicator_catalog() -> Sequence[Indicator]:
    """Every indicator, by name."""
    return list(CATALOG.values())
