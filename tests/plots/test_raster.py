"""The raster against a z-buffer in exact arithmetic, pixel by pixel."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.plots.camera import Camera, projection
from kvtui.plots.raster import NONE, Image, crossings, lines, polygon, triangles

WIDTH, HEIGHT = 13, 9

quarters = st.integers(-16, 72).map(lambda n: n / 4)
eighths = st.integers(1, 80).map(lambda n: n / 8)
corner = st.tuples(quarters, quarters, eighths)
triangle = st.tuples(corner, corner, corner)


def weights_of(
    three: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]],
    column: int,
    row: int,
) -> tuple[Fraction, ...] | None:
    """Barycentric coordinates of a pixel's centre; None outside or where there is no area."""
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = (tuple(map(Fraction, one)) for one in three)
    x, y = Fraction(2 * column + 1, 2), Fraction(2 * row + 1, 2)
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    if area == 0:
        return None
    first = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area
    second = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area
    found = first, second, 1 - first - second
    return found if min(found) >= 0 else None


@given(st.lists(triangle, min_size=1, max_size=7))
def test_every_pixel_shows_its_nearest_triangle(
    found: list[tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]],
) -> None:
    image = Image(WIDTH, HEIGHT)
    corners = np.array(found)
    image.draw(corners, np.arange(len(found)), corners[..., 0], np.ones((len(found), 3)))
    for row in range(HEIGHT):
        for column in range(WIDTH):
            nearness = {}
            for number, three in enumerate(found):
                weights = weights_of(three, column, row)
                if weights is not None:
                    nearness[number] = sum(w * Fraction(c[2]) for w, c in zip(weights, three, strict=True))
            pixel = row * WIDTH + column
            if not nearness:
                assert image.owner[pixel] == NONE
                assert image.near[pixel] == -np.inf
                continue
            nearest = max(nearness.values())
            assert image.near[pixel] == pytest.approx(float(nearest), rel=1e-9)
            assert nearness[int(image.owner[pixel])] >= nearest - Fraction(1, 10**9)


@given(st.lists(triangle, min_size=1, max_size=7))
def test_hits_are_in_the_picture_and_their_weights_add_up(
    found: list[tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]],
) -> None:
    hits = triangles(np.array(found), WIDTH, HEIGHT)
    assert ((hits.pixel >= 0) & (hits.pixel < WIDTH * HEIGHT)).all()
    assert np.allclose(hits.weights.sum(axis=1), 1)


def test_what_has_no_area_or_no_place_is_not_drawn() -> None:
    nan = np.nan
    flat = [[1, 1, 1], [5, 5, 1], [3, 3, 1]]
    point = [[2, 2, 1]] * 3
    lost = [[nan, 1, 1], [5, 5, 1], [1, 5, 1]]
    far = [[100, 100, 1], [200, 100, 1], [100, 200, 1]]
    huge = [[-1e30, -1e30, 1], [1e30, -1e30, 1], [0, 1e30, 1]]
    assert not triangles(np.array([flat, point, lost, far], dtype=float), WIDTH, HEIGHT).pixel.size
    assert np.unique(triangles(np.array([huge]), WIDTH, HEIGHT).pixel).size == WIDTH * HEIGHT
    assert not triangles(np.empty((0, 3, 3)), WIDTH, HEIGHT).pixel.size
    assert not lines(np.array([[[nan, 1, 1], [5, 5, 1]]]), WIDTH, HEIGHT).pixel.size
    assert not lines(np.empty((0, 2, 3)), WIDTH, HEIGHT).pixel.size


@given(corner, corner)
def test_lines_have_no_gaps_and_reach_their_ends(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> None:
    hits = lines(np.array([[first, second]]), WIDTH, HEIGHT)
    places = np.stack((hits.pixel % WIDTH, hits.pixel // WIDTH), axis=1)
    for end in (first, second):
        if 0 <= end[0] < WIDTH and 0 <= end[1] < HEIGHT:
            assert [int(end[0]), int(end[1])] in places.tolist()
    assert (np.abs(np.diff(places, axis=0)) <= 1).all()
    assert np.allclose(hits.near, hits.weights @ [first[2], second[2]])


@given(st.tuples(quarters, quarters), st.tuples(quarters, quarters), st.tuples(quarters, quarters), eighths)
def test_a_polygon_is_its_two_triangles(
    start: tuple[float, float], across: tuple[float, float], along: tuple[float, float], near: float
) -> None:
    a, u, v = (np.array(found) for found in (start, across, along))
    flat = [a, a + u, a + u + v, a + v]
    rising = [near, near + 1, near + 3, near + 2]
    corners = np.array([[*place, rise] for place, rise in zip(flat, rising, strict=True)])
    mask, nearness = polygon(corners, WIDTH, HEIGHT)
    hits = triangles(corners[[[0, 1, 2], [0, 2, 3]]], WIDTH, HEIGHT)
    assert set(np.flatnonzero(mask)) == set(hits.pixel.tolist())
    assert np.allclose(nearness.ravel()[hits.pixel], hits.near)


@given(st.integers(-35, 35), st.integers(-17, 17), st.integers(0, 10**6))
def test_values_are_those_of_the_point_that_a_pixel_shows(around: int, above: int, seed: int) -> None:
    seen = projection(Camera(around * 5.0, above * 5.0), 0, 0, 40, 30)
    points = np.random.default_rng(seed).uniform(0, 1, (6, 3, 3))
    image = Image(40, 30)
    image.draw(seen.place(points), np.arange(6), points[..., 2], points[..., 0])
    shown = np.flatnonzero(image.owner != NONE)
    placed = np.stack((shown % 40 + 0.5, shown // 40 + 0.5, image.near[shown]), axis=1)
    back = seen.point(placed)
    assert np.allclose(image.value[shown], back[:, 2], atol=1e-5)
    assert np.allclose(image.light[shown], back[:, 0], atol=1e-5)


def test_only_what_lies_inside_is_drawn() -> None:
    corners = np.array([[[0, 0, 1], [12, 0, 1], [0, 12, 1]]], dtype=float)
    rises = np.array([[[0.0], [2.0], [0.0]]])
    image = Image(12, 12)
    image.draw(corners, np.zeros(1, dtype=np.int64), rises[..., 0], np.ones((1, 3)), inside=rises)
    columns = np.flatnonzero(image.owner == 0) % 12
    assert columns.min() == 0
    assert columns.max() == 5


def test_lines_of_equal_value_run_where_the_value_passes() -> None:
    image = Image(6, 2)
    image.owner[:] = [0, 0, 0, 0, 1, 1] * 2
    image.value[:] = [0.1, 0.2, 0.6, 0.7, 0.1, 0.1] * 2
    assert crossings(image, np.array([0.5])).astype(int).tolist() == [[0, 1, 0, 0, 0, 0]] * 2
    assert not crossings(image, np.array([0.9])).any()
    image.owner[:] = NONE
    assert not crossings(image, np.array([0.5])).any()
