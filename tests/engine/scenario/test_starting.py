"""The defaults of every device against the table, transcribed once more."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.units import parse_tokens
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.device.spec import DeviceSpec, Memory
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.scenario.starting import FOLLOWING_THE_DEVICE, FirstChoice, defaults_for
from kvtui.engine.scenario.values import scenario_from

# at least GB | context | start at most | model
TABLE = """
384 | 2M   | 50 | Qwen3-Next-80B-A3B
192 | 1M   | 50 | Qwen3-Next-80B-A3B
128 | 750K | 40 | Qwen3-Next-80B-A3B
80  | 512K | 30 | Qwen3-Next-80B-A3B
40  | 256K | 25 | Llama-3.1-8B
24  | 128K | 20 | Phi-3.5-mini
16  | 64K  | 15 | Llama-3.2-1B
0   | 32K  | 10 | Llama-3.2-1B
"""


def row_for(gigabytes: float) -> tuple[int, float, str]:
    rows = [[word.strip() for word in line.split("|")] for line in TABLE.split("\n") if line]
    row = max((row for row in rows if float(row[0]) <= gigabytes), key=lambda row: float(row[0]))
    return parse_tokens(row[1]), int(row[2]) / 100, row[3]


@pytest.mark.parametrize("device", all_devices(), ids=lambda d: d.name)
def test_the_table_holds_for_every_device(device: DeviceSpec) -> None:
    found, size = defaults_for(device), device.nominal_gb
    assert (found.context, found.start_fraction, found.model) == row_for(size)
    assert find_model(found.model).name == found.model
    assert found.start == found.context // 100
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
        ("T4", FirstChoice(64 * K, 2, "Llama-3.2-1B", False, False, True, 0.15)),
        ("RTX 3060 12GB", FirstChoice(32 * K, 1, "Llama-3.2-1B", False, False, False, 0.10)),
        ("RTX 4090", FirstChoice(128 * K, 2, "Phi-3.5-mini", True, False, True, 0.20)),
        ("A100 40GB SXM", FirstChoice(256 * K, 4, "Llama-3.1-8B", True, False, True, 0.25)),
        ("H100 SXM", FirstChoice(512 * K, 8, "Qwen3-Next-80B-A3B", True, False, True, 0.30)),
        ("H200 SXM", FirstChoice(750 * K, 8, "Qwen3-Next-80B-A3B", True, False, True, 0.40)),
        ("Instinct MI300X", FirstChoice(1024 * K, 8, "Qwen3-Next-80B-A3B", True, False, True, 0.50)),
        ("Apple M3 Ultra", FirstChoice(2048 * K, 8, "Qwen3-Next-80B-A3B", True, False, True, 0.50)),
        ("WSE-2", FirstChoice(256 * K, 2, "Llama-3.1-8B", True, True, True, 0.25)),
        ("GC200", FirstChoice(32 * K, 1, "Llama-3.2-1B", True, True, True, 0.10)),
        ("TPU v5e", FirstChoice(64 * K, 2, "Llama-3.2-1B", True, False, True, 0.15)),
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


@pytest.mark.parametrize("least", [16, 24, 40, 80, 128, 192, 384])
def test_a_class_begins_at_its_size(least: int) -> None:
    device = find_device("RTX 4090")._replace(memory=Memory("GDDR6", 8, 2))
    below, at = (defaults_for(device._replace(nominal_gb=size)) for size in (least - 0.1, least))
    assert below.context < at.context
