"""llama.cpp's boot log beside the prediction: every cache that it lists, the weights and the compute buffers."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.engine.basis.errors import InputError
from kvtui.engine.bootlog.observed import BootLog, LoggedBuffer, Size
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.serve import serve
from kvtui.engine.planning.weights import weight_bytes
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.comparison import (
    BUFFER_APART,
    WEIGHTS_APART,
    ComparedLog,
    Component,
    beside_prior,
    exact_count,
    exact_size,
    printed_bytes,
)
from kvtui.engine.serving.llamacpp.budget import compute_bytes, host_compute_bytes, own_cells
from kvtui.engine.serving.llamacpp.log import on_host
from kvtui.engine.serving.llamacpp.memory import memory_parts
from kvtui.engine.serving.llamacpp.placement import placement

SPLIT_APART = "layers that are dealt out by another rule, such as the memory that was free"
OWN_ENGINE = "Ollama's own engine keeps windowed layers' caches by rules of its own"
STATES = {"R": "RS buffer (R)", "S": "RS buffer (S)"}
"""The two recurrent states by their letters in the log; its ``layers`` count those without a state too."""


def compare(log: BootLog, scenario: Scenario, known_device: bool) -> ComparedLog:
    """The components of ``log`` under ``scenario``, whatever device it runs on.

    Raises InputError when llama.cpp cannot serve the scenario, or the weights are unknown where they matter.
    """
    serving = serve(scenario)
    assert serving is not None
    own = [buffer for buffer in log.buffers if buffer.rank == "1"]
    drafts = [buffer for buffer in log.buffers if buffer.rank != "1"]
    rows = [row for buffer in own for row in _cache(buffer, "", serving)]
    if scenario.speculative_tokens:
        rows += [row for buffer in drafts for row in _cache(buffer, "MTP ", serving)]
    rows += _by_memory(log, serving, scenario)
    weights = {device: size for device, size in log.sizes.get("weights", {}).items() if not on_host(device)}
    everywhere = sum((size for size in log.sizes.get("weights", {}).values()), Size(0, 0))
    compute = {device: size for device, size in log.sizes.get("compute", {}).items() if not on_host(device)}
    fullest, busiest = max(weights.values(), default=None), max(compute.values(), default=None)
    if everywhere.bytes:
        rows += beside_prior("weights", "weights in all", _all_weights(scenario), everywhere, WEIGHTS_APART)
    else:
        rows += beside_prior("weights", "weights in the file", _all_weights(scenario), log.least("file"), WEIGHTS_APART)
    caches = sum((size for size in log.sizes.get("caches", {}).values()), Size(0, 0))
    if caches.bytes:
        planned = sum(buffer.bytes for buffer in serving.buffers)
        rows += beside_prior("caches", "caches in all", planned, caches, OWN_ENGINE)
    if compute or scenario.device.platform == "cpu":
        rows += beside_prior("compute", "compute buffer of a device", compute_bytes(scenario), busiest)
    copies = memory_parts(scenario, placement(scenario))[-1].copies
    host = max((size for device, size in log.sizes.get("compute", {}).items() if on_host(device)), default=None)
    rows += beside_prior(
        "host_compute",
        "compute buffer in host memory",
        host_compute_bytes(scenario, not compute, own_cells(scenario), copies),
        host,
    )
    notes = []
    if drafts and not scenario.speculative_tokens:
        notes.append("caches of a draft model are in the log too, and not in the prediction")
    measured = Overheads("", printed_bytes(fullest), printed_bytes(busiest))
    return ComparedLog(serving, tuple(rows), measured, tuple(notes))


def _by_memory(log: BootLog, serving: Serving, scenario: Scenario) -> Iterator[Component]:
    """A cache that lies in several memories, in each of them; only an estimate where devices were dealt layers freely.

    Without a split of the user's own, llama.cpp deals out layers by the memory that is free on each device.
    """
    told = scenario.serving.partition is not None or scenario.serving.tensor_split is not None
    for key, held in log.sizes.items():
        kind = key.removesuffix(" buffers")
        if kind == key or kind.startswith("draft ") or len(held) < 2:
            continue
        devices = sorted(device for device in held if not on_host(device))
        for device, seen in held.items():
            place = "RAM" if on_host(device) else f"device {devices.index(device)}"
            planned = sum(
                buffer.bytes
                for buffer in serving.buffers
                if buffer.name.startswith(f"{kind} buffer") and buffer.name.endswith(f", {place}")
            )
            row, label = f"{kind}_{place}".casefold().replace(" ", "_"), f"{kind} buffer, {place}"
            if told or len(devices) < 2:
                yield exact_size(row, label, planned, seen, SPLIT_APART)
            else:
                yield from beside_prior(row, label, planned, seen, SPLIT_APART)


def _all_weights(scenario: Scenario) -> int | None:
    try:
        return weight_bytes(scenario) or None
    except InputError:
        return None


def _cache(seen: LoggedBuffer, prefix: str, serving: Serving) -> Iterator[Component]:
    """Bytes of one cache of the log, and its cells and layers, beside those of the same name in the prediction."""
    name = prefix + STATES.get(seen.kind, f"{seen.kind} buffer")
    same = [buffer for buffer in serving.buffers if buffer.name.partition(",")[0] == name]
    key = f"{prefix}{seen.kind}".casefold().replace(" ", "_")
    if not same:
        yield Component(key, name, "bytes", None, seen.size.bytes, "unknown", BUFFER_APART)
        return
    total, layers, cells = sum(b.bytes for b in same), sum(b.layers for b in same), max(b.cells for b in same)
    yield exact_size(key, name, total, seen.size, BUFFER_APART)
    if seen.cells:
        yield exact_count(f"{key}_cells", f"{name}, cells", "cells", cells, seen.cells, BUFFER_APART)
    if seen.layers is not None and seen.kind not in STATES:
        yield exact_count(f"{key}_layers", f"{name}, layers", "layers", layers, seen.layers, BUFFER_APART)
