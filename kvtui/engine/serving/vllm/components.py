"""vLLM's boot log beside the prediction: blocks, tokens and concurrency, and the memory outside of the cache.

Where the profiler's lines are missing, what is outside of torch is solved for: requested memory less all that is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, format_bytes
from kvtui.engine.bootlog.observed import BootLog, Size
from kvtui.engine.engines.budget import Budget
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.parts import budget
from kvtui.engine.planning.serve import serve
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.comparison import (
    SAME_MEMORY,
    ComparedLog,
    Component,
    beside_prior,
    counted,
    decimal,
    exact_size,
    fixed,
    printed_bytes,
    reach,
    weights_beside,
)
from kvtui.engine.serving.vllm.budget import budget as budget_of
from kvtui.engine.serving.vllm.releases import rules
from kvtui.engine.serving.vllm.serve import layered

TOKENS_APART = "another cache format, layers of a drafter, or a rank with less memory than the one that printed its own"
BLOCK_APART = "another format of the recurrent state, another speculative depth, or an attention kernel of another step"
EQUATION = "requested − cache − weights − graphs"
MUCH_OUTSIDE = 6 * GIB


def compare(log: BootLog, scenario: Scenario, known_device: bool) -> ComparedLog:
    """The components of ``log`` under ``scenario``; ``known_device`` says whether its device is more than a default.

    Raises InputError when vLLM cannot serve the scenario, or the weights are unknown where they matter.
    """
    printed = log.least("pool")
    half = printed.half if printed is not None and printed.bytes == scenario.kv_pool else 0
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
    measured, note, overheads = _overheads(log, scenario, known_device)
    return ComparedLog(found.at, (*rows, *overheads), measured, (note,) if note else ())


def _needed(serving: Serving, log: BootLog) -> Iterator[Component]:
    """What the check compares; a block that it reserves is taken off the pool that it prints, not put on this."""
    seen = log.most("needed")
    if seen is not None:
        checked = serving.needed_bytes if serving.engine_needed_bytes is None else serving.engine_needed_bytes
        predicted = serving.needed_bytes if rules(serving.version).null_block else checked
        yield exact_size("needed", "memory of one request", predicted, seen, TOKENS_APART)


def _overheads(log: BootLog, scenario: Scenario, known_device: bool) -> tuple[Overheads, str, tuple[Component, ...]]:
    """What vLLM keeps beside the cache, printed or solved; how it was solved; and all of it beside the priors."""
    weights, activation, non_torch = log.most("weights"), log.most("activation"), log.most("non_torch")
    prior = _expected(scenario, weights)
    graphs, pool = _graphs(log), log.least("pool")
    note, outside, peak = "", "outside of torch", printed_bytes(activation)
    solved = _solved(log, scenario, known_device) if non_torch is None else None
    if solved is not None:
        assumed = prior.bytes_of("activation") if peak is None else peak
        peak = solved if assumed > solved else peak
        non_torch = Size(max(0, solved - assumed), 0)
        outside += ", solved"
        note = f"memory outside of torch is solved: {EQUATION} − {'activation' if activation else 'prior activation'}"
        if non_torch.bytes > MUCH_OUTSIDE:
            note += "; it is much: is it the right device (--gpu), and the server alone on it?"
    rows = [
        *weights_beside(scenario, weights),
        *beside_prior("activation", "peak activation", prior.bytes_of("activation"), activation),
        *beside_prior("non_torch", outside, prior.bytes_of("non_torch"), non_torch),
        *beside_prior("graphs", "CUDA graphs", prior.bytes_of("graphs"), graphs),
        *beside_prior("pool", "memory of the cache", _left_over(scenario) if known_device else None, pool),
    ]
    kept = _kept_back(log, scenario) if known_device else 0
    if non_torch is not None and kept:
        note = f"{format_bytes(kept)} that the driver keeps back are counted as outside of torch"
        non_torch = Size(non_torch.bytes + kept, 0)
    measured = Overheads("", printed_bytes(weights), peak, printed_bytes(graphs), printed_bytes(non_torch))
    return measured, note, tuple(rows)


def _expected(scenario: Scenario, weights: Size | None) -> Budget:
    """The budget of a device that knows of the log nothing but its weights."""
    known = Overheads("", weights=0 if weights is None else weights.bytes)
    trial = replace(scenario, serving=scenario.serving._replace(measured=known))
    return budget_of(trial, stages(trial)[0])


def _kept_back(log: BootLog, scenario: Scenario) -> int:
    """Bytes of what a plan requests that the engine could not, because it saw less memory than the device has."""
    printed = _printed_request(log, scenario)
    planned = budget(scenario)
    if printed is None or not printed < planned <= printed * (1 + SAME_MEMORY):
        return 0
    return planned - printed


def _graphs(log: BootLog) -> Size | None:
    """CUDA graphs as the engine counts them: their estimate where one was made, else what they took."""
    if "eager" in log.words:
        return Size(0, 0)
    estimated = log.most("graphs_estimated")
    return log.most("graphs") if estimated is None else estimated


def _solved(log: BootLog, scenario: Scenario, known_device: bool) -> int | None:
    """Bytes of activations and outside of torch together: requested less the cache, weights and counted graphs.

    None where a part is not known, or the parts are more than was requested.
    """
    requested, pool, weights = _requested(log, scenario, known_device), log.least("pool"), log.most("weights")
    graphs = _graphs(log) if rules(scenario.serving.version).graphs_counted else Size(0, 0)
    if requested is None or pool is None or weights is None or graphs is None:
        return None
    rest = requested - pool.bytes - weights.bytes - graphs.bytes
    return rest if rest >= 0 else None


def _requested(log: BootLog, scenario: Scenario, known_device: bool) -> int | None:
    """Bytes of a device that the engine was to use."""
    printed = _printed_request(log, scenario)
    return budget(scenario) if printed is None and known_device else printed


def _printed_request(log: BootLog, scenario: Scenario) -> int | None:
    """Bytes that the log says were requested, or that follow from the memory it saw."""
    printed, total = log.most("requested"), log.most("total")
    if printed is not None:
        return printed.bytes
    return None if total is None else int(total.bytes * Fraction(str(scenario.memory_utilization)))


def _left_over(scenario: Scenario) -> int | None:
    try:
        found = serve(replace(scenario, kv_pool=None))
    except InputError:
        return None
    return None if found is None else found.pool_bytes
