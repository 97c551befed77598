"""Which formats a scenario's engine and device run: what a list of formats begins with, and why the others are last.

Example: vLLM on an H100 keeps K and V in fp8, and q8_0 is a format of llama.cpp; nvfp4 waits for a device with fp4.
"""

from __future__ import annotations

from kvtui.engine.engines.known import ENGINES, kv_formats, loads_weights, part, weight_formats
from kvtui.engine.model.caches import Latent
from kvtui.engine.model.formats import APART, kv_format
from kvtui.engine.model.spec import has
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario

FP4_WEIGHTS = ("nvfp4", "nvfp4-mlp", "nvfp4-linear16", "mxfp4")


def kv_obstacle(scenario: Scenario, name: str) -> str:
    """Why K and V of ``scenario`` are not kept in the format ``name``; empty where they are."""
    known = kv_format(name)
    if known.packed_latent and not has(scenario.model, Latent):
        return "holds latents only"
    names = {known.name.partition(APART)[0], known.v.name}
    if (
        scenario.engine == "vllm"
        and has(scenario.model, Latent)
        and not names <= part("vllm", "releases").LATENT_FORMATS
    ):
        return "vLLM keeps latents in 16 bits or fp8 alone"
    if "nvfp4" in names and scenario.device.peak("fp4") is None:
        return f"the {scenario.device.name} has no fp4 math"
    engines = ENGINES[1:] if scenario.engine == "none" else (scenario.engine,)
    if not any(names <= set(kv_formats(engine) or ()) for engine in engines):
        return f"not a format of {'any engine here' if scenario.engine == 'none' else scenario.engine}"
    return ""


def weights_obstacle(scenario: Scenario, name: str) -> str:
    """Why the weights of ``scenario`` are not run in the format ``name``; empty where they are."""
    if name in (FILE_WEIGHTS, scenario.model.published_weights):
        return ""
    if name in FP4_WEIGHTS and scenario.engine != "llama.cpp" and scenario.device.peak("fp4") is None:
        return f"the {scenario.device.name} has no fp4 math"
    if scenario.engine == "none":
        run = any(name in (weight_formats(engine) or ()) or loads_weights(engine, name) for engine in ENGINES[1:])
        return "" if run else "not a format of any engine here"
    return "" if loads_weights(scenario.engine, name) else f"not a format of {scenario.engine}"
