"""The caches that llama.cpp allocates for a stretch of layers, each as one line of its start-up log.

Read in llama.cpp's sources (llama-context, llama-kv-cache, -iswa, -dsa, -dsv4, llama-memory-recurrent) up to the
builds of September 2026. Everything is allocated at the start: a cell for every token that may be cached, in K's and
V's type, and one recurrent state per server slot, in F32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.engines.result import Buffer
from kvtui.engine.model.caches import Attention, Cache, Indexer, Latent, Recurrent, Shared
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import LayerCounts, ModelSpec
from kvtui.engine.serving.llamacpp.releases import Build, LatentStorage

STATE_FORMAT = FORMATS["fp32"]
COMPRESSED_PADDING = 256
LATENT_HEAD = 128
"""Elements of a head without its rotary ones in the models with MLA of the builds that store heads (DeepSeek)."""
ROLLBACK_KINDS = ("gated_deltanet", "kda")

_ORDER = (
    "KV buffer",
    "SWA KV buffer",
    "indexer KV buffer",
    "CSA KV buffer",
    "HCA KV buffer",
    "CSA state buffer",
    "HCA state buffer",
    "indexer state buffer",
    "RS buffer (R)",
    "RS buffer (S)",
)


class Split(NamedTuple):
    """How ``slots`` sequences divide a context: ``cells`` in each of ``streams`` caches, rounded up to ``padding``.

    A unified cache is one stream, which all slots share.
    """

    slots: int
    cells: int
    streams: int
    padding: int
    ubatch: int
    swa_full: bool

    def windowed(self, window: int, sequences: int) -> int:
        """Cells of a windowed layer's cache that ``sequences`` share: their windows, and one physical batch."""
        if self.swa_full:
            return self.cells
        return _padded(min(self.cells, window * sequences + self.ubatch), self.padding)

    def compressed(self, ratio: int) -> int:
        """Cells of one sequence's cache where ``ratio`` tokens make one entry (DeepSeek-V4)."""
        return _padded(-(-self.cells // ratio), COMPRESSED_PADDING)


def split(context: int, slots: int, unified: bool, build: Build, ubatch: int, swa_full: bool) -> Split:
    """What ``-c context`` gives: one cache for all ``slots``, or an equal part of the context for each of them."""
    whole = _padded(context, build.padding)
    cells = whole if unified else _padded(max(1, whole // slots), build.padding)
    return Split(slots, cells, 1 if unified else slots, build.padding, ubatch, swa_full)


class EntryStorage(NamedTuple):
    """How entries are stored: in ``kv``, V not narrower than ``widest_v`` elements, ``states`` kept of each slot.

    Without FlashAttention V is stored transposed, which takes the widest layer's V in every layer. Speculative decoding
    keeps one more state per drafted token to roll back to (``n_rs_seq``). Older builds store MLA's entries twice, as K
    and as V (``latent``: both), and the oldest all of its heads (heads).
    """

    kv: Format
    widest_v: int = 0
    states: int = 1
    latent: LatentStorage = "keys"

    def cell(self, cache: Attention | Latent | Indexer) -> int:
        """Bytes of one cell: K and V, an MLA entry (a K, which is V too), or an index key."""
        match cache:
            case Attention():
                value = max(cache.kv_heads * cache.v_dim, self.widest_v)
                return self.kv.row_bytes(cache.kv_heads, cache.k_dim) + self.kv.v.row_bytes(1, value)
            case Latent() if self.latent == "heads" and cache.ratio == 1:
                keys = self.kv.row_bytes(cache.q_heads, LATENT_HEAD + cache.rope)
                return keys + self.kv.v.row_bytes(cache.q_heads, LATENT_HEAD)
            case Latent():
                values = self.kv.v.row_bytes(1, cache.rank) if self.latent == "both" and cache.ratio == 1 else 0
                return self.kv.row_bytes(1, cache.rank + cache.rope) + values
            case Indexer():
                return self.kv.row_bytes(1, cache.key_dim)


def widest_value(model: ModelSpec) -> int:
    """Elements of the widest V row of ``model``."""
    caches = [cache for layer in model.layers + model.mtp for cache in layer.caches]
    read = [cache.reads if isinstance(cache, Shared) else cache for cache in caches]
    return max((cache.kv_heads * cache.v_dim for cache in read if isinstance(cache, Attention)), default=0)


def buffers(layers: LayerCounts, split: Split, rows: EntryStorage, prefix: str = "") -> tuple[Buffer, ...]:
    """The buffers of ``layers``, alike ones together, named ``prefix`` and then as llama.cpp does.

    ``cells`` is the number that its log prints, of one stream; ``bytes`` are those of all streams and layers. Raises
    InputError for a layer that llama.cpp does not cache.
    """
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for layer, count in layers:
        indexed = any(isinstance(cache, Indexer) for cache in layer.caches)
        for cache in layer.caches:
            for name, cells, size in _tensors(cache, indexed, split, rows):
                number, total = found.get((name, cells), (0, 0))
                found[name, cells] = (number + count, total + count * size)
    return tuple(
        Buffer(prefix + name, cells, number, total)
        for (name, cells), (number, total) in sorted(found.items(), key=_place)
    )


def state_bytes(layers: LayerCounts, states: int) -> int:
    """Bytes of one slot's recurrent states in ``layers``."""
    caches = ((cache, count) for layer, count in layers for cache in layer.caches)
    return sum(count * sum(_state(cache, states)) for cache, count in caches if isinstance(cache, Recurrent))


def check_heads(model: ModelSpec, kv: Format) -> None:
    """Raises InputError when a head of ``model`` is not a whole number of ``kv``'s blocks."""
    for size, form in _head_sizes(model, kv):
        if size % form.block:
            raise InputError(
                f"kv-dtype: llama.cpp stores {form.name} in blocks of {form.block}, which do not divide heads of {size}"
            )


def _tensors(cache: Cache, indexed: bool, split: Split, rows: EntryStorage) -> Iterator[tuple[str, int, int]]:
    """Name, cells of one stream and bytes of each tensor of ``cache``; a compressed cache may be ``indexed``.

    DeepSeek-V4's caches have a stream for each slot even when the others are unified.
    """
    match cache:
        case Attention(kind="cross_attention"):
            raise InputError("engine: llama.cpp keeps no cache for cross-attention layers")
        case Attention(cap=int(window)):
            cells = split.windowed(window, split.slots if split.streams == 1 else 1)
            yield "SWA KV buffer", cells, split.streams * cells * rows.cell(cache)
        case Latent(cap=int(window)):
            cells = split.windowed(window, 1)
            yield "SWA KV buffer", cells, split.slots * cells * rows.cell(cache)
        case Attention() | Latent(ratio=1):
            yield "KV buffer", split.cells, split.streams * split.cells * rows.cell(cache)
        case Indexer(ratio=1):
            yield "indexer KV buffer", split.cells, split.streams * split.cells * rows.cell(cache)
        case Latent() | Indexer():
            name = "indexer" if isinstance(cache, Indexer) else "CSA" if indexed else "HCA"
            cells = split.compressed(cache.ratio)
            yield f"{name} KV buffer", cells, split.slots * cells * rows.cell(cache)
            width = cache.key_dim if isinstance(cache, Indexer) else cache.rank + cache.rope
            window, size = _compressor(cache.ratio, width, indexed)
            yield f"{name} state buffer", window, split.slots * rows.states * size
        case Recurrent():
            conv, state = _state(cache, rows.states)
            yield "RS buffer (R)", split.slots, split.slots * conv
            yield "RS buffer (S)", split.slots, split.slots * state


def _compressor(ratio: int, width: int, indexed: bool) -> tuple[int, int]:
    """Tokens and bytes of the keys and scores in F32 that wait for compression: two windows of two keys if indexed."""
    overlap = 2 if indexed else 1
    return overlap * ratio, 2 * STATE_FORMAT.bytes(overlap * ratio * overlap * width)


def _state(cache: Recurrent, states: int) -> tuple[int, int]:
    """Bytes of one slot's conv state R and recurrent state S; a kind that can roll back keeps ``states`` of each."""
    kept = states if cache.kind in ROLLBACK_KINDS else 1
    return kept * STATE_FORMAT.bytes(cache.conv_elements(1)), kept * STATE_FORMAT.bytes(cache.state_elements)


def _head_sizes(model: ModelSpec, kv: Format) -> Iterable[tuple[int, Format]]:
    """The head sizes of ``model``, each with the format that its entries are stored in."""
    for layer in model.layers:
        for cache in layer.caches:
            match cache:
                case Attention():
                    yield from ((cache.k_dim, kv), (cache.v_dim, kv.v))
                case Latent():
                    yield cache.rank + cache.rope, kv
                case Indexer():
                    yield cache.key_dim, kv


def _place(item: tuple[tuple[str, int], tuple[int, int]]) -> tuple[int, int]:
    (name, cells), _ = item
    return _ORDER.index(name), cells


def _padded(count: int, padding: int) -> int:
    return -(-count // padding) * padding
