"""Scenario → Plan: what memory a scenario needs, part by part, and whether it fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.engines.known import places_layers
from kvtui.engine.model.spec import CacheBytes
from kvtui.engine.planning.allocation import Slot, busiest_share, slots
from kvtui.engine.planning.parts import (
    CONTEXT_OVERHEAD_BYTES,
    Parts,
    all_caches,
    available,
    budget,
    crowded,
    crowded_limit,
    device_parts,
    holds,
    prefix_shared,
    score_matrix_bytes,
    sequences_cache,
)
from kvtui.engine.planning.reserved import all_hold, device_holds, fullest_stage
from kvtui.engine.planning.serve import at_once, serve
from kvtui.engine.scenario.scenario import Layout, Scenario, valid_tps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtui.engine.engines.result import Serving

SEARCH_DEVICES = 1024
SEARCH_LAYOUTS = 600


class Plan(NamedTuple):
    """The answer to a scenario. ``per_device`` is the most loaded device, ``total`` all devices together.

    With an engine both hold all that it allocates, also what no sequence needs.
    ``layout_needed`` is None when no split up to 1,024 devices was found. ``flash_attention_saved`` and
    ``prefix_shared`` are bytes that are not needed, and are part of no total. ``serving`` is what the scenario's engine
    allocates, None without one; whether the scenario fits is then for the engine to say.
    """

    scenario: Scenario
    sequences: tuple[Slot, ...]
    cache: CacheBytes
    per_device: Parts
    total: Parts
    usable_per_device: int
    layout_needed: Layout | None
    flash_attention_saved: int
    prefix_shared: int
    serving: Serving | None = None

    @property
    def devices(self) -> int:
        """Devices of the scenario."""
        return self.scenario.layout.devices

    @property
    def devices_needed(self) -> int | None:
        """The fewest devices that some split fits on; None when none was found."""
        return None if self.layout_needed is None else self.layout_needed.devices

    @property
    def budget_per_device(self) -> int:
        """Bytes of each device that may be planned: usable memory × utilisation."""
        return budget(self.scenario)

    @property
    def fits(self) -> bool:
        """Whether the most loaded device holds its part, and a given pool its cache.

        With an engine: whether it starts, and runs all sequences at once.
        """
        return _runs(self.scenario, self.per_device, self.serving)

    @property
    def crowded(self) -> bool:
        """Whether a given pool does not fit a device beside the weights, activations and overhead."""
        return crowded(self.scenario, self.per_device)

    @property
    def used(self) -> float:
        """The share of a device's budget that is needed: all but what an engine sets aside for more sequences."""
        return (self.per_device.total - self.per_device.pool_free) / self.budget_per_device

    @property
    def utilization(self) -> float:
        """All bytes needed over all usable bytes."""
        return self.total.total / (self.usable_per_device * self.devices)

    @property
    def binding_limit(self) -> str:
        """What stops the plan, or what would stop it first if the context grew."""
        scenario, parts, serving = self.scenario, self.per_device, self.serving
        if self.crowded:
            return crowded_limit(scenario, parts)
        if serving is not None:
            return serving.max_context_limit if not serving.fits else serving.max_sequences_limit
        if scenario.kv_pool is not None and parts.cache > scenario.kv_pool:
            return "kv pool"
        if not self.fits:
            return "weights" if parts.total - parts.cache > self.budget_per_device else "kv cache"
        return "kv pool" if scenario.kv_pool is not None else "device memory"


def plan(scenario: Scenario) -> Plan:
    """What ``scenario`` needs. Raises InputError when the model's weights are unknown and not skipped."""
    sequences = slots(scenario, scenario.context, scenario.batch)
    serving = serve(scenario)
    if serving is not None and _serves(scenario, serving):
        serving = serving._replace(rooms=serving.held)
    share = busiest_share(sequences, scenario.layout.dp)
    per_device = device_holds(scenario, serving, fullest_stage(scenario, serving), share)
    return Plan(
        scenario=scenario,
        sequences=sequences,
        cache=sequences_cache(all_caches(scenario), sequences, scenario, 1),
        per_device=per_device,
        total=all_hold(scenario, serving, sequences),
        usable_per_device=scenario.device.usable_bytes,
        layout_needed=_layout_needed(scenario, per_device, serving),
        flash_attention_saved=score_matrix_bytes(scenario, scenario.context, scenario.batch),
        prefix_shared=prefix_shared(scenario, sequences),
        serving=serving,
    )


def devices_needed(scenario: Scenario, most: int = SEARCH_DEVICES) -> int | None:
    """The fewest devices that hold ``scenario``, as its plan says; None when no split up to ``most`` devices was found.

    Raises InputError when the model's weights are unknown and not skipped.
    """
    serving = serve(scenario)
    share = busiest_share(slots(scenario, scenario.context, scenario.batch), scenario.layout.dp)
    parts = device_holds(scenario, serving, fullest_stage(scenario, serving), share)
    found = _layout_needed(scenario, parts, serving, most)
    return None if found is None else found.devices


def _runs(scenario: Scenario, parts: Parts, serving: Serving | None) -> bool:
    """Whether the scenario's engine runs it, or without one, whether the most loaded device holds its ``parts``."""
    if serving is None:
        return holds(scenario, parts)
    return _serves(scenario, serving) and not crowded(scenario, parts)


def _serves(scenario: Scenario, serving: Serving) -> bool:
    """Whether the engine starts, and runs all sequences at once."""
    return serving.starts and at_once(scenario, serving) >= scenario.batch


def _layout_needed(
    scenario: Scenario, parts: Parts, serving: Serving | None, most: int = SEARCH_DEVICES
) -> Layout | None:
    """The tp × pp × dp split over the fewest devices that fits; a pool too small for the cache stays too small."""
    if scenario.kv_pool is not None and not crowded(scenario, parts):
        return scenario.layout if _runs(scenario, parts, serving) else None
    tps = (1,) if places_layers(scenario.engine) else valid_tps(scenario.model)
    lone = _on(scenario, Layout())
    whole = device_parts(lone, scenario.context, scenario.batch)
    pool = scenario.kv_pool
    room = available(scenario) - (CONTEXT_OVERHEAD_BYTES if pool is None else pool)
    if room <= 0:
        return None
    least = max(1, -(-(whole.weights + (whole.cache if pool is None else 0)) // room))
    tried = 0
    for devices in range(least, most + 1):
        for layout in _layouts(devices, tps, len(scenario.model.layers), scenario.batch):
            trial = _on(scenario, layout)
            needed = device_parts(trial, scenario.context, scenario.batch)
            if holds(trial, needed) and _runs(trial, needed, serve(trial)):
                return layout
            tried += 1
        if tried > SEARCH_LAYOUTS:
            return None
    return None


def _on(scenario: Scenario, layout: Layout) -> Scenario:
    """``scenario`` on ``layout``, its stages as even as they go where their number changes."""
    chosen = scenario.serving
    if layout.pp != scenario.layout.pp:
        chosen = chosen._replace(partition=None, tensor_split=None, main_gpu=None)
    return scenario._replace(layout=layout, serving=chosen)


def _layouts(devices: int, tps: tuple[int, ...], layers: int, batch: int) -> Iterator[Layout]:
    """Splits of ``devices``: tensor-parallel first, the rest as stages or as replicas."""
    for tp in reversed(tps):
        if devices % tp == 0:
            rest = devices // tp
            if rest <= layers:
                yield Layout(tp, pp=rest)
            if 1 < rest <= batch:
                yield Layout(tp, dp=rest)
