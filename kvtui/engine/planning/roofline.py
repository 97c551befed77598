"""Times by roofline: bands from published peaks and efficiency priors, never single figures.

A decode step must read the active weights and every cached byte once, so its time is at least bytes over bandwidth, or
operations over compute if that is more. Efficiency priors come from measured single-stream decodes: 0.60–0.90 of peak
bandwidth for 16- and 8-bit weights, 0.55–0.70 for narrower ones, 0.40–0.60 on large Apple GPUs, 0.60–0.90 on small
ones, 0.33–0.90 where llama.cpp has small experts to read, 0.45–0.85 on CPUs; prefill reaches 0.35–0.60 of dense peak.
Confidence of every band is L until it is measured.

What lies in the machine's RAM (llama.cpp) is read by its CPU, one layer after the other with those of the devices: the
times add up, and at each border between the two the activations go over PCIe. Prefill copies such weights to a device
for each physical batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.basis.units import GIB
from kvtui.engine.engines.known import places_layers
from kvtui.engine.planning.step import prefill_flops
from kvtui.engine.scenario.scenario import Scenario, has_experts

if TYPE_CHECKING:
    from kvtui.engine.engines.placement import RamRead

WIDE_EFFICIENCY, NARROW_EFFICIENCY, WIDE_BITS = (0.60, 0.90), (0.55, 0.70), 8
APPLE_EFFICIENCY, SMALL_APPLE_EFFICIENCY, SMALL_APPLE_GBS = (0.40, 0.60), (0.60, 0.90), 200
COMPUTE_EFFICIENCY = (0.35, 0.60)
LAUNCH_SECONDS_PER_LAYER = (2e-6, 10e-6)
COLLECTIVE_SECONDS = (5e-6, 15e-6)
POWER_SHARE = (0.6, 1.0)
EXPERTS_EFFICIENCY = (0.33, 0.90)
CPU_EFFICIENCY = (0.45, 0.85)
DESKTOP_RAM_GBS, SERVER_RAM_GBS = (41.6, 96.0), (204.8, 460.8)
"""Two channels of DDR4-2600 to DDR5-6000, and eight of DDR4-3200 to twelve of DDR5-4800."""
MOST_DESKTOP_RAM = 256 * GIB
BORDER_SECONDS = (5e-6, 30e-6)
COPY_EFFICIENCY = (0.5, 0.9)
PCIE_GBS_PER_LANE = {"3": 0.985, "4": 1.969, "5": 3.938, "6": 7.563}


class Band(NamedTuple):
    """A span from ``low`` to ``high`` within which the true value is expected."""

    low: float
    high: float


def step_time(
    scenario: Scenario, read: int, work: int, batch: int, ram: RamRead | None = None, layers: int | None = None
) -> tuple[Band | None, str | None]:
    """Milliseconds of a step of one replica that moves ``read`` bytes and does ``work`` operations, and what binds it.

    ``batch`` tokens are exchanged between its devices; ``ram`` says which of the bytes are not on a device, ``layers``
    how many run one after the other (None: the model's). None when no link rate is known.
    """
    layout, rate, in_ram = scenario.layout, read_gbs(scenario), _from_ram(scenario, batch, ram)
    read -= 0 if ram is None else ram.bytes
    peak = peak_flops(scenario)
    compute = 0.0 if peak is None else work / (layout.tp * peak)
    layers = len(scenario.model.layers) if layers is None else layers
    shared = collectives(scenario, layers)
    if shared is None:
        return None, None
    times = []
    for gbs, compute_eta, launch, extra in (
        (rate.high, COMPUTE_EFFICIENCY[1], LAUNCH_SECONDS_PER_LAYER[0], shared.fixed[0]),
        (rate.low, COMPUTE_EFFICIENCY[0], LAUNCH_SECONDS_PER_LAYER[1], shared.fixed[1]),
    ):
        moved = max(read / (layout.tp * gbs * 1e9), compute / compute_eta)
        times.append(moved + launch * layers + shared.per_sequence * batch + extra)
    fastest = read / (layout.tp * rate.high * 1e9)
    bound = "compute" if compute / COMPUTE_EFFICIENCY[1] > fastest else "memory bandwidth"
    if in_ram.low > max(fastest, compute / COMPUTE_EFFICIENCY[1]):
        bound = "RAM bandwidth"
    return Band((times[0] + in_ram.low) * 1e3, (times[1] + in_ram.high) * 1e3), bound


def prefill_time(scenario: Scenario, ram: RamRead | None) -> Band | None:
    """Milliseconds to prefill one sequence of the scenario's context; weights in ``ram`` are copied for each batch.

    None where the operations, the peak or the link is not known.
    """
    work, peak = prefill_flops(scenario), peak_flops(scenario)
    if work is None or peak is None:
        return None
    seconds, copies = work / (scenario.layout.tp * peak), 0.0
    if ram is not None and not scenario.device.unified:
        link = pcie_gbs(scenario.device.pcie)
        if link is None:
            return None
        copies = -(-scenario.context // scenario.serving.ubatch) * ram.weights / (link * 1e9)
    fast, slow = (
        seconds / of + copies / at for of, at in zip(COMPUTE_EFFICIENCY[::-1], COPY_EFFICIENCY[::-1], strict=True)
    )
    return Band(fast * 1e3, slow * 1e3)


def _from_ram(scenario: Scenario, batch: int, ram: RamRead | None) -> Band:
    """Seconds that a step of ``batch`` tokens spends in the RAM and on the way there."""
    if ram is None:
        return Band(0.0, 0.0)
    rate, row = ram_gbs(scenario), 4 * (scenario.model.hidden or 0) * batch
    link = pcie_gbs(scenario.device.pcie)
    sent = 0.0 if link is None or scenario.device.unified else row / (link * 1e9)
    fast, slow = (ram.borders * (seconds + sent) for seconds in BORDER_SECONDS)
    return Band(ram.bytes / (rate.high * 1e9) + fast, ram.bytes / (rate.low * 1e9) + slow)


def ram_gbs(scenario: Scenario) -> Band:
    """10**9 bytes per second that the CPU is expected to read of the RAM, by its bandwidth or what is usual for it.

    Example: 64 GiB of a desktop have two channels, 41.6 to 96 GB/s, of which a CPU reaches 0.45 to 0.85.
    """
    if scenario.ram_gbs is not None:
        peak = scenario.ram_gbs, scenario.ram_gbs
    elif scenario.device.unified:
        peak = scenario.device.bandwidth_gbs, scenario.device.bandwidth_gbs
    else:
        peak = SERVER_RAM_GBS if (scenario.ram or 0) > MOST_DESKTOP_RAM else DESKTOP_RAM_GBS
    return Band(peak[0] * CPU_EFFICIENCY[0], peak[1] * CPU_EFFICIENCY[1])


class Collectives(NamedTuple):
    """Seconds of two all-reduces per layer: ``per_sequence`` of the step, and ``fixed`` (fast and slow) beside them."""

    per_sequence: float
    fixed: tuple[float, float]


def collectives(scenario: Scenario, layers: int) -> Collectives | None:
    """What tensor parallelism adds to a pass through ``layers``; None when no link rate is known."""
    tp = scenario.layout.tp
    if tp == 1:
        return Collectives(0.0, (0.0, 0.0))
    rate = scenario.device.link_gbs or pcie_gbs(scenario.device.pcie)
    if rate is None or scenario.model.hidden is None:
        return None
    size = 2 * scenario.model.hidden * 2 * (tp - 1) / tp
    fast, slow = COLLECTIVE_SECONDS
    return Collectives(2 * layers * size / (rate * 1e9), (2 * layers * fast, 2 * layers * slow))


def pcie_gbs(slot: str | None) -> float | None:
    """One direction of a PCIe slot such as ``4.0 x16`` in GB/s; None if not known."""
    if slot is None:
        return None
    generation, _, lanes = slot.partition(" x")
    per_lane = PCIE_GBS_PER_LANE.get(generation.split(".")[0])
    return None if per_lane is None else per_lane * int(lanes or 16)


def peak_flops(scenario: Scenario) -> float | None:
    """Dense FLOP/s of the math that the weight format runs in; quantised weights are expanded to 16 bits."""
    device = scenario.device
    sixteen = device.peak("bf16") or device.peak("fp16")
    form = scenario.checkpoint
    match form.name if form else "":
        case "fp8" | "fp8-block" | "fp8-channel" | "fp8-tensor":
            peak = device.peak("fp8") or sixteen
        case "int8" | "w8a8":
            peak = device.peak("int8") or sixteen
        case "nvfp4" | "mxfp4":
            peak = device.peak("fp4") or sixteen
        case "fp32":
            peak = device.peak("fp32")
        case _:
            peak = sixteen or device.peak("fp32")
    return None if peak is None else peak * 1e12


def read_gbs(scenario: Scenario) -> Band:
    """10**9 bytes per second that a decode step is expected to read on one device: as measured, else by the priors."""
    if scenario.bandwidth_gbs is not None:
        return Band(scenario.bandwidth_gbs, scenario.bandwidth_gbs)
    return Band(*(share * scenario.device.bandwidth_gbs for share in bandwidth_efficiency(scenario)))


def bandwidth_efficiency(scenario: Scenario) -> tuple[float, float]:
    """Shares of peak bandwidth that a decode step is expected to reach, low and high."""
    if scenario.device.vendor == "Apple":
        return SMALL_APPLE_EFFICIENCY if scenario.device.bandwidth_gbs < SMALL_APPLE_GBS else APPLE_EFFICIENCY
    if scenario.device.platform == "cpu":
        return CPU_EFFICIENCY
    if places_layers(scenario.engine) and has_experts(scenario.model):
        return EXPERTS_EFFICIENCY
    return NARROW_EFFICIENCY if scenario.weight_bits < WIDE_BITS else WIDE_EFFICIENCY
