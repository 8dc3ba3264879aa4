"""How a source has done lately: whether to ask it now, how long it takes, how often it fails."""

import random
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from errors import SmartFinError, SourceCannot, SourceFault, SourceLimited, SourceRefused
from market import AssetType
from sources.source import Capability

OPENS_AFTER: Final = 5
"""Failures in a row that open the breaker."""
COOL_S: Final = 2.0
MAX_COOL_S: Final = 60.0
LIMITED_S: Final = 60.0
"""How long a source rests that limits us without saying for how long."""
REFUSED_S: Final = 900.0
MAX_ERROR_CHARS: Final = 500
_SAMPLES: Final = 100
_ENOUGH_SAMPLES: Final = 20
_NEWEST_WEIGHT: Final = 0.01


Kinds = frozenset[AssetType | None]
WHATEVER: Final[Kinds] = frozenset({None})
"""The kinds of a question that is about none: a search."""


class BreakerState(StrEnum):
    """CLOSED: it is asked. OPEN: it is not. HALF_OPEN: one question finds out."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcomes since the last tally, in a form that can be added to averages kept elsewhere.

    A limit and a refusal are no errors to count, but `last_error` tells of them too.
    An average `a` becomes a * `kept` + `success_gain` (percent), or + `response_gain_ms` for response times.
    """

    kept: float
    success_gain: float
    response_kept: float
    response_gain_ms: float
    errors: int
    last_error_at: datetime | None
    last_error: str | None


@dataclass(slots=True)
class Outcome:
    """How often a question ended so, and how long that took in all."""

    count: int = 0
    seconds: float = 0.0


ANSWERED: Final = "ANSWERED"
"""The outcome of what was answered; others are named by the code of their error."""

_NOTHING: Final = Tally(1.0, 0.0, 1.0, 0.0, 0, None, None)


class Health:
    """What a process has seen of one source.

    The breaker opens after OPENS_AFTER failures in a row, for a time that doubles each time up to MAX_COOL_S, with
    jitter; then one question probes. A limit or a refusal is no failure: the source rests, wholly for as long as a
    limit says, or for the capability and the kinds of asset that were refused.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.fault: SmartFinError | None = None
        """What it has failed with since it last answered; a limit and a refusal are none."""
        self._failures = 0
        self._openings = 0
        self._opens_until = 0.0
        self._probing = False
        self._rests_until = 0.0
        self._refused_until: defaultdict[tuple[Capability, AssetType | None], float] = defaultdict(float)
        self._took_s: defaultdict[Capability, deque[float]] = defaultdict(lambda: deque(maxlen=_SAMPLES))
        self._tally = _NOTHING
        self._asked_at = clock()
        self.outcomes: defaultdict[tuple[Capability, str], Outcome] = defaultdict(Outcome)
        """What became of all questions, by what was asked and how it ended."""

    @property
    def breaker(self) -> BreakerState:
        """What the breaker says now."""
        if not self._openings or self._failures < OPENS_AFTER:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._clock() < self._opens_until else BreakerState.HALF_OPEN

    @property
    def idle_s(self) -> float:
        """How long nobody has asked it."""
        return self._clock() - self._asked_at

    def obstacle(self, capability: Capability, kinds: Kinds = WHATEVER) -> str | None:
        """Why it should not be asked now about these kinds of asset; None if nothing speaks against it."""
        now = self._clock()
        if now < self._rests_until:
            return f"its limit is reached for another {self._rests_until - now:.0f} s"
        refused_until = min(self._refused_until[capability, kind] for kind in kinds)
        if now < refused_until:
            what = ", ".join(sorted(kind for kind in kinds if kind))
            of = f" of {what}" if what else ""
            return f"it refuses {capability}{of}; asked again in {refused_until - now:.0f} s"
        match self.breaker:
            case BreakerState.OPEN:
                return f"it has failed {self._failures} times in a row; asked again in {self._opens_until - now:.0f} s"
            case BreakerState.HALF_OPEN if self._probing:
                return "it has failed, and one question is finding out whether it is back"
        return None

    def asking(self) -> None:
        """A question is about to be asked."""
        self._asked_at = self._clock()
        if self.breaker is BreakerState.HALF_OPEN:
            self._probing = True

    def given_up(self) -> None:
        """A question was cancelled: it says nothing of the source."""
        self._probing = False

    def answered(self, capability: Capability, took_s: float) -> None:
        """It has answered, if only to say that it does not have that."""
        self._note(capability, ANSWERED, took_s)
        self._probing = False
        self.fault = None
        self._failures = 0
        self._openings = 0
        self._took_s[capability].append(took_s)
        self._count(100.0)
        tally = self._tally
        self._tally = replace(
            tally,
            response_kept=tally.response_kept * (1 - _NEWEST_WEIGHT),
            response_gain_ms=tally.response_gain_ms * (1 - _NEWEST_WEIGHT) + took_s * 1000 * _NEWEST_WEIGHT,
        )

    def failed(self, capability: Capability, error: SmartFinError, took_s: float, kinds: Kinds = WHATEVER) -> None:
        """It has not answered; what follows depends on the error."""
        now = self._clock()
        if isinstance(error, SourceCannot) or not error.code.startswith("SOURCE_"):
            self.answered(capability, took_s)
            return
        self._note(capability, error.code if isinstance(error, SmartFinError) else SourceFault.code, took_s)
        self._probing = False
        self._tally = replace(self._tally, last_error_at=datetime.now(UTC), last_error=f"{error}"[:MAX_ERROR_CHARS])
        if isinstance(error, SourceLimited):
            self._rests_until = now + (LIMITED_S if error.retry_after_s is None else error.retry_after_s)
            return
        if isinstance(error, SourceRefused):
            self._refused_until |= {(capability, kind): now + REFUSED_S for kind in kinds}
            return
        self.fault = error
        self._failures += 1
        self._count(0.0)
        self._tally = replace(self._tally, errors=self._tally.errors + 1)
        if self._failures >= OPENS_AFTER:
            self._openings += 1
            cool_s = min(MAX_COOL_S, COOL_S * 2 ** (self._openings - 1))
            self._opens_until = now + random.uniform(cool_s / 2, cool_s)  # noqa: S311 - jitter

    def slow_s(self, capability: Capability) -> float | None:
        """The time within which 95 of 100 answers came lately; None where there were too few to say."""
        took_s = self._took_s[capability]
        if len(took_s) < _ENOUGH_SAMPLES:
            return None
        return sorted(took_s)[len(took_s) * 95 // 100]

    def tally(self) -> Tally:
        """What has happened since the last call."""
        tally, self._tally = self._tally, _NOTHING
        return tally

    def _note(self, capability: Capability, outcome: str, took_s: float) -> None:
        noted = self.outcomes[capability, outcome]
        noted.count += 1
        noted.seconds += took_s

    def _count(self, outcome: float) -> None:
        tally = self._tally
        self._tally = replace(
            tally,
            kept=tally.kept * (1 - _NEWEST_WEIGHT),
            success_gain=tally.success_gain * (1 - _NEWEST_WEIGHT) + outcome * _NEWEST_WEIGHT,
        )
