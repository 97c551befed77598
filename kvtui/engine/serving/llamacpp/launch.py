"""The words that start a model as planned: llama-server's flags, Ollama's options, LM Studio's settings."""

from __future__ import annotations

import re

from kvtui.engine.basis.units import MIB
from kvtui.engine.basis.untrusted import shell_word
from kvtui.engine.engines.placement import RAM, Placement
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, UBATCH_TOKENS, Scenario
from kvtui.engine.serving.llamacpp.flags import LAUNCH

GGML = {"fp16": "f16", "bf16": "f16", "fp32": "f32"}
"""ggml's names of formats where they are others than here; 16 bits are llama.cpp's own f16, which takes as much."""
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,95}-GGUF)(?::[\w.-]{1,40})?", re.IGNORECASE)
PROJECTOR = ("--mmproj", "mmproj.gguf")
"""A size is all that is known of it, so that no option stands behind its name."""
OLLAMA_KV = ("f16", "q8_0", "q4_0")


def commands(scenario: Scenario, placed: Placement, whole_layers: Placement) -> tuple[tuple[str, str], ...]:
    """What starts ``scenario`` with ``placed`` layers, by program.

    Ollama cannot be told to leave experts in RAM: it gets the best placement of ``whole_layers``.
    """
    return (
        ("llama-server", _llama_server(scenario, placed)),
        ("Ollama", _ollama(scenario, whole_layers)),
        ("LM Studio", _lm_studio(scenario, placed)),
    )


def _llama_server(scenario: Scenario, placed: Placement) -> str:
    serving, split = scenario.serving, shares(placed)
    k, v = cache_types(scenario)
    on_gpu = scenario.device.platform != "cpu"
    said: tuple[tuple[str, str | bool | None], ...] = (
        ("context", str(scenario.context)),
        ("gpu_layers", str(placed.gpu_layers) if on_gpu else None),
        ("cpu_moe", str(placed.cpu_moe) if placed.cpu_moe else None),
        ("tensor_split", None if split is None else ",".join(f"{share:g}" for share in split)),
        ("fa", "on" if scenario.flash_attention else "off"),
        ("k_dtype", None if k == "f16" else k),
        ("v_dtype", None if v == "f16" else v),
        ("parallel", None if serving.parallel is None else str(serving.parallel)),
        ("kv_unified", serving.kv_unified or None),
        ("ubatch", str(serving.ubatch) if serving.ubatch != UBATCH_TOKENS else None),
        ("swa_full", serving.swa_full or None),
        ("kv_offload", None if serving.kv_offload else False),
        ("draft_model", None if serving.draft_model is None else f"{serving.draft_model.name}.gguf"),
        ("cache_ram", None if serving.cache_ram is None else str(serving.cache_ram // MIB)),
    )
    words = ["llama-server", *_where_from(scenario)]
    for key, value in said:
        words += [] if value is None else map(shell_word, LAUNCH.written(key, value) or ())
    return " ".join([*words, *PROJECTOR] if serving.mmproj else words)


def _ollama(scenario: Scenario, placed: Placement) -> str:
    """Ollama divides by layers alone; its cache has one type."""
    k, v = cache_types(scenario)
    words = [f"PARAMETER num_ctx {scenario.context}"]
    words += [f"PARAMETER num_gpu {placed.gpu_layers}"] if scenario.device.platform != "cpu" else []
    told = [f"OLLAMA_FLASH_ATTENTION={int(scenario.flash_attention)}"]
    if k == v and k in OLLAMA_KV:
        told.append(f"OLLAMA_KV_CACHE_TYPE={k}")
    return f"{' '.join(told)} ollama serve, and in the Modelfile: {', '.join(words)}"


def _lm_studio(scenario: Scenario, placed: Placement) -> str:
    k, v = cache_types(scenario)
    words = [f"Context Length {scenario.context}"]
    if scenario.device.platform != "cpu":
        words.append(f"GPU Offload {placed.gpu_layers} of {len(placed.owners) + 1}")
    if placed.cpu_moe:
        words.append(f"Number of layers for which to force MoE weights onto CPU {placed.cpu_moe}")
    words.append(f"Flash Attention {'on' if scenario.flash_attention else 'off'}")
    if (k, v) != ("f16", "f16"):
        words.append(f"K Cache Quantization Type {k}, V Cache Quantization Type {v}")
    if not scenario.serving.kv_offload:
        words.append("Offload KV Cache to GPU Memory off")
    return " · ".join(words)


def cache_types(scenario: Scenario) -> tuple[str, str]:
    """ggml's names of the formats of K and V."""
    k, v = scenario.k_dtype, scenario.v_dtype
    return GGML.get(k, k), GGML.get(v, v)


def _where_from(scenario: Scenario) -> tuple[str, str]:
    """A repository of GGUF files is downloaded by name; else it is a file."""
    form, repository = scenario.checkpoint, _REPOSITORY.fullmatch(scenario.ref)
    if repository is None or form is None or scenario.weight_dtype == FILE_WEIGHTS:
        return "-m", shell_word(model_file(scenario))
    return "-hf", shell_word(f"{repository[1]}:{form.name.upper()}")


def model_file(scenario: Scenario) -> str:
    """The model's file as it was named, or as one of its weight format is usually called."""
    a_file = scenario.ref.lower().endswith(".gguf")
    if scenario.weight_dtype == FILE_WEIGHTS or (a_file and scenario.weight_dtype == scenario.model.named_weights):
        return scenario.ref
    plainly = _FILE_NAME.fullmatch(scenario.ref) and not a_file and scenario.model.named_weights is None
    form, name = scenario.checkpoint, scenario.ref if plainly else scenario.model.name
    return f"{name}-{form.name.upper() if form else scenario.weight_dtype}.gguf"


def shares(placed: Placement) -> tuple[float, ...] | None:
    """The layers of each device with the output layer's; None where llama.cpp deals them out so by itself."""
    owners = [at for at in (*placed.owners, placed.output) if at != RAM]
    even = [number * placed.devices // len(owners) for number in range(len(owners))]
    return None if owners == even else tuple(float(owners.count(device)) for device in range(placed.devices))
