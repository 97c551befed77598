"""The command that measures on the machine itself what an estimate of speed says.

Each engine has its own benchmark: llama.cpp's times single tokens behind a cache of a given depth, vLLM's and SGLang's
a whole batch. Without an engine kvtui's own measures how much of its bandwidth the machine reaches when it decodes.

Example: for Llama-3.1-8B in Q4_K_M at 32K under llama.cpp it is
``llama-bench -m Llama-3.1-8B-Q4_K_M.gguf -ngl 99 -fa 1 -p 0 -n 128 -d 32640``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvtui.engine.basis.untrusted import shell_word
from kvtui.engine.engines.known import part
from kvtui.engine.scenario.scenario import UBATCH_TOKENS, Scenario, usual_weights
from kvtui.engine.scenario.values import to_values

if TYPE_CHECKING:
    from kvtui.engine.serving.launching import Launch

GENERATED = 128
ALL_LAYERS = 99
OWN = "kvtui bench decode --size full"
SAID_BY_FLAGS = ("tp", "pp", "ep", "weight_dtype", "kv_dtype", "context", "gpu_memory_utilization")


def verifying(scenario: Scenario) -> str:
    """The command that measures ``scenario``'s decode step; ``GENERATED`` tokens of each sequence are timed."""
    match scenario.engine:
        case "llama.cpp":
            return _llama_cpp(scenario)
        case "vllm":
            return f"vllm bench latency --model {_id(scenario)} {_batch(scenario)}{_flags(scenario)}"
        case "sglang":
            return f"python -m sglang.bench_one_batch --model-path {_id(scenario)} {_batch(scenario)}{_flags(scenario)}"
    return OWN


def _llama_cpp(scenario: Scenario) -> str:
    """One sequence behind a cache that is full, or several at once, with layers and caches where the plan has them."""
    # Late: a plan without an engine loads nothing of any.
    from kvtui.engine.serving.llamacpp.launch import cache_types, model_file, shares
    from kvtui.engine.serving.llamacpp.placement import placement

    placed, alone = placement(scenario), scenario.batch == 1
    layers = ALL_LAYERS if placed.gpu_layers > len(placed.owners) else placed.gpu_layers
    words = ["-m", shell_word(model_file(scenario)), "-ngl", str(layers)]
    words += ["-ncmoe", str(placed.cpu_moe)] if placed.cpu_moe else []
    if (split := shares(placed)) is not None:
        words += ["-ts", ("/" if alone else ",").join(f"{share:g}" for share in split)]
    if not placed.kv_offload:
        words += ["-nkvo", "1"] if alone else ["-nkvo"]
    words += ["-ub", str(scenario.serving.ubatch)] if scenario.serving.ubatch != UBATCH_TOKENS else []
    if alone:
        words = ["llama-bench", *words, "-fa", str(int(scenario.flash_attention))]
        words += ["-p", "0", "-n", str(GENERATED), "-d", str(_prompt(scenario))]
    else:
        words = ["llama-batched-bench", *words, "-fa", "on" if scenario.flash_attention else "off"]
        words += ["-c", str(scenario.context * scenario.batch), "-npp", str(_prompt(scenario))]
        words += ["-ntg", str(GENERATED), "-npl", str(scenario.batch)]
    kinds = zip(("-ctk", "-ctv"), cache_types(scenario), strict=True)
    return " ".join([*words, *(word for flag, kind in kinds if kind != "f16" for word in (flag, kind))])


def _batch(scenario: Scenario) -> str:
    """The sequences of one replica, and what is read and written of each."""
    sequences = -(-scenario.batch // scenario.layout.dp)
    return f"--batch-size {sequences} --input-len {_prompt(scenario)} --output-len {GENERATED}"


def _prompt(scenario: Scenario) -> int:
    return max(1, scenario.context - GENERATED)


def _id(scenario: Scenario) -> str:
    """The model as its engine finds it: on the hub where it is known, else by the name it was given.

    Weights that no flag makes of the model's own are another repository's, which stands there as a word of no name.
    """
    if scenario.weight_dtype != usual_weights(scenario.model) and not _said(scenario, "weight_dtype"):
        return f"CHECKPOINT-IN-{scenario.weight_dtype.upper()}"
    hub = next((name for name in scenario.model.aliases if "/" in name), scenario.ref)
    return shell_word(hub)


def _flags(scenario: Scenario) -> str:
    """What the engine's own flags say of the rest."""
    return "".join(f" {word}" for key in SAID_BY_FLAGS for word in _said(scenario, key))


def _said(scenario: Scenario, key: str) -> Sequence[str]:
    """The words of the engine's own flag for the option ``key``; none where no flag says its value."""
    launch: Launch = part(scenario.engine, "flags").LAUNCH
    value = to_values(scenario).get(key)
    if not isinstance(value, (str, bool)) or value in (False, ""):
        return ()
    said = (flag.written(value) for flag in launch.flags if flag.key == key)
    return next((one for one in said if one is not None), ())
