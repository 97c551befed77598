"""The one entry to all engines: a scenario in, its engine's cache out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtui.engine.scenario import Scenario
    from kvtui.engine.serving.result import Serving


def serve(scenario: Scenario) -> Serving | None:
    """The cache of the scenario's engine; None for engine ``none``.

    Raises InputError when the engine cannot serve the scenario at all.
    """
    match scenario.engine:
        case "vllm":
            from kvtui.engine.serving import vllm

            return vllm.serve(scenario)
        case "llama.cpp":
            from kvtui.engine.serving import llamacpp

            return llamacpp.serve(scenario)
        case "sglang":
            from kvtui.engine.serving import sglang

            return sglang.serve(scenario)
        case "tensorrt-llm":
            from kvtui.engine.serving import tensorrt

            return tensorrt.serve(scenario)
    return None
