"""Observables of maps: pixels, power spectrum and Minkowski functionals as curves, with distances and floors."""

from __future__ import annotations

import numpy as np

from calolab.samples import Sample
from calolab.spaces import with_unit
from calolab.validation.floors import Draws, profile_distances, with_floors
from calolab.validation.observables.observable import Curve
from calolab.validation.observables.texture import minkowski, pixel_contents, power_spectrum

_QUANTILES = 1000
# The description of each curve's distance.
MEASURES = {
    "ks": "KS",
    "rms_log_ratio": "rms ln(gen./ref.)",
    "relative_rms": "rms difference / rms",
}


def observe(reference: Sample, generated: Sample, thresholds: np.ndarray, draws: Draws) -> dict[str, Curve]:
    """The curves of two samples of maps by name: `pixels`, `power_spectrum`, `v0`, `v1` and `v2`.

    Args:
        reference, generated: maps of one space, in degrees.
        thresholds: thresholds of the Minkowski functionals [`space.unit`].
        draws: draws of the reference maps.
    """
    value, degree = with_unit(reference.space.quantity, reference.space.unit), reference.space.units[0]
    curves = {"pixels": _pixels(reference, generated, draws, value)}
    multipoles, spectra = power_spectrum(reference)
    spectra = spectra, power_spectrum(generated)[1]
    described = ("power_spectrum", "power spectrum", "multipole ℓ", "Cℓ", multipoles)
    curves["power_spectrum"] = _curve(described, spectra, _measured(spectra, draws, "rms_log_ratio", _log_ratio))
    functionals = (
        ("v0", "area V₀", "V₀"),
        ("v1", "boundary V₁", f"V₁ [1/{degree}]"),
        ("v2", "genus V₂", f"V₂ [1/{degree}²]"),
    )
    pairs = zip(*(minkowski(sample, thresholds) for sample in (reference, generated)))
    for (name, label, height), pair in zip(functionals, pairs):
        described = (name, label, value, height, thresholds)
        curves[name] = _curve(described, pair, _measured(pair, draws, "relative_rms", _relative_rms))
    return curves


def default_thresholds(sample: Sample) -> np.ndarray:
    """41 thresholds within -2.5 to 5 standard deviations about the mean of all pixels, as far as these extend.

    Raises:
        ValueError: if all pixels are equal.
    """
    mean, sigma = (float(f(sample.values, dtype=np.float64)) for f in (np.mean, np.std))
    if not sigma > 1e-6 * abs(mean):
        raise ValueError(f"All pixels of the reference are {mean:.4g}: there is no texture to compare with.")
    lowest, highest = np.quantile(sample.values, (1e-4, 1 - 1e-4))
    return np.linspace(max(mean - 2.5 * sigma, lowest), min(mean + 5 * sigma, highest), 41)


def _curve(described, pair, distances):
    """The curve of two samples, from one array of shape `(event, point)` for each."""
    means = [one.mean(axis=0) for one in pair]
    errors = [one.std(axis=0, ddof=1) / np.sqrt(len(one)) for one in pair]
    return Curve(*described, *means, *errors, distances)


def _measured(pair, draws, measure, function):
    """The distance of the mean curves, with its floor."""
    return with_floors(*profile_distances(*pair, draws, lambda *means: {measure: function(*means)}))


def _pixels(reference, generated, draws, value):
    """Density in equal bins for the figure, distance between the contents of quantiles of the reference."""
    low, high = np.quantile(reference.values, (2e-4, 1 - 2e-4))
    edges = np.linspace(low - 0.15 * (high - low), high + 0.15 * (high - low), 61)
    quantiles = np.unique(np.quantile(reference.values, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    density = [pixel_contents(sample, edges)[:, 1:-1] / np.diff(edges) for sample in (reference, generated)]
    fine = [pixel_contents(sample, quantiles) for sample in (reference, generated)]
    described = ("pixels", "pixels", value, "density", (edges[1:] + edges[:-1]) / 2)
    return _curve(described, density, _measured(fine, draws, "ks", _largest))


def _largest(reference, generated):
    return np.max(np.abs(np.cumsum(generated - reference)))


def _log_ratio(reference, generated):
    with np.errstate(divide="ignore"):  # the distance of maps without any power is infinite
        return np.sqrt(np.mean(np.log(generated / reference) ** 2))


def _relative_rms(reference, generated):
    return np.sqrt(np.mean((generated - reference) ** 2) / np.mean(reference**2))
