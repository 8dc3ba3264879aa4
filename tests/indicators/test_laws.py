"""What holds for every indicator, whatever the bars and the arguments."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from errors import InvalidParameter
from indicators.catalog import CATALOG
from indicators.evaluate import Values, evaluate
from indicators.indicator import Call, Indicator, IndicatorParameter
from market import Anchor, Interval, PriceField
from tests.indicators.bars import from_closes, traded, walk


def columns(values: Values) -> list[pl.Series]:
    return [values] if isinstance(values, pl.Series) else list(values.values())


def alone(bars: pl.DataFrame, call: Call) -> list[pl.Series]:
    (values,) = evaluate(bars, [call])
    return columns(values)


def argument(parameter: IndicatorParameter, greatest: int) -> st.SearchStrategy[float]:
    if parameter.type == "Int":
        return st.integers(int(parameter.minimum), min(int(parameter.maximum), greatest))
    return st.floats(parameter.minimum, parameter.maximum)


@st.composite
def calls(draw: st.DrawFn, greatest: int, name: str | None = None) -> Call:
    """That indicator, or any, of any price, its whole-number arguments up to `greatest`."""
    indicator: Indicator = CATALOG[name] if name else draw(st.sampled_from(list(CATALOG.values())))
    arguments: dict[str, Any] = {p.keyword: draw(argument(p, greatest)) for p in indicator.parameters}
    of = draw(st.sampled_from(PriceField)) if "of" in indicator.inputs else None
    try:
        return indicator.call(of=of, interval=Interval.M1, **arguments)
    except InvalidParameter:  # two arguments that do not go together: the defaults do
        return indicator.call(of=of, interval=Interval.M1)


@st.composite
def closes(draw: st.DrawFn, bars: int) -> list[float]:
    """That many bars of a walk that is calm, wild and still by turns."""
    stretch = st.tuples(st.integers(1, 400), st.sampled_from([0.0, 1e-6, 0.001, 0.01, 0.1]))
    stretches = draw(st.lists(stretch, max_size=8))
    start = draw(st.sampled_from([1e-6, 0.3, 100.0, 5e4]))
    return walk(draw(st.integers(0, 2**32)), [*stretches, (bars, 0.01)], start)[:bars]


SERIES: dict[str, Callable[[int], list[tuple[int, float]]]] = {
    "calm after wild": lambda bars: [(bars // 2, 0.1), (bars, 1e-5)],
    "standstills": lambda bars: [(37, 0.01), (90, 0), (50, 1e-4), (300, 0.02), (25, 0)] * (bars // 400 + 1),
    "a long standstill, then moves": lambda bars: [(bars // 2, 0.01), (bars // 2 - 30, 0), (bars, 0.01)],
    "a long standstill": lambda bars: [(bars // 3, 0.01), (bars, 0)],
}


@lru_cache
def series(kind: str, bars: int) -> pl.DataFrame:
    return traded(walk(1, SERIES[kind](bars))[:bars])


@lru_cache
def moving() -> pl.DataFrame:
    return traded(walk(5, [(1600, 0.01)]))


each_indicator = pytest.mark.parametrize("name", CATALOG)


def assert_same_values(got: pl.Series, expected: pl.Series, scale: float) -> None:
    """To a millionth of the value, and of nothing less than a thousandth of the greatest, where it crosses 0."""
    for bar, (value, wanted) in enumerate(zip(got, expected, strict=True)):
        assert (value is None) == (wanted is None), (bar, value, wanted)
        if value is not None:
            assert math.isclose(value, wanted, rel_tol=1e-6, abs_tol=1e-9 * scale), (bar, value, wanted)


@pytest.mark.parametrize("name", [name for name, entry in CATALOG.items() if entry.group != "patterns"])
def test_what_is_drawn_over_the_bars_goes_up_as_they_do(name: str) -> None:
    call = CATALOG[name].call(interval=Interval.M1)
    raised = moving().with_columns(pl.col("open", "high", "low", "close") + 100)

    lifts = [
        (after - before).median() for before, after in zip(alone(moving(), call), alone(raised, call), strict=True)
    ]

    # Those with a share of the price in them go up by a little more or less.
    assert (lifts[0] == pytest.approx(100, rel=0.03)) == call.indicator.overlay


@each_indicator
@pytest.mark.parametrize("kind", SERIES)
def test_the_value_at_a_bar_is_the_same_whatever_window_was_asked_for(name: str, kind: str) -> None:
    call = CATALOG[name].call(interval=Interval.M1)
    window = 60
    bars = series(kind, next(length for length in (1200, 2600, 10_000) if length > 437 + call.settle + window))

    whole, part = alone(bars, call), alone(bars.tail(call.settle + window), call)

    for full, cut in zip(whole, part, strict=True):
        greatest: Any = full.abs().max()
        assert_same_values(cut.tail(window), full.tail(window), greatest or 0.0)


@settings(max_examples=100)
@given(st.data())
def test_nor_does_it_with_other_arguments(data: st.DataObject) -> None:
    call = data.draw(calls(greatest=30))
    earlier, window = data.draw(st.integers(1, 600)), data.draw(st.integers(1, 50))
    length = earlier + call.settle + window
    seed = data.draw(st.integers(0, 2**32))
    bars = traded(walk(seed, [(length // 2, 0.02), (40, 0), (length, 0.01)])[:length], seed)

    whole, part = alone(bars, call), alone(bars.slice(earlier), call)

    for full, cut in zip(whole, part, strict=True):
        greatest: Any = full.abs().max()
        assert_same_values(cut.tail(window), full.tail(window), greatest or 0.0)


@each_indicator
def test_a_prefix_of_the_bars_has_the_prefix_of_the_values(name: str) -> None:
    call = CATALOG[name].call(interval=Interval.M1)
    bars = series("standstills", 2600)
    whole = alone(bars, call)

    for length in (0, 1, 2, 3, 16, 64, 311, 1501, 2600):
        for full, part in zip(whole, alone(bars.head(length), call), strict=True):
            assert part.equals(full.head(length), null_equal=True)


@settings(max_examples=100)
@given(calls(greatest=60), closes(300), st.integers(0, 300))
@example(CATALOG["sma"].call(of=PriceField.HLC3, period=1), [0.3] * 300, 1)
def test_no_value_looks_ahead(call: Call, prices: list[float], length: int) -> None:
    bars = traded(prices)

    whole, prefix = alone(bars, call), alone(bars.head(length), call)

    for full, part in zip(whole, prefix, strict=True):
        assert part.equals(full.head(length), null_equal=True)


# A fractal stands only where there is one, and pivots where a stretch begins: their warm-up is the least, or the most.
EXACT = [
    name for name, indicator in CATALOG.items() if name != "fractals" and "Pivot" not in str(indicator.outputs_type)
]


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=4)
@given(st.data())
def test_warm_up_counts_the_leading_bars_without_a_value(name: str, data: st.DataObject) -> None:
    call = data.draw(calls(greatest=200, name=name))
    # The first bar has no range.
    bars = moving().slice(1, call.warm_up + 11).with_columns(volume=pl.col("close"))

    known = [column.is_not_null() for column in alone(bars, call)]

    assert max(column.arg_max() or 0 for column in known) == call.warm_up
    assert all(column.tail(11).all() for column in known)
    assert call.settle >= call.warm_up


def test_a_fractal_is_known_after_the_bars_that_confirm_it() -> None:
    highs = [1.0, 2.0, 5.0, 3.0, 2.0, 2.0, 2.0]
    bars = from_closes(highs).with_columns(low=pl.lit(1.0))

    (up, down) = alone(bars, CATALOG["fractals"].call())

    assert up.to_list() == [None] * 4 + [5.0] + [None] * 2
    assert down.to_list() == [None] * 7


def test_a_stretch_begins_at_midnight_in_the_zone_of_the_bars() -> None:
    bars = from_closes([float(price) for price in range(1, 49)]).with_columns(
        time=pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(hours=pl.int_range(pl.len()))
    )
    call = CATALOG["pivotPoints"].call(interval=Interval.H1, anchor=Anchor.SESSION)
    in_tokyo = bars.with_columns(pl.col("time").dt.convert_time_zone("Asia/Tokyo"))

    first_known = [alone(frame, call)[0].is_not_null().arg_max() for frame in (bars, in_tokyo)]

    assert first_known == [24, 15]
    assert alone(bars, call)[0][24] == pytest.approx((24 + 1 + 24) / 3)


@each_indicator
def test_unknown_volume_leaves_a_hole_and_nothing_else(name: str) -> None:
    call = CATALOG[name].call(interval=Interval.M1)
    bars = moving()
    hole = bars.with_columns(volume=pl.when(pl.int_range(pl.len()) != 1550).then(pl.col("volume")))
    empty = bars.with_columns(volume=pl.when(pl.int_range(pl.len()) == 1550).then(0.0).otherwise(pl.col("volume")))

    for missing, none in zip(alone(hole, call), alone(empty, call), strict=True):
        reads = "volume" in call.indicator.inputs
        assert missing.to_list() == [None if reads and i == 1550 else value for i, value in enumerate(none)]


@each_indicator
@pytest.mark.parametrize("volume", [None, 0.0])
def test_bars_without_volume_have_values_or_nulls(name: str, volume: float | None) -> None:
    call = CATALOG[name].call(interval=Interval.M1)
    bars = moving().head(400).with_columns(volume=pl.lit(volume, pl.Float64))

    for column in alone(bars, call):
        assert column.is_finite().all()
        assert column.null_count() == 400 or volume == 0 or "volume" not in call.indicator.inputs


@settings(max_examples=300)
@given(
    st.lists(calls(greatest=20), min_size=1, max_size=5),
    st.lists(st.floats(0, 1.7e308) | st.sampled_from([0.0, 5e-324, 1.0, 1e308]), max_size=60),
    st.sampled_from([None, 0.0, 1e300]),
)
def test_values_are_numbers_or_null_however_odd_the_prices(
    asked: list[Call], prices: list[float], volume: float | None
) -> None:
    for values in evaluate(from_closes(prices, volume), asked):
        for column in columns(values):
            assert column.dtype == pl.Float64
            assert len(column) == len(prices)
            assert column.is_finite().all()  # a null is neither


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_frame_of_no_or_few_bars_is_taken(name: str, length: int) -> None:
    call = CATALOG[name].call()

    for column in alone(from_closes([10.0, 11.0][:length]), call):
        assert column.dtype == pl.Float64
        assert len(column) == length
        assert call.warm_up == 0 or column.head(1).to_list() in ([], [None]) or call.indicator.outputs_type


@each_indicator
def test_prices_that_never_move_have_one_value_or_none(name: str) -> None:
    call = CATALOG[name].call(interval=Interval.M1)

    for column in alone(from_closes([0.1] * (call.settle + 100)), call):
        settled = column.slice(call.settle).to_list()
        adds_up = name in {"accumulationDistribution", "onBalanceVolume", "priceVolumeTrend"}
        assert settled[0] is None or adds_up or settled == [pytest.approx(settled[0], rel=1e-12)] * len(settled)
        assert settled[0] is not None or settled == [None] * len(settled)


def test_many_after_a_long_warm_up_equal_each_over_all_bars() -> None:
    asked = [indicator.call(interval=Interval.M1) for indicator in CATALOG.values()]
    bars, warm_up = series("standstills", 2600), 2500
    asked = [call for call in asked if call.settle <= warm_up]
    assert len(asked) > 190

    for call, values in zip(asked, evaluate(bars, asked, warm_up), strict=True):
        for one, other in zip(columns(values), alone(bars, call), strict=True):
            greatest: Any = other.abs().max()
            assert_same_values(one, other.slice(warm_up), greatest or 0.0)


@settings(max_examples=50)
@given(st.lists(calls(greatest=50), max_size=12), closes(120))
def test_many_at_once_equal_each_alone(asked: list[Call], prices: list[float]) -> None:
    bars = from_closes(prices)
    asked = asked + asked[:3]

    together = evaluate(bars, asked)

    assert len(together) == len(asked)
    for values, call in zip(together, asked, strict=True):
        if call.indicator.outputs_type:
            assert isinstance(values, dict)
            assert tuple(values) == call.indicator.outputs
        for one, other in zip(columns(values), alone(bars, call), strict=True):
            assert one.equals(other, null_equal=True)
