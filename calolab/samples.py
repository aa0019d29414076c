"""Samples: event values with their labels in one space, split, selected, sharded and handed out in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import accumulate, cycle, islice

import numpy as np

from calolab.spaces import SYMBOLS, Space

# How a label is written beside a number, e.g. "E 50 GeV"; others by their names.
LABEL_SYMBOLS = {
    **SYMBOLS,
    "energy": "E",
    "mtheta": "θ measured",
    "gluino_mass": "m(g̃)",
    "neutralino_mass": "m(χ̃)",
    "mu": "μ",
}
LABEL_UNITS = {
    "energy": "GeV",
    "theta": "rad",
    "phi": "rad",
    "mtheta": "rad",
    "gluino_mass": "GeV",
    "neutralino_mass": "GeV",
    "pt": "GeV",
    "mass": "GeV",
}
# Simulations under the names that their `origin` has.
SIMULATIONS = {"geant4": "Geant4", "gflash": "GFlash", "pythia": "Pythia"}


@dataclass(frozen=True, eq=False)
class Sample:
    """Events in one `Space`: showers, jet images, whole-detector images and maps alike.

    Args:
        values: shape `(event, *space.shape)`, in `space.unit`; kept as float32.
        labels: named arrays of shape `(event,)`: `energy` [GeV], `theta` [rad], ...; kept as float64.
        space: what the values mean.
        origin: where the events come from, as plain numbers and strings (simulation, seed, file, ...).

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
            if not np.all(np.isfinite(column)):
                raise ValueError(f"Label {name!r} holds {np.sum(~np.isfinite(column))} values that are not finite.")
        # A sum is not finite as soon as one cell is not: no boolean array of the sample's size.
        if values.size and not np.isfinite(np.sum(values, dtype=np.float64)):
            bad = [i for i, event in enumerate(values) if not np.all(np.isfinite(event))]
            raise ValueError(f"Sample values must be finite: {len(bad)} events are not, the first is event {bad[0]}.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "origin", dict(self.origin))

    def __len__(self):
        return len(self.values)

    def layer(self, index: int) -> np.ndarray:
        """Values of one layer, shape `(event, *space.layers[index].shape)`: a view."""
        if self.space.regular and self.space.has_depth:
            return self.values[..., index]
        layers = self.space.layers
        index = range(len(layers))[index]
        start, stop = self.space.layer_starts[index : index + 2]
        return self.values.reshape(len(self), -1)[:, start:stop].reshape(len(self), *layers[index].shape)

    def select(self, chosen) -> Sample:
        """The events that a boolean mask, an index array or a slice chooses, in that order."""
        return replace(
            self,
            values=self.values[chosen],
            labels={name: column[chosen] for name, column in self.labels.items()},
        )

    def split(self, test: float, seed: int) -> tuple[Sample, Sample]:
        """Shuffle with `seed` and cut into `(train, test)`, `test` being the fraction of events in the second.

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
        """Every `size`-th event from `rank` on; the shards of all ranks hold every event once."""
        check_shard(rank, size, len(self))
        return self.select(slice(rank, None, size))

    def batches(self, batch_size: int | Sequence[int], seed: int, steps: int | None = None) -> Iterator[Sample]:
        """One epoch in an order fixed by `seed`, in `steps` batches; the last batch takes all that is left.

        Args:
            batch_size: events per batch; several sizes take turns, as `rank_batches` gives them.
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
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{c.min():.4g} to {c.max():.4g} {LABEL_UNITS.get(name, '')}</td></tr>"
            for name, c in self.labels.items()
            if len(c)
        )
        told = {name: f"{value:.5g}" if isinstance(value, float) else str(value) for name, value in self.origin.items()}
        origin = escape(", ".join(f"{name} {value}" for name, value in told.items()))
        return f"<b>{len(self)} events</b> in {self.space._repr_html_()}<table>{rows}</table><small>{origin}</small>"


def side_names(reference: object, generated: object, names: Sequence[str] | None = None) -> tuple[str, str]:
    """What two samples that are shown side by side are called.

    Args:
        reference, generated: the two, or what else stands in their places.
        names: the two names, or None: the simulations that made them, if their origins name two different ones, e.g.
            `("Geant4", "GFlash")`, or else `("reference", "generated")`.

    Raises:
        ValueError: unless `names` are two different, not empty texts.
    """
    if names is not None:
        found = tuple(names) if not isinstance(names, str) else (names,)
        if len(found) != 2 or len(set(found)) != 2 or not all(isinstance(name, str) and name for name in found):
            raise ValueError(f'names must be two different texts, such as ("Geant4", "GFlash"), received {names!r}.')
        return found
    made = [getattr(sample, "origin", {}).get("simulation") for sample in (reference, generated)]
    if all(made) and made[0] != made[1]:
        return tuple(SIMULATIONS.get(name, str(name)) for name in made)
    return "reference", "generated"


def real_numbers(what: str, given, dtype) -> np.ndarray:
    """An array of real numbers; numpy itself would take texts, and leave out the imaginary part.

    Raises:
        ValueError: for anything else, with `what` it is.
    """
    array = np.asarray(given)
    if array.dtype.kind not in "biuf" and not (array.dtype.kind == "V" and array.dtype.names is None):
        raise ValueError(f"{what} must be real numbers, received an array of {array.dtype}.")
    with np.errstate(over="ignore"):  # infinite ones are refused in words
        return array.astype(dtype, copy=False)


def concatenate(samples: Sequence[Sample]) -> Sample:
    """Join samples of one space, in order; the labels must have the same names.

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
    """Training steps in which `ranks` ranks with `batch_size` events each see `n_events` once.

    The smallest shard decides, so that every rank has an event in every step; what is left over joins the last step.

    Args:
        n_events: events of all ranks.
        batch_size: events per rank and step.
        ranks: number of ranks.
        global_batch: events of all ranks per step, which need not divide by the ranks; `ranks * batch_size` by default.

    Raises:
        ValueError: if there are fewer events than ranks, in all or in a step, or the batch is empty.
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
    """Events that all ranks together see in one step of an epoch; they weight the ranks' gradients."""
    steps = steps_per_epoch(n_events, batch_size, ranks, global_batch)
    usual = batch_size * ranks if global_batch is None else global_batch
    return usual if step < steps - 1 else n_events - (steps - 1) * usual


def rank_batches(global_batch: int, rank: int, ranks: int) -> tuple[int, ...]:
    """A rank's part of a global batch, step by step and then again; the ranks take turns with what does not divide.

    After any number of steps no rank has had more than one event more than another.
    """
    share, left = divmod(global_batch, ranks)
    return tuple(share + ((rank - step * left) % ranks < left) for step in range(ranks if left else 1))


def batch_slices(n_events: int, batch_size: int | Sequence[int], steps: int | None = None) -> list[slice]:
    """Slices of `batch_size` events, the last of the `steps` taking the rest; several sizes take turns.

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
    """Raise ValueError unless `rank` is one of `size` ranks and each can have an event."""
    if not 0 <= rank < size:
        raise ValueError(f"shard(rank, size) expects 0 <= rank < size, received rank {rank} of {size}.")
    if n_events < size:
        raise ValueError(f"{n_events} events cannot be shared by {size} ranks: give at least one event per rank.")
