"""The rows of a CSV or Parquet file as text, each with the line that it stands on."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from errors import StartError

BATCH_ROWS: Final = 50_000


class Rejected(NamedTuple):
    """A row that was left out, and why. In a Parquet file the line is the number of the row, from 1."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tabular:
    """A file with named columns. `total` is how many rows it has, None where only reading it would tell."""

    path: Path
    names: Sequence[str]
    total: int | None
    delimiter: str | None
    header_line: int

    def find(self, spellings: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Where each column is that the file has, by our name for it.

        Case, spaces and punctuation of the file's names do not count. Raises StartError if two mean the same.
        """
        plain = [re.sub(r"[\W_]", "", name.lower()) for name in self.names]
        found: dict[str, int] = {}
        for ours, spelled in spellings.items():
            places = [place for place, name in enumerate(plain) if name in spelled]
            if len(places) > 1:
                both = " and ".join(f'"{self.names[place]}"' for place in places)
                raise StartError(f"{self.path}: the columns {both} both mean {ours}; keep one of them.")
            if places:
                found[ours] = places[0]
        return found

    def lacks(self, missing: Sequence[str]) -> StartError:
        """The error that says which columns are missing and which were found."""
        noun = "column" if len(missing) == 1 else "columns"
        found = ", ".join(f'"{name}"' for name in self.names)
        return StartError(f"{self.path}: no {noun} for {', '.join(missing)}; found {found}.")

    def batches(self, columns: Mapping[str, int]) -> Iterator[pl.DataFrame]:
        """The rows in order, BATCH_ROWS at most at a time; blank lines are no rows.

        Columns: `line`, `fault` (why the line has no fields that can be trusted, else null), then those asked for,
        by our names, as text without the space around it; null where there is nothing.
        """
        with _reading(self.path):
            if self.delimiter is None:
                rows = pl.scan_parquet(self.path, glob=False, row_index_name="line", row_index_offset=1).select(
                    pl.col("line").cast(pl.Int64),
                    pl.lit(None, pl.String).alias("fault"),
                    *(_text(pl.col(self.names[place]).cast(pl.String)).alias(name) for name, place in columns.items()),
                )
                yield from rows.collect_batches(chunk_size=BATCH_ROWS)
                return
            lines = _lines(self.path).filter(pl.col("line") > self.header_line)
            for batch in lines.collect_batches(chunk_size=BATCH_ROWS):
                yield _fields(batch, self.delimiter, len(self.names), columns)


def open_tabular(path: Path) -> Tabular:
    """The file's columns, read from its head.

    Parquet is known by its first bytes. Anything else is text in UTF-8, plain or compressed with gzip or zstd, whose
    first line names the columns, with a comma, a semicolon or a tab between them. Raises StartError if it is neither.
    """
    with _reading(path):
        if path.is_dir():
            raise StartError(f"{path}: a folder; name one file.")
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise StartError(f"{path}: the file is empty.")
        if magic == b"PAR1":
            frame = pl.scan_parquet(path, glob=False)
            total: int = frame.select(pl.len()).collect().item()
            return Tabular(path, frame.collect_schema().names(), total, None, 0)
        head = _lines(path).head(1).collect(engine="streaming")
        if head.is_empty():
            raise StartError(f"{path}: the file is empty.")
        line, header = head.row(0)
        delimiter = max(",;\t", key=header.count)
        names = _parse(header.removeprefix("\ufeff"), delimiter)
        if names is None:
            raise StartError(f"{path}: line {line}, which names the columns, has a quote that is not closed.")
        return Tabular(path, names, None, delimiter, line)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise StartError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise StartError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except pl.exceptions.PolarsError as error:
        raise StartError(f"{path}: neither text in UTF-8 nor Parquet, or damaged: {error}.") from error


def _lines(path: Path) -> pl.LazyFrame:
    """Every line that is not blank, with its number from 1."""
    return (
        pl.scan_lines(path, name="text", glob=False, row_index_name="line", row_index_offset=1)
        .filter(pl.col("text").str.strip_chars() != "")
        .select(pl.col("line").cast(pl.Int64), pl.col("text").str.strip_suffix("\r"))
    )


def _fields(lines: pl.DataFrame, delimiter: str, width: int, columns: Mapping[str, int]) -> pl.DataFrame:
    """Lines taken apart. One line is one row: a quote that is left open spoils its own line, not those that follow."""
    if lines["text"].str.contains('"', literal=True).any():
        parsed = [_parse(text, delimiter) for text in lines["text"]]
        padded = [((row or []) + [None] * (width + 1))[: width + 1] for row in parsed]
        fields = pl.DataFrame(padded, {f"field_{place}": pl.String for place in range(width + 1)}, orient="row")
        unclosed = pl.Series([row is None for row in parsed])
    else:
        fields = lines.select(pl.col("text").str.split_exact(delimiter, width)).unnest("text")
        unclosed = pl.Series([False]).new_from_index(0, lines.height)
    return fields.select(
        lines["line"],
        pl.when(unclosed)
        .then(pl.lit("a quote is not closed"))
        .when(pl.col(f"field_{width - 1}").is_null())
        .then(pl.lit("fewer fields than columns"))
        # Even an empty one: 1,234.5 without quotes moves every field to the right, and the last may be empty.
        .when(pl.col(f"field_{width}").is_not_null())
        .then(pl.lit("more fields than columns"))
        .alias("fault"),
        *(_text(pl.col(f"field_{place}")).alias(name) for name, place in columns.items()),
    )


def _text(column: pl.Expr) -> pl.Expr:
    text = column.str.strip_chars()
    return pl.when(text != "").then(text)


def _parse(line: str, delimiter: str) -> list[str] | None:
    try:
        return next(csv.reader((line,), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
