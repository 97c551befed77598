"""A model's architecture: its layers, what each of them caches, and how tensor parallelism divides that.

Every cache kind answers the same three questions in exact integers: how many entries it keeps at a context length
(``entries``), what one entry weighs on one tensor-parallel rank (``entry_bytes``), and what a sequence holds whatever
its length (``fixed_bytes``). The formulas are those of vLLM 0.33's KV-cache specs (page sizes per layer kind, heads per
rank, recurrent state shapes); ``growth`` says which part of the report a kind belongs to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.formats import FORMATS, Format

Growth = Literal["growing", "indexer", "bounded", "state", "none"]
AttentionKind = Literal["full", "sliding_window", "chunked_local", "cross_attention"]
RecurrentKind = Literal["gated_deltanet", "kda", "mamba1", "mamba2", "lightning", "short_conv"]

CONV_FORMAT = FORMATS["bf16"]


def heads_per_rank(heads: int, tp: int) -> int:
    """KV heads that each of ``tp`` ranks stores; above one rank per head they are replicated.

    Raises InputError when neither number divides the other.
    """
    if heads % tp and tp % heads:
        raise InputError(f"tp: {tp} does not divide {heads} KV heads, nor is it a multiple of them")
    return max(1, heads // tp)


def _divide(count: int, tp: int, what: str) -> int:
    if count % tp:
        raise InputError(f"tp: {tp} does not divide {count} {what}")
    return count // tp


class Attention(NamedTuple):
    """Softmax attention with a cached K row of ``k_dim`` and V row of ``v_dim`` elements per KV head.

    ``cap`` is the window or chunk in tokens, or for cross-attention the fixed number of encoder tokens.
    """

    kind: AttentionKind
    q_heads: int
    kv_heads: int
    k_dim: int
    v_dim: int
    cap: int | None = None

    @property
    def growth(self) -> Growth:
        return "growing" if self.cap is None else "bounded"

    def entries(self, context: int) -> int:
        """Cached tokens of a sequence of ``context`` tokens."""
        if self.cap is None:
            return context
        return self.cap if self.kind == "cross_attention" else min(context, self.cap)

    def entry_bytes(self, kv: Format, tp: int) -> int:
        """Bytes of one cached token on one of ``tp`` ranks."""
        heads = heads_per_rank(self.kv_heads, tp)
        return kv.row_bytes(heads, self.k_dim) + kv.row_bytes(heads, self.v_dim)

    def fixed_bytes(self, tp: int) -> int:
        return 0

    def macs_per_entry(self) -> int:
        """Multiply-accumulates that one new token spends on one cached token."""
        return self.q_heads * (self.k_dim + self.v_dim)

    def check(self, tp: int) -> None:
        """Raises InputError when ``tp`` ranks cannot share this layer."""
        _divide(self.q_heads, tp, "attention heads")
        heads_per_rank(self.kv_heads, tp)


class Latent(NamedTuple):
    """MLA: one vector of ``rank + rope`` elements per token serves as K and V; every rank keeps a full copy.

    ``packed_bytes`` is the entry in the format fp8_ds_mla, where the model has one. ``ratio`` tokens are compressed
    into one entry (DeepSeek-V4), and at most ``cap`` entries are kept when it is set.
    """

    q_heads: int
    rank: int
    rope: int
    packed_bytes: int | None = None
    ratio: int = 1
    cap: int | None = None

    @property
    def kind(self) -> str:
        if self.cap is not None:
            return "sliding_window_latent"
        return "latent" if self.ratio == 1 else "compressed_latent"

    @property
    def growth(self) -> Growth:
        return "growing" if self.cap is None else "bounded"

    def entries(self, context: int) -> int:
        """Cached entries of a sequence of ``context`` tokens."""
        kept = context // self.ratio
        return kept if self.cap is None else min(kept, self.cap)

    def entry_bytes(self, kv: Format, tp: int) -> int:
        """Bytes of one entry; ``tp`` does not divide it. Raises InputError without a packed layout for this model."""
        if not kv.packed_latent:
            return kv.row_bytes(1, self.rank + self.rope)
        if self.packed_bytes is None:
            raise InputError(f"kv-dtype {kv.name} has no known layout for a {self.rank}+{self.rope} latent")
        return self.packed_bytes

    def fixed_bytes(self, tp: int) -> int:
        return 0

    def macs_per_entry(self) -> int:
        """Multiply-accumulates of one new token on one entry, with absorbed projections."""
        return self.q_heads * (2 * self.rank + self.rope)

    def check(self, tp: int) -> None:
        """Raises InputError when ``tp`` ranks cannot share this layer's query heads."""
        _divide(self.q_heads, tp, "attention heads")


class Indexer(NamedTuple):
    """A sparse-attention indexer's key cache: ``key_bytes`` per entry in its own format, on every rank.

    Attention then reads only ``top_k`` tokens. ``heads`` index heads of ``key_dim`` score each entry.
    """

    heads: int
    key_dim: int
    key_bytes: int
    top_k: int
    ratio: int = 1

    @property
    def kind(self) -> str:
        return "sparse_indexer"

    @property
    def growth(self) -> Growth:
        return "indexer"

    def entries(self, context: int) -> int:
        """Cached keys of a sequence of ``context`` tokens."""
        return context // self.ratio

    def entry_bytes(self, kv: Format, tp: int) -> int:
        return self.key_bytes

    def fixed_bytes(self, tp: int) -> int:
        return 0

    def macs_per_entry(self) -> int:
        return self.heads * self.key_dim

    def check(self, tp: int) -> None:
        """An indexer is copied to every rank."""


class Recurrent(NamedTuple):
    """A linear-attention or state-space mixer: ``conv_rows`` rows of conv inputs and a recurrent state per sequence.

    ``conv_channels`` and ``state_elements`` are divided over ranks along ``heads``; ``group_channels`` belong to
    ``groups`` groups, which are replicated when there are fewer groups than ranks (Mamba-2). ``declared`` says that the
    model itself states ``state_format``; where it does not, some engines keep the state in the model's 16 bits.
    """

    kind: RecurrentKind
    heads: int
    conv_rows: int
    conv_channels: int
    state_elements: int
    state_format: str
    groups: int = 1
    group_channels: int = 0
    declared: bool = True

    @property
    def growth(self) -> Growth:
        return "state"

    def entries(self, context: int) -> int:
        return 0

    def entry_bytes(self, kv: Format, tp: int) -> int:
        return 0

    def conv_elements(self, tp: int) -> int:
        """Conv-state elements of one sequence on one rank."""
        replicas = max(1, tp // self.groups)
        return self.conv_rows * (self.conv_channels // tp + self.group_channels * replicas // tp)

    def fixed_bytes(self, tp: int) -> int:
        """Bytes of one sequence's conv state (16-bit activations) and recurrent state on one rank."""
        state = FORMATS[self.state_format].bytes(self.state_elements // tp)
        return CONV_FORMAT.bytes(self.conv_elements(tp)) + state

    def macs_per_entry(self) -> int:
        return 0

    def check(self, tp: int) -> None:
        """Raises InputError when ``tp`` ranks cannot share this layer."""
        _divide(self.heads, tp, f"{self.kind} heads")
        if self.group_channels and self.groups % tp and tp % self.groups:
            raise InputError(f"tp: {tp} does not divide {self.groups} {self.kind} groups, nor is it a multiple of them")


class Shared(NamedTuple):
    """A layer that reads another layer's K and V (``reads``) and stores none of its own."""

    reads: Attention | Latent

    @property
    def kind(self) -> str:
        return "shared"

    @property
    def growth(self) -> Growth:
        return "none"

    def entries(self, context: int) -> int:
        return 0

    def entry_bytes(self, kv: Format, tp: int) -> int:
        return 0

    def fixed_bytes(self, tp: int) -> int:
        return 0

    def macs_per_entry(self) -> int:
        return self.reads.macs_per_entry()

    def check(self, tp: int) -> None:
        """Raises InputError when ``tp`` ranks cannot share this layer's query heads."""
        self.reads.check(tp)


Cache = Attention | Latent | Indexer | Recurrent | Shared


def gated_deltanet(
    key_heads: int,
    value_heads: int,
    key_dim: int,
    value_dim: int,
    conv: int,
    state_format: str = "fp32",
    declared: bool = True,
) -> Recurrent:
    """Gated DeltaNet (Qwen3-Next and later): conv over q, k and v, one key_dim × value_dim state per value head."""
    return Recurrent(
        "gated_deltanet",
        heads=key_heads,
        conv_rows=conv - 1,
        conv_channels=2 * key_heads * key_dim + value_heads * value_dim,
        state_elements=value_heads * value_dim * key_dim,
        state_format=state_format,
        declared=declared,
    )


def kda(heads: int, dim: int, conv: int, state_format: str = "fp32") -> Recurrent:
    """Kimi Delta Attention: conv over q, k and v of ``heads`` × ``dim``, one dim × dim state per head."""
    return Recurrent(
        "kda",
        heads=heads,
        conv_rows=conv - 1,
        conv_channels=3 * heads * dim,
        state_elements=heads * dim * dim,
        state_format=state_format,
    )


def mamba2(heads: int, head_dim: int, state: int, groups: int, conv: int, state_format: str) -> Recurrent:
    """Mamba-2: conv over the inner channels and 2 × groups × state, one head_dim × state state per head."""
    return Recurrent(
        "mamba2",
        heads=heads,
        conv_rows=conv - 1,
        conv_channels=heads * head_dim,
        state_elements=heads * head_dim * state,
        state_format=state_format,
        groups=groups,
        group_channels=2 * groups * state,
    )


def mamba1(inner: int, state: int, conv: int, state_format: str) -> Recurrent:
    """Mamba-1: conv over ``inner`` channels, ``state`` elements per channel."""
    return Recurrent(
        "mamba1",
        heads=inner,
        conv_rows=conv - 1,
        conv_channels=inner,
        state_elements=inner * state,
        state_format=state_format,
    )


def lightning(heads: int, dim: int, state_format: str) -> Recurrent:
    """Lightning (linear) attention: one dim × dim state per head, no conv."""
    return Recurrent(
        "lightning",
        heads=heads,
        conv_rows=0,
        conv_channels=0,
        state_elements=heads * dim * dim,
        state_format=state_format,
    )


def short_conv(channels: int, conv: int) -> Recurrent:
    """LFM2's gated short convolution: the last ``conv - 1`` inputs of ``channels`` channels."""
    return Recurrent(
        "short_conv",
        heads=channels,
        conv_rows=conv - 1,
        conv_channels=channels,
        state_elements=0,
        state_format="bf16",
    )


class Experts(NamedTuple):
    """Routed experts of a layer: ``active`` of ``count`` run for a token, each of ``parameters`` weights."""

    count: int  # type: ignore[assignment]
    active: int
    parameters: int

    def distinct(self, tokens: int) -> float:
        """Expected number of different experts that ``tokens`` tokens touch, with even routing: E·(1 − (1 − k/E)^n)."""
        return float(self.count * (1 - (1 - self.active / self.count) ** tokens))


class Layer(NamedTuple):
    """One layer: its caches, its weights without routed experts (None if unknown), its experts, its FFN width.

    ``width`` is the number of intermediate FFN elements that one token produces.
    """

    caches: tuple[Cache, ...] = ()
    parameters: int | None = None
    experts: Experts | None = None
    width: int = 0

    @property
    def total_parameters(self) -> int | None:
        """All weights of the layer, every expert included; None if unknown."""
        if self.parameters is None:
            return None
        return self.parameters + (self.experts.count * self.experts.parameters if self.experts else 0)


class CacheBytes(NamedTuple):
    """Bytes of one sequence, split as the report splits them."""

    growing: int = 0
    indexer: int = 0
    bounded: int = 0
    state: int = 0

    @property
    def kv(self) -> int:
        """All that is indexed by token: growing, indexer and bounded bytes."""
        return self.growing + self.indexer + self.bounded


LayerCounts = tuple[tuple[Layer, int], ...]


def count_layers(layers: Iterable[Layer]) -> LayerCounts:
    """Equal layers with their number, in order of first appearance."""
    return tuple(Counter(layers).items())


def cache_bytes(layers: LayerCounts, context: int, kv: Format, tp: int = 1) -> CacheBytes:
    """Bytes that ``layers`` keep for one sequence of ``context`` tokens on one of ``tp`` ranks."""
    total = {"growing": 0, "indexer": 0, "bounded": 0, "state": 0, "none": 0}
    for layer, count in layers:
        for cache in layer.caches:
            size = cache.entries(context) * cache.entry_bytes(kv, tp) + cache.fixed_bytes(tp)
            total[cache.growth] += count * size
    del total["none"]
    return CacheBytes(**total)


@dataclass(frozen=True)
class ModelSpec:
    """A model: ordered ``layers``, extra multi-token-prediction layers ``mtp``, and its weights.

    ``parameters`` counts every resident weight and ``active_parameters`` those that one token uses; None means unknown.
    ``parameters_from`` is "shape", "stated" or "file". ``weight_bytes`` is set when a file states the exact size.
    ``confidence`` is H (read in a source), M (one source) or L (approximate).
    """

    name: str
    source: str
    confidence: str
    layers: tuple[Layer, ...]
    hidden: int | None
    vocab: int | None
    max_context: int | None
    parameters: int | None
    active_parameters: int | None
    parameters_from: str
    mtp: tuple[Layer, ...] = ()
    aliases: tuple[str, ...] = ()
    weight_bytes: int | None = None
    published_weights: str | None = None
    notes: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash((self.name, self.source, len(self.layers)))

    @cached_property
    def counted(self) -> LayerCounts:
        """Equal layers with their number."""
        return count_layers(self.layers)

    @cached_property
    def layer_kinds(self) -> dict[str, int]:
        """Number of layers that have each kind of cache; ``none`` for layers without one."""
        kinds: Counter[str] = Counter()
        for layer, count in self.counted:
            for kind in dict.fromkeys(cache.kind for cache in layer.caches) or ("none",):
                kinds[kind] += count
        return dict(kinds)

    def bytes_per_token(self, kv: Format, growth: Growth = "growing", tp: int = 1) -> int:
        """Bytes that one more token adds without bound on one rank, rounded up where entries are compressed."""
        total = 0
        common = self._common_ratio
        for layer, count in self.counted:
            for cache in layer.caches:
                if cache.growth == growth:
                    total += count * cache.entry_bytes(kv, tp) * common // getattr(cache, "ratio", 1)
        return -(-total // common)

    def bounded_bytes(self, kv: Format, tp: int = 1) -> int:
        """Bytes of one sequence's windowed, chunked and cross-attention caches at their cap."""
        longest = max((getattr(c, "cap", None) or 0) for layer, _ in self.counted for c in layer.caches or (None,))
        return cache_bytes(self.counted, longest, kv, tp).bounded

    def state_bytes(self, tp: int = 1) -> int:
        """Bytes of one sequence's recurrent and conv state on one rank."""
        return cache_bytes(self.counted, 0, FORMATS["bf16"], tp).state

    @property
    def max_tp(self) -> int:
        """Query heads of the attention layers' widest common split: no TP above it can be valid."""
        caches = [cache for layer, _ in self.counted for cache in layer.caches]
        return max((cache.q_heads for cache in caches if isinstance(cache, Attention | Latent)), default=1)

    def check_tp(self, tp: int) -> None:
        """Raises InputError, naming the heads, when ``tp`` ranks cannot share this model."""
        for layer, _ in self.counted:
            for cache in layer.caches:
                cache.check(tp)

    @cached_property
    def _common_ratio(self) -> int:
        from math import lcm

        return lcm(1, *(getattr(cache, "ratio", 1) for layer, _ in self.counted for cache in layer.caches))
