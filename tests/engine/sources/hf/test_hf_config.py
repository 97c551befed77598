"""Released config.json files against known cache sizes and exact parameter counts, and what must be refused."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.caches import Attention, Indexer, Latent, Recurrent, Shared
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.config import model_from_config
from kvtui.engine.sources.hf.hints import CACHE_HINTS, WEIGHT_HINTS, Hint, meaning
from tests.engine.sources.hf.published import PUBLISHED, UNCOUNTED

BF16 = FORMATS["bf16"]


def read(name: str, **changes: Any) -> ModelSpec:
    """The published config ``name`` with top-level fields changed; a field changed to ``...`` is left out."""
    return model_from_config(changed(PUBLISHED[name], changes), name, "config.json")


def changed(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    config = deepcopy(config)
    target = config.get("text_config", config)
    for field, value in changes.items():
        if value is ...:
            target.pop(field, None)
        else:
            target[field] = value
    return config


def refusal(name: str, **changes: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(name, **changes)
    return str(caught.value)


# name: (layers, growing B/token at bf16, indexer B/token, bounded bytes at the cap, state bytes of a sequence)
CACHES = {
    "Llama-2-7B": (32, 524_288, 0, 0, 0),
    "Llama-3.1-8B": (32, 131_072, 0, 0, 0),
    "Llama-3.2-1B": (16, 32_768, 0, 0, 0),
    "Mllama-11B": (40, 131_072, 0, 0, 0),
    "Llama-4-Scout": (48, 49_152, 0, 147_456 * 8192, 0),
    "Qwen2.5-7B": (28, 57_344, 0, 0, 0),
    "Qwen3-0.6B": (28, 114_688, 0, 0, 0),
    "Qwen3-VL-4B": (36, 147_456, 0, 0, 0),
    "Qwen3-30B-A3B": (48, 98_304, 0, 0, 0),
    "Qwen3-Next-80B-A3B": (48, 24_576, 0, 0, 77_266_944),
    "Qwen3.5-27B": (64, 65_536, 0, 0, 153_944_064),
    "Mistral-7B-v0.1": (32, 0, 0, 131_072 * 4096, 0),
    "Mistral-7B-v0.3": (32, 131_072, 0, 0, 0),
    "Mistral-Nemo-12B": (40, 163_840, 0, 0, 0),
    "Mixtral-8x7B": (32, 131_072, 0, 0, 0),
    "Mistral-Small-4-119B": (36, 23_040, 0, 0, 0),
    "gemma-2-9b": (42, 172_032, 0, 172_032 * 4096, 0),
    "gemma-3-1b": (26, 4_096, 0, 22_528 * 512, 0),
    "gemma-3-4b": (34, 20_480, 0, 118_784 * 1024, 0),
    "gemma-3-27b": (62, 81_920, 0, 425_984 * 1024, 0),
    "gemma-3n-E4B": (35, 8_192, 0, 32_768 * 512, 0),
    "gemma-4-E4B": (42, 16_384, 0, 40_960 * 512, 0),
    "gemma-4-26B-A4B": (30, 20_480, 0, 204_800 * 1024, 0),
    "gemma-4-31B": (60, 81_920, 0, 819_200 * 1024, 0),
    "Phi-3-mini-4k": (32, 0, 0, 393_216 * 2047, 0),
    "Phi-3-medium-128k": (40, 204_800, 0, 0, 0),
    "Phi-3.5-MoE": (32, 131_072, 0, 0, 0),
    "phi-4": (40, 204_800, 0, 0, 0),
    "Phi-4-mini": (32, 131_072, 0, 0, 0),
    "DeepSeek-V2": (60, 69_120, 0, 0, 0),
    "DeepSeek-V2-Lite": (27, 31_104, 0, 0, 0),
    "DeepSeek-V3": (61, 70_272, 0, 0, 0),
    "DeepSeek-V3.2": (61, 70_272, 8_052, 0, 0),
    "Kimi-K2": (61, 70_272, 0, 0, 0),
    "Kimi-Linear-48B-A3B": (27, 8_064, 0, 0, 43_417_600),
    "Kimi-K3": (93, 27_648, 0, 0, 449_372_160),
    "GLM-4.6": (92, 376_832, 0, 0, 0),
    "GLM-4.7-Flash": (47, 54_144, 0, 0, 0),
    "GLM-5": (78, 89_856, 10_296, 0, 0),
    "GLM-5.2": (78, 89_856, 2_772, 0, 0),
    "gpt-oss-20b": (24, 24_576, 0, 24_576 * 128, 0),
    "gpt-oss-120b": (36, 36_864, 0, 36_864 * 128, 0),
    "MiniMax-Text-01": (80, 40_960, 0, 0, 146_800_640),
    "MiniMax-M2": (62, 253_952, 0, 0, 0),
    "MiniMax-M3": (60, 122_880, 14_592, 0, 0),
    "Jamba-v0.1": (32, 16_384, 0, 0, 8_716_288),
    "Nemotron-H-8B": (52, 16_384, 0, 0, 102_137_856),
    "Nemotron-H-56B": (118, 40_960, 0, 0, 912_605_184),
    "Nemotron-3-Nano-30B-A3B": (52, 6_144, 0, 0, 49_082_368),
    "Nemotron-3-Ultra-550B-A55B": (108, 12_288, 0, 0, 407_961_600),
    "Llama-3.3-Nemotron-Super-49B": (80, 200_704, 0, 0, 0),
    "Falcon-H1-7B": (44, 45_056, 0, 0, 70_152_192),
    "granite-4.0-h-small": (40, 16_384, 0, 0, 77_322_240),
    "LFM2-1.2B": (16, 12_288, 0, 0, 81_920),
    "OLMo-2-7B": (32, 524_288, 0, 0, 0),
    "Olmo-3-7B": (32, 131_072, 0, 393_216 * 4096, 0),
    "c4ai-command-r-v01": (40, 1_310_720, 0, 0, 0),
    "c4ai-command-r7b-12-2024": (32, 32_768, 0, 98_304 * 4096, 0),
    "Yi-6B": (32, 65_536, 0, 0, 0),
    "starcoder2-7b": (32, 0, 0, 65_536 * 4096, 0),
    "MiMo-V2-Flash": (48, 23_040, 0, 199_680 * 128, 0),
    "Step-3.7-Flash": (45, 49_152, 0, 135_168 * 512, 0),
    "Hunyuan-Large": (64, 131_072, 0, 0, 0),
    "Hunyuan-A13B": (32, 131_072, 0, 0, 0),
    "Ling-3.0-Flash": (42, 8_064, 0, 0, 35 * 2_170_880),
    "whisper-large-v3": (32, 163_840, 0, 245_760_000, 0),
}

PARAMETERS = {
    "Llama-2-7B": 6_738_415_616,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.2-1B": 1_235_814_400,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen1.5-MoE-A2.7B": 14_315_784_192,
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-VL-4B": 4_022_468_096,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Qwen3-Next-80B-A3B": 79_674_391_296,
    "Mistral-7B-v0.1": 7_241_732_096,
    "Mistral-7B-v0.3": 7_248_023_552,
    "Mistral-Nemo-12B": 12_247_782_400,
    "Mixtral-8x7B": 46_702_792_704,
    "gemma-2-9b": 9_241_705_984,
    "gemma-3-1b": 999_885_952,
    "Phi-3-mini-4k": 3_821_079_552,
    "Phi-3-medium-128k": 13_960_238_080,
    "Phi-3.5-MoE": 41_873_153_344,
    "Phi-4-mini": 3_836_021_760,
    "phi-4": 14_659_507_200,
    "DeepSeek-V2": 235_741_434_880,
    "DeepSeek-V2-Lite": 15_706_484_224,
    "DeepSeek-V3": 671_026_419_200,
    "Kimi-Linear-48B-A3B": 49_122_681_728,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "MiniMax-Text-01": 456_089_655_296,
    "Jamba-v0.1": 51_570_323_328,
    "Llama-3.3-Nemotron-Super-49B": 49_867_145_216,
    "granite-4.0-h-small": 32_207_337_984,
    "LFM2-1.2B": 1_170_340_608,
    "OLMo-2-7B": 7_298_617_344,
    "Olmo-3-7B": 7_298_011_136,
    "c4ai-command-r-v01": 34_980_831_232,
    "Yi-6B": 6_061_035_520,
    "starcoder2-7b": 7_173_923_840,
    "Hunyuan-A13B": 80_393_183_232,
    "whisper-large-v3": 1_543_490_560,
    "SmolLM3-3B": 3_075_098_624,
    "Seed-OSS-36B": 36_151_104_512,
    "GLM-4-9B-0414": 9_400_279_040,
    "granite-3.1-8b": 8_170_848_256,
    "EXAONE-4.0-1.2B": 1_279_391_488,
    "pythia-6.9b": 6_857_302_016,
}

# Stated sizes in billions, total and active, where no exact count of the language model alone is published.
STATED = {
    "Llama-4-Scout": (109, 17),
    "Qwen3.5-27B": (27.8, 27.8),
    "Mistral-Small-4-119B": (119, 6.5),
    "gemma-3-27b": (27.4, 27.4),
    "gemma-4-26B-A4B": (26, 4),
    "gemma-4-31B": (31, 31),
    "DeepSeek-V4-Flash": (284, 13),
    "Kimi-K2": (1026, 32),
    "GLM-4.6": (355, 32),
    "GLM-4.7-Flash": (30, 3.6),
    "GLM-5": (744, 40),
    "MiniMax-M2": (229, 10),
    "Nemotron-H-8B": (8.1, 8.1),
    "Nemotron-3-Nano-30B-A3B": (31.6, 3.2),
    "Nemotron-3-Ultra-550B-A55B": (550, 55),
    "Falcon-H1-7B": (7.6, 7.6),
    "c4ai-command-r7b-12-2024": (8, 8),
    "MiMo-V2-Flash": (309, 15),
    "Step-3.7-Flash": (196, 11),
    "Hunyuan-Large": (389, 52),
}


@pytest.mark.parametrize("name", CACHES)
def test_cache_bytes(name: str) -> None:
    spec = read(name)
    found = (
        len(spec.layers),
        spec.bytes_per_token(BF16),
        spec.bytes_per_token(BF16, "indexer"),
        spec.bounded_bytes(BF16),
        spec.state_bytes(),
    )
    assert found == CACHES[name]
    assert spec.confidence == ("M" if name == "Ling-3.0-Flash" else "H")


@pytest.mark.parametrize("name", PARAMETERS)
def test_exact_parameter_counts(name: str) -> None:
    spec = read(name)
    assert spec.parameters == PARAMETERS[name]
    assert spec.parameters_from == "shape"
    assert spec.active_parameters is not None
    routed = any(layer.experts for layer in spec.layers)
    assert (spec.active_parameters < PARAMETERS[name]) == (routed or name == "whisper-large-v3")


@pytest.mark.parametrize("name", STATED)
def test_stated_sizes(name: str) -> None:
    spec = read(name)
    total, active = STATED[name]
    assert spec.parameters == pytest.approx(total * 1e9, rel=0.035)
    assert spec.active_parameters == pytest.approx(active * 1e9, rel=0.13)


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - UNCOUNTED))
def test_the_layers_and_the_embeddings_are_within_the_total(name: str) -> None:
    spec = read(name)
    assert spec.parameters_from == "shape"
    layers = sum(layer.total_parameters or 0 for layer in spec.layers)
    assert 0 < layers <= (spec.parameters or 0) - (spec.hidden or 0) * (spec.vocab or 0)


@pytest.mark.parametrize("name", sorted(UNCOUNTED))
def test_weights_that_cannot_be_counted_are_unknown_and_a_note_says_why(name: str) -> None:
    spec = read(name)
    assert (spec.parameters, spec.active_parameters, spec.parameters_from) == (None, None, "unknown")
    assert any(note.startswith("parameters unknown: ") for note in spec.notes)
    assert all(layer.tensors is None and layer.experts is None for layer in (*spec.layers, *spec.mtp))


def test_deepseek_v4_windows_and_compressed_entries() -> None:
    spec = read("DeepSeek-V4-Flash")
    packed = FORMATS["fp8_ds_mla"]
    growing = sum(
        cache.entries(1_048_576) * cache.entry_bytes(packed, 1)
        for layer in spec.layers
        for cache in layer.caches
        if cache.growth in ("growing", "indexer")
    )
    assert growing / 1_048_576 == 21 * (584 + 132) / 4 + 20 * 584 / 128 == 3850.25
    assert spec.bounded_bytes(packed) == 43 * 128 * 584
    assert [len(layer.caches) for layer in spec.layers[:5]] == [1, 1, 3, 2, 3]
    assert [len(layer.caches) for layer in spec.mtp] == [1]
    assert spec.confidence == "M"
    assert spec.published_weights == "mxfp4"


def full_layers(spec: ModelSpec) -> list[int]:
    """Layers, from 0, that cache every token."""
    return [
        index
        for index, layer in enumerate(spec.layers)
        if any(cache.growth == "growing" for cache in layer.caches if isinstance(cache, Attention | Latent))
    ]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("gemma-2-9b", list(range(1, 42, 2))),
        ("gemma-3-27b", list(range(5, 62, 6))),
        ("gpt-oss-20b", list(range(1, 24, 2))),
        ("Llama-4-Scout", list(range(3, 48, 4))),
        ("Qwen3-Next-80B-A3B", list(range(3, 48, 4))),
        ("Kimi-Linear-48B-A3B", [3, 7, 11, 15, 19, 23, 26]),
        ("Jamba-v0.1", [4, 12, 20, 28]),
        ("granite-4.0-h-small", [5, 15, 25, 35]),
        ("LFM2-1.2B", [2, 5, 8, 10, 12, 14]),
        ("MiMo-V2-Flash", [0, *range(5, 48, 6)]),
        ("Nemotron-H-8B", [7, 18, 29, 40]),
        ("MiniMax-Text-01", list(range(7, 80, 8))),
        ("Step-3.7-Flash", list(range(0, 45, 4))),
        ("Mllama-11B", [layer for layer in range(40) if layer % 5 != 3]),
    ],
)
def test_layer_order(name: str, layers: list[int]) -> None:
    assert full_layers(read(name)) == layers


def test_indexers_of_glm_5_2_stand_in_the_leading_layers_only() -> None:
    spec = read("GLM-5.2")
    own = [index for index, layer in enumerate(spec.layers) if any(isinstance(c, Indexer) for c in layer.caches)]
    assert own == [0, 1, *range(2, 78, 4)]
    by_rule = read("GLM-5.2", indexer_types=...)
    assert [layer.caches for layer in by_rule.layers] == [layer.caches for layer in spec.layers]
    by_pattern = read("GLM-5.2", indexer_types=..., index_topk_pattern="FF" + "FSSS" * 19)
    assert [layer.caches for layer in by_pattern.layers] == [layer.caches for layer in spec.layers]


def test_only_dsa_models_have_the_packed_latent() -> None:
    packed = FORMATS["fp8_ds_mla"]
    assert read("DeepSeek-V3.2").bytes_per_token(packed) == 61 * 656
    assert read("GLM-5").bytes_per_token(packed) == 78 * 656
    with pytest.raises(InputError):
        read("Llama-3.1-8B").bytes_per_token(packed)


def test_shared_layers_read_the_last_own_layer_of_their_kind() -> None:
    spec = read("gemma-4-E4B")
    for index, layer in enumerate(spec.layers[24:], start=24):
        (cache,) = layer.caches
        assert isinstance(cache, Shared)
        assert isinstance(cache.reads, Attention)
        assert (cache.reads.k_dim, cache.reads.kind) == ((512, "full") if index % 6 == 5 else (256, "sliding_window"))


def test_k_and_v_sizes_may_differ() -> None:
    (full,), (sliding,) = (read("MiMo-V2-Flash").layers[layer].caches for layer in (0, 1))
    assert isinstance(full, Attention)
    assert isinstance(sliding, Attention)
    assert (full.kv_heads, full.k_dim, full.v_dim, full.cap) == (4, 192, 128, None)
    assert (sliding.kv_heads, sliding.k_dim, sliding.v_dim, sliding.cap) == (8, 192, 128, 128)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Qwen3.5-27B", "full"),
        ("DeepSeek-V3", "latent"),
        ("GLM-4.6", "full"),
        ("Nemotron-3-Ultra-550B-A55B", "full"),
    ],
)
def test_one_extra_prediction_layer(name: str, kind: str) -> None:
    (layer,) = read(name).mtp
    assert [cache.kind for cache in layer.caches] == [kind]


def test_state_format_is_the_declared_one_else_the_family_s() -> None:
    def formats(spec: ModelSpec) -> set[str]:
        return {c.state_format for layer in spec.layers for c in layer.caches if isinstance(c, Recurrent)}

    assert formats(read("Qwen3.5-27B")) == {"fp32"}
    assert formats(read("Qwen3.5-27B", mamba_ssm_dtype="bfloat16")) == {"bf16"}
    assert formats(read("Qwen3-Next-80B-A3B")) == {"fp32"}
    assert formats(read("Jamba-v0.1")) == {"bf16"}
    assert formats(read("Jamba-v0.1", mamba_ssm_dtype="float32")) == {"fp32"}
    assert formats(read("Nemotron-H-8B")) == {"fp32"}
    assert formats(read("Nemotron-3-Nano-30B-A3B", mamba_ssm_cache_dtype="float16")) == {"fp16"}
    assert "mamba_ssm_dtype: is none of float32" in refusal("Qwen3.5-27B", mamba_ssm_dtype="int8")
    assert "contradicts" in refusal("Jamba-v0.1", mamba_ssm_dtype="float32", mamba_ssm_cache_dtype="bfloat16")


def test_qwen_slides_only_when_it_says_so() -> None:
    spec = read("Qwen2.5-7B", use_sliding_window=True, sliding_window=4096, max_window_layers=21)
    assert spec.layer_kinds == {"full": 21, "sliding_window": 7}
    assert read("Qwen2.5-7B", sliding_window=4096).layer_kinds == {"full": 28}


def test_a_window_in_the_file_is_in_every_layer_unless_it_is_as_long_as_the_context() -> None:
    for name, window in (("Phi-3-mini-4k", 2047), ("starcoder2-7b", 4096)):
        assert {cache.cap for layer in read(name).layers for cache in layer.caches} == {window}
    assert read("Phi-4-mini").layer_kinds == {"full": 32}


@pytest.mark.parametrize(
    ("name", "field", "default"),
    [
        ("Llama-3.1-8B", "num_hidden_layers", 32),
        ("Llama-3.1-8B", "num_attention_heads", 32),
        ("Llama-3.1-8B", "intermediate_size", 11008),
        ("Llama-3.1-8B", "vocab_size", 32000),
        ("Qwen3-0.6B", "head_dim", 128),
        ("Mistral-7B-v0.1", "sliding_window", 4096),
        ("Qwen3-Next-80B-A3B", "linear_num_value_heads", 32),
        ("Qwen3-30B-A3B", "moe_intermediate_size", 768),
        ("DeepSeek-V3", "qk_rope_head_dim", 64),
        ("DeepSeek-V3", "v_head_dim", 128),
        ("DeepSeek-V3", "n_shared_experts", 1),
        ("Jamba-v0.1", "attn_layer_period", 8),
        ("gpt-oss-20b", "sliding_window", 128),
    ],
)
def test_a_field_that_is_left_out_has_its_class_s_default_and_is_named(name: str, field: str, default: int) -> None:
    spec = read(name, **{field: ...})
    (note,) = (note for note in spec.notes if note.startswith("not in the file, so class defaults of "))
    assert f"{field} {default}" in note
    assert "(transformers 5" in note
    stated = read(name, **{field: default})
    assert [layer.caches for layer in spec.layers] == [layer.caches for layer in stated.layers]
    assert spec.parameters == stated.parameters


def test_a_type_without_a_class_must_state_what_its_layers_need() -> None:
    for name, field in (
        ("Hunyuan-Large", "use_cla"),
        ("Llama-3.3-Nemotron-Super-49B", "block_configs"),
        ("Llama-3.3-Nemotron-Super-49B", "num_hidden_layers"),
    ):
        assert f"{field}: is missing" in refusal(name, **{field: ...})


def test_what_only_the_weights_need_may_be_missing() -> None:
    spec = read("Hunyuan-Large", use_mixed_mlp_moe=...)
    assert spec.parameters is None
    assert "parameters unknown: use_mixed_mlp_moe is missing" in spec.notes
    assert [layer.caches for layer in spec.layers] == [layer.caches for layer in read("Hunyuan-Large").layers]


def test_weights_that_are_built_in_an_unknown_way_are_not_counted() -> None:
    for name, change in (
        ("Llama-3.1-8B", {"num_experts": 8}),
        ("DeepSeek-V3", {"attention_bias": True}),
        ("LFM2-1.2B", {"conv_bias": True}),
        ("Jamba-v0.1", {"mamba_proj_bias": True}),
        ("Kimi-K3", {}),
    ):
        assert read(name, **change).parameters is None


def test_old_llama_files_have_as_many_kv_heads_as_query_heads() -> None:
    assert read("Llama-2-7B", num_key_value_heads=...).bytes_per_token(BF16) == 524_288


def test_ties_are_the_outermost_statement_or_the_class_default() -> None:
    assert read("Llama-3.1-8B", tie_word_embeddings=True).parameters == 8_030_261_248 - 128_256 * 4096
    tied = PUBLISHED["Qwen3-VL-4B"] | {"tie_word_embeddings": False}
    assert model_from_config(tied, "x", "config.json").parameters == 4_022_468_096 + 151_936 * 2560


@pytest.mark.parametrize(
    ("config", "format_"),
    [
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, None),
        ({"quant_method": "awq", "bits": 4}, "int4"),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "pack-quantized",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "int4",
        ),
        ({"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}, "nvfp4"),
        ({}, None),
    ],
)
def test_published_weight_formats(config: dict[str, Any], format_: str | None) -> None:
    assert read("Llama-3.1-8B", quantization_config=config).published_weights == format_


CONTRADICTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("gpt-oss-20b", {"num_hidden_layers": 25}, "layer_types: has 24 entries for 25 layers"),
    ("Llama-3.1-8B", {"num_key_value_heads": 5}, "num_key_value_heads: 5 does not divide num_attention_heads 32"),
    (
        "Llama-3.1-8B",
        {"hidden_size": 4097},
        "hidden_size: 4097 is not divisible by num_attention_heads 32; no head_dim",
    ),
    ("Nemotron-H-8B", {"hybrid_override_pattern": "M-Q"}, "letter 'Q' is none of M, *, - and E"),
    ("Nemotron-H-8B", {"num_hidden_layers": 51}, "num_hidden_layers: 51 contradicts the pattern's 52 layers"),
    ("gemma-3-27b", {"layer_types": ["spiral_attention"] * 62}, "layer_types: 'spiral_attention' is not understood"),
    ("gemma-2-9b", {"sliding_window_size": 2048}, "sliding_window_size: 2048 contradicts sliding_window 4096"),
    ("DeepSeek-V4-Flash", {"compress_ratios": [4] * 42}, "compress_ratios: has 42 entries for 43 layers and 1 MTP"),
    (
        "DeepSeek-V4-Flash",
        {"compress_ratios": [5] * 43},
        "compress_ratios: 5 is not understood; known are 0, 4 and 128",
    ),
    ("Jamba-v0.1", {"attn_layer_offset": 8}, "attn_layer_offset: 8 is not below attn_layer_period 8"),
    ("Qwen3.5-27B", {"linear_num_value_heads": 47}, "text_config.linear_num_value_heads: 47 is not a multiple of"),
    ("LFM2-1.2B", {"conv_dim": 1024}, "conv_dim_out: 2048 contradicts conv_dim 1024"),
    ("LFM2-1.2B", {"full_attn_idxs": [2, 16]}, "full_attn_idxs: 16 is not a layer (0 to 15)"),
    ("GLM-5.2", {"index_topk_freq": 2}, "indexer_types: contradicts index_topk_freq"),
    ("GLM-5.2", {"indexer_types": ["shared"] * 78, "index_topk_freq": None}, "the first layer has no other"),
    ("MiniMax-M3", {"sparse_attention_config": {}}, "sparse_attention_config.sparse_attention_freq: is not a list"),
    ("Falcon-H1-7B", {"mamba_n_heads": 25}, "mamba_n_heads: 25 × mamba_d_head 128 is not the inner width 3072"),
    ("gemma-3n-E4B", {"num_kv_shared_layers": 35}, "35 of 35 layers leave none that stores K and V"),
    ("gemma-4-31B", {"layer_types": ["full_attention", "sliding_attention"] * 30}, "the last layer of this model type"),
    ("MiMo-V2-Flash", {"hybrid_layer_pattern": [0, 1]}, "hybrid_layer_pattern: has 2 entries for 48 layers"),
    ("Qwen3-30B-A3B", {"num_experts_per_tok": 129}, "num_experts_per_tok: 129 are more than the 128 experts"),
    ("Hunyuan-Large", {"cla_share_factor": None}, "cla_share_factor: is missing, but use_cla is true"),
    ("MiniMax-M2", {"attn_type_list": [0] * 62}, "attn_type_list: is not a list of 62 ones"),
    ("Llama-3.3-Nemotron-Super-49B", {"block_configs": [{}] * 80}, "block_configs[0].attention: is missing"),
    ("DeepSeek-V3", {"num_hidden_layers": True}, "num_hidden_layers: true is not a whole number"),
    ("DeepSeek-V3", {"num_hidden_layers": 61.0}, "num_hidden_layers: 61.0 is not a whole number"),
    ("DeepSeek-V3", {"num_hidden_layers": "61"}, "num_hidden_layers: '61' is not a whole number"),
    ("DeepSeek-V3", {"num_hidden_layers": -61}, "num_hidden_layers: -61 is out of range (1 to 1,024)"),
    ("DeepSeek-V3", {"num_hidden_layers": 0}, "num_hidden_layers: 0 is out of range"),
    ("DeepSeek-V3", {"num_hidden_layers": 1025}, "num_hidden_layers: 1025 is out of range"),
    ("DeepSeek-V3", {"kv_lora_rank": 2**24 + 1}, "kv_lora_rank: 16777217 is out of range"),
    ("DeepSeek-V3", {"kv_lora_rank": 10**5000}, "kv_lora_rank: a number of 16,610 bits is out of range"),
    ("Llama-3.1-8B", {"vocab_size": 2**31 + 1}, "vocab_size: 2147483649 is out of range"),
    ("Llama-3.1-8B", {"max_position_embeddings": 2**41}, "max_position_embeddings: 2199023255552 is out of range"),
    ("Llama-3.1-8B", {"tie_word_embeddings": "no"}, "tie_word_embeddings: 'no' is not true or false"),
    ("Llama-3.1-8B", {"quantization_config": "fp8"}, "quantization_config: 'fp8' is not an object"),
    ("whisper-large-v3", {"decoder_attention_heads": 21}, "d_model: 1280 is not divisible by 21 attention heads"),
]


@pytest.mark.parametrize(("name", "changes", "expected"), CONTRADICTIONS)
def test_contradictions_name_the_field(name: str, changes: dict[str, Any], expected: str) -> None:
    message = refusal(name, **changes)
    assert message.startswith("config.json: ")
    assert expected in message


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"full_attn_layers": [0, 4]}, "full_attn_layers: 0 is not a layer (1 to 27)"),
        ({"full_attn_layers": [4, 28]}, "full_attn_layers: 28 is not a layer (1 to 27)"),
        ({"full_attn_layers": [4, 4]}, "full_attn_layers: names a layer twice"),
        ({"full_attn_layers": [1, 4, 8, 12, 16, 20, 24, 27]}, "kda_layers: layer 1 is also in full_attn_layers"),
        ({"full_attn_layers": [4, 8, 12, 16, 20, 24]}, "kda_layers: layer 27 is in neither list"),
        ({"full_attn_layers": None}, "full_attn_layers: is missing"),
    ],
)
def test_lists_that_count_from_one(lists: dict[str, Any], expected: str) -> None:
    linear = PUBLISHED["Kimi-Linear-48B-A3B"]["linear_attn_config"] | lists
    assert f"linear_attn_config.{expected}" in refusal("Kimi-Linear-48B-A3B", linear_attn_config=linear)


PLAIN = {
    "model_type": "novelty",
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 16,
    "num_hidden_layers": 20,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "vocab_size": 32000,
}


def test_an_unknown_but_plain_model_is_read_by_the_general_rule() -> None:
    spec = model_from_config(PLAIN, "x", "config.json")
    assert spec.bytes_per_token(BF16) == 20 * 2 * 4 * 128 * 2
    assert spec.confidence == "M"
    assert spec.notes[0] == "unknown model_type 'novelty' read by the general rule, as a plain decoder"
    assert spec.source == "config.json (model_type novelty)"
    assert (spec.parameters, spec.parameters_from) == (None, "unknown")
    listed = model_from_config(PLAIN | {"layer_types": ["full_attention"] * 20}, "x", "config.json")
    assert listed.bytes_per_token(BF16) == spec.bytes_per_token(BF16)


def test_windows_of_an_unknown_model_are_read_if_it_states_what_they_need() -> None:
    window = {
        "layer_types": ["sliding_attention"] * 15 + ["full_attention"] * 5,
        "sliding_window": 512,
        "head_dim": 128,
    }
    spec = model_from_config(PLAIN | window, "x", "config.json")
    assert spec.layer_kinds == {"sliding_window": 15, "full": 5}
    assert spec.bounded_bytes(BF16) == 15 * 512 * 2 * 4 * 128 * 2
    for field in ("head_dim", "num_key_value_heads", "sliding_window"):
        config = {name: value for name, value in (PLAIN | window).items() if name != field}
        with pytest.raises(InputError, match=f"{field}: is missing"):
            model_from_config(config, "x", "config.json")


@pytest.mark.parametrize(
    ("field", "value"), [("num_stages", 4), ("kv_factor", 2), ("widths", [1, 2]), ("stage", {"depth": 2})]
)
def test_a_number_that_no_rule_calls_harmless_refuses_an_unknown_model(field: str, value: object) -> None:
    with pytest.raises(InputError, match=f"with {field}=.*: not understood"):
        model_from_config(PLAIN | {field: value}, "x", "config.json")


def test_numbers_of_tokens_images_and_widths_do_not_matter() -> None:
    harmless = {
        "image_token_index": 32000,
        "mask_index": 5,
        "duration_delta_max_period": 10000,
        "streaming_audio_chunk_size": 40,
        "bos_token_id": 7,
        "moe_intermediate_size": 768,
        "rope_scaling": {"factor": 8},
        "id2label": {"0": "x"},
        "router_group": 3,
    }
    spec = model_from_config(PLAIN | harmless, "x", "config.json")
    assert spec.bytes_per_token(BF16) == 40_960


def test_other_names_of_the_usual_fields_are_read() -> None:
    config = {
        "model_type": "novelty",
        "n_embd": 2048,
        "n_layer": 20,
        "n_head": 16,
        "num_kv_heads": 4,
        "kv_channels": 64,
    }
    assert model_from_config(config, "x", "config.json").bytes_per_token(BF16) == 20 * 2 * 4 * 64 * 2
    with pytest.raises(InputError, match="n_embd: 4096 contradicts hidden_size 2048"):
        model_from_config(config | {"hidden_size": 2048, "n_embd": 4096}, "x", "config.json")


@pytest.mark.parametrize(
    ("fields", "most"),
    [
        ({"num_kv_heads_per_layer": [8] * 10 + [16] * 10}, 4 * 20 * 16 * 128),
        ({"num_loops": 3}, 3 * 40_960),
        ({"loop_num_passes": 3, "loop_layer_index_start": 5, "loop_layer_index_end": 10}, 30 * 4 * 4 * 128),
        ({"swa_head_dim": 256}, 2 * 40_960),
        ({"per_layer_config": {"3": {"head_dim": 512}}}, 4 * 40_960),
    ],
)
def test_the_bound_of_a_refusal_is_one(fields: dict[str, Any], most: int) -> None:
    with pytest.raises(InputError, match=f" and {most:,} \\(full attention in"):
        model_from_config(PLAIN | fields, "x", "config.json")


@pytest.mark.parametrize(
    "hint",
    [
        {"sliding_window": 4096},
        {"layer_types": ["full_attention", "mamba"] * 10},
        {"kv_lora_rank": 512},
        {"mamba_d_state": 16},
        {"ssm_cfg": {"layer": "Mamba2"}},
        {"linear_num_value_heads": 32},
        {"conv_kernel": 4},
        {"attn_type_list": [0] * 20},
        {"hybrid_override_pattern": "M*"},
        {"index_topk": 2048},
        {"compress_ratios": [4] * 20},
        {"num_kv_shared_layers": 5},
        {"use_cla": True},
        {"state_size": 16},
        {"rwkv_version": 7},
        {"attention_chunk_size": 8192},
        {"is_encoder_decoder": True},
        {"multi_query": True},
        {"cross_attention_layers": [1]},
        {"v_head_dim": 64},
    ],
)
def test_an_unknown_model_that_hints_at_another_cache_is_refused_with_bounds(hint: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        model_from_config(PLAIN | hint, "x", "config.json")
    message = str(caught.value)
    (field,) = hint
    assert message.startswith("config.json: unknown model_type 'novelty' with ")
    assert f"{field}=" in message
    bounds = "; between 0 (no layer caches) and 40,960 (full attention in all 20) bytes per token at bf16"
    remedy = "; give the cache's shape with `kvtui estimate`, or an entry in models.toml: `kvtui models --template`"
    assert message.endswith(bounds + remedy)


@pytest.mark.parametrize("hint", CACHE_HINTS, ids=lambda hint: hint.example)
def test_each_row_of_the_hints_refuses_a_plain_model_and_says_why(hint: Hint) -> None:
    value = ["full_attention", "mamba"] * 10 if hint.example == "layer_types" else 3
    with pytest.raises(InputError) as caught:
        model_from_config(PLAIN | {hint.example: value}, "x", "config.json")
    understood = rf"with {hint.example}=[^;]* \({hint.meaning}\): not understood|{hint.example}: 3 contradicts"
    assert re.search(rf"({understood}[^;]*); between 0", str(caught.value))


@pytest.mark.parametrize("hint", WEIGHT_HINTS, ids=lambda hint: hint.example)
def test_each_row_of_the_hints_leaves_the_weights_uncounted_and_says_why(hint: Hint) -> None:
    spec = read("Llama-2-7B", novel_size=3, **{f"novel_{hint.example}": 3})
    assert (spec.parameters, spec.bytes_per_token(BF16)) == (None, 524_288)
    assert f"parameters unknown: novel_{hint.example} ({hint.meaning}) is not understood" in spec.notes


@pytest.mark.parametrize("field", ["rope_theta", "head_dim", "attn_implementation", "mlp_layer_types", "rms_norm_eps"])
def test_names_that_speak_of_no_cache(field: str) -> None:
    assert meaning(field, CACHE_HINTS) is None


def test_a_known_model_with_a_field_of_another_cache_is_refused() -> None:
    message = refusal("Llama-3.1-8B", sliding_window=4096)
    assert "model_type llama is known, but not with sliding_window=4096 (a sliding window); between 0" in message
    assert "index_topk=2048" in refusal("DeepSeek-V3", index_topk=2048)
    assert "131,072" in message


def test_hints_that_are_off_do_not_matter() -> None:
    spec = read("Llama-3.1-8B", sliding_window=None, use_cla=False, kv_lora_rank=0, layer_types=None, mamba_d_state=[])
    assert spec.bytes_per_token(BF16) == 131_072


def test_an_unknown_model_names_what_is_missing_and_what_can_be_done() -> None:
    with pytest.raises(InputError, match=r"^f: unknown model_type 'novelty': num_key_value_heads: is missing"):
        model_from_config({k: v for k, v in PLAIN.items() if k != "num_key_value_heads"}, "x", "f")
    with pytest.raises(InputError, match=r"^f: no model_type: hidden_size: is missing; give the cache's shape with"):
        model_from_config({}, "x", "f")


def test_a_released_model_type_of_its_own_is_known_by_its_architecture() -> None:
    config = PUBLISHED["DeepSeek-V4-Flash"] | {"model_type": "deepseek_ref", "architectures": ["DeepseekV4ForCausalLM"]}
    spec = model_from_config(config, "x", "f")
    assert [layer.caches for layer in spec.layers] == [layer.caches for layer in read("DeepSeek-V4-Flash").layers]


def test_nested_parts() -> None:
    inner = PUBLISHED["Qwen2.5-7B"]
    for path in (["text_config"], ["llm_config"], ["language_config"], ["thinker_config", "text_config"]):
        config = inner
        for field in reversed(path):
            config = {"model_type": "wrapper", field: config}
        spec = model_from_config(config, "x", "f")
        assert spec.parameters == 7_615_616_512
        assert spec.source == "config.json (model_type qwen2)"
    with pytest.raises(InputError, match="llm_config: and text_config are both there"):
        model_from_config({"text_config": inner, "llm_config": inner}, "x", "f")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("meta-llama/Llama-3.1-8B", "Llama-3.1-8B"),
        ("/data/ckpts/Llama-3.1-70B-Instruct/", "Llama-3.1-70B-Instruct"),
        ("C:\\models\\Yi-6B", "Yi-6B"),
        ("", "given"),
        ("snapshots/5206a32e0bd3067aef1ce90f5528ade7d866253f", "given"),
        ("out/checkpoint-500", "given"),
        ("x/\x1b[31mred", "given"),
        ("a b c", "given"),
    ],
)
def test_names(path: str, name: str) -> None:
    config = PUBLISHED["Llama-3.1-8B"] | {"_name_or_path": path}
    assert model_from_config(config, "given", "f").name == name
