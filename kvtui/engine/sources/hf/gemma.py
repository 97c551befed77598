"""Gemma 3n and Gemma 4 of a config.json: shared caches, per-layer embeddings, full layers with heads of their own."""

from __future__ import annotations

from dataclasses import replace

from kvtui.engine.model import parameters
from kvtui.engine.model.tensors import Tensors, copied, vector
from kvtui.engine.sources.hf.attention import (
    Heads,
    assemble,
    attention_weights,
    cache_of,
    check_heads,
    every,
    heads_by_layer,
    layer_count,
    read_heads,
    share_last,
)
from kvtui.engine.sources.hf.ffn import dense, routed
from kvtui.engine.sources.hf.fields import LAYERS, VOCAB, Config
from kvtui.engine.sources.hf.shape import DENSE, QWEN, Body, ConfigLayerKind, FeedForward, Mixer, Traits

_GEMMA = Traits(
    qkv_bias=("attention_bias", False),
    out_bias=("attention_bias", False),
    qk_norm="head",
    norms=4,
    tied=True,
)


def gemma3n(config: Config) -> Body:
    """Gemma 3n: windows, the last num_kv_shared_layers without K and V, AltUp, LAuReL and per-layer embeddings."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    heads = read_heads(config, hidden, _GEMMA)
    order = every(5)(config, layers)
    weights = attention_weights(config, hidden, heads, _GEMMA)
    mixers = [Mixer((cache_of(config, heads, kind),), weights) for kind in order]
    shared = config.count("num_kv_shared_layers", least=0, most=LAYERS)
    if shared:
        share_last(config, "num_kv_shared_layers", mixers, order, shared)
        config.notes.append("parameters leave out K and V projections of layers that share, which released files have")
    reads = parameters.reader(hidden, heads.q, heads.k, heads.v, "head")
    mixers[layers - shared :] = [Mixer(mixer.caches, reads) for mixer in mixers[layers - shared :]]
    each, outside = _per_layer_inputs(config, hidden, layers)
    inputs, rank = config.weight("altup_num_inputs", most=64), config.weight("laurel_rank")
    altup = (
        vector("vector", 2 * hidden),
        copied("vector", inputs, inputs),
        copied("vector", inputs * inputs, inputs),
        copied("vector", inputs, hidden),
    )
    laurel = copied("per_layer", rank, hidden), copied("per_layer", hidden, rank), vector("norm", hidden)
    outside = (*outside, *((copied("per_layer", hidden, hidden),) * (2 * max(0, inputs - 1))))
    blocks = _widths(config, hidden, layers)
    body = assemble(config, hidden, _GEMMA, tuple(mixers), blocks, outside=outside)
    return replace(body, norms=(*body.norms, *each, *altup, *laurel))


def _widths(config: Config, hidden: int, layers: int) -> tuple[FeedForward, ...]:
    """Dense blocks whose intermediate_size may be a list with one entry per layer."""
    if not isinstance(config.raw("intermediate_size"), list):
        return (dense(config, hidden, DENSE),) * layers
    widths = config.numbers("intermediate_size", least=1) or ()
    if len(widths) != layers:
        raise config.error("intermediate_size", f"has {len(widths)} entries for {layers} layers")
    return tuple(FeedForward(parameters.mlp(hidden, width), width=width) for width in widths)


def _per_layer_inputs(config: Config, hidden: int, layers: int) -> tuple[Tensors, Tensors]:
    """Weights of per-layer embeddings: in each layer, and outside the layers."""
    size = config.weight("hidden_size_per_layer_input", least=0)
    vocab = config.maybe("vocab_size_per_layer_input", least=0, most=VOCAB)
    if not size:
        return (), ()
    if vocab is None:
        config.uncounted.append(f"{config.prefix}vocab_size_per_layer_input is missing")
    return parameters.layer_inputs(hidden, vocab or 0, layers, size)


def gemma4(config: Config) -> Body:
    """Gemma 4: full layers have their own head size and KV heads; with attention_k_eq_v they still cache K and V."""
    config.need("attention_k_eq_v", "num_kv_shared_layers")
    hidden, layers = config.count("hidden_size"), layer_count(config)
    local = read_heads(config, hidden, _GEMMA)
    tied_kv = config.flag("attention_k_eq_v")
    order = every(6)(config, layers)
    wide = _global_heads(config, local, order)
    if order[-1] != "full":
        raise config.error("layer_types", "the last layer of this model type is always full_attention")
    full = Mixer((wide.attention(),), attention_weights(config, hidden, wide, _GEMMA, tied_kv=tied_kv))
    mixers = [
        full
        if kind == "full"
        else Mixer((cache_of(config, local, kind),), attention_weights(config, hidden, local, _GEMMA))
        for kind in order
    ]
    shared = config.maybe("num_kv_shared_layers", least=0, most=LAYERS) or 0
    if shared:
        share_last(config, "num_kv_shared_layers", mixers, order, shared)
    for layer in range(layers - shared, layers):
        heads = wide if order[layer] == "full" else local
        mixers[layer] = Mixer(mixers[layer].caches, parameters.reader(hidden, heads.q, heads.k, heads.v, "head"))
    each, outside = _per_layer_inputs(config, hidden, layers)
    if config.raw("use_bidirectional_attention") not in (None, False, "vision"):
        raise config.error("use_bidirectional_attention", "is for encoders, which keep no KV cache")
    blocks = _gemma4_blocks(config, hidden, layers, shared)
    body = assemble(config, hidden, _GEMMA, tuple(mixers), blocks, outside=outside)
    return replace(body, norms=(*body.norms, *each))


def _global_heads(config: Config, local: Heads, order: tuple[ConfigLayerKind, ...]) -> Heads:
    """Heads of the full layers: released files have fields for them, transformers a per_layer_config.

    Released files state global_head_dim (512 where they do not), and num_global_key_value_heads, which count if K and V
    are one. Raises InputError where the layers of a kind differ.
    """
    if config.raw("per_layer_config") is not None:
        own = heads_by_layer(config, local, len(order))
        full = {heads for heads, kind in zip(own, order, strict=True) if kind == "full"}
        if len(full) != 1 or any(heads != local for heads, kind in zip(own, order, strict=True) if kind != "full"):
            raise config.error(
                "per_layer_config", "does not give all full_attention layers the same heads, and no other"
            )
        config.ignore("global_head_dim", "num_global_key_value_heads")
        return full.pop()
    dim = config.maybe("global_head_dim")
    if dim is None:
        config.notes.append("global_head_dim is not in the file: 512, as the class has it")
    kv = config.maybe("num_global_key_value_heads") if config.flag("attention_k_eq_v") else None
    config.ignore("num_global_key_value_heads")
    check_heads(config, "num_global_key_value_heads", local.q, kv or local.kv)
    return Heads(local.q, kv or local.kv, dim or 512, dim or 512)


def _gemma4_blocks(config: Config, hidden: int, layers: int, shared: int) -> tuple[FeedForward, ...]:
    """A dense block in every layer, twice as wide in the shared ones if so stated, and experts beside it."""
    plain = dense(config, hidden, DENSE)
    width = plain.width * (2 if config.flag("use_double_wide_mlp") else 1)
    double = FeedForward(parameters.mlp(hidden, width), width=width)
    blocks = (plain,) * (layers - shared) + (double,) * shared
    if not config.flag("enable_moe_block"):
        return blocks
    moe = routed(config, hidden, QWEN)
    scales = (*parameters.norms(hidden, 4), vector("vector", moe.experts.total if moe.experts else 0))
    return tuple(
        FeedForward((*block.tensors, *moe.tensors, *scales), moe.experts, block.width + moe.width) for block in blocks
    )
