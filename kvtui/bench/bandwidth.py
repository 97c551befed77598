"""What a run says of the machine it was made on: how fast it reads memory, and how fast decode steps did.

A step of a model that stays in a cache says nothing of one that does not, so the rate offered to a plan is that of the
largest step, and only where it moved enough; else it is what the machine was probed to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kvtui.bench.store import StoredRun
from kvtui.cases.table import ColumnValues

LEAST_BYTES = 2**25
"""A step that moves less is the cost of starting programs, not of moving bytes."""


class Rate(NamedTuple):
    """``gbs`` · 10**9 bytes per second while moving ``bytes``; ``source`` says what moved them."""

    gbs: float
    bytes: int
    source: str


def probed(host: Mapping[str, Any]) -> Rate | None:
    """What the machine read in the largest working set of its bandwidth ladder; None if it was not probed."""
    rungs = host.get("bandwidth_ladder")
    found = [
        Rate(float(rung["gbs"]), int(rung["bytes"]), "reading memory")
        for rung in (rungs if isinstance(rungs, list) else ())
        if isinstance(rung, dict) and _positive(rung.get("gbs")) and _positive(rung.get("bytes"))
    ]
    return max(found, key=lambda rate: rate.bytes, default=None)


def reached(rows: Iterable[ColumnValues]) -> Rate | None:
    """Bytes that the largest cached decode step had to move, over its median time; None without one."""
    found = [
        Rate(row["floor_bytes"] / row["decode_step_ms_p50"] / 1e6, int(row["floor_bytes"]), str(row["label"]))
        for row in rows
        if row["cache"] != "none" and _positive(row["floor_bytes"]) and _positive(row["decode_step_ms_p50"])
    ]
    return max(found, key=lambda rate: (rate.bytes, rate.gbs), default=None)


def offered(run: StoredRun) -> Rate | None:
    """The rate that a plan for this machine should decode with."""
    step = reached(run.rows)
    return step if step is not None and step.bytes >= LEAST_BYTES else probed(run.host)


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
