"""The events of JetComparison: real or generated, by mass point, with or without pile-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from calolab.names import check_name
from calolab.samples import Sample
from calolab.spaces import Space

# Number of events in the first piece: few enough for an immediate response, also with 200 pile-up collisions.
FIRST_PIECE = 8
# Number of events in the following pieces: few enough that a piece takes a fraction of a second, and enough that the
# overhead of a call is negligible. Most of the time is spent on pile-up, which is overlaid event by event.
PIECE = {"with pile-up": 16, "alone": 64}
MASSES = ("gluino_mass", "neutralino_mass")
ALL = "all"


@dataclass(frozen=True)
class View:
    """A set of events: the name of a sample, its mass point, and whether events and pile-up are real or generated."""

    sample: str
    point: str = ALL
    signal: str = "real"
    pileup: str = "none"
    mu: float = 0.0

    @property
    def has_pileup(self) -> bool:
        """Whether pile-up is added to its events."""
        return self.pileup != "none" and self.mu > 0


@dataclass(frozen=True, eq=False)
class Sources:
    """The sources of events and pile-up, checked to be compatible.

    Args:
        real: samples of one space with axes eta and phi, by name.
        generated: for some of these names, a sample or `generate(labels, seed=) -> Sample`.
        pileup: functions `(events, mu, seed) -> Sample` for `"real"` and `"generated"` pile-up; may be empty.
        events: maximum number of events of each sample that are clustered, evenly distributed over the sample.
        seed: seed of generated events and of pile-up.
        clustering: arguments of `jets.cluster`.

    Raises:
        TypeError, ValueError: if sources are not compatible; see `JetComparison`.
    """

    real: Mapping[str, Sample]
    generated: Mapping[str, Sample | Callable]
    pileup: Mapping[str, Callable]
    events: int
    seed: int
    clustering: Mapping[str, object]
    _points: dict = field(default_factory=dict, init=False, repr=False)
    _signals: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        _check_real(self.real)
        for name, source in self.generated.items():
            _check_generated(name, source, self.real)
        for kind, source in self.pileup.items():
            if not callable(source):
                raise TypeError(
                    f"The {kind} pile-up must be a function (events, mu, seed) -> Sample, such as library.images; "
                    f"received {type(source).__name__}."
                )
        if "generated" in self.pileup and "real" not in self.pileup:
            raise ValueError("generated_pileup= is compared with real pile-up: pileup= is required, too.")

    @property
    def space(self) -> Space:
        """The space of all events."""
        return next(iter(self.real.values())).space

    def points(self, name: str) -> dict[str, np.ndarray]:
        """Boolean masks of a real sample's events by mass point; `"all"` is the first if there are several."""
        if name not in self._points:
            self._points[name] = mass_points(self.real[name])
        return self._points[name]

    def signal(self, view: View) -> Sample | Callable | None:
        """The events of a view without pile-up, a function that generates them, or None if there are none."""
        key = (view.sample, view.point, view.signal)
        if key not in self._signals:
            source = self.real[view.sample] if view.signal == "real" else self.generated.get(view.sample)
            if isinstance(source, Sample):
                real = view.signal == "real"
                mask = self.points(view.sample)[view.point] if real else _at(source, view.point)
                source = self._some(source, np.flatnonzero(mask))
            self._signals[key] = source
        return self._signals[key]

    def count(self, view: View) -> int:
        """Number of events of a view that can be clustered."""
        source = self.signal(view)
        if source is None:
            return 0
        like = source if isinstance(source, Sample) else self.signal(replace(view, signal="real"))
        return len(like)

    def piece(self, view: View, start: int) -> Sample:
        """The events from `start` on with their pile-up, at most `FIRST_PIECE` or `PIECE` of them.

        Args:
            view: the set of events.
            start: index of the first event.
        """
        size = PIECE["with pile-up" if view.has_pileup else "alone"] if start else FIRST_PIECE
        selected = slice(start, min(start + size, self.count(view)))
        source = self.signal(view)
        if not isinstance(source, Sample):
            labels = self.signal(replace(view, signal="real")).select(selected).labels
            generated = source(labels, seed=self._seed(view, start, 0))
            source = _checked(generated, f"generated={view.sample!r}", self.space, selected.stop - selected.start)
        else:
            source = source.select(selected)
        if not view.has_pileup:
            return source
        pileup = self.pile_up(view.pileup, len(source), view.mu, self._seed(view, start, 1))
        return replace(source, values=source.values + pileup.values)

    def pile_up(self, kind: str, events: int, mu: float, seed: int) -> Sample:
        """Pile-up from a source, checked to be compatible with the events.

        Args:
            kind: `"real"` or `"generated"`.
            events: number of events.
            mu: mean number of collisions.
            seed: seed of the pile-up.
        """
        return _checked(self.pileup[kind](events, mu, seed), f"the {kind} pile-up", self.space, events)

    def _some(self, sample, index):
        """At most `events` of the indexed events, evenly distributed; None if there are none."""
        if len(index) > self.events:
            index = index[np.arange(self.events) * len(index) // self.events]
        return sample.select(index) if len(index) else None

    def _seed(self, view, start, purpose):
        # Real and generated events have different pile-up, as two independent samples.
        words = [self.seed, purpose, start, view.signal == "generated", view.pileup == "generated"]
        return int(np.random.SeedSequence([int(word) for word in words]).generate_state(1)[0] >> 1)


def mass_points(sample: Sample) -> dict[str, np.ndarray]:
    """Boolean masks of the events by mass point, e.g. `"1400, 850"`; only `"all"` if there are no mass labels."""
    everything = {ALL: np.ones(len(sample), dtype=bool)}
    names = _mass_labels(sample)
    if not names:
        return everything
    columns = np.column_stack([sample.labels[name] for name in names])
    points = {_text(point): np.all(columns == point, axis=1) for point in np.unique(columns, axis=0)}
    return points if len(points) == 1 else {**everything, **points}


def _at(sample, point):
    """Mask of the events at a mass point; all events if there is only one, or no mass labels."""
    points = mass_points(sample)
    if point == ALL or not _mass_labels(sample):
        return np.ones(len(sample), dtype=bool)
    return points.get(point, np.zeros(len(sample), dtype=bool))


def _text(point):
    return ", ".join(f"{mass:g}" for mass in point)


def _mass_labels(sample):
    return [name for name in MASSES if name in sample.labels]


def _check_real(real):
    if not real:
        raise ValueError("JetComparison expects at least one real sample.")
    first = next(iter(real.values()))
    for name, sample in real.items():
        if not isinstance(sample, Sample):
            raise TypeError(f"real[{name!r}] must be a Sample, received {type(sample).__name__}.")
        if not len(sample):
            raise ValueError(f"real[{name!r}] has no events: there is nothing to display.")
        if sample.space.axes != ("eta", "phi") or sample.space.has_depth:
            raise ValueError(
                f"real[{name!r}] must be images in eta and phi, such as 'whole-detector'; its space is "
                f"{sample.space.name!r} with the axes {', '.join(sample.space.axes)}."
            )
        if sample.space != first.space:
            raise ValueError(f"All samples must be in one space: {name!r} is in {sample.space.name!r}.")


def _check_generated(name, source, real):
    check_name("real sample for generated", name, real)
    if not isinstance(source, Sample):
        if not callable(source):
            raise TypeError(
                f"generated[{name!r}] must be a Sample, a Generator or a function (labels, seed=) -> Sample; "
                f"received {type(source).__name__}."
            )
        if not real[name].labels:
            raise ValueError(
                f"generated[{name!r}] is a function of labels, and real[{name!r}] has no labels: pass a Sample of "
                "generated events."
            )
        return
    if not len(source):
        raise ValueError(f"generated[{name!r}] has no events: there is nothing to compare.")
    _checked(source, f"generated[{name!r}]", real[name].space, len(source))
    if len(mass_points(real[name])) > 1 and not set(_mass_labels(real[name])) <= set(source.labels):
        raise ValueError(
            f"real[{name!r}] has several mass points; generated[{name!r}] needs the labels "
            f"{', '.join(_mass_labels(real[name]))}, received {', '.join(sorted(source.labels)) or 'none'}."
        )


def _checked(sample, name, space, events):
    """The sample, if it is in the space and has the expected number of events."""
    if not isinstance(sample, Sample):
        raise TypeError(f"{name} must be or return a Sample, received {type(sample).__name__}.")
    if sample.space != space:
        raise ValueError(
            f"{name} is in space {sample.space.name!r}, the real events in {space.name!r}: only events of one "
            "space can be compared."
        )
    if len(sample) != events:
        raise ValueError(f"{name} must have {events} events, received {len(sample)}.")
    return sample
