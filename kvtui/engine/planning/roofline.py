"""Time, cost and energy by roofline: bands from published peaks and efficiency priors, never single figures.

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
from kvtui.engine.engines.known import part, places_layers
from kvtui.engine.model.caches import Cache, Indexer, Recurrent, Shared
from kvtui.engine.model.formats import Format
from kvtui.engine.model.spec import Layer
from kvtui.engine.planning.allocation import Slot, busiest_share, slots
from kvtui.engine.planning.drafting import TokenPass, acceptance_of, drafter, expected_tokens
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.weights import step_weights
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


class Estimate(NamedTuple):
    """Bands in milliseconds, tokens per second over all devices, US dollars and joules; None where unknown.

    ``measured_gbs`` is the measured bandwidth (10**9 bytes per second and device) that stands in for the priors.
    ``ram_bytes`` of ``step_bytes`` are read from the machine's RAM, at ``ram_gbs``. With ``speculation`` a step gives
    several tokens, and ``decode_ms`` is a step's time for each of them.
    """

    prefill_ms: Band | None
    decode_ms: Band | None
    tokens_per_second: Band | None
    bound: str | None
    usd_per_hour: Band | None
    usd_per_million_tokens: Band | None
    joules_per_token: Band | None
    priced_on: str | None
    step_bytes: int | None
    step_flops: int | None
    measured_gbs: float | None = None
    ram_bytes: int = 0
    ram_gbs: Band | None = None
    speculation: SpeculativeStep | None = None


class SpeculativeStep(NamedTuple):
    """A step of speculative decoding: of ``drafted`` tokens and the model's own come ``tokens`` for each sequence.

    ``draft_ms`` is the time of all drafts together, ``verify_ms`` that of the model's pass over them, ``plain_ms`` that
    of a step without speculation. ``assumed`` says that nobody told the ``acceptance``.
    """

    drafted: int
    acceptance: float
    assumed: bool
    tokens: float
    draft_ms: Band
    verify_ms: Band
    plain_ms: Band

    @property
    def step_ms(self) -> Band:
        """The whole step."""
        return Band(*(draft + verify for draft, verify in zip(self.draft_ms, self.verify_ms, strict=True)))

    @property
    def speedup(self) -> Band:
        """How many times as fast as without it, at either end of the bands."""
        return Band(
            *sorted(self.tokens * plain / step for plain, step in zip(self.plain_ms, self.step_ms, strict=True))
        )

    @property
    def draft_share(self) -> Band:
        """The part of a step that goes into drafting, at either end."""
        return Band(*sorted(draft / step for draft, step in zip(self.draft_ms, self.step_ms, strict=True)))


class Step(NamedTuple):
    """One decode step of the busiest replica, on any device: bytes, operations (None: unknown), and its sequences.

    ``ram`` says which of the bytes lie in the machine's RAM. Of each sequence ``each`` tokens pass: more than one where
    some were drafted. ``plain`` is the step without these, and ``draft`` what one drafted token of each sequence takes.
    """

    bytes: int | None
    flops: int | None
    sequences: int
    ram: RamRead | None = None
    each: int = 1
    plain: Step | None = None
    draft: DraftedToken | None = None


class DraftedToken(NamedTuple):
    """One drafted token of each sequence: bytes, operations, and layers one after the other."""

    bytes: int
    flops: int
    layers: int


def estimate(plan: Plan) -> Estimate:
    """How long the plan's decode step and prefill take, and what a token costs; no times where it does not fit."""
    return timed(plan.scenario, decode_step(plan.scenario, plan.sequences) if plan.fits else None)


def most_users(scenario: Scenario, sequences: int | None) -> tuple[int, Estimate] | None:
    """As many ``sequences`` as there is room for, and what their decode step takes; None without room or bound.

    They are as full as the scenario's fill says.
    """
    if not sequences:
        return None
    crowd = scenario._replace(batch=max(sequences, scenario.layout.dp), lengths=None)
    return crowd.batch, timed(crowd, decode_step(crowd, slots(crowd, crowd.context, crowd.batch)))


def decode_step(scenario: Scenario, sequences: tuple[Slot, ...]) -> Step:
    """The decode step of ``sequences``, all those of the scenario."""
    share = busiest_share(sequences, scenario.layout.dp)
    plain = _step(scenario, share)
    if not scenario.speculative_tokens:
        return plain
    found = drafter(scenario)
    step = _step(scenario, share, 1 + scenario.speculative_tokens)
    return step._replace(plain=plain, draft=None if found is None else draft_step(scenario, found, share))


def draft_step(scenario: Scenario, found: TokenPass, share: tuple[Slot, ...]) -> DraftedToken:
    """What the drafter ``found`` does for one token of each sequence of ``share``."""
    count, tp = sum(slot.sequences for slot in share), scenario.layout.tp
    tokens = count * expert_replicas(scenario)
    read = found.weights.always + int(sum(experts.bytes * experts.touched(tokens) for experts in found.weights.routed))
    work = 2 * found.active * count
    for layer, number in found.layers:
        for slot in share:
            many = number * slot.sequences
            read += many * tp * sum(_cache_read(layer, cache, slot.used, tp, found.kv) for cache in layer.caches)
            work += 2 * many * sum(_macs(layer, cache, slot.used) for cache in layer.caches)
    return DraftedToken(read, work, found.depth)


def _step(scenario: Scenario, share: tuple[Slot, ...], each: int = 1) -> Step:
    count = sum(slot.sequences for slot in share)
    read, work = step_bytes(scenario, share, each), step_flops(scenario, share, each)
    return Step(read, work, count, _ram_read(scenario, share, each), each)


def timed(scenario: Scenario, step: Step | None) -> Estimate:
    """What ``step`` takes on the scenario's devices; without one, only what does not depend on it."""
    layout, price = scenario.layout, _price(scenario)
    read, work = (None, None) if step is None else (step.bytes, step.flops)
    decode = per_second = bound = speculation = None
    if step is not None and read is not None and work is not None:
        decode, bound = step_time(scenario, read, work, step.each * step.sequences, step.ram)
        if scenario.speculative_tokens:
            told = acceptance_of(scenario), scenario.acceptance is None
            speculation = None if decode is None else _speculation(scenario, step, decode, *told)
            decode = speculation and Band(*(ms / speculation.tokens for ms in speculation.step_ms))
        if decode is not None:
            in_flight = min(layout.pp, step.sequences)
            per_second = Band(scenario.batch / decode.high * 1e3, scenario.batch * in_flight / decode.low * 1e3)
    return Estimate(
        prefill_ms=None if step is None else _prefill(scenario, step.ram),
        decode_ms=decode,
        tokens_per_second=per_second,
        bound=bound,
        usd_per_hour=price,
        usd_per_million_tokens=_per(price, per_second, 1e6 / 3600),
        joules_per_token=_per(_power(scenario), per_second, 1),
        priced_on=scenario.device.price.priced_on if scenario.device.price else None,
        step_bytes=read,
        step_flops=work,
        measured_gbs=scenario.bandwidth_gbs,
        ram_bytes=0 if step is None or step.ram is None else step.ram.bytes,
        ram_gbs=None if step is None or step.ram is None else ram_gbs(scenario),
        speculation=speculation,
    )


def speculate(
    scenario: Scenario, sequences: tuple[Slot, ...], found: TokenPass, drafted: int, acceptance: float
) -> SpeculativeStep | None:
    """A step of ``sequences`` in which ``found`` drafts; None where its time is not known.

    Here the scenario need not have a drafter of its own.
    """
    share = busiest_share(sequences, scenario.layout.dp)
    step = _step(scenario, share, 1 + drafted)
    step = step._replace(plain=_step(scenario, share), draft=draft_step(scenario, found, share))
    if step.bytes is None or step.flops is None:
        return None
    verify, _ = step_time(scenario, step.bytes, step.flops, step.each * step.sequences, step.ram)
    return None if verify is None else _speculation(scenario, step, verify, acceptance, False)


def _speculation(
    scenario: Scenario, step: Step, verify: Band, acceptance: float, assumed: bool
) -> SpeculativeStep | None:
    """A step whose pass over the drafted tokens takes ``verify``; None where the drafter is not known enough."""
    plain, draft, drafted = step.plain, step.draft, step.each - 1
    if plain is None or draft is None or plain.bytes is None or plain.flops is None:
        return None
    without, _ = step_time(scenario, plain.bytes, plain.flops, plain.sequences, plain.ram)
    once, _ = step_time(scenario, draft.bytes, draft.flops, step.sequences, layers=draft.layers)
    if without is None or once is None:
        return None
    return SpeculativeStep(
        drafted=drafted,
        acceptance=acceptance,
        assumed=assumed,
        tokens=expected_tokens(acceptance, drafted),
        draft_ms=Band(*(drafted * ms for ms in once)),
        verify_ms=verify,
        plain_ms=without,
    )


def step_bytes(scenario: Scenario, share: tuple[Slot, ...], each: int = 1) -> int | None:
    """Bytes that one decode step of one replica moves: weights of the experts it touches, caches, and states twice.

    ``each`` tokens of a sequence share one reading of its caches. None when the weights are unknown.
    """
    batch = sum(slot.sequences for slot in share)
    weights = weights_read(scenario, each * batch)
    if weights is None:
        return None
    return weights + sum(slot.sequences * sequence_read(scenario, slot.used) for slot in share)


def sequence_read(scenario: Scenario, tokens: int) -> int:
    """Bytes of one sequence's caches and states that a decode step at ``tokens`` tokens moves, on all its devices."""
    return scenario.layout.tp * sum(
        count * layer_cache_read(layer, tokens, scenario) for layer, count in scenario.model.counted
    )


def step_flops(scenario: Scenario, share: tuple[Slot, ...], each: int = 1) -> int | None:
    """Operations of one decode step of one replica, ``each`` tokens of a sequence; None: active weights unknown."""
    active = scenario.model.active_parameters
    if active is None:
        return None
    attention = sum(slot.sequences * sequence_macs(scenario, slot.used) for slot in share)
    return each * (2 * active * sum(slot.sequences for slot in share) + 2 * attention)


def sequence_macs(scenario: Scenario, tokens: int) -> int:
    """Multiply-adds with which one token of a sequence meets the ``tokens`` before it."""
    return sum(
        count * sum(_macs(layer, cache, tokens) for cache in layer.caches) for layer, count in scenario.model.counted
    )


def prefill_flops(scenario: Scenario) -> int | None:
    """Operations to prefill one sequence of the scenario's context; None when the active weights are unknown.

    Two per active weight and token, and causal attention: every token meets half of the context, or its window.
    """
    active, tokens = scenario.model.active_parameters, scenario.context
    if active is None:
        return None
    attention = 0
    for layer, count in scenario.model.counted:
        for cache in layer.caches:
            last = _macs(layer, cache, tokens)
            seen = tokens if cache.cap is None else min(cache.cap, tokens)
            attention += count * last * (tokens - seen // 2)
    return 2 * active * tokens + 2 * attention


def expert_replicas(scenario: Scenario) -> int:
    """The replicas whose tokens meet at the same experts."""
    return scenario.layout.dp if scenario.expert_parallel else 1


def weights_read(scenario: Scenario, batch: int) -> int | None:
    """Bytes of weights that a step of ``batch`` tokens reads, with the experts that so many meet; None: unknown."""
    read = step_weights(scenario)
    if read is None:
        return None
    tokens = batch * expert_replicas(scenario)
    return read.always + int(sum(experts.bytes * experts.touched(tokens) for experts in read.routed))


def layer_cache_read(layer: Layer, tokens: int, scenario: Scenario) -> int:
    """Bytes of a sequence of ``tokens`` that a decode step moves in ``layer``'s caches on one rank."""
    return sum(_cache_read(layer, cache, tokens, scenario.layout.tp, scenario.kv) for cache in layer.caches)


def _ram_read(scenario: Scenario, share: tuple[Slot, ...], each: int) -> RamRead | None:
    if not places_layers(scenario.engine) or scenario.model.parameters is None or scenario.skip_weights:
        return None
    found: RamRead | None = part(scenario.engine, "reads").ram_read(scenario, share, each)
    return found


def _cache_read(layer: Layer, cache: Cache, tokens: int, tp: int, kv: Format) -> int:
    match cache:
        case Recurrent():
            return 2 * cache.fixed_bytes(tp)
        case Shared():
            return cache.reads.entries(tokens) * cache.reads.entry_bytes(kv, tp)
        case Indexer():
            return cache.entries(tokens) * cache.entry_bytes(kv, tp)
        case _:
            return min(cache.entries(tokens), top_k(layer)) * cache.entry_bytes(kv, tp)


def _macs(layer: Layer, cache: Cache, tokens: int) -> int:
    match cache:
        case Recurrent():
            return 2 * cache.state_elements
        case Shared():
            return cache.macs_per_entry() * cache.reads.entries(tokens)
        case Indexer():
            return cache.macs_per_entry() * cache.entries(tokens)
        case _:
            return cache.macs_per_entry() * min(cache.entries(tokens), top_k(layer))


def top_k(layer: Layer) -> int:
    """Entries that attention reads of ``layer``: an indexer's choice, or all (2**62)."""
    return next((cache.top_k for cache in layer.caches if isinstance(cache, Indexer)), 2**62)


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


def _prefill(scenario: Scenario, ram: RamRead | None) -> Band | None:
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


def _price(scenario: Scenario) -> Band | None:
    """USD per hour of all devices together."""
    price = scenario.device.price
    if price is None:
        return None
    return Band(price.low * scenario.layout.devices, price.high * scenario.layout.devices)


def _power(scenario: Scenario) -> Band | None:
    """Watts of all devices together."""
    watts = scenario.device.tdp_watts
    if watts is None:
        return None
    return Band(*(watts * scenario.layout.devices * share for share in POWER_SHARE))


def _per(total: Band | None, rate: Band | None, scale: float) -> Band | None:
    if total is None or rate is None:
        return None
    return Band(total.low / rate.high * scale, total.high / rate.low * scale)
