"""Decode bands beside published single-stream figures of llama.cpp: on a device, with a part in RAM, and on CPUs.

A figure may miss its band by a tenth: clocks, drivers and builds are not said with them.
"""

from __future__ import annotations

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.engine.planning.estimate import estimate, timed
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.step import decode_step
from kvtui.engine.scenario.values import scenario_from
from tests.present import present

SLACK = 1.1
ON_DEVICES = (
    ("M1 Max", "Llama-3.1-8B", "Q4_K_M", 46.2),
    ("M4", "Llama-3.1-8B", "Q4_K_M", 20.9),
    ("M1 Max", "Qwen3.5-27B", "IQ4_NL", 14.29),
    ("M1 Max", "Qwen3.5-27B", "Q3_K_M", 12.63),
    ("RTX 5090", "Qwen3-8B", "Q4_K_M", 221.7),
    ("RTX 4090", "Llama-3.1-8B", "Q4_K_M", 127.7),
    ("RTX 4090", "Llama-3.1-8B", "Q6_K", 93.0),
    ("RTX 4090", "Qwen3-30B-A3B", "Q4_K_M", 196.0),
    ("RTX 3090 Ti", "Qwen3-30B-A3B", "Q4_K_M", 166.9),
    ("Ryzen AI Max+ 395", "gemma-4-26B", "Q8_0", 57.0),
    ("Ryzen AI Max+ 395", "Qwen3.5-35B-A3B", "Q8_0", 68.0),
    ("GB10", "gpt-oss-120b", "MXFP4_MOE", 59.0),
    ("GB10", "gpt-oss-120b", "MXFP4_MOE", 33.5),
)
IN_RAM = (
    ({"gpu": "RTX 3090", "cpu_moe": "36", "context": "128K", "ram": "96GiB"}, 25.62),
    ({"gpu": "RTX 5090", "cpu_moe": "3", "context": "8K", "gpus": "2", "ram": "128GiB"}, 108.0),
)
ON_CPUS = (
    ("Qwen3-30B-A3B", "Q4_K_M", 41.6, 10.6),
    ("Llama-3.1-8B", "Q4_K_M", 41.6, 4.2),
    ("DeepSeek-V3", "Q8_0", 537.6, 7.17),
)


def inside(found: tuple[float, float] | None, measured: float) -> bool:
    low, high = present(found)
    return low / SLACK <= measured <= high * SLACK


@pytest.mark.parametrize(("gpu", "model", "form", "measured"), ON_DEVICES)
def test_on_a_device(gpu: str, model: str, form: str, measured: float) -> None:
    """Apple, NVIDIA and AMD, from the makers' and users' own tables."""
    given = {"gpu": gpu, "model": model, "weight_dtype": form, "kv_dtype": "fp16", "context": "2K"}
    chosen = scenario_from({"engine": "llama.cpp", **given})._replace(lengths=(512,))
    found = estimate(plan(chosen))
    assert inside(found.tokens_per_second, measured)
    assert found.ram_bytes == 0


@pytest.mark.parametrize(("given", "measured"), IN_RAM)
def test_with_experts_in_ram(given: dict[str, str], measured: float) -> None:
    """gpt-oss-120b: all experts beside a desktop's CPU, and those of three layers beside two RTX 5090."""
    words = {"engine": "llama.cpp", "model": "gpt-oss-120b", "weight_dtype": "MXFP4_MOE", "kv_dtype": "fp16"}
    chosen = scenario_from({**words, **given})._replace(lengths=(2048,))
    found = timed(chosen, decode_step(chosen, plan(chosen).sequences))
    assert inside(found.tokens_per_second, measured)
    assert 0 < found.ram_bytes < present(found.step_bytes)


@pytest.mark.parametrize(("model", "form", "gbs", "measured"), ON_CPUS)
def test_on_a_cpu(model: str, form: str, gbs: float, measured: float) -> None:
    """An i7-8700 with two channels of DDR4-2600, and an EPYC 9135 with twelve of DDR5-5600."""
    given = {"engine": "llama.cpp", "gpu": "CPU", "model": model, "weight_dtype": form, "context": "2K"}
    chosen = scenario_from({**given, "kv_dtype": "fp16"})
    device = chosen.device._replace(bandwidth_gbs=gbs, usable_bytes=800 * GIB, allocatable_bytes=800 * GIB)
    found = estimate(plan(chosen._replace(device=device, lengths=(512,))))
    assert inside(found.tokens_per_second, measured)


def test_more_in_ram_is_slower_and_takes_longer_to_prefill() -> None:
    words = {"engine": "llama.cpp", "gpu": "RTX 3060 12GB", "model": "Qwen3-30B-A3B", "weight_dtype": "Q4_K_M"}
    found = [
        estimate(plan(scenario_from({**words, "cpu_moe": number, "ram": "64GiB", "kv_dtype": "fp16"})))
        for number in ("30", "40", "48")
    ]
    speeds = [present(one.tokens_per_second) for one in found]
    assert [band.high for band in speeds] == sorted((band.high for band in speeds), reverse=True)
    assert [band.low for band in speeds] == sorted((band.low for band in speeds), reverse=True)
    prefills = [present(one.prefill_ms).low for one in found]
    assert prefills == sorted(prefills)
    assert found[-1].bound == "RAM bandwidth"
    slow, fast = (
        present(
            estimate(plan(scenario_from({**words, "ram": "64GiB", "ram_bandwidth": gbs, "kv_dtype": "fp16"}))).decode_ms
        )
        for gbs in ("40", "90")
    )
    assert fast.low < slow.low
