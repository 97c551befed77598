"""A benchmark case: one transformer shape under one workload, and everything that makes its programs different.

Two rows with equal cases run equal programs, so ``Case.key`` is what measurements are shared by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from kvtui.engine.basis.errors import InputError, UnknownName

Positions = Literal["rope", "alibi", "learned", "sinusoidal"]
Activation = Literal["swiglu", "gelu"]
CacheLayout = Literal["contiguous", "paged", "ring", "none"]
LatentMode = Literal["absorbed", "naive"]

POSITIONS = ("rope", "alibi", "learned", "sinusoidal")
ACTIVATIONS = ("swiglu", "gelu")
CACHE_LAYOUTS = ("contiguous", "paged", "ring", "none")
LATENT_MODES = ("absorbed", "naive")
WEIGHT_DTYPES = ("fp32", "bf16")
KV_DTYPES = ("fp32", "bf16", "int8")


def _known(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UnknownName(field, value, allowed)


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """A decoder-only transformer.

    ``latent`` > 0 means MLA with a latent of that many elements, ``rope_dim`` rotary elements beside it and queries
    compressed to ``query_latent``; else every layer caches K and V of ``kv_heads`` × ``head_dim``. ``hidden`` is the
    width of the feed-forward layer, of one expert when there are ``experts``. ``context`` is the longest sequence, in
    tokens; learned positions have one row for each. Weights and activations share ``dtype``. Embeddings are tied.
    """

    dim: int = 256
    heads: int = 8
    head_dim: int = 32
    kv_heads: int = 8
    blocks: int = 6
    hidden: int = 1024
    vocab: int = 256
    context: int = 256
    latent: int = 0
    query_latent: int = 0
    rope_dim: int = 0
    window: int | None = None
    positions: Positions = "rope"
    activation: Activation = "swiglu"
    experts: int = 0
    experts_per_token: int = 0
    dtype: str = "fp32"
    kv_dtype: str = "fp32"

    def __post_init__(self) -> None:
        for field in ("dim", "heads", "head_dim", "kv_heads", "blocks", "hidden", "vocab", "context"):
            if getattr(self, field) < 1:
                raise InputError(f"{field}: {getattr(self, field)} is below 1")
        _known("positions", self.positions, POSITIONS)
        _known("activation", self.activation, ACTIVATIONS)
        _known("dtype", self.dtype, WEIGHT_DTYPES)
        _known("kv-dtype", self.kv_dtype, KV_DTYPES)
        if self.heads % self.kv_heads:
            raise InputError(f"kv-heads: {self.kv_heads} does not divide {self.heads} heads")
        if self.latent and not (self.query_latent and self.rope_dim):
            raise InputError("latent: MLA needs a query latent and a rope dimension")
        if self.rope_dim % 2 or (self.positions == "rope" and self.head_dim % 2):
            raise InputError("rope: rotary dimensions must be even")
        if self.experts and not 1 <= self.experts_per_token <= self.experts:
            raise InputError(f"experts-per-token: {self.experts_per_token} is not between 1 and {self.experts}")
        if self.window is not None and self.window < 1:
            raise InputError(f"window: {self.window} is below 1")

    @property
    def attention(self) -> str:
        """What the field calls this attention: MHA, GQA(kv/heads), MQA or MLA."""
        if self.latent:
            return "MLA"
        if self.kv_heads == self.heads:
            return "MHA"
        return "MQA" if self.kv_heads == 1 else f"GQA({self.kv_heads}/{self.heads})"


@dataclass(frozen=True, slots=True)
class Sampler:
    """How the next token is chosen: greedily at ``temperature`` 0, else from the ``top_k`` or ``top_p`` most likely."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise InputError(f"temperature: {self.temperature} is below 0")
        if self.top_k is not None and self.top_k < 1:
            raise InputError(f"top-k: {self.top_k} is below 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"top-p: {self.top_p} is not above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: ``batch`` sequences of ``prompt`` tokens, then decoding, with the cache in ``cache`` layout.

    ``cache`` "none" decodes by running the whole sequence again. ``length`` is the number of tokens the cache has room
    for (a ring holds at most the window); None means the shape's context.
    """

    shape: TransformerShape = TransformerShape()
    batch: int = 1
    prompt: int = 64
    cache: CacheLayout = "contiguous"
    latent_mode: LatentMode = "absorbed"
    sampler: Sampler = Sampler()
    length: int | None = None

    def __post_init__(self) -> None:
        _known("cache", self.cache, CACHE_LAYOUTS)
        _known("latent-mode", self.latent_mode, LATENT_MODES)
        if self.batch < 1:
            raise InputError(f"batch: {self.batch} is below 1")
        if not 1 <= self.prompt < self.cache_length:
            raise InputError(f"prompt: {self.prompt} is not between 1 and {self.cache_length - 1}")
        if self.cache_length > self.shape.context:
            raise InputError(f"length: {self.cache_length} exceeds the context of {self.shape.context}")
        if (self.cache == "ring") != (self.shape.window is not None) and self.cache != "none":
            raise InputError("cache: a window needs a ring, and a ring a window")

    @property
    def cache_length(self) -> int:
        """Tokens that a sequence may reach."""
        return self.shape.context if self.length is None else self.length

    @property
    def key(self) -> str:
        """A short stable name of everything that the case's programs depend on."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """The case as plain values, which ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The case of ``to_json``. Raises InputError for anything else."""
        try:
            rest = {key: value for key, value in values.items() if key not in {"shape", "sampler"}}
            return cls(
                shape=TransformerShape(**values.get("shape", {})), sampler=Sampler(**values.get("sampler", {})), **rest
            )
        except (TypeError, AttributeError) as error:
            known = ", ".join(field.name for field in fields(cls))
            raise InputError(f"case: not a benchmark case ({known}): {error}") from None


@dataclass(frozen=True, slots=True)
class SweepRow:
    """A line of the sweep's table: its group, its label and attention variant within the group, and its case."""

    group: str
    label: str
    variant: str
    case: Case
