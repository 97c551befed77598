"""What a run measures: the rows that were asked for, and a job for every different case of theirs."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from kvtui.cases.axes import row_at
from kvtui.cases.case import Case, SweepRow
from kvtui.cases.protocol import Job, TimeBudget
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

BUDGETS = {
    "fast": TimeBudget(warmup=1, trials=3, most=100, seconds=0.03),
    "default": TimeBudget(warmup=3, trials=10, most=400, seconds=0.15),
    "full": TimeBudget(warmup=3, trials=10, most=400, seconds=0.4),
}
"""How long each size measures a case."""

SEED = 42
DECODE = {
    "fast": ("64x2", ("MHA", "GQA 1/2", "MQA", "MLA"), (64, 128, 256)),
    "default": ("512x8", ("MHA", "GQA", "MQA", "MLA"), (128, 512, 1024, 2048)),
    "full": ("512x8", ("MHA", "GQA", "MQA", "MLA"), (128, 512, 1024, 2048, 4096, 8192)),
}
DECODE_ROOM = 64


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a run measures: its ``rows``, and one of the ``jobs`` for each different case and repeat, in order."""

    rows: tuple[SweepRow, ...]
    jobs: tuple[Job, ...]

    def to_json(self) -> dict[str, Any]:
        """The sweep as plain values: rows name their case by its key."""
        cases = {row.case.key: row.case.to_json() for row in self.rows}
        return {
            "cases": cases,
            "rows": [
                {"group": row.group, "label": row.label, "variant": row.variant, "case": row.case.key}
                for row in self.rows
            ],
            "jobs": [{**job.to_json(), "case": job.case.key} for job in self.jobs],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The sweep of ``to_json``. Raises InputError for anything else."""
        try:
            cases = {key: Case.from_json(case) for key, case in values["cases"].items()}
            rows = tuple(
                SweepRow(str(row["group"]), str(row["label"]), str(row["variant"]), cases[row["case"]])
                for row in values["rows"]
            )
            jobs = tuple(Job.from_json({**job, "case": cases[job["case"]].to_json()}) for job in values["jobs"])
            if any(repeat_of(job) < 1 or job.case not in {row.case for row in rows} for job in jobs):
                raise ValueError("jobs")
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"sweep: not one that was stored: {plain(repr(error))}") from None
        return cls(rows, jobs)


def sweep(
    rows: Sequence[SweepRow], budget: TimeBudget, repeat: int = 1, seed: int = SEED, positions: Collection[int] = ()
) -> Sweep:
    """Jobs for every different case of ``rows``, each once per repeat.

    The order is shuffled anew for each repeat, by ``seed``, so that drift of the machine does not favour a group and
    compared cases alternate.
    """
    cases = {row.case.key: row.case for row in rows}
    shuffle = random.Random(seed).shuffle
    jobs = []
    for number in range(1, repeat + 1):
        order = list(cases.values())
        shuffle(order)
        jobs += [Job(f"{case.key}-{number}", case, budget, tuple(positions)) for case in order]
    return Sweep(tuple(rows), tuple(jobs))


def repeat_of(job: Job) -> int:
    """Which repeat of its case a sweep's ``job`` is, from 1."""
    return int(job.id.rpartition("-")[2])


def decode_rows(size: str, positions: Sequence[int] | None = None) -> tuple[tuple[SweepRow, ...], tuple[int, ...]]:
    """Rows that compare attention variants side by side, and the ``positions`` (or the size's own) for their curves.

    The prompt is as long as the first position, and the context has room behind the last. Raises InputError for a
    position below 2.
    """
    model, variants, usual = DECODE[size]
    places = tuple(positions or usual)
    if places[0] < 2:
        raise InputError(f"--positions: {places[0]} is below 2")
    context = places[-1] + DECODE_ROOM
    rows = []
    for attention in variants:
        row = row_at("decode", model, {"attention": attention})
        shape = replace(row.case.shape, context=context)
        rows.append(replace(row, case=replace(row.case, shape=shape, prompt=places[0])))
    return tuple(rows), places
