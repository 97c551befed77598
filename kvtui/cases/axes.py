"""The axes of the sweep: what each of their values does to a case, and what a label says of it.

Values are words and numbers, so that the groups are plain data. Heads and latents follow from the model, and cache
layouts from windows, so axes are set in one order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from kvtui.cases.case import CacheLayout, Case, Sampler, SweepRow, TransformerShape
from kvtui.engine.model import parameters
from kvtui.engine.model.tensors import weight_count

WINDOW = 32


class ModelSize(NamedTuple):
    """A model size: width, heads, elements per head, blocks."""

    dim: int
    heads: int
    head_dim: int
    blocks: int


SCALES = {
    f"{scale.dim}x{scale.blocks}": scale
    for scale in (
        ModelSize(64, 4, 16, 2),
        ModelSize(128, 4, 32, 3),
        ModelSize(256, 8, 32, 6),
        ModelSize(512, 16, 32, 8),
        ModelSize(512, 16, 32, 16),
        ModelSize(768, 12, 64, 12),
    )
}
SAMPLERS = {
    "greedy": Sampler(),
    "T 0.5": Sampler(0.5),
    "T 1": Sampler(1.0),
    "T 2": Sampler(2.0),
    "top-k 10": Sampler(1.0, top_k=10),
    "top-k 50": Sampler(1.0, top_k=50),
    "top-p 0.9": Sampler(1.0, top_p=0.9),
    "top-p 0.95": Sampler(1.0, top_p=0.95),
    "top-k 50 + top-p 0.95": Sampler(1.0, top_k=50, top_p=0.95),
}


def row_at(group: str, base: str, point: Mapping[str, Any]) -> SweepRow:
    """The row of ``group`` where the base case, of the model ``base``, has the axis values of ``point``."""
    case = _set(Case(), "model", base)
    for axis in sorted(point, key=ORDER.index):
        case = _set(case, axis, point[axis])
    attention = str(point["attention"])
    words = [_word(axis, value) for axis, value in point.items() if axis != "attention"]
    words.append(case.shape.attention if attention.startswith("GQA") else attention)
    return SweepRow(group, " · ".join(words), attention.partition("-")[0].partition(" ")[0], case)


ORDER = (
    "model",
    "context",
    "attention",
    "positions",
    "dtype",
    "kv_dtype",
    "vocab",
    "sampler",
    "cache",
    "experts",
    "activation",
    "batch",
)


def _set(case: Case, axis: str, value: Any) -> Case:
    """``case`` with ``axis`` at ``value``; axes are set in ORDER, since heads and latents follow from the model."""
    shape = case.shape
    match axis:
        case "model":
            scale = SCALES[value]
            return _shaped(case, **scale._asdict(), kv_heads=scale.heads, hidden=4 * scale.dim)
        case "context":
            return replace(case, shape=replace(shape, context=value), prompt=value // 2)
        case "attention":
            return _attention(case, value)
        case "positions":
            if value == "RoPE window":
                return _windowed(case, "ring")
            return _shaped(case, positions=value.lower())
        case "dtype":
            return _shaped(case, dtype=value, kv_dtype=value)
        case "kv_dtype" | "vocab":
            return _shaped(case, **{axis: value})
        case "sampler":
            return replace(case, sampler=SAMPLERS[value])
        case "cache":
            return _cached(case, value)
        case "experts":
            return case if value == "dense" else _shaped(case, **_experts(shape, value))
        case "activation":
            hidden = shape.hidden * 3 // 2 if value == "GELU matched" else shape.hidden
            return _shaped(case, activation=value.split()[0].lower(), hidden=hidden)
        case _:
            return replace(case, batch=value)


def _word(axis: str, value: Any) -> str:
    """What a label says of ``axis`` at ``value``."""
    match axis:
        case "batch" | "context" | "vocab" | "cache":
            return f"{axis} {value}"
        case "kv_dtype":
            return f"KV {value}"
        case "experts" if value != "dense":
            return f"experts {value}"
        case _:
            return str(value)


def _shaped(case: Case, **fields: Any) -> Case:
    return replace(case, shape=replace(case.shape, **fields))


def _attention(case: Case, name: str) -> Case:
    """Grouped heads, or a latent of twice a head's size (64 at most) beside 16 rotary elements (a head's at most)."""
    shape = case.shape
    match name.split():
        case ["MHA"]:
            return case
        case ["GQA"]:
            return _shaped(case, kv_heads=max(1, shape.heads // 4))
        case ["GQA", _]:
            return _shaped(case, kv_heads=max(1, shape.heads // 2))
        case ["MQA"]:
            return _shaped(case, kv_heads=1)
    _, _, size = name.partition("-")
    latent = int(size) if size else min(64, 2 * shape.head_dim)
    absorbed = _shaped(case, latent=latent, query_latent=latent, rope_dim=min(16, shape.head_dim))
    return replace(absorbed, latent_mode="naive") if name.endswith(" naive") else absorbed


def _cached(case: Case, name: str) -> Case:
    match name:
        case "on":
            return case
        case "off":
            return replace(case, cache="none")
        case "paged":
            return replace(case, cache="paged")
        case "ring":
            return _windowed(case, "ring")
        case _:
            return _windowed(case, "none")


def _windowed(case: Case, cache: CacheLayout) -> Case:
    return replace(case, shape=replace(case.shape, window=WINDOW), cache=cache)


def _experts(shape: TransformerShape, name: str) -> dict[str, int]:
    """Fields of "experts/top-k", each as wide as the dense layer, or "matched": as many weights as it in all."""
    count, top_k = (int(word) for word in name.partition(" ")[0].split("/"))
    routed = {"experts": count, "experts_per_token": top_k}
    if not name.endswith("matched"):
        return routed
    dense = weight_count(parameters.mlp(shape.dim, shape.hidden))
    expert, router = parameters.experts(shape.dim, count, top_k, 1)
    return {**routed, "hidden": round((dense - weight_count(router)) / (count * expert.parameters))}
