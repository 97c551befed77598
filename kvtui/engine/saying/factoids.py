"""Facts to learn from while the film plays: some from ``factoids.toml``, some computed from the plan on screen.

Which one is shown depends on the time alone, so that every screen and every restart agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kvtui.engine.basis.places import DATA
from kvtui.engine.basis.tables import Fields
from kvtui.engine.basis.units import GIB, format_bytes, format_count
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.caches import Attention
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.planning.allocation import Slot
from kvtui.engine.planning.estimate import Estimate
from kvtui.engine.planning.plan import Plan
from kvtui.engine.planning.weights import weight_bytes
from kvtui.engine.saying.terms import CacheTerm, kv_terms

SECONDS_EACH = 12
MAX_LENGTH = 180
LIVE_SOURCE = "this scenario"

_TABLE = Path(DATA) / "factoids.toml"
_STORED_PER_LIVE = 2


class Factoid(NamedTuple):
    """One fact of at most MAX_LENGTH characters and where it is from."""

    text: str
    source: str


@cache
def stored_factoids() -> tuple[Factoid, ...]:
    """The facts of the packaged file, in its order. Raises InputError if the file is wrong."""
    from tomllib import loads

    document = Fields(loads(_TABLE.read_text(encoding="utf-8")), _TABLE.name)
    facts = tuple(
        Factoid(fields.text("text", limit=MAX_LENGTH), fields.text("source")) for fields in document.tables("fact")
    )
    document.finish()
    return facts


def live_factoids(plan: Plan, estimate: Estimate) -> tuple[Factoid, ...]:
    """All facts that can be computed for ``plan`` and its ``estimate``."""
    found = (live(plan, estimate) for live in LIVE)
    return tuple(Factoid(text, LIVE_SOURCE) for text in found if text is not None)


def factoid_at(plan: Plan, estimate: Estimate, now: float) -> Factoid:
    """The fact for the time ``now`` in seconds; it changes every SECONDS_EACH, and every third is about ``plan``."""
    turn = int(now // SECONDS_EACH)
    round_, place = divmod(turn, _STORED_PER_LIVE + 1)
    if place == _STORED_PER_LIVE:
        for offset in range(len(LIVE)):
            text = LIVE[(round_ + offset) % len(LIVE)](plan, estimate)
            if text is not None:
                return Factoid(text, LIVE_SOURCE)
    stored = stored_factoids()
    return stored[(round_ * _STORED_PER_LIVE + place) % len(stored)]


def step_read(plan: Plan, estimate: Estimate) -> str | None:
    """What one decode step moves, and the time that takes at the devices' full bandwidth."""
    read, device, tp = estimate.step_bytes, plan.scenario.device, plan.scenario.layout.tp
    if read is None:
        return None
    shortest = read / (tp * device.bandwidth_gbs * 1e9) * 1e3
    rate = f"{device.bandwidth_gbs:,.0f} GB/s"
    at = rate if tp == 1 else f"{tp} × {rate}"
    return f"A decode step of this scenario reads {format_bytes(read)}; at {at} that is at least {shortest:,.3g} ms."


def token_cost(plan: Plan, estimate: Estimate) -> str | None:
    """What one more token adds to a sequence's cache."""
    size = _token_bytes(plan)
    if size == 0:
        return "This model's cache is bounded: from some context on, more tokens take no more memory."
    return f"Each token adds {format_bytes(size)} to its sequence's cache: a GiB holds {GIB // size:,} tokens."


def weights_reached(plan: Plan, estimate: Estimate) -> str | None:
    """The context at which the growing cache of one sequence weighs as much as the model."""
    size, model = _token_bytes(plan), plan.scenario.model
    weights = weight_bytes(plan.scenario)
    if not size or not weights:
        return None
    tokens = -(-weights // size)
    if model.max_context is not None and tokens > model.max_context:
        return f"One sequence's cache can never outgrow the weights: that takes {tokens:,} tokens, beyond its maximum."
    return f"At {tokens:,} tokens, the cache of one sequence weighs as much as all {format_bytes(weights)} of weights."


def other_format(plan: Plan, estimate: Estimate) -> str | None:
    """What a token costs with K and V in 8 bits, or in 16 where they already have fewer."""
    model, kv = plan.scenario.model, plan.scenario.kv
    other = FORMATS["fp8" if kv.bits_per_element > FORMATS["fp8"].bits_per_element else "bf16"]
    now, then = (model.bytes_per_token(form) for form in (kv, other))
    if now in (0, then):
        return None
    return (
        f"With K and V in {other.name} a token would take {format_bytes(then)} instead of {format_bytes(now)} "
        f"in {kv.name}."
    )


def static_need(plan: Plan, estimate: Estimate) -> str | None:
    """What reserving the whole context for every sequence would take, where they hold less."""
    scenario = plan.scenario
    held = _bytes(kv_terms(scenario, plan.sequences))
    whole = _bytes(kv_terms(scenario, (Slot(scenario.context, scenario.context, scenario.batch),)))
    if held == whole:
        return None
    return (
        f"Reserving the whole context for {scenario.batch:,} sequences takes {format_bytes(whole)}; "
        f"their tokens fill {format_bytes(held)}."
    )


def state_in_tokens(plan: Plan, estimate: Estimate) -> str | None:
    """The recurrent state of a sequence, in tokens of its cache."""
    state, size = plan.scenario.model.state_bytes(), _token_bytes(plan)
    if not state or not size:
        return None
    return (
        f"Its state takes {format_bytes(state)} per sequence at any length, "
        f"as much as the K and V of {state // size:,} tokens."
    )


def windows_spare(plan: Plan, estimate: Estimate) -> str | None:
    """What layers with a window or chunk do not keep, compared with keeping every token."""
    spared, layers, widest = 0, 0, 0
    for term in kv_terms(plan.scenario, plan.sequences):
        cap = term.cache.cap
        if cap is not None and term.cache.kind != "cross_attention":
            every = sum(slot.sequences * (slot.used // term.cache.ratio) for slot in plan.sequences)
            spared += term.layers * term.copies * term.entry_bytes * (every - term.entries)
            layers, widest = layers + term.layers, max(widest, cap)
    if not spared:
        return None
    return f"Windows spare {format_bytes(spared)} here: {layers} layers keep no more than {widest:,} tokens each."


def day_price(plan: Plan, estimate: Estimate) -> str | None:
    """What the devices cost for a day."""
    hour = estimate.usd_per_hour
    if hour is None:
        return None
    low, high = (f"{24 * price:,.0f}" for price in (hour.low, hour.high))
    devices = f"{plan.devices:,} × {_device(plan)}"
    told = f"prices of {estimate.priced_on}" if estimate.priced_on else "the price as given"
    return f"A day on {devices} costs {low} to {high} US dollars ({told})."


def memory_sweep(plan: Plan, estimate: Estimate) -> str | None:
    """How long one device needs to read its whole memory."""
    device = plan.scenario.device
    sweep = device.usable_bytes / (device.bandwidth_gbs * 1e9) * 1e3
    return (
        f"Reading all {format_bytes(device.usable_bytes)} of one {_device(plan)} takes {sweep:,.3g} ms "
        f"at {device.bandwidth_gbs:,.0f} GB/s."
    )


def shared_heads(plan: Plan, estimate: Estimate) -> str | None:
    """How many query heads share one K and V head."""
    heads = [
        (count, cache.q_heads, cache.kv_heads)
        for cache, count in plan.scenario.model.caches
        if isinstance(cache, Attention) and cache.kind == "full" and cache.kv_heads < cache.q_heads
    ]
    if not heads:
        return None
    _, queries, stored = max(heads)
    return (
        f"Its {queries:,} query heads share {stored:,} KV heads: full multi-head attention would cache "
        f"{queries / stored:.3g} times as much per layer."
    )


def resident_experts(plan: Plan, estimate: Estimate) -> str | None:
    """How few of the weights work on a token, and that all must be in memory."""
    model, weights = plan.scenario.model, weight_bytes(plan.scenario)
    total, active = model.parameters, model.active_parameters
    if not weights or total is None or active is None or 2 * active > total:
        return None
    return (
        f"Only {format_count(active)} of {format_count(total)} parameters work on a token, "
        f"but all {format_bytes(weights)} of weights must be resident."
    )


def scores_avoided(plan: Plan, estimate: Estimate) -> str | None:
    """The attention scores that FlashAttention does not write out."""
    saved = plan.flash_attention_saved
    if not plan.scenario.flash_attention or not saved:
        return None
    return f"At full context, FlashAttention keeps {format_bytes(saved)} of attention scores out of memory here."


LIVE: tuple[Callable[[Plan, Estimate], str | None], ...] = (
    step_read,
    token_cost,
    static_need,
    weights_reached,
    windows_spare,
    state_in_tokens,
    shared_heads,
    other_format,
    scores_avoided,
    resident_experts,
    memory_sweep,
    day_price,
)


def _token_bytes(plan: Plan) -> int:
    """Bytes that a token adds without bound to one copy of its sequence's cache."""
    model, kv = plan.scenario.model, plan.scenario.kv
    return model.bytes_per_token(kv) + model.bytes_per_token(kv, "indexer")


def _bytes(terms: tuple[CacheTerm, ...]) -> int:
    return sum(term.bytes for term in terms)


def _device(plan: Plan) -> str:
    return plain(plan.scenario.device.name, 40)
