"""What operations took and how they failed, counted in the process that answered them."""

import logging
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any, Final

from graphql import GraphQLError, OperationType

logger = logging.getLogger(__name__)

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MAX_NAMES: Final = 200
"""Names of published operations that are told apart; the rest are OTHER, as is whatever clients make up."""
OTHER: Final = "other"
UNCODED: Final = "GRAPHQL"
"""What counts an error that GraphQL itself raised, of a null where none may be."""
GONE: Final = "CLIENT_GONE"
"""What counts a client that hung up before it was answered."""


class Histogram:
    """How many durations were as long as each of BOUNDS_S or shorter.

    It is written by the event loop alone, so it takes no lock: prometheus_client's costs six times as much, and a
    request is timed four times.
    """

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, took_s: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS_S, took_s)] += 1
        self.total_s += took_s


class Timed:
    """The times of the operations of one name and type: as a whole, and by phase."""

    __slots__ = ("_errors", "encode", "execute", "operation", "prepare", "type", "whole")

    def __init__(self, operation: str, type_: str, errors: "Counter[str]") -> None:
        self.operation = operation
        self.type = type_
        self.whole = Histogram()
        self.prepare = Histogram()
        self.execute = Histogram()
        self.encode = Histogram()
        self._errors = errors

    @property
    def phases(self) -> dict[str, Histogram]:
        """The phases by name, in their order."""
        return {"prepare": self.prepare, "execute": self.execute, "encode": self.encode}

    def answered(self, start: float) -> None:
        """A request that came at `start` (time.perf_counter) has its answer, whatever that says."""
        took_s = perf_counter() - start
        self.whole.observe(took_s)
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s %s took %.1f ms", self.type, self.operation, took_s * 1000)

    def failed(self, errors: Iterable[GraphQLError]) -> None:
        """An answer has these errors."""
        for error in errors:
            self._errors[(error.extensions or {}).get("code", UNCODED)] += 1


class Meter:
    """What all operations of a process came to."""

    def __init__(self) -> None:
        self.errors: Counter[str] = Counter()
        """Errors that clients were told, by code."""
        self.unknown = Timed(OTHER, "unknown", self.errors)
        """Of requests that were refused before anybody knew what they asked."""
        self._timed: dict[tuple[str, OperationType], Timed] = {}

    def of(self, type_: OperationType, published_name: str | None = None) -> Timed:
        """The times of an operation; by its name only where the operator published its document."""
        name = published_name or OTHER
        timed = self._timed.get((name, type_))
        if timed is None:
            if len(self._timed) >= MAX_NAMES and name != OTHER:
                return self.of(type_)
            timed = self._timed[name, type_] = Timed(name, type_.value, self.errors)
        return timed

    def refused(self, told: Iterable[Mapping[str, Any]]) -> None:
        """A client was told these entries of `errors` instead of an answer."""
        for fault in told:
            self.errors[fault.get("extensions", {}).get("code", UNCODED)] += 1

    def all(self) -> list[Timed]:
        """All of them."""
        return [self.unknown, *self._timed.values()]
