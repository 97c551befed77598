"""Weights that a decode step reads: each layer's once, of the routed experts those that its tokens touch."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.ranks import EXPERTS, rank_bytes
from kvtui.engine.checkpoint.weights import Stored, layer_tensors, tensor_bytes
from kvtui.engine.model.spec import ModelSpec


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

    Of what lies in no layer that is a row of the head, or of the embedding tied to it, for each word of the vocabulary:
    looked-up rows and the last norm are next to nothing.
    """
    if any(layer.parameters is None for layer in model.layers):
        return None
    always, routed = 0, Counter[tuple[int, int]]()
    heads = (tensor for role in ("head", "embedding") for tensor in model.outside if tensor.role == role)
    for head in islice(heads, 1):
        rows = head._replace(rows=min(head.rows, model.vocab or head.rows))
        always += tensor_bytes(rows, form.encoding(head, Place("outside")).held)
    for index, copies in Counter(range(len(model.layers)) if form.by_layer else model.first_alike).items():
        layer, place = model.layers[index], Place("layer", index)
        for tensor in layer_tensors(layer):
            size = tp * rank_bytes(Stored(tensor, place.part, copies, form.encoding(tensor, place)), tp)
            if layer.experts is not None and tensor.role in EXPERTS:
                routed[layer.experts.total, layer.experts.active] += size
            else:
                always += size
    return WeightsRead(always, tuple(RoutedBytes(*experts, size) for experts, size in routed.items()))
