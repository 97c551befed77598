"""Cache and weight estimates for made-up shapes: MHA, GQA, MLA, sliding windows, DeltaNet hybrids and MoE.

The questions are those of the memory estimators in Raschka's *Build a Large Language Model (From Scratch)*, chapter 4;
the bytes come from ``model.cache_bytes``. Where those scripts differ, this one keeps windows within the context, gives
hybrids whole layers, and never lets more experts run than there are.
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.caches import Attention, AttentionKind, Cache, Latent, lightning
from kvtui.engine.model.formats import FORMATS, canonical
from kvtui.engine.model.spec import CacheCounts, Layer, cache_bytes

DTYPES = ("fp32", "bf16", "fp16", "fp8", "int8")
ROPE_DIM = 64
"""Elements of the rotary key that DeepSeek-V2 and its successors keep beside the latent (arXiv:2405.04434)."""
FFN_MATRICES = {"swiglu": 3, "gelu": 2}


class Dims(NamedTuple):
    """A decoder's size and workload: ``layers`` of ``heads`` heads over ``emb_dim``, for ``batch`` full sequences.

    A head has ``emb_dim`` / ``heads`` elements, rounded up unless ``exact_width`` keeps the row at ``emb_dim``.
    """

    emb_dim: int
    heads: int
    layers: int
    context: int = 1024
    batch: int = 1
    dtype: str = "bf16"
    exact_width: bool = False

    @property
    def head_dim(self) -> int:
        """Elements of one head, rounded up."""
        return -(-self.emb_dim // self.heads)


class Item(NamedTuple):
    """One line of an estimate: ``bytes`` in all, for MoE of ``parameters`` weights.

    ``per_token`` are the bytes of one token of one sequence in all layers, where every token takes as many.
    """

    name: str
    bytes: int
    parameters: int | None = None
    per_token: int | None = None


class Estimated(NamedTuple):
    """The first item is what the others are compared with. ``facts`` are what follows from the arguments, in words."""

    kind: str
    facts: tuple[tuple[str, str], ...]
    items: tuple[Item, ...]


def check(dims: Dims) -> Dims:
    """``dims`` with its format's catalogue name.

    Raises InputError for a size below one or heads without an element, UnknownName for a format.
    """
    for field in ("emb_dim", "heads", "layers", "context", "batch"):
        if getattr(dims, field) < 1:
            raise InputError(f"{field.replace('_', '-')}: {getattr(dims, field)} is below 1")
    if dims.emb_dim < dims.heads:
        raise InputError(f"width (--emb-dim): {dims.emb_dim} is not even one element for each of {dims.heads} heads")
    name = canonical(dims.dtype)
    if name not in DTYPES:
        raise UnknownName("dtype", dims.dtype, DTYPES)
    return dims._replace(dtype=name)


def kv_heads_of(heads: int, kv_heads: int | None, queries_per_kv_head: int | None) -> int:
    """KV heads by either name: how many there are, or how many query heads share one.

    Raises InputError when neither or both are given, or when heads do not divide evenly.
    """
    if (kv_heads is None) == (queries_per_kv_head is None):
        raise InputError("kv-heads: give either kv-heads or queries-per-kv-head")
    field, divisor = ("kv-heads", kv_heads) if kv_heads is not None else ("queries-per-kv-head", queries_per_kv_head)
    assert divisor is not None
    if divisor < 1 or heads % divisor:
        near = [str(n) for n in range(1, heads + 1) if heads % n == 0]
        raise InputError(f"{field}: {divisor} does not divide {heads} heads; these do: {', '.join(near)}")
    return divisor if kv_heads is not None else heads // divisor


def parse_ratio(text: str, field: str) -> tuple[int, int]:
    """Two whole numbers such as ``5:1``. Raises InputError naming ``field``."""
    first, colon, second = text.strip().partition(":")
    if not colon or not all(part.isascii() and part.isdecimal() and len(part) <= 4 for part in (first, second)):
        raise InputError(f"{field}: '{plain(text)}' is not a ratio such as 5:1")
    return int(first), int(second)


def split(layers: int, ratio: tuple[int, int]) -> tuple[int, int]:
    """How many of ``layers`` are of the first and of the second kind when ``ratio`` of them alternate in blocks.

    An incomplete last block starts with the first kind. Raises InputError for an empty or negative ratio.
    """
    first, second = ratio
    if min(ratio) < 0 or not first + second:
        raise InputError(f"ratio: {first}:{second} is not a ratio of layers such as 5:1")
    blocks, rest = divmod(layers, first + second)
    firsts = blocks * first + min(rest, first)
    return firsts, layers - firsts


def softmax_caches(dims: Dims, kv_heads: int | None = None, window: int | None = None) -> CacheCounts:
    """All of the shape's layers with K and V of ``kv_heads`` (all heads when None), within ``window`` tokens."""
    return (((_attention(dims, kv_heads or dims.heads, window)), dims.layers),)


def latent_caches(dims: Dims, latent: int, rope: int = 0) -> CacheCounts:
    """All layers with one latent of ``latent`` elements per token and ``rope`` of a rotary key (reference: none)."""
    if latent < 1:
        raise InputError(f"latent-dim: {latent} is below 1")
    return (((Latent(dims.heads, latent, rope)), dims.layers),)


def window_caches(dims: Dims, kv_heads: int, window: int, ratio: tuple[int, int]) -> CacheCounts:
    """``ratio`` of sliding-window to full layers."""
    if window < 1:
        raise InputError(f"sliding-window-size: {window} is below 1")
    windowed, full = split(dims.layers, ratio)
    return (
        ((_attention(dims, kv_heads, window)), windowed),
        ((_attention(dims, kv_heads, None)), full),
    )


def deltanet_caches(dims: Dims, ratio: tuple[int, int] = (1, 0)) -> CacheCounts:
    """``ratio`` of DeltaNet layers, each with a head_dim × head_dim state per head, to full attention layers."""
    linear, full = split(dims.layers, ratio)
    state = lightning(dims.heads, dims.emb_dim // dims.heads, dims.dtype)
    return ((state, linear), ((_attention(dims, dims.heads, None)), full))


def total_bytes(dims: Dims, caches: CacheCounts) -> int:
    """Bytes that ``caches`` keep for the whole batch at full context."""
    one = cache_bytes(caches, dims.context, FORMATS[dims.dtype])
    return dims.batch * (one.kv + one.state)


def alike(dims: Dims, name: str, caches: CacheCounts) -> Item:
    """``caches`` of which every token takes as many bytes, as an item."""
    return Item(name, total_bytes(dims, caches), per_token=token_bytes(dims, caches))


def token_bytes(dims: Dims, caches: CacheCounts) -> int:
    """What a token takes in all layers of ``caches`` that keep every one."""
    return total_bytes(dims._replace(batch=1, context=1), caches)


def mha(dims: Dims) -> Estimated:
    """The KV cache with K and V for every head."""
    dims = check(dims)
    return Estimated("mha", _shape_facts(dims), (alike(dims, "MHA", softmax_caches(dims)),))


def gqa(dims: Dims, kv_heads: int) -> Estimated:
    """The KV cache with K and V for ``kv_heads`` heads, beside MHA."""
    dims = check(dims)
    facts = (*_shape_facts(dims), ("KV heads", f"{kv_heads}, each shared by {dims.heads // kv_heads} query heads"))
    return Estimated("gqa", facts, (*mha(dims).items, alike(dims, "GQA", softmax_caches(dims, kv_heads))))


def mla(dims: Dims, kv_heads: int, latent: int, rope: int = ROPE_DIM) -> Estimated:
    """The KV cache with one latent per token, alone and with a rotary key of ``rope`` elements, beside MHA and GQA."""
    dims = check(dims)
    base = gqa(dims, kv_heads)
    facts = (*base.facts, ("latent", f"{latent} elements per token and layer"))
    items = [alike(dims, "MLA", latent_caches(dims, latent))]
    if rope:
        facts += (("rotary key", f"{rope} elements more, which the latent's rotation needs"),)
        items.append(alike(dims, f"MLA + rotary {rope}", latent_caches(dims, latent, rope)))
    return Estimated("mla", facts, (*base.items, *items))


def swa(dims: Dims, kv_heads: int, window: int, ratio: tuple[int, int]) -> Estimated:
    """The KV cache with ``ratio`` of sliding-window to full layers, for MHA and GQA, beside full attention."""
    dims = check(dims)
    base = gqa(dims, kv_heads)
    windowed, full = split(dims.layers, ratio)
    facts = (*base.facts, ("layers", f"{windowed} with a window of {window:,} tokens, {full} full"))
    items = (
        Item("MHA + SWA", total_bytes(dims, window_caches(dims, dims.heads, window, ratio))),
        Item("GQA + SWA", total_bytes(dims, window_caches(dims, kv_heads, window, ratio))),
    )
    return Estimated("swa", facts, (*base.items, *items))


def deltanet(dims: Dims, ratio: tuple[int, int] = (3, 1)) -> Estimated:
    """The cache of MHA, of DeltaNet alone, and of ``ratio`` of DeltaNet to full attention layers."""
    dims = check(dims)
    linear, full = split(dims.layers, ratio)
    facts = (*_shape_facts(dims), ("layers", f"{linear} DeltaNet, {full} full attention"))
    items = (
        *mha(dims).items,
        Item("DeltaNet", total_bytes(dims, deltanet_caches(dims))),
        Item(f"DeltaNet + attention {ratio[0]}:{ratio[1]}", total_bytes(dims, deltanet_caches(dims, ratio))),
    )
    return Estimated("deltanet", facts, items)


def moe(
    emb_dim: int, hidden: int, experts: int, active: int, ffn: str = "swiglu", dtype: str = "bf16", match: bool = False
) -> Estimated:
    """Weights of one feed-forward layer: dense, and with ``experts`` of which ``active`` run for a token.

    With ``match`` an expert is so narrow that all of them and the router weigh what the dense layer does.
    Raises InputError for sizes below one or more active experts than there are, UnknownName for a kind or format.
    """
    form = check(Dims(emb_dim, 1, 1, dtype=dtype)).dtype
    if ffn not in FFN_MATRICES:
        raise UnknownName("ffn-type", ffn, tuple(FFN_MATRICES))
    for field, value in (("hidden-dim", hidden), ("num-experts", experts), ("top-k", active)):
        if value < 1:
            raise InputError(f"{field}: {value} is below 1")
    if active > experts:
        raise InputError(f"top-k: {active} experts cannot run, there are {experts}")
    matrices = FFN_MATRICES[ffn]
    dense, router = matrices * emb_dim * hidden, emb_dim * experts
    width = max(1, round((dense - router) / (experts * matrices * emb_dim))) if match else hidden
    expert = matrices * emb_dim * width
    sizes = {
        "dense FFN": dense,
        "one expert": expert,
        "router": router,
        "MoE in all": experts * expert + router,
        "MoE active": active * expert + router,
    }
    facts = (("FFN", f"{ffn}, {matrices} matrices"), ("expert width", f"{width:,}"), ("format", form))
    return Estimated(
        "moe", facts, tuple(Item(name, FORMATS[form].bytes(count), count) for name, count in sizes.items())
    )


def _attention(dims: Dims, kv_heads: int, window: int | None) -> Attention:
    kind: AttentionKind = "full" if window is None else "sliding_window"
    if dims.exact_width:
        row = dims.emb_dim * kv_heads // dims.heads
        return Attention(kind, 1, 1, row, row, window)
    return Attention(kind, dims.heads, kv_heads, dims.head_dim, dims.head_dim, window)


def _layer(cache: Cache) -> Layer:
    return Layer((cache,))


def _shape_facts(dims: Dims) -> tuple[tuple[str, str], ...]:
    return (
        ("head", f"{dims.head_dim} elements" + ("" if dims.emb_dim % dims.heads == 0 else ", rounded up")),
        ("tokens", f"{dims.batch * dims.context:,} in {dims.batch:,} sequence{'s' if dims.batch > 1 else ''}"),
        ("format", dims.dtype),
    )
