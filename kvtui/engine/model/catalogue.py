"""The model catalogue: the packaged ``models.toml`` and the user's own.

The packaged file's header says what each key of a ``[[model]]`` table means. A user's ``models.toml`` in the
configuration folder has the same form. An entry gives the order of the layers in letters, and says for each letter
what a mixer caches or how wide a feed-forward block is; weights are counted from that where the entry gives both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from kvtui.engine.basis.catalogue import Catalogue
from kvtui.engine.basis.tables import Fields
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model import parameters
from kvtui.engine.model.caches import (
    Attention,
    AttentionKind,
    Cache,
    Indexer,
    Latent,
    Shared,
    gated_deltanet,
    kda,
    lightning,
    mamba1,
    mamba2,
    short_conv,
)
from kvtui.engine.model.formats import WEIGHT_FORMATS
from kvtui.engine.model.spec import Encoder, Experts, Layer, ModelSpec
from kvtui.engine.model.tensors import Tensors

MAX_LAYERS = 1024
MAX_DIM = 2**24
MAX_PARAMETERS = 10**15
CONFIDENCES = ("H", "M", "L")
STATE_FORMATS = ("fp32", "bf16", "fp16")

_SIZES: dict[AttentionKind, str | None] = {
    "full": None,
    "sliding_window": "window",
    "chunked_local": "chunk",
    "cross_attention": "tokens",
}
_KINDS = (
    *_SIZES,
    "latent",
    "gated_deltanet",
    "kda",
    "mamba1",
    "mamba2",
    "lightning",
    "short_conv",
    "shared",
)
_PART = re.compile(r"([A-Za-z-]{1,1024})(?:\*([1-9][0-9]{0,3}))?")
_MAX_PATTERN = 2 * MAX_LAYERS


def model_names() -> tuple[str, ...]:
    """The names of all models, packaged ones first. Raises InputError if the user's file is wrong."""
    return _MODELS.names()


def all_models() -> tuple[ModelSpec, ...]:
    """All models, packaged ones first. Raises InputError if the user's file is wrong."""
    return _MODELS.all()


def wrong_models() -> tuple[str, ...]:
    """What is wrong with entries of the user's file, which are left out."""
    return _MODELS.wrong()


def find_model(name: str) -> ModelSpec:
    """The model of that name, Hugging Face id or alias; case, spaces, hyphens, underscores and dots do not matter.

    Raises UnknownName, and InputError if the user's file is wrong.
    """
    return _MODELS.find(name)


def get_model(name: str) -> ModelSpec | None:
    """The model that ``find_model`` finds; None where there is none. Raises InputError if the user's file is wrong."""
    return _MODELS.get(name)


def model_keys() -> Mapping[str, str]:
    """The name of each model by all of its names, in lower case and without spaces, hyphens, underscores and dots."""
    return _MODELS.keys()


def models_beginning(name: str) -> tuple[str, ...]:
    """The names of all models one of whose names begins with ``name``."""
    return _MODELS.beginning(name)


class _MixerLetter(NamedTuple):
    """What a letter of ``layers`` stands for; ``tensors`` is None in a model whose weights are not counted."""

    caches: tuple[Cache, ...]
    tensors: Tensors | None


class _BlockLetter(NamedTuple):
    """What a letter of ``feed_forward`` stands for; ``tensors`` are those outside the routed experts."""

    tensors: Tensors
    experts: Experts | None
    width: int


class _Rest(NamedTuple):
    """What is counted besides mixers and feed-forward blocks; ``norms`` is None for one of each of them."""

    tied: bool
    norms: int | None
    norm_bias: bool
    extra: int
    mtp_embeddings: bool
    inputs: int

    def layer_norms(self, hidden: int, mixer: str, block: str) -> Tensors:
        number = (mixer != "-") + (block != "-") if self.norms is None else self.norms
        return parameters.norms(hidden, number, bias=self.norm_bias)


_NO_MIXER = _MixerLetter((), ())
_NO_FEED_FORWARD = _BlockLetter((), None, 0)


def _build(fields: Fields) -> ModelSpec:
    fields.need("name", "source", "confidence", "layers", "mixer")
    counted = not {"feed_forward", "ffn"}.isdisjoint(fields.keys())
    hidden, vocab = _size(fields, "hidden", counted), _size(fields, "vocab", counted)
    mixers = _mixers(fields, hidden if counted else None)
    order = _order(fields, "layers", mixers)
    mtp = _order(fields, "mtp", mixers) if fields.maybe(fields.text, "mtp") else ""
    _check_used(fields, "mixer", mixers, order + mtp)
    other = fields.maybe(fields.text, "id")
    rest = _Rest(
        tied=fields.flag("tied"),
        norms=fields.maybe(fields.integer, "norms", least=0, most=64),
        norm_bias=fields.flag("norm_bias"),
        extra=fields.maybe(fields.integer, "extra_parameters", most=MAX_PARAMETERS) or 0,
        mtp_embeddings=fields.flag("mtp_embeddings"),
        inputs=_size(fields, "layer_inputs") or 0,
    )
    spec = ModelSpec(
        name=fields.text("name", limit=80),
        source=fields.text("source"),
        confidence=fields.choice("confidence", CONFIDENCES),
        layers=tuple(Layer(mixers[letter].caches) for letter in order),
        hidden=hidden,
        vocab=vocab,
        max_context=fields.maybe(fields.integer, "max_context", most=MAX_TOKENS),
        parameters=fields.maybe(fields.integer, "parameters", most=MAX_PARAMETERS),
        active_parameters=fields.maybe(fields.integer, "active_parameters", most=MAX_PARAMETERS),
        parameters_from="stated",
        mtp=tuple(Layer(mixers[letter].caches) for letter in mtp),
        aliases=(*((other,) if other else ()), *fields.texts("aliases")),
        published_weights=fields.maybe(fields.choice, "weights", allowed=WEIGHT_FORMATS),
        encoder=_encoder(fields),
        notes=fields.texts("notes"),
        rotary_elements=fields.maybe(fields.integer, "rotary_elements", least=0, most=MAX_PARAMETERS),
        family=fields.maybe(fields.text, "family") or "",
        window=fields.maybe(fields.integer, "window", most=MAX_TOKENS),
    )
    if spec.active_parameters is not None and (spec.parameters or 0) < spec.active_parameters:
        raise fields.error("active_parameters", "must not be more than parameters")
    if hidden is None or vocab is None or not counted:
        return spec
    blocks = _feed_forwards(fields, hidden)
    widths = _order(fields, "feed_forward", blocks)
    _check_used(fields, "ffn", blocks, widths)
    if len(widths) != len(order):
        raise fields.error("feed_forward", f"has {len(widths)} layers, but layers has {len(order)}")
    pairs = list(zip(order, widths, strict=True))
    each, inputs = parameters.layer_inputs(hidden, vocab, len(order), rest.inputs) if rest.inputs else ((), ())
    built = {
        (mixer, block): _layer(mixers[mixer], blocks[block], (*rest.layer_norms(hidden, mixer, block), *each))
        for mixer, block in set(pairs)
    }
    outside = (
        *parameters.embeddings(vocab, hidden, tied=rest.tied),
        *parameters.norms(hidden, bias=rest.norm_bias),
        *inputs,
        *parameters.lump("tower", rest.extra),
    )
    last = next((letter for letter in reversed(widths) if letter != "-"), "-")
    own = parameters.embeddings(vocab, hidden, tied=False) if rest.mtp_embeddings else ()
    joined = parameters.prediction(hidden, own)
    predict = (
        _layer(mixers[letter], blocks[last], (*rest.layer_norms(hidden, letter, last), *joined)) for letter in mtp
    )
    layers = tuple(built[pair] for pair in pairs)
    return parameters.counted(spec._replace(layers=layers, mtp=tuple(predict), outside=outside))


def _encoder(fields: Fields) -> Encoder | None:
    table = fields.maybe(fields.table, "encoder")
    if table is None:
        return None
    flags = ("gated", "positions")
    sizes = (table.integer(name, most=2**24) for name in Encoder._fields if name not in flags)
    return Encoder._make((*sizes, *(table.flag(name) for name in flags)))


def _layer(mixer: _MixerLetter, block: _BlockLetter, norms: Tensors) -> Layer:
    return Layer(mixer.caches, (*(mixer.tensors or ()), *block.tensors, *norms), block.experts, block.width)


def _order(fields: Fields, key: str, known: Mapping[str, object]) -> str:
    """One letter per layer from a pattern such as ``"F GGGF*16 -"``: parts, each repeated, of letters in ``known``."""
    order = ""
    for part in fields.text(key, limit=_MAX_PATTERN).split():
        match = _PART.fullmatch(part)
        if match is None:
            raise fields.error(key, f"'{plain(part, 40)}' is not letters, or letters*times, as in GGGF*16")
        if len(order) + len(match[1]) * int(match[2] or 1) > MAX_LAYERS:
            raise fields.error(key, f"has more than {MAX_LAYERS:,} layers")
        order += match[1] * int(match[2] or 1)
    for letter in order:
        if letter not in known:
            letters = ", ".join(sorted(known))
            raise fields.error(key, f"'{letter}' is none of the letters that the entry defines ({letters})")
    return order


def _check_used(fields: Fields, key: str, known: Mapping[str, object], order: str) -> None:
    for letter in known:
        if letter != "-" and letter not in order:
            raise fields.error(f"{key}.{letter}", "no layer has this letter")


def _letters(tables: Fields) -> tuple[str, ...]:
    letters = tables.keys()
    for letter in letters:
        if len(letter) != 1 or not (letter.isascii() and letter.isalpha()):
            raise tables.error(letter, "must be a single letter")
    return letters


def _mixers(fields: Fields, hidden: int | None) -> dict[str, _MixerLetter]:
    """The mixer of each letter, "-" included; weights are counted when ``hidden`` is given."""
    tables = fields.table("mixer")
    parts = {letter: tables.one_or_more(letter) for letter in _letters(tables)}
    kinds = {letter: tuple(part.choice("kind", _KINDS) for part in parts[letter]) for letter in parts}
    mixers = {"-": _NO_MIXER}
    for letter, several in parts.items():
        if kinds[letter] != ("shared",):
            made = [_mixer(part, kind, hidden) for part, kind in zip(several, kinds[letter], strict=True)]
            caches = tuple(cache for one in made for cache in one.caches)
            mixers[letter] = _MixerLetter(caches, tuple(tensor for one in made for tensor in one.tensors or ()))
    for letter, several in parts.items():
        if kinds[letter] == ("shared",):
            mixers[letter] = _shared(several[0], mixers, hidden)
    return mixers


def _mixer(part: Fields, kind: str, hidden: int | None) -> _MixerLetter:
    match kind:
        case "full" | "sliding_window" | "chunked_local" | "cross_attention":
            return _attention(part, kind, hidden)
        case "latent":
            return _latent(part, hidden)
        case "shared":
            raise part.error("kind", "a shared mixer cannot be combined with others")
        case _:
            return _recurrent(part, kind, hidden)


def _attention(part: Fields, kind: AttentionKind, hidden: int | None) -> _MixerLetter:
    q_heads, kv_heads = _dim(part, "q_heads"), _dim(part, "kv_heads")
    if q_heads % kv_heads:
        raise part.error("q_heads", f"{q_heads} is not a multiple of kv_heads ({kv_heads})")
    both = _size(part, "head_dim")
    k_dim, v_dim = (both, both) if both else (_dim(part, "k_dim"), _dim(part, "v_dim"))
    size = _SIZES[kind]
    least = 0 if kind == "cross_attention" else 1
    cap = None if size is None else part.integer(size, least=least, most=MAX_TOKENS)
    caches: tuple[Cache, ...] = (Attention(kind, q_heads, kv_heads, k_dim, v_dim, cap),)
    indexer = part.maybe(part.table, "indexer")
    if indexer is not None:
        caches += (_indexer(indexer),)
    weights = parameters.attention(
        hidden or 0,
        q_heads,
        kv_heads,
        k_dim,
        v_dim,
        qkv_bias=part.flag("qkv_bias"),
        k_bias=not part.flag("no_k_bias"),
        out_bias=part.flag("out_bias"),
        qk_norm=_qk_norm(part),
        gated=part.flag("gated"),
        head_gate=part.flag("head_gate"),
        tied_kv=part.flag("tied_kv"),
        sinks=part.flag("sinks"),
    )
    for cache in caches:
        if isinstance(cache, Indexer):
            weights = (*weights, *parameters.block_indexer(hidden or 0, cache.heads, cache.key_dim))
    return _MixerLetter(caches, None if hidden is None else weights)


def _latent(part: Fields, hidden: int | None) -> _MixerLetter:
    counted = hidden is not None
    main = Latent(
        q_heads=_dim(part, "q_heads"),
        rank=_dim(part, "rank"),
        rope=part.integer("rope", least=0, most=MAX_DIM),
        packed_bytes=_size(part, "packed"),
        ratio=_size(part, "ratio") or 1,
        cap=part.maybe(part.integer, "window", most=MAX_TOKENS),
    )
    nope, v_dim, q_rank = _size(part, "nope", counted), _size(part, "v_dim", counted), _size(part, "q_rank")
    table = part.maybe(part.table, "indexer")
    indexer = None if table is None else _indexer(table, main.ratio)
    caches = (main,) if indexer is None else (main, indexer)
    if hidden is None or nope is None or v_dim is None:
        return _MixerLetter(caches, None)
    if main.ratio > 1 or main.cap is not None:
        raise part.error("kind", "weights of a compressed or windowed latent are not counted: leave feed_forward out")
    weights = parameters.latent(hidden, main.q_heads, main.rank, main.rope, nope, v_dim, q_rank)
    if indexer is not None:
        weights = (*weights, *parameters.indexer(hidden, q_rank or hidden, indexer.heads, indexer.key_dim))
    return _MixerLetter(caches, weights)


def _indexer(table: Fields, ratio: int = 1) -> Indexer:
    return Indexer(
        heads=_dim(table, "heads"),
        key_dim=_dim(table, "key_dim"),
        key_bytes=_dim(table, "key_bytes"),
        top_k=table.integer("top_k", most=MAX_TOKENS),
        ratio=ratio,
    )


def _recurrent(part: Fields, kind: str, hidden: int | None) -> _MixerLetter:
    known = hidden or 0
    match kind:
        case "gated_deltanet":
            heads = _dim(part, "key_heads"), _dim(part, "value_heads")
            if heads[1] % heads[0]:
                raise part.error("value_heads", f"{heads[1]} is not a multiple of key_heads ({heads[0]})")
            dims = *heads, _dim(part, "key_dim"), _dim(part, "value_dim"), _dim(part, "conv")
            cache = gated_deltanet(*dims, _state(part), declared=not part.flag("undeclared"))
            weights = parameters.gated_deltanet(known, *dims)
        case "kda":
            size = _dim(part, "heads"), _dim(part, "dim"), _dim(part, "conv")
            cache, weights = kda(*size, _state(part)), parameters.kda(known, *size)
        case "mamba1":
            inner, state, conv = _dim(part, "inner"), _dim(part, "state_dim"), _dim(part, "conv")
            rank = _size(part, "dt_rank", hidden is not None) or 0
            cache = mamba1(inner, state, conv, _state(part))
            weights = parameters.mamba1(known, inner, state, rank, conv, normed=not part.flag("no_norm"))
        case "mamba2":
            shape = _dim(part, "heads"), _dim(part, "head_dim"), _dim(part, "state_dim")
            groups, conv = _dim(part, "groups"), _dim(part, "conv")
            cache = mamba2(*shape, groups, conv, _state(part))
            weights = parameters.mamba2(known, *shape, groups, conv, norm=not part.flag("no_norm"))
        case "lightning":
            heads_dim = _dim(part, "heads"), _dim(part, "dim")
            cache, weights = lightning(*heads_dim, _state(part)), parameters.lightning(known, *heads_dim)
        case _:
            channels, conv = _dim(part, "channels"), _dim(part, "conv")
            cache, weights = short_conv(channels, conv), parameters.short_conv(known, conv)
    return _MixerLetter((cache,), None if hidden is None else weights)


def _shared(part: Fields, mixers: Mapping[str, _MixerLetter], hidden: int | None) -> _MixerLetter:
    letter = part.text("reads")
    read = [cache for cache in mixers.get(letter, _NO_MIXER).caches if isinstance(cache, Attention | Latent)]
    if not read:
        raise part.error("reads", f"'{plain(letter)}' is not the letter of a mixer with K and V of its own")
    owner = read[0]
    norm = _qk_norm(part)
    if hidden is None:
        return _MixerLetter((Shared(owner),), None)
    if isinstance(owner, Latent):
        raise part.error("reads", "weights of a layer that reads a latent are not counted: leave feed_forward out")
    heads = owner.q_heads, owner.k_dim, owner.v_dim
    if part.flag("unread_kv"):
        weights = parameters.attention(hidden, heads[0], owner.kv_heads, *heads[1:], qk_norm=norm)
    else:
        weights = parameters.reader(hidden, *heads, norm)
    return _MixerLetter((Shared(owner),), weights)


def _feed_forwards(fields: Fields, hidden: int) -> dict[str, _BlockLetter]:
    """The feed-forward block of each letter, "-" included."""
    tables = fields.table("ffn")
    return {"-": _NO_FEED_FORWARD} | {
        letter: _feed_forward(tables.table(letter), hidden) for letter in _letters(tables)
    }


def _feed_forward(part: Fields, hidden: int) -> _BlockLetter:
    width = _dim(part, "width")
    gated, bias = part.maybe(part.flag, "gated") is not False, part.flag("bias")
    count = _size(part, "experts")
    if count is None:
        return _BlockLetter(parameters.mlp(hidden, width, gated=gated, bias=bias), None, width)
    active = part.integer("active", most=count)
    shared = _size(part, "shared") or 0
    routed, weights = parameters.experts(
        hidden,
        count,
        active,
        width,
        gated=gated,
        bias=bias,
        router_bias=part.flag("router_bias"),
        latent=_size(part, "latent"),
    )
    if shared:
        weights = (*weights, *parameters.shared_experts(hidden, shared, gated=gated, bias=bias))
    if part.flag("shared_gate"):
        weights = (*weights, *parameters.shared_router(hidden))
    return _BlockLetter(weights, routed, active * width + shared)


def _dim(fields: Fields, key: str) -> int:
    return fields.integer(key, most=MAX_DIM)


def _size(fields: Fields, key: str, needed: bool = False) -> int | None:
    return _dim(fields, key) if needed else fields.maybe(fields.integer, key, most=MAX_DIM)


def _qk_norm(part: Fields) -> Literal["head", "row"] | None:
    match part.maybe(part.choice, "qk_norm", allowed=("head", "row")):
        case "head":
            return "head"
        case "row":
            return "row"
    return None


def _state(part: Fields) -> str:
    return part.choice("state", STATE_FORMATS)


_MODELS = Catalogue("model", "models.toml", _build)
