"""Neighbouring hits: how often a cell near a hit is hit as well, by its distance, in two or more samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from calolab.plots import ratios
from calolab.plots.style import REFERENCE, SERIES, hep


@hep()
def show(distances: np.ndarray, pairs: Mapping[str, Mapping[str, np.ndarray]], subject: str = "") -> Figure:
    """How often a cell at some distance from a hit is hit, one column per kind of hits, above the ratio to the first.

    This is the number of pairs per hit and direction; cells beyond the border of the window count as not hit.

    Args:
        distances: distances of the pairs [cells], shape `(distance,)`; the first is 0.
        pairs: for each kind of hits, by its name, the pairs of every sample by name, the reference first, each of shape
            `(event, distance)` as `validation.hit_pairs` counts them; the first column is the number of hits.
        subject: text that applies to all panels, e.g. the name of the calorimeter.

    Returns:
        The figure. A ratio of one at all distances means that the hits of a shower are arranged as in the reference.

    Raises:
        ValueError: without pairs, or for a sample without hits.
    """
    if not pairs or not all(pairs.values()):
        raise ValueError("hit_pairs.show expects at least one kind of hits and one sample.")
    names = list(next(iter(pairs.values())))
    handles = ratios.legend_handles(names[0], {name: {"colour": c} for name, c in zip(names[1:], SERIES[1:])})
    figure, cells = ratios.ratio_grid(1, len(pairs), subject, width=6.0, legend=handles, titles=True)
    for cell, (kind, samples) in zip(cells, pairs.items()):
        upper, lower = ratios.stacked(figure, cell, ratios.ratio_label(names))
        upper.set_title(kind, loc="left", fontsize=12)
        found = {name: _probability(kind, name, distances, counts) for name, counts in samples.items()}
        reference, error = found.pop(names[0])
        upper.errorbar(distances[1:], reference, error, fmt="o", color=REFERENCE, markersize=5)
        points = []
        for (values, errors), colour in zip(found.values(), SERIES[1:]):
            upper.errorbar(distances[1:], values, errors, fmt="s", color=colour, markersize=4, mfc="none")
            look = ratios.DrawnHistogram(values, errors, colour, marker="s")
            points.append((_over(values, reference), _over(errors, reference), look))
        upper.set_ylim(bottom=0)
        uncertain = _over(error, reference)
        lower.fill_between(distances[1:], 1 - uncertain, 1 + uncertain, color=REFERENCE, alpha=0.3, linewidth=0)
        ratios.ratio_points(lower, distances[1:], points, uncertain, size=4)
        upper.set_ylabel("probability of a hit")
        lower.set_xlabel("distance from a hit [cells]")
    return figure


def _probability(kind: str, name: str, distances: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs per hit and direction beyond distance 0, and the statistical error from the scatter of the showers."""
    hits = counts[:, :1]
    if not hits.sum() > 0:
        raise ValueError(f"{name!r} has no {kind}.")
    pairs = counts[:, 1:] / _directions(distances[1:])
    ratio = pairs.sum(axis=0) / hits.sum()
    return ratio, (pairs - ratio * hits).std(axis=0) / (np.sqrt(len(counts)) * hits.mean())


def _directions(distances: np.ndarray) -> np.ndarray:
    """Number of cells at each distance from a cell, of which a pair and its opposite are one."""
    most = int(np.max(distances, initial=0))
    steps = np.arange(-most, most + 1)
    squares = np.add.outer(steps**2, steps**2)
    return np.array([np.count_nonzero(squares == round(one**2)) / 2 for one in distances])


def _over(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return np.divide(values, reference, out=np.full(len(reference), np.nan), where=reference > 0)
