"""What the catalogue says of its indicators, what it refuses, and how a function gets into it."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import polars as pl
import pytest
from polars import Expr

from errors import InvalidParameter, InvalidPeriod, RequestError
from indicators.catalog import CATALOG
from indicators.evaluate import evaluate
from indicators.indicator import REGISTERED, Bounds, Indicator, IndicatorParameter, Outputs, Period, indicator
from market import Anchor, Interval, PriceField
from tests.indicators.bars import from_closes

PARAMETERS = [(entry, parameter) for entry in CATALOG.values() for parameter in entry.parameters]
each_parameter = pytest.mark.parametrize(
    ("entry", "parameter"), PARAMETERS, ids=[f"{entry.name}-{parameter.name}" for entry, parameter in PARAMETERS]
)


def described(entry: Indicator) -> tuple[object, ...]:
    parameters = [(p.name, p.type, p.default, p.minimum, p.maximum) for p in entry.parameters]
    return entry.title, entry.group, parameters, entry.outputs_type, entry.outputs, entry.warm_up, entry.call().settle


GROUPS = {
    "trend": 30,
    "momentum": 35,
    "volatility": 20,
    "volume": 21,
    "price": 16,
    "statistics": 19,
    "cycles": 8,
    "patterns": 61,
}


def test_the_catalogue_has_its_groups() -> None:
    assert Counter(entry.group for entry in CATALOG.values()) == GROUPS


@pytest.mark.parametrize(
    ("name", "description"),
    [
        (
            "bollingerBands",
            (
                "Bollinger Bands",
                "volatility",
                [("period", "Int", "20", 1, 1000), ("standardDeviations", "Float", "2", 0.001, 50)],
                "Bands",
                ("upper", "middle", "lower"),
                19,
                19,
            ),
        ),
        (
            "ema",
            ("Exponential Moving Average", "trend", [("period", "Int", "20", 1, 1000)], None, ("ema",), 19, 250),
        ),
        (
            "macd",
            (
                "Moving Average Convergence Divergence",
                "momentum",
                [
                    ("fastPeriod", "Int", "12", 1, 1000),
                    ("slowPeriod", "Int", "26", 1, 1000),
                    ("signalPeriod", "Int", "9", 1, 1000),
                ],
                "Macd",
                ("macd", "signal", "histogram"),
                33,
                437,
            ),
        ),
        ("rsi", ("Relative Strength Index", "momentum", [("period", "Int", "14", 2, 1000)], None, ("rsi",), 14, 636)),
        ("sma", ("Simple Moving Average", "trend", [("period", "Int", "20", 1, 1000)], None, ("sma",), 19, 19)),
        ("vwap", ("Volume Weighted Average Price", "volume", [], None, ("vwap",), 0, 367)),
        (
            "darkCloudCover",
            (
                "Dark Cloud Cover",
                "patterns",
                [("penetration", "Float", "0.5", 0, 1)],
                None,
                ("darkCloudCover",),
                11,
                11,
            ),
        ),
    ],
)
def test_the_catalogue_describes_each_indicator_to_clients(name: str, description: tuple[object, ...]) -> None:
    assert described(CATALOG[name]) == description


def test_what_an_indicator_takes_of_a_list_is_described_too() -> None:
    arguments = [(a.name, a.type, a.default, a.minimum, a.maximum) for a in CATALOG["vwap"].arguments]
    assert arguments == [("anchor", "Anchor", "null", None, None)]
    assert [a.name for a in CATALOG["sma"].arguments] == ["period", "of"]


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_the_docs_say_what_comes_out_where_it_is_null_and_who_defined_it(entry: Indicator) -> None:
    first = " ".join(entry.text.partition("\n\n")[0].split())
    assert re.search(r" \([A-Z].+[0-9A-Za-z]\)\.", first)
    assert entry.source in first
    assert "One value per bar." in entry.docs
    assert ("null" in entry.docs.lower()) == bool(entry.null_rules or "null" in entry.text.lower())
    assert "_" not in entry.docs
    assert entry.title[0].isupper()
    assert entry.text.endswith(".")


def test_types_of_several_series_have_the_same_series_everywhere() -> None:
    outputs: dict[str, set[tuple[str, ...]]] = {}
    for entry in CATALOG.values():
        if entry.outputs_type:
            outputs.setdefault(entry.outputs_type, set()).add(entry.outputs)
    assert {name: len(kinds) for name, kinds in outputs.items()} == dict.fromkeys(outputs, 1)


def test_the_docs_name_the_parameters_as_clients_write_them() -> None:
    assert "after `slowPeriod` - 1 bars" in " ".join(CATALOG["macd"].docs.split())


def test_the_docs_say_what_an_unknown_volume_and_an_anchor_mean() -> None:
    assert CATALOG["vwap"].docs.endswith(
        "One value per bar. Null where the volume is unknown; such a bar counts as one without trades for those after"
        " it. `anchor` is SESSION for M1 to M30, MONTH for H1 and H4, YEAR for longer bars unless given."
    )
    assert CATALOG["sma"].docs.endswith("One value per bar. The first 19 bars are null with the defaults.")


@pytest.mark.parametrize(
    ("interval", "anchor", "usual", "settle"),
    [
        (Interval.M1, None, Anchor.SESSION, 1500),
        (Interval.M30, None, Anchor.SESSION, 50),
        (Interval.H1, None, Anchor.MONTH, 745),
        (Interval.D1, None, Anchor.YEAR, 367),
        (Interval.W1, None, Anchor.YEAR, 53),
        (Interval.MN1, None, Anchor.YEAR, 12),
        (Interval.D1, Anchor.WEEK, Anchor.WEEK, 8),
        (Interval.M1, Anchor.MONTH, Anchor.MONTH, 44_700),
    ],
)
def test_a_stretch_is_as_long_as_its_bars_may_be_many(
    interval: Interval, anchor: Anchor | None, usual: Anchor, settle: int
) -> None:
    call = CATALOG["onBalanceVolume"].call(interval=interval, anchor=anchor)

    assert (call.anchor, call.settle) == (usual, settle)


def test_a_stretch_of_too_many_bars_is_refused() -> None:
    with pytest.raises(InvalidParameter) as caught:
        CATALOG["vwap"].call(interval=Interval.M1, anchor=Anchor.YEAR)

    assert str(caught.value) == "anchor YEAR of vwap takes up to 527100 bars of M1; give a shorter one."


@each_parameter
def test_both_ends_of_a_range_are_taken(entry: Indicator, parameter: IndicatorParameter) -> None:
    for end in (parameter.minimum, parameter.maximum):
        assert parameter.check(end if parameter.type == "Float" else int(end), indicator="x") == end
    assert parameter.minimum <= parameter.default_value <= parameter.maximum


@each_parameter
@pytest.mark.parametrize("value", [True, None, "5", float("nan"), float("inf"), -float("inf"), -1, 10**30])
def test_what_is_outside_a_range_is_refused(entry: Indicator, parameter: IndicatorParameter, value: Any) -> None:
    refused = InvalidPeriod if "period" in parameter.name.lower() else InvalidParameter

    arguments: dict[str, Any] = {parameter.keyword: value}

    with pytest.raises(RequestError) as caught:
        entry.call(**arguments)

    assert type(caught.value) is refused
    assert caught.value.details == {
        "parameter": parameter.name,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
    }
    assert str(caught.value).startswith(f"{parameter.name} of {entry.name} is {value!r}; give a ")


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("sma", {"period": 0}, InvalidPeriod, "period of sma is 0; give a whole number from 1 to 1000."),
        ("ema", {"period": 1001}, InvalidPeriod, "period of ema is 1001; give a whole number from 1 to 1000."),
        ("rsi", {"period": 1}, InvalidPeriod, "period of rsi is 1; give a whole number from 2 to 1000."),
        ("rsi", {"period": 14.0}, InvalidPeriod, "period of rsi is 14.0; give a whole number from 2 to 1000."),
        (
            "macd",
            {"signal_period": 0},
            InvalidPeriod,
            "signalPeriod of macd is 0; give a whole number from 1 to 1000.",
        ),
        (
            "macd",
            {"fast_period": 26},
            InvalidParameter,
            "fastPeriod of macd is 26 and slowPeriod 26; give a fastPeriod below slowPeriod.",
        ),
        (
            "bollingerBands",
            {"standard_deviations": 0},
            InvalidParameter,
            "standardDeviations of bollingerBands is 0; give a number from 0.001 to 50.",
        ),
        ("sma", {"fast_period": 3}, InvalidParameter, "sma has no fastPeriod; it takes period, of."),
    ],
)
def test_a_refusal_names_the_argument_its_value_and_the_way_out(
    name: str, arguments: dict[str, Any], error: type[RequestError], message: str
) -> None:
    with pytest.raises(error) as caught:
        CATALOG[name].call(**arguments)

    assert type(caught.value) is error
    assert str(caught.value) == message


def test_calls_that_say_the_same_are_equal() -> None:
    bands = CATALOG["bollingerBands"]
    same = {
        bands.call(),
        bands.call(period=20),
        bands.call(standard_deviations=2.0),
        bands.call(of=PriceField.CLOSE, standard_deviations=2),
    }

    assert len(same) == 1
    assert len({*same, bands.call(period=21), bands.call(of=PriceField.HL2), CATALOG["sma"].call()}) == 4


@pytest.fixture
def empty_catalogue(monkeypatch: pytest.MonkeyPatch) -> dict[str, Indicator]:
    registered: dict[str, Indicator] = {}
    monkeypatch.setattr("indicators.indicator.REGISTERED", registered)
    return registered


def test_one_function_makes_an_indicator(empty_catalogue: dict[str, Indicator]) -> None:
    @indicator("Weighted Range", warm_up=lambda period, weight: period)
    def weighted_range(
        high: Expr, low: Expr, period: Period = 5, weight: Annotated[float, Bounds(-1, 1)] = 0.25
    ) -> Annotated[Expr, Outputs("Ranges", "plain", "weighted")]:
        """A range (nobody)."""
        plain = (high - low).shift(period)
        return pl.struct(weighted=plain * weight, plain=plain, unused=plain)

    entry = empty_catalogue["weightedRange"]
    assert entry.inputs == ("high", "low")
    assert described(entry) == (
        "Weighted Range",
        "indicators",
        [("period", "Int", "5", 1, 1000), ("weight", "Float", "0.25", -1, 1)],
        "Ranges",
        ("plain", "weighted"),
        5,
        5,
    )
    bars = from_closes([1.0, 2.0, 3.0]).with_columns(high=pl.col("close") + 4)
    (values,) = evaluate(bars, [entry.call(period=1)])
    assert {name: column.to_list() for name, column in dict(values).items()} == {
        "plain": [None, 4.0, 4.0],
        "weighted": [None, 1.0, 1.0],
    }
    with pytest.raises(InvalidParameter, match=r"weightedRange has no of; it takes period, weight\."):
        entry.call(of=PriceField.OPEN)


def test_nan_infinity_and_whole_numbers_come_out_as_null_and_float(empty_catalogue: dict[str, Indicator]) -> None:
    @indicator("Share of Volume", warm_up=lambda: 0)
    def share(of: Expr, volume: Expr) -> Expr:
        """Price per volume."""
        return of / volume

    @indicator("Direction", warm_up=lambda: 1)
    def direction(of: Expr) -> Expr:
        """Whether it rose."""
        return (of.diff() > 0).cast(pl.Int8)

    bars = from_closes([0.0, 1.0, -1.0, 3.0, 4.0]).with_columns(volume=pl.Series([0.0, 0.0, 0.0, 2.0, None]))
    ratio, sign = evaluate(bars, [entry.call() for entry in empty_catalogue.values()])

    assert isinstance(ratio, pl.Series)
    assert isinstance(sign, pl.Series)
    assert ratio.to_list() == [None, None, None, 1.5, None]
    assert sign.dtype == pl.Float64
    assert sign.to_list() == [None, 1.0, 0.0, 1.0, 1.0]


def test_equal_calls_are_computed_once(empty_catalogue: dict[str, Indicator]) -> None:
    computed = []

    def count(prices: pl.Series) -> pl.Series:
        computed.append(len(prices))
        return prices

    @indicator("Counted", warm_up=lambda period: 0)
    def counted(of: Expr, period: Period = 1) -> Expr:
        """The price."""
        return of.map_batches(count, return_dtype=pl.Float64)

    entry = empty_catalogue["counted"]
    asked = [entry.call(), entry.call(period=1), entry.call(period=2), entry.call()]
    results = evaluate(from_closes([1.0, 2.0]), asked)

    assert computed == [2, 2]
    assert [dict(enumerate(values)) for values in results] == [{0: 1.0, 1: 2.0}] * 4


def undocumented(of: Expr, period: Period = 1) -> Expr:
    return of


def unbounded(of: Expr, period: int = 1) -> Expr:
    """A price."""
    return of


def without_default(of: Expr, period: Period) -> Expr:
    """A price."""
    return of


def default_out_of_range(of: Expr, period: Period = 0) -> Expr:
    """A price."""
    return of


def misnamed_series(price: Expr) -> Expr:
    """A price."""
    return price


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (undocumented, TypeError, "undocumented has no docstring"),
        (unbounded, TypeError, "period of unbounded is no series, and lacks Bounds or a default"),
        (without_default, TypeError, "period of withoutDefault is no series, and lacks Bounds or a default"),
        (
            default_out_of_range,
            InvalidPeriod,
            "period of defaultOutOfRange is 0; give a whole number from 1 to 1000.",
        ),
        (misnamed_series, TypeError, "price of misnamedSeries is no series, and lacks Bounds or a default"),
    ],
)
def test_a_function_that_leaves_something_unsaid_does_not_load(
    empty_catalogue: dict[str, Indicator], function: Callable[..., Expr], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        indicator("Faulty", warm_up=lambda period: 0)(function)

    assert str(caught.value) == message
    assert empty_catalogue == {}


def test_two_indicators_cannot_share_a_name() -> None:
    def sma(of: Expr) -> Expr:
        """A second one."""
        return of

    with pytest.raises(TypeError, match="there are two indicators called sma"):
        indicator("Another", warm_up=lambda: 0)(sma)
    assert REGISTERED["sma"] is CATALOG["sma"]
