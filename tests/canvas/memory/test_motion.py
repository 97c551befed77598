"""The die's numbers that look random: the published generator, for every row and step."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvtui.canvas.memory.motion import SPLIT_MIX, _chances

WORD = 2**64


def split_mix(seed: int, count: int) -> list[int]:
    """The first outputs of SplitMix64, in Python's integers."""
    found = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % WORD
        z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 % WORD
        z = (z ^ z >> 27) * 0x94D049BB133111EB % WORD
        found.append(z ^ z >> 31)
    return found


def test_the_oracle_gives_the_published_numbers() -> None:
    assert split_mix(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(0, 200), st.integers(0, 400), st.integers(0, 10**7))
def test_chances_are_those_of_the_generator(count: int, y: int, step: int) -> None:
    start = (step * 2**40 + y * 2**20) * SPLIT_MIX % WORD
    expected = [value / WORD for value in split_mix(start, count)]
    np.testing.assert_allclose(_chances(count, y, step), expected, rtol=1e-15)


def test_rows_and_steps_differ_and_are_even() -> None:
    found = np.concatenate([_chances(40, y, step) for y in range(50) for step in range(20)])
    assert len(np.unique(found)) == len(found)
    assert found.min() >= 0
    assert found.max() < 1
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    assert np.abs(counts - len(found) / 20).max() < 5 * (len(found) / 20) ** 0.5
