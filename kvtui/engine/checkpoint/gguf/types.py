"""GGML's tensor types: how many elements a block has, and how many bytes.

Blocks lie along a row, so that its length must be whole blocks of a type; where it is not, llama.cpp's quantiser takes
another (``tensor_type_fallback`` in llama-quant.cpp). Example: a row of 2,880 elements is no whole number of blocks of
256, so Q4_K becomes Q5_0, whose blocks have 32.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from kvtui.engine.checkpoint.encoding import Encoding


class TypeBlock(NamedTuple):
    """``bytes`` hold ``elements``."""

    elements: int
    bytes: int


BLOCKS = {
    "F32": TypeBlock(1, 4),
    "F16": TypeBlock(1, 2),
    "BF16": TypeBlock(1, 2),
    "Q8_0": TypeBlock(32, 34),
    "Q5_1": TypeBlock(32, 24),
    "Q5_0": TypeBlock(32, 22),
    "Q4_1": TypeBlock(32, 20),
    "Q4_0": TypeBlock(32, 18),
    "IQ4_NL": TypeBlock(32, 18),
    "MXFP4": TypeBlock(32, 17),
    "Q6_K": TypeBlock(256, 210),
    "Q5_K": TypeBlock(256, 176),
    "Q4_K": TypeBlock(256, 144),
    "Q3_K": TypeBlock(256, 110),
    "Q2_K": TypeBlock(256, 84),
    "IQ4_XS": TypeBlock(256, 136),
    "IQ3_S": TypeBlock(256, 110),
    "IQ3_XXS": TypeBlock(256, 98),
    "IQ2_S": TypeBlock(256, 82),
    "IQ2_XS": TypeBlock(256, 74),
    "IQ2_XXS": TypeBlock(256, 66),
    "IQ1_M": TypeBlock(256, 56),
    "IQ1_S": TypeBlock(256, 50),
    "TQ2_0": TypeBlock(256, 66),
    "TQ1_0": TypeBlock(256, 54),
}
UNQUANTISED = frozenset({"F32", "F16", "BF16"})

_SHORTER = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"),
    **dict.fromkeys(("Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


def fitting(kind: str, columns: int) -> str:
    """The type ``kind``, or what takes its place where rows of ``columns`` elements are not whole blocks of it."""
    if columns % BLOCKS[kind].elements == 0:
        return kind
    other = _SHORTER.get(kind)
    return other if other is not None and columns % BLOCKS[other].elements == 0 else "F16"


def encoding(kind: str) -> Encoding:
    """How a tensor of type ``kind`` is stored."""
    block = BLOCKS[kind]
    return Encoding(Fraction(8 * block.bytes, block.elements), (1, block.elements))
