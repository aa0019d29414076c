"""The jets of a set of events that are clustered piece by piece: variables can be shown before all are clustered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from calolab.jets import cluster
from calolab.samples import Sample
from calolab.validation.observables.jets import variables


@dataclass(frozen=True, eq=False)
class ClusteredEvents:
    """The events of a set that have been clustered, with images and jets of the first of them.

    Args:
        total: number of events of the set.
        done: number of events that have been clustered.
        values: variables of these events by name, one value per event or per jet; see `observables.jets.variables`.
        owners: the event of each value, by the same names.
        images: images of the first events, shape `(image, *space.shape)`.
        jets: jets of each of these events, (pt, eta, phi, mass) each.
        labels: labels of the same events, shape `(image,)`.
    """

    total: int
    done: int = 0
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    owners: Mapping[str, np.ndarray] = field(default_factory=dict)
    images: np.ndarray | None = None
    jets: tuple[list[list[float]], ...] = ()
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)


def cluster_more(
    clustered: ClusteredEvents, piece: Sample, names: Iterable[str], images: int, **clustering
) -> ClusteredEvents:
    """Cluster further events of a set.

    Args:
        clustered: the events that have been clustered.
        piece: the events that follow them: images in eta and phi.
        names: names of the variables.
        images: number of first events of the set whose images, jets and labels are kept.
        **clustering: arguments of `jets.cluster`, e.g. `radius`, `minimum_pt` [GeV].
    """
    found = cluster(piece, **clustering)
    new = variables(found)
    new = {name: new[name] for name in names}
    first = slice(max(images - len(clustered.jets), 0))
    momenta = np.column_stack([found.flat(name) for name in ("pt", "eta", "phi", "mass")])
    rows = np.split(momenta, np.cumsum(found.multiplicity)[:-1])[first]
    kept = [piece.values[first]] if clustered.images is None else [clustered.images, piece.values[first]]
    return ClusteredEvents(
        total=clustered.total,
        done=clustered.done + len(piece),
        values=_joined(clustered.values, {name: one.values for name, one in new.items()}),
        owners=_joined(clustered.owners, {name: clustered.done + one.events for name, one in new.items()}),
        images=np.concatenate(kept),
        jets=(*clustered.jets, *(one.tolist() for one in rows)),
        labels=_joined(clustered.labels, {name: column[first] for name, column in piece.labels.items()}),
    )


def _joined(columns, more):
    return {name: np.concatenate([columns[name], column]) if columns else column for name, column in more.items()}
