"""The camera: the box fits from all sides, snap views are plots, and projection can be undone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kvtui.engine.basis.errors import InputError
from kvtui.plots.camera import LEAST_ZOOM, MOST_ZOOM, Camera, CameraAxis, projection

CORNERS = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])

cameras = st.builds(Camera, st.floats(-720, 720), st.floats(-120, 120), st.floats(0.01, 20))
round_cameras = st.builds(
    Camera, st.integers(-40, 40).map(lambda n: n * 5.0), st.integers(-18, 18).map(lambda n: n * 5.0), st.just(1.0)
)
shares = st.floats(-0.5, 1.5)
points = st.lists(st.tuples(shares, shares, shares), min_size=1, max_size=20).map(np.asarray)


@given(cameras, points, st.sampled_from((1.0, 2.0)))
def test_a_place_leads_back_to_its_point(camera: Camera, found: NDArray[Any], pixel_height: float) -> None:
    seen = projection(camera, 3, 2, 120, 80, pixel_height)
    assert np.allclose(seen.point(seen.place(found)), found, atol=1e-6)


@given(round_cameras, st.integers(1, 300), st.integers(1, 150), st.sampled_from((1.0, 2.0)))
def test_the_box_fits(camera: Camera, width: int, height: int, pixel_height: float) -> None:
    placed = projection(camera, 5, 7, width, height, pixel_height).place(CORNERS)
    assert placed[:, 0].min() >= 5 - 1e-6
    assert placed[:, 0].max() <= 5 + width + 1e-6
    assert placed[:, 1].min() >= 7 - 1e-6
    assert placed[:, 1].max() <= 7 + height + 1e-6


@given(st.integers(-17, 17), st.floats(-180, 180))
def test_turning_does_not_change_the_size(steps: int, azimuth: float) -> None:
    elevation = steps * 5.0 + 1
    first, second = (projection(Camera(a, elevation), 0, 0, 150, 90) for a in (-60.0, azimuth))
    assert np.array_equal(first.scale, second.scale)


@given(cameras, points, points)
def test_nearness_is_linear_along_lines_of_the_picture(
    camera: Camera, first: NDArray[Any], second: NDArray[Any]
) -> None:
    a, b = first[0], second[0]
    seen = projection(camera, 0, 0, 100, 60)
    ends, inner = seen.place(np.array([a, b])), seen.place((a + b) / 2)
    long = ends[1, :2] - ends[0, :2]
    if np.abs(long).max() > 1e-3:
        share = (inner[:2] - ends[0, :2]) @ long / (long @ long)
        assert inner[2] == pytest.approx(ends[0, 2] + share * (ends[1, 2] - ends[0, 2]), rel=1e-6)


@given(cameras)
def test_what_is_toward_the_eye_is_nearer(camera: Camera) -> None:
    axes = camera.axes
    assert np.allclose(axes @ axes.T, np.eye(3))
    seen = projection(camera, 0, 0, 100, 60)
    middle, nearer = seen.place(np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5] + 0.1 * axes[2]]))
    assert nearer[2] > middle[2]


@pytest.mark.parametrize(
    ("view", "right", "up"), [("z", (1, 0, 0), (0, 1, 0)), ("y", (1, 0, 0), (0, 0, 1)), ("x", (0, 1, 0), (0, 0, 1))]
)
def test_snap_views_are_plots(view: CameraAxis, right: tuple[int, int, int], up: tuple[int, int, int]) -> None:
    seen = projection(Camera(33, 12).along(view), 10, 20, 100, 60)
    origin = seen.place(np.zeros(3))
    assert origin[:2] == pytest.approx((10, 80), abs=1e-3)
    assert seen.place(np.array(right, dtype=float))[:2] == pytest.approx((110, 80), abs=1e-3)
    assert seen.place(np.array(up, dtype=float))[:2] == pytest.approx((10, 20), abs=1e-3)


def test_steps_zoom_and_bounds() -> None:
    assert Camera(170).turned(20, 0).azimuth == -170
    assert Camera(0, 88).turned(0, 5).elevation == 90
    assert Camera().zoomed(500).zoom == MOST_ZOOM
    assert Camera().zoomed(-500).zoom == LEAST_ZOOM
    assert Camera().zoomed(3).zoomed(-3).zoom == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_no_camera(bad: float) -> None:
    with pytest.raises(InputError, match="camera"):
        Camera(azimuth=bad)
