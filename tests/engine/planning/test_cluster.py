"""Many devices: their parts against the plan, their links against hand arithmetic, the presets against the facts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.planning.cluster import (
    ClusterPreset,
    DevicePlace,
    Link,
    all_clusters,
    cluster,
    grid,
    link_of,
    parts_at,
    place_of,
    preset_fields,
    wrong_clusters,
)
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Layout, Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.engine.planning.test_properties import scenarios
from tests.present import present


@given(scenarios())
def test_devices_together_hold_what_the_plan_says(scenario: Scenario) -> None:
    found = plan(scenario)
    seen = cluster(found)
    members = [device for group in seen.groups for device in group.members]
    assert sorted(members) == list(range(scenario.layout.devices))
    for part in ("kv", "state", "reserved_unused", "overhead"):
        assert sum(getattr(g.parts, part) * len(g.members) for g in seen.groups) == getattr(found.total, part)
    weights = sum(g.parts.weights * len(g.members) for g in seen.groups)
    assert found.total.weights <= weights < found.total.weights + scenario.layout.devices
    assert max(g.parts.total for g in seen.groups) == found.per_device.total
    held = [g for g in seen.groups if g.stage == 0]
    assert sum(g.replicas * sum(slot.sequences for slot in g.share) for g in held) == scenario.batch


@given(scenarios(), st.data())
def test_every_device_is_in_the_group_that_lists_it(scenario: Scenario, data: DataObject) -> None:
    seen = cluster(plan(scenario))
    device = data.draw(st.integers(0, scenario.layout.devices - 1))
    assert device in seen.group_of(device).members
    at, layout = place_of(scenario.layout, device), scenario.layout
    assert (at.replica * layout.pp + at.stage) * layout.tp + at.rank == device


@given(scenarios(), st.floats(0, 1))
def test_parts_of_the_film_end_at_the_plan_and_only_grow(scenario: Scenario, share: float) -> None:
    seen = cluster(plan(scenario))
    assert parts_at(seen, scenario.context) == tuple(group.parts for group in seen.groups)
    for before, after in zip(parts_at(seen, int(scenario.context * share)), seen.groups, strict=True):
        assert before.total <= after.parts.total
        assert before.weights == after.parts.weights


@given(scenarios())
def test_links_are_busy_between_nothing_and_all_of_the_time(scenario: Scenario) -> None:
    seen = cluster(plan(scenario))
    assume(seen.utilization is not None)
    used = present(seen.utilization)
    assert 0 <= used.low <= used.high <= 1
    assert (seen.bottleneck is None) == (used.high <= 0.8)


def test_sequences_are_dealt_out() -> None:
    values = {"model": "Llama-3.1-8B", "lengths": "500,400,300,200,100", "context": "1000", "tp": "2", "dp": "3"}
    seen = cluster(plan(scenario_from(values)))
    assert [(g.members, [slot.used for slot in g.share]) for g in seen.groups] == [
        ((0, 1), [500, 200]),
        ((2, 3), [400, 100]),
        ((4, 5), [300]),
    ]
    assert [g.parts.kv for g in seen.groups] == [700 * 65_536, 500 * 65_536, 300 * 65_536]


def test_bytes_sent_in_a_step() -> None:
    """Llama-3.1-70B: 80 layers, hidden 8192. 32 sequences: 512 KiB of 16-bit activations."""
    activations = 32 * 8192 * 2
    values = {"model": "Llama-3.1-70B", "batch": "32", "gpu": "H100 SXM"}
    tensor = cluster(plan(scenario_from({**values, "tp": "8"})))
    assert [sum(present(g.sent)) for g in tensor.groups] == [80 * 2 * 2 * 7 * activations // 8]
    pipeline = cluster(plan(scenario_from({**values, "pp": "4"})))
    assert [present(g.sent).passed for g in pipeline.groups] == [activations] * 3 + [0]
    both = cluster(plan(scenario_from({**values, "tp": "4", "pp": "2"})))
    assert [sum(present(g.sent)) for g in both.groups] == [
        40 * 2 * 2 * 3 * activations // 4 + extra for extra in (activations, 0)
    ]
    replicas = cluster(plan(scenario_from({**values, "dp": "8"})))
    assert [(g.sent, g.replicas) for g in replicas.groups] == [((0, 0, 0), 8)]
    assert replicas.utilization is None or replicas.utilization.high == 0


@pytest.mark.parametrize("replicas", [8, 16, 32])
@pytest.mark.parametrize("engine", ["none", "vllm", "sglang"])
def test_wide_expert_parallelism(replicas: int, engine: str) -> None:
    """DeepSeek-V3 in fp8 with a replica's attention on every device and 256 / N of each layer's experts.

    An expert is 3 × 7,168 × 2,048 bytes with its scales, in 58 layers; all else is 17.75 GiB on every device. In a step
    of one token a device sends 8 copies of 14,336 bytes to the others, and 8 results back. vLLM has the up-projections
    of the latents once more in 16 bits.
    """
    values: dict[str, str | bool] = {"model": "DeepSeek-V3", "weight_dtype": "fp8", "gpu": "H200", "ep": True}
    values |= {"dp": str(replicas), "batch": str(replicas), "context": "32K", "engine": engine}
    found = plan(scenario_from(values))
    experts = 58 * 256 // replicas * 3 * 7168 * 2048
    assert found.fits
    more = 61 * 2 * 512 * 128 * 256 if engine == "vllm" else 0
    assert found.per_device.weights == pytest.approx(experts * (1 + 4 / 128**2) + 17.8 * GIB + more, rel=0.005)
    assert found.per_device.kv == 61 * 32_768 * 1152
    [group] = cluster(found).groups
    assert present(group.sent).exchanged == 2 * 58 * 8 * (replicas - 1) * 14_336 // replicas


def test_rates_follow_from_the_estimate() -> None:
    from kvtui.engine.planning.estimate import estimate

    found = plan(scenario_from({"model": "Llama-3.1-70B", "batch": "32", "gpu": "H100 SXM", "tp": "8"}))
    seen, step = cluster(found), estimate(found).decode_ms
    assert step is not None
    assert seen.gbs is not None
    assert seen.utilization is not None
    sent = present(seen.groups[0].sent).total
    assert seen.gbs.low == pytest.approx(sent / 1e9 / (step.high / 1e3))
    assert seen.gbs.high == pytest.approx(sent / 1e9 / (step.low / 1e3))
    assert seen.utilization.high == pytest.approx(seen.gbs.high / 450)


@pytest.mark.parametrize(
    ("device", "fast", "slow"),
    [
        ("H100 SXM", Link("NVLink 4", 450, True), Link("PCIe 5.0 x16", 63.008, False)),
        ("A100 80GB SXM", Link("NVLink 3", 300, True), Link("PCIe 4.0 x16", 31.504, False)),
        ("L40S", Link("PCIe 4.0 x16", 31.504, False), Link("PCIe 4.0 x16", 31.504, False)),
        ("Instinct MI300X", Link("Infinity Fabric", 448, True), Link("PCIe 5.0 x16", 63.008, False)),
        ("RTX 4060 Ti 16GB", Link("PCIe 4.0 x8", 15.752, False), Link("PCIe 4.0 x8", 15.752, False)),
    ],
)
def test_links_are_one_direction(device: str, fast: Link, slow: Link) -> None:
    assert link_of(find_device(device)) == fast
    assert link_of(find_device(device), fast=False) == slow


def test_links_that_are_not_known() -> None:
    assert link_of(find_device("WSE-3")) is None
    with pytest.raises(InputError, match=r"^link: the PCIe slot of the GB200 is not known$"):
        link_of(find_device("GB200"), fast=False)


@pytest.mark.parametrize(
    ("model", "batch", "verb"), [("Llama-3.2-1B", "8192", "may be"), ("Llama-3.2-3B", "32768", "is")]
)
def test_the_slow_link_becomes_the_bottleneck(model: str, batch: str, verb: str) -> None:
    values: dict[str, str | bool]
    values = {
        "model": model,
        "batch": batch,
        "context": "64",
        "cb": True,
        "fill": "average",
        "gpu": "H100 SXM",
        "tp": "8",
    }
    found = plan(scenario_from(values))
    fast, slow = cluster(found), cluster(found, fast_link=False)
    assert fast.utilization is not None
    assert slow.utilization is not None
    assert slow.utilization.high > 0.8 > fast.utilization.high
    assert fast.bottleneck is None
    assert slow.bottleneck is not None
    assert slow.bottleneck.startswith(f"PCIe 5.0 x16 {verb} the bottleneck: ")
    assert slow.scenario == fast.scenario == found.scenario


@pytest.mark.parametrize(
    ("devices", "shape"),
    [
        (1, (1, 1)),
        (2, (2, 1)),
        (4, (2, 2)),
        (8, (4, 2)),
        (16, (4, 4)),
        (32, (8, 4)),
        (64, (8, 8)),
        (128, (16, 8)),
        (3, (2, 2)),
        (9, (3, 3)),
        (10, (4, 3)),
        (72, (9, 8)),
        (65_536, (256, 256)),
    ],
)
def test_grids(devices: int, shape: tuple[int, int]) -> None:
    assert grid(devices) == shape


@given(st.integers(1, 70_000))
def test_a_grid_holds_all_and_no_row_is_empty(devices: int) -> None:
    columns, rows = grid(devices)
    assert columns * rows >= devices > columns * (rows - 1)


def test_places_outside() -> None:
    assert place_of(Layout(2, 3, 2), 11) == DevicePlace(1, 2, 1)
    with pytest.raises(InputError, match=r"^device: 12 is out of range \(0 to 11\)$"):
        place_of(Layout(2, 3, 2), 12)
    with pytest.raises(InputError, match=r"^tokens: 9 is out of range \(0 to 8\)$"):
        parts_at(cluster(plan(scenario_from({"context": "8"}))), 9)


# name | devices | device
PRESETS = """
DGX H100 | 8 | H100 SXM
DGX H200 | 8 | H200 SXM
DGX B200 | 8 | B200
GB200 NVL72 | 72 | GB200
GB300 NVL72 | 72 | GB300
SuperPOD | 32 | H100 SXM
Meta RSC | 128 | A100 80GB SXM
AWS P4d | 8 | A100 40GB SXM
AWS P5 | 8 | H100 SXM
GCP A2 Ultra | 8 | A100 80GB SXM
GCP A3 Mega | 8 | H100 SXM
Azure NDv4 | 8 | A100 40GB SXM
Azure ND H100 v5 | 8 | H100 SXM
Lambda 1-Click Cluster | 16 | H100 SXM
Lambda 8x A100 | 8 | A100 80GB SXM
AMD 8x MI300X | 8 | Instinct MI300X
Intel 8x Gaudi 2 | 8 | Gaudi 2
"""


def named(name: str) -> ClusterPreset:
    [found] = [preset for preset in all_clusters() if name in (preset.name, *preset.aliases)]
    return found


@pytest.mark.parametrize("row", PRESETS.strip().splitlines())
def test_presets_are_what_is_sold(row: str) -> None:
    name, devices, device = (word.strip() for word in row.split("|"))
    found = named(name)
    assert (found.devices, find_device(found.device).name) == (int(devices), device)


def test_memory_of_an_nvl72() -> None:
    preset = named("GB200 NVL72")
    assert 13.35e12 <= preset.devices * find_device(preset.device).nominal_gb * 1e9 <= 13.8e12


@pytest.mark.parametrize("preset", all_clusters(), ids=lambda p: p.name)
def test_every_preset_is_a_scenario_that_fits(preset: ClusterPreset) -> None:
    scenario, notes = adapted(scenario_from({}), preset_fields(preset, 1))
    found = plan(scenario)
    assert (found.devices, scenario.model.name) == (preset.devices, preset.model)
    assert notes == ()
    assert found.fits
    assert cluster(found).utilization is not None


def test_presets_are_many_and_none_is_a_placeholder() -> None:
    names = [name for preset in all_clusters() for name in (preset.name, *preset.aliases)]
    assert len(all_clusters()) == 18
    assert Counter(names).most_common(1)[0][1] == 1
    assert not any("Dojo" in name for name in names)


ENTRY = """
[[cluster]]
name = "Mine"
device = "{device}"
devices = {devices}
model = "{model}"
layout = {layout}
confidence = "L"
source = "own"
"""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": "H101 SXM"}, "device: unknown device 'H101 SXM'; did you mean H100 SXM"),
        ({"model": "Llama-9"}, "model: unknown model 'Llama-9'"),
        ({"devices": "3"}, "layout: tp × pp × dp is 4, not 3"),
        ({"devices": "129"}, "devices: must be from 1 to 128"),
        ({"layout": "{ tp = 3, pp = 1, dp = 1 }", "devices": "3"}, "layout: tp: 3 does not divide 32 attention heads"),
        (
            {"layout": "{ tp = 1, pp = 33, dp = 1 }", "devices": "33"},
            "layout: Llama-3.1-8B has 32 layers, less than pp 33",
        ),
        ({"layout": "{ tp = 4, pp = 1 }"}, "layout.dp: is missing"),
        ({"layout": "4"}, "layout: must be a table, not a number"),
        ({"source": "", "devices": '4\nsauce = "x"'}, "sauce: is not a known field"),
    ],
)
def test_a_user_s_own_clusters_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))
    good = {"device": "H100", "devices": "4", "model": "Llama-3.1-8B", "layout": "{ tp = 2, pp = 1, dp = 2 }"}
    (tmp_path / "clusters.toml").write_text(ENTRY.format(**good))
    mine = named("Mine")
    assert (mine.devices, mine.device, mine.layout) == (4, "H100 SXM", Layout(2, 1, 2))
    (tmp_path / "clusters.toml").write_text(ENTRY.format(**(good | changes)))
    assert "Mine" not in {preset.name for preset in all_clusters()}
    (line,) = wrong_clusters()
    place, _, problem = line.partition(": cluster 'Mine': ")
    assert place.endswith("clusters.toml")
    assert problem.startswith(said)
