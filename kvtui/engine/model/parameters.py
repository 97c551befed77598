"""The tensors that a layer's weights are, from its shape.

Each function lists one building block as the published modelling code builds it; a whole model is all of them together,
and its parameter count their sum. The tests hold the totals against the exact counts of released checkpoints.
"""

from __future__ import annotations

from typing import Literal

from kvtui.engine.model.spec import Experts, ModelSpec
from kvtui.engine.model.tensors import Role, Tensor, Tensors, copied, divided, narrow, vector, weight_count, wide

QkNorm = Literal["head", "row"]


def attention(
    hidden: int,
    q_heads: int,
    kv_heads: int,
    k_dim: int,
    v_dim: int,
    *,
    qkv_bias: bool = False,
    k_bias: bool = True,
    out_bias: bool = False,
    qk_norm: QkNorm | None = None,
    gated: bool = False,
    head_gate: bool = False,
    tied_kv: bool = False,
    sinks: bool = False,
) -> Tensors:
    """Multi-head attention: q, k, v and output projections.

    ``gated`` doubles the query projection (an output gate per element), ``head_gate`` adds one per head; ``tied_kv``
    drops the V projection; ``qk_norm`` normalises each head or the whole row; ``sinks`` adds one logit per query head.
    Without ``k_bias`` only q and v have the bias that ``qkv_bias`` asks for (Whisper).
    """
    q, k, v = q_heads * k_dim, kv_heads * k_dim, kv_heads * v_dim
    found = [wide("q", q * (2 if gated else 1), hidden, q_heads), wide("k", k, hidden, kv_heads)]
    if not tied_kv:
        found.append(wide("v", v, hidden, kv_heads))
    found.append(narrow("o", hidden, q_heads * v_dim, q_heads))
    if qkv_bias:
        found += [divided("bias", q * (2 if gated else 1), q_heads), divided("bias", v, kv_heads)]
        found += [divided("bias", k, kv_heads)] * k_bias
    if out_bias:
        found.append(vector("bias", hidden))
    if head_gate:
        found.append(wide("q", q_heads, hidden, q_heads))
    if sinks:
        found.append(divided("vector", q_heads))
    match qk_norm:
        case "head":
            found += [vector("norm", k_dim)] * 2
        case "row":
            found += [vector("norm", q), vector("norm", k)]
    return tuple(found)


def latent(hidden: int, q_heads: int, rank: int, rope: int, nope: int, v_dim: int, q_rank: int | None) -> Tensors:
    """MLA: low-rank query (or a direct one without ``q_rank``), compressed K and V with their norms, output."""
    q = q_heads * (nope + rope)
    query: Tensors = (wide("q", q, hidden, q_heads),)
    if q_rank is not None:
        query = copied("q_a", q_rank, hidden), vector("norm", q_rank), wide("q_b", q, q_rank, q_heads)
    return (
        *query,
        copied("kv_a", rank + rope, hidden),
        vector("norm", rank),
        wide("kv_b", q_heads * (nope + v_dim), rank, q_heads),
        narrow("o", hidden, q_heads * v_dim, q_heads),
    )


def indexer(hidden: int, q_rank: int, heads: int, key_dim: int) -> Tensors:
    """DSA indexer: queries from the low-rank query, one key with its LayerNorm, and head weights."""
    return (
        copied("indexer", heads * key_dim, q_rank),
        copied("indexer", key_dim, hidden),
        vector("norm", 2 * key_dim),
        copied("indexer_gate", heads, hidden),
    )


def block_indexer(hidden: int, heads: int, key_dim: int) -> Tensors:
    """MiniMax-M3's block indexer: queries and one key from the hidden state, each with a norm."""
    return (
        copied("indexer", heads * key_dim, hidden),
        copied("indexer", key_dim, hidden),
        vector("norm", 2 * key_dim),
    )


def reader(hidden: int, q_heads: int, k_dim: int, v_dim: int, qk_norm: QkNorm | None = None) -> Tensors:
    """Attention that reads another layer's K and V: query and output projections, and the query's norm."""
    norm = {None: (), "head": (vector("norm", k_dim),), "row": (vector("norm", q_heads * k_dim),)}[qk_norm]
    return (
        wide("q", q_heads * k_dim, hidden, q_heads),
        narrow("o", hidden, q_heads * v_dim, q_heads),
        *norm,
    )


def layer_inputs(hidden: int, vocab: int, layers: int, size: int) -> tuple[Tensors, Tensors]:
    """Inputs of ``size`` elements for each of ``layers`` (Gemma 3n, Gemma 4): weights in a layer, and outside of all.

    Outside are a table of a row for each word, a projection of the embeddings, and its norm.
    """
    each = copied("per_layer", size, hidden), copied("per_layer", hidden, size), vector("norm", hidden)
    table, joined = wide("embedding", vocab, layers * size), copied("per_layer", layers * size, hidden)
    return each, (table, joined, vector("norm", size))


def gated_deltanet(hidden: int, key_heads: int, value_heads: int, key_dim: int, value_dim: int, conv: int) -> Tensors:
    """Gated DeltaNet: q, k, v and gate, decay and beta projections, conv, A and dt per head, norm, output."""
    keys, values = key_heads * key_dim, value_heads * value_dim
    return (
        wide("recurrent_in", 2 * keys + values, hidden, key_heads),
        wide("recurrent_in", values, hidden, value_heads),
        wide("recurrent_gate", value_heads, hidden, value_heads, number=2),
        wide("conv", 2 * keys + values, conv, key_heads),
        divided("vector", 2 * value_heads, value_heads),
        vector("norm", value_dim),
        narrow("recurrent_out", hidden, values, value_heads),
    )


def kda(hidden: int, heads: int, dim: int, conv: int) -> Tensors:
    """Kimi Delta Attention: q, k, v with convs, low-rank decay and gate, beta, A and dt, norm, output."""
    inner = heads * dim
    return (
        wide("recurrent_in", inner, hidden, heads, number=3),
        copied("recurrent_gate", dim, hidden),
        copied("recurrent_gate", dim, hidden),
        wide("recurrent_gate", inner, dim, heads, number=2),
        wide("recurrent_gate", heads, hidden, heads),
        wide("conv", 3 * inner, conv, heads),
        divided("vector", heads, heads),
        divided("vector", inner, heads),
        vector("norm", dim),
        narrow("recurrent_out", hidden, inner, heads),
    )


def full_rank_kda(hidden: int, heads: int, dim: int, conv: int) -> Tensors:
    """KDA as Ling-3.0 builds it: decay and gate are whole projections instead of low-rank ones."""
    inner = heads * dim
    return (
        wide("recurrent_in", inner, hidden, heads, number=5),
        wide("recurrent_gate", heads, hidden, heads),
        wide("conv", 3 * inner, conv, heads),
        divided("vector", heads, heads),
        divided("vector", inner, heads),
        vector("norm", dim),
        narrow("recurrent_out", hidden, inner, heads),
    )


def mamba2(hidden: int, heads: int, head_dim: int, state: int, groups: int, conv: int, *, norm: bool = True) -> Tensors:
    """Mamba-2: input projection, conv with bias, A, D and dt per head, gated norm (not in Falcon-H1), output.

    The input projection and the conv are one tensor each in a file. They stand here as two, since ranks divide the
    rows of x, gate and dt by heads, and those of B and C by groups, which they share where there are too few.
    """
    inner, shared = heads * head_dim, 2 * groups * state
    return (
        wide("recurrent_in", 2 * inner + heads, hidden, heads),
        wide("recurrent_in", shared, hidden, groups),
        wide("conv", inner, conv + 1, heads),
        wide("conv", shared, conv + 1, groups),
        divided("vector", 3 * heads, heads),
        *((divided("norm", inner, heads),) if norm else ()),
        narrow("recurrent_out", hidden, inner, heads),
    )


def mamba1(hidden: int, inner: int, state: int, dt_rank: int, conv: int, *, normed: bool = True) -> Tensors:
    """Mamba-1: projections, conv with bias, A, D, dt with bias; ``normed`` as in Jamba, with norms of dt, B and C."""
    return (
        wide("recurrent_in", 2 * inner, hidden),
        narrow("recurrent_gate", dt_rank + 2 * state, inner),
        wide("recurrent_gate", inner, dt_rank),
        wide("conv", inner, conv + 1),
        wide("vector", inner, state),
        divided("vector", 2 * inner),
        *((vector("norm", dt_rank + 2 * state),) if normed else ()),
        narrow("recurrent_out", hidden, inner),
    )


def lightning(hidden: int, heads: int, dim: int) -> Tensors:
    """Lightning attention: q, k, v, gate, norm, output."""
    inner = heads * dim
    return (
        wide("recurrent_in", 3 * inner, hidden, heads),
        wide("recurrent_in", inner, hidden, heads),
        divided("norm", inner, heads),
        narrow("recurrent_out", hidden, inner, heads),
    )


def short_conv(hidden: int, conv: int) -> Tensors:
    """LFM2 short convolution: three gates in, depthwise conv, output."""
    return (
        wide("recurrent_in", 3 * hidden, hidden),
        wide("conv", hidden, conv),
        narrow("recurrent_out", hidden, hidden),
    )


def mlp(hidden: int, width: int, *, gated: bool = True, bias: bool = False) -> Tensors:
    """A feed-forward block: three matrices when ``gated`` (SwiGLU), else two."""
    return _mlp(("gate", "up", "down", "bias"), hidden, width, gated, bias)


def shared_experts(hidden: int, width: int, *, gated: bool = True, bias: bool = False) -> Tensors:
    """The experts that every token uses, ``width`` wide in all."""
    return _mlp(("shared_gate", "shared_up", "shared_down", "bias"), hidden, width, gated, bias)


def shared_router(hidden: int) -> Tensors:
    """The gate that weighs the shared experts' output (Qwen)."""
    return (copied("shared_router", 1, hidden),)


def experts(
    hidden: int,
    count: int,
    active: int,
    width: int,
    *,
    gated: bool = True,
    bias: bool = False,
    router_bias: bool = False,
    latent: int | None = None,
) -> tuple[Experts, Tensors]:
    """Routed experts of ``width``, and their router (with its bias when ``bias`` or ``router_bias``).

    With ``latent`` the experts work on vectors of that size, and two projections lead there and back (Nemotron-3).
    """
    names: tuple[Role, Role, Role, Role] = ("expert_gate", "expert_up", "expert_down", "expert_bias")
    routed = Experts(count, active, _mlp(names, latent or hidden, width, gated, bias))
    around = [copied("router", count, hidden)]
    if bias or router_bias:
        around.append(vector("router_bias", count))
    if latent:
        around += [copied("expert_latent", latent, hidden), copied("expert_latent", hidden, latent)]
    return routed, tuple(around)


def norms(size: int, number: int = 1, *, bias: bool = False) -> Tensors:
    """``number`` norms over ``size`` elements, with biases if so asked."""
    return tuple(vector("norm", size * (2 if bias else 1)) for _ in range(number))


def embeddings(vocab: int, hidden: int, *, tied: bool, bias: bool = False) -> Tensors:
    """The input embedding and, unless ``tied`` to it, the output's; ``bias`` is the output's."""
    head = (wide("head", vocab, hidden),)
    return (wide("embedding", vocab, hidden), *(() if tied else head), *((divided("bias", vocab),) if bias else ()))


def prediction(hidden: int, embeddings: Tensors = ()) -> Tensors:
    """What a multi-token-prediction layer has around its block: a joining projection and three norms.

    ``embeddings`` are the copies that it brings in the file (DeepSeek's layers do; engines load one).
    """
    return (copied("mtp_in", hidden, 2 * hidden), *norms(hidden, 3), *embeddings)


def lump(role: Role, number: int) -> Tensors:
    """Weights of which only the ``number`` is known or needed."""
    return (divided(role, number),) if number else ()


def counted(model: ModelSpec) -> ModelSpec:
    """``model`` with its totals: the weights of its layers and those outside them.

    No token uses those of a tower, and of tables of layers' inputs it takes a row.
    """
    tables = (t for t in model.outside if t.role == "embedding" and t.columns != model.hidden)
    idle = sum(t.parameters for t in (*(t for t in model.outside if t.role == "tower"), *tables))
    active = weight_count(model.outside) - idle + sum(layer.parameters or 0 for layer in model.layers)
    total = active + idle
    for layer in model.layers:
        if layer.experts is not None:
            total += layer.experts.total * layer.experts.parameters
            active += layer.experts.active * layer.experts.parameters
    return model._replace(parameters=total, active_parameters=active, parameters_from="shape")


def _mlp(roles: tuple[Role, Role, Role, Role], hidden: int, width: int, gated: bool, bias: bool) -> Tensors:
    gate, up, down, vectors = roles
    found: list[Tensor] = [wide(gate, width, hidden)] * gated
    found += [wide(up, width, hidden), narrow(down, hidden, width)]
    if bias:
        found += [divided(vectors, width)] * (1 + gated) + [vector(vectors, hidden)]
    return tuple(found)
