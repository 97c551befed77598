"""Models of a config.json that are state-space models, or whose attention layers have a state too, or that loop.

Mamba keeps a state in every layer and no K and V at all. Zamba and Inkling keep both in one layer. Ouro, Dory and
Inkling 2 Loop run some layers several times for a token, with K and V of their own for each time.
"""

from __future__ import annotations

from dataclasses import replace

from kvtui.engine.model import parameters
from kvtui.engine.model.caches import Attention, Cache, Recurrent, gated_deltanet, mamba1, mamba2, short_conv
from kvtui.engine.model.tensors import wide
from kvtui.engine.sources.hf.attention import (
    LAYER_TYPES,
    Heads,
    assemble,
    attention_weights,
    cache_of,
    kv_heads,
    layer_count,
    read_heads,
    typed,
    uniform,
)
from kvtui.engine.sources.hf.decoders import uncounted_body
from kvtui.engine.sources.hf.ffn import feed_forwards
from kvtui.engine.sources.hf.fields import CONTEXT, LAYERS, Config, Flag
from kvtui.engine.sources.hf.hybrid import state_format
from kvtui.engine.sources.hf.shape import (
    DENSE,
    NO_MIXER,
    Body,
    ConfigFamily,
    ConfigLayerKind,
    FeedForward,
    Mixer,
    Traits,
)

_HEADS = Traits(mha=True)
_STATE_NOTE = "the state is in every layer, and no K and V are kept"


def mamba(config: Config) -> Body:
    """Mamba and Falcon-Mamba: a Mamba-1 state in every layer."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    inner = config.maybe("intermediate_size") or config.count("expand", most=64) * hidden
    state, conv = config.count("state_size"), config.count("conv_kernel")
    rank = -(-hidden // 16) if config.raw("time_step_rank") in (None, "auto") else config.count("time_step_rank")
    cache = mamba1(inner, state, conv, state_format(config, "bf16"))
    weights = parameters.mamba1(hidden, inner, state, rank, conv, normed=False)
    if config.flag("use_bias") or not config.flag("use_conv_bias", True):
        config.uncounted.append(f"{config.prefix}use_bias or use_conv_bias is not what released models have")
    config.ignore("expand", "hidden_act", "rescale_prenorm_residual")
    config.notes.append(_STATE_NOTE)
    blocks = (FeedForward(),) * layers
    return assemble(config, hidden, replace(_HEADS, norms=1), (Mixer((cache,), weights),) * layers, blocks)


def mamba_2(config: Config) -> Body:
    """Mamba-2: its state in every layer. The heads must make up the inner width."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    heads, dim = config.count("num_heads"), config.count("head_dim")
    shape = heads, dim, config.count("state_size"), config.count("n_groups"), config.count("conv_kernel")
    inner = config.count("expand", most=64) * hidden
    if heads * dim != inner:
        raise config.error("num_heads", f"{heads} × head_dim {dim} is not the inner width {inner}")
    if heads % shape[3]:
        raise config.error("n_groups", "does not divide num_heads")
    cache, weights = mamba2(*shape, state_format(config, "bf16")), parameters.mamba2(hidden, *shape)
    if config.flag("use_bias") or not config.flag("use_conv_bias", True):
        config.uncounted.append(f"{config.prefix}use_bias or use_conv_bias is not what released models have")
    config.ignore("chunk_size")
    config.notes.append(_STATE_NOTE)
    blocks = (FeedForward(),) * layers
    return assemble(config, hidden, replace(_HEADS, norms=1), (Mixer((cache,), weights),) * layers, blocks)


def zamba(config: Config) -> Body:
    """Zamba: Mamba-1 in every layer, and in the hybrid ones shared attention of 2 · hidden with K and V of its own."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    inner, heads = config.count("mamba_expand", most=64) * hidden, config.count("n_mamba_heads")
    if inner % heads:
        raise config.error("n_mamba_heads", f"{heads} does not divide the inner width {inner}")
    state = mamba1(inner, config.count("mamba_d_state"), config.count("mamba_d_conv"), state_format(config, "bf16"))
    period = config.count("attn_layer_period", most=LAYERS)
    offset = config.count("attn_layer_offset", least=0, most=LAYERS)
    default = ("linear", "linear", "hybrid")[:layers] + tuple(
        "hybrid" if layer % period == offset else "linear" for layer in range(layers - 3)
    )
    return _zamba(config, layers, state, default)


def zamba_2(config: Config) -> Body:
    """Zamba2: as Zamba with Mamba-2; hybrid layers must be listed unless there are 54."""
    layers = layer_count(config)
    inner, heads = config.count("mamba_expand", most=64) * config.count("hidden_size"), config.count("n_mamba_heads")
    if inner % heads:
        raise config.error("n_mamba_heads", f"{heads} does not divide the inner width {inner}")
    groups = config.count("mamba_ngroups")
    if heads % groups:
        raise config.error("mamba_ngroups", f"{groups} does not divide n_mamba_heads {heads}")
    shape = heads, inner // heads, config.count("mamba_d_state"), groups, config.count("mamba_d_conv")
    numbers = config.indices("hybrid_layer_ids", layers)
    default = None if numbers is None else tuple("hybrid" if i in numbers else "linear" for i in range(layers))
    config.ignore("mamba_headdim", "kv_channels", "num_query_groups", "chunk_size", "use_mem_rope", "num_mem_blocks")
    config.ignore("use_long_context", "use_conv_bias", "add_bias_linear", "adapter_rank")
    return _zamba(config, layers, mamba2(*shape, state_format(config, "bf16")), default)


def _zamba(config: Config, layers: int, state: Recurrent, default: tuple[str, ...] | None) -> Body:
    kinds = {"linear_attention": False, "mamba": False, "hybrid": True, "linear": False}
    listed = config.choices("layer_types", kinds, layers)
    if listed is None and default is None:
        raise config.error("layers_block_type", "is missing, and so is hybrid_layer_ids")
    hybrid = listed or tuple(kind == "hybrid" for kind in default or ())
    q = config.count("num_attention_heads")
    kv = kv_heads(config, q, "num_key_value_heads", mha=True)
    dim = config.maybe("attention_head_dim") or 2 * config.count("hidden_size") // q
    config.ignore(
        "attention_hidden_size", "use_mamba_kernels", "hidden_mamba_act", "mamba_conv_bias", "mamba_proj_bias"
    )
    config.ignore("mamba_dt_rank", "use_associative_scan", "use_mem_eff_path", "use_shared_attention_adapter")
    attention = Attention("full", q, kv, dim, dim)
    return uncounted_body(config, tuple(Mixer((attention, state)) if both else Mixer((state,)) for both in hybrid))


def bamba(config: Config) -> Body:
    """Bamba: Mamba-2, and attention in the layers that attn_layer_indices names."""
    layers = layer_count(config)
    chosen = config.indices("attn_layer_indices", layers) or ()
    listed = config.choices(
        "layer_types", {"full_attention": True, "attention": True, "linear_attention": False}, layers
    )
    attends = listed or tuple(layer in chosen for layer in range(layers))
    heads = read_heads(config, config.count("hidden_size"), _HEADS)
    inner, number = config.count("mamba_expand", most=64) * config.count("hidden_size"), config.count("mamba_n_heads")
    dim = inner // number if config.raw("mamba_d_head") in (None, "auto") else config.count("mamba_d_head")
    if number * dim != inner:
        raise config.error("mamba_n_heads", f"{number} × mamba_d_head {dim} is not the inner width {inner}")
    groups = config.count("mamba_n_groups")
    if number % groups:
        raise config.error("mamba_n_groups", f"{groups} does not divide mamba_n_heads {number}")
    shape = number, dim, config.count("mamba_d_state"), groups, config.count("mamba_d_conv")
    state = mamba2(*shape, state_format(config, "bf16"))
    config.ignore("mamba_chunk_size", "mamba_conv_bias", "mamba_proj_bias")
    caches: dict[bool, Cache] = {True: heads.attention(), False: state}
    return uncounted_body(config, tuple(Mixer((caches[attend],)) for attend in attends))


def delta_hybrid(config: Config) -> Body:
    """OLMo-hybrid and Lara-mini: gated DeltaNet, windowed and full layers as listed, else full in every fourth."""
    layers = layer_count(config)
    heads = read_heads(config, config.count("hidden_size"), _HEADS)
    keys = config.maybe("linear_num_key_heads") or heads.q
    values = config.maybe("linear_num_value_heads") or heads.q
    base = config.count("hidden_size") // heads.q
    key_dim = config.maybe("linear_key_head_dim") or int(0.75 * base)
    value_dim = config.maybe("linear_value_head_dim") or 2 * key_dim
    if values % keys:
        raise config.error("linear_num_value_heads", f"{values} is not a multiple of linear_num_key_heads {keys}")
    shape = keys, values, key_dim, value_dim, config.count("linear_conv_kernel_dim")
    state = gated_deltanet(*shape)
    config.ignore("linear_allow_neg_eigval", "linear_a_log_min", "linear_a_log_max")
    if config.raw("layer_types") is None and config.model_type == "lara_mini":
        cycle: tuple[ConfigLayerKind, ...] = ("linear", "sliding", "linear", "full", "sliding")
        order = tuple(cycle[layer % 5] for layer in range(layers))
    elif config.raw("layer_types") is None:
        order = tuple(
            "full" if layer % 4 == 3 or (layers < 4 and layer == layers - 1) else "linear" for layer in range(layers)
        )
    else:
        order = typed(config, layers)
    caches = [state if kind == "linear" else cache_of(config, heads, kind) for kind in order]
    if config.model_type != "olmo_hybrid":
        return uncounted_body(config, tuple(Mixer((cache,)) for cache in caches))
    biased: Flag = ("attention_bias", False)
    traits = replace(_HEADS, qkv_bias=biased, out_bias=biased, qk_norm="row")
    hidden = config.count("hidden_size")
    linear = parameters.gated_deltanet(hidden, *shape)
    softmax = attention_weights(config, hidden, heads, traits)
    mixers = tuple(
        Mixer((cache,), linear if kind == "linear" else softmax) for cache, kind in zip(caches, order, strict=True)
    )
    return assemble(config, hidden, traits, mixers, feed_forwards(config, hidden, layers, DENSE))


def lfm3(config: Config) -> Body:
    """LFM3: short convolutions, windowed and full attention, as listed or in a cycle of four layers."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    heads = read_heads(config, hidden, _HEADS)
    kinds: dict[str, ConfigLayerKind] = {"conv": "linear", **LAYER_TYPES}
    cycle = {2: "full_attention", 0: "sliding_attention"}
    default = tuple(kinds[cycle.get(layer % 4, "conv") if layer else "conv"] for layer in range(layers))
    order = config.choices("layer_types", kinds, layers) or default
    kernel = config.count("conv_L_cache")
    if config.flag("conv_bias"):
        config.uncounted.append(f"{config.prefix}conv_bias is true")
    biased: Flag = ("attention_bias", False)
    norms = 4 if config.flag("use_sandwich_norm", True) else 2
    traits = replace(_HEADS, qkv_bias=biased, out_bias=biased, qk_norm="head", norms=norms)
    gates = (wide("gate", heads.q, hidden),) * config.flag("use_attention_gate", True)
    conv = Mixer((short_conv(hidden, kernel),), parameters.short_conv(hidden, kernel))
    weights = (*attention_weights(config, hidden, heads, traits), *gates)
    mixers = tuple(conv if kind == "linear" else Mixer((cache_of(config, heads, kind),), weights) for kind in order)
    return assemble(config, hidden, traits, mixers, feed_forwards(config, hidden, layers, DENSE))


def inkling(config: Config) -> Body:
    """Inkling: every layer has attention, full or windowed with heads of its own, and four convolutions.

    These keep the last inputs for K, V, and the layer's input and output. Of Inkling 2 Loop the layers from
    loop_layer_index_start to loop_layer_index_end run loop_num_passes times, each with caches of its own.
    """
    hidden, layers = config.count("hidden_size"), layer_count(config)
    kernel, window = config.count("conv_kernel_size"), config.count("sliding_window", most=CONTEXT)
    config.ignore("sliding_window_size", "number_of_conv_states", "loop_gate_rank")
    numbers = config.indices("local_layer_ids", layers)
    local = tuple((layer + 1) % 6 > 0 if numbers is None else layer in numbers for layer in range(layers))
    order = config.choices("layer_types", {"hybrid": False, "hybrid_sliding": True}, layers) or local
    mixers = {slides: _inkling_layer(config, hidden, kernel, window if slides else None) for slides in set(order)}
    passes = _passes(config, layers)
    return uncounted_body(
        config, tuple(Mixer(mixers[slides].caches * passes[layer]) for layer, slides in enumerate(order))
    )


def _inkling_layer(config: Config, hidden: int, kernel: int, window: int | None) -> Mixer:
    prefix = "" if window is None else "swa_"
    q = config.count(f"{prefix}num_attention_heads")
    kv = kv_heads(config, q, f"{prefix}num_key_value_heads")
    dim = config.count(f"{prefix}head_dim")
    heads = Heads(q, kv, dim, dim)
    kept = heads.attention() if window is None else heads.attention("sliding", window)
    return Mixer((kept, *(short_conv(width, kernel) for width in (kv * dim, kv * dim, hidden, hidden))))


def _passes(config: Config, layers: int) -> tuple[int, ...]:
    """How often each layer runs for a token."""
    loop = config.inner("loop_config")
    if loop is not None:
        first, end, number = (
            loop.count(name, least=0, most=LAYERS) for name in ("core_start", "core_end", "num_passes")
        )
    elif "loop_num_passes" in config.of.defaults or config.raw("loop_num_passes") is not None:
        first, end = (config.count(f"loop_layer_index_{name}", least=0, most=LAYERS) for name in ("start", "end"))
        number = config.count("loop_num_passes", most=64)
    else:
        return (1,) * layers
    if not first <= end <= layers or not 1 <= number <= 64:
        raise config.error("loop_num_passes", f"{number} passes of layers {first} to {end} of {layers}: not understood")
    return tuple(number if first <= layer < end else 1 for layer in range(layers))


def dory(config: Config) -> Body:
    """Dory: the layers between the input and output ones run n_recurrent_loops times.

    A file lists an attention and an mlp block for each layer, and counts both: 72 are 36 layers. With
    recurrent_kv_cache_mode per_loop each run keeps K and V of its own, with last_loop only one is kept.
    """
    words = config.words("layer_types")
    layers = layer_count(config)
    step = 2 if words is not None and "mlp" in words else 1
    names = None if words is None else words[::step]
    if names is not None and (
        len(words or ()) != layers or any(word != "mlp" for word in (words or ())[1::2] if step == 2)
    ):
        raise config.error("layer_types", f"is not a list of {layers} blocks, attention and mlp in turn")
    inner = Config(
        {**config.values, "layer_types": None if names is None else list(names)},
        config.where,
        config.prefix,
        config.model_type,
        config.of,
    )
    inner.notes, inner.uncounted, inner.defaulted = config.notes, config.uncounted, config.defaulted
    layers //= step
    order: tuple[ConfigLayerKind, ...] = (
        tuple("full" if layer % 4 == 3 else "sliding" for layer in range(layers))
        if names is None
        else typed(inner, layers)
    )
    before, behind = (config.count(f"n_{part}_layers", least=0, most=LAYERS) // step for part in ("input", "output"))
    loops = config.count("n_recurrent_loops", most=64)
    looped = config.maybe("n_recurrent_layers", least=0, most=LAYERS)
    if before + behind > layers or (looped is not None and before + looped // step + behind != layers):
        raise config.error("n_recurrent_layers", f"and the layers before and behind are not the {layers} layers")
    mode = config.text("recurrent_kv_cache_mode")
    if mode not in ("per_loop", "last_loop"):
        raise config.error("recurrent_kv_cache_mode", "is neither per_loop nor last_loop")
    times = loops if mode == "per_loop" else 1
    heads = read_heads(config, config.count("hidden_size"), _HEADS)
    config.ignore("sliding_window")
    caches = {kind: cache_of(config, heads, kind) for kind in set(order)}
    return uncounted_body(
        config,
        tuple(
            Mixer((caches[kind],) * (times if before <= layer < layers - behind else 1))
            for layer, kind in enumerate(order)
        ),
    )


def ouro(config: Config) -> Body:
    """Ouro: all layers run total_ut_steps times, each time with K and V of their own; four norms and an exit gate."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    steps = config.maybe("total_ut_steps", most=64)
    if steps is None:
        raise config.error("total_ut_steps", "is missing")
    traits = Traits(mha=True, norms=4)
    heads = read_heads(config, hidden, traits)
    config.ignore("max_window_layers", "early_exit_step")
    if config.flag("use_sliding_window"):
        raise config.error("use_sliding_window", "is not known for this model type")
    config.ignore("sliding_window")
    order = uniform("full", layers) if config.raw("layer_types") is None else typed(config, layers)
    cache = [cache_of(config, heads, kind) for kind in order]
    weights = attention_weights(config, hidden, heads, traits)
    mixers = tuple(Mixer((kept,) * steps, weights) for kept in cache)
    gate = parameters.lump("other", hidden + 1)
    return assemble(config, hidden, traits, mixers, feed_forwards(config, hidden, layers, DENSE), NO_MIXER, gate)


def hrm(config: Config) -> Body:
    """HRM-Text: two stacks run over and over, and each run of a layer has K and V of its own.

    A released file counts the layers of a stack; transformers writes all runs as num_hidden_layers, and the layers of a
    stack besides: 16 layers, 2 · (3 + 1) runs of them, are 128.
    """
    layers = config.count("num_hidden_layers", most=LAYERS)
    cycles = config.count("H_cycles", most=64), config.count("L_cycles", most=64)
    if config.maybe("num_layers_per_stack", most=LAYERS) is None:
        layers = layers * cycles[0] * (cycles[1] + 1)
    if layers > LAYERS:
        raise config.error("num_hidden_layers", f"{layers:,} runs of layers are more than {LAYERS:,}")
    config.ignore("L_bp_cycles")
    heads = read_heads(config, config.count("hidden_size"), _HEADS)
    return uncounted_body(config, (Mixer((heads.attention(),)),) * layers)


def recurrent_gemma(config: Config) -> Body:
    """RecurrentGemma: linear recurrences with a conv, and windowed attention, as block_types has it over again."""
    layers = layer_count(config)
    cycle = config.choices("block_types", {"recurrent": False, "attention": True})
    if not cycle:
        raise config.error("block_types", "is missing")
    q = config.count("num_attention_heads")
    kv = kv_heads(config, q, "num_key_value_heads", mha=True)
    hidden = config.count("hidden_size")
    dim = config.maybe("head_dim") or hidden // q
    window = config.count("sliding_window", "attention_window_size", most=CONTEXT)
    width = config.maybe("lru_width") or hidden
    kept = Attention("sliding_window", q, kv, dim, dim, window)
    state = Recurrent("mamba1", width, config.count("conv1d_width") - 1, width, width, "fp32")
    config.notes.append("the linear recurrence's state of one number per channel is listed as a Mamba-1 state")
    return uncounted_body(
        config, tuple(Mixer((kept if cycle[layer % len(cycle)] else state,)) for layer in range(layers))
    )


STATES: dict[str, ConfigFamily] = {
    "mamba": ConfigFamily(mamba, tied=True),
    "falcon_mamba": ConfigFamily(mamba, tied=True),
    "mamba2": ConfigFamily(mamba_2),
    "zamba": ConfigFamily(zamba),
    "zamba2": ConfigFamily(zamba_2),
    "bamba": ConfigFamily(bamba),
    "olmo_hybrid": ConfigFamily(delta_hybrid),
    "lara_mini": ConfigFamily(delta_hybrid),
    "lfm3": ConfigFamily(lfm3),
    "inkling": ConfigFamily(inkling),
    "inkling2": ConfigFamily(inkling),
    "inkling2_loop": ConfigFamily(inkling),
    "dory": ConfigFamily(dory),
    "hrm": ConfigFamily(hrm),
    "ouro": ConfigFamily(ouro),
    "recurrent_gemma": ConfigFamily(recurrent_gemma),
}
"""Model types and how their caches are read."""
