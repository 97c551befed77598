"""The bank picture's arithmetic against exact fractions."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.picture.banks import FREE, bank_bytes, bank_counts, interleave, span_bytes

names = st.sampled_from(("weights", "kv", "state", "activation", "overhead", "reserved_unused"))
parts = st.dictionaries(names, st.integers(0, 2**60))
capacities = st.integers(1, 2**60)
some_banks = st.integers(1, 5000)


@given(parts, capacities, some_banks)
def test_counts_sum_to_the_banks_and_keep_quota(sizes: dict[str, int], capacity: int, banks: int) -> None:
    counts = bank_counts(sizes, capacity, banks)
    assert list(counts) == [*sizes, FREE]
    assert sum(counts.values()) == banks
    used = sum(sizes.values())
    span = max(capacity, used)
    exact = {name: Fraction(size * banks, span) for name, size in sizes.items()}
    exact[FREE] = Fraction((span - used) * banks, span)
    for name, count in counts.items():
        assert count >= 0
        assert abs(count - exact[name]) < 1


@given(parts, capacities, some_banks)
def test_the_largest_remainders_are_rounded_up(sizes: dict[str, int], capacity: int, banks: int) -> None:
    counts = bank_counts(sizes, capacity, banks)
    span = max(capacity, sum(sizes.values()))
    exact = {name: Fraction(size * banks, span) for name, size in sizes.items()}
    up = [share % 1 for name, share in exact.items() if counts[name] > share]
    down = [share % 1 for name, share in exact.items() if counts[name] < share]
    assert not up or not down or min(up) >= max(down)


@given(parts, capacities, some_banks)
def test_what_overflows_leaves_nothing_free(sizes: dict[str, int], capacity: int, banks: int) -> None:
    used = sum(sizes.values())
    assert span_bytes(sizes, capacity) == max(used, capacity)
    over = sizes | {"kv": sizes.get("kv", 0) + max(0, capacity - used)}
    assert bank_counts(over, capacity, banks)[FREE] == 0


@given(capacities, some_banks)
def test_banks_of_equal_bytes_make_up_the_capacity(capacity: int, banks: int) -> None:
    assert bank_bytes(capacity, banks) * banks == capacity


def test_a_known_picture() -> None:
    gib = 2**30
    counts = bank_counts({"weights": 15 * gib, "kv": 32 * gib, "state": gib // 4}, 80 * gib, 80)
    assert counts == {"weights": 15, "kv": 32, "state": 0, FREE: 33}


def test_ties_go_to_the_earlier_part() -> None:
    assert bank_counts({"a": 1, "b": 1}, 4, 2) == {"a": 1, "b": 0, FREE: 1}


@given(st.dictionaries(names, st.integers(0, 300), min_size=1), st.integers(1, 40))
def test_dealing_out_keeps_every_bank_and_evens_the_modules(counts: dict[str, int], modules: int) -> None:
    dealt = interleave(counts, modules)
    assert len(dealt) == modules
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert Counter(name for module in dealt for name in module) == Counter(counts)
    for name in counts:
        shares = [module.count(name) for module in dealt]
        assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize(
    ("sizes", "capacity", "banks", "named"),
    [
        ({"kv": -1}, 10, 10, "kv"),
        ({FREE: 1}, 10, 10, FREE),
        ({}, 0, 10, "capacity"),
        ({}, 10, 0, "banks"),
    ],
)
def test_wrong_input_is_named(sizes: dict[str, int], capacity: int, banks: int, named: str) -> None:
    with pytest.raises(InputError, match=named):
        bank_counts(sizes, capacity, banks)


def test_pictures_without_cells_are_refused() -> None:
    with pytest.raises(InputError, match="banks"):
        bank_bytes(10, 0)
    with pytest.raises(InputError, match="modules"):
        interleave({"kv": 3}, 0)
