"""The values of many indicators over one frame of bars."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from math import isfinite
from typing import Final, TypeAlias

import polars as pl

from indicators.indicator import Call

READ: Final = ["time", "open", "high", "low", "close", "volume"]
"""The columns of bars that indicators read."""

_WORTH_A_PLAN: Final = 10_000
"""Values that take longer to compute than a second plan takes to make."""

# What is named twice is kept already; to search for more takes longer than it saves.
_AS_WRITTEN: Final = pl.QueryOptFlags.none()

Values: TypeAlias = pl.Series | Mapping[str, pl.Series]
"""What one call gives: a series, or one for each of its outputs by name."""


def evaluate(bars: pl.DataFrame, calls: Sequence[Call], warm_up: int = 0) -> list[Values]:
    """The values of each call, in order: Float64, one for each bar but the first `warm_up`, null where undefined.

    They are never NaN or infinite. `bars` has `time`, `open`, `high`, `low`, `close` without nulls, and `volume`,
    ascending by time. Days, weeks and months begin at midnight in the zone of `time`. Equal calls are computed once,
    and all of them stage by stage; those that hear of far fewer than the `warm_up` bars, over no more than these.
    """
    found: dict[Call, Values] = {}
    for some, before in _parts(list(dict.fromkeys(calls)), warm_up):
        found |= _evaluated(bars.slice(warm_up - before), some, before)
    return [found[call] for call in calls]


def _parts(calls: Sequence[Call], warm_up: int) -> list[tuple[Sequence[Call], int]]:
    """The calls in one part or in two, each with how many of the `warm_up` bars it is computed over."""
    calls = sorted(calls, key=lambda call: call.settle)
    spared = [count * (warm_up - call.settle) for count, call in enumerate(calls, 1)]
    most = max(spared, default=0)
    if most < _WORTH_A_PLAN:
        return [(calls, warm_up)]
    cut = spared.index(most) + 1
    parts = [(calls[:cut], calls[cut - 1].settle), (calls[cut:], warm_up)]
    return [(some, before) for some, before in parts if some]


def _evaluated(bars: pl.DataFrame, calls: Sequence[Call], warm_up: int) -> Iterator[tuple[Call, Values]]:
    """The values of each call, in one plan."""
    structs = [call.formula.name for call in calls if call.indicator.outputs_type]
    # One after the other: to share out so little among threads takes longer than it does.
    plan = bars.lazy()
    for stages in zip_longest(*(call.formula.stages for call in calls), fillvalue={}):
        plan = plan.with_columns_seq({name: part for stage in stages for name, part in stage.items()}.values())
    plan = plan.select_seq(call.formula.result for call in calls).slice(warm_up).unnest(structs, separator=".")
    frame = plan.collect(engine="in-memory", optimizations=_AS_WRITTEN)
    columns = {column.name: column for column in _numbers(frame)}
    for call in calls:
        name = call.formula.name
        if call.indicator.outputs_type is None:
            yield call, columns[name]
        else:
            yield call, {output: columns[f"{name}.{output}"] for output in call.indicator.outputs}


def _numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as Float64, with null for NaN and infinity; a column that is so already is left as it is."""
    # The sum tells in no time: one of them makes it NaN or infinite. So may huge numbers, which costs but a look.
    odd = [column.name for column in frame if column.dtype != pl.Float64 or not isfinite(column.sum())]
    number = pl.col(odd).cast(pl.Float64)
    return frame.with_columns(pl.when(number.is_finite()).then(number)) if odd else frame
