"""Shapes of ``tests/recording/llamacpp_starts.py`` as a config.json has them."""

from __future__ import annotations

from typing import Any

from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.config import model_from_config

CLASSES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
    "qwen3": ("qwen3", "Qwen3ForCausalLM"),
    "gemma2": ("gemma2", "Gemma2ForCausalLM"),
    "gemma3": ("gemma3_text", "Gemma3ForCausalLM"),
    "mixtral": ("mixtral", "MixtralForCausalLM"),
    "qwen3moe": ("qwen3_moe", "Qwen3MoeForCausalLM"),
    "gpt-oss": ("gpt_oss", "GptOssForCausalLM"),
    "deepseek2": ("deepseek_v3", "DeepseekV3ForCausalLM"),
    "qwen3next": ("qwen3_next", "Qwen3NextForCausalLM"),
    "qwen35": ("qwen3_5_text", "Qwen3_5ForCausalLM"),
    "qwen35moe": ("qwen3_5_moe_text", "Qwen3_5MoeForCausalLM"),
    "mamba": ("mamba", "MambaForCausalLM"),
    "mamba2": ("mamba2", "Mamba2ForCausalLM"),
    "lfm2": ("lfm2", "Lfm2ForCausalLM"),
    "nemotron_h": ("nemotron_h", "NemotronHForCausalLM"),
    "granitehybrid": ("granitemoehybrid", "GraniteMoeHybridForCausalLM"),
    "falcon-h1": ("falcon_h1", "FalconH1ForCausalLM"),
}
"""Model types and classes of the families."""

MOE = {"decoder_sparse_step": 1, "mlp_only_layers": []}
HEAD = 64
"""Elements of a head of Mamba-2."""


def model_of(shape: dict[str, Any]) -> ModelSpec:
    """The model of ``shape``, read from its config."""
    return model_from_config(config_of(shape), "tiny", "config.json")


def config_of(shape: dict[str, Any]) -> dict[str, Any]:
    """The config.json of a model of ``shape``."""
    kind, name = CLASSES[shape["family"]]
    config = {
        "architectures": [name],
        "model_type": kind,
        "hidden_size": shape["hidden"],
        "intermediate_size": shape["ff"],
        "num_hidden_layers": shape["layers"],
        "vocab_size": shape["vocab"],
        "max_position_embeddings": 131072,
        "tie_word_embeddings": shape["tied"],
    }
    if "heads" in shape:
        heads = {"num_attention_heads": "heads", "num_key_value_heads": "kv_heads", "head_dim": "head"}
        config |= {key: shape[value] for key, value in heads.items()}
    if "experts" in shape:
        config["num_experts_per_tok"] = shape["active"]
    return config | _own(shape)


def _own(shape: dict[str, Any]) -> dict[str, Any]:
    """What only configs of the shape's family say."""
    layers, layer_kinds = shape["layers"], shape.get("kinds", "")
    match shape["family"]:
        case "gemma2":
            return {"sliding_window": shape["window"]}
        case "gemma3":
            kinds = ["sliding_attention"] * 5 + ["full_attention"]
            return {"sliding_window": shape["window"], "layer_types": (kinds * layers)[:layers]}
        case "mixtral":
            return {"num_local_experts": shape["experts"], "sliding_window": None}
        case "gpt-oss":
            sizes = {"num_local_experts": shape["experts"], "intermediate_size": shape["expert_ff"]}
            return {"sliding_window": shape["window"], **sizes}
        case "qwen3moe":
            return {"num_experts": shape["experts"], "moe_intermediate_size": shape["expert_ff"], **MOE}
        case "deepseek2":
            return _latent(shape)
        case "qwen3next" | "qwen35" | "qwen35moe":
            return _linear(shape, layer_kinds)
        case "mamba":
            inner = {"intermediate_size": shape["inner"], "time_step_rank": shape["state_heads"]}
            return {"state_size": shape["state"], "expand": 2, "conv_kernel": 4, **inner, "use_bias": False}
        case "mamba2":
            heads = {"num_heads": shape["state_heads"], "head_dim": HEAD, "n_groups": shape["groups"]}
            return {"state_size": shape["state"], "expand": 2, "conv_kernel": 4, **heads, "use_bias": False}
        case "nemotron_h":
            return {
                "hybrid_override_pattern": layer_kinds.translate(str.maketrans("sfa", "M-*")),
                "ssm_state_size": shape["state"],
                "conv_kernel": 4,
                "mamba_num_heads": shape["state_heads"],
                "mamba_head_dim": HEAD,
                "n_groups": shape["groups"],
                "expand": 2,
            }
        case "granitehybrid":
            types = ["attention" if kind == "a" else "mamba" for kind in layer_kinds]
            blocks = {"shared_intermediate_size": shape["ff"], "num_local_experts": 0, "num_experts_per_tok": 0}
            return {"layer_types": types, **blocks, **_mamba(shape)}
        case "falcon-h1":
            return {"mamba_d_ssm": shape["inner"], "mamba_rms_norm": True, **_mamba(shape)}
        case "lfm2":
            types = ["full_attention" if kind == "a" else "conv" for kind in layer_kinds]
            return {"layer_types": types, "conv_L_cache": 3, "block_auto_adjust_ff_dim": False}
    return {}


def _latent(shape: dict[str, Any]) -> dict[str, Any]:
    return {
        "kv_lora_rank": shape["rank"],
        "q_lora_rank": shape["q_rank"],
        "qk_rope_head_dim": shape["rope"],
        "qk_nope_head_dim": shape["nope"],
        "v_head_dim": shape["v"],
        "num_key_value_heads": shape["heads"],
        "n_routed_experts": shape["experts"],
        "n_shared_experts": 1,
        "moe_intermediate_size": shape["expert_ff"],
        "first_k_dense_replace": 1,
        "num_nextn_predict_layers": 0,
    }


def _linear(shape: dict[str, Any], kinds: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "layer_types": ["full_attention" if kind == "a" else "linear_attention" for kind in kinds],
        "linear_num_key_heads": shape["groups"],
        "linear_num_value_heads": shape["state_heads"],
        "linear_key_head_dim": shape["state"],
        "linear_value_head_dim": shape["state"],
        "linear_conv_kernel_dim": 4,
    }
    if "experts" in shape:
        found |= {"num_experts": shape["experts"], "moe_intermediate_size": shape["expert_ff"], **MOE}
        found["shared_expert_intermediate_size"] = shape["shared_ff"]
    return found


def _mamba(shape: dict[str, Any]) -> dict[str, Any]:
    return {
        "mamba_d_state": shape["state"],
        "mamba_d_conv": 4,
        "mamba_n_heads": shape["state_heads"],
        "mamba_d_head": HEAD,
        "mamba_n_groups": shape["groups"],
        "mamba_expand": 2,
        "mamba_proj_bias": False,
        "mamba_conv_bias": True,
    }
