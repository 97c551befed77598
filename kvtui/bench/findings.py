"""What a run found, in sentences: which case of a group decodes fastest, by how much, and whether the spread allows it.

Medians of a decode step are compared, with the span in which the middle 60 % of the samples lie. A difference is stated
where ``kvtui.bench.compare.verdict`` finds one; else it cannot be told here. Cases of several batches are compared by
their tokens per second. Of attentions, each is set against MHA. Of a machine that was busy, nothing is stated. Where
steps take much longer than their bytes need, it says that too: then something else than the cache was measured.

Example: "attention_type: GQA(2/4) decodes 1.4 × as fast as MHA: 0.71 ms (0.69–0.74) against 1.00 ms (0.97–1.05)."
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from kvtui.bench.compare import Spread, joined, verdict
from kvtui.bench.quiet import unquiet
from kvtui.bench.table import ms
from kvtui.cases.table import ColumnValues, is_number

LEAST_RATIO = 1.02
FAR = 4.0
"""Times its floor from which three quarters of a step go into something else than its bytes."""


class TimedCase(NamedTuple):
    """A case's ``label``, its ``attention``, its ``batch``, and the ``step`` of all sequences of a batch in ms.

    ``floor`` is the median in multiples of the time that its bytes need; None where that is not known.
    """

    label: str
    attention: str
    batch: int
    step: Spread
    floor: float | None = None

    @property
    def words(self) -> str:
        """The median of a step with its spread."""
        ends = f" ({ms(self.step.p20)}–{ms(self.step.p80)})" if self.step.p20 and self.step.p80 else ""
        return f"{ms(self.step.p50)} ms{ends}"

    @property
    def rates(self) -> str:
        """Tokens per second of all sequences together, with their spread."""
        middle, low, high = (
            f"{1e3 * self.batch / time:,.0f}" if time else "?" for time in (self.step.p50, self.step.p80, self.step.p20)
        )
        return f"{middle} tok/s ({low}–{high})"

    @property
    def per_token(self) -> Spread:
        """Milliseconds of the machine for each token."""
        return Spread(*(None if time is None else time / self.batch for time in self.step))  # type: ignore[arg-type]


def findings(rows: Iterable[ColumnValues], host: Mapping[str, Any]) -> list[str]:
    """A sentence for every group of a sweep with two cases or more that were measured, in the order of the groups.

    Of a busy machine, the only sentence says that it was. Cases that different machines measured are not compared with
    each other. Repeats of a case are one case with the widest of their spreads.
    """
    told = list(rows)
    if busy := unquiet(told, host):
        return [busy]
    several = len({row.get("machine") for row in told} - {None}) > 1
    found = []
    for group, members in groupby(told, key=lambda row: str(row["group"])):
        by_machine: dict[object, dict[str, list[TimedCase]]] = {}
        for row in members:
            if (case := _timed(row)) is not None:
                by_machine.setdefault(row.get("machine"), {}).setdefault(case.label, []).append(case)
        for machine, labels in by_machine.items():
            if len(labels) > 1:
                cases = [_as_one(repeats) for repeats in labels.values()]
                found.append(f"{group}{f', {machine}' if several else ''}: {_compared(cases)}")
    return found


def _compared(cases: Sequence[TimedCase]) -> str:
    mha = [case for case in cases if case.attention == "MHA"]
    if len(mha) == 1:
        return " ".join(_pair(case, mha[0]) for case in cases if case is not mha[0]) + _far(cases)
    ordered = sorted(cases, key=lambda case: case.per_token.p50)
    return _pair(ordered[0], ordered[-1]) + _far(cases)


def _pair(one: TimedCase, other: TimedCase) -> str:
    """How ``one`` decodes beside ``other``."""
    by_token = one.batch != other.batch
    a, b = (one.per_token, other.per_token) if by_token else (one.step, other.step)
    ratio = b.p50 / a.p50
    words = f"{one.rates} against {other.rates}" if by_token else f"{one.words} against {other.words}"
    if verdict(a, b) not in ("faster", "slower") or 1 / LEAST_RATIO < ratio < LEAST_RATIO:
        return f"{one.label} and {other.label} cannot be told apart here: {words}."
    if by_token:
        return f"{one.label} gives {ratio:.2g} × the tokens per second of {other.label}: {words}."
    return f"{one.label} decodes {ratio:.2g} × as fast as {other.label}: {words}."


def _far(cases: Sequence[TimedCase]) -> str:
    """That the cases lie far above their floors, so that a larger size would tell more."""
    floors = [case.floor for case in cases if case.floor is not None]
    if len(floors) < len(cases) or min(floors) < FAR:
        return ""
    low, high = f"{min(floors):.0f}", f"{max(floors):.0f}"
    span = low if low == high else f"{low} to {high}"
    return f" At {span} × the time of their bytes: a larger size says more."


def _as_one(repeats: Sequence[TimedCase]) -> TimedCase:
    return repeats[0]._replace(step=joined([case.step for case in repeats]))


def _timed(row: ColumnValues) -> TimedCase | None:
    median, *ends = (_number(row.get(f"decode_step_ms_{name}")) for name in ("p50", "p20", "p80", "mad"))
    if row.get("status") != "ok" or not median:
        return None
    label, batch = str(row["label"]), row.get("batch_size")
    batch = batch if isinstance(batch, int) and batch > 0 else 1
    attention = str(row.get("attn_variant") or "")
    return TimedCase(label, attention, batch, Spread(median, *ends), _number(row.get("floor_ratio")))


def _number(value: object) -> float | None:
    return float(str(value)) if is_number(value) else None
