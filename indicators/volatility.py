"""How widely the price moves."""

from typing import Annotated

import polars as pl
from polars import Expr

from indicators.indicator import Bounds, Outputs, Period, indicator

Bands = Annotated[Expr, Outputs("Bands", "upper", "middle", "lower")]


@indicator("Bollinger Bands", warm_up=lambda period, standard_deviations: period - 1)
def bollinger_bands(
    of: Expr, period: Period = 20, standard_deviations: Annotated[float, Bounds(0.001, 50)] = 2
) -> Bands:
    """The SMA, and as many population standard deviations above and below it, in price units (Bollinger 2001).

    One value per bar; the first `period` - 1 are null. Where nothing moved, the three coincide.
    """
    return pl.struct(
        middle=of.rolling_mean(period), width=of.rolling_std(period, ddof=0) * standard_deviations
    ).struct.with_fields(upper=pl.field("middle") + pl.field("width"), lower=pl.field("middle") - pl.field("width"))
