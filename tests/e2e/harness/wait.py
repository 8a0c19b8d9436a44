"""Waiting for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Timeout(AssertionError):
    pass


def wait_until(
    what: str, condition: Callable[[], T | None], deadline_s: float = 60, interval_s: float = 0.05
) -> T:
    """The first true answer of condition(). Fails with what was waited for and the last answer."""
    end = time.monotonic() + deadline_s
    while True:
        seen = condition()
        if seen:
            return seen
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {deadline_s:g} s; last seen: {seen!r}")
        time.sleep(interval_s)
