"""Indicators as a list in one text: `sma:20,macd:12:26:9,vwap:SESSION`, and as the fields of a document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from errors import InvalidParameter, MissingIndicators, UnknownIndicator
from indicators.catalog import CATALOG
from indicators.indicator import Indicator, IndicatorChoice, IndicatorParameter
from market import Anchor, PriceField

_SHORT_NAMES: Final = {"bb": "bollingerBands"}
_BY_NAME: Final[Mapping[str, Indicator]] = {
    **{name.lower(): indicator for name, indicator in CATALOG.items()},
    **{short: CATALOG[name] for short, name in _SHORT_NAMES.items()},
}
_CHOICES: Final[Mapping[str, type[StrEnum]]] = {"PriceField": PriceField, "Anchor": Anchor}
_PATTERNS: Final = "patterns"
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Wanted:
    """An indicator that a caller asks for, by the caller's own word; `arguments` as GraphQL writes them."""

    word: str
    indicator: Indicator
    arguments: Mapping[str, float | str]

    @property
    def params(self) -> dict[str, float | str]:
        """What it is computed with: every number, and the choices that the caller made."""
        defaults = {parameter.name: parameter.default_value for parameter in self.indicator.parameters}
        return {**defaults, **self.arguments}


def wanted_indicators(text: str) -> list[Wanted]:
    """The indicators of a list with commas, each a name and, behind colons, its arguments in the signature's order.

    An empty argument is the default. Names are those of GraphQL in any case, and `bb`. Raises MissingIndicators,
    UnknownIndicator, InvalidPeriod, InvalidParameter.
    """
    words = [word.strip() for word in text.split(",")]
    if not any(words):
        raise MissingIndicators("Name the indicators, such as indicators=sma:20,macd:12:26:9.")
    return [_wanted(word) for word in words]


def _wanted(text: str) -> Wanted:
    word, *texts = (part.strip() for part in text.split(":"))
    indicator = _BY_NAME.get(word.lower())
    if indicator is None:
        raise UnknownIndicator(f'There is no indicator "{word[:_SHOWN]}"; {{ indicatorCatalog {{ name }} }} has all.')
    taken = indicator.arguments
    if len(texts) > len(taken):
        names = ", ".join(argument.name for argument in taken)
        raise InvalidParameter(f"{word} takes {names or 'nothing'}: {len(taken)} at most, not {len(texts)}.")
    arguments = {
        argument.name: _value(argument, given, word) for argument, given in zip(taken, texts, strict=False) if given
    }
    return Wanted(word, indicator, arguments)


def _value(argument: IndicatorParameter | IndicatorChoice, text: str, word: str) -> float | str:
    if isinstance(argument, IndicatorParameter):
        return argument.check(_number(text, whole=argument.type == "Int"), indicator=word)
    names = list(_CHOICES[argument.type].__members__)
    if text.upper() not in names:
        raise InvalidParameter(
            f'{argument.name} of {word} is "{text[:_SHOWN]}"; give one of {", ".join(names)}.', parameter=argument.name
        )
    return text.upper()


def _number(text: str, *, whole: bool) -> float | str:
    """The number, or the text itself where it is none: whoever checks it says what it must be."""
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return text[:_SHOWN]


def indicator_fields(wanted: Sequence[Wanted]) -> str:
    """What to select of `History.indicators`: the fields `i0`, `i1`, … in the order given, those of patterns apart."""
    plain = [_field(place, one) for place, one in enumerate(wanted) if one.indicator.group != _PATTERNS]
    patterns = [_field(place, one) for place, one in enumerate(wanted) if one.indicator.group == _PATTERNS]
    return " ".join(plain + ([f"{_PATTERNS} {{ {' '.join(patterns)} }}"] if patterns else []))


def indicator_values(place: int, wanted: Wanted, selected: Mapping[str, Any]) -> Any:
    """The values of the one at this place, in what `indicator_fields` selected."""
    found = selected[_PATTERNS] if wanted.indicator.group == _PATTERNS else selected
    return found[f"i{place}"]


def _field(place: int, wanted: Wanted) -> str:
    indicator = wanted.indicator
    arguments = ", ".join(f"{name}: {value}" for name, value in wanted.arguments.items())
    outputs = f" {{ {' '.join(indicator.outputs)} }}" if indicator.outputs_type else ""
    return f"i{place}: {indicator.name}{f'({arguments})' if arguments else ''}{outputs}"
