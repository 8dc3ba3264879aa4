"""Alerts as ticks and bars come: what fires, when, and that it is written down once whatever happens meanwhile."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis

from db.alerts import DeliveryStatus
from db.database import Database
from db.fires import Fire, FireStore
from db.live_bars import BarEvent
from db.redis import Keys
from errors import SourceUnavailable, StoreUnavailable
from live import alerts as alerts_module
from live.alerts import AlertWatch, Measure, Measured, sentence
from market import AlertMetric, AlertOperator, Interval
from people import NotificationMethod
from tests.alerting import PROVENANCE, Desk, new_user, terms
from tests.waiting import until

ABOVE, BELOW = AlertOperator.ABOVE, AlertOperator.BELOW
UP, DOWN = AlertOperator.CROSSES_ABOVE, AlertOperator.CROSSES_BELOW
M1 = Interval.M1


@pytest.fixture
async def desk(database: Database, redis: Redis, keys: Keys) -> Desk:
    return Desk(database, redis, keys, await new_user(database))


async def test_a_fire_is_written_with_its_tick_and_its_deliveries(desk: Desk) -> None:
    methods = (NotificationMethod.WEB, NotificationMethod.EMAIL)
    alert = await desk.alert(terms(100.5, notification_methods=methods), 100.0)
    async with desk.watch() as watch:
        for price in (100.25, 100.75, 99.0, 101.0):
            desk.tick(watch, price, bid=price)
        [event] = await until(desk.events)
        await desk.written(watch)
    assert (event.value, event.message) == (100.75, "A: price has crossed above 100.5; it is 100.75")
    assert event.quote is not None
    assert (event.quote.price, event.quote.bid, event.quote.provenance) == (100.75, 100.75, PROVENANCE)
    assert {told.method: told.status for told in event.deliveries} == {
        NotificationMethod.WEB: DeliveryStatus.DELIVERED,
        NotificationMethod.EMAIL: DeliveryStatus.PENDING,
    }
    [fired] = await desk.store.alerts(desk.user_id)
    assert fired == replace(alert, is_active=False, last_fired_at=event.fired_at, last_value=100.75)
    assert len(await desk.events()) == 1


@pytest.mark.parametrize(
    ("metric", "threshold", "ticks", "value"),
    [
        (AlertMetric.PRICE, 100.0, [{"price": 99.0}, {"price": 100.5}], 100.5),
        (
            AlertMetric.CHANGE_PERCENT,
            5.0,
            [{"price": 104.0, "previous_close": 100.0}, {"price": 200.0}, {"price": 106.0, "previous_close": 100.0}],
            6.0,
        ),
        (AlertMetric.VOLUME, 1e6, [{"price": 1.0, "volume": 9e5}, {"price": 1.0, "volume": 1.5e6}], 1.5e6),
    ],
)
async def test_each_metric_of_a_tick(
    desk: Desk, metric: AlertMetric, threshold: float, ticks: list[dict[str, Any]], value: float
) -> None:
    await desk.alert(terms(threshold, ABOVE, metric=metric))
    async with desk.watch() as watch:
        for tick in ticks:
            desk.tick(watch, **tick)
        await until(desk.events)
    assert await desk.values() == [value]


async def test_an_alert_with_a_cooldown_fires_again(desk: Desk) -> None:
    desk.now = now = datetime.now(UTC).timestamp()
    await desk.alert(terms(cooldown_seconds=60))
    async with desk.watch() as watch:
        for price in (99, 101, 99, 102):
            desk.tick(watch, price)
        desk.now = now + 61
        for price in (99, 103, 99, 104):
            desk.tick(watch, price)
        await until(lambda: _written(desk, 2))
        await desk.written(watch)
    assert await desk.values() == [101, 103]
    assert [event.fired_at.timestamp() - now for event in await desk.events()] == pytest.approx([0, 61], abs=1e-3)


async def _written(desk: Desk, count: int) -> bool:
    return len(await desk.events()) >= count


async def test_what_is_made_and_changed_is_watched_at_once(desk: Desk) -> None:
    async with desk.watch() as watch:
        first = await desk.alert(terms(), 99.0)
        await until(lambda: watch.topics == {"A"})
        watch.own(["A"])
        await until(lambda: len(watch) == 1)
        await desk.alert(terms(200.0), 99.0)
        await until(lambda: len(watch) == 2)
        desk.tick(watch, 101.0)
        await until(lambda: _written(desk, 1))
        await desk.store.update(desk.user_id, first.id, terms(150.0), 101.0)
        await desk.bus.tell_change()
        await until(lambda: len(watch) == 2)
        desk.tick(watch, 160.0)
        await until(lambda: _written(desk, 2))
        await desk.store.update(desk.user_id, first.id, terms(170.0, is_active=False), 101.0)
        await desk.bus.tell_change()
        await until(lambda: len(watch) == 1)
        desk.tick(watch, 180.0)
        desk.tick(watch, 210.0)
        await until(lambda: _written(desk, 3))
        await desk.written(watch)
    assert await desk.values() == [101, 160, 210]


async def test_what_nobody_told_of_is_found_in_a_while(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "HEAL_S", 0.1)
    await desk.alert(terms())
    async with desk.watch() as watch:
        await desk.store.create(desk.user_id, terms(symbol="B"), None, 9)
        await desk.store.create(desk.user_id, terms(), None, 9)
        await until(lambda: watch.topics == {"A", "B"} and len(watch) == 2)
        for alert in await desk.store.alerts(desk.user_id):
            await desk.store.delete(desk.user_id, alert.id)
        await until(lambda: not watch.topics)
        watch.own(["A"])
        assert len(watch) == 0
        assert await desk.bus.marks(["A", "B"]) == {}


async def test_an_alert_that_was_changed_or_deleted_meanwhile_does_not_fire(desk: Desk) -> None:
    changed, deleted = await desk.alert(terms(), 99.0), await desk.alert(terms(), 99.0)
    async with desk.watch() as watch:
        await desk.store.delete(desk.user_id, deleted.id)  # and nobody is told
        await desk.store.update(desk.user_id, changed.id, terms(105.0), 99.0)
        desk.tick(watch, 101.0)
        await until(
            lambda: {alert_id: held.alert.threshold for alert_id, held in watch._held.items()} == {changed.id: 105}
        )
        assert await desk.events() == []
        desk.tick(watch, 106.0)
        await until(desk.events)
    assert await desk.values() == [106]


async def test_of_two_who_watch_the_same_alert_one_fires_it(desk: Desk) -> None:
    await desk.alert(terms(cooldown_seconds=1), 99.0)
    await desk.alert(terms(), 99.0)
    async with desk.watch() as one, desk.watch() as other:
        for price in (101.0, 102.0):
            desk.tick(one, price)
            desk.tick(other, price)
        await desk.written(one)
        await desk.written(other)
        await until(lambda: not one._doubtful and not other._doubtful)
    assert await desk.values() in ([101, 101], [101, 102], [102, 101])
    assert len({event.alert.id for event in await desk.events() if event.alert}) == 2


async def test_who_takes_over_goes_on_where_the_other_stopped(desk: Desk) -> None:
    await desk.alert(terms(), 50.0)
    await desk.alert(terms(100.0, DOWN, cooldown_seconds=1), 50.0)
    async with desk.watch() as watch:
        desk.tick(watch, 101.0)  # the first fires
        desk.tick(watch, 102.0)
        await desk.written(watch)
    assert await desk.values() == [101]
    async with desk.watch() as watch:
        desk.tick(watch, 98.0)  # the second: it was above when the first one saw it
        await desk.written(watch)
    assert await desk.values() == [101, 98]
    async with desk.watch() as watch:
        desk.tick(watch, 97.0)
        await desk.written(watch)
    assert await desk.values() == [101, 98]


async def test_a_fire_after_the_last_mark_is_not_fired_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.now = now = datetime.now(UTC).timestamp()
    await desk.alert(terms(cooldown_seconds=1), 50.0)
    async with desk.watch() as watch:
        desk.tick(watch, 99.0)
        await desk.written(watch)
        monkeypatch.setattr(desk.bus, "mark", _lost)  # it does not live to mark more
        desk.now = now + 1
        desk.tick(watch, 101.0)
        await until(desk.events)
    monkeypatch.undo()
    desk.now = now + 60
    async with desk.watch() as watch:
        desk.tick(watch, 102.0)  # above 100 as it was when it fired, though the mark says 99
        desk.tick(watch, 103.0)
        await desk.written(watch)
        assert await desk.values() == [101]
        desk.tick(watch, 99.0)
        desk.tick(watch, 104.0)
        await desk.written(watch)
    assert await desk.values() == [101, 104]


async def _lost(marks: object) -> None:
    raise StoreUnavailable("gone")


async def test_ticks_wait_until_the_alerts_are_read(desk: Desk) -> None:
    await desk.alert(terms(), 99.0)
    slow = Slow(desk.fires)
    watch = AlertWatch(slow, desk.bus, None)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(watch.run())
        await until(lambda: watch.topics)
        watch.own(["A"])
        desk.tick(watch, 101.0)
        desk.tick(watch, 99.0)
        assert not watch.is_ready
        slow.go.set()
        await until(desk.events)
        running.cancel()
    assert await desk.values() == [101]


class Slow(FireStore):
    """Gives alerts when it is let."""

    def __init__(self, store: FireStore) -> None:
        super().__init__(store._database)
        self.go = asyncio.Event()

    async def alerts(self, symbols: Collection[str]):  # type: ignore[no-untyped-def]
        await self.go.wait()
        return await super().alerts(symbols)


class Unsteady(FireStore):
    """Is away for a while, or away just after it has written."""

    def __init__(self, store: FireStore, *, writes: bool) -> None:
        super().__init__(store._database)
        self.is_away = True
        self.tries = 0
        self._writes = writes

    async def record(self, fires: Sequence[Fire]) -> dict[UUID, UUID]:
        self.tries += 1
        if self.is_away and self._writes:
            await super().record(fires)
        if self.is_away:
            raise StoreUnavailable("away")
        return await super().record(fires)


@pytest.mark.parametrize("writes", [False, True])
async def test_fires_wait_for_a_postgresql_that_is_away(
    desk: Desk, writes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.now = datetime.now(UTC).timestamp()
    monkeypatch.setattr(alerts_module, "RETRY_S", 0.01)
    await desk.alert(terms(cooldown_seconds=1), 99.0)
    await desk.alert(terms(), 99.0)
    store = Unsteady(desk.fires, writes=writes)
    async with desk.watch(fires=store) as watch:
        for price in (101.0, 99.0, 102.0):
            desk.tick(watch, price)
            desk.now += 2
        await until(lambda: store.tries > 2)
        assert await desk.bus.marks(["A"]) == {}
        store.is_away = False
        await desk.written(watch)
        assert (await desk.bus.marks(["A"]))["A"].values == {AlertMetric.PRICE: 102}
    assert sorted(str(value) for value in await desk.values()) == ["101.0", "101.0", "102.0"]


async def test_with_too_many_fires_waiting_nothing_is_lost(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "MAX_UNWRITTEN", 2)
    monkeypatch.setattr(alerts_module, "RETRY_S", 0.01)
    for threshold in (100.0, 101.0, 102.0):
        await desk.alert(terms(threshold), 99.0)
    store = Unsteady(desk.fires, writes=False)
    async with desk.watch(fires=store) as watch:
        for price in (101.0, 101.5, 103.0):
            desk.tick(watch, price)
        store.is_away = False
        await until(lambda: _written(desk, 2))
        desk.tick(watch, 104.0)
        await until(lambda: _written(desk, 3))
    assert await desk.values() == [101, 101.5, 104]


class Bars:
    """Minutes whose values are told by the test."""

    def __init__(self, *values: float | None) -> None:
        self.start = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        self.values = list(values)
        self.asked: list[tuple[set[Measure], int]] = []
        self.is_away = False

    async def measure(self, symbol: str, interval: Interval, measures: Collection[Measure], count: int) -> Measured:
        assert (symbol, interval) == ("A", M1)
        if self.is_away:
            raise SourceUnavailable("away")
        self.asked.append((set(measures), count))
        times = [self.start + timedelta(minutes=number) for number in range(len(self.values))]
        return Measured(times, [time + timedelta(minutes=1) for time in times], dict.fromkeys(measures, self.values))

    def close(self, watch: AlertWatch, *values: float | None) -> None:
        self.values += values
        watch.take_bar(BarEvent(7, 1, "A", M1, self.start, 1, 1, 1, 1, None, True))


RSI = {"metric": AlertMetric.RSI, "period": 14, "interval": M1}


async def test_alerts_on_bars_fire_when_a_bar_is_final(desk: Desk) -> None:
    up = await desk.alert(terms(70.0, UP, **RSI))
    await desk.alert(terms(75.0, ABOVE, **RSI))
    bars = Bars(60.0)
    async with desk.watch(bars.measure) as watch:
        assert watch.topics == {"A/M1"}
        await until(lambda: bars.asked)
        desk.tick(watch, 1000.0)  # ticks are none of their business
        bars.close(watch, 71.0)
        await until(lambda: _written(desk, 1))
        bars.close(watch, 69.0, 76.0)
        await until(lambda: _written(desk, 2))
        await desk.written(watch)
        assert (await desk.bus.marks(["A/M1"]))["A/M1"].at == (bars.start + timedelta(minutes=3)).timestamp()
    first, second = await desk.events()
    assert first.alert
    assert (first.alert.id, first.value, first.quote) == (up.id, 71, None)
    assert second.value == 76
    assert {frozenset(measures) for measures, _ in bars.asked} == {frozenset({Measure(AlertMetric.RSI, 14)})}


async def test_bars_that_nobody_saw_are_made_up_for(desk: Desk) -> None:
    await desk.alert(terms(70.0, UP, cooldown_seconds=1, **RSI))
    bars = Bars(60.0)
    async with desk.watch(bars.measure) as watch:
        await until(lambda: bars.asked)
        await desk.written(watch)
    bars.values += [72.0, 60.0, None, 73.0, 60.0, 74.0]
    async with desk.watch(bars.measure) as watch:
        await until(lambda: _written(desk, 2))
        await desk.written(watch)
    assert await desk.values() == [72, 74]  # of the 73 nobody knows what it came from
    async with desk.watch(bars.measure) as watch:
        await until(lambda: not watch._due)
        await desk.written(watch)
    assert await desk.values() == [72, 74]


async def test_a_bar_that_was_final_before_the_alert_does_not_fire_it(desk: Desk) -> None:
    bars = Bars(60.0, 80.0)
    bars.start -= timedelta(minutes=9)
    await desk.alert(terms(70.0, UP, **RSI))
    await desk.alert(terms(70.0, ABOVE, **RSI))
    async with desk.watch(bars.measure) as watch:
        await until(lambda: bars.asked)
        await desk.written(watch)
        assert await desk.events() == []
        bars.values = [*[60.0] * 5, *[80.0] * 6]
        bars.close(watch)
        await until(desk.events)
        await desk.written(watch)
    assert await desk.values() == [80]
    [event] = await desk.events()
    assert event.alert
    assert event.alert.operator == ABOVE


async def test_bars_that_cannot_be_had_are_asked_for_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "HEAL_S", 0.1)
    await desk.alert(terms(70.0, UP, **RSI))
    bars = Bars(60.0, 80.0)
    bars.is_away = True
    async with desk.watch(bars.measure) as watch:
        await until(lambda: watch._unmeasured)
        bars.is_away = False
        await until(desk.events)
    assert await desk.values() == [80]


async def test_a_message_says_what_has_happened(desk: Desk) -> None:
    alert = await desk.alert(terms(70.0, DOWN, **RSI))
    assert sentence(alert, 69.123) == "A: RSI(14) of M1 bars has crossed below 70; it is 69.123"
    alert = await desk.alert(terms(0.00001, BELOW))
    assert sentence(alert, 1e-6) == "A: price is below 1e-05; it is 1e-06"


async def test_a_tick_of_what_is_not_owned_is_none_of_our_business(desk: Desk) -> None:
    await desk.alert(terms(), 99.0)
    async with desk.watch() as watch:
        watch.own(["B"])
        desk.tick(watch, 101.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await watch._fired.wait()
        assert await desk.events() == []
        assert len(watch) == 0
