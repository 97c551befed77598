"""Softmax attention of a config.json: head counts, windows and layer patterns, sharing; and plain decoders of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kvtui.engine.basis.json_object import shown
from kvtui.engine.model import parameters
from kvtui.engine.model.caches import Attention, AttentionKind, Shared
from kvtui.engine.model.spec import Layer
from kvtui.engine.model.tensors import Tensors
from kvtui.engine.sources.hf.ffn import feed_forwards
from kvtui.engine.sources.hf.fields import CONTEXT, LAYERS, VOCAB, Config
from kvtui.engine.sources.hf.shape import (
    NO_MIXER,
    Body,
    BodyReader,
    ConfigLayerKind,
    FeedForward,
    Mixer,
    Traits,
    own_cache,
)

LAYER_TYPES: dict[str, ConfigLayerKind] = {
    "full_attention": "full",
    "attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
}
_SELF: dict[ConfigLayerKind, AttentionKind] = {"full": "full", "sliding": "sliding_window", "chunked": "chunked_local"}

Kinds = Callable[[Config, int], tuple[ConfigLayerKind, ...]]
"""Gives the kind of each of so many layers of a config, by the rules of a model type. Raises InputError."""


@dataclass(frozen=True, slots=True)
class Heads:
    """Query and KV heads with the sizes of a K and a V vector."""

    q: int
    kv: int
    k: int
    v: int

    def attention(self, kind: ConfigLayerKind = "full", cap: int | None = None) -> Attention:
        """The cache of a layer of ``kind``; ``cap`` is its window or chunk."""
        return Attention(_SELF[kind], self.q, self.kv, self.k, self.v, None if kind == "full" else cap)


def layer_count(config: Config) -> int:
    """num_hidden_layers."""
    return config.count("num_hidden_layers", most=LAYERS)


_CONTEXTS = "model_max_length", "max_position_embeddings", "max_sequence_length", "seq_length", "n_positions"


def context_of(config: Config) -> int | None:
    """The longest context that the file declares."""
    return next((found for field in _CONTEXTS if (found := config.maybe(field, most=CONTEXT)) is not None), None)


def window_of(config: Config, *fields: str) -> int | None:
    """The window under ``fields``, sliding_window if none are given; None where it is 0, as Qwen2-MoE writes it."""
    return config.maybe(*(fields or ("sliding_window",)), least=0, most=CONTEXT) or None


def kv_heads(config: Config, q: int, *fields: str, mha: bool = False) -> int:
    """KV heads; ``null`` means one per query head, and so does a missing field where ``mha``."""
    kv = config.maybe(*fields)
    if kv is None:
        if not mha and not any(config.stated(field) for field in fields):
            raise config.error(fields[0], "is missing")
        return q
    check_heads(config, fields[0], q, kv)
    return kv


def check_heads(config: Config, field: str, q: int, kv: int) -> None:
    """Raises InputError when ``q`` query heads cannot share ``kv`` KV heads."""
    if q % kv:
        raise config.error(field, f"{kv} does not divide num_attention_heads {q}")


def read_heads(config: Config, hidden: int, traits: Traits) -> Heads:
    """Heads of a plain model; head_dim is the file's, else the class's, else hidden/heads."""
    q = config.count("num_attention_heads")
    if _has_query_heads_only(config):
        config.ignore("num_key_value_heads", "head_dim")
        kv, dim = q, None
    else:
        kv = kv_heads(config, q, "num_key_value_heads", mha=traits.mha)
        dim = config.maybe("head_dim", "attention_head_dim")
    if dim is None:
        if hidden % q and (not traits.floor or hidden < q):
            raise config.error("hidden_size", f"{hidden} is not divisible by num_attention_heads {q}; no head_dim")
        dim = hidden // q
    return Heads(q, kv, dim, dim)


_LAYER_FIELDS = "num_attention_heads", "num_key_value_heads", "head_dim"


def heads_by_layer(config: Config, heads: Heads, layers: int) -> tuple[Heads, ...]:
    """The heads of each layer: ``heads``, with what ``per_layer_config`` says of some.

    It has an object for each layer that differs, by its number: ``{"05": {"head_dim": 512}}``. Raises InputError for a
    number that is no layer, and for a field that is not of the heads.
    """
    differing = config.inner("per_layer_config")
    found = [heads] * layers
    for name in () if differing is None else differing.values:
        if not (name.isascii() and name.isdigit() and len(name) <= 4 and int(name) < layers):
            raise config.error("per_layer_config", f"{shown(name)} is not a layer (0 to {layers - 1})")
        assert differing is not None
        own = differing.inner(name)
        unknown = None if own is None else next((field for field in own.values if field not in _LAYER_FIELDS), None)
        if own is None or unknown is not None:
            raise differing.error(name, f"{shown(unknown)} is not understood; known are {', '.join(_LAYER_FIELDS)}")
        q, kv = own.maybe("num_attention_heads") or heads.q, own.maybe("num_key_value_heads") or heads.kv
        dim = own.maybe("head_dim")
        check_heads(own, "num_key_value_heads", q, kv)
        found[int(name)] = Heads(q, kv, dim or heads.k, dim or heads.v)
    return tuple(found)


def _has_query_heads_only(config: Config) -> bool:
    """Whether the class is of the time before shared KV heads: it looks at no such field, and at no head_dim."""
    known = "num_attention_heads" in config.of.defaults
    return known and not {"num_key_value_heads", "head_dim"} & (config.of.defaults.keys() | config.of.aliases.keys())


def attention_weights(config: Config, hidden: int, heads: Heads, traits: Traits, tied_kv: bool = False) -> Tensors:
    """Weights of an attention layer as ``traits`` build it."""
    return parameters.attention(
        hidden,
        heads.q,
        heads.kv,
        heads.k,
        heads.v,
        qkv_bias=config.on(traits.qkv_bias),
        out_bias=config.on(traits.out_bias),
        qk_norm=traits.qk_norm if config.on(traits.qk_normed) else None,
        gated=traits.gated,
        tied_kv=tied_kv,
        sinks=traits.sinks,
    )


def uniform(kind: ConfigLayerKind, layers: int) -> tuple[ConfigLayerKind, ...]:
    """``layers`` layers of one kind."""
    return (kind,) * layers


def full(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Full attention everywhere; a stated layer_types must say so too."""
    config.choices("layer_types", {"full_attention": "full", "attention": "full"}, layers)
    return uniform("full", layers)


def prefixed_by_image(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Full attention in which the tokens of an image may see each other (PaliGemma): all are cached the same."""
    config.ignore("use_bidirectional_attention")
    return full(config, layers)


def windowed(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """The same window in every layer, or none (``null``). A file with a list of layer kinds has it in those named."""
    if config.raw("layer_types") is not None:
        config.ignore("sliding_window")
        return typed(config, layers)
    window = window_of(config)
    return uniform("full" if window is None else "sliding", layers)


def qwen(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Qwen2 and Qwen3: layers from max_window_layers on slide, if use_sliding_window.

    Released files state a window and set use_sliding_window to false: all their layers are full. Those of a million
    tokens count positions in chunks (dual_chunk_attention_config), and keep them all.
    """
    config.ignore("dual_chunk_attention_config")
    slides, window = config.flag("use_sliding_window"), window_of(config)
    first = config.maybe("max_window_layers", least=0, most=LAYERS)
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    if not slides or window is None:
        return uniform("full", layers)
    if first is None:
        raise config.error("max_window_layers", "is missing, but use_sliding_window is true")
    return tuple("sliding" if layer >= first else "full" for layer in range(layers))


def qwen2_moe(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Qwen2-MoE: of the layers below max_window_layers every second slides, if use_sliding_window."""
    slides, window = config.flag("use_sliding_window"), window_of(config)
    last = config.maybe("max_window_layers", least=0, most=LAYERS)
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    if not slides or window is None:
        return uniform("full", layers)
    if last is None:
        raise config.error("max_window_layers", "is missing, but use_sliding_window is true")
    return tuple("sliding" if layer % 2 == 0 and layer < last else "full" for layer in range(layers))


def smollm3(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """SmolLM3: with use_sliding_window the layers without rotary positions slide, every fourth if none are listed."""
    ropes = config.numbers("no_rope_layers", most=1)
    interval = config.maybe("no_rope_layer_interval", most=LAYERS) or 4
    slides, window = config.flag("use_sliding_window"), window_of(config)
    config.ignore("max_window_layers")
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    if not slides or window is None:
        return uniform("full", layers)
    if ropes is not None and len(ropes) != layers:
        raise config.error("no_rope_layers", f"has {len(ropes)} entries for {layers} layers")
    ropes = ropes or tuple(int((layer + 1) % interval > 0) for layer in range(layers))
    return tuple("full" if rope else "sliding" for rope in ropes)


def no_window(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Types whose window engines read differently: only their files without one, or with layer_types, are read."""
    if config.flag("use_sliding_window") and config.raw("layer_types") is None:
        raise config.error("use_sliding_window", "is true, but layer_types is missing: which layers slide is unknown")
    config.ignore("max_window_layers", "use_qk_norm")
    if config.raw("layer_types") is None:
        config.ignore("sliding_window")
        return uniform("full", layers)
    return typed(config, layers)


def typed(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """The layer kinds that layer_types lists."""
    kinds = config.choices("layer_types", LAYER_TYPES, layers)
    if kinds is None:
        raise config.error("layer_types", "is missing")
    return kinds


def every(period: int) -> Kinds:
    """Each ``period``-th layer full, the others sliding, unless layer_types or sliding_window_pattern say otherwise.

    transformers writes a ``_sliding_window_pattern`` beside layer_types, and does not read it.

    Of 12 layers of a Gemma 3, ``every(6)`` has layers 5 and 11 full. A sliding_window of null means that there is none.
    """

    def kinds(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
        config.ignore("_sliding_window_pattern")
        if config.raw("layer_types") is not None:
            config.ignore("sliding_window_pattern")
            return typed(config, layers)
        step = config.maybe("sliding_window_pattern", most=LAYERS) or period
        if config.stated("sliding_window") and config.raw("sliding_window") is None:
            return uniform("full", layers)
        return tuple("sliding" if (layer + 1) % step else "full" for layer in range(layers))

    return kinds


def llama4(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Llama 4: layers with rotary positions are chunked, those without (every no_rope_layer_interval-th) are full.

    no_rope_layers lists a 1 for every layer *with* rotary positions, despite its name: 1, 1, 1, 0 is three chunked
    layers and a full one.
    """
    interval = config.maybe("no_rope_layer_interval", most=LAYERS) or 4
    ropes = config.numbers("no_rope_layers", most=1)
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    if ropes and len(ropes) != layers:
        raise config.error("no_rope_layers", f"has {len(ropes)} entries for {layers} layers")
    ropes = ropes or tuple(int((layer + 1) % interval != 0) for layer in range(layers))
    return tuple("chunked" if rope else "full" for rope in ropes)


def cap_of(config: Config, kind: ConfigLayerKind) -> int | None:
    """Tokens that a layer of ``kind`` keeps, None if all. Raises InputError when the file does not say."""
    match kind:
        case "full":
            return None
        case "sliding":
            window = window_of(config, "sliding_window", "sliding_window_size")
            if window is None:
                raise config.error("sliding_window", "is missing, but there are sliding layers")
            return window
        case "chunked":
            config.need("attention_chunk_size")
            return config.maybe("attention_chunk_size", most=CONTEXT)
    raise config.error("layer_types", f"{kind} layers are not known for this model type")


def cache_of(config: Config, heads: Heads, kind: ConfigLayerKind) -> Attention:
    """The cache of a self-attention layer; a window that is no shorter than the context makes it a full one.

    A context that is only the class's default is none that a model was made for.
    """
    cap, context = cap_of(config, kind), context_of(config)
    stated = any(name in config.values for field in _CONTEXTS for name in config.of.names(field))
    if cap is None or (stated and context is not None and cap >= context):
        return heads.attention()
    return heads.attention(kind, cap)


def plain(traits: Traits, kinds: Kinds = full) -> BodyReader:
    """The reader of a decoder whose layers differ in nothing but their windows and experts."""

    def read(config: Config) -> Body:
        hidden, layers = config.count("hidden_size"), layer_count(config)
        heads = read_heads(config, hidden, traits)
        weights = attention_weights(config, hidden, heads, traits)
        order = kinds(config, layers)
        mixers = {kind: Mixer((cache_of(config, heads, kind),), weights) for kind in dict.fromkeys(order)}
        blocks = feed_forwards(config, hidden, layers, traits.ffn)
        mtp = Mixer((heads.attention(),), weights)
        return assemble(config, hidden, traits, tuple(mixers[kind] for kind in order), blocks, mtp)

    return read


def assemble(
    config: Config,
    hidden: int,
    traits: Traits,
    mixers: tuple[Mixer, ...],
    blocks: tuple[FeedForward, ...],
    mtp: Mixer = NO_MIXER,
    outside: Tensors = (),
) -> Body:
    """A body with the norms of ``traits``; ``mtp`` is the mixer of an extra prediction layer."""
    norms = parameters.norms(hidden, traits.norms, bias=traits.norm_bias)
    outside = (*parameters.norms(hidden, bias=traits.norm_bias), *outside)
    own: Tensors = ()
    if config.values.get("num_nextn_predict_layers") is not None:
        own = parameters.embeddings(config.maybe("vocab_size", most=VOCAB) or 0, hidden, tied=False)
    predict = predicting(mtp, blocks[-1], (*norms, *parameters.prediction(hidden, own)))
    return Body(mixers, blocks, norms, outside, (predict,) * mtp_layers(config))


def predicting(mixer: Mixer, block: FeedForward, around: Tensors) -> Layer:
    """A multi-token-prediction layer of ``mixer`` and ``block``, with the weights ``around`` them."""
    return Layer(mixer.caches, (*mixer.tensors, *block.tensors, *around), block.experts, block.width)


def mtp_layers(config: Config) -> int:
    """Extra multi-token-prediction layers, of files that state them: a class's default says nothing of a checkpoint."""
    fields = "num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers"
    config.ignore(*fields)
    stated = [field for field in fields if field in config.values]
    return (config.maybe(*stated, least=0, most=LAYERS) if stated else None) or 0


def share_last(
    config: Config, field: str, mixers: list[Mixer], order: tuple[ConfigLayerKind, ...], shared: int
) -> None:
    """Lets the last ``shared`` layers of ``mixers`` read K and V of the last layer of their kind before them.

    Of 35 layers of a Gemma 3n, every fifth full, 15 share: a sliding one of them reads layer 18, a full one layer 19.
    Raises InputError, about ``field``, where there is no such layer.
    """
    first = len(mixers) - shared
    if first <= 0:
        raise config.error(field, f"{shared} of {len(mixers)} layers leave none that stores K and V")
    for layer in range(first, len(mixers)):
        owner = next((mixers[i] for i in reversed(range(first)) if order[i] == order[layer]), None)
        cache = None if owner is None else own_cache(owner.caches)
        if cache is None:
            raise config.error(field, f"layer {layer} reads a {order[layer]} layer, but none stores K and V")
        mixers[layer] = Mixer((Shared(cache),), mixers[layer].tensors)
