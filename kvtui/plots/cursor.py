"""The cursor of a picture in space: a value of a mark, found under the mouse, moved along the mesh, and read out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kvtui.figures.figure import Cloud, Mark, Panel, Surface
from kvtui.plots.camera import Camera
from kvtui.plots.legend import clean
from kvtui.plots.mesh import Mesh, Space, space
from kvtui.plots.scene import in_sight, scene_of
from kvtui.plots.ticks import value_text

_FROM_ABOVE = 45.0
_OTHER_CELL = 2.0
"""More than any distance within a cell, in columns."""


class Cursor(NamedTuple):
    """A value of a panel: of mark number ``mark`` the one at ``row`` of y and ``column`` of x; clouds have one row."""

    mark: int
    row: int
    column: int


def pick(
    panel: Panel, width: int, height: int, camera: Camera, cell: tuple[int, int], *, shaded: bool = False
) -> Cursor | None:
    """The value whose point is nearest to ``cell`` (column, row) of the picture, one inside it before all others.

    Points that are hidden or outside the picture are left out; None where there is none.
    """
    scene = scene_of(panel, width, height, camera, shaded)
    column, row = cell[0] - scene.area.x + 0.5, (cell[1] - scene.area.y + 0.5) * scene.grain.down
    best: tuple[float, Cursor] | None = None
    for mesh in scene.space.meshes:
        seen, placed = in_sight(scene, mesh, np.arange(len(mesh.flat)))
        if seen.size:
            right, down = np.abs(placed[:, 0] - column), np.abs(placed[:, 1] - row) * 2 / scene.grain.down
            distance = np.hypot(right, down) + np.where((right <= 0.5) & (down <= 1), 0, _OTHER_CELL)
            nearest = int(distance.argmin())
            if best is None or distance[nearest] < best[0]:
                best = float(distance[nearest]), _cursor(mesh, int(seen[nearest]))
    return None if best is None else best[1]


def middle(panel: Panel) -> Cursor | None:
    """The value in the middle of the first mark, or the known one nearest to it; None if there is none."""
    for mesh in space(panel).meshes:
        known = np.isfinite(mesh.points[..., 0])
        if known.any():
            rows, columns = np.nonzero(known)
            away = np.abs(rows - (known.shape[0] - 1) / 2) + np.abs(columns - (known.shape[1] - 1) / 2)
            return _cursor(mesh, int(np.ravel_multi_index((rows, columns), known.shape)[away.argmin()]))
    return None


def move_cursor(panel: Panel, cursor: Cursor, right: int, up: int, camera: Camera) -> Cursor:
    """The next known value along the mesh, to the ``right`` (−1 or 1) or ``up`` (away from the eye) as seen.

    At the mesh's end the cursor stays. The points of a cloud are gone through from left to right.
    """
    found = mesh_at(space(panel), cursor)
    if found is None:
        return cursor
    mesh, row, column = found
    if mesh.kind == "cloud":
        order = np.argsort(np.where(np.isfinite(mesh.flat[:, 0]), mesh.flat @ camera.axes[0], np.inf), kind="stable")
        order = order[np.isfinite(mesh.flat[order, 0])]
        at = int(np.flatnonzero(order == column)[0]) if column in order else 0
        return _cursor(mesh, int(order[min(max(at + right + up, 0), order.size - 1)])) if order.size else cursor
    over, down = _steps(panel.marks[cursor.mark], right, up, camera)
    known = np.isfinite(mesh.points[..., 0])
    while 0 <= row + down < known.shape[0] and 0 <= column + over < known.shape[1] and (down or over):
        row, column = row + down, column + over
        if known[row, column]:
            return _cursor(mesh, int(row * known.shape[1] + column))
    return cursor


def words(panel: Panel, cursor: Cursor) -> str:
    """What is at ``cursor``, with units; all surfaces over the same places, since they are there to be compared."""
    mark = panel.marks[cursor.mark]
    if not isinstance(mark, Surface | Cloud):
        return ""
    z_axis = space(panel).axes[2].axis
    if isinstance(mark, Cloud):
        x, y, heights = mark.x[cursor.column], mark.y[cursor.column], [(mark.name, mark.z[cursor.column])]
    else:
        x, y = mark.x[cursor.column], mark.y[cursor.row]
        alike = [
            other
            for other in panel.marks
            if isinstance(other, Surface) and np.array_equal(other.x, mark.x) and np.array_equal(other.y, mark.y)
        ]
        heights = [(other.name, other.z[cursor.row, cursor.column]) for other in alike]
    named = len(heights) > 1 or len(panel.marks) > 1
    parts = [f"{axis.label} {value_text(axis, float(value))}" for axis, value in ((panel.x, x), (panel.y, y))]
    parts += [
        f"{name if named else z_axis.label} {value_text(z_axis, float(value))}".strip() for name, value in heights
    ]
    return clean(" · ".join(parts), 400)


def _cursor(mesh: Mesh, number: int) -> Cursor:
    row, column = divmod(number, mesh.points.shape[1])
    return Cursor(mesh.mark, int(mesh.rows[row]), int(mesh.columns[column]))


def mesh_at(found: Space, cursor: Cursor) -> tuple[Mesh, int, int] | None:
    """The mesh of ``cursor``, and the row and column there that are nearest to it; None if it is of no mesh."""
    for mesh in found.meshes:
        if mesh.mark == cursor.mark:
            row, column = (
                int(np.abs(of - at).argmin()) for of, at in ((mesh.rows, cursor.row), (mesh.columns, cursor.column))
            )
            return mesh, row, column
    return None


def _steps(mark: Mark, right: int, up: int, camera: Camera) -> tuple[int, int]:
    """Steps along the columns and the rows of a surface that go to the ``right`` and ``up`` most directly."""
    if not isinstance(mark, Surface):
        return 0, 0
    across, away = camera.axes[0][:2], -camera.axes[2][:2]
    if abs(camera.elevation) > _FROM_ABOVE:
        away = camera.axes[1][:2]
    x_is_right = abs(across[0]) >= abs(across[1])
    x, y = (right * across[0], up * away[1]) if x_is_right else (up * away[0], right * across[1])
    falling_x, falling_y = (bool(values.size and values[-1] < values[0]) for values in (mark.x, mark.y))
    return int(np.sign(-x if falling_x else x)), int(np.sign(-y if falling_y else y))
