"""What an indicator is: one function on Polars expressions, whose signature and docstring say all about it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

import polars as pl
from polars import Expr

from errors import InvalidParameter, InvalidPeriod
from market import PriceField

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
_INPUTS: Final = {"open": _open, "high": _high, "low": _low, "close": _close, "volume": _volume}


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


@dataclass(frozen=True, eq=False)
class Indicator:
    """One entry of the catalogue, read off the signature and the docstring of `function`.

    `docs` is the docstring, with the parameters named as clients write them. `inputs` are the series that it
    reads; `of` among them stands for the price that the caller chooses. `outputs_type` is None where it gives
    one series, which `outputs` then calls by the indicator's own name.
    """

    name: str
    title: str
    group: str
    docs: str
    inputs: tuple[str, ...]
    parameters: tuple[IndicatorParameter, ...]
    outputs: tuple[str, ...]
    outputs_type: str | None
    function: Callable[..., Expr]
    warm_up_rule: Callable[..., int]
    settle_rule: Callable[..., int]

    @property
    def warm_up(self) -> int:
        """Leading bars without a value, at the default parameters."""
        return self.call().warm_up

    def call(self, *, of: PriceField | None = None, **arguments: float) -> "Call":
        """The indicator with these arguments, by Python keyword; `of` is CLOSE unless said otherwise.

        Raises InvalidPeriod or InvalidParameter, whatever is wrong first in the order of the signature.
        """
        known = [parameter.keyword for parameter in self.parameters]
        unknown = [keyword for keyword in arguments if keyword not in known]
        if of is not None and "of" not in self.inputs:
            unknown.append("of")
        if unknown:
            taken = [parameter.name for parameter in self.parameters] + ["of"] * ("of" in self.inputs)
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
        values = tuple(checked.items())
        return Call(
            indicator=self,
            of=price,
            arguments=values,
            expression=_expression(self, price, values),
            warm_up=self.warm_up_rule(**checked),
            settle=self.settle_rule(**checked),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An indicator with checked arguments, defaults filled in: equal calls have equal values, so it can be a key.

    `warm_up` is how many leading bars have no value, counted until every output has one. `settle` is how many
    bars before a bar its value still hears: with as many in front of a window, the window's values are the same
    however much longer the history is. Null `of`: the indicator does not take a price of choice.
    """

    indicator: Indicator
    of: PriceField | None
    arguments: tuple[tuple[str, float], ...]
    expression: Expr = field(compare=False, repr=False)
    warm_up: int = field(compare=False)
    settle: int = field(compare=False)


# To build an expression takes as long as to evaluate it, and the same ones are asked for again and again.
@lru_cache(maxsize=1024)
def _expression(indicator: Indicator, of: PriceField | None, arguments: tuple[tuple[str, float], ...]) -> Expr:
    series = {name: _PRICES[of] if of and name == "of" else _INPUTS[name] for name in indicator.inputs}
    return indicator.function(**series, **dict(arguments))


REGISTERED: Final[dict[str, Indicator]] = {}
"""What the decorator has met so far; `indicators.catalog` has them all."""

_Function = TypeVar("_Function", bound=Callable[..., Expr])


def indicator(
    title: str, *, warm_up: Callable[..., int], settle: Callable[..., int] | None = None
) -> Callable[[_Function], _Function]:
    """Put a function into the catalogue, and leave it as it is, so that others can be built on it.

    Its parameters are series, known by their names (`open`, `high`, `low`, `close`, `volume`, or `of`), then
    numbers with a default, annotated with their `Bounds`. It returns one Float64 expression, or a struct
    annotated with its `Outputs`. NaN and infinity in what it returns become null in `evaluate`.

    `warm_up` and `settle` take the numbers by name and say what `Call` holds under these names. Without
    `settle` the function depends on a window: the bar and the `warm_up` bars before it.
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
        inputs = tuple(p for p in signature.parameters if p in _INPUTS or p == "of")
        parameters = tuple(_parameter(p, name) for p in signature.parameters.values() if p.name not in inputs)
        for parameter in parameters:
            docs = docs.replace(f"`{parameter.keyword}`", f"`{parameter.name}`")
        outputs = _metadata(signature.return_annotation, Outputs)
        REGISTERED[name] = Indicator(
            name=name,
            title=title,
            group=function.__module__.rpartition(".")[2],
            docs=docs,
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
