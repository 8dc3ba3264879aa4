"""The values of many indicators over one frame of bars."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from math import isfinite
from typing import Final, TypeAlias

import polars as pl

from indicators.indicator import Call

READ: Final = ["time", "open", "high", "low", "close", "volume"]
"""The columns of bars that indicators read."""

# What is named twice is kept already; to search for more takes longer than it saves.
_AS_WRITTEN: Final = pl.QueryOptFlags.none()

Values: TypeAlias = pl.Series | Mapping[str, pl.Series]
"""What one call gives: a series, or one for each of its outputs by name."""


def evaluate(bars: pl.DataFrame, calls: Sequence[Call], warm_up: int = 0) -> list[Values]:
    """The values of each call, in order: Float64, one for each bar but the first `warm_up`, null where undefined.

    They are never NaN or infinite. `bars` has `time`, `open`, `high`, `low`, `close` without nulls, and `volume`,
    ascending by time. Days, weeks and months begin at midnight in the zone of `time`. Equal calls are computed once,
    and all of them stage by stage.
    """
    formulas = {call: call.formula for call in calls}
    structs = [formula.name for call, formula in formulas.items() if call.indicator.outputs_type]
    # One after the other: to share out so little among threads takes longer than it does.
    plan = bars.lazy()
    for stages in zip_longest(*(formula.stages for formula in formulas.values()), fillvalue={}):
        plan = plan.with_columns_seq({name: part for stage in stages for name, part in stage.items()}.values())
    plan = plan.select_seq(formula.result for formula in formulas.values())
    plan = plan.slice(warm_up).unnest(structs, separator=".")
    found = {series.name: series for series in _numbers(plan.collect(engine="in-memory", optimizations=_AS_WRITTEN))}

    def values(call: Call) -> Values:
        column = formulas[call].name
        if call.indicator.outputs_type is None:
            return found[column]
        return {name: found[f"{column}.{name}"] for name in call.indicator.outputs}

    return [values(call) for call in calls]


def _numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as Float64, with null for NaN and infinity; a column that is so already is left as it is."""
    # The sum tells in no time: one of them makes it NaN or infinite. So may huge numbers, which costs but a look.
    odd = [column.name for column in frame if column.dtype != pl.Float64 or not isfinite(column.sum())]
    number = pl.col(odd).cast(pl.Float64)
    return frame.with_columns(pl.when(number.is_finite()).then(number)) if odd else frame
