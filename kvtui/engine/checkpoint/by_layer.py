"""Bytes of a checkpoint by layer: what moves with a layer when it is put elsewhere."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kvtui.engine.checkpoint.format import CheckpointFormat, Place
from kvtui.engine.checkpoint.ranks import EXPERTS
from kvtui.engine.checkpoint.weights import layer_tensors, outside, tensor_bytes
from kvtui.engine.model.spec import Layer, ModelSpec


class LayerWeights(NamedTuple):
    """Bytes of one layer: its routed ``experts`` and the ``rest``, and of its ``largest`` matrix, of experts if any."""

    experts: int
    rest: int
    largest: int = 0


class WeightsByLayer(NamedTuple):
    """Bytes of the ``layers``, then of the prediction layers ``mtp``; of the ``output`` layer and of what is looked up.

    ``embedding`` are the tables of which a token takes a row; where the output has no matrix of its own, ``tied`` are
    the bytes of the one that stands for it. ``towers`` are vision and audio encoders that the same files hold.
    """

    layers: tuple[LayerWeights, ...]
    mtp: tuple[LayerWeights, ...]
    embedding: int
    output: int
    towers: int
    tied: int

    def layer(self, number: int) -> LayerWeights:
        """The layer ``number``, counting on over the prediction layers; nothing for an external drafter's."""
        if number < len(self.layers):
            return self.layers[number]
        drafting = number - len(self.layers)
        return self.mtp[drafting] if drafting < len(self.mtp) else LayerWeights(0, 0)


@lru_cache(maxsize=64)
def weights_by_layer(model: ModelSpec, form: CheckpointFormat) -> WeightsByLayer:
    """The bytes of ``model`` in ``form``; of weights in no one knows which layer, each has an even share.

    Raises InputError when nothing says how many weights there are.
    """
    loose, place = outside(model), Place("outside")
    has_head = any(tensor.role == "head" for tensor in loose)
    embedding = output = towers = spread = tied = 0
    for tensor in loose:
        size = tensor_bytes(tensor, form.encoding(tensor, place))
        looked_up = tensor.role == "embedding" or (tensor.role == "per_layer" and tensor.rows == model.vocab)
        if looked_up:
            embedding += size
            tied += size if tensor.role == "embedding" and tensor.columns == model.hidden and not has_head else 0
        elif tensor.role == "tower":
            towers += size
        elif tensor.role == "other":
            spread += size
        else:
            output += size
    count = len(model.layers)
    found: list[LayerWeights] = []
    for number, (layer, first) in enumerate(zip(model.layers, form.first_alike(model.first_alike), strict=True)):
        found.append(found[first] if first < number else _layer(layer, form, Place("layer", number)))
    layers = tuple(
        one._replace(rest=one.rest + spread * (number + 1) // count - spread * number // count)
        for number, one in enumerate(found)
    )
    mtp = tuple(_layer(layer, form, Place("mtp", number)) for number, layer in enumerate(model.mtp, count))
    return WeightsByLayer(layers, mtp, embedding, output, towers, tied)


def _layer(layer: Layer, form: CheckpointFormat, place: Place) -> LayerWeights:
    experts: list[int] = []
    rest: list[int] = []
    for tensor in layer_tensors(layer):
        size = tensor_bytes(tensor, form.encoding(tensor, place))
        of_experts = layer.experts is not None and tensor.role in EXPERTS
        (experts if of_experts else rest).append(size)
    return LayerWeights(sum(experts), sum(rest), max(experts or rest, default=0))
