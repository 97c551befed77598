"""How much a piece of code does, counted and not timed, so that a busy machine changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooMuchWorkError(AssertionError):
    """More calls were made than a test allows."""


@contextmanager
def at_most(calls: int) -> Iterator[list[int]]:
    """Raises TooMuchWorkError in a block of more than ``calls`` calls of Python and C functions; gives their number."""
    made = [0]

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            made[0] += 1
            if made[0] > calls:
                raise TooMuchWorkError(f"more than {calls:,} calls")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield made
    finally:
        sys.setprofile(before)
