"""Formats by name: what one matrix takes, what stays in 16 bits, and which name stands for what."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.checkpoint.hf import recipes
from kvtui.engine.checkpoint.hf.named import format_names, named_format
from kvtui.engine.checkpoint.weights import file_bytes, stored
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.spec import ModelSpec
from tests.nightly import sampled
from tests.present import present

pytestmark = sampled(3)

MODELS = [model for model in all_models() if model.parameters is not None]
LLAMA = find_model("Llama-3.1-8B")
QWEN_MOE = find_model("Qwen3-30B-A3B")

# Bits per weight of a wide matrix, as the methods' files have it.
BITS = [
    (recipes.plain(), 16),
    (recipes.plain(32), 32),
    (recipes.awq(), 4.15625),
    (recipes.awq(group=64), 4.3125),
    (recipes.awq(group=32), 4.625),
    (recipes.gptq(), 4.15625 + 32 / 8192),
    (recipes.gptq(8), 8.1875 + 32 / 8192),
    (recipes.packed(), 4.125),
    (recipes.packed(group=32), 4.5),
    (recipes.packed(symmetric=False), 4.15625),
    (recipes.per_channel(), 8 + 16 / 8192),
    (recipes.per_tensor(), 8),
    (recipes.blocks(), 8 + 32 / 16384),
    (recipes.blocks(scale_bits=16), 8 + 16 / 16384),
    (recipes.nvfp4(), 4.5),
    (recipes.mxfp4(), 4.25),
    (recipes.nf4(double=False), 4.5),
    (recipes.nf4(), 4 + 8 / 64 + 32 / 16384),
    (recipes.affine(4, 64), 4.5),
    (recipes.affine(3, 64), 3.5),
    (recipes.affine(8, 32), 9),
    (recipes.affine(4, 128), 4.25),
    (recipes.scaled(8, 32), 8.25),
    (recipes.exl2(Fraction("4.25")), 4.25),
    (recipes.exl3(Fraction(3)), 3 + 32 / 8192),
]


@pytest.mark.parametrize(("encoding", "bits"), BITS)
def test_a_wide_matrix_has_the_bits_of_its_method(encoding: Encoding, bits: float) -> None:
    assert 8 * encoding.bytes(8192, 8192) / 8192**2 == pytest.approx(bits, abs=2e-4)


encodings = st.sampled_from([encoding for encoding, _ in BITS])
sizes = st.integers(1, 5000)


@given(encodings, sizes, sizes, st.integers(0, 300))
def test_a_larger_matrix_is_never_lighter(encoding: Encoding, rows: int, columns: int, more: int) -> None:
    size = encoding.bytes(rows, columns)
    assert encoding.bytes(rows + more, columns) >= size
    assert encoding.bytes(rows, columns + more) >= size
    assert size >= rows * columns * encoding.bits // 8


@given(st.integers(1, 8), st.sampled_from([32, 64, 128]), sizes, sizes)
def test_more_bits_and_smaller_groups_are_never_lighter(bits: int, group: int, rows: int, columns: int) -> None:
    for recipe in (recipes.awq, recipes.gptq, recipes.packed, recipes.affine):
        size = recipe(bits, group).bytes(rows, columns)
        assert recipe(bits + 1, group).bytes(rows, columns) >= size
        assert recipe(bits, group // 2).bytes(rows, columns) >= size
        assert recipe(bits, group).held.bytes(rows, columns) <= size


HEAVIER = [
    ("fp32", "bf16"),
    ("bf16", "gptq-int8"),
    ("gptq-int8", "w8a8"),
    ("gptq-int8", "gptq"),
    ("gptq-g32", "gptq-g64"),
    ("gptq", "awq"),
    ("awq-g32", "awq-g64"),
    ("awq-g64", "awq"),
    ("awq", "w4a16"),
    ("w8a16", "w4a16"),
    ("nf4-single", "nf4"),
    ("w4a16", "exl3-3.0bpw"),
    ("exl3-6.0bpw", "exl3-4.0bpw"),
    ("mlx-8bit", "mlx-6bit"),
    ("mlx-6bit", "mlx-5bit"),
    ("mlx-5bit", "mlx-4bit"),
    ("mlx-4bit-g32", "mlx-4bit"),
    ("mlx-4bit", "mlx-3bit"),
    ("mlx-3bit", "mlx-2bit"),
    ("fp8-block", "fp8-tensor"),
]


@pytest.mark.parametrize(("heavy", "light"), HEAVIER)
def test_a_heavier_format_is_never_lighter(heavy: str, light: str) -> None:
    for model in MODELS:
        more, less = (file_bytes(model, named_format(name, model)) for name in (heavy, light))
        assert more >= less, model.name


@pytest.mark.parametrize("name", format_names())
def test_the_parts_are_the_whole(name: str) -> None:
    for model in MODELS:
        parts = stored(model, named_format(name, model))
        weights = sum(one.copies * one.tensor.parameters for one in parts if one.part != "mtp")
        assert weights == model.parameters
        assert sum(one.bytes for one in parts) == file_bytes(model, named_format(name, model))


@pytest.mark.parametrize("name", [name for name in format_names() if name not in ("fp32", "bf16", "fp16")])
def test_a_quantised_checkpoint_lies_between_its_bits_and_16(name: str) -> None:
    for model in (LLAMA, QWEN_MOE, find_model("DeepSeek-V3"), find_model("Qwen3-Next-80B-A3B")):
        size = file_bytes(model, named_format(name, model))
        parameters = present(model.parameters)
    assert parameters // 2 < size < 2 * parameters


@pytest.mark.parametrize("name", format_names())
def test_every_format_says_what_it_means(name: str) -> None:
    form = named_format(name.upper(), QWEN_MOE)
    assert form.name == name
    assert form.meaning.isprintable()
    assert len(form.meaning.split()) > 4


def kept(model: ModelSpec, name: str) -> set[str]:
    """Roles that ``name`` leaves in 16 bits."""
    parts = stored(model, named_format(name, model))
    return {one.tensor.role for one in parts if one.encoding == recipes.plain() and one.part != "mtp"}


@pytest.mark.parametrize("name", ["awq", "gptq", "w4a16", "w8a8", "fp8", "nvfp4", "nf4", "hqq-4bit", "int4wo"])
def test_embeddings_head_norms_and_routers_stay_in_16_bits(name: str) -> None:
    assert kept(QWEN_MOE, name) == {"embedding", "head", "norm", "router"}


def test_mlx_quantises_embeddings_and_head_and_keeps_norms_and_towers() -> None:
    assert kept(QWEN_MOE, "mlx-4bit") == {"norm"}
    assert {"norm", "conv", "tower", "vector"} == kept(find_model("Qwen3.5-9B"), "mlx-4bit")
    parts = stored(QWEN_MOE, named_format("mlx-4bit", QWEN_MOE))
    assert {one.encoding for one in parts if one.tensor.role == "router"} == {recipes.affine(8, 64)}


def test_only_experts_are_mxfp4_where_there_are_experts() -> None:
    parts = stored(find_model("gpt-oss-20b"), named_format("mxfp4", find_model("gpt-oss-20b")))
    assert {one.tensor.role for one in parts if one.encoding == recipes.mxfp4()} == {
        "expert_gate",
        "expert_up",
        "expert_down",
    }
    assert "q" not in kept(LLAMA, "mxfp4")


def test_rows_that_are_no_whole_groups_stay_in_16_bits_in_mlx() -> None:
    odd = find_model("gpt-oss-20b")
    parts = stored(odd, named_format("mlx-4bit-g128", odd))
    assert {one.encoding for one in parts if one.tensor.role == "q"} == {recipes.plain()}
    assert {one.encoding for one in parts if one.tensor.role == "o"} == {recipes.affine(4, 128)}


@pytest.mark.parametrize(
    ("model", "encoding", "said"),
    [
        ("Qwen3-235B-A22B", recipes.blocks(scale_bits=16), "as Qwen publishes it"),
        ("Qwen3.6-27B", recipes.blocks(scale_bits=16), "as Qwen publishes it"),
        ("DeepSeek-R1", recipes.blocks(), "as the model's publisher has it, blocks of 128"),
        ("Kimi-K2", recipes.blocks(), "as the model's publisher has it, blocks of 128"),
        ("Ministral-3-14B", recipes.per_tensor(), "one scale per matrix"),
        ("Llama-3.1-70B", recipes.per_channel(), "as RedHat's FP8-dynamic files have it"),
        ("Qwen2.5-7B", recipes.per_channel(), "as RedHat's FP8-dynamic files have it"),
        ("gemma-3-27b", recipes.per_channel(), "as RedHat's FP8-dynamic files have it"),
    ],
)
def test_fp8_is_the_usual_fp8_checkpoint_of_the_model(model: str, encoding: Encoding, said: str) -> None:
    spec = find_model(model)
    form = named_format("fp8", spec)
    assert said in form.meaning
    assert encoding in {one.encoding for one in stored(spec, form)}


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("GPTQ-Int4", "gptq"),
        ("FP8-dynamic", "fp8-channel"),
        ("bnb_4bit", "nf4"),
        ("bfloat16", "bf16"),
        ("mlx", "mlx-4bit"),
        ("hqq", "hqq-4bit"),
    ],
)
def test_other_names_of_the_same_format(alias: str, name: str) -> None:
    assert file_bytes(LLAMA, named_format(alias, LLAMA)) == file_bytes(LLAMA, named_format(name, LLAMA))


def test_producers_that_quantise_less() -> None:
    """NVIDIA's file of gemma-4-31B has feed-forward layers in NVFP4 alone, and 32.7 GB."""
    model = find_model("gemma-4-31B")
    sizes = [file_bytes(model, named_format(name, model)) for name in ("nvfp4", "nvfp4-mlp", "bf16")]
    assert sizes == sorted(sizes)
    assert sizes[1] / 1e9 == pytest.approx(32.7, rel=0.005)
    hybrid = find_model("Qwen3-Next-80B-A3B")
    names = ("w4a16", "w4a16-linear16", "w4a16-mlp", "w4a16-experts", "w4a16-g32-experts")
    parts = [file_bytes(hybrid, named_format(name, hybrid)) for name in names]
    assert parts == sorted(parts)
    assert "only routed experts" in named_format("w4a16-g32-experts", hybrid).meaning


@pytest.mark.parametrize(
    "name",
    [
        "",
        "awk",
        "-mlp",
        "mlp",
        "awk-experts",
        "fp8-g32",
        "bf16-g128",
        "exl2-4bpw-g32",
        "exl4-4bpw",
        "mlx-7bit",
        "awq-g0",
    ],
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownName):
        named_format(name, LLAMA)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(UnknownName, match="did you mean nvfp4"):
        named_format("nvpf4", LLAMA)
