"""A model's weights in a checkpoint format: every tensor, how it is stored, and what that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat, Part, Place
from kvtui.engine.model.parameters import lump
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.model.tensors import Tensor, Tensors, weight_count

_LUMPS = frozenset({"other", "tower"})
_USUAL = 4096


def tensor_bytes(tensor: Tensor, encoding: Encoding) -> int:
    """Bytes of ``tensor`` in ``encoding``; weights known by number only are taken for matrices of 4096 × 4096."""
    if tensor.role in _LUMPS:
        return -(-tensor.parameters * encoding.bytes(_USUAL, _USUAL) // _USUAL**2)
    return tensor.number * encoding.bytes(tensor.rows, tensor.columns)


class Stored(NamedTuple):
    """``copies`` equal tensors of the same ``part`` of a model, and how each is stored."""

    tensor: Tensor
    part: Part
    copies: int
    encoding: Encoding

    @property
    def bytes(self) -> int:
        """Bytes of all copies in the file."""
        return self.copies * tensor_bytes(self.tensor, self.encoding)


def outside(model: ModelSpec) -> Tensors:
    """The tensors of ``model`` that are in no layer.

    Where the total is stated and not counted from a shape, what the known tensors lack of it has the role "other".
    Raises InputError when nothing says how many weights there are.
    """
    if model.parameters is None:
        raise InputError(f"model: the weights of {model.name} are unknown")
    known = weight_count(model.outside) + sum(count * (layer.total_parameters or 0) for layer, count in model.counted)
    return model.outside + lump("other", model.parameters - known)


def layer_tensors(layer: Layer) -> Iterator[Tensor]:
    """The tensors of ``layer``, routed experts as one tensor with their number."""
    yield from layer.tensors or ()
    if layer.experts is not None:
        for tensor in layer.experts.tensors:
            yield tensor._replace(number=tensor.number * layer.experts.total)


def placed(model: ModelSpec) -> Iterator[tuple[Tensor, Place]]:
    """Every tensor of ``model`` with its place. Raises InputError as ``outside`` does."""
    for tensor in outside(model):
        yield tensor, Place("outside")
    for index, layer in enumerate(model.layers):
        for tensor in layer_tensors(layer):
            yield tensor, Place("layer", index)
    for index, layer in enumerate(model.mtp, len(model.layers)):
        for tensor in layer_tensors(layer):
            yield tensor, Place("mtp", index)


@lru_cache(maxsize=64)
def stored(model: ModelSpec, form: CheckpointFormat) -> tuple[Stored, ...]:
    """The tensors of ``model`` as ``form`` stores them, equal ones together. Raises InputError as ``outside`` does."""
    copies: Counter[tuple[Tensor, Part, Encoding]] = Counter()
    alike = Counter(form.first_alike(model.first_alike))
    for tensor, place in placed(model):
        count = alike[place.layer] if place.part == "layer" else 1
        if count:
            copies[tensor, place.part, form.encoding(tensor, place)] += count
    return tuple(Stored(tensor, part, count, encoding) for (tensor, part, encoding), count in copies.items())


def wide_bits(form: CheckpointFormat) -> float:
    """Bits of one weight of a large matrix, scales included."""
    matrix = Tensor("other", 1, _USUAL**2)
    return 8 * tensor_bytes(matrix, form.encoding(matrix, Place("outside"))) / _USUAL**2


@lru_cache(maxsize=256)
def used_bytes(model: ModelSpec, form: CheckpointFormat, *, mtp: bool = False) -> int:
    """Bytes of the tensors in the files that are used: prediction layers only if ``mtp``."""
    return sum(one.bytes for one in stored(model, form) if mtp or one.part != "mtp")


@lru_cache(maxsize=256)
def file_bytes(model: ModelSpec, form: CheckpointFormat) -> int:
    """Bytes of all tensors in the checkpoint's files, prediction layers and towers included, as far as known."""
    return sum(one.bytes for one in stored(model, form))
