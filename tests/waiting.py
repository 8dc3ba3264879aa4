"""Waiting for what others do, by asking again and again."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any


async def until(question: Callable[[], Any], within_s: float = 20) -> Any:
    """The first answer that is true, awaited where it has to be; fails after so many seconds without one."""
    async with asyncio.timeout(within_s):
        while True:
            answer = question()
            if isawaitable(answer):
                answer = await answer
            if answer:
                return answer
            await asyncio.sleep(0.01)
