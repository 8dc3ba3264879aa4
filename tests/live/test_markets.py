"""The states of a market as they come, under a clock that the test turns, and how processes share them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from redis.asyncio import Redis

from db.markets import MarketCache
from db.redis import Keys, connect
from errors import StoreUnavailable
from live import markets
from live.markets import Markets, states
from market import Market, MarketPhase
from sources import calendar

# The package uses what pandas 3.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:(pandas|exchange_calendars)")

PRE, OPEN, POST, CLOSED = MarketPhase


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Clock:
    """A clock that runs only while somebody sleeps."""

    def __init__(self, now: str) -> None:
        self.shown = utc(now)
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.shown

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.shown += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class SetClock(Clock):
    """A clock that is set to another time while somebody sleeps."""

    def __init__(self, now: str, then: str) -> None:
        super().__init__(now)
        self.then: datetime | None = utc(then)

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.then:
            self.shown, self.then = self.then, None


async def watched(code: str, clock: Clock, count: int) -> list[tuple[str, MarketPhase]]:
    """When each of the first states came, and its phase."""
    seen = []
    async with asyncio.timeout(10), aclosing(states(partial(calendar.state, code), clock.now, clock.sleep)) as stream:
        async for market in stream:
            seen.append((f"{clock.shown:%d %H:%M:%S.%f}".removesuffix(".000000"), market.phase))
            if len(seen) == count:
                break
    return seen


# Thursday 2025-06-12 and on; in UTC New York is 4 hours behind, Hong Kong 8 hours ahead.
WATCHES = [
    (
        "XNYS",
        "2025-06-12T13:29:00",
        ["12 13:29:00 PRE", "12 13:30:00 OPEN", "12 20:00:00 POST", "13 00:00:00 CLOSED", "13 04:00:00 CLOSED"],
    ),
    ("XNYS", "2025-07-03T16:59:59.5", ["03 16:59:59.500000 OPEN", "03 17:00:00 POST", "03 21:00:00 CLOSED"]),
    ("XLON", "2025-06-12T06:59:00", ["12 06:59:00 CLOSED", "12 07:00:00 OPEN", "12 15:30:00 CLOSED"]),
    (
        "XHKG",
        "2025-06-12T03:00:00",
        ["12 03:00:00 OPEN", "12 04:00:00 CLOSED", "12 05:00:00 OPEN", "12 08:00:00 CLOSED", "12 16:00:00 CLOSED"],
    ),
    # From Friday's close to Sunday's opening: the hours go at Friday's midnight, and those of the new week come.
    (
        "FOREX",
        "2025-06-13T20:00:00",
        ["13 20:00:00 OPEN", "13 21:00:00 CLOSED", "14 04:00:00 CLOSED", "15 04:00:00 CLOSED", "15 21:00:00 OPEN"],
    ),
]


@pytest.mark.parametrize(("code", "start", "expected"), WATCHES)
async def test_each_state_comes_at_the_instant_it_begins(code: str, start: str, expected: list[str]) -> None:
    seen = await watched(code, Clock(start), len(expected))
    assert [f"{at} {phase}" for at, phase in seen] == expected


async def test_a_midnight_that_changes_nothing_is_not_told() -> None:
    # Saturday's 04:00 takes Friday's hours away, Sunday's changes nothing, Monday's brings new hours.
    seen = await watched("XNYS", Clock("2025-06-14T00:00:00"), 4)
    assert seen == [("14 00:00:00", CLOSED), ("14 04:00:00", CLOSED), ("16 04:00:00", CLOSED), ("16 08:00:00", PRE)]


async def test_a_clock_that_jumps_ahead_leaves_nothing_out() -> None:
    seen = await watched("XNYS", SetClock("2025-06-12T13:29:00", "2025-06-13T13:45:00"), 7)
    assert [phase for _, phase in seen] == [PRE, OPEN, POST, CLOSED, CLOSED, PRE, OPEN]
    assert {at for at, _ in seen[1:]} == {"13 13:45:00"}, "all that was missed comes at once"


async def test_a_clock_that_is_set_back_gives_the_state_of_its_time() -> None:
    clock = SetClock("2025-06-12T13:31:00", "2025-06-12T13:00:00")
    assert await watched("XNYS", clock, 3) == [("12 13:31:00", OPEN), ("12 13:00:00", PRE), ("12 13:30:00", OPEN)]


async def test_a_clock_that_is_put_right_by_a_moment_repeats_nothing() -> None:
    clock = SetClock("2025-06-12T13:30:00", "2025-06-12T13:29:59.9")
    assert await watched("XNYS", clock, 2) == [("12 13:30:00", OPEN), ("12 20:00:00", POST)]


async def test_a_slow_reader_misses_no_state() -> None:
    clock = Clock("2025-06-12T13:29:00")
    phases = []
    async with aclosing(states(partial(calendar.state, "XNYS"), clock.now, clock.sleep)) as stream:
        async for market in stream:
            phases.append(market.phase)
            clock.shown = utc("2025-06-13T14:00:00")
            if len(phases) == 7:
                break
    assert phases == [PRE, OPEN, POST, CLOSED, CLOSED, PRE, OPEN]
    assert clock.slept == []


async def test_it_sleeps_to_the_instant_and_never_long() -> None:
    clock = Clock("2025-06-12T13:28:45.25")
    await watched("XNYS", clock, 2)
    assert clock.slept == [30.0, 30.0, 14.75]


async def test_the_loop_s_own_timer_meets_the_instant() -> None:
    due = datetime.now(UTC) + timedelta(seconds=0.2)
    before = Market(code="X", name="X", timezone="UTC", phase=CLOSED, changes_at=due)
    after = replace(before, phase=OPEN, changes_at=None)
    async with asyncio.timeout(10), aclosing(states(lambda at: before if at < due else after)) as stream:
        assert await anext(stream) == before
        assert await anext(stream) == after
        assert due <= datetime.now(UTC) < due + timedelta(seconds=1)


async def test_what_never_closes_is_told_once_and_goes_on() -> None:
    clock = Clock("2025-06-12T13:29:00")
    stream = states(partial(calendar.state, "CRYPTO"), clock.now, clock.sleep)
    assert (await anext(stream)).phase is OPEN
    waiting = asyncio.ensure_future(anext(stream))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert clock.slept == []
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def keys() -> Keys:
    return Keys(f"t_{secrets.token_hex(6)}")


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """A Thursday at noon in New York, for as long as the test runs."""
    at = utc("2025-06-12T16:00:00")
    monkeypatch.setattr(markets, "_now", lambda: at)
    return at


async def test_a_state_is_kept_in_redis_for_60_seconds(redis: Redis, keys: Keys, noon: datetime) -> None:
    told = await Markets(MarketCache(redis, keys), always_open=False).current(["XNYS", "CRYPTO", "XHKG", "XNYS"])
    assert [market.code for market in told] == ["XNYS", "CRYPTO", "XHKG", "XNYS"]
    assert told[0] == calendar.state("XNYS", noon)
    for code, market in zip(("XNYS", "CRYPTO", "XHKG"), told, strict=False):
        assert 50 < await redis.ttl(f"{keys.prefix}market:status:{code}") <= 60
        kept = (await MarketCache(redis, keys).get([code]))[code]
        assert kept == market
        assert kept.changes_at == market.changes_at


async def test_processes_tell_what_one_has_found(redis: Redis, keys: Keys, noon: datetime) -> None:
    found = replace(calendar.state("XNYS", noon), name="as another process has found it")
    await MarketCache(redis, keys).put([found])
    assert await Markets(MarketCache(redis, keys), always_open=False).current(["XNYS"]) == [found]


async def test_a_kept_state_ends_at_its_change(
    redis: Redis, keys: Keys, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    current = Markets(MarketCache(redis, keys), always_open=False).current
    monkeypatch.setattr(markets, "_now", lambda: utc("2025-06-12T19:59:59.999999"))
    assert [market.phase for market in await current(["XNYS"])] == [OPEN]
    monkeypatch.setattr(markets, "_now", lambda: utc("2025-06-12T20:00:00"))
    assert [market.phase for market in await current(["XNYS"])] == [POST]
    kept = await MarketCache(redis, keys).get(["XNYS"])
    assert kept["XNYS"].phase is POST


async def test_without_redis_the_calendar_tells(keys: Keys, noon: datetime, caplog: pytest.LogCaptureFixture) -> None:
    away = connect("redis://127.0.0.1:1/0")
    cache = MarketCache(away, keys)
    with pytest.raises(StoreUnavailable):
        await cache.get(["XNYS"])
    with pytest.raises(StoreUnavailable):
        await cache.put([calendar.state("XNYS", noon)])
    assert await Markets(cache, always_open=False).current(["XNYS"]) == [calendar.state("XNYS", noon)]
    assert "markets are told by their calendars" in caplog.text
    await away.aclose()


async def test_a_market_of_the_sandbox_never_closes(redis: Redis, keys: Keys) -> None:
    sandbox = Markets(MarketCache(redis, keys), always_open=True)
    told = await sandbox.current(list(calendar.MARKETS))
    assert [market.code for market in told] == list(calendar.MARKETS)
    assert {(m.phase, m.opens_at, m.closes_at, m.next_open, m.is_holiday) for m in told} == {
        (OPEN, None, None, None, False)
    }
    async with aclosing(await sandbox.changes("XNYS")) as stream:
        assert await anext(stream) == told[0]


async def test_changes_begin_with_the_present_state(redis: Redis, keys: Keys) -> None:
    async with aclosing(await Markets(MarketCache(redis, keys), always_open=False).changes("FOREX")) as stream:
        before = calendar.state("FOREX", datetime.now(UTC))
        first = await anext(stream)
        assert first in (before, calendar.state("FOREX", datetime.now(UTC)))
