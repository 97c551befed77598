"""Names of config fields that speak of something a reader must understand: another kind of cache, other weights.

A reader marks every field that it takes into account. A field that is left over, is set, and has a name that one of
these patterns is found in, means that the model is not understood: no number may be given for its cache
(``CACHE_HINTS``), or its weights are not counted (``WEIGHT_HINTS``). For example, a config of ``model_type`` llama with
``"sliding_window": 4096`` is refused, since no reader of Llama looks at windows and a window would bound the cache.

The patterns are wide on purpose. A field of which only the name is unlucky is named in the refusal, and a reader that
knows better says so by marking it (``Config.ignore``). Names of ``OTHERS`` are of images, sound and token numbers, and
speak of no cache: ``streaming_audio_chunk_size`` is no attention in chunks.

A model type that kvtui does not know may have any field at all. There a number is harmless only if its name is one of
``HARMLESS``: a ``num_loops`` of 4 would be four caches per layer.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Hint(NamedTuple):
    """``pattern`` is searched for in a field's name, ``meaning`` is what it speaks of; ``example`` is such a name."""

    pattern: str
    meaning: str
    example: str


CACHE_HINTS = (
    Hint(r"sliding", "a sliding window", "sliding_window"),
    Hint(r"window", "a window", "attention_window_size"),
    Hint(r"(^|_)swa(_|$)", "a sliding window", "swa_num_key_value_heads"),
    Hint(r"chunk", "attention in chunks", "attention_chunk_size"),
    Hint(r"(?<!mlp_)layer_types", "layers of several kinds", "layer_types"),
    Hint(r"block_type", "layers of several kinds", "block_types"),
    Hint(r"block_config", "layers of several shapes", "block_configs"),
    Hint(r"layer_pattern", "layers of several kinds", "global_layer_pattern"),
    Hint(r"hybrid", "layers of several kinds", "hybrid_override_pattern"),
    Hint(r"attn_type", "attention of several kinds", "attn_type_list"),
    Hint(r"attention_type", "attention of several kinds", "attention_types"),
    Hint(r"other_setting", "attention of several shapes", "attention_other_setting"),
    Hint(r"full_attn", "full attention in some layers only", "full_attn_idxs"),
    Hint(r"full_attention", "full attention in some layers only", "full_attention_interval"),
    Hint(r"(attn|attention)_layer", "attention in some layers only", "attn_layer_period"),
    Hint(r"cross_attention", "cross-attention", "add_cross_attention"),
    Hint(r"layer_group", "layers of several kinds", "layer_group_size"),
    Hint(
        r"(^|_)(local|global)_(attn|attention|head|key|kv|num|window|layer)",
        "local and global layers",
        "global_attn_every_n_layers",
    ),
    Hint(r"mamba", "Mamba layers", "mamba_d_state"),
    Hint(r"(^|_)ssm", "state-space layers", "ssm_cfg"),
    Hint(r"state_size", "a recurrent state", "state_size"),
    Hint(r"d_state", "a recurrent state", "d_state"),
    Hint(r"(^|_)conv", "convolutions, whose inputs are kept", "conv_kernel"),
    Hint(r"rwkv", "RWKV layers", "rwkv_head_size"),
    Hint(r"recurr", "recurrent layers", "recurrent_dim"),
    Hint(r"delta_(rule|net)|deltanet", "layers with a delta rule", "use_delta_rule"),
    Hint(r"(^|_)kda", "Kimi Delta Attention", "kda_num_heads"),
    Hint(r"retention", "retention layers", "retention_heads"),
    Hint(r"lightning", "lightning attention", "lightning_nh"),
    Hint(r"hyena", "Hyena layers", "hyena_filter_order"),
    Hint(r"xlstm", "xLSTM layers", "xlstm_block_size"),
    Hint(r"(^|_)lru", "a linear recurrent unit", "lru_width"),
    Hint(r"time_mix", "RWKV layers", "time_mix_extra_dim"),
    Hint(r"linear_(attn|attention|key|value|num|conv|head)", "linear attention", "linear_num_key_heads"),
    Hint(r"(^|_)index_|indexer", "a sparse-attention indexer", "index_topk"),
    Hint(r"compress", "compressed K and V", "compress_ratios"),
    Hint(r"sparse_(attn|attention|block)", "sparse attention", "sparse_block_size"),
    Hint(r"shared_kv", "K and V shared between layers", "num_shared_kv_layers"),
    Hint(r"kv_shared", "K and V shared between layers", "num_kv_shared_layers"),
    Hint(r"kv_source", "K and V shared between layers", "kv_source_layer"),
    Hint(r"share_kv", "K and V shared between layers", "share_kv_factor"),
    Hint(r"(^|_)cla(_|$)", "K and V shared between layers", "use_cla"),
    Hint(r"(^|_)mla(_|$)", "a latent cache", "use_mla"),
    Hint(r"(^|_)(nsa|moba|dsa)(_|$)", "sparse attention", "nsa_block_count"),
    Hint(r"lora_rank", "a latent cache", "kv_lora_rank"),
    Hint(r"(nope|rope|v|value|key)_head_dim", "K and V of different sizes", "v_head_dim"),
    Hint(r"encoder_layers", "an encoder", "encoder_layers"),
    Hint(r"decoder_layers", "an encoder", "decoder_layers"),
    Hint(r"is_encoder_decoder", "an encoder", "is_encoder_decoder"),
    Hint(r"multi_query", "fewer KV heads than query heads", "multi_query"),
    Hint(r"new_decoder", "fewer KV heads than query heads", "new_decoder_architecture"),
    Hint(r"n_head_kv", "fewer KV heads than query heads", "n_head_kv"),
    Hint(r"num_kv_heads", "fewer KV heads than query heads", "num_kv_heads"),
    Hint(r"query_group", "fewer KV heads than query heads", "num_query_groups"),
    Hint(r"per_layer", "sizes that differ between layers", "heads_per_layer"),
    Hint(r"bidirectional", "attention to later tokens", "use_bidirectional_attention"),
    Hint(r"(^|_)(loops?|passes|ut_steps)(_|$)|recurrent|universal", "layers that run several times", "num_loops"),
)

WEIGHT_HINTS = (
    Hint(r"expert", "experts", "num_local_experts"),
    Hint(r"(^|_)moe", "experts", "moe_intermediate_size"),
    Hint(r"bias$", "bias vectors", "attention_bias"),
    Hint(r"qk_(layer)?norm", "norms of queries and keys", "use_qk_norm"),
    Hint(r"shared_intermediate", "a shared feed-forward block", "shared_intermediate_size"),
    Hint(r"mlp_layer_types", "feed-forward blocks of several kinds", "mlp_layer_types"),
    Hint(r"parallel_residual", "one norm for attention and feed-forward block", "use_parallel_residual"),
)


OTHERS = re.compile(
    r"audio|vision|visual|video|image|speech|mel(_|$)|duration|feed_forward"
    r"|_token_(id|ids|index)|(bos|eos|pad|unk|mask|cls|sep)_index"
)

HARMLESS = re.compile(
    r"token_?ids?$|token_index|tokenizer|(min|max)_(new_)?tokens|(^|_)(bos|eos|pad|unk|mask|cls|sep)_(id|index)|vocab"
    r"|max_.*(length|positions?|embeddings)|_positions$|seq_length|max_seq_len|n_ctx|context_length|rope|rotary"
    r"|intermediate|ffn|(^|_)ff(_|$)|mlp|expert|moe|router|topk_group|n_group$|first_k_dense|dense_layers"
    r"|decoder_sparse_step|pretraining_tp|version|seed|num_labels|logits|nextn|mtp|quantization|^quant|bits?$"
    r"|^auto_map$|^id2label$|^label2id$|architectures|task_specific|generation|projector"
    r"|max_window_layers|attn_scalar|partial|scaling|initial|norm|layer_idx"
)


def meaning(field: str, hints: tuple[Hint, ...]) -> str | None:
    """What the first of ``hints`` that is found in ``field`` speaks of, None where there is none.

    For example, ``swa_rope_theta`` speaks of "a sliding window" and ``rope_theta`` of nothing.
    """
    if OTHERS.search(field):
        return None
    return next((hint.meaning for hint in hints if re.search(hint.pattern, field)), None)
