"""The metadata of a GGUF file → what each of its layers caches.

A file states sizes (``llama.attention.head_count_kv``); which layers have what is partly stated and partly fixed by the
architecture (``architectures``). Layers for multi-token prediction, behind the trunk, have full attention unless the
file says otherwise. Sizes of states and index keys keep kvtui's own convention, which the notes say where llama.cpp's
differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.caches import (
    Attention,
    Cache,
    Indexer,
    Latent,
    Recurrent,
    Shared,
    gated_deltanet,
    kda,
    lightning,
    mamba1,
    mamba2,
    short_conv,
)
from kvtui.engine.sources.gguf.architectures import (
    ARCHITECTURES,
    EXAONE4,
    INDEXED,
    INTERVALS,
    LATENT,
    NOT_READ,
    RECURRENT,
    SHARING,
    WHOLE_HEAD_ROPE,
    WINDOWS,
    WITHOUT_CACHE,
    WindowPattern,
)
from kvtui.engine.sources.gguf.container import Skipped
from kvtui.engine.sources.gguf.keys import MAX_COUNT, MAX_LAYERS, MAX_LOOPS, MAX_WINDOW, Keys

STATE_NOTE = "llama.cpp keeps conv and recurrent state in F32; here conv inputs count 16 bits, recurrent state F32"
INDEXER_NOTE = "index keys count as fp8 with scales, as vLLM and SGLang keep them; llama.cpp keeps them in K's type"


@dataclass(frozen=True, slots=True)
class FileShape:
    """Layers and heads of a file: ``total`` blocks, of which the last ``mtp`` predict further tokens.

    ``heads`` and ``kv_heads`` have an entry for each block, 0 for one without attention. ``notes`` collects what the
    user should know.
    """

    keys: Keys
    total: int
    mtp: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    notes: list[str] = field(default_factory=list)

    @property
    def trunk(self) -> int:
        """Number of layers that every token passes."""
        return self.total - self.mtp

    def note(self, text: str) -> None:
        """Keep ``text`` among the notes, once."""
        if text not in self.notes:
            self.notes.append(text)


def read_shape(keys: Keys) -> FileShape:
    """Number of layers and heads.

    Raises InputError for an unknown architecture, and for a key that is missing or contradicts another.
    """
    if keys.arch in WITHOUT_CACHE:
        raise keys.wrong("general.architecture", f"{keys.arch} is {WITHOUT_CACHE[keys.arch]}")
    if keys.arch in NOT_READ:
        raise keys.wrong("general.architecture", f"{keys.arch} is not read: {NOT_READ[keys.arch]}")
    if keys.arch not in ARCHITECTURES:
        raise _unknown_architecture(keys)
    return _shape(keys)


def _shape(keys: Keys) -> FileShape:
    total = keys.integer(".block_count", most=MAX_LAYERS)
    if keys.arch == "t5":
        total = keys.maybe(".decoder_block_count", most=MAX_LAYERS) or total
    mtp = keys.maybe(".nextn_predict_layers", least=0, most=MAX_LAYERS) or 0
    if mtp >= total:
        raise keys.wrong(".nextn_predict_layers", f"is {mtp}, but {plain(keys.arch)}.block_count is {total}")
    heads = keys.per_layer(".attention.head_count", total, most=MAX_COUNT) or (0,) * total
    kv_heads = keys.per_layer(".attention.head_count_kv", total, most=MAX_COUNT) or heads
    for index, (queries, stored) in enumerate(zip(heads, kv_heads, strict=True)):
        if stored and (not queries or queries % stored):
            why = f"{stored} in layer {index} does not divide attention.head_count, {queries}"
            raise keys.wrong(".attention.head_count_kv", why)
    return FileShape(keys, total, mtp, heads, kv_heads)


def layer_caches(shape: FileShape) -> tuple[tuple[Cache, ...], ...]:
    """What each of ``shape.total`` blocks caches. Raises InputError for keys that are missing or contradict others.

    Nanbeige's layers run ``num_loops`` times for a token, each time with K and V of their own.
    """
    windows = _windows(shape)
    recurrent = _recurrent_layers(shape)
    state = _recurrent(shape) if any(recurrent) else None
    attention = _attention(shape, windows)
    indexers = _indexers(shape)
    both = shape.keys.arch == "falcon-h1"
    loops = (shape.keys.maybe(".num_loops", most=MAX_LOOPS) or 1) if shape.keys.arch == "nanbeige" else 1
    layers: list[tuple[Cache, ...]] = []
    for index in range(shape.total):
        caches: list[Cache] = []
        if not recurrent[index] or both:
            caches += attention(index)
        if recurrent[index] and state is not None:
            caches.append(state)
        indexer = indexers[index]
        if indexer is not None:
            caches.append(indexer)
        layers.append(tuple(caches) * loops)
    if not any(layers):
        raise shape.keys.wrong(".attention.head_count_kv", "no layer keeps K and V or a state")
    return tuple(_share(shape, layers))


def _windows(shape: FileShape) -> tuple[int | None, ...]:
    """The window of each layer, None for full attention; what a ``WindowPattern`` says of the architecture.

    Where it has none a stated window does not matter, and a note says so: llama.cpp gives such a model full attention.
    EXAONE 4 has windows in its 64-layer model only, and LFM2 in all layers of the trunk if it states one.
    """
    keys = shape.keys
    rule = WINDOWS.get(keys.arch)
    stated = keys.maybe(".attention.sliding_window", least=0, most=MAX_WINDOW)
    full = (None,) * shape.total
    if keys.arch == EXAONE4 and shape.trunk == 64:
        rule = WindowPattern(4, tokens=4096)
    if keys.arch == "lfm2" and stated:
        return (stated,) * shape.trunk + (None,) * shape.mtp
    if rule is None:
        if stated:
            name = plain(keys.arch)
            shape.note(f"the file states a window of {stated:,} tokens; llama.cpp gives {name} full attention")
        return full
    if (rule.optional and not stated) or (rule.fixed and stated == 0):
        return full
    tokens = rule.fixed or stated or (rule.tokens if stated is None else None)
    if tokens is None:
        tokens = keys.integer(".attention.sliding_window", most=MAX_WINDOW)
    return tuple(tokens if windowed else None for windowed in _pattern(shape, rule))


def _pattern(shape: FileShape, rule: WindowPattern) -> tuple[bool, ...]:
    """Whether each layer is windowed, by the file's list, else its period, else the period of ``rule``.

    ``attention.sliding_window_pattern`` may be a list of flags, for all blocks or for the trunk, or a number: 4 is the
    period, and 0 means that every layer of the trunk is windowed.
    """
    key = ".attention.sliding_window_pattern"
    stated = shape.keys.get(key)
    if isinstance(stated, tuple | Skipped):
        count = shape.total if isinstance(stated, tuple) and len(stated) == shape.total else shape.trunk
        flags = shape.keys.per_layer(key, count, most=1) or ()
        return tuple(map(bool, flags)) + (False,) * (shape.total - len(flags))
    period = shape.keys.maybe(key, least=0, most=MAX_LAYERS)
    period = rule.period if period is None else period
    if period is None:
        raise shape.keys.wrong(key, f"is missing, and {plain(shape.keys.arch)} needs it")
    full_at = 0 if rule.full_first else period - 1
    return tuple(index < shape.trunk and (period == 0 or index % period != full_at) for index in range(shape.total))


def _recurrent_layers(shape: FileShape) -> tuple[bool, ...]:
    """Whether each layer keeps a state.

    Mamba, RWKV and Falcon-H1 do in the whole trunk, architectures of ``INTERVALS`` in all but every n-th layer. In the
    others a layer without KV heads does: ``head_count_kv`` of 0, 0, 8, 0 means states in layers 0, 1 and 3. Nemotron-H
    layers without KV heads may be feed-forward blocks instead, which then have a width.
    """
    keys, arch = shape.keys, shape.keys.arch
    if arch not in RECURRENT:
        return (False,) * shape.total
    if arch in INTERVALS:
        stated = keys.per_layer(".attention.recurrent_layers", shape.total, most=1)
        if stated is not None:
            return tuple(map(bool, stated))
        interval = keys.maybe(".full_attention_interval", most=MAX_LAYERS) or INTERVALS[arch]
        return tuple(index < shape.trunk and (index + 1) % interval != 0 for index in range(shape.total))
    if arch in ("falcon-h1", "mamba", "mamba2") or RECURRENT[arch] == "rwkv":
        return tuple(index < shape.trunk for index in range(shape.total))
    widths = (0,) * shape.total
    if arch.startswith("nemotron_h"):
        widths = keys.per_layer(".feed_forward_length", shape.total) or widths
    rows = zip(shape.kv_heads, widths, strict=True)
    return tuple(index < shape.trunk and not stored and not width for index, (stored, width) in enumerate(rows))


def _recurrent(shape: FileShape) -> Recurrent:
    """The state that each recurrent layer keeps. Raises InputError for sizes that are missing or contradict others.

    All kinds use Mamba's key names: for gated DeltaNet ``ssm.time_step_rank`` are the value heads, ``ssm.group_count``
    the key heads, ``ssm.state_size`` the elements of a key, and ``ssm.inner_size`` those of all value heads together.
    """
    keys = shape.keys
    kind = RECURRENT[keys.arch]
    if kind != "short_conv":
        shape.note(STATE_NOTE)
    match kind:
        case "short_conv":
            return short_conv(keys.integer(".embedding_length"), keys.integer(".shortconv.l_cache", most=MAX_COUNT))
        case "rwkv":
            return _rwkv(shape)
        case "lightning":
            return lightning(_some_heads(shape), _head_size(shape, "key"), "fp32")
        case "kda":
            conv = keys.integer(".ssm.conv_kernel", most=MAX_COUNT)
            return kda(_some_heads(shape), keys.integer(".kda.head_dim", most=MAX_COUNT), conv)
    conv = keys.integer(".ssm.conv_kernel", most=MAX_COUNT)
    inner = keys.integer(".ssm.inner_size")
    state = keys.integer(".ssm.state_size", most=MAX_COUNT)
    if kind == "mamba1":
        return mamba1(inner, state, conv, "fp32")
    heads = keys.integer(".ssm.time_step_rank", most=MAX_COUNT)
    groups = keys.integer(".ssm.group_count", most=MAX_COUNT)
    if inner % heads:
        raise keys.wrong(".ssm.inner_size", f"{inner} is no multiple of ssm.time_step_rank, {heads}")
    if heads % groups:
        raise keys.wrong(".ssm.time_step_rank", f"{heads} is no multiple of ssm.group_count, {groups}")
    if kind == "gated_deltanet":
        return gated_deltanet(groups, heads, state, inner // heads, conv)
    return mamba2(heads, inner // heads, state, groups, conv, "fp32")


def _rwkv(shape: FileShape) -> Recurrent:
    """RWKV's state: a matrix per head, and the last inputs of token_shift_count shifts, which llama.cpp has as conv.

    RWKV-7 of 2,560 elements with heads of 64 keeps 40 matrices of 64 · 64 in F32, and two vectors of 2,560.
    """
    keys = shape.keys
    hidden, size = keys.integer(".embedding_length"), keys.integer(".wkv.head_size", most=MAX_COUNT)
    if hidden % size:
        raise keys.wrong(".wkv.head_size", f"{size} does not divide embedding_length, {hidden}")
    shifts = keys.maybe(".token_shift_count", most=MAX_COUNT) or 2
    shape.note("RWKV's state counts as a linear attention's: a matrix per head, and its token shifts as conv inputs")
    return Recurrent("lightning", hidden // size, shifts, hidden, hidden * size, "fp32")


def _attention(shape: FileShape, windows: tuple[int | None, ...]) -> Callable[[int], list[Cache]]:
    """A function that gives the K and V of a layer by its index: a latent, K and V within its window, or nothing.

    Windowed layers may have heads of another size (``attention.key_length_swa``). A layer of Nemotron-H that has a
    feed-forward width is nothing but that block, and caches nothing.
    """
    keys, arch = shape.keys, shape.keys.arch
    if not any(shape.kv_heads) or RECURRENT.get(arch) == "rwkv":
        return lambda index: []
    if arch in LATENT and (arch != "deepseek2" or keys.get(".attention.key_length_mla") is not None):
        return _latent(shape)
    sizes = {part: _head_size(shape, part) for part in ("key", "value")}
    swa = {part: keys.maybe(f".attention.{part}_length_swa", most=MAX_COUNT) or sizes[part] for part in sizes}
    if arch in WHOLE_HEAD_ROPE:
        rotated = keys.maybe(".rope.dimension_count", least=0) or sizes["key"]
        if rotated != sizes["key"]:
            raise keys.wrong(".rope.dimension_count", f"{rotated} contradicts the key length, {sizes['key']}")
    kind = WINDOWS[arch].kind if arch in WINDOWS else "sliding_window"
    widths: tuple[int, ...] | None = None
    if arch.startswith("nemotron_h"):
        widths = keys.per_layer(".feed_forward_length", shape.total)

    def attend(index: int) -> list[Cache]:
        queries, stored, cap = shape.heads[index], shape.kv_heads[index], windows[index]
        if not stored or (widths is not None and widths[index] and index < shape.trunk):
            return []
        if cap is None:
            return [Attention("full", queries, stored, sizes["key"], sizes["value"])]
        return [Attention(kind, queries, stored, swa["key"], swa["value"], cap)]

    return attend


def _latent(shape: FileShape) -> Callable[[int], list[Cache]]:
    """As ``_attention``, for MLA: ``attention.key_length`` counts the elements of an entry, latent and rotary part.

    DeepSeek-V3 states 576, of which ``attention.kv_lora_rank`` has 512 and ``rope.dimension_count`` 64. With the shape
    of DeepSeek-V3.2 and an indexer an entry also has the packed layout of fp8_ds_mla, of 656 bytes. Raises InputError
    when these contradict each other.
    """
    keys = shape.keys
    rank = keys.integer(".attention.kv_lora_rank", most=MAX_COUNT)
    entry = keys.integer(".attention.key_length", most=MAX_COUNT)
    rope = keys.maybe(".rope.dimension_count", least=0, most=MAX_COUNT)
    if entry < rank or (rope is not None and entry != rank + rope):
        parts = f"attention.kv_lora_rank, {rank}" + ("" if rope is None else f", and rope.dimension_count, {rope}")
        raise keys.wrong(".attention.key_length", f"{entry} contradicts {parts}")
    for index, stored in enumerate(shape.kv_heads):
        if stored > 1:
            why = f"{stored} in layer {index}, but a latent cache (attention.key_length_mla) has one head"
            raise keys.wrong(".attention.head_count_kv", why)
    packed = 656 if keys.arch in INDEXED and (rank, entry) == (512, 576) else None

    def attend(index: int) -> list[Cache]:
        if not shape.kv_heads[index]:
            return []
        return [Latent(shape.heads[index], rank, entry - rank, packed_bytes=packed)]

    return attend


def _indexers(shape: FileShape) -> tuple[Indexer | None, ...]:
    """The index keys of each layer, None where it has none.

    A key of DeepSeek-V3.2 or GLM-5 has one byte per element and a 4-byte scale for each 128 of them. MiniMax-M3's has
    two bytes per element, in all layers but the leading dense ones, and its top_k counts blocks of tokens.
    """
    keys, arch = shape.keys, shape.keys.arch
    if arch not in INDEXED or (arch == "hy_v4" and not keys.maybe(".attention.indexer.top_k", least=0)):
        return (None,) * shape.total
    heads = keys.integer(".attention.indexer.head_count", most=MAX_COUNT)
    size = keys.integer(".attention.indexer.key_length", most=MAX_COUNT)
    top = keys.integer(".attention.indexer.top_k")
    if arch == "minimax-m3":
        top *= keys.integer(".attention.indexer.block_size", most=MAX_COUNT)
        dense = keys.maybe(".leading_dense_block_count", least=0, most=MAX_LAYERS) or 0
        owners = tuple(index >= dense for index in range(shape.trunk))
        indexer = Indexer(heads, size, 2 * size, top)
    else:
        shape.note(INDEXER_NOTE)
        owners = _index_owners(shape)
        indexer = Indexer(heads, size, size + 4 * -(-size // 128), top)
    return tuple(indexer if owns else None for owns in owners) + (None,) * shape.mtp


def _index_owners(shape: FileShape) -> tuple[bool, ...]:
    """Layers with an indexer of their own: all, but in GLM-5.2 (1M positions) the first two and every fourth.

    A file of GLM or of Hunyuan 4 may list them, and of Hunyuan 4 must.
    """
    keys = shape.keys
    if keys.arch not in ("glm-dsa", "hy_v4"):
        return (True,) * shape.trunk
    stated = keys.per_layer(".attention.indexer.types", shape.trunk, most=1)
    if stated is not None:
        return tuple(map(bool, stated))
    if keys.arch == "hy_v4":
        raise keys.wrong(".attention.indexer.types", "is missing, and hy_v4 needs it")
    if (keys.maybe(".context_length", most=MAX_WINDOW) or 0) < 2**20:
        return (True,) * shape.trunk
    return tuple(index < 2 or index % 4 == 2 for index in range(shape.trunk))


def _share(shape: FileShape, layers: list[tuple[Cache, ...]]) -> list[tuple[Cache, ...]]:
    """``layers`` in which, for Gemma 3n and 4, the last ones read K and V of others.

    With n layers that have their own, a full layer behind them reads layer n - 1 and a windowed one layer n - 2, which
    are the last of either kind: with n = 20, layers 18 (windowed) and 19 (full) serve layers 20 and up.
    """
    keys = shape.keys
    if keys.arch not in SHARING:
        return layers
    key = ".attention.shared_kv_layers"
    shared = keys.maybe(key, least=0, most=MAX_LAYERS)
    owners = SHARING[keys.arch] if shared is None else shape.total - shared
    if owners is None or owners >= shape.total:
        return layers
    if owners < 2:
        raise keys.wrong(key, f"{shared} leaves less than 2 of {shape.total} layers with K and V of their own")
    for index in range(owners, shape.total):
        match layers[index]:
            case (Attention(cap=cap),):
                (read,) = layers[owners - (1 if cap is None else 2)] or (None,)
                if not isinstance(read, Attention):
                    raise keys.wrong(key, f"{shared}: layer {index} would read a layer without K and V")
                layers[index] = (Shared(read),)
    return layers


def _head_size(shape: FileShape, part: str) -> int:
    """Elements of a head's ``part``, "key" or "value": as stated, else the embedding's divided by the heads."""
    keys = shape.keys
    stated = keys.maybe(f".attention.{part}_length", most=MAX_COUNT)
    if stated is not None:
        return stated
    heads, hidden = _some_heads(shape), keys.integer(".embedding_length")
    if hidden % heads:
        why = f"is missing, and embedding_length, {hidden}, is no multiple of attention.head_count, {heads}"
        raise keys.wrong(f".attention.{part}_length", why)
    return hidden // heads


def _some_heads(shape: FileShape) -> int:
    """The first layer's heads, for sizes that the file states once for all layers. Raises InputError without them."""
    if not shape.heads[0]:
        raise shape.keys.wrong(".attention.head_count", "is missing or 0 in the first layer")
    return shape.heads[0]


def _unknown_architecture(keys: Keys) -> InputError:
    """The error for an architecture that is in no table, with the nearest names and, where it can be told, a bound."""
    near = get_close_matches(keys.arch, ARCHITECTURES, n=2)
    why = f"'{plain(keys.arch, 60)}' is not an architecture that kvtui knows"
    if near:
        why += f" (nearest: {' or '.join(near)})"
    try:
        shape = _shape(keys)
        elements = _head_size(shape, "key") + _head_size(shape, "value")
    except InputError:
        return keys.wrong("general.architecture", why)
    most = 2 * elements * sum(shape.kv_heads[: shape.trunk])
    return keys.wrong(
        "general.architecture", f"{why}; with full attention it would keep {most:,} bytes per token, else less"
    )
