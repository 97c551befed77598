"""What PyTorch's caching allocator hands out beyond the bytes of the weights.

A tensor of 10 MiB and more gets a block of its own, rounded up to 2 MiB. What is left over is split off for others if
it is more than 1 MiB; else it stays with the tensor and is counted as allocated (``CUDACachingAllocator.cpp``,
``should_split``). Engines join some matrices into one parameter: q, k and v, gate and up, and all experts of a layer.

Example: each of Qwen2.5-7B's 28 layers has a joined q, k and v of 31.5 MiB (half a MiB over), a joined gate and up of
259 (one) and a down projection of 129.5 (a half): 56 MiB, by which 14.19 GiB of weights are logged as 14.25.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache

from kvtui.engine.basis.units import MIB
from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.ranks import ExpertRanks, rank_share
from kvtui.engine.checkpoint.weights import layer_tensors, outside
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Role, Tensor

OWN_BLOCK = 10 * MIB
ROUNDED_TO = 2 * MIB
KEPT = MIB

_JOINED: dict[Role, str] = {
    "q": "qkv",
    "k": "qkv",
    "v": "qkv",
    "q_a": "qkv_a",
    "kv_a": "qkv_a",
    "gate": "gate_up",
    "up": "gate_up",
    "expert_gate": "expert_gate_up",
    "expert_up": "expert_gate_up",
    "shared_gate": "shared_gate_up",
    "shared_up": "shared_gate_up",
}
_LUMPS = frozenset({"tower", "other"})


def kept_with(size: int) -> int:
    """Bytes that stay with a parameter of ``size`` bytes and are counted as its own."""
    if size < OWN_BLOCK:
        return 0
    left = -size % ROUNDED_TO
    return left if left <= KEPT else 0


def allocator_bytes(model: ModelSpec, form: CheckpointFormat, tp: int, experts: ExpertRanks, layers: range) -> int:
    """What stays with the parameters of ``layers`` on the fullest rank, embedding and head where their stage has them.

    Towers and weights known by number only are left out. Raises InputError when the model's weights are unknown.
    """
    by_layer, around = _kept(model, form, tp, experts)
    first, last = layers.start == 0, layers.stop == len(model.layers)
    return sum(by_layer[layers.start : layers.stop]) + (around[0] if first else 0) + (around[1] if last else 0)


@lru_cache(maxsize=256)
def _kept(
    model: ModelSpec, form: CheckpointFormat, tp: int, experts: ExpertRanks
) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Bytes by layer, and of embedding and head."""

    def left(tensors: Iterable[Tensor], place: Place) -> int:
        sizes: dict[str, int] = defaultdict(int)
        for tensor in tensors:
            if tensor.role not in _LUMPS:
                held = rank_share(tensor, tp, experts)
                bits = form.encoding(tensor, place).held.bits
                sizes[_JOINED.get(tensor.role, f"{tensor.role} {tensor.rows}")] += int(held.parameters * bits / 8)
        return sum(map(kept_with, sizes.values()))

    found: list[int] = []
    for index, (layer, first) in enumerate(zip(model.layers, form.first_alike(model.first_alike), strict=True)):
        found.append(found[first] if first < index else left(layer_tensors(layer), Place("layer", index)))
    ends = (
        left((tensor for tensor in outside(model) if tensor.role == role), Place("outside"))
        for role in ("embedding", "head")
    )
    embedding, head = ends
    return tuple(found), (embedding, head)
