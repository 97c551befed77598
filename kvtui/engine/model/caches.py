"""The kinds of cache that a layer can have, and how tensor parallelism divides each of them.

Every kind answers the questions of ``Cache`` in exact integers: how many entries it keeps at a context length
(``entries``), what one entry weighs on one tensor-parallel rank (``entry_bytes``), and what a sequence holds whatever
its length (``fixed_bytes``). The formulas are those of vLLM 0.33's KV-cache specs (page sizes per layer kind, heads per
rank, recurrent state shapes). For example, full attention of 8 KV heads of 128 + 128 elements keeps at 1,000 tokens
1,000 entries of 4,096 bytes in bf16, and on each of two ranks 1,000 entries of 2,048 bytes.
"""

from typing import Literal, NamedTuple, Protocol

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.formats import FORMATS, Format

Growth = Literal["growing", "indexer", "bounded", "state", "none"]
AttentionKind = Literal["full", "sliding_window", "chunked_local", "cross_attention", "evicted"]
RecurrentKind = Literal["gated_deltanet", "kda", "mamba1", "mamba2", "lightning", "short_conv"]

CONV_FORMAT = FORMATS["bf16"]


def heads_per_rank(heads: int, tp: int) -> int:
    """KV heads that each of ``tp`` ranks stores; above one rank per head they are replicated.

    Raises InputError when neither number divides the other.
    """
    if heads % tp and tp % heads:
        raise InputError(f"tp: {tp} does not divide {heads} KV heads, nor is it a multiple of them")
    return max(1, heads // tp)


def _check_divides(tp: int, count: int, what: str) -> None:
    if count % tp:
        raise InputError(f"tp: {tp} does not divide {count} {what}")


class Cache(Protocol):
    """What every kind of cache answers, of one layer.

    A sequence keeps ``entries`` of ``entry_bytes`` each, and ``fixed_bytes`` whatever its length.
    """

    @property
    def kind(self) -> str:
        """The kind's name in reports, such as ``full``, ``sliding_window``, ``latent`` or ``mamba2``."""

    @property
    def growth(self) -> Growth:
        """The part of a report that its bytes belong to.

        ``growing`` grows with every token, ``indexer`` are an indexer's keys, ``bounded`` stops at ``cap``, ``state``
        is fixed, and ``none`` has no bytes of its own.
        """

    @property
    def cap(self) -> int | None:
        """The most entries that a sequence keeps, whatever its length; None where nothing bounds them."""

    @property
    def ratio(self) -> int:
        """Tokens that one entry stands for; 1 where nothing is compressed."""

    @property
    def q_heads(self) -> int:
        """Query heads that attend to the entries; 0 for an indexer and for a state."""

    def entries(self, context: int) -> int:
        """Entries that a sequence of ``context`` tokens keeps."""

    def entry_bytes(self, kv: Format, tp: int) -> int:
        """Bytes of one entry in the cache format ``kv`` on one of ``tp`` ranks.

        Raises InputError for a format that has no layout for this cache, and for heads that ``tp`` cannot share.
        """

    def fixed_bytes(self, tp: int) -> int:
        """Bytes that a sequence of any length keeps on one of ``tp`` ranks."""

    def macs_per_entry(self) -> int:
        """Multiply-accumulates that one new token spends on one entry, on all ranks together."""

    def check(self, tp: int) -> None:
        """Raises InputError when ``tp`` ranks cannot share this layer."""


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

    @property
    def ratio(self) -> int:
        return 1

    def entries(self, context: int) -> int:
        if self.cap is None:
            return context
        return self.cap if self.kind == "cross_attention" else min(context, self.cap)

    def entry_bytes(self, kv: Format, tp: int) -> int:
        heads = heads_per_rank(self.kv_heads, tp)
        return kv.row_bytes(heads, self.k_dim) + kv.v.row_bytes(heads, self.v_dim)

    def fixed_bytes(self, tp: int) -> int:
        return 0

    def macs_per_entry(self) -> int:
        return self.q_heads * (self.k_dim + self.v_dim)

    def check(self, tp: int) -> None:
        _check_divides(tp, self.q_heads, "attention heads")
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
        _check_divides(tp, self.q_heads, "attention heads")


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

    @property
    def cap(self) -> None:
        return None

    @property
    def q_heads(self) -> int:
        return 0

    def entries(self, context: int) -> int:
        return context // self.ratio

    def entry_bytes(self, kv: Format, tp: int) -> int:
        """Bytes of one key, whatever the cache's format; every rank has all keys."""
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

    @property
    def cap(self) -> None:
        return None

    @property
    def ratio(self) -> int:
        return 1

    @property
    def q_heads(self) -> int:
        return 0

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
        _check_divides(tp, self.heads, f"{self.kind} heads")
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

    @property
    def cap(self) -> None:
        return None

    @property
    def ratio(self) -> int:
        return 1

    @property
    def q_heads(self) -> int:
        return self.reads.q_heads

    def entries(self, context: int) -> int:
        return 0

    def entry_bytes(self, kv: Format, tp: int) -> int:
        return 0

    def fixed_bytes(self, tp: int) -> int:
        return 0

    def macs_per_entry(self) -> int:
        """Multiply-accumulates of one new token on one of the entries that it reads."""
        return self.reads.macs_per_entry()

    def check(self, tp: int) -> None:
        self.reads.check(tp)


def kept_bytes(cache: Cache, context: int, kv: Format, tp: int = 1) -> int:
    """Bytes that ``cache`` keeps for one sequence of ``context`` tokens on one of ``tp`` ranks."""
    return cache.entries(context) * cache.entry_bytes(kv, tp) + cache.fixed_bytes(tp)


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
