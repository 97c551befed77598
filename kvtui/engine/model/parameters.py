"""How many weights a layer has, counted from its shape.

Each function counts one building block as the published modelling code builds it; a whole model is their sum. The tests
hold the totals against the exact counts of released checkpoints.
"""

from __future__ import annotations

from typing import Literal

from kvtui.engine.model.spec import Experts

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
) -> int:
    """Multi-head attention: q, k, v and output projections.

    ``gated`` doubles the query projection (an output gate per element), ``head_gate`` adds one per head; ``tied_kv``
    drops the V projection; ``qk_norm`` normalises each head or the whole row; ``sinks`` adds one logit per query head.
    Without ``k_bias`` only q and v have the bias that ``qkv_bias`` asks for (Whisper).
    """
    q, k, v = q_heads * k_dim, kv_heads * k_dim, kv_heads * v_dim
    total = hidden * (q * (2 if gated else 1) + k + (0 if tied_kv else v)) + q_heads * v_dim * hidden
    total += (q + k * k_bias + v) * qkv_bias + hidden * out_bias
    total += q_heads * sinks + hidden * q_heads * head_gate
    match qk_norm:
        case "head":
            total += 2 * k_dim
        case "row":
            total += q + k
    return total


def latent(hidden: int, q_heads: int, rank: int, rope: int, nope: int, v_dim: int, q_rank: int | None) -> int:
    """MLA: low-rank query (or a direct one without ``q_rank``), compressed K and V with their norms, output."""
    q = q_heads * (nope + rope)
    query = hidden * q if q_rank is None else hidden * q_rank + q_rank + q_rank * q
    return query + hidden * (rank + rope) + rank + rank * q_heads * (nope + v_dim) + q_heads * v_dim * hidden


def indexer(hidden: int, q_rank: int, heads: int, key_dim: int) -> int:
    """DSA indexer: queries from the low-rank query, one key with its LayerNorm, and head weights."""
    return q_rank * heads * key_dim + hidden * key_dim + 2 * key_dim + hidden * heads


def block_indexer(hidden: int, heads: int, key_dim: int) -> int:
    """MiniMax-M3's block indexer: queries and one key from the hidden state, each with a norm."""
    return hidden * heads * key_dim + hidden * key_dim + 2 * key_dim


def reader(hidden: int, q_heads: int, k_dim: int, v_dim: int, qk_norm: QkNorm | None = None) -> int:
    """Attention that reads another layer's K and V: query and output projections, and the query's norm."""
    norm = {None: 0, "head": k_dim, "row": q_heads * k_dim}[qk_norm]
    return hidden * q_heads * (k_dim + v_dim) + norm


def gated_deltanet(hidden: int, key_heads: int, value_heads: int, key_dim: int, value_dim: int, conv: int) -> int:
    """Gated DeltaNet: q, k, v, gate, decay and beta projections, conv, norm, output."""
    keys, values = key_heads * key_dim, value_heads * value_dim
    projections = hidden * (2 * keys + 2 * values + 2 * value_heads) + values * hidden
    return projections + (2 * keys + values) * conv + 2 * value_heads + value_dim


def kda(hidden: int, heads: int, dim: int, conv: int) -> int:
    """Kimi Delta Attention: q, k, v with convs, low-rank decay and gate, beta, norm, output."""
    inner = heads * dim
    low_rank = 2 * (hidden * dim + dim * inner)
    return 4 * hidden * inner + low_rank + 3 * inner * conv + hidden * heads + heads + inner + dim


def mamba2(hidden: int, heads: int, head_dim: int, state: int, groups: int, conv: int, *, norm: bool = True) -> int:
    """Mamba-2: input projection, conv with bias, A, D and dt per head, gated norm (not in Falcon-H1), output."""
    inner, shared = heads * head_dim, 2 * groups * state
    total = hidden * (2 * inner + shared + heads) + (inner + shared) * (conv + 1) + 3 * heads + inner * hidden
    return total + inner * norm


def mamba1(hidden: int, inner: int, state: int, dt_rank: int, conv: int) -> int:
    """Mamba-1 as Jamba builds it: projections, conv with bias, A, D, dt with bias, and norms of dt, B and C."""
    projections = hidden * 2 * inner + inner * (dt_rank + 2 * state) + dt_rank * inner + inner + inner * hidden
    return projections + inner * (conv + 1) + inner * state + inner + dt_rank + 2 * state


def lightning(hidden: int, heads: int, dim: int) -> int:
    """Lightning attention: q, k, v, gate, norm, output."""
    return 5 * hidden * heads * dim + heads * dim


def short_conv(hidden: int, conv: int) -> int:
    """LFM2 short convolution: three gates in, depthwise conv, output."""
    return 4 * hidden * hidden + hidden * conv


def mlp(hidden: int, width: int, *, gated: bool = True, bias: bool = False) -> int:
    """A feed-forward block: three matrices when ``gated`` (SwiGLU), else two."""
    matrices = 3 if gated else 2
    return matrices * hidden * width + ((matrices - 1) * width + hidden) * bias


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
) -> tuple[Experts, int]:
    """Routed experts of ``width``, and the weights of their router (with its bias when ``bias`` or ``router_bias``).

    With ``latent`` the experts work on vectors of that size, and two projections lead there and back (Nemotron-3).
    """
    routed = Experts(count, active, mlp(latent or hidden, width, gated=gated, bias=bias))
    return routed, hidden * count + count * (bias or router_bias) + 2 * hidden * (latent or 0)
