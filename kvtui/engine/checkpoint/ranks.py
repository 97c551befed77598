"""What one device holds of a model's weights, as serving engines divide them.

Tensor parallelism (Megatron-LM, arXiv:1909.08053) gives each rank some out-features of column-parallel matrices, some
in-features of row-parallel ones, and a copy of everything else: norms, routers, the latent down-projections of MLA.
KV heads fewer than ranks are held several times. Vocabularies are padded to a multiple of 64 rows first (vLLM's
``VocabParallelEmbedding``). Expert parallelism gives each rank whole experts instead of a slice of every one.
Replicas that serve together have experts in common, whole or in slices.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from math import ceil
from typing import NamedTuple

from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.weights import Stored, layer_tensors, outside, tensor_bytes
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Tensor

VOCABULARY_STEP = 64
EXPERTS = frozenset({"expert_gate", "expert_up", "expert_down", "expert_bias"})
VOCABULARY = frozenset({"embedding", "head"})


class ExpertRanks(NamedTuple):
    """The ranks that routed experts are divided over: ``number`` of them, with ``whole`` experts or a slice of each.

    A ``number`` of 0 is the ranks of tensor parallelism.
    """

    number: int = 0
    whole: bool = False


SLICED = ExpertRanks()


def rank_tensor(tensor: Tensor, tp: int, rank: int = 0) -> Tensor:
    """What rank ``rank`` of ``tp`` holds of ``tensor``; of what does not divide evenly, the first ranks have more.

    Example: 8 KV heads of 128 rows are 512 rows on each of 2 ranks, and 128 on each of 16.
    """
    match tensor.split:
        case "rows":
            rows = tensor.rows
            if tensor.role in VOCABULARY:
                rows = ceil(rows / VOCABULARY_STEP) * VOCABULARY_STEP
            return tensor._replace(rows=_share(rows, tensor.parts, tp, rank))
        case "columns":
            return tensor._replace(columns=_share(tensor.columns, tensor.parts, tp, rank))
        case "copied":
            return tensor


def rank_bytes(one: Stored, tp: int, experts: ExpertRanks = SLICED, rank: int = 0) -> int:
    """Bytes that a rank holds of the tensors ``one``, routed ``experts`` divided over ranks of their own.

    Those ranks are several groups of ``tp``: rank 5 of 8 has the same share of all else as rank 1 of 4.
    """
    return one.copies * tensor_bytes(rank_share(one.tensor, tp, experts, rank), one.encoding.held)


def rank_share(tensor: Tensor, tp: int, experts: ExpertRanks = SLICED, rank: int = 0) -> Tensor:
    """What rank ``rank`` holds of ``tensor``: of routed experts whole ones, or slices, as ``experts`` says."""
    if experts.number and tensor.role in EXPERTS:
        if experts.whole:
            return tensor._replace(number=_share(tensor.number, 0, experts.number, rank))
        return rank_tensor(tensor, experts.number, rank)
    return rank_tensor(tensor, tp, rank % tp)


def held_bytes(
    model: ModelSpec,
    form: CheckpointFormat,
    tp: int = 1,
    experts: ExpertRanks = SLICED,
    rank: int = 0,
    *,
    layers: range | None = None,
    mtp: bool = False,
    towers: bool = True,
) -> int:
    """Bytes of weights on one device; rank 0, the default, holds as much as any.

    ``layers`` are those of a pipeline stage, None all of them: the first stage has the embedding and the towers, the
    last the head and prediction layers, both a tied embedding. ``mtp`` and ``towers`` say whether prediction layers and
    vision or audio encoders are loaded; the embedding and head that prediction layers bring in a file are the model's
    own once more, and are held once. Raises InputError when the model's weights are unknown.
    """
    found = _divided(model, form, tp, experts, rank)
    count = len(model.layers)
    layers = range(count) if layers is None else layers
    first, last = layers.start == 0, layers.stop == count
    total = found.up_to[layers.stop] - found.up_to[layers.start]
    if first or (last and found.tied):
        total += found.embedding
    if first and towers:
        total += found.towers
    if last:
        total += found.head + (found.mtp if mtp else 0)
    return total + sum(_spread_bytes(other, layers, count, tp, rank) for other in found.others)


class _Divided(NamedTuple):
    """Bytes of one rank by where they lie; ``up_to`` are those of all layers before each.

    ``others`` are weights that lie in no one knows which layer.
    """

    up_to: tuple[int, ...]
    embedding: int
    head: int
    towers: int
    mtp: int
    tied: bool
    others: tuple[Stored, ...]


@lru_cache(maxsize=256)
def _divided(model: ModelSpec, form: CheckpointFormat, tp: int, experts: ExpertRanks, rank: int) -> _Divided:
    def size(tensors: Iterable[Tensor], place: Place) -> int:
        held = (Stored(tensor, place.part, 1, form.encoding(tensor, place)) for tensor in tensors)
        return sum(rank_bytes(one, tp, experts, rank) for one in held)

    loose = outside(model)
    in_layers: list[int] = []
    for index, (layer, first) in enumerate(zip(model.layers, form.first_alike(model.first_alike), strict=True)):
        place = Place("layer", index)
        in_layers.append(in_layers[first] if first < index else size(layer_tensors(layer), place))
    drafting = 0
    for index, layer in enumerate(model.mtp, len(model.layers)):
        own = (tensor for tensor in layer_tensors(layer) if tensor.role not in VOCABULARY)
        drafting += size(own, Place("mtp", index))
    apart, place = ("embedding", "tower", "other"), Place("outside")
    return _Divided(
        up_to=(0, *accumulate(in_layers)),
        embedding=size((tensor for tensor in loose if tensor.role == "embedding"), place),
        head=size((tensor for tensor in loose if tensor.role not in apart), place),
        towers=size((tensor for tensor in loose if tensor.role == "tower"), place),
        mtp=drafting,
        tied=all(tensor.role != "head" for tensor in loose),
        others=tuple(Stored(one, "outside", 1, form.encoding(one, place)) for one in loose if one.role == "other"),
    )


def _spread_bytes(other: Stored, layers: range, total: int, tp: int, rank: int) -> int:
    """A rank's bytes of a stage's even share of ``other``."""
    before, after = (other.tensor.columns * end // total for end in (layers.start, layers.stop))
    return rank_bytes(other._replace(tensor=other.tensor._replace(columns=after - before)), tp, rank=rank)


def _share(size: int, parts: int, tp: int, rank: int) -> int:
    """Elements of a dimension of ``size`` on a rank; ``parts`` of it stay whole, 0 for none."""
    if not parts:
        return size // tp + (rank < size % tp)
    whole = parts // tp + (rank < parts % tp) if parts >= tp else 1
    return size // parts * whole
