"""Models of released checkpoints, and quantisation configs in the form that their producers write.

The fields are those of the methods. The lists of modules are written down from what is known of each producer's recipe;
they are not copies of the released files.
"""

from __future__ import annotations

from typing import Any

from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.parameters import counted, lump
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.sources.hf.published import PUBLISHED

Json = dict[str, Any]

_NVFP4_GROUP = {
    "targets": ["Linear"],
    "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True},
    "input_activations": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "dynamic": "local"},
}
_FP8_CHANNEL_GROUP = {
    "targets": ["Linear"],
    "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "dynamic": False},
    "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True},
}


def compressed(group: Json, layout: str, ignore: list[str]) -> Json:
    """A compressed-tensors config with one group."""
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": group},
        "ignore": ignore,
        "quantization_status": "compressed",
    }


def awq(group: int = 128, **more: Any) -> Json:
    """An AutoAWQ config."""
    return {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm", **more}


def gptq(**more: Any) -> Json:
    """A GPTQ config."""
    return {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True, **more}


FP8_BLOCKS: Json = {
    "quant_method": "fp8",
    "fmt": "e4m3",
    "weight_block_size": [128, 128],
    "activation_scheme": "dynamic",
}

_ATTENTION_OF_NEMOTRON = (5, 12, 19, 26, 33, 42)
_LINEAR_LAYERS = [layer for layer in range(40) if (layer + 1) % 4]

CONFIGS: dict[str, Json] = {
    "gpt-oss": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
    },
    "Qwen3-VL NVFP4": compressed(
        _NVFP4_GROUP, "nvfp4-pack-quantized", ["re:.*lm_head", "re:visual.*", "re:model.visual.*"]
    ),
    "Qwen3-VL FP8": FP8_BLOCKS | {"modules_to_not_convert": ["lm_head", "model.visual.blocks.0.attn.proj"]},
    "Qwen3.6-35B NVFP4": compressed(
        _NVFP4_GROUP,
        "nvfp4-pack-quantized",
        [
            "lm_head",
            "re:.*visual.*",
            "re:^mtp.*",
            *(
                f"model.language_model.layers.{layer}.linear_attn.{module}"
                for layer in _LINEAR_LAYERS
                for module in ("in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj")
            ),
            *(
                f"model.language_model.layers.{layer}.mlp.{module}"
                for layer in range(40)
                for module in ("gate", "shared_expert_gate")
            ),
        ],
    ),
    "Qwen3.6-27B NVFP4": {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "group_size": 16,
        "ignore": ["lm_head", "*linear_attn.conv1d*", "*linear_attn.in_proj_a*", "*linear_attn.in_proj_b*", "mtp.*"],
    },
    "Qwen3.6-27B FP8": FP8_BLOCKS
    | {
        "modules_to_not_convert": [
            "lm_head",
            "model.visual.patch_embed.proj",
            "mtp.fc",
            *(
                f"model.language_model.layers.{layer}.linear_attn.{module}"
                for layer in range(64)
                if (layer + 1) % 4
                for module in ("in_proj_a", "in_proj_b", "conv1d")
            ),
        ]
    },
    "gemma-4-26B NVFP4": {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "ignore": ["lm_head", "*router*", "model.vision_tower*", "model.embed_vision*"],
    },
    "gemma-4-26B FP8": compressed(
        _FP8_CHANNEL_GROUP, "float-quantized", ["lm_head", "re:.*vision_tower.*", "re:.*router.*"]
    ),
    "gemma-4-31B NVFP4 (MLP)": {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "ignore": ["lm_head", "*self_attn*", "model.vision_tower*", "model.embed_vision*"],
    },
    "Llama-3.3-70B NVFP4": {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head"]}},
    "Nemotron NVFP4": {
        "quantization": {
            "quant_algo": "NVFP4",
            "exclude_modules": [
                "lm_head",
                "*mixer.gate",
                "*.mixer.conv1d",
                *(f"backbone.layers.{layer}.mixer*" for layer in _ATTENTION_OF_NEMOTRON),
                *(f"backbone.layers.{layer - 1}.mixer.in_proj" for layer in _ATTENTION_OF_NEMOTRON),
                *(f"backbone.layers.{layer - 1}.mixer.out_proj" for layer in _ATTENTION_OF_NEMOTRON),
            ],
        }
    },
    "MiniMax W4A16": compressed(
        {
            "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True},
        },
        "pack-quantized",
        ["lm_head", "re:.*block_sparse_moe.gate$"],
    ),
    "MLX 8-bit": {"group_size": 64, "bits": 8, "mode": "affine"},
    "Mixtral AWQ": awq(modules_to_not_convert=["gate"]),
}


def model(name: str, towers: int | None = None) -> ModelSpec:
    """A model of the catalogue, with ``towers`` weights of encoders instead of its own."""
    found = find_model(name)
    if towers is None:
        return found
    outside = tuple(tensor for tensor in found.outside if tensor.role != "tower")
    return counted(found._replace(outside=(*outside, *lump("tower", towers))))


def released(name: str, **changes: Any) -> ModelSpec:
    """A model of a released config.json with ``changes``."""
    return model_from_config(PUBLISHED[name] | changes, name, "config.json")
