"""The figures of a run, in the order in which they are leafed through; those with nothing to show are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvtui.bench.store import Stored
from kvtui.figures.figure import Figure

GROUPS = tuple(f"{number:02}" for number in range(1, 14))
MACHINE = ("bytes", "roofline")


class Entry(NamedTuple):
    """A figure by ``name``, and what makes it of a run."""

    name: str
    build: Callable[[Stored], Figure]


def entries(run: Stored) -> tuple[Entry, ...]:
    """Every figure of ``run``: the panels of a decode benchmark or the thirteen groups, cache bytes, the roofline."""
    from kvtui.figures import decode
    from kvtui.figures.sweep import FIGURES

    def of_rows(name: str) -> Callable[[Stored], Figure]:
        return lambda one: FIGURES[name](one.rows)

    if run.about.get("what") == "decode":
        curves = Entry("decode", lambda one: decode.panels(decode.results_of(one.rows, one.measured)))
        return (curves, *(Entry(name, of_rows(name)) for name in MACHINE))
    return tuple(Entry(name, of_rows(name)) for name in (*GROUPS, *MACHINE))


def worth_showing(run: Stored) -> tuple[Entry, ...]:
    """The figures of ``run`` that have panels; the one of the roofline, which says why, if none has."""
    every = entries(run)
    return tuple(entry for entry in every if entry.build(run).panels) or every[-1:]
