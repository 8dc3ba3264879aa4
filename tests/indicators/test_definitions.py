"""Each indicator against a plain loop written from its definition, and against published examples."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from indicators.catalog import CATALOG
from indicators.evaluate import evaluate
from indicators.indicator import Indicator
from market import PriceField
from tests.indicators.bars import apple, candles, example, from_closes, traded, walk
from tests.indicators.references.loops import Bars, Column, bars_of

Arguments = dict[str, Any]
Outputs = dict[str, Column]

each_indicator = pytest.mark.parametrize("indicator", CATALOG.values(), ids=CATALOG)


def values(bars: pl.DataFrame, name: str, of: PriceField = PriceField.CLOSE, **arguments: Any) -> Outputs:
    """What the indicator gives, by output."""
    indicator = CATALOG[name]
    price = of if "of" in indicator.inputs else None
    (result,) = evaluate(bars, [indicator.call(of=price, **arguments)])
    series = {name: result} if isinstance(result, pl.Series) else result
    return {output: column.to_list() for output, column in series.items()}


def reference(indicator: Indicator) -> Callable[..., Column | Outputs]:
    """The loop: the function of the same name in the references of the group."""
    loops = importlib.import_module(f"tests.indicators.references.{indicator.group}")
    found: Callable[..., Column | Outputs] = getattr(loops, indicator.function.__name__)
    return found


def expected(bars: Bars, name: str, **arguments: float) -> Outputs:
    """What the definition gives, by output."""
    result = reference(CATALOG[name])(bars, **arguments)
    return result if isinstance(result, dict) else {name: result}


def assert_same(got: Outputs, expected: Outputs, absolute: float | None = None) -> None:
    """To a billionth; near 0 a difference of averages has no digits of its own, so to 1e-12 of the greatest value."""
    assert got.keys() == expected.keys()
    for output, column in expected.items():
        assert len(got[output]) == len(column)
        least = max((abs(value) for value in column if value is not None), default=0.0) * 1e-12
        for bar, (value, wanted) in enumerate(zip(got[output], column, strict=True)):
            assert (value is None) == (wanted is None), (output, bar, value, wanted)
            if value is not None and wanted is not None:
                close = math.isclose(value, wanted, rel_tol=1e-9, abs_tol=least if absolute is None else absolute)
                assert close, (output, bar, value, wanted)


def defaults(indicator: Indicator) -> Arguments:
    return {parameter.keyword: parameter.default_value for parameter in indicator.parameters}


def others(indicator: Indicator) -> Arguments:
    """Arguments of about half the defaults."""
    return {
        p.keyword: max(int(p.minimum), int(p.default_value) // 2 + 1) if p.type == "Int" else p.default_value * 0.75
        for p in indicator.parameters
    }


def test_every_indicator_has_a_reference() -> None:
    assert all(callable(reference(indicator)) for indicator in CATALOG.values())


@each_indicator
@pytest.mark.parametrize("arguments", [defaults, others])
def test_apple_has_the_values_of_the_definition(
    indicator: Indicator, arguments: Callable[[Indicator], Arguments]
) -> None:
    bars, chosen = apple().head(800), arguments(indicator)

    assert_same(values(bars, indicator.name, **chosen), expected(bars_of(bars), indicator.name, **chosen))


PATTERNS = [name for name, indicator in CATALOG.items() if indicator.group == "patterns"]
# What even thousands of odd candles do not show: after 14 plain ones, open, high, low and close of each, in cents.
RARE = {
    "breakaway": (
        100.0,
        [(990, 991, 939, 940), (930, 931, 909, 910), (911, 926, 904, 905), (904, 920, 894, 895), (896, 936, 895, 935)],
    ),
    "concealingBabySwallow": (
        100.0,
        [(990, 990, 940, 940), (940, 940, 890, 890), (880, 895, 860, 860), (896, 896, 855, 855)],
    ),
    "threeStarsInTheSouth": (100.0, [(990, 990, 870, 940), (950, 950, 880, 930), (920, 920, 915, 915)]),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_are_found_where_the_definition_finds_them(name: str) -> None:
    arguments = defaults(CATALOG[name])
    for bars in (candles(1, 4000), apple(), *([example(RARE[name][1])] if name in RARE else [])):
        wanted = expected(bars_of(bars), name, **arguments)
        assert values(bars, name, **arguments) == wanted
        if any(wanted[name]):
            break
    assert any(wanted[name]), "no example of the pattern"


@pytest.mark.parametrize("name", RARE)
def test_rare_patterns_are_found_in_their_examples(name: str) -> None:
    value, rows = RARE[name]

    assert values(example(rows), name)[name][-1] == value


def of_closes(closes: list[float], name: str, **arguments: float) -> Outputs:
    return expected(bars_of(from_closes(closes)), name, **arguments)


def price(of: PriceField, open_: float, high: float, low: float, close: float) -> float:
    return {
        PriceField.OPEN: open_,
        PriceField.HIGH: high,
        PriceField.LOW: low,
        PriceField.CLOSE: close,
        PriceField.HL2: (high + low) / 2,
        PriceField.HLC3: (high + low + close) / 3,
        PriceField.OHLC4: (open_ + high + low + close) / 4,
    }[of]


@pytest.mark.parametrize("of", PriceField)
def test_it_is_computed_of_the_price_that_was_asked_for(of: PriceField) -> None:
    bars = apple().head(200)
    prices = [price(of, *row) for row in bars.select("open", "high", "low", "close").iter_rows()]

    assert_same(values(bars, "sma", of, period=3), of_closes(prices, "sma", period=3))


# Daily closes and columns of the spreadsheets that go with StockCharts' ChartSchool pages.
CHART_SCHOOL_AVERAGES = [
    22.27, 22.19, 22.08, 22.17, 22.18, 22.13, 22.23, 22.43, 22.24, 22.29, 22.15, 22.39, 22.38, 22.61, 23.36,
    24.05, 23.75, 23.83, 23.95, 23.63, 23.82, 23.87, 23.65, 23.19, 23.10, 23.33, 22.68, 23.10, 22.40, 22.17,
]  # fmt: skip
CHART_SCHOOL_RSI = [
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931,
    46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521,
    45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
]  # fmt: skip
CHART_SCHOOL_BANDS = [
    86.1557, 89.0867, 88.7829, 90.3228, 89.0671, 91.1453, 89.4397, 89.1750, 86.9302, 87.6752, 86.9596,
    89.4299, 89.3221, 88.7241, 87.4497, 87.2634, 89.4985, 87.9006, 89.1260, 90.7043, 92.9001, 92.9784,
    91.8021, 92.6647, 92.6843, 92.3021, 92.7725, 92.5373, 92.9490, 93.2039, 91.0669, 89.8318, 89.7435,
    90.3994, 90.7387, 88.0177, 88.0867, 88.8439, 90.7781, 90.5416, 91.3894, 90.6500,
]  # fmt: skip
# investexcel.net, How to Calculate MACD in Excel.
INVEST_EXCEL_MACD = [
    459.99, 448.85, 446.06, 450.81, 442.80, 448.97, 444.57, 441.40, 430.47, 420.05, 431.14, 425.66, 430.58, 431.72,
    437.87, 428.43, 428.35, 432.50, 443.66, 455.72, 454.49, 452.08, 452.73, 461.91, 463.58, 461.14, 452.08, 442.66,
    428.91, 429.79, 431.99, 427.72, 423.20, 426.21, 426.98, 435.69, 434.33, 429.80, 419.85, 426.24,
]  # fmt: skip


def test_chart_schools_moving_averages() -> None:
    bars = from_closes(CHART_SCHOOL_AVERAGES)

    assert values(bars, "sma", period=10)["sma"][8:12] == [None, *map(pytest.approx, (22.221, 22.209, 22.229))]
    assert values(bars, "ema", period=10)["ema"] == [None] * 9 + [
        pytest.approx(published, abs=0.0051)
        for published in (
            22.22, 22.21, 22.24, 22.27, 22.33, 22.52, 22.80, 22.97, 23.13, 23.28, 23.34,
            23.43, 23.51, 23.53, 23.47, 23.40, 23.39, 23.26, 23.23, 23.08, 22.92,
        )
    ]  # fmt: skip


def test_chart_schools_rsi() -> None:
    assert values(from_closes(CHART_SCHOOL_RSI), "rsi", period=14)["rsi"] == [None] * 14 + [
        pytest.approx(published, abs=0.001)
        for published in (
            70.5328, 66.3186, 66.5498, 69.4063, 66.3552, 57.9749, 62.9296, 63.2571, 56.0593, 62.3771,
            54.7076, 50.4228, 39.9898, 41.4605, 41.8689, 45.4632, 37.3040, 33.0795, 37.7730,
        )
    ]  # fmt: skip


def test_chart_schools_bollinger_bands() -> None:
    bands = values(from_closes(CHART_SCHOOL_BANDS), "bollingerBands", period=20, standard_deviations=2)

    at = {bar: tuple(bands[output][bar] for output in ("upper", "middle", "lower")) for bar in (18, 19, 41)}
    assert at == {
        18: (None, None, None),
        19: pytest.approx((91.291862, 88.707940, 86.124018), abs=1e-5),
        41: pytest.approx((94.148503, 91.050180, 87.951857), abs=1e-5),
    }


def test_invest_excels_macd() -> None:
    got = values(from_closes(INVEST_EXCEL_MACD), "macd", fast_period=12, slow_period=26, signal_period=9)

    assert got["macd"][24:26] == [None, pytest.approx(8.275269503907623)]
    assert got["macd"][31] == pytest.approx(0.10298149119910249)
    assert got["signal"][32:34] == [None, pytest.approx(3.037525868733945)]
    assert got["signal"][39] == pytest.approx(-1.338100412582993)


@pytest.mark.parametrize(
    ("closes", "expected"),
    [
        ([5, 6, 7, 8, 9], [None, None, None, 100, 100]),
        ([9, 8, 7, 6, 5], [None, None, None, 0, 0]),
        ([5, 6, 5, 6, 5], [None, None, None, 200 / 3, 400 / 9]),
        ([5, 5, 5, 5, 5], [None, None, None, None, None]),
        ([5, 5, 5, 5, 6], [None, None, None, None, 100]),
    ],
)
def test_rsi_of_rising_falling_swinging_and_flat_prices(closes: list[float], expected: Column) -> None:
    assert values(from_closes(closes), "rsi", period=3)["rsi"] == [
        value if value is None else pytest.approx(value) for value in expected
    ]


def test_rsi_ends_where_the_last_move_is_forgotten() -> None:
    closes = [5.0, 6.0, 5.5] + [5.5] * 100

    got = values(from_closes(closes), "rsi", period=2)["rsi"]

    # After the fall, halving 34 times leaves it 5.8e-11; the value is 2/3 of the movement until then.
    assert got[2:36] == [pytest.approx(200 / 3)] * 34
    assert got[36:] == [None] * 67
    assert 0.5**33 > 1e-10 > 0.5**34


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e-6, 1.0, 1e12, 1e140])
def test_huge_and_tiny_prices_have_the_values_of_the_definition(scale: float) -> None:
    closes = [price * scale for price in CHART_SCHOOL_BANDS]
    bars = from_closes(closes)

    assert_same(values(bars, "sma", period=5), of_closes(closes, "sma", period=5), 0.0)
    assert_same(values(bars, "ema", period=5), of_closes(closes, "ema", period=5), 0.0)
    assert_same(values(bars, "rsi", period=5), of_closes(closes, "rsi", period=5), 0.0)
    arguments: Arguments = {"fast_period": 3, "slow_period": 8, "signal_period": 4}
    assert_same(values(bars, "macd", **arguments), of_closes(closes, "macd", **arguments), 1e-13 * scale)


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e-6, 1.0, 1e12, 1e140])
def test_bands_of_huge_and_tiny_prices_have_their_width(scale: float) -> None:
    closes = [price * scale for price in CHART_SCHOOL_BANDS]

    got = values(from_closes(closes), "bollingerBands", period=5, standard_deviations=2)

    assert_same(got, of_closes(closes, "bollingerBands", period=5, standard_deviations=2), 0.0)


def test_a_price_that_has_left_the_window_leaves_nothing_behind() -> None:
    closes = [1e15] * 30 + CHART_SCHOOL_BANDS
    bars = from_closes(closes)

    assert_same(values(bars, "sma", period=5), of_closes(closes, "sma", period=5), 0.0)
    arguments: Arguments = {"period": 5, "standard_deviations": 2}
    assert_same(
        values(bars, "bollingerBands", **arguments), of_closes(closes, "bollingerBands", **arguments), absolute=1e-9
    )


@pytest.mark.parametrize(("still", "nulls"), [(100, 0), (101, 1), (150, 50)])
def test_parabolic_sar_loses_its_way_after_a_hundred_bars_like_the_one_before(still: int, nulls: int) -> None:
    bars = traded(walk(3, [(60, 0.01), (still, 0), (60, 0.01)]))

    got = values(bars, "parabolicSar")

    assert_same(got, expected(bars_of(bars), "parabolicSar", **defaults(CATALOG["parabolicSar"])))
    assert got["parabolicSar"][1:].count(None) == nulls
    assert None not in got["parabolicSar"][61 + still :]
