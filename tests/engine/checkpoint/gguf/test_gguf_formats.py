"""GGUF file types as formats of every model: order of sizes, whole blocks, names, and what a device holds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.checkpoint.gguf.contents import contents
from kvtui.engine.checkpoint.gguf.files import file_size
from kvtui.engine.checkpoint.gguf.named import BANDS, file_type_in, file_type_key, file_type_names, named_format
from kvtui.engine.checkpoint.gguf.recipes import BASES, more_bits
from kvtui.engine.checkpoint.gguf.types import BLOCKS
from kvtui.engine.checkpoint.ranks import held_bytes
from kvtui.engine.checkpoint.weights import file_bytes, used_bytes
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.parameters import counted
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import weight_count
from tests.nightly import sampled

pytestmark = sampled(3)

MODELS = {model.name: model for model in all_models() if model.parameters is not None}
names = st.sampled_from(sorted(MODELS))

EVEN = (
    "Llama-3.1-8B",
    "Llama-3.3-70B",
    "Llama-3.2-1B",
    "Llama-4-Scout-17B-16E",
    "Qwen3-4B",
    "Qwen3-30B-A3B",
    "Qwen3-Next-80B-A3B",
    "Qwen3.5-27B",
    "Mixtral-8x7B-v0.1",
    "gemma-3-27b",
    "Phi-3.5-mini",
    "DeepSeek-V3",
    "Kimi-Linear-48B-A3B",
    "MiniMax-M1",
    "Nemotron-H-8B",
    "GLM-4.5",
)
"""Models of every kind whose rows are whole blocks of 256; others have types of 32 instead, out of order by size."""

HEAVIER = [
    ("gguf-f32", "gguf-f16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S"),
    ("Q4_K_S", "IQ4_XS", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M"),
    ("Q3_K_S", "Q2_K", "Q2_K_S"),
    ("IQ1_M", "IQ1_S"),
    ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"),
    ("Q6_K_L", "Q6_K"),
    ("Q5_K_L", "Q5_K_M"),
    ("Q4_K_L", "Q4_K_M"),
    ("Q3_K_XL", "Q3_K_L"),
    ("TQ2_0", "TQ1_0"),
    ("Q8_0", "MXFP4_MOE"),
]


@pytest.mark.parametrize("chain", HEAVIER, ids=" > ".join)
def test_a_heavier_file_type_is_never_lighter(chain: tuple[str, ...]) -> None:
    for model in map(find_model, EVEN):
        sizes = [file_bytes(model, named_format(name, model)) for name in chain]
        assert [name for name, (more, less) in zip(chain, pairwise(sizes), strict=False) if more < less] == [], (
            model.name
        )


@settings(max_examples=60)
@given(names, st.sampled_from(sorted(BASES)))
def test_every_tensor_is_whole_blocks_and_none_is_missing(name: str, file_type: str) -> None:
    model, elements = MODELS[name], 0
    for one, typed in contents(model, file_type):
        for held in typed:
            assert held.part.columns % BLOCKS[held.type].elements == 0
        parts = sum(held.part.number * held.part.rows * held.part.columns for held in typed)
        assert parts == one.tensor.parameters
        elements += parts if one.place.part != "mtp" else 0
    loose = weight_count(tensor for tensor in model.outside if tensor.role == "tower")
    every = model.parameters if model.parameters_from == "shape" else loose
    assert elements + loose == every


@settings(max_examples=60)
@given(names, st.sampled_from(sorted(BASES)))
def test_a_format_stores_what_the_recipe_says(name: str, file_type: str) -> None:
    model = MODELS[name]
    key = file_type_key(file_type) or file_type_key(f"gguf-{file_type}")
    assert key is not None
    found = named_format(key, model)
    for one, typed in contents(model, file_type):
        size = one.tensor.number * found.encoding(one.tensor, one.place).bytes(one.tensor.rows, one.tensor.columns)
        assert size == pytest.approx(sum(part.bytes for part in typed), abs=one.tensor.number)


def test_layers_that_get_more_bits() -> None:
    assert [index for index in range(32) if more_bits(index, 32)] == [0, 1, 2, 3, *range(6, 28, 3), 28, 29, 30, 31]
    assert [index for index in range(28) if more_bits(index, 28)] == [0, 1, 2, *range(5, 24, 3), 24, 25, 26, 27]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Q4_K_M", "q4_k_m"),
        ("q4-k-m", "q4_k_m"),
        (" Q4_K ", "q4_k_m"),
        ("Q5_K", "q5_k_m"),
        ("Q3_K", "q3_k_m"),
        ("IQ4_XS", "iq4_xs"),
        ("UD-Q4_K_XL", "ud-q4_k_xl"),
        ("ud_q4_k_xl", "ud-q4_k_xl"),
        ("GGUF-BF16", "gguf-bf16"),
        ("mxfp4_moe", "mxfp4_moe"),
        ("bf16", None),
        ("mxfp4", None),
        ("Q4", None),
    ],
)
def test_names_of_file_types(name: str, key: str | None) -> None:
    assert file_type_key(name) == key
    if key is not None:
        assert named_format(name, find_model(EVEN[0])).name == key
    else:
        with pytest.raises(UnknownName):
            named_format(name, find_model(EVEN[0]))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Q4_K - Medium", "q4_k_m"),
        ("Q2_K - Medium", "q2_k"),
        ("Q2_K - Small", "q2_k_s"),
        ("Q3_K - Large", "q3_k_l"),
        ("IQ4_XS - 4.25 bpw", "iq4_xs"),
        ("IQ3_S mix - 3.66 bpw", "iq3_m"),
        ("MXFP4 MoE", "mxfp4_moe"),
        ("Q6_K", "q6_k"),
        ("Llama-3.1-8B-Instruct-Q4_K_M.gguf", "q4_k_m"),
        ("Llama-3.1-8B-Instruct.Q4_K_S.gguf", "q4_k_s"),
        ("Qwen3-8B-UD-Q4_K_XL-00001-of-00002.gguf", "ud-q4_k_xl"),
        ("google_gemma-3-27b-it-Q6_K_L.gguf", "q6_k_l"),
        ("BF16", None),
        ("gpt-oss-20b-mxfp4.gguf", None),
        ("Qwen3-8B-AWQ", None),
    ],
)
def test_the_file_type_that_a_name_or_a_loader_tells(text: str, key: str | None) -> None:
    assert file_type_in(text) == key


def test_every_name_is_its_own_key_and_a_format_of_every_model() -> None:
    for name in file_type_names():
        assert file_type_key(name) == name
        for model in map(find_model, (*EVEN[:2], "gemma-3n-E4B", "Ling-3.0-Flash")):
            assert named_format(name, model).meaning


def test_a_vision_tower_is_no_part_of_the_file() -> None:
    model = find_model("gemma-3-27b")
    bare = counted(model._replace(outside=tuple(t for t in model.outside if t.role != "tower")))
    assert bare.parameters != model.parameters
    assert file_size(model, "Q4_K_M") == file_size(bare, "Q4_K_M")
    form = named_format("Q4_K_M", model)
    assert held_bytes(model, form) == held_bytes(model, form, towers=False)


def test_prediction_layers_are_in_the_files_of_glm_alone_and_loaded_where_they_draft() -> None:
    for name, inside in (("GLM-4.5-Air", True), ("Qwen3-Next-80B-A3B", False), ("DeepSeek-V3", False)):
        model = find_model(name)
        form = named_format("Q4_K_M", model)
        assert file_size(model, "Q4_K_M").tensors == used_bytes(model, form, mtp=inside)
        assert used_bytes(model, form, mtp=True) > used_bytes(model, form)


@pytest.mark.parametrize("model", [MODELS["Llama-3.1-8B"], MODELS["Qwen3.5-35B-A3B"]], ids=lambda model: model.name)
@pytest.mark.parametrize("name", BANDS)
def test_a_dynamic_type_is_planned_at_its_upper_bound(name: str, model: ModelSpec) -> None:
    band, found = BANDS[name], file_size(model, name)
    plain = file_size(model, band.file_type)
    assert found.tensors == pytest.approx(plain.tensors * (100 + band.high) / 100, rel=1e-5)
    assert found.least - found.metadata == pytest.approx(plain.tensors * (100 + band.low) / 100, rel=1e-5)
    assert plain.least == plain.bytes


def test_metadata_grow_with_the_vocabulary_up_to_a_limit() -> None:
    assert file_size(find_model("Llama-2-7B"), "Q4_K_M").metadata == 1_600_000
    assert 6_000_000 < file_size(find_model("Llama-3.1-8B"), "Q4_K_M").metadata < 8_000_000
    assert file_size(find_model("gemma-3-27b"), "Q4_K_M").metadata == 8_000_000
