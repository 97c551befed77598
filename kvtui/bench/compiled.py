"""A program compiled ahead of time, and what XLA says about it before it runs.

Programs are lowered from abstract shapes, so nothing is allocated. Sizes and costs are those of the optimised program;
XLA counts the body of a loop once, so its FLOPs and bytes are true of single-step programs only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import platformdirs

from kvtui.bench.host import cpu_identity

HIT = "/jax/compilation_cache/cache_hits"


class Program(NamedTuple):
    """A compiled function: ``run`` takes concrete arguments of the shapes it was compiled for.

    ``lower_s`` and ``compile_s`` are seconds; ``cache_hit`` says whether the persistent cache had the program, None
    where there is no such cache. ``alias_bytes`` of the outputs lie where donated arguments were, ``temp_bytes`` is
    scratch memory. ``flops`` and ``bytes_accessed`` are XLA's own count, None where the backend gives none.
    """

    run: Callable[..., Any]
    lower_s: float
    compile_s: float
    cache_hit: bool | None
    alias_bytes: int
    temp_bytes: int
    flops: int | None
    bytes_accessed: int | None


def enable_cache() -> None:
    """Keep compiled programs in the user's cache folder, however small and quick to compile they are.

    Each kind of processor has its own, as a home folder may be shared by several and XLA does not tell them apart. A
    folder that JAX was already told (``$JAX_COMPILATION_CACHE_DIR``) stays.
    """
    own = platformdirs.user_cache_path("kvtui", appauthor=False) / "xla" / cpu_identity()
    folder = cache_folder() or str(own)
    settings: dict[str, object] = {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]


def cache_folder() -> str | None:
    """Where compiled programs are kept, None when they are not."""
    folder: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return folder


def cached_programs() -> int | None:
    """How many compiled programs are kept, None when none ever are."""
    folder = cache_folder()
    return None if folder is None else sum(1 for _ in Path(folder).glob("*-cache"))


def compiled(function: Callable[..., Any], *shapes: Any, donate: tuple[int, ...] = ()) -> Program:
    """``function`` compiled for arguments of ``shapes``; those at the places ``donate`` may be overwritten."""
    started = time.perf_counter()
    lowered = jax.jit(function, donate_argnums=donate).lower(*shapes)
    lowered_at = time.perf_counter()
    with _cache_hits() as hits:
        program = lowered.compile()
    finished = time.perf_counter()
    memory, cost = program.memory_analysis(), _cost(program)
    return Program(
        run=program,
        lower_s=lowered_at - started,
        compile_s=finished - lowered_at,
        cache_hit=None if cache_folder() is None else bool(hits),
        alias_bytes=memory.alias_size_in_bytes if memory else 0,
        temp_bytes=memory.temp_size_in_bytes if memory else 0,
        flops=_count(cost.get("flops")),
        bytes_accessed=_count(cost.get("bytes accessed")),
    )


@contextmanager
def _cache_hits() -> Iterator[list[str]]:
    hits: list[str] = []

    def listen(event: str, **_: Any) -> None:
        if event == HIT:
            hits.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        yield hits
    finally:
        jax.monitoring.unregister_event_listener(listen)


def _cost(program: jax.stages.Compiled) -> dict[str, float]:
    try:
        found = program.cost_analysis()
    except NotImplementedError:
        return {}
    return found if isinstance(found, dict) else {}


def _count(value: float | None) -> int | None:
    return round(value) if value is not None and math.isfinite(value) and value >= 0 else None
