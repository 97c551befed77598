"""llama.cpp's compute buffers by cause: what its allocator reserves for the graph of one physical batch.

A start builds the graph of a full batch against full caches and reserves what it needs, once on the device and once in
host memory. So the size follows from the graph: a mask of batch × cells, scores without FlashAttention, feed-forward
and experts, and logits of as many tokens as may have an output. They are not added up: what is no longer read makes
room for what comes later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import NamedTuple

from kvtui.engine.model.caches import Attention, Shared
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.serving.llamacpp.buffers import Split, widest_value
from kvtui.engine.serving.llamacpp.graph import F16, F32, I32, I64, Graph, Node, fresh, given, onto, stored, view
from kvtui.engine.serving.llamacpp.layers import (
    ACTIVATIONS,
    Batch,
    DeltaNet,
    SharedCache,
    StateSpace,
    delta_net,
    feed_forward,
    latent_attention,
    short_conv,
    softmax_attention,
    state_space,
)
from kvtui.engine.serving.llamacpp.releases import Build
from kvtui.engine.serving.llamacpp.reserved import GraphOrder, Reserved, placed_sizes, reserved, reserved_by, steps_of
from kvtui.engine.serving.llamacpp.shapes import (
    LAYER_INPUT,
    LayerMixer,
    LayerShape,
    MlaMixer,
    ShortConv,
    Softmax,
    layer_input_elements,
    layer_shapes,
)

HOST_ALIGNMENT, DEVICE_ALIGNMENT = 32, 128
LEAST_TURN = 64
OFFLOADED_TOKENS = 32
LAYERS_ALIKE, LAYERS_IN_TURN, LAYERS_MIXED = 3, 6, 12
LAYER_INPUTS = "inputs of layers"


class ServerSetup(NamedTuple):
    """What decides over the buffers besides the model: the ``cells`` of its caches, formats, FlashAttention, build.

    ``tokens`` are those of a physical batch, a multiple of the slots. Devices that work on several batches at once have
    as many ``copies`` of what comes from elsewhere (GGML_SCHED_MAX_COPIES).
    """

    cells: Split
    k: Format
    v: Format
    flash: bool
    build: Build
    copies: int = 1

    @property
    def alike(self) -> ServerSetup:
        """A start with the same graph: formats matter by whether they are stored in blocks, or as F32."""
        return self._replace(k=_stands_for(self.k), v=_stands_for(self.v))

    @property
    def tokens(self) -> int:
        """Tokens of the batch that is reserved for: no more than the context, and as many for each slot."""
        slots = self.cells.slots
        return -(-min(self.cells.cells * self.cells.streams, self.cells.ubatch) // slots) * slots

    @property
    def outputs(self) -> int:
        """Tokens with logits: one for each slot, or in earlier builds all of the batch."""
        return min(self.tokens, self.cells.slots) if self.build.bounded_outputs else self.tokens


def _stands_for(form: Format) -> Format:
    return FORMATS["q8_0" if form.block > 1 else "fp32" if form.name == "fp32" else "fp16"]


@lru_cache(maxsize=4096)
def host_compute(model: ModelSpec, start: ServerSetup) -> Reserved:
    """The compute buffer of a start without any device."""
    graph, x, inputs = _begun(model, start)
    _layers(model, start, graph, x, inputs, _kept(model, range(len(model.layers))), True)
    return reserved(graph, HOST_ALIGNMENT)


def device_compute(model: ModelSpec, start: ServerSetup, layers: range, with_output: bool, copied: int = 0) -> Reserved:
    """The compute buffer of a device with ``layers`` of the model, and with its last projection or without.

    Every input is copied to the device when its part of the graph begins. What lies in RAM of the weights is computed
    with on the device too, for batches of 32 tokens and more: the largest of them has ``copied`` bytes.
    """
    return _device_compute(model, start.alike, _kept(model, layers), with_output, copied)


class _DeviceGraph:
    """The graph of a device with any number of cells beyond windows and batch, of which it knows two.

    Only masks, scores and copies of caches grow with the cells, and they do so in a straight line.
    """

    def __init__(self, graph_with: Callable[[int], Graph]) -> None:
        self.graph_with = graph_with
        self.steps: GraphOrder | None = None
        self.known: dict[int, tuple[int, ...]] = {}

    def reserved(self, cells: int) -> Reserved:
        """What is reserved with so many cells."""
        if cells not in self.known and len(self.known) < 2:
            graph = self.graph_with(cells)
            self.steps = self.steps or steps_of(graph)
            self.known[cells] = placed_sizes(graph)
        assert self.steps is not None
        return reserved_by(self.steps, self.known.get(cells) or self.between(cells), DEVICE_ALIGNMENT)

    def between(self, cells: int) -> list[int]:
        """The sizes with other cells than the known ones."""
        (first, low), (second, high) = self.known.items()
        by, of = cells - first, second - first
        return [size + (other - size) * by // of for size, other in zip(low, high, strict=True)]


@lru_cache(maxsize=4096)
def _device_compute(
    model: ModelSpec, start: ServerSetup, shapes: tuple[LayerShape, ...], with_output: bool, copied: int
) -> Reserved:
    """As ``device_compute``, and the same for all devices whose layers have such ``shapes``."""
    cells, least = start.cells.cells, _least_steady(model, start.cells)
    if cells < least:
        return reserved(_device_graph(model, start, shapes, with_output, copied), DEVICE_ALIGNMENT)
    steady = start._replace(cells=start.cells._replace(cells=least))
    return _over_cells(model, steady, shapes, with_output, copied).reserved(cells)


@lru_cache(maxsize=512)
def _over_cells(
    model: ModelSpec, start: ServerSetup, shapes: tuple[LayerShape, ...], with_output: bool, copied: int
) -> _DeviceGraph:
    """The graph of a device over other cells than those of ``start``."""

    def graph_with(cells: int) -> Graph:
        with_cells = start._replace(cells=start.cells._replace(cells=cells))
        return _device_graph(model, with_cells, shapes, with_output, copied)

    return _DeviceGraph(graph_with)


def _least_steady(model: ModelSpec, cells: Split) -> int:
    """Cells from which on windows and a physical batch are whole, a multiple of the padding."""
    sequences = cells.slots if cells.streams == 1 else 1
    whole = _widest_window(model) * sequences + cells.ubatch
    return -(-whole // cells.padding) * cells.padding


@lru_cache(maxsize=64)
def _widest_window(model: ModelSpec) -> int:
    mixers = (mixer for shape in layer_shapes(model) for mixer in shape.mixers)
    return max((_cap(mixer) or 0 for mixer in mixers if isinstance(mixer, Softmax | MlaMixer)), default=0)


def _device_graph(
    model: ModelSpec, start: ServerSetup, shapes: tuple[LayerShape, ...], with_output: bool, copied: int
) -> Graph:
    graph = Graph()
    x = graph.expand(given(ACTIVATIONS, (model.hidden or 0, start.tokens)))
    _layers(model, start, graph, x, _inputs(model, start), shapes, with_output, copied)
    _keep_copies(graph, start.copies)
    return graph


@lru_cache(maxsize=4096)
def device_host_compute(model: ModelSpec, start: ServerSetup) -> Reserved:
    """The compute buffer in host memory of a start whose layers are all on devices: inputs and the embeddings."""
    graph, x, inputs = _begun(model, start)
    for node in inputs.all():
        graph.expand(node)
    graph.expand(fresh("copies", (1,), *inputs.all(), x))
    _keep_copies(graph, start.copies)
    return reserved(graph, HOST_ALIGNMENT)


def _keep_copies(graph: Graph, copies: int) -> None:
    """So many ``copies`` of all inputs, none of whose places is ever free for something else."""
    if copies == 1:
        return
    for node in tuple(graph.inputs):
        for _ in range(copies - 1):
            graph.expand(given(node.cause, node.shape or (), node.size // max(1, prod(node.shape or ()))))
    graph.expand(stored(*graph.inputs))


class _Inputs(NamedTuple):
    """The inputs that layers read."""

    positions: Node
    outputs: Node
    windows: dict[int | None, SharedCache]
    states: Node | None
    per_layer: Node | None

    def all(self) -> list[Node]:
        """Each of them."""
        found = [self.positions, self.outputs, self.states, self.per_layer]
        for window in self.windows.values():
            mask = window.mask if window.mask.given else window.mask.reads[0]
            found += [mask, *window.k_places, *window.v_places, window.turn_k, window.turn_v]
        return [node for node in found if node is not None]


def _begun(model: ModelSpec, start: ServerSetup) -> tuple[Graph, Node, _Inputs]:
    """A graph with the embeddings of the batch: those of tokens, which are read, and those of other inputs."""
    graph, n, hidden = Graph(), start.tokens, model.hidden or 0
    x = graph.expand(fresh(ACTIVATIONS, (hidden, n), given("inputs", (n,), I32)))
    if start.build.embedding_inputs:
        graph.expand(given("inputs", (hidden, n)))
    if start.build.mixed_inputs:
        tokens = fresh(ACTIVATIONS, (hidden, n), given("inputs", (n,), I32))
        other = fresh(ACTIVATIONS, (hidden, n), given("inputs", (hidden, n)))
        places = given("inputs", (n,), I64)
        graph.expand(Node(ACTIVATIONS, None, other.size, (tokens, places, other), view=other))
    per_layer = None
    if elements := layer_input_elements(model):
        rows = fresh(LAYER_INPUTS, (elements, n), given("inputs", (n,), I32))
        per_layer = graph.expand(onto(LAYER_INPUTS, (elements, n), view(rows)))
    return graph, x, _inputs(model, start)._replace(per_layer=per_layer)


def _inputs(model: ModelSpec, start: ServerSetup) -> _Inputs:
    n, cells, elements = start.tokens, start.cells, layer_input_elements(model)
    caches = [cache for layer in model.layers for cache in layer.caches]
    windows: dict[int | None, SharedCache] = {}
    for shape in layer_shapes(model):
        for mixer in shape.mixers:
            if isinstance(mixer, Softmax | MlaMixer):
                cap = _cap(mixer)
                if cap not in windows:
                    windows[cap] = _window(model, start, cap, None if isinstance(mixer, MlaMixer) else _own(mixer))
    recurrent = any(cache.growth == "state" for cache in caches)
    return _Inputs(
        given("inputs", (n,), I32),
        given("inputs", (start.outputs,), I32),
        windows,
        given("inputs", (cells.slots,), I32) if recurrent else None,
        given(LAYER_INPUTS, (elements, n)) if elements else None,
    )


def _own(mixer: Softmax) -> Attention:
    """The attention whose K and V a layer reads."""
    shape = mixer.cache.reads if isinstance(mixer.cache, Shared) else mixer.cache
    assert isinstance(shape, Attention)
    return shape


def _cap(mixer: Softmax | MlaMixer) -> int | None:
    return mixer.cache.cap if isinstance(mixer, MlaMixer) else _own(mixer).cap


def _window(model: ModelSpec, start: ServerSetup, cap: int | None, shape: Attention | None) -> SharedCache:
    """The cache of all layers with a window of ``cap`` tokens; ``shape`` is None for latent entries, without V."""
    n, split = start.tokens, start.cells
    cells = split.cells if cap is None else split.windowed(cap, split.slots if split.streams == 1 else 1)
    table = (cells, n // split.streams, 1, split.streams)
    half = start.flash and start.build.half_masks
    mask = given("mask", table, F16 if half else F32)
    if start.flash and not half:
        mask = fresh("mask", table, mask, width=F16)
    k_places, v_places = (
        given("inputs", (n,), I64),
        given("inputs", (n if start.flash else n * widest_value(model),), I64),
    )
    indexed = start.build.indexed_stores
    window = SharedCache(
        cells,
        split.streams,
        mask,
        (k_places,) if indexed else (),
        (v_places,) if indexed and shape is not None else (),
        start.k.name == "fp32",
        start.v.name == "fp32",
    )
    if shape is None or not start.build.turned_caches:
        return window
    return window._replace(
        turn_k=_rotation(start.k, shape.k_dim, shape.k_dim), turn_v=_rotation(start.v, shape.v_dim, LEAST_TURN)
    )


def _rotation(form: Format, size: int, most: int) -> Node | None:
    """The matrix that turns heads of ``size`` elements, in parts of at most ``most``; None where nothing is turned."""
    if form.block == 1 or size % LEAST_TURN:
        return None
    part = LEAST_TURN
    while part * 2 <= most and size % (part * 2) == 0:
        part *= 2
    return given("inputs", (part, part))


def _layers(
    model: ModelSpec,
    start: ServerSetup,
    graph: Graph,
    x: Node,
    inputs: _Inputs,
    shapes: tuple[LayerShape, ...],
    with_output: bool,
    copied: int = 0,
) -> None:
    """The nodes of layers of these ``shapes``, and of the last projection.

    In the last layer the tokens that get logits are chosen.
    """
    hidden = model.hidden or 0
    batch = Batch(
        graph,
        start.tokens,
        start.cells.slots,
        hidden,
        start.flash,
        inputs.positions,
        inputs.windows,
        inputs.states,
        0 if start.flash else widest_value(model),
        copied if start.tokens >= OFFLOADED_TOKENS else 0,
    )
    beside = None if inputs.per_layer is None else _joined(graph, x, inputs.per_layer)
    every = [mixer for shape in layer_shapes(model) for mixer in shape.mixers]
    residual_first = any(isinstance(mixer, ShortConv) for mixer in every)
    for index, shape in enumerate(shapes):
        last = with_output and index == len(shapes) - 1
        x = _layer(batch, shape, x, inputs.outputs if last else None, residual_first)
        x = x if beside is None else _with_input(batch, x, beside)
    if with_output:
        x = onto(ACTIVATIONS, x.shape or (), x)
        graph.expand(fresh("logits", (model.vocab or 0, (x.shape or (0,))[-1]), x))
    else:
        graph.expand(x)


def _joined(graph: Graph, x: Node, given_ones: Node) -> Node:
    """The inputs of all layers: those of the tokens and a projection of the embeddings, side by side by layer."""
    wide = given_ones.shape or ()
    graph.expand(given_ones)
    projected = onto(LAYER_INPUTS, wide, view(fresh(LAYER_INPUTS, wide, x)))
    return fresh(LAYER_INPUTS, wide, view(onto(LAYER_INPUTS, wide, projected, given_ones)))


def _with_input(batch: Batch, x: Node, every: Node) -> Node:
    """A layer's result with that layer's input worked in."""
    rows = (x.shape or (0,))[-1]
    small = (LAYER_INPUT, rows)
    gate = onto(ACTIVATIONS, small, fresh(ACTIVATIONS, small, x))
    if rows != batch.tokens:
        return onto(ACTIVATIONS, x.shape or (), x, fresh(ACTIVATIONS, x.shape or (), gate))
    mixed = onto(ACTIVATIONS, small, gate, view(every))
    return onto(ACTIVATIONS, x.shape or (), x, fresh(ACTIVATIONS, x.shape or (), mixed))


@lru_cache(maxsize=256)
def _kept(model: ModelSpec, layers: range) -> tuple[LayerShape, ...]:
    """The shapes of enough of the ``layers`` for what all need.

    These are the first ones in their order, any of a kind that they lack, and the last. Where all are alike few do;
    where kinds alternate, what one leaves behind decides where the next one finds room, so that it takes two rounds of
    them, or several short ones.
    """
    shapes = layer_shapes(model)[layers.start : layers.stop]
    first = _enough(shapes)
    kept = shapes[:first]
    kept += tuple(shape for shape in dict.fromkeys(shapes[first:-1]) if shape not in kept)
    return kept + shapes[max(first, len(shapes) - 1) :]


def _enough(shapes: tuple[LayerShape, ...]) -> int:
    """How many of the first layers are enough."""
    if len(set(shapes)) == 1:
        return LAYERS_ALIKE
    rounds = (size for size in range(2, LAYERS_MIXED // 2) if shapes[size:] == shapes[:-size])
    return max(LAYERS_IN_TURN, 2 * next(rounds, LAYERS_MIXED // 2))


def _layer(batch: Batch, shape: LayerShape, x: Node, chosen: Node | None, residual_first: bool) -> Node:
    """A layer's result; of ``chosen`` rows only, where it is the last of the model."""
    whole, normed = (batch.hidden, batch.tokens), x

    def added(out: Node, residual: Node) -> Node:
        return onto(ACTIVATIONS, whole, *((residual, out) if residual_first else (out, residual)))

    if shape.mixers:
        normed = onto(ACTIVATIONS, whole, x)
        out = _mixed(batch, shape.mixers[0], normed)
        for mixer in shape.mixers[1:]:
            out = onto(ACTIVATIONS, whole, out, _mixed(batch, mixer, onto(ACTIVATIONS, whole, x)))
        if chosen is not None:
            whole = (batch.hidden, (chosen.shape or ())[0])
            out, x = fresh(ACTIVATIONS, whole, out, chosen), fresh(ACTIVATIONS, whole, x, chosen)
            normed = fresh(ACTIVATIONS, whole, normed, chosen) if shape.beside else normed
        if shape.beside and shape.feed is not None:
            return added(added(feed_forward(batch, shape.feed, normed), x), out)
        x = added(out, x)
    elif chosen is not None:
        whole = (batch.hidden, (chosen.shape or ())[0])
        x = fresh(ACTIVATIONS, whole, x, chosen)
    if shape.feed is None:
        return x
    return added(feed_forward(batch, shape.feed, onto(ACTIVATIONS, whole, x)), x)


def _mixed(batch: Batch, mixer: LayerMixer, x: Node) -> Node:
    """A mixer's result, projected back to the hidden size."""
    match mixer:
        case Softmax(cache, made):
            out = softmax_attention(batch, cache, x, made)
        case MlaMixer(cache, low):
            out = latent_attention(batch, cache, x, low)
        case DeltaNet():
            out = delta_net(batch, mixer, x)
        case StateSpace():
            out = state_space(batch, mixer, x)
        case ShortConv(channels, conv):
            out = short_conv(batch, channels, conv, x)
    out = fresh(ACTIVATIONS, (batch.hidden, batch.tokens), out)
    return view(out, out.shape) if isinstance(mixer, DeltaNet | ShortConv) else out
