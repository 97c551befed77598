"""What if: every change to a scenario that could make it hold more, run faster or cost less, with what each one does.

A lever is a changed scenario, answered as the scenario itself is. What it loses is said with what it gains; what cannot
be had, or changes nothing, says why.

Example: Llama-3.1-8B on an H100 holds 3 sequences of 128K tokens under vLLM 0.20, so a batch of 4 does not fit. With an
fp8 cache it holds 6, and 55 of 16K instead of 27; the lever "fp8 KV" reads "the batch fits, 6 sequences at 128K, 55 at
16K, 904,480 max context", with the caveat to check the answers' quality. "nvfp4 KV" is idle: the device has no
fp4 math.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf, log
from typing import Any, Literal, NamedTuple

from kvtui.engine.advice.changes import candidates
from kvtui.engine.advice.matrix import MatrixAnswer, answer
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.planning.capacity import most_sequences
from kvtui.engine.planning.estimate import most_users
from kvtui.engine.planning.roofline import Band
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Candidate, Idle

SHORT_CONTEXT, LONG_CONTEXT = 16 * 2**10, 128 * 2**10
LEAST_CHANGE, MANY_TIMES = 0.005, 10

Measure = Literal["max_sequences", "max_context_tokens", "tokens_per_second", "usd_per_million_tokens"]
MEASURES: tuple[Measure, ...] = ("max_sequences", "max_context_tokens", "tokens_per_second", "usd_per_million_tokens")
BATCH_RATE: Measure = "tokens_per_second"
COST: Measure = "usd_per_million_tokens"


class Lever(NamedTuple):
    """A change that was worked out: the scenario with other ``fields``, its answer ``after`` and the one ``before``.

    What is good at one context may be bad at another, so ``elsewhere`` has the sequences before and after at
    ``elsewhere_context`` tokens too: 16K for a long context, 128K for a short one. It is None where the lever is about
    one context only, such as a shorter one. ``costs`` are dollars per million tokens before and after, each with as
    many sequences as there is room for: what holds twice as many sells twice as many tokens.
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
    costs: tuple[Band | None, Band | None]


class Gain(NamedTuple):
    """How one ``figure`` changes: ``ratio`` is after over before, and ``words`` say it.

    Example: from 27 to 55 sequences it is 2.04, "+104 % sequences at 16K". Of a scenario that does not fit, the words
    are of what there is after the change, "55 sequences at 16K": from 0 to 12 is infinite, and "12 sequences at 16K". A
    cost of 0.69 times as much is better; its words are "−31 % $/M tokens at the most sequences".
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
    plain = not before.fits
    pairs = [_gain("max_sequences", before.sequences, after.sequences, here, plain)]
    if lever.elsewhere is not None:
        there = format_tokens(lever.elsewhere_context)
        known = "at" if pairs[0] is not None else "sequences at"
        pairs.append(_gain("elsewhere", *lever.elsewhere, f"{known} {there}", plain))
    pairs.append(_gain("max_context_tokens", before.context, after.context, "max context", plain))
    rates = ((BATCH_RATE, f"tokens/s at batch {lever.scenario.batch:,}"), (COST, "$/M tokens at the most sequences"))
    for measure, words in rates:
        low, high = _rates(lever, measure)
        if low is not None and high is not None:
            pairs.append(_gain(measure, low, high, words))
    return found + [gain for gain in pairs if gain is not None]


def effect(lever: Lever) -> str:
    """Everything the lever changes, in one line: ``+100 % sequences at 128K, +104 % at 16K``."""
    return ", ".join(gain.words for gain in gains(lever))


def known(lever: Lever, measure: Measure) -> bool:
    """Whether ``measure`` has a figure both before and after."""
    return measure not in (BATCH_RATE, COST) or None not in _rates(lever, measure)


def figure_after(lever: Lever, measure: Measure) -> float | None:
    """The ``measure`` with the lever, of a band its middle; infinite without a bound, None where it is not known."""
    match measure:
        case "max_sequences":
            return inf if lever.after.sequences is None else lever.after.sequences
        case "max_context_tokens":
            return inf if lever.after.context is None else lever.after.context
    return _rates(lever, measure)[1]


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
        after = after._replace(sequences=most_sequences(changed._replace(lengths=None)))
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
        costs=(_cost(scenario, base.answer), _cost(changed, after)),
    )
    found = gains(lever)
    if any(gain.better for gain in found) or "speculative_tokens" in candidate.fields:
        return lever
    if not after.sequences:
        return Idle(name, f"does not fit: {candidate.caveat}" if base.answer.sequences else "not enough by itself")
    return Idle(name, f"only loses here: {effect(lever)}" if found else "changes nothing here")


def _at_context(scenario: Scenario, context: int) -> Scenario:
    return scenario._replace(context=context, lengths=None, shared_prefix=0)


def _gain(
    figure: Literal["elsewhere"] | Measure, before: float | None, after: float | None, what: str, plain: bool = False
) -> Gain | None:
    """None means without bound; no gain where the change is below half a percent.

    The words are of the change, or with ``plain``, and where there was nothing before, of what there is after it.
    """
    if before is None and after is None:
        return None
    if before is None or after is None:
        free = after is None
        return Gain(figure, inf if free else 0.0, free, f"{'no' if free else 'a'} bound on {what}")
    if before == 0:
        return None if after == 0 else Gain(figure, inf, True, f"{after:,.0f} {what}")
    ratio = after / before
    if abs(ratio - 1) < LEAST_CHANGE:
        return None
    change = f"×{ratio:,.1f}" if ratio >= MANY_TIMES else f"{'+' if ratio > 1 else '−'}{abs(ratio - 1):.0%}"
    better = (ratio > 1) != (figure == "usd_per_million_tokens")
    shown = f"{after:,.0f}" if plain else change.replace("%", " %")
    return Gain(figure, ratio, better, f"{shown} {what}")


def _ratio(lever: Lever, measure: Measure) -> float:
    """How many times better; 1 where nothing is known."""
    match measure:
        case "max_sequences":
            pair: tuple[float | None, float | None] = lever.before.sequences, lever.after.sequences
        case "max_context_tokens":
            pair = lever.before.context, lever.after.context
        case _:
            low, high = _rates(lever, measure)
            if low is None or high is None:
                return 1.0
            pair = (high, low) if measure == "usd_per_million_tokens" else (low, high)
    gain = _gain("max_sequences", *pair, "")
    return 1.0 if gain is None else gain.ratio


def _cost(scenario: Scenario, found: MatrixAnswer) -> Band | None:
    """Dollars per million tokens with as many sequences as there is room for, without a bound at the batch typed."""
    crowd = most_users(scenario, found.sequences)
    times = found.times if crowd is None else crowd[1]
    return None if times is None else times.usd_per_million_tokens


def _rates(lever: Lever, measure: Measure) -> tuple[float | None, float | None]:
    """The middles of a rate or of the cost, before and after."""
    before, after = lever.costs if measure == COST else (_per_second(lever.before), _per_second(lever.after))
    return _middle(before), _middle(after)


def _per_second(found: MatrixAnswer) -> Band | None:
    return None if found.times is None else found.times.tokens_per_second


def _middle(band: Band | None) -> float | None:
    return None if band is None else (band.low + band.high) / 2
