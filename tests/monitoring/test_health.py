"""What `/livez` and `/readyz` say, and how soon."""

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from monitoring.health import READY_S, livez, readyz
from sources.health import BreakerState

SLACK_S = 2.0
"""What a loaded machine may take on top."""


class Store:
    """One that answers, fails or hangs."""

    def __init__(self, does: str) -> None:
        self._does = does

    async def ping(self) -> None:
        if self._does == "hangs":
            await asyncio.sleep(60)
        if self._does == "fails":
            raise OSError("refused")


def asked(database: str = "answers", redis: str = "answers", prepared: bool = True, draining: bool = False) -> Request:
    events = [asyncio.Event(), asyncio.Event()]
    for event, is_set in zip(events, (prepared, draining), strict=True):
        if is_set:
            event.set()
    health = {"yahoo": SimpleNamespace(breaker=BreakerState.OPEN), "kraken": SimpleNamespace(breaker="CLOSED")}
    state = SimpleNamespace(
        database=Store(database),
        redis=Store(redis),
        prepared=events[0],
        draining=events[1],
        router=SimpleNamespace(health=health),
    )
    return cast(Request, SimpleNamespace(state=state))


@pytest.mark.parametrize(
    ("state", "amiss"),
    [
        ({}, None),
        ({"database": "fails"}, "postgresql"),
        ({"database": "hangs"}, "postgresql"),
        ({"redis": "fails"}, "redis"),
        ({"redis": "hangs"}, "redis"),
        ({"prepared": False}, "prepared"),
        ({"draining": True}, "serving"),
    ],
)
async def test_readiness_says_what_is_amiss_and_fails_for_no_source(state: dict[str, Any], amiss: str | None) -> None:
    start = time.monotonic()
    answer = await readyz(asked(**state))
    assert time.monotonic() - start < READY_S + SLACK_S
    said = json.loads(bytes(answer.body))
    assert said.pop("sources") == {"yahoo": "OPEN", "kraken": "CLOSED"}
    assert answer.status_code == (503 if amiss else 200)
    assert said.pop("ready") is (amiss is None)
    assert [part for part, is_well in said.items() if not is_well] == ([amiss] if amiss else [])


async def test_life_needs_nothing() -> None:
    answer = await livez(cast(Request, None))
    assert (answer.status_code, bytes(answer.body)) == (200, b"ok\n")
