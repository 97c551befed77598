"""Which estimates a plan goes without, and what would have to be known of its device."""

from __future__ import annotations

from kvtui.engine.device.spec import OWN
from kvtui.engine.planning.roofline import collectives, peak_flops
from kvtui.engine.scenario.scenario import Scenario

PRICE, WATTS, PEAK = "2$/h", "300W", "180TFLOPS"
"""How each is added to the words of a device of one's own."""


def left_out(scenario: Scenario) -> tuple[str, ...]:
    """A sentence for each estimate that is not made, with what is not known; empty where nothing is left out."""
    device, said = scenario.device, []
    own = device.vendor == OWN
    if device.price is None:
        said.append(f"no price known, so no cost{_given(own, PRICE)}")
    if device.tdp_watts is None:
        said.append(f"no watts known, so no energy{_given(own, WATTS)}")
    if peak_flops(scenario) is None:
        said.append(f"no peak known, so no prefill, and decode by bandwidth alone{_given(own, PEAK)}")
    if collectives(scenario, len(scenario.model.layers)) is None:
        said.append(f"no link known, so no times at tp {scenario.layout.tp}; with pp they are there")
    return tuple(said)


def _given(own: bool, words: str) -> str:
    return f" (add {words} to the device)" if own else ""
