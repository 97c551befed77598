"""Painting with plotext: the same shapes in the same plot area, as plotext's own lines, points and rectangles.

plotext colours a cell by one of 256 numbers; the number given is the ink, so the palette stays the one place where
colours are chosen. Axes, ticks and legends are the frame's, not plotext's, and so are the bands behind the lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import plotext

from kvtui.canvas.cells import SPACE, Cells
from kvtui.plots.cells import bands
from kvtui.plots.shapes import Boxes, PanelShape, Points, Stroke

_PIECE = re.compile(r"\x1b\[38;5;(\d+)m|\x1b\[0m|([^\x1b]+)")
_KERNEL = Lock()


def paint(shapes: Sequence[PanelShape], width: int, height: int) -> Cells:
    """The shapes in a plot area of ``width`` × ``height`` cells; spaces where there is nothing.

    Safe to call from several threads: each call has its own figure, and plotext's kernel is used by one at a time.
    """
    with _KERNEL:
        figure = _figure(width, height)
        for shape in shapes:
            for signal in _signals(figure, shape, width, height):
                figure.draw(signal)
        written = figure.build().string()
    cells, drawn = bands(shapes, width, height), _cells(written, width, height)
    there = drawn.glyph != SPACE
    cells.glyph[there], cells.ink[there] = drawn.glyph[there], drawn.ink[there]
    return cells


def _figure(width: int, height: int) -> Any:
    """A figure of its own, on a terminal of its own that limits nothing, whose canvas is all of it."""
    terminal = type(plotext.terminal)().limit(False, False)
    figure = type(plotext.figure)(parent=terminal)
    figure.plot_size(width, height).axes(False).canvas("default").legend(False)
    for axis in ("x", "y"):
        figure.ruler(axis).frequency(0).alignment(lim="edge").lim(0, 1)
    return figure


def _signals(figure: Any, shape: PanelShape, width: int, height: int) -> list[Any]:
    match shape:
        case Stroke():
            return [_polyline(figure, shape)] if len(shape.pieces) else []
        case Boxes():
            return _boxes(figure, shape, width, height)
        case Points() if shape.u.size:
            return [figure.signal(shape.u.tolist(), shape.v.tolist(), marker=_marker(shape.glyph, shape.ink))]
    return []


def _polyline(figure: Any, stroke: Stroke) -> Any:
    """All pieces as one signal: neighbours that share an end share its point."""
    pieces = stroke.pieces
    follows = np.concatenate(([False], (pieces[1:, :2] == pieces[:-1, 2:]).all(axis=1)))
    places = np.stack([pieces[:, :2], pieces[:, 2:]], axis=1)
    kept = np.stack([~follows, np.ones(len(pieces), dtype=bool)], axis=1)
    points, connected = places[kept], np.stack([np.zeros(len(pieces), dtype=bool), kept[:, 1]], axis=1)[kept]
    signal = figure.signal(points[:, 0].tolist(), points[:, 1].tolist(), marker=_marker("braille", stroke.ink))
    for index in np.flatnonzero(connected).tolist():
        signal.line(index)
    return signal


def _boxes(figure: Any, boxes: Boxes, width: int, height: int) -> list[Any]:
    """Bars as rectangles from the middle of their first cell to that of their last."""
    across, along = (width, height) if boxes.upright else (height, width)
    marker = _marker(boxes.fill, boxes.ink)
    signals = []
    for start, end, at, thickness in zip(boxes.start, boxes.end, boxes.at, boxes.thickness, strict=True):
        first, last = round(float(min(start, end)) * along), round(float(max(start, end)) * along)
        if start == end:
            continue
        ends = [(first + 0.5) / along, (max(first, last - 1) + 0.5) / along]
        row = int(at) if boxes.upright else height - 1 - int(at)
        step = int(thickness) - 1 if boxes.upright else 1 - int(thickness)
        sides = sorted([(row + 0.5) / across, (row + step + 0.5) / across])
        x, y = (sides, ends) if boxes.upright else (ends, sides)
        signals.append(figure.rectangle(x, y, marker=marker))
    return signals


def _marker(symbol: str, ink: int) -> Any:
    return plotext.marker(symbol, plotext.pixel(int(ink)))


def _cells(written: str, width: int, height: int) -> Cells:
    cells = Cells(width, height)
    for y, line in enumerate(written.split("\n")[:height]):
        x, ink = 0, None
        for match in _PIECE.finditer(line):
            if match[2] is None:
                ink = int(match[1]) if match[1] else None
            else:
                cells.put(x, y, match[2])
                if ink is not None:
                    cells.ink[y, x : x + len(match[2])] = ink
                x += len(match[2])
    return cells
