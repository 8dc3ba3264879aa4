"""What an indicator is: one function on Polars expressions, whose signature and docstring say all about it."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, get_args, get_origin

import polars as pl
from polars import Expr

from errors import InvalidParameter, InvalidPeriod
from indicators.formula import Formula, formula, kept
from market import Anchor, Interval, PriceField

_open, _high, _low, _close, _volume = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
_PRICES: Final = {
    PriceField.OPEN: _open,
    PriceField.HIGH: _high,
    PriceField.LOW: _low,
    PriceField.CLOSE: _close,
    PriceField.HL2: (_high + _low) / 2,
    # Not / 3: Polars rounds that otherwise for one bar alone than for many, and a value must not depend on that.
    PriceField.HLC3: (_high + _low + _close) * (1 / 3),
    PriceField.OHLC4: (_open + _high + _low + _close) / 4,
}
_INPUTS: Final = {
    "open": _open,
    "high": _high,
    "low": _low,
    "close": _close,
    # What a bar without volume means to those after it; the bar itself has no value (see `_formula`).
    "volume": _volume.fill_null(0),
}
# In whole units of 1e-8 sums and differences of prices are exact, so two bodies of 10 cents are equal, and no rounding
# of earlier bars decides whether a pattern is there.
_CANDLE: Final = {
    "open in units": (_open * 1e8).round(),
    "high in units": (_high * 1e8).round(),
    "low in units": (_low * 1e8).round(),
    "close in units": (_close * 1e8).round(),
}
_EVERY: Final = {
    Anchor.SESSION: "1d",
    Anchor.WEEK: "1w",
    Anchor.MONTH: "1mo",
    Anchor.QUARTER: "1q",
    Anchor.YEAR: "1y",
}
_MOST_BARS: Final = 50_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the greatest value that a parameter takes, both included."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True, init=False)
class Outputs:
    """The series of an indicator that has several, in order: the fields of the struct that it returns.

    `type_name` is what clients call the whole.
    """

    type_name: str
    names: tuple[str, ...]

    def __init__(self, type_name: str, *names: str) -> None:
        object.__setattr__(self, "type_name", type_name)
        object.__setattr__(self, "names", names)


Period = Annotated[int, Bounds(1, 1000)]
Sample = Annotated[int, Bounds(2, 1000)]
"""A period of at least two bars, where one has no spread."""
Multiple = Annotated[float, Bounds(0.001, 50)]
Candle: TypeAlias = tuple[Expr, Expr, Expr, Expr]
"""Open, high, low and close."""


@dataclass(frozen=True, slots=True)
class IndicatorParameter:
    """A number that an indicator takes. `keyword` is its name in Python, `name` its name for clients."""

    keyword: str
    type: Literal["Int", "Float"]
    default_value: float
    minimum: float
    maximum: float

    @property
    def name(self) -> str:
        """As clients write it: `fastPeriod`."""
        return _camel_case(self.keyword)

    @property
    def default(self) -> str:
        """The default as text: `14`, `2`, `0.02`."""
        return _plain(self.default_value)

    def check(self, value: object, *, indicator: str) -> float:
        """The value. Raises InvalidPeriod or InvalidParameter outside its type or range."""
        allowed = int if self.type == "Int" else (int, float)
        if isinstance(value, allowed) and not isinstance(value, bool) and self.minimum <= value <= self.maximum:
            return value
        error = InvalidPeriod if self.keyword == "period" or self.keyword.endswith("_period") else InvalidParameter
        kind = "a whole number" if self.type == "Int" else "a number"
        span = f"{_plain(self.minimum)} to {_plain(self.maximum)}"
        raise error(
            f"{self.name} of {indicator} is {value!r}; give {kind} from {span}.",
            parameter=self.name,
            minimum=self.minimum,
            maximum=self.maximum,
        )


@dataclass(frozen=True, slots=True)
class IndicatorChoice:
    """An argument of an indicator that is one of an enum; it has no range."""

    name: str
    type: str
    default: str
    minimum: None = None
    maximum: None = None


_CHOICES: Final = {
    "of": IndicatorChoice("of", "PriceField", PriceField.CLOSE),
    "anchor": IndicatorChoice("anchor", "Anchor", "null"),
}


@dataclass(frozen=True, eq=False)
class Indicator:
    """One entry of the catalogue, read off the signature and the docstring of `function`.

    `text` is the docstring, with the parameters named as clients write them. `overlay` says that it lies among the
    prices: raise them all by one, and it is raised by one. `inputs` are the series that it reads; `of` among them
    stands for the price that the caller chooses, `anchor` for the stretch that the caller chooses, which begins anew
    each day, month, … `outputs_type` is None where it gives one series, which `outputs` then calls by the indicator's
    own name.
    """

    name: str
    title: str
    group: str
    text: str
    overlay: bool
    inputs: tuple[str, ...]
    parameters: tuple[IndicatorParameter, ...]
    outputs: tuple[str, ...]
    outputs_type: str | None
    function: Callable[..., Expr]
    warm_up_rule: Callable[..., int]
    settle_rule: Callable[..., int]

    @property
    def warm_up(self) -> int:
        """Leading bars without a value, at the default parameters; of what takes an anchor, for daily bars."""
        defaults = {parameter.keyword: parameter.default_value for parameter in self.parameters}
        return self.warm_up_rule(**defaults, **_anchor_bars(self, _usual_anchor(Interval.D1), Interval.D1))

    @property
    def source(self) -> str:
        """Where the formula comes from: `Wilder 1978`."""
        return self.text.partition("\n\n")[0].rpartition("(")[2].partition(")")[0]

    @property
    def null_rules(self) -> list[str]:
        """Where there is no value, beside what `text` says."""
        leading = self.warm_up
        if leading and "anchor" in self.inputs:
            rules = ["Null until a stretch has gone before."]
        else:
            bars = "bar is" if leading == 1 else f"{leading} bars are"
            rules = [f"The first {bars} null with the defaults."] if leading else []
        if "volume" in self.inputs:
            rules.append(
                "Null where the volume is unknown; such a bar counts as one without trades for those after it."
            )
        return rules

    @property
    def docs(self) -> str:
        """All that a user of charts should know of it."""
        rules = ["One value per bar.", *self.null_rules]
        if "anchor" in self.inputs:
            rules.append("`anchor` is SESSION for M1 to M30, MONTH for H1 and H4, YEAR for longer bars unless given.")
        return f"{self.text}\n\n{' '.join(rules)}"

    @property
    def arguments(self) -> Sequence[IndicatorParameter | IndicatorChoice]:
        """All that it takes, in the order in which clients see it."""
        return [*self.parameters, *(choice for name, choice in _CHOICES.items() if name in self.inputs)]

    # To write a formula takes as long as to evaluate it, and the same ones are asked for again and again.
    @lru_cache(maxsize=1024, typed=True)  # of entries of the catalogue, which live on  # noqa: B019
    def call(
        self,
        *,
        of: PriceField | None = None,
        anchor: Anchor | None = None,
        interval: Interval = Interval.D1,
        **arguments: float,
    ) -> "Call":
        """The indicator with these arguments, by Python keyword, for bars of the interval.

        `of` is CLOSE unless said otherwise; `anchor` SESSION for M1 to M30, MONTH for H1 and H4, YEAR for longer.
        Raises InvalidPeriod or InvalidParameter, whatever is wrong first in the order of the signature.
        """
        chosen: dict[str, PriceField | Anchor | None] = {"of": of, "anchor": anchor}
        known = [parameter.keyword for parameter in self.parameters]
        unknown = [keyword for keyword in arguments if keyword not in known]
        unknown += [keyword for keyword, value in chosen.items() if value is not None and keyword not in self.inputs]
        if unknown:
            taken = [argument.name for argument in self.arguments]
            raise InvalidParameter(
                f"{self.name} has no {_camel_case(unknown[0])}; it takes {', '.join(taken) or 'nothing'}.",
                parameter=_camel_case(unknown[0]),
            )
        checked = {
            parameter.keyword: parameter.check(
                arguments.get(parameter.keyword, parameter.default_value), indicator=self.name
            )
            for parameter in self.parameters
        }
        price = (of or PriceField.CLOSE) if "of" in self.inputs else None
        stretch = (anchor or _usual_anchor(interval)) if "anchor" in self.inputs else None
        values = tuple(checked.items())
        sizes = _anchor_bars(self, stretch, interval)
        return Call(
            indicator=self,
            of=price,
            anchor=stretch,
            arguments=values,
            formula=_formula(self, price, stretch, values),
            warm_up=self.warm_up_rule(**sizes, **checked),
            settle=self.settle_rule(**sizes, **checked),
        )


def _usual_anchor(interval: Interval) -> Anchor:
    if not interval.is_intraday:
        return Anchor.YEAR
    return Anchor.MONTH if interval in {Interval.H1, Interval.H4} else Anchor.SESSION


def _anchor_bars(indicator: Indicator, anchor: Anchor | None, interval: Interval) -> dict[str, int]:
    """The most bars of the interval that a stretch can hold, for the rules of an indicator that takes an anchor."""
    if anchor is None or "anchor" not in indicator.inputs:
        return {}
    # A day, and what holds one, is an hour longer where clocks are set back.
    bars = math.ceil((anchor.span + timedelta(hours=1)) / interval.span)
    if bars > _MOST_BARS:
        raise InvalidParameter(
            f"anchor {anchor} of {indicator.name} takes up to {bars} bars of {interval}; give a shorter one.",
            parameter="anchor",
        )
    return {"anchor": bars}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An indicator with checked arguments, defaults filled in: equal calls have equal values, so it can be a key.

    `warm_up` is how many leading bars have no value, counted until every output has one. `settle` is how many
    bars before a bar its value still hears: with as many in front of a window, the window's values are the same
    however much longer the history is. Null `of` or `anchor`: the indicator does not take one.
    """

    indicator: Indicator
    of: PriceField | None
    anchor: Anchor | None
    arguments: tuple[tuple[str, float], ...]
    formula: Formula = field(compare=False, repr=False)
    warm_up: int = field(compare=False)
    settle: int = field(compare=False)

    def __hash__(self) -> int:
        return hash((self.indicator.name, self.arguments))  # of the rest to make one takes ten times as long


def _formula(
    indicator: Indicator, of: PriceField | None, anchor: Anchor | None, arguments: tuple[tuple[str, float], ...]
) -> Formula:
    def written() -> Expr:
        series: dict[str, Any] = {
            name: kept(_INPUTS[name], f"{name} or 0") for name in indicator.inputs if name in _INPUTS
        }
        if "candle" in indicator.inputs:
            series["candle"] = tuple(kept(price, name) for name, price in _CANDLE.items())
        if of:
            series["of"] = kept(_PRICES[of], of.value)
        if anchor:
            series["anchor"] = kept(pl.col("time").dt.truncate(_EVERY[anchor]), anchor.value)
        keywords = {_keyword(name): value for name, value in series.items()}
        expression = indicator.function(**keywords, **dict(arguments))
        return pl.when(_volume.is_not_null()).then(expression) if "volume" in series else expression

    return formula(written)


def _keyword(name: str) -> str:
    return "open_" if name == "open" else name


REGISTERED: Final[dict[str, Indicator]] = {}
"""What the decorator has met so far; `indicators.catalog` has them all."""

_Function = TypeVar("_Function", bound=Callable[..., Expr])


def indicator(
    title: str, *, overlay: bool = False, warm_up: Callable[..., int], settle: Callable[..., int] | None = None
) -> Callable[[_Function], _Function]:
    """Put a function into the catalogue, and leave it as it is, so that others can be built on it.

    Its parameters are series, known by their names (`open_`, `high`, `low`, `close`, `volume`, `candle`, `of`, or
    `anchor`), then numbers with a default, annotated with their `Bounds`. It returns one Float64 expression, or a
    struct annotated with its `Outputs`. NaN and infinity in what it returns become null in `evaluate`. Where volume is
    read, a bar whose volume is null has no value, and counts as one without trades for the bars after it.

    `overlay` says that it lies among the prices. `warm_up` and `settle` take the numbers by name, and as `anchor` how
    many bars a stretch has at most; they say what `Call` holds under these names. Without `settle` the function depends
    on a window: the bar and the `warm_up` bars before it.
    Raises TypeError where the function leaves something unsaid.
    """

    def register(function: _Function) -> _Function:
        name = _camel_case(function.__name__)
        signature = inspect.signature(function)
        docs = inspect.getdoc(function)
        if docs is None:
            raise TypeError(f"{name} has no docstring")
        if name in REGISTERED:
            raise TypeError(f"there are two indicators called {name}")
        series = [p for p in signature.parameters if p.rstrip("_") in {*_INPUTS, "candle", "of", "anchor"}]
        inputs = tuple(p.rstrip("_") for p in series)
        parameters = tuple(_parameter(p, name) for p in signature.parameters.values() if p.name not in series)
        for parameter in parameters:
            docs = docs.replace(f"`{parameter.keyword}`", f"`{parameter.name}`")
        outputs = _metadata(signature.return_annotation, Outputs)
        REGISTERED[name] = Indicator(
            name=name,
            title=title,
            group=function.__module__.split(".")[1],
            text=docs,
            overlay=overlay,
            inputs=inputs,
            parameters=parameters,
            outputs=outputs.names if outputs else (name,),
            outputs_type=outputs.type_name if outputs else None,
            function=function,
            warm_up_rule=warm_up,
            settle_rule=settle or warm_up,
        )
        return function

    return register


def _parameter(declared: inspect.Parameter, indicator: str) -> IndicatorParameter:
    bounds = _metadata(declared.annotation, Bounds)
    if bounds is None or declared.default is inspect.Parameter.empty:
        raise TypeError(f"{declared.name} of {indicator} is no series, and lacks Bounds or a default")
    parameter = IndicatorParameter(
        keyword=declared.name,
        type="Int" if get_args(declared.annotation)[0] is int else "Float",
        default_value=declared.default,
        minimum=bounds.minimum,
        maximum=bounds.maximum,
    )
    parameter.check(declared.default, indicator=indicator)
    return parameter


_Metadata = TypeVar("_Metadata")


def _metadata(annotation: Any, kind: type[_Metadata]) -> _Metadata | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((item for item in get_args(annotation)[1:] if isinstance(item, kind)), None)


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _plain(number: float) -> str:
    return f"{number:.15g}"
