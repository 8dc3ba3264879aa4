"""Times as files write them."""

import re
from collections.abc import Callable
from typing import Final

import polars as pl

from market import INSTANT

_WRITTEN: Final = (
    r"^((?:1[6-9]|2[0-9])[0-9]{2})[-/.]?([0-9]{2})[-/.]?([0-9]{2})"
    r"(?:[T ]([01][0-9]|2[0-3]):?([0-5][0-9])(?::?([0-5][0-9])(\.[0-9]{1,9})?)?"
    r" ?(?:Z|UTC|([+-])([0-9]{2})(?::?([0-9]{2}))?)?)?$"
)
"""Year, month, day; hour, minute, second, fraction; sign, hours and minutes of the offset."""

# 8 digits are a date. 12 digits from 19… or 20… are milliseconds of 1976 to some and YYYYMMDDHHMM to others: no time.
_EPOCH: Final = r"^-?(?:[1-9][0-9]{8,10}|1[0-8][0-9]{10}|2[1-9][0-9]{10}|[3-9][0-9]{11}|[1-9][0-9]{12})$"

AMBIGUOUS: Final = r"^[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}\b"
"""A date that begins with its day to some, with its month to others."""


def instants(texts: pl.Series) -> pl.Series:
    """The instants in UTC: of a date, a date with a time, or the seconds or milliseconds since 1970; else null.

    A time without `Z` or an offset is in UTC.
    """
    alike = _written_alike(texts)
    return _each(texts, _instant) if alike is None else alike


def calendar_dates(texts: pl.Series) -> pl.Series:
    """00:00 UTC of the dates as they are written, whatever the time and the offset beside them; else null.

    Seconds and milliseconds since 1970 have the date that they have in UTC.
    """
    alike = _written_alike(texts)
    return _each(texts, _calendar_date) if alike is None else alike.dt.truncate("1d")


def _written_alike(texts: pl.Series) -> pl.Series | None:
    """The instants, in a third of the time, where all are in UTC and written as the first; None where one is not."""
    first = texts.drop_nulls().first()
    form = _form(first) if isinstance(first, str) else None
    if form is None:
        return None
    # Formats let more pass than may: a single digit, a sign, second 60.
    alike = _each(
        texts,
        lambda text: pl.when(text.str.contains(_WRITTEN)).then(
            text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False, cache=False)
        ),
    )
    return alike if alike.null_count() == texts.null_count() else None


def _form(text: str) -> str | None:
    """The text as a format of strptime; None where it is no date, or has a part of a second or an offset."""
    found = re.fullmatch(_WRITTEN, text)
    if found is None or any(part.strip("0.") for part in found.group(7, 9, 10) if part):
        return None
    places = [(*found.span(group), letter) for group, letter in enumerate("YmdHMS", 1) if found[group]]
    for start, end, letter in reversed(places):
        text = f"{text[:start]}%{letter}{text[end:]}"
    return text


def _each(texts: pl.Series, read: Callable[[pl.Expr], pl.Expr]) -> pl.Series:
    return texts.to_frame("text").select(read(pl.col("text"))).to_series()


def _instant(text: pl.Expr) -> pl.Expr:
    part = text.str.extract_groups(_WRITTEN)
    hour, minute, second, hours_ahead, minutes_ahead = (
        part.struct.field(group).cast(pl.Int64).fill_null(0) for group in ("4", "5", "6", "9", "10")
    )
    fraction = (part.struct.field("7").cast(pl.Float64).fill_null(0) * 1_000_000).cast(pl.Int64)
    ahead = (hours_ahead * 60 + minutes_ahead) * pl.when(part.struct.field("8") == "-").then(-1).otherwise(1)
    clock = ((hour * 60 + minute - ahead) * 60 + second) * 1_000_000 + fraction
    return pl.coalesce((_date(part).cast(pl.Int64) + clock).cast(INSTANT), _epoch(text))


def _calendar_date(text: pl.Expr) -> pl.Expr:
    return pl.coalesce(_date(text.str.extract_groups(_WRITTEN)), _epoch(text).dt.truncate("1d"))


def _date(part: pl.Expr) -> pl.Expr:
    digits = pl.concat_str(part.struct.field("1"), part.struct.field("2"), part.struct.field("3"))
    return digits.str.to_date("%Y%m%d", strict=False).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _epoch(text: pl.Expr) -> pl.Expr:
    number = pl.when(text.str.contains(_EPOCH)).then(text.cast(pl.Int64, strict=False))
    return pl.when(number.abs() < 10**11).then(number * 1_000_000).otherwise(number * 1_000).cast(INSTANT)
