"""Redrawing every kind of panel at 160×45: ``python benchmarks/plots.py [SECONDS-PER-ROW]``.

Prints milliseconds per redraw with plotext and with our own painter, and the ratio to a plain plotext line plot of the
same size in the same run; for panels in space the frames per second too. Machines are noisy: the ratios mean most.

Then what a surface costs that turns in a terminal of that size, per protocol of pixels: bytes per frame (median and
most), frames per second, and the app's CPU per frame. The app runs in a pseudo-terminal that speaks the protocol and
takes no more than 250 KB/s. Goals: 12.5 KB, 20 frames.
"""

from __future__ import annotations

import os
import re
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import plotext
from frame import COLUMNS, ROWS, SLOW_LINK, Terminal

from kvtui.canvas.pixels.terminal import PROTOCOLS
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

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.emulated import EmulatedScreen

WIDTH, HEIGHT = 160, 45
CONTEXT = Axis("context", "tokens", "log2", "tokens")
BYTES = Axis("KV cache", "", "log2", "bytes")
FPS = 30
STEPS = (("", "HBM3"), ("2", "KV cache by context"), ("/", "words, such as"), ("surface\r", "memory of each"))
"""Keys, and what is seen after them, on the way to a surface."""

BEGINNINGS = {
    "kitty": rb"\x1b_Ga=T",
    "iterm2": rb"\x1b\]1337;File=",
    "sixel": rb"\x1bP0;1;0q",
    "": rb"\x1b\[\d+;\d+H(?=\x1b\[\d+;\d+H)",
}
"""What there is once in each frame: a picture, or the cursor put where it was, and then where the next frame begins."""

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


def turning(protocol: str, seconds: float) -> tuple[list[int], float]:
    """Bytes of each frame that came in ``seconds`` of a surface that turns by itself, over a slow link; CPU seconds."""
    words = ["-m", "kvtui", "--model", "Llama-3.1-8B", "--gpu", "H100 SXM", "--motion", "full", "--fps", str(FPS)]
    terminal, screen = Terminal([*words, "--pixels", "auto"], SLOW_LINK), EmulatedScreen(protocol, COLUMNS, ROWS)
    decoder = getincrementaldecoder("utf-8")()

    def follow(wait: float) -> None:
        terminal.tail = b""
        terminal.drain(wait)
        os.write(terminal.master, screen.feed(decoder.decode(terminal.tail)).encode())

    try:
        for keys, seen in (
            ("", "HBM3"),
            ("2", "KV cache by context"),
            ("/", "words, such"),
            ("surface\r", "memory of"),
        ):
            os.write(terminal.master, keys.encode())
            for _ in range(200):
                follow(0.1)
                if seen in screen.text():
                    break
            else:
                raise SystemExit(f"{protocol}: {seen!r} did not appear")
        os.write(terminal.master, b"\t")
        follow(2.0)
        os.write(terminal.master, b" ")
        follow(1.0)
        before, came = terminal.cpu_seconds(), b""
        for _ in range(max(4, round(seconds * 4))):
            terminal.tail = b""
            terminal.drain(0.25)
            came += terminal.tail
        used = terminal.cpu_seconds() - before
    finally:
        terminal.close()
    return [len(frame) for frame in re.split(BEGINNINGS[protocol], came)[1:]], used


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
    print(f"\na surface that turns, {COLUMNS}×{ROWS}, {SLOW_LINK // 1000} KB/s at most")
    print(f"{'protocol':<26}{'KB a frame':>12}{'most':>8}{'fps':>8}{'CPU ms a frame':>16}")
    for protocol in (*PROTOCOLS, ""):
        frames, used = turning(protocol, 4 * seconds)
        row = f"{protocol or 'half blocks':<26}{median(frames) / 1e3:>12.1f}{max(frames) / 1e3:>8.1f}"
        print(f"{row}{len(frames) / (4 * seconds):>8.1f}{used / len(frames) * 1e3:>16.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2])))
