"""What the user should know about a plan, most urgent first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.engines.known import loads_weights, places_layers
from kvtui.engine.engines.placement import RAM
from kvtui.engine.planning.parts import available
from kvtui.engine.planning.plan import SEARCH_DEVICES, Plan
from kvtui.engine.planning.serve import at_once
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, NODE_DEVICES

if TYPE_CHECKING:
    from kvtui.engine.engines.result import Serving
    from kvtui.engine.planning.parts import Parts
    from kvtui.engine.scenario.scenario import Scenario

Severity = Literal["critical", "warning", "info"]

NEAR_CAPACITY, TIGHT = 0.8, 0.97
LEAST_CAPABILITY = {"nvfp4": (8, 0), "mxfp4": (8, 0), "fp8": (8, 0), "awq": (7, 5), "w4a16": (8, 0)}
"""Compute capability from which engines' kernels run a format of weights, with Marlin's where a device has no own."""


class Notice(NamedTuple):
    """One thing to know: a stable ``id``, its severity, and one sentence."""

    id: str
    severity: Severity
    text: str


def notices(plan: Plan) -> tuple[Notice, ...]:
    """All notices of ``plan``, critical ones first."""
    order: tuple[Severity, ...] = ("critical", "warning", "info")
    found = [*_memory(plan), *_devices(plan), *_engine(plan), *_estimates(plan), *_model(plan)]
    return tuple(sorted(found, key=lambda notice: order.index(notice.severity)))


def is_tight(plan: Plan) -> bool:
    """Whether a plan fits with less than 3 % to spare, where nothing was set aside on purpose.

    An estimate of activations and overhead is not that exact, and a display or another program needs some too.
    """
    return plan.fits and plan.serving is None and plan.scenario.kv_pool is None and plan.used > TIGHT


def _memory(plan: Plan) -> Iterator[Notice]:
    parts, pool, served = plan.per_device, plan.scenario.kv_pool, plan.serving
    if plan.crowded:
        yield Notice("over_capacity", "critical", beside_pool(plan.scenario, parts))
    elif served is not None:
        if not plan.fits:
            yield Notice("over_capacity", "critical", unserved(plan.scenario, served))
    elif not plan.fits and pool is not None:
        text = f"the cache needs {format_bytes(parts.cache)} of a pool of {format_bytes(pool)}"
        yield Notice("over_capacity", "critical", text)
    elif not plan.fits:
        needed, available = format_bytes(parts.total), format_bytes(plan.budget_per_device)
        text = f"does not fit: the fullest device needs {needed} of {available}"
        yield Notice("over_capacity", "critical", text)
    elif pool is None and plan.used >= NEAR_CAPACITY:
        yield Notice(
            "near_capacity",
            "warning",
            f"the fullest device is {plan.used:.0%} full{', tight' if is_tight(plan) else ''}",
        )


def _devices(plan: Plan) -> Iterator[Notice]:
    needed = plan.devices_needed
    if needed is None and (plan.scenario.kv_pool is None or plan.crowded):
        text = f"no split over up to {SEARCH_DEVICES:,} devices was found that fits"
        yield Notice("no_split", "critical", text)
    elif needed is not None and needed > plan.devices:
        yield Notice("multi_device", "warning", f"needs {needed:,} devices of this kind")
    if max(needed or 0, plan.devices) > NODE_DEVICES:
        text = f"more than {NODE_DEVICES} devices: several nodes, and their network between them"
        yield Notice("multi_node", "warning", text)


def beside_pool(scenario: Scenario, parts: Parts) -> str:
    """Why a device has no room for its KV pool beside the rest of its ``parts``, in one sentence."""
    beside, room = parts.beside_cache, available(scenario)
    what = "activations and overhead" if scenario.skip_weights else "weights, activations and overhead"
    text = f"{what} take {format_bytes(beside)} of a device's {format_bytes(room)}"
    pool = format_bytes(scenario.kv_pool or 0)
    return f"{text}, which leaves {format_bytes(max(0, room - beside))} for a KV pool of {pool}"


def unserved(scenario: Scenario, served: Serving) -> str:
    """Why the engine does not run all sequences of ``scenario`` at once, in one sentence."""
    crowded = served.needed_bytes <= served.pool_bytes
    lacking = next((use for use in served.lacking if use.number == RAM or crowded), None)
    if lacking is not None:
        text = f"{served.engine} needs {format_bytes(lacking.total)} of {_place(lacking.name)}"
        return f"{text} and has {format_bytes(lacking.capacity or 0)}"
    if not served.fits:
        needed = format_bytes(max(served.needed_bytes, served.engine_needed_bytes or 0))
        text = f"{served.engine} needs {needed} of cache for one request of {format_tokens(scenario.context)} tokens"
        text += f" and has {format_bytes(served.pool_bytes)}"
        return text + (f": at most {served.max_context:,} tokens" if served.max_context else "")
    if served.refusals:
        return served.refusals[0]
    running = f"{at_once(scenario, served):,} of {scenario.batch:,} sequences"
    return f"{served.engine} runs {running} at once (limit: {served.max_sequences_limit}), the others wait"


def _place(name: str) -> str:
    return name if name == "RAM" else f"the memory of {name}"


def _engine(plan: Plan) -> Iterator[Notice]:
    served = plan.serving
    if plan.scenario.ram is not None and not places_layers(plan.scenario.engine):
        text = "RAM counts for llama.cpp alone, which can leave layers there (--engine llama.cpp)"
        yield Notice("ram_unused", "warning", text)
    if served is None:
        return
    for number, text in enumerate(served.refusals, 1):
        yield Notice(f"engine_refusal_{number}", "warning", text)
    for number, text in enumerate(served.notes, 1):
        yield Notice(f"engine_note_{number}", "info", text)


def _kernels(scenario: Scenario) -> Iterator[Notice]:
    """Weights that the engine, or its kernels on the device, are not known to run."""
    engine, device, weights = scenario.engine, scenario.device, scenario.weight_dtype
    if not loads_weights(engine, weights):
        text = f"{engine} is not known to load {weights} weights: the plan is only what they would weigh"
        yield Notice("weights_not_loaded", "warning", text)
    elif engine not in ("none", "llama.cpp") and (form := weights.partition("-")[0]) in LEAST_CAPABILITY:
        capability = device.compute_capability
        least = LEAST_CAPABILITY[form]
        elsewhere = device.platform == "rocm" and form != "nvfp4"
        if not elsewhere and (capability is None or capability < least):
            needed = f"an NVIDIA device of compute capability {least[0]}.{least[1]} or more"
            yield Notice("weights_not_run", "warning", f"{engine}'s {form} kernels need {needed}, not {device.name}")


def _estimates(plan: Plan) -> Iterator[Notice]:
    if not plan.fits:
        yield Notice("no_estimate", "info", "time and cost are estimated for plans that fit")


def _what_if(text: str) -> Iterator[Notice]:
    from kvtui.engine.model.what_if import parsed
    from kvtui.engine.planning.what_if import HONEST

    for number, one in enumerate(parsed(text), 1):
        yield Notice(f"what_if_{number}", "warning", f"what if {one.called} ({one.paper}); {HONEST.casefold()}")


def _model(plan: Plan) -> Iterator[Notice]:
    scenario, model = plan.scenario, plan.scenario.model
    if model.what_if:
        yield from _what_if(model.what_if)
    if model.max_context is not None and scenario.context > model.max_context:
        asked, trained = format_tokens(scenario.context), format_tokens(model.max_context)
        text = f"a context of {asked} tokens is beyond the model's maximum of {trained}"
        yield Notice("beyond_model_context", "warning", text)
    if model.hidden is None:
        yield Notice("unknown_hidden", "warning", "hidden size unknown: activations are not counted")
    form = scenario.checkpoint
    if not scenario.skip_weights and form is not None and form.rules:
        yield Notice("weight_format", "info", f"weights: {form.meaning}")
    if not scenario.skip_weights and scenario.weight_dtype != FILE_WEIGHTS:
        yield from _kernels(scenario)
        published = model.published_weights
        if published is not None and published != scenario.weight_dtype:
            text = f"the published weights are {published}: --weight-dtype {published} plans them so"
            yield Notice("published_weights", "info", text)
        if model.parameters_from == "stated":
            text = "the parameter count is the published round figure, not counted from the shape"
            yield Notice("stated_parameters", "info", text)
    if model.confidence != "H":
        text = f"the model's data is of confidence {model.confidence}: verify it before relying on it"
        yield Notice("model_confidence", "info", text)
    if scenario.device.confidence != "H":
        text = f"the device's data is of confidence {scenario.device.confidence}: verify it before relying on it"
        yield Notice("device_confidence", "info", text)
    for number, note in enumerate(model.notes, 1):
        yield Notice(f"model_note_{number}", "info", note)
