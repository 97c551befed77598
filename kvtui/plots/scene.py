"""A panel in space, seen: where it is in the picture, and which mark each pixel shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np

from kvtui.canvas.cells import InkRow
from kvtui.canvas.memory.layout import Rect
from kvtui.figures.figure import Figure, Floats, Panel, Rule, Surface
from kvtui.plots import panes as box
from kvtui.plots.camera import Camera, Projection, inset, projection
from kvtui.plots.legend import clean, entries, wrapped
from kvtui.plots.mesh import Mesh, Space, cubes, space
from kvtui.plots.panes import Pane
from kvtui.plots.raster import Image, Places
from kvtui.plots.style import Style, styles
from kvtui.plots.ticks import Tick, ticks

LEAST_WIDTH, LEAST_HEIGHT = 24, 9
"""Smaller pictures have no labels."""

ON_SURFACE = 0.012
"""How far lines are moved from their surface toward the eye."""

IN_SIGHT = 0.08
"""How far behind its pixel a point may be and still count as seen: surfaces slope within a pixel."""

BAR_CELLS = 2
_MOST_LEGEND = 3
_BAR_WIDTH, _LEAST_BAR_HEIGHT = 64, 10
_TOP, _BOTTOM = 1, 3
_WIRE_CELLS = 24


class Grain(NamedTuple):
    """How fine a picture is: pixels ``across`` and ``down`` a cell, and a pixel's ``height`` over its width."""

    across: float
    down: float
    height: float


WHOLE_CELLS, HALF_CELLS = Grain(1, 1, 2.0), Grain(1, 2, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class SeenPanel:
    """A panel seen by a camera: the pixels of its marks in ``area``, so many of them in a cell as ``grain`` says."""

    panel: Panel
    space: Space
    area: Rect
    grain: Grain
    camera: Camera
    projection: Projection
    rear: tuple[Pane, ...]
    image: Image

    @property
    def by_height(self) -> bool:
        """Whether colours are heights, and not series."""
        return _by_height(self.panel)


@lru_cache(maxsize=4)
def scene_of(panel: Panel, width: int, height: int, camera: Camera, shaded: bool) -> SeenPanel:
    """``panel`` as ``camera`` sees it in ``width`` × ``height`` cells; ``shaded`` pixels are whole cells."""
    return seen_panel(panel, width, height, camera, WHOLE_CELLS if shaded else HALF_CELLS)


def seen_panel(panel: Panel, width: int, height: int, camera: Camera, grain: Grain) -> SeenPanel:
    """``panel`` as ``camera`` sees it in ``width`` × ``height`` cells, as fine as ``grain`` says."""
    found = space(panel)
    area, inner = _areas(panel, found, width, height)
    across, down, _ = grain
    seen = projection(
        camera,
        (inner.x - area.x) * across,
        (inner.y - area.y) * down,
        inner.width * across,
        inner.height * down,
        grain.height,
    )
    image = Image(ceil(area.width * across), ceil(area.height * down))
    _draw_meshes(image, area.width, found, seen)
    return SeenPanel(panel, found, area, grain, camera, seen, box.rear_panes(seen), image)


def _areas(panel: Panel, found: Space, width: int, height: int) -> tuple[Rect, Rect]:
    """Where pixels may be, and in it where the box should be at its natural size, with room for labels around."""
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        whole = Rect(0, 0, width, height)
        return whole, whole
    top = len(legend(panel, styles(Figure("", "", "", (panel,))), width, height))
    bar = _bar_width(panel, found, width, height - top)
    area = Rect(0, top, width - bar, height - top)
    left = max((len(tick.label) for tick in box.axis_ticks(found.axes[2], 2, area)), default=0) + 2
    right = max([4, *(len(clean(rule.label)) + 2 for rule in panel.rules)])
    left, right = min(left, width // 4), min(right, width // 4)
    bottom = min(_BOTTOM, area.height // 4)
    return area, Rect(left, top + _TOP, area.width - left - right, area.height - _TOP - bottom)


def legend(panel: Panel, looks: Mapping[str, Style], width: int, height: int) -> tuple[InkRow, ...]:
    """The legend of a picture of ``width`` × ``height`` cells; none where colours are heights."""
    if _by_height(panel):
        return ()
    return wrapped(entries(panel, looks), width, max(1, min(_MOST_LEGEND, height // 6)))


def _by_height(panel: Panel) -> bool:
    return len(panel.marks) == 1 and isinstance(panel.marks[0], Surface)


def bar_ticks(found: Space, height: int) -> tuple[Tick, ...]:
    """The ticks of a colour bar of ``height`` rows."""
    return ticks(found.axes[2], max(2, height // 4))


def _bar_width(panel: Panel, found: Space, width: int, height: int) -> int:
    """Columns of the colour bar with its labels; 0 where there is none."""
    if not _by_height(panel) or width < _BAR_WIDTH or height < _LEAST_BAR_HEIGHT:
        return 0
    return BAR_CELLS + 3 + max((len(tick.label) for tick in bar_ticks(found, height)), default=0)


def _draw_meshes(image: Image, width: int, found: Space, seen: Projection) -> None:
    """Draw the marks; surfaces have as many wires as a picture of ``width`` cells has room for."""
    for mesh in found.meshes:
        points, light = mesh.flat, mesh.light.ravel()
        if mesh.kind == "cloud" and mesh.cubes.size:
            known = np.flatnonzero(np.isfinite(points[:, 0]))
            corners, shine = cubes(points[known], mesh.cubes[known])
            values = np.repeat(points[known, 2], len(corners) // max(1, known.size))
            image.draw(
                seen.place(corners),
                np.full(len(corners), mesh.mark),
                np.tile(values[:, None], 3),
                np.tile(shine[:, None], 3),
            )
        if mesh.faces.size:
            _draw_parts(image, mesh, seen.place(points), mesh.faces, light)
        every = max(1, -(-max(mesh.points.shape[:2]) * _WIRE_CELLS // max(1, width)))
        wires = mesh.edges[mesh.rim | (mesh.line % every == 0)]
        if wires.size:
            _draw_parts(image, mesh, nearer(seen.place(inset(points)), ON_SURFACE), wires, light)


def _draw_parts(image: Image, mesh: Mesh, placed: Floats, parts: Places, light: Floats) -> None:
    points = mesh.flat
    image.draw(
        placed[parts],
        np.full(len(parts), mesh.mark),
        points[parts, 2],
        light[parts],
        inside=points[parts] if mesh.beyond else None,
    )


def nearer(placed: Floats, by: float) -> Floats:
    """``placed`` moved toward the eye, so that what lies on a surface is not hidden by it."""
    near = 1.0 / (1.0 / placed[..., 2:] - by)
    return np.concatenate((placed[..., :2], near), axis=-1)


def unit_of(found: Space, rule: Rule) -> float | None:
    """Where ``rule`` cuts the box; None outside."""
    at = float(found.axis(rule.axis).unit(np.array([rule.value]))[0])
    return at if 0 <= at <= 1 else None


def plane_corners(scene: SeenPanel, planes: list[Rule]) -> list[Floats]:
    """The corners (4, 3) of those of ``planes`` that cut the box."""
    units = [unit_of(scene.space, rule) for rule in planes]
    return [box.plane("xyz".index(rule.axis), at) for rule, at in zip(planes, units, strict=True) if at is not None]


def in_sight(scene: SeenPanel, mesh: Mesh, numbers: Places) -> tuple[Places, Floats]:
    """Which of the points ``numbers`` of ``mesh`` are in the picture and not hidden, and where they are placed."""
    image, points = scene.image, mesh.flat[numbers]
    inside = ((points >= 0) & (points <= 1)).all(axis=1)
    numbers, placed = numbers[inside], scene.projection.place(inset(points[inside]))
    column, row = np.floor(placed[:, 0]).astype(np.int64), np.floor(placed[:, 1]).astype(np.int64)
    shown = (column >= 0) & (column < image.width) & (row >= 0) & (row < image.height)
    pixel = np.where(shown, row * image.width + column, 0)
    seen = shown & (image.owner[pixel] == mesh.mark) & (nearer(placed, IN_SIGHT)[:, 2] >= image.near[pixel])
    return numbers[seen], placed[seen]


def in_cells(scene: SeenPanel, placed: Floats) -> list[tuple[int, int]]:
    """The cells of the picture that hold places."""
    columns, rows = np.floor(placed[:, 0] / scene.grain.across), np.floor(placed[:, 1] / scene.grain.down)
    return [(scene.area.x + int(x), scene.area.y + int(y)) for x, y in zip(columns, rows, strict=True)]
