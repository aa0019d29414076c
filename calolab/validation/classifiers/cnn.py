"""A convolutional network on cells as the judge of correlations between neighbours, which features may miss."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from keras import layers

from calolab.models.initial_weights import SeedStream
from calolab.models.layers import PeriodicPadding
from calolab.samples import Sample
from calolab.validation.classifiers.classification import Classification
from calolab.validation.classifiers.conditions import check_samples, conditions, is_signed, label_notes
from calolab.validation.classifiers.layouts import Branch, branches
from calolab.validation.classifiers.networks import Schedule, steps_of_epoch, train_network
from calolab.validation.classifiers.parts import Clock, Split, Trained
from calolab.validation.classifiers.trainings import train_repeatedly

CHANNELS = (48, 64, 64)
DENSE = 128
SMALL = 8  # an axis with more pixels is halved by pooling
VIEWS = 8  # symmetries over which the outputs for an event are averaged
# The first epochs often find nothing: correlations between neighbours may appear after five.
SCHEDULE = Schedule(epochs=14, batch_size=32, learning_rate=1e-3, patience=8)


def cnn_test(
    reference: Sample,
    generated: Sample,
    *,
    threshold: float = 3e-5,
    augment: bool | None = None,
    epochs: int = SCHEDULE.epochs,
    batch_size: int = SCHEDULE.batch_size,
    seed: int = 0,
    trainings: int = 1,
    time_limit: float | None = None,
    progress: bool = True,
) -> Classification:
    """Test with a convolutional network whether the cells of two samples have the same distribution.

    The layers of a shower are the channels of an image; layers with different cells are separate images. The inputs are
    `log(1 + value / threshold) / 3` and the labels, e.g. the logarithm of the incident energy. Convolutions of 3 x 3
    cells see correlations between neighbouring cells, to which fully connected networks are almost blind. With 3,000
    showers of 25 x 25 x 25 cells in each sample, a training takes one to two minutes on two cores.

    Args:
        reference, generated: showers, jet images, whole-detector images or maps in one space.
        threshold: cells below it count as zero in both samples [`space.unit`]; maps have no threshold.
        augment: whether to train with rotated and mirrored events; by default where the space has such symmetries and
            no label is an angle. A fault that breaks the symmetry, such as a shift, is then harder to find.
        epochs: largest number of epochs.
        batch_size: events per step.
        seed: of the split, the initial weights and the order of events; same seed on the same machine, same result.
        trainings: number of trainings, each with its own seed and test part.
        time_limit: for all trainings together [s]; the best epoch until then is used.
        progress: whether to show a progress bar.

    Returns:
        The `Classification`.

    Raises:
        ValueError: for different spaces, fewer than 50 events, or negative cells.
        TypeError: unless both are samples.
        Stopped: after Ctrl-C.
    """
    check_samples("cnn_test", reference, generated)
    if not threshold > 0:
        raise ValueError(f"cnn_test expects a positive threshold [{reference.space.unit}], received {threshold}.")
    images = branches(reference.space, is_symmetric(reference) if augment is None else augment)
    symmetries = len(images[0].index)
    schedule = replace(SCHEDULE, epochs=epochs, batch_size=batch_size, views=min(VIEWS, symmetries))
    labels = conditions(reference, generated)
    scaled = _scale(reference, threshold)
    flat = [sample.values.reshape(len(sample), -1) for sample in (reference, generated)]

    def inputs(which: int, events: np.ndarray, view: np.random.Generator | int) -> list[np.ndarray]:
        if isinstance(view, int):
            chosen = np.full(len(events), view * symmetries // schedule.views)
        else:
            chosen = view.integers(symmetries, size=len(events))
        return [*(scaled(gather(flat[which], events, image, chosen)) for image in images), labels[which][events]]

    def train(split: Split, seed: int, clock: Clock) -> Trained:
        network = build(images, labels[0].shape[1], seed)
        return train_network(network, inputs, split, seed, clock, schedule)

    sizes = (len(reference), len(generated))
    return train_repeatedly(
        train,
        judge="cnn",
        inputs="cells" if reference.space.has_depth else "pixels",
        sizes=sizes,
        steps=epochs * steps_of_epoch(round(0.6 * sum(sizes)), batch_size),
        unit="step",
        seed=seed,
        trainings=trainings,
        time_limit=time_limit,
        progress=progress,
        notes=label_notes(reference, generated),
    )


def gather(flat: np.ndarray, events: np.ndarray, image: Branch, symmetry: np.ndarray) -> np.ndarray:
    """Images of some events, each rotated and mirrored.

    Args:
        flat: cells of all events, shape `(event, cell)`.
        events: positions of the events.
        image: the layers and their symmetries.
        symmetry: the symmetry of each event, shape `(len(events),)`.

    Returns:
        Shape `(len(events), row, column, layer)`.
    """
    made = np.empty((len(events), *image.shape), dtype=np.float32)
    for number, (event, chosen) in enumerate(zip(events, symmetry)):
        np.take(flat[event], image.index[chosen], out=made[number], mode="clip")
    return made


def build(images: list[Branch], labels: int, seed: int) -> keras.Model:
    """The network: for each image three or more convolutions of 3 x 3 pixels, then dense layers on all of them.

    Args:
        images: their shapes.
        labels: number of labels.
        seed: of the initial weights.

    Returns:
        A model of the images and the labels; its output is a logit.
    """
    seeds = SeedStream(seed)
    pixels = [layers.Input(image.shape) for image in images]
    given = layers.Input((labels,))
    features = [_convolved(one, image, seeds) for one, image in zip(pixels, images)]
    x = layers.Concatenate()([*features, given])
    # With plain rectifiers all units sometimes die in the first steps, and the network then finds no difference at all.
    x = layers.LeakyReLU(negative_slope=0.1)(layers.Dense(DENSE, kernel_initializer=seeds.glorot_uniform())(x))
    return keras.Model([*pixels, given], layers.Dense(1, kernel_initializer=seeds.glorot_uniform())(x))


def _convolved(x, image, seeds):
    stage = 0
    while True:
        if image.periodic:
            x = layers.ZeroPadding2D(((1, 1), (0, 0)))(PeriodicPadding()(x))
        x = layers.Conv2D(
            CHANNELS[min(stage, len(CHANNELS) - 1)],
            3,
            padding="valid" if image.periodic else "same",
            kernel_initializer=seeds.glorot_uniform(),
        )(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        pool = tuple(2 if size > SMALL else 1 for size in x.shape[1:3])
        stage += 1
        if pool == (1, 1) and stage >= len(CHANNELS):
            return layers.Flatten()(x)
        if max(pool) > 1:
            x = layers.MaxPooling2D(pool, padding="same")(x)


def is_symmetric(sample: Sample) -> bool:
    """Whether rotated and mirrored events are as probable as the events themselves, by their space and labels.

    Args:
        sample: showers, images or maps.
    """
    space = sample.space
    angles = {name for name in ("theta", "phi", "eta") if name in sample.labels and np.ptp(sample.labels[name]) > 0}
    # Jet images are rotated before: their second subjet is below the first one.
    return not angles and (space.has_depth or space.noun in ("events", "maps"))


def _scale(reference, threshold):
    """Function that brings values to the order of one: a logarithm, or standardisation if they have either sign."""
    if is_signed(reference):
        mean, deviation = float(reference.values.mean()), float(reference.values.std()) or 1.0
        return lambda values: (values - mean) / deviation

    def logarithm(values):
        made, hits = np.zeros_like(values), values >= threshold
        made[hits] = np.log1p(values[hits] / threshold) / 3
        return made

    return logarithm
