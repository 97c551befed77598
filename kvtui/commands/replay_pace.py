"""``kvtui replay --pace``: how long steps take, as a benchmark run measured it or as a watched server showed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from kvtui.cases.table import Measured
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.replay.costs import StepCosts, costs_of
from kvtui.engine.scenario.scenario import Scenario


def pace_of(name: str | None, scenario: Scenario) -> StepCosts | None:
    """The costs in the recording ``name`` (JSON lines, of ``kvtui watch --record``), or in a run of ``kvtui bench``.

    None stands for the roofline.
    Raises InputError for what is neither, for a run of another device than the scenario's, and OSError for what cannot
    be read.
    """
    if name is None:
        return None
    if name.casefold().endswith(".jsonl"):
        from kvtui.attach.opening import snapshots_of
        from kvtui.engine.live.steps import seen_steps

        return costs_of(seen_steps(snapshots_of(name)), plain(Path(name).name))
    from kvtui.bench import bandwidth, store

    run = store.read(store.find_run(Path(name)))
    source = plain(run.folder.name)
    reason = bandwidth.not_of(run, scenario.device)
    if reason:
        raise InputError(f"--pace: {source}: {reason}")
    rate = bandwidth.offered(run)
    operations = [found for one in run.measured if (found := _operations(one.record)) is not None]
    if rate is None or not operations:
        raise InputError(f"--pace: {source}: says neither how fast memory was read nor how fast a prompt was computed")
    fast, slow = (_scatter(run.measured, end) for end in ("p20", "p80"))
    return StepCosts(source, byte=1 / (rate.gbs * 1e9), operation=1 / max(operations), fast=fast, slow=slow)


def _operations(record: Mapping[str, Any]) -> float | None:
    """Operations per second of the prompt that a case computed."""
    work, took = record.get("prefill_model_flops"), record.get("prefill_ms_p50")
    return work / took * 1e3 if work and took else None


def _scatter(measured: Sequence[Measured], end: str) -> float:
    """How far a decode step is from its median at one end, in the middle of all cases."""
    found = [
        one.record[f"decode_step_ms_{end}"] / one.record["decode_step_ms_p50"]
        for one in measured
        if one.record.get(f"decode_step_ms_{end}") and one.record.get("decode_step_ms_p50")
    ]
    return median(found) if found else 1.0
