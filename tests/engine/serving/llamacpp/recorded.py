"""Starts of a real llama.cpp, recorded by ``tests/recording/llamacpp_starts.py``, as models and starts."""

from __future__ import annotations

import json
from typing import Any

from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.caches import Attention, Cache, Latent, gated_deltanet, mamba1, mamba2, short_conv
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.formats import FORMATS, canonical
from kvtui.engine.model.spec import Experts, Layer, ModelSpec
from kvtui.engine.model.tensors import Tensor, copied, narrow, wide
from kvtui.engine.scenario.scenario import Scenario, ServingOptions
from kvtui.engine.serving.llamacpp.buffers import split
from kvtui.engine.serving.llamacpp.compute import ServerSetup
from kvtui.engine.serving.llamacpp.releases import build_of
from tests.paths import DATA

GATED = ("qwen3next", "qwen35", "qwen35moe")

LoggedDevice = tuple[str, str, int, int, int | None, bool, float]
DEVICES: list[LoggedDevice] = [
    ("Qwen3.8-27B", "b9849", 16_384, 2048, None, True, 568.5),
    ("gemma-4-12B", "b9849", 8192, 2048, None, True, 541.0),
    ("Qwen3-Next-80B-A3B", "b9496", 131_072, 512, None, True, 216.0),
    ("Qwen3.5-9B", "b9000", 262_144, 512, None, True, 808.0),
    ("Llama-3.1-8B", "b7000", 98_304, 1024, 1, True, 613.0),
    ("Llama-3.2-1B", "b6000", 4096, 512, 1, False, 280.0),
    ("Llama-3.1-8B", "b6000", 4096, 512, 1, False, 296.0),
    ("Llama-3.1-8B", "b6200", 8192, 512, 1, True, 258.5),
    ("Qwen3-0.6B", "b6000", 4096, 512, 1, False, 298.75),
    ("Qwen3-30B-A3B", "b6000", 16_384, 512, 1, False, 1080.0),
    ("gpt-oss-20b", "b7000", 131_072, 2048, 1, True, 1672.1),
    ("gemma-2-2b", "b7000", 8192, 512, 1, True, 509.0),
]
"""Public logs of devices: model, build, context, physical batch, slots, FlashAttention, and the buffer in MiB. Contexts
that a log does not tell are those that its other figures allow."""


def device_start(logged: LoggedDevice) -> tuple[Scenario, float]:
    """The start of a row of ``DEVICES``, and its compute buffer in MiB."""
    model, version, context, ubatch, slots, flash, mib = logged
    options = ServingOptions(version=version, parallel=slots, ubatch=ubatch)
    started = Scenario(
        find_model(model),
        find_device("H100"),
        context,
        kv_dtype="fp16",
        engine="llama.cpp",
        flash_attention=flash,
        skip_weights=True,
        serving=options,
    )
    return started, mib


def rows() -> list[dict[str, Any]]:
    """The recorded starts of b11549."""
    found: list[dict[str, Any]] = json.loads((DATA / "llamacpp" / "starts.json").read_text("utf-8"))
    return found


def model_of(shape: dict[str, Any]) -> ModelSpec:
    """The model of a recorded ``shape``."""
    layers = tuple(_layer(shape, number) for number in range(shape["layers"]))
    name = json.dumps(shape, sort_keys=True)
    return ModelSpec(name, shape["family"], "H", layers, shape["hidden"], shape["vocab"], None, None, None, "shape")


def start_of(start: dict[str, Any]) -> ServerSetup:
    """What a recorded start was told."""
    build = build_of("b11549")
    ubatch = min(start["n_ubatch"], start["n_batch"], start["n_ctx"])
    cells = split(start["n_ctx"], start["n_parallel"], start["kv_unified"], build, ubatch, start["swa_full"])
    k, v = (FORMATS[canonical(start.get(key, "F16"))] for key in "kv")
    return ServerSetup(cells, k, v, start["fa"], build)


def _layer(shape: dict[str, Any], number: int) -> Layer:
    family, hidden = shape["family"], shape["hidden"]
    kind = shape.get("kinds", "a" * shape["layers"])[number]
    caches: list[Cache] = []
    tensors: list[Tensor] = []
    if kind == "a":
        caches.append(_attention(shape, number))
        if family == "deepseek2":
            tensors.append(copied("q_a", shape["q_rank"], hidden))
            tensors.append(wide("q_b", shape["heads"] * (shape["nope"] + shape["rope"]), shape["q_rank"]))
            tensors.append(narrow("o", hidden, shape["heads"] * shape["v"]))
        else:
            tensors.append(wide("q", (2 if family in GATED else 1) * shape["heads"] * shape["head"], hidden))
    if kind == "s" or family == "falcon-h1":
        caches.append(_state(shape))
        if family in GATED:
            tensors.append(narrow("recurrent_out", hidden, shape["inner"]))
    experts = None
    if kind == "f" or family not in ("mamba", "mamba2", "nemotron_h"):
        if "experts" in shape and not (family == "deepseek2" and not number):
            width = shape["expert_ff"]
            parts = (wide("expert_gate", width, hidden), wide("expert_up", width, hidden))
            experts = Experts(shape["experts"], shape["active"], (*parts, narrow("expert_down", hidden, width)))
            if shape.get("shared_ff"):
                tensors += [
                    wide("shared_gate", shape["shared_ff"], hidden),
                    wide("shared_up", shape["shared_ff"], hidden),
                ]
        else:
            tensors += [wide("gate", shape["ff"], hidden)] if family != "nemotron_h" else []
            tensors.append(wide("up", shape["ff"], hidden))
    return Layer(tuple(caches), tuple(tensors), experts)


def _attention(shape: dict[str, Any], number: int) -> Cache:
    family, head = shape["family"], shape.get("head", 0)
    if family == "deepseek2":
        return Latent(shape["heads"], shape["rank"], shape["rope"])
    every = {"gemma3": 6, "gemma2": 2, "gpt-oss": 2}.get(family, 1)
    cap = shape["window"] if every > 1 and (number % every) < every - 1 else None
    return Attention("full" if cap is None else "sliding_window", shape["heads"], shape["kv_heads"], head, head, cap)


def _state(shape: dict[str, Any]) -> Cache:
    match shape["family"]:
        case "lfm2":
            return short_conv(shape["hidden"], 3)
        case "mamba":
            return mamba1(shape["inner"], shape["state"], 4, "fp32")
        case family if family in GATED:
            return gated_deltanet(shape["groups"], shape["state_heads"], shape["state"], shape["state"], 4)
    heads = shape["state_heads"]
    return mamba2(heads, shape["inner"] // heads, shape["state"], shape["groups"], 4, "fp32")
