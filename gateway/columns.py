"""Columns on their way out: what JSON holds for a Polars column of each leaf type."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

import polars as pl
from graphql import GraphQLBoolean, GraphQLFloat, GraphQLInt, GraphQLLeafType, GraphQLString

_INT32 = 2**31


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """How columns leave as a leaf type: of which Polars types, if `is_sound`, and as what, where not as they are."""

    dtypes: Sequence[type[pl.DataType]]
    is_sound: Callable[[pl.Series], bool] = lambda series: True
    as_json: Callable[[pl.Series], pl.Series] = lambda series: series

    def json(self, series: pl.Series, *, nullable: bool) -> pl.Series | None:
        """The column of numbers, texts, booleans and nulls; None where a value of it is not one of the type."""
        if type(series.dtype) not in self.dtypes or (series.null_count() and not nullable):
            return None
        return self.as_json(series) if self.is_sound(series) else None


def _is_finite(series: pl.Series) -> bool:
    # A NaN or an infinity makes the sum one. So may the sum of huge numbers, which then go the slower way.
    return isfinite(series.sum())


def _is_int32(series: pl.Series) -> bool:
    return series.is_between(-_INT32, _INT32 - 1).all()


def _is_in_seconds_of_utc(series: pl.Series) -> bool:
    return series.dtype == pl.Datetime("us", "UTC") and not series.dt.microsecond().max()


def _instants(series: pl.Series) -> pl.Series:
    # Without its zone Polars formats it in half the time.
    return series.dt.replace_time_zone(None).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


_RULES: Mapping[str, ColumnRule] = {
    GraphQLFloat.name: ColumnRule([pl.Float64], _is_finite),
    GraphQLInt.name: ColumnRule([pl.Int64, pl.Int32], _is_int32),
    GraphQLString.name: ColumnRule([pl.String]),
    GraphQLBoolean.name: ColumnRule([pl.Boolean]),
    "Timestamp": ColumnRule([pl.Int64]),
    "DateTime": ColumnRule([pl.Datetime], _is_in_seconds_of_utc, _instants),
    "Date": ColumnRule([pl.Date], as_json=lambda series: series.cast(pl.String)),
}


def column_rule(leaf: GraphQLLeafType) -> ColumnRule | None:
    """The rule for columns of the type; None where there is none, and values have to be taken one by one."""
    return _RULES.get(leaf.name)
