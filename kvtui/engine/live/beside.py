"""A running server beside the plan of the same server: what its labels tell is read as the log of its start.

The model is found in the catalogue by the name that it is served under; nothing that a server names is opened. Where a
server tells its blocks, but not their bytes, the planner's bytes of a block give the memory of the pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.bootlog.observed import BootLog, Size
from kvtui.engine.engines.known import ENGINES
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.live.names import TITLES
from kvtui.engine.live.snapshot import Snapshot
from kvtui.engine.model.catalogue import model_names
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.serve import serve
from kvtui.engine.reconcile.names import logged_model
from kvtui.engine.reconcile.reconcile import reconcile
from kvtui.engine.reconcile.start import start_of
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import Values
from kvtui.engine.serving.comparison import Component, exact_count
from kvtui.engine.sources.load import load_model

GB = 10**9
APART = "another number of slots, another context, or slots that share one pool"
_LABELS = {"gpu_memory_utilization": "gpu_memory_utilization", "block_size": "block_size"}


@dataclass(frozen=True)
class PlanBeside:
    """The plan of a running server: its ``scenario`` and ``serving``, and the figures of both side by side.

    ``known_device`` says whether the device is more than a default: without it, the pool is the server's own.
    ``measured`` is what the server was seen to keep beside its cache.
    """

    scenario: Scenario
    serving: Serving
    rows: tuple[Component, ...]
    known_device: bool
    measured: Overheads
    notes: tuple[str, ...]


def plan_beside(snapshot: Snapshot, given: Values) -> PlanBeside:
    """The plan of the server in ``snapshot``; the options ``given``, by key, override what it tells.

    Raises InputError where its engine has no plan, its model is in no catalogue, or an option contradicts another.
    """
    if snapshot.engine not in ENGINES[1:]:
        title = TITLES.get(snapshot.engine, "an unknown server")
        raise InputError(f"plan: there is none of {title}: it does not tell how it allocates")
    told = {key: value for key, value in given.items() if value is not None}
    model = _model(snapshot, told)
    log = _log(snapshot)
    start = start_of(log, told, model, guess_device=False)
    if snapshot.engine == "llama.cpp":
        return _slots_beside(snapshot, start.scenario, start.known_device, start.notes)
    pool = None if {"kv_pool", "gpu"} & set(told) and "profile" in told else _pool_bytes(snapshot, start.scenario)
    if pool is not None:
        log = replace(log, sizes={**log.sizes, "pool": {"": Size(pool, 0)}})
    found = reconcile(log, {**told, "model": told.get("model") or model.name})
    return PlanBeside(
        found.scenario,
        found.serving,
        _told_apart(found.rows),
        found.known_device,
        found.measured,
        tuple(note.replace("the log", "the server") for note in found.notes),
    )


def _model(snapshot: Snapshot, told: Mapping[str, str | bool]) -> ModelSpec:
    if "model" in told:
        return load_model(str(told["model"]))
    found = logged_model(snapshot.model) if snapshot.model else None
    if found is None:
        unknown = UnknownName("model", snapshot.model or "without a name", model_names())
        raise InputError(f"plan: {unknown}; --model says which it is")
    return found


def _log(snapshot: Snapshot) -> BootLog:
    """What the server tells, in the form of a log of its start."""
    config, pool = snapshot.config, (snapshot.ranks[0].pool if snapshot.ranks else snapshot.pool)
    options: dict[str, str | bool] = {key: config[name] for name, key in _LABELS.items() if config.get(name)}
    if snapshot.context:
        options["context"] = str(snapshot.context)
    if snapshot.most_running:
        options["max_seqs" if snapshot.engine != "llama.cpp" else "batch"] = str(snapshot.most_running)
    if snapshot.step_tokens:
        options["max_batched_tokens"] = str(snapshot.step_tokens)
    if len(snapshot.ranks) > 1:
        options["dp"] = str(len(snapshot.ranks))
    for name, key in (("tp_size", "tp"), ("pp_size", "pp")):
        if config.get(name, "").isdecimal():
            options[key] = config[name]
    if config.get("mem_fraction_static"):
        options["gpu_memory_utilization"] = config["mem_fraction_static"]
    cache = config.get("cache_dtype") or config.get("kv_cache_dtype") or "auto"
    if cache != "auto":
        options["kv_dtype"] = cache
    if config.get("enable_prefix_caching") in ("True", "False"):
        options["prefix_caching"] = config["enable_prefix_caching"] == "True"
    counts = {"blocks": _with_null(pool.size, pool.null), "kv_cache_tokens": pool.tokens}
    words = {"model": snapshot.model, "version": snapshot.release, "file_type": config.get("model_ftype", "")}
    ratios = {}
    if config.get("kv_cache_max_concurrency"):
        with suppress(ValueError, OverflowError):
            ratios["max_concurrency"] = Fraction(round(float(config["kv_cache_max_concurrency"]) * 100), 100)
    return BootLog(
        engine=snapshot.engine,
        options=options,
        sizes=_sizes(snapshot),
        counts={key: value for key, value in counts.items() if value is not None},
        ratios=ratios,
        words={key: word for key, word in words.items() if word},
        buffers=(),
        starts=1,
        missing=(),
    )


def _sizes(snapshot: Snapshot) -> dict[str, dict[str, Size]]:
    """Memory that SGLang tells, in GB of two digits."""
    gauges = snapshot.ranks[0].gauges if snapshot.ranks else {}
    names = {"weights_gb": "weights", "graphs_gb": "graphs"}
    return {to: {"": Size(round(gauges[name] * GB), GB // 200)} for name, to in names.items() if name in gauges}


def _with_null(size: int | None, null: int) -> int | None:
    return None if size is None else size + null


def _pool_bytes(snapshot: Snapshot, scenario: Scenario) -> int | None:
    """The memory of the pool that the server has: its blocks, in the bytes of a block that the planner says."""
    pool = snapshot.ranks[0].pool if snapshot.ranks else snapshot.pool
    try:
        planned = serve(scenario._replace(kv_pool=scenario.kv_pool or 2**40))
    except InputError:
        return None
    if planned is None or pool.size is None:
        return None
    if pool.unit == "block" and planned.bytes_per_block is not None:
        return (pool.size + pool.null) * planned.bytes_per_block
    return None


def _told_apart(rows: tuple[Component, ...]) -> tuple[Component, ...]:
    """``rows`` without the terms of a budget that a running server does not tell."""
    return tuple(row for row in rows if row.observed is not None)


def _slots_beside(snapshot: Snapshot, scenario: Scenario, known: bool, notes: tuple[str, ...]) -> PlanBeside:
    """llama.cpp: the cells of the planned cache beside those of the slots, where their pool is known."""
    pool = snapshot.pool
    slots = snapshot.ranks[0].slots if snapshot.ranks else ()
    whole = pool.size or max((slot.limit for slot in slots), default=0)
    if whole:
        scenario = scenario._replace(context=whole, batch=len(slots))
    planned = serve(scenario)
    assert planned is not None
    rows = []
    if pool.size is not None:
        rows.append(exact_count("kv_cache_tokens", "cells", "cells", planned.kv_cache_tokens, pool.size, APART))
    return PlanBeside(scenario, planned, tuple(rows), known, Overheads(""), notes)
