"""What steps cost that were measured: constants in the place of the roofline's peaks and priors.

A server that is watched counts its steps and their tokens. Over a stretch of time in which it was busy, both cost it
all of that time: so many seconds for each step, and so many more for each token in it. A benchmark run tells what the
machine reads and computes in a second. Both scatter, and what scatters is a band: from the time that a fifth of what
was measured stayed below, to the time that a fifth exceeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError

_FAST, _SLOW = 0.2, 0.8
_LEAST_APART = 1e-9


class StepCosts(NamedTuple):
    """Seconds for each ``step``, ``token``, ``byte`` that is read and ``operation``, as ``source`` measured them.

    Bytes and operations go on at once. The ``fast`` and the ``slow`` end of the band are factors.
    """

    source: str
    step: float = 0.0
    token: float = 0.0
    byte: float = 0.0
    operation: float = 0.0
    fast: float = 1.0
    slow: float = 1.0

    def seconds(self, tokens: int, read: int, operations: int, *, fast: bool) -> float:
        """How long a step of so many tokens, bytes and operations takes at one end of the band."""
        moved = max(self.byte * read, self.operation * operations)
        return (self.step + self.token * tokens + moved) * (self.fast if fast else self.slow)


class SeenSteps(NamedTuple):
    """So many ``steps`` that computed ``tokens`` in ``seconds``."""

    seconds: float
    steps: float
    tokens: float


def costs_of(seen: Sequence[SeenSteps], source: str) -> StepCosts:
    """The costs of a step and of a token that explain ``seen`` best (least squares; neither is below 0).

    Raises InputError, which names ``source``, where nothing was seen.
    """
    if not seen:
        raise InputError(f"--pace: {source}: has no stretch of time in which a busy server counted its steps")
    step, token = _two_costs(seen)
    if token < 0:
        step, token = sum(one.seconds for one in seen) / sum(one.steps for one in seen), 0.0
    elif step < 0:
        step, token = 0.0, sum(one.seconds for one in seen) / sum(one.tokens for one in seen)
    factors = [(one.seconds / (step * one.steps + token * one.tokens), one.seconds) for one in seen]
    fast, slow = (_below(factors, share) for share in (_FAST, _SLOW))
    return StepCosts(source, step=step, token=token, fast=fast, slow=slow)


def _two_costs(seen: Sequence[SeenSteps]) -> tuple[float, float]:
    """Of a step and of a token; where all had as many tokens in a step, these cost nothing of their own."""
    steps, both, tokens = (
        fsum(one.steps**2 for one in seen),
        fsum(one.steps * one.tokens for one in seen),
        fsum(one.tokens**2 for one in seen),
    )
    by_step, by_token = fsum(one.steps * one.seconds for one in seen), fsum(one.tokens * one.seconds for one in seen)
    apart = steps * tokens - both * both
    if apart <= _LEAST_APART * steps * tokens:
        return by_step / steps, 0.0
    return (by_step * tokens - by_token * both) / apart, (by_token * steps - by_step * both) / apart


def _below(factors: Sequence[tuple[float, float]], share: float) -> float:
    """The factor that a ``share`` of all weights does not exceed, of pairs of a factor and its weight."""
    wanted, reached = share * fsum(weight for _, weight in factors), 0.0
    for factor, weight in sorted(factors):
        reached += weight
        if reached >= wanted:
            return factor
    return max(factors)[0]
