"""The folder of a training run: ``config.json``, ``log.csv``, ``weights.safetensors`` and ``summary.json``.

While a run is under way its folder has ``checkpoint.safetensors`` instead of the last two: weights and optimizer after
some step, from which it goes on exactly as it would have. Every file appears whole or not at all, but for the log,
which grows line by line; lines beyond the checkpoint are dropped when a run goes on.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from kvtui.cases.training import TrainingPlan
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text, write_whole
from kvtui.engine.basis.json_object import parse_object
from kvtui.engine.basis.places import DATA
from kvtui.engine.basis.untrusted import plain

CONFIG, LOG, SUMMARY = "config.json", "log.csv", "summary.json"
WEIGHTS, CHECKPOINT = "weights.safetensors", "checkpoint.safetensors"
OUT = Path("runs")
"""The folder of training runs where no other is named."""
BUNDLED = Path(DATA, "runs")
"""The runs that come with kvtui."""

LOG_COLUMNS = ("step", "loss", "val_loss", "learning_rate", "tokens_per_s", "seconds")
MOST_BYTES = 2**26
MOST_RUNS = 5000

LogRow = Mapping[str, float | None]


@dataclass(frozen=True)
class TrainingRun:
    """A run as its folder has it. ``files`` were its text, none for the built-in; no ``summary``: it is unfinished."""

    folder: Path
    plan: TrainingPlan
    files: tuple[Path, ...]
    summary: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    def log(self) -> list[dict[str, float | None]]:
        """The lines of the log. Raises InputError for one that is none."""
        return read_log(self.folder / LOG)


def read_run(folder: Path) -> TrainingRun:
    """The run in ``folder``. Raises InputError, one line, where there is none or it cannot be read."""
    shown = plain(str(folder))
    try:
        text = read_text(folder / CONFIG, MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{shown}: no training run; kvtui train makes one") from None
    values = parse_object(text, f"{shown}: {CONFIG}")
    plan, files = values.get("plan"), values.get("files", [])
    if not isinstance(plan, dict) or not isinstance(files, list) or not all(isinstance(one, str) for one in files):
        raise InputError(f"{shown}: {CONFIG}: not that of a training run")
    try:
        summary = parse_object(read_text(folder / SUMMARY, MOST_BYTES), f"{shown}: {SUMMARY}")
    except FileNotFoundError:
        summary = None
    try:
        return TrainingRun(folder, TrainingPlan.from_json(plan), tuple(map(Path, files)), summary)
    except InputError as error:
        raise InputError(f"{shown}: {CONFIG}: {error}") from None


def are_in(folder: Path) -> bool:
    """Whether ``folder`` is a training run, or holds some."""
    try:
        return (folder / CONFIG).is_file() or next(folder.glob(f"*/{CONFIG}"), None) is not None
    except OSError:
        return False


def runs_in(folder: Path) -> list[TrainingRun]:
    """Every run in ``folder``, by name; it may be a run itself.

    Raises InputError where there is none, or one cannot be read.
    """
    if (folder / CONFIG).is_file():
        return [read_run(folder)]
    try:
        found = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    except OSError:
        found = []
    if not found:
        raise InputError(f"{plain(str(folder))}: no training runs; kvtui train makes them")
    return [read_run(path) for path in found[:MOST_RUNS]]


def begin(folder: Path, plan: TrainingPlan, files: Sequence[Path], about: Mapping[str, Any]) -> None:
    """Make the folder of a new run. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {"plan": plan.to_json(), "files": [str(path) for path in files], **about}
    write_whole(folder / CONFIG, json.dumps(values, indent=1) + "\n")


def keep_log(path: Path, rows: Iterable[LogRow]) -> None:
    """Write a whole log. Raises OSError."""
    write_whole(path, ",".join(LOG_COLUMNS) + "\n" + "".join(map(log_line, rows)))


def log_line(row: LogRow) -> str:
    """A line of the log; what a step does not have is empty."""
    cells = ("" if (value := row.get(name)) is None else f"{value:.6g}" for name in LOG_COLUMNS)
    return ",".join(cells) + "\n"


def read_log(path: Path) -> list[dict[str, float | None]]:
    """The lines of the log at ``path``, none where there is no log; a torn last line is left out.

    Raises InputError for another file.
    """
    shown = plain(str(path))
    try:
        text = read_text(path, MOST_BYTES)
    except FileNotFoundError:
        return []
    lines = list(csv.reader(StringIO(text[: text.rfind("\n") + 1])))
    if not lines or tuple(lines[0]) != LOG_COLUMNS:
        raise InputError(f"{shown}: is not the log of a training run")
    rows = []
    for number, cells in enumerate(lines[1:], 2):
        try:
            rows.append(dict(zip(LOG_COLUMNS, (float(c) if c else None for c in cells), strict=True)))
        except ValueError:
            raise InputError(f"{shown}: line {number}: is not a line of a training log") from None
    return rows
