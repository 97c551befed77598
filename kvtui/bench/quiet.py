"""Whether a machine was quiet enough while it measured for anything to be concluded from its timings.

Three witnesses, and any one is enough: more was ready to run than the cores hold; a thread that only counts got much
less than the time that passed; the same step took now this long and now twice as long, in many cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from kvtui.cases.table import ColumnValues, is_number
from kvtui.engine.basis.units import counted

MOST_LOAD = 1.5
"""Ready threads to a core: a benchmark that ended just now leaves 1, so what is well beyond it is something else."""
LEAST_SHARE = 0.9
WIDE = 2.0
"""The 80th over the 20th percentile of a step from which most of a sample is waiting."""
MANY = 0.25


def load_of(host: Mapping[str, Any]) -> str:
    """The load of the machine when a run began, in words, where it was busy with something else; empty if it was not.

    >>> load_of({"load_average": 9.6, "cores": 2})
    'load 9.6 on 2 cores'
    """
    load, cores = host.get("load_average"), host.get("cores")
    if not isinstance(load, int | float) or not isinstance(cores, int) or load <= MOST_LOAD * cores:
        return ""
    return f"load {load:.1f} on {counted(cores, 'core')}"


def unquiet(rows: Iterable[ColumnValues], host: Mapping[str, Any]) -> str:
    """Why nothing can be concluded from ``rows``, as one sentence; empty where the machine was quiet."""
    timed = [row for row in rows if row.get("status") == "ok" and is_number(row.get("decode_step_ms_p50"))]
    found = [load] if (load := load_of(host)) else []
    shares = [float(row["cpu_share"]) for row in timed if is_number(row.get("cpu_share"))]
    if shares and (share := median(shares)) < LEAST_SHARE:
        found.append(f"a thread got {share:.0%} of a core")
    wide = sum(map(_wide, timed))
    if wide and wide >= MANY * len(timed):
        found.append(f"the same step took {WIDE:g} × as long or more in {wide} of {counted(len(timed), 'row')}")
    return f"The machine was busy: {'; '.join(found)}. Nothing is concluded." if found else ""


def _wide(row: ColumnValues) -> bool:
    low, high = row.get("decode_step_ms_p20"), row.get("decode_step_ms_p80")
    return is_number(low) and is_number(high) and float(str(high)) > WIDE * float(str(low))
