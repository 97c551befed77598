"""What could be changed about a scenario: the proposals that levers and fixes work out.

A proposal is a name, the fields that change, and what to know before; that it helps is for whoever asks to find out.
Example: for Llama-3.1-70B in bf16 on an H100, "fp8 KV", "fp8 weights", "tp 2" and "on H200 SXM" are among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from kvtui.engine.advice.matrix import MatrixAnswer, answer
from kvtui.engine.advice.offered import kv_obstacle
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import part
from kvtui.engine.model.caches import Latent
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.model.spec import has
from kvtui.engine.planning.drafting import acceptance_of, expected_tokens
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import AVERAGE, FILE_WEIGHTS, FULL, Layout, Scenario, has_experts, valid_tps
from kvtui.engine.serving.candidates import Candidate, EngineLevers, Idle, smaller_steps

LEAST_CONTEXT = 4 * 2**10
LARGER = 1.2
DRAFTED = 3
QUALITY = "check the answers' quality"


def candidates(scenario: Scenario, found: MatrixAnswer) -> Iterator[Candidate | Idle]:
    """What could be tried for ``scenario``, whose answer is ``found``."""
    engine = engine_levers(scenario)
    yield from kv_changes(scenario, engine)
    yield from weight_changes(scenario, engine)
    yield from engine.batching(scenario)
    yield from _flash(scenario)
    yield from prefix_changes(scenario)
    yield from _ranks(scenario, found, engine)
    yield from _larger(scenario)
    yield from _context(scenario)
    yield from _speculation(scenario)
    yield from engine.switches(scenario)
    yield from _limits(scenario, found, engine)


def engine_levers(scenario: Scenario) -> EngineLevers:
    """What the scenario's engine alone can say of its levers."""
    if scenario.engine == "none":
        return WITHOUT_ENGINE
    found: EngineLevers = part(scenario.engine, "levers").LEVERS
    return found


def kv_changes(scenario: Scenario, engine: EngineLevers) -> Iterator[Candidate | Idle]:
    """Formats of K and V with fewer bits; those that take the same bytes are one lever."""
    now, latent = scenario.kv.bits_per_element, has(scenario.model, Latent)
    smaller = [FORMATS[name] for name in engine.kv if FORMATS[name].bits_per_element < now]
    smaller = [form for form in smaller if latent or not form.packed_latent]
    if scenario.device.peak("fp4") is None and FORMATS["nvfp4"] in smaller:
        smaller.remove(FORMATS["nvfp4"])
        yield Idle("nvfp4 KV", f"the {scenario.device.name} has no fp4 math")
    if latent and scenario.engine == "vllm":
        smaller = [form for form in smaller if not kv_obstacle(scenario, form.name)]
    for forms in _alike(smaller):
        yield Candidate(f"{_either([form.name for form in forms])} KV", {"kv_dtype": forms[0].name}, QUALITY)


def weight_changes(scenario: Scenario, engine: EngineLevers) -> Iterator[Candidate | Idle]:
    """Formats of the weights with fewer bits; of those with about as many bits, one, and the published one."""
    if scenario.skip_weights:
        return
    if scenario.weight_dtype == FILE_WEIGHTS:
        yield Idle("smaller weights", "they are those of the model's file")
        return
    published = scenario.model.published_weights
    others = () if published is None else (published,)
    bits = {name: scenario._replace(weight_dtype=name).weight_bits for name in (*engine.weights, *others)}
    smaller = sorted((name for name in engine.weights if bits[name] < scenario.weight_bits), key=lambda n: -bits[n])
    for _, group in groupby((name for name in smaller if name != published), key=lambda name: round(bits[name], 1)):
        names = list(group)
        yield Candidate(f"{_either(names)} weights", {"weight_dtype": names[0]}, QUALITY)
    if published is not None and bits[published] < scenario.weight_bits:
        yield Candidate(f"{published} weights", {"weight_dtype": published}, "as the model is published")


def _batching(scenario: Scenario) -> Iterator[Candidate | Idle]:
    """How cache memory is set aside, where no engine decides that."""
    paged = {"paged_attention": True}
    if scenario.fill == FULL and scenario.lengths is None:
        live = "counts a live mix of lengths, most of them far below the context"
        fields = {"continuous_batching": True, "fill": AVERAGE, **paged}
        name = "sequences" if scenario.continuous_batching else "continuous batching"
        yield Candidate(f"{name} of an average fill", fields, live)
    elif not scenario.paged_attention:
        yield Candidate("paged attention", paged)


WITHOUT_ENGINE = EngineLevers(("fp8", "int8", "q8_0", "nvfp4", "q4_0"), _batching, smaller_steps)


def _flash(scenario: Scenario) -> Iterator[Candidate | Idle]:
    if scenario.flash_attention:
        yield Idle("FlashAttention", "on already")
    else:
        yield Candidate("FlashAttention", {"flash_attention": True})


def prefix_changes(scenario: Scenario) -> Iterator[Candidate | Idle]:
    """A prefix of half the context that all sequences have in common, where no engine finds that out by itself."""
    if scenario.engine != "none":
        yield Idle("a shared prefix", f"{scenario.engine} shares what is equal; its figures count nothing shared")
    elif scenario.shared_prefix:
        yield Idle("a shared prefix", f"{format_tokens(scenario.shared_prefix)} tokens are shared already")
    else:
        half = scenario.context // 2
        shortest = min(scenario.lengths or (half,))
        tokens = min(half, shortest)
        if tokens >= scenario.block_size:
            caveat = f"if the first {format_tokens(tokens)} tokens are common to all"
            yield Candidate("a shared prefix", {"paged_attention": True, "shared_prefix": tokens}, caveat)


def _ranks(scenario: Scenario, found: MatrixAnswer, engine: EngineLevers) -> Iterator[Candidate | Idle]:
    """Twice the devices, or as many as the batch needs, and replicas where tensor parallelism copies the cache."""
    layout, model = scenario.layout, scenario.model
    tps = () if engine.whole_layers else valid_tps(model)
    wider = [layout._replace(tp=tp) for tp in tps if tp >= 2 * layout.tp]
    if not wider and layout.pp * 2 <= len(model.layers):
        wider = [layout._replace(pp=2 * layout.pp)]
    enough = [] if found.fits else [changed for changed in wider if _fits_on(scenario, changed)]
    for changed in dict.fromkeys(wider[:1] + enough[:1]):
        yield Candidate(_split(layout, changed, engine), {"layout": changed}, _devices(layout, changed))
    if layout.tp > 1 and has(model, Latent) and not engine.whole_layers:
        changed = Layout(1, layout.pp, layout.dp * layout.tp)
        name = f"dp {changed.dp} instead of tp {layout.tp}"
        if changed.dp <= scenario.batch:
            yield Candidate(name, {"layout": changed}, "each replica has all weights, and latents of its own sequences")
            if has_experts(model) and not scenario.expert_parallel:
                divided = {"layout": changed, "expert_parallel": True}
                yield Candidate(f"{name}, experts divided", divided, "each rank has its experts, and all other weights")
        else:
            yield Idle(name, f"a batch of {scenario.batch:,} is less than one sequence each")


def _larger(scenario: Scenario) -> Iterator[Candidate | Idle]:
    """The next larger device of the same maker and kind, and the largest."""
    larger = larger_devices(scenario.device)
    if not larger:
        yield Idle("a larger device", f"the {scenario.device.name} is the largest of its kind in the catalogue")
    for device in larger:
        caveat = "" if device.price is not None else "no price is known"
        yield Candidate(f"on {device.name}", {"device": device}, caveat)


def larger_devices(now: DeviceSpec) -> tuple[DeviceSpec, ...]:
    """The next larger device of the same maker and kind, and the largest; none if ``now`` is that."""
    larger = sorted((d for d in all_devices() if _is_larger(d, now)), key=lambda device: device.usable_bytes)
    return tuple(dict.fromkeys((larger[0], larger[-1]))) if larger else ()


def _is_larger(device: DeviceSpec, now: DeviceSpec) -> bool:
    """Whether ``device`` is of the same maker and kind, with clearly more memory and in no way slower."""
    return (
        (device.vendor, device.family) == (now.vendor, now.family)
        and device.usable_bytes >= LARGER * now.usable_bytes
        and device.bandwidth_gbs >= now.bandwidth_gbs
        and (device.peak("bf16") or 0) >= (now.peak("bf16") or 0)
    )


def _context(scenario: Scenario) -> Iterator[Candidate | Idle]:
    """The model's own maximum where the context is beyond it, and an eighth."""
    trained = scenario.model.max_context
    lengths = [tokens for tokens in (scenario.context // 8,) if tokens >= LEAST_CONTEXT]
    if trained is not None and trained < scenario.context:
        lengths.append(trained)
    for tokens in dict.fromkeys(lengths):
        caveat = f"no request is longer than {format_tokens(tokens)}"
        yield Candidate(f"context {format_tokens(tokens)}", {"context": tokens}, caveat)


def _speculation(scenario: Scenario) -> Iterator[Candidate | Idle]:
    name = "speculative tokens"
    share = acceptance_of(scenario)
    if scenario.speculative_tokens:
        lost = expected_tokens(share, scenario.speculative_tokens)
        caveat = f"gives up {lost:.1f} tokens a step if {100 * share:.0f} % of the drafts are accepted"
        yield Candidate("no speculation", {"speculative_tokens": 0}, caveat)
    elif not scenario.model.mtp and not scenario.serving.draft_layers:
        yield Idle(name, f"{scenario.model.name} has no multi-token-prediction layers")
    else:
        expected = expected_tokens(share, DRAFTED)
        caveat = f"{expected:.1f} tokens a step if {100 * share:.0f} % of the drafts are accepted"
        yield Candidate(f"{DRAFTED} speculative tokens", {"speculative_tokens": DRAFTED}, caveat)


def _limits(scenario: Scenario, found: MatrixAnswer, engine: EngineLevers) -> Iterator[Candidate | Idle]:
    """More requests at once, where the engine's own limit binds."""
    served = serve(scenario)
    if served is None or not found.sequences or served.max_sequences_limit not in engine.limits:
        return
    more = 4 * -(-found.sequences // scenario.layout.dp)
    raised = scenario.serving._replace(max_seqs=more)
    yield Candidate(f"max-seqs {more:,}", {"serving": raised}, "more sequences in a step, each of them slower")


def _fits_on(scenario: Scenario, layout: Layout) -> bool:
    try:
        return answer(adapted(scenario, {"layout": layout})[0]).fits
    except InputError:
        return False


def _split(before: Layout, layout: Layout, engine: EngineLevers) -> str:
    """A layout by what it has more of."""
    if engine.whole_layers:
        return f"{layout.devices:,} devices"
    return f"tp {layout.tp}" if layout.tp > before.tp else f"pp {layout.pp}"


def _alike(forms: Iterable[Format]) -> Iterator[list[Format]]:
    """Formats that take the same bytes together, the largest first."""
    for _, members in groupby(sorted(forms, key=_size), key=_size):
        yield list(members)


def _size(form: Format) -> tuple[float, int, bool]:
    return -form.bits_per_element, form.vector_scale_bytes, form.packed_latent


def _either(names: list[str]) -> str:
    return " or ".join(names[:2])


def _devices(before: Layout, after: Layout) -> str:
    return f"{after.devices:,} devices instead of {before.devices:,}"
