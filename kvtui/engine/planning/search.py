"""The other direction: the largest value for which something still holds, and what stops it."""

from __future__ import annotations

from collections.abc import Callable

from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.scenario.scenario import Scenario


def most(holds: Callable[[int], bool], bound: int, guess: int = 1) -> int | None:
    """The largest n from 0 to ``bound`` for which the falling predicate ``holds``; None if it holds at ``bound``.

    The search begins at ``guess`` and doubles while it holds.
    """
    low, high = 0, min(guess, bound)
    while holds(high):
        if high == bound:
            return None
        low, high = high, min(2 * high, bound)
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def longest(holds: Callable[[int], bool], guess: int) -> int | None:
    """The longest context for which the falling predicate ``holds``: 0 if none does, None if no length is too long."""
    return most(lambda tokens: tokens == 0 or holds(tokens), MAX_TOKENS, guess)


def context_limit(scenario: Scenario, found: int | None, otherwise: str) -> str:
    """What stops the context ``found`` from growing, in words: the model's training, or ``otherwise``."""
    trained = scenario.model.max_context
    if trained is not None and (found is None or found > trained):
        return "model's maximum context"
    return "none" if found is None else otherwise
