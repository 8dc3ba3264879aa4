"""Frames of bars to compute on."""

import math
import random
from collections.abc import Iterable, Sequence
from importlib.resources import files

import polars as pl


def apple() -> pl.DataFrame:
    """AAPL by day, 2000-03-01 to 2013-03-01, 3 270 bars as traded: its two splits stand in it as falls by half."""
    path = files("bokeh_sampledata") / "_data" / "stocks.csv.gz"
    return (
        pl.read_csv(path.read_bytes())
        .filter(pl.col("Ticker") == "AAPL")
        .select(
            pl.col("Date").str.to_datetime(time_unit="us", time_zone="UTC").alias("time"),
            pl.col("Open", "High", "Low", "Close").name.to_lowercase(),
            pl.col("Volume").cast(pl.Float64).alias("volume"),
        )
    )


def from_closes(closes: Sequence[float], volume: float | None = 1000.0) -> pl.DataFrame:
    """Bars that never leave their close."""
    price = pl.Series(closes, dtype=pl.Float64)
    return pl.DataFrame({"open": price, "high": price, "low": price, "close": price}).with_columns(
        time=pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(minutes=pl.int_range(pl.len())),
        volume=pl.lit(volume, dtype=pl.Float64),
    )


def walk(seed: int, stretches: Iterable[tuple[int, float]], start: float = 100.0) -> list[float]:
    """Closes of a random walk: (bars, deviation of each step) by stretch; a deviation of 0 stands still."""
    chance = random.Random(seed)
    closes = [start]
    for bars, deviation in stretches:
        for _ in range(bars):
            closes.append(closes[-1] * math.exp(chance.gauss(0, deviation)))
    return closes
