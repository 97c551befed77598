"""Votes: both radii by brute force, entropy and margin against numpy."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cases.jury import entropy_nats, margin, stability_radius, validity_radius

TOKENS = range(4)
ballots = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=5)


def winner(votes: tuple[int, ...]) -> int | None:
    """The token with more votes than any other, if there is one."""
    (first, most), *others = Counter(votes).most_common()
    return None if others and others[0][1] == most else first


def changes(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


@given(ballots)
def test_the_stability_radius_by_brute_force(votes: list[int]) -> None:
    leaders = {token for token in TOKENS if votes.count(token) == max(Counter(votes).values())}
    others = [
        changes(tuple(votes), other)
        for other in product(TOKENS, repeat=len(votes))
        if winner(other) is not None and winner(other) not in leaders
    ]
    if len(leaders) == 1:
        assert stability_radius(votes) == min(others) - 1
    else:
        assert stability_radius(votes) == 0


@given(ballots, st.sampled_from(TOKENS))
def test_the_validity_radius_by_brute_force(votes: list[int], token: int) -> None:
    wins = [other for other in product(TOKENS, repeat=len(votes)) if winner(other) == token]
    assert validity_radius(votes, token) == min(changes(tuple(votes), other) for other in wins)


def test_nobody_voted() -> None:
    assert stability_radius([]) == 0
    assert validity_radius([], 1) is None


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
def test_entropy_and_margin(weights: list[float]) -> None:
    shares = np.array(weights) / sum(weights)
    logs = np.log(shares).tolist()
    assert entropy_nats(logs) == pytest.approx(float(-(shares * np.log(shares)).sum()))
    ordered = np.sort(shares)
    assert margin(logs) == pytest.approx(ordered[-1] - ordered[-2])
    assert entropy_nats([0.0, -math.inf]) == 0
