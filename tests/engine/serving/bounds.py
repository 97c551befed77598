"""What a largest number claims: that it holds, and one more does not."""

from __future__ import annotations

from kvtui.engine.basis.units import MAX_TOKENS


def around(most: int | None, highest: int = MAX_TOKENS) -> dict[int, bool]:
    """Numbers on both sides of ``most`` and whether they must hold; None claims that all up to ``highest`` do."""
    if most is None:
        return {highest: True}
    return {number: number <= most for number in (most, most + 1) if 0 < number <= highest}
