"""Samples: event values with their labels in one space, and how they are split, selected, sharded and batched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import accumulate, cycle, islice

import numpy as np

from calolab.labels import check_finite, range_text
from calolab.spaces import Space
from calolab.tables import Table

# Names of simulations, by the entry `simulation` of an `origin`.
SIMULATIONS = {"geant4": "Geant4", "gflash": "GFlash", "pythia": "Pythia"}


@dataclass(frozen=True, eq=False)
class Sample:
    """Events in one `Space`, such as showers, jet images, whole-detector images or maps.

    Args:
        values: shape `(event, *space.shape)`, in `space.unit`; stored as float32.
        labels: named arrays of shape `(event,)`: `energy` [GeV], `theta` [rad], ...; stored as float64.
        space: the space of the values.
        origin: provenance of the events, as plain numbers and strings (simulation, seed, file, ...).

    Raises:
        ValueError: if shapes disagree, or a value or label is not finite.
    """

    values: np.ndarray
    labels: Mapping[str, np.ndarray]
    space: Space
    origin: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        values = real_numbers("Sample values", self.values, np.float32)
        if values.shape[1:] != self.space.shape:
            raise ValueError(
                f"Sample values in space {self.space.name!r} must have shape (event, "
                f"{', '.join(map(str, self.space.shape))}), received {values.shape}."
            )
        labels = {name: real_numbers(f"Label {name!r}", column, np.float64) for name, column in self.labels.items()}
        for name, column in labels.items():
            if column.shape != (len(values),):
                raise ValueError(f"Label {name!r} must have shape ({len(values)},), received {column.shape}.")
        check_finite(labels)
        # One cell that is not finite makes the sum not finite; this needs no boolean array of the sample's size.
        if values.size and not np.isfinite(np.sum(values, dtype=np.float64)):
            bad = [i for i, event in enumerate(values) if not np.all(np.isfinite(event))]
            raise ValueError(f"Sample values must be finite: {len(bad)} events are not, the first is event {bad[0]}.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "origin", dict(self.origin))

    def __len__(self):
        return len(self.values)

    def layer(self, index: int) -> np.ndarray:
        """Values of one layer as a view, shape `(event, *space.layers[index].shape)`."""
        if self.space.regular and self.space.has_depth:
            return self.values[..., index]
        layers = self.space.layers
        index = range(len(layers))[index]
        start, stop = self.space.layer_starts[index : index + 2]
        return self.values.reshape(len(self), -1)[:, start:stop].reshape(len(self), *layers[index].shape)

    def select(self, chosen) -> Sample:
        """The events that a boolean mask, an index array or a slice selects, in that order."""
        return replace(
            self,
            values=self.values[chosen],
            labels={name: column[chosen] for name, column in self.labels.items()},
        )

    def split(self, test: float, seed: int) -> tuple[Sample, Sample]:
        """Shuffle the events and split them into a training sample and a test sample.

        Args:
            test: fraction of events in the test sample.
            seed: seed of the order.

        Returns:
            `(train, test)`.

        Raises:
            ValueError: if `test` is not between 0 and 1, or one part would be empty.
        """
        if not 0 < test < 1:
            raise ValueError(f"split(test=) expects a fraction between 0 and 1, received {test}.")
        n_test = round(len(self) * test)
        if n_test == 0 or n_test == len(self):
            raise ValueError(f"split(test={test}) of {len(self)} events leaves one part empty; give more events.")
        order = np.random.default_rng(seed).permutation(len(self))
        return self.select(order[n_test:]), self.select(order[:n_test])

    def shard(self, rank: int, size: int) -> Sample:
        """Every `size`-th event, starting with event `rank`; the shards of all ranks contain every event once.

        Args:
            rank: number of the rank, from 0.
            size: number of ranks.

        Raises:
            ValueError: if there is no such rank, or there are fewer events than ranks.
        """
        check_shard(rank, size, len(self))
        return self.select(slice(rank, None, size))

    def batches(self, batch_size: int | Sequence[int], seed: int, steps: int | None = None) -> Iterator[Sample]:
        """The batches of one epoch in an order that `seed` determines; the last one takes all remaining events.

        Args:
            batch_size: events per batch; several sizes alternate, as returned by `rank_batches`.
            seed: seed of the order.
            steps: number of batches; by default `steps_per_epoch(len(self), batch_size)`.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        for chosen in batch_slices(len(self), batch_size, steps):
            yield self.select(order[chosen])

    def __repr__(self):
        ranges = ", ".join(f"{name} {c.min():.4g} to {c.max():.4g}" for name, c in self.labels.items() if len(c))
        return f"Sample({len(self)} events in {self.space.name!r}{', ' if ranges else ''}{ranges})"

    def _repr_html_(self):
        rows = [(name, range_text(name, column)) for name, column in self.labels.items() if len(column)]
        found = {
            name: f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in self.origin.items()
        }
        origin = escape(", ".join(f"{name} {value}" for name, value in found.items()))
        return f"<b>{len(self)} events</b> in {self.space._repr_html_()}{Table(rows).to_html()}<small>{origin}</small>"


def side_names(reference: object, generated: object, names: Sequence[str] | None = None) -> tuple[str, str]:
    """Names of two samples that are shown side by side.

    Args:
        reference, generated: the two samples, or other objects in their place.
        names: the two names, or None: the simulations of the samples, if their origins name two different ones, e.g.
            `("Geant4", "GFlash")`, otherwise `("reference", "generated")`.

    Raises:
        ValueError: unless `names` are two different non-empty strings.
    """
    if names is not None:
        found = tuple(names) if not isinstance(names, str) else (names,)
        if len(found) != 2 or len(set(found)) != 2 or not all(isinstance(name, str) and name for name in found):
            raise ValueError(f'names must be two different strings, such as ("Geant4", "GFlash"), received {names!r}.')
        return found
    made = [getattr(sample, "origin", {}).get("simulation") for sample in (reference, generated)]
    if all(made) and made[0] != made[1]:
        return tuple(SIMULATIONS.get(name, str(name)) for name in made)
    return "reference", "generated"


def real_numbers(what: str, given, dtype) -> np.ndarray:
    """Convert to an array of real numbers; numpy itself would also convert strings, and drop imaginary parts.

    Args:
        what: description of the array, for the error message.
        given: numbers.
        dtype: type of the array.

    Raises:
        ValueError: for anything but real numbers.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" and not (array.dtype.kind == "V" and array.dtype.names is None):
        raise ValueError(f"{what} must be real numbers, received an array of {array.dtype}.")
    with np.errstate(over="ignore"):  # infinite values are rejected with a message
        return array.astype(dtype, copy=False)


def concatenate(samples: Sequence[Sample]) -> Sample:
    """Concatenate samples in one space, in order; the labels must have the same names.

    Raises:
        ValueError: for no sample, different spaces or different labels.
    """
    samples = list(samples)
    if not samples:
        raise ValueError("concatenate expects at least one sample.")
    first = samples[0]
    for other in samples[1:]:
        if other.space != first.space:
            raise ValueError(f"Cannot join samples in {first.space.name!r} and {other.space.name!r}: one space only.")
        if set(other.labels) != set(first.labels):
            raise ValueError(f"Cannot join samples labelled {sorted(first.labels)} and {sorted(other.labels)}.")
    return Sample(
        values=np.concatenate([s.values for s in samples]),
        labels={name: np.concatenate([s.labels[name] for s in samples]) for name in first.labels},
        space=first.space,
        origin=first.origin,
    )


def steps_per_epoch(n_events: int, batch_size: int, ranks: int = 1, global_batch: int | None = None) -> int:
    """Number of training steps in which `ranks` ranks with `batch_size` events each process `n_events` once.

    It depends on the smallest shard, so that every rank has an event in every step; remaining events are part of the
    last step.

    Args:
        n_events: events of all ranks.
        batch_size: events per rank and step.
        ranks: number of ranks.
        global_batch: events of all ranks per step, not necessarily a multiple of the number of ranks;
            `ranks * batch_size` by default.

    Raises:
        ValueError: if there are fewer events than ranks, in total or in a step, or the batch is empty.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, received {batch_size}.")
    if n_events < ranks:
        raise ValueError(f"{n_events} events cannot be shared by {ranks} ranks: give at least one event per rank.")
    global_batch = batch_size * ranks if global_batch is None else global_batch
    if global_batch < ranks:
        raise ValueError(
            f"A batch of {global_batch} events cannot be shared by {ranks} ranks: one event each at least."
        )
    return (n_events // ranks - 1) * ranks // global_batch + 1


def global_batch_size(n_events: int, batch_size: int, ranks: int, step: int, global_batch: int | None = None) -> int:
    """Events that all ranks together process in one step of an epoch; they weight the ranks' gradients.

    Args:
        n_events, batch_size, ranks, global_batch: as for `steps_per_epoch`.
        step: number of the step, from 0.

    >>> [global_batch_size(10, batch_size=2, ranks=2, step=step) for step in range(3)]
    [4, 4, 2]
    """
    steps = steps_per_epoch(n_events, batch_size, ranks, global_batch)
    usual = batch_size * ranks if global_batch is None else global_batch
    return usual if step < steps - 1 else n_events - (steps - 1) * usual


def rank_batches(global_batch: int, rank: int, ranks: int) -> tuple[int, ...]:
    """A rank's numbers of events of a global batch, step by step, periodically; remainders alternate between the ranks.

    After any number of steps, the numbers of events of any two ranks differ by at most one.

    Args:
        global_batch: events of all ranks per step.
        rank: number of the rank, from 0.
        ranks: number of ranks.

    >>> rank_batches(5, rank=0, ranks=2), rank_batches(5, rank=1, ranks=2)
    ((3, 2), (2, 3))
    """
    share, left = divmod(global_batch, ranks)
    return tuple(share + ((rank - step * left) % ranks < left) for step in range(ranks if left else 1))


def batch_slices(n_events: int, batch_size: int | Sequence[int], steps: int | None = None) -> list[slice]:
    """Slices of the events of each batch; the last one contains all remaining events.

    Args:
        n_events: number of events.
        batch_size: events per batch; several sizes alternate.
        steps: number of batches; by default `steps_per_epoch(n_events, batch_size)`.

    Raises:
        ValueError: if `steps` batches would leave the last one empty.
    """
    sizes = tuple(np.atleast_1d(batch_size).tolist())
    steps = steps_per_epoch(n_events, max(sizes)) if steps is None else steps
    starts = [0, *accumulate(islice(cycle(sizes), max(0, steps - 1)))]
    if steps < 1 or starts[-1] >= n_events:
        taken = ", ".join(map(str, sizes))
        raise ValueError(f"{n_events} events do not fill {steps} batches of {taken}.")
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n_events])]


def check_shard(rank: int, size: int, n_events: int) -> None:
    """Raise ValueError unless `rank` is one of `size` ranks and each can have an event.

    Args:
        rank: number of the rank, from 0.
        size: number of ranks.
        n_events: number of events.
    """
    if not 0 <= rank < size:
        raise ValueError(f"shard(rank, size) expects 0 <= rank < size, received rank {rank} of {size}.")
    if n_events < size:
        raise ValueError(f"{n_events} events cannot be shared by {size} ranks: give at least one event per rank.")
