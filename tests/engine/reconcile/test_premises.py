"""What a log does not say outright: its device, how its weights are stored, which model it is of."""

from __future__ import annotations

from io import BytesIO

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.reconcile.read_log import read_log
from kvtui.engine.reconcile.reconcile import Reconciliation, reconcile

START = "INFO [api_server.py:1] vLLM API server version 0.20.0\n"


def of(*lines: str, **told: str | bool) -> Reconciliation:
    return reconcile(read_log(BytesIO((START + "\n".join(lines)).encode())), told)


def started(model: str, **arguments: object) -> str:
    return f"non-default args: { ({'model': model, **arguments})!r}"


@pytest.mark.parametrize(
    ("total", "device"),
    [
        ("94.97", "RTX PRO 6000 Blackwell"),
        ("95.15", "H20"),
        ("79.19", "H100 SXM"),
        ("79.25", "A100 80GB PCIe"),
        ("139.72", "H200 SXM"),
        ("44.42", "L40S"),
        ("23.55", "RTX 3090"),
        ("31.37", "RTX 5090"),
        ("93.02", "H100 NVL"),
        ("121.69", "DGX Spark"),
        ("178.35", "B200"),
    ],
)
def test_the_device_is_the_one_with_as_much_to_allocate(total: str, device: str) -> None:
    line = (
        f"Free memory on device cuda:0 (10.0/{total} GiB) on startup is less than desired GPU memory utilization (0.9)"
    )
    found = of(started("Qwen/Qwen3-8B"), line)
    assert found.scenario.device.name == device
    assert f"taken to be the {device}, by its memory" in " ".join(found.notes)


def test_the_platform_tells_devices_apart() -> None:
    line = "Free memory on device cuda:0 (10.0/191.98 GiB) on startup"
    assert of(started("Qwen/Qwen3-8B"), "detected platform rocm", line).scenario.device.platform == "rocm"


@pytest.mark.parametrize(
    ("model", "quantization", "loaded", "format"),
    [
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "awq_marlin", 5.29, "awq"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "compressed-tensors", 8.49, "fp8-channel"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "compressed-tensors", 5.38, "w4a16"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-NVFP4", "compressed-tensors", 5.66, "nvfp4"),
        ("/models/Llama-3.1-8B", "compressed-tensors", 5.38, "w4a16"),
        ("/models/Llama-3.1-8B", "modelopt_fp4", 5.66, "nvfp4"),
        ("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int8", "gptq_marlin", 72.0, "gptq-int8"),
        ("unsloth/Qwen3-8B-bnb-4bit", "bitsandbytes", 5.71, "nf4"),
        ("Qwen/Qwen3-8B", None, 15.27, "bf16"),
        ("Qwen/Qwen3-32B-FP8", "fp8", 32.07, "fp8"),
    ],
)
def test_weights_are_stored_as_the_log_names_and_weighs_them(
    model: str, quantization: str | None, loaded: float, format: str
) -> None:
    line = f"Model loading took {loaded} GiB memory and 3.1 seconds"
    found = of(started(model, quantization=quantization), line, gpu="H100 SXM")
    assert found.scenario.weight_dtype == format
    assert not found.scenario.skip_weights


def test_weights_of_no_known_format_are_those_that_were_loaded() -> None:
    """Not none: the cache that is left is predicted with the 9.99 GiB of the log."""
    line = "Model loading took 9.99 GiB memory and 3.1 seconds"
    found = of(started("Qwen/Qwen3-8B", quantization="quark"), line, "Available KV cache memory: 55.00 GiB", gpu="L40S")
    assert found.scenario.skip_weights
    assert "the 9.99 GiB that were loaded are used" in " ".join(found.notes)
    left = next(row for row in found.rows if row.id == "pool")
    assert isinstance(left.predicted, int)
    assert left.predicted < 31 * 2**30


TOKENS = "GPU KV cache size: 38,816 tokens\nMaximum concurrency for 8,192 tokens per request: 4.74x"


def test_a_model_without_a_name_is_found_by_its_numbers() -> None:
    loaded = "Model loading took 15.27 GiB memory and 3.1 seconds"
    found = of("Available KV cache memory: 5.33 GiB", TOKENS, loaded)
    assert found.scenario.model.name == "Qwen3-8B"
    assert "by its KV cache size and maximum concurrency and 15.27 GiB of weights it may be Qwen3-8B" in " ".join(
        found.notes
    )


@pytest.mark.parametrize("name", ["/models", "acme/Chat-8B-v7"])
def test_a_name_that_says_nothing_is_as_no_name(name: str) -> None:
    loaded = "Model loading took 15.27 GiB memory and 3.1 seconds"
    found = of(started(name), "Available KV cache memory: 5.33 GiB", TOKENS, loaded)
    assert found.scenario.model.name == "Qwen3-8B"


def test_the_name_it_is_served_under_is_a_name_too() -> None:
    config = "LLM engine (v0.20.0) with config: model='/models', served_model_name=Qwen3-32B-AWQ, quantization=awq"
    assert of(config).scenario.model.name == "Qwen3-32B"


def test_an_architecture_chooses_among_those_alike() -> None:
    numbers = "Available KV cache memory: 5.33 GiB\nGPU KV cache size: 43,664 tokens"
    assert of(numbers, "Resolved architecture: MistralForCausalLM").scenario.model.name.startswith("Mistral")


def test_numbers_that_no_model_has() -> None:
    with pytest.raises(InputError, match="--model"):
        of("Available KV cache memory: 5.33 GiB\nGPU KV cache size: 1 tokens")
