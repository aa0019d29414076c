"""Observables of jet images: mass, transverse momentum and prongs from pixels, pixel spectrum, nearest neighbours."""

from __future__ import annotations

import numpy as np

from calolab.samples import Sample
from calolab.spaces import Space
from calolab.validation.binning import histogram_edges, pixel_edges
from calolab.validation.observables.cells import spectrum
from calolab.validation.observables.observable import Observable

CLASSES = {1.0: "W boson", 0.0: "QCD"}
_BINS = 40  # of the spectrum of the pixels
_PIECE = 256  # Images whose prongs are found at a time: few enough for a processor's cache.
_ROWS = 512  # Images compared with all others at a time.


def pairs_of_classes(reference: Sample, generated: Sample) -> list[tuple[str, Sample, Sample]]:
    """Name, reference and generated images of each class, by the label `signal`; `"all"` where a sample lacks it.

    Args:
        reference, generated: jet images.

    Raises:
        ValueError: if the classes differ, or the label is neither 1 nor 0.
    """
    if not all("signal" in sample.labels for sample in (reference, generated)):
        return [("all", reference, generated)]
    found = [set(np.unique(sample.labels["signal"])) for sample in (reference, generated)]
    if found[0] != found[1] or not found[0] <= set(CLASSES):
        raise ValueError(
            "compare_jet_images expects the same classes in both samples, the label signal 1 or 0; received "
            f"{sorted(found[0])} and {sorted(found[1])}."
        )
    return [
        (name, *(sample.select(sample.labels["signal"] == signal) for sample in (reference, generated)))
        for signal, name in CLASSES.items()
        if signal in found[0]
    ]


def observe(reference: Sample, generated: Sample) -> dict[str, Observable]:
    """The observables of two samples of one class by name, without distances.

    Args:
        reference, generated: jet images of one space; the reference with at least one positive pixel.

    Returns:
        `mass`, `pt`, `tau_21`, and `pixels`, the spectrum of the pixels.
    """
    variables = {
        "mass": ("image mass", "GeV", image_mass),
        "pt": ("image pt", "GeV", image_pt),
        "tau_21": ("τ₂₁ of the pixels", "", image_tau_21),
    }
    found = {}
    for name, (label, unit, function) in variables.items():
        values = function(reference), function(generated)
        found[name] = Observable(name, label, unit, histogram_edges(*values), *values)
    filled = reference.values[reference.values > 0]
    edges = pixel_edges(filled.min(), max(filled.max(), generated.values.max()), _BINS)
    spectra = spectrum(reference, edges), spectrum(generated, edges)
    height = "pixels per image and bin"
    found["pixels"] = Observable("pixels", "pixels", "GeV", edges, *spectra, height=height, logarithmic=True)
    return found


def image_pt(images: Sample) -> np.ndarray:
    """Transverse momentum of each image, the vector sum over its pixels, shape `(event,)` [GeV].

    Raises:
        ValueError: if the space is not an image of transverse momentum in eta and phi.
    """
    px, py, _, _ = _momentum(images)
    return np.hypot(px, py)


def image_mass(images: Sample) -> np.ndarray:
    """Invariant mass of each image, every pixel a massless particle at its centre, shape `(event,)` [GeV].

    Raises:
        ValueError: if the space is not an image of transverse momentum in eta and phi.
    """
    px, py, pz, energy = _momentum(images)
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


def image_tau_21(images: Sample) -> np.ndarray:
    """Ratio of the two-prong to the one-prong N-subjettiness, tau_2 / tau_1 (arXiv:1011.2268), shape `(event,)`.

    Measured in pixels as LAGAN's authors do (arXiv:1701.05927): tau_N is the mean distance to the nearest of N axes,
    weighted with the transverse momentum. The single axis is the hardest pixel; the two axes are the two pixels that
    remain when pixels are clustered with kt, where the harder of two pixels keeps its position. It differs from the
    `tau_21` of a jet's constituents, whose axes are minimised: compare pixels with pixels only.

    Returns:
        About 0 for two prongs, towards 1 for none; 0 for a single pixel, NaN for an empty image.

    Raises:
        ValueError: if the space is not an image of transverse momentum in eta and phi.
    """
    _check(images.space)
    eta, phi = (grid.ravel() for grid in np.meshgrid(*_centres(images.space), indexing="ij"))
    distance = np.hypot(eta[:, None] - eta, phi[:, None] - phi)
    values = np.maximum(images.values.reshape(len(images), images.space.n_cells), 0).astype(np.float64)
    filled = np.count_nonzero(values > 0, axis=1)
    found = np.full(len(images), np.nan)
    # Images with similar numbers of pixels are processed together, so that no image waits for others.
    order = np.argsort(filled, kind="stable")
    order = order[filled[order] > 0]
    for start in range(0, len(order), _PIECE):
        chosen = order[start : start + _PIECE]
        width = filled[chosen].max()
        pixel = np.argsort(-values[chosen], axis=1, kind="stable")[:, :width]
        pt = np.take_along_axis(values[chosen], pixel, axis=1)
        axes = _two_axes(pt, pixel, np.round(distance**2, 9))
        two = np.minimum(distance[axes[:, 0]], distance[axes[:, 1]])
        # Over all pixels in their order: the sums then do not depend on the other images.
        tau_1, tau_2 = (np.sum(values[chosen] * apart, axis=1) for apart in (distance[pixel[:, 0]], two))
        found[chosen] = np.divide(tau_2, tau_1, out=np.zeros(len(chosen)), where=tau_1 > 0)
    return found


def nearest(images: Sample, among: Sample | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The most similar image of another sample, or of the same one: has a generator memorised training images?

    Args:
        images: any images.
        among: images of the same space; by default the images themselves, each without itself.

    Returns:
        The index in `among` of the image nearest to each, and its distance: the root of the sum of squared differences
        over all pixels [`space.unit`], both of shape `(event,)`.

    Raises:
        ValueError: if the spaces differ, or there is no image to search among.
    """
    others = images if among is None else among
    if others.space != images.space or len(others) < 1 + (among is None):
        raise ValueError(
            f"nearest expects other images in the space {images.space.name!r}, received {len(others)} in "
            f"{others.space.name!r}{' and none else' if among is None else ''}."
        )
    rows, columns = (s.values.reshape(len(s), s.space.n_cells).astype(np.float64) for s in (images, others))
    sizes = np.sum(columns**2, axis=1)
    index, distance = np.empty(len(rows), dtype=np.int64), np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        row = rows[start : start + _ROWS]
        squared = sizes - 2 * row @ columns.T
        if among is None:
            squared[np.arange(len(row)), start + np.arange(len(row))] = np.inf
        best = squared.argmin(axis=1)
        index[start : start + len(row)] = best
        # Computed directly: as a difference of large numbers, the distance of an exact copy would not be exactly zero.
        distance[start : start + len(row)] = np.sqrt(np.sum((row - columns[best]) ** 2, axis=1))
    return index, distance


def _two_axes(pt: np.ndarray, pixel: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Positions of the two pixels that are left of each image after clustering, shape `(event, 2)`.

    The kt distance of a pair is the square of the smaller pt times that of the distance, so the closest pair of all is
    a pixel and the nearest of those harder than it: one distance per pixel is enough. On a grid many are equally near;
    the hardest of them is taken.

    Args:
        pt: pixels in order of decreasing pt, empty ones at the end, shape `(event, pixel)`.
        pixel: their positions.
        squared: squared distances between positions; equal distances must be equal to the last digit.
    """
    pt, gap, near = pt.copy(), np.full(pt.shape, np.inf), np.zeros(pt.shape, dtype=np.int64)
    for column in range(1, pt.shape[1]):
        to_harder = squared[pixel[:, column, None], pixel[:, :column]]
        near[:, column] = to_harder.argmin(axis=1)
        gap[:, column] = np.where(pt[:, column] > 0, to_harder.min(axis=1), np.inf)
    left = np.count_nonzero(pt > 0, axis=1)
    while left.max() > 2:
        if left.max() < 0.7 * pt.shape[1]:
            pt, gap, near, pixel = _without_gone(pt, gap, near, pixel, left.max())
        _merge(pt, gap, near, pixel, squared, np.flatnonzero(left > 2))
        left = np.maximum(left - 1, np.minimum(left, 2))
    # A single pixel is both axes.
    kept = np.argsort(pt == 0, axis=1, kind="stable")[:, : min(2, pt.shape[1])]
    kept = np.where((left > 1)[:, None], kept, kept[:, :1])
    return np.take_along_axis(pixel, kept, axis=1)[:, [0, -1]]


def _merge(pt, gap, near, pixel, squared, events):
    """Merge the closest pair of each of these events, in place."""
    columns = np.arange(pt.shape[1])

    def search(rows, column):
        """The nearest of those harder than the given pixel of each row; of equally hard ones the first is harder."""
        own = pt[rows, column][:, None]
        harder = (pt[rows] > own) | ((pt[rows] == own) & (columns < column[:, None]))
        apart = np.where(harder, squared[pixel[rows, column][:, None], pixel[rows]], np.inf)
        gap[rows, column] = apart.min(axis=1)
        near[rows, column] = np.where(apart == gap[rows, column][:, None], pt[rows], -1).argmax(axis=1)

    finite = np.isfinite(gap[events])
    soft = np.where(finite, pt[events] ** 2 * np.where(finite, gap[events], 0), np.inf).argmin(axis=1)
    hard = near[events, soft]
    pt[events, hard] += pt[events, soft]
    pt[events, soft] = 0
    gap[events, soft] = np.inf
    # Pixels whose nearest one was merged need a new one, and so does the pixel that grew.
    orphan, column = np.nonzero((near[events] == soft[:, None]) & np.isfinite(gap[events]))
    search(np.append(events[orphan], events), np.append(column, hard))
    # The pixel that grew may now be harder than others, and nearer to them.
    apart, own = squared[pixel[events], pixel[events, hard][:, None]], pt[events, hard][:, None]
    softer = (pt[events] < own) | ((pt[events] == own) & (columns > hard[:, None]))
    than = gap[events], np.take_along_axis(pt[events], near[events], axis=1)
    closer = softer & (pt[events] > 0) & ((apart < than[0]) | ((apart == than[0]) & (own > than[1])))
    gap[events] = np.where(closer, apart, gap[events])
    near[events] = np.where(closer, hard[:, None], near[events])


def _without_gone(pt, gap, near, pixel, width):
    """The same without the pixels that have been merged into others."""
    kept = np.argsort(pt == 0, axis=1, kind="stable")[:, :width]
    place = np.zeros(pt.shape, dtype=np.int64)
    np.put_along_axis(place, kept, np.broadcast_to(np.arange(width), kept.shape), axis=1)
    near = np.take_along_axis(place, np.take_along_axis(near, kept, axis=1), axis=1)
    return tuple(np.take_along_axis(one, kept, axis=1) for one in (pt, gap)) + (
        near,
        np.take_along_axis(pixel, kept, axis=1),
    )


def _momentum(images: Sample) -> tuple[np.ndarray, ...]:
    """Sums of px, py, pz and energy over the pixels, each of shape `(event,)` [GeV]."""
    _check(images.space)
    eta, phi = (grid.ravel() for grid in np.meshgrid(*_centres(images.space), indexing="ij"))
    sums = np.empty((4, len(images)))
    for start in range(0, len(images), _ROWS):
        # In double precision: the mass is a small difference of large numbers. Row by row, so that a sum does not
        # depend on the other images.
        rows = images.values[start : start + _ROWS].reshape(-1, len(eta)).astype(np.float64)
        for total, weight in zip(sums, (np.cos(phi), np.sin(phi), np.sinh(eta), np.cosh(eta))):
            total[start : start + len(rows)] = np.sum(rows * weight, axis=1)
    return tuple(sums)


def _centres(space: Space) -> tuple[np.ndarray, np.ndarray]:
    return space.centres("eta"), space.centres("phi")


def _check(space: Space) -> None:
    if space.has_depth or space.axes != ("eta", "phi") or space.quantity != "transverse momentum":
        raise ValueError(
            "Expected jet images, transverse momentum in eta and phi as in the space 'jet-image'; space "
            f"{space.name!r} has {space.quantity} along {', '.join(space.axes)}."
        )
