"""What stays with a parameter in PyTorch's allocator, against the allocator's own rule and servers' logs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.units import MIB
from kvtui.engine.checkpoint.allocator import allocator_bytes, kept_with
from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.checkpoint.ranks import SLICED
from kvtui.engine.model.catalogue import find_model


@pytest.mark.parametrize(
    ("size", "kept"),
    [(9.5, 0), (10, 0), (31.5, 0.5), (259, 1), (129.5, 0.5), (24.5, 0), (64.75, 0), (253.125, 0.875)],
)
def test_at_most_a_mebibyte_stays_with_a_parameter_of_its_own_block(size: float, kept: float) -> None:
    assert kept_with(int(size * MIB)) == kept * MIB


@given(st.integers(0, 2**34))
def test_a_block_is_whole_or_split(size: int) -> None:
    kept = kept_with(size)
    assert 0 <= kept <= MIB
    assert kept == 0 or (size + kept) % (2 * MIB) == 0


@pytest.mark.parametrize(("tp", "kept"), [(1, 28 * 2), (2, 28 * 0.75), (4, 0)])
def test_joined_projections_are_one_parameter(tp: int, kept: float) -> None:
    """Qwen2.5-7B was logged with 56, 21 and no MiB more than its tensors on 1, 2 and 4 ranks."""
    model = find_model("Qwen2.5-7B")
    found = allocator_bytes(model, checkpoint_format("bf16", model), tp, SLICED, range(1, len(model.layers) - 1))
    assert found / MIB == pytest.approx(kept * 26 / 28)
