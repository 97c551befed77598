"""What the machine is: its processor, the cores and the memory this process may use; and whether two are the same."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvtui.engine.basis.units import counted
from kvtui.engine.basis.untrusted import plain

CPUINFO = Path("/proc/cpuinfo")
FEATURES = ("flags", "Features", "isa")
HOST_FIELDS = (
    "cpu_model",
    "cores",
    "platform",
    "device",
    "device_kind",
    "devices",
    "system",
    "python",
    "jax",
    "jaxlib",
    "xla_flags",
    "kvtui",
)
"""What must agree for two runs to be of one machine in one state."""


def host_differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    """The fields that say that two runs were not made by one machine in one state, with their values."""
    return tuple((name, a.get(name), b.get(name)) for name in HOST_FIELDS if a.get(name) != b.get(name))


def machine_name(host: Mapping[str, Any]) -> str:
    """The processor or accelerator that measured; empty if it is not said."""
    name = host.get("cpu_model") if host.get("platform") == "cpu" else host.get("device_kind")
    return plain(str(name or ""), limit=60)


def machine_stamp(host: Mapping[str, Any]) -> dict[str, str | None]:
    """Where a record was measured: the ``host`` by its own name, and the ``machine``, which alike ones have in common.

    A machine is its accelerator, or its processor with the cores that could be used; None what is not said.
    """
    machine, cores = machine_name(host), host.get("cores")
    if machine and host.get("platform") == "cpu" and isinstance(cores, int):
        machine += f", {counted(cores, 'core')}"
    return {"host": plain(str(host.get("host") or ""), limit=60) or None, "machine": machine or None}


def machines(about: Mapping[str, Any]) -> tuple[str, ...]:
    """The machines that measured a run, by what is said ``about`` it; alike ones once."""
    hosts = about.get("hosts")
    known = hosts if isinstance(hosts, list) else [about.get("host")]
    names = (machine_stamp(host)["machine"] for host in known if isinstance(host, dict))
    return tuple(dict.fromkeys(name for name in names if name))


def cpu_model() -> str:
    """The processor's own name, else the name of its architecture."""
    return plain(_cpuinfo().get("model name") or platform.processor() or platform.machine())


def cpu_identity() -> str:
    """A short name of the processor and its instructions: code compiled for one may not run on another."""
    told = [platform.machine(), cpu_model(), *(_cpuinfo().get(name, "") for name in FEATURES)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]


def usable_cores() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Physical memory of the machine, None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
