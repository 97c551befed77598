"""Every figure of a plan with its formula, the values put in, and where each comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.model.caches import Attention, Cache, Indexer, Latent, Recurrent
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.planning.capacity import Capacity
from kvtui.engine.planning.estimate import Estimate
from kvtui.engine.planning.parts import all_caches, overhead_bytes
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.roofline import (
    COMPUTE_EFFICIENCY,
    LAUNCH_SECONDS_PER_LAYER,
    bandwidth_efficiency,
    collectives,
    peak_flops,
)
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.planning.step import decode_step, prefill_flops
from kvtui.engine.planning.weights import joined_replicas, weight_bytes

if TYPE_CHECKING:
    from kvtui.engine.engines.budget import Budget
    from kvtui.engine.planning.roofline import Band
    from kvtui.engine.scenario.scenario import Scenario

ExplainedValue = int | float | str
ExplainedValues = tuple[tuple[str, ExplainedValue], ...]

ENTRY_SOURCE = "vLLM KV-cache specs: page size per layer kind"
STATE_SOURCE = "vLLM state shapes: conv in 16-bit, recurrent state in its own format"
PRIOR = "prior, confidence L"


class Explanation(NamedTuple):
    """How one figure came about: ``formula`` over the named ``values``; ``bytes`` is the result where it is bytes."""

    id: str
    formula: str
    values: ExplainedValues
    bytes: int | None
    sources: tuple[str, ...]


def explain(plan: Plan, capacity: Capacity, estimate: Estimate) -> tuple[Explanation, ...]:
    """The explanations of ``plan``, its ``capacity`` and its ``estimate``, in the order of the report."""
    parts = *_weights(plan), *_caches(plan), *_rest(plan)
    return (*parts, *_engine(plan), *_limits(plan, capacity), *_times(plan, estimate))


def _model_source(plan: Plan) -> str:
    model = plan.scenario.model
    return f"model: {model.source} (confidence {model.confidence})"


def _device_source(plan: Plan) -> str:
    device = plan.scenario.device
    return f"device: {device.source} (confidence {device.confidence})"


def _weights(plan: Plan) -> Iterator[Explanation]:
    scenario, model = plan.scenario, plan.scenario.model
    layout, measured = scenario.layout, scenario.measured
    if scenario.skip_weights:
        yield Explanation("weights", "weights are skipped", (), 0, ("--skip-weights",))
        return
    if measured is not None and measured.weights is not None:
        values: ExplainedValues = (("measured_bytes", measured.weights), ("devices", layout.devices))
        source = f"profile {measured.name}"
        yield Explanation("weights", "measured_bytes × devices", values, plan.total.weights, (source,))
        return
    form, once = scenario.checkpoint, weight_bytes(scenario)
    replicas = layout.dp // joined_replicas(scenario)
    copies = plan.total.weights - replicas * once
    bits = form.plain.bits if form is not None and not form.rules else 0
    alike = model.parameters is not None and 8 * once == bits * model.parameters
    values = (
        *((("parameters", model.parameters or 0), ("bits", float(bits))) if alike else (("stored_bytes", once),)),
        ("replicas", replicas),
        *((("loading_bytes", copies),) if copies > 0 else ()),
        *((("left_out_bytes", -copies),) if copies < 0 else ()),
        ("format", scenario.weight_dtype),
        *((("stored", form.meaning),) if form is not None and form.rules else ()),
    )
    counted = {
        "shape": "tensors counted from the shape",
        "stated": "parameters as published",
        "file": "parameters counted from the file's tensors",
    }
    sources = (_model_source(plan), counted.get(model.parameters_from, "parameters unknown"))
    formula = "parameters × bits ÷ 8 × replicas" if alike else "stored_bytes × replicas"
    formula += " + loading_bytes, what ranks copy, pad or add" if copies > 0 else ""
    formula += " − left_out_bytes, what no device loads" if copies < 0 else ""
    yield Explanation("weights", f"{formula}; every expert is resident", values, plan.total.weights, sources)


def _caches(plan: Plan) -> Iterator[Explanation]:
    """One entry per kind and shape of cache; their bytes add up to KV and state before prefix sharing.

    States that an engine keeps in its own way have one entry together.
    """
    scenario = plan.scenario
    kept = () if plan.serving is None else plan.serving.states
    seen: Counter[str] = Counter()
    for cache, count in all_caches(scenario):
        if kept and cache.growth == "state":
            continue
        group = "state" if cache.growth == "state" else "kv"
        seen[cache.kind] += 1
        name = f"{group}.{cache.kind}" + (f".{seen[cache.kind]}" if seen[cache.kind] > 1 else "")
        yield _cache(plan, name, cache, count)
    if kept:
        yield Explanation(
            "state",
            "ranks × sequences × sequence_bytes, as the engine keeps them",
            (("ranks", scenario.layout.tp), ("sequences", scenario.batch), ("sequence_bytes", sum(kept))),
            plan.total.state,
            (_model_source(plan), f"{scenario.engine}: allocation rules"),
        )
    if plan.prefix_shared:
        whole = scenario.shared_prefix // scenario.block_size * scenario.block_size
        yield Explanation(
            "kv.prefix_shared",
            "bytes of the prefix's whole blocks × sequences that do not store them",
            (("prefix_tokens", whole), ("sequences", scenario.batch - scenario.layout.dp)),
            -plan.prefix_shared,
            ("PagedAttention, arXiv:2309.06180: whole blocks are shared",),
        )


def _cache(plan: Plan, name: str, cache: Cache, layers: int) -> Explanation:
    scenario = plan.scenario
    tp, kv = scenario.layout.tp, scenario.kv
    size = cache.entry_bytes(kv, tp)
    entries = sum(slot.sequences * cache.entries(slot.used) for slot in plan.sequences)
    total = layers * tp * (entries * size + scenario.batch * cache.fixed_bytes(tp))
    shape: ExplainedValues
    common: ExplainedValues = (("layers", layers), ("ranks", tp))
    per_entry: ExplainedValues = (("entries", entries), ("entry_bytes", size))
    match cache:
        case Attention():
            cap: ExplainedValues = () if cache.cap is None else (("cap_tokens", cache.cap),)
            heads = -(-cache.kv_heads // tp)
            shape = (("kv_heads_per_rank", heads), ("k_dim", cache.k_dim), ("v_dim", cache.v_dim), ("format", kv.name))
            formula = "layers × ranks × entries × entry_bytes; entry = kv_heads_per_rank × (k_dim + v_dim) elements"
            return Explanation(
                name, formula, common + per_entry + shape + cap, total, (_model_source(plan), ENTRY_SOURCE)
            )
        case Latent():
            shape = (("rank", cache.rank), ("rope", cache.rope), ("format", kv.name))
            shape += (("tokens_per_entry", cache.ratio),) if cache.ratio > 1 else ()
            formula = "layers × ranks × entries × entry_bytes; entry = rank + rope elements, copied to every rank"
            return Explanation(name, formula, common + per_entry + shape, total, (_model_source(plan), ENTRY_SOURCE))
        case Indexer():
            shape = (("key_dim", cache.key_dim), ("tokens_per_entry", cache.ratio))
            formula = "layers × ranks × entries × entry_bytes; entry = one indexer key in its own format"
            return Explanation(name, formula, common + per_entry + shape, total, (_model_source(plan), ENTRY_SOURCE))
        case Recurrent():
            shape = (
                ("sequences", scenario.batch),
                ("conv_elements", cache.conv_elements(tp)),
                ("conv_bytes_each", 2),
                ("state_elements", cache.state_elements // tp),
                ("state_bytes_each", FORMATS[cache.state_format].bytes(1)),
            )
            formula = (
                "layers × ranks × sequences × "
                "(conv_elements × conv_bytes_each + state_elements × state_bytes_each), at any context"
            )
            return Explanation(name, formula, common + shape, total, (_model_source(plan), STATE_SOURCE))
        case _:
            return Explanation(name, "reads another layer's cache and stores none", common, 0, (_model_source(plan),))


def _rest(plan: Plan) -> Iterator[Explanation]:
    scenario, total = plan.scenario, plan.total
    yield Explanation(
        "reserved_unused",
        "bytes set aside for each sequence − bytes its tokens fill, over all sequences and ranks",
        (
            ("policy", policy(plan)),
            ("reserved_tokens", sum(slot.sequences * slot.reserved for slot in plan.sequences)),
            ("used_tokens", sum(slot.sequences * slot.used for slot in plan.sequences)),
        ),
        total.reserved_unused,
        ("Orca, OSDI 2022", "PagedAttention, arXiv:2309.06180"),
    )
    if plan.serving is not None:
        yield Explanation(
            "pool_free",
            "allocated − KV − state − reserved, unused",
            (("allocated", total.cache),),
            total.pool_free,
            (scenario.engine,),
        )
    yield from _beside(plan)
    if plan.scenario.model.what_if:
        yield from _what_if(plan)
    yield Explanation(
        "total",
        "weights + KV + state + activations + overhead + reserved, unused + rest of the pool",
        (
            ("usable_bytes_per_device", plan.usable_per_device),
            ("memory_utilization", scenario.memory_utilization),
            ("fullest_device_bytes", plan.per_device.total),
        ),
        total.total,
        (_device_source(plan),),
    )
    yield Explanation(
        "flash_attention_saved",
        "min(½ nominal memory, heads × sequences × 2 B × (min(4096, keys) × keys − tile²)), keys ≤ 65,536; "
        "an illustration, in no total",
        (("keys", min(scenario.context, 65_536)), ("sequences", scenario.batch), ("tile", scenario.device.tile)),
        plan.flash_attention_saved,
        ("FlashAttention, arXiv:2205.14135", "kvcache.io visualiser's formula with the model's own heads"),
    )


def _what_if(plan: Plan) -> Iterator[Explanation]:
    """What a what-if frees."""
    from kvtui.engine.planning.what_if import HONEST, what_if_gain

    found = what_if_gain(plan)
    if found is not None:
        yield Explanation(
            "what_if",
            "cache of the model as it is − cache of the what-if, on the fullest device",
            (("as_it_is", found.real), ("what_if", found.now)),
            found.freed,
            (*(f"{one.text}: {one.paper}" for one in found.parts), HONEST),
        )


def _beside(plan: Plan) -> Iterator[Explanation]:
    """Activations and overhead: an engine's by its budget, a prior without one."""
    scenario, total = plan.scenario, plan.total
    layout = scenario.layout
    if scenario.engine != "none":
        parts = (
            ("activation", "peak activation", total.activation),
            ("overhead", "all else beside it", total.overhead),
        )
        for id, what, size in parts:
            yield Explanation(
                id,
                f"devices × {what}, as the engine's budget has it",
                (("devices", layout.devices),),
                size,
                (scenario.engine,),
            )
        return
    yield Explanation(
        "activation",
        "devices × (2 B × batched_tokens × (4 hidden + (q, k, v, out + 3 FFN width) ÷ tp) + 4 B × vocab × sequences)",
        (
            ("devices", layout.devices),
            ("batched_tokens", min(scenario.max_batched_tokens, scenario.context * -(-scenario.batch // layout.dp))),
            ("hidden", scenario.model.hidden or 0),
            ("vocab", scenario.model.vocab or 0),
            ("tp", layout.tp),
            ("flash_attention", "on" if scenario.flash_attention else "off: the score matrix is added"),
        ),
        total.activation,
        (f"{PRIOR}; calibrated on vLLM profile runs of Llama-3.1-8B (1.20 and 1.23 GiB)",),
    )
    yield Explanation(
        "overhead",
        "devices × (driver context + collective buffers)",
        (("devices", layout.devices), ("bytes_per_device", overhead_bytes(layout.tp * layout.pp))),
        total.overhead,
        (f"{PRIOR}; 0.3 to 0.6 GiB per process and 0.34 to 0.39 GiB for collectives in boot logs",),
    )


def policy(plan: Plan) -> str:
    """The allocation policy in words."""
    scenario = plan.scenario
    names = [
        name
        for name, on in (
            ("continuous batching", scenario.continuous_batching),
            (f"paged, blocks of {scenario.block_size}", scenario.paged_attention),
        )
        if on
    ]
    return " + ".join(names) or "static reservation"


def _pool_values(found: Budget) -> ExplainedValues:
    """What is divided, and the band of what is left where the engine's terms are estimates."""
    least, most = found.pool_band
    share = round(float(found.share), 4)
    return (("allocatable_bytes", found.device), ("share", share), ("at_least", max(0, least)), ("at_most", most))


def _terms(found: Budget) -> Iterator[Explanation]:
    """Each part that the engine keeps of one device, with its band where it is an estimate."""
    for term in (*found.terms, *found.beside):
        band: ExplainedValues = () if term.low == term.high else (("at_least", term.low), ("at_most", term.high))
        sources = (f"{term.source} (confidence {term.confidence})",)
        yield Explanation(f"engine.{term.id}", term.formula, (*term.values, *band), term.bytes, sources)


def _engine(plan: Plan) -> Iterator[Explanation]:
    """Pool, blocks, tokens and concurrency as the scenario's engine counts them, each for one device."""
    served, scenario = plan.serving, plan.scenario
    if served is None:
        return
    name = f"{served.engine} {served.version}".rstrip()
    allocation = f"{name}: allocation rules, see kvtui's notes on the engine"
    found = tightest_budget(scenario) if served.pool_is_estimate else None
    if found is not None:
        yield Explanation(
            "engine.pool",
            "⌊allocatable_bytes × share⌋ − what the engine keeps of that",
            _pool_values(found),
            served.pool_bytes,
            (_device_source(plan), "a machine's own figures (--profile) are better"),
        )
        yield from _terms(found)
    else:
        yield Explanation("engine.pool", "the pool as given", (), served.pool_bytes, ("--kv-pool",))
    for use in served.memories if served.ram is not None else ():
        held = tuple((cause.replace(" ", "_"), size) for cause, size in use.held)
        formula = " + ".join(cause for cause, _ in held)
        yield Explanation(f"engine.memory.{use.name}", formula, held, use.total, (f"{name}: where layers lie",))
    for buffer in served.buffers:
        values: ExplainedValues = (("cells", buffer.cells), ("layers", buffer.layers))
        yield Explanation(
            f"engine.buffer.{buffer.name}", "the entries of cells × layers", values, buffer.bytes, (allocation,)
        )
    if served.blocks is None or served.bytes_per_block is None:
        return
    yield Explanation(
        "engine.blocks",
        "⌊pool_bytes ÷ bytes_per_block⌋ on the smallest rank",
        (("pool_bytes", served.pool_bytes), ("bytes_per_block", served.bytes_per_block), ("found", served.blocks)),
        None,
        (allocation,),
    )
    yield Explanation(
        "engine.needed",
        "blocks_per_request × bytes_per_block; blocks_per_request is the sum over groups of layers",
        (
            ("blocks_per_request", served.blocks_per_request or 0),
            ("bytes_per_block", served.bytes_per_block),
            *((f"{share.groups} × {share.kind}", share.groups * share.blocks) for share in served.shares),
        ),
        served.needed_bytes,
        (allocation, _model_source(plan)),
    )
    yield Explanation(
        "engine.max_concurrency",
        "blocks ÷ blocks_per_request",
        (
            ("blocks", served.blocks),
            ("blocks_per_request", served.blocks_per_request or 0),
            ("found", round(float(served.max_concurrency), 6)),
        ),
        None,
        (allocation,),
    )
    if served.kv_cache_tokens == int(served.max_concurrency * scenario.context):
        formula, counted = "⌊blocks ÷ blocks_per_request × context⌋", ("context", scenario.context)
    else:
        formula, counted = "⌊blocks ÷ groups⌋ × tokens of the smallest block", ("groups", served.groups or 1)
    yield Explanation(
        "engine.kv_cache_tokens",
        formula,
        (("blocks", served.blocks), counted, ("found", served.kv_cache_tokens)),
        None,
        (f"{name}: the log line of the cache size",),
    )


def _limits(plan: Plan, capacity: Capacity) -> Iterator[Explanation]:
    found: tuple[tuple[str, int | None, str], ...] = (
        ("max_context", capacity.context, capacity.context_limit),
        ("max_sequences", capacity.sequences, capacity.sequences_limit),
    )
    arithmetic = "plan's own arithmetic" if plan.serving is None else "engine's stepped cost"
    searched = f"the largest value for which the fullest device still fits, by bisection on the {arithmetic}"
    for name, value, limit in found:
        yield Explanation(
            name,
            searched,
            (("found", "no bound" if value is None else value), ("limit", limit)),
            None,
            (_device_source(plan),),
        )
    if plan.devices_needed is not None:
        yield Explanation(
            "devices_needed",
            "the fewest devices for which some tp × pp × dp split fits",
            (("found", plan.devices_needed),),
            None,
            (_device_source(plan),),
        )


def _times(plan: Plan, estimate: Estimate) -> Iterator[Explanation]:
    scenario, device = plan.scenario, plan.scenario.device
    if estimate.decode_ms is not None:
        measured = scenario.bandwidth_gbs
        rate = "bandwidth × efficiency" if measured is None else "measured bandwidth"
        prior = f"{PRIOR}; efficiencies from measured single-stream decodes"
        source = _device_source(plan) if measured is None else f"{measured:g} GB/s, measured and given as --bandwidth"
        read, ram, in_ram = "step_bytes", "", estimate.ram_gbs
        of_ram: ExplainedValues = ()
        if in_ram is not None:
            read, ram = "(step_bytes − ram_bytes)", " + ram_bytes ÷ ram_gbs + borders × PCIe"
            of_ram = ("ram_bytes", estimate.ram_bytes), ("ram_gbs_low", in_ram.low), ("ram_gbs_high", in_ram.high)
        yield Explanation(
            "decode",
            ("of a step's tokens together, " if estimate.speculation else "")
            + f"max({read} ÷ (tp × {rate}), step_flops ÷ (tp × peak × compute efficiency))"
            + f" + collectives + launches{ram}"
            + (", over the tokens that a step gives" if estimate.speculation else ""),
            (
                ("step_bytes", estimate.step_bytes or 0),
                ("step_flops", estimate.step_flops or 0),
                ("bandwidth_gbs", device.bandwidth_gbs if measured is None else measured),
                ("tp", scenario.layout.tp),
                *(_ends("efficiency", bandwidth_efficiency(scenario)) if measured is None else ()),
                *_computing(scenario),
                *_beside_reading(plan),
                *of_ram,
                *_found("ms_per_token", estimate.decode_ms),
            ),
            None,
            (prior, source) if measured is None else (source, f"compute and launches: {prior}", _device_source(plan)),
        )
    if estimate.speculation is not None:
        found = estimate.speculation
        yield Explanation(
            "speculation",
            "(1 − acceptance^(drafted + 1)) ÷ (1 − acceptance) tokens in verify_ms + draft_ms",
            (
                ("drafted", found.drafted),
                ("acceptance", found.acceptance),
                ("tokens", round(found.tokens, 4)),
                ("draft_ms_low", round(found.draft_ms.low, 4)),
                ("verify_ms_low", round(found.verify_ms.low, 4)),
                ("plain_ms_low", round(found.plain_ms.low, 4)),
            ),
            None,
            (
                "Leviathan et al. 2022 (arXiv:2211.17192), equation 1; each draft is taken to be accepted by itself",
                "the share is assumed" if found.assumed else "the share as given by --acceptance",
            ),
        )
    if estimate.prefill_ms is not None:
        yield Explanation(
            "prefill",
            "flops ÷ (tp × dense peak × 0.35 … 0.60), one sequence of the whole context"
            + (", and the weights in RAM over PCIe for each physical batch" if estimate.ram_bytes else ""),
            (
                ("flops", prefill_flops(scenario) or 0),
                ("tp", scenario.layout.tp),
                *_computing(scenario)[:1],
                *_found("ms", estimate.prefill_ms),
            ),
            None,
            (PRIOR, _device_source(plan)),
        )
    if device.price is not None and estimate.usd_per_million_tokens is not None:
        yield Explanation(
            "cost",
            "devices × USD per hour ÷ 3600 ÷ tokens per second × 10⁶",
            (
                ("devices", scenario.layout.devices),
                ("usd_per_hour_low", device.price.low),
                ("usd_per_hour_high", device.price.high),
                *_rate(estimate),
                *_found("usd_per_million_tokens", estimate.usd_per_million_tokens),
            ),
            None,
            (f"market span of {device.price.priced_on}, confidence L" if device.price.priced_on else "as given",),
        )
    if device.tdp_watts is not None and estimate.joules_per_token is not None:
        yield Explanation(
            "energy",
            "devices × board power × 0.6 … 1.0 ÷ tokens per second",
            (
                ("devices", scenario.layout.devices),
                ("tdp_watts", device.tdp_watts),
                *_rate(estimate),
                *_found("joules_per_token", estimate.joules_per_token),
            ),
            None,
            (PRIOR, _device_source(plan)),
        )


def _ends(name: str, span: tuple[float, float]) -> ExplainedValues:
    low, high = span
    return (f"{name}_low", low), (f"{name}_high", high)


def _found(unit: str, band: Band | None) -> ExplainedValues:
    """The result, as exact as it takes to work it out again."""
    return () if band is None else _ends(f"found_{unit}", band)


def _rate(estimate: Estimate) -> ExplainedValues:
    return () if estimate.tokens_per_second is None else _ends("tokens_per_second", estimate.tokens_per_second)


def _computing(scenario: Scenario) -> ExplainedValues:
    """The peak of one device and the share of it that is expected; nothing where no peak is known."""
    peak = peak_flops(scenario)
    return () if peak is None else (("peak_tflops", peak / 1e12), *_ends("compute_efficiency", COMPUTE_EFFICIENCY))


def _beside_reading(plan: Plan) -> ExplainedValues:
    """What a step takes beside reading and computing: starting its programs, and adding up over devices."""
    scenario, step = plan.scenario, decode_step(plan.scenario, plan.sequences)
    layers = len(scenario.model.layers)
    shared = collectives(scenario, layers)
    launches = _ends(
        "launches_ms", (1e3 * LAUNCH_SECONDS_PER_LAYER[0] * layers, 1e3 * LAUNCH_SECONDS_PER_LAYER[1] * layers)
    )
    if shared is None or scenario.layout.tp == 1:
        return launches
    fast, slow = (1e3 * (shared.per_sequence * step.each * step.sequences + fixed) for fixed in shared.fixed)
    return *launches, *_ends("collectives_ms", (fast, slow))
