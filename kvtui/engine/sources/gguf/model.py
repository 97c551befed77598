"""A GGUF file, whole or split → ModelSpec: layers from its metadata, weights from its list of tensors.

A tensor's name says what it belongs to: ``blk.7.ffn_down_exps.weight`` is the routed experts' down projection of layer
7, and what does not begin with ``blk.`` belongs to no layer (embeddings, output, last norm).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Generic, TypeVar

from kvtui.engine.basis.units import format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.caches import Cache, Latent
from kvtui.engine.model.parameters import lump
from kvtui.engine.model.spec import Experts, Layer, ModelSpec
from kvtui.engine.model.tensors import Tensor, Tensors, copied, narrow, weight_count, wide
from kvtui.engine.sources.gguf.container import Header, Skipped, StoredTensor, read_header
from kvtui.engine.sources.gguf.keys import MAX_COUNT, MAX_WINDOW, Keys
from kvtui.engine.sources.gguf.layers import FileShape, layer_caches, read_shape

# blk.7.attn_q.weight → layer 7, attn_q.weight
_BLOCK = re.compile(r"blk\.([0-9]{1,4})\.(.+)")
# ffn_gate_exps.weight, which holds all experts, or ffn_gate.3.weight of older files, which holds one; no shared ones
_ROUTED = re.compile(r"ffn_(?:gate|up|down|gate_up)(?:_exps\.|\.[0-9]+\.).*")
# the matrix whose inputs are what a token produces: dense, of the routed (_exps) or of the shared (_shexp) experts
_DOWN = re.compile(r"ffn_down(_exps|_shexp|)\.weight")
# NAME-00002-of-00005.gguf → NAME, 00002, 00005
_PART = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf")
_EMBEDDING = "token_embd.weight"
_PER_LAYER_EMBEDDING = "per_layer_token_embd.weight"


P = TypeVar("P", bound=PurePath)


@dataclass(frozen=True)
class Shelf(Generic[P]):
    """Where files are: how the ``header`` of one is read, and whether it ``has`` one."""

    header: Callable[[P], Header]
    has: Callable[[P], bool]


DISK = Shelf[Path](header=read_header, has=Path.exists)


def read_gguf(path: Path) -> ModelSpec:
    """The model in the GGUF file at ``path`` on disk, as ``read_shelved`` has it."""
    return read_shelved(path, DISK)


def read_shelved(path: P, shelf: Shelf[P]) -> ModelSpec:
    """The model in the GGUF file at ``path`` of a ``shelf``, or in the split file whose first part that is.

    Only headers are read. ``weight_bytes`` is the exact size of all tensors as stored; it is None, with a note, when
    parts of a split file are not beside the first. Raises InputError, naming the file and the key, for a file that is
    not readable, of an unknown architecture, or that contradicts itself.
    """
    header = shelf.header(path)
    keys = Keys(path, header.metadata)
    arch = keys.text("general.architecture")
    if not arch:
        raise keys.wrong("general.architecture", _no_architecture(keys))
    keys = Keys(path, header.metadata, arch)
    shape = read_shape(keys)
    stem, tensors, missing = _all_tensors(keys, path, header, shelf)
    caches = layer_caches(shape)
    if header.absent_bytes:
        shape.note(f"the file is incomplete: {format_bytes(header.absent_bytes)} of its tensors are not in it")
    if missing:
        shape.note(missing)
        layers = tuple(Layer(kept, width=_stated_width(shape, index)) for index, kept in enumerate(caches))
        weights = None
    else:
        blocks = _blocks(shape, tensors)
        layers = tuple(_layer(shape, index, kept, blocks[index]) for index, kept in enumerate(caches))
        weights = _weights(shape, layers, tensors)
    predict = layers[shape.trunk :]
    if weights is not None:
        predict = tuple(layer for layer in predict if layer.parameters)
    return ModelSpec(
        name=plain(keys.text("general.name") or stem, 80),
        source=f"GGUF header ({', '.join(filter(None, (arch, _file_type(keys))))})",
        confidence="H",
        layers=layers[: shape.trunk],
        hidden=keys.maybe(".embedding_length"),
        vocab=_vocabulary(keys, tensors),
        max_context=keys.maybe(".context_length", least=0, most=MAX_WINDOW) or None,
        parameters=weights.total if weights else None,
        active_parameters=weights.active if weights else None,
        parameters_from="file",
        mtp=predict,
        weight_bytes=weights.bytes if weights else None,
        notes=tuple(shape.notes),
    )


@dataclass(frozen=True, slots=True)
class _TensorSums:
    """Weights of the whole file, weights that one token uses, and bytes as stored."""

    total: int
    active: int
    bytes: int


def _no_architecture(keys: Keys) -> str:
    """Why there is no general.architecture: a later part of a split file has none."""
    number = keys.maybe("split.no", least=0, most=MAX_COUNT)
    if number:
        name = _PART.fullmatch(keys.path.name)
        first = f", {plain(name[1])}-00001-of-{name[3]}.gguf" if name else ""
        return f"is missing; this is part {number + 1} of a split file: give the first part{first}"
    return "is missing"


def _all_tensors(keys: Keys, path: P, header: Header, shelf: Shelf[P]) -> tuple[str, list[StoredTensor], str | None]:
    """The model's file name without its ending, the tensors of all parts, and what is missing, if anything.

    A split file, ``split.count`` above 1, names its parts NAME-00001-of-00003.gguf and so on; the first has the
    metadata, all have tensors. Without all parts the weights are unknown, and a note says which part is not there.
    Raises InputError for parts that contradict each other.
    """
    count = keys.maybe("split.count", least=0, most=MAX_COUNT) or 1
    tensors = list(header.tensors)
    if count == 1:
        return keys.path.stem, tensors, None if tensors else "weights unknown: the file holds no tensors"
    number = keys.maybe("split.no", least=0, most=MAX_COUNT) or 0
    name = _PART.fullmatch(keys.path.name)
    if name is None or int(name[3]) != count or int(name[2]) != number + 1:
        missing = f"weights unknown: a part of a split file is named NAME-{number + 1:05}-of-{count:05}.gguf"
        return keys.path.stem, tensors, missing
    others = [path.with_name(f"{name[1]}-{part:05}-of-{count:05}.gguf") for part in range(1, count + 1)]
    absent = [other.name for other in others if not shelf.has(other)]
    if absent:
        named = ", ".join(map(plain, absent[:3])) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        return name[1], tensors, f"weights unknown: {named} not found beside {plain(keys.path.name)}"
    seen = {tensor.name for tensor in tensors}
    for part, other in enumerate(others):
        if part == number:
            continue
        found = shelf.header(other)
        theirs = Keys(other, found.metadata)
        if (theirs.get("split.no"), theirs.get("split.count")) != (part, count):
            raise theirs.wrong("split.no", f"does not say part {part + 1} of {count}, as the file's name does")
        twice = next((tensor.name for tensor in found.tensors if tensor.name in seen), None)
        if twice is not None:
            raise theirs.wrong("split.no", f"the tensor {plain(twice)} is in another part too")
        tensors += found.tensors
        seen.update(tensor.name for tensor in found.tensors)
    promised = keys.maybe("split.tensors.count", least=0)
    if promised is not None and promised != len(tensors):
        raise keys.wrong("split.tensors.count", f"is {promised}, but the parts hold {len(tensors)} tensors")
    return name[1], tensors, None


def _blocks(shape: FileShape, tensors: Iterable[StoredTensor]) -> dict[int, list[tuple[str, StoredTensor]]]:
    """The tensors of each layer, with their names inside it. Raises InputError for a layer beyond block_count."""
    blocks: dict[int, list[tuple[str, StoredTensor]]] = defaultdict(list)
    for tensor in tensors:
        found = _BLOCK.fullmatch(tensor.name)
        if found is None:
            continue
        index = int(found[1])
        if index >= shape.total:
            raise shape.keys.wrong(".block_count", f"is {shape.total}, but there is a tensor {plain(tensor.name)}")
        blocks[index].append((found[2], tensor))
    return blocks


def _layer(shape: FileShape, index: int, caches: tuple[Cache, ...], tensors: list[tuple[str, StoredTensor]]) -> Layer:
    """Layer ``index`` with its weights: those of routed experts apart, and the FFN elements that a token produces.

    A down projection's inputs are these elements: a token of a layer with 8 of 128 active experts of 768 and a shared
    one of 1,536 produces 8 · 768 + 1,536.
    """
    routed = sum(tensor.elements for part, tensor in tensors if _ROUTED.fullmatch(part))
    experts = _experts(shape, index, routed) if routed else None
    width = 0
    for part, tensor in tensors:
        down = _DOWN.fullmatch(part)
        if down is not None and tensor.shape:
            width += tensor.shape[0] * (experts.active if down[1] == "_exps" and experts else 1)
    known = (*_latent_projections(caches, tensors), *_without_gate(tensors), *_values_of_deltas(caches, tensors))
    parameters = sum(tensor.elements for _, tensor in tensors) - routed - weight_count(known)
    return Layer(caches, (*known, *lump("other", parameters)), experts, width)


def _latent_projections(caches: tuple[Cache, ...], tensors: list[tuple[str, StoredTensor]]) -> Tensors:
    """The projections of a layer with MLA, whose sizes its caches do not tell; none of another layer."""
    heads = next((cache.q_heads for cache in caches if isinstance(cache, Latent)), 0)
    found: list[Tensor] = []
    for part, tensor in tensors if heads else ():
        if len(tensor.shape) != 2:
            continue
        columns, rows = tensor.shape
        match part:
            case "attn_q_a.weight":
                found.append(copied("q_a", rows, columns))
            case "attn_q_b.weight":
                found.append(wide("q_b", rows, columns, heads))
            case "attn_q.weight":
                found.append(wide("q", rows, columns, heads))
            case "attn_output.weight":
                found.append(narrow("o", rows, columns, heads))
    return tuple(found)


def _values_of_deltas(caches: tuple[Cache, ...], tensors: list[tuple[str, StoredTensor]]) -> Tensors:
    """The last projection of a DeltaNet, whose columns are the elements of all value heads; none of another layer."""
    if not any(cache.kind == "gated_deltanet" for cache in caches):
        return ()
    shapes = (tensor.shape for part, tensor in tensors if part == "ssm_out.weight" and len(tensor.shape) == 2)
    return tuple(narrow("recurrent_out", rows, columns) for columns, rows in shapes)


def _without_gate(tensors: list[tuple[str, StoredTensor]]) -> Tensors:
    """The up projection of a feed-forward of two matrices; none of a gated one, whose gate may be part of the other."""
    shapes = {part: tensor.shape for part, tensor in tensors if len(tensor.shape) == 2}
    up, down = shapes.get("ffn_up.weight"), shapes.get("ffn_down.weight")
    if up is None or down is None or "ffn_gate.weight" in shapes or up[1] != down[0]:
        return ()
    return (wide("up", up[1], up[0]),)


def _experts(shape: FileShape, index: int, routed: int) -> Experts:
    """The routed experts of layer ``index``, which have ``routed`` weights together. Raises InputError."""
    keys = shape.keys
    count = keys.integer(".expert_count", most=MAX_COUNT)
    active = _active_experts(shape)[index]
    if not 1 <= active <= count:
        raise keys.wrong(".expert_used_count", f"is {active} in layer {index}, of expert_count, {count}")
    if routed % count:
        raise keys.wrong(".expert_count", f"{count} does not divide the {routed:,} expert weights of layer {index}")
    return Experts(count, active, lump("other", routed // count))


def _active_experts(shape: FileShape) -> tuple[int, ...]:
    """Experts that a token is routed to in each layer; 0 where the file says nothing."""
    return shape.keys.per_layer(".expert_used_count", shape.total, most=MAX_COUNT) or (0,) * shape.total


def _stated_width(shape: FileShape, index: int) -> int:
    """FFN elements of one token as the metadata give them, for a file whose tensors are not all here."""
    keys = shape.keys
    active = _active_experts(shape)[index]
    dense = (keys.per_layer(".feed_forward_length", shape.total) or (0,) * shape.total)[index]
    expert = (keys.per_layer(".expert_feed_forward_length", shape.total) or (0,) * shape.total)[index]
    return max(dense, active * expert)


def _weights(shape: FileShape, layers: tuple[Layer, ...], tensors: Iterable[StoredTensor]) -> _TensorSums:
    """All weights of the file, those that one token uses, and the bytes of all.

    A token uses no layer of ``mtp``, no expert it is not routed to, and one row of the per-layer embeddings (Gemma 3n
    and 4), a table with a row per word of the vocabulary.
    """
    total = sum(tensor.elements for tensor in tensors)
    active = total - sum(layer.total_parameters or 0 for layer in layers[shape.trunk :])
    for layer in layers[: shape.trunk]:
        if layer.experts is not None:
            active -= (layer.experts.total - layer.experts.active) * layer.experts.parameters
    for tensor in tensors:
        if tensor.name == _PER_LAYER_EMBEDDING and tensor.shape:
            active -= tensor.elements - tensor.shape[0]
    return _TensorSums(total, active, sum(tensor.bytes for tensor in tensors))


def _vocabulary(keys: Keys, tensors: Iterable[StoredTensor]) -> int | None:
    """Words of the vocabulary: as stated, else the tokenizer's, else the rows of the embeddings; None if unknown."""
    stated = keys.maybe(".vocab_size")
    if stated is not None:
        return stated
    tokens = keys.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Skipped) and tokens.length:
        return tokens.length
    return next((tensor.shape[1] for tensor in tensors if tensor.name == _EMBEDDING and len(tensor.shape) == 2), None)


def _file_type(keys: Keys) -> str | None:
    """llama.cpp's name of the file's mix of formats, such as Q4_K_M; None for a number it has no name for."""
    from gguf.constants import LlamaFileType

    number = keys.maybe("general.file_type", least=0, most=MAX_COUNT)
    if number is None or number not in set(LlamaFileType):
        return None
    return LlamaFileType(number).name.removeprefix("MOSTLY_").removeprefix("ALL_")
