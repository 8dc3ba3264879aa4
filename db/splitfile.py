"""Share splits as a CSV or Parquet file has them."""

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from db.barfile import given_symbol, join_times, refuse_ambiguous, time_columns
from db.tabular import Rejected, open_tabular
from db.timetext import calendar_dates
from market import parse_symbol

_SPELLINGS: Final = {
    "symbol": ("symbol", "ticker"),
    "numerator": ("numerator",),
    "denominator": ("denominator",),
    "ratio": ("ratio", "splitratio", "split", "splits", "stocksplits"),
}
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Split:
    """`factor` new shares for one old share, from `date` (00:00 UTC) on."""

    line: int
    symbol: str
    date: datetime
    factor: Decimal


def read_splits(path: Path, symbol: str | None = None) -> tuple[list[Split], list[Rejected]]:
    """The splits of the file, and the rows that are none.

    Needs the columns symbol (or `symbol`), date, and either numerator and denominator or a ratio such as 4:1 or 4.
    Raises StartError that says which are missing.
    """
    table = open_tabular(path)
    columns = table.find(_SPELLINGS) | time_columns(table)
    missing = [] if "written" in columns else ["the date"]
    if "ratio" not in columns:
        missing += [name for name in ("numerator", "denominator") if name not in columns]
    if missing:
        raise table.lacks(missing)
    given = given_symbol(table, columns, symbol)
    splits: list[Split] = []
    rejected: list[Rejected] = []
    for batch in table.batches(columns):
        rows = join_times(batch)
        refuse_ambiguous(path, rows)
        for row in rows.with_columns(date=calendar_dates(rows["written"])).iter_rows(named=True):
            try:
                splits.append(_split(row, given))
            except ValueError as error:
                rejected.append(Rejected(row["line"], str(error)))
    return splits, rejected


def _split(row: dict[str, Any], given: str | None) -> Split:
    """Raises ValueError that says why the row is no split."""
    if row["fault"]:
        raise ValueError(row["fault"])
    if "symbol" in row and not row["symbol"]:
        raise ValueError("no symbol")
    symbol = parse_symbol(row["symbol"]) if "symbol" in row else given
    if given is not None and symbol != given:
        raise ValueError(f"symbol {symbol} is not {given}")
    assert symbol is not None
    if row["date"] is None:
        raise ValueError(f'"{row["written"]}" is not a date' if row["written"] else "no date")
    if "ratio" in row:
        new, _, old = (row["ratio"] or "").replace("/", ":").partition(":")
        factor = _number("ratio", new) / _number("ratio", old or "1")
    else:
        factor = _number("numerator", row["numerator"]) / _number("denominator", row["denominator"])
    if factor == 1:
        raise ValueError("a split of 1 to 1 changes nothing")
    return Split(row["line"], symbol, row["date"], factor)


def _number(name: str, text: str | None) -> Decimal:
    if not _NUMBER.fullmatch((text or "").strip()) or not (number := Decimal(text or "")):
        raise ValueError(f'{name} "{text or ""}" is not a number above 0')
    return number
