"""What a GGUF file of a model holds: each tensor with its type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from kvtui.engine.checkpoint.gguf.recipes import Position, Whole, tensor_type
from kvtui.engine.checkpoint.gguf.tensors import (
    Category,
    Filed,
    FilePart,
    filed,
    grouped_heads,
    has_prediction,
    is_large,
)
from kvtui.engine.checkpoint.gguf.types import BLOCKS, fitting
from kvtui.engine.model.spec import ModelSpec


class OtherEdges(NamedTuple):
    """The file type that it is but for the embedding and the output, and the type of these."""

    base: str
    edges: str


LARGER_EDGES = {
    "Q6_K_L": OtherEdges("Q6_K", "Q8_0"),
    "Q5_K_L": OtherEdges("Q5_K_M", "Q8_0"),
    "Q4_K_L": OtherEdges("Q4_K_M", "Q8_0"),
    "Q3_K_XL": OtherEdges("Q3_K_L", "Q8_0"),
    "Q4_0_QAT": OtherEdges("Q4_0", "F16"),
}
"""File types that others have made of llama.cpp's; the last are Google's own files of Gemma 3."""

_EDGES: frozenset[Category] = frozenset({"embedding", "output"})


class TypedPart(NamedTuple):
    """A tensor of a file, and its GGML ``type``."""

    part: FilePart
    type: str

    @property
    def bytes(self) -> int:
        """Bytes of its data, in whole blocks."""
        block = BLOCKS[self.type]
        return self.part.number * self.part.rows * (self.part.columns // block.elements) * block.bytes


def contents(model: ModelSpec, file_type: str) -> Iterator[tuple[Filed, tuple[TypedPart, ...]]]:
    """The tensors of ``model`` with what each is in a file of ``file_type``, one of BASES or LARGER_EDGES.

    Those of prediction layers that the usual file lacks have the types of a last layer.
    Raises InputError as ``placed`` does.
    """
    other = LARGER_EDGES.get(file_type)
    base = file_type if other is None else other.base
    every, whole = _in_order(model)
    before: Counter[Category] = Counter()
    values: set[int] = set()
    for one in every:
        typed = []
        for part in one.parts:
            if part.category == "v":
                running = len(values - {one.place.layer})
                values.add(one.place.layer)
            else:
                running = before[part.category]
                before[part.category] += 1
            at = Position(one.place.layer if whole.experts else running, running)
            kind = tensor_type(base, part.category, part.columns, at, whole, part.stacked)
            if other is not None and part.category in _EDGES:
                kind = fitting(other.edges, part.columns)
            typed.append(TypedPart(part, kind))
        yield one, tuple(typed)


@lru_cache(maxsize=8)
def _in_order(model: ModelSpec) -> tuple[tuple[Filed, ...], Whole]:
    """The tensors of ``model`` in the quantiser's order, and what its rules ask of the model."""
    every = tuple(sorted(filed(model), key=_in_file))
    return every, _whole(model, every)


def _in_file(one: Filed) -> tuple[int, str]:
    """The quantiser counts layer by layer, and in a layer by name: dense before routed before shared experts."""
    order = {"down": "0", "expert_down": "1", "shared_down": "2"}
    return (-1 if one.place.part == "outside" else one.place.layer), order.get(one.tensor.role, "0")


def _whole(model: ModelSpec, every: tuple[Filed, ...]) -> Whole:
    kept = [one for one in every if one.place.part != "mtp" or has_prediction(model)]
    grouped = grouped_heads(model)
    experts = max((layer.experts.total for layer in model.layers if layer.experts), default=0)
    return Whole(
        layers=len(model.layers) + (len(model.mtp) if has_prediction(model) else 0),
        values=len({one.place for one in kept if any(part.category == "v" for part in one.parts)}),
        grouped=grouped,
        experts=experts,
        large=is_large(model),
        tied=all(tensor.role != "head" for tensor in model.outside),
    )
