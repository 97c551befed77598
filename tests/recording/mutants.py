"""Records what transformers makes of small configs with one field changed.

``python tests/recording/mutants.py FILE [FAMILY…]``: each field of a family's file is dropped, nulled, toggled,
doubled, halved and made one more. A row of the record has the field, the change, and the parameters and bytes of K and
V of 40 tokens in fp32 of the model that transformers builds, or null where it refuses the file. Types that ``FAMILIES``
has no file for are tried with their class's defaults and ``LAYERS`` layers. With families named, only these are
recorded anew. Run it where torch and transformers are installed, best in an environment of their own.
"""

import gzip
import json
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

CLASSES = Path(__file__).parents[2] / "kvtui" / "data" / "transformers.json"
SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 1024,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
}
PLAIN = {field: value for field, value in SHAPE.items() if field != "head_dim"}
MHA = {field: value for field, value in PLAIN.items() if field != "num_key_value_heads"}
MOE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
MLA = {
    "kv_lora_rank": 64,
    "q_lora_rank": 96,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "num_key_value_heads": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 64,
    "n_group": 1,
    "topk_group": 1,
}
SLIDES = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"] * 2
QWEN_WINDOW = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SHAPE | {"attention_bias": True, "mlp_bias": True},
    "granite": SHAPE | {"attention_bias": False, "mlp_bias": False},
    "mistral": SHAPE | {"sliding_window": 16},
    "mixtral": SHAPE | {"sliding_window": 16, "num_local_experts": 8, "num_experts_per_tok": 2},
    "ministral3": SHAPE | {"sliding_window": 16},
    "smollm3": SHAPE | QWEN_WINDOW | {"no_rope_layer_interval": 4, "attention_bias": True, "mlp_bias": True},
    "qwen2": SHAPE | QWEN_WINDOW,
    "qwen2_moe": SHAPE
    | MOE
    | QWEN_WINDOW
    | {"shared_expert_intermediate_size": 128, "decoder_sparse_step": 2, "mlp_only_layers": [0], "qkv_bias": True},
    "qwen3": SHAPE | QWEN_WINDOW | {"attention_bias": True},
    "qwen3_moe": SHAPE | MOE | {"decoder_sparse_step": 2, "mlp_only_layers": [0], "attention_bias": True},
    "qwen3_next": SHAPE
    | MOE
    | {
        "shared_expert_intermediate_size": 64,
        "linear_num_key_heads": 4,
        "linear_num_value_heads": 8,
        "linear_key_head_dim": 32,
        "linear_value_head_dim": 32,
        "linear_conv_kernel_dim": 4,
        "full_attention_interval": 4,
        "attention_bias": True,
    },
    "gemma": SHAPE | {"attention_bias": True},
    "gemma2": SHAPE | {"sliding_window": 16, "attention_bias": True},
    "gemma3_text": SHAPE | {"sliding_window": 16, "_sliding_window_pattern": 4, "attention_bias": True},
    "gemma4_text": SHAPE
    | {
        "sliding_window": 16,
        "layer_types": SLIDES,
        "num_kv_shared_layers": 4,
        "hidden_size_per_layer_input": 32,
        "vocab_size_per_layer_input": 512,
        "use_double_wide_mlp": True,
        "global_head_dim": 128,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
    },
    "gpt_oss": SHAPE | {"sliding_window": 16, "num_local_experts": 8, "num_experts_per_tok": 2, "attention_bias": True},
    "phi3": SHAPE | {"sliding_window": 16, "bos_token_id": 1, "eos_token_id": 2},
    "phimoe": SHAPE | {"sliding_window": 16, "num_local_experts": 8, "num_experts_per_tok": 2, "attention_bias": True},
    "starcoder2": SHAPE | {"sliding_window": 16, "use_bias": True},
    "olmo2": SHAPE | {"attention_bias": True},
    "olmo3": SHAPE | {"sliding_window": 16, "layer_types": SLIDES, "attention_bias": True},
    "cohere": SHAPE | {"attention_bias": True, "use_qk_norm": True},
    "cohere2": SHAPE | {"sliding_window": 16, "layer_types": SLIDES, "attention_bias": True},
    "exaone4": SHAPE | {"sliding_window": 16, "sliding_window_pattern": 4, "attention_bias": False},
    "gpt_neox": SHAPE | {"attention_bias": True, "use_parallel_residual": False},
    "seed_oss": SHAPE | {"attention_bias": True, "attention_out_bias": True, "mlp_bias": True},
    "glm": SHAPE | {"attention_bias": True},
    "glm4": SHAPE | {"attention_bias": True},
    "glm4_moe": SHAPE
    | {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "moe_intermediate_size": 64,
        "first_k_dense_replace": 2,
        "use_qk_norm": True,
        "attention_bias": True,
        "n_group": 1,
        "topk_group": 1,
    },
    "deepseek_v2": SHAPE | MLA | {"first_k_dense_replace": 2, "attention_bias": False},
    "deepseek_v3": PLAIN | MLA | {"first_k_dense_replace": 2, "attention_bias": False},
    "glm4_moe_lite": PLAIN | MLA | {"mlp_layer_types": ["dense", *(["sparse"] * 7)]},
    "minimax_m2": SHAPE | {"num_local_experts": 8, "num_experts_per_tok": 2, "rotary_dim": 32},
    "lfm2": SHAPE
    | {"conv_L_cache": 3, "layer_types": ["conv", "full_attention"] * 4, "block_auto_adjust_ff_dim": True},
    "jamba": SHAPE
    | {
        "attn_layer_period": 4,
        "attn_layer_offset": 2,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "mamba_d_state": 8,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_dt_rank": 16,
    },
    "gpt2": {"n_embd": 256, "n_layer": 8, "n_head": 8, "n_positions": 512, "n_inner": 512, "vocab_size": 1024},
    "opt": MHA | {"ffn_dim": 512, "word_embed_proj_dim": 256, "do_layer_norm_before": True},
    "bloom": {"hidden_size": 256, "n_layer": 8, "n_head": 8, "vocab_size": 1024},
    "falcon": MHA | {"multi_query": True, "new_decoder_architecture": False, "parallel_attn": True, "bias": True},
    "gpt_bigcode": {"n_embd": 256, "n_layer": 8, "n_head": 8, "n_positions": 512, "multi_query": True},
    "persimmon": MHA | {"qk_layernorm": True},
    "stablelm": PLAIN | {"use_qkv_bias": True, "qk_layernorm": False},
    "mamba": {"hidden_size": 256, "num_hidden_layers": 8, "state_size": 16, "conv_kernel": 4, "expand": 2},
    "dots1": SHAPE
    | {
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "moe_intermediate_size": 64,
        "sliding_window": 16,
        "max_window_layers": 4,
        "n_group": 1,
        "topk_group": 1,
    },
    "ernie4_5": SHAPE | {"use_bias": True},
    "exaone": SHAPE | {"attention_bias": True, "mlp_bias": True},
    "iquestcoder": SHAPE | {"attention_bias": True, "mlp_bias": True},
    "cwm": SHAPE | {"sliding_window": 16, "mlp_bias": True},
    "arcee": SHAPE | {"attention_bias": True, "mlp_bias": True},
    "granite_swa": PLAIN | {"sliding_window": 16, "attention_bias": True, "mlp_bias": True},
    "hyperclovax": SHAPE | {"attention_bias": True, "mlp_bias": True, "use_post_norm": False},
    "jais2": SHAPE | {"attention_bias": False, "mlp_bias": False},
    "nemotron": SHAPE | {"attention_bias": True, "mlp_bias": True},
    "vaultgemma": SHAPE | {"sliding_window": 16, "attention_bias": True},
    "apertus": PLAIN | {"attention_bias": True},
    "bitnet": PLAIN | {"attention_bias": True},
    "diffllama": SHAPE | {"attention_bias": True},
    "olmo": PLAIN | {"attention_bias": True},
    "nanochat": PLAIN | {"attention_bias": True},
    "phi": PLAIN | {"qk_layernorm": True},
    "flex_olmo": PLAIN | {"num_experts": 8, "num_experts_per_tok": 2, "attention_bias": True},
    "granitemoe": PLAIN | {"num_local_experts": 8, "num_experts_per_tok": 2, "attention_bias": True},
    "granitemoeshared": PLAIN
    | {"num_local_experts": 8, "num_experts_per_tok": 2, "attention_bias": True, "shared_intermediate_size": 96},
    "mellum": SHAPE | MOE | {"attention_bias": True},
    "exaone_moe": PLAIN | MOE | {"sliding_window": 16, "num_shared_experts": 1, "first_k_dense_replace": 2},
    "hy_v3": SHAPE | MOE | {"num_shared_experts": 1, "attention_bias": True},
    "sarvam_moe": SHAPE | MOE | {"num_shared_experts": 1, "first_k_dense_replace": 2, "use_qk_norm": False},
    "afmoe": SHAPE | MOE | {"num_shared_experts": 1, "num_dense_layers": 2, "sliding_window": 16},
    "gptj": {"n_embd": 256, "n_layer": 8, "n_head": 8, "n_positions": 512, "n_inner": 512, "rotary_dim": 16},
    "codegen": {"n_embd": 256, "n_layer": 8, "n_head": 8, "n_positions": 512, "n_inner": 512, "rotary_dim": 16},
    "ctrl": {"n_embd": 256, "n_layer": 8, "n_head": 8, "dff": 512, "n_positions": 512},
    "xglm": {"d_model": 256, "num_layers": 8, "attention_heads": 8, "ffn_dim": 512, "max_position_embeddings": 512},
    "lfm2_moe": PLAIN
    | {
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "num_dense_layers": 2,
        "conv_L_cache": 3,
    }
    | {"layer_types": ["conv", "full_attention"] * 4},
    "granitemoehybrid": PLAIN
    | {"num_local_experts": 8, "num_experts_per_tok": 2, "shared_intermediate_size": 96, "mamba_n_heads": 16}
    | {"mamba_d_head": 32, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_n_groups": 1, "mamba_expand": 2}
    | {"layer_types": ["mamba", "attention"] * 4, "attention_bias": True},
    "deepseek_v32": PLAIN
    | MLA
    | {"first_k_dense_replace": 2, "index_head_dim": 32, "index_n_heads": 4, "index_topk": 8},
    "minimax_m3_vl_text": SHAPE
    | {"num_local_experts": 8, "num_experts_per_tok": 2, "dense_intermediate_size": 512, "intermediate_size": 128}
    | {"shared_intermediate_size": 96, "index_head_dim": 32, "index_n_heads": 2, "index_block_size": 16}
    | {"layer_types": [*(["full_attention"] * 2), *(["minimax_m3_sparse"] * 6)], "rotary_dim": 64},
    "llama4_text": SHAPE
    | {"num_local_experts": 8, "num_experts_per_tok": 1, "intermediate_size_mlp": 512, "attention_chunk_size": 16}
    | {"interleave_moe_layer_step": 2, "attention_bias": True},
    "mimo_v2_flash": SHAPE
    | {"v_head_dim": 32, "sliding_window": 16, "n_routed_experts": 8, "num_experts_per_tok": 2}
    | {"moe_intermediate_size": 64},
    "gemma3n_text": SHAPE
    | {"sliding_window": 16, "layer_types": SLIDES, "num_kv_shared_layers": 4, "hidden_size_per_layer_input": 32}
    | {"vocab_size_per_layer_input": 512, "laurel_rank": 16, "altup_num_inputs": 4},
    "olmoe": PLAIN | {"num_experts": 8, "num_experts_per_tok": 2, "attention_bias": True},
}
TOKENS, SECONDS, LAYERS, WINDOW = 40, 20, 6, 16
WINDOWS = "sliding_window", "attention_chunk_size", "attention_window_size", "window_size"
REFUSED = "cpmant", "dots3_note_text", "qwen4_exp_text", "reformer", "rwkv", "xlm", "xlnet", "xlstm", "zaya"


def default_files() -> dict[str, dict[str, Any]]:
    """A file of each type that ``FAMILIES`` has none of and that generates text: class defaults, few layers."""
    classes = json.loads(CLASSES.read_text(encoding="utf-8"))["classes"]
    found = {}
    for name in sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        if name in classes and name not in (*FAMILIES, *REFUSED) and not classes[name].get("parts"):
            found[name] = default_file(name, classes[name]["defaults"])
    return found


def default_file(name: str, known: dict[str, Any]) -> dict[str, Any]:
    """What the class of ``name`` writes of the fields that kvtui has in its table, with ``LAYERS`` layers."""
    config = CONFIG_MAPPING[name]()
    written = json.loads(config.to_json_string(use_diff=False))
    usual = {own: field for field, own in config.attribute_map.items()}
    count = getattr(config, "num_hidden_layers", None)
    found: dict[str, Any] = {"pad_token_id": 0}
    for field, value in written.items():
        if value is None or not {field, usual.get(field)} & known.keys():
            continue
        if "num_hidden_layers" in (field, usual.get(field)) or field in ("decoder_layers", "num_decoder_layers"):
            found[field] = min(value, LAYERS)
        elif isinstance(value, list) and len(value) == count:
            found[field] = value[:LAYERS]
        elif field in WINDOWS and isinstance(value, int):
            found[field] = min(value, WINDOW)
        else:
            found[field] = value
    found[config.attribute_map.get("vocab_size", "vocab_size")] = 1024
    return found | ({"is_decoder": True} if "is_decoder" in known else {})


def changes(config: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Every field, dropped, nulled, toggled, doubled and halved, as far as its type allows."""
    found = [("", "as it is", config)]
    for field, value in config.items():
        if field in ("model_type", "pad_token_id"):
            continue
        found.append((field, "dropped", {name: kept for name, kept in config.items() if name != field}))
        found.append((field, "nulled", config | {field: None}))
        if isinstance(value, bool):
            found.append((field, "toggled", config | {field: not value}))
        elif isinstance(value, int):
            found.append((field, "doubled", config | {field: 2 * value}))
            found.append((field, "halved", config | {field: value // 2}))
            found.append((field, "one more", config | {field: value + 1}))
        elif isinstance(value, list):
            found.append((field, "doubled", config | {field: value + value}))
            found.append((field, "halved", config | {field: value[::2]}))
    return found


class TooSlowError(Exception):
    """A model took longer to build and run than SECONDS."""


def stop(*_: object) -> None:
    raise TooSlowError


def measured(config: dict[str, Any]) -> tuple[int, int] | None:
    """Parameters and cache bytes of the causal model of ``config``, on no device; None where it cannot be built."""
    signal.alarm(SECONDS)
    try:
        read = CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
        with torch.device("meta"), torch.no_grad():
            model = transformers.AutoModelForCausalLM.from_config(read).eval()
            for module in model.modules():
                if type(module).__name__.endswith("Experts"):
                    module.forward = lambda hidden_states, *_, **__: torch.empty_like(hidden_states)
            output = model(input_ids=torch.zeros(1, TOKENS, dtype=torch.long), use_cache=True)
        weights = sum(parameter.numel() for parameter in model.parameters())
        return weights, sum(layer_bytes(layer) for layer in output.past_key_values.layers)
    except Exception:  # noqa: BLE001  whatever it raises, it does not read this file
        return None
    finally:
        signal.alarm(0)


def layer_bytes(layer: Any) -> int:
    """Bytes of K and V, a window's as many tokens as it has: right after a prompt the cache holds one fewer."""
    total = 0
    for part in (getattr(layer, "keys", None), getattr(layer, "values", None)):
        if part is not None and torch.is_tensor(part) and part.numel():
            window = getattr(layer, "sliding_window", None)
            tokens = TOKENS if window is None else min(TOKENS, int(window))
            total += 4 * part.numel() // part.shape[-2] * tokens
    return total


def main(target: Path, *names: str) -> None:
    """Write the record to ``target``, gzipped JSON; where ``names`` are given, with the other families that it has."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    signal.signal(signal.SIGALRM, stop)
    before = json.loads(gzip.decompress(target.read_bytes()))["families"] if names else []
    families = [family for family in before if family["config"]["model_type"] not in names]
    for family, fields in {**FAMILIES, **default_files()}.items():
        if names and family not in names:
            continue
        config = {"model_type": family, **fields}
        if measured(config) is None:
            print(family, "cannot be built", flush=True)
            continue
        mutants = [[field, change, measured(mutant)] for field, change, mutant in changes(config)]
        families.append({"config": config, "mutants": mutants})
        print(family, len(mutants), sum(row[2] is not None for row in mutants), flush=True)
        record = {"transformers": transformers.__version__, "families": families}
        target.write_bytes(gzip.compress(json.dumps(record, separators=(",", ":")).encode(), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
