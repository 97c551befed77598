"""What a run found, in sentences: which case of a group decodes fastest, by how much, and whether the spread allows it.

The medians of a decode step are compared, with the span in which the middle 60 % of the samples lie. Where the spans
meet, the sentence says that nothing can be told apart. Where the steps take much longer than their bytes need, it says
that too: then something else than the cache was measured.

Example: "attention_type: GQA(2/4) decodes 1.4 × as fast as MHA: 0.71 ms (0.69–0.74) against 1.00 ms (0.97–1.05)."
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from kvtui.bench.table import ms
from kvtui.cases.table import ColumnValues, is_number

LEAST_RATIO = 1.02
FAR = 4.0
"""Times its floor from which three quarters of a step go into something else than its bytes."""


class TimedCase(NamedTuple):
    """A case's ``label``, the median of its decode step in milliseconds, and the p20–p80 span around it.

    ``floor`` is the median in multiples of the time that its bytes need; None where that is not known.
    """

    label: str
    median: float
    low: float
    high: float
    floor: float | None = None

    @property
    def words(self) -> str:
        """The median with its spread."""
        return f"{ms(self.median)} ms ({ms(self.low)}–{ms(self.high)})"


def findings(rows: Iterable[ColumnValues]) -> list[str]:
    """A sentence for every group of a sweep with two cases or more that were measured, in the order of the groups.

    Cases that different machines measured are not compared with each other.
    """
    told = list(rows)
    several = len({row.get("machine") for row in told} - {None}) > 1
    found = []
    for group, members in groupby(told, key=lambda row: str(row["group"])):
        by_machine: dict[object, list[TimedCase]] = {}
        for row in members:
            if (case := _timed(row)) is not None:
                by_machine.setdefault(row.get("machine"), []).append(case)
        for machine, cases in by_machine.items():
            if len({case.label for case in cases}) > 1:
                found.append(f"{group}{f', {machine}' if several else ''}: {_compared(cases)}")
    return found


def _compared(cases: Sequence[TimedCase]) -> str:
    fast, slow = min(cases, key=lambda case: case.median), max(cases, key=lambda case: case.median)
    ratio = slow.median / fast.median
    if fast.high >= slow.low or ratio < LEAST_RATIO:
        return f"no difference beyond the spread, all near {fast.words}.{_far(cases)}"
    words = f"{fast.label} decodes {ratio:.2g} × as fast as {slow.label}: {fast.words} against {slow.words}."
    return words + _far(cases)


def _far(cases: Sequence[TimedCase]) -> str:
    """That the cases lie far above their floors, so that a larger size would tell more."""
    floors = [case.floor for case in cases if case.floor is not None]
    if len(floors) < len(cases) or min(floors) < FAR:
        return ""
    low, high = f"{min(floors):.0f}", f"{max(floors):.0f}"
    span = low if low == high else f"{low} to {high}"
    return f" At {span} × the time of their bytes: a larger size says more."


def _timed(row: ColumnValues) -> TimedCase | None:
    median, low, high = (row.get(f"decode_step_ms_{name}") for name in ("p50", "p20", "p80"))
    if row.get("status") != "ok" or not is_number(median):
        return None
    middle = float(str(median))
    ends = [float(str(end)) if is_number(end) else middle for end in (low, high)]
    floor = row.get("floor_ratio")
    ratio = float(str(floor)) if is_number(floor) else None
    return TimedCase(str(row["label"]), middle, ends[0], ends[1], ratio) if middle > 0 else None
