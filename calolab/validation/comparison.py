"""Compare a generated sample with a reference: every observable and distance, beside what chance alone would give."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calolab.names import check_name
from calolab.samples import Sample, side_names
from calolab.spaces import Space
from calolab.validation.metrics import Distance, draw_like, kolmogorov_smirnov, projected_axes
from calolab.validation.observables import Observable, floored, measure, observe
from calolab.validation.profiles import layer_correlations, profile
from calolab.validation.response import Response, energy_bins, response, visible_energy
from calolab.validation.table import html_table, text_table


@dataclass(frozen=True, eq=False)
class Correlations:
    """Pearson correlations between layer energies, each divided by the event's incident energy where that is labelled.

    Args:
        reference, generated: shape `(layer, layer)`; NaN where a layer never varies.
        distance: mean absolute difference of the coefficients above the diagonal, with its floor.
    """

    reference: np.ndarray
    generated: np.ndarray
    distance: Distance


@dataclass(frozen=True, eq=False)
class Comparison:
    """A reference and a generated sample side by side; `compare` makes it, `plot()` draws it.

    Args:
        space: the space of both.
        events: numbers of (reference, generated) events.
        empty: how many of them have no energy at all; their moments are undefined and left out, and counted here.
        energies: (lowest, highest) incident energy of each sample [GeV]; None without that label.
        threshold: above which a cell counts as hit [`space.unit`].
        seed, repetitions: of the draws that give the floors.
        observables: by name.
        projection_error: sum over axes of the mean squared error of the projections (arXiv:2105.08960) [`space.unit`²].
        correlations: between layers; None for a plain image.
        responses: linearity and resolution of (reference, generated); None without incident energies.
        notes: what a reader must know before believing the numbers.
        names: what the two samples are called in tables and figures.
    """

    space: Space
    events: tuple[int, int]
    empty: tuple[int, int]
    energies: tuple[tuple[float, float], tuple[float, float]] | None
    threshold: float
    seed: int
    repetitions: int
    observables: Mapping[str, Observable]
    projection_error: Distance
    correlations: Correlations | None
    responses: tuple[Response, Response] | None
    notes: tuple[str, ...] = ()
    names: tuple[str, str] = ("reference", "generated")

    def __getitem__(self, name: str) -> Observable:
        check_name("observable", name, self.observables)
        return self.observables[name]

    def plot(self, observables: Sequence[str] | None = None):
        """The main figure: one panel with ratio per observable, by default the nine that tell most.

        Args:
            observables: names among `self.observables`.

        Returns:
            A matplotlib figure, which a notebook shows.
        """
        from calolab.plots import comparison  # matplotlib loads when something is drawn

        return comparison.observables(self, observables)

    def plot_correlations(self):
        """Layer-energy correlations of the reference, of the generated sample, and their difference: a figure."""
        from calolab.plots import comparison

        return comparison.correlations(self)

    def plot_response(self):
        """Linearity and resolution against the incident energy: a figure."""
        from calolab.plots import comparison

        return comparison.response(self)

    def to_dict(self) -> dict:
        """All results as plain numbers, lists and strings that JSON can hold (not-a-number becomes None)."""
        correlations, responses = None, None
        if self.correlations is not None:
            correlations = {
                "reference": self.correlations.reference.tolist(),
                "generated": self.correlations.generated.tolist(),
                "distance": self.correlations.distance.to_dict(),
            }
        if self.responses is not None:
            responses = dict(zip(("reference", "generated"), (curve.to_dict() for curve in self.responses)))
        return _without_nan(
            {
                "space": self.space.name,
                "events": list(self.events),
                "empty_events": list(self.empty),
                "energies": None if self.energies is None else [list(pair) for pair in self.energies],
                "threshold": self.threshold,
                "seed": self.seed,
                "repetitions": self.repetitions,
                "notes": list(self.notes),
                "names": list(self.names),
                "observables": {name: one.to_dict() for name, one in self.observables.items()},
                "projection_error": self.projection_error.to_dict(),
                "correlations": correlations,
                "responses": responses,
            }
        )

    def to_json(self) -> str:
        """`to_dict` as a JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    def __repr__(self):
        return text_table(self)

    def _repr_html_(self):
        return html_table(self)


def compare(
    reference: Sample,
    generated: Sample,
    threshold: float = 3e-4,
    seed: int = 0,
    repetitions: int = 100,
    *,
    names: Sequence[str] | None = None,
) -> Comparison:
    """Compare a generated sample with a reference in all observables that their space allows.

    The floor beside each distance is the same distance between two samples that are both drawn (with replacement) from
    the reference, one with as many events and the same energies as the reference, the other as the generated sample:
    what a perfect generator would score. Two halves of the reference would have fewer events and so too high a floor.

    Args:
        reference: e.g. Geant4 showers that the generator was not trained on.
        generated: showers in the same space, best with the same labels: `gan.generate(reference.labels, seed=)`.
        threshold: cell energy above which a cell counts as hit [`space.unit`].
        seed: of the draws for the floors.
        repetitions: how many draws.
        names: what the two samples are called in tables and figures, e.g. `("Geant4", "GFlash")`; by default the
            simulations that made them, if they are two different ones, or else `("reference", "generated")`.

    Returns:
        The comparison; same arguments, same numbers.

    Raises:
        ValueError: if the spaces differ, a sample has fewer than two events, only one has energies, or all reference
            events are empty.

    Warns:
        UserWarning: if the two samples' incident energies are not alike.
    """
    _check(reference, generated, repetitions)
    notes = []
    empty = tuple(int(np.sum(~(visible_energy(sample) > 0))) for sample in (reference, generated))
    if empty[0] == len(reference):
        raise ValueError(f"All {len(reference)} reference showers are empty: there is nothing to compare with.")
    for count, sample, word in zip(empty, (reference, generated), ("reference", "generated")):
        if count:
            notes.append(f"{count} of {len(sample)} {word} showers are empty: left out of moments, maximum and radius.")
    energies = None
    if "energy" in reference.labels:
        energies = tuple(
            (float(s.labels["energy"].min()), float(s.labels["energy"].max())) for s in (reference, generated)
        )
        notes += _differing_energies(reference.labels["energy"], generated.labels["energy"])

    draw = _Draws(reference, generated, repetitions, seed)
    found, drawn = {}, {}
    for observable in observe(reference, generated, threshold):
        found[observable.name], drawn[observable.name] = measure(observable, draw(observable))

    projections = [f"profile_{axis}" for axis in projected_axes(reference.space)]
    error = floored(
        sum(found[name].distances["mse"].value for name in projections),
        sum(drawn[name]["mse"] for name in projections),
        power=2,
    )
    return Comparison(
        space=reference.space,
        events=(len(reference), len(generated)),
        empty=empty,
        energies=energies,
        threshold=threshold,
        seed=seed,
        repetitions=repetitions,
        observables=found,
        projection_error=error,
        correlations=_correlations(reference, generated, draw()) if len(reference.space.layers) > 1 else None,
        responses=_responses(reference, generated) if energies else None,
        notes=tuple(notes),
        names=side_names(reference, generated, names),
    )


class _Draws:
    """Draws of reference against reference among the events that have an observable, made once for each such set."""

    def __init__(self, reference, generated, repetitions, seed):
        self.repetitions, self.seed, self.made = repetitions, seed, {}
        # Without energies all events are alike, and every draw takes from the whole reference.
        self.energies = [s.labels.get("energy", np.zeros(len(s))) for s in (reference, generated)]

    def __call__(self, observable=None):
        masks = [np.ones(len(energy), dtype=bool) for energy in self.energies]
        if observable is not None and not observable.is_profile:
            masks = [np.isfinite(observable.reference), np.isfinite(observable.generated)]
        key = tuple(mask.tobytes() for mask in masks)
        if key not in self.made:
            rng = np.random.default_rng(self.seed)
            from_, like = (energy[mask] for energy, mask in zip(self.energies, masks))
            like = like if len(like) else from_
            self.made[key] = tuple(draw_like(from_, slots, self.repetitions, rng) for slots in (from_, like))
        return self.made[key]


def _check(reference, generated, repetitions):
    if reference.space != generated.space:
        raise ValueError(
            f"compare expects both samples in one space, received {reference.space!r} and {generated.space!r}."
        )
    if min(len(reference), len(generated)) < 2:
        raise ValueError(f"compare expects two or more events in each, received {len(reference)} and {len(generated)}.")
    if ("energy" in reference.labels) != ("energy" in generated.labels):
        raise ValueError(
            f"compare expects the label 'energy' in both samples or in none, received {sorted(reference.labels)} and "
            f"{sorted(generated.labels)}; gan.generate(reference.labels, seed=) keeps them."
        )
    if repetitions < 1:
        raise ValueError(f"compare expects at least one repetition for the floors, received {repetitions}.")


def _differing_energies(reference, generated):
    """A note, also given as a warning, if two sets of incident energies can hardly come from one distribution."""
    p = kolmogorov_smirnov(reference, generated)[1]
    if p > 1e-3:
        return []
    note = (
        f"Incident energies differ: reference {reference.min():.4g} to {reference.max():.4g} GeV, mean "
        f"{reference.mean():.4g}; generated {generated.min():.4g} to {generated.max():.4g} GeV, mean "
        f"{generated.mean():.4g}. Whatever depends on the energy differs for that reason already."
    )
    warnings.warn(note, UserWarning, stacklevel=3)
    return [note]


def _correlations(reference, generated, draws):
    layers = [profile(s, s.space.axes[-1]) for s in (reference, generated)]
    if "energy" in reference.labels:
        layers = [energies / s.labels["energy"][:, None] for energies, s in zip(layers, (reference, generated))]
    matrices = [layer_correlations(energies) for energies in layers]
    drawn = [_mean_difference(*(layer_correlations(layers[0], weights) for weights in pair)) for pair in zip(*draws)]
    return Correlations(*matrices, floored(_mean_difference(*matrices), np.array(drawn)))


def _mean_difference(reference, generated):
    """Mean absolute difference above the diagonal, over the pairs of layers that vary in both."""
    above = np.triu_indices(len(reference), k=1)
    difference = np.abs(reference - generated)[above]
    difference = difference[np.isfinite(difference)]
    return difference.mean() if len(difference) else np.nan


def _responses(reference, generated):
    edges = energy_bins(reference.labels["energy"])
    return response(reference, edges), response(generated, edges)


def _without_nan(content):
    """JSON knows no not-a-number and no infinity."""
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not np.isfinite(content) else content
