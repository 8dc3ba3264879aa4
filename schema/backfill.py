"""Backfills."""

from enum import StrEnum

import strawberry

from schema.scalars import described


@strawberry.enum(description="Where a job stands.")
class JobState(StrEnum):
    """As `db.jobs.JobState`."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


@strawberry.type(description="A backfill: fetches the bars that the store lacks, and nothing else.")
class BackfillJob:
    """As `db.jobs.BackfillJob`."""

    id: strawberry.ID = described("What `backfillJob` takes.")
    state: JobState = described("Where it stands.")
    done: int = described("Stretches of time that are fetched.")
    total: int = described("Stretches that were missing when it began, or began again; 0 until then.")
    percent: float = described("How much of it is done.")
    seconds_left: float | None = described("A guess from its pace so far.")
    bars: int = described("Bars that came, since it began (again).")
    changed: int = described("Bars among them that were new or other than those held.")
    error: str | None = described("What could not be had, one line for each symbol.")
