"""The model types whose config.json is understood, and how each is read.

What a type fixes is the published modelling and configuration classes' (biases, norms, ties, patterns). Class defaults
of sizes are used only where the released files leave them out.
"""

from __future__ import annotations

from dataclasses import replace

from kvtui.engine.sources.hf.attention import every, full, mistral, no_window, optional_window, plain, qwen, windowed
from kvtui.engine.sources.hf.fields import Flag
from kvtui.engine.sources.hf.gemma import gemma3n, gemma4
from kvtui.engine.sources.hf.hybrid import (
    bailing_hybrid,
    falcon_h1,
    granite_hybrid,
    jamba,
    kimi_linear,
    lfm2,
    minimax,
    nemotron_h,
    qwen_next,
)
from kvtui.engine.sources.hf.latent import all_indexed, deepseek_v4, mla, shared_indexers, sparse_mla
from kvtui.engine.sources.hf.shape import DEEPSEEK, DENSE, MIXTRAL, QWEN, QWEN_SHARED, Family, Ffn, Traits
from kvtui.engine.sources.hf.special import (
    hunyuan,
    llama_4,
    mimo_v2,
    minimax_m2,
    minimax_m3,
    mllama,
    nemotron_nas,
    step3,
    whisper,
)

_BIAS: Flag = ("attention_bias", False)
_MLP_BIAS = Ffn(bias=("mlp_bias", False))
_PLAIN = Traits(mha=True)
_LLAMA = Traits(mha=True, qkv_bias=_BIAS, out_bias=_BIAS, ffn=_MLP_BIAS)
_QWEN2 = Traits(qkv_bias=True)
_QWEN3 = Traits(head_dim=True, qkv_bias=_BIAS, out_bias=_BIAS, qk_norm="head")
_QWEN3_MOE = replace(_QWEN3, ffn=QWEN)
_GEMMA = Traits(head_dim=True, qkv_bias=_BIAS, out_bias=_BIAS, tied=True)
_GEMMA3 = replace(_GEMMA, qk_norm="head", norms=4)
_COHERE = replace(_PLAIN, qkv_bias=_BIAS, out_bias=_BIAS, norms=1, tied=True)
_OLMO = replace(_PLAIN, qkv_bias=_BIAS, out_bias=_BIAS, qk_norm="row")
_GPT_OSS = Traits(
    head_dim=True,
    qkv_bias=("attention_bias", True),
    out_bias=("attention_bias", True),
    sinks=True,
    ffn=replace(MIXTRAL, bias=True, router_bias=True),
)
_STARCODER2 = Traits(
    qkv_bias=("use_bias", True),
    out_bias=("use_bias", True),
    norm_bias=True,
    tied=True,
    ffn=Ffn(gated=False, bias=("use_bias", True)),
)
_NEOX = Traits(
    mha=True,
    qkv_bias=("attention_bias", True),
    out_bias=("attention_bias", True),
    norm_bias=True,
    ffn=Ffn(gated=False, bias=True),
)
_SEED = Traits(head_dim=True, qkv_bias=("attention_bias", True), out_bias=("attention_out_bias", False), ffn=_MLP_BIAS)
_GLM = Traits(head_dim=True, qkv_bias=_BIAS)
_GLM4_MOE = replace(_GLM, qk_norm="head", qk_normed=("use_qk_norm", False), ffn=DEEPSEEK)
_PHI_MOE = Traits(qkv_bias=_BIAS, out_bias=_BIAS, norm_bias=True, ffn=MIXTRAL)
_GEMMA3_DEFAULTS = (
    ("num_attention_heads", 8),
    ("num_key_value_heads", 4),
    ("head_dim", 256),
    ("vocab_size", 262_208),
    ("max_position_embeddings", 131_072),
)

FAMILIES: dict[str, Family] = {
    "llama": Family(plain(_LLAMA)),
    "granite": Family(plain(_LLAMA)),
    "smollm3": Family(plain(_LLAMA, no_window), tied=True),
    "mistral": Family(plain(Traits(), mistral)),
    "ministral3": Family(plain(Traits(head_dim=True), windowed)),
    "mixtral": Family(plain(Traits(ffn=MIXTRAL), windowed)),
    "qwen2": Family(plain(_QWEN2, qwen)),
    "qwen2_vl": Family(plain(_QWEN2, qwen)),
    "qwen2_5_vl": Family(plain(_QWEN2, qwen)),
    "qwen2_moe": Family(plain(replace(_QWEN2, ffn=QWEN_SHARED), no_window)),
    "mimo": Family(plain(replace(_QWEN2, qkv_bias=_BIAS), qwen)),
    "qwen3": Family(plain(_QWEN3, qwen)),
    "qwen3_vl": Family(plain(_QWEN3)),
    "qwen3_moe": Family(plain(_QWEN3_MOE, no_window)),
    "qwen3_vl_moe": Family(plain(_QWEN3_MOE)),
    "qwen3_omni_moe": Family(plain(_QWEN3_MOE, no_window)),
    "qwen3_next": Family(qwen_next),
    "qwen3_5": Family(qwen_next),
    "qwen3_5_moe": Family(qwen_next),
    "gemma": Family(plain(_GEMMA), tied=True),
    "gemma2": Family(plain(replace(_GEMMA, norms=4), every(2)), tied=True),
    "gemma3": Family(plain(_GEMMA3, every(6)), tied=True, defaults=_GEMMA3_DEFAULTS),
    "gemma3n": Family(gemma3n, tied=True),
    "gemma4": Family(gemma4, tied=True),
    "phi3": Family(plain(_PLAIN, optional_window)),
    "phimoe": Family(plain(_PHI_MOE, windowed)),
    "starcoder2": Family(plain(_STARCODER2, optional_window), tied=True),
    "olmo2": Family(plain(_OLMO)),
    "olmo3": Family(plain(_OLMO, every(4))),
    "cohere": Family(plain(replace(_COHERE, qk_norm="row", qk_normed=("use_qk_norm", False))), tied=True),
    "cohere2": Family(plain(_COHERE, every(4)), tied=True),
    "exaone4": Family(plain(replace(_QWEN3, qkv_bias=False, out_bias=False), every(4))),
    "gpt_neox": Family(plain(_NEOX)),
    "seed_oss": Family(plain(_SEED)),
    "glm": Family(plain(_GLM)),
    "glm4": Family(plain(replace(_GLM, norms=4))),
    "glm4_moe": Family(plain(_GLM4_MOE)),
    "gpt_oss": Family(plain(_GPT_OSS, every(2))),
    "minimax_m2": Family(minimax_m2),
    "minimax_m3": Family(minimax_m3),
    "minimax_m3_vl": Family(minimax_m3),
    "llama4": Family(llama_4),
    "mllama": Family(mllama),
    "mimo_v2_flash": Family(mimo_v2),
    "step3p5": Family(step3),
    "step3p7": Family(step3),
    "nemotron-nas": Family(nemotron_nas),
    "hunyuan": Family(hunyuan),
    "hunyuan_v1_dense": Family(hunyuan),
    "hunyuan_v1_moe": Family(hunyuan),
    "deepseek_v2": Family(mla(scored=False)),
    "deepseek_v3": Family(mla(scored=True)),
    "kimi_k2": Family(mla(scored=True)),
    "glm4_moe_lite": Family(mla(scored=True)),
    "mistral4": Family(mla(scored=False)),
    "deepseek_v32": Family(sparse_mla(all_indexed)),
    "glm_moe_dsa": Family(sparse_mla(shared_indexers)),
    "deepseek_v4": Family(deepseek_v4, confidence="M"),
    "kimi_linear": Family(kimi_linear),
    "bailing_hybrid": Family(bailing_hybrid, confidence="M"),
    "minimax": Family(minimax),
    "minimax_text_01": Family(minimax),
    "minimax_m1": Family(minimax),
    "jamba": Family(jamba),
    "nemotron_h": Family(nemotron_h),
    "falcon_h1": Family(falcon_h1),
    "granitemoehybrid": Family(granite_hybrid),
    "lfm2": Family(lfm2, tied=True),
    "lfm2_moe": Family(lfm2, tied=True),
    "whisper": Family(whisper, tied=True),
}

ARCHITECTURES = {
    "DeepseekV3ForCausalLM": "deepseek_v3",
    "DeepseekV32ForCausalLM": "deepseek_v32",
    "DeepseekV4ForCausalLM": "deepseek_v4",
}

UNKNOWN = Family(plain(Traits(ffn=DENSE), full), confidence="M")


def find_family(model_type: str) -> Family | None:
    """The family of a model_type; that of a nested text part has the suffix _text or _text_model."""
    return FAMILIES.get(model_type.removesuffix("_model").removesuffix("_text"))
