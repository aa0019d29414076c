"""Generators: trained networks that make events, independent of the library that runs them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from calolab.labels import check_labels
from calolab.model_card import ModelCard
from calolab.samples import Sample
from calolab.spaces import Space


@dataclass(frozen=True, eq=False, repr=False)
class Generator:
    """A network that makes events, and what is needed to use it.

    All random inputs of an event are in its latent vector, so an event is a function of its latent vector and labels:
    along a path of labels with a fixed latent vector the events change as smoothly as the network itself.

    Args:
        architecture: name in the registry of architectures, e.g. `"3dgan"`.
        space: the space of the generated values.
        run: function from a batch of inputs, `latent` of shape `(event, latent_size)` and each condition of shape
            `(event, 1)`, all float32, to values of shape `(event, *space.shape)` in `space.unit`. The batches of one
            call of `generate` all have the same size.
        latent_size: length of the latent vector, which is drawn from a standard normal distribution.
        conditions: names of the labels that are inputs of the network; empty for an unconditional generator.
        settings: arguments with which the architecture was built.
        provenance: how the network was trained, as plain numbers and strings; `trainings` is a list with one entry per
            training, and `card` is the content of its `ModelCard`, if it has one.
    """

    architecture: str
    space: Space
    run: Callable[[Mapping[str, np.ndarray]], np.ndarray]
    latent_size: int
    conditions: tuple[str, ...] = ("energy",)
    settings: Mapping[str, object] = field(default_factory=dict)
    provenance: dict[str, object] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "conditions", tuple(self.conditions))

    @property
    def epochs(self) -> int:
        """Number of epochs of all trainings so far."""
        return sum(training["epochs"] for training in self.provenance.get("trainings", ()))

    @property
    def card(self) -> ModelCard | None:
        """The model card of a validated generator; None without one, and after it was trained further."""
        content = self.provenance.get("card")
        return None if content is None else ModelCard.from_dict(content)

    def generate(
        self, labels: Mapping[str, np.ndarray] | int, seed: int, batch_size: int = 32, latent: np.ndarray | None = None
    ) -> Sample:
        """Generate one event for every entry of the labels; the same seed gives the same events.

        The latent vectors depend on the seed only, and those of fewer events are the first of those of more events.
        The same call gives bit-identical values on the same kind of CPU with the same number of threads and the same
        oneDNN setting. With another batch size or number of events, or on another machine, float32 sums are rounded
        differently, and cells differ by some 1e-6 of the largest one (at most 5e-6 for the registered architectures).

        Warns if the generator has a model card and labels are outside the ranges for which it was validated.

        Args:
            labels: an array of shape `(event,)` for each of `conditions`, e.g. `energy` [GeV]; other labels are
                ignored. For an unconditional generator the number of events, or labels whose length is that number.
            seed: seed of the latent vectors.
            batch_size: number of events that are generated at a time; it limits the memory and changes the events by
                rounding only.
            latent: latent vectors of shape `(event, latent_size)` to use instead of random ones.

        Returns:
            A `Sample` in `space` with the labels of `conditions`.

        Raises:
            ValueError: if a label is missing, not finite or impossible (a negative energy), or if shapes disagree.
        """
        events, labels = self._checked(labels)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, received {batch_size}.")
        if latent is not None:
            latent = np.asarray(latent, dtype=np.float32)
            if latent.shape != (events, self.latent_size):
                raise ValueError(
                    f"latent must have shape {(events, self.latent_size)}, one vector per event, received "
                    f"{latent.shape}."
                )
        if (card := self.card) is not None and (outside := card.outside(labels)):
            warnings.warn(f"{outside} The events outside are extrapolated.", stacklevel=2)
        inputs = {name: column.astype(np.float32)[:, None] for name, column in labels.items()}
        values = np.empty((events, *self.space.shape), dtype=np.float32)
        size, random = min(batch_size, events), np.random.default_rng(seed)
        for start in range(0, events, size or 1):
            # The last batch is padded: `run` may be compiled for each size.
            chosen = np.minimum(np.arange(start, start + size), events - 1)
            # Drawn by batch, as they may be larger than the events.
            number = chosen[-1] + 1 - start
            vectors = _draw_latent(random, number, self.latent_size) if latent is None else latent[start:]
            batch = {name: column[chosen] for name, column in inputs.items()}
            made = np.asarray(self.run({"latent": vectors[chosen - start], **batch}))
            if made.shape != (size, *self.space.shape):
                raise ValueError(
                    f"run must return values of shape {(size, *self.space.shape)} for space {self.space.name!r}, "
                    f"received {made.shape}."
                )
            values[start : start + size] = made[: events - start]
        origin = {"gan": self.architecture, "training epochs": self.epochs, "seed": seed}
        return Sample(values, labels, self.space, origin)

    def traverse(self, labels: Mapping[str, np.ndarray], seed: int, latents: int = 1) -> Sample:
        """Generate events with the same latent vectors at every point of the labels.

        Differences between the events of one latent vector are due to the labels alone.

        Args:
            labels: an array of shape `(point,)` for each of `conditions`, e.g. `energy` [GeV].
            seed: seed of the latent vectors.
            latents: number of latent vectors.

        Returns:
            A `Sample` of `latents * point` events, all points of the first latent vector first, with the label `latent`
            (0 to `latents - 1`) in addition to those of `conditions`.

        Raises:
            ValueError: as for `generate`, if `latents` is less than 1, or if the generator is unconditional.
        """
        if not self.conditions:
            raise ValueError(
                f"Generator {self.architecture!r} has no conditions to traverse; use generate(events, seed=)."
            )
        if latents < 1:
            raise ValueError(f"latents must be at least 1, received {latents}.")
        points, labels = self._checked(labels)
        vectors = _draw_latent(np.random.default_rng(seed), latents, self.latent_size)
        sample = self.generate(
            {name: np.tile(column, latents) for name, column in labels.items()},
            seed,
            latent=np.repeat(vectors, points, axis=0),
        )
        return replace(sample, labels={**sample.labels, "latent": np.repeat(np.arange(latents), points)})

    def _checked(self, labels: Mapping[str, np.ndarray] | int) -> tuple[int, dict[str, np.ndarray]]:
        """The number of events and the labels of `conditions` as float64 columns, or a ValueError."""
        needs = f"Generator {self.architecture!r} expects the labels {', '.join(self.conditions)}"
        if isinstance(labels, (int, np.integer)):
            if self.conditions:
                raise ValueError(f"{needs}, an array for each; received only the number {labels}.")
            if labels < 0:
                raise ValueError(f"The number of events must not be negative, received {labels}.")
            return int(labels), {}
        missing = [name for name in self.conditions if name not in labels]
        if missing:
            raise ValueError(f"{needs}; {', '.join(missing)} is missing, received {', '.join(labels) or 'none'}.")
        if not labels:
            raise ValueError("An unconditional generator expects the number of events, or labels; received no label.")
        columns = {name: np.asarray(labels[name], dtype=np.float64) for name in self.conditions or labels}
        shape = next(iter(columns.values())).shape
        for name, column in columns.items():
            if column.ndim != 1 or column.shape != shape:
                raise ValueError(
                    f"Label {name!r} must have shape (event,), the same for all labels, received {column.shape}."
                )
        columns = {name: columns[name] for name in self.conditions}
        check_labels(columns)
        return shape[0], columns

    def __repr__(self):
        return f"Generator({self.architecture!r} in {self.space.name!r}, conditions {self.conditions})"


def _draw_latent(random: np.random.Generator, vectors: int, size: int) -> np.ndarray:
    return random.standard_normal((vectors, size), dtype=np.float32)
