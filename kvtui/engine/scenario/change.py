"""Changing a scenario: what was chosen is kept or refused, and what was not chosen gives way and says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kvtui.engine.basis.errors import InputError
from kvtui.engine.engines.known import Engine, check_format, divides_experts, places_layers
from kvtui.engine.model.formats import Format, kv_format
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import (
    FILE_WEIGHTS,
    NODE_DEVICES,
    Layout,
    Scenario,
    ServingOptions,
    has_experts,
    valid_tps,
)
from kvtui.engine.scenario.values import engine_defaults, engine_defaults_of, left_to_engine

FALLBACK_DTYPE, PACKED_FALLBACK_DTYPE = "bf16", "fp8"


def adapted(scenario: Scenario, chosen: Mapping[str, Any]) -> tuple[Scenario, tuple[str, ...]]:
    """``scenario`` with the fields ``chosen`` put in, and one sentence for each other field that had to give way.

    What was left to the engine stays the engine's choice, for another model, device or release too.
    Raises InputError when the chosen fields are wrong in themselves or contradict each other.
    """
    values = scenario._asdict() | dict(chosen)
    engine = Engine(values["engine"], values["serving"].version)
    left = left_to_engine(scenario, engine, values["model"], values["device"], values["kv_dtype"])
    values |= {name: value for name, value in left.items() if name not in chosen}
    notes = []
    if values["device"] is not scenario.device and scenario.bandwidth_gbs is not None and "bandwidth_gbs" not in chosen:
        values["bandwidth_gbs"] = None
        notes.append(f"bandwidth as published: {scenario.bandwidth_gbs:g} GB/s were measured for another device")
    usual = engine_defaults(engine, values["model"], values["device"], values["kv_dtype"]).weight_dtype
    assert usual is not None
    for name, value, note in _give_way(values, scenario, usual):
        if name not in chosen:
            values[name] = value
            notes.append(note)
    return Scenario(**values), tuple(notes)


def fit_layout(model: ModelSpec, devices: int, batch: int, engine: str = "none") -> Layout:
    """The layout for ``devices``, or for the most below that some split uses.

    Tensor parallelism is the widest of a node that divides the model, then pipeline stages, then replicas (at most
    ``batch``). An ``engine`` that gives each device whole layers has stages alone, and replicas beyond its layers.
    """
    if places_layers(engine):
        return Layout(1, min(devices, len(model.layers)), max(1, min(devices // len(model.layers), batch)))
    tps, stages = valid_tps(model), len(model.layers)
    widest_node_first = sorted(tps, key=lambda tp: (tp > NODE_DEVICES, -tp))
    for count in range(min(devices, tps[-1] * stages * batch), 1, -1):
        for tp in widest_node_first:
            rest = count // tp
            if count % tp:
                continue
            for pp in range(min(rest, stages), 0, -1):
                if rest % pp == 0 and rest // pp <= batch:
                    return Layout(tp, pp, rest // pp)
    return Layout()


def _give_way(values: Mapping[str, Any], before: Scenario, usual: str) -> Iterator[tuple[str, Any, str]]:
    """Field, new value and reason of everything that contradicts the rest, each judged after the one before.

    Weights that were as usual for the model of the scenario ``before`` are as ``usual`` for another one too.
    """
    model: ModelSpec = values["model"]
    if model is not before.model and usual != values["weight_dtype"]:
        if usual == FILE_WEIGHTS:
            yield "weight_dtype", FILE_WEIGHTS, "weights as the model's file holds them"
        elif model.named_weights is not None:
            yield "weight_dtype", usual, f"weights in {usual}, as the model's name says"
        elif values["weight_dtype"] == engine_defaults_of(before).weight_dtype != FILE_WEIGHTS:
            yield "weight_dtype", usual, f"weights in {usual}, as {model.name} is published"
    if values["weight_dtype"] == FILE_WEIGHTS and model.weight_bytes is None:
        yield "weight_dtype", FALLBACK_DTYPE, f"weights in {FALLBACK_DTYPE}: {model.name} is not read from a file"
    if not values["skip_weights"] and values["weight_dtype"] != FILE_WEIGHTS and model.parameters is None:
        yield "skip_weights", True, f"weights skipped: the parameter count of {model.name} is unknown"
    if model.what_if and values["engine"] != "none":
        yield "model", model.real, f"no what-if: {values['engine']} allocates what the model has"
    form = kv_format(values["kv_dtype"])
    if not _engine_has(values["engine"], form):
        yield "kv_dtype", FALLBACK_DTYPE, f"KV in {FALLBACK_DTYPE}: {values['engine']} has no {form.name} cache"
    elif not _holds(model, form):
        other = PACKED_FALLBACK_DTYPE if form.packed_latent else FALLBACK_DTYPE
        yield "kv_dtype", other, f"KV in {other}: {model.name} cannot use {form.name}"
    lengths, context, batch = values["lengths"], values["context"], values["batch"]
    if lengths is not None and (len(lengths) != batch or max(lengths) > context):
        yield "lengths", None, "the sequences' own lengths are dropped"
    if values["shared_prefix"] and not values["paged_attention"]:
        yield "shared_prefix", 0, "no prefix is shared any more"
    serving: ServingOptions = values["serving"]
    if values["speculative_tokens"] and not model.mtp and not (serving.draft_layers or serving.draft_model):
        yield "speculative_tokens", 0, f"no speculation: {model.name} has no multi-token-prediction layers"
    if values["expert_parallel"] and not has_experts(model):
        yield "expert_parallel", False, f"no expert parallelism: {model.name} has no routed experts"
    elif values["expert_parallel"] and not divides_experts(values["engine"]):
        yield "expert_parallel", False, f"no expert parallelism: {values['engine']} gives each device whole layers"
    if serving.all2all is not None and values["engine"] != "vllm":
        serving = serving._replace(all2all=None)
        yield "serving", serving, f"{values['engine']} hands tokens on as it likes"
    if serving.placing and not places_layers(values["engine"]):
        serving = serving.unplaced
        yield "serving", serving, f"all layers on the devices: {values['engine']} has none in RAM"
    layout: Layout = values["layout"]
    if serving.placing and layout.tp > 1:
        layout = Layout(1, min(layout.tp * layout.pp, len(model.layers)), layout.dp)
        yield "layout", layout, f"{layout_words(layout)}: {values['engine']} splits no tensor"
    if serving.cpu_moe and not has_experts(model):
        serving = serving._replace(cpu_moe=0)
        yield "serving", serving, f"no experts in RAM: {model.name} has none"
    if not (layout.tp in valid_tps(model) and layout.pp <= len(model.layers) and layout.dp <= batch):
        other_layout = fit_layout(model, layout.devices, batch, values["engine"])
        yield "layout", other_layout, f"{layout_words(layout)} does not suit: now {layout_words(other_layout)}"
    held = serving.partition
    if held is not None and (len(held) != values["layout"].pp or sum(held) != len(model.layers)):
        serving = serving._replace(partition=None)
        yield "serving", serving, "pipeline stages as even as they go"
    shares = serving.tensor_split
    if shares is not None and len(shares) != values["layout"].pp:
        serving = serving._replace(tensor_split=None)
        yield "serving", serving, "layers are dealt out evenly"
    if serving.main_gpu is not None and serving.main_gpu >= values["layout"].pp:
        yield "serving", serving._replace(main_gpu=None), "no device has the whole model alone"


def layout_words(layout: Layout) -> str:
    """A layout for people: ``tp 4 × pp 2``, or ``1 device``."""
    parts = [f"{name} {n}" for name, n in (("tp", layout.tp), ("pp", layout.pp), ("dp", layout.dp)) if n > 1]
    return " × ".join(parts) or "1 device"


def _engine_has(engine: str, form: Format) -> bool:
    try:
        check_format(engine, form)
    except InputError:
        return False
    return True


def _holds(model: ModelSpec, form: Format) -> bool:
    try:
        for cache, _ in model.caches:
            cache.entry_bytes(form, 1)
    except InputError:
        return False
    return True
