"""Tests that are coroutines: each runs on a loop of its own, and nothing of it may be left."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

DEADLINE_S = 30.0


def on_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run the test to its end."""

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        asyncio.run(_watched(test(*arguments, **fixtures)))

    return run


async def _watched(test: Coroutine[Any, Any, None]) -> None:
    """Whatever a loop would only log is a failure."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(str(context)))
    async with asyncio.timeout(DEADLINE_S):
        await test
    left = [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()} if not task.done()]
    assert (complaints, left) == ([], [])
