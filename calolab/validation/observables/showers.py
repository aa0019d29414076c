"""Observables of showers, and of any other images in cells: energies, profiles, moments, cells, layer correlations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from calolab.labels import symbol
from calolab.samples import Sample
from calolab.spaces import with_unit
from calolab.validation.binning import histogram_edges
from calolab.validation.distances import Distance, kolmogorov_smirnov, weighted_distances
from calolab.validation.floors import Draws, number_distances, number_floors, profile_distances, with_floor, with_floors
from calolab.validation.observables import cells, energy, profiles
from calolab.validation.observables.observable import Observable


def observe(reference: Sample, generated: Sample, threshold: float) -> Iterator[Observable]:
    """All observables that the samples' space and labels allow, without distances.

    Args:
        reference, generated: samples in one space.
        threshold: cell energy above which a cell counts as hit [`space.unit`]. It applies to the number of hits only: a
            cut on everything would make a generator with many tiny deposits look better than it is.
    """
    space = reference.space

    def both(name: str, label: str, unit: str, function: Callable, edges=None, whole=False, **more) -> Observable:
        values = function(reference), function(generated)
        edges = histogram_edges(*values, whole=whole) if edges is None else np.asarray(edges)
        return Observable(name, label, unit, edges, *values, **more)

    if "energy" in reference.labels:
        yield both("visible_fraction", "visible fraction", "", energy.visible_fraction)
    total = "visible energy" if space.quantity == "deposited energy" else f"total {space.quantity}"
    yield both("visible_energy", total, space.unit, energy.visible_energy)

    depth = space.axes[-1] if space.has_depth else None
    # The depth comes first: the most important axis of a shower.
    for axis in sorted(projected_axes(space), key=lambda a: a != depth):
        label, per = "longitudinal profile", "layer"
        if axis != depth:
            label, per = f"{symbol(axis)} profile", f"bin of {symbol(axis)}"
        what = space.quantity.removeprefix("deposited ")
        height = with_unit(f"{what} per {per}", space.unit)
        unit = space.units[space.axes.index(axis)]
        yield both(
            f"profile_{axis}", label, unit, lambda s, a=axis: profiles.profile(s, a), space.edges(axis), height=height
        )
    for axis in sorted(space.axes, key=lambda a: a != depth):
        yield from _moments(reference, generated, axis, "depth" if axis == depth else symbol(axis))
    if depth:
        unit = space.units[-1]
        yield both("maximum", "shower maximum", unit, lambda s: profiles.maximum(s, depth), space.edges(depth))
    if len(space.layers[0].edges) == 2 and space.units[0] == space.units[1]:
        yield both("containment_radius", "radius of 90 % containment", space.units[0], profiles.containment_radius)
    cut = f"{threshold:g} {space.unit}".strip()
    yield both("hits", f"cells above {cut}", "", lambda s: cells.hits(s, threshold), whole=True)
    yield both("sparsity", "fraction of empty cells", "", cells.sparsity)
    edges = cells.spectrum_edges((reference, generated))
    spectrum = both("cell_spectrum", "cell spectrum", space.unit, lambda s: cells.spectrum(s, edges), edges)
    yield replace(spectrum, height="cells per event and bin", logarithmic=True)


def _moments(reference: Sample, generated: Sample, axis: str, word: str) -> Iterator[Observable]:
    """First and second moment along one axis, from one pass over each sample."""
    unit = reference.space.units[reference.space.axes.index(axis)]
    first, second = zip(profiles.moments(reference, axis), profiles.moments(generated, axis))
    yield Observable(f"first_moment_{axis}", f"mean {word}", unit, histogram_edges(*first), *first)
    label, squared = f"second moment of {word}", f"{unit}²" if unit else ""
    yield Observable(f"second_moment_{axis}", label, squared, histogram_edges(*second), *second)


def measure(observable: Observable, draws_among: Callable[..., Draws]) -> tuple[Observable, dict[str, np.ndarray]]:
    """Compute an observable's distances and their floors.

    Args:
        observable: the observable, without distances.
        draws_among: function from masks of the (reference, generated) events that have this observable, or from nothing
            where all have it, to draws of these reference events; see `Resampled.draws_among`.

    Returns:
        The observable with distances, and each distance's value in all draws, shape `(repetitions,)`.
    """
    if observable.is_profile:
        values, drawn = _profile_distances(observable, draws_among())
        return replace(observable, distances=with_floors(values, drawn)), drawn
    defined = [np.isfinite(values) for values in (observable.reference, observable.generated)]
    reference, generated = observable.reference[defined[0]], observable.generated[defined[1]]
    distances, draws = partial(weighted_distances, scale=reference.std()), draws_among(*defined)
    if len(generated):
        values, drawn = number_distances(reference, generated, observable.edges, draws, distances)
        p = kolmogorov_smirnov(reference, generated)[1]
    else:
        drawn = number_floors(reference, observable.edges, draws, distances)
        values, p = dict.fromkeys(drawn, float("nan")), None
    return replace(observable, distances=with_floors(values, drawn, p)), drawn


def _profile_distances(observable, draws):
    # The mean squared error is defined for the projections of the papers, not for a cell spectrum.
    projected = not observable.logarithmic
    bins, scale = np.arange(len(observable.positions)), observable.summary("reference")[1]

    def distances(reference, generated):
        found = {"ks": np.nan, "w1": np.nan, "separation": np.nan}
        if reference.sum() > 0 and generated.sum() > 0:
            found = weighted_distances(observable.positions, reference, generated, bins, scale)
        return {**found, "mse": np.mean((reference - generated) ** 2)} if projected else found

    return profile_distances(observable.reference, observable.generated, draws, distances)


def projected_axes(space) -> tuple[str, ...]:
    """The axes along which all layers share their bins: all of a regular space, only the depth where layers differ."""
    return space.axes if space.regular else space.axes[-1:]


def projection_error(reference: Sample, generated: Sample) -> dict[str, float]:
    """Mean squared error of the mean energy projections along each axis, the metric of the Conv2D 3DGAN papers.

    Every shower is projected on x, y and z (energy per column or layer [GeV]) and averaged over events; the error is
    the mean over the bins of an axis of the squared difference (arXiv:2103.13698, arXiv:2105.08960). The sum over the
    axes depends on the energies of the sample and on the unit, so it compares models on one sample only.

    Args:
        reference, generated: showers in the same space.

    Returns:
        One value per axis of the space that all layers share, and their sum as `"sum"` [`space.unit` squared].

    Raises:
        ValueError: if the samples are in different spaces.
    """
    if reference.space != generated.space:
        raise ValueError(f"Cannot compare samples in {reference.space.name!r} and {generated.space.name!r}.")
    errors = {}
    for axis in projected_axes(reference.space):
        means = [profiles.profile(sample, axis).mean(axis=0) for sample in (reference, generated)]
        errors[axis] = float(np.mean((means[1] - means[0]) ** 2))
    return {**errors, "sum": sum(errors.values())}


def correlations(reference: Sample, generated: Sample, draws: Draws) -> tuple[tuple[np.ndarray, np.ndarray], Distance]:
    """Pearson correlations between layer energies, each divided by the event's incident energy where that is labelled.

    Args:
        reference, generated: showers with layers.
        draws: draws of all reference events.

    Returns:
        The matrices of both, each of shape `(layer, layer)`, NaN where a layer never varies; and the mean absolute
        difference of the coefficients above the diagonal, with its floor.
    """
    layers = [profiles.profile(s, s.space.axes[-1]) for s in (reference, generated)]
    if "energy" in reference.labels:
        layers = [energies / s.labels["energy"][:, None] for energies, s in zip(layers, (reference, generated))]
    matrices = tuple(profiles.layer_correlations(energies) for energies in layers)
    pairs = zip(draws.first, draws.second)
    drawn = [_mean_difference(*(profiles.layer_correlations(layers[0], counts) for counts in pair)) for pair in pairs]
    return matrices, with_floor(_mean_difference(*matrices), np.array(drawn))


def _mean_difference(reference, generated):
    """Mean absolute difference above the diagonal, over the pairs of layers that vary in both."""
    above = np.triu_indices(len(reference), k=1)
    difference = np.abs(reference - generated)[above]
    difference = difference[np.isfinite(difference)]
    return difference.mean() if len(difference) else np.nan
