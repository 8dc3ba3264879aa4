"""Backfills: asked for, and looked after."""

from datetime import UTC, datetime
from typing import Annotated

import strawberry
from strawberry.types import Info

from db.jobs import BackfillJob
from errors import InvalidWindow
from market import Window
from resolvers.arguments import Length, Symbols, To
from resolvers.symbols import check_count, checked_symbol
from resolvers.world import Context

_From = Annotated[datetime, strawberry.argument(name="from", description="Earliest opening instant, inclusive.")]
_JobId = Annotated[strawberry.ID, strawberry.argument(name="id", description="What `backfill` gave.")]


async def ask_backfill(
    info: Info[Context, None], symbols: Symbols, interval: Length, start: _From, end: To = None
) -> BackfillJob:
    """The job that fetches what is missing. Raises TooManySymbols, InvalidSymbol, InvalidWindow, TooManyJobs."""
    check_count(symbols)
    coming = interval.ceil(datetime.now(UTC))
    until = min(end, coming) if end else coming
    if start >= until:
        raise InvalidWindow("from is not before to, or lies in the future.")
    return await info.context.world.jobs.ask_backfill(
        [checked_symbol(symbol) for symbol in symbols], interval, Window(start, until)
    )


async def backfill_job(info: Info[Context, None], job: _JobId) -> BackfillJob | None:
    """How a backfill stands."""
    return await info.context.world.jobs.backfill(job)
