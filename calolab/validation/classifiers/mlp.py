"""The fully connected network of the CaloChallenge, for comparison with its published tables."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from keras import layers

from calolab.models.initial_weights import SeedStream
from calolab.samples import Sample
from calolab.validation.classifiers.classification import Classification
from calolab.validation.classifiers.matrices import checked_matrices, count
from calolab.validation.classifiers.networks import Schedule, steps_of_epoch, train_network
from calolab.validation.classifiers.parts import Clock, Split, Trained
from calolab.validation.classifiers.trainings import train_repeatedly

NODES, HIDDEN = 2048, 2
SCHEDULE = Schedule(epochs=50, batch_size=1000, learning_rate=2e-4, patience=50, by_accuracy=True)
MEV = 1e3  # MeV per GeV: the inputs of the CaloChallenge are in MeV


def mlp_test(
    reference,
    generated,
    *,
    nodes: int = NODES,
    epochs: int = SCHEDULE.epochs,
    batch_size: int = SCHEDULE.batch_size,
    seed: int = 0,
    trainings: int = 1,
    time_limit: float | None = None,
    progress: bool = True,
) -> Classification:
    """Test with the network of the CaloChallenge whether two samples of inputs have the same distribution.

    A layer from the inputs to 2,048 nodes and two hidden layers of 2,048 nodes with leaky ReLU are trained with Adam
    for 50 epochs; the epoch with the best accuracy on the validation part is used (arXiv:2410.21611). On cells it is
    almost blind to correlations between neighbours: see `cnn_test`.

    Args:
        reference, generated: inputs, shape `(event, column)`, made by `low_inputs`, `normed_inputs` or
            `high_level(...).matrix("calochallenge")`.
        nodes: of each layer.
        epochs: largest number of epochs.
        batch_size: events per step.
        seed: of the split, the initial weights and the order of events; same seed on the same machine, same result.
        trainings: number of trainings, each with its own seed and test part.
        time_limit: for all trainings together [s]; the best epoch until then is used.
        progress: whether to show a progress bar.

    Returns:
        The `Classification`.

    Raises:
        ValueError: for fewer than 50 events, different numbers of columns, or values that are not finite.
        Stopped: after Ctrl-C.
    """
    if nodes < 1:
        raise ValueError(f"mlp_test expects at least one node, received nodes={nodes}.")
    schedule = replace(SCHEDULE, epochs=epochs, batch_size=batch_size)
    matrices = checked_matrices(reference, generated)
    columns, sizes = matrices[0].shape[1], tuple(map(len, matrices))

    def train(split: Split, seed: int, clock: Clock) -> Trained:
        network = _build(columns, nodes, seed)
        return train_network(network, lambda which, events, _: [matrices[which][events]], split, seed, clock, schedule)

    return train_repeatedly(
        train,
        judge="mlp",
        inputs=count(columns, "input"),
        sizes=sizes,
        steps=epochs * steps_of_epoch(round(0.6 * sum(sizes)), batch_size),
        unit="step",
        seed=seed,
        trainings=trainings,
        time_limit=time_limit,
        progress=progress,
    )


def low_inputs(sample: Sample, threshold: float = 0.0) -> np.ndarray:
    """The inputs `low` of the CaloChallenge: log10 of the incident energy [MeV], and cells over incident energy.

    Args:
        sample: showers with the label `energy`.
        threshold: cells below it count as zero [`space.unit`].

    Returns:
        Shape `(event, 1 + cells)`.

    Raises:
        ValueError: without layers or the label `energy`, or for negative cells.
    """
    incident = _incident(sample, "low_inputs")
    cells = _above(sample.values, threshold).reshape(len(sample), -1)
    return np.concatenate([np.log10(MEV * incident), cells / incident], axis=1, dtype=np.float32)


def normed_inputs(sample: Sample, threshold: float = 0.0) -> np.ndarray:
    """The inputs `low-normed` of the CaloChallenge: cells over the energy of their layer, and log10 of energies.

    Args:
        sample: showers with the label `energy`.
        threshold: cells below it count as zero [`space.unit`].

    Returns:
        Shape `(event, 1 + cells + layers)`: log10 of the incident energy [MeV], the cells layer by layer, and log10 of
        the layer energies [MeV] plus 1e-8.

    Raises:
        ValueError: without layers or the label `energy`, or for negative cells.
    """
    made, energies = [np.log10(MEV * _incident(sample, "normed_inputs"))], []
    for number in range(len(sample.space.layers)):
        cells = _above(sample.layer(number), threshold).reshape(len(sample), -1)
        energies.append(cells.sum(axis=1, keepdims=True, dtype=np.float64))
        made.append(cells / np.where(energies[-1] > 0, energies[-1], 1))
    made += [np.log10(MEV * energy + 1e-8) for energy in energies]
    return np.concatenate(made, axis=1, dtype=np.float32)


def _incident(sample, name):
    """Incident energies [GeV], shape `(event, 1)`."""
    if "energy" not in sample.labels or not sample.space.has_depth:
        raise ValueError(f"{name} expects showers with the label 'energy', received {sample!r}.")
    if sample.values.size and sample.values.min() < 0:
        raise ValueError(f"{name} expects cells of zero or more, the lowest is {sample.values.min():.3g}.")
    return sample.labels["energy"][:, None]


def _above(values, threshold):
    return np.where(values < threshold, 0, values)


def _build(columns, nodes, seed):
    seeds = SeedStream(seed)
    x = given = layers.Input((columns,))
    for _ in range(1 + HIDDEN):
        x = layers.LeakyReLU(negative_slope=0.01)(layers.Dense(nodes, kernel_initializer=seeds.glorot_uniform())(x))
    return keras.Model([given], layers.Dense(1, kernel_initializer=seeds.glorot_uniform())(x))
