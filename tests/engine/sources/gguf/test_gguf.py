"""GGUF files of known models, written by the gguf package, against the facts; hostile files; what opening one costs."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter, quants
from gguf.constants import MODEL_ARCH_NAMES, GGMLQuantizationType, GGUFEndian, LlamaFileType
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MIB
from kvtui.engine.model.caches import Recurrent, Shared
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec, cache_bytes
from kvtui.engine.sources.gguf.architectures import ARCHITECTURES, NOT_READ, PLAIN, WITHOUT_CACHE
from kvtui.engine.sources.gguf.container import MAX_STRINGS
from kvtui.engine.sources.gguf.model import read_gguf
from tests.engine.sources.gguf.gguf_writing import HARMFUL, Shape, stored_bytes, write_gguf
from tests.engine.sources.work import at_most
from tests.paths import ROOT
from tests.present import present

BF16 = FORMATS["bf16"]


def shape(
    layers: int, hidden: int, heads: int | list[int], kv_heads: int | list[int], size: int = 0, **more: Any
) -> dict[str, Any]:
    """The keys that every transformer has; ``key_length`` and ``value_length`` only when ``size`` is given."""
    keys = {
        ".block_count": layers,
        ".embedding_length": hidden,
        ".context_length": 4096,
        ".attention.head_count": heads,
        ".attention.head_count_kv": kv_heads,
    }
    if size:
        keys |= {".attention.key_length": size, ".attention.value_length": size}
    return keys | {"." + name.replace("__", "."): value for name, value in more.items()}


def ssm(inner: int, state: int, heads: int, groups: int | None, conv: int = 4) -> dict[str, Any]:
    keys = {
        ".ssm.conv_kernel": conv,
        ".ssm.inner_size": inner,
        ".ssm.state_size": state,
        ".ssm.time_step_rank": heads,
    }
    return keys if groups is None else keys | {".ssm.group_count": groups}


def mla(
    layers: int, hidden: int, heads: int, rank: int = 512, kv_heads: int | list[int] = 1, **more: Any
) -> dict[str, Any]:
    latent = {
        ".attention.kv_lora_rank": rank,
        ".attention.key_length": rank + 64,
        ".attention.value_length": rank,
        ".attention.key_length_mla": 192,
        ".attention.value_length_mla": 128,
        ".rope.dimension_count": 64,
    }
    return shape(layers, hidden, heads, kv_heads, **more) | latent


def indexer(heads: int, top: int) -> dict[str, Any]:
    names = {"head_count": heads, "key_length": 128, "top_k": top}
    return {f".attention.indexer.{name}": value for name, value in names.items()}


def at(layers: int, places: list[int] | range | tuple[int, ...], value: int) -> list[int]:
    return [value if index in places else 0 for index in range(layers)]


SWA = ".attention.sliding_window"
PATTERN = ".attention.sliding_window_pattern"
NEMOTRON_ATTENTION = (7, 18, 29, 40)
NEMOTRON_FFN = [index for index in range(52) if index not in NEMOTRON_ATTENTION][1::2]
FIVE_TO_ONE = [index % 5 != 4 for index in range(35)]

# name: architecture, keys, then from the facts: growing bytes per token, indexer bytes per token, bounded bytes and
# state bytes per sequence. States whose fact has 16-bit state are given with the missing half added.
MODELS: dict[str, tuple[str, dict[str, Any], int, int, int, int | None]] = {
    "llama-3.2-3b": ("llama", shape(28, 3072, 24, 8, 128, rope__dimension_count=128), 114_688, 0, 0, 0),
    "llama-2-7b": ("llama", shape(32, 4096, 32, 32), 524_288, 0, 0, 0),
    "mixtral-8x7b": ("llama", shape(32, 4096, 32, 8, expert_count=8, expert_used_count=2), 131_072, 0, 0, 0),
    "nemotron-super-49b": (
        "deci",
        shape(80, 8192, [64, *at(79, range(48), 64)], [8, *at(79, range(48), 8)], 128),
        200_704,
        0,
        0,
        0,
    ),
    "llama-4-scout": ("llama4", shape(48, 5120, 40, 8, 128), 49_152, 0, 1152 * MIB, 0),
    "qwen2.5-7b": ("qwen2", shape(28, 3584, 28, 4), 57_344, 0, 0, 0),
    "qwen3-30b-a3b": ("qwen3moe", shape(48, 2048, 32, 4, 128), 98_304, 0, 0, 0),
    "qwen3-next-80b": (
        "qwen3next",
        shape(48, 2048, 16, 2, 256) | ssm(4096, 128, 32, 16) | {".full_attention_interval": 4},
        24_576,
        0,
        0,
        77_266_944,
    ),
    "qwen3.5-27b": ("qwen35", shape(64, 5120, 24, 4, 256) | ssm(6144, 128, 48, 16), 65_536, 0, 0, 153_944_064),
    "qwen3.5-35b-a3b": (
        "qwen35moe",
        shape(41, 2048, 16, 2, 256, nextn_predict_layers=1) | ssm(4096, 128, 32, 16),
        20_480,
        0,
        0,
        64_389_120,
    ),
    "gemma-2-9b": ("gemma2", shape(42, 3584, 16, 8, 256), 172_032, 0, 672 * MIB, 0),
    "gemma-3-4b": ("gemma3", shape(34, 2560, 8, 4, 256) | {SWA: 1024}, 20_480, 0, 116 * MIB, 0),
    "gemma-3n-e4b": (
        "gemma3n",
        shape(35, 2048, 8, 2, 256, attention__shared_kv_layers=15) | {SWA: 512, PATTERN: FIVE_TO_ONE},
        8_192,
        0,
        16 * MIB,
        0,
    ),
    "gemma-3n-e4b, as llama.cpp fills in": ("gemma3n", shape(35, 2048, 8, 2, 256) | {SWA: 512}, 8_192, 0, 16 * MIB, 0),
    "gemma-4-e4b": (
        "gemma4",
        shape(42, 2560, 8, 2, 512, attention__shared_kv_layers=18)
        | {SWA: 512, PATTERN: [index % 6 != 5 for index in range(42)]}
        | {".attention.key_length_swa": 256, ".attention.value_length_swa": 256},
        16_384,
        0,
        20 * MIB,
        0,
    ),
    "gemma-4-31b": (
        "gemma4",
        shape(60, 5376, 32, [4 if index % 6 == 5 else 16 for index in range(60)], 512, attention__shared_kv_layers=0)
        | {SWA: 1024, PATTERN: [index % 6 != 5 for index in range(60)]}
        | {".attention.key_length_swa": 256, ".attention.value_length_swa": 256},
        81_920,
        0,
        800 * MIB,
        0,
    ),
    "phi-3-mini": ("phi3", shape(32, 3072, 32, 32) | {SWA: 2047}, 393_216, 0, 0, 0),
    "starcoder2-7b": ("starcoder2", shape(32, 4608, 36, 4), 65_536, 0, 0, 0),
    "laguna": ("laguna", shape(8, 1024, 8, 2, 128) | {SWA: 512}, 2 * 1024, 0, 6 * 1024 * 512, 0),
    "laguna without windows": ("laguna", shape(8, 1024, 8, 2, 128) | {SWA: 0}, 8 * 1024, 0, 0, 0),
    "mellum": ("mellum", shape(8, 1024, 8, 2, 128) | {SWA: 512}, 2 * 1024, 0, 6 * 1024 * 512, 0),
    "muse-glimmer": ("muse-glimmer", shape(8, 1024, 8, 2, 128) | {SWA: 512}, 2 * 1024, 0, 6 * 1024 * 512, 0),
    "deepseek-v3": ("deepseek2", mla(61, 7168, 128), 70_272, 0, 0, 0),
    "deepseek-v2-lite, old file": (
        "deepseek2",
        shape(27, 2048, 16, 16)
        | {".attention.key_length": 192, ".attention.value_length": 128, ".attention.kv_lora_rank": 512},
        27 * 16 * (192 + 128) * 2,
        0,
        0,
        0,
    ),
    "mistral-small-4": ("mistral4", mla(36, 4096, 32, rank=256), 23_040, 0, 0, 0),
    "deepseek-v3.2": (
        "deepseek32",
        mla(62, 7168, 128, nextn_predict_layers=1) | indexer(64, 2048),
        70_272,
        8_052,
        0,
        0,
    ),
    "glm-5": ("glm-dsa", mla(78, 6144, 64) | indexer(32, 2048), 89_856, 10_296, 0, 0),
    "glm-5.2": ("glm-dsa", mla(78, 6144, 64) | indexer(32, 2048) | {".context_length": 1_048_576}, 89_856, 2_772, 0, 0),
    "kimi-linear-48b": (
        "kimi-linear",
        mla(27, 2304, 32, kv_heads=at(27, (3, 7, 11, 15, 19, 23, 26), 1))
        | {".kda.head_dim": 128, ".ssm.conv_kernel": 4},
        8_064,
        0,
        0,
        43_417_600,
    ),
    "glm-4.6": ("glm4moe", shape(93, 5120, 96, 8, 128, nextn_predict_layers=1), 376_832, 0, 0, 0),
    "gpt-oss-20b": ("gpt-oss", shape(24, 2880, 64, 8, 64) | {SWA: 128}, 24_576, 0, 3 * MIB, 0),
    "minimax-m2": ("minimax-m2", shape(62, 3072, 48, 8, 128), 253_952, 0, 0, 0),
    "minimax-m3": (
        "minimax-m3",
        shape(60, 6144, 64, 4, 128, leading_dense_block_count=3)
        | indexer(4, 16)
        | {".attention.indexer.block_size": 128},
        122_880,
        14_592,
        0,
        0,
    ),
    "minimax-text-01": (
        "minimax-01",
        shape(80, 6144, 64, 8, 128),
        40_960,
        0,
        0,
        146_800_640 + 70 * 64 * 128 * 128 * 2,
    ),
    "jamba-1.5-mini": (
        "jamba",
        shape(32, 4096, 32, at(32, (4, 12, 20, 28), 8)) | ssm(8192, 16, 256, None),
        16_384,
        0,
        0,
        8_716_288 + 28 * 8192 * 16 * 2,
    ),
    "nemotron-h-8b": (
        "nemotron_h",
        shape(52, 4096, 32, at(52, NEMOTRON_ATTENTION, 8), 128)
        | ssm(8192, 128, 128, 8)
        | {".feed_forward_length": at(52, NEMOTRON_FFN, 21504)},
        16_384,
        0,
        0,
        102_137_856,
    ),
    "falcon-h1-7b": (
        "falcon-h1",
        shape(44, 3072, 12, 2, 128) | ssm(3072, 256, 24, 1),
        45_056,
        0,
        0,
        70_152_192 + 44 * 24 * 128 * 256 * 2,
    ),
    "granite-4.0-h-small": (
        "granitehybrid",
        shape(40, 4096, 32, at(40, (5, 15, 25, 35), 8)) | ssm(8192, 128, 128, 1),
        16_384,
        0,
        0,
        77_322_240 + 36 * 128 * 64 * 128 * 2,
    ),
    "lfm2-1.2b": (
        "lfm2",
        shape(16, 2048, 32, at(16, (2, 5, 8, 10, 12, 14), 8), shortconv__l_cache=3),
        12_288,
        0,
        0,
        81_920,
    ),
    "olmo-2-7b": ("olmo2", shape(32, 4096, 32, 32), 524_288, 0, 0, 0),
    "olmo-3-7b": ("olmo2", shape(32, 4096, 32, 32) | {SWA: 4096}, 131_072, 0, 1536 * MIB, 0),
    "command-r": ("command-r", shape(40, 8192, 64, 64), 1_310_720, 0, 0, 0),
    "command-r7b": ("cohere2", shape(32, 4096, 32, 8, 128) | {SWA: 4096}, 32_768, 0, 384 * MIB, 0),
    "mimo-v2-flash": (
        "mimo2",
        shape(48, 4096, 64, [8 if index % 6 and index != 1 else 4 for index in range(48)])
        | {".attention.key_length": 192, ".attention.value_length": 128, SWA: 128}
        | {PATTERN: [bool(index % 6 and index != 1) for index in range(48)]},
        23_040,
        0,
        int(24.375 * MIB),
        0,
    ),
    "step-3.7-flash": (
        "step35",
        shape(45, 4096, [96 if index % 4 else 64 for index in range(45)], 8, 128)
        | {SWA: 512, PATTERN: [index % 4 != 0 for index in range(45)]},
        49_152,
        0,
        66 * MIB,
        0,
    ),
    "hunyuan-a13b": ("hunyuan-moe", shape(32, 4096, 32, 8, 128), 131_072, 0, 0, 0),
    "ministral-3-14b": ("mistral3", shape(40, 5120, 32, 8, 128), 163_840, 0, 0, 0),
    "mamba-2.8b": ("mamba", {".block_count": 64, ".embedding_length": 2560} | ssm(5120, 16, 160, None), 0, 0, 0, None),
}


@pytest.mark.parametrize("name", MODELS)
def test_caches_of_known_models(tmp_path: Path, name: str) -> None:
    arch, keys, growing, indexed, bounded, state = MODELS[name]
    model = read_gguf(write_gguf(tmp_path / "m.gguf", arch, keys))
    assert model.bytes_per_token(BF16) == growing
    assert model.bytes_per_token(BF16, "indexer") == indexed
    assert model.bounded_bytes(BF16) == bounded
    expected = 64 * (3 * 5120 * 2 + 5120 * 16 * 4) if state is None else state
    assert model.state_bytes() == expected
    mtp = keys.get(".nextn_predict_layers", 0)
    assert len(model.layers) == keys[".block_count"] - mtp
    assert len(model.mtp) == mtp
    assert all("state" not in growth for layer in model.mtp for growth in [c.growth for c in layer.caches])


def in_llama_cpp(model: ModelSpec) -> int:
    """Bytes of one sequence's R and S buffers, which llama.cpp keeps in F32."""
    states = [cache for layer in model.layers for cache in layer.caches if isinstance(cache, Recurrent)]
    return sum(4 * (state.conv_elements(1) + state.state_elements) for state in states)


def test_sizes_that_llama_cpp_logged(tmp_path: Path) -> None:
    def load(name: str) -> ModelSpec:
        return read_gguf(write_gguf(tmp_path / "m.gguf", *MODELS[name][:2]))

    def logged(name: str, tokens: int, kv: str) -> float:
        return load(name).bytes_per_token(FORMATS[kv]) * tokens / MIB

    assert logged("qwen3.5-27b", 131_072, "q8_0") == 4352.0
    assert 4 * in_llama_cpp(load("qwen3.5-27b")) / MIB == 598.5
    assert logged("gpt-oss-20b", 131_072, "fp16") == 3072.0
    assert logged("llama-3.2-3b", 4096, "fp16") == 448.0
    assert logged("llama-3.2-3b", 4096, "q8_0") == 2 * 119.0
    windowed = cache_bytes(load("gpt-oss-20b").caches, 128, FORMATS["fp16"]).bounded
    assert windowed / 128 * 768 / MIB == 18.0


def test_windowed_layers_come_in_the_right_order(tmp_path: Path) -> None:
    def caps(name: str) -> list[int | None]:
        layers = read_gguf(write_gguf(tmp_path / "m.gguf", *MODELS[name][:2])).layers
        return [layer.caches[0].cap for layer in layers]

    assert caps("gemma-3-4b")[:8] == [1024] * 5 + [None, 1024, 1024]
    assert caps("gpt-oss-20b")[:3] == [128, None, 128]
    assert caps("llama-4-scout")[:5] == [8192] * 3 + [None, 8192]
    assert caps("step-3.7-flash")[:5] == [None] + [512] * 3 + [None]


def test_gemma_3n_reads_the_last_own_layer_of_each_kind(tmp_path: Path) -> None:
    layers = read_gguf(write_gguf(tmp_path / "m.gguf", *MODELS["gemma-3n-e4b"][:2])).layers
    assert [layer.caches[0].kind for layer in layers[18:]] == ["sliding_window", "full"] + ["shared"] * 15
    shared = [layers[index].caches[0] for index in range(20, 25)]
    reads = [cache.reads for cache in shared if isinstance(cache, Shared)]
    assert [read.cap for read in reads] == [512] * 4 + [None]


def test_predicting_layers_are_kept_apart(tmp_path: Path) -> None:
    model = read_gguf(write_gguf(tmp_path / "m.gguf", *MODELS["deepseek-v3.2"][:2]))
    assert [cache.kind for cache in model.layers[0].caches] == ["latent", "sparse_indexer"]
    assert [[cache.kind for cache in layer.caches] for layer in model.mtp] == [["latent"]]


def test_a_window_that_llama_cpp_ignores_is_noted(tmp_path: Path) -> None:
    model = read_gguf(write_gguf(tmp_path / "m.gguf", *MODELS["phi-3-mini"][:2]))
    assert any("2,047" in note and "full attention" in note for note in model.notes)


def test_states_are_noted_as_llama_cpp_keeps_them(tmp_path: Path) -> None:
    def noted(name: str) -> bool:
        return any("F32" in note for note in read_gguf(write_gguf(tmp_path / "m.gguf", *MODELS[name][:2])).notes)

    assert noted("qwen3.5-27b")
    assert not noted("llama-2-7b")


def test_a_file_without_tensors_has_no_known_weights(tmp_path: Path) -> None:
    model = read_gguf(write_gguf(tmp_path / "m.gguf", *MODELS["llama-2-7b"][:2]))
    assert (model.weight_bytes, model.parameters, model.layers[0].parameters) == (None, None, None)
    assert any("no tensors" in note for note in model.notes)


LLAMA_3_2_3B = {
    "token_embd.weight": ((3072, 128256), "Q6_K"),
    "output_norm.weight": ((3072,), "F32"),
    **{
        f"blk.{layer}.{part}.weight": tensor
        for layer in range(28)
        for part, tensor in {
            "attn_norm": ((3072,), "F32"),
            "attn_q": ((3072, 3072), "Q4_K"),
            "attn_k": ((3072, 1024), "Q4_K"),
            "attn_v": ((3072, 1024), "Q6_K"),
            "attn_output": ((3072, 3072), "Q4_K"),
            "ffn_norm": ((3072,), "F32"),
            "ffn_gate": ((3072, 8192), "Q4_K"),
            "ffn_up": ((3072, 8192), "Q4_K"),
            "ffn_down": ((8192, 3072), "Q6_K"),
        }.items()
    },
}


def test_weights_of_llama_3_2_3b(tmp_path: Path) -> None:
    named = {"general.name": "Llama 3.2 3B Instruct", "general.file_type": int(LlamaFileType.MOSTLY_Q4_K_M)}
    vocabulary = {"tokenizer.ggml.tokens": [f"<{index}>" for index in range(500)], ".vocab_size": 128_256}
    keys = MODELS["llama-3.2-3b"][1] | named | vocabulary
    model = read_gguf(write_gguf(tmp_path / "m.gguf", "llama", keys, LLAMA_3_2_3B, whole=True))
    assert model.parameters == model.active_parameters == 3_212_749_824
    assert model.parameters_from == "file"
    assert model.weight_bytes == sum(stored_bytes(*tensor) for tensor in LLAMA_3_2_3B.values())
    assert model.layers[0].parameters == (3_212_749_824 - 3072 * 128_257) // 28
    assert {layer.width for layer in model.layers} == {8192}
    assert (model.name, model.source) == ("Llama 3.2 3B Instruct", "GGUF header (llama, Q4_K_M)")
    assert (model.hidden, model.vocab, model.max_context) == (3072, 128_256, 4096)
    assert model.notes == ()


def test_the_vocabulary_is_stated_or_counted(tmp_path: Path) -> None:
    def vocabulary(keys: dict[str, Any], tensors: dict[str, Shape]) -> int | None:
        return read_gguf(write_gguf(tmp_path / "m.gguf", "llama", MODELS["llama-2-7b"][1] | keys, tensors)).vocab

    tokens: dict[str, Any]
    embedding: dict[str, Shape]
    tokens, embedding = {"tokenizer.ggml.tokens": ["a", "b", "c"]}, {"token_embd.weight": (4096, 32_000)}
    assert vocabulary(tokens | {".vocab_size": 5}, embedding) == 5
    assert vocabulary(tokens, embedding) == 3
    assert vocabulary({}, embedding) == 32_000
    assert vocabulary({}, {}) is None


def test_weights_agree_with_the_gguf_packages_own_reader(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = GGUFWriter(path, "llama")
    for key, value in shape(1, 256, 4, 2).items():
        writer.add_uint32(f"llama{key}", value)
    kinds = ("Q8_0", "Q4_0", "Q5_1", "BF16", "MXFP4")
    data = np.linspace(-1, 1, 512 * 256, dtype=np.float32).reshape(512, 256)
    for kind in kinds:
        raw = GGMLQuantizationType[kind]
        writer.add_tensor(f"blk.0.{kind}.weight", quants.quantize(data, raw), raw_dtype=raw)
    writer.add_tensor("blk.0.odd.weight", np.zeros((3, 7), np.float16))
    writer.add_tensor("output_norm.weight", np.zeros(33, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reader = GGUFReader(path)
    model = read_gguf(path)
    assert model.weight_bytes == sum(tensor.n_bytes for tensor in reader.tensors)
    assert model.parameters == sum(tensor.n_elements for tensor in reader.tensors) == 5 * 512 * 256 + 21 + 33
    assert model.notes == ()


def moe_tensors(
    layers: int, hidden: int, experts: int, width: int, shared: int
) -> dict[str, Shape | tuple[Shape, str]]:
    tensors: dict[str, Shape | tuple[Shape, str]] = {
        "token_embd.weight": (hidden, 1000),
        "output.weight": (hidden, 1000),
    }
    for layer in range(layers):
        tensors |= {
            f"blk.{layer}.attn_q.weight": (hidden, hidden),
            f"blk.{layer}.ffn_gate_inp.weight": ((hidden, experts), "F32"),
            f"blk.{layer}.exp_probs_b.bias": ((experts,), "F32"),
            f"blk.{layer}.ffn_gate_exps.weight": ((hidden, width, experts), "Q4_K"),
            f"blk.{layer}.ffn_up_exps.weight": ((hidden, width, experts), "Q4_K"),
            f"blk.{layer}.ffn_down_exps.weight": ((width, hidden, experts), "Q6_K"),
            f"blk.{layer}.ffn_down_shexp.weight": (shared, hidden),
        }
    return tensors


def test_experts_and_predicting_layers_are_not_active(tmp_path: Path) -> None:
    keys = shape(3, 512, 8, 2, expert_count=16, expert_used_count=2, nextn_predict_layers=1)
    tensors = moe_tensors(3, 512, 16, 256, 128)
    model = read_gguf(write_gguf(tmp_path / "m.gguf", "glm4moe", keys, tensors))
    expert = 3 * 512 * 256
    rest = 512 * 512 + 512 * 16 + 16 + 128 * 512
    layer = model.layers[1]
    experts = present(layer.experts)
    assert (experts.total, experts.active, experts.parameters) == (16, 2, expert)
    assert (layer.parameters, layer.width) == (rest, 2 * 256 + 128)
    assert model.parameters == 2 * 512 * 1000 + 3 * (rest + 16 * expert)
    assert model.active_parameters == 2 * 512 * 1000 + 2 * (rest + 2 * expert)
    assert len(model.layers) == 2
    assert model.mtp[0].total_parameters == rest + 16 * expert


def test_old_files_with_a_tensor_per_expert(tmp_path: Path) -> None:
    tensors = {
        f"blk.0.ffn_{part}.{expert}.weight": (256, 512) for part in ("gate", "up", "down") for expert in range(8)
    }
    keys = shape(1, 256, 4, 2, expert_count=8, expert_used_count=2)
    (layer,) = read_gguf(write_gguf(tmp_path / "m.gguf", "llama", keys, tensors)).layers
    assert (layer.parameters, present(layer.experts).parameters) == (0, 3 * 256 * 512)


def test_predicting_layers_without_tensors_are_not_there(tmp_path: Path) -> None:
    keys = shape(3, 512, 8, 2, expert_count=16, expert_used_count=2, nextn_predict_layers=1)
    model = read_gguf(write_gguf(tmp_path / "m.gguf", "glm4moe", keys, moe_tensors(2, 512, 16, 256, 128)))
    assert (len(model.layers), model.mtp) == (2, ())


def test_one_row_of_the_per_layer_embeddings_is_active(tmp_path: Path) -> None:
    arch, keys, *_ = MODELS["gemma-3n-e4b"]
    tensors: dict[str, Shape | tuple[Shape, str]]
    tensors = {"token_embd.weight": (2048, 262_400), "per_layer_token_embd.weight": ((8960, 262_144), "Q8_0")}
    model = read_gguf(write_gguf(tmp_path / "m.gguf", arch, keys, tensors))
    assert model.parameters == 2048 * 262_400 + 8960 * 262_144
    assert model.active_parameters == 2048 * 262_400 + 8960


def test_big_endian_files(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", *MODELS["qwen3-next-80b"][:2], endian=GGUFEndian.BIG)
    assert path.read_bytes()[4:8] == b"\0\0\0\3"
    assert read_gguf(path).state_bytes() == 77_266_944


def test_an_incomplete_download_is_noted(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", *MODELS["llama-2-7b"][:2], {"token_embd.weight": (4096, 32000)}, whole=True)
    assert read_gguf(path).notes == ()
    os.truncate(path, path.stat().st_size - 2**20)
    model = read_gguf(path)
    assert model.weight_bytes == 4096 * 32000 * 2
    assert any("1.00 MiB" in note and "incomplete" in note for note in model.notes)


def test_names_are_made_plain(tmp_path: Path) -> None:
    keys = MODELS["llama-2-7b"][1] | {"general.name": "evil\x1b[2J\nname\u202e"}
    name = read_gguf(write_gguf(tmp_path / "m.gguf", "llama", keys)).name
    assert not HARMFUL.search(name)
    assert name.startswith("evil")
    assert read_gguf(write_gguf(tmp_path / "some-model.gguf", "llama", MODELS["llama-2-7b"][1])).name == "some-model"


def write_split(folder: Path) -> list[Path]:
    tensors: list[dict[str, Shape | tuple[Shape, str]]]
    tensors = [{"token_embd.weight": (64, 100)}, {"blk.0.a.weight": (64, 64)}, {"blk.1.a.weight": ((64, 64), "F32")}]
    keys = shape(2, 64, 4, 2) | {"general.name": "Split", "split.tensors.count": 3}
    paths = []
    for part, held in enumerate(tensors):
        numbers: dict[str, Any] = {"split.no": part, "split.count": 3}
        path = folder / f"split-{part + 1:05}-of-00003.gguf"
        arch, told = ("llama", numbers | keys) if part == 0 else (None, numbers)
        paths.append(write_gguf(path, arch, told, held, whole=True))
    return paths


def test_split_files_are_summed(tmp_path: Path) -> None:
    first, *_ = write_split(tmp_path)
    model = read_gguf(first)
    assert model.weight_bytes == 2 * 6400 + 2 * 4096 + 4 * 4096
    assert model.parameters == 6400 + 2 * 4096
    assert [layer.parameters for layer in model.layers] == [4096, 4096]
    assert model.notes == ()


def test_missing_parts_are_named(tmp_path: Path) -> None:
    first, second, _ = write_split(tmp_path)
    second.unlink()
    model = read_gguf(first)
    assert (model.weight_bytes, model.parameters, model.active_parameters) == (None, None, None)
    assert model.bytes_per_token(BF16) == 2 * 2 * 2 * 16 * 2
    assert {layer.parameters for layer in model.layers} == {None}
    assert any("split-00002-of-00003.gguf not found" in note for note in model.notes)


def test_a_renamed_part_has_no_known_weights(tmp_path: Path) -> None:
    first, *_ = write_split(tmp_path)
    model = read_gguf(first.rename(tmp_path / "renamed.gguf"))
    assert model.weight_bytes is None
    assert any("NAME-00001-of-00003.gguf" in note for note in model.notes)


def test_a_later_part_names_the_first(tmp_path: Path) -> None:
    _, second, _ = write_split(tmp_path)
    with pytest.raises(InputError, match=r"part 2 of a split file: give the first part, split-00001-of-00003\.gguf"):
        read_gguf(second)


def test_parts_that_do_not_belong_together(tmp_path: Path) -> None:
    first, second, third = write_split(tmp_path)
    other = second.read_bytes()
    second.write_bytes(third.read_bytes())
    with pytest.raises(InputError, match=r"split-00002-of-00003\.gguf: split\.no"):
        read_gguf(first)
    second.write_bytes(other)
    write_gguf(third, None, {"split.no": 2, "split.count": 3}, {"blk.0.a.weight": (64, 64)})
    with pytest.raises(InputError, match=r"blk\.0\.a\.weight is in another part"):
        read_gguf(first)
    write_gguf(third, None, {"split.no": 2, "split.count": 3}, {"x": (64,), "y": (64,)})
    with pytest.raises(InputError, match=r"split\.tensors\.count: is 3, but the parts hold 4"):
        read_gguf(first)


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no layers": ({".block_count": 0}, "block_count"),
    "too many layers": ({".block_count": 10**6}, "block_count"),
    "layers as text": ({".block_count": "32"}, "block_count"),
    "layers as truth": ({".block_count": True}, "block_count"),
    "layers as fraction": ({".block_count": 32.0}, "block_count"),
    "negative heads": ({".attention.head_count_kv": -8}, "head_count_kv"),
    "huge heads": ({".attention.head_count_kv": 2**40}, "head_count_kv"),
    "heads that do not divide": ({".attention.head_count_kv": 7}, r"head_count_kv: 7 .*attention\.head_count, 32"),
    "array of another length": ({".attention.head_count_kv": [8] * 31}, "31 entries for 32 layers"),
    "array of floats": ({".attention.head_count_kv": [8.0] * 32}, "head_count_kv"),
    "array of texts": ({".attention.head_count_kv": ["8"] * 32}, "head_count_kv"),
    "very long array": ({".attention.head_count_kv": [8] * 10_000}, "head_count_kv"),
    "no heads at all": ({".attention.head_count": 0}, "head_count"),
    "no cache at all": ({".attention.head_count_kv": 0}, "no layer keeps"),
    "no width and no head size": ({".embedding_length": 4097}, "key_length.*embedding_length"),
    "rotated part of a head": ({".rope.dimension_count": 64}, r"rope\.dimension_count: 64 .*128"),
    "all layers predict": ({".nextn_predict_layers": 32}, "nextn_predict_layers.*block_count"),
    "name as number": ({"general.name": 5}, r"general\.name"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_name_the_key(tmp_path: Path, case: str) -> None:
    changed, message = CONTRADICTIONS[case]
    path = write_gguf(tmp_path / "m.gguf", "llama", MODELS["llama-2-7b"][1] | changed)
    with pytest.raises(InputError, match=message) as caught:
        read_gguf(path)
    assert str(path) in str(caught.value)
    assert not HARMFUL.search(str(caught.value))


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("deepseek-v3", {".attention.key_length": 600}, r"key_length: 600 contradicts .*512.*64"),
        ("deepseek-v3", {".attention.head_count_kv": 128}, "head_count_kv: 128 .*one head"),
        ("qwen3-next-80b", {".ssm.time_step_rank": 33}, r"ssm\.inner_size.*time_step_rank, 33"),
        ("qwen3-next-80b", {".ssm.group_count": 5}, r"ssm\.time_step_rank.*group_count, 5"),
        ("qwen3-next-80b", {".full_attention_interval": 0}, "full_attention_interval"),
        ("gpt-oss-20b", {SWA: 0}, "sliding_window"),
        ("gpt-oss-20b", {PATTERN: [True] * 7}, "sliding_window_pattern: has 7 entries"),
        ("gemma-3n-e4b", {".attention.shared_kv_layers": 34}, "shared_kv_layers: 34 leaves less than 2"),
        ("gemma-3n-e4b", {".attention.shared_kv_layers": 36}, "shared_kv_layers: 36 leaves less than 2"),
    ],
)
def test_contradictions_of_other_architectures(
    tmp_path: Path, name: str, changed: dict[str, Any], message: str
) -> None:
    arch, keys, *_ = MODELS[name]
    with pytest.raises(InputError, match=message):
        read_gguf(write_gguf(tmp_path / "m.gguf", arch, keys | changed))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("gpt-oss-20b", SWA),
        ("mimo-v2-flash", PATTERN),
        ("deepseek-v3", ".attention.kv_lora_rank"),
        ("qwen3-next-80b", ".ssm.state_size"),
        ("lfm2-1.2b", ".shortconv.l_cache"),
        ("kimi-linear-48b", ".kda.head_dim"),
        ("glm-5", ".attention.indexer.key_length"),
        ("llama-2-7b", ".block_count"),
        ("llama-2-7b", ".attention.head_count"),
        ("llama-2-7b", "general.architecture"),
    ],
)
def test_missing_keys_are_named(tmp_path: Path, name: str, key: str) -> None:
    known, keys, *_ = MODELS[name]
    keys = {other: value for other, value in keys.items() if other != key}
    arch: str | None = known
    if key == ".attention.head_count":
        del keys[".attention.head_count_kv"]
    elif key == "general.architecture":
        arch = None
    with pytest.raises(InputError, match=key.removeprefix(".").replace(".", r"\.")):
        read_gguf(write_gguf(tmp_path / "m.gguf", arch, keys))


@pytest.mark.parametrize(
    ("keys", "tensors", "message"),
    [
        ({".expert_count": 0}, {}, "expert_count"),
        ({".expert_used_count": 0}, {}, "expert_used_count"),
        ({".expert_used_count": 17}, {}, "expert_used_count: is 17 .*expert_count, 16"),
        ({".expert_count": 15}, {}, "expert_count: 15 does not divide"),
        ({}, {"blk.3.attn_q.weight": (32,)}, r"block_count: is 3, but there is a tensor blk\.3\.attn_q\.weight"),
    ],
)
def test_tensors_that_contradict_the_keys(
    tmp_path: Path, keys: dict[str, Any], tensors: dict[str, Shape], message: str
) -> None:
    keys = shape(3, 512, 8, 2, expert_count=16, expert_used_count=2) | keys
    every = {**moe_tensors(3, 512, 16, 256, 128), **tensors}
    with pytest.raises(InputError, match=message):
        read_gguf(write_gguf(tmp_path / "m.gguf", "qwen3moe", keys, every))


def test_an_unknown_architecture_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'qwen3mo' is not an .*qwen3moe.*524,288 bytes per token"):
        read_gguf(write_gguf(tmp_path / "m.gguf", "qwen3mo", MODELS["llama-2-7b"][1]))
    with pytest.raises(InputError, match="'novel' is not an architecture that kvtui knows") as caught:
        read_gguf(write_gguf(tmp_path / "m.gguf", "novel", {}))
    assert "bytes" not in str(caught.value)


READ_FROM_HEADS_ALONE = PLAIN | {
    *("afmoe", "deepseek2", "exaone4", "gemma2", "gemma3", "granitehybrid", "jamba", "laguna", "lfm2", "lfm2moe"),
    *("llama4", "mellum", "minimax-01", "nemotron_h", "nemotron_h_moe", "olmo2", "plamo2", "plamo3", "smallthinker"),
}


@pytest.mark.parametrize("arch", sorted(set(MODEL_ARCH_NAMES.values()) | set(NOT_READ)))
def test_every_architecture_of_the_gguf_package_is_known_or_refused_with_the_reason(tmp_path: Path, arch: str) -> None:
    reason = f"is {WITHOUT_CACHE[arch]}" if arch in WITHOUT_CACHE else f"is not read: {NOT_READ.get(arch)}"
    assert (arch in ARCHITECTURES) is (arch not in WITHOUT_CACHE and arch not in NOT_READ)
    if arch not in ARCHITECTURES:
        with pytest.raises(InputError, match=f"{arch} {reason}$"):
            read_gguf(write_gguf(tmp_path / "m.gguf", arch, shape(8, 256, 8, 2)))


def test_layers_that_run_several_times_keep_so_many_caches(tmp_path: Path) -> None:
    once, thrice = (
        read_gguf(write_gguf(tmp_path / "m.gguf", "nanbeige", shape(8, 256, 8, 2) | more))
        for more in ({}, {".num_loops": 3})
    )
    assert once.bytes_per_token(BF16) == 8 * 2 * 2 * 32 * 2
    assert thrice.bytes_per_token(BF16) == 3 * once.bytes_per_token(BF16)


def test_hunyuan_4_has_index_keys_where_its_file_says_so(tmp_path: Path) -> None:
    plain = mla(8, 1024, 16)
    listed = plain | indexer(4, 512) | {".attention.indexer.types": [1, 1, 0, 0, 0, 1, 0, 0]}
    without, sparse = (read_gguf(write_gguf(tmp_path / "m.gguf", "hy_v4", keys)) for keys in (plain, listed))
    assert without.layer_kinds == {"latent": 8}
    assert sparse.layer_kinds == {"latent": 8, "sparse_indexer": 3}
    with pytest.raises(InputError, match=r"indexer\.types: is missing, and hy_v4 needs it"):
        read_gguf(write_gguf(tmp_path / "m.gguf", "hy_v4", plain | indexer(4, 512)))


def test_rwkv_keeps_a_matrix_per_head_and_the_inputs_of_its_token_shifts(tmp_path: Path) -> None:
    keys = {".block_count": 32, ".embedding_length": 2560, ".wkv.head_size": 64, ".attention.head_count": 0}
    for arch, more, shifts in (("rwkv7", {}, 2), ("rwkv6qwen2", {".token_shift_count": 1}, 1)):
        model = read_gguf(write_gguf(tmp_path / "m.gguf", arch, keys | more))
        assert model.bytes_per_token(BF16) == 0
        assert model.state_bytes() == 32 * (2560 * 64 * 4 + shifts * 2560 * 2)
        # llama.cpp keeps both in F32: n_embd_s = n_embd · head size, n_embd_r = shifts · n_embd
        assert in_llama_cpp(model) == 32 * 4 * (2560 * 64 + shifts * 2560)
    with pytest.raises(InputError, match=r"wkv\.head_size: 60 does not divide embedding_length, 2560"):
        read_gguf(write_gguf(tmp_path / "m.gguf", "rwkv7", keys | {".wkv.head_size": 60}))


def test_t5_keeps_k_and_v_in_its_decoder(tmp_path: Path) -> None:
    keys = shape(24, 1024, 16, 16, 64)
    assert len(read_gguf(write_gguf(tmp_path / "m.gguf", "t5", keys)).layers) == 24
    assert len(read_gguf(write_gguf(tmp_path / "m.gguf", "t5", keys | {".decoder_block_count": 12})).layers) == 12


def test_latent_projections_that_llama_cpp_does_not_absorb_cache_whole_heads(tmp_path: Path) -> None:
    sizes = {".attention.kv_lora_rank": 256, ".rope.dimension_count": 32}
    keys = shape(62, 2560, 40, 40) | {".attention.key_length": 96, ".attention.value_length": 64} | sizes
    model = read_gguf(write_gguf(tmp_path / "m.gguf", "minicpm3", keys))
    assert model.bytes_per_token(BF16) == 62 * 40 * (96 + 64) * 2


@pytest.mark.parametrize("arch", sorted(READ_FROM_HEADS_ALONE))
def test_architectures_that_heads_are_enough_for(tmp_path: Path, arch: str) -> None:
    model = read_gguf(write_gguf(tmp_path / "m.gguf", arch, shape(8, 256, 8, 2)))
    assert len(model.layers) == 8
    assert {cache.entry_bytes(BF16, 1) for cache, _ in model.caches if cache.growth != "state"} == {2 * 2 * 32 * 2}


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES - READ_FROM_HEADS_ALONE))
def test_other_architectures_name_the_missing_key(tmp_path: Path, arch: str) -> None:
    with pytest.raises(InputError, match=rf"m\.gguf: {arch}\.[a-z_.]+: is missing, and {arch} needs it$"):
        read_gguf(write_gguf(tmp_path / "m.gguf", arch, shape(4, 256, 8, 2)))


def outcome(path: Path) -> ModelSpec | str:
    """The model, or what is wrong with the file."""
    try:
        return read_gguf(path)
    except InputError as error:
        return str(error)


def test_a_large_tokenizer_takes_one_look_per_text(tmp_path: Path) -> None:
    texts = [f"token {index}" for index in range(100_000)]
    tokenizer = {
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.merges": texts,
        "tokenizer.ggml.scores": [0.5] * len(texts),
        "tokenizer.chat_template": "x" * 10**6,
    }
    path = write_gguf(tmp_path / "m.gguf", "llama", MODELS["llama-2-7b"][1] | tokenizer)
    with at_most(2 * len(texts) + 5000):
        assert read_gguf(path).vocab == 100_000


def test_a_sparse_file_of_40_gigabytes_is_not_read(tmp_path: Path) -> None:
    tensors = {"token_embd.weight": (4096, 32000), **{f"blk.{n}.w.weight": (2**14, 2**15) for n in range(32)}}
    path = write_gguf(tmp_path / "m.gguf", "llama", MODELS["llama-2-7b"][1], tensors, whole=True)
    assert path.stat().st_size > 30 * 2**30
    with at_most(5000):
        assert read_gguf(path).weight_bytes == 2 * (4096 * 32000 + 32 * 2**29)


def field(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def head(tensors: int = 0, keys: int = 0, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, tensors, keys)


def info(name: bytes, shape: tuple[int, ...], kind: int = 0, offset: int = 0, dimensions: int | None = None) -> bytes:
    count = len(shape) if dimensions is None else dimensions
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", count, *shape, kind, offset)


LLAMA = field(b"general.architecture", 8, text(b"llama"))
HUGE = 2**60
HOSTILE = {
    "empty": (b"", "does not begin with GGUF"),
    "two bytes": (b"GG", "does not begin with GGUF"),
    "zeros": (bytes(4096), "does not begin with GGUF"),
    "another format": (b"PK\3\4" + bytes(100), "does not begin with GGUF"),
    "magic alone": (b"GGUF", "ends inside its header"),
    "version 1": (head(version=1), "version is 1"),
    "version 0": (head(version=0), "version is 0"),
    "version of the future": (head(version=4), "version is 4"),
    "no counts": (b"GGUF\3\0\0\0\1", "ends inside its header"),
    "keys without end": (head(keys=HUGE), "claims 1,152,921,504,606,846,976 metadata keys"),
    "tensors without end": (head(tensors=2**64 - 1), "claims 18,446,744,073,709,551,615 tensors"),
    "more keys than bytes": (head(keys=9999), "ends inside its header"),
    "more tensors than bytes": (head(tensors=65536, keys=1) + LLAMA, "ends inside its header"),
    "endless key": (head(keys=1) + struct.pack("<Q", HUGE), "metadata key is"),
    "key past the end": (head(keys=1) + struct.pack("<Q", 100) + b"abc", "ends inside its header"),
    "key not UTF-8": (head(keys=1) + field(b"\xff\xfe", 4, bytes(4)), "metadata key is not UTF-8"),
    "key twice": (head(keys=2) + LLAMA + LLAMA, "general.architecture appears twice"),
    "endless text": (head(keys=1) + field(b"a", 8, struct.pack("<Q", 2**64 - 1)), "ends inside its header"),
    "architecture not UTF-8": (head(keys=1) + field(b"general.architecture", 8, text(b"\xff")), "is not UTF-8"),
    "architecture a number": (head(keys=1) + field(b"general.architecture", 4, bytes(4)), "must be a text"),
    "unknown value type": (head(keys=1) + field(b"a", 13, bytes(8)), "a is of the unknown type 13"),
    "endless array": (head(keys=1) + field(b"a", 9, struct.pack("<IQ", 4, HUGE)), "ends inside its header"),
    "array that wraps around": (head(keys=1) + field(b"a", 9, struct.pack("<IQ", 10, 2**61)), "ends inside"),
    "endless texts": (head(keys=1) + field(b"a", 9, struct.pack("<IQ", 8, HUGE)), "more than 2,097,152 strings"),
    "texts past the end": (head(keys=1) + field(b"a", 9, struct.pack("<IQQ", 8, 2, HUGE)), "ends inside"),
    "array of arrays": (head(keys=1) + field(b"a", 9, struct.pack("<IQ", 9, 1)), "unknown type 9"),
    "many short arrays": (
        head(keys=65) + b"".join(field(b"%d" % n, 9, struct.pack("<IQ", 0, 4096) + bytes(4096)) for n in range(65)),
        "short arrays hold more than 262,144 numbers",
    ),
    "array of unknown type": (head(keys=1) + field(b"a", 9, struct.pack("<IQ", 99, 1)), "unknown type 99"),
    "odd alignment": (head(keys=1) + field(b"general.alignment", 4, struct.pack("<I", 33)), "power of two"),
    "no alignment": (head(keys=1) + field(b"general.alignment", 4, struct.pack("<I", 0)), "power of two"),
    "alignment a text": (head(keys=1) + field(b"general.alignment", 8, text(b"32")), "power of two"),
    "five dimensions": (head(1) + info(b"t", (1, 1, 1, 1, 1)), "5 dimensions"),
    "endless dimensions": (head(1) + info(b"t", (), dimensions=2**32 - 1), "4,294,967,295 dimensions"),
    "huge tensor": (head(1) + info(b"t", (2**63, 2**63)), "larger than"),
    "unknown tensor type": (head(1) + info(b"t", (32,), kind=4), "t is of the unknown type 4"),
    "half a block": (head(1) + info(b"t", (33,), kind=8), "no multiple of 32, the block of Q8_0"),
    "tensor twice": (head(2) + info(b"t", (32,)) + info(b"t", (32,), offset=128), "t appears twice"),
    "offset elsewhere": (head(1) + info(b"t", (32,), offset=2**64 - 32), "is at offset"),
    "overlapping tensors": (head(2) + info(b"s", (32,)) + info(b"t", (32,)), "at offset 0 instead of 128"),
    "control characters": (head(keys=1) + field(b"\x1b[2J\n", 13, b""), "unknown type 13"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_end_in_one_line(tmp_path: Path, case: str) -> None:
    content, message = HOSTILE[case]
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with at_most(5000), pytest.raises(InputError) as caught:
        read_gguf(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert not HARMFUL.search(str(caught.value))


HOSTILE_COUNTS = {
    "texts": head(keys=1) + field(b"a", 9, struct.pack("<IQ", 8, 2**21)),
    "array": head(keys=1) + field(b"a", 9, struct.pack("<IQ", 0, 2**36)),
    "text": head(keys=1) + field(b"a", 8, struct.pack("<Q", 2**36)),
    "keys": head(keys=10_000),
    "tensors": head(tensors=2**16, keys=1) + LLAMA,
    "key": head(keys=1) + struct.pack("<Q", 2**16 - 1),
}
READ_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from kvtui.engine.basis.errors import InputError
from kvtui.engine.sources.gguf.model import read_gguf
from tests.engine.sources.work import at_most
for path in sys.argv[1:]:
    with at_most(10**7) as made:
        try:
            read_gguf(Path(path))
        except InputError:
            print(made[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files and getrusage in KiB")
def test_hostile_counts_in_files_of_100_gigabytes(tmp_path: Path) -> None:
    for name, content in HOSTILE_COUNTS.items():
        (tmp_path / name).write_bytes(content)
        os.truncate(tmp_path / name, 100 * 2**30)
    paths = [str(tmp_path / name) for name in HOSTILE_COUNTS]
    command = [sys.executable, "-c", READ_IN_LITTLE_MEMORY, *paths]
    *calls, peak = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert len(calls) == len(paths)
    assert max(map(int, calls)) < 1.1 * MAX_STRINGS
    assert int(peak) < 800 * 2**10


def complete_file(folder: Path) -> bytes:
    keys = MODELS["qwen3-next-80b"][1] | {"general.name": "x", "tokenizer.ggml.tokens": ["a", "b"], ".expert_count": 4}
    keys |= {".block_count": 4, ".expert_used_count": 2}
    return write_gguf(folder / "valid.gguf", "qwen3next", keys, moe_tensors(4, 256, 4, 256, 32)).read_bytes()


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return complete_file(tmp_path_factory.mktemp("valid"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "m.gguf"


def check(path: Path, content: bytes) -> None:
    """``content`` is a model whose numbers can be asked for, or ends in one printable line, without much ado."""
    path.write_bytes(content)
    with at_most(50_000):
        read = outcome(path)
    if isinstance(read, str):
        assert not HARMFUL.search(read)
    else:
        assert read.layers
        assert not HARMFUL.search(read.name)
        assert not HARMFUL.search(read.source)
        assert read.bytes_per_token(BF16) + read.bounded_bytes(BF16) + read.state_bytes() > 0


@given(data=st.data())
def test_any_changed_bytes(scratch: Path, valid: bytes, data: DataObject) -> None:
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "insert", "delete", "number"])):
            case "flip":
                content[place] ^= 1 << data.draw(st.integers(0, 7))
            case "insert":
                content[place:place] = data.draw(st.binary(min_size=1, max_size=9))
            case "delete":
                del content[place : place + data.draw(st.integers(1, 9))]
            case "number":
                number = data.draw(st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**60, 2**63, 2**64 - 1]))
                content[place : place + 8] = struct.pack("<Q", number)
    check(scratch, bytes(content))


@given(end=st.integers(0, 10_000))
def test_any_truncation(scratch: Path, valid: bytes, end: int) -> None:
    check(scratch, valid[: end % len(valid)])


@given(noise=st.binary(max_size=300), begin=st.sampled_from([b"", head(2, 3), head(1, 1) + LLAMA]))
def test_any_noise(scratch: Path, noise: bytes, begin: bytes) -> None:
    check(scratch, begin + noise)


@given(
    arch=st.sampled_from(sorted(ARCHITECTURES)),
    keys=st.dictionaries(
        st.sampled_from(sorted({key for _, keys, *_ in MODELS.values() for key in keys})),
        st.one_of(
            st.integers(0, 16),
            st.integers(-(2**63), 2**63 - 1),
            st.booleans(),
            st.text(max_size=5),
            st.lists(st.integers(0, 8), min_size=4, max_size=4),
            st.lists(st.booleans(), min_size=4, max_size=4),
        ),
    ),
)
def test_any_keys(scratch: Path, arch: str, keys: dict[str, int | list[int]]) -> None:
    check(scratch, write_gguf(scratch, arch, shape(4, 64, 4, 2) | keys).read_bytes())


def test_a_byte_of_every_place_can_be_anything(scratch: Path, valid: bytes) -> None:
    for place in range(0, len(valid), 7):
        check(scratch, valid[:place] + bytes([valid[place] ^ 0xFF]) + valid[place + 1 :])


def test_sizes_of_written_tensors_are_those_of_the_reader(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", "llama", {}, {"t": ((64, 3), "Q8_0")}, whole=True)
    (tensor,) = GGUFReader(path).tensors
    assert (tensor.n_elements, tensor.n_bytes) == (prod((64, 3)), 204)
