"""Files that the gguf package writes with the types of the recipes: their data is what the formats come to."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quant_shape_to_byte_shape

from kvtui.engine.checkpoint.gguf.contents import LARGER_EDGES, contents
from kvtui.engine.checkpoint.gguf.files import file_size
from kvtui.engine.checkpoint.gguf.named import file_type_key
from kvtui.engine.checkpoint.gguf.recipes import BASES
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.checkpoint.gguf.shaped import config_of
from tests.nightly import sampled

logging.getLogger("gguf").setLevel(logging.ERROR)

DENSE = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 768,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 600,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
}
ODD = DENSE | {"hidden_size": 448, "num_attention_heads": 7, "num_key_value_heads": 1, "tie_word_embeddings": True}
EXPERTS = DENSE | {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "sliding_window": None,
}
SMALL = {"hidden": 256, "layers": 4, "vocab": 300, "ff": 512, "tied": False}
HEADS = SMALL | {"heads": 4, "kv_heads": 1, "head": 64}
ROUTED = {"experts": 8, "active": 2, "expert_ff": 256}
STATES = {"inner": 512, "state": 64, "state_heads": 8, "groups": 2}
MLA = {"rank": 128, "rope": 64, "nope": 64, "v": 64, "q_rank": 256, "shared_ff": 256}
SHAPES: dict[str, dict[str, Any]] = {
    "gemma3": HEADS | {"tied": True, "window": 128},
    "gpt-oss": HEADS | ROUTED | {"window": 128},
    "deepseek2": HEADS | ROUTED | MLA,
    "qwen3next": HEADS | ROUTED | STATES | {"state_heads": 8, "shared_ff": 256, "kinds": "sssa"},
    "mamba2": SMALL | STATES,
    "nemotron_h": HEADS | STATES | {"kinds": "sfsa"},
    "falcon-h1": HEADS | STATES,
    "lfm2": HEADS | {"kinds": "ssas"},
}
CONFIGS = {
    "dense": DENSE,
    "odd": ODD,
    "experts": EXPERTS,
    **{family: config_of({"family": family, **shape}) for family, shape in SHAPES.items()},
}


def tiny(config: dict[str, object]) -> ModelSpec:
    return model_from_config(config, "tiny", "config.json")


def written(model: ModelSpec, file_type: str, path: Path) -> GGUFReader:
    """A file with tensors of zeros, one for each that the recipe names."""
    writer = GGUFWriter(path, "llama")
    for number, (one, typed) in enumerate(contents(model, file_type)):
        for at, held in enumerate(typed):
            raw = GGMLQuantizationType[held.type]
            shape = (held.part.number, held.part.rows, held.part.columns)
            kinds = {"F32": np.float32, "F16": np.float16}
            data = (
                np.zeros(shape, kinds[held.type])
                if held.type in kinds
                else np.zeros(quant_shape_to_byte_shape(shape, raw), np.uint8)
            )
            writer.add_tensor(f"{number}.{one.tensor.role}.{at}", data, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GGUFReader(path)


@sampled(10)
@pytest.mark.parametrize("file_type", [*BASES, *LARGER_EDGES])
@pytest.mark.parametrize("config", CONFIGS)
def test_the_data_of_a_written_file_is_what_the_format_comes_to(config: str, file_type: str, tmp_path: Path) -> None:
    model = tiny(CONFIGS[config])
    reader = written(model, file_type, tmp_path / "tiny.gguf")
    key = file_type_key(file_type) or file_type_key(f"gguf-{file_type}")
    assert key is not None
    assert sum(int(tensor.n_bytes) for tensor in reader.tensors) == file_size(model, key).tensors
    assert sum(int(tensor.n_elements) for tensor in reader.tensors) == model.parameters


# The types that llama.cpp's quantiser gives the tensors of DENSE, worked out by hand from its rules: of 8 layers, 0, 3,
# 6 and 7 get more bits; layer 0 alone is in the first eighth.
BY_HAND = {
    "Q8_0": {"Q8_0": 58, "F32": 17},
    "Q6_K": {"Q6_K": 58, "F32": 17},
    "Q5_K_M": {"Q5_K": 57 - 8, "Q6_K": 9, "F32": 17},
    "Q5_K_S": {"Q5_K": 57, "Q6_K": 1, "F32": 17},
    "Q4_K_M": {"Q4_K": 57 - 8, "Q6_K": 9, "F32": 17},
    "Q4_K_S": {"Q4_K": 57 - 5, "Q5_K": 5, "Q6_K": 1, "F32": 17},
    "Q4_K_L": {"Q4_K": 57 - 9, "Q6_K": 8, "Q8_0": 2, "F32": 17},
    "Q4_0": {"Q4_0": 57, "Q6_K": 1, "F32": 17},
    "IQ4_XS": {"IQ4_XS": 57, "Q6_K": 1, "F32": 17},
    "Q3_K_L": {"Q3_K": 57 - 24, "Q5_K": 24, "Q6_K": 1, "F32": 17},
    "Q3_K_M": {"Q3_K": 57 - 24, "Q4_K": 22, "Q5_K": 2, "Q6_K": 1, "F32": 17},
    "Q3_K_S": {"Q3_K": 57, "Q6_K": 1, "F32": 17},
    "IQ3_M": {"IQ3_S": 57 - 17, "Q4_K": 17, "Q6_K": 1, "F32": 17},
    "IQ3_S": {"IQ3_S": 57, "Q6_K": 1, "F32": 17},
    "IQ3_XS": {"IQ3_S": 57 - 28, "IQ3_XXS": 28, "Q6_K": 1, "F32": 17},
    "IQ3_XXS": {"IQ3_XXS": 57 - 25, "IQ2_S": 16, "IQ3_S": 9, "Q5_K": 1, "F32": 17},
    "Q2_K": {"Q2_K": 57 - 24, "Q3_K": 24, "Q6_K": 1, "F32": 17},
    "Q2_K_S": {"Q2_K": 57 - 1, "Q4_K": 1, "Q6_K": 1, "F32": 17},
    "IQ2_M": {"IQ2_S": 57 - 18, "IQ3_S": 18, "Q5_K": 1, "F32": 17},
    "IQ2_XS": {"IQ2_XS": 57 - 10, "Q2_K": 10, "Q5_K": 1, "F32": 17},
    "IQ1_S": {"IQ1_S": 57 - 18, "Q2_K": 10, "IQ2_XXS": 8, "Q5_K": 1, "F32": 17},
    "TQ1_0": {"TQ1_0": 56, "Q4_K": 1, "Q6_K": 1, "F32": 17},
    "MXFP4_MOE": {"Q8_0": 58, "F32": 17},
}


@sampled(3)
@pytest.mark.parametrize("file_type", BY_HAND)
def test_tensors_have_the_types_worked_out_by_hand(file_type: str, tmp_path: Path) -> None:
    reader = written(tiny(DENSE), file_type, tmp_path / "tiny.gguf")
    assert Counter(tensor.tensor_type.name for tensor in reader.tensors) == BY_HAND[file_type]


def test_eight_experts_have_attention_of_more_bits(tmp_path: Path) -> None:
    """Keys and values in Q8_0 and attention's output in Q5_K, as in Mixtral."""
    reader = written(tiny(EXPERTS), "Q4_K_M", tmp_path / "tiny.gguf")
    types = Counter((tensor.name.split(".")[1], tensor.tensor_type.name) for tensor in reader.tensors)
    assert {types["k", "Q8_0"], types["v", "Q8_0"], types["o", "Q5_K"], types["router", "F32"]} == {8}
    assert (types["expert_down", "Q6_K"], types["expert_down", "Q4_K"]) == (4, 4)
