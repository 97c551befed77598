"""The figures of stored runs: every group of a sweep, or the curves of a decode comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kvtui.bench import store
from kvtui.bench.training import runs as training_runs
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.figures import decode, sweep, training
from kvtui.figures.catalogue import RunTable
from kvtui.figures.figure import Figure


def figures_of(run: store.StoredRun) -> dict[str, Figure]:
    """Every figure of ``run``, by id; those that its rows say nothing of have no panels."""
    if run.about.get("what") == "decode":
        return {"decode": decode.panels(decode.results_of(run.rows, run.measured))}
    return sweep.every(run.rows)


def read(folder: Path) -> dict[str, Figure]:
    """The figures of the run in ``folder``, or of the newest sweep and the newest decode comparison of the runs there.

    Of training runs these are their curves. Raises InputError when there is none, or it cannot be read,
    or nothing has been measured yet.
    """
    shown = plain(str(folder))
    if training_runs.are_in(folder):
        curves = training.curves({run.name: run.log() for run in training_runs.runs_in(folder)})
        return {curves.id: curves}
    try:
        runs = [store.read(path) for path in store.newest_of_each_kind(folder)]
    except OSError as error:
        raise InputError(f"{shown}: {error.strerror or 'cannot be read'}") from None
    figures: dict[str, Figure] = {}
    for run in runs:
        figures |= figures_of(run) if run.rows else {}
    if not figures:
        raise InputError(f"{shown}: no measured rows yet")
    return figures


def measured(reads: RunTable, run: Path | None, out: Path) -> Any:
    """What a figure that ``reads`` such a table is drawn from: of ``run``, or of the newest run of its kind in ``out``.

    That is the run's rows, for "decode" its results by variant, and nothing where there is no such run. Raises
    InputError for a run that cannot be read.
    """
    if run is None and reads in ("decode", "sweep"):
        kinds = ((path, about.get("what") or "sweep") for path, about in store.runs_in(out))
        run = next((path for path, kind in kinds if kind == reads), None)
    if run is None:
        return {} if reads == "decode" else []
    try:
        found = store.read(run)
    except OSError as error:
        raise InputError(f"run: {plain(str(run))}: {plain(error.strerror or str(error))}") from None
    return decode.results_of(found.rows, found.measured) if reads == "decode" else found.rows
