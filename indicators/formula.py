"""How an indicator is computed: its parts, each once and in order, and what is made of them."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from typing import Final

import polars as pl
from polars import Expr


@dataclass(frozen=True, slots=True)
class Formula:
    """`result` of the columns of the bars and of the parts, as a column of a name that no other formula has.

    `stages` are the parts by the name of their column: those of a stage need the bars and the stages before it.
    """

    stages: Sequence[Mapping[str, Expr]]
    result: Expr
    name: str


class _Parts:
    """The parts that have been kept so far."""

    def __init__(self) -> None:
        self.stages: list[dict[str, Expr]] = []
        self._stage_of: dict[str, int] = {}

    def column(self, of: Expr, name: str) -> Expr:
        if name not in self._stage_of:
            stage = max(
                (self._stage_of[root] + 1 for root in of.meta.root_names() if root in self._stage_of), default=0
            )
            if stage == len(self.stages):
                self.stages.append({})
            self.stages[stage][name] = of.alias(name)
            self._stage_of[name] = stage
        return pl.col(name)


_parts: ContextVar[_Parts | None] = ContextVar("parts", default=None)
_numbers: Final = count()


def formula(write: Callable[[], Expr]) -> Formula:
    """What the function writes down, with the parts that it keeps."""
    parts = _Parts()
    token = _parts.set(parts)
    try:
        name = f"result {next(_numbers)}"
        return Formula(stages=parts.stages, result=write().alias(name), name=name)
    finally:
        _parts.reset(token)


def kept(of: Expr, name: str | None = None) -> Expr:
    """The same series, computed once however often it is named from here on; for what is named more than once.

    Polars computes an expression as often as it is written down, and takes the longer the deeper it is nested. With a
    `name` it is one and the same for all indicators that are evaluated together. Not for a part of what `over` takes
    apart: it is computed over all bars.
    """
    parts = _parts.get()
    if parts is None or of.meta.is_column():
        return of
    return parts.column(of, name or f"part {next(_numbers)}")
