"""Where a run is kept: a dated folder that is complete up to the last measured case at every moment.

``run.json`` says what was asked, where and when, with every case; of a run on a cluster all of its ``hosts``.
``samples.jsonl`` has one line per measured case, its record and raw samples; it is the truth that a run is resumed
from. ``inference_sweep.csv`` is the same as a table, one line per row of the sweep: the 28 columns of a published sweep
of attention variants, under their own names, then ours.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import IO, Any, Self

from kvtui.bench.host import host_differences
from kvtui.bench.runner import Outcome
from kvtui.cases import table_csv
from kvtui.cases.case import Case
from kvtui.cases.protocol import PASSING, Job
from kvtui.cases.sweep import Sweep, repeat_of
from kvtui.cases.table import ColumnValues, Measured, sharing, table_row, table_rows
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_limited, read_text, write_whole
from kvtui.engine.basis.untrusted import plain

SCHEMA = 1
OUT = "results"
"""The folder of runs where no other is named."""

MOST_RUNS = 500

RUN, CSV, SAMPLES = "run.json", "inference_sweep.csv", "samples.jsonl"
MOST_ABOUT_BYTES, MOST_SAMPLE_BYTES = 2**28, 2**34


@dataclass(frozen=True)
class StoredRun:
    """A run as it was read: its ``folder`` or file, ``about`` (run.json), table ``rows``, and what was ``measured``."""

    folder: Path
    about: ColumnValues
    rows: list[ColumnValues]
    measured: list[Measured]

    @property
    def host(self) -> Mapping[str, Any]:
        """What the worker said of the machine; empty for a foreign file, and where several measured."""
        hosts = self.about.get("hosts")
        host = self.about.get("host") if hosts is None else hosts[0] if _is_one(hosts) else None
        return host if isinstance(host, dict) else {}


class Writer:
    """Appends to a run's folder, one case at a time; each is on the disk before ``add`` returns."""

    def __init__(self, folder: Path, about: ColumnValues) -> None:
        self.folder, self.about, self.sweep = folder, about, _sweep_of(about)
        self._shared = sharing(self.sweep)
        self._samples = (folder / SAMPLES).open("a", encoding="utf-8", newline="\n")
        try:
            _lock(self._samples, folder)
            _cut_torn_line(folder / SAMPLES)
            self.measured = _read_measured(folder / SAMPLES, about)
        except BaseException:
            self._samples.close()
            raise
        self._write_about()
        self._write_table()
        self._table = (folder / CSV).open("a", encoding="utf-8", newline="")

    @classmethod
    def begin(cls, out: Path, sweep: Sweep, about: Mapping[str, Any]) -> Self:
        """A new run in a new folder of ``out``; ``about`` says what was asked. Raises OSError."""
        values = {"schema": SCHEMA, **about, "started": now(), "finished": None, "host": None}
        return cls(new_folder(out), {**values, "sweep": sweep.to_json()})

    @classmethod
    def again(cls, folder: Path) -> Self:
        """Go on with the run in ``folder``; a last line that was cut off is dropped.

        Raises InputError when it is not a run's folder, or someone else is writing it.
        """
        return cls(folder, _read_about(folder))

    @property
    def jobs_left(self) -> list[Job]:
        """Jobs of the sweep that have no line yet, or failed for a reason that can pass, in order."""
        done = {(one.case, one.repeat) for one in self.measured if one.record["status"] not in PASSING}
        return [job for job in self.sweep.jobs if (job.case.key, repeat_of(job)) not in done]

    def host(self, host: Mapping[str, Any]) -> None:
        """Note a machine that measures.

        Raises InputError if the run was begun on another, or in another state, and is not one of many machines.
        """
        hosts = self.about.get("hosts")
        if isinstance(hosts, list):
            hosts.append(dict(host))
            self._write_about()
            return
        known = self.about.get("host")
        if isinstance(known, dict):
            for name, begun, here in host_differences(known, host):
                raise InputError(f"{name}: the run was begun with {plain(str(begun))}, here it is {plain(str(here))}")
            return
        self.about["host"] = dict(host)
        self._write_about()

    def add(self, outcome: Outcome) -> list[ColumnValues]:
        """Store what a job measured; gives the table lines that came of it."""
        one = Measured(outcome.job.case.key, repeat_of(outcome.job), outcome.record, outcome.samples)
        _append(self._samples, json.dumps(one._asdict(), ensure_ascii=False, separators=(",", ":")) + "\n")
        before = len(self.measured)
        self.measured = [old for old in self.measured if old[:2] != one[:2]]
        tried_before = len(self.measured) < before
        self.measured.append(one)
        rows = [
            table_row(row, one.repeat, one.record, self._shared[one.case])
            for row in self.sweep.rows
            if row.case.key == one.case
        ]
        if tried_before:
            self._table.close()
            self._write_table()
            self._table = (self.folder / CSV).open("a", encoding="utf-8", newline="")
        else:
            _append(self._table, table_csv.write(rows, heading=False))
        return rows

    def close(self, finished: bool) -> None:
        """Put the table into the sweep's order, and say in run.json when the run was ``finished``.

        It is not while some of its cases are left, to be tried again. A run in which nothing was measured leaves
        nothing behind.
        """
        self._table.close()
        self._write_table()
        if finished and not self.jobs_left:
            self.about["finished"] = now()
            self._write_about()
        self._samples.close()
        if not self.measured:
            self._remove()

    def _remove(self) -> None:
        for name in (RUN, CSV, SAMPLES):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _write_about(self) -> None:
        write_whole(self.folder / RUN, json.dumps(self.about, indent=1, ensure_ascii=False) + "\n")

    def _write_table(self) -> None:
        rows = table_rows(self.sweep, self.measured)
        write_whole(self.folder / CSV, table_csv.write(rows))


def _is_one(hosts: object) -> bool:
    """Whether all of ``hosts`` are one machine in one state."""
    if not isinstance(hosts, list) or not hosts or not all(isinstance(host, dict) for host in hosts):
        return False
    return not any(host_differences(hosts[0], host) for host in hosts)


def read(path: Path) -> StoredRun:
    """The run in a folder, or of a CSV file with at least the columns of the published sweep; also of one under way.

    Raises InputError when it is neither, naming what is wrong, and OSError when it cannot be read.
    """
    if path.is_dir() and (path / RUN).is_file():
        about = _read_about(path)
        sweep = _sweep_of(about)
        measured = _read_measured(path / SAMPLES, about)
        return StoredRun(path, about, table_rows(sweep, measured), measured)
    table = path / CSV if path.is_dir() else path
    if path.is_dir() and not table.is_file():
        raise InputError(f"{plain(str(path))}: neither {RUN} nor {CSV} is there")
    return StoredRun(path, {}, table_csv.read(table), [])


def is_run(path: Path) -> bool:
    """Whether ``path`` is a run's folder or a file, and not a folder of runs."""
    return path.is_file() or (path / RUN).is_file() or (path / CSV).is_file()


def find_run(path: Path, unfinished: bool = False) -> Path:
    """``path`` itself when it is a run or a CSV file, else the newest run in it, or the newest ``unfinished`` one.

    Raises InputError when there is none.
    """
    if is_run(path):
        return path
    for run in _newest_first(path):
        if not unfinished or _read_about(run).get("finished") is None:
            return run
    raise InputError(f"{plain(str(path))}: no {'unfinished ' if unfinished else ''}run is there")


def runs_in(out: Path) -> tuple[tuple[Path, ColumnValues], ...]:
    """The folders of runs in ``out`` with their run.json, newest first; what cannot be read is left out."""
    found = []
    for path in out.glob(f"*/{RUN}"):
        try:
            about = json.loads(read_text(path, MOST_ABOUT_BYTES))
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(about, dict) and about.get("schema") == SCHEMA:
            found.append((path.parent, about))
    found.sort(key=lambda run: (str(run[1].get("started")), run[0].name), reverse=True)
    return tuple(found[:MOST_RUNS])


def newest_of_each_kind(path: Path) -> tuple[Path, ...]:
    """``path`` itself when it is a run or a CSV file, else the newest sweep and the newest decode comparison in it.

    The newer comes first. Raises InputError when there is none.
    """
    if is_run(path):
        return (path,)
    found: dict[object, Path] = {}
    for run in _newest_first(path):
        found.setdefault(_read_about(run).get("what"), run)
    if not found:
        raise InputError(f"{plain(str(path))}: no run is there")
    return tuple(found.values())


def now() -> str:
    """The local time with its zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _newest_first(path: Path) -> list[Path]:
    return [found.parent for found in sorted(path.glob(f"*/{RUN}"), key=_age, reverse=True)]


def _age(run: Path) -> tuple[str, int]:
    date, _, number = run.parent.name.partition("_run")
    return date, int(number) if number.isdecimal() else 0


def new_folder(out: Path) -> Path:
    """A new folder in ``out``, named by day and number: 2026-01-31_run02 after 2026-01-31_run01. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    date = datetime.now().astimezone().date().isoformat()
    for number in count(1):
        folder = out / f"{date}_run{number:02d}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError


def _append(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _lock(file: IO[str], folder: Path) -> None:
    """Keep other processes from writing the same run, where the system has such locks."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:
        return
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except OSError:
        raise InputError(f"{plain(str(folder))}: this run is under way in another process") from None


def _cut_torn_line(path: Path) -> None:
    """Drop what stands behind the last line end: a line that was being written when the writer was killed."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        file.truncate(file.read().rfind(b"\n") + 1)


def _read_about(folder: Path) -> ColumnValues:
    path = folder / RUN
    try:
        about = json.loads(read_text(path, MOST_ABOUT_BYTES))
    except FileNotFoundError:
        raise InputError(f"{plain(str(folder))}: not a run, {RUN} is missing") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{plain(str(path))}: not JSON: {plain(str(error))}") from None
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise InputError(f"{plain(str(path))}: not a run of schema {SCHEMA}")
    return about


def _sweep_of(about: ColumnValues) -> Sweep:
    return Sweep.from_json(about.get("sweep") or {})


def _read_measured(path: Path, about: ColumnValues) -> list[Measured]:
    """The whole lines of ``path``; of a case that stands twice, the last.

    Cases are named by the keys they have today, whatever keys the version that measured them gave.
    """
    keys = {key: Case.from_json(case).key for key, case in about["sweep"]["cases"].items()}
    try:
        lines = read_limited(path, MOST_SAMPLE_BYTES).split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    found = {}
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        match values:
            case {
                "case": str() as case,
                "repeat": int() as repeat,
                "record": {"status": str()} as record,
                "samples": dict() as s,
            }:
                found[case, repeat] = Measured(keys.get(case, case), repeat, record, s)
            case _:
                raise InputError(f"{plain(str(path))}: line {number} is not a measured case")
    return list(found.values())
