"""GGML's tensor types: the sizes that the gguf package states, and what takes a type's place in odd rows."""

from __future__ import annotations

import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.checkpoint.gguf.types import BLOCKS, encoding, fitting

kinds = st.sampled_from(sorted(BLOCKS))


def test_blocks_are_those_of_the_gguf_package() -> None:
    assert {kind: tuple(block) for kind, block in BLOCKS.items()} == {
        kind: GGML_QUANT_SIZES[GGMLQuantizationType[kind]] for kind in BLOCKS
    }


@given(kinds, st.integers(1, 40_000))
def test_rows_are_whole_blocks_of_the_type_that_takes_them(kind: str, columns: int) -> None:
    assert columns % BLOCKS[fitting(kind, columns)].elements == 0
    if columns % BLOCKS[kind].elements == 0:
        assert fitting(kind, columns) == kind


@given(kinds, st.integers(1, 40_000))
def test_what_takes_the_place_of_a_type_is_never_lighter(kind: str, columns: int) -> None:
    assert encoding(fitting(kind, columns)).bits >= encoding(kind).bits


@pytest.mark.parametrize(
    ("kind", "columns", "taken"),
    [
        ("Q4_K", 2880, "Q5_0"),
        ("Q6_K", 2880, "Q8_0"),
        ("Q3_K", 896, "Q4_0"),
        ("IQ3_XXS", 896, "IQ4_NL"),
        ("Q5_K", 29568, "Q5_1"),
        ("Q4_K", 4096, "Q4_K"),
        ("Q4_K", 1000, "F16"),
        ("MXFP4", 1000, "F16"),
        ("BF16", 1000, "BF16"),
    ],
)
def test_what_takes_the_place_of_a_type(kind: str, columns: int, taken: str) -> None:
    assert fitting(kind, columns) == taken


@given(kinds, st.integers(1, 60), st.integers(1, 60))
def test_an_encoding_is_whole_blocks(kind: str, rows: int, blocks: int) -> None:
    block = BLOCKS[kind]
    assert encoding(kind).bytes(rows, blocks * block.elements) == rows * blocks * block.bytes
