"""What if: every change to a scenario that could make it hold more, run faster or cost less, with what each one does.

A lever is a changed scenario, answered as the scenario itself is. What it loses is said with what it gains; what cannot
be had, or changes nothing, says why.

Example: Llama-3.1-8B on an H100 holds 3 sequences of 128K tokens under vLLM 0.20, so a batch of 4 does not fit. With an
fp8 cache it holds 6, and 55 of 16K instead of 27; the lever "fp8 KV" reads "the batch fits, +100 % sequences at 128K,
+104 % at 16K, +100 % max context", with the caveat to check the answers' quality. "nvfp4 KV" is idle: the device has no
fp4 math.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from math import inf, log
from typing import Any, Literal, NamedTuple

from kvtui.engine.advice.matrix import MatrixAnswer, answer
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import part
from kvtui.engine.model.caches import Latent
from kvtui.engine.model.formats import FORMATS, Format
from kvtui.engine.planning.capacity import most_sequences
from kvtui.engine.planning.roofline import Band
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Layout, Scenario, has_experts, valid_tps
from kvtui.engine.serving.candidates import Candidate, EngineLevers, Idle, has, smaller_steps

SHORT_CONTEXT, LONG_CONTEXT, LEAST_CONTEXT = 16 * 2**10, 128 * 2**10, 4 * 2**10
LARGER = 1.2
DRAFTED, ACCEPTANCE, ACCEPTED = 3, 0.7, "70 %"
LEAST_CHANGE, MANY_TIMES = 0.005, 10
QUALITY = "check the answers' quality"

Measure = Literal["max_sequences", "max_context_tokens", "tokens_per_second", "usd_per_million_tokens"]
MEASURES: tuple[Measure, ...] = ("max_sequences", "max_context_tokens", "tokens_per_second", "usd_per_million_tokens")
RATES: dict[Measure, str] = {"tokens_per_second": "tokens/s", "usd_per_million_tokens": "$/M tokens"}


class Lever(NamedTuple):
    """A change that was worked out: the scenario with other ``fields``, its answer ``after`` and the one ``before``.

    What is good at one context may be bad at another, so ``elsewhere`` has the sequences before and after at
    ``elsewhere_context`` tokens too: 16K for a long context, 128K for a short one. It is None where the lever is about
    one context only, such as a shorter one.
    """

    name: str
    fields: Mapping[str, Any]
    caveat: str
    scenario: Scenario
    context: int
    before: MatrixAnswer
    after: MatrixAnswer
    elsewhere_context: int
    elsewhere: tuple[int | None, int | None] | None


class Gain(NamedTuple):
    """How one ``figure`` changes: ``ratio`` is after over before, and ``words`` say it.

    Example: from 27 to 55 sequences it is 2.04, "+104 % sequences at 16K"; from 0 to 12 it is infinite, "sequences at
    16K: 0 to 12". A cost of 0.69 times as much is better; its words are "−31 % $/M tokens".
    """

    figure: Literal["fits", "elsewhere"] | Measure
    ratio: float
    better: bool
    words: str


class _Base(NamedTuple):
    """The scenario as it is, with its answer, and its sequences at another context."""

    scenario: Scenario
    answer: MatrixAnswer
    elsewhere_context: int
    elsewhere: int | None


def levers(scenario: Scenario) -> Iterator[Lever | Idle]:
    """All levers of ``scenario`` as they are worked out, in no order; there are none if it has no answer itself."""
    found = answer(scenario)
    if found.reason:
        return
    elsewhere = LONG_CONTEXT if scenario.context <= SHORT_CONTEXT else SHORT_CONTEXT
    there = answer(_at_context(scenario, elsewhere))
    base = _Base(scenario, found, elsewhere, there.sequences)
    for candidate in candidates(scenario, found):
        yield candidate if isinstance(candidate, Idle) else _measured(base, candidate)


def ranked(found: Iterable[Lever | Idle], by: Measure = "max_sequences") -> list[Lever]:
    """The levers, best first: those that make a scenario fit, then by what they gain in ``by``, then in all together.

    Example: of two that both double the sequences, the one that also costs less is first.
    """
    known = [lever for lever in found if isinstance(lever, Lever)]

    def rank(lever: Lever) -> tuple[bool, float, float]:
        ratios = {measure: _ratio(lever, measure) for measure in MEASURES}
        rest = sum(log(min(max(ratio, 1e-6), 1e6)) for ratio in ratios.values())
        return lever.before.fits or not lever.after.fits, -ratios[by], -rest

    return sorted(known, key=rank)


def gains(lever: Lever) -> list[Gain]:
    """What changes, for better or worse, where it is half a percent or more.

    Whether the batch fits comes first, then sequences here and at another context, the longest context, tokens/s and
    cost.
    """
    before, after = lever.before, lever.after
    found: list[Gain] = []
    if before.fits != after.fits:
        words = "the batch fits" if after.fits else "the batch does not fit any more"
        found.append(Gain("fits", inf if after.fits else 0.0, after.fits, words))
    here = f"sequences at {format_tokens(lever.context)}"
    if lever.scenario.context != lever.context:
        here = f"sequences, each of {format_tokens(lever.scenario.context)}"
    pairs = [_gain("max_sequences", before.sequences, after.sequences, here)]
    if lever.elsewhere is not None:
        there = format_tokens(lever.elsewhere_context)
        known = "at" if pairs[0] is not None else "sequences at"
        pairs.append(_gain("elsewhere", *lever.elsewhere, f"{known} {there}"))
    pairs.append(_gain("max_context_tokens", before.context, after.context, "max context"))
    for measure, words in RATES.items():
        low, high = _middle(before, measure), _middle(after, measure)
        if low is not None and high is not None:
            pairs.append(_gain(measure, low, high, words))
    return found + [gain for gain in pairs if gain is not None]


def effect(lever: Lever) -> str:
    """Everything the lever changes, in one line: ``+100 % sequences at 128K, +104 % at 16K, −31 % $/M tokens``."""
    return ", ".join(gain.words for gain in gains(lever))


def known(lever: Lever, measure: Measure) -> bool:
    """Whether ``measure`` has a figure both before and after."""
    if measure not in RATES:
        return True
    return _middle(lever.before, measure) is not None and _middle(lever.after, measure) is not None


def expected_tokens(acceptance: float, drafted: int) -> float:
    """Tokens that one step gives when each of ``drafted`` tokens is accepted with probability ``acceptance``.

    The token that the model itself adds is included: (1 − a^(n+1)) ÷ (1 − a) (arXiv:2211.17192, equation 1). Three
    drafts of which 70 % are accepted give 1 + 0.7 + 0.49 + 0.343 = 2.5 tokens.
    """
    if acceptance >= 1:
        return drafted + 1.0
    return (1 - acceptance ** (drafted + 1)) / (1 - acceptance)


def candidates(scenario: Scenario, found: MatrixAnswer) -> Iterator[Candidate | Idle]:
    """What could be tried for ``scenario``, whose answer is ``found``."""
    engine = WITHOUT_ENGINE if scenario.engine == "none" else part(scenario.engine, "levers").LEVERS
    yield from _kv(scenario, engine)
    yield from _weights(scenario, engine)
    yield from engine.batching(scenario)
    yield from _flash(scenario)
    yield from _prefix(scenario)
    yield from _ranks(scenario, found, engine)
    yield from _larger(scenario)
    yield from _context(scenario)
    yield from _speculation(scenario)
    yield from engine.switches(scenario)
    yield from _limits(scenario, found, engine)


def _measured(base: _Base, candidate: Candidate) -> Lever | Idle:
    scenario, name = base.scenario, candidate.name
    try:
        changed, notes = adapted(scenario, candidate.fields)
    except InputError as error:
        return Idle(name, str(error))
    after, elsewhere = answer(changed), None
    if after.reason:
        return Idle(name, after.reason)
    if changed.shared_prefix:
        after = after._replace(sequences=most_sequences(replace(changed, lengths=None)))
    elif changed.context == scenario.context:
        there = answer(_at_context(changed, base.elsewhere_context))
        elsewhere = base.elsewhere, there.sequences
    lever = Lever(
        name=name,
        fields=candidate.fields,
        caveat="; ".join(filter(None, (candidate.caveat, *notes))),
        scenario=changed,
        context=scenario.context,
        before=base.answer,
        after=after,
        elsewhere_context=base.elsewhere_context,
        elsewhere=elsewhere,
    )
    found = gains(lever)
    if any(gain.better for gain in found) or "speculative_tokens" in candidate.fields:
        return lever
    if not after.sequences:
        return Idle(name, f"does not fit: {candidate.caveat}" if base.answer.sequences else "not enough by itself")
    return Idle(name, f"only loses here: {effect(lever)}" if found else "changes nothing here")


def _at_context(scenario: Scenario, context: int) -> Scenario:
    return replace(scenario, context=context, lengths=None, shared_prefix=0)


def _gain(figure: Literal["elsewhere"] | Measure, before: float | None, after: float | None, what: str) -> Gain | None:
    """None means without bound; no gain where the change is below half a percent."""
    if before is None and after is None:
        return None
    if before is None or after is None:
        free = after is None
        return Gain(figure, inf if free else 0.0, free, f"{'no' if free else 'a'} bound on {what}")
    if before == 0:
        return None if after == 0 else Gain(figure, inf, True, f"{what}: 0 to {after:,.0f}")
    ratio = after / before
    if abs(ratio - 1) < LEAST_CHANGE:
        return None
    change = f"×{ratio:,.1f}" if ratio >= MANY_TIMES else f"{'+' if ratio > 1 else '−'}{abs(ratio - 1):.0%}"
    better = (ratio > 1) != (figure == "usd_per_million_tokens")
    return Gain(figure, ratio, better, f"{change.replace('%', ' %')} {what}")


def _ratio(lever: Lever, measure: Measure) -> float:
    """How many times better; 1 where nothing is known."""
    match measure:
        case "max_sequences":
            pair: tuple[float | None, float | None] = lever.before.sequences, lever.after.sequences
        case "max_context_tokens":
            pair = lever.before.context, lever.after.context
        case _:
            low, high = _middle(lever.before, measure), _middle(lever.after, measure)
            if low is None or high is None:
                return 1.0
            pair = (high, low) if measure == "usd_per_million_tokens" else (low, high)
    gain = _gain("max_sequences", *pair, "")
    return 1.0 if gain is None else gain.ratio


def _middle(found: MatrixAnswer, measure: str) -> float | None:
    band: Band | None = None if found.times is None else getattr(found.times, measure)
    return None if band is None else (band.low + band.high) / 2


def _kv(scenario: Scenario, engine: EngineLevers) -> Iterator[Candidate | Idle]:
    """Formats of K and V with fewer bits; those that take the same bytes are one lever."""
    now, latent = scenario.kv.bits_per_element, has(scenario.model, Latent)
    smaller = [FORMATS[name] for name in engine.kv if FORMATS[name].bits_per_element < now]
    smaller = [form for form in smaller if latent or not form.packed_latent]
    if scenario.device.peak("fp4") is None and FORMATS["nvfp4"] in smaller:
        smaller.remove(FORMATS["nvfp4"])
        yield Idle("nvfp4 KV", f"the {scenario.device.name} has no fp4 math")
    for forms in _alike(smaller):
        yield Candidate(f"{_either([form.name for form in forms])} KV", {"kv_dtype": forms[0].name}, QUALITY)


def _weights(scenario: Scenario, engine: EngineLevers) -> Iterator[Candidate | Idle]:
    if scenario.skip_weights:
        return
    if scenario.weight_dtype == FILE_WEIGHTS:
        yield Idle("smaller weights", "they are those of the model's file")
        return
    published = scenario.model.published_weights
    others = () if published is None else (published,)
    bits = {name: replace(scenario, weight_dtype=name).weight_bits for name in (*engine.weights, *others)}
    smaller = sorted((name for name in engine.weights if bits[name] < scenario.weight_bits), key=lambda n: -bits[n])
    for _, group in groupby((name for name in smaller if name != published), key=lambda name: round(bits[name], 1)):
        names = list(group)
        yield Candidate(f"{_either(names)} weights", {"weight_dtype": names[0]}, QUALITY)
    if published is not None and bits[published] < scenario.weight_bits:
        yield Candidate(f"{published} weights", {"weight_dtype": published}, "as the model is published")


def _batching(scenario: Scenario) -> Iterator[Candidate | Idle]:
    """How cache memory is set aside, where no engine decides that."""
    paged = {"paged_attention": True}
    if not scenario.continuous_batching and scenario.lengths is None:
        live = "counts a live mix of lengths, most of them far below the context"
        name = "continuous batching" + ("" if scenario.paged_attention else ", paged")
        yield Candidate(name, {"continuous_batching": True, **paged}, live)
    elif not scenario.paged_attention:
        yield Candidate("paged attention", paged)


WITHOUT_ENGINE = EngineLevers(("fp8", "int8", "q8_0", "nvfp4", "q4_0"), _batching, smaller_steps)


def _flash(scenario: Scenario) -> Iterator[Candidate | Idle]:
    if scenario.flash_attention:
        yield Idle("FlashAttention", "on already")
    else:
        yield Candidate("FlashAttention", {"flash_attention": True})


def _prefix(scenario: Scenario) -> Iterator[Candidate | Idle]:
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
    wider = [layout._replace(tp=tp) for tp in valid_tps(model) if tp >= 2 * layout.tp]
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
    now = scenario.device
    larger = [device for device in all_devices() if _is_larger(device, now)]
    if not larger:
        yield Idle("a larger device", f"the {now.name} is the largest of its kind in the catalogue")
        return
    ends = min(larger, key=lambda device: device.usable_bytes), max(larger, key=lambda device: device.usable_bytes)
    for device in dict.fromkeys(ends):
        caveat = "" if device.price is not None else "no price is known"
        yield Candidate(f"on {device.name}", {"device": device}, caveat)


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
    if scenario.speculative_tokens:
        lost = expected_tokens(ACCEPTANCE, scenario.speculative_tokens)
        caveat = f"gives up {lost:.1f} tokens a step if {ACCEPTED} of the drafts are accepted"
        yield Candidate("no speculation", {"speculative_tokens": 0}, caveat)
    elif not scenario.model.mtp and not scenario.serving.draft_layers:
        yield Idle(name, f"{scenario.model.name} has no multi-token-prediction layers")
    else:
        expected = expected_tokens(ACCEPTANCE, DRAFTED)
        caveat = f"{expected:.1f} tokens a step if {ACCEPTED} of the drafts are accepted, not counted here"
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
