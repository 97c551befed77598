"""Decoders of a config.json of which kvtui reads the cache and not the weights, and those with names of their own.

Most model types of transformers are plain: heads, a head size, and a kind per layer. ``cached`` reads these; what a
type does when its file lists no layer_types is one of the functions below it, from the type's configuration class. The
older ones say the same with other fields: Falcon has ``multi_query``, MPT an ``attn_config``, BART
``decoder_layers``.
"""

from __future__ import annotations

from collections.abc import Callable

from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.caches import Attention, Recurrent
from kvtui.engine.sources.hf.attention import (
    Heads,
    Kinds,
    cache_of,
    check_heads,
    kv_heads,
    layer_count,
    read_heads,
    typed,
    uniform,
    window_of,
    windowed,
)
from kvtui.engine.sources.hf.fields import LAYERS, Config
from kvtui.engine.sources.hf.shape import Body, BodyReader, ConfigFamily, ConfigLayerKind, FeedForward, Mixer, Traits

_HEADS = Traits(mha=True, floor=True)


def uncounted_body(config: Config, mixers: tuple[Mixer, ...]) -> Body:
    """A body of ``mixers`` whose weights are not counted, and why."""
    config.uncounted.append(f"what model_type {plain(config.model_type, 60)} has of them is not known to kvtui")
    return Body(mixers, (FeedForward(),) * len(mixers), (), ())


def cached(kinds: Kinds = windowed, *understood: str) -> BodyReader:
    """The reader of a decoder of like heads whose layers are of ``kinds``; fields ``understood`` change no cache."""

    def read(config: Config) -> Body:
        hidden, layers = config.count("hidden_size"), layer_count(config)
        heads = read_heads(config, hidden, _HEADS)
        config.ignore(*understood, "add_cross_attention", "cross_attention_hidden_size")
        return uncounted_body(config, tuple(Mixer((cache_of(config, heads, kind),)) for kind in kinds(config, layers)))

    return read


def decoding(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Full attention of a model that is an encoder unless ``is_decoder`` is true. Raises InputError for an encoder."""
    if not config.flag("is_decoder"):
        raise config.error("is_decoder", "is not true: an encoder keeps no KV cache")
    return uniform("full", layers)


def pattern(rule: Callable[[int, int], bool]) -> Kinds:
    """Layers for which ``rule`` of index and layer count holds are full, the others slide, where none are listed."""

    def kinds(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
        config.ignore("global_attn_every_n_layers", "sliding_window_pattern", "local_attention", "sliding_window")
        if config.raw("layer_types") is not None:
            return typed(config, layers)
        return tuple("full" if rule(layer, layers) else "sliding" for layer in range(layers))

    return kinds


def globally(first: bool, default: int) -> Kinds:
    """One layer of each global_attn_every_n_layers is full, its ``first`` or its last; of ``default`` if not stated."""

    def kinds(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
        if config.raw("layer_types") is not None:
            return pattern(lambda *_: True)(config, layers)
        period = config.maybe("global_attn_every_n_layers", most=LAYERS) or default
        shift = 0 if first else 1
        return pattern(lambda layer, _: (layer + shift) % period == 0)(config, layers)

    return kinds


def periodic(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """The last of each ``sliding_window_pattern`` layers is full (EXAONE)."""
    config.ignore("sliding_window_pattern")
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    if window_of(config) is None:
        return uniform("full", layers)
    period = config.count("sliding_window_pattern", most=LAYERS)
    return tuple("sliding" if (layer + 1) % period else "full" for layer in range(layers))


def behind(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Layers from max_window_layers on slide (dots1)."""
    first = config.maybe("max_window_layers", least=0, most=LAYERS)
    config.ignore("sliding_window")
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    if window_of(config) is None:
        return uniform("full", layers)
    if first is None:
        raise config.error("max_window_layers", "is missing, but there is a sliding_window")
    return tuple("sliding" if layer >= first else "full" for layer in range(layers))


def listed(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """As layer_types lists them, full where nothing is listed: the window is for those that it names (Laguna)."""
    config.ignore("sliding_window")
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    return uniform("full", layers)


def stated(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Full attention unless layer_types lists windows (the general rule). KV heads must be stated."""
    config.need("num_key_value_heads")
    return uniform("full", layers) if config.raw("layer_types") is None else typed(config, layers)


def prefixed(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    """Cohere 2 MoE: the leading dense layers have a pattern of their own, the others sliding_window_pattern."""
    inner = config.count("prefix_dense_sliding_window_pattern", most=LAYERS)
    outer = config.count("sliding_window_pattern", most=LAYERS)
    if config.raw("layer_types") is not None:
        return typed(config, layers)
    first = min(layers, config.maybe("first_k_dense_replace", least=0, most=LAYERS) or 0)
    steps = [(layer + 1) % inner for layer in range(first)] + [(layer + 1) % outer for layer in range(layers - first)]
    return tuple("sliding" if step else "full" for step in steps)


def falcon_heads(config: Config, hidden: int) -> Heads:
    """Falcon's: one KV head with multi_query, num_kv_heads of its newer architecture, else one per query head."""
    q = config.count("num_attention_heads", "n_head")
    new, single = config.flag("new_decoder_architecture"), config.flag("multi_query", True)
    stated = config.maybe("num_kv_heads", "n_head_kv")
    kv = (stated or q) if new or not single else 1
    check_heads(config, "num_kv_heads", q, kv)
    if hidden % q:
        raise config.error("hidden_size", f"{hidden} is not divisible by {q} attention heads")
    if new:
        config.notes.append("K and V are kept once per KV head, as engines keep them; transformers keeps copies")
    return Heads(q, kv, hidden // q, hidden // q)


def mpt_heads(config: Config, hidden: int) -> Heads:
    """MPT's and DBRX's: KV heads are in attn_config, else as many as query heads (MPT) or one (DBRX)."""
    q = config.count("num_attention_heads")
    inner = config.inner("attn_config")
    kv = q if config.model_type == "mpt" else 1
    if inner is not None:
        kind = inner.text("attn_type")
        if kind not in (None, "multihead_attention", "grouped_query_attention", ""):
            raise inner.error("attn_type", "is not multihead_attention, the only kind that is known here")
        kv = inner.maybe("kv_n_heads") or kv
    check_heads(config, "num_attention_heads", q, kv)
    if hidden % q:
        raise config.error("hidden_size", f"{hidden} is not divisible by {q} attention heads")
    return Heads(q, kv, hidden // q, hidden // q)


def chatglm(config: Config) -> Body:
    """ChatGLM 2 and later, and GLM-4 in its first form: KV heads are multi_query_group_num, heads kv_channels wide."""
    layers = config.count("num_layers", "num_hidden_layers", most=LAYERS)
    q, dim = config.count("num_attention_heads"), config.count("kv_channels")
    kv = config.count("multi_query_group_num") if config.flag("multi_query_attention") else q
    config.ignore("multi_query_group_num")
    check_heads(config, "multi_query_group_num", q, kv)
    return uncounted_body(config, (Mixer((Attention("full", q, kv, dim, dim),)),) * layers)


def first_qwen(config: Config) -> Body:
    """Qwen of 2023: a KV head per query head, of kv_channels."""
    q, dim = config.count("num_attention_heads"), config.count("kv_channels")
    return uncounted_body(config, (Mixer((Attention("full", q, q, dim, dim),)),) * layer_count(config))


def jetmoe(config: Config) -> Body:
    """JetMoE: so many query heads per KV head as experts of attention that a token has, where the file says nothing."""
    q = config.maybe("num_attention_heads")
    if q is None:
        q = config.count("num_key_value_heads") * config.count("num_experts_per_tok", "moe_top_k", most=1024)
    values = {**config.values, "num_attention_heads": q}
    config.ignore("kv_channels", "moe_num_experts")
    return cached()(Config(values, config.where, config.prefix, config.model_type, config.of).sharing(config))


def rwkv7(config: Config) -> Body:
    """RWKV-7: a matrix per head, and the last inputs of two token shifts, in every layer."""
    hidden, dim = config.count("hidden_size"), config.count("head_dim")
    if hidden % dim:
        raise config.error("head_dim", f"{dim} does not divide hidden_size {hidden}")
    config.ignore("num_heads", "attn_mode")
    config.notes.append("RWKV's state counts as a linear attention's: a matrix per head, token shifts as conv inputs")
    state = Recurrent("lightning", hidden // dim, 2, hidden, hidden * dim, "fp32")
    return uncounted_body(config, (Mixer((state,)),) * layer_count(config))


def dbrx(config: Config) -> Body:
    """DBRX: full attention with the KV heads of attn_config."""
    heads = mpt_heads(config, config.count("hidden_size"))
    return uncounted_body(config, (Mixer((heads.attention(),)),) * layer_count(config))


def decoder_of(layers: str, q: str, *kv: str) -> BodyReader:
    """The decoder of an encoder-decoder model, with the names of its fields for layers and heads.

    Cross-attention keeps K and V of every prompt token, and the decoder's own attention those of every generated one.
    Both have the same heads, so each token of a sequence is kept once, whichever it is.
    """

    def read(config: Config) -> Body:
        hidden, heads = config.count("hidden_size"), config.count(q, "num_attention_heads")
        stored = kv_heads(config, heads, *(kv or ("num_key_value_heads",)), mha=True)
        dim = config.maybe("head_dim")
        if dim is None and hidden % heads:
            raise config.error("hidden_size", f"{hidden} is not divisible by {heads} attention heads")
        dim = dim or hidden // heads
        number = config.maybe(layers, most=LAYERS) or layer_count(config)
        if config.flag("is_encoder_decoder", True):
            config.notes.append("a prompt token is kept by cross-attention, a generated one by the decoder: once each")
        _pass_encoders(config)
        return uncounted_body(config, (Mixer((Attention("full", heads, stored, dim, dim),)),) * number)

    return read


def _pass_encoders(config: Config) -> None:
    """Marks what speaks of the encoder, of its convolutions and windows, and of other decoders: none is this cache."""
    marks = (
        "encoder",
        "decoder",
        "conv_",
        "t2u_",
        "vocoder",
        "adapter",
        "add_cross",
        "attention_window",
        "attention_type",
    )
    config.ignore(*(field for field in config.values if any(mark in field for mark in marks)))


_BART = decoder_of("decoder_layers", "decoder_attention_heads")
_T5 = decoder_of("num_decoder_layers", "num_attention_heads")


def _rows(names: str, read: BodyReader, tied: bool = False) -> dict[str, ConfigFamily]:
    return {name: ConfigFamily(read, tied) for name in names.split()}


DECODERS: dict[str, ConfigFamily] = {
    **_rows(
        "blip chameleon cosmos3_edge emu3 "
        "ernie4_5_vl_moe evolla glm_ocr "
        "granite4_vision granite_docling "
        "idefics "
        "kyutai_speech_to_text molmo2 moshi "
        "phi4_multimodal voxtral_realtime "
        "pocket_tts gradium_phonon_tts git hunyuan_vl",
        cached(windowed, "keep_window_size", "moe_layer_start_index", "moe_layer_end_index"),
    ),
    **_rows(
        "big_bird electra megatron-bert rembert roformer xmod",
        cached(decoding, "attention_type"),
    ),
    **_rows("muse_glimmer muse_spark", cached(pattern(lambda layer, n: (n - 1 - layer) % 4 == 0))),
    "deepseek_ocr2": ConfigFamily(cached(behind)),
    "cohere_compass": ConfigFamily(cached(listed, "num_attention_heads_per_layer", "mlp_layer_types")),
    "dbrx": ConfigFamily(dbrx),
    "jetmoe": ConfigFamily(jetmoe),
    "chatglm": ConfigFamily(chatglm),
    "qwen": ConfigFamily(first_qwen),
    "rwkv7": ConfigFamily(rwkv7),
    **_rows("minicpm orion xverse", cached()),
    **_rows(
        "bart bigbird_pegasus blenderbot blenderbot-small fsmt led m2m_100 marian mbart mvp nllb-moe pegasus pegasus_x "
        "plbart pp_formulanet seamless_m4t seamless_m4t_v2 speech_to_text speecht5 trocr",
        _BART,
    ),
    **_rows("t5 mt5 umt5 longt5 switch_transformers pop2piano udop", _T5),
    "prophetnet": ConfigFamily(decoder_of("num_decoder_layers", "num_decoder_attention_heads")),
    **_rows(
        "moonshine moonshine_streaming",
        decoder_of("decoder_num_hidden_layers", "decoder_num_attention_heads", "decoder_num_key_value_heads"),
    ),
    **_rows("canary_decoder cohere_asr musicgen_decoder musicgen_melody_decoder dia_decoder kosmos_2 kosmos_2_5", _T5),
}
"""Model types and how their caches are read."""
