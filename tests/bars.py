"""Bars to store and to serve."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import polars as pl

from market import BAR_SCHEMA


def at(text: str) -> datetime:
    """An instant in UTC: 2024-03-01, or 2024-03-01T14:30."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bar(time: datetime, close: float = 100.0, **changes: Any) -> dict[str, Any]:
    """A final bar that never leaves its close, but for the changes."""
    prices = dict.fromkeys(("open", "high", "low", "close"), close)
    plain = {"volume": 1000.0, "vwap": None, "trades": None, "split_factor": 1.0, "dividend": 0.0, "is_final": True}
    return {"time": time, **prices, **plain, **changes}


def bars(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """The bars as a frame."""
    return pl.DataFrame(list(rows), schema=BAR_SCHEMA)
