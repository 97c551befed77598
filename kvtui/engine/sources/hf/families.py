"""The model types whose config.json is understood, and how each is read.

What a type fixes is the published modelling and configuration classes' (biases, norms, ties, patterns). Class defaults
of sizes are used only where the released files leave them out.

A type of like layers is a row of ``plain(traits, kinds)``: what its code fixes, and which layers have a window. Gemma 2
is ``plain(replace(_GEMMA, norms=4), every(2))``: as Gemma, with four norms a layer, and every second layer full. A type
whose layers differ in more has a reader of its own.
"""

from __future__ import annotations

from dataclasses import replace

from kvtui.engine.sources.hf.attention import (
    every,
    no_window,
    plain,
    prefixed_by_image,
    qwen,
    qwen2_moe,
    smollm3,
    windowed,
)
from kvtui.engine.sources.hf.counted import COUNTED
from kvtui.engine.sources.hf.decoders import DECODERS, cached, stated
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
from kvtui.engine.sources.hf.latent import (
    all_indexed,
    cached_mla,
    deepseek_v4,
    hunyuan_indexers,
    mla,
    shared_indexers,
    sparse_mla,
)
from kvtui.engine.sources.hf.routed import ROUTED
from kvtui.engine.sources.hf.shape import DEEPSEEK, MIXTRAL, QWEN, QWEN_SHARED, ConfigFamily, Ffn, Traits
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
from kvtui.engine.sources.hf.states import STATES

_BIAS: Flag = ("attention_bias", False)
_MLP_BIAS = Ffn(bias=("mlp_bias", False))
_PLAIN = Traits(mha=True)
_LLAMA = Traits(mha=True, qkv_bias=_BIAS, out_bias=_BIAS, ffn=_MLP_BIAS)
_QWEN2 = Traits(qkv_bias=True)
_QWEN3 = Traits(qkv_bias=_BIAS, out_bias=_BIAS, qk_norm="head")
_QWEN3_MOE = replace(_QWEN3, floor=True, ffn=QWEN)
_GEMMA = Traits(qkv_bias=_BIAS, out_bias=_BIAS, tied=True)
_GEMMA3 = replace(_GEMMA, qk_norm="head", norms=4)
_COHERE = replace(_PLAIN, qkv_bias=_BIAS, out_bias=_BIAS, norms=1, tied=True)
_OLMO = replace(_PLAIN, qkv_bias=_BIAS, out_bias=_BIAS, qk_norm="row")
_GPT_OSS = Traits(
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
_SEED = Traits(qkv_bias=("attention_bias", True), out_bias=("attention_out_bias", False), ffn=_MLP_BIAS)
_GLM = Traits(qkv_bias=_BIAS)
_GLM4_MOE = replace(_GLM, floor=True, qk_norm="head", qk_normed=("use_qk_norm", False), ffn=DEEPSEEK)
_GLM4V_MOE = Traits(qkv_bias=("attention_bias", True), floor=True, ffn=DEEPSEEK)
_PHI_MOE = Traits(qkv_bias=_BIAS, out_bias=_BIAS, norm_bias=True, ffn=MIXTRAL)
FAMILIES: dict[str, ConfigFamily] = {
    "llama": ConfigFamily(plain(_LLAMA)),
    "granite": ConfigFamily(plain(_LLAMA)),
    "smollm3": ConfigFamily(plain(_LLAMA, smollm3), tied=True),
    "mistral": ConfigFamily(plain(Traits(), windowed)),
    "ministral3": ConfigFamily(plain(Traits(), windowed)),
    "mixtral": ConfigFamily(plain(Traits(ffn=MIXTRAL), windowed)),
    "qwen2": ConfigFamily(plain(_QWEN2, qwen)),
    "qwen2_vl": ConfigFamily(plain(_QWEN2, qwen)),
    "qwen2_5_vl": ConfigFamily(plain(_QWEN2, qwen)),
    "qwen2_5_omni": ConfigFamily(plain(_QWEN2, qwen)),
    "qwen2_moe": ConfigFamily(plain(replace(_QWEN2, qkv_bias=("qkv_bias", True), ffn=QWEN_SHARED), qwen2_moe)),
    "mimo": ConfigFamily(plain(replace(_QWEN2, qkv_bias=_BIAS), qwen)),
    "qwen3": ConfigFamily(plain(_QWEN3, qwen)),
    "qwen3_vl": ConfigFamily(plain(_QWEN3)),
    "qwen3_moe": ConfigFamily(plain(_QWEN3_MOE, no_window)),
    "qwen3_vl_moe": ConfigFamily(plain(_QWEN3_MOE)),
    "qwen3_omni_moe": ConfigFamily(plain(_QWEN3_MOE, no_window)),
    "qwen3_next": ConfigFamily(qwen_next),
    "qwen3_5": ConfigFamily(qwen_next),
    "qwen3_5_moe": ConfigFamily(qwen_next),
    "gemma": ConfigFamily(plain(_GEMMA, prefixed_by_image), tied=True),
    "gemma2": ConfigFamily(plain(replace(_GEMMA, norms=4), every(2)), tied=True),
    "gemma3": ConfigFamily(plain(_GEMMA3, every(6)), tied=True),
    "gemma3n": ConfigFamily(gemma3n, tied=True),
    "gemma4": ConfigFamily(gemma4, tied=True),
    "gemma4_unified": ConfigFamily(gemma4, tied=True),
    "phi3": ConfigFamily(plain(_PLAIN, windowed)),
    "phimoe": ConfigFamily(plain(_PHI_MOE, windowed)),
    "starcoder2": ConfigFamily(plain(_STARCODER2, windowed), tied=True),
    "olmo2": ConfigFamily(plain(_OLMO)),
    "olmo3": ConfigFamily(plain(_OLMO, every(4))),
    "cohere": ConfigFamily(plain(replace(_COHERE, qk_norm="row", qk_normed=("use_qk_norm", False))), tied=True),
    "cohere2": ConfigFamily(plain(_COHERE, every(4)), tied=True),
    "exaone4": ConfigFamily(plain(replace(_QWEN3, qkv_bias=False, out_bias=False), every(4))),
    "gpt_neox": ConfigFamily(plain(_NEOX)),
    "seed_oss": ConfigFamily(plain(_SEED)),
    "glm": ConfigFamily(plain(_GLM)),
    "glm4": ConfigFamily(plain(replace(_GLM, norms=4))),
    "glm4_moe": ConfigFamily(plain(_GLM4_MOE)),
    "glm4v": ConfigFamily(plain(replace(_GLM, qkv_bias=("attention_bias", True), norms=4))),
    "glm4v_moe": ConfigFamily(plain(_GLM4V_MOE)),
    "gpt_oss": ConfigFamily(plain(_GPT_OSS, every(2))),
    "minimax_m2": ConfigFamily(minimax_m2),
    "minimax_m3": ConfigFamily(minimax_m3),
    "minimax_m3_vl": ConfigFamily(minimax_m3),
    "llama4": ConfigFamily(llama_4),
    "mllama": ConfigFamily(mllama),
    "mimo_v2_flash": ConfigFamily(mimo_v2),
    "step3p5": ConfigFamily(step3),
    "step3p7": ConfigFamily(step3),
    "nemotron-nas": ConfigFamily(nemotron_nas),
    "hunyuan": ConfigFamily(hunyuan),
    "hunyuan_v1_dense": ConfigFamily(hunyuan),
    "hunyuan_v1_moe": ConfigFamily(hunyuan),
    "deepseek_v2": ConfigFamily(mla(scored=False)),
    "deepseek_v3": ConfigFamily(mla(scored=True)),
    "kimi_k2": ConfigFamily(mla(scored=True)),
    "glm4_moe_lite": ConfigFamily(mla(scored=True)),
    "mistral4": ConfigFamily(mla(scored=False)),
    "deepseek_v32": ConfigFamily(sparse_mla(all_indexed)),
    "glm_moe_dsa": ConfigFamily(sparse_mla(shared_indexers)),
    "deepseek_v4": ConfigFamily(deepseek_v4, confidence="M"),
    "minicpm3": ConfigFamily(mla(scored=False), tied=True),
    "sarvam_mla": ConfigFamily(mla(scored=True)),
    "youtu": ConfigFamily(mla(scored=False), tied=True),
    "longcat_flash": ConfigFamily(cached_mla(times=2)),
    "axk2": ConfigFamily(cached_mla(indexed=all_indexed)),
    "hy_v4": ConfigFamily(cached_mla(indexed=hunyuan_indexers)),
    "hy_v4_vl": ConfigFamily(cached_mla(indexed=hunyuan_indexers)),
    "mistral_large4": ConfigFamily(cached_mla(indexed=shared_indexers, some_nope=True)),
    "kimi_linear": ConfigFamily(kimi_linear),
    "bailing_hybrid": ConfigFamily(bailing_hybrid, confidence="M"),
    "minimax": ConfigFamily(minimax),
    "minimax_text_01": ConfigFamily(minimax),
    "minimax_m1": ConfigFamily(minimax),
    "jamba": ConfigFamily(jamba),
    "nemotron_h": ConfigFamily(nemotron_h),
    "falcon_h1": ConfigFamily(falcon_h1),
    "granitemoehybrid": ConfigFamily(granite_hybrid),
    "lfm2": ConfigFamily(lfm2, tied=True),
    "lfm2_moe": ConfigFamily(lfm2, tied=True),
    "whisper": ConfigFamily(whisper, tied=True),
}

ARCHITECTURES = {
    "DeepseekV3ForCausalLM": "deepseek_v3",
    "DeepseekV32ForCausalLM": "deepseek_v32",
    "DeepseekV4ForCausalLM": "deepseek_v4",
}

UNKNOWN = ConfigFamily(cached(stated), confidence="M")


READERS = {**DECODERS, **STATES, **COUNTED, **ROUTED, **FAMILIES}
"""Every model type that is read by a rule of its own."""


_ENCODER = "it is an encoder, which keeps no KV cache"
REFUSED = {
    **dict.fromkeys(("embedding_gemma2", "esmc", "eurobert", "neomme", "openai_privacy_filter", "ultrabert"), _ENCODER),
    "blt_local_decoder": "it has models of bytes around the one of patches",
    "cpmant": "it keeps prompt_length tokens of its own before each sequence",
    "diffusion_gemma": "it writes blocks of tokens by diffusion",
    "dots3_note": "its windowed layers have latents of other sizes",
    **dict.fromkeys(
        ("gemma4_assistant", "gemma4_unified_assistant"), "it drafts for another model, whose cache it reads"
    ),
    "glm5_next": "its index keys are pooled",
    "qwen4_exp": "its index keys and conv states are of kinds that kvtui has no sizes for",
    "reformer": "it hashes tokens into buckets",
    "rwkv": "RWKV-4 keeps a state of a kind that kvtui has no sizes for",
    "t5_gemma_module": "cross-attention keeps the whole prompt beside the decoder's windows",
    "t5gemma2_decoder": "cross-attention keeps the whole prompt beside the decoder's windows",
    "unlimited_ocr": "it keeps the whole prompt and a ring of generated tokens",
    "xlm": "it generates without a cache, from a mask token behind the whole text",
    "xlnet": "it keeps hidden states (mems) instead of K and V",
    "xlstm": "it keeps states of kinds that kvtui has no sizes for",
    "zaya": "it keeps conv states of a kind that kvtui has no sizes for",
}
"""Model types that are refused, and why."""


def reason_to_refuse(model_type: str) -> str | None:
    """Why a file of ``model_type`` is refused, None if it is not."""
    return REFUSED.get(model_type) or REFUSED.get(model_type.removesuffix("_text"))


def find_family(model_type: str) -> ConfigFamily | None:
    """The family of a model_type, None where it is not known."""
    return READERS.get(family_name(model_type))


def family_name(model_type: str) -> str:
    """The family's name: the model_type, where it is no nested text part's, whose ends with _text or _text_model."""
    return model_type if model_type in READERS else model_type.removesuffix("_model").removesuffix("_text")
