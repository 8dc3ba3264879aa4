import asyncio

import pytest

from live.tending import is_ending, tended


async def test_what_dies_is_started_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("live.tending.RESTART_S", 0.0)
    runs = 0
    third = asyncio.Event()

    async def dies() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise RuntimeError("broken")
        if runs == 3:
            third.set()
            await asyncio.Event().wait()

    async with tended(dies):
        await asyncio.wait_for(third.wait(), 5)
    assert runs == 3
    assert "dies died" in caplog.text
    assert "dies ended, which it never should" in caplog.text


async def test_a_fault_at_the_end_does_not_start_it_again() -> None:
    runs = 0

    async def fails_as_it_ends() -> None:
        nonlocal runs
        runs += 1
        try:
            await asyncio.Event().wait()
        finally:
            raise RuntimeError("broken")

    async with asyncio.timeout(5), tended(fails_as_it_ends):
        await asyncio.sleep(0)
    assert runs == 1


async def test_a_cancellation_that_got_lost_still_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    rounds = 0

    async def loses_it() -> None:
        nonlocal rounds
        while not is_ending():
            rounds += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:  # as a time-out at the same moment would
                continue

    async with asyncio.timeout(5), tended(loses_it):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert rounds == 1
    assert caplog.records == []
