"""Redrawing every kind of panel at 160×45: ``python benchmarks/plots.py [SECONDS-PER-ROW]``.

Prints milliseconds per redraw with plotext and with our own painter, and the ratio to a plain plotext line plot of the
same size in the same run; for panels in space the frames per second too. Machines are noisy: the ratios mean most.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import plotext

from kvtui.figures.figure import (
    Axis,
    Bars,
    Figure,
    Floats,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Panel,
    Scatter,
    Surface,
)
from kvtui.plots import surface
from kvtui.plots.camera import Camera
from kvtui.plots.draw import Painter, draw
from kvtui.plots.text import to_text

WIDTH, HEIGHT = 160, 45
CONTEXT = Axis("context", "tokens", "log2", "tokens")
BYTES = Axis("KV cache", "", "log2", "bytes")
PAINTERS: tuple[Painter, ...] = ("plotext", "cells")


def grid(size: int) -> tuple[Floats, Floats, Floats]:
    """Contexts, millions of parameters and cache bytes that grow with both."""
    x, y = np.geomspace(256, 131072, size), np.geomspace(3, 200, size)
    return x, y, 4096.0 * x[None, :] * np.sqrt(y)[:, None]


def figures() -> dict[str, Figure]:
    """A figure with one panel of each kind."""
    rng = np.random.default_rng(0)
    steps = np.linspace(1, 8192, 1000)
    waves = [np.abs(np.cumsum(rng.normal(size=1000))) + 1 + i for i in range(10)]
    x, y, z = grid(40)
    marks: dict[str, tuple[Axis, Axis, tuple[Mark, ...]]] = {
        "one line, 1,000 points": (CONTEXT, Axis("step", "ms"), (Line("MHA", steps, waves[0]),)),
        "ten lines, 1,000 points": (
            CONTEXT,
            Axis("step", "ms"),
            tuple(Line(f"{i}", steps, w) for i, w in enumerate(waves)),
        ),
        "bands": (
            Axis("position"),
            Axis("step", "ms"),
            tuple(Line(f"{i}", steps, w, 0.8 * w, 1.2 * w) for i, w in enumerate(waves[:3])),
        ),
        "a million points": (Axis("t"), Axis("y"), (Line("a", np.arange(1e6), rng.normal(size=10**6)),)),
        "bars": (
            Axis("variant"),
            Axis("decode", "tok/s"),
            tuple(Bars(f"prompt {i}", rng.uniform(1, 9, 8)) for i in range(3)),
        ),
        "histograms": (
            Axis("TTFT", "ms"),
            Axis("density"),
            tuple(Histogram(f"{i}", rng.normal(20 + 5 * i, 2, 400)) for i in range(3)),
        ),
        "scatter": (Axis("cache"), Axis("loss"), (Scatter("runs", rng.random(300), rng.random(300), rng.random(300)),)),
        "heat map, 40×40": (CONTEXT, Axis("parameters", "M", "log10"), (HeatMap("cache", x, y, z, (24e9, 80e9)),)),
    }
    return {
        name: Figure("f", name, "", (Panel("", across, up, drawn, z=BYTES, categories=_names(drawn)),))
        for name, (across, up, drawn) in marks.items()
    }


def _names(marks: tuple[Mark, ...]) -> tuple[str, ...]:
    return tuple("ABCDEFGH") if isinstance(marks[0], Bars) else ()


def milliseconds(act: Callable[[], object], seconds: float) -> float:
    """The median of calls of ``act`` over ``seconds``, at least three after one that warms up."""
    act()
    found: list[float] = []
    begun = time.perf_counter()
    while len(found) < 3 or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        act()
        found.append((time.perf_counter() - start) * 1e3)
    return median(found)


def plain_plotext() -> str:
    """A line of 200 points through plotext alone, with its own axes."""
    figure = type(plotext.figure)(parent=type(plotext.terminal)().limit(False, False))
    figure.plot_size(WIDTH, HEIGHT)
    x = list(range(200))
    figure.draw(figure.signal(x, [(i - 100) ** 2 for i in x]).lines(True))
    return str(figure.build().string())


def main(seconds: float = 1.0) -> int:
    """Print the table."""
    base = milliseconds(plain_plotext, seconds)
    print(f"{WIDTH}×{HEIGHT}, load {os.getloadavg()[0]:.1f}; a plain plotext line: {base:.1f} ms\n")
    print(f"{'panel':<26}{'plotext ms':>12}{'ratio':>8}{'cells ms':>12}{'ratio':>8}")
    for name, figure in figures().items():
        row = f"{name:<26}"
        for painter in PAINTERS:
            took = milliseconds(lambda f=figure, p=painter: draw(f, WIDTH, HEIGHT, painter=p), seconds)
            row += f"{took:>12.1f}{took / base:>8.2f}"
        print(row)
    x, y, z = grid(40)
    panel = Panel("", CONTEXT, Axis("parameters", "M", "log10"), (Surface("MHA", x, y, z),), z=BYTES)
    turn = iter(range(10**9))
    took = milliseconds(lambda: surface.render(panel, WIDTH, HEIGHT, Camera(azimuth=5.0 * next(turn))), seconds)
    print(f"{'surface, 40×40, turning':<46}{took:>12.1f}{took / base:>8.2f}{1e3 / took:>8.0f} fps")
    cells = draw(figures()["ten lines, 1,000 points"], WIDTH, HEIGHT).cells
    took = milliseconds(lambda: to_text(cells), seconds)
    print(f"{'cells to text':<46}{took:>12.1f}{took / base:>8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2])))
