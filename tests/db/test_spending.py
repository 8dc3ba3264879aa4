"""Budgets: spent by all processes together, never overdrawn, whole again each minute."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from db.redis import Keys, connect
from db.spending import Spending, budgets_of
from errors import RateLimited
from people import GUEST, Tier, Viewer
from settings import Settings

BUDGETS = {Tier.GUEST: 1000, Tier.REGISTERED: 10_000, Tier.VIP: 100_000, Tier.ADMIN: 1_000_000}
NOON = 1_000_000 * 60.0


class Clock:
    """One that stands still unless it is set."""

    now = NOON

    def __call__(self) -> float:
        return self.now


async def spent_until_refused(
    spending: Spending, viewer: Viewer = GUEST, address: str = "192.0.2.1", cost: int = 3
) -> int:
    """How many requests are paid for, times their cost."""
    count = 0
    while True:
        try:
            await spending.spend(viewer, address, cost)
        except RateLimited:
            return cost * count
        count += 1


async def test_a_budget_is_spent_to_its_end_and_no_further(redis: Redis, keys: Keys) -> None:
    spending = Spending(redis, keys, BUDGETS, Clock())
    first = await spending.spend(GUEST, "192.0.2.1", 300)
    assert (first.cost, first.limit, first.remaining) == (300, 1000, 700)
    assert first.resets_at.timestamp() == NOON + 60
    assert (await spending.spend(GUEST, "192.0.2.1", 300)).remaining == 400
    with pytest.raises(RateLimited) as refused:
        await spending.spend(GUEST, "192.0.2.1", 401)
    assert refused.value.details["remaining"] == 400
    assert refused.value.details["retryAfter"] >= 1
    assert (await spending.spend(GUEST, "192.0.2.1", 400)).remaining == 0
    with pytest.raises(RateLimited):
        await spending.spend(GUEST, "192.0.2.1", 1)


@pytest.mark.parametrize("tier", list(Tier)[:3])
async def test_processes_share_a_budget_to_within_one_percent(redis: Redis, keys: Keys, tier: Tier) -> None:
    viewer = Viewer(uuid4(), tier)
    processes = [Spending(redis, keys, BUDGETS, Clock()) for _ in range(2)]
    each = [spent_until_refused(process, viewer, cost=BUDGETS[tier] // 1000) for process in processes * 3]
    paid = sum(await asyncio.gather(*each))
    assert 0.99 * BUDGETS[tier] <= paid <= BUDGETS[tier]


async def test_requests_at_once_take_no_more_of_it_than_they_cost(redis: Redis, keys: Keys) -> None:
    processes = [Spending(redis, keys, BUDGETS, Clock()) for _ in range(2)]
    viewer = Viewer(uuid4(), Tier.ADMIN)
    await asyncio.gather(*(process.spend(viewer, "192.0.2.1", 1) for process in processes for _ in range(500)))
    left = await spent_until_refused(processes[0], viewer, cost=1000)
    assert BUDGETS[Tier.ADMIN] - left <= 1000 + 2 * BUDGETS[Tier.ADMIN] // 400


async def test_a_minute_later_the_whole_budget_is_there_again(redis: Redis, keys: Keys) -> None:
    clock = Clock()
    spending = Spending(redis, keys, BUDGETS, clock)
    assert await spent_until_refused(spending) == 999
    clock.now += 59
    assert await spent_until_refused(spending) == 0
    clock.now += 1
    assert await spent_until_refused(spending) == 999


async def test_each_user_and_each_address_has_a_budget_of_its_own(redis: Redis, keys: Keys) -> None:
    spending = Spending(redis, keys, BUDGETS, Clock())
    ann = Viewer(uuid4(), Tier.REGISTERED)
    assert await spent_until_refused(spending, address="192.0.2.1") == 999
    assert await spent_until_refused(spending, address="192.0.2.2") == 999
    assert await spent_until_refused(spending, ann, address="192.0.2.1") == 9999
    assert await spent_until_refused(spending, ann, address="192.0.2.3") == 0  # wherever he asks from
    assert await spent_until_refused(spending, Viewer(uuid4(), Tier.REGISTERED), address="192.0.2.1") == 9999


async def test_redis_is_asked_once_for_many_requests(redis: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    spending = Spending(redis, keys, BUDGETS, Clock())
    storage: Any = spending._shared
    asked = []
    whole = storage.incr

    async def counted(*given: Any) -> int:
        asked.append(given)
        count: int = await whole(*given)
        return count

    monkeypatch.setattr(storage, "incr", counted)
    vip = Viewer(uuid4(), Tier.VIP)
    for _ in range(1000):
        await spending.spend(vip, "", 1)
    assert len(asked) == 4
    await spent_until_refused(spending)
    before = len(asked)
    for _ in range(100):
        with pytest.raises(RateLimited):
            await spending.spend(GUEST, "192.0.2.1", 3)
    assert len(asked) == before  # that nothing is left is known


async def test_without_redis_each_process_keeps_the_budget_by_itself(keys: Keys) -> None:
    away = connect("redis://127.0.0.1:1/0")
    try:
        assert await spent_until_refused(Spending(away, keys, BUDGETS, Clock())) == 999
    finally:
        await away.aclose()


def test_every_tier_has_a_setting() -> None:
    settings = Settings(guest_budget=1, registered_budget=2, vip_budget=3, admin_budget=4)
    assert budgets_of(settings) == {Tier.GUEST: 1, Tier.REGISTERED: 2, Tier.VIP: 3, Tier.ADMIN: 4}
