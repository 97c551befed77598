"""What a run found, in sentences: which case of a group decodes fastest, by how much, and whether the spread allows it.

The medians of a decode step are compared, with the span in which the middle 60 % of the samples lie. Where the spans
meet, the sentence says that nothing can be told apart.

Example: "attention_type: GQA(2/4) decodes 1.4 × as fast as MHA: 0.71 ms (0.69–0.74) against 1.00 ms (0.97–1.05)."
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from kvtui.bench.table import ms
from kvtui.cases.table import ColumnValues, is_number

LEAST_RATIO = 1.02


class TimedCase(NamedTuple):
    """A case's ``label``, the median of its decode step in milliseconds, and the p20–p80 span around it."""

    label: str
    median: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """The median with its spread."""
        return f"{ms(self.median)} ms ({ms(self.low)}–{ms(self.high)})"


def findings(rows: Iterable[ColumnValues]) -> list[str]:
    """A sentence for every group of a sweep with two cases or more that were measured, in the order of the groups."""
    found = []
    for group, members in groupby(rows, key=lambda row: str(row["group"])):
        cases = [case for case in map(_timed, members) if case is not None]
        if len({case.label for case in cases}) > 1:
            found.append(f"{group}: {_compared(cases)}")
    return found


def _compared(cases: Sequence[TimedCase]) -> str:
    fast, slow = min(cases, key=lambda case: case.median), max(cases, key=lambda case: case.median)
    ratio = slow.median / fast.median
    if fast.high >= slow.low or ratio < LEAST_RATIO:
        return f"no difference beyond the spread, all near {fast.words}."
    return f"{fast.label} decodes {ratio:.2g} × as fast as {slow.label}: {fast.words} against {slow.words}."


def _timed(row: ColumnValues) -> TimedCase | None:
    median, low, high = (row.get(f"decode_step_ms_{name}") for name in ("p50", "p20", "p80"))
    if row.get("status") != "ok" or not is_number(median):
        return None
    middle = float(str(median))
    ends = [float(str(end)) if is_number(end) else middle for end in (low, high)]
    return TimedCase(str(row["label"]), middle, *ends) if middle > 0 else None
