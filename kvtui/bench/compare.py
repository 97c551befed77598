"""Two runs side by side: what became faster or slower beyond the noise of both, and what only one of them has.

A row counts as changed when its bands from p20 to p80 do not overlap and its medians are further apart than three
standard deviations of the noise, which the two median absolute deviations stand for. Repeats of a row are put together
first, so that drift between them widens its band. What a busier machine slows down is beyond this noise as well: the
load averages of both runs are to be read with the verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import hypot, inf, isfinite
from statistics import median
from typing import Any, Literal, NamedTuple

from kvtui.bench.host import host_differences
from kvtui.bench.store import StoredRun
from kvtui.cases.table import ColumnValues

SERIES = ("prefill", "decode_step")
DEVIATIONS = 3
SIGMA_PER_MAD = 1.4826

RowVerdict = Literal["same", "faster", "slower", "unjudged", "other case", "status", "only in A", "only in B"]


class Spread(NamedTuple):
    """A series of one row in ms: median, the band from ``p20`` to ``p80``, and the median absolute deviation."""

    p50: float
    p20: float | None = None
    p80: float | None = None
    mad: float | None = None


class Difference(NamedTuple):
    """A row's ``series`` in run A and run B, the ``ratio`` of their medians (B over A) and the ``verdict``."""

    group: str
    label: str
    series: str
    a: Spread | None
    b: Spread | None
    ratio: float | None
    verdict: RowVerdict
    note: str = ""


class Comparison(NamedTuple):
    """What differs about the ``hosts`` (field, A, B), and every row of either run."""

    hosts: tuple[tuple[str, Any, Any], ...]
    rows: tuple[Difference, ...]

    @property
    def changed(self) -> tuple[Difference, ...]:
        """The rows that say something: not the same, and judged."""
        return tuple(row for row in self.rows if row.verdict not in {"same", "unjudged"})


def compare(a: StoredRun, b: StoredRun) -> Comparison:
    """Every row of run ``a`` beside that of ``b``, rows that only one has last.

    Where several machines measured one of the runs, a row is compared with that of the same machine.
    """
    apart = max(len({row.get("machine") for row in run.rows} - {None}) for run in (a, b)) > 1
    first, second = _rows(a.rows, apart), _rows(b.rows, apart)
    both = [difference for key in first if key in second for difference in _row(key, first[key], second[key])]
    alone = [Difference(*key, "", None, None, None, "only in A") for key in first if key not in second]
    alone += [Difference(*key, "", None, None, None, "only in B") for key in second if key not in first]
    return Comparison(host_differences(a.host, b.host), (*both, *alone))


def verdict(a: Spread, b: Spread) -> RowVerdict:
    """Whether ``b`` is faster or slower than ``a`` beyond noise; unjudged without both bands."""
    if a.p20 is None or a.p80 is None or b.p20 is None or b.p80 is None:
        return "unjudged"
    noise = DEVIATIONS * SIGMA_PER_MAD * hypot(a.mad or 0.0, b.mad or 0.0)
    if abs(b.p50 - a.p50) <= noise or (a.p20 <= b.p80 and b.p20 <= a.p80):
        return "same"
    return "faster" if b.p50 < a.p50 else "slower"


def joined(spreads: Sequence[Spread]) -> Spread:
    """Repeats of one row as one: the median of medians, the widest band, and the larger of the deviations."""
    middles = [one.p50 for one in spreads]
    p50 = median(middles)
    drift = median(abs(value - p50) for value in middles)
    lows, highs = [one.p20 for one in spreads], [one.p80 for one in spreads]
    return Spread(
        p50,
        None if None in lows else min(low for low in lows if low is not None),
        None if None in highs else max(high for high in highs if high is not None),
        max([drift, *(one.mad or 0.0 for one in spreads)]),
    )


def _rows(rows: Iterable[ColumnValues], by_machine: bool) -> dict[tuple[str, str], list[ColumnValues]]:
    """Repeats of each row under its group and label, and the machine where several measured a run."""
    found: dict[tuple[str, str], list[ColumnValues]] = {}
    for row in rows:
        where = f", {row['machine']}" if by_machine and row.get("machine") else ""
        found.setdefault((str(row["group"]), f"{row['label']}{where}"), []).append(row)
    return found


def _row(key: tuple[str, str], a: list[ColumnValues], b: list[ColumnValues]) -> list[Difference]:
    cases = {row["case"] for row in (*a, *b) if row["case"] is not None}
    if len(cases) > 1:
        return [Difference(*key, "", None, None, None, "other case", "the label stands for different cases")]
    before, after = _status(a), _status(b)
    if before != after:
        return [Difference(*key, "", None, None, None, "status", f"{before} → {after}")]
    found = []
    for series in SERIES:
        first, second = _spread(a, series), _spread(b, series)
        if first is not None and second is not None:
            ratio = second.p50 / first.p50 if first.p50 else inf
            found.append(
                Difference(*key, series, first, second, ratio if isfinite(ratio) else None, verdict(first, second))
            )
    return found


def _status(rows: Sequence[ColumnValues]) -> str:
    return ", ".join(dict.fromkeys(str(row["status"]) for row in rows))


def _spread(rows: Sequence[ColumnValues], series: str) -> Spread | None:
    spreads = [
        Spread(*(row[f"{series}_ms_{name}"] for name in ("p50", "p20", "p80", "mad")))
        for row in rows
        if row[f"{series}_ms_p50"] is not None
    ]
    return joined(spreads) if spreads else None
