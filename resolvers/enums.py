"""The enums of the contract: Strawberry marks the classes in place, so that annotations name them as they are.

Whoever defines an input of them imports this first, for an input is made of its fields at once.
"""

import strawberry

from market import (
    Adjustment,
    AlertMetric,
    AlertOperator,
    Anchor,
    AssetType,
    Interval,
    MarketPhase,
    PriceField,
    ServedFrom,
)
from people import NotificationMethod

strawberry.enum(Interval, description="The length of a bar: 1 to 30 minutes, 1 and 4 hours, a day, a week, a month.")
strawberry.enum(
    Adjustment, description="How history is corrected at read: not at all, for splits, or for splits and dividends."
)
strawberry.enum(AssetType, description="What kind of thing is traded.")
strawberry.enum(
    MarketPhase,
    description="Where a market stands in its day; PRE and POST are trading outside the regular session. A lunch break"
    " is CLOSED.",
)
strawberry.enum(
    Anchor,
    description="Where an indicator that adds up bar after bar begins anew: each day, week (Monday), month, quarter or"
    " year, by the clock of the venue.",
)
strawberry.enum(
    AlertMetric,
    description="What an alert watches. Of ticks: the price, the change in percent of the previous close, the volume of"
    " the session. Of final bars: the close, its change in percent of the bar before, the volume, or an indicator of"
    " closes adjusted for splits: MACD of 12, 26 and 9, Bollinger bands of 2 standard deviations.",
)
strawberry.enum(
    AlertOperator,
    description="ABOVE and BELOW are states: such an alert fires as soon as the value is beyond the threshold, at once"
    " if it is so already, and with a cooldown again after each for as long as it is. CROSSES_ABOVE and CROSSES_BELOW"
    " are events: the value was not beyond the threshold, and with the next tick or bar it is. What stands beyond it"
    " when the alert is made has to come back first; the quote of that moment is what the first tick is compared with.",
)
strawberry.enum(
    NotificationMethod,
    description="How a user is told. WEB: by the subscription `alerts`. WEBHOOK: a signed POST to a URL of the alert.",
)
strawberry.enum(PriceField, description="The price of a bar that an indicator is computed of.")
strawberry.enum(
    ServedFrom,
    description="Where an answer was taken from; STALE: older than it should be, and nothing newer could be had.",
)
