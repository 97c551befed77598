"""What one layer computes, as nodes of llama.cpp's graph: attention, feed-forward, experts and recurrent mixers.

A node is here if it takes memory of its own or decides about another's. Biases and the weights of norms are left out:
their results take the place of what they are applied to. Read in llama.cpp's sources (llama-graph.cpp and src/models,
as vendored in llama-cpp-python 0.3.36) and in the graphs that b11549 prints.
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.model.caches import Attention, Latent, Shared
from kvtui.engine.serving.llamacpp.graph import F16, F32, I32, Graph, Node, Shape, fresh, onto, stored, view

ACTIVATIONS, SCORES, FEED_FORWARD, EXPERTS = "activations", "scores", "feed-forward", "experts"


class SharedCache(NamedTuple):
    """A cache that layers share: the ``cells`` of each of its ``streams``, its mask and the ``places`` to write to.

    Keys in F32 are copied to F16 for FlashAttention (``k_copied``), and values likewise. ``turn_k`` and ``turn_v``
    rotate what is quantised into the cache.
    """

    cells: int
    streams: int
    mask: Node
    k_places: tuple[Node, ...]
    v_places: tuple[Node, ...]
    k_copied: bool = False
    v_copied: bool = False
    turn_k: Node | None = None
    turn_v: Node | None = None


class Batch(NamedTuple):
    """One physical batch: ``tokens`` of ``slots`` sequences, as rows of ``hidden`` elements.

    ``states`` choose the recurrent states. Without FlashAttention a cached V has ``widest_v`` elements.
    Weights in RAM are copied to the device one by one, each of up to ``copied`` bytes.
    """

    graph: Graph
    tokens: int
    slots: int
    hidden: int
    flash: bool
    positions: Node
    windows: dict[int | None, SharedCache]
    states: Node | None = None
    widest_v: int = 0
    copied: int = 0

    def copies(self) -> tuple[Node, ...]:
        """A weight that lies in RAM, of ``copied`` bytes, for the operation that reads it."""
        return (Node("copies of weights", None, self.copied),) if self.copied else ()

    def rows(self, width: int) -> Shape:
        """The shape of ``width`` elements for each token."""
        return width, self.tokens


class Feed(NamedTuple):
    """A feed-forward: ``dense`` or shared width, and ``active`` of ``experts`` of ``width`` each; ``gated`` if a GLU.

    ``joined``: one matrix makes what is gated and its gate (Phi-3).
    Routed experts may be ``latent`` elements wide outside, where that is not the hidden size. ``weighed``: what the
    shared experts say is weighed by a gate.
    """

    dense: int = 0
    experts: int = 0
    active: int = 0
    width: int = 0
    gated: bool = True
    joined: bool = False
    latent: int = 0
    weighed: bool = False


class LowRank(NamedTuple):
    """MLA's projections: ``q_rank`` of the queries (0 for none), and sizes of a head without position and of values."""

    q_rank: int
    nope: int
    v_dim: int


class DeltaNet(NamedTuple):
    """Gated DeltaNet or KDA: ``k_heads`` and ``v_heads`` of ``size`` elements, over ``conv`` − 1 earlier tokens.

    As Qwen3-Next has it, queries and keys are copied for each of a group's value heads (``repeated``), and one
    projection makes decay and beta (``joined``).
    """

    k_heads: int
    v_heads: int
    size: int
    conv: int
    repeated: bool
    joined: bool = False


class StateSpace(NamedTuple):
    """Mamba: ``inner`` channels with a ``state`` each, ``wide`` convolved channels in all, ``narrow`` others.

    ``step_rank`` is that of Mamba-1's projection of time steps, 0 for Mamba-2.
    """

    inner: int
    state: int
    wide: int
    narrow: int
    conv: int
    step_rank: int


class Queries(NamedTuple):
    """How attention gets its queries, keys and values.

    ``gated``: queries come with as many elements that the result is multiplied with (Qwen3-Next and later).
    ``rotary``: positions turn queries and keys. ``joined``: one projection makes all three (Phi-3).
    """

    gated: bool = False
    rotary: bool = True
    joined: bool = False


def softmax_attention(batch: Batch, cache: Attention | Shared, x: Node, made: Queries) -> Node:
    """Attention with K and V of its own or of another layer; what comes out before its last projection."""
    shape = cache.reads if isinstance(cache, Shared) else cache
    assert isinstance(shape, Attention)
    expand, n = batch.graph.expand, batch.tokens
    window = batch.windows[shape.cap]
    width, kept = shape.q_heads * shape.k_dim, shape.kv_heads * (shape.k_dim + shape.v_dim)
    joint = made.gated or made.joined
    projected = fresh(ACTIVATIONS, batch.rows(width + (width if made.gated else kept if made.joined else 0)), x)
    queries = (shape.k_dim, shape.q_heads, n)
    q = view(projected, None if joint else queries)
    if made.rotary:
        q = onto(ACTIVATIONS, queries, q, batch.positions)
    q = expand(_turned(window.turn_k, q))
    if not isinstance(cache, Shared):
        _store(batch, shape, window, x, projected if made.joined else None, made.rotary)
    out = attended(batch, window, q, shape, 0)
    out = _turned(window.turn_v, out)
    if made.gated:
        gate = onto(ACTIVATIONS, batch.rows(width), fresh(ACTIVATIONS, batch.rows(width), view(projected)))
        out = onto(ACTIVATIONS, batch.rows(width), out, gate)
    return out


def _store(batch: Batch, shape: Attention, window: SharedCache, x: Node, projected: Node | None, rotary: bool) -> None:
    """K and V of the batch, written into the cache; parts of what was ``projected``, where queries were not alone."""
    expand, n = batch.graph.expand, batch.tokens
    keys, values = (shape.k_dim, shape.kv_heads, n), (shape.v_dim, shape.kv_heads, n)
    if projected is None:
        k = view(fresh(ACTIVATIONS, batch.rows(shape.k_dim * shape.kv_heads), x), keys)
        v = view(fresh(ACTIVATIONS, batch.rows(shape.v_dim * shape.kv_heads), x), values)
    else:
        k, v = view(projected), view(projected)
    if rotary:
        k = onto(ACTIVATIONS, keys, k, batch.positions)
    k = _turned(window.turn_k, k)
    if projected is not None and (window.turn_v is not None or not batch.flash):
        v = fresh(ACTIVATIONS, values, v)
    v = _turned(window.turn_v, v)
    expand(v)
    expand(k)
    expand(stored(view(k), *window.k_places))
    row = view(v)
    if not batch.flash and shape.v_dim * shape.kv_heads < batch.widest_v:
        row = view(fresh(ACTIVATIONS, batch.rows(batch.widest_v), row))
    expand(stored(row, *window.v_places))


def attended(batch: Batch, window: SharedCache, q: Node, shape: Attention, unfold: int) -> Node:
    """What the queries ``q`` read in a ``window``: FlashAttention's result, or scores, their sums and a copy.

    ``unfold`` is the size that MLA's values are projected to afterwards.
    """
    expand, n, heads = batch.graph.expand, batch.tokens, shape.q_heads
    each = n // window.streams
    q = view(q)
    flat = batch.rows(heads * (unfold or shape.v_dim))
    if batch.flash:
        reads = [q]
        cells = window.cells * window.streams * shape.kv_heads
        if window.k_copied:
            reads.append(Node("cache copies", None, cells * shape.k_dim * 2))
        if window.v_copied:
            reads.append(Node("cache copies", None, cells * shape.v_dim * 2))
        out = fresh(ACTIVATIONS, (shape.v_dim, heads, n), *reads, window.mask)
        if unfold:
            out = fresh(ACTIVATIONS, (unfold, n, heads), view(out))
            out = fresh(ACTIVATIONS, (unfold, heads, n), view(out))
        return expand(view(out, flat))
    table = (window.cells, each, heads, window.streams)
    scores = onto(SCORES, table, fresh(SCORES, table, q), window.mask)
    reads = [scores]
    if unfold:  # a V that is part of K is not stored by columns, so it is copied
        kept = window.cells * window.streams * shape.v_dim
        reads.insert(0, Node("cache copies", None, kept * (F32 if window.k_copied else F16)))
    out = fresh(ACTIVATIONS, (shape.v_dim, each, heads, window.streams), *reads)
    if unfold:
        out = fresh(ACTIVATIONS, (unfold, each, heads, window.streams), out)
    return expand(fresh(ACTIVATIONS, flat, view(out)))


def latent_attention(batch: Batch, cache: Latent, x: Node, low: LowRank) -> Node:
    """MLA with absorbed projections: queries as wide as the cached entry, values projected at the end."""
    expand, n, heads = batch.graph.expand, batch.tokens, cache.q_heads
    entry = cache.rank + cache.rope
    source = fresh(ACTIVATIONS, batch.rows(low.q_rank), x) if low.q_rank else x
    if low.q_rank:
        source = onto(ACTIVATIONS, batch.rows(low.q_rank), source)
    q = fresh(ACTIVATIONS, batch.rows((low.nope + cache.rope) * heads), source)
    absorbed = fresh(ACTIVATIONS, (cache.rank, n, heads), view(view(q)))
    turned = onto(ACTIVATIONS, (cache.rope, heads, n), view(q), batch.positions)
    query = fresh(ACTIVATIONS, (entry, heads, n), view(absorbed), turned)
    both = fresh(ACTIVATIONS, batch.rows(entry), x)
    latent = view(onto(ACTIVATIONS, batch.rows(cache.rank), view(both)), (cache.rank, 1, n))
    key = fresh(ACTIVATIONS, (entry, 1, n), latent, onto(ACTIVATIONS, (cache.rope, 1, n), view(both), batch.positions))
    expand(query)
    expand(latent)
    expand(key)
    window = batch.windows[cache.cap]
    expand(stored(view(key), *window.k_places))
    shape = Attention("full", heads, 1, entry, cache.rank)
    return attended(batch, window, query, shape, low.v_dim)


def feed_forward(batch: Batch, feed: Feed, x: Node) -> Node:
    """The feed-forward of a layer: dense, or routed experts and a shared one beside them."""
    if not feed.experts:
        return _dense(batch, feed, x)
    if feed.latent:
        inside = fresh(EXPERTS, (feed.latent, _rows(x)), x)
        out = fresh(EXPERTS, x.shape or (), _routed(batch, feed, x, inside))
    else:
        out = _routed(batch, feed, x, x)
    if not feed.dense:
        return out
    shared = _dense(batch, feed, x)
    if feed.weighed:
        weight = (1, _rows(x))
        shared = onto(ACTIVATIONS, x.shape or (), shared, onto(EXPERTS, weight, fresh(EXPERTS, weight, x)))
    return onto(ACTIVATIONS, x.shape or (), out, shared)


def _dense(batch: Batch, feed: Feed, x: Node) -> Node:
    wide = (feed.dense, _rows(x))
    copies = batch.copies() if not feed.experts else ()
    if feed.joined:
        middle = fresh(FEED_FORWARD, wide, fresh(FEED_FORWARD, (2 * feed.dense, _rows(x)), x))
    elif feed.gated:
        middle = fresh(FEED_FORWARD, wide, fresh(FEED_FORWARD, wide, x, *copies), fresh(FEED_FORWARD, wide, x))
    else:
        middle = onto(FEED_FORWARD, wide, fresh(FEED_FORWARD, wide, x))
    return fresh(ACTIVATIONS, (batch.hidden, _rows(x)), middle)


def _routed(batch: Batch, feed: Feed, x: Node, inside: Node) -> Node:
    """Routed experts: each token's chosen ones side by side, then weighed and added up."""
    expand, n = batch.graph.expand, _rows(x)
    probabilities = onto(EXPERTS, (feed.experts, n), fresh(EXPERTS, (feed.experts, n), x))
    chosen = view(fresh(EXPERTS, (feed.experts, n), probabilities, width=I32))
    weights = fresh(EXPERTS, (1, feed.active, n), view(probabilities), chosen)
    rows = view(weights, (feed.active, n))
    total = onto(EXPERTS, (1, n), fresh(EXPERTS, (1, n), rows))
    weights = expand(view(onto(EXPERTS, (feed.active, n), rows, total)))
    outside = (inside.shape or ())[0]
    inside = view(inside)
    wide, whole = (feed.width, feed.active, n), (outside, feed.active, n)
    if feed.gated:
        gate = fresh(EXPERTS, wide, inside, chosen, *batch.copies())
        middle = fresh(EXPERTS, wide, gate, fresh(EXPERTS, wide, inside, chosen, *batch.copies()))
    else:
        middle = onto(EXPERTS, wide, fresh(EXPERTS, wide, inside, chosen, *batch.copies()))
    results = expand(onto(EXPERTS, whole, fresh(EXPERTS, whole, middle, chosen, *batch.copies()), weights))
    parts = [expand(view(results)) for _ in range(feed.active)]
    out = parts[0]
    for part in parts[1:]:
        out = expand(onto(EXPERTS, (outside, n), out, part))
    return fresh(EXPERTS, (outside, n), out) if feed.active == 1 else out


def delta_net(batch: Batch, mixer: DeltaNet, x: Node) -> Node:
    """Gated DeltaNet with the fused operation: convolution over q, k and v, then one state per value head."""
    expand, n, slots = batch.graph.expand, batch.tokens, batch.slots
    size, inner = mixer.size, mixer.v_heads * mixer.size
    channels = 2 * mixer.k_heads * size + inner
    expand(x)
    earlier = _kept(batch, (mixer.conv - 1) * channels)
    mixed = _convolved(batch, earlier, view(fresh(ACTIVATIONS, batch.rows(channels), x)), channels, mixer.conv)
    state = _kept(batch, size * inner)
    convolved = onto(ACTIVATIONS, batch.rows(channels), fresh(ACTIVATIONS, batch.rows(channels), mixed))

    def head_rows() -> Node:
        rows = onto(ACTIVATIONS, (size, mixer.k_heads, n), view(convolved))
        return view(fresh(ACTIVATIONS, batch.rows(inner), view(rows))) if mixer.repeated else rows

    queries, keys = head_rows(), head_rows()
    gates = batch.rows(mixer.v_heads)
    if mixer.joined:
        both_gates = fresh(ACTIVATIONS, batch.rows(2 * mixer.v_heads), x)
        decay, beta = (onto(ACTIVATIONS, gates, fresh(ACTIVATIONS, gates, view(both_gates))) for _ in range(2))
    else:
        decay, beta = (onto(ACTIVATIONS, gates, fresh(ACTIVATIONS, gates, x)) for _ in range(2))
    both = (inner * n + size * inner * slots,)
    result = fresh("recurrence", both, queries, keys, view(convolved), view(decay), view(beta), view(state))
    expand(stored(view(result)))
    out = onto(ACTIVATIONS, batch.rows(inner), view(result))
    gate = onto(ACTIVATIONS, batch.rows(inner), view(fresh(ACTIVATIONS, batch.rows(inner), x)))
    return view(onto(ACTIVATIONS, batch.rows(inner), out, gate))


def state_space(batch: Batch, mixer: StateSpace, x: Node) -> Node:
    """A Mamba mixer, what comes out before its last projection; ``x`` is normed once the earlier tokens are read."""
    expand, n = batch.graph.expand, batch.tokens
    rows = batch.rows(mixer.inner)
    earlier = _kept(batch, (mixer.conv - 1) * mixer.wide)
    projected = fresh(ACTIVATIONS, batch.rows(mixer.inner + mixer.wide + mixer.narrow), x)
    mixed = _convolved(batch, earlier, view(projected), mixer.wide, mixer.conv)
    convolved = onto(ACTIVATIONS, batch.rows(mixer.wide), fresh(ACTIVATIONS, batch.rows(mixer.wide), mixed))
    if mixer.step_rank:
        few = fresh(ACTIVATIONS, batch.rows(mixer.step_rank + 2 * mixer.state), convolved)
        step = fresh(ACTIVATIONS, batch.rows(mixer.step_rank), view(few))
        step = onto(ACTIVATIONS, rows, fresh(ACTIVATIONS, rows, step))
        reads = (view(convolved), step, view(few), view(few))
    else:
        step = onto(
            ACTIVATIONS, batch.rows(mixer.narrow), fresh(ACTIVATIONS, batch.rows(mixer.narrow), view(projected))
        )
        reads = (view(convolved), step, view(convolved), view(convolved))
    result = fresh("recurrence", (mixer.inner * n + mixer.state * mixer.inner * batch.slots,), *reads)
    expand(result)
    assert batch.states is not None
    others = fresh("recurrence", (mixer.state * mixer.inner, batch.slots - 1), view(batch.states))
    expand(stored(view(others)))
    expand(stored(view(result)))
    skipped = onto(ACTIVATIONS, rows, convolved) if mixer.step_rank else onto(ACTIVATIONS, rows, view(convolved))
    out = onto(ACTIVATIONS, rows, view(result), skipped)
    out = fresh(ACTIVATIONS, rows, fresh(ACTIVATIONS, rows, view(projected)), out)
    return out if mixer.step_rank else view(onto(ACTIVATIONS, rows, view(out)))


def short_conv(batch: Batch, channels: int, conv: int, x: Node) -> Node:
    """LFM2's gated short convolution, what comes out before its last projection."""
    rows = batch.rows(channels)
    earlier = _kept(batch, (conv - 1) * channels)
    projected = fresh(ACTIVATIONS, batch.rows(3 * channels), x)
    inner = onto(ACTIVATIONS, rows, view(projected), view(projected))
    mixed = _convolved(batch, earlier, view(inner), channels, conv)
    return onto(ACTIVATIONS, rows, view(projected), fresh(ACTIVATIONS, rows, mixed))


def _kept(batch: Batch, elements: int) -> Node:
    """What the cache keeps for each of the slots, copied; what belongs to none of the batch is put back."""
    assert batch.states is not None
    kept = batch.graph.expand(fresh("recurrence", (elements, batch.slots), batch.states))
    batch.graph.expand(stored(view(kept)))
    return kept


def _convolved(batch: Batch, earlier: Node, x: Node, channels: int, conv: int) -> Node:
    """``x`` behind the tokens before it, the last of which are stored for the next batch."""
    whole = ((conv - 1) * batch.slots + batch.tokens, channels)
    joined = fresh(ACTIVATIONS, whole, view(earlier), view(x))
    batch.graph.expand(stored(view(joined)))
    return joined


def _turned(rotation: Node | None, x: Node) -> Node:
    """``x`` rotated for a quantised cache."""
    if rotation is None:
        return x
    size = (rotation.shape or ())[0]
    square = (size, x.size // F32 // size)
    return view(fresh(ACTIVATIONS, square, rotation, view(x, square)), x.shape)


def _rows(x: Node) -> int:
    return (x.shape or ())[-1]
