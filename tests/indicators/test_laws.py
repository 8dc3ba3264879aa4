"""What holds for every indicator, whatever the bars and the arguments."""

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from errors import InvalidParameter
from indicators.catalog import CATALOG
from indicators.evaluate import Values, evaluate
from indicators.indicator import Call, Indicator, IndicatorParameter
from market import PriceField
from tests.indicators.bars import apple, from_closes, walk


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
def calls(draw: st.DrawFn, greatest: int) -> Call:
    """Any indicator of any price, its whole-number arguments up to `greatest`."""
    indicator: Indicator = draw(st.sampled_from(list(CATALOG.values())))
    arguments: dict[str, Any] = {p.keyword: draw(argument(p, greatest)) for p in indicator.parameters}
    of = draw(st.sampled_from(PriceField)) if "of" in indicator.inputs else None
    try:
        return indicator.call(of=of, **arguments)
    except InvalidParameter:  # two arguments that do not go together: the defaults do
        return indicator.call(of=of)


@st.composite
def closes(draw: st.DrawFn, bars: int) -> list[float]:
    """That many bars of a walk that is calm, wild and still by turns."""
    stretch = st.tuples(st.integers(1, 400), st.sampled_from([0.0, 1e-6, 0.001, 0.01, 0.1]))
    stretches = draw(st.lists(stretch, max_size=8))
    start = draw(st.sampled_from([1e-6, 0.3, 100.0, 5e4]))
    return walk(draw(st.integers(0, 2**32)), [*stretches, (bars, 0.01)], start)[:bars]


def assert_equal_within(got: pl.Series, expected: pl.Series, price: float) -> None:
    # The scale of a value is itself, and never less than a millionth of the price: a difference of averages that
    # crosses zero, or an RSI near 0, has no digits of its own there.
    for value, reference in zip(got, expected, strict=True):
        assert (value is None) == (reference is None), (value, reference)
        if value is not None:
            assert math.isclose(value, reference, rel_tol=1e-6, abs_tol=1e-12 * price), (value, reference)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_value_at_a_bar_is_the_same_whatever_window_was_asked_for(data: st.DataObject) -> None:
    call = data.draw(calls(greatest=30))
    earlier, window = data.draw(st.integers(1, 600)), data.draw(st.integers(1, 50))
    prices = data.draw(closes(earlier + call.settle + window))
    bars = from_closes(prices)

    whole, part = alone(bars, call), alone(bars.slice(earlier), call)

    scale = 1e8 if call.indicator.name == "rsi" else max(prices)  # to a millionth of its 0 to 100
    for full, cut in zip(whole, part, strict=True):
        assert_equal_within(cut.tail(window), full.tail(window), scale)


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("window", [1, 100, 1000])
def test_the_newest_bars_of_apple_do_not_depend_on_the_window(name: str, window: int) -> None:
    bars, call = apple(), CATALOG[name].call()

    whole, part = alone(bars, call), alone(bars.tail(call.settle + window), call)

    for full, cut in zip(whole, part, strict=True):
        assert_equal_within(cut.tail(window), full.tail(window), 1.0)


@pytest.mark.parametrize("name", CATALOG)
def test_a_standstill_does_not_make_a_value_depend_on_the_window(name: str) -> None:
    call = CATALOG[name].call()
    prices = walk(7, [(call.settle + 100, 0.01), (call.settle + 100, 0), (100, 0.01)])
    bars = from_closes(prices)
    whole = alone(bars, call)

    for bar in range(call.settle, len(prices), 3):
        part = alone(bars.slice(bar - call.settle, call.settle + 1), call)
        for full, cut in zip(whole, part, strict=True):
            assert_equal_within(cut.tail(1), full[bar : bar + 1], 1e8 if name == "rsi" else 100.0)


@settings(max_examples=100, deadline=None)
@given(calls(greatest=60), closes(300), st.integers(0, 300))
@example(CATALOG["sma"].call(of=PriceField.HLC3, period=1), [0.3] * 300, 1)
def test_no_value_looks_ahead(call: Call, prices: list[float], length: int) -> None:
    bars = from_closes(prices)

    whole, prefix = alone(bars, call), alone(bars.head(length), call)

    for full, part in zip(whole, prefix, strict=True):
        assert part.equals(full.head(length), null_equal=True)


@settings(max_examples=100, deadline=None)
@given(calls(greatest=1000), st.integers(0, 2**32))
def test_warm_up_counts_the_leading_bars_without_a_value(call: Call, seed: int) -> None:
    bars = from_closes(walk(seed, [(call.warm_up + 10, 0.01)]))

    known = [column.is_not_null() for column in alone(bars, call)]

    assert max(column.arg_max() or 0 for column in known) == call.warm_up
    assert all(column.tail(11).all() for column in known)
    assert call.settle >= call.warm_up


@settings(max_examples=300, deadline=None)
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
def test_a_frame_shorter_than_the_warm_up_gives_nulls(name: str, length: int) -> None:
    call = CATALOG[name].call()

    for column in alone(from_closes([10.0, 11.0][:length]), call):
        assert column.dtype == pl.Float64
        assert column.to_list() == [None] * length


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sma", [0.1]),
        ("ema", [0.1]),
        ("rsi", [None]),
        ("macd", [0, 0, 0]),
        ("bollingerBands", [0.1, 0.1, 0.1]),
    ],
)
def test_prices_that_never_move(name: str, expected: list[float | None]) -> None:
    call = CATALOG[name].call()

    for column, value in zip(alone(from_closes([0.1] * 400), call), expected, strict=True):
        settled = column.slice(call.warm_up).to_list()
        assert settled == [None if value is None else pytest.approx(value, rel=1e-14, abs=1e-15)] * len(settled)


@settings(max_examples=50, deadline=None)
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
