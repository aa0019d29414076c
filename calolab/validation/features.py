"""Features of showers: the high-level features of the CaloChallenge, and those on which classifiers are trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from calolab.labels import SYMBOLS
from calolab.samples import Sample
from calolab.validation import layer_sums
from calolab.validation.feature_table import Feature, Features
from calolab.validation.layer_sums import TINY
from calolab.validation.threads import in_threads

# Radii in cells around the axis, and, where cells differ, fractions of the energy whose radii take their place.
RADII = (0.5, 1.5, 2.5, 4.5, 7.5)
FRACTIONS = (0.3, 0.6, 0.8, 0.9, 0.97)
# Lower edges of bins of the energy of a hit, in units of the threshold; the last bin has no upper edge.
HIT_BINS = (1.0, 2.0, 10 / 3, 20 / 3, 50 / 3, 100 / 3, 100.0)


def high_level(events: Sample, threshold: float = 0.0, spectrum_edges: Sequence[float] | None = None) -> Features:
    """The high-level features of the CaloChallenge, for showers in any calorimeter (arXiv:2410.21611).

    For each layer: its energy; the energy-weighted mean position of its cells (the centre) and the square root of its
    variance (the width) along both transverse axes, where the layer has more than one cell along them, and in r; the
    fraction of empty cells (the sparsity). In addition, the total energy, also divided by the incident energy, and the
    sparsity of the whole shower. Centres and widths of an empty layer are 0.

    Args:
        events: showers as a `Sample` or as a stream, which is read in pieces (twice without `spectrum_edges`).
        threshold: cells below it count as zero [GeV]; the CaloChallenge uses 15.15e-6 for its datasets 2 and 3.
        spectrum_edges: spectrum edges of the cell spectrum [GeV], increasing. By default 50 logarithmic ones from the
            threshold, or from the lowest energy up to seven decades below the highest, to the highest energy of a cell.
            Give those of the reference to compare with it: `high_level(generated,
            spectrum_edges=reference.spectrum_edges)`.

    Returns:
        The features, in GeV and mm.

    Raises:
        ValueError: if the space is not a calorimeter, a cell is negative and the threshold zero, there is no event, or
            no cell has any energy and `spectrum_edges` is not given.
    """
    space = _checked(events, threshold, "high_level")
    edges = layer_sums.spectrum_edges(events, threshold) if spectrum_edges is None else _checked_edges(spectrum_edges)
    energy, weights = _energy(events), layer_sums.moment_weights(space)

    def measure(cells, incident):
        sums = layer_sums.layer_sums(cells.astype(np.float64), space, weights)
        return _high_level_values(space, sums, _layer_hits(cells, space), incident)

    return _collect(events, _high_level_columns(space, energy is not None), energy, threshold, edges, measure)


def shower_features(events: Sample, threshold: float = 3e-5, radii: Sequence[float] | None = None) -> Features:
    """The features on which a classifier of showers is trained; 174 for 25 layers of 25 x 25 cells.

    The logarithm of total over incident energy; for each layer the logarithm of its energy over the incident energy,
    centre and width along both transverse axes and the number of hits; the fractions of energy and of hits within five
    radii; mean and standard deviation of radius and depth; the logarithm of the highest cell over the incident energy;
    the number of hits, in all and in seven bins of their energy.

    Args:
        events: labelled showers as a `Sample` or as a stream, which is read in pieces.
        threshold: cells below it count as zero, others are hits [GeV].
        radii: radii around the shower axis [mm]. By default 0.5, 1.5, 2.5, 4.5 and 7.5 cells where all layers have the
            same boxes of cells; elsewhere those that contain 30, 60, 80, 90 and 97 % of the energy of these events.
            Give those of the reference to compare with it: `shower_features(generated, radii=reference.radii)`.

    Returns:
        The features; lengths in mm, energies as logarithms of ratios.

    Raises:
        ValueError: if the space is not a calorimeter, the threshold is not positive, there is no event, or no label
            `energy`.
    """
    space = _checked(events, threshold, "shower_features")
    energy = _energy(events)
    if energy is None or not threshold > 0:
        raise ValueError(
            f"shower_features expects the label 'energy' and a positive threshold, received {sorted(events.labels)} "
            f"and {threshold}."
        )
    radii = tuple(float(r) for r in (_radii(events, threshold) if radii is None else radii))
    if not radii or list(radii) != sorted(set(radii)) or not 0 < radii[0] <= radii[-1] < np.inf:
        raise ValueError(f"shower_features(radii=) expects increasing positive numbers [mm], received {radii}.")
    moments, within = (
        layer_sums.moment_weights(space),
        [_within(space, index, radii) for index in range(len(space.layers))],
    )
    weights = [np.concatenate(both) for both in zip(moments, within)]
    counted = [np.concatenate([np.ones((1, one.shape[1])), one]).astype(np.float32) for one in within]
    edges = threshold * np.array(HIT_BINS)

    def measure(cells, incident):
        sums = layer_sums.layer_sums(cells.astype(np.float64), space, weights)
        hits = layer_sums.layer_sums((cells > 0).astype(np.float32), space, counted)
        energies = layer_sums.spectrum(cells, edges)[:, 1:]
        return _shower_values(
            space, sums, hits, cells.reshape(len(cells), -1).max(axis=1), energies, incident, threshold
        )

    return _collect(events, _shower_columns(space, radii), energy, threshold, edges, measure, radii)


def _collect(events, columns, energy, threshold, edges, measure, radii=()):
    """The record of the features that `measure(cells, incident)` computes of each piece of the events."""
    columns = tuple(columns)
    values = np.empty((len(events), len(columns)))
    spectrum = np.empty((len(events), len(edges) + 1), dtype=np.int32)

    def fill(block):
        first, sample = block
        chosen = slice(first, first + len(sample))
        cells = layer_sums.energies(sample.values, threshold, first)
        values[chosen] = measure(cells, None if energy is None else energy[chosen])
        spectrum[chosen] = layer_sums.spectrum(cells, edges)

    for _ in in_threads(fill, layer_sums.blocks(events)):
        pass
    return Features(columns, values, energy, float(threshold), events.space, spectrum, edges, radii)


def _checked_edges(given):
    """Edges of the cell spectrum as an array."""
    edges = np.asarray(given, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not edges[0] > 0 or not np.all(np.diff(edges) > 0):
        raise ValueError(f"spectrum_edges expects increasing positive energies [GeV], received {given}.")
    return edges


def _checked(events, threshold, name):
    """The space of the events, after a check that their features can be computed."""
    layer_sums.transverse_axes(events.space)
    if len(events) == 0:
        raise ValueError(f"{name} expects at least one shower, received none.")
    if not 0 <= threshold < np.inf:
        raise ValueError(f"{name}(threshold=) expects a finite energy of zero or more [GeV], received {threshold}.")
    return events.space


def _energy(events):
    """The incident energies, checked; None without the label."""
    if "energy" not in events.labels:
        return None
    energy = np.asarray(events.labels["energy"], dtype=np.float64)
    if not energy.min() > 0:
        raise ValueError(f"Features expect positive incident energies, the lowest is {energy.min()} GeV.")
    return energy


def _centres_and_widths(sums):
    """Energy `(event, layer)`, and centres and widths `(event, axis, layer)` along both axes and in r."""
    energy = sums[:, 0]
    means = sums[:, 1:7] / (energy + TINY)[:, None]
    centres = means[:, 0::2]
    return energy, centres, np.sqrt(np.maximum(means[:, 1::2] - centres**2, 0))


def _layer_hits(cells, space):
    """Number of cells above zero, shape `(event, layer)`."""
    if space.regular:
        return np.count_nonzero(cells.reshape(len(cells), -1, len(space.layers)), axis=1)
    pairs = zip(space.layer_starts[:-1], space.layer_starts[1:])
    return np.stack([np.count_nonzero(cells[:, start:stop], axis=1) for start, stop in pairs], axis=1)


def _high_level_columns(space, labelled) -> Iterator[Feature]:
    """Descriptions of the features of `high_level`, in the order of `_high_level_values`."""
    layers = range(len(space.layers))
    yield Feature("total_energy", "total_energy", "total energy", space.unit)
    if labelled:
        yield Feature("energy_fraction", "energy_fraction", "total over incident energy")
    for index in layers:
        yield Feature(f"layer_energy_{index}", "layer_energy", f"energy in layer {index}", space.unit, index)
    for axis in layer_sums.transverse_axes(space):
        yield from _axis_columns(axis, [index for index in layers if axis in layer_sums.resolved(space, index)])
    yield from _axis_columns("r", layers)
    for index in layers:
        yield Feature(
            f"layer_sparsity_{index}", "layer_sparsity", f"fraction of empty cells in layer {index}", "", index
        )
    yield Feature("sparsity", "sparsity", "fraction of empty cells")


def _axis_columns(axis, layers) -> Iterator[Feature]:
    symbol = SYMBOLS.get(axis, axis)
    for what, word in (("centre", "centre of energy in"), ("width", "width in")):
        for index in layers:
            yield Feature(f"{what}_{axis}_{index}", f"{what}_{axis}", f"{word} {symbol}, layer {index}", "mm", index)


def _high_level_values(space, sums, hits, incident):
    energy, centres, widths = _centres_and_widths(sums)
    total = energy.sum(axis=1, keepdims=True)
    parts = [total] if incident is None else [total, total / incident[:, None]]
    parts.append(energy)
    for position, layers in enumerate(_resolved_layers(space)):
        parts += [centres[:, position, layers], widths[:, position, layers]]
    cells = np.array([layer.n_cells for layer in space.layers])
    parts += [1 - hits / cells, 1 - hits.sum(axis=1, keepdims=True) / space.n_cells]
    return np.concatenate(parts, axis=1)


def _resolved_layers(space):
    """Indices of the layers that have a centre along the first axis, along the second, and in r."""
    layers = range(len(space.layers))
    for axis in layer_sums.transverse_axes(space):
        yield [index for index in layers if axis in layer_sums.resolved(space, index)]
    yield list(layers)


def _within(space, index, radii):
    """Whether each cell of a layer is within each radius, as weights of shape `(radius, cells)`."""
    return (layer_sums.positions(space, index)["r"] <= np.array(radii)[:, None]).astype(np.float64)


def _radii(events, threshold):
    """The default radii [mm]: in cells where all layers have the same boxes, elsewhere quantiles of the energy."""
    space = events.space
    layers = [layer_sums.positions(space, index)["r"] for index in range(len(space.layers))]
    if space.regular and not layer_sums.is_cylinder(space):
        sizes = [(edges[-1] - edges[0]) / (len(edges) - 1) for edges in space.layers[0].edges]
        return np.array(RADII) * np.sqrt(np.prod(sizes))
    energy = np.zeros(space.n_cells)
    for first, sample in layer_sums.blocks(events):
        cells = layer_sums.energies(sample.values, threshold, first).sum(axis=0, dtype=np.float64)
        energy += (np.moveaxis(cells, -1, 0) if space.regular else cells).ravel()
    radius = np.concatenate(layers)
    distinct, ring = np.unique(radius.round(6), return_inverse=True)
    held = np.cumsum(np.bincount(ring, energy))
    if not held[-1] > 0:
        raise ValueError("These showers have no energy above the threshold, from which to take radii: give radii=.")
    chosen = np.unique(distinct[np.searchsorted(held, np.array(FRACTIONS) * held[-1])])
    return chosen + 1e-3  # a cell on a radius is within it


def _shower_columns(space, radii) -> Iterator[Feature]:
    """Descriptions of the features of `shower_features`, in the order of `_shower_values`."""
    layers = range(len(space.layers))
    yield Feature("log_fraction", "log_fraction", "log of total over incident energy")
    for index in layers:
        label = f"log of energy in layer {index} over incident energy"
        yield Feature(f"log_layer_fraction_{index}", "log_layer_fraction", label, "", index)
    for axis in layer_sums.transverse_axes(space):
        yield from _axis_columns(axis, [index for index in layers if axis in layer_sums.resolved(space, index)])
    for index in layers:
        yield Feature(f"layer_hits_{index}", "layer_hits", f"hits in layer {index}", "", index)
    for what in ("energy", "hits"):
        for radius in radii:
            yield Feature(f"{what}_within_{radius:.4g}", f"{what}_within", f"fraction of {what} within {radius:.4g} mm")
    for what, unit in (("radius", "mm"), ("depth", space.units[-1])):
        yield Feature(f"mean_{what}", what, f"mean {what}", unit)
        yield Feature(f"{what}_spread", what, f"standard deviation of {what}", unit)
    yield Feature("log_highest", "log_highest", "log of the highest cell over incident energy")
    yield Feature("hits", "hits", "hits")
    for index in range(len(HIT_BINS)):
        yield Feature(f"hits_bin_{index}", "hit_energies", f"hits in bin {index} of their energy")


def _shower_values(space, sums, hits, highest, counts, incident, threshold):
    energy, centres, widths = _centres_and_widths(sums)
    incident, total = incident[:, None], energy.sum(axis=1, keepdims=True)
    n_hits = hits[:, 0].sum(axis=1, keepdims=True)
    parts = [np.log((total + threshold) / incident), np.log((energy + threshold) / incident)]
    for position, layers in enumerate(_resolved_layers(space)):
        if position < 2:
            parts += [centres[:, position, layers], widths[:, position, layers]]
    parts += [hits[:, 0], sums[:, 7:].sum(axis=2) / (total + TINY), hits[:, 1:].sum(axis=2) / np.maximum(n_hits, 1)]
    depth = space.centres(space.axes[-1])
    for first, second in (
        (sums[:, 5].sum(axis=1, keepdims=True), sums[:, 6].sum(axis=1, keepdims=True)),
        (energy @ depth[:, None], energy @ depth[:, None] ** 2),
    ):
        mean = first / (total + TINY)
        parts += [mean, np.sqrt(np.maximum(second / (total + TINY) - mean**2, 0))]
    parts += [np.log((highest[:, None] + threshold) / incident), n_hits, counts]
    return np.concatenate(parts, axis=1)
