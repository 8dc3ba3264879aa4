"""Bars as files: CSV, Parquet and Arrow, straight from their frame."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import polars as pl

_INSTANT: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format of files: what browsers call it and its files, and the function that writes a frame."""

    content_type: str
    suffix: str
    write: Callable[[pl.DataFrame], bytes]
    is_compressed: bool = False

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.content_type.partition(";")[0]


def bar_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of a frame by `BAR_SCHEMA` that leave, by the names that they have in JSON."""
    return frame.select(
        "open", "high", "low", "close", "volume", "vwap", "trades", timestamp="time", isFinal="is_final"
    ).select("timestamp", pl.exclude("timestamp"))


def _csv(frame: pl.DataFrame) -> bytes:
    return frame.write_csv(datetime_format=_INSTANT).encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    file = BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def _arrow(frame: pl.DataFrame) -> bytes:
    file = BytesIO()
    frame.write_ipc_stream(file)
    return file.getvalue()


FILES: Final[Mapping[str, FileFormat]] = {
    "csv": FileFormat("text/csv; charset=utf-8; header=present", "csv", _csv),
    "parquet": FileFormat("application/vnd.apache.parquet", "parquet", _parquet, is_compressed=True),
    "arrow": FileFormat("application/vnd.apache.arrow.stream", "arrows", _arrow),
}
"""By the name that `format` has for it."""
