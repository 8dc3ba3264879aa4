"""Alerts on one measure, sorted by threshold: a new value finds those that fire without looking at the others."""

import heapq
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Final
from uuid import UUID

from market import AlertOperator

Rung = tuple[float, int]
"""A threshold, and the number of the alert among those that have it."""


@dataclass(slots=True, eq=False)
class Armed:
    """An alert as it is watched.

    `baseline` is the value that it has seen last by itself, at its creation, its change or its last fire. It may fire
    on values later than `ready_at`, seconds since 1970. With a `cooldown_s` it is armed again after it has fired.
    """

    id: UUID
    operator: AlertOperator
    threshold: float
    cooldown_s: float | None = None
    baseline: float | None = None
    ready_at: float = -inf


class Thresholds:
    """The alerts on one measure: a price, say, or an RSI of 14 hours.

    ABOVE and BELOW fire on any value beyond the threshold. CROSSES_ABOVE fires on a value above it where the value
    before was not, CROSSES_BELOW likewise. Whatever has fired is put aside until its cooldown is over; a crossing
    meanwhile is none. A value costs the logarithm of the number of alerts, and a little for each that fires.
    """

    def __init__(self, last: float | None = None) -> None:
        self.last = last
        """The newest value; None before the first, or where it is not defined."""
        self._ladders = {operator: _Ladder() for operator in AlertOperator}
        self._aside: list[tuple[float, int, Armed]] = []
        self._fresh: dict[UUID, Armed] = {}
        self._known: dict[UUID, tuple[Armed, int]] = {}
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, alerts: Iterable[Armed], *, fresh: bool = True) -> None:
        """Watch the alerts; one that is here by the same id is replaced.

        A fresh one has not seen the values up to now: what came before its first value is its own baseline. The
        others have seen `last`.
        """
        for alert in alerts:
            self.remove(alert.id)
            self._known[alert.id] = alert, next(self._numbers)
            if fresh:
                self._fresh[alert.id] = alert
            else:
                self._put_aside(alert)

    def remove(self, alert_id: UUID) -> None:
        """Watch the alert no more, if it is watched."""
        if (known := self._known.pop(alert_id, None)) is not None:
            alert, number = known
            self._fresh.pop(alert_id, None)
            self._ladders[alert.operator].remove((alert.threshold, number))

    def observe(self, value: float | None, at: float) -> list[Armed]:
        """The alerts that fire on the value of the instant; they are put aside, or gone where they fire once."""
        if value is None:
            self.last = None
            return []
        if self._aside and self._aside[0][0] < at:
            self._take_back(at)
        before, self.last = self.last, value
        ladders = self._ladders
        fired: list[Armed] = []
        if rungs := ladders[AlertOperator.ABOVE]:
            fired += rungs.taken(-inf, value)
        if rungs := ladders[AlertOperator.BELOW]:
            fired += rungs.taken_above(value, inf)
        if before is not None and before != value:
            if value > before:
                if rungs := ladders[AlertOperator.CROSSES_ABOVE]:
                    fired += rungs.taken(before, value)
            elif rungs := ladders[AlertOperator.CROSSES_BELOW]:
                fired += rungs.taken_above(value, before)
        if self._fresh:
            fired += self._first_looks(before, value, at)
        for alert in fired:
            del self._known[alert.id]
            if alert.cooldown_s is not None:
                alert.ready_at = at + alert.cooldown_s
                alert.baseline = value
                self._known[alert.id] = alert, next(self._numbers)
                self._put_aside(alert)
        return fired

    def _first_looks(self, before: float | None, value: float, at: float) -> list[Armed]:
        fresh, self._fresh = self._fresh, {}
        fired = []
        for alert in fresh.values():
            seen = before if alert.baseline is None else alert.baseline
            if alert.ready_at < at and _fires(alert, seen, value):
                fired.append(alert)
            else:
                self._put_aside(alert)
        return fired

    def _put_aside(self, alert: Armed) -> None:
        _, number = self._known[alert.id]
        if alert.ready_at == -inf:
            self._ladders[alert.operator].add((alert.threshold, number), alert)
        else:
            heapq.heappush(self._aside, (alert.ready_at, number, alert))

    def _take_back(self, at: float) -> None:
        while self._aside and self._aside[0][0] < at:
            _, number, alert = heapq.heappop(self._aside)
            if self._known.get(alert.id) == (alert, number):  # else it was removed, or replaced, meanwhile
                self._ladders[alert.operator].add((alert.threshold, number), alert)


def _fires(alert: Armed, before: float | None, value: float) -> bool:
    threshold = alert.threshold
    match alert.operator:
        case AlertOperator.ABOVE:
            return value > threshold
        case AlertOperator.BELOW:
            return value < threshold
        case AlertOperator.CROSSES_ABOVE:
            return before is not None and before <= threshold < value
        case AlertOperator.CROSSES_BELOW:
            return before is not None and before >= threshold > value


_LAST: Final = inf


class _Ladder:
    """Alerts in the order of their thresholds. Added ones are sorted in when the ladder is next looked at."""

    __slots__ = ("_alerts", "_is_sorted", "_rungs")

    def __init__(self) -> None:
        self._rungs: list[Rung] = []
        self._alerts: dict[Rung, Armed] = {}
        self._is_sorted = True

    def __len__(self) -> int:
        return len(self._rungs)

    def add(self, rung: Rung, alert: Armed) -> None:
        self._is_sorted = self._is_sorted and (not self._rungs or self._rungs[-1] < rung)
        self._rungs.append(rung)
        self._alerts[rung] = alert

    def remove(self, rung: Rung) -> None:
        if self._alerts.pop(rung, None) is not None:
            rungs = self._sorted()
            del rungs[bisect_left(rungs, rung)]

    def taken(self, start: float, end: float) -> list[Armed]:
        """Those whose threshold is in [start, end), taken off."""
        return self._cut((start,), (end,))

    def taken_above(self, start: float, end: float) -> list[Armed]:
        """Those whose threshold is in (start, end], taken off."""
        return self._cut((start, _LAST), (end, _LAST))

    def _cut(self, start: tuple[float, ...], end: tuple[float, ...]) -> list[Armed]:
        rungs = self._sorted()
        first, last = bisect_left(rungs, start), bisect_left(rungs, end)
        if first == last:
            return []
        cut = rungs[first:last]
        del rungs[first:last]
        return [self._alerts.pop(rung) for rung in cut]

    def _sorted(self) -> list[Rung]:
        if not self._is_sorted:
            self._rungs.sort()  # in linear time: few were added to what is sorted
            self._is_sorted = True
        return self._rungs
