"""Weights that a decode step reads: each layer's once, of the routed experts those that its tokens touch."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.ranks import EXPERTS, VOCABULARY, rank_bytes
from kvtui.engine.checkpoint.weights import Stored, layer_tensors, tensor_bytes
from kvtui.engine.model.spec import Layer, ModelSpec


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
    alike = Counter(form.first_alike(model.first_alike))
    return _read(model, form, tp, [(model.layers[i], Place("layer", i), copies) for i, copies in alike.items()])


@lru_cache(maxsize=256)
def layers_read(
    model: ModelSpec, form: CheckpointFormat, layers: tuple[Layer, ...], part: Literal["layer", "mtp"], tp: int = 1
) -> WeightsRead:
    """What ``tp`` ranks read of ``layers`` beside the model's own and of its head: its prediction layers, or alike.

    Embeddings that prediction layers bring in a file are the model's own once more.
    """
    first = len(model.layers)
    own = [
        (layer._replace(tensors=tuple(t for t in layer.tensors or () if t.role not in VOCABULARY)), i)
        for i, layer in enumerate(layers, first if part == "mtp" else first - 1)
    ]
    return _read(model, form, tp, [(layer, Place(part, i), 1) for layer, i in own])


def _read(model: ModelSpec, form: CheckpointFormat, tp: int, layers: list[tuple[Layer, Place, int]]) -> WeightsRead:
    """The head, and ``layers`` with their places and their number."""
    always, routed = 0, Counter[tuple[int, int]]()
    heads = (tensor for role in ("head", "embedding") for tensor in model.outside if tensor.role == role)
    for head in islice(heads, 1):
        rows = head._replace(rows=min(head.rows, model.vocab or head.rows))
        always += tensor_bytes(rows, form.encoding(head, Place("outside")).held)
    for layer, place, copies in layers:
        for tensor in layer_tensors(layer):
            size = tp * rank_bytes(Stored(tensor, place.part, copies, form.encoding(tensor, place)), tp)
            if layer.experts is not None and tensor.role in EXPERTS:
                routed[layer.experts.total, layer.experts.active] += size
            else:
                always += size
    return WeightsRead(always, tuple(RoutedBytes(*experts, size) for experts, size in routed.items()))
