"""Records that are held as columns."""

from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a frame: for whoever walks it, objects with its columns as attributes.

    The gateway does not walk it, but takes the columns that are asked for. `computed` are columns that are made
    of others when somebody wants them.
    """

    frame: pl.DataFrame
    computed: Mapping[str, pl.Expr] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.frame.height

    def __iter__(self) -> Iterator[Any]:
        whole = self.frame.with_columns(**self.computed)
        row = namedtuple("Row", whole.columns)  # type: ignore[misc]
        return map(row._make, whole.iter_rows())

    def columns(self, names: Sequence[str]) -> pl.DataFrame:
        """These columns. Raises ColumnNotFoundError for one that there is not."""
        return self.frame.select(self.computed.get(name, pl.col(name)).alias(name) for name in names)
