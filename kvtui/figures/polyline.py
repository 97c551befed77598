"""Lines of very many points, with no more of them than can be told apart."""

from __future__ import annotations

import numpy as np

from kvtui.figures.figure import Floats


def thin(u: Floats, v: Floats, columns: int) -> tuple[Floats, Floats]:
    """The line through (``u``, ``v``) in 0 to 1 with at most four points in each of so many ``columns``, as a rule.

    Of neighbours in one column the first, the least, the largest and the last are kept.
    """
    if u.size <= 4 * columns:
        return u, v
    with np.errstate(invalid="ignore"):
        column = np.where(np.isfinite(u) & np.isfinite(v), np.floor(u * columns), -np.inf)
    starts = np.flatnonzero(np.concatenate(([True], column[1:] != column[:-1])))
    if 4 * starts.size >= u.size:
        return u, v
    ends = np.concatenate((starts[1:], [u.size])) - 1
    heights = v[starts], np.minimum.reduceat(v, starts), np.maximum.reduceat(v, starts), v[ends]
    return np.stack([u[starts], u[starts], u[starts], u[ends]], axis=-1).ravel(), np.stack(heights, axis=-1).ravel()
