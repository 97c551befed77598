"""The largest load or the smallest machine that keeps an objective, found by trying all of a row of values.

Nothing is assumed between them: more room may mean more requests put out (31 at 60 blocks of one trace, 47 at 80), and
a higher rate may share more. So no value is skipped because its neighbour failed, and where the answer has failures on
its good side, they are said.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Sought(Enum):
    """What is looked for; the value is the word on the command line."""

    RATE = "rate"
    DEVICES = "devices"
    POOL = "pool"
    MAX_SEQS = "max-seqs"

    @property
    def largest(self) -> bool:
        """Whether more is better: of loads, and not of machines."""
        return self in (Sought.RATE, Sought.MAX_SEQS)


class BestValue(NamedTuple):
    """The best ``value`` that holds, if one does, and those on its good side that do not."""

    value: float | None
    failing: tuple[float, ...]


def best(tried: Sequence[tuple[float, bool]], sought: Sought) -> BestValue:
    """The best of the values ``tried``, each with whether it holds.

    Example: pools of 60 (holds), 80 (does not) and 120 blocks (holds): the smallest is 60, and 80 fails above it.
    """
    holding = [value for value, holds in tried if holds]
    if not holding:
        return BestValue(None, ())
    value = max(holding) if sought.largest else min(holding)
    failing = sorted(
        other for other, holds in tried if not holds and (other < value if sought.largest else other > value)
    )
    return BestValue(value, tuple(failing))


def row_of(sought: Sought, most: int = 0) -> list[float]:
    """What to try: multiples of the trace's rate or of the planned pool, replicas, or sequences up to ``most``."""
    match sought:
        case Sought.RATE:
            return [2 ** (step / 2) for step in range(-6, 9)]
        case Sought.POOL:
            return [2 ** (-step / 2) for step in range(12, -1, -1)]
        case Sought.DEVICES:
            return [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32]
        case Sought.MAX_SEQS:
            row, value = [float(most)], 1
            while value < most:
                row.append(float(value))
                value = max(value + 1, value * 3 // 2)
            return sorted(row)
