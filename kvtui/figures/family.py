"""A family of like models in every attention variant: what the comparisons of shapes, not of catalogue models, vary.

A member is a benchmark shape, so that what is drawn here is what ``kvtui bench`` measures. The defaults are those of a
published family of small models: heads of 32, SwiGLU of four times the width, a latent with 16 rotary elements.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from kvtui.cases.case import TransformerShape
from kvtui.cases.prediction import kv_format, model_spec, parameter_count
from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.spec import ModelSpec, cache_bytes

MOST_BLOCKS = 4096
ATTENTIONS = ("MHA", "GQA", "MLA")


class ShapeFamily(NamedTuple):
    """``blocks`` layers with heads of ``head_dim``; GQA shares each KV head between ``queries`` query heads.

    MLA caches ``latent`` + ``rope`` elements per token and layer. Weights and cache are in ``dtype`` (fp32 or bf16).
    """

    blocks: int = 12
    head_dim: int = 32
    queries: int = 4
    latent: int = 64
    rope: int = 16
    vocab: int = 256
    dtype: str = "fp32"


def member(family: ShapeFamily, dim: int, attention: str, latent: int | None = None) -> TransformerShape:
    """The family's model of width ``dim``, with a latent of another size if ``latent`` is given.

    Raises InputError when the heads do not divide the width, the KV heads the heads, or there are too many layers.
    """
    if family.blocks > MOST_BLOCKS:
        raise InputError(f"blocks: {family.blocks:,} layers, more than {MOST_BLOCKS:,}")
    heads, rest = divmod(dim, family.head_dim)
    if rest or not heads:
        raise InputError(f"dim: {dim} is not a multiple of the head's {family.head_dim} elements")
    common = TransformerShape(
        dim=dim,
        heads=heads,
        head_dim=family.head_dim,
        kv_heads=heads,
        blocks=family.blocks,
        hidden=4 * dim,
        vocab=family.vocab,
        dtype=family.dtype,
        kv_dtype=family.dtype,
    )
    match attention:
        case "MLA":
            size = family.latent if latent is None else latent
            return replace(common, latent=size, query_latent=max(2, dim // 2), rope_dim=family.rope)
        case "GQA":
            return replace(common, kv_heads=max(1, heads // family.queries))
        case "MQA":
            return replace(common, kv_heads=1)
        case _:
            return common


def widths(family: ShapeFamily) -> list[int]:
    """Eight widths of the family, at which GQA shares evenly: 128 to 1,024 for the family's own heads."""
    return [n * family.head_dim * family.queries for n in range(1, 9)]


def spec(shape: TransformerShape) -> ModelSpec:
    """The planner's model of ``shape``."""
    return model_spec(shape)


def millions(shape: TransformerShape) -> float:
    """All weights of ``shape``, in millions."""
    return parameter_count(shape) / 1e6


def token_bytes(shape: TransformerShape) -> int:
    """Cache bytes of one more token of one sequence."""
    return cache_bytes(model_spec(shape).caches, 1, kv_format(shape)).kv


def token_elements(shape: TransformerShape) -> int:
    """Cached elements of one token in one layer: 2 × KV heads × head, or latent + rotary part."""
    return shape.latent + shape.rope_dim if shape.latent else 2 * shape.kv_heads * shape.head_dim
