"""Checks of two samples that a classifier compares, and their labels as inputs of a network."""

from __future__ import annotations

import numpy as np

from calolab.labels import LABELS
from calolab.samples import Sample
from calolab.validation.distances import kolmogorov_smirnov

UNLIKELY = 1e-3  # probability of a KS test below which labels count as different


def check_samples(name: str, reference: Sample, generated: Sample) -> None:
    """Raise ValueError unless a classifier can compare two samples.

    Args:
        name: of the calling function, for the message.
        reference, generated: the samples.
    """
    for one in (reference, generated):
        if not isinstance(one, Sample):
            raise TypeError(
                f"{name} expects two samples, received {type(one).__name__}. Matrices of features go to tree_test."
            )
    if reference.space != generated.space:
        raise ValueError(
            f"{name} expects both samples in one space, received {reference.space!r} and {generated.space!r}."
        )
    if ("energy" in reference.labels) != ("energy" in generated.labels):
        raise ValueError(
            f"{name} expects the label 'energy' in both samples or in none, received {sorted(reference.labels)} and "
            f"{sorted(generated.labels)}; gan.generate(reference.labels, seed=) keeps them."
        )
    for side, one in (("reference", reference), ("generated", generated)):
        if not is_signed(reference) and one.values.size and one.values.min() < 0:
            events = np.flatnonzero(one.values.reshape(len(one), -1).min(axis=1) < 0)
            raise ValueError(
                f"{name} expects cells of zero or more, but {len(events)} events of the {side} sample have negative "
                f"ones, the first is event {events[0]}. Set them to zero in the same way as the generator's users will."
            )


def is_signed(sample: Sample) -> bool:
    """Whether values of either sign are usual, as in a map of the convergence.

    Args:
        sample: the events.
    """
    return sample.space.noun == "maps"


def conditions(reference: Sample, generated: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Labels that both samples have, as inputs of a network: mean 0 and standard deviation 1 in the reference.

    Energies and masses are replaced by their logarithms. Labels that are constant in both samples are left out.

    Args:
        reference, generated: the samples.

    Returns:
        For either sample an array of shape `(event, label)`.
    """
    columns = []
    for name in sorted(set(reference.labels) & set(generated.labels)):
        pair = [sample.labels[name] for sample in (reference, generated)]
        if name in LABELS and LABELS[name].values.startswith("positive") and min(map(np.min, pair)) > 0:
            pair = [np.log(one) for one in pair]
        spread = np.std(pair[0]) or np.std(np.concatenate(pair))
        if spread > 0:
            columns.append([((one - np.mean(pair[0])) / spread).astype(np.float32) for one in pair])
    return tuple(
        np.stack([column[which] for column in columns], axis=1) if columns else np.zeros((len(sample), 0), np.float32)
        for which, sample in enumerate((reference, generated))
    )


def label_notes(reference: Sample, generated: Sample) -> list[str]:
    """A note for each label whose distributions in both samples differ.

    Args:
        reference, generated: the samples.
    """
    notes = []
    for name in sorted(set(reference.labels) & set(generated.labels)):
        pair = [sample.labels[name] for sample in (reference, generated)]
        if kolmogorov_smirnov(*pair)[1] < UNLIKELY:
            notes.append(
                f"The labels {name!r} differ: reference {_range(pair[0])}; generated {_range(pair[1])}. The AUC is "
                "larger for that reason alone."
            )
    return notes


def _range(column):
    return f"{column.min():.4g} to {column.max():.4g}, mean {column.mean():.4g}"
