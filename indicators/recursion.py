"""Recursions that Polars has no expression for: a plain loop over the series."""

from polars import Expr, Float64, Series, struct


def adaptive_mean(of: Expr, alpha: Expr) -> Expr:
    """The average that moves by `alpha` of the way to each value; null while `alpha` is.

    It begins at the value of the bar before the first alpha.
    """

    def loop(columns: Series) -> Series:
        values, weights = columns.struct.unnest().get_columns()
        means: list[float | None] = []
        before = mean = None
        for value, weight in zip(values.to_list(), weights.to_list(), strict=True):
            if weight is not None and value is not None:
                if mean is None:
                    mean = value if before is None else before
                mean += weight * (value - mean)
            means.append(mean)
            before = value
        return Series(means, dtype=Float64)

    return struct(of.alias("of"), alpha.alias("alpha")).map_batches(loop, return_dtype=Float64)


def two_poles(of: Expr, gain: float, first: float, second: float) -> Expr:
    """Y = `gain` * value + `first` * y[1] + `second` * y[2]; null while the value is.

    The two y in front of the first value are that value.
    """

    def loop(column: Series) -> Series:
        filtered: list[float | None] = []
        last = one_before = None
        for value in column.to_list():
            if value is not None:
                if last is None or one_before is None:
                    last = one_before = value
                last, one_before = gain * value + first * last + second * one_before, last
            filtered.append(last)
        return Series(filtered, dtype=Float64)

    return of.map_batches(loop, return_dtype=Float64)
