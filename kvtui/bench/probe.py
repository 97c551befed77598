"""What the machine itself can do: how fast it reads memory, how fast it multiplies, and what it is.

Bandwidth depends on how much is read: a small working set stays in a cache. So it is a ladder of working-set sizes, and
a run is compared with the rung at its own size, measured just before and after it. All probes are JAX programs, which
keeps them on the device and within the means of the programs they are compared with.
"""

from __future__ import annotations

import functools
import math
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kvtui import __version__
from kvtui.bench.compiled import cached_programs
from kvtui.bench.host import cpu_model, memory_bytes, usable_cores
from kvtui.engine.basis.units import GIB, KIB, MIB
from kvtui.engine.basis.untrusted import plain

COLUMNS = 1024
TRIES = 5
LEAST, MOST = 64 * KIB, GIB
READ_PER_TRY = 64 * MIB
COUNTING_SECONDS = 0.03
"""Several turns of a scheduler that shares a core out."""
LADDER = (MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB)
LADDER_ACCELERATOR = (*LADDER, GIB)
MATMUL_SIZE = {"cpu": 1024}
MATMUL_SIZE_ACCELERATOR = 8192
DTYPES = {"fp32": jnp.float32, "bf16": jnp.bfloat16, "int8": jnp.int8}


class Rung(NamedTuple):
    """Reading a working set of ``bytes`` again and again runs at ``gbs`` GB/s (10**9 bytes)."""

    bytes: int
    gbs: float


def working_set(size: int) -> int:
    """The power of two nearest to ``size`` bytes, at least 64 KiB and at most 1 GiB."""
    return min(max(LEAST, 1 << round(math.log2(max(1, size)))), MOST)


def read_bandwidth(size: int, tries: int = TRIES) -> Rung:
    """How fast a working set of about ``size`` bytes is read: ``M @ v`` with 1024 columns, the best of ``tries``.

    The size is rounded as ``working_set`` says. Small sets are read several times in one program,
    each time with another ``v``, so that starting the program does not count.
    """
    rounded = working_set(size)
    repeats = max(1, READ_PER_TRY // rounded)
    matrix = jnp.full((rounded // (4 * COLUMNS), COLUMNS), 1 / COLUMNS, jnp.float32)
    vector = jnp.ones((COLUMNS,), jnp.float32)
    seconds = _best(lambda: _read(matrix, vector, repeats), tries)
    return Rung(rounded, rounded * repeats / seconds / 1e9)


def ladder() -> list[Rung]:
    """Bandwidth at each working-set size, smallest first; accelerators get a rung beyond their caches."""
    sizes = LADDER if default_device().platform == "cpu" else LADDER_ACCELERATOR
    return [read_bandwidth(size) for size in sizes]


@functools.cache
def matmul_peak(dtype: str) -> float:
    """GFLOP/s of a square matrix product in ``dtype``, accumulated in fp32 (int8 in int32): the best of a few."""
    n = MATMUL_SIZE.get(default_device().platform, MATMUL_SIZE_ACCELERATOR)
    square = jnp.ones((n, n), DTYPES[dtype])
    return 2 * n**3 / _best(lambda: _multiply(square), TRIES) / 1e9


def cpu_share(seconds: float = COUNTING_SECONDS) -> float:
    """What a thread that only counts gets of a core: its own time over the time that passed, 1 on a quiet machine."""
    began, own = time.perf_counter(), time.thread_time()
    while (passed := time.perf_counter() - began) < seconds:
        pass
    return min(1.0, (time.thread_time() - own) / passed)


def host() -> dict[str, Any]:
    """What a result must say about where it was measured; values are text, numbers or None.

    ``load_average`` is that of the last minute; ``compilation_cache_programs`` counts the programs compiled before.
    """
    device = default_device()
    return {
        "host": platform.node(),
        "cpu_model": cpu_model(),
        "cores": usable_cores(),
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "platform": device.platform,
        "device_kind": device.device_kind,
        "devices": jax.device_count(),
        "kvtui": __version__,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": metadata.version("jaxlib"),
        "numpy": np.__version__,
        "xla_flags": plain(os.environ.get("XLA_FLAGS", ""), limit=1000) or None,
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "compilation_cache_programs": cached_programs(),
    }


def default_device() -> jax.Device:
    """The device that programs run on unless told otherwise."""
    chosen = jax.config.jax_default_device  # type: ignore[attr-defined]
    return chosen if isinstance(chosen, jax.Device) else jax.devices()[0]


@functools.partial(jax.jit, static_argnums=2)
def _read(matrix: Array, vector: Array, repeats: int) -> Array:
    last: Array = lax.fori_loop(0, repeats, lambda _, v: v * (matrix @ v).max(), vector)
    return last


@jax.jit
def _multiply(square: Array) -> Array:
    wide = jnp.int32 if square.dtype == jnp.int8 else jnp.float32
    product: Array = jnp.matmul(square, square, preferred_element_type=wide)
    return product


def _best(call: Callable[[], Array], tries: int) -> float:
    call().block_until_ready()
    seconds = []
    for _ in range(tries):
        started = time.perf_counter_ns()
        call().block_until_ready()
        seconds.append((time.perf_counter_ns() - started) / 1e9)
    return min(seconds)
