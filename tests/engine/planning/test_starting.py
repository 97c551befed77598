"""The first scenario of a device: it fits, it is as large as it can be, and its switches are those of the class."""

from __future__ import annotations

import pytest

from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.starting import FOLLOWING_THE_DEVICE, MODELS, FirstChoice, defaults_for, of_the_class
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.nightly import NIGHTLY
from tests.present import present

STEP = 4096
# Not even the least model fits beside what its runtime takes.
TOO_SMALL = ("Groq LPU v1",)


def first(device: DeviceSpec, **given: str) -> Scenario:
    return scenario_from({**given, **defaults_for(device, given).values, "gpu": device.name})


@pytest.mark.parametrize("device", all_devices()[:: 1 if NIGHTLY else 12], ids=lambda d: d.name)
def test_it_fits_and_a_longer_context_does_not(device: DeviceSpec) -> None:
    scenario = first(device)
    most = present(scenario.model.max_context)
    assert plan(scenario).fits == (device.name not in TOO_SMALL)
    assert STEP <= scenario.context <= most
    if scenario.context + STEP <= most and scenario.context % 2**15:
        longer = {**defaults_for(device).values, "gpu": device.name, "context": str(scenario.context + STEP)}
        assert not plan(scenario_from(longer)).fits


@pytest.mark.parametrize("device", all_devices(), ids=lambda d: d.name)
def test_the_switches_are_those_of_the_class(device: DeviceSpec) -> None:
    found, size = of_the_class(device), device.nominal_gb
    if device.memory.kind == "SRAM":
        assert found.batch == (2 if size > 10 else 1)
        assert (found.continuous_batching, found.paged_attention, found.flash_attention) == (True, True, True)
        return
    assert found.batch == (8 if size >= 80 else 4 if size >= 40 else 2 if size >= 16 else 1)
    assert not found.paged_attention
    if "HBM" in device.memory.kind:
        assert (found.continuous_batching, found.flash_attention) == (True, True)
    else:
        assert (found.continuous_batching, found.flash_attention) == (size >= 24, size >= 16)


K = 1024


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("T4", FirstChoice(64 * K, 2, "Llama-3.2-1B", False, False, True)),
        ("RTX 3060 12GB", FirstChoice(32 * K, 1, "Llama-3.2-1B", False, False, False)),
        ("RTX 4090", FirstChoice(20 * K, 2, "Phi-3.5-mini", True, False, True)),
        ("A100 40GB SXM", FirstChoice(44 * K, 4, "Llama-3.1-8B", True, False, True)),
        ("H100 SXM", FirstChoice(60 * K, 8, "Llama-3.1-8B", True, False, True)),
        ("H200 SXM", FirstChoice(120 * K, 8, "Llama-3.1-8B", True, False, True)),
        ("Instinct MI300X", FirstChoice(224 * K, 8, "Qwen3-Next-80B-A3B", True, False, True)),
        ("Apple M3 Ultra", FirstChoice(256 * K, 8, "Qwen3-Next-80B-A3B", True, False, True)),
        ("Graphcore GC200", FirstChoice(4 * K, 1, "SmolLM2-135M", True, True, True, "int8")),
        ("TPU v5e", FirstChoice(64 * K, 2, "Llama-3.2-1B", True, False, True)),
    ],
)
def test_one_device_of_each_class(name: str, expected: FirstChoice) -> None:
    assert defaults_for(find_device(name)) == expected


def test_the_values_are_what_follows_the_device() -> None:
    found = defaults_for(find_device("T4"))
    scenario = scenario_from({**found.values, "gpu": "T4"})
    assert (scenario.model.name, scenario.context, scenario.batch) == (found.model, found.context, found.batch)
    switches = scenario.continuous_batching, scenario.paged_attention, scenario.flash_attention
    assert switches == (found.continuous_batching, found.paged_attention, found.flash_attention)
    assert {*found.values, "lengths"} == set(FOLLOWING_THE_DEVICE)


def test_what_was_chosen_besides_is_counted() -> None:
    h100 = find_device("H100 SXM")
    assert first(h100, gpus="8").model.name == MODELS[0]
    assert first(h100, engine="vllm").context < first(h100).context
    for given in ({"gpus": "8"}, {"engine": "vllm"}, {"engine": "sglang"}, {"weight_dtype": "fp8"}):
        assert plan(first(h100, **given)).fits


def test_a_device_too_small_for_any_gets_the_least() -> None:
    scenario = first(find_device(TOO_SMALL[0]))
    assert (scenario.model.name, scenario.context, scenario.batch) == (MODELS[-1], STEP, 1)
