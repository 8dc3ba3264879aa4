"""Alerts sorted by threshold, held against a loop that looks at each of them."""

from dataclasses import dataclass
from math import inf
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.thresholds import Armed, Thresholds
from market import AlertOperator

ABOVE, BELOW = AlertOperator.ABOVE, AlertOperator.BELOW
UP, DOWN = AlertOperator.CROSSES_ABOVE, AlertOperator.CROSSES_BELOW


def fired_at(alert: Armed, values: list[float | None], last: float | None = None, *, fresh: bool = True) -> list[int]:
    """The numbers of the values that it fires on, one a second."""
    thresholds = Thresholds(last)
    thresholds.add([alert], fresh=fresh)
    return [number for number, value in enumerate(values) if thresholds.observe(value, float(number))]


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        (ABOVE, [99, 100, 101, 102], [2]),
        (ABOVE, [101, 102], [0]),  # it is so already
        (BELOW, [101, 100, 99, 98], [2]),
        (BELOW, [99], [0]),
        (UP, [99, 100, 101, 102], [2]),
        (UP, [101, 102, 103], []),  # it stands above
        (UP, [101, 100, 101], [2]),  # to have come back to the threshold is enough
        (UP, [101, 99, 98, 105], [3]),
        (DOWN, [101, 100, 99], [2]),
        (DOWN, [99, 98], []),
        (DOWN, [99, 100, 99], [2]),
        (UP, [99, None, 101], []),  # what it was in between nobody knows
        (ABOVE, [None, 101], [1]),
    ],
)
def test_an_alert_fires_once(operator: AlertOperator, values: list[float | None], expected: list[int]) -> None:
    assert fired_at(Armed(uuid4(), operator, 100.0), values) == expected


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        (ABOVE, [101] * 8, [0, 4]),  # again after each cooldown for as long as it stands above
        (UP, [99, 101, 99, 101, 99, 101, 99, 101], [1, 5]),  # 3 is within the cooldown
        (UP, [99, 101, 101, 101, 99, 101], [1, 5]),
        (DOWN, [101, 99, 101, 99, 101, 101, 99], [1, 6]),
        (UP, [99, 101, 99, 99, 99, 101], [1, 5]),
    ],
)
def test_an_alert_with_a_cooldown_fires_again(
    operator: AlertOperator, values: list[float | None], expected: list[int]
) -> None:
    assert fired_at(Armed(uuid4(), operator, 100.0, cooldown_s=3.0), values) == expected


@pytest.mark.parametrize(
    ("baseline", "last", "fresh", "expected"),
    [
        (99.0, None, True, [0]),  # what it saw when it was made is what the first value is compared with
        (99.0, 101.0, True, [0]),
        (101.0, 99.0, True, []),  # it fired above already; that it was below before, it has seen then
        (100.0, None, True, [0]),
        (None, 99.0, True, [0]),
        (None, None, True, []),
        (101.0, 99.0, False, [0]),  # it has seen the values up to now
        (99.0, 101.0, False, []),
    ],
)
def test_the_first_value_is_compared_with_what_the_alert_has_seen(
    baseline: float | None, last: float | None, fresh: bool, expected: list[int]
) -> None:
    alert = Armed(uuid4(), UP, 100.0, baseline=baseline)
    assert fired_at(alert, [102.0, 103.0], last, fresh=fresh) == expected


def test_an_alert_is_not_looked_at_before_it_is_ready() -> None:
    assert fired_at(Armed(uuid4(), ABOVE, 100.0, ready_at=2.0), [101.0] * 5, fresh=False) == [3]
    assert fired_at(Armed(uuid4(), ABOVE, 100.0, ready_at=2.0), [101.0] * 5) == [3]


def test_what_was_removed_or_replaced_does_not_fire() -> None:
    thresholds = Thresholds()
    alerts = [Armed(uuid4(), operator, 100.0, 0.5) for operator in AlertOperator]
    thresholds.add(alerts)
    thresholds.observe(100.0, 0.0)
    for alert in alerts:
        thresholds.remove(alert.id)
    thresholds.remove(uuid4())
    assert [thresholds.observe(value, at) for at, value in enumerate([99.0, 101.0, 99.0], 1)] == [[], [], []]
    assert len(thresholds) == 0
    thresholds.add(alerts)
    assert [alert.operator for alert in thresholds.observe(101.0, 4.0)] == [ABOVE, UP]
    for alert in alerts:  # two of them are aside, for its cooldown
        thresholds.add([Armed(alert.id, ABOVE, 1000.0)])
    assert [thresholds.observe(value, at) for at, value in enumerate([99.0, 101.0, 99.0], 5)] == [[], [], []]
    assert len(thresholds) == 4


@dataclass
class Loop:
    """One alert, judged by the words of the contract."""

    alert: Armed
    before: float | None = None
    ready_at: float = -inf
    is_done: bool = False

    def fires(self, value: float | None, at: float) -> bool:
        before, self.before = self.before, value
        if value is None or self.is_done or at <= self.ready_at:
            return False
        threshold = self.alert.threshold
        fires = {
            ABOVE: value > threshold,
            BELOW: value < threshold,
            UP: before is not None and before <= threshold < value,
            DOWN: before is not None and before >= threshold > value,
        }[self.alert.operator]
        if fires and self.alert.cooldown_s is None:
            self.is_done = True
        elif fires and self.alert.cooldown_s is not None:
            self.ready_at = at + self.alert.cooldown_s
        return fires


PRICES = st.integers(0, 8).map(float)


@given(
    alerts=st.lists(st.tuples(st.sampled_from(AlertOperator), PRICES, st.none() | st.integers(1, 5)), max_size=30),
    values=st.lists(st.none() | PRICES, max_size=40),
    removals=st.dictionaries(st.integers(0, 39), st.integers(0, 29), max_size=5),
)
def test_the_order_finds_what_a_loop_over_all_finds(
    alerts: list[tuple[AlertOperator, float, int | None]],
    values: list[float | None],
    removals: dict[int, int],
) -> None:
    armed = [Armed(UUID(int=number), *alert) for number, alert in enumerate(alerts)]
    loops = {alert.id: Loop(Armed(alert.id, alert.operator, alert.threshold, alert.cooldown_s)) for alert in armed}
    thresholds = Thresholds()
    thresholds.add(armed)
    for number, value in enumerate(values):
        if (removed := UUID(int=removals.get(number, 99))) in loops:
            thresholds.remove(removed)
            del loops[removed]
        found = sorted(alert.id for alert in thresholds.observe(value, float(number)))
        assert found == [known for known, loop in loops.items() if loop.fires(value, float(number))]
