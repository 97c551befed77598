"""What must be there, for values that can be None elsewhere."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """``value``, which is not None."""
    assert value is not None
    return value
