"""Where the eye is, and how the box around the data comes onto the picture and back.

The box is the cube from 0 to 1 in x, y and z, drawn with the sides SHAPE. Pictures have columns to the right and rows
downward, both real numbers: pixel (0, 0) covers 0 to 1 of each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, isfinite, radians, sin
from typing import Literal, NamedTuple

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.figures.figure import Floats

STEP = 5.0
ZOOM_STEP = 1.15
LEAST_ZOOM, MOST_ZOOM = 0.4, 6.0
SHAPE = np.array([1.0, 1.0, 0.72])
MOST_STRETCH = 1.7
"""How much wider than in nature the box may be drawn to fill a wide picture, and how much higher."""

NEAR_EYE, FAR_EYE = 3.6, 1e6
_INSET = 0.999
_CORNERS = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])

CameraAxis = Literal["x", "y", "z"]


@dataclass(frozen=True, slots=True)
class Camera:
    """The direction of the eye from the middle of the box, in degrees, and the magnification.

    ``azimuth`` 0 looks from the far end of x, −90 from the near end of y; ``elevation`` 90 looks from above. Angles are
    brought into −180 … 180 and −90 … 90, the zoom into its bounds. Raises InputError for what is no number.
    """

    azimuth: float = -60.0
    elevation: float = 25.0
    zoom: float = 1.0

    def __post_init__(self) -> None:
        if not all(isfinite(value) for value in (self.azimuth, self.elevation, self.zoom)):
            raise InputError(f"camera: {self.azimuth}, {self.elevation}, {self.zoom} are not all numbers")
        object.__setattr__(self, "azimuth", (self.azimuth + 180.0) % 360.0 - 180.0)
        object.__setattr__(self, "elevation", min(90.0, max(-90.0, self.elevation)))
        object.__setattr__(self, "zoom", min(MOST_ZOOM, max(LEAST_ZOOM, self.zoom)))

    def turned(self, right: float, up: float) -> Camera:
        """The eye moved by ``right`` and ``up`` degrees."""
        return replace(self, azimuth=self.azimuth + right, elevation=self.elevation + up)

    def zoomed(self, steps: float) -> Camera:
        """The picture enlarged by ``steps``, or made smaller by a negative number of them."""
        return replace(self, zoom=self.zoom * ZOOM_STEP**steps)

    def along(self, view: CameraAxis) -> Camera:
        """The eye on the axis ``view``: z shows x to the right and y upward, x and y show z upward."""
        match view:
            case "x":
                return replace(self, azimuth=0.0, elevation=0.0)
            case "y":
                return replace(self, azimuth=-90.0, elevation=0.0)
        return replace(self, azimuth=-90.0, elevation=90.0)

    @property
    def flat(self) -> bool:
        """Whether the eye is on an axis; the picture then has no perspective, so that it can be read as a plot."""
        return (self.elevation == 0 or abs(self.elevation) == 90) and self.azimuth % 90 == 0

    @property
    def axes(self) -> Floats:
        """Unit vectors to the right, up and toward the eye, one per row."""
        return _axes(self.azimuth, self.elevation)


class Projection(NamedTuple):
    """From points of the box to columns, rows and nearness, and back.

    Nearness is the inverse of the distance from the eye. It is linear over the picture along every straight line of the
    box, as columns and rows are; a larger one hides a smaller one.
    """

    axes: Floats
    eye: float
    scale: Floats
    centre: Floats

    def place(self, points: Floats) -> Floats:
        """Column, row and nearness of ``points``, which have x, y and z in their last dimension."""
        seen = ((points - 0.5) * SHAPE) @ self.axes.T
        near = 1.0 / (self.eye - seen[..., 2])
        flat = seen[..., :2] * (near * self.eye)[..., None] * self.scale + self.centre
        return np.concatenate((flat, near[..., None]), axis=-1)

    def point(self, placed: Floats) -> Floats:
        """The points of the box at columns, rows and nearnesses: the inverse of ``place``."""
        near = placed[..., 2]
        flat = (placed[..., :2] - self.centre) / self.scale / (near * self.eye)[..., None]
        seen = np.concatenate((flat, (self.eye - 1.0 / near)[..., None]), axis=-1)
        points: Floats = (seen @ self.axes) / SHAPE + 0.5
        return points


def inset(points: Floats) -> Floats:
    """``points`` of the box drawn in by a hair, so that its edges fall into pixels within it and never beside them."""
    return 0.5 + (points - 0.5) * _INSET


def projection(
    camera: Camera, left: float, top: float, width: float, height: float, pixel_height: float = 1.0
) -> Projection:
    """The projection that fits the box into ``width`` × ``height`` pixels from column ``left`` and row ``top``.

    The size does not change while the azimuth does. ``pixel_height`` is a pixel's height over its width.
    """
    low, high = _reach(camera.azimuth if camera.flat else None, camera.elevation)
    across, down = max(width, 1.0) / (high[0] - low[0]), max(height, 1.0) / (high[1] - low[1])
    if not camera.flat:
        across, down = (
            min(across, down * pixel_height * MOST_STRETCH),
            min(down, across / pixel_height * MOST_STRETCH),
        )
    scale = np.array([across, -down]) * camera.zoom
    centre = np.array([left + width / 2, top + height / 2]) - (low + high) / 2 * scale
    return Projection(camera.axes, _eye(camera.flat), scale, centre)


def _eye(flat: bool) -> float:
    return FAR_EYE if flat else NEAR_EYE


@lru_cache(maxsize=256)
def _axes(azimuth: float, elevation: float) -> Floats:
    around, above = radians(azimuth), radians(elevation)
    return np.array(
        [
            [-sin(around), cos(around), 0.0],
            [-sin(above) * cos(around), -sin(above) * sin(around), cos(above)],
            [cos(above) * cos(around), cos(above) * sin(around), sin(above)],
        ]
    )


@lru_cache(maxsize=256)
def _reach(azimuth: float | None, elevation: float) -> tuple[Floats, Floats]:
    """Least and largest place of the box's corners at unit scale: at an azimuth, or over all of them."""
    turns = range(-180, 180, int(STEP)) if azimuth is None else (azimuth,)
    places = [
        Projection(_axes(float(turn), elevation), _eye(azimuth is not None), np.ones(2), np.zeros(2)).place(_CORNERS)
        for turn in turns
    ]
    flat = np.concatenate(places)[:, :2]
    return flat.min(axis=0), flat.max(axis=0)
