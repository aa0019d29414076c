"""The records of a scorecard: numbers with their floors, panels of the figure, and their conversion to JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from calolab.names import check_name
from calolab.scores import Score
from calolab.spaces import Space
from calolab.validation.json_content import plain
from calolab.validation.scorecards import table
from calolab.validation.scorecards.metrics import METRICS

VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One metric of one generator.

    Args:
        metric: a name in `METRICS`.
        value: generated against reference; NaN where it is undefined.
        error: statistical error of the value; None where it is not known.
        floor: the same metric of reference against other reference events, for the same numbers of events; None where
            it is not known.
        floor_spread: standard deviation of the floor; None where it was measured once.
        note: how far the number can be trusted.
    """

    metric: str
    value: float
    error: float | None = None
    floor: float | None = None
    floor_spread: float | None = None
    note: str = ""

    def __post_init__(self):
        check_name("metric", self.metric, METRICS)

    @property
    def score(self) -> Score:
        """The entry as a score, for selection and search."""
        return Score(self.metric, self.value, self.floor, self.floor_spread, METRICS[self.metric].direction)

    @property
    def uncertainty(self) -> float | None:
        """Uncertainty of value minus floor if the generator were perfect; None if the floor has none.

        The error of the value counts at most as much as the spread of the floor: that of a bad generator can be much
        larger, and would hide how far its value is from the floor.
        """
        if not self.floor_spread:
            return None
        return math.hypot(self.floor_spread, min(self.error or 0.0, self.floor_spread))

    @property
    def at_floor(self) -> bool | None:
        """Whether the value is within twice its uncertainty of the floor, or better; None if this is not known."""
        if self.floor is None or self.uncertainty is None or math.isnan(self.value):
            return None
        metric = METRICS[self.metric]
        worse = self.value - self.floor if metric.direction == "lower" else self.floor - self.value
        return bool((abs(worse) if metric.two_sided else worse) <= 2 * self.uncertainty)


@dataclass(frozen=True, eq=False)
class Panel:
    """A distribution or curve of the reference and of every generator, for the figure.

    Args:
        name: e.g. `"cell_spectrum"`.
        x, y: labels of the axes, with units.
        edges: edges of the bins, shape `(bins + 1,)`; for curves the points, shape `(bins,)`.
        contents, errors: by name of the sample, each of shape `(bins,)`; the errors may be zero.
        logarithmic: which axes are: `""`, `"x"`, `"y"` or `"xy"`.
    """

    name: str
    x: str
    y: str
    edges: np.ndarray
    contents: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    logarithmic: str = ""

    @property
    def is_curve(self) -> bool:
        """Whether the panel holds points of a curve rather than bins."""
        return len(self.edges) == len(next(iter(self.contents.values())))

    def beside(self, other: Panel) -> Panel:
        """One panel with the samples of both.

        Args:
            other: a panel of other samples; its bins may reach further, but inside both have the same edges.
        """
        if np.array_equal(self.edges, other.edges):
            edges, padded = self.edges, [(0, 0), (0, 0)]
        else:
            edges = np.union1d(self.edges, other.edges)
            padded = [
                (np.searchsorted(edges, one.edges[0]), len(edges) - 1 - np.searchsorted(edges, one.edges[-1]))
                for one in (self, other)
            ]
        joined = {}
        for what in ("contents", "errors"):
            mine, theirs = (
                {name: np.pad(row, width) for name, row in getattr(one, what).items()}
                for one, width in zip((self, other), padded)
            )
            joined[what] = theirs | mine
        order = dict.fromkeys([*self.contents, *other.contents])
        return Panel(
            **vars(self)
            | {what: {name: rows[name] for name in order} for what, rows in joined.items()}
            | {"edges": edges}
        )


@dataclass(frozen=True, eq=False)
class Scorecard:
    """Generators compared with one reference, in many metrics, each with its floor.

    `validation.scorecard` makes it; `plot()` draws a page of figures, and a notebook shows it as a table.

    Args:
        kind: `"showers"`, `"events"` or `"jet images"`.
        space: space of all samples.
        reference: name of the reference in tables and figures.
        fingerprint: fingerprint of the reference and the settings; scorecards with equal ones can be shown together.
        events: numbers of events by sample, and as `"compared"` the number on each side of every comparison.
        energies: lowest and highest incident energy of the reference [GeV]; None without that label.
        settings: threshold [`space.unit`], seed, repetitions, classifier, seeds and seconds taken.
        results: by generator, its entries by metric.
        panels: panels of the figure, by name.
        matrices: correlations between layer energies, by sample, each of shape `(layer, layer)`.
        notes: warnings about the reliability of the numbers.
    """

    kind: str
    space: Space
    reference: str
    fingerprint: str
    events: Mapping[str, int]
    energies: tuple[float, float] | None
    settings: Mapping[str, object]
    results: Mapping[str, Mapping[str, Entry]]
    panels: Mapping[str, Panel] = field(default_factory=dict)
    matrices: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def generators(self) -> tuple[str, ...]:
        """Names of the generators."""
        return tuple(self.results)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that any generator has, in the order of the table."""
        held = {name for entries in self.results.values() for name in entries}
        return tuple(name for name in METRICS if name in held)

    @property
    def groups(self) -> dict[str, str]:
        """The group of each metric."""
        return {name: METRICS[name].group for name in self.metrics}

    @property
    def labels(self) -> dict[str, str]:
        """The short name of each metric in tables and figures."""
        return {name: METRICS[name].label for name in self.metrics}

    def __getitem__(self, name: str) -> Mapping[str, Entry]:
        """Entries of a generator by metric, or of a metric by generator."""
        check_name("generator or metric of the scorecard", name, [*self.generators, *self.metrics])
        if name in self.results:
            return self.results[name]
        return {generator: entries[name] for generator, entries in self.results.items() if name in entries}

    def scores(self, generator: str | None = None) -> dict[str, Score]:
        """The scores of one generator by metric.

        Args:
            generator: its name; not needed if there is only one.

        Raises:
            ValueError: for an unknown name, or without one if there are several generators.
        """
        if generator is None and len(self.results) > 1:
            raise ValueError(f"scores(generator) expects one of {', '.join(self.generators)}.")
        generator = self.generators[0] if generator is None else generator
        check_name("generator of the scorecard", generator, self.generators)
        return {name: entry.score for name, entry in self.results[generator].items()}

    def ranking(self, metric: str) -> tuple[str, ...]:
        """The generators from best to worst in one metric; those without a number come last.

        Args:
            metric: e.g. `"auc.cnn"`.

        Raises:
            ValueError: for a metric that the scorecard lacks.
        """
        check_name("metric of the scorecard", metric, self.metrics)
        entries = self[metric]

        def rank(name):
            entry = entries.get(name)
            if entry is None or math.isnan(entry.value):
                return math.inf
            return entry.value if METRICS[metric].direction == "lower" else -entry.value

        return tuple(sorted(self.generators, key=rank))

    def beside(self, *others: Scorecard) -> Scorecard:
        """One scorecard with the generators of this scorecard and of others.

        Args:
            *others: scorecards of other generators against the same reference, with the same settings.

        Raises:
            ValueError: if reference or settings differ, or two generators have the same name.
        """
        joined = {name: dict(getattr(self, name)) for name in ("events", "results", "matrices")}
        panels = dict(self.panels)
        notes = list(self.notes)
        for other in others:
            if other.fingerprint != self.fingerprint or other.reference != self.reference:
                raise ValueError(
                    f"beside expects scorecards for the same reference {self.reference!r} with the same settings; "
                    f"received {self.settings} and {other.settings}, reference {other.reference!r}."
                )
            if clash := set(joined["results"]) & set(other.results):
                raise ValueError(f"Two generators are called {', '.join(sorted(clash))}: give names=.")
            for name, content in joined.items():
                content.update({key: one for key, one in getattr(other, name).items() if key not in content})
            # A panel that one of them lacks, such as the response of empty showers, is left out.
            panels = {name: panel.beside(other.panels[name]) for name, panel in panels.items() if name in other.panels}
            notes += [note for note in other.notes if note not in notes]
        return Scorecard(**(vars(self) | joined | {"panels": panels, "notes": tuple(notes)}))

    def plot(self):
        """One page of figures: metrics with their floors, distributions, response and correlations.

        Returns:
            A matplotlib figure, which a notebook shows.
        """
        from calolab.plots import scorecard  # matplotlib loads when something is drawn

        return scorecard.page(self)

    def to_json(self) -> str:
        """The whole scorecard as a JSON text; `Scorecard.from_json` reads it back."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        content |= {
            "space": self.space.to_dict(),
            "results": {
                name: {metric: vars(entry) for metric, entry in entries.items()}
                for name, entries in self.results.items()
            },
            "panels": {name: vars(panel) for name, panel in self.panels.items()},
        }
        return json.dumps({"calolab scorecard": VERSION, **plain(content)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Scorecard:
        """Rebuild a scorecard from `to_json`.

        Args:
            text: the JSON text.

        Raises:
            ValueError: if the text is not a scorecard, or of a later version.
        """
        try:
            content = json.loads(text)
            version = content.pop("calolab scorecard")
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError("This is not a scorecard: expected the JSON text that Scorecard.to_json wrote.") from error
        if version != VERSION:
            raise ValueError(f"This scorecard has version {version}, this calolab reads version {VERSION}: update it.")
        try:
            return cls._from_plain(content)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"This scorecard is damaged ({type(error).__name__}: {error}): make it again.") from error

    @classmethod
    def _from_plain(cls, content: dict) -> Scorecard:
        panels = {}
        for name, panel in content["panels"].items():
            arrays = {key: {one: _array(two) for one, two in panel[key].items()} for key in ("contents", "errors")}
            panels[name] = Panel(**{**panel, **arrays, "edges": _array(panel["edges"])})
        results = {
            name: {metric: Entry(**{**entry, "value": _number(entry["value"])}) for metric, entry in entries.items()}
            for name, entries in content["results"].items()
        }
        return cls(
            **{
                **content,
                "space": Space.from_dict(content["space"]),
                "energies": None if content["energies"] is None else tuple(content["energies"]),
                "results": results,
                "panels": panels,
                "matrices": {name: _array(rows) for name, rows in content["matrices"].items()},
                "notes": tuple(content["notes"]),
            }
        )

    def __repr__(self):
        return repr(table.table(self))

    def _repr_html_(self):
        return table.table(self)._repr_html_()


def _number(value) -> float:
    return math.nan if value is None else value


def _array(rows) -> np.ndarray:
    return np.array(rows, dtype=np.float64)  # None becomes NaN
