"""Rows as COPY reads them: in binary where that is exact, which takes PostgreSQL less work than text, or as text."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from market import INSTANT

HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TAIL: Final = b"\xff\xff"
"""What stands before and after the rows of a COPY in binary: https://www.postgresql.org/docs/current/sql-copy.html."""

EPOCH_2000_US: Final = 946_684_800_000_000
"""What PostgreSQL counts instants from, in microseconds since 1970."""
_GROUP: Final = 10_000
"""A digit of NUMERIC has this base."""
_EXACT: Final = 10**15
"""Below it no two decimals are the same double."""
_DECIMALS: Final = np.array([len(f"{group:04d}".rstrip("0")) for group in range(_GROUP)], dtype=">i2")

_Field = tuple[str, Any, Any]
"""Name, type and values of a part of each row; one value where all have the same."""


def as_text(rows: pl.DataFrame) -> bytes:
    """The rows in COPY's text format, in order. No text may have a character that would need a backslash there."""
    text: str = rows.write_csv(
        include_header=False,
        separator="\t",
        quote_style="never",
        null_value=r"\N",
        datetime_format="%Y-%m-%d %H:%M:%SZ",
    )
    return text.encode()


def as_binary(rows: pl.DataFrame) -> bytes | None:
    """The rows, in any order, in COPY's binary format without HEAD and TAIL; None where only as_text can tell them.

    Float64 becomes NUMERIC, the shortest decimal that is this very double; Int64 becomes bigint, an instant
    timestamptz. Nulls are for as_text, and so are numbers of more than 15 digits or 8 decimals. Texts are in ASCII.
    """
    if any(column.null_count() for column in rows):
        return None
    # Where all texts are as long, so are all rows.
    sizes = rows.select(pl.col(pl.String).str.len_bytes())
    parts = [rows] if sizes.min().equals(sizes.max()) else [alike for _, alike in rows.group_by(sizes.get_columns())]
    packed = []
    for alike in parts:
        fields: list[_Field] = [("columns", ">i2", rows.width)]
        for column in alike:
            found = list(_fields(column))
            if not found:
                return None
            fields.extend(found)
        packed.append(_packed(alike.height, fields))
    return b"".join(packed)


def _packed(height: int, fields: Sequence[_Field]) -> bytes:
    row = np.empty(1, [(name, dtype) for name, dtype, _ in fields])
    # What is the same in all rows, half of all, is written into the first alone and then copied with it.
    for name, _, values in fields:
        if isinstance(values, int | str):
            row[name] = values
    packed = np.repeat(row, height)
    for name, _, values in fields:
        if not isinstance(values, int | str):
            packed[name] = values
    return packed.tobytes()


def _fields(column: pl.Series) -> Iterator[_Field]:
    """How long each value is, and the value; nothing where the column cannot be told so."""
    if column.dtype == pl.Float64:
        yield from _numeric(column.name, column.to_numpy())
    elif column.dtype == pl.String:
        size = len(column[0])
        yield f"{column.name} size", ">i4", size
        yield column.name, f"S{size}", column[0] if column.n_unique() == 1 else column.to_list()
    else:
        yield f"{column.name} size", ">i4", 8
        yield column.name, ">i8", column.to_physical().to_numpy() - (EPOCH_2000_US if column.dtype == INSTANT else 0)


def _numeric(name: str, values: npt.NDArray[np.float64]) -> Iterator[_Field]:
    """As numeric_recv reads it (src/backend/utils/adt/numeric.c): groups of four digits, the highest first."""
    size = np.abs(values)
    if size.max() >= _EXACT:
        return
    for fractions in (1, 2):
        scale = _GROUP**fractions
        scaled = np.rint(size * scale)
        if ((scaled < _EXACT) & (scaled / scale == size)).all():
            break
    else:
        return
    left = scaled.astype(np.int64)
    wholes = 1
    while (left >= scale * _GROUP**wholes).any():
        wholes += 1
    groups = []
    for _ in range(fractions + wholes):
        left, group = np.divmod(left, _GROUP)
        groups.append(group)
    decimals = _DECIMALS[groups[0]]
    if fractions == 2:
        decimals = np.where(groups[0] > 0, 4 + decimals, _DECIMALS[groups[1]])
    yield f"{name} size", ">i4", 8 + 2 * len(groups)
    yield f"{name} groups", ">i2", len(groups)
    yield f"{name} weight", ">i2", wholes - 1
    yield f"{name} sign", ">i2", np.where(values < 0, 0x4000, 0) if values.min() < 0 else 0
    yield f"{name} decimals", ">i2", decimals
    for place, group in enumerate(reversed(groups)):
        yield f"{name} {place}", ">i2", group
