"""A model's architecture: its layers in order, what they cache, its experts and its weights."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from math import lcm
from typing import NamedTuple

from kvtui.engine.model.caches import Cache, Growth, Recurrent, kept_bytes
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.tensors import Tensors, weight_count


class Experts(NamedTuple):
    """Routed experts of a layer: ``active`` of ``total`` run for a token; ``tensors`` are those of one."""

    total: int
    active: int
    tensors: Tensors

    @property
    def parameters(self) -> int:
        """Weights of one expert."""
        return weight_count(self.tensors)


class Layer(NamedTuple):
    """One layer: its caches, its weights without routed experts (None if unknown), its experts, its FFN width.

    ``width`` is the number of intermediate FFN elements that one token produces.
    """

    caches: tuple[Cache, ...] = ()
    tensors: Tensors | None = None
    experts: Experts | None = None
    width: int = 0

    @property
    def parameters(self) -> int | None:
        """Weights of the layer without routed experts; None if unknown."""
        return None if self.tensors is None else weight_count(self.tensors)

    @property
    def total_parameters(self) -> int | None:
        """All weights of the layer, every expert included; None if unknown."""
        if self.parameters is None:
            return None
        return self.parameters + (self.experts.total * self.experts.parameters if self.experts else 0)


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
CacheCounts = tuple[tuple[Cache, int], ...]


def count_layers(layers: Iterable[Layer]) -> LayerCounts:
    """Equal layers with their number, in order of first appearance."""
    return tuple(Counter(layers).items())


def count_caches(layers: Iterable[Layer]) -> CacheCounts:
    """Equal caches of ``layers`` with their number, in order of first appearance."""
    return tuple(Counter(cache for layer in layers for cache in layer.caches).items())


def cache_bytes(caches: CacheCounts, context: int, kv: Format, tp: int = 1) -> CacheBytes:
    """Bytes that ``caches`` keep for one sequence of ``context`` tokens on one of ``tp`` ranks."""
    total = {"growing": 0, "indexer": 0, "bounded": 0, "state": 0, "none": 0}
    for cache, count in caches:
        total[cache.growth] += count * kept_bytes(cache, context, kv, tp)
    del total["none"]
    return CacheBytes(**total)


class Encoder(NamedTuple):
    """A vision encoder by its largest item: ``patches`` of ``patch`` elements in, ``item_tokens`` tokens out.

    ``hidden`` and ``width`` are elements of a row and within the MLP, which may be ``gated``. Where ``positions`` are
    learned, each patch has an embedding of its own beside its row.
    """

    item_tokens: int
    patches: int
    patch: int
    hidden: int
    width: int
    gated: bool = False
    positions: bool = False


class ModelFields(NamedTuple):
    """What a ``ModelSpec`` is made of; it explains the fields."""

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
    encoder: Encoder | None = None
    notes: tuple[str, ...] = ()
    outside: Tensors = ()
    stored: object | None = None
    rotary_elements: int | None = None
    named_weights: str | None = None
    family: str = ""
    window: int | None = None
    what_if: str = ""
    what_if_kv: Format | None = None
    real: object | None = None


class ModelSpec(ModelFields):
    """A model: ordered ``layers``, extra multi-token-prediction layers ``mtp``, and its weights.

    ``parameters`` counts every resident weight and ``active_parameters`` those that one token uses; None means unknown.
    ``parameters_from`` is "shape", "stated" or "file"; ``outside`` are the weights in no layer, as far as known.
    ``weight_bytes`` is set when a file states the exact size, or says how each weight is stored, and then ``stored`` is
    that format, a value of ``engine.checkpoint``, which stands above this room. ``named_weights`` is the format that
    the name says by which the model was asked for. ``rotary_elements`` are those of all
    tables of rotary angles that an engine makes, where that is not one table of ``max_context`` whole heads.
    ``confidence`` is H (read in a source), M (one source) or L (approximate).
    ``family`` is the model_type of its config.json, empty where that is unknown. ``window`` is one that its files state
    for all its layers, though these are counted in full: an engine may apply it. ``what_if`` says under what the model
    is a what-if of the model ``real``, and ``what_if_kv`` in which format it keeps K and V then.
    """

    def __hash__(self) -> int:
        return hash((self.name, self.source, len(self.layers)))

    @cached_property
    def counted(self) -> LayerCounts:
        """Equal layers with their number."""
        return count_layers(self.layers)

    @cached_property
    def first_alike(self) -> tuple[int, ...]:
        """For each layer the number of the first one that equals it."""
        found: dict[int, int] = {}
        first: dict[Layer, int] = {}
        for number, layer in enumerate(self.layers):
            if id(layer) not in found:  # equal layers are mostly one object, whose hash takes long
                found[id(layer)] = first.setdefault(layer, number)
        return tuple(found[id(layer)] for layer in self.layers)

    @cached_property
    def caches(self) -> CacheCounts:
        """Equal caches of all layers with their number."""
        return count_caches(self.layers)

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
        kept = [(cache, count) for cache, count in self.caches if cache.growth == growth]
        common = lcm(*(cache.ratio for cache, _ in kept))
        total = sum(count * cache.entry_bytes(kv, tp) * (common // cache.ratio) for cache, count in kept)
        return -(-total // common)

    def bounded_bytes(self, kv: Format, tp: int = 1) -> int:
        """Bytes of one sequence's windowed, chunked and cross-attention caches at their cap."""
        longest = max(((cache.cap or 0) * cache.ratio for cache, _ in self.caches), default=0)
        return cache_bytes(self.caches, longest, kv, tp).bounded

    def state_bytes(self, tp: int = 1) -> int:
        """Bytes of one sequence's recurrent and conv state on one rank."""
        return cache_bytes(self.caches, 0, FORMATS["bf16"], tp).state

    @property
    def max_tp(self) -> int:
        """Query heads of the attention layers' widest common split: no TP above it can be valid.

        Of a model without attention it is the heads of its states that count.
        """
        attending = max((1, *(cache.q_heads for cache, _ in self.caches)))
        if attending > 1:
            return attending
        return max((1, *(cache.heads for cache, _ in self.caches if isinstance(cache, Recurrent))))

    def check_tp(self, tp: int) -> None:
        """Raises InputError, naming the heads, when ``tp`` ranks cannot share this model."""
        for cache, _ in self.caches:
            cache.check(tp)


def has(model: ModelSpec, kind: type) -> bool:
    """Whether some layers of ``model`` have a cache of ``kind``."""
    return any(isinstance(cache, kind) for cache, _ in model.caches)
