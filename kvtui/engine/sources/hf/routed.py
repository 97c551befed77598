"""Decoders with experts of a config.json that are plain but for which layers have them, a gate or a norm.

Each says in words what its class says in code where the file lists nothing: ``dense dense sparse …`` for Flint. A
reader here is ``plain`` of the file with that list in it.
"""

from __future__ import annotations

from dataclasses import replace

from kvtui.engine.model.tensors import copied, vector
from kvtui.engine.sources.hf.attention import every, layer_count, plain, windowed
from kvtui.engine.sources.hf.counted import adding, routing
from kvtui.engine.sources.hf.decoders import listed, pattern, prefixed
from kvtui.engine.sources.hf.fields import LAYERS, Config, Flag
from kvtui.engine.sources.hf.shape import Body, ConfigFamily, Ffn, Traits

_BIAS: Flag = ("attention_bias", False)
_NORMED = Traits(mha=True, qkv_bias=_BIAS, out_bias=_BIAS, qk_norm="head")
_SHARED = Ffn(shared=("shared_expert_intermediate_size",), routed=True)


def with_blocks(config: Config, sparse: tuple[bool, ...]) -> Config:
    """``config`` with a list of its feed-forward blocks, unless it has one."""
    if config.raw("mlp_layer_types") is not None:
        return config
    words = ["sparse" if routes else "dense" for routes in sparse]
    values = {**config.values, "mlp_layer_types": words}
    return Config(values, config.where, config.prefix, config.model_type, config.of).sharing(config)


def ernie_moe(config: Config) -> Body:
    """ERNIE 4.5 with experts: in the layers from moe_layer_start_index to the end index, at every moe_layer_interval.

    An end index of -1 is the last layer. The router's correction is one number per expert, a weight of its own.
    """
    layers = layer_count(config)
    start = config.maybe("moe_layer_start_index", least=0, most=LAYERS) or 0
    end = config.maybe("moe_layer_end_index", least=-1, most=LAYERS)
    interval = config.maybe("moe_layer_interval", most=LAYERS) or 1
    last = layers - 1 if end in (None, -1) else end
    sparse = tuple((layer + 1) % interval == 0 and start <= layer <= (last or 0) for layer in range(layers))
    if config.flag("use_bias"):
        config.uncounted.append(f"{config.prefix}use_bias is true, which experts have in part")
    read = plain(Traits(mha=True, ffn=Ffn(shared_count=("moe_num_shared_experts",), routed=True)), windowed)
    return routing(read, lambda _, experts: (vector("vector", experts.total),))(with_blocks(config, sparse))


def beam(config: Config) -> Body:
    """Beam: three dense layers first, four norms, and a gate per element with a bias per head."""
    layers, q, dim = layer_count(config), config.count("num_attention_heads"), config.count("head_dim")
    kinds = pattern(lambda layer, number: layer % 6 == 5 or layer == number - 1)
    traits = replace(_NORMED, gated=True, norms=4, ffn=Ffn(routed=True))
    config.ignore("final_logit_softcapping")
    read = adding(plain(traits, kinds), layer=lambda _: (vector("vector", q),))
    if config.flag("attention_bias"):
        config.uncounted.append(f"{config.prefix}attention_bias is true, with gates of {q * dim} elements")
    return read(with_blocks(config, tuple(layer >= 3 for layer in range(layers))))


def kolibri(config: Config) -> Body:
    """Kolibri: experts and a shared one in every layer, four norms, every fifth layer full."""
    layers = layer_count(config)
    return plain(replace(_NORMED, norms=4, ffn=_SHARED), every(5))(with_blocks(config, (True,) * layers))


def cohere_moe(config: Config) -> Body:
    """Cohere 2 with experts: one norm a layer, leading dense layers of a width of their own."""
    layers = layer_count(config)
    first = config.maybe("first_k_dense_replace", least=0, most=LAYERS) or 0
    ffn = Ffn(
        dense=("prefix_dense_intermediate_size",),
        expert=("intermediate_size",),
        shared_count=("num_shared_experts",),
        routed=True,
    )
    read = plain(replace(_NORMED, qk_norm=None, norms=1, ffn=ffn), prefixed)
    return read(with_blocks(config, tuple(layer >= first for layer in range(layers))))


def laguna(config: Config) -> Body:
    """Laguna: a dense layer first, a shared expert, and a gate per head, or per element where gating says so."""
    layers, q, dim = layer_count(config), config.count("num_attention_heads"), config.count("head_dim")
    if set(config.numbers("num_attention_heads_per_layer") or ()) - {q}:
        config.uncounted.append(f"{config.prefix}num_attention_heads_per_layer differs from num_attention_heads")
    gates = q if config.raw("gating") in (True, "per-head") else q * dim
    read = adding(
        plain(replace(_NORMED, ffn=_SHARED), listed),
        layer=lambda inner: (copied("gate", gates, inner.count("hidden_size")),),
    )
    corrected = routing(read, lambda _, experts: (vector("vector", experts.total),))
    return corrected(with_blocks(config, tuple(layer > 0 for layer in range(layers))))


def flint(config: Config) -> Body:
    """Flint: two dense layers first unless mlp_only_layers says otherwise, a shared expert, sinks."""
    layers = layer_count(config)
    dense = config.indices("mlp_only_layers", layers) if config.raw("mlp_only_layers") is not None else (0, 1)
    step = config.maybe("decoder_sparse_step", most=LAYERS) or 1
    kinds = pattern(lambda layer, number: layer < 2 or layer % 4 == 1 or layer == number - 1)
    sparse = tuple(layer not in (dense or ()) and (layer + 1) % step == 0 for layer in range(layers))
    return plain(replace(_NORMED, sinks=True, ffn=_SHARED), kinds)(with_blocks(config, sparse))


ROUTED: dict[str, ConfigFamily] = {
    "ernie4_5_moe": ConfigFamily(ernie_moe),
    "beam": ConfigFamily(beam),
    "kolibri1": ConfigFamily(kolibri),
    "cohere2_moe": ConfigFamily(cohere_moe, tied=True),
    "laguna": ConfigFamily(laguna),
    "flint": ConfigFamily(flint),
}
"""Model types and how they are read."""
