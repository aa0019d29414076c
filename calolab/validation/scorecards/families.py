"""Families of metrics and panels that showers and images share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from calolab.validation import binning
from calolab.validation.classifiers.classification import SIGNIFICANT
from calolab.validation.frechet import SIZES, frechet_physics_distance, kernel_physics_distance, minimum_events
from calolab.validation.neighbours import manifold_overlap, memorisation, standardised
from calolab.validation.observables.profiles import layer_correlations
from calolab.validation.scorecards.measurement import Family, Measured, Settings
from calolab.validation.scorecards.records import Panel

TREE_TRAININGS = 5  # each event is once a test event
DISTANCE_DRAWS = 5
NEIGHBOUR_DRAWS = 3
FRECHET_BATCHES = 5  # of each size, where samples are small and batches share most of their events
PIXEL_SCALE = 0.01  # of the network's logarithm, where there is no threshold [GeV]
INPUTS = ("low", "normed", "high")  # of the CaloChallenge's networks


def correlation_distance(reference: np.ndarray, generated: np.ndarray) -> float:
    """Mean absolute difference of the Pearson correlations above the diagonal, of columns that vary in both samples.

    Args:
        reference, generated: shape `(event, column)`.
    """
    above = np.triu_indices(reference.shape[1], k=1)
    difference = np.abs(layer_correlations(reference) - layer_correlations(generated))[above]
    difference = difference[np.isfinite(difference)]
    return float(difference.mean()) if len(difference) else np.nan


def histogram_panel(name: str, label: str, values: Mapping[str, np.ndarray], edges: np.ndarray | None = None) -> Panel:
    """A panel of the distributions of one number per event.

    Args:
        name: name of the panel.
        label: label of the horizontal axis, with unit.
        values: values of the samples by name, the reference first, shape `(event,)` each.
        edges: edges of the bins; by default those of `binning.histogram_edges`.
    """
    if edges is None:
        reference, *others = values.values()
        edges = binning.histogram_edges(reference, np.concatenate([*others, np.empty(0)]))
    found = {sample: binning.histogram(column, edges) for sample, column in values.items()}
    return Panel(
        name,
        label,
        "fraction of events",
        edges,
        {sample: one.contents for sample, one in found.items()},
        {sample: one.errors for sample, one in found.items()},
    )


def mean_panel(
    name: str, x: str, y: str, edges: np.ndarray, values: Mapping[str, np.ndarray], logarithmic: str = ""
) -> Panel:
    """A panel of mean profiles with the errors of the means.

    Args:
        name: name of the panel.
        x, y: labels of the axes, with units.
        edges: edges of the bins, shape `(bins + 1,)`.
        values: profiles of the events by sample, shape `(event, bins)` each.
        logarithmic: as for `Panel`.
    """
    return Panel(
        name,
        x,
        y,
        edges,
        {sample: rows.mean(axis=0) for sample, rows in values.items()},
        {sample: rows.std(axis=0) / np.sqrt(len(rows)) for sample, rows in values.items()},
        logarithmic,
    )


def judges(settings: Settings) -> list[Family]:
    """The classifiers.

    Args:
        settings: settings of the measurement.
    """
    if settings.classifier == "calochallenge":
        return [Family((f"auc.{name}", f"jsd.{name}"), partial(_challenge_network, name)) for name in INPUTS]
    return [Family(("auc.trees", "jsd.trees"), _trees), Family(("auc.cnn", "jsd.cnn"), _cnn)]


def _trees(first, second, settings: Settings, wanted) -> dict[str, Measured]:
    from calolab.validation.classifiers.trees import tree_test  # scikit-learn loads when it is needed

    names = first.tree_names
    found = tree_test(first.tree_matrix, second.tree_matrix, names=names, **_options(settings, TREE_TRAININGS))
    return _classified(found, "trees")


def _cnn(first, second, settings: Settings, wanted) -> dict[str, Measured]:
    from calolab.validation.classifiers.cnn import cnn_test  # Keras loads when it is needed

    scale = settings.threshold or PIXEL_SCALE
    return _classified(cnn_test(first.sample, second.sample, threshold=scale, **_options(settings, 1)), "cnn")


def _challenge_network(inputs: str, first, second, settings: Settings, wanted) -> dict[str, Measured]:
    """The CaloChallenge's network on one kind of input."""
    from calolab.validation.classifiers import mlp  # Keras loads when it is needed

    if inputs == "high":
        matrices = [first.distance_matrix, second.distance_matrix]
    else:
        made = {"low": mlp.low_inputs, "normed": mlp.normed_inputs}[inputs]
        matrices = [made(side.sample, settings.threshold) for side in (first, second)]
    return _classified(mlp.mlp_test(*matrices, **_options(settings, 1)), inputs)


def _options(settings: Settings, trainings: int) -> dict:
    return {
        "seed": settings.seed,
        "trainings": settings.seeds or trainings,
        "time_limit": settings.time_limit,
        "progress": False,
    }


def _classified(found, name: str) -> dict[str, Measured]:
    """AUC and JSD of a classification; its verdict where no difference is found."""
    note = "; ".join([found.verdict] * (found.deviation < SIGNIFICANT) + list(found.notes))
    return {
        f"auc.{name}": Measured(found.auc, found.error, note),
        f"jsd.{name}": Measured(found.jsd, _spread(found.jsds)),
    }


def _spread(values) -> float | None:
    """Standard error of the mean of several trainings; None for one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def distances() -> list[Family]:
    """FPD and KPD of the sides' `distance_matrix`."""
    return [Family(("fpd",), _fpd, draws=DISTANCE_DRAWS), Family(("kpd",), _kpd, draws=DISTANCE_DRAWS)]


def _fpd(first, second, settings: Settings, wanted) -> dict[str, Measured]:
    matrices = first.distance_matrix, second.distance_matrix
    fewest = minimum_events(matrices[0].shape[1])
    if len(matrices[0]) < fewest:
        return {"fpd": Measured(np.nan, note=f"needs {fewest} compared events for {matrices[0].shape[1]} features")}
    batches = {} if len(matrices[0]) >= SIZES[1] else {"batches": FRECHET_BATCHES}
    found = frechet_physics_distance(*matrices, **batches)
    return {"fpd": Measured(found.value, found.error)}


def _kpd(first, second, settings: Settings, wanted) -> dict[str, Measured]:
    found = kernel_physics_distance(first.distance_matrix, second.distance_matrix)
    return {"kpd": Measured(found.value, found.error)}


def neighbours(train) -> list[Family]:
    """Overlap of the samples in the space of features, and the check for memorised events.

    Args:
        train: the prepared training sample, or None: the check is left out.
    """
    found = [Family(("precision", "recall", "density", "coverage"), _overlap, draws=NEIGHBOUR_DRAWS)]
    if train is not None:
        found.append(Family(("memorised",), partial(_memorised, train), draws=1))
    return found


def _overlap(first, second, settings: Settings, wanted) -> dict[str, Measured]:
    found = manifold_overlap(*standardised(first.distance_matrix, second.distance_matrix))
    return {name: Measured(getattr(found, name)) for name in wanted}


def _memorised(train, first, second, settings: Settings, wanted) -> dict[str, Measured]:
    found = memorisation(*standardised(train.tree_matrix, first.tree_matrix, second.tree_matrix))
    note = ""
    if len(found.pairs) > 3 + 3 * found.expected_pairs:
        note = (
            f"{len(found.pairs)} of {len(second)} events are closer to a training event than any real event is "
            f"({found.expected_pairs:.1f} expected by chance)"
        )
    return {"memorised": Measured(found.closer, found.closer_spread, note)}
