"""What training a model keeps on each device: weights, gradients, optimizer states, activations, and how they shard.

Weights, gradients and states are counted over the model's own tensors, in the bytes that a precision gives each
(Micikevicius et al. 2017, arXiv:1710.03740; mixed precision with Adam is 16 bytes a weight, Rajbhandari et al. 2019,
arXiv:1910.02054). Activations are the tensors that the backward pass needs, each once, in the format of the
computation, as fused kernels keep them: for GPT's layer without dropout this is the 34 · tokens · hidden of Korthikanti
et al. 2022 (arXiv:2205.05198) less its two dropout masks, and 5 · heads · tokens² less those of the scores. Grouped
heads, gated and routed feed-forward layers and latents follow from their tensors in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import Experts, Layer, ModelSpec
from kvtui.engine.model.tensors import Tensor, Tensors, weight_count

Checkpointing = Literal["none", "full"]
CHECKPOINTING: tuple[Checkpointing, ...] = ("none", "full")
STAGES = (0, 1, 2, 3)
UNSEEN = {"tower", "other"}
COUNTED = {
    *("embedding", "head", "norm", "bias", "vector", "q", "k", "v", "o", "q_a", "q_b", "kv_a", "kv_b", "gate", "up"),
    *("down", "router", "router_bias", "expert_gate", "expert_up", "expert_down", "expert_bias", "shared_gate"),
    *("shared_up", "shared_down", "shared_router"),
}
"""Roles of tensors whose layers' activations are known."""
WIDE = 4
"""Bytes of a statistic, a probability of the router, a logit: these stay in fp32."""
LOGITS = 3
"""Arrays of logits that are there at once."""


class Precision(NamedTuple):
    """Bytes of a weight, of its gradient, of a master copy (0: none), of an element of a state, of an activation."""

    weight: int
    gradient: int
    master: int
    state: int
    activation: int


PRECISIONS = {
    "fp32": Precision(4, 4, 0, 4, 4),
    "mixed": Precision(2, 2, 4, 4, 2),
    "bf16": Precision(2, 2, 0, 2, 2),
}
"""``mixed`` computes in 16 bits and keeps a master copy and the states in fp32; ``bf16`` keeps nothing in fp32."""

OPTIMIZERS = {
    "sgd": 0,
    "momentum": 1,
    "adam": 2,
    "adamw": 2,
    "lion": 1,
    "adafactor": 0,
}
"""State elements of a weight: SGD none, with momentum one, Adam (arXiv:1412.6980) and AdamW (arXiv:1711.05101) two,
Lion (arXiv:2302.06675) one. Adafactor (arXiv:1804.04235), without a first moment, keeps a row and a column of each
matrix, and one element for each of a vector's."""


class TrainingSetup(NamedTuple):
    """How a model is trained. ``batch`` sequences of ``context`` tokens pass through each of ``devices`` at a time.

    ``stage`` is ZeRO's: 1 shards states and master weights over the devices, 2 gradients too, 3 weights too, which is
    what FSDP does. With ``accumulate`` gradients of several passes are added before a step. ``fused_attention`` keeps
    no scores (FlashAttention, arXiv:2205.14135).
    """

    batch: int = 1
    context: int = 2048
    optimizer: str = "adamw"
    precision: str = "mixed"
    checkpointing: Checkpointing = "none"
    stage: int = 0
    devices: int = 1
    accumulate: bool = False
    fused_attention: bool = True


class TrainingMemory(NamedTuple):
    """Bytes on each device.

    ``gathered`` is the largest unit that ZeRO-3 and FSDP have whole, and its gradient. ``activations`` are what the
    forward pass leaves, ``recomputed`` the layer that is computed again under checkpointing. ``logits`` are those of
    all tokens in fp32, three times, as PyTorch's cross entropy has them at once: the log-probabilities, the loss's
    gradient by these, and by the logits. ``joined`` are the two parts of a tied embedding's gradient beside their sum.
    """

    weights: int
    master: int
    gradients: int
    states: int
    gathered: int
    activations: int
    recomputed: int
    logits: int
    joined: int
    accumulate: bool

    @property
    def resting(self) -> int:
        """What is there between steps."""
        return self.weights + self.master + self.states

    @property
    def peak(self) -> int:
        """The most that is held at one moment: where the backward pass begins, within it, or at its end.

        Gradients come while activations go, unless gradients of an earlier pass are there from the start.
        """
        before = self.gradients if self.accumulate else 0
        begins = before + self.activations + max(self.logits, self.recomputed)
        ends = self.gradients + max(self.recomputed, self.joined)
        return self.resting + self.gathered + max(begins, ends)


def training_memory(model: ModelSpec, setup: TrainingSetup) -> TrainingMemory:
    """What training ``model`` keeps on each device.

    Raises InputError where the model's shape or a layer's activations are not known, UnknownName for an optimizer or a
    precision.
    """
    _check(setup)
    layers, outside = _tensors_of(model)
    size = PRECISIONS[setup.precision]
    every = [tensor for tensors in (*layers, outside) for tensor in tensors]
    count, units = weight_count(every), [*map(weight_count, layers), weight_count(outside)]
    over = [setup.devices if setup.stage >= stage else 1 for stage in (3, 1, 2)]
    whole, states, gradients = (_share(count, n) for n in over)
    gathered = max(units) * (size.weight + size.gradient) if setup.stage == 3 and setup.devices > 1 else 0
    activations, recomputed = activation_bytes(model, setup)
    untied = any(tensor.role == "head" for tensor in outside)
    return TrainingMemory(
        weights=whole * size.weight,
        master=states * size.master,
        gradients=gradients * size.gradient,
        states=_share(state_elements(every, setup.optimizer), over[1]) * size.state,
        gathered=gathered,
        activations=activations,
        recomputed=recomputed,
        logits=LOGITS * WIDE * setup.batch * setup.context * (model.vocab or 0),
        joined=0 if untied else 2 * size.gradient * sum(t.parameters for t in outside if t.role == "embedding"),
        accumulate=setup.accumulate,
    )


def state_elements(tensors: Iterable[Tensor], optimizer: str) -> int:
    """Elements of the states that ``optimizer`` keeps of ``tensors``."""
    if optimizer != "adafactor":
        return OPTIMIZERS[optimizer] * weight_count(tensors)
    return sum(t.number * (t.columns if t.rows == 1 else t.rows + t.columns) for t in tensors)


def activation_bytes(model: ModelSpec, setup: TrainingSetup) -> tuple[int, int]:
    """Bytes of ``setup``'s sequences that the forward pass leaves for the backward one, and of a layer computed again.

    Under full checkpointing (Chen et al. 2016, arXiv:1604.06174) each layer keeps its input alone, and one layer at a
    time, the largest here, is computed again. The last norm and product are always kept.
    """
    assert model.hidden is not None
    element = PRECISIONS[setup.precision].activation
    tokens = setup.batch * setup.context
    each = [_layer_bytes(layer, model.hidden, setup, element) for layer in model.layers]
    again = max(each, default=0) if setup.checkpointing == "full" else 0
    kept = len(each) * element * model.hidden if again else sum(each)
    ending = 2 * element * model.hidden + WIDE
    return tokens * (kept + ending), tokens * again


def _layer_bytes(layer: Layer, hidden: int, setup: TrainingSetup, element: int) -> int:
    """What one token leaves of a ``layer`` for the backward pass."""
    tensors = layer.tensors or ()
    by_role: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        by_role.setdefault(tensor.role, []).append(tensor)
    elements, statistics, scores = _attention(by_role, setup)
    kept, wide = _norms(by_role, hidden)
    feeds, routed = _feed_forward(by_role, layer.experts, hidden)
    blocks = bool(by_role.keys() & {"q", "q_a"}) + bool(feeds)
    inputs = min(blocks, max(1, sum(t.columns in (hidden, 2 * hidden) for t in by_role.get("norm", ()))))
    return element * (elements + scores + kept + feeds + inputs * hidden) + WIDE * (statistics + wide + routed)


def _attention(by_role: dict[str, list[Tensor]], setup: TrainingSetup) -> tuple[int, int, int]:
    """Elements of q, k, v and the output, of statistics in fp32, and of scores; for MLA with K and V of all heads."""
    queries = by_role.get("q", []) + by_role.get("q_b", [])
    if not queries or "o" not in by_role:
        return 0, 0, 0
    query, out = queries[0].rows, by_role["o"][0].columns
    heads = queries[0].parts
    if "kv_b" in by_role:
        ranks = sum(t.columns for role in ("q_b", "kv_b") for t in by_role.get(role, ()))
        elements = ranks + 2 * query + 2 * out
    else:
        elements = query + sum(t.rows for role in ("k", "v") for t in by_role.get(role, ())) + out
    return elements, heads if setup.fused_attention else 0, 0 if setup.fused_attention else heads * setup.context


def _norms(by_role: dict[str, list[Tensor]], hidden: int) -> tuple[int, int]:
    """Elements that norms take in, and their statistics: a norm over a head's elements takes in all heads."""
    elements = statistics = 0
    of_heads = [t.rows for role in ("q", "k") for t in by_role.get(role, ())]
    for norm in by_role.get("norm", ()):
        if norm.columns in (hidden, 2 * hidden):
            elements, statistics = elements + hidden, statistics + norm.columns // hidden
        elif of_heads and norm.columns not in of_heads and of_heads[0] % norm.columns == 0 and "kv_b" not in by_role:
            row = of_heads.pop(0)
            elements, statistics = elements + row, statistics + row // norm.columns
        else:
            elements, statistics = elements + norm.columns, statistics + 1
    return elements, statistics


def _feed_forward(by_role: dict[str, list[Tensor]], experts: Experts | None, hidden: int) -> tuple[int, int]:
    """Elements within feed-forward networks, and of the router in fp32.

    A gated network keeps its gate before and behind the activation, the other factor, and their product; one without
    a gate what lies before and behind the activation. Routed experts take in and give out rows of their own.
    """
    elements = routed = 0
    for gate, down in (("gate", "down"), ("shared_gate", "shared_down")):
        for tensor in by_role.get(down, ()):
            elements += (4 if gate in by_role else 2) * tensor.columns
    if experts is not None:
        gated = any(t.role == "expert_gate" for t in experts.tensors)
        width = sum(t.columns for t in experts.tensors if t.role == "expert_down")
        elements += experts.active * ((4 if gated else 2) * width + 2 * hidden)
        routed = experts.total
    return elements, routed


def _tensors_of(model: ModelSpec) -> tuple[list[Tensors], Tensors]:
    """Each layer's tensors with its experts', and those outside. Raises InputError for what is not known."""
    name = plain(model.name)
    if model.hidden is None or model.vocab is None or not model.outside:
        raise InputError(f"training: the shape of {name} is not known, only its number of parameters")
    found = []
    for layer in model.layers:
        if layer.tensors is None:
            raise InputError(f"training: the shape of {name} is not known, only its number of parameters")
        experts = () if layer.experts is None else _times(layer.experts)
        for tensor in (*layer.tensors, *experts):
            if tensor.role not in COUNTED:
                raise InputError(f"training: {name} has layers whose activations are not known ({tensor.role})")
        found.append((*layer.tensors, *experts))
    if any(tensor.role not in COUNTED | UNSEEN for tensor in model.outside):
        raise InputError(f"training: {name} has tensors outside its layers whose activations are not known")
    return found, model.outside


def _times(experts: Experts) -> Tensors:
    return tuple(tensor._replace(number=tensor.number * experts.total) for tensor in experts.tensors)


def _share(count: int, devices: int) -> int:
    """The largest part of ``count`` elements over ``devices``."""
    return -(-count // devices)


def _check(setup: TrainingSetup) -> None:
    for name in ("batch", "context", "devices"):
        if getattr(setup, name) < 1:
            raise InputError(f"training: {name}: {getattr(setup, name)} is below 1")
    for what, found, known in (
        ("optimizer", setup.optimizer, OPTIMIZERS),
        ("precision", setup.precision, PRECISIONS),
        ("checkpointing", setup.checkpointing, CHECKPOINTING),
    ):
        if found not in known:
            raise UnknownName(what, found, tuple(known))
    if setup.stage not in STAGES:
        raise InputError(f"training: {setup.stage} is no stage of ZeRO; there are 0 to 3")
