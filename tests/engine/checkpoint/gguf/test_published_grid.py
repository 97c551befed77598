"""Published sizes of many file types of each of many models, against the recipes."""

from __future__ import annotations

import tomllib
from math import floor, log10
from typing import Any

import pytest

from kvtui.engine.checkpoint.gguf.files import file_size
from kvtui.engine.model.catalogue import find_model
from tests.paths import DATA

ALLOWED, MEAN = 0.01, 0.003
GRID: list[dict[str, Any]] = tomllib.loads((DATA / "gguf-sizes.toml").read_text("utf-8"))["repository"]


def rounding(published: float) -> float:
    """How far a size with three digits may be from the true one."""
    return 0.5 * 10.0 ** (floor(log10(published)) - 2)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["model"]) for row in GRID])
def test_files_of_a_model_have_their_published_sizes(row: dict[str, Any]) -> None:
    model = find_model(row["model"])
    sizes: dict[str, float] = row["GB"]
    off = {name: abs(file_size(model, name).bytes / 1e9 - size) for name, size in sizes.items()}
    assert len(off) >= 10
    assert [name for name in sizes if off[name] > ALLOWED * sizes[name] + rounding(sizes[name])] == []
    assert sum(off[name] / sizes[name] for name in sizes) / len(sizes) < MEAN


LLAMA_31_8B = {
    "IQ1_S": 2.0042,
    "IQ1_M": 2.1460,
    "IQ2_XXS": 2.3824,
    "IQ2_XS": 2.5882,
    "IQ2_S": 2.7403,
    "IQ2_M": 2.9294,
    "Q2_K_S": 2.9697,
    "Q2_K": 3.1593,
    "IQ3_XXS": 3.2548,
    "IQ3_XS": 3.4977,
    "Q3_K_S": 3.6429,
    "IQ3_S": 3.6606,
    "IQ3_M": 3.7628,
    "Q3_K_L": 4.2979,
    "Q4_K_S": 4.6672,
    "Q4_K_M": 4.8944,
    "Q5_K_S": 5.5704,
    "Q5_K_M": 5.7036,
    "Q6_K": 6.5633,
    "Q8_0": 8.5008,
    "gguf-f16": 16.0005,
}
"""Bits per weight in the table of llama.cpp's tools/quantize/README.md. Its IQ4_XS (4.4597) and IQ4_NL (4.6818) were
made without an importance matrix, which stores an eighth of the down-projections in Q5_K."""


@pytest.mark.parametrize("name", LLAMA_31_8B)
def test_bits_per_weight_are_those_of_the_quantisers_own_table(name: str) -> None:
    model = find_model("Llama-3.1-8B")
    assert model.parameters is not None
    assert 8 * file_size(model, name).tensors / model.parameters == pytest.approx(LLAMA_31_8B[name], abs=5.1e-5)
