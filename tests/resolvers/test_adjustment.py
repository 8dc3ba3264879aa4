from datetime import UTC, datetime

import polars as pl
import pytest

from market import BAR_SCHEMA, INSTANT, Adjustment
from resolvers.adjustment import adjusted


def bars(closes: list[float]) -> pl.DataFrame:
    times = [datetime(2020, 1, 1 + day, tzinfo=UTC) for day in range(len(closes))]
    columns = dict.fromkeys(("open", "high", "low", "close", "vwap"), closes)
    rest = {"volume": [100.0] * len(closes), "trades": None, "split_factor": 1.0, "dividend": 0.0, "is_final": True}
    return (
        pl.DataFrame({"time": times}, schema={"time": INSTANT})
        .with_columns(
            **{name: pl.Series(values, dtype=pl.Float64) for name, values in columns.items()},
            **{
                name: pl.Series(value, dtype=BAR_SCHEMA[name])
                if isinstance(value, list)
                else pl.lit(value, BAR_SCHEMA[name])
                for name, value in rest.items()
            },
        )
        .select(list(BAR_SCHEMA))
    )


def actions(*rows: tuple[int, float, float, float | None]) -> pl.DataFrame:
    """Rows of day, split factor, dividend, RAW close before."""
    schema = {"time": INSTANT, "split_factor": pl.Float64(), "dividend": pl.Float64(), "previous_close": pl.Float64()}
    return pl.DataFrame(
        [(datetime(2020, 1, day, tzinfo=UTC), *rest) for day, *rest in rows], schema=schema, orient="row"
    )


NONE = actions()
SPLIT = actions((3, 4.0, 0.0, 80.0))
DIVIDEND = actions((3, 1.0, 2.0, 80.0))
BOTH = actions((2, 2.0, 0.0, 100.0), (4, 4.0, 2.0, 40.0))


@pytest.mark.parametrize(
    ("happened", "adjustment", "closes", "volumes"),
    [
        (NONE, Adjustment.ALL, [100.0, 80.0, 20.0, 21.0], [100.0] * 4),
        (SPLIT, Adjustment.RAW, [100.0, 80.0, 20.0, 21.0], [100.0] * 4),
        (SPLIT, Adjustment.SPLITS, [25.0, 20.0, 20.0, 21.0], [400.0, 400.0, 100.0, 100.0]),
        (DIVIDEND, Adjustment.SPLITS, [100.0, 80.0, 20.0, 21.0], [100.0] * 4),
        (DIVIDEND, Adjustment.ALL, [97.5, 78.0, 20.0, 21.0], [100.0] * 4),
        (BOTH, Adjustment.SPLITS, [12.5, 20.0, 5.0, 21.0], [800.0, 400.0, 400.0, 100.0]),
        (BOTH, Adjustment.ALL, [11.875, 19.0, 4.75, 21.0], [800.0, 400.0, 400.0, 100.0]),
        (actions((9, 2.0, 0.0, 21.0)), Adjustment.SPLITS, [50.0, 40.0, 10.0, 10.5], [200.0] * 4),
        (actions((3, 1.0, 2.0, None)), Adjustment.ALL, [100.0, 80.0, 20.0, 21.0], [100.0] * 4),
    ],
)
def test_actions_change_only_the_bars_before_them(
    happened: pl.DataFrame, adjustment: Adjustment, closes: list[float], volumes: list[float]
) -> None:
    frame = adjusted(bars([100.0, 80.0, 20.0, 21.0]), happened, adjustment)
    assert frame["close"].to_list() == closes
    assert frame["open"].to_list() == closes
    assert frame["volume"].to_list() == volumes
    assert frame.schema == pl.Schema(BAR_SCHEMA)
