"""Where a value came from."""

from datetime import datetime

import strawberry

from market import ServedFrom
from schema.scalars import described


@strawberry.type(description="A source that was tried before the one that answered, and why it did not answer.")
class SkippedSource:
    """As `market.SkippedSource`."""

    source: str = described("Its name.")
    code: str = described("What went wrong, for programs.")
    message: str = described("What went wrong, for people.")


@strawberry.type(description="Who said so, when, and how far to trust it. On every quote and every history.")
class Provenance:
    """As `market.Provenance`."""

    source: str = described("The source that said so; `import` for files, `none` where nothing is held.")
    served_from: ServedFrom = described("Where this answer was taken from.")
    received_at: datetime = described("When SmartFin received it from the source.")
    age_seconds: float = described("Seconds since `receivedAt`.")
    delay_seconds: float | None = described(
        "Known delay of the feed, or that of your tier where it is longer; 0 for real time, null where nobody says."
    )
    quality: int = described("0-100; `flags` says what took points away.")
    flags: list[str] = described("What is wrong or doubtful, by name.")
    synthetic: bool = described("True for anything the sandbox made up.")
    skipped: list[SkippedSource] = described("Sources tried before this one, and why each did not answer.")
