"""The figures of a run, in the order in which they are leafed through; those with nothing to show are left out."""

from __future__ import annotations

from kvtui.bench.figures import figures_of
from kvtui.bench.store import StoredRun
from kvtui.figures.figure import Figure
from kvtui.figures.sweep import GROUPS, MACHINE


def worth_showing(run: StoredRun) -> dict[str, Figure]:
    """The curves of a decode comparison or the sweep's groups, cache bytes and the roofline, if they have panels.

    The roofline, which says why, if none has.
    """
    curves = figures_of(run) if run.about.get("what") == "decode" else {}
    makers = MACHINE if curves else {**GROUPS, **MACHINE}
    every = curves | {name: make(run.rows) for name, make in makers.items()}
    return {name: figure for name, figure in every.items() if figure.panels} or {"roofline": every["roofline"]}
