"""Frames of bars to compute on."""

import math
import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.resources import files

import polars as pl


@lru_cache
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


def candles(seed: int, bars: int) -> pl.DataFrame:
    """Bars of whole cents whose bodies, shadows and gaps are often none, often small and sometimes large."""
    chance = random.Random(seed)
    rows = []
    close, side = 100_000, 1
    for _ in range(bars):
        side = -side if chance.random() < 0.3 else side
        gap = chance.choice([0, 0, 0, 0, 1, -1, 3, -3, 12 * side, -12 * side, 30 * side])
        body = side * chance.choice([0, 0, 1, 2, 4, 8, 20, 20, 25, 40])
        opened, close = close + gap, close + gap + body
        upper, lower = (chance.choice([0, 0, 0, 0, 1, 2, 6, 12, 30]) for _ in range(2))
        rows.append((opened, max(opened, close) + upper, min(opened, close) - lower, close))
        close = 100_000 + (close - 100_000) * 9 // 10
    frame = pl.DataFrame(rows, schema=["open", "high", "low", "close"], orient="row").select(pl.all() * 0.01)
    time = pl.datetime(2020, 1, 1, time_zone="UTC") + pl.duration(minutes=pl.int_range(pl.len()))
    return frame.with_columns(time=time, volume=pl.lit(1000.0))


def example(rows: Sequence[tuple[int, int, int, int]]) -> pl.DataFrame:
    """Those bars, open, high, low and close in cents, after 14 plain ones of a short rise and a short fall by turns."""
    plain = [(1000, 1030, 990, 1020), (1020, 1030, 990, 1000)] * 7
    frame = pl.DataFrame([*plain, *rows], schema=["open", "high", "low", "close"], orient="row")
    time = pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(minutes=pl.int_range(pl.len()))
    return frame.select(pl.all() * 0.01).with_columns(time=time, volume=pl.lit(1000.0))


def traded(closes: Sequence[float], seed: int = 1) -> pl.DataFrame:
    """Bars with those closes, each opening at the one before; where the price stands still, so does the bar.

    Volume is now and then 0.
    """
    chance = random.Random(seed)
    rows = []
    before = closes[0] if closes else 0.0
    for close in closes:
        reach = abs(close - before)
        high = max(before, close) + reach * chance.random()
        low = min(before, close) - reach * chance.random() * 0.9
        volume = 0.0 if chance.random() < 0.05 else chance.lognormvariate(10, 1)
        rows.append((before, high, max(low, min(before, close) * 0.5), close, volume))
        before = close
    frame = pl.DataFrame(
        rows, schema=dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64), orient="row"
    )
    return frame.with_columns(
        time=pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(minutes=pl.int_range(pl.len()))
    )
