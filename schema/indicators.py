"""The type `Indicators`, made from the catalogue: names, arguments, defaults and texts are the functions' own."""

import inspect
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Annotated, Any

import strawberry

from indicators import indicator as catalogued
from indicators.catalog import CATALOG
from market import PriceField
from resolvers.indicators import IndicatorScope
from schema.scalars import described

Series = list[float | None]


def _indicators() -> type:
    fields = {indicator.name: _field(indicator) for indicator in CATALOG.values()}
    namespace = {name: field for name, (_, field) in fields.items()}
    annotations = {name: annotation for name, (annotation, _) in fields.items()}
    made = type("Indicators", (), {**namespace, "__annotations__": annotations, "__module__": __name__})
    return strawberry.type(
        made,
        description=(
            "One field per indicator; each series has one value per bar, null where it is not yet defined. Warm-up"
            " bars are fetched and cut off for you: the value at a bar does not depend on the window asked for."
            " Aliases give one indicator several settings: fast: ema(period: 12) slow: ema(period: 26)"
        ),
    )


def _field(indicator: catalogued.Indicator) -> tuple[Any, Any]:
    """The annotation and the field of an indicator."""

    async def values(root: IndicatorScope, **arguments: Any) -> Any:
        found = await root.values(indicator.call(**arguments))
        return SimpleNamespace(**found) if isinstance(found, Mapping) else found

    root = inspect.Parameter("root", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=IndicatorScope)
    of = [_argument("of", PriceField, PriceField.CLOSE)] if "of" in indicator.inputs else []
    numbers = [_number(parameter) for parameter in indicator.parameters]
    resolver: Callable[..., Any] = values
    resolver.__signature__ = inspect.Signature([root, *numbers, *of], return_annotation=Any)  # type: ignore[attr-defined]
    resolver.__annotations__ = {p.name: p.annotation for p in (root, *numbers, *of)}
    docs = f"{indicator.title}. {indicator.docs}"
    return _output(indicator), strawberry.field(resolver=resolver, description=docs)


def _number(parameter: catalogued.IndicatorParameter) -> inspect.Parameter:
    whole = parameter.type == "Int"
    default = int(parameter.default_value) if whole else float(parameter.default_value)
    span = f"{parameter.minimum:g} to {parameter.maximum:g}"
    described_as = strawberry.argument(description=span)
    annotation: Any = Annotated[int, described_as] if whole else Annotated[float, described_as]
    return _argument(parameter.keyword, annotation, default)


def _argument(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_OUTPUTS: dict[str, type] = {}


def _output(indicator: catalogued.Indicator) -> Any:
    """A list of numbers, or the type with one such list for each output."""
    name = indicator.outputs_type
    if name is None:
        return Series
    if name not in _OUTPUTS:
        annotations = dict.fromkeys(indicator.outputs, Series)
        made = type(name, (), {"__annotations__": annotations, "__module__": __name__})
        _OUTPUTS[name] = strawberry.type(made, description=f"The series of {indicator.name}.")
    return _OUTPUTS[name]


Indicators: Any = _indicators()


@strawberry.type(description="A number that an indicator takes.")
class IndicatorParameter:
    """As `indicators.indicator.IndicatorParameter`."""

    name: str
    type: str = described("Int or Float.")
    default: str = described("What it is unless said otherwise.")
    minimum: float | None
    maximum: float | None


@strawberry.type(description="An indicator: what it is called, takes and gives.")
class IndicatorInfo:
    """As `indicators.indicator.Indicator`."""

    name: str = described("Its field under `Indicators`.")
    title: str = described("Its name in full.")
    group: str = described("What it belongs to: trend, momentum, volatility, …")
    docs: str = described("What it says, its unit, its nulls, and where its formula comes from.")
    parameters: list[IndicatorParameter]
    outputs: list[str] = described("The names of its series.")
    warm_up: int = described("Leading bars without a value, at the default parameters.")
