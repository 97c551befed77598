"""Models of a config.json that keep a recurrent or convolution state in some layers or in all."""

from __future__ import annotations

from collections.abc import Callable

from kvtui.engine.model import parameters
from kvtui.engine.model.caches import Recurrent, gated_deltanet, kda, lightning, mamba1, mamba2, short_conv
from kvtui.engine.model.spec import Layer
from kvtui.engine.model.tensors import wide
from kvtui.engine.sources.hf.attention import (
    assemble,
    attention_weights,
    layer_count,
    mtp_layers,
    predicting,
    read_heads,
    typed,
)
from kvtui.engine.sources.hf.ffn import dense, expert_count, feed_forwards, routed
from kvtui.engine.sources.hf.fields import LAYERS, Config
from kvtui.engine.sources.hf.latent import read_mla
from kvtui.engine.sources.hf.shape import (
    DEEPSEEK,
    MIXTRAL,
    QWEN_SHARED,
    Body,
    ConfigLayerKind,
    FeedForward,
    Ffn,
    Mixer,
    Traits,
)

STATE_FIELDS = "mamba_ssm_dtype", "mamba_ssm_cache_dtype"
_STATE_FORMATS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_SSM_LAYERS: dict[str, ConfigLayerKind] = {
    "mamba": "linear",
    "linear_attention": "linear",
    "attention": "full",
    "full_attention": "full",
}


def state_format(config: Config, default: str) -> str:
    """The recurrent state's format: what the file declares, else ``default``, the family's."""
    formats: dict[str, str] = {}
    for field in STATE_FIELDS:
        name = config.text(field)
        if name is not None:
            if name not in _STATE_FORMATS:
                raise config.error(field, f"is none of {', '.join(_STATE_FORMATS)}")
            formats[field] = _STATE_FORMATS[name]
    if len(set(formats.values())) > 1:
        raise config.error("mamba_ssm_dtype", "contradicts mamba_ssm_cache_dtype")
    return next(iter(formats.values()), default)


def qwen_next(config: Config) -> Body:
    """Qwen3-Next and Qwen3.5: gated DeltaNet, and gated full attention in every full_attention_interval-th layer."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    interval = config.maybe("full_attention_interval", most=LAYERS)
    if config.raw("layer_types") is not None:
        order = typed(config, layers)
    else:
        if interval is None:
            config.notes.append("full_attention_interval is not in the file: 4, as the class has it")
        order = tuple("linear" if (layer + 1) % (interval or 4) else "full" for layer in range(layers))
    traits = Traits(
        qkv_bias=("attention_bias", False),
        out_bias=("attention_bias", False),
        qk_norm="head",
        gated=config.flag("attn_output_gate", True),
        ffn=QWEN_SHARED,
    )
    heads = read_heads(config, hidden, traits)
    attention = Mixer((heads.attention(),), attention_weights(config, hidden, heads, traits))
    delta = _deltanet(config, hidden)
    mixers = _by_kind(config, order, full=attention, linear=delta)
    blocks = feed_forwards(config, hidden, layers, traits.ffn)
    return assemble(config, hidden, traits, mixers, blocks, attention)


def _deltanet(config: Config, hidden: int) -> Mixer:
    """A gated DeltaNet layer. Its state is fp32 where the file declares no format; some engines then have 16 bits."""
    keys, values = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    if values % keys:
        raise config.error("linear_num_value_heads", f"{values} is not a multiple of linear_num_key_heads {keys}")
    dims = config.count("linear_key_head_dim"), config.count("linear_value_head_dim")
    shape = keys, values, *dims, config.count("linear_conv_kernel_dim")
    declared = any(config.text(field) is not None for field in STATE_FIELDS)
    cache = gated_deltanet(*shape, state_format(config, "fp32"), declared)
    return Mixer((cache,), parameters.gated_deltanet(hidden, *shape))


def _by_kind(config: Config, order: tuple[ConfigLayerKind, ...], **mixers: Mixer) -> tuple[Mixer, ...]:
    """The mixer of each layer, by the kind in ``order``. Raises InputError for a kind that ``mixers`` has not."""
    for kind in order:
        if kind not in mixers:
            raise config.error("layer_types", f"{kind} layers are not known for this model type")
    return tuple(mixers[kind] for kind in order)


def kimi_linear(config: Config) -> Body:
    """Kimi Linear and Kimi-K3: KDA and MLA layers, listed from 1 in linear_attn_config, or in layer_types."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    linear = config.inner("linear_attn_config")
    if linear is None:
        order = _kda_order(config, layers, lambda layer: layer > 0 and layer % 4 == 0)
        shape = _kda_shape(config)
    else:
        order = _one_based(linear, layers)
        shape = linear.count("num_heads"), linear.count("head_dim"), linear.count("short_conv_kernel_size")
    delta = Mixer((kda(*shape, state_format(config, "fp32")),), parameters.kda(hidden, *shape))
    attention = read_mla(config, hidden).mixer()
    for field in ("routed_expert_hidden_size", "mla_use_output_gate", "attn_res_block_size"):
        if config.raw(field):
            config.uncounted.append(f"{config.prefix}{field} changes the weights in a way that is not public")
    _never_tied(config)
    config.ignore("mla_use_nope", "moe_renormalize", "moe_router_activation_func", "use_grouped_topk")
    mixers = tuple(attention if kind == "full" else delta for kind in order)
    blocks = feed_forwards(config, hidden, layers, DEEPSEEK)
    return assemble(config, hidden, Traits(), mixers, blocks, attention)


def _never_tied(config: Config) -> None:
    """Leaves the weights uncounted where the file ties the embeddings of a type whose code does not."""
    if config.flag("tie_word_embeddings"):
        config.uncounted.append(f"{config.prefix}tie_word_embeddings is true, which its code does not do")


def _one_based(linear: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Layer kinds from the lists full_attn_layers and kda_layers, which count from 1 and cover every layer once."""
    kinds: dict[int, ConfigLayerKind] = {}
    lists: tuple[tuple[str, ConfigLayerKind], ...] = (("full_attn_layers", "full"), ("kda_layers", "linear"))
    for field, kind in lists:
        numbers = linear.indices(field, layers, first=1)
        if numbers is None:
            raise linear.error(field, "is missing")
        for number in numbers:
            if number in kinds:
                raise linear.error(field, f"layer {number} is also in full_attn_layers")
            kinds[number] = kind
    for number in range(1, layers + 1):
        if number not in kinds:
            raise linear.error("kda_layers", f"layer {number} is in neither list (layers count from 1)")
    return tuple(kinds[number] for number in range(1, layers + 1))


def _kda_order(config: Config, layers: int, full: Callable[[int], bool]) -> tuple[ConfigLayerKind, ...]:
    """Layers as layer_types lists them, else full where ``full`` of the layer's number is true."""
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    return tuple("full" if full(layer) else "linear" for layer in range(layers))


def _kda_shape(config: Config) -> tuple[int, int, int]:
    """Heads, head size and conv kernel of KDA layers, as transformers names them."""
    return config.count("linear_num_heads"), config.count("linear_head_dim"), config.count("linear_conv_kernel_dim")


def bailing_hybrid(config: Config) -> Body:
    """Ling-3.0: KDA, and MLA with a gate per head in the last layer of each group of layer_group_size.

    Released files name the KDA heads as others do; transformers writes ``linear_num_heads`` and uses head_dim for the
    rotary part.
    """
    hidden, layers = config.count("hidden_size"), layer_count(config)
    group = config.count("layer_group_size", most=LAYERS)
    order = _kda_order(config, layers, lambda layer: (layer + 1) % group == 0)
    if config.raw("linear_num_heads") is not None:
        shape = _kda_shape(config)
        config.ignore("short_conv_kernel_size")
    else:
        shape = config.count("num_attention_heads"), config.count("head_dim"), config.count("short_conv_kernel_size")
    mla = read_mla(config, hidden)
    gate = wide("q", mla.q, hidden, mla.q)
    attention = Mixer(mla.mixer().caches, (*mla.weights, gate))
    delta = Mixer((kda(*shape, state_format(config, "fp32")),), parameters.full_rank_kda(hidden, *shape))
    _never_tied(config)
    config.ignore("kda_safe_gate", "kda_lower_bound", "qk_head_dim", "mtp_loss_scaling_factor")
    mixers = _by_kind(config, order, full=attention, linear=delta)
    return assemble(config, hidden, Traits(), mixers, feed_forwards(config, hidden, layers, DEEPSEEK), attention)


def minimax(config: Config) -> Body:
    """MiniMax-Text-01 and M1: lightning attention, and full attention where attn_type_list says 1."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    types = config.numbers("attn_type_list", most=1)
    if types is None:
        order = typed(config, layers)
    elif len(types) == layers:
        order = tuple("full" if full else "linear" for full in types)
    else:
        raise config.error("attn_type_list", f"has {len(types)} entries for {layers} layers")
    traits = Traits(ffn=MIXTRAL)
    heads = read_heads(config, hidden, traits)
    attention = Mixer((heads.attention(),), attention_weights(config, hidden, heads, traits))
    state = Mixer(
        (lightning(heads.q, heads.k, state_format(config, "bf16")),), parameters.lightning(hidden, heads.q, heads.k)
    )
    config.ignore(
        *(f"layernorm_{kind}_attention_{factor}" for kind in ("linear", "full") for factor in ("alpha", "beta")),
        *(f"{kind}_attn_{factor}_factor" for kind in ("linear", "full") for factor in ("alpha", "beta")),
    )
    if config.maybe("shared_intermediate_size", least=0):
        config.uncounted.append(f"{config.prefix}shared_intermediate_size is not 0")
    mixers = _by_kind(config, order, full=attention, linear=state)
    return assemble(config, hidden, traits, mixers, feed_forwards(config, hidden, layers, traits.ffn), attention)


def jamba(config: Config) -> Body:
    """Jamba: Mamba-1, but attention in one layer of each attn_layer_period; experts in one of each expert_layer_period.

    The offset says which one: a period of 8 with an offset of 4 is layers 4, 12, 20, …
    """
    hidden, layers = config.count("hidden_size"), layer_count(config)
    attends, routes = _periodic(config, "attn_layer", layers), _periodic(config, "expert_layer", layers)
    traits = Traits(ffn=MIXTRAL)
    heads = read_heads(config, hidden, traits)
    attention = Mixer((heads.attention(),), attention_weights(config, hidden, heads, traits))
    inner = config.count("mamba_expand", most=64) * hidden
    state, conv = config.count("mamba_d_state"), config.count("mamba_d_conv")
    rank = -(-hidden // 16) if config.raw("mamba_dt_rank") in (None, "auto") else config.count("mamba_dt_rank")
    ssm = Mixer(
        (mamba1(inner, state, conv, state_format(config, "bf16")),),
        parameters.mamba1(hidden, inner, state, rank, conv),
    )
    _plain_ssm_bias(config, "mamba_conv_bias", "mamba_proj_bias")
    config.ignore("use_mamba_kernels", "mamba_inner_layernorms", "num_logits_to_keep")
    plain = dense(config, hidden, traits.ffn)
    wide = routed(config, hidden, traits.ffn) if expert_count(config) else plain
    mixers = tuple(attention if attend else ssm for attend in attends)
    blocks = tuple(wide if route else plain for route in routes)
    return assemble(config, hidden, traits, mixers, blocks, attention)


def _periodic(config: Config, what: str, layers: int) -> tuple[bool, ...]:
    """Whether each layer is the one of its period that the fields of ``what`` pick. Raises InputError."""
    period = config.count(f"{what}_period", most=LAYERS)
    offset = config.count(f"{what}_offset", least=0, most=LAYERS)
    if offset >= period:
        raise config.error(f"{what}_offset", f"{offset} is not below {what}_period {period}")
    return tuple(layer % period == offset for layer in range(layers))


def _plain_ssm_bias(config: Config, conv: str, projections: str) -> None:
    """Leaves the weights uncounted unless convolutions have a bias and projections none, as in all released models."""
    if not config.flag(conv, True) or config.flag(projections):
        config.uncounted.append(f"{config.prefix}{conv} or {projections} is not what released models have")


def nemotron_h(config: Config) -> Body:
    """Nemotron-H and Nemotron-3: each layer is one of Mamba-2 (M), attention (*), MLP (-) or experts (E).

    "M-M*-" is two Mamba-2 layers, an attention layer and two MLPs. Other models have a mixer and an MLP in every layer;
    here each counts as one, with one norm.
    """
    hidden = config.count("hidden_size")
    order = _letters(config, "hybrid_override_pattern", "layers_block_type")
    if order is None:
        raise config.error("hybrid_override_pattern", "is missing, and so is layers_block_type")
    stated = config.maybe("num_hidden_layers", most=LAYERS)
    if stated is not None and stated != len(order):
        raise config.error("num_hidden_layers", f"{stated} contradicts the pattern's {len(order)} layers")
    traits = Traits(norms=1)
    ffn = Ffn(
        shared=("moe_shared_expert_intermediate_size",),
        gated=False,
        bias=("mlp_bias", False),
        router_bias=True,
        routed=True,
    )
    heads = read_heads(config, hidden, traits)
    attention = Mixer((heads.attention(),), attention_weights(config, hidden, heads, traits))
    ssm = _mamba2(
        config,
        hidden,
        shape=(config.count("mamba_num_heads"), config.count("mamba_head_dim"), config.count("ssm_state_size")),
        groups=config.count("n_groups", "mamba_n_groups"),
        conv=config.count("conv_kernel", "mamba_d_conv"),
        default="fp32",
    )
    _plain_ssm_bias(config, "use_conv_bias", "mamba_proj_bias")
    config.ignore("chunk_size", "use_mamba_kernels", "mamba_hidden_act", "n_shared_experts")
    config.ignore("moe_shared_expert_overlap", "time_step_rank", "attention_bias")
    if config.flag("mlp_bias") and "E" in order:
        config.uncounted.append(f"{config.prefix}mlp_bias is true, which experts have in part")
    _never_tied(config)
    latent = config.maybe("moe_latent_size")
    if "E" not in order:
        config.ignore("moe_intermediate_size", "moe_shared_expert_intermediate_size", "n_routed_experts")
        config.ignore("num_experts_per_tok")
    blocks = {
        "-": dense(config, hidden, ffn) if "-" in order else FeedForward(),
        "E": routed(config, hidden, ffn, latent) if "E" in order else FeedForward(),
    }
    mixers = {"M": ssm, "*": attention}
    extra = _letters(config, "mtp_hybrid_override_pattern", "mtp_layers_block_type") or "*E"
    mtp = tuple(Layer(mixers[letter].caches) for letter in extra if letter in mixers)
    if extra == "*E":
        around = (*parameters.norms(hidden, 2), *parameters.prediction(hidden))
        mtp = (predicting(attention, blocks["E"], around),)
    if config.raw("sliding_window") is not None:
        raise config.error("sliding_window", "is not known for this model type")
    return Body(
        mixers=tuple(mixers.get(letter, Mixer()) for letter in order),
        blocks=tuple(blocks.get(letter, FeedForward()) for letter in order),
        norms=parameters.norms(hidden),
        outside=parameters.norms(hidden),
        mtp=mtp * mtp_layers(config),
    )


def _letters(config: Config, pattern: str, words: str) -> str | None:
    """Layer letters from ``pattern``, or from the list ``words``; if both are there they must agree."""
    letters = config.text(pattern)
    known = {"mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "mlp": "-", "moe": "E"}
    listed = config.choices(words, known)
    if letters is not None:
        if not 1 <= len(letters) <= LAYERS:
            raise config.error(pattern, f"has {len(letters):,} letters, not 1 to {LAYERS:,}")
        for letter in letters:
            if letter not in "M*-E":
                raise config.error(pattern, f"letter {letter!a} is none of M, *, - and E")
    if listed is not None and not 1 <= len(listed) <= LAYERS:
        raise config.error(words, f"has {len(listed):,} entries, not 1 to {LAYERS:,}")
    if letters is not None and listed is not None and letters != "".join(listed):
        raise config.error(pattern, f"contradicts {words}")
    return letters if listed is None else "".join(listed)


def _mamba2(
    config: Config, hidden: int, shape: tuple[int, int, int], groups: int, conv: int, default: str, norm: bool = True
) -> Mixer:
    """A Mamba-2 layer of ``shape`` (heads, head size, state size)."""
    if shape[0] % groups:
        raise config.error("mamba_n_groups" if config.stated("mamba_n_groups") else "n_groups", "does not divide heads")
    cache: Recurrent = mamba2(*shape, groups, conv, state_format(config, default))
    return Mixer((cache,), parameters.mamba2(hidden, *shape, groups, conv, norm=norm))


def _mamba_d(config: Config, hidden: int, inner: int | None, norm: bool) -> Mixer:
    """The Mamba-2 layer of Falcon-H1 and Granite 4, whose heads must make up the inner width."""
    width = inner or config.count("mamba_expand", most=64) * hidden
    heads = config.count("mamba_n_heads")
    dim = width // heads if config.raw("mamba_d_head") in (None, "auto") else config.count("mamba_d_head")
    if heads * dim != width or dim == 0:
        raise config.error("mamba_n_heads", f"{heads} × mamba_d_head {dim} is not the inner width {width}")
    _plain_ssm_bias(config, "mamba_conv_bias", "mamba_proj_bias")
    config.ignore("mamba_chunk_size", "mamba_expand")
    shape, groups = (heads, dim, config.count("mamba_d_state")), config.count("mamba_n_groups")
    return _mamba2(config, hidden, shape, groups, config.count("mamba_d_conv"), "bf16", norm)


def falcon_h1(config: Config) -> Body:
    """Falcon-H1: attention and Mamba-2 side by side in every layer."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    traits = Traits(
        qkv_bias=("attention_bias", False),
        out_bias=("attention_bias", False),
        ffn=Ffn(bias=("mlp_bias", False)),
    )
    heads = read_heads(config, hidden, traits)
    norm = config.flag("mamba_rms_norm")
    ssm = _mamba_d(config, hidden, config.maybe("mamba_d_ssm"), norm)
    weights = (*attention_weights(config, hidden, heads, traits), *ssm.tensors)
    config.ignore("mamba_norm_before_gate", "mamba_use_mlp", "ssm_multipliers", "ssm_in_multiplier")
    config.ignore("ssm_out_multiplier")
    if config.flag("projectors_bias"):
        config.uncounted.append(f"{config.prefix}projectors_bias is true")
    mixers = (Mixer((heads.attention(), *ssm.caches), weights),) * layers
    return assemble(config, hidden, traits, mixers, feed_forwards(config, hidden, layers, traits.ffn))


def granite_hybrid(config: Config) -> Body:
    """Granite 4: Mamba-2 and attention layers, each with a shared MLP beside the experts, if there are any."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    names = [field for field in ("layer_types", "layers_block_type") if config.raw(field) is not None]
    if not names:
        raise config.error("layer_types", "is missing, and so is layers_block_type")
    orders = [config.choices(name, _SSM_LAYERS, layers) or () for name in names]
    if orders[0] != orders[-1]:
        raise config.error("layer_types", "contradicts layers_block_type")
    traits = Traits(mha=True, qkv_bias=("attention_bias", False), out_bias=("attention_bias", False))
    heads = read_heads(config, hidden, traits)
    attention = Mixer((heads.attention(),), attention_weights(config, hidden, heads, traits))
    mixers = _by_kind(config, orders[0], full=attention, linear=_mamba_d(config, hidden, None, norm=True))
    ffn = Ffn(("shared_intermediate_size",), ("intermediate_size",), shared=("shared_intermediate_size",), routed=True)
    return assemble(config, hidden, traits, mixers, feed_forwards(config, hidden, layers, ffn))


def lfm2(config: Config) -> Body:
    """LFM2: short convolutions, and attention in the layers that layer_types or full_attn_idxs (from 0) name."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    kinds: dict[str, ConfigLayerKind] = {"conv": "linear", "full_attention": "full"}
    order = config.choices("layer_types", kinds, layers)
    chosen = config.indices("full_attn_idxs", layers)
    listed = None if chosen is None else tuple("full" if i in chosen else "linear" for i in range(layers))
    if order is not None and listed is not None and order != listed:
        raise config.error("layer_types", "contradicts full_attn_idxs")
    if order is None and listed is None:
        raise config.error("layer_types", "is missing, and so is full_attn_idxs")
    traits = Traits(qk_norm="head", ffn=Ffn(router_bias=("use_expert_bias", True), routed=True))
    heads = read_heads(config, hidden, traits)
    attention = Mixer((heads.attention(),), attention_weights(config, hidden, heads, traits))
    kernel, width = config.count("conv_L_cache"), config.maybe("conv_dim", "conv_dim_out")
    if width is not None and width != hidden:
        raise config.error("conv_dim", f"{width} contradicts hidden_size {hidden}")
    conv = Mixer((short_conv(hidden, kernel),), parameters.short_conv(hidden, kernel))
    if config.flag("conv_bias"):
        config.uncounted.append(f"{config.prefix}conv_bias is true")
    config.ignore("conv_use_xavier_init")
    mixers = tuple(attention if kind == "full" else conv for kind in order or listed or ())
    return assemble(config, hidden, traits, mixers, _lfm2_blocks(config, hidden, layers, traits.ffn))


def _lfm2_blocks(config: Config, hidden: int, layers: int, ffn: Ffn) -> tuple[FeedForward, ...]:
    """LFM2's SwiGLU of an adjusted width: two thirds, scaled, rounded up to block_multiple_of."""
    if expert_count(config):
        return feed_forwards(config, hidden, layers, ffn)
    width = config.weight("intermediate_size", "block_ff_dim")
    if config.flag("block_auto_adjust_ff_dim", True):
        scaled = int(config.number("block_ffn_dim_multiplier", 1.0) * (2 * width // 3))
        step = config.maybe("block_multiple_of") or 256
        width = -(-scaled // step) * step
    return (FeedForward(parameters.mlp(hidden, width), width=width),) * layers
