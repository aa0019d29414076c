"""Weak-lensing convergence maps, simulated as log-normal random fields with a given power spectrum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft

from calolab import spaces
from calolab.interrupts import stopping
from calolab.samples import Sample
from calolab.spaces import Space

Spectrum = tuple[np.ndarray, np.ndarray] | Callable[[np.ndarray], np.ndarray]

# Fitted to four ray-traced maps of one line of sight, with source redshifts from 0.49 to 1.50 and pixels of 0.41
# arcmin. Standard deviation and shift agree with all four within 12 %, the shape of the spectrum within 10 % for l from
# 500 to 10,000.
SIGMA, SIGMA_POWER = 0.0092, 1.13
SHIFT, SHIFT_POWER = 0.0195, 1.75
CUT, CUT_POWER = 1e4, 10


@stopping("the simulation of maps")
def maps(
    events: int,
    *,
    seed: int,
    space: str | Space = "convergence",
    redshift: float | np.ndarray = 1.0,
    spectrum: Spectrum | None = None,
    sigma: float | None = None,
    shift: float | None = None,
    periodic: bool = False,
) -> Sample:
    """Draw log-normal convergence maps: a Gaussian field, exponentiated and shifted so that its mean is zero.

    The convergence is `shift (exp(g - var(g)/2) - 1)` and never falls below `-shift`, the convergence of an empty beam
    (arXiv:astro-ph/0202090, arXiv:1105.3980). The correlation of the Gaussian field g is `ln(1 + xi/shift²)`, so that
    the maps, not g, have the requested spectrum (arXiv:1602.08503). One- and two-point statistics are those of lensing;
    there are no filaments or clusters.

    Args:
        events: number of maps.
        seed: seed of the fields; the first maps do not depend on the number of events.
        space: an image with axes in degrees.
        redshift: redshift of the sources, one number or one per event; it determines `sigma` and `shift` unless they
            are given.
        spectrum: two arrays, multipoles l and C_l (logarithmically interpolated, constant below the first l, zero above
            the last), e.g. from `validation.power_spectrum`; or a function of l. By default `lensing_spectrum`.
        sigma: standard deviation of the pixels; by default that of a given spectrum, otherwise `0.0092 redshift^1.13`.
        shift: minus the convergence of an empty beam, positive; by default `0.0195 redshift^1.75`.
        periodic: whether maps are periodic. By default they are cut out of periodic fields of twice their width, so
            that they have power on scales larger than the map and a mean that varies, like maps cut out of the sky.

    Returns:
        Dimensionless values `(event, row, column)`, and the label `redshift`.

    Raises:
        ValueError: for fewer than one event, a space that is not an image in degrees, or a redshift, spectrum, sigma or
            shift that is not positive.

    >>> maps(2, seed=1, redshift=0.5).values.shape
    (2, 256, 256)
    """
    space = _image_in_degrees(spaces.space(space))
    if events < 1:
        raise ValueError(f"maps expects at least one event, received {events}.")
    redshift = np.broadcast_to(np.asarray(redshift, dtype=np.float64), (events,))
    _positive("redshift", redshift)
    sigmas = SIGMA * redshift**SIGMA_POWER if sigma is None else np.full(events, float(sigma))
    shifts = SHIFT * redshift**SHIFT_POWER if shift is None else np.full(events, float(shift))
    _positive("sigma", sigmas)
    _positive("shift", shifts)

    rows, columns = space.shape
    grid = space.shape if periodic else (2 * rows, 2 * columns)
    power = _pixel_power(space, grid, lensing_spectrum if spectrum is None else spectrum)
    if spectrum is not None and sigma is None:
        sigmas = np.full(events, np.sqrt(power.sum()))
    correlation = fft.irfft2(_half(power), grid, norm="forward")
    correlation /= correlation[0, 0]

    random = np.random.default_rng(seed)
    values = np.empty((events, rows, columns), np.float32)
    made = None
    for event, strength in enumerate(zip(sigmas, shifts)):
        if strength != made:
            amplitude, half_variance = _gaussian(correlation, *strength)
            made = strength
        waves = fft.rfft2(random.standard_normal(grid, dtype=np.float32)) * amplitude
        field = fft.irfft2(waves, grid)[:rows, :columns]
        values[event] = strength[1] * np.expm1(field - half_variance)
    origin = {"simulation": "log-normal field", "seed": seed, "periodic": periodic}
    return Sample(values, {"redshift": redshift}, space, origin)


def lensing_spectrum(multipole: np.ndarray) -> np.ndarray:
    """Shape of the convergence spectrum: `l² C_l` proportional to `l / (1 + (l/10⁴)²)¹⁰`, with `C_l = 1` at l = 1000.

    A fit to ray-traced maps for l from 500 to 10,000, with a cut-off at their resolution; `maps` scales it to the
    standard deviation.

    >>> lensing_spectrum(1000.0)
    np.float64(1.0)
    """
    multipole = np.asarray(multipole, dtype=np.float64)
    return (1000 / multipole) * ((1 + (1000 / CUT) ** 2) / (1 + (multipole / CUT) ** 2)) ** CUT_POWER


def _pixel_power(space: Space, grid: tuple[int, int], spectrum: Spectrum) -> np.ndarray:
    """Contribution of each Fourier mode to the variance of a pixel; that of the mean is zero."""
    width = [np.deg2rad((edges[-1] - edges[0]) / cells) for edges, cells in zip(space.layers[0].edges, space.shape)]
    waves = [2 * np.pi * fft.fftfreq(cells, step) for cells, step in zip(grid, width)]
    multipole = np.hypot(waves[0][:, None], waves[1])
    power = np.zeros(grid)
    inside = multipole > 0
    if callable(spectrum):
        found = np.asarray(spectrum(multipole[inside]), dtype=np.float64)
    else:
        known, content = (np.asarray(column, dtype=np.float64) for column in spectrum)
        rising = known.ndim == 1 and len(known) > 1 and known[0] > 0 and np.all(np.diff(known) > 0)
        if not rising or known.shape != content.shape:
            raise ValueError(
                "spectrum expects two arrays of equal length, increasing positive multipoles and C_l, received shapes "
                f"{known.shape} and {content.shape}."
            )
        _positive("spectrum", content)
        found = np.interp(np.log(multipole[inside]), np.log(known), np.log(content), right=-np.inf)
        found = np.exp(found)
    if found.shape != multipole[inside].shape or not np.all(np.isfinite(found) & (found >= 0)) or not found.any():
        raise ValueError("spectrum expects a function of multipoles that returns finite, non-negative C_l, not all 0.")
    power[inside] = found / (grid[0] * width[0] * grid[1] * width[1])
    return power


def _gaussian(correlation: np.ndarray, sigma: float, shift: float) -> tuple[np.ndarray, float]:
    """Factors on the modes of white noise, and half the variance, of the Gaussian field of a log-normal field."""
    # A log-normal field cannot have a correlation of -1 or less in units of the squared shift.
    wanted = np.log1p(np.maximum((sigma / shift) ** 2 * correlation, -0.999))
    # The power of some modes is slightly negative, mostly near the cut-off, which no field can have.
    power = np.maximum(fft.rfft2(wanted).real, 0)
    power[0, 0] = 0
    variance = fft.irfft2(power, correlation.shape)[0, 0]
    return np.sqrt(power).astype(np.float32), np.float32(variance / 2)


def _half(power: np.ndarray) -> np.ndarray:
    """The half of a symmetric spectrum that a real Fourier transform needs."""
    return power[:, : power.shape[1] // 2 + 1]


def _image_in_degrees(space: Space) -> Space:
    if space.has_depth or len(space.axes) != 2 or set(space.units) != {"deg"}:
        raise ValueError(
            f"maps expects an image with axes in degrees, such as 'convergence'; space {space.name!r} has "
            f"the axes {', '.join(map(space.axis_label, space.axes))}."
        )
    return space


def _positive(name: str, values: np.ndarray) -> None:
    if not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError(f"{name} expects positive finite numbers, the lowest is {np.min(values)}.")
