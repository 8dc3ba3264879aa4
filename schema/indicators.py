"""The types `Indicators` and `Patterns`, made from the catalogue: all they say is the functions' own."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import strawberry

from indicators import indicator as catalogued
from indicators.catalog import CATALOG
from market import Anchor, PriceField
from resolvers.indicators import PATTERNS, IndicatorScope
from schema.scalars import asked_by, described, resolved_by

Series = list[float | None]
Signs = list[int | None]


def _type(name: str, fields: dict[str, tuple[Any, Any]], description: str) -> type:
    """A type of the annotations and fields by name."""
    namespace = {name: field for name, (_, field) in fields.items()}
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    made = type(name, (), {**namespace, "__annotations__": annotations, "__module__": __name__})
    return strawberry.type(made, description=description)


def _field(indicator: catalogued.Indicator) -> tuple[Any, Any]:
    """The annotation and the field of an indicator."""

    def ask(root: IndicatorScope, **arguments: Any) -> catalogued.Call:
        return indicator.call(interval=root.interval, **arguments)

    root = inspect.Parameter("root", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=IndicatorScope)
    chosen = [_CHOICES[name] for name in _CHOICES if name in indicator.inputs]
    numbers = [_number(parameter) for parameter in indicator.parameters]
    asked: Callable[..., Any] = ask
    asked.__signature__ = inspect.Signature([root, *numbers, *chosen], return_annotation=Any)  # type: ignore[attr-defined]
    asked.__annotations__ = {p.name: p.annotation for p in (root, *numbers, *chosen)}
    return _output(indicator), asked_by(asked, f"{indicator.title}. {indicator.docs}")


def _number(parameter: catalogued.IndicatorParameter) -> inspect.Parameter:
    whole = parameter.type == "Int"
    default = int(parameter.default_value) if whole else float(parameter.default_value)
    span = f"{parameter.minimum:g} to {parameter.maximum:g}"
    described_as = strawberry.argument(description=span)
    annotation: Any = Annotated[int, described_as] if whole else Annotated[float, described_as]
    return _argument(parameter.keyword, annotation, default)


def _argument(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_CHOICES = {
    "of": _argument(
        "of",
        Annotated[PriceField, strawberry.argument(description="The price that it is computed of.")],
        PriceField.CLOSE,
    ),
    "anchor": _argument(
        "anchor",
        Annotated[
            Anchor | None, strawberry.argument(description="Where it begins anew; null: as the interval has it.")
        ],
        None,
    ),
}
_SERIES = {
    "base": "Base line: middle of the range of the longer period.",
    "bear": "How far the low lies above the average; negative where it lies below.",
    "bull": "How far the high lies above the average; negative where it lies below.",
    "close": "Closing price.",
    "conversion": "Conversion line: middle of the range of the shorter period.",
    "d": "The smoothed `k`.",
    "direction": "1 while the trend goes up, -1 while it goes down.",
    "down": "Of the lows.",
    "fama": "The average that follows `mama`.",
    "high": "Highest price.",
    "histogram": "What the line lies above its signal.",
    "inPhase": "The part in step with the cycle.",
    "j": "3 times `k` less 2 times `d`.",
    "jaw": "The slowest average.",
    "k": "Where the value lies in its range, smoothed where the indicator has it so.",
    "lagging": "The close, drawn back.",
    "lead": "The sine an eighth of a cycle ahead.",
    "line": "The stop: below the price while the trend goes up, above it while it goes down.",
    "lips": "The fastest average.",
    "long": "Where who has bought would leave.",
    "low": "Lowest price.",
    "lower": "The lower edge.",
    "macd": "The faster average less the slower.",
    "mama": "The adaptive average.",
    "middle": "What the edges lie around.",
    "minus": "Movement downwards.",
    "open": "Opening price.",
    "pivot": "The pivot itself.",
    "plus": "Movement upwards.",
    "quadrature": "The part a quarter of a cycle apart.",
    "r1": "First resistance.",
    "r2": "Second resistance.",
    "r3": "Third resistance.",
    "r4": "Fourth resistance.",
    "s1": "First support.",
    "s2": "Second support.",
    "s3": "Third support.",
    "s4": "Fourth support.",
    "short": "Where who has sold short would leave.",
    "signal": "The average of the line, which it crosses where it turns.",
    "sine": "The sine of the cycle's phase.",
    "spanA": "Leading span A: the middle of conversion and base.",
    "spanB": "Leading span B: the middle of the range of the longest period.",
    "teeth": "The average between.",
    "trigger": "The line as it was a bar ago.",
    "up": "Of the highs.",
    "upper": "The upper edge.",
    "value": "The line itself.",
}
"""What the series of indicators that have several are, by name; the indicator's own text has the formula."""
_OUTPUTS: dict[str, type] = {}


def _output(indicator: catalogued.Indicator) -> Any:
    """A list of numbers, or the type with one such list for each output."""
    name = indicator.outputs_type
    if name is None:
        return Signs if indicator.group == PATTERNS else Series
    if name not in _OUTPUTS:
        fields = {output: (Series, described(_SERIES[output])) for output in indicator.outputs}
        _OUTPUTS[name] = _type(name, fields, "Several series, each with one value per bar.")
    return _OUTPUTS[name]


Patterns: Any = _type(
    "Patterns",
    {indicator.name: _field(indicator) for indicator in CATALOG.values() if indicator.group == PATTERNS},
    "One field per candlestick pattern: 100 at the bar that completes a bullish one, -100 a bearish one, 0 where there"
    " is none. A body is long if longer than the mean of the 10 before it, else short; a doji's is at most a tenth of"
    " the mean range of 10 bars. A shadow is long if longer than its body, very long if twice as long, short if shorter"
    " than the mean shadow of 10 bars, very short if under a tenth of their mean range. Near is within a fifth, far"
    " beyond three fifths, equal within a twentieth of the mean range of 5 bars. White rises, black falls. Prices are"
    " compared in whole units of 1e-8.",
)
Indicators: Any = _type(
    "Indicators",
    {
        **{indicator.name: _field(indicator) for indicator in CATALOG.values() if indicator.group != PATTERNS},
        PATTERNS: (Patterns, described("Candlestick patterns.")),
    },
    "One field per indicator; each series has one value per bar, null where it is not yet defined. Warm-up"
    " bars are fetched and cut off for you: the value at a bar does not depend on the window asked for."
    " Aliases give one indicator several settings: fast: ema(period: 12) slow: ema(period: 26)",
)


def _arguments(root: catalogued.Indicator) -> Any:
    return root.arguments


@strawberry.type(description="An argument that an indicator takes.")
class IndicatorParameter:
    """As `indicators.indicator.IndicatorParameter` and `IndicatorChoice`."""

    name: str = described("What it is called.")
    type: str = described("Int or Float, or the enum whose value it takes.")
    default: str = described("What it is unless said otherwise.")
    minimum: float | None = described("The least that it may be; null for an enum.")
    maximum: float | None = described("The most that it may be; null for an enum.")


@strawberry.type(description="An indicator: what it is called, takes and gives.")
class IndicatorInfo:
    """As `indicators.indicator.Indicator`."""

    name: str = described("Its field under `Indicators`, or under `Patterns`.")
    title: str = described("Its name in full.")
    group: str = described(
        "What it belongs to: trend, momentum, volatility, volume, price, statistics, cycles or patterns."
    )
    overlay: bool = described(
        "True where its series are drawn over the bars, False where they need a pane of their own."
    )
    docs: str = described("What it says, its unit, its nulls, and where its formula comes from.")
    parameters: list[IndicatorParameter] = resolved_by(_arguments, "What it takes.")
    outputs: list[str] = described("The names of its series.")
    warm_up: int = described(
        "Leading bars without a value, at the default parameters; of pivots, at most as many daily bars."
    )
