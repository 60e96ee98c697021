"""Waiting for real programs: poll a condition until a deadline, the only place in the tests that sleeps."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, within_s: float = 15.0, what: str = "") -> T:
    """Return the first truthy answer of `condition`; AssertionError naming `what` after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what or condition}; last answer {answer!r}")
        time.sleep(0.02)


async def until_async(condition: Callable[[], T], *, within_s: float = 15.0, what: str = "") -> T:
    """The same on an event loop, letting its tasks run in between."""
    deadline = time.monotonic() + within_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what or condition}; last answer {answer!r}")
        await asyncio.sleep(0.01)
