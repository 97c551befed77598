"""Which of several ways to compute the same this machine runs fastest: tried once, remembered beside compiled programs.

What XLA makes of a formula differs by processor and by release, more than a rule could foresee.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

TRIES = 10


def fastest(
    name: str, ways: Mapping[str, Callable[..., Any]], arguments: tuple[Any, ...], options: Mapping[str, bool | int]
) -> str:
    """The name of the fastest of ``ways`` with ``arguments`` (NumPy arrays), each compiled with ``options``.

    It may be asked for while a program is traced. What was found is kept under ``name`` in JAX's cache folder, if there
    is one, for each release of jaxlib.
    """
    folder = _folder()
    note = folder and folder / f"{name}-{metadata.version('jaxlib')}"
    known = _read(note)
    if known in ways:
        return known
    found = _tried(ways, arguments, options)
    _write(note, found)
    return found


def _folder() -> Path | None:
    kept: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return Path(kept) if kept else None


def _tried(
    ways: Mapping[str, Callable[..., Any]], arguments: tuple[Any, ...], options: Mapping[str, bool | int]
) -> str:
    with jax.ensure_compile_time_eval():
        held = tuple(map(jax.device_put, arguments))
        programs = {
            way: functools.partial(jax.jit(function, compiler_options=dict(options)).lower(*held).compile(), *held)
            for way, function in ways.items()
        }
        seconds: dict[str, float] = dict.fromkeys(programs, float("inf"))
        for _ in range(TRIES):
            for way, program in programs.items():
                started = time.perf_counter()
                program().block_until_ready()
                seconds[way] = min(seconds[way], time.perf_counter() - started)
    return min(seconds, key=seconds.__getitem__)


def _read(note: Path | None) -> str:
    try:
        return note.read_text("utf-8") if note else ""
    except (OSError, ValueError):
        return ""


def _write(note: Path | None, found: str) -> None:
    """A folder that cannot be written costs the next process a trial, and nothing else."""
    try:
        if note:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(found, "utf-8")
    except OSError:
        return
