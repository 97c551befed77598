"""What a config.json says of its weights: every method's fields, lists of modules, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.encoding import ALL, Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.hf import recipes
from kvtui.engine.checkpoint.hf.named import named_format
from kvtui.engine.checkpoint.weights import file_bytes
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.tensors import Role, Tensor
from kvtui.engine.sources.hf.quantization import format_from_config
from tests.engine.checkpoint.checkpoints import CONFIGS, awq, compressed, gptq
from tests.engine.sources.hf.published import PUBLISHED

Json = dict[str, Any]


def read(quantization: Json, **outer: Any) -> CheckpointFormat:
    return format_from_config({"quantization_config": quantization, **outer}, "config.json")


def stores(form: CheckpointFormat, role: Role, layer: int = 0, columns: int = 4096) -> Encoding:
    place = Place("outside") if role in ("head", "embedding", "tower") else Place("layer", layer)
    return form.encoding(Tensor(role, 4096, columns), place)


def weights(**fields: Any) -> Json:
    """A compressed-tensors config whose only group has weights with ``fields``."""
    return compressed({"targets": ["Linear"], "weights": fields}, "pack-quantized", ["lm_head"])


READ: list[tuple[str, Json, Encoding]] = [
    ("awq", awq(), recipes.awq()),
    ("awq", {"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, recipes.awq(4, 64)),
    ("gptq", gptq(), recipes.gptq()),
    ("gptq", gptq(group_size=-1, sym=False), recipes.gptq(4, ALL, symmetric=False)),
    ("gptq", gptq(desc_act=True), recipes.gptq(ordered=True)),
    ("gptq-int8", gptq(bits=8), recipes.gptq(8)),
    ("w4a16", weights(num_bits=4, type="int", strategy="group", group_size=128), recipes.packed()),
    (
        "w4a16",
        weights(num_bits=4, type="int", strategy="group", group_size=32, symmetric=False),
        recipes.packed(4, 32, symmetric=False),
    ),
    ("w8a16", weights(num_bits=8, type="int", strategy="channel"), recipes.packed(8, ALL)),
    ("fp8-channel", weights(num_bits=8, type="float", strategy="channel"), recipes.per_channel()),
    ("fp8-tensor", weights(num_bits=8, type="float", strategy="tensor"), recipes.per_tensor(False)),
    (
        "fp8-block",
        weights(num_bits=8, type="float", strategy="block", block_structure=[128, 128]),
        recipes.blocks(scale_bits=16),
    ),
    ("nvfp4", weights(num_bits=4, type="float", strategy="tensor_group", group_size=16), recipes.nvfp4()),
    ("mxfp4", weights(num_bits=4, type="float", strategy="group", group_size=32), recipes.mxfp4()),
    ("fp8-block", {"quant_method": "fp8", "weight_block_size": [128, 128]}, recipes.blocks()),
    ("fp8-tensor", {"quant_method": "fp8", "activation_scheme": "static"}, recipes.per_tensor()),
    ("fp8-channel", {"quant_method": "fbgemm_fp8"}, recipes.per_channel(32)),
    ("nvfp4", {"quant_method": "modelopt", "quant_algo": "NVFP4"}, recipes.nvfp4()),
    ("nvfp4", {"quantization": {"quant_algo": "NVFP4", "group_size": 16}}, recipes.nvfp4()),
    ("fp8-tensor", {"quant_algo": "FP8"}, recipes.per_tensor()),
    ("nf4", {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True}, recipes.nf4()),
    ("nf4-single", {"quant_method": "bitsandbytes", "load_in_4bit": True}, recipes.nf4(double=False)),
    ("bnb-8bit", {"quant_method": "bitsandbytes", "load_in_8bit": True}, recipes.per_channel(32)),
    ("hqq-4bit", {"quant_method": "hqq", "quant_config": {"nbits": 4, "group_size": 64}}, recipes.affine(4, 64)),
    (
        "hqq-3bit",
        {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 3, "group_size": 64, "axis": 1}}},
        recipes.affine(3, 64),
    ),
    (
        "int4wo",
        {
            "quant_method": "torchao",
            "quant_type": {"default": {"_type": "Int4WeightOnlyConfig", "_data": {"group_size": 64}}},
        },
        recipes.affine(4, 64),
    ),
    (
        "int8wo",
        {"quant_method": "torchao", "quant_type": "int8_weight_only", "quant_type_kwargs": {}},
        recipes.per_channel(),
    ),
    ("exl2-4.25bpw", {"quant_method": "exl2", "bits": 4.25, "lm_head_bits": 8}, recipes.exl2(Fraction(17, 4))),
    ("exl3-3bpw", {"quant_method": "exl3", "bits": 3.0, "head_bits": 6}, recipes.exl3(Fraction(3))),
    ("mlx-4bit", {"group_size": 64, "bits": 4, "mode": "affine"}, recipes.affine(4, 64)),
    ("mlx-mxfp4", {"group_size": 32, "bits": 4, "mode": "mxfp4"}, recipes.scaled(4, 32)),
]


@pytest.mark.parametrize(("name", "quantization", "encoding"), READ)
def test_every_method_is_read(name: str, quantization: Json, encoding: Encoding) -> None:
    form = read(quantization)
    assert form.name == name
    assert stores(form, "down") == encoding
    assert stores(form, "norm") == recipes.plain()
    assert stores(form, "router") in (recipes.plain(), recipes.affine(8, 64))


def test_a_file_without_quantisation_has_the_type_it_states() -> None:
    assert format_from_config({}, "config.json").name == "bf16"
    assert format_from_config({"torch_dtype": "float32"}, "config.json").plain == recipes.plain(32)
    assert format_from_config({"text_config": {"dtype": "torch.float32"}}, "config.json").name == "fp32"


@pytest.mark.parametrize("name", PUBLISHED)
def test_released_configs_are_read(name: str) -> None:
    form = format_from_config(PUBLISHED[name], "config.json")
    quantized = any("quantization_config" in part for part in (PUBLISHED[name], PUBLISHED[name].get("text_config", {})))
    assert (form.name == "bf16") != quantized


@pytest.mark.parametrize(
    ("config", "name"), [("gpt-oss", "mxfp4"), ("Llama-3.3-70B NVFP4", "nvfp4"), ("Mixtral AWQ", "awq")]
)
def test_a_config_and_a_name_mean_the_same(config: str, name: str) -> None:
    for model in (find_model("gpt-oss-20b"), find_model("Mixtral-8x7B")):
        assert file_bytes(model, read(CONFIGS[config])) == pytest.approx(
            file_bytes(model, named_format(name, model)), rel=1e-4
        )


def test_deepseek_v4_has_its_experts_in_four_bits() -> None:
    form = format_from_config(PUBLISHED["DeepSeek-V4-Flash"], "config.json")
    assert stores(form, "expert_up") == recipes.mxfp4()
    assert stores(form, "q_b") == recipes.blocks()


def test_modules_that_are_not_converted_stay_in_16_bits() -> None:
    form = read(awq(modules_to_not_convert=["model.layers.1.mlp", "self_attn.o_proj"]))
    assert stores(form, "down", 0) == stores(form, "down", 2) == recipes.awq()
    assert stores(form, "down", 1) == stores(form, "o", 0) == recipes.plain()


def test_a_head_is_quantised_where_nothing_leaves_it_alone() -> None:
    group = {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}
    assert stores(read(compressed(group, "float-quantized", [])), "head") == recipes.per_channel()
    assert stores(read(compressed(group, "float-quantized", ["lm_head"])), "head") == recipes.plain()
    assert stores(read(gptq(lm_head=True)), "head") == recipes.gptq()
    assert stores(read(gptq()), "head") == recipes.plain()


def test_groups_of_modules_have_schemes_of_their_own() -> None:
    config = compressed(
        {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}, "", []
    )
    config["config_groups"]["group_1"] = {
        "targets": ["re:.*mlp.experts.*"],
        "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
    }
    form = read(config)
    assert (form.name, stores(form, "q"), stores(form, "expert_up")) == (
        "mixed",
        recipes.per_channel(),
        recipes.nvfp4(),
    )
    mixed = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": {
            "model.layers.0.mlp.down_proj": {"quant_algo": "NVFP4", "group_size": 16},
            "model.layers.1.mlp.down_proj": {"quant_algo": "FP8"},
        },
    }
    form = read(mixed)
    assert [stores(form, "down", layer) for layer in range(3)] == [
        recipes.nvfp4(),
        recipes.per_tensor(),
        recipes.plain(),
    ]


def test_gptq_overrides_some_modules() -> None:
    form = read(gptq(dynamic={"-:.*self_attn.*": {}, "+:.*down_proj": {"bits": 8, "group_size": 64}}))
    assert stores(form, "q") == recipes.plain()
    assert stores(form, "down") == recipes.gptq(8, 64)
    assert stores(form, "up") == recipes.gptq()


def test_mlx_overrides_some_modules() -> None:
    form = read({"group_size": 64, "bits": 4, "model.layers.1.mlp.down_proj": {"bits": 8}, "lm_head": False})
    assert [stores(form, "down", layer) for layer in (0, 1)] == [recipes.affine(4, 64), recipes.affine(8, 64)]
    assert (stores(form, "head"), stores(form, "embedding")) == (recipes.plain(), recipes.affine(4, 64))
    assert stores(form, "down", columns=100) == recipes.plain()


WRONG: list[tuple[Json, str]] = [
    ({"quant_method": "aqlm"}, "quant_method: 'aqlm' is not understood; known are awq, gptq"),
    ({}, "quant_method: '' is not understood"),
    ({"quant_method": "awq", "bits": 4}, "group_size: is missing"),
    ({"quant_method": "gptq", "bits": True, "group_size": 128}, "bits: true is not a whole number"),
    ({"quant_method": "gptq", "bits": 9, "group_size": 128}, "bits: 9 is out of range"),
    (awq(modules_to_not_convert="lm_head"), "modules_to_not_convert: 'lm_head' is not a list"),
    (awq(modules_to_not_convert=[1]), "modules_to_not_convert: 1 is not text"),
    (awq(modules_to_not_convert=["re:("]), "modules_to_not_convert: pattern '(': a parenthesis that is not closed"),
    ({"quant_method": "compressed-tensors"}, "config_groups: is missing"),
    ({"quant_method": "compressed-tensors", "config_groups": {}}, "config_groups: says of no weights how they are"),
    (weights(num_bits=4, type="complex", strategy="group"), "type: 'complex' of 4 bits with strategy 'group'"),
    ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size: is not a pair of sizes"),
    ({"quant_method": "modelopt", "quant_algo": "INT3"}, "quant_algo: 'INT3' is not understood"),
    ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "quantized_layers: is missing"),
    ({"quant_method": "torchao", "quant_type": "autoquant"}, "quant_type: 'autoquant' is not understood"),
    ({"quant_method": "torchao", "quant_type": {}}, "quant_type: names no scheme for all modules"),
    ({"quant_method": "hqq"}, "quant_config: is missing"),
    ({"quant_method": "exl3"}, "bits: is missing or not between 1 and 16"),
    ({"bits": 4, "group_size": 64, "mode": "fp3"}, "mode: 'fp3' is not understood"),
]


@pytest.mark.parametrize(("quantization", "problem"), WRONG)
def test_what_is_wrong_is_named(quantization: Json, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read(quantization)
    message = str(caught.value)
    assert message.startswith("config.json: quantization_config.")
    assert problem in message


def test_an_unknown_format_of_experts_is_refused() -> None:
    with pytest.raises(InputError, match="expert_dtype: 'fp3' is not understood"):
        format_from_config({"expert_dtype": "fp3"}, "config.json")


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        *("bits", "w_bit", "group_size", "sym", "desc_act", "dynamic", "modules_to_not_convert", "config_groups"),
        *("ignore", "format", "weight_block_size", "quant_algo", "quantized_layers", "exclude_modules", "quant_type"),
        *("quant_config", "load_in_4bit", "mode", "lm_head_bits", "quantization"),
    ]
)


@given(
    st.sampled_from(
        ["awq", "gptq", "compressed-tensors", "fp8", "modelopt", "bitsandbytes", "hqq", "torchao", "exl2", ""]
    ),
    st.dictionaries(fields, values, max_size=6),
)
def test_any_object_is_read_or_refused(method: str, config: Json) -> None:
    problem, model = "config.json: ", find_model("Qwen3-30B-A3B")
    try:
        form = read({"quant_method": method, **config})
    except InputError as error:
        problem = str(error)
    else:
        assert file_bytes(model, form) > 0
    assert problem.startswith("config.json: ")
