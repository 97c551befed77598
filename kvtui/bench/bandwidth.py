"""What a run says of the machine it was made on: how fast it reads memory, and how fast decode steps did.

A step of a model that stays in a cache says nothing of one that does not, so the rate offered to a plan is that of the
largest step, and only where it moved enough; else it is what the machine was probed to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kvtui.bench.host import cpu_model, machine_name
from kvtui.bench.store import StoredRun
from kvtui.cases.table import ColumnValues
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.device.spec import DeviceSpec

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


def not_of(run: StoredRun, device: DeviceSpec) -> str:
    """Why the rate of ``run`` says nothing of a plan for ``device``: another machine's, or another device's.

    Empty where the run was made on this machine, on a device of that name; of a CPU's run any CPU of the catalogue is
    that. Example: what an EPYC reads is not taken over into a plan for an H100.
    """
    host = run.host
    ran_on = machine_name(host) or "a machine it does not name"
    if host.get("cpu_model") not in (None, cpu_model()):
        return f"measured on another machine: {ran_on}"
    if host.get("platform") == "cpu":
        return "" if device.platform == "cpu" else f"measured on {ran_on}, which is not the plan's {plain(device.name)}"
    try:
        same = find_device(str(host.get("device_kind") or "")).name == device.name
    except InputError:
        same = False
    return "" if same else f"measured on {ran_on}, which is not the plan's {plain(device.name)}"


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
