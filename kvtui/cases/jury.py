"""What can be said of a vote: how sure a target is, and how many verifiers would have to change their minds.

A verifier votes for the token that is likeliest to it. A token wins that has more votes than any other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def entropy_nats(log_probabilities: Sequence[float]) -> float:
    """Shannon entropy of a distribution given by logarithms."""
    return -sum(math.exp(one) * one for one in log_probabilities if one > -math.inf) + 0.0


def margin(log_probabilities: Sequence[float]) -> float:
    """The likeliest token's probability less the next one's. Raises ValueError without two tokens."""
    first, second = sorted(map(math.exp, log_probabilities), reverse=True)[:2]
    return first - second


def stability_radius(votes: Sequence[int]) -> int:
    """How many votes may change, whichever and for whatever, before another token wins than the one that leads."""
    counts = [count for _, count in Counter(votes).most_common()]
    return (counts[0] - (counts[1] if len(counts) > 1 else 0)) // 2 if counts else 0


def validity_radius(votes: Sequence[int], token: int) -> int | None:
    """How many votes must change, at the best, for ``token`` to win; None if there are no votes at all."""
    if not votes:
        return None
    counts = Counter(votes)
    own = counts.pop(token, 0)
    changed = 0
    while counts and max(counts.values()) >= own:
        leader = max(counts, key=lambda one: counts[one])
        counts[leader] -= 1
        own += 1
        changed += 1
    return changed
