"""vLLM's boot log beside the prediction: blocks, tokens and concurrency, and every term of the memory's budget.

Where the profiler's lines are missing, what they would say is solved for: requested memory less all that is known.
What a profile keeps as outside of torch is always solved, so that a plan with the profile has the log's own pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, format_bytes
from kvtui.engine.bootlog.observed import BootLog, Size
from kvtui.engine.engines.budget import Budget, Term
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.parts import budget
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.comparison import (
    ComparedLog,
    Component,
    beside_prior,
    beside_term,
    counted,
    decimal,
    exact_size,
    fixed,
    printed_bytes,
    reach,
    weights_beside,
)
from kvtui.engine.serving.vllm.budget import budget as budget_of
from kvtui.engine.serving.vllm.releases import FIRST_START_WORDS, rules
from kvtui.engine.serving.vllm.runner import counts_graphs
from kvtui.engine.serving.vllm.serve import layered

TOKENS_APART = "another cache format, layers of a drafter, or a rank with less memory than the one that printed its own"
BLOCK_APART = "another format of the recurrent state, another speculative depth, or an attention kernel of another step"
EQUATION = "requested − cache − weights − graphs"
SURPRISE = GIB
"""What a start may keep beside the expected before it is worth a remark."""


def compare(log: BootLog, scenario: Scenario, known_device: bool) -> ComparedLog:
    """The components of ``log`` under ``scenario``; ``known_device`` says whether its device is more than a default.

    Raises InputError when vLLM cannot serve the scenario, or the weights are unknown where they matter.
    """
    printed = log.least("pool")
    half = printed.half if printed is not None and max(1, printed.bytes) == scenario.kv_pool else 0
    found = reach(scenario, half)
    alignment = layered(scenario, rules(scenario.serving.version)).alignment
    padding = None if alignment is None else (Fraction(alignment.padding_percent),) * 3
    low, at, high = (serving.max_concurrency for serving in found)
    rows = [
        *fixed("block_size", "attention block size", "tokens", found.at.block_size, log, BLOCK_APART),
        *decimal("state_padding_percent", "padding of the state page", "percent", padding, log, BLOCK_APART),
        *fixed("padding_layers", "padding layers", "layers", found.at.padding_layers, log, BLOCK_APART),
        *counted("blocks", "blocks", "blocks", found, log, TOKENS_APART),
        *counted("kv_cache_tokens", "KV cache size", "tokens", found, log, TOKENS_APART),
        *decimal("max_concurrency", "maximum concurrency", "requests", (low, at, high), log, TOKENS_APART, found.exact),
        *_needed(found.at, log),
        *counted("max_context", "longest model length that fits", "tokens", found, log, TOKENS_APART),
        *counted("state_slots", "slots of recurrent state", "slots", found, log, TOKENS_APART),
    ]
    terms = _terms(log, scenario, known_device)
    return ComparedLog(found.at, (*rows, *terms.rows), terms.measured, terms.notes)


def _needed(serving: Serving, log: BootLog) -> Iterator[Component]:
    """What the check compares; a block that it reserves is taken off the pool that it prints, not put on this."""
    seen = log.most("needed")
    if seen is not None:
        checked = serving.needed_bytes if serving.engine_needed_bytes is None else serving.engine_needed_bytes
        predicted = serving.needed_bytes if rules(serving.version).null_block else checked
        yield exact_size("needed", "memory of one request", predicted, seen, TOKENS_APART)


class _Terms(NamedTuple):
    """The budget's terms beside those of the log, what of them a profile keeps, and what to say."""

    rows: tuple[Component, ...]
    measured: Overheads
    notes: tuple[str, ...]


def _terms(log: BootLog, scenario: Scenario, known_device: bool) -> _Terms:
    weights, activation, non_torch = log.most("weights"), _activation(log), _non_torch(log)
    expected = _expected(scenario, weights)
    prior = {term.id: term for term in (*expected.terms, *expected.beside)}
    graphs, counted = _graphs(log, scenario), counts_graphs(rules(scenario.serving.version), scenario)
    left = _left(log)
    whole = known_device and scenario.device.platform != "cpu"
    notes = list(_first_start(log, scenario))
    if non_torch is not None:
        notes += _surprise(log, scenario, prior["non_torch"], non_torch)
    rest = _rest(log, scenario, whole, graphs if counted else 0)
    rows = [
        *beside_prior("total", "memory of the device", expected.device if whole else None, log.most("total")),
        *beside_prior("requested", "of it for the engine", expected.requested if whole else None, _request(log)),
        *weights_beside(_weights(scenario), weights),
        *beside_term("activation", "peak activation", prior["activation"], activation),
        *beside_term("non_torch", "outside of torch", prior["non_torch"], non_torch),
    ]
    if rest is not None and activation is not None and non_torch is None:
        rows += beside_term("non_torch", "outside of torch, solved", prior["non_torch"], _less(rest, activation))
        notes.append(f"memory outside of torch is solved: {EQUATION} − activation")
    elif rest is not None and non_torch is None:
        both = _together(prior["activation"], prior["non_torch"])
        rows += beside_term("beside", "activation and outside of torch", both, rest)
        notes.append(f"activation and memory outside of torch together are solved: {EQUATION}")
        notes += _surprise(log, scenario, both, rest)
    captured = None if scenario.serving.eager else log.most("graphs_estimated") or log.most("graphs")
    rows += [
        *beside_term("graphs", "CUDA graphs", prior["graphs"], captured),
        *_pool_row(expected.pool if whole else None, left),
    ]
    kept = {"weights": printed_bytes(weights), "activation": printed_bytes(activation), "graphs": graphs}
    kept = {id: None if size is None else max(0, size) for id, size in kept.items()}
    if whole and left is not None:
        kept |= _solved(expected, kept, left.bytes, counted=counted)
    else:
        kept["non_torch"] = printed_bytes(non_torch)
    return _Terms(
        tuple(rows), Overheads("", kept["weights"], kept["activation"], kept["graphs"], kept["non_torch"]), tuple(notes)
    )


def _solved(expected: Budget, kept: Mapping[str, int | None], pool: int, *, counted: bool) -> dict[str, int]:
    """Outside of torch what makes a plan of the same start leave ``pool``; of the activation, if that is too little."""
    sizes = {term.id: term.bytes for term in (*expected.terms, *expected.beside)}
    sizes |= {id: size for id, size in kept.items() if size is not None}
    others = sizes["weights"] + (sizes["graphs"] if counted else 0)
    rest = expected.requested - pool - others
    if rest >= sizes["activation"]:
        return {"non_torch": rest - sizes["activation"]}
    return {"activation": max(0, rest), "non_torch": 0}


def _less(whole: Size, part: Size) -> Size:
    return Size(max(0, whole.bytes - part.bytes), whole.half + part.half)


def _together(first: Term, second: Term) -> Term:
    return first._replace(
        bytes=first.bytes + second.bytes, low=first.low + second.low, high=first.high + second.high, confidence="L"
    )


def _first_start(log: BootLog, scenario: Scenario) -> Iterator[str]:
    """What is known of a start that compiled its graphs while it measured, which a later start finds in a cache."""
    if "compiled" in log.words and rules(scenario.serving.version).compiling_counts:
        yield f"this start compiled while it measured: a later one leaves {FIRST_START_WORDS} more for the cache"


def _surprise(log: BootLog, scenario: Scenario, expected: Term, rest: Size) -> Iterator[str]:
    """What may explain much more memory beside the cache than was expected."""
    more = rest.low - expected.high
    if more <= SURPRISE:
        return
    causes = "another process on the device, or activations that are larger than estimated"
    if "total" not in log.sizes and "requested" not in log.sizes:
        causes = f"a device with less memory than the {scenario.device.name} (--gpu), {causes}"
    yield f"{format_bytes(more)} more than expected are kept beside the cache: {causes}"


def _expected(scenario: Scenario, weights: Size | None) -> Budget:
    """The budget of a device that knows of the log nothing but its weights, of the stage with the least left."""
    if weights is not None:
        known = Overheads("", weights=weights.bytes)
        scenario = scenario._replace(serving=scenario.serving._replace(measured=known))
    try:
        return min((budget_of(scenario, stage) for stage in stages(scenario)), key=lambda found: found.pool)
    except InputError:
        return budget_of(scenario._replace(skip_weights=True), stages(scenario)[0])


def _weights(scenario: Scenario) -> int | None:
    """Weights of the fullest device as the engine counts them; None where they are unknown or skipped."""
    try:
        return max(budget_of(scenario, stage).bytes_of("weights") for stage in stages(scenario)) or None
    except InputError:
        return None


def _left(log: BootLog) -> Size | None:
    """What is left for the cache on the rank with the least: below zero where it lacks memory to start at all.

    None where the cache was given its size.
    """
    if "pool_given" in log.words or "kv_pool" in log.options:
        return None
    lacking = log.most("shortfall")
    return log.least("pool") if lacking is None else Size(-lacking.bytes, lacking.half)


def _pool_row(predicted: int | None, left: Size | None) -> Iterator[Component]:
    if left is None:
        return
    if predicted is None:
        yield Component("pool", "memory of the cache", "bytes", None, left.bytes, "unknown")
        return
    agrees = abs(predicted - left.bytes) <= left.half
    yield Component("pool", "memory of the cache", "bytes", predicted, left.bytes, "agrees" if agrees else "estimate")


def _activation(log: BootLog) -> Size | None:
    """The peak of the profile run; from 0.27 on the log counts the estimated graphs in it."""
    printed, estimated = log.most("activation"), log.most("graphs_estimated")
    if printed is None or estimated is None or "consumed" not in log.sizes:
        return printed
    return _less(printed, estimated)


def _non_torch(log: BootLog) -> Size | None:
    """What is outside of torch; from 0.27 on the log gives it together with the weights."""
    printed, consumed, weights = log.most("non_torch"), log.most("consumed"), log.most("weights")
    if printed is not None or consumed is None or weights is None:
        return printed
    return _less(consumed, weights)


def _graphs(log: BootLog, scenario: Scenario) -> int | None:
    """CUDA graphs as the engine counts them: their estimate where one was made, else what they took."""
    if scenario.serving.eager:
        return 0
    estimated, below, took = log.most("graphs_estimated"), log.most("graphs_below_zero"), log.most("graphs")
    if estimated is not None:
        return estimated.bytes
    return -below.bytes if below is not None else printed_bytes(took)


def _rest(log: BootLog, scenario: Scenario, known_device: bool, graphs: int | None) -> Size | None:
    """Activations and what is outside of torch together: requested less the cache, weights and counted graphs.

    None where a part is not known, or the parts are more than was requested.
    """
    requested, left, weights = _request(log), _left(log), log.most("weights")
    if requested is None and known_device:
        requested = Size(budget(scenario), 0)
    if requested is None or left is None or weights is None or graphs is None:
        return None
    rest = requested.bytes - left.bytes - weights.bytes - graphs
    return Size(rest, requested.half + left.half + weights.half) if rest >= 0 else None


def _request(log: BootLog) -> Size | None:
    """Bytes that the log says the engine was to use, or that follow from the memory and the share it prints."""
    printed, total, share = log.most("requested"), log.most("total"), log.options.get("gpu_memory_utilization")
    if printed is not None or total is None or not isinstance(share, str):
        return printed
    return Size(int(total.bytes * Fraction(share)), total.half + 1)
