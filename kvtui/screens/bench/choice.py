"""What the user wants to have measured: groups of the sweep or the decode benchmark, and how thoroughly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from kvtui.cases.case import SweepRow
from kvtui.cases.groups import GROUPS, NAMES, SIZES
from kvtui.cases.sweep import BUDGETS, Sweep, decode_rows, sweep
from kvtui.cases.table import ColumnValues

SECONDS_PER_CASE = {
    ("sweep", "fast"): 1.0,
    ("sweep", "default"): 2.5,
    ("sweep", "full"): 4.0,
    ("decode", "fast"): 3.0,
    ("decode", "default"): 20.0,
    ("decode", "full"): 60.0,
}
"""What a case takes on a machine of which nothing is known, compiling included."""


class Share(NamedTuple):
    """What a group adds: its ``rows``, and the ``cases`` that no chosen group before it has."""

    rows: int
    cases: int


@dataclass(frozen=True, slots=True)
class Choice:
    """``groups`` of the sweep at ``size``, or with ``decode`` the decode benchmark instead."""

    groups: tuple[str, ...] = NAMES
    size: str = SIZES[0]
    decode: bool = False

    @property
    def what(self) -> str:
        """The benchmark's name."""
        return "decode" if self.decode else "sweep"

    @property
    def sweep(self) -> Sweep:
        """Rows and jobs."""
        return _sweep(self)

    @property
    def words(self) -> str:
        """The command that measures the same."""
        if self.decode:
            return f"kvtui bench decode --size {self.size}"
        groups = "" if self.groups == NAMES else f" --groups {' '.join(self.groups)}"
        return f"kvtui bench --size {self.size}{groups}"

    @property
    def shares(self) -> dict[str, Share]:
        """What every group has at this size, chosen or not."""
        found, seen = {}, set[str]()
        for group in GROUPS:
            cases = {row.case.key for row in _rows(group.name, self.size)}
            found[group.name] = Share(len(_rows(group.name, self.size)), len(cases - seen))
            if group.name in self.groups:
                seen |= cases
        return found

    def toggled(self, name: str) -> Choice:
        """With the group ``name``, or without it."""
        chosen = set(self.groups) ^ {name}
        return replace(self, groups=tuple(one for one in NAMES if one in chosen), decode=False)

    def next_size(self) -> Choice:
        """The next more thorough size, and around."""
        return replace(self, size=SIZES[(SIZES.index(self.size) + 1) % len(SIZES)])

    def about(self) -> ColumnValues:
        """What ``run.json`` says of the choice."""
        return {
            "what": self.what,
            "size": self.size,
            "groups": ["decode"] if self.decode else list(self.groups),
            "repeat": 1,
            "device": None,
            "arguments": self.words.split()[1:],
        }


def seconds_per_case(choice: Choice, runs: Iterable[ColumnValues]) -> tuple[float, bool]:
    """Seconds that a case takes, and whether that was seen in one of ``runs`` (run.json, newest first) or is a guess.

    Only runs that went through at once say how long their cases took.
    """
    for about in runs:
        if about.get("what") == choice.what and about.get("size") == choice.size:
            spent = _spent(about)
            jobs = (about.get("sweep") or {}).get("jobs") or ()
            if spent is not None and len(jobs):
                return spent / len(jobs), True
    return SECONDS_PER_CASE[choice.what, choice.size], False


def _spent(about: ColumnValues) -> float | None:
    try:
        begun, ended = (datetime.fromisoformat(str(about.get(name))) for name in ("started", "finished"))
        seconds = (ended - begun).total_seconds()
    except (ValueError, TypeError):
        return None
    return seconds if seconds > 0 else None


@lru_cache(maxsize=64)
def _rows(name: str, size: str) -> tuple[SweepRow, ...]:
    return next(group for group in GROUPS if group.name == name).rows(size)


@lru_cache(maxsize=64)
def _sweep(choice: Choice) -> Sweep:
    if choice.decode:
        rows, positions = decode_rows(choice.size)
        return sweep(rows, BUDGETS[choice.size], positions=positions)
    return sweep([row for name in choice.groups for row in _rows(name, choice.size)], BUDGETS[choice.size])
