"""What a case should cost, by the planner's own formulas: cache and weight bytes, and the work of a step.

A benchmark shape becomes the planner's ``ModelSpec``; bytes and operations then come from the engine, so that the
benchmark measures what the planner predicts. Work that rounding, padding or a worse algorithm adds is not in these
figures: the latent is counted absorbed when decoding and expanded in prefill, the cheaper form of each.
"""

from __future__ import annotations

from functools import lru_cache

from kvtui.cases.case import Case, TransformerShape
from kvtui.engine.device.spec import DeviceSpec, Memory
from kvtui.engine.model import parameters
from kvtui.engine.model.caches import Attention, AttentionKind, Cache, Latent
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import Experts, Layer, ModelSpec, cache_bytes
from kvtui.engine.model.tensors import Tensors, weight_count
from kvtui.engine.planning import step
from kvtui.engine.planning.allocation import Slot
from kvtui.engine.scenario.scenario import BLOCK_TOKENS, Scenario

KV_FORMATS = {"fp32": "fp32", "bf16": "bf16", "int8": "int8_per_token_head"}
HOST = DeviceSpec(
    name="this machine",
    vendor="",
    family="",
    nominal_gb=0.0,
    usable_bytes=0,
    memory=Memory("", 0, 0.0),
    bandwidth_gbs=0.0,
    cache_mb=None,
    peak_tflops=(),
    link=None,
    link_gbs=None,
    pcie=None,
    tdp_watts=None,
    price=None,
    tile=0,
    confidence="L",
    source="measured, not published",
)
"""Stands in a scenario of which only the model, its formats and its sequences are asked for."""


@lru_cache(maxsize=1024)
def model_spec(shape: TransformerShape) -> ModelSpec:
    """The planner's description of ``shape``: tied embeddings, two norms per block and one at the end, no biases."""
    ffn_weights, experts = _feed_forward(shape)
    tensors = (*_attention_weights(shape), *ffn_weights, *parameters.norms(shape.dim, 2))
    layer = Layer((_cache(shape),), tensors, experts, _width(shape))
    rows = shape.context if shape.positions == "learned" else 0
    outside = (*parameters.embeddings(shape.vocab + rows, shape.dim, tied=True), *parameters.norms(shape.dim))
    total = shape.blocks * (layer.total_parameters or 0) + weight_count(outside)
    idle = 0 if experts is None else shape.blocks * (experts.total - experts.active) * experts.parameters
    return ModelSpec(
        name=f"{shape.dim}x{shape.blocks} {shape.attention}",
        source="benchmark shape",
        confidence="H",
        layers=(layer,) * shape.blocks,
        hidden=shape.dim,
        vocab=shape.vocab,
        max_context=shape.context,
        parameters=total,
        active_parameters=total - idle - shape.dim * max(0, rows - 1),
        parameters_from="shape",
        outside=outside,
    )


def kv_format(shape: TransformerShape) -> Format:
    """The format of K and V; int8 has one fp32 scale per head and position."""
    return FORMATS[KV_FORMATS[shape.kv_dtype]]


def parameter_count(shape: TransformerShape) -> int:
    """Trainable weights: every expert, tied embeddings once, learned positions, and nothing that no token uses."""
    return model_spec(shape).parameters or 0


def weight_bytes(shape: TransformerShape) -> int:
    """Bytes of all weights."""
    return FORMATS[shape.dtype].bytes(parameter_count(shape))


def kv_bytes(case: Case) -> int:
    """Bytes of the whole allocated cache: every sequence at full length, in whole pages, or its window in a ring."""
    if case.cache == "none":
        return 0
    tokens = case.cache_length
    if case.cache == "paged":
        tokens = -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS
    return case.batch * cache_bytes(model_spec(case.shape).caches, tokens, kv_format(case.shape)).kv


def step_bytes(case: Case, position: int) -> int:
    """Bytes that a decode step at ``position`` (tokens already in the cache) must move, each once.

    These are the weights, with the experts that the batch is expected to touch, and the cache that ``position + 1``
    tokens fill, the new one included. Without a cache the weights alone: the step reads them for all tokens at once.
    """
    shape, tokens = case.shape, position + 1
    cached = case.cache != "none"
    share = Slot(tokens, tokens, case.batch) if cached else Slot(0, 0, case.batch * tokens)
    rows = 1 if cached else tokens
    outside = shape.dim * (1 + (rows if shape.positions == "learned" else 0))
    return (step.step_bytes(scenario_of(case, tokens), (share,)) or 0) + FORMATS[shape.dtype].bytes(outside)


def step_flops(case: Case, position: int) -> int:
    """Operations that a decode step at ``position`` (tokens already in the cache) must do for the whole batch.

    Two per multiply-accumulate. Without a cache these are those of a prefill of ``position + 1`` tokens.
    """
    tokens = position + 1
    if case.cache == "none":
        return _prefill_flops(case, tokens)
    share = Slot(tokens, tokens, case.batch)
    return step.step_flops(scenario_of(case, tokens), (share,)) or 0


def prefill_flops(case: Case) -> int:
    """Operations to prefill the whole batch's prompts; logits are only worked out for the last token of each."""
    return _prefill_flops(case, case.prompt)


def scenario_of(case: Case, tokens: int) -> Scenario:
    """``case`` as a scenario of the planner, ``tokens`` long."""
    shape = case.shape
    return Scenario(
        model=model_spec(shape),
        device=HOST,
        context=tokens,
        batch=case.batch,
        weight_dtype=shape.dtype,
        kv_dtype=KV_FORMATS[shape.kv_dtype],
    )


def _prefill_flops(case: Case, tokens: int) -> int:
    shape, model = case.shape, model_spec(case.shape)
    head = shape.dim * shape.vocab
    layer = model.layers[0]._replace(caches=(_expanded(shape),))
    body = model._replace(layers=(layer,) * shape.blocks, active_parameters=(model.active_parameters or 0) - head)
    scenario = scenario_of(case, tokens)._replace(model=body, kv_dtype="fp32")
    return case.batch * ((step.prefill_flops(scenario) or 0) + 2 * head)


def _cache(shape: TransformerShape) -> Cache:
    if shape.latent:
        return Latent(shape.heads, shape.latent, shape.rope_dim, cap=shape.window)
    return _softmax(shape, shape.kv_heads, shape.head_dim)


def _expanded(shape: TransformerShape) -> Cache:
    """What prefill attends to: a latent's keys and values as full heads."""
    return _softmax(shape, shape.heads, shape.head_dim + shape.rope_dim) if shape.latent else _cache(shape)


def _softmax(shape: TransformerShape, kv_heads: int, k_dim: int) -> Attention:
    kind: AttentionKind = "full" if shape.window is None else "sliding_window"
    return Attention(kind, shape.heads, kv_heads, k_dim, shape.head_dim, shape.window)


def _attention_weights(shape: TransformerShape) -> Tensors:
    dim, heads, head = shape.dim, shape.heads, shape.head_dim
    if shape.latent:
        return parameters.latent(dim, heads, shape.latent, shape.rope_dim, head, head, shape.query_latent)
    return parameters.attention(dim, heads, shape.kv_heads, head, head)


def _feed_forward(shape: TransformerShape) -> tuple[Tensors, Experts | None]:
    gated = shape.activation == "swiglu"
    if not shape.experts:
        return parameters.mlp(shape.dim, shape.hidden, gated=gated), None
    routed, router = parameters.experts(shape.dim, shape.experts, shape.experts_per_token, shape.hidden, gated=gated)
    return router, routed


def _width(shape: TransformerShape) -> int:
    return shape.hidden * max(1, shape.experts_per_token)
