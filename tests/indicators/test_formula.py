"""Formulas: parts that are computed once, in the order in which they need each other."""

import polars as pl

from indicators.catalog import CATALOG
from indicators.evaluate import evaluate
from indicators.formula import formula, kept
from indicators.indicator import Indicator
from tests.indicators.bars import from_closes


def test_a_part_stands_in_the_stage_after_what_it_needs() -> None:
    def written() -> pl.Expr:
        rise = kept(pl.col("close").diff(), "rise")
        kept(pl.col("open").abs(), "size")
        return kept(rise * 2, "twice") + rise

    found = formula(written)

    assert [list(stage) for stage in found.stages] == [["rise", "size"], ["twice"]]
    assert str(found.result) == f'[(col("twice")) + (col("rise"))].alias("{found.name}")'


def test_a_column_is_no_part_and_outside_of_a_formula_nothing_is() -> None:
    assert formula(lambda: kept(pl.col("close"))).stages == []
    assert str(kept(pl.col("close") * 2)) == str(pl.col("close") * 2)


def test_a_part_is_computed_once_however_many_name_it() -> None:
    asked = []

    def counted(column: pl.Series) -> pl.Series:
        asked.append(len(column))
        return column

    def function(close: pl.Expr) -> pl.Expr:
        part = kept(close.map_batches(counted, return_dtype=pl.Float64), "counted by all")
        return part + part * part

    def indicator(name: str) -> Indicator:
        return Indicator(name, "", "", "", False, ("close",), (), (name,), None, function, lambda: 0, lambda: 0)

    both = evaluate(from_closes([1.0, 2.0]), [indicator("one").call(), indicator("other").call()])

    assert [values.to_list() for values in both if isinstance(values, pl.Series)] == [[2.0, 6.0], [2.0, 6.0]]
    assert asked == [2]


def test_what_hears_of_few_bars_is_not_computed_over_many() -> None:
    asked: dict[str, int] = {}

    def indicator(name: str, settle: int) -> Indicator:
        def counted(column: pl.Series) -> pl.Series:
            asked[name] = len(column)
            return column

        def function(close: pl.Expr) -> pl.Expr:
            return close.map_batches(counted, return_dtype=pl.Float64)

        return Indicator(name, "", "", "", False, ("close",), (), (name,), None, function, lambda: 0, lambda: settle)

    names = {"none": 0, "few": 7, "most": 11_000, "more": 20_000}
    calls = [indicator(name, settle).call() for name, settle in names.items()]
    bars = from_closes([float(price) for price in range(12_050)])

    found = evaluate(bars, calls[::-1], 12_000)

    assert asked == {"none": 57, "few": 57, "most": 12_050, "more": 12_050}
    assert [values.to_list() for values in found if isinstance(values, pl.Series)] == [list(range(12_000, 12_050))] * 4


def test_no_indicator_names_a_part_as_a_column_of_the_bars() -> None:
    bars = {"time", "open", "high", "low", "close", "volume"}

    named = {part for one in CATALOG.values() for stage in one.call().formula.stages for part in stage}

    assert named
    assert not named & bars
