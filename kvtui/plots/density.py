"""How samples are distributed: a histogram and a smooth estimate, both densities that enclose an area of 1."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kvtui.figures.figure import Floats, Histogram

_FINE_BINS = 1024
_REACH = 3.0


class Distribution(NamedTuple):
    """The edges of the bins with the density in each, and the smooth density at some values."""

    edges: Floats
    density: Floats
    at: Floats
    smooth: Floats


@lru_cache(maxsize=32)
def distribution(mark: Histogram) -> Distribution:
    """What ``mark`` shows; kept, since it does not change from one size of the picture to another."""
    return Distribution(*histogram(mark.samples, mark.bins), *kernel_density(mark.samples))


def histogram(samples: Floats, bins: int) -> tuple[Floats, Floats]:
    """The ``bins`` + 1 edges and the density within each bin; empty when no sample is a finite number."""
    finite = samples[np.isfinite(samples)]
    if not finite.size:
        return np.empty(0), np.empty(0)
    low, high = _ends(finite)
    counts, edges = np.histogram(finite, bins=max(1, bins), range=(low, high))
    return edges, counts / finite.size / np.diff(edges)


def kernel_density(samples: Floats, points: int = 256) -> tuple[Floats, Floats]:
    """A Gaussian kernel density estimate at ``points`` evenly spaced values; empty when all samples are equal.

    The bandwidth is Silverman's rule of thumb, 0.9 · min(standard deviation, IQR / 1.34) · n^(-1/5) (Density
    Estimation, 1986, eq. 3.31). Samples are counted in fine bins first, so a million cost as much as a few.
    """
    finite = samples[np.isfinite(samples)]
    low, high = _ends(finite) if finite.size else (0.0, 0.0)
    with np.errstate(all="ignore"):
        quartiles = np.percentile(finite, [25, 75]) if finite.size else np.zeros(2)
        spreads = [s for s in (float(finite.std()) if finite.size else 0.0, float(np.ptp(quartiles)) / 1.34) if s > 0]
    width = 0.9 * min(spreads) * finite.size**-0.2 if spreads else 0.0
    if not (np.isfinite(width) and width > (high - low) * 1e-6):
        return np.empty(0), np.empty(0)
    counts, edges = np.histogram(finite, bins=_FINE_BINS, range=(low, high))
    centers = (edges[:-1] + edges[1:]) / 2
    at = np.linspace(low - _REACH * width, high + _REACH * width, points)
    kernels = np.exp(-0.5 * ((at[:, None] - centers[None, :]) / width) ** 2)
    return at, kernels @ counts / (finite.size * width * np.sqrt(2 * np.pi))


def _ends(finite: Floats) -> tuple[float, float]:
    low, high = float(finite.min()), float(finite.max())
    if high / 2 - low / 2 > 0 and np.isfinite(high - low):
        return low, high
    middle, half = (low, max(abs(low) * 1e-3, 0.5)) if low == high else (0.0, np.finfo(np.float64).max / 4)
    return middle - half, middle + half
