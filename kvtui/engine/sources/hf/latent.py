"""Latent attention (MLA) of a config.json, with the sparse indexers of DeepSeek-V3.2, V4 and GLM-5.

num_key_value_heads and head_dim of these files say nothing about the cache: it holds kv_lora_rank + qk_rope_head_dim
elements per token, once for all heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model import parameters
from kvtui.engine.model.caches import Cache, Indexer, Latent, Shared
from kvtui.engine.model.tensors import Tensors, copied, divided, narrow, vector, wide
from kvtui.engine.sources.hf.attention import assemble, layer_count, mtp_layers, predicting
from kvtui.engine.sources.hf.ffn import feed_forwards
from kvtui.engine.sources.hf.fields import CONTEXT, LAYERS, Config
from kvtui.engine.sources.hf.shape import DEEPSEEK, Body, BodyReader, FeedForward, Mixer, Traits

DSA_PACKED = 656
V4_PACKED = 584
_INDEXER_TYPES = {"full": True, "shared": False}
_DSA_LAYER_TYPES = {"deepseek_sparse_attention": True, "indexed_attention": True}
_COMPRESS_RATIOS = (0, 4, 128)
_V4_LAYER_TYPES = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}


@dataclass(frozen=True, slots=True)
class Mla:
    """The shape of one MLA layer."""

    q: int
    rank: int
    rope: int
    weights: Tensors
    q_rank: int | None

    def packed(self, indexer: Indexer | None) -> int | None:
        """Bytes of an entry in DeepSeek-V3.2's packed layout, None for another shape."""
        return DSA_PACKED if indexer is not None and (self.rank, self.rope) == (512, 64) else None

    def mixer(self, indexer: Indexer | None = None, indexer_weights: Tensors = ()) -> Mixer:
        """The layer, with an indexer's keys if it has one; DSA models have a packed layout (DeepSeek-V3.2's)."""
        latent = Latent(self.q, self.rank, self.rope, self.packed(indexer))
        return Mixer((latent,) if indexer is None else (latent, indexer), (*self.weights, *indexer_weights))


def read_mla(config: Config, hidden: int) -> Mla:
    """The latent attention of ``config``; q_lora_rank may be null for a direct query projection."""
    q = config.count("num_attention_heads")
    rank, rope = config.count("kv_lora_rank"), config.count("qk_rope_head_dim")
    q_rank = config.maybe("q_lora_rank")
    config.need_to_count("q_lora_rank")
    nope, v_dim = config.weight("qk_nope_head_dim"), _value_size(config, hidden, q)
    if config.flag("attention_bias"):
        config.uncounted.append(f"{config.prefix}attention_bias is true")
    return Mla(q, rank, rope, parameters.latent(hidden, q, rank, rope, nope, v_dim, q_rank), q_rank)


def _value_size(config: Config, hidden: int, q: int) -> int:
    """v_head_dim; MiniCPM3's class has hidden/heads where that is null."""
    if config.model_type == "minicpm3" and config.raw("v_head_dim") is None:
        return hidden // q
    return config.weight("v_head_dim")


def mla(scored: bool) -> BodyReader:
    """The reader of an MLA model; routers that choose by noaux_tc (by default if ``scored``) have a bias."""

    def read(config: Config) -> Body:
        hidden, layers = config.count("hidden_size"), layer_count(config)
        mixer = read_mla(config, hidden).mixer()
        method = config.text("topk_method")
        if config.flag("mlp_bias"):
            config.uncounted.append(f"{config.prefix}mlp_bias is true")
        config.choices("layer_types", {"full_attention": True}, layers)
        config.ignore("qk_head_dim", "head_dim")
        ffn = replace(DEEPSEEK, router_bias=scored if method is None else method == "noaux_tc")
        blocks = feed_forwards(config, hidden, layers, ffn)
        return assemble(config, hidden, Traits(), (mixer,) * layers, blocks, mixer)

    return read


def cached_mla(
    times: int = 1, indexed: Callable[[Config, int], tuple[bool, ...]] | None = None, some_nope: bool = False
) -> BodyReader:
    """The reader of a latent cache of a type whose weights are not counted.

    A layer has it ``times`` over (LongCat: 2), and in the layers that ``indexed`` marks a DSA indexer's keys besides.
    With kv_source_layers a layer reads that of the layer it names, its own if that is itself. With ``some_nope`` the
    layers without rotary positions keep the rank alone: every fourth, unless no_rope_layers lists them as zeros (both
    Mistral Large 4).
    """

    def read(config: Config) -> Body:
        layers = config.count("num_hidden_layers", "num_layers", most=LAYERS)
        keys = None if indexed is None else read_indexer(config)
        own = (False,) * layers if indexed is None else indexed(config, layers)
        sources = config.indices_of("kv_source_layers", layers) or tuple(range(layers))
        shape = read_mla(config, config.count("hidden_size"))
        rotary = _rotary(config, layers) if some_nope else (1,) * layers
        latents = tuple(Latent(shape.q, shape.rank, shape.rope * rotates, shape.packed(keys)) for rotates in rotary)
        config.choices("layer_types", _DSA_LAYER_TYPES if indexed else {"full_attention": True}, layers)
        config.ignore("qk_head_dim", "head_dim", "indexer_rope_interleave")
        config.uncounted.append(f"what model_type {plain(config.model_type, 60)} has of them is not known to kvtui")
        mixers = tuple(
            Mixer(
                (
                    *((latents[layer] if source == layer else Shared(latents[source]),) * times),
                    *((keys,) if keys is not None and marked else ()),
                )
            )
            for layer, (source, marked) in enumerate(zip(sources, own, strict=True))
        )
        return Body(mixers, (FeedForward(),) * layers, (), ())

    return read


def _rotary(config: Config, layers: int) -> tuple[int, ...]:
    """1 for each layer with rotary positions, 0 for one without."""
    stated = config.numbers("no_rope_layers", most=1)
    interval = config.maybe("no_rope_layer_interval", most=LAYERS) or 4
    if stated is not None and len(stated) != layers:
        raise config.error("no_rope_layers", f"has {len(stated)} entries for {layers} layers")
    return stated or tuple(int((layer + 1) % interval > 0) for layer in range(layers))


def hunyuan_indexers(config: Config, layers: int) -> tuple[bool, ...]:
    """Hunyuan 4: the first layer and every fourth from the second on have an indexer, where none are listed."""
    stated = config.choices("indexer_types", _INDEXER_TYPES, layers)
    return stated or tuple(layer == 0 or (layer - 1) % 4 == 0 for layer in range(layers))


def sparse_mla(indexed: Callable[[Config, int], tuple[bool, ...]]) -> BodyReader:
    """The reader of an MLA model with a DSA indexer in the layers that ``indexed`` marks."""

    def read(config: Config) -> Body:
        hidden, layers = config.count("hidden_size"), layer_count(config)
        own = indexed(config, layers)
        shape = read_mla(config, hidden)
        keys = read_indexer(config)
        if shape.q_rank is None:
            config.uncounted.append(f"{config.prefix}q_lora_rank is missing")
        weights = parameters.indexer(hidden, shape.q_rank or 0, keys.heads, keys.key_dim)
        leader = shape.mixer(keys, weights)
        follower = Mixer(leader.caches[:1], shape.weights)
        mixers = tuple(leader if leads else follower for leads in own)
        config.choices("layer_types", _DSA_LAYER_TYPES, layers)
        config.ignore("indexer_rope_interleave", "index_share_for_mtp_iteration")
        blocks = feed_forwards(config, hidden, layers, DEEPSEEK)
        return assemble(config, hidden, Traits(), mixers, blocks, leader)

    return read


def read_indexer(config: Config, ratio: int = 1) -> Indexer:
    """The DSA indexer: one fp8 key per token with a 4-byte scale per 128 elements."""
    dim = config.count("index_head_dim")
    heads, top_k = config.count("index_n_heads"), config.count("index_topk", most=CONTEXT)
    return Indexer(heads, dim, dim + 4 * -(-dim // 128), top_k, ratio)


def all_indexed(config: Config, layers: int) -> tuple[bool, ...]:
    """DeepSeek-V3.2: every layer has its own indexer."""
    return (True,) * layers


def shared_indexers(config: Config, layers: int) -> tuple[bool, ...]:
    """GLM-5: layers with an indexer of their own, from indexer_types, a pattern, or frequency and offset.

    With index_topk_freq f and index_skip_topk_offset o (2), layers up to o - 1 and every f-th behind have one: f = 4
    and o = 3 is layers 0, 1, 2, 6, 10, … The others attend to the tokens that the last one before them chose. Raises
    InputError where the fields contradict each other.
    """
    stated = config.choices("indexer_types", _INDEXER_TYPES, layers)
    pattern = config.text("index_topk_pattern")
    frequency, offset = config.maybe("index_topk_freq"), config.maybe("index_skip_topk_offset", least=0)
    derived: tuple[bool, ...] | None = None
    if pattern is not None:
        if len(pattern) != layers or set(pattern) - {"F", "S"}:
            raise config.error("index_topk_pattern", f"must be {layers} letters F (full) or S (shared)")
        derived = tuple(letter == "F" for letter in pattern)
    elif frequency is not None:
        after = 2 if offset is None else offset
        derived = tuple(max(layer - after + 1, 0) % frequency == 0 for layer in range(layers))
    if stated is not None and derived is not None and stated != derived:
        other = "index_topk_freq" if pattern is None else "index_topk_pattern"
        raise config.error("indexer_types", f"contradicts {config.prefix}{other}")
    own = stated or derived or (True,) * layers
    if not own[0]:
        raise config.error("indexer_types", "the first layer has no other layer's indexer to share")
    return own


def deepseek_v4(config: Config) -> Body:
    """DeepSeek-V4: every layer keeps a window of latents, and most keep compressed ones of older tokens besides.

    compress_ratios has a number per layer (and may have one per MTP layer): 0 is the window alone, 4 an entry for every
    4 tokens and an indexer that chooses among them, 128 an entry for every 128 tokens. Raises InputError for another.
    transformers writes layer_types instead, and the rate of each in compress_rates.
    """
    hidden, layers = config.count("hidden_size"), layer_count(config)
    q, dim = config.count("num_attention_heads"), config.count("head_dim")
    rope = config.maybe("qk_rope_head_dim") or int(dim * config.number("partial_rotary_factor", 0.125))
    window = config.count("sliding_window", most=CONTEXT)
    if config.count("num_key_value_heads") != 1:
        raise config.error("num_key_value_heads", "is not 1, which this model type always has")
    if rope >= dim:
        raise config.error("qk_rope_head_dim", f"{rope} leaves nothing of head_dim {dim}")
    ratios = config.numbers("compress_ratios") or _rates(config, layers)
    mtp = mtp_layers(config)
    if len(ratios) not in (layers, layers + mtp):
        raise config.error("compress_ratios", f"has {len(ratios)} entries for {layers} layers and {mtp} MTP layers")
    for ratio in ratios:
        if ratio not in _COMPRESS_RATIOS:
            raise config.error("compress_ratios", f"{ratio} is not understood; known are 0, 4 and 128")
    config.ignore("compress_rope_theta")
    kept = Latent(q, dim - rope, rope, V4_PACKED, cap=window)
    caches: dict[int, tuple[Cache, ...]] = {
        0: (kept,),
        4: (kept, Latent(q, dim - rope, rope, V4_PACKED, ratio=4), read_indexer(config, ratio=4)),
        128: (kept, Latent(q, dim - rope, rope, V4_PACKED, ratio=128)),
    }
    streams = config.weight("hc_mult")
    weights = _v4_weights(config, hidden, q, dim)
    mixers = tuple(Mixer(caches[ratio], weights[ratio]) for ratio in ratios[:layers])
    blocks = feed_forwards(config, hidden, layers, replace(DEEPSEEK, dense_first=False))
    words = config.words("mlp_layer_types")
    hashed = config.maybe("num_hash_layers", least=0) if words is None else words.count("hash_moe")
    hashed = 3 if hashed is None else hashed
    blocks = tuple(_hash_routed(block) for block in blocks[:hashed]) + blocks[hashed:]
    extra = tuple(caches[ratio] for ratio in ratios[layers:]) or (caches[0],) * mtp
    norms = (*parameters.norms(hidden, 2), *_hyper_connections(hidden, streams))
    collapse = copied("vector", streams, streams * hidden), vector("vector", streams + 1)
    outside = (*parameters.norms(hidden), *collapse)
    around = (*norms, *parameters.prediction(hidden), *collapse)
    predicts = tuple(predicting(Mixer(kept, weights[0]), blocks[-1], around) for kept in extra)
    return Body(mixers, blocks, norms, outside, predicts)


def _rates(config: Config, layers: int) -> tuple[int, ...]:
    """The compress ratio of each layer, by layer_types and compress_rates. Raises InputError for other rates."""
    kinds = config.choices("layer_types", _V4_LAYER_TYPES, layers)
    if kinds is None:
        raise config.error("compress_ratios", "is missing, and so is layer_types")
    rates = config.inner("compress_rates")
    for name in () if rates is None else rates.values:
        if rates is not None and rates.count(name) != _V4_LAYER_TYPES.get(name):
            raise rates.error(name, f"{rates.count(name)} is not what this model type is known with")
    return kinds


def _hash_routed(block: FeedForward) -> FeedForward:
    """``block`` without its router's bias: the first layers choose experts by token, not by score."""
    return replace(block, tensors=tuple(tensor for tensor in block.tensors if tensor.role != "router_bias"))


def _hyper_connections(hidden: int, streams: int) -> Tensors:
    """Two hyper-connections per layer: a mixing matrix with its base and three scales each."""
    mix = (2 + streams) * streams
    return (copied("vector", mix, streams * hidden), vector("vector", mix + 3)) * 2


def _v4_weights(config: Config, hidden: int, q: int, dim: int) -> dict[int, Tensors]:
    """Attention weights by compress ratio: low-rank query, one K=V head, grouped low-rank output, sinks, compressor."""
    q_rank, o_rank, groups = (config.weight(field) for field in ("q_lora_rank", "o_lora_rank", "o_groups"))
    heads, key = config.count("index_n_heads"), config.count("index_head_dim")
    main = (
        copied("q_a", q_rank, hidden),
        vector("norm", q_rank),
        wide("q_b", q * dim, q_rank, q),
        copied("kv_a", dim, hidden),
        vector("norm", dim),
        wide("o", groups * o_rank, q * dim // (groups or 1), groups),
        narrow("o", hidden, groups * o_rank, groups),
        divided("vector", q, q),
    )
    indexer = (
        *_compressor(hidden, key, 4, overlap=2),
        copied("indexer", heads * key, q_rank),
        copied("indexer_gate", heads, hidden),
    )
    return {
        0: main,
        4: (*main, *_compressor(hidden, dim, 4, overlap=2), *indexer),
        128: (*main, *_compressor(hidden, dim, 128, overlap=1)),
    }


def _compressor(hidden: int, dim: int, ratio: int, overlap: int) -> Tensors:
    """Value and gate projections, a position bias for each of ``ratio`` tokens, a norm."""
    projections = (copied("compressor", overlap * dim, hidden),) * 2
    return (*projections, copied("vector", ratio, overlap * dim), vector("norm", dim))
