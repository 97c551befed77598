"""What one device holds of a model's weights, as serving engines divide them.

Tensor parallelism (Megatron-LM, arXiv:1909.08053) gives each rank some out-features of column-parallel matrices, some
in-features of row-parallel ones, and a copy of everything else: norms, routers, the latent down-projections of MLA.
KV heads fewer than ranks are held several times. Vocabularies are padded to a multiple of 64 rows first (vLLM's
``VocabParallelEmbedding``). Expert parallelism gives each rank whole experts instead of a slice of every one.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

from kvtui.engine.checkpoint.format import CheckpointFormat
from kvtui.engine.checkpoint.weights import Stored, stored, tensor_bytes
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Tensor

VOCABULARY_STEP = 64
EXPERTS = frozenset({"expert_gate", "expert_up", "expert_down", "expert_bias"})
_VOCABULARY = frozenset({"embedding", "head"})


def rank_tensor(tensor: Tensor, tp: int, rank: int = 0) -> Tensor:
    """What rank ``rank`` of ``tp`` holds of ``tensor``; of what does not divide evenly, the first ranks have more.

    Example: 8 KV heads of 128 rows are 512 rows on each of 2 ranks, and 128 on each of 16.
    """
    match tensor.split:
        case "rows":
            rows = tensor.rows
            if tensor.role in _VOCABULARY:
                rows = ceil(rows / VOCABULARY_STEP) * VOCABULARY_STEP
            return tensor._replace(rows=_share(rows, tensor.parts, tp, rank))
        case "columns":
            return tensor._replace(columns=_share(tensor.columns, tensor.parts, tp, rank))
        case "copied":
            return tensor


def rank_bytes(one: Stored, tp: int, ep: int = 1, rank: int = 0) -> int:
    """Bytes that a rank holds of the tensors ``one``; with ``ep`` above 1 experts are divided over that many ranks."""
    tensor = one.tensor
    if ep > 1 and tensor.role in EXPERTS:
        tensor = tensor._replace(number=_share(tensor.number, 0, ep, rank))
    else:
        tensor = rank_tensor(tensor, tp, rank)
    return one.copies * tensor_bytes(tensor, one.encoding.held)


@lru_cache(maxsize=256)
def held_bytes(
    model: ModelSpec,
    form: CheckpointFormat,
    tp: int = 1,
    ep: int = 1,
    rank: int = 0,
    *,
    layers: range | None = None,
    mtp: bool = False,
    towers: bool = True,
) -> int:
    """Bytes of weights on one device; rank 0, the default, holds as much as any.

    ``layers`` are those of a pipeline stage, None all of them: the first stage has the embedding, the last the head,
    both a tied one. ``mtp`` and ``towers`` say whether prediction layers and vision or audio encoders are loaded.
    Raises InputError when the model's weights are unknown.
    """
    total = 0
    for one in stored(model, form, layers):
        if (one.part != "mtp" or mtp) and (one.tensor.role != "tower" or towers):
            total += rank_bytes(one, tp, ep, rank)
    return total


def _share(size: int, parts: int, tp: int, rank: int) -> int:
    """Elements of a dimension of ``size`` on a rank; ``parts`` of it stay whole, 0 for none."""
    if not parts:
        return size // tp + (rank < size % tp)
    whole = parts // tp + (rank < parts % tp) if parts >= tp else 1
    return size // parts * whole
