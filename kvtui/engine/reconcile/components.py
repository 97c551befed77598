"""The components of each engine's boot log beside their predictions, and the overheads that follow from a log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Literal, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, format_bytes
from kvtui.engine.bootlog.observed import BootLog, LoggedBuffer, Size
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.parts import budget, held_weight_bytes, stages, weight_bytes
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.scenario import Scenario

Unit = Literal["bytes", "tokens", "blocks", "layers", "slots", "cells", "percent", "requests"]
Verdict = Literal["agrees", "differs", "estimate", "unknown"]
Number = int | Fraction

HUNDREDTH = Fraction(1, 200)
TOKENS_APART = "another cache format, layers of a drafter, or a rank with less memory than the one that printed its own"
BLOCK_APART = "another format of the recurrent state, another speculative depth, or an attention kernel of another step"
BUFFER_APART = "another number of slots, another cache format, or another build's padding"
WEIGHTS_APART = "encoders, scales and layers that are kept in another format are counted by the engine alone"
POOL_APART = "the engine kept memory back besides, or was given the number of tokens or slots"
EQUATION = "requested − cache − weights − graphs"
MUCH_OUTSIDE = 6 * GIB
SAME_MEMORY = 0.025
"""An engine's total may be this much less than the driver's: CUDA keeps back 0.6 % of an H100 and 1.8 % of 24 GiB."""
LIKE_LLAMACPP = {"R": "RS buffer (R)", "S": "RS buffer (S)"}


class Row(NamedTuple):
    """One component: ``predicted`` beside ``observed``, None where one side does not have it.

    ``verdict`` is agrees or differs where the prediction is exact, within what the printed digits leave open, estimate
    where it is a prior, and unknown where there is none. ``meaning`` says what a difference may come from.
    """

    id: str
    label: str
    unit: Unit
    predicted: Number | None
    observed: Number | None
    verdict: Verdict
    meaning: str = ""

    @property
    def difference(self) -> Number | None:
        """Predicted less observed."""
        if self.predicted is None or self.observed is None:
            return None
        return self.predicted - self.observed

    @property
    def percent(self) -> float | None:
        """The difference in percent of what was observed."""
        return float(100 * self.difference / self.observed) if self.difference is not None and self.observed else None


class Compared(NamedTuple):
    """Rows of a comparison, the prediction behind them, the overheads that the log shows, and what to say of both."""

    serving: Serving
    rows: tuple[Row, ...]
    measured: Overheads
    notes: tuple[str, ...] = ()


class Reach(NamedTuple):
    """The engine's answers at the printed cache memory, and at the least and the most that is printed so."""

    low: Serving
    at: Serving
    high: Serving

    @property
    def exact(self) -> bool:
        """Whether the cache memory is known."""
        return not self.at.pool_is_estimate


def compare(log: BootLog, scenario: Scenario, known_device: bool) -> Compared:
    """The rows of ``log`` under ``scenario``; ``known_device`` says whether its device is more than a default.

    Raises InputError when the engine cannot serve the scenario, or the weights are unknown where they matter.
    """
    match log.engine:
        case "vllm":
            return _vllm(log, scenario, known_device)
        case "llama.cpp":
            return _llamacpp(log, scenario)
        case _:
            return _sglang(log, scenario, known_device)


def _vllm(log: BootLog, scenario: Scenario, known_device: bool) -> Compared:
    from kvtui.engine.serving.vllm.releases import rules
    from kvtui.engine.serving.vllm.serve import layered

    printed = log.least("pool")
    half = printed.half if printed is not None and printed.bytes == scenario.kv_pool else 0
    reach = _reach(scenario, half)
    alignment = layered(scenario, rules(scenario.serving.version)).alignment
    padding = None if alignment is None else Fraction(alignment.padding_percent)
    rows = [
        *_fixed("block_size", "attention block size", "tokens", reach.at.block_size, log, BLOCK_APART),
        *_near("state_padding_percent", "padding of the state page", "percent", padding, log, BLOCK_APART),
        *_fixed("padding_layers", "padding layers", "layers", reach.at.padding_layers, log, BLOCK_APART),
        *_counted("blocks", "blocks", "blocks", reach, log),
        *_counted("kv_cache_tokens", "KV cache size", "tokens", reach, log),
        *_concurrency(reach, log),
        *_needed(reach.at, log),
        *_counted("max_context", "longest model length that fits", "tokens", reach, log),
        *_counted("state_slots", "slots of recurrent state", "slots", reach, log),
    ]
    measured, note, overheads = _vllm_overheads(log, scenario, known_device)
    return Compared(reach.at, (*rows, *overheads), measured, (note,) if note else ())


def _reach(scenario: Scenario, half: int) -> Reach:
    at = serve(scenario)
    assert at is not None
    if scenario.kv_pool is None or not half:
        return Reach(at, at, at)
    ends = (serve(replace(scenario, kv_pool=max(1, scenario.kv_pool + by))) for by in (-half, half))
    low, high = (end for end in ends if end is not None)
    return Reach(low, at, high)


def _row(
    key: str,
    label: str,
    unit: Unit,
    reach: tuple[Number, Number, Number],
    observed: tuple[Number, Number, Number],
    meaning: str,
    exact: bool = True,
) -> Row:
    """A row of what can be (least, predicted, most) beside what was printed (least, printed, most)."""
    agrees = reach[0] <= observed[2] and observed[0] <= reach[2]
    verdict: Verdict = "agrees" if agrees else "differs" if exact else "estimate"
    return Row(key, label, unit, reach[1], observed[1], verdict, "" if agrees else meaning)


def _fixed(key: str, label: str, unit: Unit, predicted: int | None, log: BootLog, meaning: str) -> Iterator[Row]:
    """A count that does not depend on the memory."""
    seen = log.counts.get(key)
    if seen is not None and predicted is not None:
        yield _row(key, label, unit, (predicted,) * 3, (seen,) * 3, meaning)
    elif seen is not None:
        yield Row(key, label, unit, None, seen, "unknown")


def _near(key: str, label: str, unit: Unit, predicted: Fraction | None, log: BootLog, meaning: str) -> Iterator[Row]:
    """A decimal of two digits."""
    seen = log.ratios.get(key)
    if seen is not None and predicted is not None:
        yield _row(key, label, unit, (predicted,) * 3, (seen - HUNDREDTH, seen, seen + HUNDREDTH), meaning)
    elif seen is not None:
        yield Row(key, label, unit, None, seen, "unknown")


def _counted(
    key: str, label: str, unit: Unit, reach: Reach, log: BootLog, apart: str = TOKENS_APART, exact: bool = True
) -> Iterator[Row]:
    """A count that follows from the memory; ``key`` is its name in the log and in Serving alike."""
    seen = log.counts.get(key)
    if seen is None:
        return
    found = [getattr(serving, key) for serving in reach]
    if any(count is None for count in found):
        yield Row(key, label, unit, None, seen, "unknown")
        return
    low, at, high = found
    yield _row(key, label, unit, (low, at, high), (seen,) * 3, apart, exact and reach.exact)


def _concurrency(reach: Reach, log: BootLog) -> Iterator[Row]:
    seen = log.ratios.get("max_concurrency")
    if seen is not None:
        low, at, high = (serving.max_concurrency for serving in reach)
        printed = (seen - HUNDREDTH, seen, seen + HUNDREDTH)
        yield _row(
            "max_concurrency", "maximum concurrency", "requests", (low, at, high), printed, TOKENS_APART, reach.exact
        )


def _needed(serving: Serving, log: BootLog) -> Iterator[Row]:
    seen = log.most("needed")
    if seen is not None:
        predicted = serving.needed_bytes if serving.engine_needed_bytes is None else serving.engine_needed_bytes
        yield _row(
            "needed",
            "memory of one request",
            "bytes",
            (predicted,) * 3,
            (seen.low, seen.bytes, seen.high),
            TOKENS_APART,
        )


def _vllm_overheads(log: BootLog, scenario: Scenario, known_device: bool) -> tuple[Overheads, str, tuple[Row, ...]]:
    """What vLLM keeps beside the cache, printed or solved; how it was solved; and all of it beside the priors."""
    from kvtui.engine.serving.vllm.serve import priors

    prior = priors(scenario)
    weights, activation, non_torch = log.most("weights"), log.most("activation"), log.most("non_torch")
    graphs, pool = _graphs(log), log.least("pool")
    note, outside, peak = "", "outside of torch", _bytes(activation)
    solved = _solved(log, scenario, known_device) if non_torch is None else None
    if solved is not None:
        assumed = (prior.activation or 0) if peak is None else peak
        peak = solved if assumed > solved else peak
        non_torch = Size(max(0, solved - assumed), 0)
        outside += ", solved"
        note = f"memory outside of torch is solved: {EQUATION} − {'activation' if activation else 'prior activation'}"
        if non_torch.bytes > MUCH_OUTSIDE:
            note += "; it is much: is it the right device (--gpu), and the server alone on it?"
    rows = [
        *_prior("weights", "weights of a device", _held(scenario), weights, WEIGHTS_APART),
        *_prior("activation", "peak activation", prior.activation, activation),
        *_prior("non_torch", outside, prior.non_torch, non_torch),
        *_prior("graphs", "CUDA graphs", prior.graphs, graphs),
        *_prior("pool", "memory of the cache", _left_over(scenario) if known_device else None, pool),
    ]
    kept = _kept_back(log, scenario) if known_device else 0
    if non_torch is not None and kept:
        note = f"{format_bytes(kept)} that the driver keeps back are counted as outside of torch"
        non_torch = Size(non_torch.bytes + kept, 0)
    return Overheads("", _bytes(weights), peak, _bytes(graphs), _bytes(non_torch)), note, tuple(rows)


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
    from kvtui.engine.serving.vllm.releases import rules

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


def _held(scenario: Scenario) -> int | None:
    """Bytes of weights on the fullest device; None where they are unknown."""
    try:
        return max(held_weight_bytes(scenario, stage) for stage in stages(scenario)) or None
    except InputError:
        return None


def _prior(key: str, label: str, predicted: int | None, seen: Size | None, meaning: str = "") -> Iterator[Row]:
    """A row whose prediction is a prior."""
    if seen is None:
        return
    if predicted is None:
        yield Row(key, label, "bytes", None, seen.bytes, "unknown")
    else:
        agrees = seen.low <= predicted <= seen.high
        yield Row(
            key, label, "bytes", predicted, seen.bytes, "agrees" if agrees else "estimate", "" if agrees else meaning
        )


def _bytes(size: Size | None) -> int | None:
    return None if size is None else size.bytes


def _llamacpp(log: BootLog, scenario: Scenario) -> Compared:
    from kvtui.engine.serving.llamacpp.log import on_host
    from kvtui.engine.serving.llamacpp.serve import compute_bytes

    serving = serve(scenario)
    assert serving is not None
    own = [buffer for buffer in log.buffers if buffer.rank == "1"]
    drafts = [buffer for buffer in log.buffers if buffer.rank != "1"]
    rows = [row for buffer in own for row in _buffer_rows(buffer, "", serving)]
    if scenario.speculative_tokens:
        rows += [row for buffer in drafts for row in _buffer_rows(buffer, "MTP ", serving)]
    weights = {device: size for device, size in log.sizes.get("weights", {}).items() if not on_host(device)}
    everywhere = sum((size for size in log.sizes.get("weights", {}).values()), Size(0, 0))
    compute = {device: size for device, size in log.sizes.get("compute", {}).items() if not on_host(device)}
    fullest, busiest = max(weights.values(), default=None), max(compute.values(), default=None)
    if everywhere.bytes:
        rows += _prior("weights", "weights in all", _all_weights(scenario), everywhere, WEIGHTS_APART)
    rows += _prior("compute", "compute buffer of a device", compute_bytes(scenario), busiest)
    notes = []
    if drafts and not scenario.speculative_tokens:
        notes.append("caches of a draft model are in the log too, and not in the prediction")
    if log.words.get("v_dtype", scenario.kv_dtype) != log.options.get("kv_dtype", scenario.kv_dtype):
        notes.append(f"V is kept as {log.words['v_dtype']} and K as {log.options['kv_dtype']}: one format is planned")
    return Compared(serving, tuple(rows), Overheads("", _bytes(fullest), _bytes(busiest)), tuple(notes))


def _all_weights(scenario: Scenario) -> int | None:
    try:
        return weight_bytes(scenario) or None
    except InputError:
        return None


def _buffer_rows(seen: LoggedBuffer, prefix: str, serving: Serving) -> Iterator[Row]:
    """Bytes of one cache of the log, and its cells and layers, beside those of the same name in the prediction."""
    name = prefix + LIKE_LLAMACPP.get(seen.kind, f"{seen.kind} buffer")
    same = [buffer for buffer in serving.buffers if buffer.name.partition(",")[0] == name]
    key = f"{prefix}{seen.kind}".casefold().replace(" ", "_")
    printed = (seen.size.low, seen.size.bytes, seen.size.high)
    if not same:
        yield Row(key, name, "bytes", None, seen.size.bytes, "unknown", BUFFER_APART)
        return
    total, layers, cells = sum(b.bytes for b in same), sum(b.layers for b in same), max(b.cells for b in same)
    yield _row(key, name, "bytes", (total,) * 3, printed, BUFFER_APART)
    if seen.cells:
        yield _row(f"{key}_cells", f"{name}, cells", "cells", (cells,) * 3, (seen.cells,) * 3, BUFFER_APART)
    if seen.layers is not None and seen.kind not in LIKE_LLAMACPP:
        yield _row(f"{key}_layers", f"{name}, layers", "layers", (layers,) * 3, (seen.layers,) * 3, BUFFER_APART)


def _sglang(log: BootLog, scenario: Scenario, known_device: bool) -> Compared:
    from kvtui.engine.serving.sglang.serve import DUMMY_SLOTS

    rest = _rest(log, scenario)
    half = 0
    if scenario.kv_pool is None and rest is not None:
        scenario, half = replace(scenario, kv_pool=max(1, rest.bytes)), rest.half
    elif scenario.kv_pool is None and log.buffers:
        pools = [buffer.size.bytes for buffer in log.buffers if buffer.rank == log.buffers[0].rank]
        scenario = replace(scenario, kv_pool=max(1, sum(pools)))
    reach = _reach(scenario, half)
    page = scenario.block_size
    rows = [
        *_counted("kv_cache_tokens", "tokens", "tokens", reach, log, POOL_APART, exact=False),
        *_counted("state_slots", "slots of recurrent state", "slots", reach, log, POOL_APART, exact=False),
        *_pool_row("pool", "KV cache of the logged tokens", ("KV pool", "indexer pool"), page, log, reach.at),
        *_pool_row("swa_pool", "windowed KV cache of its tokens", ("SWA pool",), page, log, reach.at),
        *_pool_row("conv", "conv state of the logged slots", ("mamba pool (conv)",), DUMMY_SLOTS, log, reach.at),
        *_pool_row("ssm", "recurrent state of the logged slots", ("mamba pool (ssm)",), DUMMY_SLOTS, log, reach.at),
    ]
    weights, graphs = log.most("weights"), log.most("graphs")
    rows += _prior("weights", "weights of a device", _held(scenario), weights, WEIGHTS_APART)
    before = log.least("free_before")
    outside = max(0, scenario.device.usable_bytes - before.bytes) if before is not None and known_device else None
    notes = () if rest is not None else ("the log does not say what was free before and after loading the weights",)
    return Compared(reach.at, tuple(rows), Overheads("", _bytes(weights), None, _bytes(graphs), outside), notes)


def _rest(log: BootLog, scenario: Scenario) -> Size | None:
    """Bytes for the pools: free after loading, less the share of what was free before that stays out of them."""
    before, after = log.least("free_before"), log.least("free_after_load")
    if before is None or after is None or "gpu_memory_utilization" not in log.options:
        return None
    kept = 1 - Fraction(str(scenario.memory_utilization))
    return Size(max(0, int(after.bytes - before.bytes * kept)), int(after.half + before.half * kept) + 1)


def _pool_row(
    kind: str, label: str, names: tuple[str, ...], spare: int, log: BootLog, serving: Serving
) -> Iterator[Row]:
    """Bytes of a pool of as many entries as the log says, and ``spare`` ones that are not handed out."""
    seen = _logged_pool(kind, log)
    if seen is None:
        return
    same = [buffer for buffer in serving.buffers if buffer.name.partition(" (K)")[0].partition(" (V)")[0] in names]
    cells = max((buffer.cells for buffer in same), default=0)
    if not cells:
        yield Row(kind, label, "bytes", None, seen.size.bytes, "unknown", BUFFER_APART)
        return
    held = cells + (spare if kind in ("conv", "ssm") else 0)
    total = sum(buffer.bytes for buffer in same) * (seen.cells + spare) // held
    printed = (seen.size.low, seen.size.bytes, seen.size.high)
    yield _row(kind, label, "bytes", (total,) * 3, printed, BUFFER_APART)


def _logged_pool(kind: str, log: BootLog) -> LoggedBuffer | None:
    """The model's own pool of that kind on the first rank that printed one; a drafter's come later."""
    windowed = log.counts.get("swa_layer_tokens")
    for buffer in log.buffers:
        like = "swa_pool" if buffer.kind == "pool" and buffer.cells == windowed else buffer.kind
        if like == kind:
            return buffer
    return None
