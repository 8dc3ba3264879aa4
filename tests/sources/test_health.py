import pytest

from errors import (
    SmartFinError,
    SourceBadAnswer,
    SourceCannot,
    SourceFault,
    SourceLimited,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
    SymbolNotFound,
)
from sources.health import OPENS_AFTER, Health
from sources.source import Capability

QUOTES, HISTORY = Capability.QUOTES, Capability.HISTORY
FAULTS = [SourceUnreachable("x"), SourceTimeout("x"), SourceFault("x"), SourceBadAnswer("x")]


def state(health: Health) -> str:
    return health.breaker


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_failures_in_a_row_open_the_breaker(health: Health, error: SmartFinError) -> None:
    for count in range(OPENS_AFTER):
        assert health.obstacle(QUOTES) is None, count
        health.failed(QUOTES, error, 0.1)
    assert state(health) == "OPEN"
    assert "failed 5 times in a row" in (health.obstacle(QUOTES) or "")
    tally = health.tally()
    assert (tally.errors, tally.success_gain, tally.response_kept) == (OPENS_AFTER, 0.0, 1.0)
    assert tally.kept == pytest.approx(0.99**OPENS_AFTER)
    assert tally.last_error_at is not None
    assert tally.last_error == str(error)
    assert health.tally().errors == 0


def test_an_answer_between_failures_keeps_it_closed(health: Health) -> None:
    for _ in range(3):
        for _ in range(OPENS_AFTER - 1):
            health.failed(QUOTES, FAULTS[0], 0.1)
        health.answered(QUOTES, 0.1)
    assert state(health) == "CLOSED"


def test_one_question_probes_and_its_answer_closes_the_breaker(health: Health, clock: Clock) -> None:
    for _ in range(OPENS_AFTER):
        health.failed(QUOTES, FAULTS[0], 0.1)
    clock.now += 2
    assert state(health) == "HALF_OPEN"
    assert health.obstacle(QUOTES) is None
    health.asking()
    assert "one question is finding out" in (health.obstacle(QUOTES) or "")
    health.answered(QUOTES, 0.1)
    assert state(health) == "CLOSED"
    assert health.obstacle(QUOTES) is None


def test_a_probe_that_is_given_up_lets_another_probe(health: Health, clock: Clock) -> None:
    for _ in range(OPENS_AFTER):
        health.failed(QUOTES, FAULTS[0], 0.1)
    clock.now += 2
    health.asking()
    health.given_up()
    assert health.obstacle(QUOTES) is None


def test_each_failed_probe_doubles_the_pause_up_to_a_minute(health: Health, clock: Clock) -> None:
    for _ in range(OPENS_AFTER):
        health.failed(QUOTES, FAULTS[0], 0.1)
    for longest in (2, 4, 8, 16, 32, 60, 60):
        clock.now += longest / 2 - 0.01
        assert state(health) == "OPEN"
        clock.now += longest / 2 + 0.01
        assert state(health) == "HALF_OPEN"
        health.asking()
        health.failed(QUOTES, FAULTS[0], 0.1)


@pytest.mark.parametrize(("said", "rests"), [(7.0, 7.0), (None, 60.0), (0.0, 0.0)])
def test_a_limit_is_no_failure_and_rests_the_source(
    health: Health, clock: Clock, said: float | None, rests: float
) -> None:
    for _ in range(20):
        health.failed(QUOTES, SourceLimited("x", retry_after_s=said), 0.1)
    assert state(health) == "CLOSED"
    assert health.tally().errors == 0
    for capability in (QUOTES, HISTORY):
        assert (health.obstacle(capability) is None) == (rests == 0)
    clock.now += rests
    assert health.obstacle(QUOTES) is None


def test_a_refusal_rests_one_capability(health: Health, clock: Clock) -> None:
    health.failed(HISTORY, SourceRefused("x"), 0.1)
    assert "refuses HISTORY" in (health.obstacle(HISTORY) or "")
    assert health.obstacle(QUOTES) is None
    clock.now += 900
    assert health.obstacle(HISTORY) is None


@pytest.mark.parametrize("error", [SourceCannot("x"), SymbolNotFound("x")])
def test_not_having_it_is_an_answer(health: Health, error: SmartFinError) -> None:
    health.failed(QUOTES, FAULTS[0], 0.1)
    health.failed(QUOTES, error, 0.1)
    assert health.tally().errors == 1
    for _ in range(OPENS_AFTER - 1):
        health.failed(QUOTES, FAULTS[0], 0.1)
    assert state(health) == "CLOSED"


def test_slow_is_the_time_that_95_of_100_answers_kept(health: Health) -> None:
    for number in range(19):
        health.answered(QUOTES, number / 100)
    assert health.slow_s(QUOTES) is None
    for number in range(19, 100):
        health.answered(QUOTES, number / 100)
    assert health.slow_s(QUOTES) == 0.95
    assert health.slow_s(HISTORY) is None


def test_a_tally_moves_an_average_as_its_outcomes_would_one_by_one(health: Health) -> None:
    average, response = 90.0, 100.0
    for outcome in (100.0, 0.0, 100.0, 100.0, 0.0):
        average += 0.01 * (outcome - average)
        if outcome:
            response += 0.01 * (50.0 - response)
            health.answered(QUOTES, 0.05)
        else:
            health.failed(QUOTES, FAULTS[0], 0.05)
    tally = health.tally()
    assert 90.0 * tally.kept + tally.success_gain == pytest.approx(average, rel=1e-12)
    assert 100.0 * tally.response_kept + tally.response_gain_ms == pytest.approx(response, rel=1e-12)
