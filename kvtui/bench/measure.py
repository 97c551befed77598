"""Measuring one job honestly: compile, check, warm up, sample, and say how far from the machine's floor it was.

The record is flat; keys end in their unit, and what does not apply or is not known is None:

* ``status``, ``message``; ``device``, ``platform``; ``parameters``
* ``lower_s``, ``compile_s``: until all programs of the job were there; ``cache_hit``: the persistent cache had them all
* ``kv_predicted_bytes`` by the planner's formulas, ``kv_measured_bytes`` of the real arrays; ``donated``: the decode
  step writes every byte of the cache in place; ``temp_bytes``, ``xla_flops``, ``xla_bytes`` of that step, as XLA has it
* ``model_flops``, ``floor_bytes``: what the step at the median sampled position has to do and to move
* ``bandwidth_before_gbs``, ``bandwidth_after_gbs``: reading a working set of ``floor_bytes``, before and after the
  series; ``floor_ms`` is ``floor_bytes`` at the better one, ``floor_ratio`` the median step over it
* ``cpu_share``: of a core, what a thread that only counts got, before or after the series, whichever was less
* ``matmul_gflops``: the machine's rate in the weights' dtype; ``mfu``: the share of it that the prefill's model FLOPs
  reach at its median
* ``peak_memory_bytes``: the device's peak where this job raised it, None where an earlier one had reached it
* ``prefill_xla_flops``, ``prefill_xla_bytes`` and ``prefill_model_flops`` are the same of the prefill
* ``tokens_compared`` of each sequence were generated with and without a cache, of a case without one, and were all the
  same if ``tokens_equal``
* ``routing_entropy``: bits per token, of log2(experts), averaged over layers, for the prompt
* ``tokens_per_second``: ``batch`` over the median step; ``settled``: every series was steady when its sampling began
* for each series ``<series>_ms_<figure>``, the figures being those of ``statistics.Summary``
* ``curve``: for each of the job's positions ``position``, ``p20``, ``p50``, ``p80`` (milliseconds) and ``n``

What the series are says ``bench.series``. The raw samples are milliseconds by series; ``decode_step_positions`` and
``decode_scan_positions`` are the tokens that were in the cache when each sample began, and ``curve_<tokens>`` the
samples of a point of the curve.
"""

from __future__ import annotations

import functools
import itertools
import statistics as exact
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax

from kvtui.bench import probe
from kvtui.bench.agreement import agreement
from kvtui.bench.child import Emit
from kvtui.bench.compiled import Program, ProgramSource, build
from kvtui.bench.host import memory_bytes
from kvtui.bench.nn import transformer
from kvtui.bench.nn.cache import cache_bytes
from kvtui.bench.nn.transformer import Weights
from kvtui.bench.series import (
    SERIES,
    GenerationState,
    Inputs,
    advances,
    collect,
    init_weights,
    inputs,
    names,
    sources,
    start,
    warm_up,
)
from kvtui.cases import prediction as predict
from kvtui.cases import protocol
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.protocol import Job, Status, TimeBudget
from kvtui.cases.statistics import Summary, entropy_bits, summary
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.basis.untrusted import plain

CURVE = ("prefill", "first", "decode_step")
STAGES = {"prefill": "prefill", "decode_step": "decode", "decode_scan": "decode"}
FIGURES = tuple(itertools.chain.from_iterable(SERIES.values()))
KEYS = (
    *("status", "message", "device", "platform", "lower_s", "compile_s", "cache_hit", "parameters"),
    *("kv_predicted_bytes", "kv_measured_bytes", "donated", "temp_bytes", "xla_flops", "xla_bytes"),
    *("model_flops", "floor_bytes", "bandwidth_before_gbs", "bandwidth_after_gbs", "cpu_share"),
    "matmul_gflops",
    *("prefill_xla_flops", "prefill_xla_bytes", "prefill_model_flops", "tokens_compared", "tokens_equal"),
    *("floor_ms", "floor_ratio", "mfu", "peak_memory_bytes", "routing_entropy", "tokens_per_second", "settled"),
    *(f"{series}_ms_{figure}" for series in FIGURES for figure in Summary._fields),
    "curve",
)

StageListener = Callable[[str], None]
Record = dict[str, Any]
Samples = dict[str, list[float]]

_weights_of: dict[TransformerShape, Weights] = {}


def measure(job: Job, emit: Emit) -> tuple[Record, Samples]:
    """The record and the raw samples of ``job``; ``emit`` is told of each stage.

    Nothing is raised: what goes wrong is in the record's status and message, beside what was found out before it.
    """
    record: Record = failure("ok", None)
    samples: Samples = {}
    try:
        _measure(job, lambda name: emit(protocol.stage(job.id, name)), record, samples)
    except (InputError, NotImplementedError) as error:
        record.update(status="unsupported", message=described(error))
    except Exception as error:  # noqa: BLE001  a case that fails is a result, whatever it fails of
        record.update(status="oom" if is_out_of_memory(error) else "error", message=described(error))
        _weights_of.clear()
    return record, samples


def failure(status: Status, message: str | None) -> Record:
    """A record that has nothing but a status and its reason."""
    return {**dict.fromkeys(KEYS), "status": status, "message": message}


def described(error: BaseException) -> str:
    """An exception as one harmless line: its type and message; the message alone where it was written for users."""
    text = " ".join(str(error).split())
    return plain(text if isinstance(error, InputError) and text else f"{type(error).__name__}: {text}", limit=400)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the host or the device, is what ``error`` lacked; a kernel's shared memory is neither."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        text = str(error).lower()
        return "resource_exhausted" in text and "memory" in text and "shared memory" not in text
    return isinstance(error, MemoryError)


def _measure(job: Job, stage: StageListener, record: Record, samples: Samples) -> None:
    case, device = job.case, probe.default_device()
    record.update(
        device=device.device_kind,
        platform=device.platform,
        parameters=transformer.parameter_count(case.shape),
        kv_predicted_bytes=predict.kv_bytes(case),
    )
    _check_memory(case, device)
    buckets = {tokens: _bucket(case, tokens) for tokens in job.positions}

    stage("compile")
    wanted: dict[int | None, dict[str, ProgramSource]] = {None: sources(case, names(case))}
    wanted.update((tokens, sources(bucket, CURVE)) for tokens, bucket in buckets.items())
    built, *compiling = build({(of, name): source for of, some in wanted.items() for name, source in some.items()})
    record.update(zip(("lower_s", "compile_s", "cache_hit"), compiling, strict=True))
    programs = {of: {name: built[of, name] for name in some} for of, some in wanted.items()}
    ready = programs[None]

    peak = _peak_memory(device)
    given = inputs(case, _weights(case.shape))
    record["routing_entropy"] = _routing_entropy(case.shape, given)
    state = start(case, ready, given)
    record.update(_step_checks(ready["decode_step"], state))
    whole = ready["prefill"]
    record.update(prefill_xla_flops=whole.flops, prefill_xla_bytes=whole.bytes_accessed)
    record["prefill_model_flops"] = predict.prefill_flops(case)
    if case.cache == "none":
        stage("compare tokens")
        found = agreement(case, ready["decode_step"], given)
        record.update(tokens_compared=found.tokens, tokens_equal=found.equal)

    stage("probe")
    working_set = predict.step_bytes(case, case.prompt)
    record["bandwidth_before_gbs"] = probe.read_bandwidth(working_set).gbs
    record["matmul_gflops"] = probe.matmul_peak(case.shape.dtype)
    share = probe.cpu_share()
    state, record["settled"] = _sample_all(case, ready, given, state, job.budget, stage, samples)
    stage("probe")
    record["bandwidth_after_gbs"] = probe.read_bandwidth(working_set).gbs
    record["cpu_share"] = min(share, probe.cpu_share())
    record["peak_memory_bytes"] = _raised(peak, _peak_memory(device))
    del state
    record.update(_figures(samples))
    record.update(_against_the_machine(case, record, samples))

    if job.positions:
        stage("curve")
        _sample_curve(buckets, programs, given.weights, job.budget, samples)
        record["curve"] = [_point(tokens, samples[f"curve_{tokens}"]) for tokens in buckets]


def _bucket(case: Case, tokens: int) -> Case:
    """The case whose last step has exactly ``tokens`` tokens in a cache of that length, its own one included."""
    if not 2 <= tokens <= case.shape.context:
        raise InputError(f"positions: {tokens} is not between 2 and the context of {case.shape.context}")
    return replace(case, length=tokens, prompt=tokens - 1)


def _check_memory(case: Case, device: jax.Device) -> None:
    """Raise MemoryError for what cannot fit into the machine, which an attempt would bring down."""
    needed, there = predict.weight_bytes(case.shape) + predict.kv_bytes(case), memory_bytes()
    if device.platform == "cpu" and there is not None and needed > there:
        raise MemoryError(f"weights and cache need {format_bytes(needed)}, the machine has {format_bytes(there)}")


def _weights(shape: TransformerShape) -> Weights:
    """Weights of ``shape``, kept until another shape's are asked for."""
    if shape not in _weights_of:
        _weights_of.clear()
        _weights_of[shape] = init_weights(shape)
    return _weights_of[shape]


def _step_checks(step: Program, state: GenerationState) -> Record:
    """What XLA says of the decode step, and whether it writes all of the cache where it is."""
    measured = sum(cache_bytes(cache) for cache in state.cache)
    in_place = step.alias_bytes >= measured if state.cache else None
    return {
        "kv_measured_bytes": measured,
        "donated": in_place,
        "status": "not_in_place" if in_place is False else "ok",
        "temp_bytes": step.temp_bytes,
        "xla_flops": step.flops,
        "xla_bytes": step.bytes_accessed,
    }


def _routing_entropy(shape: TransformerShape, given: Inputs) -> float | None:
    if not shape.experts:
        return None
    counts = jax.jit(functools.partial(transformer.routing, shape))(given.weights, given.prompt)
    return exact.fmean(entropy_bits(layer) for layer in counts.tolist())


def _sample_all(
    case: Case,
    ready: Mapping[str, Program],
    given: Inputs,
    state: GenerationState,
    budget: TimeBudget,
    stage: StageListener,
    samples: Samples,
) -> tuple[GenerationState, bool]:
    """Warm every series up, then sample them in turn, there and back, so that a drift meets all of them alike."""
    ways = advances(case, ready, given, state)
    steady = []
    stage("warm up")
    for advance in ways.values():
        state, settled = warm_up(advance, state, budget)
        steady.append(settled)
    for name, group in itertools.groupby([*ways, *reversed(ways)], STAGES.__getitem__):
        stage(name)
        for way in group:
            state, calls, positions = collect(ways[way], state, budget, share=2)
            for series, ms in zip(SERIES[way], zip(*calls, strict=True), strict=True):
                samples.setdefault(series, []).extend(ms)
            if name == "decode":
                samples.setdefault(f"{way}_positions", []).extend(positions)
    return state, all(steady)


def _sample_curve(
    buckets: Mapping[int, Case],
    programs: Mapping[int | None, Mapping[str, Program]],
    weights: Weights,
    budget: TimeBudget,
    samples: Samples,
) -> None:
    """The points there and back; one cache is in memory at a time."""
    for tokens in [*buckets, *reversed(list(buckets))]:
        bucket, ready = buckets[tokens], programs[tokens]
        given = inputs(bucket, weights)
        state = start(bucket, ready, given)
        step = advances(bucket, ready, given, state)["decode_step"]
        state, _ = warm_up(step, state, budget)
        state, calls, _ = collect(step, state, budget, share=2)
        samples.setdefault(f"curve_{tokens}", []).extend(ms for (ms,) in calls)
        del state


def _point(tokens: int, ms: list[float]) -> Record:
    found = summary(ms)
    return {"position": tokens, "p20": found.p20, "p50": found.p50, "p80": found.p80, "n": found.n}


def _figures(samples: Samples) -> Record:
    return {
        f"{series}_ms_{figure}": value
        for series in FIGURES
        for figure, value in summary(samples.get(series, []))._asdict().items()
    }


def _against_the_machine(case: Case, record: Record, samples: Samples) -> Record:
    """How near the step comes to reading its bytes at full speed, and the prefill to the machine's matrix products."""
    position = exact.median_low(map(int, samples["decode_step_positions"]))
    floor_bytes = predict.step_bytes(case, position)
    floor_ms = floor_bytes / max(record["bandwidth_before_gbs"], record["bandwidth_after_gbs"]) / 1e6
    prefill_gflops = predict.prefill_flops(case) / record["prefill_ms_p50"] / 1e6
    return {
        "model_flops": predict.step_flops(case, position),
        "floor_bytes": floor_bytes,
        "floor_ms": floor_ms,
        "floor_ratio": record["decode_step_ms_p50"] / floor_ms,
        "mfu": prefill_gflops / record["matmul_gflops"],
        "tokens_per_second": case.batch * 1000 / record["decode_step_ms_p50"],
    }


def _peak_memory(device: jax.Device) -> int | None:
    return (device.memory_stats() or {}).get("peak_bytes_in_use")


def _raised(before: int | None, after: int | None) -> int | None:
    """The later peak, where it is this job's: devices remember their highest for good."""
    return after if after is not None and after > (before or 0) else None
