"""Five machines as people have them at home: a plan that fits, a split, a speed and a command line to copy."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import best_split
from kvtui.engine.saying.notices import notices
from kvtui.engine.scenario.values import scenario_from
from kvtui.report import render
from kvtui.report.document import document
from tests.present import present


class Machine(NamedTuple):
    """What is asked, the layers on devices, a span of layers with experts in RAM, and tokens per second to expect."""

    given: dict[str, str]
    gpu_layers: int
    cpu_moe: tuple[int, int]
    speed: tuple[float, float]


MACHINES = {
    "Qwen3-30B-A3B on a 12 GB RTX 3060 with 64 GB of RAM": Machine(
        {"model": "Qwen3-30B-A3B", "gpu": "RTX 3060", "ram": "64GiB", "weight_dtype": "Q4_K_M", "context": "32K"},
        49,
        (24, 34),
        (25, 35),
    ),
    "Llama-3.3-70B on two RTX 3090": Machine(
        {"model": "Llama-3.3-70B", "gpu": "RTX 3090", "gpus": "2", "weight_dtype": "Q4_K_M", "context": "8K"},
        81,
        (0, 0),
        (13, 16),
    ),
    "gemma-3-27b at 128K on a 64 GB M4 Max": Machine(
        {"model": "gemma-3-27b", "gpu": "M4 Max", "memory": "64GiB", "weight_dtype": "Q4_K_M", "context": "128K"},
        63,
        (0, 0),
        (10, 14),
    ),
    "gpt-oss-120b on a Ryzen AI Max with 128 GB": Machine(
        {"model": "gpt-oss-120b", "gpu": "Ryzen AI Max+ 395", "weight_dtype": "MXFP4_MOE", "context": "32K"},
        37,
        (0, 0),
        (30, 50),
    ),
    "DeepSeek-V3 on an EPYC with 768 GB and one RTX 4090": Machine(
        {"model": "DeepSeek-V3", "gpu": "RTX 4090", "ram": "768GiB", "weight_dtype": "Q4_K_M", "context": "32K"},
        62,
        (58, 61),
        (7, 15),
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_at_home(name: str) -> None:
    machine = MACHINES[name]
    chosen = scenario_from({"engine": "llama.cpp", "kv_dtype": "fp16", **machine.given})
    found, split = plan(chosen), present(best_split(chosen))
    assert found.fits
    assert split.fits
    assert split.gpu_layers == machine.gpu_layers == len(chosen.model.layers) + 1
    assert machine.cpu_moe[0] <= split.cpu_moe <= machine.cpu_moe[1]
    band = present(estimate(found).tokens_per_second)
    assert band.low < machine.speed[1]
    assert band.high > machine.speed[0]
    for use in present(found.serving).memories:
        assert use.missing == 0
    assert_started(chosen.context, split.commands[0][1], split.gpu_layers, split.cpu_moe)
    words = render(document(chosen), "text", width=100)
    assert "start the best split" in words
    assert f"-ngl {split.gpu_layers}" in words


def assert_started(context: int, line: str, gpu_layers: int, cpu_moe: int) -> None:
    """The command line says what was planned, in words that a shell keeps apart."""
    words = shlex.split(line)
    assert words[:2] == ["llama-server", "-m"]
    assert words[words.index("-c") + 1] == str(context)
    assert words[words.index("-ngl") + 1] == str(gpu_layers)
    assert ("--n-cpu-moe" in words) == bool(cpu_moe)


def test_the_words_of_the_line_are_those_of_the_options() -> None:
    """What llama-server is told can be told to kvtui, which plans the same split."""
    given: dict[str, Any] = {
        **MACHINES["Qwen3-30B-A3B on a 12 GB RTX 3060 with 64 GB of RAM"].given,
        "kv_dtype": "fp16",
    }
    free = scenario_from({"engine": "llama.cpp", **given})
    split = present(best_split(free))
    told = scenario_from(
        {"engine": "llama.cpp", **given, "gpu_layers": str(split.gpu_layers), "cpu_moe": str(split.cpu_moe)}
    )
    assert present(plan(told).serving).memories == present(plan(free).serving).memories
    assert present(best_split(told)) == split


def test_settings_of_the_other_programs() -> None:
    machine = MACHINES["Qwen3-30B-A3B on a 12 GB RTX 3060 with 64 GB of RAM"]
    chosen = scenario_from({"engine": "llama.cpp", "kv_dtype": "q8_0", **machine.given})
    split = present(best_split(chosen))
    said = dict(split.commands)
    assert "num_ctx 32768" in said["Ollama"]
    assert "OLLAMA_KV_CACHE_TYPE=q8_0" in said["Ollama"]
    layers = int(said["Ollama"].rpartition("num_gpu ")[2])
    whole = scenario_from({"engine": "llama.cpp", "kv_dtype": "q8_0", **machine.given, "gpu_layers": str(layers)})
    assert plan(whole).fits
    assert f"GPU Offload {split.gpu_layers} of 49" in said["LM Studio"]
    assert f"onto CPU {split.cpu_moe}" in said["LM Studio"]


def test_an_epyc_reads_faster_than_a_desktop() -> None:
    given = {"engine": "llama.cpp", "model": "Qwen3-235B-A22B", "gpu": "RTX 4090", "weight_dtype": "Q4_K_M"}
    desktop, server = (
        present(estimate(plan(scenario_from({**given, "ram": ram, "kv_dtype": "fp16"}))).ram_gbs)
        for ram in ("192GiB", "768GiB")
    )
    assert server.low > desktop.low
    assert server.high > desktop.high
    assert plan(scenario_from({**given, "ram": "192GiB"})).total.total < 192 * GIB


@pytest.mark.parametrize("engine", ["none", "vllm"])
def test_ram_that_nobody_uses_is_said(engine: str) -> None:
    given = {"model": "Qwen3-30B-A3B", "gpu": "RTX 3060", "ram": "64GiB", "engine": engine}
    assert "ram_unused" in {one.id for one in notices(plan(scenario_from(given)))}
    used = {**given, "engine": "llama.cpp", "weight_dtype": "Q4_K_M"}
    assert "ram_unused" not in {one.id for one in notices(plan(scenario_from(used)))}


@pytest.mark.parametrize(
    ("model", "pattern", "layers"),
    [
        ("Qwen3-30B-A3B", "exps=CPU", 48),
        ("Qwen3-30B-A3B", r"\.ffn_.*_exps\.=CPU", 48),
        ("Qwen3-30B-A3B", r"blk\.(2[0-9]|3[0-9]|4[0-7])\.ffn_.*_exps\.=CPU", 28),
        ("Qwen3-30B-A3B", r"blk\.[0-9]\.ffn_(gate|up|down)_exps=CPU,blk\.1[0-4]\..*exps=CPU", 15),
        ("DeepSeek-V3", "exps=CPU", 61),
        ("DeepSeek-V3", r"blk\.[3-5]\..*_exps=CPU", 6),
    ],
)
def test_patterns_of_tensors_are_experts_of_layers(model: str, pattern: str, layers: int) -> None:
    found = scenario_from({"model": model, "engine": "llama.cpp", "gpu": "RTX 4090", "override_tensor": pattern})
    assert found.serving.cpu_moe == layers


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (r"\.ffn_(up|down)_exps\.=CPU", "only 2 of 3 matrices of experts"),
        (r"ffn_(gate|up|down)=CPU", "that is not experts alone"),
        (r"blk\.9[0-9].*exps=CPU", "no experts of Qwen3-30B-A3B have such names"),
        ("exps=CUDA1", "no other place than CPU"),
        ("(=CPU", "no pattern"),
        ("(e+)+xps=CPU", "repeats a repetition"),
    ],
)
def test_other_patterns_say_what_they_are(pattern: str, problem: str) -> None:
    with pytest.raises(InputError, match=rf"^override-tensor: .*{problem}"):
        scenario_from({"model": "Qwen3-30B-A3B", "engine": "llama.cpp", "override_tensor": pattern})


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL", "-hf unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL"),
        ("unsloth/Qwen3-8B-GGUF", "-hf unsloth/Qwen3-8B-GGUF:Q4_K_M"),
        ("Qwen_Qwen3-8B-Q6_K.gguf", "-m Qwen_Qwen3-8B-Q6_K.gguf"),
        ("qwen3:8b", "-m Qwen3-8B-Q4_K_M.gguf"),
    ],
)
def test_a_repository_is_started_by_its_name(ref: str, words: str) -> None:
    found = best_split(scenario_from({"model": ref, "engine": "llama.cpp", "gpu": "RTX 3060"}))
    assert found is not None
    assert dict(found.commands)["llama-server"].startswith(f"llama-server {words} -c ")


def test_the_ram_of_a_processor_is_its_memory() -> None:
    values = {"model": "Qwen3-30B-A3B", "gpu": "Ryzen 7000", "engine": "llama.cpp", "weight_dtype": "Q4_K_M"}
    found = scenario_from({**values, "ram": "32GiB"})
    assert found.device == scenario_from({**values, "memory": "32GiB"}).device
    assert found.device.usable_bytes == 32 * GIB
    assert scenario_from({**values, "ram": "16GiB", "memory": "48GiB"}).device.usable_bytes == 48 * GIB
