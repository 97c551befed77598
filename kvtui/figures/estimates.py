"""Estimates for made-up shapes as curves: how each attention variant's cache grows, and how experts weigh.

The questions and default shapes are those of the plots beside the memory estimators in Raschka's *Build a Large
Language Model (From Scratch)*, chapter 4. Bytes are ``engine.estimators``' own, so a curve passes through what
``kvtui estimate`` prints; nothing is rounded before it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.model import estimators as est
from kvtui.engine.model.estimators import Dims
from kvtui.engine.model.spec import CacheCounts
from kvtui.figures.figure import Axis, Figure, Line, Panel, floats

ESTIMATE_GQA = ("estimate-gqa", "KV cache by context, GQA", "What does sharing KV heads save?")
ESTIMATE_MLA = ("estimate-mla", "KV cache by context, MLA", "What does a latent save?")
ESTIMATE_SWA = ("estimate-swa", "KV cache by context, windows", "What do sliding windows save?")
ESTIMATE_DELTANET = ("estimate-deltanet", "Cache by context, DeltaNet", "What does a state instead of a cache save?")
ESTIMATE_MOE = ("estimate-moe", "Weights by number of experts", "What do experts save?")

CONTEXTS = tuple(2**n for n in range(8, 18))
STATE_CONTEXTS = tuple(2**n for n in range(7, 18))
EXPERTS = (1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 384, 512)

CONTEXT = Axis("context", "tokens", "log2", "tokens")
CACHE = Axis("KV cache", scale="log2", ticks="bytes")


def groups_by_context(
    emb_dim: int = 2048,
    heads: int = 24,
    layers: int = 48,
    batch: int = 1,
    dtype: str = "bf16",
    queries: tuple[int, ...] = (4, 8, 12, 24),
) -> Figure:
    """KV bytes against context: MHA, and GQA with ``queries`` query heads on each KV head.

    Raises InputError when one of them does not divide the heads.
    """
    dims = est.check(Dims(emb_dim, heads, layers, batch=batch, dtype=dtype))
    kinds = {"MHA": est.softmax_caches(dims)}
    for shared in queries:
        kv_heads = est.kv_heads_of(heads, None, shared)
        kinds[f"GQA, {_heads(kv_heads)}"] = est.softmax_caches(dims, kv_heads)
    shared_by = ", ".join(map(str, queries))
    sizes = ", ".join(f"{name} {est.token_bytes(dims, caches):,}" for name, caches in kinds.items())
    notes = [f"Bytes per token: {sizes}."]
    notes += [f"GQA shares each KV head between query heads: {shared_by} here."] if queries else []
    return _by_context(ESTIMATE_GQA, dims, kinds, CONTEXTS, notes)


def latents_by_context(
    emb_dim: int = 2048,
    heads: int = 24,
    layers: int = 48,
    batch: int = 1,
    dtype: str = "bf16",
    latents: tuple[int, ...] = (1024, 512, 256, 64),
    queries: int = 0,
    rope: int = 0,
    exact_width: bool = True,
) -> Figure:
    """KV bytes against context: MHA, and MLA with latents of ``latents`` elements and ``rope`` of a rotary key.

    With ``queries`` query heads on each KV head GQA stands beside them. Raises InputError where they do not divide.
    """
    dims = est.check(Dims(emb_dim, heads, layers, batch=batch, dtype=dtype, exact_width=exact_width))
    kinds = {"MHA": est.softmax_caches(dims)}
    if queries:
        kv_heads = est.kv_heads_of(heads, None, queries)
        kinds[f"GQA, {_heads(kv_heads)}"] = est.softmax_caches(dims, kv_heads)
    rotary = f" + {rope}" if rope else ""
    kinds |= {f"MLA, latent {latent:,}{rotary}": est.latent_caches(dims, latent, rope) for latent in latents}
    counted = f"A rotary key of {rope} elements is counted" if rope else "No rotary key is counted"
    sizes = ", ".join(f"{name} {est.token_bytes(dims, caches):,}" for name, caches in kinds.items())
    notes = (f"Bytes per token: {sizes}.", f"{counted} with each latent; DeepSeek's has 64 elements beside its 512.")
    return _by_context(ESTIMATE_MLA, dims, kinds, CONTEXTS, notes)


def windows_by_context(
    emb_dim: int = 4096,
    heads: int = 48,
    layers: int = 36,
    batch: int = 1,
    dtype: str = "bf16",
    window: int = 2048,
    ratio: tuple[int, int] = (5, 1),
    queries: int = 4,
    exact_width: bool = True,
) -> Figure:
    """KV bytes against context: full attention, and ``ratio`` of sliding-window to full layers, for MHA and GQA.

    GQA is left out, with a note, when ``queries`` does not divide the heads.
    """
    dims = est.check(Dims(emb_dim, heads, layers, batch=batch, dtype=dtype, exact_width=exact_width))
    mix, size = f"{ratio[0]}:{ratio[1]}", format_tokens(window)
    kinds = {
        "MHA": est.softmax_caches(dims),
        f"MHA + SWA {size}, {mix}": est.window_caches(dims, heads, window, ratio),
    }
    notes = [
        (
            "A window never holds more than the context: below it both curves are one, "
            "where the plot this follows counts a whole window."
        ),
    ]
    try:
        kv_heads = est.kv_heads_of(heads, None, queries)
    except InputError as error:
        notes.append(f"GQA is left out: {error}.")
    else:
        kinds["GQA"] = est.softmax_caches(dims, kv_heads)
        kinds[f"GQA + SWA {size}, {mix}"] = est.window_caches(dims, kv_heads, window, ratio)
    return _by_context(ESTIMATE_SWA, dims, kinds, CONTEXTS, notes)


def states_by_context(
    emb_dim: int = 2048,
    heads: int = 16,
    layers: int = 48,
    batch: int = 1,
    dtype: str = "bf16",
    ratio: tuple[int, int] = (3, 1),
) -> Figure:
    """Cache bytes against context: MHA, DeltaNet alone, and ``ratio`` of DeltaNet to full attention layers."""
    dims = est.check(Dims(emb_dim, heads, layers, batch=batch, dtype=dtype))
    linear, full = est.split(layers, ratio)
    kinds = {
        "MHA": est.softmax_caches(dims),
        "DeltaNet": est.deltanet_caches(dims),
        f"DeltaNet + attention {ratio[0]}:{ratio[1]}": est.deltanet_caches(dims, ratio),
    }
    notes = [f"{linear} DeltaNet and {full} full-attention layers."]
    if layers % sum(ratio):
        notes.append(f"The plot this follows has {layers * ratio[1] / sum(ratio):g} full layers; here they are whole.")
    return _by_context(ESTIMATE_DELTANET, dims, kinds, STATE_CONTEXTS, notes)


def experts_by_count(
    emb_dim: int = 7168,
    hidden: int = 28672,
    active: int = 8,
    ffn: str = "swiglu",
    dtype: str = "bf16",
    match: bool = True,
    experts: tuple[int, ...] = EXPERTS,
) -> Figure:
    """Weights of one feed-forward layer against its number of experts: dense, all experts, those that run.

    With ``match`` all experts together weigh what the dense layer does. With fewer than ``active`` experts all run.
    """
    found = [
        {item.name: item.bytes for item in est.moe(emb_dim, hidden, n, min(active, n), ffn, dtype, match).items}
        for n in experts
    ]
    at = floats(experts)
    dense, every, active_ones = (
        floats([sizes[key] for sizes in found]) for key in ("dense FFN", "MoE in all", "MoE active")
    )
    lines = (
        Line("dense", at, dense, dash="dashed"),
        Line("MoE, resident", at, every, points=True),
        Line(f"MoE, read for a token (top {active})", at, active_ones, points=True),
    )
    notes = [f"Weights of one layer in {dtype}; experts do not change the KV cache."]
    if min(experts) < active:
        notes.append(
            f"Fewer than {active} experts all run. The plot this follows lets {active} run of any number, "
            "and shows more active than there are."
        )
    panel = Panel(
        "weights of one FFN layer",
        Axis("experts", scale="log2"),
        Axis("weights", scale="log2", ticks="bytes"),
        lines,
    )
    return Figure(*ESTIMATE_MOE, (panel,), tuple(notes))


def _by_context(
    about: tuple[str, str, str],
    dims: Dims,
    kinds: Mapping[str, CacheCounts],
    contexts: tuple[int, ...],
    notes: Iterable[str],
) -> Figure:
    """A line for each of ``kinds``; its name says how much less than the first it is, at the longest context."""
    sizes = {name: [_bytes(dims, caches, n) for n in contexts] for name, caches in kinds.items()}
    whole = next(iter(sizes.values()))[-1]
    at = floats(contexts)
    lines = tuple(
        Line(name if i == 0 else f"{name} ({_factor(whole / row[-1])})", at, floats(row), points=True)
        for i, (name, row) in enumerate(sizes.items())
    )
    shape = f"{dims.layers} layers of {dims.heads} heads over {dims.emb_dim:,}, {dims.dtype}, batch {dims.batch}"
    said = (f"{shape}. Factors hold at {format_tokens(contexts[-1])} tokens.", *notes)
    return Figure(*about, (Panel(shape, CONTEXT, CACHE, lines),), said)


def _bytes(dims: Dims, caches: CacheCounts, context: int) -> int:
    return est.total_bytes(dims._replace(context=context), caches)


def _factor(value: float) -> str:
    return f"{value:,.0f}×" if value >= 1000 else f"{value:.3g}×"


def _heads(count: int) -> str:
    return f"{count} KV head{'s' if count > 1 else ''}"
