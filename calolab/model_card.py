"""Model cards: what a user of a trained generator must know about its data, training, quality and limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields

import numpy as np

from calolab.labels import range_text
from calolab.scores import Score
from calolab.tables import Table, with_error

_TOLERANCE = 1e-6  # relative; labels are rounded to float32 on their way through a network


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """The card of a trained generator (arXiv:1810.03993), stored in its file.

    Args:
        name: e.g. `"calolab-fast"`.
        about: what it generates, in one sentence.
        particle: e.g. `"electron"`.
        detector: e.g. `"clic-ecal"`.
        validity: lowest and highest value of each label for which it was validated; outside, `generate` warns.
        data: the training sample: simulation with version, number and labels of the events.
        recipe: how it was trained, in a sentence or two; the settings are in the provenance of its file.
        commit: commit of calolab with which it was trained.
        seeds: seeds by name, e.g. `{"weights": 1, "training": 7}`.
        cost: computing time of the training and the machine, e.g. `"2.8 h on 2 AVX2 cores"`.
        scores: figures of its scorecard by the name of the metric, e.g. `auc.trees`; those that are NaN are left out.
        scored_on: the events behind these figures, e.g. `"3,000 Geant4 showers that were not used for training"`.
        flaws: known flaws, one sentence each.
        citation: how to cite it.
        licence: its licence, e.g. `"BSD-3-Clause"`.

    Raises:
        ValueError: if a range of validity is not two numbers in order, or a score has another name than its key.
    """

    name: str
    about: str
    particle: str
    detector: str
    validity: Mapping[str, tuple[float, float]]
    data: str
    recipe: str
    commit: str
    seeds: Mapping[str, int]
    cost: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    scored_on: str = ""
    flaws: Sequence[str] = ()
    citation: str = ""
    licence: str = ""

    def __post_init__(self):
        for label, limits in self.validity.items():
            if len(limits) != 2 or not limits[0] <= limits[1]:
                raise ValueError(f"validity[{label!r}] expects the lowest and the highest value, received {limits!r}.")
        for name, score in self.scores.items():
            if score.name != name:
                raise ValueError(f"scores[{name!r}] is the score {score.name!r}.")
        ranges = {label: (float(low), float(high)) for label, (low, high) in self.validity.items()}
        object.__setattr__(self, "validity", ranges)
        object.__setattr__(self, "seeds", {name: int(seed) for name, seed in self.seeds.items()})
        measured = {name: score for name, score in self.scores.items() if not math.isnan(score.value)}
        object.__setattr__(self, "scores", measured)
        object.__setattr__(self, "flaws", tuple(self.flaws))

    @property
    def valid_for(self) -> str:
        """The ranges of validity as text, e.g. `"energy 10 to 100 GeV"`."""
        return ", ".join(f"{label} {range_text(label, limits)}" for label, limits in self.validity.items())

    def outside(self, labels: Mapping[str, np.ndarray]) -> str:
        """Text that says which labels are outside the ranges of validity; empty if none are.

        Args:
            labels: an array of shape `(event,)` for each label.
        """
        found = []
        for label, (low, high) in self.validity.items():
            column, margin = labels.get(label, ()), _TOLERANCE * max(abs(low), abs(high))
            if len(column) and not (low - margin <= np.min(column) and np.max(column) <= high + margin):
                found.append(f"{label} {range_text(label, (low, high))}, received {range_text(label, column)}")
        return f"{self.name!r} was validated for {'; '.join(found)}." if found else ""

    def to_dict(self) -> dict:
        """The card as plain numbers and strings that JSON can hold."""
        content = {**asdict(self), "scores": {name: score.to_dict() for name, score in self.scores.items()}}
        content["validity"] = {label: list(limits) for label, limits in self.validity.items()}
        return {**content, "flaws": list(self.flaws)}

    @classmethod
    def from_dict(cls, content: Mapping) -> ModelCard:
        """Rebuild a card from `to_dict`; entries of a later version are ignored.

        Raises:
            ValueError: if an entry is missing or of the wrong type.
        """
        known = {one.name for one in fields(cls)}
        try:
            scores = {name: Score.from_dict(name, score) for name, score in content.get("scores", {}).items()}
            return cls(**{name: value for name, value in content.items() if name in known} | {"scores": scores})
        except (TypeError, AttributeError, KeyError) as error:
            raise ValueError(f"The model card is not complete: {error}.") from error

    def _rows(self) -> list[tuple[str, str]]:
        """The entries but the scores and flaws, as pairs of texts; empty ones are left out."""
        rows = [
            ("particle", self.particle),
            ("detector", self.detector),
            ("valid for", self.valid_for),
            ("training data", self.data),
            ("recipe", self.recipe),
            ("training cost", self.cost),
            ("seeds", ", ".join(f"{name} {seed}" for name, seed in self.seeds.items())),
            ("commit", self.commit),
            ("cite as", self.citation),
            ("licence", self.licence),
        ]
        return [(name, text) for name, text in rows if text]

    def _scored_on(self) -> str:
        return f"Figures on {self.scored_on}." if self.scored_on else ""

    def _figures(self) -> Table:
        """The figures of the scorecard."""
        rows = [(name, f"{score.value:.3g}", _floor(score)) for name, score in self.scores.items()]
        return Table(rows, ("metric", "value", "floor"), right=(1, 2))

    def to_markdown(self) -> str:
        """The card as a page of the documentation."""
        parts = [f"# {self.name}", self.about, Table(self._rows(), ("", "")).to_markdown()]
        if self.scores:
            parts += ["## Scorecard", *filter(None, [self._scored_on()]), self._figures().to_markdown()]
        if self.flaws:
            parts += ["## Known flaws", "\n".join(f"- {flaw}" for flaw in self.flaws)]
        return "\n\n".join(parts) + "\n"

    def _repr_html_(self):
        notes = [f"Known flaw: {flaw}" for flaw in self.flaws]
        notes = [*notes, *filter(None, [self._scored_on()])]
        card = Table(self._rows(), title=f"{self.name}: {self.about}", notes=notes)
        return f"{card._repr_html_()}{self._figures().to_html()}"


def _floor(score: Score) -> str:
    if score.floor is None:
        return ""
    return f"{score.floor:.3g}" if score.floor_spread is None else with_error(score.floor, score.floor_spread)


def withdraw(provenance: dict[str, object]) -> None:
    """Remove the model card from the provenance of a changed generator, and keep its name as `trained_from`.

    Args:
        provenance: as in `Generator`.
    """
    if card := provenance.pop("card", None):
        provenance["trained_from"] = card["name"]
