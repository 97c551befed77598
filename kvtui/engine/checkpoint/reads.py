"""Weights that a decode step reads: each layer's once, of the routed experts those that its tokens touch."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import NamedTuple

from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.ranks import rank_bytes
from kvtui.engine.checkpoint.weights import Stored
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Tensor


class RoutedBytes(NamedTuple):
    """``bytes`` of all ``total`` routed experts, of which a token touches ``active``."""

    total: int
    active: int
    bytes: int

    def touched(self, tokens: int) -> float:
        """Expected share of the experts that ``tokens`` tokens touch, with even routing: 1 − (1 − k/E)^n."""
        return float(1 - (1 - self.active / self.total) ** tokens)


class WeightsRead(NamedTuple):
    """Bytes that all ranks of a replica together read in a decode step: ``always``, and what is ``routed``."""

    always: int
    routed: tuple[RoutedBytes, ...]


@lru_cache(maxsize=256)
def weights_read(model: ModelSpec, form: CheckpointFormat, tp: int = 1) -> WeightsRead | None:
    """What ``tp`` ranks read of ``model`` in one decode step; None where its layers' weights are not known apart.

    A row of the embedding is next to nothing, but where it is tied to the head, it is read as such.
    """
    if any(layer.parameters is None for layer in model.layers):
        return None
    always, routed = 0, Counter[tuple[int, int]]()
    known: dict[tuple[Tensor, Place], int] = {}

    def size(tensor: Tensor, place: Place) -> int:
        alike = (tensor, place if form.by_layer else Place(place.part))
        if alike not in known:
            known[alike] = tp * rank_bytes(Stored(tensor, place.part, 1, form.encoding(*alike)), tp)
        return known[alike]

    tied = all(tensor.role != "head" for tensor in model.outside)
    for tensor in model.outside:
        if tensor.role != "tower" and (tied or tensor.role != "embedding"):
            always += size(tensor, Place("outside"))
    for index, layer in enumerate(model.layers):
        place = Place("layer", index)
        always += sum(size(tensor, place) for tensor in layer.tensors or ())
        if layer.experts is not None:
            for tensor in layer.experts.tensors:
                every = tensor._replace(number=tensor.number * layer.experts.total)
                routed[layer.experts.total, layer.experts.active] += size(every, place)
    return WeightsRead(always, tuple(RoutedBytes(*experts, size) for experts, size in routed.items()))
