"""The figures of stored runs: every group of a sweep, or the curves of a decode comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvtui.bench import store, trained
from kvtui.bench.training import runs as training_runs
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text
from kvtui.engine.basis.json_object import parse_object
from kvtui.engine.basis.places import DATA
from kvtui.engine.basis.untrusted import plain
from kvtui.figures import decode, files, quality, sweep, training
from kvtui.figures.catalogue import CatalogueFigure, RunTable
from kvtui.figures.figure import Figure
from kvtui.figures.replay import is_replay

BUNDLED_REPLAY = Path(DATA, "replay.json")

RESULTS = "results.json", "sharded.json"
"""What a benchmark of ensembles, or of sharded decode, leaves in its folder."""


def figures_of(run: store.StoredRun) -> dict[str, Figure]:
    """Every figure of ``run``, by id; those that its rows say nothing of have no panels."""
    if run.about.get("what") == "decode":
        return {"decode": decode.panels(decode.results_of(run.rows, run.measured))}
    return sweep.every(run.rows)


def read(folder: Path) -> dict[str, Figure]:
    """The figures of the run in ``folder``, or of the newest sweep and the newest decode comparison of the runs there.

    Of training runs these are their curves; tables of trained models have theirs. Raises InputError when there is none,
    or it cannot be read, or nothing has been measured yet.
    """
    shown = plain(str(folder))
    if training_runs.are_in(folder):
        curves = training.curves(_curves(folder, folder))
        return {curves.id: curves}
    for name in RESULTS:
        if (folder / name).is_file():
            return files.read(folder / name)
    figures = _trained(folder)
    try:
        runs = [store.read(path) for path in store.newest_of_each_kind(folder)]
    except OSError as error:
        raise InputError(f"{shown}: {error.strerror or 'cannot be read'}") from None
    except InputError:
        if not figures:
            raise
        return figures
    for run in runs:
        figures |= figures_of(run) if run.rows else {}
    if not figures:
        raise InputError(f"{shown}: no measured rows yet")
    return figures


def newest(entry: CatalogueFigure) -> Figure:
    """The figure of ``entry``, which needs no run: of one's own trained models where there are, else of the bundled."""
    return entry.function(measured(entry.reads, None, Path(store.OUT)))


def are_bundled(reads: RunTable, out: Path) -> bool:
    """Whether a figure of trained models would be drawn from those that came with kvtui, for want of any in ``out``."""
    if reads == "curves":
        return not training_runs.are_in(training_runs.OUT)
    return not (out / (trained.RESULTS if reads == "trained" else trained.BATCHES)).is_file()


def measured(reads: RunTable, run: Path | None, out: Path) -> Any:
    """What a figure that ``reads`` such a table is drawn from: of ``run``, or of the newest run of its kind in ``out``.

    That is the run's rows, for "decode" its results by variant, and nothing where there is no such run. Raises
    InputError for a run that cannot be read. Of trained models the rows are those that came with kvtui until there are
    others, and so it is of a replay's document.
    """
    if reads in ("trained", "batches"):
        return _trained_rows(reads, out if run is None else run)
    if reads == "curves":
        return _curves(run, training_runs.OUT)
    if reads == "replay":
        return _replayed(out if run is None else run)
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


def _replayed(place: Path) -> Mapping[str, Any]:
    """The newest document of a replay in the folder ``place`` (``replay*.json``), or the one that came with kvtui.

    The latter has a true "bundled".
    """
    own = sorted(place.glob("replay*.json"), key=lambda path: path.stat().st_mtime) if place.is_dir() else []
    for path in reversed(own):
        found = parse_object(read_text(path, files.MOST_BYTES), plain(str(path)))
        if is_replay(found):
            return found
    return {**parse_object(read_text(BUNDLED_REPLAY, files.MOST_BYTES), BUNDLED_REPLAY.name), "bundled": True}


def _trained_rows(reads: RunTable, place: Path) -> list[dict[str, Any]]:
    """The rows of "trained" or "batches" in the file or folder ``place``, or those that came with kvtui.

    The latter have a true column "bundled".
    """
    name = trained.RESULTS if reads == "trained" else trained.BATCHES
    rows = trained.read_rows(place / name if place.is_dir() else place)
    return rows or [{**row, "bundled": True} for row in trained.read_rows(trained.BUNDLED / name)]


def _trained(folder: Path) -> dict[str, Figure]:
    """The figures of the tables of trained models in ``folder``, none where there are no such tables."""
    rows, batches = (trained.read_rows(folder / name) for name in (trained.RESULTS, trained.BATCHES))
    found = {id: make(rows) for id, make in quality.TRAINED.items()} if rows else {}
    return found | ({id: make(batches) for id, make in quality.BATCHES.items()} if batches else {})


def _curves(run: Path | None, out: Path) -> training.Logs:
    """The logs of the training run ``run``, else of those in ``out``, else of those that came with kvtui."""
    folders = (run, out, training_runs.BUNDLED)
    folder = next((one for one in folders if one is not None and training_runs.are_in(one)), None)
    found = [] if folder is None else training_runs.runs_in(folder)
    mark = " (bundled)" if folder == training_runs.BUNDLED else ""
    return {one.name + mark: one.log() for one in found}
