"""Runs of ``kvtui bench`` as pandas tables, for a notebook or a script of your own.

from kvtui import results

runs = results.read("results")
results.beside(runs, "decode_step_ms_p50", across="run")
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import pandas as pd

from kvtui.bench import store
from kvtui.cases.table import COLUMNS
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

OF_RUN = ("run",)
"""The columns that stand before those of the sweep's table."""


def read(*paths: str | PathLike[str]) -> pd.DataFrame:
    """The rows of the runs at ``paths``, one below the other: of run folders, of folders of runs, of their CSV files.

    ``run`` is the name of a run's folder (its whole path where two are called alike). The other columns are those of
    ``inference_sweep.csv``, among them ``host``, ``machine`` (the accelerator, or the processor with its cores) and
    ``device``: times in ms, ``…_bytes`` as exact integers, ``…_mb`` in 10**6 bytes.
    What a row does not have is missing (``pd.NA``), never zero: a case that failed has a ``status`` and no times.

    Raises InputError for a path at which there is no run, or one that cannot be read.
    """
    runs = [_read(run) for path in paths for run in _runs(Path(path))]
    names = [_name(run) for run in runs]
    parts = [
        pd.DataFrame(run.rows, columns=list(COLUMNS)).assign(run=name if names.count(name) == 1 else str(run.folder))
        for name, run in zip(names, runs, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*OF_RUN, *COLUMNS])
    return table[[*OF_RUN, *COLUMNS]].convert_dtypes()


def beside(rows: pd.DataFrame, value: str, across: str = "run", by: Sequence[str] = ("group", "label")) -> pd.DataFrame:
    """The column ``value`` of several runs side by side: a row for each ``by``, a column for each of ``across``.

    Where repeats or runs fall together, their median; what one of them does not have is missing. ``across="attn_type",
    by=["batch_size"]`` puts attention variants side by side for every batch.

    Raises InputError for a column that the table does not have.
    """
    for name in (value, across, *by):
        if name not in rows.columns:
            raise InputError(f"{plain(name)}: not a column of the table")
    return rows.groupby([*by, across], sort=False)[value].median().unstack(across)


def _name(run: store.StoredRun) -> str:
    table = run.folder.name == store.CSV
    return run.folder.resolve().parent.name if table else run.folder.name


def _runs(path: Path) -> Iterable[Path]:
    """``path`` itself if it is a run, else the runs in it, oldest first."""
    if store.is_run(path):
        return (path,)
    found = [folder for folder, _ in reversed(store.runs_in(path))]
    if not found:
        raise InputError(f"{plain(str(path))}: no run is there")
    return found


def _read(path: Path) -> store.StoredRun:
    try:
        return store.read(path)
    except OSError as error:
        raise InputError(f"{plain(str(path))}: {plain(error.strerror or str(error))}") from None
