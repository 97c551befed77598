"""Rooflines: what a device, or the machine that was measured, can do at most, and where steps lie below it.

Work per byte against operations per second: left of the ridge memory bandwidth is the limit, right of it arithmetic
(Williams, Waterman and Patterson, *Roofline*, CACM 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from kvtui.engine.basis.units import format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.planning.allocation import slots
from kvtui.engine.planning.estimate import timed
from kvtui.engine.planning.roofline import peak_flops
from kvtui.engine.planning.step import decode_step
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.figure import Axis, Figure, Line, Panel, Scatter, floats
from kvtui.figures.measured import ResultRows, machine, number, once, word
from kvtui.figures.scenarios import Scenarios, caveats, doublings, each

DEVICE_ROOFLINE = ("device-roofline", "Roofline of the device", "Bandwidth or arithmetic?")

INTENSITY = Axis("work per byte", "FLOP/byte", "log10")
RATE = Axis("work per second", "FLOP/s", "log10")
BATCHES = 256
LEAST = 1e-30


def device(scenarios: Scenarios, largest: int | None = None) -> Figure:
    """The devices of one replica as a roofline, with decode steps at batches of 1 and its doublings.

    A step's rate is the middle of the expected band, and so below the roof.
    """
    first = scenarios[0]
    batches = [n for n in doublings(1, largest or max(BATCHES, first.batch)).tolist() if n <= MAX_BATCH]
    found, notes = each(scenarios, lambda one: [point for n in batches if (point := _point(one, n))])
    marks: list[Line | Scatter] = []
    for name, points in found.items():
        if not points:
            notes.append(f"{name}: no steps, its active weights or the link between devices are unknown.")
            continue
        at, rates, labels = zip(*points, strict=True)
        marks.append(Scatter(name, floats(at), floats(rates), labels=labels))
    rate = first.bandwidth_gbs or first.device.bandwidth_gbs
    bandwidth, peak = first.layout.tp * rate * 1e9, peak_flops(first)
    peak = None if peak is None else first.layout.tp * peak
    intensities = [x for points in found.values() for x, _, _ in points] + ([peak / bandwidth] if peak else [])
    roof = _roof(plain(first.device.name), bandwidth, peak, intensities)
    if peak is None:
        notes.append(f"No rate of arithmetic is known for {plain(first.device.name)}: the roof is its bandwidth.")
    else:
        notes.append(f"Arithmetic becomes the limit above {peak / bandwidth:,.0f} FLOP per byte.")
    panel = Panel(
        f"decode steps at {format_tokens(first.context)} tokens, batch 1 to {batches[-1]:,}",
        INTENSITY,
        RATE,
        (roof, *marks),
    )
    if first.bandwidth_gbs is not None:
        notes.append(f"The bandwidth is the {first.bandwidth_gbs:g} GB/s that were measured.")
    said = (*notes, "Published peaks and expected, not measured, rates; drawn whether they fit or not.")
    return Figure(*DEVICE_ROOFLINE, (panel,), (*said, *caveats(first)))


def measured(rows: ResultRows) -> Figure:
    """The measured machine as a roofline with the decode steps of a run's ``rows`` on it.

    Bandwidth is the best that was measured beside a case's own working set, arithmetic the measured matrix rate; both
    are medians over cases, so that single steps may lie above.
    """
    points: dict[str, list[tuple[float, float, str]]] = {}
    for row in once(rows):
        work, moved, ms = (number(row, key) for key in ("model_flops", "floor_bytes", "decode_step_ms_p50"))
        if work and moved and ms:
            name = word(row, "attn_variant") or "cases"
            points.setdefault(name, []).append((work / moved, work / ms * 1e3, word(row, "label")))
    if not points:
        none = "No row has model_flops, floor_bytes and decode_step_ms_p50: another tool's sweep has none of them."
        missing = none if rows else "No case has been measured yet."
        return Figure("roofline", "Roofline of the machine", "How near to the machine's limits?", (), (missing,))
    cases = [x for found in points.values() for x, _, _ in found]
    marks: list[Line | Scatter] = []
    notes = ["FLOPs and bytes are the model's own, as planned: what a step must do and move, each once."]
    for name in dict.fromkeys(map(machine, rows)):
        roofs, said = _roofs([row for row in once(rows) if machine(row) == name], cases, name or "machine")
        marks += roofs
        notes += said
    for name, found in points.items():
        at, rates, labels = zip(*found, strict=True)
        marks.append(Scatter(name, floats(at), floats(rates), labels=labels))
    if remains := _remains(rows):
        notes.append(f"A step takes so many times what reading its bytes does, median over cases: {remains}.")
    notes.append("Steps of little work lie far below the roof: starting their programs takes longer than they do.")
    panel = Panel("decode steps", INTENSITY, RATE, tuple(marks))
    return Figure("roofline", "Roofline of the machine", "How near to the machine's limits?", (panel,), tuple(notes))


def _remains(rows: ResultRows) -> str:
    """How far each attention's steps lie over the time of their bytes, which a comparison of attentions must know."""
    ratios: dict[str, list[float]] = {}
    for row in once(rows):
        if ratio := number(row, "floor_ratio"):
            ratios.setdefault(word(row, "attn_variant") or "cases", []).append(ratio)
    return ", ".join(f"{name} {median(found):.2g}" for name, found in ratios.items())


def _roofs(rows: ResultRows, cases: list[float], name: str) -> tuple[list[Line], list[str]]:
    """The roofs of one machine over the intensities of all ``cases``, by number format, and where they are from."""
    bandwidths, peaks = _machine(rows)
    notes = [f"Matrix products in {dtype}: {rate / 1e9:,.0f} GFLOP/s." for dtype, rate in peaks.items()]
    if not bandwidths:
        return [], notes
    best = median(bandwidths)
    ridge = [rate / best for rate in peaks.values()]
    spread = f"{min(bandwidths) / 1e9:,.1f} to {max(bandwidths) / 1e9:,.1f} GB/s"
    own = (
        f"the median over cases of reading as many bytes as each one's step does ({spread}; few bytes stay in a cache)"
    )
    notes.insert(0, f"The roof's bandwidth is {best / 1e9:,.1f} GB/s, {own}.")
    roofs = [_roof(f"{name}, {dtype}", best, rate, [*cases, *ridge]) for dtype, rate in peaks.items()]
    return roofs, notes if name == "machine" else [f"{name}: {note}" for note in notes]


def _point(scenario: Scenario, batch: int) -> tuple[float, float, str] | None:
    """Work per byte and expected work per second of a step of one replica with ``batch`` sequences."""
    alone = scenario._replace(
        batch=batch, lengths=None, shared_prefix=0, layout=scenario.layout._replace(dp=1), kv_pool=None
    )
    step = decode_step(alone, slots(alone, alone.context, batch))
    band = timed(alone, step).decode_ms
    if band is None or not step.bytes or step.flops is None:
        return None
    return step.flops / step.bytes, step.flops / ((band.low + band.high) / 2) * 1e3, f"batch {batch:,}"


def _roof(name: str, bandwidth: float, peak: float | None, intensities: Sequence[float]) -> Line:
    """Operations per second that ``bandwidth`` (B/s) and ``peak`` (FLOP/s) allow, over a decade more than is needed."""
    ends = [x for x in intensities if LEAST < x < 1 / LEAST] or [1.0]
    x = np.geomspace(min(ends) / 3, max(ends) * 10, 65)
    if peak is not None:
        x = np.unique(np.append(x, peak / bandwidth))
    rates = x * bandwidth
    return Line(name, floats(x), floats(rates if peak is None else np.minimum(rates, peak)))


def _machine(rows: ResultRows) -> tuple[list[float], dict[str, float]]:
    """Every row's better bandwidth in B/s, and the median matrix rate in FLOP/s by number format."""
    bandwidths: list[float] = []
    rates: dict[str, list[float]] = {}
    for row in rows:
        found = [number(row, f"bandwidth_{when}_gbs") for when in ("before", "after")]
        if known := [rate for rate in found if rate]:
            bandwidths.append(1e9 * max(known))
        if rate := number(row, "matmul_gflops"):
            rates.setdefault(word(row, "dtype"), []).append(1e9 * rate)
    return bandwidths, {dtype: median(found) for dtype, found in rates.items()}
