import asyncio
from functools import partial

import pytest

from sources.flight import Flights
from tests.waiting import until


async def test_many_that_ask_at_once_are_one_question() -> None:
    flights = Flights()
    asked: list[str] = []
    go = asyncio.Event()

    async def ask(key: str) -> int:
        asked.append(key)
        await go.wait()
        return len(asked)

    waiting = [asyncio.create_task(flights.join("key", partial(ask, "key"))) for _ in range(200)]
    other = asyncio.create_task(flights.join("other", partial(ask, "other")))
    for _ in range(5):
        await asyncio.sleep(0)
    go.set()
    assert await asyncio.gather(*waiting, other) == [2] * 201
    assert asked == ["key", "other"]
    assert await flights.join("key", partial(ask, "again")) == 3


async def test_one_that_gives_up_takes_nothing_from_the_others() -> None:
    flights = Flights()
    go = asyncio.Event()

    async def ask() -> str:
        await go.wait()
        return "answer"

    first = asyncio.create_task(flights.join("key", ask))
    second = asyncio.create_task(flights.join("key", ask))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    go.set()
    assert await second == "answer"


async def test_an_error_reaches_everyone_and_is_not_kept() -> None:
    flights = Flights()

    async def fail() -> None:
        raise ValueError("broken")

    errors = await asyncio.gather(*(flights.join("key", fail) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in errors] == ["broken"] * 3

    async def work() -> str:
        return "well again"

    assert await flights.join("key", work) == "well again"


async def test_closing_ends_what_is_under_way() -> None:
    flights = Flights()
    waiting = asyncio.create_task(flights.join("key", asyncio.Event().wait))
    await asyncio.sleep(0)
    await flights.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_waits_too_long_leaves_the_question_to_who_asks_next() -> None:
    flights = Flights()
    go = asyncio.Event()

    async def ask() -> str:
        await go.wait()
        return "answer"

    with pytest.raises(TimeoutError):
        await flights.join("key", ask, 0.05)
    with pytest.raises(TimeoutError):  # it is that old already
        await asyncio.wait_for(flights.join("key", ask, 0.05), 60)
    go.set()
    assert await flights.join("key", ask) == "answer"


async def test_who_does_not_wait_at_all_begins_the_question() -> None:
    flights = Flights()
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()

    with pytest.raises(TimeoutError):
        await flights.join("key", ask, 0.0)
    await asyncio.wait_for(asked.wait(), 60)


async def test_an_answer_is_kept_for_its_time_and_an_error_is_not() -> None:
    flights = Flights(keep_s=0.2)
    asked: list[str] = []

    async def ask(answer: str) -> str:
        asked.append(answer)
        if answer == "bad":
            raise ValueError(answer)
        return answer

    for _ in range(2):
        with pytest.raises(ValueError, match="bad"):
            await flights.join("key", partial(ask, "bad"))
    assert len(flights) == 0
    assert await flights.join("key", partial(ask, "good")) == "good"
    assert await flights.join("key", partial(ask, "better"), 0.0) == "good"
    await until(lambda: "key" not in flights)
    assert await flights.join("key", partial(ask, "better")) == "better"
    assert asked == ["bad", "bad", "good", "better"]
