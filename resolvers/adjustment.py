"""Splits and dividends, taken out of RAW bars at read."""

import polars as pl

from market import Adjustment

_PRICES = ("open", "high", "low", "close", "vwap")


def adjusted(frame: pl.DataFrame, actions: pl.DataFrame, adjustment: Adjustment) -> pl.DataFrame:
    """The bars as if every action after them had happened before: prices divided, volume multiplied.

    SPLITS: a price before a split of f new shares for one old is divided by f, a volume multiplied by f.
    ALL: a price before a dividend d is also multiplied by 1 - d / c, with c the RAW close of the day before
    (the method of CRSP, which Yahoo uses too). A dividend without such a close changes nothing.
    `actions` has the actions from the first bar on, also those after the last (`BarStore.actions`).
    """
    if adjustment is Adjustment.RAW or actions.is_empty() or frame.is_empty():
        return frame
    kept = pl.lit(1.0)
    if adjustment is Adjustment.ALL:
        kept = (1 - pl.col("dividend") / pl.col("previous_close")).fill_null(1.0)
    # A bar is changed by every action that takes effect after it: the product from the end, found by the
    # first action later than the bar.
    later = actions.select(
        pl.col("time").alias("action"),
        shares=pl.col("split_factor").reverse().cum_prod().reverse(),
        price=(kept / pl.col("split_factor")).reverse().cum_prod().reverse(),
    )
    return (
        frame.join_asof(later, left_on="time", right_on="action", strategy="forward", allow_exact_matches=False)
        .with_columns(
            *(pl.col(name) * pl.col("price").fill_null(1.0) for name in _PRICES),
            volume=pl.col("volume") * pl.col("shares").fill_null(1.0),
        )
        .select(frame.columns)
    )
