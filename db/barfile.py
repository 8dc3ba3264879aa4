"""Bars as a CSV or Parquet file has them: which column means what, and which rows are bars."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from db.tabular import Tabular, open_tabular
from db.timetext import AMBIGUOUS, calendar_dates, instants
from errors import StartError
from market import INSTANT, Interval, parse_symbol

_PRICES: Final = ("open", "high", "low", "close")
_NUMBERS: Final = (*_PRICES, "volume", "vwap", "trades")
_SPELLINGS: Final = {
    "symbol": ("symbol", "ticker"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),  # never an adjusted close: RAW prices are kept
    "volume": ("volume", "vol", "v"),
    "vwap": ("vwap",),
    "trades": ("trades", "count"),
}
_INSTANTS: Final = ("timestamp", "datetime", "periodstart", "date", "time")  # the best first

_EVERY: Final = {
    Interval.M1: "1m",
    Interval.M5: "5m",
    Interval.M15: "15m",
    Interval.M30: "30m",
    Interval.H1: "1h",
    Interval.H4: "4h",
    Interval.D1: "1d",
    Interval.W1: "1w",
    Interval.MN1: "1mo",
}
"""The grid of each interval in Polars' words: what Interval.floor and Interval.end do, for a column."""

REJECTED_SCHEMA: Final[dict[str, pl.DataType]] = {
    "line": pl.Int64(),
    "reason": pl.String(),
    "symbol": pl.String(),
    "time": INSTANT,
}
"""Rows left out, and the symbol and the time of the bar that is lost, null where the row does not tell."""


@dataclass(frozen=True, slots=True)
class BarBatch:
    """Rows of a file, sorted out.

    `bars`: `line`, `symbol`, `time`, `open`, `high`, `low`, `close`, `volume`, `vwap`, `trades`; `rejected` as
    REJECTED_SCHEMA.
    """

    bars: pl.DataFrame
    rejected: pl.DataFrame


@dataclass(frozen=True, slots=True)
class BarFile:
    """A file of bars of one interval, open at its head. `total` is how many rows it has, if that is known."""

    interval: Interval
    symbol: str | None
    total: int | None
    _table: Tabular
    _columns: dict[str, int]

    def batches(self, now: datetime) -> Iterator[BarBatch]:
        """The rows in order. Raises StartError where the file turns out damaged, or its dates ambiguous."""
        for rows in self._table.batches(self._columns):
            yield self._sort_out(rows, now)

    def _sort_out(self, rows: pl.DataFrame, now: datetime) -> BarBatch:
        rows = join_times(rows)
        rows = rows.with_columns(at=(instants if self.interval.is_intraday else calendar_dates)(rows["written"]))
        refuse_ambiguous(self._table.path, rows.filter(pl.col("at").is_null()))
        every = _EVERY[self.interval]
        rows = rows.with_columns(
            *(pl.col(name).cast(pl.Float64, strict=False).alias(f"{name}_number") for name in self._numbers),
            self._symbols(rows),
            time=pl.col("at").dt.truncate(every),
        ).with_columns(end=pl.col("time").dt.offset_by(every))
        faults = list(self._faults(now))
        lost = rows.select(pl.any_horizontal(condition for condition, _ in faults).fill_null(value=False)).to_series()
        values = [
            pl.col(f"{name}_number").alias(name) if name in self._columns else pl.lit(None, pl.Float64).alias(name)
            for name in _NUMBERS
        ]
        # Reasons are put into words for the rows that need one only; there are few, and words are slow.
        reason = pl.coalesce(pl.when(condition).then(words) for condition, words in faults)
        return BarBatch(
            bars=rows.select("line", pl.col("canonical").alias("symbol"), "time", *values)
            .filter(~lost)
            .with_columns(pl.col("trades").cast(pl.Int64)),
            rejected=rows.filter(lost).select(
                "line", reason.alias("reason"), pl.col("canonical").alias("symbol"), "time"
            ),
        )

    @property
    def _numbers(self) -> list[str]:
        return [name for name in _NUMBERS if name in self._columns]

    def _symbols(self, rows: pl.DataFrame) -> pl.Expr:
        """The canonical symbol of each row, as `canonical`; null where there is none."""
        if "symbol" not in self._columns:
            return pl.lit(self.symbol).alias("canonical")
        spelled = rows["symbol"].drop_nulls().unique().to_list()
        canonical = pl.Series([_canonical(text) for text in spelled], dtype=pl.String)
        return (
            pl.col("symbol")
            .replace_strict(pl.Series(spelled, dtype=pl.String), canonical, default=None)
            .alias("canonical")
        )

    def _faults(self, now: datetime) -> Iterator[tuple[pl.Expr, pl.Expr]]:
        """What makes a row no bar, and that in words; of several faults the first is told."""
        yield pl.col("fault").is_not_null(), pl.col("fault")
        if "symbol" in self._columns:
            yield pl.col("symbol").is_null(), pl.lit("no symbol")
            yield (
                pl.col("canonical").is_null(),
                pl.format('symbol "{}" is not 1-20 of A-Z 0-9 . _ - = ^', _shown("symbol")),
            )
            if self.symbol is not None:
                wrong = pl.format("symbol {} is not {}", pl.col("canonical"), pl.lit(self.symbol))
                yield pl.col("canonical") != self.symbol, wrong
        time = _shown("written")
        yield pl.col("written").is_null(), pl.lit("no time")
        yield pl.col("at").is_null(), pl.format('"{}" is not a time', time)
        if self.interval.is_intraday:
            off = pl.format('"{}" is not the start of a bar of {} in UTC', time, pl.lit(self.interval.value))
            yield pl.col("at") != pl.col("time"), off
        yield pl.col("time") > now, pl.format('"{}" is in the future', time)
        yield pl.col("end") > now, pl.format('the bar of "{}" is not over yet', time)
        for name in self._numbers:
            if name in _PRICES:
                yield pl.col(name).is_null(), pl.lit(f"no {name}")
            is_number = pl.col(f"{name}_number").is_finite().fill_null(value=False)
            yield pl.col(name).is_not_null() & ~is_number, pl.format(f'{name} "{{}}" is not a number', _shown(name))
        for upper, lower in (("high", "low"), ("high", "open"), ("high", "close"), ("open", "low"), ("close", "low")):
            crossed = pl.format(f"{upper} {{}} is below {lower} {{}}", pl.col(upper), pl.col(lower))
            yield pl.col(f"{upper}_number") < pl.col(f"{lower}_number"), crossed
        if "volume" in self._columns:
            yield pl.col("volume_number") < 0, pl.format("volume {} is negative", pl.col("volume"))
        if "trades" in self._columns:
            count = pl.col("trades_number")
            whole = (count >= 0) & (count == count.floor()) & (count < 2**53)
            yield ~whole, pl.format("trades {} is not a count", pl.col("trades"))


def open_bars(path: Path, interval: Interval, symbol: str | None = None) -> BarFile:
    """The file's head, understood. Without `symbol` the file needs a column of symbols; with both they must agree.

    Raises StartError that says which columns are missing.
    """
    table = open_tabular(path)
    columns = table.find(_SPELLINGS) | time_columns(table)
    missing = [name for name in _PRICES if name not in columns]
    if "written" not in columns:
        missing.insert(0, "the time")
    if missing:
        raise table.lacks(missing)
    return BarFile(interval, given_symbol(table, columns, symbol), table.total, table, columns)


def time_columns(table: Tabular) -> dict[str, int]:
    """Where the time stands: as `written`, and as `clock` if the date has a column of its own."""
    found = table.find({name: (name,) for name in _INSTANTS})
    if found.keys() == {"date", "time"}:
        return {"written": found["date"], "clock": found["time"]}
    return next(({"written": found[name]} for name in _INSTANTS if name in found), {})


def join_times(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with date and clock as one text in `written`."""
    if "clock" not in rows.columns:
        return rows
    return rows.with_columns(written=pl.concat_str("written", "clock", separator=" "))


def refuse_ambiguous(path: Path, rows: pl.DataFrame) -> None:
    """Raise StartError if a date does not tell its day from its month: no other row can then be trusted."""
    found = rows.filter(pl.col("written").str.contains(AMBIGUOUS)).head(1)
    for line, written in found.select("line", "written").iter_rows():
        raise StartError(
            f'{path}: line {line}: "{written}" does not tell the day from the month; write dates as 2000-12-31.'
        )


def given_symbol(table: Tabular, columns: dict[str, int], symbol: str | None) -> str | None:
    """The canonical spelling of the symbol that was given beside the file; None where the file alone has them.

    Raises StartError if neither has any, or if what was given is none.
    """
    if symbol is not None:
        canonical = _canonical(symbol)
        if canonical is None:
            raise StartError(f'"{symbol}" is no symbol: a symbol is 1-20 of A-Z 0-9 . _ - = ^.')
        return canonical
    if "symbol" not in columns:
        raise StartError(f"{table.lacks(['the symbol'])} Or say which symbol the file is of.")
    return None


def _canonical(text: str) -> str | None:
    try:
        return parse_symbol(text)
    except ValueError:
        return None


def _shown(name: str) -> pl.Expr:
    return pl.col(name).str.slice(0, 40)
