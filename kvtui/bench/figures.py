"""The figures of stored runs: every group of a sweep, or the curves of a decode comparison."""

from __future__ import annotations

from pathlib import Path

from kvtui.bench import store
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.figures import decode, sweep
from kvtui.figures.figure import Figure


def figures_of(run: store.Stored) -> dict[str, Figure]:
    """Every figure of ``run``, by id; those that its rows say nothing of have no panels."""
    if run.about.get("what") == "decode":
        return {"decode": decode.panels(decode.results_of(run.rows, run.measured))}
    return sweep.every(run.rows)


def read(folder: Path) -> dict[str, Figure]:
    """The figures of the run in ``folder``, or of the newest sweep and the newest decode comparison of the runs there.

    Raises InputError when there is none, or it cannot be read, or nothing has been measured yet.
    """
    shown = plain(str(folder))
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
