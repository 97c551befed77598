"""A device of one's own: what is given of it is known, and nothing else."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.saying.left_out import left_out
from kvtui.engine.scenario.values import scenario_from, to_values
from kvtui.report.document import document
from kvtui.report.facts import panels

PLAIN = "own 48 GiB 1200 GB/s"


@pytest.mark.parametrize(
    "text",
    ["own 48 1200", "own 48GB 1200GB/s", "Own 48GiB, 1,200 GB/s", "own 48 GB 1.2TB/s", "own 1200GB/s 48GB", PLAIN],
)
def test_memory_and_bandwidth_in_any_spelling(text: str) -> None:
    device = find_device(text)
    assert device.name == PLAIN
    assert (device.usable_bytes, device.bandwidth_gbs) == (48 * 2**30, 1200)


def test_gb_are_those_that_cards_are_sold_by() -> None:
    sold = find_device("RTX 6000 Ada")
    assert abs(find_device("own 48GB 864").usable_bytes / sold.usable_bytes - 1) < 0.001


@pytest.mark.parametrize("text", ["own", "own 48", "own 48GB 1200 7", "own fast", "own 0GB 1", "own 48GB 1200GB/s -1W"])
def test_what_is_not_understood_or_missing_is_said(text: str) -> None:
    with pytest.raises(InputError, match="own device: "):
        find_device(text)


def test_nothing_is_taken_from_another_device() -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": PLAIN, "tp": "2"})
    device, times = scenario.device, estimate(plan(scenario))
    assert (device.price, device.tdp_watts, device.link, device.pcie, device.peak_tflops) == (None,) * 4 + ((),)
    assert (times.usd_per_hour, times.joules_per_token, times.prefill_ms, times.decode_ms) == (None,) * 4
    assert [line.split(",")[0] for line in left_out(scenario)] == [
        "no price known",
        "no watts known",
        "no peak known",
        "no link known",
    ]
    shown = {
        panel.title: [f"{fact.label} {fact.value}" for fact in panel.facts] for panel in panels(document(scenario))
    }
    assert any("no price known, so no cost (add 2$/h" in line for line in shown["time and cost"])


def test_what_is_added_is_used_and_comes_back_from_the_command_line() -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "own 48GB 1.2TB/s 180TFLOPS 300W $2"})
    times = estimate(plan(scenario))
    assert times.usd_per_hour == (2.0, 2.0)
    assert None not in (times.prefill_ms, times.decode_ms, times.joules_per_token, times.usd_per_million_tokens)
    assert left_out(scenario) == ()
    assert scenario_from(to_values(scenario)) == scenario
