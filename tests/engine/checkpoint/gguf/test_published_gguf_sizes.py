"""Sizes of published GGUF files: what loaders print, and what model pages say, against the recipes.

Loaders print the data of the tensors, in GiB or MiB; pages say the size of the file, in GB.
"""

from __future__ import annotations

from typing import Literal

import pytest

from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.checkpoint.gguf.files import file_size
from kvtui.engine.model.catalogue import find_model

Unit = Literal["GiB", "MiB", "GB"]

UNITS = {"GiB": GIB, "MiB": MIB, "GB": 10**9}
ALLOWED = 0.0045
APART = {
    ("gemma-3-27b", "Q6_K"): "its published size is that of Q6_K_L, with embedding and output in Q8_0",
    ("Qwen3.5-35B-A3B", "Q4_K_M"): "Unsloth chooses some types itself under plain names too",
    ("Qwen3.5-27B", "Q4_K_M"): "Unsloth chooses some types itself under plain names too",
}
"""Files that are further off, and why."""

PUBLISHED: list[tuple[str, Unit, dict[str, float]]] = [
    ("Llama-3.1-8B", "GiB", {"Q4_K_M": 4.58, "Q4_K_S": 4.38, "Q4_0": 4.33, "IQ3_XXS": 3.04, "gguf-bf16": 14.96}),
    ("Llama-3.2-3B", "GiB", {"Q4_K_M": 1.87}),
    ("Qwen2.5-7B", "GiB", {"Q4_K_M": 4.36}),
    ("Qwen2.5-0.5B", "MiB", {"Q4_K_M": 373.71, "Q4_0": 330.17}),
    (
        "Qwen3-4B",
        "GB",
        {
            "Q8_0": 4.28,
            "Q6_K": 3.31,
            "Q5_K_M": 2.89,
            "Q5_K_S": 2.82,
            "Q4_1": 2.60,
            "Q4_K_M": 2.50,
            "Q4_K_S": 2.38,
            "Q4_0": 2.38,
        },
    ),
    ("Qwen3-8B", "GiB", {"Q4_K_M": 4.68, "Q5_K_M": 5.44, "Q8_0": 8.11}),
    ("gemma-3-12b", "GiB", {"Q4_K_M": 6.79, "Q8_0": 11.64}),
    ("gemma-3-27b", "GiB", {"Q4_K_M": 15.40, "Q4_0": 14.49, "gguf-f16": 50.31, "Q6_K": 20.96, "Q6_K_L": 20.96}),
    ("Mistral-Small-24B", "GiB", {"Q4_K_M": 13.34, "Q6_K": 18.01, "Q8_0": 23.33}),
    ("DeepSeek-V2-Lite", "GiB", {"Q4_K_M": 9.65, "Q4_0": 8.29}),
    ("Qwen3-30B-A3B", "GiB", {"Q4_K_M": 17.28, "Q2_K": 10.48, "Q4_K_S": 16.25}),
    ("Qwen3-30B-A3B", "GB", {"Q6_K": 25.10, "Q5_K_M": 21.74}),
    ("Qwen2.5-32B", "GiB", {"Q4_K_M": 18.48, "Q8_0": 32.42}),
    ("Qwen2.5-32B", "GB", {"IQ3_M": 14.8, "IQ3_XS": 13.7}),
    ("Qwen2.5-72B", "GB", {"Q4_K_M": 47.41}),
    ("Qwen3-32B", "GiB", {"Q6_K": 25.03, "Q2_K": 11.49, "Q4_K_S": 17.48}),
    ("Mixtral-8x7B-v0.1", "GiB", {"Q4_K_M": 26.49}),
    (
        "Llama-3.3-70B",
        "GB",
        {
            "Q8_0": 74.98,
            "Q6_K": 57.89,
            "Q5_K_L": 50.60,
            "Q5_K_M": 49.95,
            "Q5_K_S": 48.66,
            "Q4_K_M": 42.52,
            "Q4_K_S": 40.35,
            "Q4_0": 40.12,
            "IQ4_XS": 37.90,
            "Q3_K_XL": 38.06,
            "Q3_K_L": 37.14,
            "Q3_K_M": 34.27,
            "IQ3_M": 31.94,
            "Q3_K_S": 30.91,
        },
    ),
    ("Llama-3.3-70B", "GiB", {"Q4_0": 37.22, "IQ1_S": 14.28}),
    ("gpt-oss-20b", "GiB", {"MXFP4_MOE": 11.27}),
    ("gpt-oss-120b", "GiB", {"MXFP4_MOE": 59.02}),
    ("Qwen3-Next-80B-A3B", "GiB", {"Q4_K_M": 45.08, "Q2_K": 27.16, "IQ2_M": 24.26}),
    ("Qwen3-235B-A22B", "GiB", {"Q2_K": 79.80}),
    ("DeepSeek-V3", "GiB", {"Q4_K_M": 376.65, "Q5_K_M": 442.74}),
    ("Qwen3.5-35B-A3B", "GiB", {"Q4_K_M": 19.91}),
    ("Qwen3.5-27B", "GiB", {"Q4_K_M": 15.58}),
    ("gemma-3-27b", "GB", {"Q4_0_QAT": 17.2}),
    ("gemma-3-12b", "GB", {"Q4_0_QAT": 8.07}),
    ("gemma-3-4b", "GB", {"Q4_0_QAT": 3.16}),
    ("Qwen3.5-0.8B", "GB", {"Q8_0": 0.812}),
    ("Qwen3.5-9B", "GB", {"Q8_0": 9.5}),
    ("Qwen3.5-27B", "GB", {"Q8_0": 28.6}),
    ("Qwen3.5-35B-A3B", "GB", {"Q8_0": 36.9}),
    ("Qwen3.5-122B-A10B", "GB", {"Q8_0": 129.9}),
    ("Qwen3.5-397B-A17B", "GB", {"Q8_0": 421.5}),
]
FILES = [(model, name, size, unit) for model, unit, sizes in PUBLISHED for name, size in sizes.items()]


def apart(model: str, name: str, size: float, unit: Unit) -> float:
    """How much larger the file of the recipe is than the published one, as a share."""
    found = file_size(find_model(model), name)
    return (found.bytes if unit == "GB" else found.tensors) / (size * UNITS[unit]) - 1


@pytest.mark.parametrize(
    ("model", "name", "size", "unit"),
    [pytest.param(*row, id=f"{row[0]} {row[1]} {row[3]}") for row in FILES if row[:2] not in APART],
)
def test_a_file_has_its_published_size(model: str, name: str, size: float, unit: Unit) -> None:
    assert abs(apart(model, name, size, unit)) < ALLOWED


@pytest.mark.parametrize(
    ("model", "name", "size", "unit"),
    [pytest.param(*row, id=f"{row[0]} {row[1]}") for row in FILES if row[:2] in APART],
)
def test_the_explained_ones_are_no_further_off(model: str, name: str, size: float, unit: Unit) -> None:
    assert ALLOWED < abs(apart(model, name, size, unit)) < 0.016


def test_published_sizes_cover_many_models_and_file_types() -> None:
    assert len({model for model, *_ in FILES}) >= 20
    assert len({name for _, name, *_ in FILES}) >= 20
    mean = sum(abs(apart(*row)) for row in FILES if row[:2] not in APART) / len(FILES)
    assert mean < 0.001


DYNAMIC: list[tuple[str, str, float, Unit]] = [
    ("Qwen3.5-0.8B", "UD-Q8_K_XL", 1.09, "GiB"),
    ("Qwen3.6-27B", "UD-Q8_K_XL", 35.3, "GB"),
    ("Qwen3-Coder-Next", "UD-Q8_K_XL", 86.3, "GB"),
    ("Qwen3.5-0.8B", "UD-Q4_K_XL", 522.43, "MiB"),
    ("Qwen3.5-122B-A10B", "UD-Q4_K_XL", 68.4, "GB"),
    ("Qwen3.5-9B", "UD-Q4_K_XL", 6.0, "GB"),
    ("Qwen3.5-397B-A17B", "UD-Q4_K_XL", 219.2, "GB"),
    ("Qwen3-30B-A3B", "UD-Q6_K_XL", 24.53, "GiB"),
    ("Qwen3.6-27B", "UD-Q6_K_XL", 25, "GB"),
    ("Qwen3.6-27B", "UD-Q6_K_XL", 23.90, "GiB"),
    ("Qwen3.6-35B-A3B", "UD-Q6_K_XL", 29.65, "GiB"),
    ("Qwen3.5-35B-A3B", "UD-Q5_K_XL", 24.76, "GiB"),
    ("gemma-3-1b", "UD-Q4_K_XL", 0.806, "GB"),
    ("Qwen3.5-35B-A3B", "UD-Q4_K_XL", 20.60, "GiB"),
    ("Qwen3.6-27B", "UD-Q4_K_XL", 17.6, "GB"),
    ("Qwen3.6-27B", "UD-Q3_K_XL", 14.5, "GB"),
    ("Qwen3-235B-A22B", "UD-Q3_K_XL", 96.59, "GiB"),
    ("Qwen3.5-35B-A3B", "UD-Q2_K_XL", 11.76, "GiB"),
    ("Qwen3-235B-A22B", "UD-Q2_K_XL", 81.96, "GiB"),
    ("DeepSeek-R1", "UD-Q2_K_XL", 211.03, "GiB"),
    ("DeepSeek-R1", "UD-IQ1_S", 157.31, "GiB"),
]


@pytest.mark.parametrize(("model", "name", "size", "unit"), DYNAMIC)
def test_a_dynamic_file_lies_within_its_bounds(model: str, name: str, size: float, unit: Unit) -> None:
    """To half a per cent, since the published sizes are rounded; they are those from which the bounds were taken."""
    found = file_size(find_model(model), name)
    metadata = found.metadata if unit == "GB" else 0
    published = size * UNITS[unit]
    assert 0.995 * (found.least - found.metadata + metadata) <= published <= 1.005 * (found.tensors + metadata)
