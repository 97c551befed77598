"""What each memory of the machine holds of a model in llama.cpp: weights and caches of the layers that lie there.

A layer's weights, its cache and its states go together; the input embedding is in RAM, and a tied output is the
embedding once more where the output layer is on a device. A draft model has a context of its own, dealt out over the
devices by itself; a vision projector is on the first device.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from kvtui.engine.checkpoint.by_layer import LayerWeights, WeightsByLayer, weights_by_layer
from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.checkpoint.weights import used_bytes
from kvtui.engine.engines.placement import RAM, Placement
from kvtui.engine.engines.result import Buffer
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import Layer, LayerCounts, count_layers
from kvtui.engine.planning.weights import UNTOLD, weight_bytes
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario
from kvtui.engine.serving.drafter import draft_layers
from kvtui.engine.serving.llamacpp.buffers import EntryStorage, Split, buffers, widest_value
from kvtui.engine.serving.llamacpp.releases import build_of

DRAFT_FORMAT = FORMATS["fp16"]
PIPELINED, PIPELINED_BATCHES = ("cuda", "rocm"), 4
FEED_FORWARD_MATRICES = 3

Sizes = tuple[tuple[str, int], ...]


class Stretch(NamedTuple):
    """Layers of one context on one device, how their entries are stored, and how the log names their buffers."""

    layers: LayerCounts
    rows: EntryStorage
    prefix: str = ""


class MemoryPart(NamedTuple):
    """What the memory ``number`` has: ``weights`` by cause, ``layers`` of them, and the caches of its ``stretches``.

    A device computes the ``span`` of the model's layers, and the ``output`` layer or not, on several batches at once if
    it has ``copies`` of what it reads. Weights in RAM are ``copied`` to it in pieces of at most so many bytes.
    """

    number: int
    layers: int
    weights: Sizes
    stretches: tuple[Stretch, ...]
    span: range = range(0)
    output: bool = False
    copies: int = 1
    copied: int = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of all its weights."""
        return sum(size for _, size in self.weights)

    def buffers(self, cells: Split) -> tuple[Buffer, ...]:
        """Its buffers."""
        return tuple(
            buffer for layers, rows, prefix in self.stretches for buffer in buffers(layers, cells, rows, prefix)
        )

    def needed(self, cells: Split) -> int:
        """Bytes of its buffers."""
        return sum(buffer.bytes for buffer in self.buffers(cells))


@lru_cache(maxsize=256)
def memory_parts(scenario: Scenario, placed: Placement) -> tuple[MemoryPart, ...]:
    """The devices in order, and the RAM as the last; a CPU's memory is its RAM.

    Raises InputError when the weights are unknown and not skipped.
    """
    on_cpu, weigh = scenario.device.platform == "cpu", _weighed(scenario)
    weigh = weigh._replace(tied=0) if on_cpu else weigh
    spans, copies = _spans(placed, len(scenario.model.layers)), _copies(scenario, placed)
    held, copied = _weights(weigh, placed), 0 if on_cpu else _copied(weigh, placed)
    found = [
        MemoryPart(
            number=owner,
            layers=len(placed.layers(owner)),
            weights=(*held[owner], *_beside(scenario, placed, owner)),
            stretches=_stretches(scenario, placed, owner),
            span=range(0) if owner == RAM else spans[owner],
            output=owner != RAM and spans[owner].stop == len(scenario.model.layers),
            copies=copies,
            copied=0 if owner == RAM else copied,
        )
        for owner in (*range(placed.devices), RAM)
    ]
    return (_joined(found[0], found[-1]), *found[1:-1]) if on_cpu else tuple(found)


def _spans(placed: Placement, layers: int) -> tuple[range, ...]:
    """The model's layers that each device computes: its own; of layers in RAM, in large batches, equal parts."""
    if placed.gpu_layers == len(placed.owners) + 1:
        held = [placed.layers(device) for device in range(placed.devices)]
        ends = [layers if placed.output == number else min(one.stop, layers) for number, one in enumerate(held)]
        return tuple(range(min(one.start, end), end) if one else range(0) for one, end in zip(held, ends, strict=True))
    owners = [number * placed.devices // (layers + 1) for number in range(layers)]
    return tuple(
        range(owners.index(device), layers - owners[::-1].index(device)) if device in owners else range(0)
        for device in range(placed.devices)
    )


def _copies(scenario: Scenario, placed: Placement) -> int:
    """How many batches devices work on at once: several where all of a model is split over them by layers.

    Metal, Vulkan, SYCL and CPUs have only one (``pipeline_parallel`` in llama-context.cpp).
    """
    several = placed.devices > 1 and placed.whole and scenario.serving.main_gpu is None
    return PIPELINED_BATCHES if several and scenario.device.platform in PIPELINED else 1


def _copied(weigh: WeightsByLayer, placed: Placement) -> int:
    """Bytes of the largest weight in RAM that devices compute with: an expert matrix of a layer, or a dense one.

    One at a time is there (``ggml_backend_sched_split_graph`` begins a new part of the graph for each of them); where
    no matrix is known, one is a third of its layer. 0 where nothing but the embedding is in RAM.
    """
    held = (
        weigh.layer(number)
        for number, owner in enumerate(placed.owners)
        if owner == RAM or (number < placed.cpu_moe and weigh.layer(number).experts)
    )
    return max((one.largest or one.rest // FEED_FORWARD_MATRICES for one in held), default=0)


def _joined(device: MemoryPart, ram: MemoryPart) -> MemoryPart:
    """Both as one memory: that of a server's CPU is its RAM."""
    return device._replace(
        layers=device.layers + ram.layers,
        weights=device.weights + ram.weights,
        stretches=device.stretches + ram.stretches,
    )


def _weighed(scenario: Scenario) -> WeightsByLayer:
    """The bytes of the scenario's weights by layer, scaled to those of its file; evenly where no tensor is known."""
    model, measured = scenario.model, scenario.measured
    seen = None if measured is None or model.parameters or model.weight_bytes else measured.weights
    whole = weight_bytes(scenario) if seen is None else seen
    count = len(model.layers)
    if model.parameters is None or scenario.skip_weights:
        even = tuple(LayerWeights(0, whole // (count + 1)) for _ in model.layers)
        return WeightsByLayer(even, (), 0, whole - count * (whole // (count + 1)), 0, 0)
    form = scenario.checkpoint or checkpoint_format(UNTOLD, model)
    found = weights_by_layer(model, form)
    stored = used_bytes(model, form, mtp=scenario.drafts_itself)
    return found if stored == whole else _scaled(found, Fraction(whole, stored))


def _scaled(found: WeightsByLayer, by: Fraction) -> WeightsByLayer:
    def layers(those: tuple[LayerWeights, ...]) -> tuple[LayerWeights, ...]:
        return tuple(LayerWeights(int(one.experts * by), int(one.rest * by), int(one.largest * by)) for one in those)

    loose = {name: int(getattr(found, name) * by) for name in ("embedding", "output", "towers", "tied")}
    return WeightsByLayer(layers(found.layers), layers(found.mtp), **loose)


def _weights(weigh: WeightsByLayer, placed: Placement) -> dict[int, Sizes]:
    """The weights in each memory, by cause."""
    layers: Counter[int] = Counter()
    experts: Counter[int] = Counter()
    for number, at in enumerate(placed.owners):
        held = weigh.layer(number)
        layers[at] += held.rest
        experts[RAM if number < placed.cpu_moe else at] += held.experts
    first = min((at for at in (*placed.owners, placed.output) if at != RAM), default=RAM)
    output = weigh.output + (0 if placed.output == RAM else weigh.tied)
    found = {}
    for owner in (*range(placed.devices), RAM):
        causes = (
            ("embedding", weigh.embedding if owner == RAM else 0),
            ("layers", layers[owner]),
            ("experts", experts[owner]),
            ("output layer", output if owner == placed.output else 0),
            ("encoder", weigh.towers if owner == first else 0),
        )
        found[owner] = tuple((cause, size) for cause, size in causes if size)
    return found


def _beside(scenario: Scenario, placed: Placement, owner: int) -> Sizes:
    """The weights of a draft model and a vision projector in the memory ``owner``."""
    draft, found = scenario.serving.draft_model, []
    if draft is not None and not scenario.skip_weights:
        own = draft.weight_bytes is not None or scenario.weight_dtype == FILE_WEIGHTS
        form = checkpoint_format(UNTOLD if own else scenario.weight_dtype, draft)
        drafting = _draft_placement(draft.layers, placed)
        size = sum(size for _, size in _weights(weights_by_layer(draft, form), drafting)[owner])
        if draft.weight_bytes is not None:
            size = size * draft.weight_bytes // used_bytes(draft, form)
        found.append(("draft model", size))
    if owner == 0 and scenario.serving.mmproj:
        found.append(("vision projector", scenario.serving.mmproj))
    return tuple(found)


def _draft_placement(layers: tuple[Layer, ...], placed: Placement) -> Placement:
    """A draft model's layers, dealt out evenly over the devices."""
    count, devices = len(layers), placed.devices
    owners = tuple(number * devices // (count + 1) for number in range(count + 1))
    return Placement(owners[:-1], owners[-1], devices)


def _stretches(scenario: Scenario, placed: Placement, owner: int) -> tuple[Stretch, ...]:
    """The layers whose caches lie in the memory ``owner``.

    The context of MTP layers and that of a draft model store F16 whatever ``-ctk`` says, and keep one state.
    """
    model, draft = scenario.model, scenario.serving.draft_model
    trunk, blocks = len(model.layers), model.layers + draft_layers(scenario)
    if not placed.kv_offload:
        held: list[int] = list(range(len(blocks))) if owner == RAM else []
    else:
        held = [number for number, at in enumerate(placed.owners) if at == owner]
    widest = 0 if scenario.flash_attention else widest_value(model)
    latent = build_of(scenario.serving.version).latent
    own = EntryStorage(scenario.kv, widest, 1 + scenario.speculative_tokens, latent)
    other = EntryStorage(DRAFT_FORMAT, widest, latent=latent)
    found = [
        Stretch(count_layers(blocks[number] for number in held if number < trunk), own),
        Stretch(count_layers(blocks[number] for number in held if number >= trunk), other, "MTP "),
    ]
    if draft is not None:
        drafting = _draft_placement(draft.layers, placed)
        rows = EntryStorage(DRAFT_FORMAT, 0 if scenario.flash_attention else widest_value(draft))
        layers = (layer for layer, at in zip(draft.layers, drafting.owners, strict=True) if at == owner)
        found.append(Stretch(count_layers(layers), rows, "draft "))
    return tuple(found)
