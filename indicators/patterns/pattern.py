"""What a candlestick pattern is: an indicator of 100, 0 and -100."""

import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import polars as pl
from polars import Expr

from indicators.indicator import Bounds, indicator

Penetration = Annotated[float, Bounds(0, 1)]
"""How deep a body reaches into another, as a share of that."""

_Function = TypeVar("_Function", bound=Callable[..., Expr])


def pattern(title: str, *, after: int) -> Callable[[_Function], _Function]:
    """Put a pattern into the catalogue; the first `after` bars are null, where its kernel would say 0."""

    def register(function: _Function) -> _Function:
        @functools.wraps(function)
        def known(*series: Any, **arguments: Any) -> Expr:
            return pl.when(pl.int_range(pl.len()) >= after).then(function(*series, **arguments))

        indicator(title, warm_up=lambda **arguments: after)(known)
        return function

    return register
