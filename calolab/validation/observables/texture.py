"""Texture of maps: angular power spectrum, Minkowski functionals, and the distribution of pixel values."""

from __future__ import annotations

import numpy as np
from scipy import fft
from scipy.special import erfc

from calolab.samples import Sample
from calolab.spaces import Space

_PIECE = 64  # Maps that are processed at a time: about ten MB.


def power_spectrum(sample: Sample, bins: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Angular power spectrum of each map: |FFT|² averaged over directions, in the flat-sky limit.

    The maps are used without a window: where opposite edges do not match, some of the power of long waves leaks into
    short ones, equally in all maps of one kind.

    Args:
        sample: maps in a plain image whose axes are in degrees.
        bins: approximate number of bins, in equal steps of log l as far as whole waves allow.

    Returns:
        Multipoles l, the mean of the waves in each bin, shape `(bin,)`, and C_l [`space.unit`² steradian], shape
        `(event, bin)`; the last wave is that of two pixels, 180 degrees / (their width).

    Raises:
        ValueError: if the space is not an image in degrees.
    """
    space = sample.space
    check_image(space)
    width, cells = np.deg2rad(_pixel(space)), np.array(space.shape)
    waves = [2 * np.pi * fft.fftfreq(cells[0], width[0]), 2 * np.pi * fft.rfftfreq(cells[1], width[1])]
    multipole = np.hypot(waves[0][:, None], waves[1])
    longest = 2 * np.pi / np.max(cells * width)
    steps = np.unique(np.round(np.geomspace(1, np.pi / np.max(width) / longest, bins + 1)))
    edges = longest * (steps - 0.5)
    which = np.searchsorted(edges, multipole.ravel(), side="right") - 1
    inside = (which >= 0) & (which < len(edges) - 1)
    # The waves of a real map come in pairs, of which the transform has one, but both in the first and the last column.
    pairs = np.full(multipole.shape, 2.0)
    pairs[:, 0] = 1
    if cells[1] % 2 == 0:
        pairs[:, -1] = 1
    which, pairs = which[inside], pairs.ravel()[inside]
    number = np.bincount(which, pairs)
    spectrum = np.empty((len(sample), len(number)))
    for start in range(0, len(sample), _PIECE):
        transformed = fft.rfft2(sample.values[start : start + _PIECE])
        power = (np.abs(transformed) ** 2).reshape(len(transformed), -1)[:, inside]
        for event, one in enumerate(power, start):
            spectrum[event] = np.bincount(which, one * pairs) / number
    spectrum *= np.prod(width) / np.prod(cells)
    return np.bincount(which, multipole.ravel()[inside] * pairs) / number, spectrum


def minkowski(sample: Sample, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minkowski functionals of the regions above each threshold: area, boundary length and Euler characteristic.

    Per area of a map: V0 is the fraction of it above the threshold, V1 a quarter of the boundary's length, V2 its
    curvature over 2 pi, which counts regions minus holes; V1 and V2 are integrals over the pixels whose value is
    within half a step of the threshold (arXiv:1706.02390, arXiv:astro-ph/0202090), with differences of neighbouring
    pixels as derivatives, so that structures of few pixels are measured only approximately.

    Args:
        sample: maps in a plain image.
        thresholds: at least two thresholds in equal increasing steps [`space.unit`].

    Returns:
        V0, V1 [1/axis unit] and V2 [1/axis unit²], each of shape `(event, threshold)`.

    Raises:
        ValueError: if the space is not an image with axes in one unit, or the steps of the thresholds are not equal.
    """
    space, thresholds = sample.space, np.asarray(thresholds, dtype=np.float64)
    check_image(space, unit=None)
    steps = np.diff(thresholds)
    if thresholds.ndim != 1 or len(thresholds) < 2 or not steps[0] > 0 or not np.allclose(steps, steps[0], rtol=1e-3):
        raise ValueError(f"minkowski expects thresholds that increase in equal steps, received {thresholds}.")
    step, (dy, dx) = (thresholds[-1] - thresholds[0]) / (len(thresholds) - 1), np.float32(_pixel(space))
    found = np.empty((3, len(sample), len(thresholds)))
    for event, m in enumerate(sample.values):
        # Bins of half a step: their edges are the thresholds and the middles between them.
        half = np.floor((m - (thresholds[0] - step / 2)) * (2 / step))
        half = np.clip(half, -1, 2 * len(thresholds)).astype(np.int64) + 1
        content = np.bincount(half.ravel(), minlength=2 * len(thresholds) + 2)
        above = np.cumsum(content[::-1])[::-1]
        found[0, event] = above[2::2] / m.size

        y, x = (m[2:, 1:-1] - m[:-2, 1:-1]) / (2 * dy), (m[1:-1, 2:] - m[1:-1, :-2]) / (2 * dx)
        yy = (m[2:, 1:-1] - 2 * m[1:-1, 1:-1] + m[:-2, 1:-1]) / dy**2
        xx = (m[1:-1, 2:] - 2 * m[1:-1, 1:-1] + m[1:-1, :-2]) / dx**2
        xy = (m[2:, 2:] - m[2:, :-2] - m[:-2, 2:] + m[:-2, :-2]) / (4 * dy * dx)
        squared = x * x + y * y
        curvature = (2 * x * y * xy - x * x * yy - y * y * xx) / np.where(squared > 0, squared, 1)
        where = (half[1:-1, 1:-1].ravel() + 1) // 2
        for functional, integrand in ((1, np.sqrt(squared) / 4), (2, curvature / (2 * np.pi))):
            sums = np.bincount(where, integrand.ravel(), minlength=len(thresholds) + 2)
            found[functional, event] = sums[1:-1] / (step * squared.size)
    return found[0], found[1], found[2]


def gaussian_minkowski(
    thresholds: np.ndarray, sigma: float, gradient: float, mean: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minkowski functionals expected of a Gaussian random field in the plane (Tomita, Prog. Theor. Phys. 76, 952).

    Args:
        thresholds: shape `(threshold,)`.
        sigma: standard deviation of the field.
        gradient: root of the mean squared gradient.
        mean: mean of the field.

    Returns:
        V0, V1 and V2 as `minkowski` measures them, each of shape `(threshold,)`.
    """
    x = (np.asarray(thresholds, dtype=np.float64) - mean) / sigma
    bell, ratio = np.exp(-(x**2) / 2), gradient / sigma
    return erfc(x / np.sqrt(2)) / 2, ratio / np.sqrt(128) * bell, ratio**2 / (2 * (2 * np.pi) ** 1.5) * x * bell


def pixel_contents(sample: Sample, edges: np.ndarray) -> np.ndarray:
    """Fractions of each map's pixels below the first edge, between neighbouring edges, and above the last.

    Args:
        sample: maps, or any other images.
        edges: increasing edges [`space.unit`], shape `(edge,)`.

    Returns:
        Shape `(event, edge + 1)`; a value on an edge counts above it.
    """
    contents = np.empty((len(sample), len(edges) + 1))
    for event, values in enumerate(sample.values):
        below = np.searchsorted(np.sort(values, axis=None), edges)
        contents[event] = np.diff(below, prepend=0, append=values.size) / values.size
    return contents


def _pixel(space):
    """Height and width of a pixel, in the axes' units."""
    return np.array([(edges[-1] - edges[0]) / (len(edges) - 1) for edges in space.layers[0].edges])


def check_image(space: Space, unit: str | None = "deg") -> None:
    """Raise ValueError unless a space is a plain image whose axes have one unit, and this one unless it is None.

    Args:
        space: the space.
        unit: unit of its axes, or None for any.
    """
    if (
        space.has_depth
        or len(space.axes) != 2
        or space.units[0] != space.units[1]
        or unit not in (None, space.units[0])
    ):
        raise ValueError(
            f"Expected maps, a plain image whose axes are {'in degrees' if unit else 'in one unit'}, such as "
            f"'convergence'; space {space.name!r} has the axes {', '.join(map(space.axis_label, space.axes))}."
        )
