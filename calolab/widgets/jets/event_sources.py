"""The events that JetComparison shows: real or generated, by mass point, alone or under pile-up, and their jets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from calolab import jets
from calolab.names import check_name
from calolab.samples import Sample
from calolab.spaces import Space

# Events clustered at first: few enough for an answer at once, also under the pile-up of 200 collisions.
FIRST = 8
# Events clustered at a time after that: few enough that a piece keeps the kernel busy for a fraction of a second only,
# and enough that the overhead of a call counts little. Pile-up, overlaid event by event, takes most of the time.
PIECE = {"piled": 16, "alone": 64}
MASSES = ("gluino_mass", "neutralino_mass")
ALL = "all"


@dataclass(frozen=True)
class View:
    """One set of events: a sample's name, its mass point, whether its events and its pile-up are real or generated."""

    sample: str
    point: str = ALL
    signal: str = "real"
    pileup: str = "none"
    mu: float = 0.0

    @property
    def is_piled(self) -> bool:
        """Whether there is pile-up on its events."""
        return self.pileup != "none" and self.mu > 0


@dataclass(frozen=True, eq=False)
class Sources:
    """Where events and pile-up come from, checked to fit each other.

    Args:
        real: samples of one space with axes eta and phi under their names.
        generated: under some of these names a sample, or `generate(labels, seed=) -> Sample`.
        pileup: `"real"` and `"generated"` sources, `(events, mu, seed) -> Sample`; may be empty.
        events: at most so many events of each are clustered, spread over all there are.
        seed: of what is generated and of the pile-up.
        clustering: arguments for `jets.cluster`.

    Raises:
        TypeError, ValueError: where something does not fit; see `JetComparison`.
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
            raise ValueError("generated_pileup= is compared with real pile-up: give pileup=, too.")

    @property
    def space(self) -> Space:
        """The space of all events."""
        return next(iter(self.real.values())).space

    def points(self, name: str) -> dict[str, np.ndarray]:
        """The mass points of a real sample, with masks of their events; `"all"` comes first if there are several."""
        if name not in self._points:
            self._points[name] = mass_points(self.real[name])
        return self._points[name]

    def signal(self, view: View) -> Sample | Callable | None:
        """The events of a view without pile-up, a function that makes them, or None if there are none."""
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
        """How many events of a view can be clustered."""
        source = self.signal(view)
        if source is None:
            return 0
        like = source if isinstance(source, Sample) else self.signal(replace(view, signal="real"))
        return len(like)

    def piece(self, view: View, start: int) -> Sample:
        """The next events from `start` on, at most `FIRST` at first and then `PIECE`, with their pile-up.

        Args:
            view: the view.
            start: index of the first event.
        """
        size = PIECE["piled" if view.is_piled else "alone"] if start else FIRST
        chosen = slice(start, min(start + size, self.count(view)))
        source = self.signal(view)
        if not isinstance(source, Sample):
            labels = self.signal(replace(view, signal="real")).select(chosen).labels
            made = source(labels, seed=self._seed(view, start, 0))
            source = _like(made, f"generated={view.sample!r}", self.space, chosen.stop - chosen.start)
        else:
            source = source.select(chosen)
        if not view.is_piled:
            return source
        laid = self.pile_up(view.pileup, len(source), view.mu, self._seed(view, start, 1))
        return replace(source, values=source.values + laid.values)

    def pile_up(self, kind: str, events: int, mu: float, seed: int) -> Sample:
        """Pile-up from a source, checked to fit the events.

        Args:
            kind: name of the source.
            events: number of events.
            mu: mean number of collisions per crossing.
            seed: seed of the draw.
        """
        return _like(self.pileup[kind](events, mu, seed), f"the {kind} pile-up", self.space, events)

    def _some(self, sample, index):
        """At most `events` of the indexed events, spread over all of them; None if there are none."""
        if len(index) > self.events:
            index = index[np.arange(self.events) * len(index) // self.events]
        return sample.select(index) if len(index) else None

    def _seed(self, view, start, what):
        # Real and generated events get pile-up of their own: two samples, as two runs would be.
        words = [self.seed, what, start, view.signal == "generated", view.pileup == "generated"]
        return int(np.random.SeedSequence([int(word) for word in words]).generate_state(1)[0] >> 1)


@dataclass(eq=False)
class Clustered:
    """What is known of a view so far: `columns` by variable, and the first events' values, labels and jets."""

    total: int
    images: np.ndarray
    jets: list = field(default_factory=list)
    labels: dict[str, np.ndarray] = field(default_factory=dict)
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    done: int = 0

    def owners(self, name: str) -> np.ndarray:
        """Which event each value of a column belongs to."""
        every = np.arange(self.done)
        return np.repeat(every, self.columns["multiplicity"].astype(int)) if name == "jet_pt" else every


def cluster_more(found: Clustered | None, sources: Sources, view: View, images: int) -> Clustered:
    """Cluster the next piece of a view, or the first; the first `images` events are kept with their jets.

    Args:
        found: the jets found so far, or None.
        sources: the sources of events.
        view: the view.
        images: number of events of which images are kept.
    """
    found = found or Clustered(sources.count(view), np.zeros((0, *sources.space.shape), np.float32))
    piece = sources.piece(view, found.done)
    made = jets.cluster(piece, **sources.clustering)
    wanted = min(images - len(found.images), len(piece))
    if wanted > 0:
        flat = np.column_stack([made.flat(name) for name in ("pt", "eta", "phi", "mass")])
        rows = np.split(flat, np.cumsum(made.multiplicity)[:-1])
        found.images = np.concatenate([found.images, piece.values[:wanted]])
        found.jets = [*found.jets, *(one.tolist() for one in rows[:wanted])]
        found.labels = _appended(found.labels, {name: column[:wanted] for name, column in piece.labels.items()})
    # One number per event, or per jet.
    found.columns = _appended(found.columns, observed(made))
    found.done += len(piece)
    return found


def _appended(columns, more):
    return {name: np.concatenate([columns[name], column]) if columns else column for name, column in more.items()}


def observed(made: jets.Jets) -> dict[str, np.ndarray]:
    """What is shown of jets: one number per event, for an event without jets 0; the pt of every jet."""
    return {
        "multiplicity": made.multiplicity.astype(float),
        "summed_mass": made.summed_mass,
        "leading_mass": np.nan_to_num(made.leading("mass")[:, 0]),
        "jet_pt": made.flat("pt"),
    }


def mass_points(sample: Sample) -> dict[str, np.ndarray]:
    """Boolean masks of the events by mass point, e.g. `"1400, 850"`; only `"all"` without mass labels."""
    everything = {ALL: np.ones(len(sample), dtype=bool)}
    names = _mass_names(sample)
    if not names:
        return everything
    columns = np.column_stack([sample.labels[name] for name in names])
    points = {_text(point): np.all(columns == point, axis=1) for point in np.unique(columns, axis=0)}
    return points if len(points) == 1 else {**everything, **points}


def _at(sample, point):
    """Which events have a mass point; all if there is one only, or the sample knows no masses."""
    points = mass_points(sample)
    if point == ALL or not _mass_names(sample):
        return np.ones(len(sample), dtype=bool)
    return points.get(point, np.zeros(len(sample), dtype=bool))


def _text(point):
    return ", ".join(f"{mass:g}" for mass in point)


def _mass_names(sample):
    return [name for name in MASSES if name in sample.labels]


def _check_real(real):
    if not real:
        raise ValueError("JetComparison expects at least one real sample.")
    first = next(iter(real.values()))
    for name, sample in real.items():
        if not isinstance(sample, Sample):
            raise TypeError(f"real[{name!r}] must be a Sample, received {type(sample).__name__}.")
        if not len(sample):
            raise ValueError(f"real[{name!r}] holds no events: there is nothing to show.")
        if sample.space.axes != ("eta", "phi") or sample.space.has_depth:
            raise ValueError(
                f"real[{name!r}] must hold images in eta and phi, such as 'whole-detector'; it lies in "
                f"{sample.space.name!r} with the axes {', '.join(sample.space.axes)}."
            )
        if sample.space != first.space:
            raise ValueError(f"All samples must lie in one space: {name!r} lies in {sample.space.name!r}.")


def _check_generated(name, source, real):
    check_name("real sample for generated", name, real)
    if not isinstance(source, Sample):
        if not callable(source):
            raise TypeError(
                f"generated[{name!r}] must be a Sample or a function (labels, seed=) -> Sample, such as gan.generate; "
                f"received {type(source).__name__}."
            )
        if not real[name].labels:
            raise ValueError(
                f"generated[{name!r}] is a function of labels, and real[{name!r}] has no labels: give a Sample that "
                "was generated before."
            )
        return
    if not len(source):
        raise ValueError(f"generated[{name!r}] holds no events: there is nothing to compare.")
    _like(source, f"generated[{name!r}]", real[name].space, len(source))
    if len(mass_points(real[name])) > 1 and not set(_mass_names(real[name])) <= set(source.labels):
        raise ValueError(
            f"real[{name!r}] holds several mass points, and generated[{name!r}] does not tell its own: it needs the "
            f"labels {', '.join(_mass_names(real[name]))}, it has {', '.join(sorted(source.labels)) or 'none'}."
        )


def _like(made, what, space, events):
    """The sample, if it lies in the space and holds so many events."""
    if not isinstance(made, Sample):
        raise TypeError(f"{what} must be or make a Sample, received {type(made).__name__}.")
    if made.space != space:
        raise ValueError(
            f"{what} lies in space {made.space.name!r}, the real events in {space.name!r}: only events of one space "
            "can be compared."
        )
    if len(made) != events:
        raise ValueError(f"{what} holds {len(made)} events where {events} were expected.")
    return made
