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


def most_spared(spare: Callable[[int], int], bound: int, guess: int = 1) -> int | None:
    """The largest n from 0 to ``bound`` at which the falling ``spare`` is not below 0; None if it is not at ``bound``.

    Where ``spare`` falls nearly in a straight line, a few points tell where it ends. Example: 1,000 bytes less 3 for
    each token: of the points 1 and 2 the line ends at 333, and 334 is below 0.
    """
    low, high = 0, min(guess, bound)
    left: int | None = None
    lacking, doubled = spare(high), True
    while lacking >= 0:
        if high == bound:
            return None
        fallen = 0 if left is None else left - lacking
        doubled = not doubled or fallen <= 0
        ahead = 2 * high if doubled else high + lacking * (high - low) // fallen + 1
        low, high, left = high, min(ahead, bound), lacking
        lacking = spare(high)
    if left is None and high > 1:
        low, left = 1, spare(1)
        if left < 0:
            return 0
    halve = left is None
    while high - low > 1:
        at = (low + high) // 2
        if not halve and left is not None:
            at = min(max(low + left * (high - low) // (left - lacking), low + 1), high - 1)
        found, width = spare(at), high - low
        if found >= 0:
            low, left = at, found
        else:
            high, lacking = at, found
        halve = not halve and 2 * (high - low) > width
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
