"""A panel in space as cells: surfaces and clouds in pixels of half a cell, in a box with axes, planes and a legend.

One surface alone is coloured by its height, with a colour bar; several have the colours of their series and the series'
character here and there. Where colours do not show, ``shaded`` puts characters of different density in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import numpy.typing as npt

from kvtui.canvas.cells import SPACE, Cells, fit
from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import RAMP_STEPS, SEQUENCES, SHADED, SHADED_RAMP, SHADES, VEILED, Ink
from kvtui.canvas.pixels.detail import PixelDetail
from kvtui.canvas.pixels.raster import PixelInks
from kvtui.figures.figure import Cloud, Figure, Floats, Panel, Rule, Surface, floats
from kvtui.plots import panes as box
from kvtui.plots.camera import Camera, inset
from kvtui.plots.cells import paint
from kvtui.plots.cursor import Cursor, mesh_at
from kvtui.plots.legend import clean
from kvtui.plots.panes import LabelWriter, Pane
from kvtui.plots.raster import NONE, Image, Mask, Places, crossings, lines, polygon
from kvtui.plots.scene import (
    BAR_CELLS,
    IN_SIGHT,
    LEAST_HEIGHT,
    LEAST_WIDTH,
    Grain,
    SeenPanel,
    bar_ticks,
    in_cells,
    in_sight,
    legend,
    nearer,
    plane_corners,
    scene_of,
    seen_panel,
    unit_of,
)
from kvtui.plots.shapes import Stroke, clip
from kvtui.plots.style import Style, styles

_LIGHT_SHARE, _LOWEST = 0.6, 0.35
_WIRE_SHADE, _CONTOUR_SHADE, _BAR_SHADE = 1, 3, SHADES - 2
_STAMPS = (0.2, 0.5, 0.8)
_DENSITIES = np.array([ord(c) for c in "░▒▓█"], dtype=np.uint32)
_UPPER, _LOWER = ord("▀"), ord("▄")
_CURSOR, _HIDDEN_CURSOR, _RULE_LINE, _HATCH = "◉", "○", ord("┄"), ord("╱")
_PANES = np.array([Ink.BAR_REST, Ink.WAVE_1, Ink.DIE], dtype=np.uint16)
_NOTHING = "no values to show"


def render(
    panel: Panel,
    width: int,
    height: int,
    camera: Camera,
    cursor: Cursor | None = None,
    *,
    shaded: bool = False,
    looks: Mapping[str, Style] | None = None,
    bare: bool = False,
) -> Cells:
    """``panel`` in ``width`` × ``height`` cells as ``camera`` sees it, without its title.

    ``looks`` are the styles of a figure with several panels. What could not be shown is said in the last row. A
    ``bare`` picture has only what is written on it, and leaves the rest to ``pixels``.
    """
    looks = styles(Figure("", "", "", (panel,))) if looks is None else looks
    scene = scene_of(panel, width, height, camera, shaded)
    cells = Cells(width, height)
    inks = _inks(scene, looks)
    planes = [rule for rule in panel.rules if unit_of(scene.space, rule) is not None]
    veil = _veil(scene, planes)
    lines_of_cursor = None if cursor is None else _cursor_lines(scene, cursor)
    if shaded:
        _draw_shaded(cells, scene, inks, veil, lines_of_cursor)
    else:
        inks[veil & (inks != Ink.NONE)] += VEILED
        if lines_of_cursor is not None:
            inks[lines_of_cursor] = Ink.BRIGHT
        _draw_blocks(cells, scene, inks)
    _draw_frame(cells, scene, inks, planes, shaded)
    drawn = deepcopy(cells) if bare else None
    _stamp(cells, scene, looks)
    if cursor is not None:
        _draw_cursor(cells, scene, cursor)
    if not any(np.isfinite(mesh.points).any() for mesh in scene.space.meshes):
        area = scene.area
        text = fit(_NOTHING, min(len(_NOTHING), area.width))
        cells.put(area.x + (area.width - len(text)) // 2, area.y + area.height // 2, text, Ink.DIM)
    if width >= LEAST_WIDTH and height >= LEAST_HEIGHT:
        _draw_around(cells, scene, looks, planes, shaded)
    if drawn is not None:
        _empty(cells, drawn, scene.area)
    return cells


def pixels(
    panel: Panel,
    width: int,
    height: int,
    camera: Camera,
    detail: PixelDetail,
    cursor: Cursor | None = None,
    looks: Mapping[str, Style] | None = None,
) -> tuple[Rect, PixelInks]:
    """What ``render`` draws with blocks and lines in its cells, in pixels: the cells that it fills, and its inks."""
    looks = styles(Figure("", "", "", (panel,))) if looks is None else looks
    scene = seen_panel(panel, width, height, camera, Grain(*detail[:3]))
    inks = _inks(scene, looks)
    planes = [rule for rule in panel.rules if unit_of(scene.space, rule) is not None]
    free = (scene.image.owner == NONE) & (inks.ravel() < SHADED)
    for ends, ink in _frame_lines(scene, planes, shaded=False)[0 if detail.lines else 1 :]:
        hits = lines(scene.projection.place(inset(ends)), scene.image.width, scene.image.height)
        inks.ravel()[hits.pixel[free[hits.pixel]]] = ink
    inks[_veil(scene, planes) & (inks != Ink.NONE)] += VEILED
    lines_of_cursor = None if cursor is None else _cursor_lines(scene, cursor)
    if lines_of_cursor is not None:
        inks[lines_of_cursor] = Ink.BRIGHT
    return scene.area, inks


def _empty(cells: Cells, drawn: Cells, area: Rect) -> None:
    """Take what was ``drawn`` in the ``area`` out of ``cells``, and leave what was written there afterwards."""
    here = slice(area.y, area.y + area.height), slice(area.x, area.right)
    same = (cells.glyph[here] == drawn.glyph[here]) & (cells.ink[here] == drawn.ink[here])
    cells.glyph[here][same], cells.ink[here][same], cells.under[here][same] = SPACE, Ink.TEXT, Ink.NONE


def _inks(scene: SeenPanel, looks: Mapping[str, Style]) -> PixelInks:
    """The ink of every pixel before planes and the cursor: panes, floor contours, then marks by colour and light."""
    image = scene.image
    inks = np.zeros((image.height, image.width), dtype=np.uint16)
    for pane in scene.rear:
        mask, _ = polygon(scene.projection.place(pane.corners), image.width, image.height)
        inks[mask] = _PANES[pane.axis]
    _floors(scene, inks, looks)
    solid = image.owner != NONE
    owner, value = image.owner[solid], image.value[solid]
    on_sheet = np.array([isinstance(mark, Surface) for mark in scene.panel.marks], dtype=bool)[owner]
    on_rule = crossings(image, _rule_levels(scene)).ravel()[solid] & on_sheet
    colors = _colors(scene, looks, owner, value) + _levels(scene, solid, on_sheet)
    inks.ravel()[solid] = np.where(on_rule, Ink.WARN, colors)
    return inks


def _levels(scene: SeenPanel, solid: Mask, on_sheet: Mask) -> Places:
    """How light the ``solid`` pixels are, from 0 to SHADES - 1: surfaces by their light and a little by their height.

    Lines on surfaces are darker. Where heights are read as colours of a plot, all are as light as the colour bar.
    """
    image = scene.image
    light, height = image.light[solid], np.clip(image.value[solid], 0, 1)
    lit = _LIGHT_SHARE * light + (1 - _LIGHT_SHARE) * (_LOWEST + (1 - _LOWEST) * height)
    found = np.rint(np.where(on_sheet, lit, light) * (SHADES - 1)).astype(np.int64)
    if scene.by_height and scene.camera.flat:
        found[:] = _BAR_SHADE
    on_contour = crossings(image, _contours(scene)).ravel()[solid]
    found -= on_sheet * (_WIRE_SHADE * image.line[solid] + _CONTOUR_SHADE * on_contour)
    levels: Places = found.clip(0, SHADES - 1)
    return levels


def _colors(scene: SeenPanel, looks: Mapping[str, Style], owner: Places, value: Floats) -> Places:
    """The darkest ink of the colour of each pixel."""
    if scene.by_height:
        return SHADED_RAMP + np.clip(value * RAMP_STEPS, 0, RAMP_STEPS - 1).astype(np.int64) * SHADES
    places = np.array([looks[mark.name].place % SEQUENCES for mark in scene.panel.marks], dtype=np.int64)
    return SHADED + places[owner] * SHADES


def _contours(scene: SeenPanel) -> Floats:
    """Where lines of equal height run, between 0 and 1: at the ticks of z, and where the surfaces want them."""
    span = scene.space.axes[2]
    values = [tick.value for tick in box.axis_ticks(span, 2, scene.area)]
    values += [value for mark in scene.panel.marks if isinstance(mark, Surface) for value in mark.contours]
    levels = span.unit(floats(values))
    return np.unique(levels[np.isfinite(levels)])


def _rule_levels(scene: SeenPanel) -> Floats:
    levels = [unit_of(scene.space, rule) for rule in scene.panel.rules if rule.axis == "z"]
    return np.unique(np.array([level for level in levels if level is not None], dtype=np.float64))


def _floors(scene: SeenPanel, inks: PixelInks, looks: Mapping[str, Style]) -> None:
    """The contours of surfaces that want them on the floor, if the eye is above it."""
    if Pane(2, 0) not in scene.rear:
        return
    for mesh in scene.space.meshes:
        mark = scene.panel.marks[mesh.mark]
        if isinstance(mark, Surface) and mark.floor and mesh.faces.size:
            image = Image(scene.image.width, scene.image.height)
            ground = mesh.flat * (1.0, 1.0, 0.0)
            image.draw(
                scene.projection.place(ground)[mesh.faces],
                np.full(len(mesh.faces), mesh.mark),
                mesh.flat[mesh.faces, 2],
                np.zeros(mesh.faces.shape),
                inside=mesh.flat[mesh.faces] if mesh.beyond else None,
            )
            levels = np.union1d(_contours(scene), _rule_levels(scene))
            line = crossings(image, levels)
            owner, value = image.owner[line.ravel()], image.value[line.ravel()]
            inks[line] = _colors(scene, looks, owner, value) + SHADES - 3


def _veil(scene: SeenPanel, planes: list[Rule]) -> Mask:
    """The pixels that are seen through one of the reference planes; none where one is seen face-on."""
    near = scene.image.near.reshape(scene.image.height, scene.image.width)
    veil = np.zeros(near.shape, dtype=bool)
    for corners in plane_corners(scene, planes) if not scene.camera.flat else ():
        mask, nearness = polygon(scene.projection.place(corners), scene.image.width, scene.image.height)
        veil |= mask & (nearness > near)
    return veil


def _draw_blocks(cells: Cells, scene: SeenPanel, inks: PixelInks) -> None:
    """Two pixels in each cell."""
    area = scene.area
    here = slice(area.y, area.y + area.height), slice(area.x, area.right)
    upper, lower = inks[0::2], inks[1::2]
    blank = upper == Ink.NONE
    cells.glyph[here] = np.where(upper == lower, SPACE, np.where(blank, _LOWER, _UPPER))
    cells.ink[here] = np.where(upper == lower, Ink.TEXT, np.where(blank, lower, upper))
    cells.under[here] = np.where(blank & (lower != Ink.NONE), Ink.NONE, lower)


def _draw_shaded(cells: Cells, scene: SeenPanel, inks: PixelInks, veil: Mask, lines_of_cursor: Mask | None) -> None:
    """One pixel in each cell, its density the height of a single surface and otherwise the light."""
    area, image = scene.area, scene.image
    solid = image.owner.reshape(inks.shape) != NONE
    light = np.clip((inks.astype(np.int64) - SHADED) % SHADES * len(_DENSITIES) // SHADES, 0, len(_DENSITIES) - 1)
    dense = _density(image.value.reshape(inks.shape)) if scene.by_height else _DENSITIES[light]
    floor = ~solid & (inks >= SHADED)
    glyph = np.where(solid, dense, np.where(floor, ord("·"), SPACE))
    glyph[solid & (inks == Ink.WARN)] = _RULE_LINE
    rows, columns = np.indices(inks.shape)
    hatch = veil & ((columns + rows * 2) % 6 == 0)
    glyph[hatch] = _HATCH
    shown = np.where(solid | floor, inks, Ink.TEXT)
    shown[hatch] = Ink.WARN
    if lines_of_cursor is not None:
        glyph[lines_of_cursor], shown[lines_of_cursor] = ord("+"), Ink.BRIGHT
    here = slice(area.y, area.y + area.height), slice(area.x, area.right)
    cells.glyph[here], cells.ink[here] = glyph, shown


def _density(height: Floats) -> npt.NDArray[np.uint32]:
    """The characters of heights between 0 and 1."""
    return _DENSITIES[np.clip(height * len(_DENSITIES), 0, len(_DENSITIES) - 1).astype(np.int64)]


def _draw_frame(cells: Cells, scene: SeenPanel, inks: PixelInks, planes: list[Rule], shaded: bool) -> None:
    """The grid on the panes behind, their edges and the edges of planes, where no mark is in front."""
    area = scene.area
    strokes = [Stroke(_pieces(scene, ends), ink) for ends, ink in _frame_lines(scene, planes, shaded)]
    drawn = paint(strokes, area.width, area.height)
    here = slice(area.y, area.y + area.height), slice(area.x, area.right)
    shown = (drawn.glyph != SPACE) & ~_marked(scene, inks)
    if not shaded:
        shown &= (inks[0::2] != Ink.NONE) & (inks[1::2] != Ink.NONE)
    cells.glyph[here][shown], cells.ink[here][shown] = drawn.glyph[shown], drawn.ink[shown]
    if not shaded:
        cells.under[here][shown] = np.maximum(inks[0::2], inks[1::2])[shown]


def _frame_lines(scene: SeenPanel, planes: list[Rule], shaded: bool) -> list[tuple[Floats, Ink]]:
    """Lines (n, 2, 3) of the box and their inks: the grid, the edges of panes, and those of planes."""
    units = [
        span.unit(floats([tick.value for tick in box.axis_ticks(span, axis, scene.area)]))
        for axis, span in enumerate(scene.space.axes)
    ]
    edges = [np.stack((corners, np.roll(corners, -1, axis=0)), axis=1) for corners in plane_corners(scene, planes)]
    grid = [] if shaded else [(box.grid(scene.rear, units), Ink.FRAME)]
    return [*grid, (box.outline(scene.rear, inner=not shaded), Ink.FAINT), *((ends, Ink.WARN) for ends in edges)]


def _marked(scene: SeenPanel, inks: PixelInks) -> Mask:
    """The cells with a pixel of a mark or of a contour on the floor."""
    color = np.where(inks >= VEILED, inks - VEILED, inks)
    marked = (scene.image.owner.reshape(inks.shape) != NONE) | (color >= SHADED)
    cells: Mask = marked if scene.grain.down == 1 else marked[0::2] | marked[1::2]
    return cells


def _pieces(scene: SeenPanel, ends: Floats) -> Floats:
    """Lines (n, 2, 3) of the box as pieces of the picture, both from 0 to 1, upward."""
    placed = scene.projection.place(inset(ends))[..., :2] / (scene.image.width, scene.image.height)
    placed[..., 1] = 1 - placed[..., 1]
    return clip(placed.reshape(-1, 4))


def _cursor_lines(scene: SeenPanel, cursor: Cursor) -> Mask | None:
    """The pixels of the mesh's two lines through ``cursor``, where they are seen."""
    found = mesh_at(scene.space, cursor)
    if found is None:
        return None
    mesh, row, column = found
    image = scene.image
    chosen = np.where(mesh.across, mesh.line == row, mesh.line == column) & (mesh.edges[:, 0] != mesh.edges[:, 1])
    placed = nearer(scene.projection.place(inset(mesh.flat)), IN_SIGHT)
    hits = lines(placed[mesh.edges[chosen]], image.width, image.height)
    seen = hits.pixel[hits.near >= image.near[hits.pixel]]
    mask = np.zeros(image.height * image.width, dtype=bool)
    mask[seen[image.owner[seen] != NONE]] = True
    return mask.reshape(image.height, image.width)


def _stamp(cells: Cells, scene: SeenPanel, looks: Mapping[str, Style]) -> None:
    """The character of its series on each surface in a few places, where there are several."""
    surfaces = [mesh for mesh in scene.space.meshes if mesh.kind == "surface"]
    for mesh in surfaces if len(scene.panel.marks) > 1 else ():
        rows, columns = mesh.points.shape[:2]
        chosen = [round(v * (rows - 1)) * columns + round(u * (columns - 1)) for v in _STAMPS for u in _STAMPS]
        point = looks[scene.panel.marks[mesh.mark].name].point
        for x, y in in_cells(scene, in_sight(scene, mesh, np.unique(chosen))[1]):
            cells.put(x, y, point, Ink.PULSE)


def _draw_cursor(cells: Cells, scene: SeenPanel, cursor: Cursor) -> None:
    found = mesh_at(scene.space, cursor)
    if found is None:
        return
    mesh, row, column = found
    number = row * mesh.points.shape[1] + column
    seen, _ = in_sight(scene, mesh, np.array([number]))
    placed = scene.projection.place(inset(mesh.flat[[number]]))
    for x, y in in_cells(scene, placed[np.isfinite(placed).all(axis=1)]):
        if scene.area.holds(x, y):
            cells.put(x, y, _CURSOR if seen.size else _HIDDEN_CURSOR, Ink.BRIGHT)


def _draw_around(cells: Cells, scene: SeenPanel, looks: Mapping[str, Style], planes: list[Rule], shaded: bool) -> None:
    """The legend, the colour bar, the labels of axes and planes, and a note on what is not shown."""
    area, panel = scene.area, scene.panel
    for y, row in enumerate(legend(panel, looks, cells.width, cells.height)):
        cells.put_row(0, y, row)
    if cells.width > area.width:
        _draw_bar(cells, scene, shaded)
    labels = LabelWriter(cells, area)
    left_over = [f"beyond the axis: {clean(rule.label)}" for rule in panel.rules if rule not in planes]
    left_over += [
        f"{clean(mark.name)} is not drawn in space" for mark in panel.marks if not isinstance(mark, Surface | Cloud)
    ]
    edges = box.labelled_edges(scene.projection, scene.rear)
    for axis, span in enumerate(scene.space.axes):
        marks = box.axis_ticks(span, axis, area)
        edge = edges.get(axis)
        if edge is None or not box.label_axis(labels, scene.projection, edge, span, marks, scene.grain.down, area):
            left_over.append(f"{'xyz'[axis]}: {clean(span.axis.title)}")
    for rule, corners in zip(planes, plane_corners(scene, planes), strict=True):
        text = clean(rule.label)
        if not box.label_plane(labels, scene.projection, corners, text, scene.grain.down, area):
            left_over.append(f"plane: {text}")
    for text in left_over:
        labels.anywhere(text, Ink.DIM)


def _draw_bar(cells: Cells, scene: SeenPanel, shaded: bool) -> None:
    """The colours of heights at the right edge, with the ticks of z."""
    area, span = scene.area, scene.space.axes[2]
    x, top, height = area.right + 1, area.y + 1, area.height - 2
    units = 1 - (np.arange(2 * height) + 0.5) / (2 * height)
    steps = SHADED_RAMP + np.clip(units * RAMP_STEPS, 0, RAMP_STEPS - 1).astype(np.int64) * SHADES + _BAR_SHADE
    rows, columns = slice(top, top + height), slice(x, x + BAR_CELLS)
    if shaded:
        cells.glyph[rows, columns] = _density((units[0::2] + units[1::2]) / 2)[:, None]
        cells.ink[rows, columns] = steps[0::2, None]
    else:
        cells.glyph[rows, columns] = _UPPER
        cells.ink[rows, columns], cells.under[rows, columns] = steps[0::2, None], steps[1::2, None]
    marks = bar_ticks(scene.space, area.height)
    taken = set()
    for mark, at in zip(marks, span.unit(floats([mark.value for mark in marks])), strict=True):
        y = top + min(height - 1, int((1 - at) * height))
        if y not in taken:
            taken.add(y)
            cells.put(x + BAR_CELLS + 1, y, mark.label, Ink.TEXT)
