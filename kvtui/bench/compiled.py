"""Programs compiled ahead of time, and what XLA says about them before they run.

Programs are lowered from abstract shapes, so nothing is allocated, and compiled side by side, as many as there are
cores. Sizes and costs are those of the optimised program; XLA counts the body of a loop once, so its FLOPs and bytes
are true of single-step programs only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import platformdirs

from kvtui.bench.host import cpu_identity, usable_cores
from kvtui.bench.nn.platform import compiler_options

Name = TypeVar("Name")
HIT = "/jax/compilation_cache/cache_hits"


class ProgramSource(NamedTuple):
    """A function, the shapes of its arguments, and the places of those that may be overwritten."""

    function: Callable[..., Any]
    shapes: tuple[Any, ...]
    donate: tuple[int, ...] = ()


class Program(NamedTuple):
    """A compiled function: ``run`` takes concrete arguments of the shapes it was compiled for.

    ``alias_bytes`` of the outputs lie where donated arguments were, ``temp_bytes`` is scratch memory. ``flops`` and
    ``bytes_accessed`` are XLA's own count, None where the backend gives none.
    """

    run: Callable[..., Any]
    alias_bytes: int
    temp_bytes: int
    flops: int | None
    bytes_accessed: int | None


class BuiltPrograms(NamedTuple, Generic[Name]):
    """Programs by the names of their sources, and the seconds that it took to lower and to compile all of them.

    ``cache_hit`` says whether the persistent cache had every one of them, None where there is no such cache.
    """

    programs: dict[Name, Program]
    lower_s: float
    compile_s: float
    cache_hit: bool | None


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


def jit(function: Callable[..., Any], **how: Any) -> Any:
    """``jax.jit`` for a program of ``bench.nn``, compiled as the platform needs it."""
    return jax.jit(function, compiler_options=compiler_options(), **how)


def build(sources: Mapping[Name, ProgramSource]) -> BuiltPrograms[Name]:
    """The program of each of ``sources``."""
    started = time.perf_counter()
    lowered = [jit(source.function, donate_argnums=source.donate).lower(*source.shapes) for source in sources.values()]
    lowered_at = time.perf_counter()
    with _cache_hits() as hits, ThreadPoolExecutor(usable_cores()) as threads:
        programs = dict(zip(sources, threads.map(_compiled, lowered), strict=True))
    return BuiltPrograms(
        programs=programs,
        lower_s=lowered_at - started,
        compile_s=time.perf_counter() - lowered_at,
        cache_hit=None if cache_folder() is None else len(hits) == len(programs),
    )


def _compiled(lowered: jax.stages.Lowered) -> Program:
    program = lowered.compile()
    memory, cost = program.memory_analysis(), _cost(program)
    return Program(
        run=program,
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
