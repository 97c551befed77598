"""Attention models of a config.json whose layers differ in more than a window: other heads, shared or cross caches."""

from __future__ import annotations

from dataclasses import replace

from kvtui.engine.model import parameters
from kvtui.engine.model.caches import Attention, Cache, Indexer, Shared
from kvtui.engine.model.parameters import QkNorm
from kvtui.engine.model.spec import Layer
from kvtui.engine.model.tensors import Tensors, copied, vector, weight_count, wide
from kvtui.engine.sources.hf.attention import (
    Heads,
    assemble,
    attention_weights,
    cache_of,
    check_heads,
    heads_by_layer,
    kv_heads,
    layer_count,
    llama4,
    mtp_layers,
    read_heads,
    typed,
    window_of,
)
from kvtui.engine.sources.hf.decoders import decoder_of
from kvtui.engine.sources.hf.ffn import dense, expert_count, feed_forwards, routed
from kvtui.engine.sources.hf.fields import CONTEXT, LAYERS, Config
from kvtui.engine.sources.hf.shape import (
    DEEPSEEK,
    DENSE,
    MIXTRAL,
    Body,
    ConfigLayerKind,
    FeedForward,
    Ffn,
    Mixer,
    Traits,
)


def llama_4(config: Config) -> Body:
    """Llama 4: chunked and full layers; experts with a shared one in every interleave_moe_layer_step-th layer."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    traits = Traits(qkv_bias=("attention_bias", False), out_bias=("attention_bias", False))
    heads = read_heads(config, hidden, traits)
    weights = attention_weights(config, hidden, heads, traits)
    mixers = tuple(Mixer((cache_of(config, heads, kind),), weights) for kind in llama4(config, layers))
    chosen = config.indices("moe_layers", layers)
    step = config.maybe("interleave_moe_layer_step", most=LAYERS) or 1
    sparse = chosen if chosen is not None else tuple(range(step - 1, layers, step))
    ffn = Ffn(("intermediate_size_mlp",), ("intermediate_size",), shared=("intermediate_size",), routed=True)
    moe = routed(config, hidden, ffn) if sparse else FeedForward()
    plain = dense(config, hidden, ffn) if len(sparse) < layers else FeedForward()
    config.ignore("use_qk_norm")
    blocks = tuple(moe if layer in sparse else plain for layer in range(layers))
    return assemble(config, hidden, traits, mixers, blocks)


def mllama(config: Config) -> Body:
    """Llama 3.2 Vision: some layers attend to image tokens only, which a text prompt does not have."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    crossing = config.indices("cross_attention_layers", layers)
    if crossing is None:
        raise config.error("cross_attention_layers", "is missing")
    traits = Traits()
    heads = read_heads(config, hidden, traits)
    weights = attention_weights(config, hidden, heads, traits)
    cross = Attention("cross_attention", heads.q, heads.kv, heads.k, heads.v, cap=0)
    if crossing:
        config.notes.append("cross-attention layers cache image tokens only; counted for a prompt without images")
    mixers = tuple(
        Mixer((cross,), (*weights, vector("norm", 2 * heads.k), vector("vector", 2)))
        if layer in crossing
        else Mixer((heads.attention(),), weights)
        for layer in range(layers)
    )
    blocks = feed_forwards(config, hidden, layers, DENSE)
    return assemble(config, hidden, traits, mixers, blocks, outside=(copied("embedding", 8, hidden),))


def mimo_v2(config: Config) -> Body:
    """MiMo-V2: full and sliding layers with their own KV heads, and V vectors shorter than K."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    slides = _mimo_slides(config, layers)
    full = _mimo_layer(config, hidden, "full", "", "add_full_attention_sink_bias")
    sliding = _mimo_layer(config, hidden, "sliding", "swa_", "add_swa_attention_sink_bias")
    mixers = tuple(sliding if slide else full for slide in slides)
    config.ignore("attention_chunk_size", "swa_rope_theta")
    ffn = replace(DEEPSEEK, shared_count=()) if config.raw("hybrid_layer_pattern") is None else DEEPSEEK
    blocks = feed_forwards(config, hidden, layers, ffn)
    body = assemble(config, hidden, Traits(), mixers, blocks)
    return replace(body, mtp=(Layer(full.caches),) * mtp_layers(config))


def _mimo_slides(config: Config, layers: int) -> tuple[bool, ...]:
    """Layers with a window: 1 in hybrid_layer_pattern; else as layer_types has it, or all but the first and sixths."""
    marks = config.numbers("hybrid_layer_pattern", most=1)
    if marks is not None:
        if len(marks) != layers:
            raise config.error("hybrid_layer_pattern", f"has {len(marks)} entries for {layers} layers")
        slides = tuple(bool(mark) for mark in marks)
        if config.raw("layer_types") is not None and slides != tuple(k == "sliding" for k in typed(config, layers)):
            raise config.error("layer_types", "contradicts hybrid_layer_pattern")
        return slides
    if config.raw("layer_types") is not None:
        return tuple(kind == "sliding" for kind in typed(config, layers))
    return tuple(layer > 0 and (layer + 1) % 6 > 0 for layer in range(layers))


def _mimo_layer(config: Config, hidden: int, kind: ConfigLayerKind, prefix: str, sink: str) -> Mixer:
    """A layer of ``kind``. transformers writes one set of heads, has 8 KV heads where there is a window, and sinks."""
    resaved = config.raw("hybrid_layer_pattern") is None
    own = "" if resaved else prefix
    q = config.count(f"{own}num_attention_heads")
    kv = kv_heads(config, q, f"{own}num_key_value_heads")
    if resaved and kind == "sliding":
        kv *= 2
    heads = Heads(q, kv, config.count(f"{own}head_dim"), config.count(f"{own}v_head_dim"))
    traits = Traits(qkv_bias=("attention_bias", False), sinks=kind == "sliding" if resaved else config.flag(sink))
    weights = attention_weights(config, hidden, heads, traits)
    if kind == "full":
        return Mixer((heads.attention(),), weights)
    return Mixer((heads.attention("sliding", _mimo_window(config)),), weights)


def _mimo_window(config: Config) -> int:
    """The window: sliding_window_size, which transformers writes beside a sliding_window that is one more."""
    size, window = window_of(config, "sliding_window_size"), window_of(config)
    if size is not None and window not in (None, size, size + 1):
        raise config.error("sliding_window_size", f"{size} contradicts sliding_window {window}")
    if size is None and window is None:
        raise config.error("sliding_window", "is missing, but there are sliding layers")
    return size or window or 0


def step3(config: Config) -> Body:
    """Step-3.5 and 3.7: windows with other head counts, and lists that also cover the extra prediction layers."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    extra = mtp_layers(config)
    listed = config.words("layer_types") or ()
    order = typed(config, layers + extra if len(listed) == layers + extra else layers)
    q = config.count("num_attention_heads")
    kv = kv_heads(config, q, "num_key_value_heads", "num_attention_groups")
    dim = config.count("head_dim")
    heads: dict[ConfigLayerKind, Heads] = {"full": Heads(q, kv, dim, dim)}
    other = config.inner("attention_other_setting")
    heads["sliding"] = heads["full"] if other is None else _other_heads(other, heads["full"])
    sliding = config.maybe("num_sliding_attention_heads")
    if sliding is not None:
        check_heads(config, "num_key_value_heads", sliding, heads["sliding"].kv)
        heads["sliding"] = replace(heads["sliding"], q=sliding)
    for own, kind in zip(heads_by_layer(config, heads["full"], layers), order, strict=False):
        if own != heads["full"] and own != heads[kind]:
            raise config.error("per_layer_config", "is not what num_sliding_attention_heads says")
    gated = config.flag("use_head_wise_attn_gate", True)
    ffn = Ffn(
        shared=("share_expert_dim", "share_expert_dims"),
        router_bias=("use_moe_router_bias", True),
        routed=True,
        dense_first=True,
    )
    traits = Traits(qk_norm="head", ffn=ffn)
    mixers = tuple(
        Mixer(
            (cache_of(config, own, kind),),
            (*attention_weights(config, hidden, own, traits), *((wide("q", own.q, hidden, own.q),) * gated)),
        )
        for kind in order
        for own in (heads.get(kind, heads["full"]),)
    )
    mtp = tuple(Layer(mixer.caches) for mixer in mixers[layers:]) or (Layer((heads["full"].attention(),)),) * extra
    config.ignore("sliding_window_pattern", "n_shared_experts")
    body = assemble(config, hidden, traits, mixers[:layers], _step_blocks(config, hidden, layers, traits.ffn))
    return replace(body, mtp=mtp)


def _other_heads(other: Config, full: Heads) -> Heads:
    """Heads of the sliding layers."""
    q = other.maybe("num_attention_heads") or full.q
    kv = other.maybe("num_attention_groups", "num_key_value_heads") or full.kv
    dim = other.maybe("head_dim") or full.k
    check_heads(other, "num_attention_groups", q, kv)
    return Heads(q, kv, dim, dim)


def _step_blocks(config: Config, hidden: int, layers: int, ffn: Ffn) -> tuple[FeedForward, ...]:
    """Experts in the layers that moe_layers_enum lists ("3,4,5"), or as feed_forwards has it."""
    text = config.raw("moe_layers_enum")
    if text is None:
        if config.raw("mlp_layer_types") is None and config.maybe("first_k_dense_replace", least=0) is None:
            config.uncounted.append(f"{config.prefix}mlp_layer_types is missing, and so is moe_layers_enum")
        return feed_forwards(config, hidden, layers, ffn)
    numbers = [part.strip() for part in text.split(",")] if isinstance(text, str) and len(text) <= 8 * LAYERS else []
    if not numbers or not all(number.isascii() and number.isdigit() and len(number) <= 4 for number in numbers):
        raise config.error("moe_layers_enum", "is not a list of layer numbers such as 3,4,5")
    sparse = {int(number) for number in numbers}
    moe, plain = routed(config, hidden, ffn), dense(config, hidden, ffn)
    return tuple(moe if layer in sparse else plain for layer in range(layers))


def nemotron_nas(config: Config) -> Body:
    """Llama-Nemotron from neural architecture search: each layer's block_configs entry says what it keeps."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    blocks = config.inners("block_configs")
    if blocks is None:
        raise config.error("block_configs", "is missing")
    if len(blocks) != layers:
        raise config.error("block_configs", f"has {len(blocks)} entries for {layers} layers")
    q = config.count("num_attention_heads")
    if hidden % q:
        raise config.error("hidden_size", f"{hidden} is not divisible by num_attention_heads {q}")
    config.ignore("num_key_value_heads", "intermediate_size")
    mixers = tuple(_nas_mixer(block, hidden, q) for block in blocks)
    return Body(mixers, tuple(_nas_block(block, hidden) for block in blocks), (), parameters.norms(hidden))


def _nas_part(block: Config, name: str) -> Config:
    part = block.inner(name)
    if part is None:
        raise block.error(name, "is missing")
    return part


def _nas_mixer(block: Config, hidden: int, q: int) -> Mixer:
    part = _nas_part(block, "attention")
    for field in ("window_length", "sparsify", "num_sink_tokens"):
        if part.raw(field) is not None:
            raise part.error(field, "is not understood")
    if part.flag("replace_with_linear"):
        return Mixer((), _nas_linear(hidden))
    if part.flag("no_op"):
        return Mixer()
    group = part.count("n_heads_in_group")
    if q % group:
        raise part.error("n_heads_in_group", f"{group} does not divide num_attention_heads {q}")
    heads = Heads(q, q // group, hidden // q, hidden // q)
    weights = attention_weights(part, hidden, heads, Traits())
    return Mixer((heads.attention(),), (*weights, *parameters.norms(hidden)))


def _nas_block(block: Config, hidden: int) -> FeedForward:
    part = _nas_part(block, "ffn")
    if part.flag("replace_with_linear"):
        return FeedForward(_nas_linear(hidden))
    if part.flag("no_op"):
        return FeedForward()
    width = part.maybe("intermediate_size")
    if width is None and part.raw("ffn_mult") is None:
        part.uncounted.append(f"{part.prefix}ffn_mult is missing")
    if width is None:
        scaled = int(2 * part.number("ffn_mult", 1.0) * hidden / 3)
        width = -(-scaled // 256) * 256
    return FeedForward((*parameters.mlp(hidden, width), *parameters.norms(hidden)), width=width)


def _nas_linear(hidden: int) -> Tensors:
    """A single matrix in the place of a block, with its norm."""
    return (copied("up", hidden, hidden), *parameters.norms(hidden))


def hunyuan(config: Config) -> Body:
    """Hunyuan: with use_cla only every cla_share_factor-th layer stores K and V, and those after it read them."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    traits = Traits(
        mha=True,
        qkv_bias=("attention_bias", False),
        out_bias=("attention_bias", False),
        qk_norm="head",
        qk_normed=("use_qk_norm", config.model_type.startswith("hunyuan_v1")),
    )
    heads = read_heads(config, hidden, traits)
    if config.text("model_type") == "hunyuan":
        config.need("use_cla")
    shares, factor = config.flag("use_cla"), config.maybe("cla_share_factor", most=LAYERS)
    if shares and factor is None:
        raise config.error("cla_share_factor", "is missing, but use_cla is true")
    owner = heads.attention()
    own = Mixer((owner,), attention_weights(config, hidden, heads, traits))
    query_norm = traits.qk_norm if config.on(traits.qk_normed) else None
    reader = Mixer((Shared(owner),), parameters.reader(hidden, heads.q, heads.k, heads.v, query_norm))
    mixers = tuple(own if not shares or layer % (factor or 1) == 0 else reader for layer in range(layers))
    return assemble(config, hidden, traits, mixers, _hunyuan_blocks(config, hidden, layers))


def _hunyuan_blocks(config: Config, hidden: int, layers: int) -> tuple[FeedForward, ...]:
    """Experts with a shared MLP, all of one width; per-layer lists are read when their entries are equal."""
    values: dict[str, object] = {}
    for field in ("moe_topk", "moe_intermediate_size", "num_shared_expert"):
        entries = config.numbers(field) if isinstance(config.raw(field), list) else None
        if entries is not None and len(set(entries)) == 1:
            values[field] = entries[0]
        elif entries is not None:
            config.uncounted.append(f"{config.prefix}{field} differs between layers")
            values[field] = 1
        else:
            values[field] = config.raw(field)
    if config.text("model_type") != "hunyuan_v1_dense":
        config.need_to_count("num_experts")
    if expert_count(config):
        config.need_to_count("use_mixed_mlp_moe")
        config.need_to_count("num_shared_expert")
    skipped = config.maybe("moe_layer_num_skipped", least=0, most=LAYERS) or 0
    inner = Config(
        {
            "num_experts": config.maybe("num_experts", least=0),
            "intermediate_size": config.maybe("intermediate_size"),
            "first_k_dense_replace": skipped,
            "moe_intermediate_size": values["moe_intermediate_size"] or config.maybe("intermediate_size"),
            "moe_topk": values["moe_topk"],
            "num_shared_expert": values["num_shared_expert"] if config.flag("use_mixed_mlp_moe") else None,
        },
        config.where,
        config.prefix,
    )
    inner.uncounted = config.uncounted
    return feed_forwards(inner, hidden, layers, Ffn(shared_count=("num_shared_expert",), routed=True))


def minimax_m2(config: Config) -> Body:
    """MiniMax-M2: full attention; intermediate_size is the experts' width."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    ffn = replace(MIXTRAL, router_bias=("use_routing_bias", True))
    norm: QkNorm = "head" if config.text("qk_norm_type") == "per_head" else "row"
    traits = Traits(qk_norm=norm, qk_normed=("use_qk_norm", True), ffn=ffn)
    types = config.numbers("attn_type_list", most=1)
    if types is not None and types != (1,) * layers:
        raise config.error("attn_type_list", f"is not a list of {layers} ones: only full attention is known here")
    heads = read_heads(config, hidden, traits)
    mixer = Mixer((heads.attention(),), attention_weights(config, hidden, heads, traits))
    modules = config.maybe("num_mtp_modules", least=0, most=LAYERS) or 0
    each = config.maybe("mtp_transformer_layers", least=0, most=LAYERS) or 0
    extra = min(modules * each, LAYERS) if config.flag("use_mtp") else 0
    if config.maybe("shared_intermediate_size", least=0):
        config.uncounted.append(f"{config.prefix}shared_intermediate_size is not 0")
    body = assemble(config, hidden, traits, (mixer,) * layers, feed_forwards(config, hidden, layers, ffn))
    return replace(body, mtp=(Layer(mixer.caches),) * extra)


def minimax_m3(config: Config) -> Body:
    """MiniMax-M3: full attention that, in the layers sparse_attention_freq marks, has a bf16 block indexer."""
    hidden, layers = config.count("hidden_size"), layer_count(config)
    ffn = Ffn(
        dense=("dense_intermediate_size",),
        expert=("intermediate_size",),
        shared=("shared_intermediate_size",),
        router_bias=("use_routing_bias", True),
        routed=True,
    )
    traits = Traits(qk_norm="head", qk_normed=("use_qk_norm", True), ffn=ffn)
    heads = read_heads(config, hidden, traits)
    weights = attention_weights(config, hidden, heads, traits)
    plain = Mixer((heads.attention(),), weights)
    mixers = tuple(
        plain
        if indexer is None
        else Mixer(
            (*plain.caches, indexer),
            (*weights, *parameters.block_indexer(hidden, indexer.heads, indexer.key_dim)),
        )
        for indexer in _block_indexers(config, layers)
    )
    modules = config.maybe("num_mtp_modules", least=0, most=LAYERS) or 0
    extra = mtp_layers(config) or modules
    config.ignore("moe_intermediate_size", "n_shared_experts")
    if config.flag("attention_output_gate"):
        config.uncounted.append(f"{config.prefix}attention_output_gate is true")
    body = assemble(config, hidden, traits, mixers, feed_forwards(config, hidden, layers, ffn))
    return replace(body, mtp=(Layer(plain.caches),) * extra)


def _block_indexers(config: Config, layers: int) -> tuple[Indexer | None, ...]:
    """The indexer of each layer, None where attention is dense."""
    sparse = config.inner("sparse_attention_config")
    config.ignore("index_local_blocks")
    if sparse is None:
        return _listed_indexers(config, layers)
    if not sparse.flag("use_sparse_attention", True):
        return (None,) * layers
    marks = sparse.numbers("sparse_attention_freq", most=1)
    if marks is None or len(marks) != layers:
        raise sparse.error("sparse_attention_freq", f"is not a list of {layers} zeros and ones, one per layer")
    dim, top = sparse.count("sparse_index_dim"), sparse.count("sparse_topk_blocks")
    indexer = Indexer(
        heads=sparse.count("sparse_num_index_heads"),
        key_dim=dim,
        key_bytes=2 * dim,
        top_k=top * sparse.count("sparse_block_size"),
    )
    return tuple(indexer if mark else None for mark in marks)


def _listed_indexers(config: Config, layers: int) -> tuple[Indexer | None, ...]:
    """As transformers writes them: layer_types, and the indexer's sizes in the ``index_`` fields."""
    marks = config.choices("layer_types", {"full_attention": False, "minimax_m3_sparse": True}, layers)
    dim, top = config.count("index_head_dim"), config.count("index_topk_blocks")
    indexer = Indexer(
        heads=config.count("index_n_heads"),
        key_dim=dim,
        key_bytes=2 * dim,
        top_k=top * config.count("index_block_size"),
    )
    return tuple(indexer if mark else None for mark in marks or (False,) * layers)


def whisper(config: Config) -> Body:
    """Whisper: decoder layers with a growing cache of their own and a fixed one of the encoder's frames.

    A WhisperForCausalLM is the decoder alone.
    """
    if "WhisperForCausalLM" in (config.words("architectures") or ()):
        return decoder_of("decoder_layers", "decoder_attention_heads")(config)
    hidden, layers = config.count("d_model"), config.count("decoder_layers", most=LAYERS)
    q = config.count("decoder_attention_heads")
    encoder_heads, encoder_layers = config.count("encoder_attention_heads"), config.count("encoder_layers", most=LAYERS)
    frames = config.count("max_source_positions", most=CONTEXT)
    positions, mels = config.count("max_target_positions", most=CONTEXT), config.weight("num_mel_bins")
    for heads in (q, encoder_heads):
        if hidden % heads:
            raise config.error("d_model", f"{hidden} is not divisible by {heads} attention heads")
    config.ignore("num_hidden_layers", "is_encoder_decoder", "decoder_layerdrop", "encoder_layerdrop")
    dim = hidden // q
    weights = parameters.attention(hidden, q, q, dim, dim, qkv_bias=True, k_bias=False, out_bias=True)
    caches: tuple[Cache, ...] = (
        Attention("full", q, q, dim, dim),
        Attention("cross_attention", q, q, dim, dim, cap=frames),
    )
    width = config.weight("decoder_ffn_dim")
    block = FeedForward(parameters.mlp(hidden, width, gated=False, bias=True), width=width)
    encoder_block = parameters.mlp(hidden, config.weight("encoder_ffn_dim"), gated=False, bias=True)
    convs = 3 * hidden * (mels + hidden) + 2 * hidden
    each = weight_count((*weights, *encoder_block)) + 4 * hidden
    encoder = convs + frames * hidden + encoder_layers * each + 2 * hidden
    mixer = Mixer(caches, (*weights, *weights))
    return Body(
        mixers=(mixer,) * layers,
        blocks=(block,) * layers,
        norms=parameters.norms(hidden, 3, bias=True),
        outside=(
            *parameters.norms(hidden, bias=True),
            copied("embedding", positions, hidden),
            *parameters.lump("tower", encoder),
        ),
    )
