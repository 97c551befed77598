"""Decoders of a config.json that are plain but for a few weights: small norms, learned positions, an output's bias.

GPT-2 and its relatives have positions that are learned and blocks four times as wide as the hidden size; BitNet, Phi
and others differ from Llama in a vector or two. A row says what: ``adding(plain(…), layer=…)`` is a plain decoder with
more in every layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kvtui.engine.model import parameters
from kvtui.engine.model.spec import Experts
from kvtui.engine.model.tensors import Tensors, copied, divided, vector
from kvtui.engine.sources.hf.attention import (
    Heads,
    Kinds,
    assemble,
    attention_weights,
    every,
    layer_count,
    plain,
    read_heads,
    windowed,
)
from kvtui.engine.sources.hf.decoders import (
    behind,
    falcon_heads,
    globally,
    listed,
    mpt_heads,
    pattern,
    periodic,
)
from kvtui.engine.sources.hf.fields import CONTEXT, VOCAB, Config, Flag
from kvtui.engine.sources.hf.latent import mla
from kvtui.engine.sources.hf.shape import (
    DEEPSEEK,
    MIXTRAL,
    QWEN,
    Body,
    BodyReader,
    ConfigFamily,
    ConfigLayerKind,
    FeedForward,
    Ffn,
    Mixer,
    Traits,
)

More = Callable[[Config], Tensors]

_BIAS: Flag = ("attention_bias", False)
_LLAMA = Traits(mha=True, qkv_bias=_BIAS, out_bias=_BIAS, ffn=Ffn(bias=("mlp_bias", False)))
_MOE = Traits(mha=True, qkv_bias=_BIAS, out_bias=_BIAS, ffn=MIXTRAL)
_NORMED_MOE = replace(_MOE, qk_norm="head", ffn=DEEPSEEK)
_GPT = Traits(mha=True, qkv_bias=True, out_bias=True, norm_bias=True)


def nothing(config: Config) -> Tensors:
    """No more weights."""
    return ()


def adding(read: BodyReader, layer: More = nothing, outside: More = nothing) -> BodyReader:
    """``read`` with more weights in every ``layer``, and more ``outside`` the layers."""

    def reads(config: Config) -> Body:
        body = read(config)
        return replace(body, norms=(*body.norms, *layer(config)), outside=(*body.outside, *outside(config)))

    return reads


def routing(read: BodyReader, more: Callable[[Config, Experts], Tensors]) -> BodyReader:
    """``read`` with more weights in every layer that has experts."""

    def reads(config: Config) -> Body:
        body = read(config)
        blocks = tuple(
            block if block.experts is None else replace(block, tensors=(*block.tensors, *more(config, block.experts)))
            for block in body.blocks
        )
        return replace(body, blocks=blocks)

    return reads


def normless(read: BodyReader) -> BodyReader:
    """``read`` of a type whose norms have no weights."""
    return lambda config: replace(read(config), norms=(), outside=())


def unless(read: BodyReader, *flags: str) -> BodyReader:
    """``read``, with the weights uncounted where one of ``flags`` is set: what it adds is not known here."""

    def reads(config: Config) -> Body:
        for flag in flags:
            if config.flag(flag):
                config.uncounted.append(f"{config.prefix}{flag} is true")
        return read(config)

    return reads


def _head_size(config: Config) -> int:
    hidden, q = config.count("hidden_size"), config.count("num_attention_heads")
    return config.maybe("head_dim") or hidden // q


def _bitnet(config: Config) -> Tensors:
    """Norms before the output and the down projection."""
    width = config.count("num_attention_heads") * _head_size(config)
    return vector("norm", width), vector("norm", config.weight("intermediate_size"))


def _layer_norms_of_heads(config: Config) -> Tensors:
    """Layer norms, with biases, of one query and one key."""
    hidden, q = config.count("hidden_size"), config.count("num_attention_heads")
    return (vector("norm", 2 * (hidden // q)),) * (2 * config.flag("qk_layernorm"))


def _output_bias(config: Config) -> Tensors:
    vocab = config.maybe("vocab_size", most=VOCAB)
    return (divided("bias", vocab),) if vocab else ()


def gpt(
    traits: Traits = _GPT,
    *,
    width: str = "n_inner",
    bias: Flag = True,
    positions: int | None = 0,
    final: int = 1,
    heads: Callable[[Config, int], Heads] | None = None,
) -> BodyReader:
    """The reader of a decoder like GPT-2: no gates, blocks of ``width`` or of four times the hidden size.

    There are as many learned positions as the context is long and ``positions`` more, or none; and ``final`` norms
    outside the layers.
    """

    def read(config: Config) -> Body:
        hidden, layers = config.count("hidden_size"), layer_count(config)
        own = heads(config, hidden) if heads else read_heads(config, hidden, traits)
        mixer = Mixer((own.attention(),), attention_weights(config, hidden, own, traits))
        wide = config.maybe(width) or 4 * hidden
        block = FeedForward(parameters.mlp(hidden, wide, gated=False, bias=config.on(bias)), width=wide)
        outside: Tensors = ()
        if positions is not None:
            longest = config.maybe("max_position_embeddings", most=CONTEXT)
            if longest is None:
                config.uncounted.append(f"{config.prefix}max_position_embeddings is missing")
            outside = (copied("embedding", (longest or 0) + positions, hidden),)
        config.ignore("add_cross_attention", "attention_layers", "attention_types", "window_size")
        body = assemble(config, hidden, traits, (mixer,) * layers, (block,) * layers)
        return replace(body, outside=(*parameters.norms(hidden, final, bias=traits.norm_bias), *outside))

    return read


def _single_heads(config: Config, hidden: int) -> Heads:
    """One KV head with multi_query (StarCoder), else one per query head."""
    q = config.count("num_attention_heads")
    config.ignore("num_key_value_heads")
    if hidden % q:
        raise config.error("hidden_size", f"{hidden} is not divisible by {q} attention heads")
    return Heads(q, 1 if config.flag("multi_query", True) else q, hidden // q, hidden // q)


def opt(config: Config) -> Body:
    """OPT: learned positions and two more, a last norm only where norms come first."""
    last = config.flag("do_layer_norm_before", True) and not config.flag("_remove_final_layer_norm")
    if not config.flag("layer_norm_elementwise_affine", True):
        config.uncounted.append(f"{config.prefix}layer_norm_elementwise_affine is false")
    if config.maybe("word_embed_proj_dim") not in (None, config.count("hidden_size")):
        config.uncounted.append(f"{config.prefix}word_embed_proj_dim is not the hidden size")
    enabled: Flag = ("enable_bias", True)
    traits = replace(_GPT, qkv_bias=enabled, out_bias=enabled)
    return gpt(traits, width="ffn_dim", bias=enabled, positions=2, final=int(last))(config)


def falcon(config: Config) -> Body:
    """Falcon: as many norms as it has blocks to norm, one for both where they stand side by side."""
    new, single = config.flag("new_decoder_architecture"), config.maybe("num_ln_in_parallel_attn") == 1
    shared = single if new else config.flag("parallel_attn", True)
    biased: Flag = ("bias", False)
    traits = replace(_GPT, qkv_bias=biased, out_bias=biased, norms=1 if shared else 2)
    return gpt(traits, width="ffn_hidden_size", bias=biased, positions=None, heads=falcon_heads)(config)


def stablelm(config: Config) -> Body:
    """StableLM: norms with biases, one for both blocks where they stand side by side."""
    norms = 1 if config.flag("use_parallel_residual") else 2
    traits = Traits(mha=True, qkv_bias=("use_qkv_bias", False), norms=norms, norm_bias=True)
    return unless(plain(traits, windowed), "qk_layernorm")(config)


def hyperclovax(config: Config) -> Body:
    """HyperCLOVA X: two norms more a layer with use_post_norm."""
    return plain(replace(_LLAMA, norms=4 if config.flag("use_post_norm", True) else 2), windowed)(config)


def helium(config: Config) -> Body:
    """Helium: the output projection is square, whatever the heads' size; the query's biases are no output's."""
    if config.count("num_attention_heads") * _head_size(config) != config.count("hidden_size"):
        config.uncounted.append(f"{config.prefix}head_dim is not hidden_size/num_attention_heads")
    return plain(replace(_LLAMA, out_bias=False), windowed)(config)


def mpt(config: Config) -> Body:
    """MPT: no biases at all, blocks four times the hidden size, heads in attn_config."""
    if not config.flag("no_bias", True):
        config.uncounted.append(f"{config.prefix}no_bias is false")
    inner = config.inner("attn_config")
    if inner is not None and inner.flag("qk_ln"):
        config.uncounted.append("attn_config.qk_ln is true")
    if config.maybe("expansion_ratio", most=64) not in (None, 4):
        config.uncounted.append(f"{config.prefix}expansion_ratio is not 4, the only one that its code has")
    traits = replace(_GPT, qkv_bias=False, out_bias=False, norm_bias=False)
    return gpt(traits, bias=False, positions=None, heads=mpt_heads)(config)


def hy_v3(config: Config) -> Body:
    """Hunyuan 3: experts and shared ones in all layers but the first."""
    if config.maybe("num_shared_experts", least=0) == 0:
        config.uncounted.append(f"{config.prefix}num_shared_experts is 0")
    return unless(plain(_NORMED_MOE, windowed), "mlp_bias")(config)


def _doge(config: Config) -> Tensors:
    """Two residual scales, and a decay per KV head with its projection from V."""
    for flag in ("is_moe", "attention_bias"):
        if config.flag(flag):
            config.uncounted.append(f"{config.prefix}{flag} is true")
    config.ignore("num_experts", "num_experts_per_tok", "norm_topk_prob", "keep_window_size")
    kv = config.maybe("num_key_value_heads") or config.count("num_attention_heads")
    return vector("vector", 2 * config.count("hidden_size") + kv), copied("vector", kv, kv * _head_size(config))


def _transform(config: Config) -> Tensors:
    """BERT's head: a projection with its norm, and a bias for each word; and the embeddings of token types."""
    hidden = config.count("hidden_size")
    types = config.maybe("type_vocab_size", least=0) or 0
    head = copied("other", hidden, hidden), vector("bias", hidden), vector("norm", 2 * hidden)
    return (*head, *_word_biases(config), copied("embedding", types, hidden))


def _word_biases(config: Config) -> Tensors:
    """A bias for each word, and once more where the output is a matrix of its own."""
    return _output_bias(config) * (1 if config.flag("tie_word_embeddings", True) else 2)


def bert(final: int = 1, more: More = _transform) -> BodyReader:
    """The reader of a BERT that decodes, with ``final`` norms outside its layers, that of the embeddings included."""

    def read(config: Config) -> Body:
        if not config.flag("is_decoder"):
            raise config.error("is_decoder", "is not true: an encoder keeps no KV cache")
        if config.flag("add_cross_attention"):
            config.uncounted.append(f"{config.prefix}add_cross_attention is true")
        return adding(gpt(width="intermediate_size", final=final), outside=more)(config)

    return read


def _glyphs(config: Config) -> Tensors:
    """RoCBERT's: embeddings of how a word sounds and looks, joined with those of words, and BERT's head."""
    if not (config.flag("enable_pronunciation") and config.flag("enable_shape") and config.flag("concat_input")):
        config.uncounted.append(f"{config.prefix}enable_pronunciation, enable_shape or concat_input is false")
    hidden, sizes = config.count("hidden_size"), []
    found: Tensors = ()
    for kind in ("pronunciation", "shape"):
        sizes.append(config.weight(f"{kind}_embed_dim"))
        found = (*found, copied("embedding", config.weight(f"{kind}_vocab_size", most=VOCAB), sizes[-1]))
    return (*found, copied("other", hidden, hidden + sum(sizes)), vector("bias", hidden), *_transform(config))


def neox_japanese(config: Config) -> Body:
    """GPT-NeoX Japanese: no biases but one behind the last layer's attention."""
    hidden = config.count("hidden_size")
    wide = Config(
        {**config.values, "n_inner": hidden * (config.maybe("intermediate_multiple_size", most=64) or 4)},
        config.where,
        config.prefix,
        config.model_type,
        config.of,
    ).sharing(config)
    read = gpt(replace(_GPT, qkv_bias=False, out_bias=False), bias=False, positions=None)
    return adding(read, outside=lambda _: (vector("bias", hidden),))(wide)


def modernbert(config: Config) -> Body:
    """ModernBERT that decodes: the first layer has no norm before its attention; a head with a norm and a bias.

    A file without sliding_window has half of local_attention, the tokens on both sides.
    """
    hidden, both = config.count("hidden_size"), config.maybe("local_attention", least=0, most=CONTEXT)
    if config.raw("sliding_window") is None and both:
        values = {**config.values, "sliding_window": both // 2}
        config = Config(values, config.where, config.prefix, config.model_type, config.of).sharing(config)
    for flag in ("norm_bias", "classifier_bias"):
        if config.flag(flag):
            config.uncounted.append(f"{config.prefix}{flag} is true")
    body = plain(replace(_LLAMA, norms=1), globally(first=True, default=3))(config)
    mixers = tuple(
        replace(mixer, tensors=(*mixer.tensors, *parameters.norms(hidden, int(layer > 0))))
        for layer, mixer in enumerate(body.mixers)
    )
    bias = _output_bias(config) if config.flag("decoder_bias", True) else ()
    head = (*parameters.norms(hidden, 2), copied("other", hidden, hidden), *bias)
    return replace(body, mixers=mixers, outside=(*body.outside, *head))


def _row(traits: Traits, kinds: Kinds = windowed) -> ConfigFamily:
    return ConfigFamily(plain(traits, kinds))


_FIRST_OF_FOUR = pattern(lambda layer, _: layer % 4 == 0)
_JAIS = Traits(
    mha=True,
    qkv_bias=("attention_bias", True),
    out_bias=("attention_bias", True),
    norm_bias=True,
    ffn=Ffn(gated=False, bias=("mlp_bias", True)),
)
_NEMOTRON = replace(_LLAMA, norm_bias=True, ffn=Ffn(gated=False, bias=("mlp_bias", False)))
_PHI = replace(_GPT, norms=1, ffn=Ffn(gated=False, bias=True))
_PERSIMMON = replace(_GPT, ffn=Ffn(gated=False, bias=True))
_ERNIE = Traits(mha=True, qkv_bias=("use_bias", False), out_bias=("use_bias", False), ffn=Ffn(bias=("use_bias", False)))
_SHARED = Ffn(expert=("intermediate_size",), shared=("shared_intermediate_size",), routed=True)

_AFMOE = replace(DEEPSEEK, router_bias=False)
_ARIA = Ffn(expert=("intermediate_size",), shared_count=("moe_num_shared_experts",), routed=True)


def _doge_windows(config: Config, layers: int) -> tuple[ConfigLayerKind, ...]:
    config.ignore("keep_window_size")
    return windowed(config, layers)


COUNTED: dict[str, ConfigFamily] = {
    "baichuan": _row(Traits(mha=True)),
    "internlm2": _row(Traits(qkv_bias=("bias", False), out_bias=("bias", False))),
    "exaone": _row(_LLAMA),
    "internlm3": _row(_LLAMA),
    "iquestcoder": _row(_LLAMA),
    "ministral": _row(Traits(mha=True)),
    "cwm": _row(replace(_LLAMA, qkv_bias=False, out_bias=False), _FIRST_OF_FOUR),
    "arcee": _row(replace(_LLAMA, ffn=Ffn(gated=False, bias=("mlp_bias", False)))),
    "granite_swa": _row(replace(_LLAMA, sinks=True), _FIRST_OF_FOUR),
    "hyperclovax": ConfigFamily(hyperclovax),
    "ernie4_5": _row(_ERNIE),
    "jais2": _row(_JAIS),
    "nemotron": _row(_NEMOTRON),
    "stablelm": ConfigFamily(stablelm),
    "vaultgemma": ConfigFamily(plain(Traits(qkv_bias=_BIAS, out_bias=_BIAS, tied=True), every(2)), tied=True),
    "apertus": ConfigFamily(
        adding(
            plain(replace(_LLAMA, qk_norm="head", ffn=Ffn(gated=False)), windowed),
            lambda config: (vector("vector", 2),),
        )
    ),
    "bitnet": ConfigFamily(adding(plain(replace(_LLAMA, ffn=Ffn()), windowed), _bitnet)),
    "diffllama": ConfigFamily(
        adding(plain(replace(_LLAMA, ffn=Ffn()), windowed), lambda config: (vector("vector", 4 * _head_size(config)),))
    ),
    "olmo": ConfigFamily(normless(plain(replace(_LLAMA, ffn=Ffn()), windowed))),
    "nanochat": ConfigFamily(normless(plain(replace(_LLAMA, ffn=Ffn(gated=False)), windowed))),
    "phi": ConfigFamily(adding(plain(_PHI, windowed), _layer_norms_of_heads, _output_bias)),
    "persimmon": ConfigFamily(adding(plain(_PERSIMMON, windowed), _layer_norms_of_heads)),
    "olmoe": _row(replace(_MOE, qk_norm="row")),
    "flex_olmo": _row(replace(_MOE, qk_norm="row")),
    "granitemoe": _row(_MOE),
    "granitemoeshared": _row(replace(_MOE, ffn=_SHARED)),
    "granitemoe_swa": _row(replace(_MOE, sinks=True, ffn=_SHARED), _FIRST_OF_FOUR),
    "mellum": _row(replace(_MOE, qk_norm="head", ffn=QWEN), listed),
    "dots1": _row(_NORMED_MOE, behind),
    "exaone_moe": _row(replace(_NORMED_MOE, qkv_bias=False, out_bias=False), periodic),
    "hy_v3": ConfigFamily(hy_v3),
    "solar_open": _row(Traits(mha=True, qkv_bias=_BIAS, ffn=replace(DEEPSEEK, dense_first=False))),
    "sarvam_moe": _row(replace(_NORMED_MOE, out_bias=False, qk_normed=("use_qk_norm", True))),
    "afmoe": ConfigFamily(
        routing(
            plain(replace(_NORMED_MOE, gated=True, norms=4, ffn=_AFMOE), globally(first=False, default=4)),
            lambda _, experts: (vector("vector", experts.total),),
        )
    ),
    "apertus1p5": ConfigFamily(
        adding(
            plain(replace(_LLAMA, qk_norm="head", ffn=Ffn(gated=False)), windowed),
            lambda config: (vector("vector", 2),),
        )
    ),
    "aria": ConfigFamily(unless(plain(replace(_MOE, ffn=_ARIA), windowed), "mlp_bias")),
    "axk1": ConfigFamily(routing(mla(scored=True), lambda config, _: (vector("norm", config.count("hidden_size")),))),
    "doge": ConfigFamily(adding(plain(replace(_LLAMA, qk_norm="head"), _doge_windows), _doge)),
    "helium": ConfigFamily(helium),
    "paddleocr_vl": _row(_ERNIE),
    "bert": ConfigFamily(bert(), tied=True),
    "camembert": ConfigFamily(bert(), tied=True),
    "roberta": ConfigFamily(bert(), tied=True),
    "xlm-roberta": ConfigFamily(bert(), tied=True),
    "roberta-prelayernorm": ConfigFamily(bert(final=2), tied=True),
    "bert-generation": ConfigFamily(bert(more=_word_biases), tied=True),
    **dict.fromkeys(("data2vec-text", "xlm-roberta-xl"), ConfigFamily(bert(), tied=True)),
    "ernie": ConfigFamily(unless(bert(), "use_task_id"), tied=True),
    "roc_bert": ConfigFamily(bert(more=_glyphs), tied=True),
    "gpt_neox_japanese": ConfigFamily(neox_japanese, tied=True),
    "modernbert-decoder": ConfigFamily(modernbert, tied=True),
    "mpt": ConfigFamily(mpt, tied=True),
    "gpt_neo": ConfigFamily(gpt(replace(_GPT, qkv_bias=False), width="intermediate_size"), tied=True),
    "gpt2": ConfigFamily(gpt(), tied=True),
    "gpt-sw3": ConfigFamily(gpt(), tied=True),
    "openai-gpt": ConfigFamily(gpt(final=0), tied=True),
    "gptj": ConfigFamily(
        adding(gpt(replace(_GPT, qkv_bias=False, out_bias=False, norms=1), positions=None), outside=_output_bias)
    ),
    "codegen": ConfigFamily(
        adding(gpt(replace(_GPT, qkv_bias=False, out_bias=False, norms=1), positions=None), outside=_output_bias)
    ),
    "ctrl": ConfigFamily(adding(gpt(width="dff", positions=None), outside=_output_bias), tied=True),
    "bloom": ConfigFamily(gpt(positions=None, final=2), tied=True),
    "gpt_bigcode": ConfigFamily(gpt(heads=_single_heads), tied=True),
    "biogpt": ConfigFamily(gpt(width="intermediate_size", positions=2), tied=True),
    "xglm": ConfigFamily(gpt(width="ffn_dim", positions=None), tied=True),
    "opt": ConfigFamily(opt, tied=True),
    "falcon": ConfigFamily(falcon, tied=True),
}
"""Model types and how they are read."""
