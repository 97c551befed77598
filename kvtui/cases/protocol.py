"""What passes between the app and the worker: one JSON object per line, jobs one way and events the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from kvtui.cases.case import Case

Status = Literal["ok", "oom", "unsupported", "timeout", "killed", "not_in_place", "error"]
STATUSES = ("ok", "oom", "unsupported", "timeout", "killed", "not_in_place", "error")
PASSING = ("timeout", "killed")
"""Failures that say something of the moment and not of the case: the same case may well pass another time."""


@dataclass(frozen=True, slots=True)
class TimeBudget:
    """How long to measure: calls before the first sample, samples at least and at most, and seconds per series."""

    warmup: int = 3
    trials: int = 10
    most: int = 400
    seconds: float = 0.4


@dataclass(frozen=True, slots=True)
class Job:
    """Measure ``case``; ``positions`` are tokens in the cache at which decoding is timed as well, for a curve."""

    id: str
    case: Case
    budget: TimeBudget = TimeBudget()
    positions: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The job as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The job of ``to_json``. Raises InputError for a malformed case."""
        return cls(
            id=str(values["id"]),
            case=Case.from_json(values["case"]),
            budget=TimeBudget(**values.get("budget", {})),
            positions=tuple(values.get("positions", ())),
        )


def hello(host: Mapping[str, Any]) -> dict[str, Any]:
    """The worker is ready; ``host`` says versions, device, cores and the bandwidth ladder."""
    return {"event": "hello", "host": dict(host)}


def stage(job: str, name: str) -> dict[str, Any]:
    """The job has come to ``name``: compile, warm up, prefill, decode, probe."""
    return {"event": "stage", "id": job, "stage": name}


def result(job: str, record: Mapping[str, Any], samples: Mapping[str, list[float]]) -> dict[str, Any]:
    """The job is done: its flat ``record``, and the raw ``samples`` in milliseconds by series."""
    return {"event": "result", "id": job, "record": dict(record), "samples": dict(samples)}
