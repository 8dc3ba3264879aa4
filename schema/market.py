"""Where and when things are traded."""

from datetime import datetime

import strawberry

from market import MarketPhase
from schema.scalars import described


@strawberry.type(description="A market: where things are traded, and when. In the sandbox every market is always open.")
class Market:
    """As `market.Market`."""

    code: str = described("ISO 10383 MIC: XNAS, XNYS, XHKG, XSHG, or CRYPTO, FOREX.")
    name: str = described("What it is called.")
    timezone: str = described("IANA zone of its clock.")
    phase: MarketPhase = described("Where it stands in its day.")
    opens_at: datetime | None = described(
        "Opening of the regular session of its present day (for FOREX, of the week); null on a day without one, and"
        " for what never closes."
    )
    closes_at: datetime | None = described("End of the session that `opensAt` begins; earlier on a half day.")
    next_open: datetime | None = described(
        "The next opening to come, after a lunch break, a night, a weekend; null for what never closes."
    )
    is_holiday: bool = described("True on a weekday without a session, by its own clock.")
