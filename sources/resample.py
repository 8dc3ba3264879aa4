"""Longer bars joined from shorter ones, by the sessions of the market."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from market import BAR_SCHEMA, INSTANT, Interval, Window
from sources.grid import named, slots

PARTS: Final[Mapping[Interval, Sequence[Interval]]] = {
    Interval.M1: (),
    Interval.M5: (Interval.M1,),
    Interval.M15: (Interval.M5, Interval.M1),
    Interval.M30: (Interval.M15, Interval.M5, Interval.M1),
    Interval.H1: (Interval.M30, Interval.M15, Interval.M5, Interval.M1),
    Interval.H4: (Interval.H1, Interval.M30, Interval.M15, Interval.M5, Interval.M1),
    Interval.D1: (),  # an exchange's day has its auctions, which no minute has
    Interval.W1: (Interval.D1,),
    Interval.MN1: (Interval.D1,),
}
"""What the bars of an interval can be joined from, the fewest parts first."""

SETTLED: Final = timedelta(days=1)
"""How long after its end a source may take to publish a bar, or to call it final."""

_EXACT: Final = pl.Decimal(38, 8)
"""No venue counts shares or coins in less than a hundred-millionth."""


def resampled(parts: pl.DataFrame, code: str, part: Interval, whole: Interval, now: datetime) -> pl.DataFrame:
    """The bars of `whole` that the parts make, as BAR_SCHEMA: one for each slot of the market that holds a part.

    Open of the first, highest high, lowest low, close of the last; volumes and trades are summed, exactly in decimal,
    and vwap is weighted by volume: null where one part does not say. Split factors multiply, dividends add up. A bar
    is final once all its parts are and the last is there: one that ends where the bar does, or comes after it, or a
    day has gone by. Intraday parts outside the regular sessions are left out.
    """
    if parts.is_empty():
        return parts
    placed = _placed(parts, code, part, whole)
    volume, trades = pl.col("volume").cast(_EXACT), pl.col("trades")
    turnover = (pl.col("vwap") * pl.col("volume")).sum()
    newest = (parts.filter("is_final")["time"] + part.span).max()
    return (
        placed.group_by(pl.col("slot").alias("time"), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.when(pl.col("volume").is_not_null().all()).then(volume.sum()).cast(pl.Float64).alias("volume"),
            pl.when((pl.col("vwap").is_not_null() & pl.col("volume").is_not_null()).all())
            .then(turnover / pl.col("volume").sum())
            .fill_nan(None)
            .alias("vwap"),
            pl.when(trades.is_not_null().all()).then(trades.sum()).alias("trades"),
            pl.col("split_factor").product(),
            pl.col("dividend").sum(),
            pl.col("is_final").all(),
            pl.col("closes_at").first(),
        )
        .with_columns(
            is_final=pl.col("is_final")
            & ((pl.col("closes_at") <= pl.lit(newest, INSTANT)) | (pl.col("closes_at") + SETTLED <= now))
        )
        .select(*BAR_SCHEMA)
    )


def fits(parts: pl.DataFrame, code: str, part: Interval) -> bool:
    """Whether the parts stand on the grid of the market: none of them reaches into a session from before its open.

    A source that counts its hours by the clock has one from 13:00 to 14:00 UTC of a session that begins at 13:30;
    what was traded before the open cannot be taken out of it.
    """
    if parts.is_empty() or not part.is_intraday:
        return True
    grid = slots(code, part, Window(parts["time"][0] - part.span, parts["time"][-1] + part.span))
    # The newest slot that opens before the part ends: its own, or one that was over before the part began.
    reached = parts.select("time", last=pl.col("time") + part.span - timedelta(microseconds=1)).join_asof(
        grid.select("opens_at", "closes_at"), left_on="last", right_on="opens_at", coalesce=False
    )
    return reached.filter(pl.col("time") != pl.col("opens_at"), pl.col("closes_at") > pl.col("time")).is_empty()


def _placed(parts: pl.DataFrame, code: str, part: Interval, whole: Interval) -> pl.DataFrame:
    """The parts, each with the `slot` that it belongs to and when that one `closes_at`."""
    first, last = parts["time"][0], parts["time"][-1]
    if part.is_intraday:
        grid = slots(code, whole, Window(first - whole.span, last + timedelta(microseconds=1)))
        placed = parts.join_asof(grid.select("opens_at", "closes_at", slot="time"), left_on="time", right_on="opens_at")
        return placed.filter(pl.col("time") < pl.col("closes_at"))
    grid = slots(code, whole, Window(whole.floor(first), last + timedelta(microseconds=1)))
    placed = parts.with_columns(slot=named(whole, pl.col("time"))).join(
        grid.select(pl.col("time").alias("slot"), "closes_at"), on="slot", how="left", maintain_order="left"
    )
    # A period without a session by the calendar in which something was traded all the same.
    return placed.with_columns(pl.col("closes_at").fill_null(pl.col("slot") + whole.span))
