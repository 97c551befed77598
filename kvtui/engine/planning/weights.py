"""Weights as a scenario's devices hold them, and as a decode step reads them.

They follow from the tensors of the checkpoint: what ranks copy, pad or hold in common is counted as such. The exact
size that a file states is divided as its tensors are.
"""

from __future__ import annotations

from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.format import CheckpointFormat
from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.checkpoint.ranks import ExpertRanks, held_bytes
from kvtui.engine.checkpoint.reads import WeightsRead, weights_read
from kvtui.engine.checkpoint.weights import file_bytes, used_bytes
from kvtui.engine.engines.known import joins_replicas
from kvtui.engine.planning.stages import Stage
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario, has_experts

UNTOLD = "bf16"
"""What a file's tensors are divided as where nothing says how they are stored."""


def weight_bytes(scenario: Scenario) -> int:
    """Bytes of one replica's weights as stored, each tensor once: those of the format, or what the file holds.

    Prediction layers count where they draft. Raises InputError when the weights are unknown and not skipped.
    """
    model = scenario.model
    if scenario.skip_weights:
        return 0
    size = _file_size(scenario)
    if model.parameters is None:
        if size is None:
            raise InputError(
                f"model: the parameter count of {model.name} is unknown; --skip-weights plans its cache alone"
            )
        return size
    form = form_of(scenario)
    used = used_bytes(model, form, mtp=scenario.drafts_itself)
    if size is None:
        return used
    return size if model.stored is None else -(-size * used // file_bytes(model, form))


def held_weight_bytes(scenario: Scenario, stage: Stage) -> int:
    """Bytes of weights on the fullest device of ``stage``, the rank 0 of tensor and expert parallelism.

    Example: Llama-3.1-8B in bf16 has 14.96 GiB on one device, and 7.48 GiB on each of two.
    """
    whole, model, layout = weight_bytes(scenario), scenario.model, scenario.layout
    if model.parameters is None or scenario.skip_weights:
        return -(-whole * len(stage.layers) // (len(model.layers) * layout.tp))
    form, mtp = form_of(scenario), scenario.drafts_itself
    held = held_bytes(model, form, layout.tp, expert_ranks(scenario), layers=stage.layers, mtp=mtp)
    if _file_size(scenario) is None:
        return held
    return -(-whole * held // used_bytes(model, form, mtp=mtp))


def expert_ranks(scenario: Scenario) -> ExpertRanks:
    """The ranks that experts are divided over: whole with expert parallelism, else in slices."""
    return ExpertRanks(scenario.layout.tp * joined_replicas(scenario), scenario.expert_parallel)


def joined_replicas(scenario: Scenario) -> int:
    """Replicas that hold each expert once between them, and whose tokens meet there.

    Example: vLLM's replicas of a model with experts are one server, whose experts are sliced over all of their ranks
    where it is not told to give each rank whole ones: a third of each on ``--dp 3``.
    """
    joined = scenario.expert_parallel or (has_experts(scenario.model) and joins_replicas(scenario.engine))
    return scenario.layout.dp if joined else 1


def step_weights(scenario: Scenario) -> WeightsRead | None:
    """Weights that a decode step of one replica reads; None where they are unknown.

    Where replicas have experts in common, one's ranks read their share of those that the tokens of all touch.
    """
    model, form = scenario.model, form_of(scenario)
    found = weights_read(model, form, scenario.layout.tp)
    if found is None:
        if model.active_parameters is None:
            return None
        found = WeightsRead(int(model.active_parameters * scenario.weight_bits / 8), ())
    elif (size := _file_size(scenario)) is not None and model.parameters is not None:
        every = file_bytes(model, form)
        routed = (one._replace(bytes=one.bytes * size // every) for one in found.routed)
        found = WeightsRead(found.always * size // every, tuple(routed))
    return divided_experts(scenario, found)


def divided_experts(scenario: Scenario, found: WeightsRead) -> WeightsRead:
    """``found`` with the experts that are one replica's own to read."""
    replicas = joined_replicas(scenario)
    if replicas == 1:
        return found
    return found._replace(routed=tuple(one._replace(bytes=one.bytes // replicas) for one in found.routed))


def form_of(scenario: Scenario) -> CheckpointFormat:
    """How the scenario's weights are stored, or taken to be."""
    return scenario.checkpoint or checkpoint_format(UNTOLD, scenario.model)


def _file_size(scenario: Scenario) -> int | None:
    """The bytes that the model's own file holds, where those are the weights."""
    return scenario.model.weight_bytes if scenario.weight_dtype == FILE_WEIGHTS else None
